"""The grader's end of the process in which submissions run."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from assignments import checks
from assignments.child import DEVICES, SYSTEM

CHILD = Path(__file__).resolve().with_name("child.py")
SECONDS = 30.0
SECONDS_IN_ALL = 120.0
MEMORY = 2 << 30
GRACE = 30.0  # seconds in which a child that is killed ends
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
NOT_DUMPABLE = (4, 0)  # of prctl: other processes can't read this one's memory


class Sandbox:
    """A process that answers requests one after the other; it loads some packages once.

    ``apart`` says whether submissions run in namespaces of their own.
    """

    def __init__(self, packages: list[str], apart: bool = True) -> None:
        """Nothing runs before it is opened, and nothing after it is closed."""
        self.packages, self.apart = packages, apart
        self.process: subprocess.Popen[bytes] | None = None
        self.closed, self.lock = False, threading.Lock()

    def __enter__(self) -> Sandbox:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Start it, and find out how submissions run here.

        Raises:
            RuntimeError: if they can't run at all.
        """
        ctypes.CDLL(None).prctl(*NOT_DUMPABLE, 0, 0, 0)
        self.apart = self.apart and self.works()
        if not self.apart and not self.works():
            raise RuntimeError("a submission can't be run here")

    def close(self) -> None:
        """End it for good; a call that waits in another thread comes back."""
        with self.lock:
            self.closed = True
        self.stop()

    def stop(self) -> None:
        """End the process: once its requests end, it ends what runs in it, and itself."""
        process, self.process = self.process, None
        if process is not None:
            try:
                process.communicate(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def works(self) -> bool:
        """Whether a function that is right gets its answer through."""
        function = "def answer(x):\n    return x"
        return self.call(request(function, "answer", [{"dict": {"x": 1}}]), 60.0) == [{"result": 1}]

    def start(self) -> subprocess.Popen[bytes]:
        """The process; a new one where there is none.

        Raises:
            RuntimeError: if it is closed.
        """
        with self.lock:
            if self.closed:
                raise RuntimeError("the sandbox is closed")
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", str(CHILD), *self.packages],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=ONE_THREAD,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the grader
                )
            return self.process

    def ask(self, words: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its reply; an empty one where the process broke down."""
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        text = json.dumps(words).encode()
        with contextlib.suppress(OSError, ValueError):  # broken, or closed meanwhile
            process.stdin.write(b"%d %f\n" % (len(text), words["seconds"]) + text)
            process.stdin.flush()
            if select.select([process.stdout], [], [], words["seconds"] + GRACE)[0]:
                reply: dict[str, Any] = json.loads(process.stdout.readline())
                return reply
        self.stop()
        return {"text": "", "end": "end"}

    def call(self, words: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """An outcome for each probe of a request."""
        readable = roots(words["library"])
        more = {"seconds": seconds, "memory": MEMORY, "roots": readable, "apart": self.apart}
        return read(self.ask(words | more), len(words["probes"]), seconds)


def request(
    source: str,
    function: str,
    probes: list[Any],
    given: str = "",
    run: str = "",
    library: bool = False,
) -> dict[str, Any]:
    """What a sandbox is asked: the outcomes of a function on probes.

    Args:
        source: what the submission's function needs, and itself.
        function: its name.
        probes: in the words of JSON.
        given: the source of what calls it, if it is not called directly.
        run: the name of that.
        library: whether irl_lib is there.
    """
    return {
        "source": source,
        "function": function,
        "probes": probes,
        "given": given,
        "run": run,
        "library": str(library_folder().parent) if library else "",
    }


def read(reply: dict[str, Any], probes: int, seconds: float) -> list[dict[str, Any]]:
    """The outcomes in a reply, none of which is believed to have any form."""
    lines = []
    for line in reply["text"].splitlines():
        try:
            lines.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    found = [each for each in lines[:probes] if well_formed(each)]
    last = lines[probes] if len(lines) > probes and isinstance(lines[probes], dict) else {}
    if len(found) == probes and last.get("end") == "":
        return found
    reasons = {
        "timeout": f"takes more than {seconds:.0f} s, or never ends",
        "too long": "returns more than 8 MB",
        "end": str(last.get("end") or "ends the process that runs it")[: checks.LONGEST],
    }
    return [{"error": f"Stopped: {reasons[reply['end']]}"}] * probes


def well_formed(line: Any) -> bool:
    """Whether a line is an outcome that can be compared."""
    try:
        if set(line) == {"error"}:
            return isinstance(line["error"], str)
        checks.settled(checks.restored(line["result"]))
    except Exception:
        return False
    return set(line) == {"result"}


def roots(library: str) -> list[str]:
    """What a submission may read: the system's libraries, Python and its packages."""
    python = {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    python |= {os.path.join(library, "irl_lib")} if library else set()
    system = [each for each in SYSTEM if os.path.exists(each)]
    outer = [p for p in python if not any(f"{p}/".startswith(f"{each}/") for each in system)]
    return [*system, *sorted(outer), *DEVICES]


def library_folder() -> Path:
    """The package's folder."""
    spec = importlib.util.find_spec("irl_lib")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
