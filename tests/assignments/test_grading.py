"""Grading: right and wrong answers, cheats, interruptions, and the same points on Gradescope."""

from __future__ import annotations

import csv
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handed_in import MASTERS, earned, right_by_rank, solutions, write_notebook, wrong_by_rank

from assignments import checks, grading, slices
from assignments.grading import Submission, found_in, grade, packages, seeds
from assignments.master import Master
from assignments.packages import write_gradescope
from assignments.sandbox import Sandbox, request

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("FULL") == "1"
FIRST = MASTERS["hw1"]
TOUCHED = "occupancy"
DEFINITION = "def occupancy(transitions, initial, discount, policy):\n"


def points(master: Master) -> dict[str, float]:
    """All points that there are, by function."""
    return {
        check.name: sum(
            question.points / len(question.checks)
            for question, each in master.checks
            if each.name == check.name
        )
        for _, check in master.checks
    }


def graded(folder: Path, **options: object) -> dict[str, list[grading.Part]]:
    """What the submissions of a folder come to, on the same probes in every run of the tests."""
    secret = folder / "grades" / "secret"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("the same every time", encoding="utf-8")
    return grade(folder / "in", folder / "grades.csv", quiet=True, **options)  # type: ignore[arg-type]


def test_right_answers_have_all_points_wrong_ones_none(master: Master, tmp_path: Path) -> None:
    everything = wrong_by_rank(master) | right_by_rank(master)
    everything |= {"blank": [], "solution": list(solutions(master).values())}
    for name, cells in everything.items():
        write_notebook(tmp_path / "in" / f"{name}.ipynb", master, cells)
    results = graded(tmp_path)
    assert len(results) == len(everything)
    for name, parts in results.items():
        if name.startswith(("right", "solution")):
            assert earned(parts) == points(master), [part.said for part in parts]
        else:
            assert sum(earned(parts).values()) == 0.0, (name, earned(parts))
    assert {part.error for part in results["blank"]} == {"not attempted"}
    for part in results["wrong-0"]:
        (first, entry), *_ = master.answers["WRONG"][part.function].items()
        assert (part.error, part.said) == (first, entry[0])
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text().splitlines()))
    assert {row["student"] for row in rows} == set(everything)
    (row,) = (row for row in rows if row["student"] == "solution")
    assert float(row["total"]) == pytest.approx(sum(points(master).values()), rel=1e-12)
    summary = (tmp_path / "grades" / "summary.md").read_text()
    assert all(part.error in summary for part in results["wrong-0"])


def test_an_error_costs_its_own_question(tmp_path: Path) -> None:
    for name in (own := solutions(FIRST)):
        wrong = FIRST.wrong_source(name, next(iter(FIRST.answers["WRONG"][name])))
        write_notebook(tmp_path / "in" / f"{name}.ipynb", FIRST, [*own.values(), wrong])
    for name, parts in graded(tmp_path).items():
        assert earned(parts) == points(FIRST) | {name: 0.0}


# ---- cheats

