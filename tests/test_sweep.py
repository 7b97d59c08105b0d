"""Sweeps: nothing that is done is done again, and nothing that is lost takes anything along.

The command line runs in a copy of the harness with a study of its own, whose cells log what they
do and wait for each other where a test needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import linecache
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import benchmarks
from benchmarks.__main__ import main
from benchmarks.running import (
    cell,
    cluster,
    finished,
    harness,
    identity,
    places,
    study,
    sweep,
    table,
)

PATIENCE = 60  # seconds; for slow machines, never reached otherwise
STUDY = '''
"""A study for tests: what a cell does is one of its parameters."""

import json
import math
import os
import signal
import time
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = {"seed": "seed"}
VERSIONS = {"torch": "9.9"}


def cells():
    return json.loads((HERE / "cells.json").read_text())


def log(what, seed):
    with (HERE / "log.txt").open("a") as file:
        file.write(f"{what} {seed} {os.getpid()}\\n")


def wait():
    for _ in range(6000):
        if (HERE / "go").exists():
            return
        time.sleep(0.01)
    raise TimeoutError("nobody let the cell go on")


def run_cell(seed, does="return"):
    log("start", seed)
    if does == "wait":
        wait()
    if does == "raise":
        raise ArithmeticError("no luck")
    if does == "exit":
        raise SystemExit(3)
    if does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    bad = {"nan": math.nan, "inf": [1, math.inf], "set": {1}}
    log("end", seed)
    found = {"x": bad.get(does, seed / 2), "threads": os.environ.get("OMP_NUM_THREADS")}
    return [1.0] if does == "list" else found


def summary(finished):
    return [{"seed": cell["seed"], "x": result["x"]} for cell, result in finished]
'''


class Checkout:
    """A copy of the harness with one study, ``toy``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "benchmarks"
        self.place.mkdir()
        for name in ("__init__.py", "__main__.py"):
            shutil.copy(harness.HERE / name, self.place)
        shutil.copytree(harness.HERE / "running", self.place / "running")
        self.source = self.place / "toy.py"
        self.source.write_text(STUDY, encoding="utf-8")
        path = f"{folder}{os.pathsep}{harness.ROOT}"
        self.environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def cells(self, *does: str) -> None:
        """The study has cells that do this, seeds 0, 1, ..."""
        made = [{"seed": i, "does": each} for i, each in enumerate(does)]
        (self.place / "cells.json").write_text(json.dumps(made))

    def edit(self, old: str, new: str) -> None:
        """Change the study, and forget what this process knows of it."""
        assert old in self.source.read_text()
        self.source.write_text(self.source.read_text().replace(old, new))
        forget()

    def start(self, *options: str) -> subprocess.Popen[str]:
        """`python -m benchmarks toy ...` in a process group of its own, which Ctrl-C can stop.

        A shell's background jobs ignore Ctrl-C, and what they start would, too.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "toy", *options],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *options: str) -> tuple[int, str, str]:
        """Its status, and what it says, once it has ended."""
        return ended(self.start(*options))

    def sweep(self, lost: int = 0, **options: bool) -> int:
        """The status of a sweep in this process, ``lost`` of whose calls are."""
        folders = {"folder": self.folder / ".sweeps", "results": self.folder / "book" / "results"}
        return sweep.sweep("toy", lambda n_cells: Here(lost), **folders, **options)

    def logged(self, what: str) -> list[tuple[int, int]]:
        """Seed and process of each start or end of a cell."""
        path = self.place / "log.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        parts = [line.split() for line in lines]
        return [(int(seed), int(pid)) for said, seed, pid in parts if said == what]

    def count(self, what: str) -> dict[int, int]:
        """How often each cell started or ended."""
        return dict(Counter(seed for seed, _ in self.logged(what)))

    def go(self) -> None:
        """Let waiting cells go on."""
        (self.place / "go").touch()

    def kept(self) -> dict[Path, int]:
        """The files of finished cells, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in self.folder.glob(".sweeps/toy/*.json")}

    def stored(self) -> Any:
        """The stored result."""
        path = self.folder / "book" / "results" / "toy.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


class Here:
    """A place that runs cells where it is called; some of its cells get lost."""

    slots, attempts = 1, 3

    def __init__(self, lost: int) -> None:
        self.lost = lost

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, name: str, source: str, parameters: dict[str, Any]) -> str:
        """The cell's record, once enough were lost."""
        self.lost -= 1
        if self.lost >= 0:
            raise places.LostError("gone")
        return cell.compute(name, source, parameters)