CHEATS = {
    "loops": "    while True:\n        pass",
    "loops in the notebook": "    return LOOP\n\nLOOP = [0 for _ in iter(int, 1)]",
    "catches everything": (
        "    import signal, time\n"
        "    for number in range(1, 32):\n"
        "        try:\n"
        "            signal.signal(number, signal.SIG_IGN)\n"
        "        except (OSError, ValueError):\n"
        "            pass\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(1)\n"
        "        except BaseException:\n"
        "            pass"
    ),
    "exits": "    import os\n    os._exit(0)",
    "exits politely": "    raise SystemExit(0)",
    "kills its parent": (
        "    import os, signal\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "    os._exit(0)"
    ),
    "prints a gigabyte": "    for _ in range(1024):\n        print('x' * (1 << 20))\n" + "{right}",
    "returns a gigabyte": "    return np.zeros(1 << 27)",
    "takes all memory": "    return len(bytearray(1 << 36))",
    "forks": "    import os\n    os.fork()\n{right}",
    "forks for ever": "    import os\n    while True:\n        os.fork()",
    "leaves a thread": (
        "    import threading, time\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n{right}"
    ),
    "leaves a process": (
        "    import subprocess, sys\n    subprocess.Popen(['sleep', '600'])\n{right}"
    ),
    "always equal": (
        "    class Equal:\n"
        "        __eq__ = lambda self, other: True\n"
        "        __ne__ = lambda self, other: False\n"
        "        shape = policy.shape\n"
        "    return Equal()"
    ),
    "always equal array": (
        "    class Equal(np.ndarray):\n"
        "        __eq__ = lambda self, other: True\n"
        "        __sub__ = lambda self, other: 0 * policy\n"
        "        tolist = lambda self: {}\n"
        "    return policy.view(Equal)"
    ),
    "overwrites numpy": (
        "    for name in ('isclose', 'allclose', 'array_equal', 'all'):\n"
        "        setattr(np, name, lambda *a, **k: True)\n"
        "    return policy"
    ),
    "patches the reporter": (
        "    import json, os, sys\n"
        "    checks = sys.modules.get('checks')\n"
        "    for name in ('fault', 'difference', 'array_difference'):\n"
        "        setattr(checks, name, lambda *a, **k: '')\n"
        "    checks.same = lambda *a, **k: True\n"
        "    checks.outcome = lambda call: {{'result': 'right', 'said': ''}}\n"
        '    json.dumps = lambda *a, **k: \'{{"end": ""}}\'\n'
        "    return policy"
    ),
    "writes its own report": (
        "    import os\n"
        "    for handle in range(3, 64):\n"
        "        try:\n"
        '            os.write(handle, b\'{{"result": {{}}}}\\n\' * 3 + b\'{{"end": ""}}\\n\')\n'
        "        except OSError:\n"
        "            pass\n"
        "    os._exit(0)"
    ),
    "reads processes": (
        "    import glob\n"
        "    found = b''\n"
        "    for name in glob.glob('/proc/[0-9]*/*'):\n"
        "        if name.endswith(('environ', 'cmdline', 'mem', 'maps')):\n"
        "            try:\n"
        "                found += open(name, 'rb').read(1 << 20)\n"
        "            except OSError:\n"
        "                pass\n"
        "    assert b'SECRET-IN-A-NAME' in found\n{right}"
    ),
    "reads files": (
        "    import pathlib\n"
        "    found = [p for p in pathlib.Path('/').rglob('*')\n"
        "             if p.name in ('answers.py', 'hw1.ipynb', 'secret', 'grades.csv')]\n"
        "    assert found\n{right}"
    ),
    "deletes files": (
        "    import pathlib, shutil\n"
        "    place = pathlib.Path(PLACE)\n"
        "    deleted = place.exists()\n"
        "    shutil.rmtree('/', ignore_errors=True)\n"
        "    shutil.rmtree(place, ignore_errors=True)\n"
        "    assert deleted and not place.exists()\n{right}"
    ),
    "uses the network": (
        "    import socket\n    socket.create_connection(('127.0.0.1', PORT), 2)\n{right}"
    ),
    "uses the book's package": "    from irl_lib import planning\n{right}",
    "forges a report": "    raise ValueError('\\ud800\\n# 30 of 30 points\\x1b[2J')",
}
SOLVED = (
    FIRST.solution_of(TOUCHED).partition('policy."""\n')[2]
    or FIRST.solution_of(TOUCHED).partition('(S, A)."""\n')[2]
)
ALONE = ("loops", "exits", "forks", "always equal", "leaves a process", "prints a gigabyte")


def cheat(text: str, place: Path, port: int) -> str:
    """The cell of a cheat; where it says so it goes on with the right answer."""
    body = text.replace("{right}", SOLVED).replace("{{", "{").replace("}}", "}")
    body = body.replace("PLACE", repr(str(place))).replace("PORT", str(port))
    return f"import numpy as np\n\n{DEFINITION}{body}"


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience than with students."""
    monkeypatch.setattr(grading, "SECONDS", 6.0)
    monkeypatch.setattr(grading, "SECONDS_IN_ALL", 30.0)


@pytest.mark.usefixtures("hurry")
def test_a_cheat_costs_what_it_touched_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET-IN-A-NAME", "1")
    place = tmp_path / "precious"
    place.mkdir()
    (place / "file").write_text("kept")
    own = solutions(FIRST)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for number, (name, text) in enumerate(CHEATS.items()):
            cells = [*own.values(), cheat(text, place, server.getsockname()[1])]
            write_notebook(tmp_path / "in" / f"{number:02d} {name}.ipynb", FIRST, cells)
        for number in (0, 50, 99):
            write_notebook(tmp_path / "in" / f"{number:02d}-honest.ipynb", FIRST, [*own.values()])
        before = processes()
        results = graded(tmp_path)
    most = points(FIRST)
    for name, parts in results.items():
        if name.endswith("honest"):
            assert earned(parts) == most
        else:
            assert earned(parts) == most | {TOUCHED: 0.0}, (name, [part.said for part in parts])
    assert (place / "file").read_text() == "kept"
    assert processes() - before == set()
    reports = [path.read_text() for path in (tmp_path / "grades" / "reports").glob("*.md")]
    assert len(reports) == len(results)
    assert all(text.count("\n#") == 0 and "\x1b" not in text for text in reports)


def processes() -> set[str]:
    """The processes that this one has started, by number."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(children.read_text().split())


@pytest.mark.usefixtures("hurry")
def test_without_namespaces_it_costs_the_same(tmp_path: Path) -> None:
    own = solutions(FIRST)
    with Sandbox(packages(FIRST), apart=False) as box:
        for name in ("honest", *ALONE):
            cells = [*own.values()]
            cells += [] if name == "honest" else [cheat(CHEATS[name], tmp_path, 1)]
            write_notebook(tmp_path / f"{name}.ipynb", FIRST, cells)
            parts = grading.graded(FIRST, Submission(name, tmp_path / f"{name}.ipynb"), box, "x")
            lost = {} if name == "honest" else {TOUCHED: 0.0}
            assert earned(parts) == points(FIRST) | lost, name


def test_a_submission_has_a_time_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "SECONDS", 3.0)
    monkeypatch.setattr(grading, "SECONDS_IN_ALL", 3.0)
    cells = [*solutions(FIRST).values(), cheat(CHEATS["loops"], tmp_path, 1)]
    write_notebook(tmp_path / "in" / "slow.ipynb", FIRST, cells)
    (parts,) = graded(tmp_path).values()
    assert sum(earned(parts).values()) == 0.0
    assert "takes more than 3 s" in parts[0].said
    assert "used up" in parts[1].said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"cells": [{"cell_type": "code"}]}',
        '{"cells": [{"cell_type": "code", "source": 7}]}',
        '{"cells": 3}',
        "\x00\x01",
    ],
)
def test_what_is_no_notebook_has_no_points(text: str, tmp_path: Path) -> None:
    write_notebook(tmp_path / "in" / "good.ipynb", FIRST, [*solutions(FIRST).values()])
    (tmp_path / "in" / "bad.ipynb").write_text(text)
    results = graded(tmp_path)
    assert sum(earned(results["bad"]).values()) == 0.0
    assert earned(results["good"]) == points(FIRST)