def forget() -> None:
    """Let this process import the study anew."""
    sys.modules.pop("benchmarks.toy", None)
    vars(benchmarks).pop("toy", None)
    importlib.invalidate_caches()
    linecache.clearcache()
    identity.source_digest.cache_clear()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The status of a process, and what it said."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def until(condition: Callable[[], Any]) -> Any:
    """Wait for it, and give what it gave."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError("it never came to be")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def toy(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """The study with three cells, to be run in this process."""
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(checkout.place)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    checkout.cells("return", "return", "return")
    yield checkout
    forget()


# ---- on this machine


def test_a_second_call_runs_only_what_is_missing(checkout: Checkout) -> None:
    checkout.cells("return", "return")
    assert checkout.run("--jobs", "1")[0] == 0
    before = checkout.kept()
    checkout.cells("return", "return", "return")
    checkout.edit("for tests", "of ours")  # which changes nothing of what a cell is
    checkout.edit('"seed": "seed"', '"seed": "s"')
    status, out, err = checkout.run("--jobs", "1")
    assert (status, checkout.count("start")) == (0, {0: 1, 1: 1, 2: 1})
    assert before.items() < checkout.kept().items()
    assert "2/3" in err, "the bar does not begin with what is done"
    assert "3 of 3 cells of toy are in" in out
    stored = checkout.stored()
    assert stored["command"] == "python -m benchmarks toy"
    assert stored["results"] == [{"seed": i, "x": i / 2} for i in range(3)]
    assert stored["seeds"] == [0, 1, 2]
    assert stored["columns"] == {"seed": "s"}
    assert [each["cell"]["seed"] for each in stored["cells"]] == [0, 1, 2]
    assert {each["result"]["threads"] for each in stored["cells"]} == {"1"}
    assert set(stored["versions"]) == {"python", "irl_lib", "numpy", "scipy", "torch"}


def test_what_was_stopped_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Waiting:
        """A process whose cell does not end before it is killed."""

        def __init__(self, **_: Any) -> None:
            self.begun, self.future = threading.Event(), Future[str]()
            made.append(self)

        def submit(self, *_: Any) -> Future[str]:
            self.begun.set()
            return self.future

        def shutdown(self, **_: Any) -> None:
            if not self.future.done():
                self.future.set_exception(places.BrokenProcessPool("killed"))

    monkeypatch.setattr(places, "ProcessPoolExecutor", Waiting)
    thread = ThreadPoolExecutor(1)
    with places.Processes(1) as place:
        waiting = thread.submit(sweep.attempt, place, "toy", "", {})
        assert made[0].begun.wait(PATIENCE)
    _, record = waiting.result(timeout=PATIENCE)
    assert record == {"failed": "BrokenProcessPool: killed"}
    assert len(made) == 1


def test_an_interrupted_sweep_goes_on(checkout: Checkout) -> None:
    checkout.cells("return", "return", "wait", "wait", "return")
    process = checkout.start("--jobs", "2")
    until(lambda: len(checkout.kept()) == 2 and len(checkout.count("start")) == 4)
    os.kill(process.pid, signal.SIGINT)
    status, out, err = ended(process)
    assert status == 130
    assert "stopped; the same command goes on" in err
    assert "Traceback" not in err
    assert "2 of 5 cells of toy are in" in out
    assert checkout.stored() is None
    for _, pid in checkout.logged("start"):
        until(lambda pid=pid: not is_running(pid))
    checkout.go()
    assert checkout.run("--jobs", "2")[0] == 0
    assert checkout.count("start") == {0: 1, 1: 1, 2: 2, 3: 2, 4: 1}
    assert checkout.count("end") == dict.fromkeys(range(5), 1)


def is_running(pid: int) -> bool:
    """Whether there is a process of this number that still does something."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_a_process_that_is_killed_costs_its_cell_alone(checkout: Checkout) -> None:
    checkout.cells("wait", "wait", "return", "die")
    process = checkout.start("--jobs", "2")
    started = until(lambda: dict(found) if len(found := checkout.logged("start")) == 2 else None)
    os.kill(started[0], signal.SIGKILL)
    until(lambda: checkout.count("start") == {0: 2, 1: 1})
    checkout.go()
    status, _, err = ended(process)
    assert status == 1
    assert checkout.count("start") == {0: 2, 1: 1, 2: 1, 3: places.ATTEMPTS}
    assert checkout.count("end") == dict.fromkeys(range(3), 1)
    assert len(checkout.kept()) == 3
    assert "1 of 4 cells of toy failed:\n\n--- seed=3 does=die\nlost 3 times" in err
    assert "SIGKILL" in err


# ---- on a cluster