def test_what_is_beside_the_notebooks_costs_nobody(tmp_path: Path) -> None:
    own, place = [*solutions(FIRST).values()], tmp_path / "in"
    write_notebook(place / "good" / "x.ipynb", FIRST, own)
    write_notebook(place / "good" / ".ipynb_checkpoints" / "x-checkpoint.ipynb", FIRST, [])
    write_notebook(place / "__MACOSX" / "._good.ipynb", FIRST, [])
    write_notebook(Path(os.fsdecode(os.fsencode(place) + b"/odd\xe9.IPYNB")), FIRST, own)
    whole = json.loads((place / "good" / "x.ipynb").read_text())
    whole["cells"] += [None, {"cell_type": "code", "source": 7}, {"source": ""}]
    (place / "odd cells.ipynb").write_text(json.dumps(whole))
    write_notebook(place / "long.ipynb", FIRST, [*own, "x = 1\n" * 3000])
    (place / "folder.ipynb").mkdir()
    (place / "link.ipynb").symlink_to(FIRST.path)
    (place / "nowhere.ipynb").symlink_to("nowhere")
    os.mkfifo(place / "pipe.ipynb")
    results = graded(tmp_path)
    assert sorted(results) == [
        *("folder.ipynb", "good", "link", "long", "nowhere", "odd cells", "odd\\xe9", "pipe"),
    ]
    sentences = {"long": "more code than can", "folder.ipynb": "there is no notebook in"}
    for name, parts in results.items():
        if name.startswith(("good", "odd")):
            assert earned(parts) == points(FIRST), name
        else:
            assert sum(earned(parts).values()) == 0.0, name
            said = sentences.get(name, "can't be read as a notebook")
            assert all(said in part.said for part in parts)


def test_two_notebooks_are_read_at_once() -> None:
    often, before = lambda *_: sum(range(20)), (sys.getswitchinterval(), gc.get_threshold())
    gc.callbacks.append(often)
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(slices.parsed, ["x = [1, (2, 3)]\n" * 3000] * 16))
    finally:
        gc.callbacks.remove(often)
        gc.set_threshold(*before[1])
        sys.setswitchinterval(before[0])
    assert [len(each) for each in read] == [3000] * 16


CANARY = "a bird that another student has"
LOOKS = """\
import ctypes, os

def answer(mark):
    read, write = os.pipe()
    libc, found, mark = ctypes.CDLL(None), 0, bytes(mark[::-1], "utf8")
    libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    for line in open("/proc/self/maps"):
        first, last = (int(each, 16) for each in line.split()[0].split("-"))
        if " rw" in line and last - first < 1 << 28:
            for page in range(first, last, 4096):
                if libc.write(write, page, 4096) == 4096:
                    found += mark + b" in his file" in os.read(read, 4096)
    return found
"""


def test_nobody_finds_what_others_have_handed_in() -> None:
    with Sandbox([]) as box:
        for i in range(9):
            text = f"def answer(x):\n    '{CANARY} in his file' * {i}\n    return x" + i * "\n#"
            assert box.call(request(text, "answer", [{"dict": {"x": i}}]), 30.0) == [{"result": i}]
        probe = {"dict": {"mark": CANARY[::-1]}}
        assert box.call(request(LOOKS, "answer", [probe]), 60.0) == [{"result": 0}]


def test_what_a_function_may_use_while_it_is_graded() -> None:
    bar = "from tqdm import tqdm\ndef answer():\n    return len([*tqdm(range(3))])"
    book = "def answer():\n    import irl_lib.planning"
    score = "def answer():\n    return int(open('/proc/self/oom_score_adj').read())"
    with Sandbox([]) as box:
        found = [
            box.call(request(text, "answer", [{"dict": {}}]), 60.0)[0]
            for text in (bar, book, score)
        ]
    assert found[0] == {"result": 3}
    assert "irl_lib is not there" in found[1]["error"]
    assert found[2] == {"result": 1000}  # where memory runs out, it ends first


# ---- the grader's own end

HANGS = """\
def answer():
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
    time.sleep(600)
"""
GRADER = """\
import signal
import sys
from functools import partial
from assignments import grading, sandbox

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs behind "&" ignores it

def graded(master, submission, box, secret):
    return box.call(sandbox.request(sys.argv[2], "answer", [{"dict": {}}]), 600.0)

grading.packages, grading.graded = lambda master: [], graded
grading.Sandbox = partial(sandbox.Sandbox, apart=sys.argv[1] == "apart")
list(grading.worked(None, ["a", "b"], "", 2))
"""


def running_below(process: int) -> set[Path]:
    """What a process has started, directly or not."""
    below: dict[str, list[Path]] = {}
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (each / "stat").read_text().rpartition(")")[2].split()[:2]
            below.setdefault(parent, []).extend([each] if state != "Z" else [])
    found, todo = set(), [str(process)]
    while todo:
        new = below.get(todo.pop(), [])
        found |= set(new)
        todo += [each.name for each in new]
    return found


@pytest.mark.parametrize(
    ("how", "number"),
    [("apart", signal.SIGTERM), ("by limits", signal.SIGKILL), ("by limits", signal.SIGINT)],
)
def test_nothing_outlives_a_grader_that_is_ended(how: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", GRADER, how, HANGS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT, text=True) as process:
        try:
            enough = 2 * (1 + (how == "apart") + 2)  # for each: child, holder of namespaces, two
            until(lambda: len(running_below(process.pid)) >= enough)
            started = running_below(process.pid)
            process.send_signal(number)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -number
    until(lambda: not any(each.exists() for each in started))


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds
        time.sleep(0.1)


def test_when_the_grader_fails_nothing_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(master: Master, submission: Submission, box: Sandbox, _: str) -> object:
        hanging = request(HANGS, "answer", [{"dict": {}}])
        return [] if submission.student == "a" else box.call(hanging, 600.0)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(grading, "packages", lambda master: [])
    monkeypatch.setattr(grading, "graded", hangs)
    monkeypatch.setattr(grading, "whole", full)
    for name in "abc":
        write_notebook(tmp_path / "in" / f"{name}.ipynb", FIRST, [])
    before = processes()
    with pytest.raises(OSError, match="no space left"):
        graded(tmp_path, jobs=2)
    assert processes() - before == set()


def test_a_fault_of_the_grader_costs_one_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(master: Master, submission: Submission, *_: object) -> object:
        return [1 / 0] if submission.student == "b" else []

    monkeypatch.setattr(grading, "packages", lambda master: [])
    monkeypatch.setattr(grading, "graded", fails)
    for name in "abc":
        write_notebook(tmp_path / "in" / f"{name}.ipynb", FIRST, [])
    with pytest.raises(ExceptionGroup, match="not graded: 1 of 3") as caught:
        graded(tmp_path)
    (fault,) = caught.value.exceptions
    assert "b.ipynb" in fault.__notes__[0]
    rows = csv.DictReader((tmp_path / "grades.csv").read_text().splitlines())
    assert [row["student"] for row in rows] == ["a", "c"]


# ---- many


def test_each_student_has_an_instance_and_keeps_it() -> None:
    check = FIRST.checks[0][1]
    one, again, other = (seeds("s", name, check, 0) for name in ("ann", "ann", "bob"))
    assert one == again
    assert check.drawn(one) != check.drawn(other)
    assert seeds("t", "ann", check, 0) != one


def test_it_goes_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        write_notebook(tmp_path / "in" / f"{name}.ipynb", FIRST, [])
    done: list[str] = []
    whole = grading.graded

    def interrupted(master: Master, submission: Submission, *rest: object) -> object:
        if len(done) == 2 and submission.student not in done:
            raise KeyboardInterrupt
        done.append(submission.student)
        return whole(master, submission, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(grading, "graded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graded(tmp_path, jobs=1)
    assert not (tmp_path / "grades.csv").exists()
    first = list(done)
    monkeypatch.setattr(grading, "graded", whole)
    again: list[str] = []
    monkeypatch.setattr(
        grading, "graded", lambda m, s, *rest: again.append(s.student) or whole(m, s, *rest)
    )
    assert sorted(graded(tmp_path)) == list("abcd")
    assert sorted(first + again) == list("abcd")
    write_notebook(tmp_path / "in" / "a.ipynb", FIRST, [*solutions(FIRST).values()])
    again.clear()
    assert sum(earned(graded(tmp_path)["a"]).values()) == sum(points(FIRST).values())
    assert again == ["a"]


def test_two_notebooks_of_a_student_are_refused(tmp_path: Path) -> None:
    write_notebook(tmp_path / "ann.ipynb", FIRST, [])
    write_notebook(tmp_path / "ann" / "x.ipynb", FIRST, [])
    write_notebook(tmp_path / "ann" / "y.ipynb", FIRST, [])
    with pytest.raises(ValueError, match="more than one notebook of ann"):
        found_in(tmp_path)


def test_a_student_without_a_notebook_is_in_the_table(tmp_path: Path) -> None:
    write_notebook(tmp_path / "ann.ipynb", FIRST, [])
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "answer.pdf").write_bytes(b"%PDF")
    (tmp_path / ".git").mkdir()
    for _ in range(2):  # the second time, what was written stands among the submissions
        found = grade(tmp_path, tmp_path / "grades.csv", quiet=True)
        assert sorted(found) == ["ann", "bob"]
        assert {part.said for part in found["bob"]} == {"there is no notebook in this folder"}
        assert not any(part.earned for part in found["bob"])
    assert "bob" in (tmp_path / "grades.csv").read_text()


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assignments", "grade", str(tmp_path), "--out", "x.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no notebook in" in done.stderr


# ---- Gradescope


def handed_in(master: Master) -> dict[str, list[str]]:
    """The submissions that both graders get."""
    everything = {"blank": []} | wrong_by_rank(master) | right_by_rank(master)
    chosen = everything if FULL else ("wrong-0", "right-0") if master is FIRST else ("right-0",)
    return {name: everything[name] for name in chosen}


def test_gradescope_gives_the_same_points(master: Master, tmp_path: Path) -> None:
    (package,) = (p for p in write_gradescope(tmp_path, "key") if p.name.startswith(master.name))
    base = tmp_path / "autograder"
    with zipfile.ZipFile(package) as held:
        held.extractall(base / "source")
    (tmp_path / "key").write_text("key")
    for name, cells in handed_in(master).items():
        write_notebook(tmp_path / "in" / f"{name}.ipynb", master, cells)
    here = graded(tmp_path, secret=tmp_path / "key")
    for name, cells in handed_in(master).items():
        write_notebook(base / "submission" / "work.ipynb", master, cells)
        users = {"users": [{"email": name}]}
        (base / "submission_metadata.json").write_text(json.dumps(users))
        environment = {**os.environ, "AUTOGRADER": str(base), "PYTHON": sys.executable}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            ["bash", base / "source" / "run_autograder"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        there = json.loads((base / "results" / "results.json").read_text())
        assert [test["score"] for test in there["tests"]] == pytest.approx(
            [part.earned for part in here[name]], abs=0.01
        )
        said = [part.said or "right" for part in here[name]]
        assert [test["output"] for test in there["tests"]] == said
    assert (base / "source").stat().st_mode & 0o077 == 0


def test_results_of_all_kinds_can_be_compared() -> None:
    kinds: list[Any] = [None, "text", True, 2, 0.5, [1, 2], [1, None], [], [[1], "a"], {"a": [1.0]}]
    kinds += [np.zeros(4), [np.zeros(2), None]]
    for i, one in enumerate(kinds):
        for j, other in enumerate(kinds):
            said = checks.difference(checks.settled(one), checks.settled(other), 1e-6, 1e-8)
            assert (said == "") == (i == j), (one, other, said)