class Dask:
    """A scheduler and its workers on the loopback, all of them processes."""

    def __init__(self, checkout: Checkout, **settings: str) -> None:
        self._checkout, self._settings = checkout, settings
        self.file = checkout.folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        """One of Dask's programs."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard"]
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--scheduler-file", str(self.file), *options],
            cwd=self._checkout.folder,
            env={**self._checkout.environment, "OMP_NUM_THREADS": "1", **self._settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker that nobody starts anew."""
        return self.start("worker", "--nthreads", "1", "--no-nanny")

    def __enter__(self) -> Dask:
        self.start("scheduler", "--port", "0")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        """Where the scheduler listens."""

        def listening() -> str | None:
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(self.file.read_text())["address"])
            return None

        return str(until(listening))


def test_a_worker_that_is_killed_costs_its_cell_alone(checkout: Checkout) -> None:
    checkout.cells("wait", "wait", "raise", *["return"] * 5)
    with Dask(checkout) as dask:
        workers = {worker.pid: worker for worker in (dask.worker(), dask.worker())}
        process = checkout.start("--scheduler", dask.address)
        both = until(
            lambda: found if {0, 1} <= (found := dict(checkout.logged("start"))).keys() else None
        )
        assert {both[0], both[1]} == set(workers)
        workers[both[0]].send_signal(signal.SIGKILL)
        checkout.go()
        status, _, err = ended(process)
    assert status == 1
    assert "1 of 8 cells of toy failed" in err
    assert "--- seed=2 does=raise\nTraceback" in err
    assert checkout.count("start") == {**dict.fromkeys(range(8), 1), 0: 2}
    assert checkout.count("end") == dict.fromkeys([0, 1, *range(3, 8)], 1)
    assert len(checkout.kept()) == 7


def test_a_cell_that_kills_its_workers_is_given_up(checkout: Checkout) -> None:
    checkout.cells("die")
    with Dask(checkout, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as dask:
        for _ in range(cluster.Cluster.attempts):
            dask.worker()
        status, _, err = checkout.run("--scheduler", dask.address)
    assert status == 1
    assert "--- seed=0 does=die\nlost 2 times, the last time because: Attempted to run" in err


def test_without_its_scheduler_a_sweep_ends_and_keeps_what_is_done(checkout: Checkout) -> None:
    checkout.cells("return", "wait", "return")
    with Dask(checkout) as dask:
        scheduler = dask.processes[0]
        for _ in range(2):  # one of which may have the cell that waits before all others
            dask.worker()
        process = checkout.start("--scheduler", dask.address)
        until(lambda: checkout.kept() and 1 in checkout.count("start"))
        scheduler.kill()
        status, out, err = ended(process)
    assert status == 1
    assert "ConnectionError: the connection to the scheduler was lost" in err
    assert f"{len(checkout.kept())} of 3 cells of toy are in" in out


def test_a_worker_with_threads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    async def connect(address: str) -> Any:
        return SimpleNamespace(abort=lambda: None)

    client = SimpleNamespace(
        nthreads=lambda: {"tcp://one": 1, "tcp://two": 2}, close=lambda: closed.append(True)
    )
    monkeypatch.setattr("dask.distributed.Client", lambda *_, **__: client)
    monkeypatch.setattr("distributed.comm.connect", connect)
    with pytest.raises(cluster.NoSchedulerError, match=r"'tcp://two': 2.* with --nthreads 1"):
        cluster.Cluster("tcp://localhost:1")
    assert closed == [True]


@pytest.mark.parametrize("listens", [False, True])
def test_an_address_without_a_scheduler_is_an_error(
    listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there, or somebody who says nothing."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        if listens:
            bound.listen()
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        said = f"no Dask scheduler answers at {address}: "
        with pytest.raises(cluster.NoSchedulerError, match=said):
            cluster.Cluster(address)


def test_without_dask_its_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(cluster.NoSchedulerError, match=r"which requirements\.txt has"):
        cluster.Cluster("tcp://localhost:1")


# ---- the command line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["absent"], "no benchmark is called absent; there are: "),
        (["soft_backup_scale", "--jobs", "2"], "soft_backup_scale has no cells"),
        (["soft_backup_scale", "--scheduler", "tcp://localhost:1"], "has no cells"),
        (["soft_backup_scale", "--fresh"], "has no cells"),
        (["--jobs", "0"], "0 is no whole number, at least 1"),
        (["--jobs", "two"], "two is no whole number"),
        (["--scheduler", "localhost"], "'localhost' is no address like tcp://HOST:PORT"),
        (["--scheduler", "http://localhost:8786"], "is no address like tcp://HOST:PORT"),
        (["--scheduler", "tcp://localhost:999999"], "is no address like tcp://HOST:PORT"),
        (["--scheduler", "tcp://localhost:1", "--jobs", "2"], "--jobs is of processes of this"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


# ---- in this process


def test_cells_that_fail_stop_nobody_and_are_named(
    toy: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.cells("return", "raise", "nan", "inf", "set", "raise", "exit", "list", "return")
    assert toy.sweep() == 1
    out, err = capsys.readouterr()
    assert "7 of 9 cells of toy failed" in err
    named = "--- seed=1 does=raise\n--- seed=5 does=raise\nTraceback (most recent call last):"
    assert named in err, "the same reason is not told once"
    assert "ArithmeticError: no luck\n\n--- seed=2 does=nan\n" in err
    assert "the result['x'] is nan; numbers have to be finite" in err
    assert "the result['x'][1] is inf; numbers have to be finite" in err
    assert "the result['x'] is of type set" in err
    assert "SystemExit: 3" in err
    assert "run_cell gave [1.0]; expected a dict" in err
    assert "2 of 9 cells" in out
    assert (toy.stored(), len(toy.kept())) == (None, 2)
    assert toy.sweep(partial=True) == 1
    stored = toy.stored()
    assert stored["missing"] == "7 of 9 cells"
    assert stored["results"] == [{"seed": 0, "x": 0.0}, {"seed": 8, "x": 4.0}]
    assert stored["versions"]["torch"] == "9.9"


@pytest.mark.parametrize(("lost", "status", "kept"), [(2, 0, 3), (3, 1, 2)])
def test_a_lost_cell_is_run_again(toy: Checkout, lost: int, status: int, kept: int) -> None:
    assert (toy.sweep(lost=lost), len(toy.kept())) == (status, kept)


def test_fresh_runs_all_anew(toy: Checkout) -> None:
    assert toy.sweep() == 0
    (stale,) = (path for path in toy.kept() if '"seed": 1' in path.read_text())
    stale.write_text(stale.read_text().replace('"x": 0.5', '"x": 7'))
    assert toy.sweep() == 0
    assert [row["x"] for row in toy.stored()["results"]] == [0.0, 7, 1.0]
    assert toy.sweep(fresh=True) == 0
    assert [row["x"] for row in toy.stored()["results"]] == [0.0, 0.5, 1.0]


def test_a_cell_of_another_version_of_the_study_is_missing(toy: Checkout) -> None:
    assert toy.sweep() == 0
    toy.edit("seed / 2", "seed / 4")
    assert (toy.sweep(), len(toy.kept())) == (0, 6)
    assert [row["x"] for row in toy.stored()["results"]] == [0.0, 0.25, 0.5]


def test_a_file_of_another_cell_counts_as_missing(toy: Checkout) -> None:
    assert toy.sweep() == 0
    first, second, _ = toy.kept()
    shutil.copy(first, second)
    assert len(finished.kept(study.load("toy"), toy.folder / ".sweeps")) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cell": {"seed": 1}}', '"text"'])
def test_a_file_that_is_no_finished_cell_counts_as_missing(toy: Checkout, content: str) -> None:
    assert toy.sweep() == 0
    damaged = next(iter(toy.kept()))
    before = json.loads(damaged.read_text())["cell"]
    damaged.write_text(content)
    assert len(finished.kept(study.load("toy"), toy.folder / ".sweeps")) == 2
    assert toy.sweep() == 0
    assert json.loads(damaged.read_text())["cell"] == before


def test_a_worker_with_another_version_of_the_study_does_not_run_it(toy: Checkout) -> None:
    assert "start it anew" in json.loads(cell.compute("toy", "0" * 16, {"seed": 0}))["failed"]
    right = json.loads(cell.compute("toy", identity.source_digest("toy"), {"seed": 2}))
    assert right["result"]["x"] == 1.0


def test_cells_of_other_states_of_the_package_are_told(
    toy: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toy.sweep() == 0
    assert "other states" not in capsys.readouterr().err
    now = identity.package_version()
    monkeypatch.setattr(identity, "package_version", lambda: "another")
    (gone,) = (path for path in toy.kept() if '"seed": 1' in path.read_text())
    gone.unlink()
    assert toy.sweep() == 0
    assert "with other states of irl_lib than the present one" in capsys.readouterr().err
    assert toy.stored()["versions"]["irl_lib"] == f"{now}, another"


GIVEN = 'json.loads((HERE / "cells.json").read_text())'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def cells", "def sells", "has no function cells"),
        ("def run_cell", "def walk_cell", "has no function run_cell"),
        ("def summary", "def total", "has no function summary"),
        (GIVEN, '[{"seed": 0}, {"seed": 0}]', "has the cell seed=0 twice"),
        (GIVEN, '[{"seed": (1,)}]', r"it\['seed'\] is of type tuple; expected"),
        (GIVEN, '[{"seed": math.nan}]', r"it\['seed'\] is nan"),
        (GIVEN, "[{1: 2}]", "it has the key 1; expected text"),
        (GIVEN, "[{}, 1]", r"cells\(\) has 1; expected dicts"),
        (GIVEN, "[]", r"cells\(\) is \[\]; expected a list of at least one"),
        (f"return {GIVEN}", "yield 1", "expected a list of at least one dict"),
    ],
)
def test_what_is_no_study_is_refused(toy: Checkout, old: str, new: str, said: str) -> None:
    toy.edit(old, new)
    with pytest.raises(study.StudyError, match=said):
        study.load("toy")


@pytest.mark.parametrize("rows", ["[]", "None", "[1]", '[{"x": math.inf}]', '[{"x": {1}}]'])
def test_a_summary_that_is_no_table_is_refused(toy: Checkout, rows: str) -> None:
    toy.edit('[{"seed": cell["seed"], "x": result["x"]} for cell, result in finished]', rows)
    with pytest.raises(study.StudyError, match=r"toy.summary\(\) gave"):
        toy.sweep()
    assert len(toy.kept()) == 3, "its cells are not kept"


# ---- what a study is


def test_studies_and_benchmarks_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not harness.is_study("soft_backup_scale")
    monkeypatch.setattr(harness, "HERE", tmp_path)
    sources = {
        "both": "def run(): ...\ndef cells(): ...",
        "benchmark": "def run(): ...\ndef summary(): ...",
        "incomplete": "def run_cell(): ...",
        "helper": "def other(): ...\nrun = 1",
        "broken": "def run(:",
        "__main__": "def run(): ...",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    assert harness.names() == ["benchmark", "both", "broken", "incomplete"]
    assert [name for name in harness.names() if harness.is_study(name)] == ["both", "incomplete"]


MODULE = '''
"""What it is about."""
import math
from os import path as where, sep
A, B = 1, 2
TABLE: dict = {}
TABLE["key"] = 3


class Kind:
    """Of thing."""

    size = A


def run_cell(x: Kind):
    """Run."""
    return helper(x)  # now


def helper(x):
    return sep * B


def summary():
    return math.pi + len(where)
'''


@pytest.mark.parametrize(
    ("old", "new", "matters"),
    [
        ("A, B = 1, 2", "A, B = 3, 2", True),
        ("size = A", "size = 2 * A", True),
        ("import path as where, sep", "import path as where, linesep as sep", True),
        ("sep * B", "sep + B", True),
        ("return helper(x)", "return helper(2 * x)", True),
        ('TABLE["key"] = 3', 'TABLE["key"] = 4', True),
        ("TABLE: dict = {}", "TABLE: dict = {1: 2}", True),
        ("What it is about", "What else", False),
        ("Run.", "Run!", False),
        ("Of thing.", "Of things.", False),
        ("  # now", "", False),
        ("import math", "import math, json", False),
        ("math.pi", "math.e", False),
        ("\n\ndef helper", "\n\nUNUSED = 1\n\n\ndef helper", False),
    ],
)
def test_code_that_a_cell_reaches_is_part_of_what_it_is_and_nothing_else(
    old: str, new: str, matters: bool
) -> None:
    changed = MODULE.replace(old, new)
    assert changed != MODULE
    is_another = identity.reached(changed, "run_cell") != identity.reached(MODULE, "run_cell")
    assert is_another == matters


def test_other_benchmarks_that_a_study_imports_are_part_of_it() -> None:
    code = "from benchmarks import pendulum_expert, running\nfrom benchmarks.abbeel_ng import run"
    assert identity.siblings(code) == ["abbeel_ng", "pendulum_expert"]
    assert identity.siblings("import json\nfrom benchmarks.running.harness import Row") == []


def test_what_the_machines_say_is_brought_together() -> None:
    parts = [{"cores": 2, "cpu": "a"}, {"cores": 64, "cpu": "a"}, {"cores": 2, "cpu": "a"}]
    assert table.merged(parts) == {"cores": "2, 64", "cpu": "a"}


def test_a_file_that_would_be_too_large_has_single_values_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = [{"cell": {"seed": 0}, "result": {"x": 1.5, "y": [1, 2], "z": {}}, "seconds": 1.0}]
    assert table.shortened(cells) == cells
    monkeypatch.setattr(table, "MOST_BYTES", 10)
    assert table.shortened(cells) == [{**cells[0], "result": {"x": 1.5}}]
