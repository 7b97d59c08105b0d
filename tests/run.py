"""Runs every check of the project and prints one summary.

Each part runs whether or not the ones before it failed.  A part is either a pytest run, of which
each test counts, or a single command, which counts as one.  Parts that need one core run two at a
time, and each says what it has to say when it ends.  The last line is the total,
``N passed, N failed[, N skipped]``, and the exit status is 0 only when nothing failed.

    python tests/run.py              everything
    python tests/run.py lint types   the parts of these names, or of names that begin like this

Where ``TOTAL`` names a file, outcomes are kept in it and the last line counts all that it holds:
so several runs end with one total.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]
SIDE_BY_SIDE = 2
SLOWEST = 10
# Processes side by side share the cores: threads that wait for one cost several times more.  And
# with one thread a sum has the same order on every machine.
SHARED = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
# As a reader's machine computes; threads that wait let others work.
ALL_CORES = dict.fromkeys(SHARED, str(os.cpu_count() or 1)) | {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Part:
    """One line of the summary: a name, a command, and whether pytest runs it.

    A part that is ``alone`` uses all cores by itself.
    """

    name: str
    command: list[str]
    is_pytest: bool = False
    alone: bool = False
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a part came to; ``slow`` has seconds and names of its slowest tests."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    reasons: list[str] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)


def pytest_part(name: str, *arguments: str, alone: bool = False) -> Part:
    """A part that pytest runs with these arguments."""
    return Part(name, [*PYTEST, *arguments], is_pytest=True, alone=alone)


NBVAL = [
    "--nbval",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    "--nbval-cell-timeout=300",
    # What a kernel's own machinery deprecates is not a fault of a notebook.
    "-Wdefault",
]
RENDERED = ["tests/book/test_html.py", "tests/book/test_browser.py"]


def chapter_parts() -> list[Part]:
    """Each chapter's stored outputs, compared; those that took longest when last stored first."""
    records = json.loads((ROOT / "book/results/notebooks.json").read_text(encoding="utf-8"))
    paths = (ROOT / "notebooks").glob("*.ipynb")
    longest_first = sorted(paths, key=lambda path: -records.get(path.stem, {}).get("seconds", 0.0))
    return [
        pytest_part(f"chapter {path.stem[:2]}", *NBVAL, f"notebooks/{path.name}")
        for path in longest_first
    ]


PACKAGE = replace(
    pytest_part(
        "package",
        "tests",
        "--ignore=tests/book",
        "--ignore=tests/assignments",
        "-n2",
        alone=True,
    ),
    environment=ALL_CORES,
)


# All checks of a page by one of two processes, which opens it once.
BROWSER = pytest_part(
    "browser", "tests/book/test_browser.py", "-n2", "--dist=loadgroup", alone=True
)


def all_parts() -> list[Part]:
    """Every part, in the order in which they start."""
    return [
        Part("book", ["make", "--no-print-directory", "book", "FRESH=yes"], alone=True),
        PACKAGE,
        BROWSER,
        pytest_part("sources", "tests/book", *(f"--ignore={path}" for path in RENDERED)),
        *chapter_parts(),
        pytest_part("assignments", "tests/assignments"),
        Part("types", [sys.executable, "-m", "mypy"]),
        pytest_part("pages", "tests/book/test_html.py"),
        pytest_part("doctests", "--doctest-modules", "irl_lib"),
        Part("lint", [sys.executable, "-m", "ruff", "check", "."]),
        Part("format", [sys.executable, "-m", "ruff", "format", "--check", "."]),
        Part("spelling", [sys.executable, "-m", "codespell_lib", "."]),
    ]


def run(part: Part) -> Outcome:
    """Runs one part in the repository's root; its output is shown whole when it ends."""
    # Without what a make above this one would hand down to the makes below.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    environment = {**SHARED, **inherited, **part.environment}
    print(f"... {part.name}", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*part.command, f"--junitxml={report}"] if part.is_pytest else part.command
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=None if part.alone else subprocess.PIPE,
            stderr=None if part.alone else subprocess.STDOUT,
        )
        seconds = time.perf_counter() - start
        said = (done.stdout or b"").decode(errors="replace")
        print(f"=== {part.name}: {' '.join(part.command)}\n{said}", flush=True)
        if part.is_pytest and report.exists():
            return tally(part.name, report, done.returncode, seconds)
    failed = int(done.returncode != 0)
    return Outcome(part.name, 1 - failed, failed, 0, seconds)


def run_all(parts: list[Part]) -> list[Outcome]:
    """Runs the parts that need all cores one by one, then the others two at a time."""
    outcomes = {part.name: run(part) for part in parts if part.alone}
    others = [part for part in parts if not part.alone]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes |= zip([part.name for part in others], pool.map(run, others), strict=True)
    return [outcomes[part.name] for part in parts]


def tally(name: str, report: Path, status: int, seconds: float) -> Outcome:
    """Counts a pytest run's tests; one that fails without a failing test counts one failure."""
    cases = list(ET.parse(report).iter("testcase"))
    bad = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skips = [case.find("skipped") for case in cases]
    reasons = sorted({skip.get("message", "") for skip in skips if skip is not None})
    skipped = sum(skip is not None for skip in skips)
    failed = len(bad) or int(status != 0)
    times = [(float(case.get("time", 0.0)), case.get("name", "")) for case in cases]
    slow = sorted(times, reverse=True)[:SLOWEST]
    return Outcome(name, len(cases) - len(bad) - skipped, failed, skipped, seconds, reasons, slow)


def counts(passed: int, failed: int, skipped: int) -> str:
    """``N passed, N failed`` and, where there are any, ``, N skipped``."""
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def slowest(outcomes: list[Outcome]) -> list[str]:
    """A line for each of the checks that took longest; a part that is a command is one check."""
    times = [
        (seconds, f"{each.name}: {name}")
        for each in outcomes
        for seconds, name in each.slow or [(each.seconds, "the whole")]
    ]
    chosen = sorted(times, reverse=True)[:SLOWEST]
    return [f"  {seconds:6.1f} s   {name}" for seconds, name in chosen]


def summary(outcomes: list[Outcome], earlier: list[Outcome] | None = None) -> str:
    """A line per part, the slowest checks, what was skipped, and the total alone on the last line.

    The total counts the ``earlier`` outcomes of other runs, too.
    """
    lines = ["", "the slowest checks", *slowest(outcomes), "", "=== summary"]
    for each in outcomes:
        mark = "FAILED" if each.failed else "ok"
        text = counts(each.passed, each.failed, each.skipped)
        lines.append(f"{each.name:<20} {mark:<7} {each.seconds:6.1f} s   {text}")
        lines += [f"           skipped: {reason}" for reason in each.reasons]
    everything = [*(earlier or []), *outcomes]
    totals = (
        sum(getattr(each, key) for each in everything) for key in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, "", counts(*totals)])


def earlier_outcomes() -> list[Outcome]:
    """Those of the runs before this one that count in the same total."""
    kept = Path(os.environ.get("TOTAL") or os.devnull)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def finish(outcomes: list[Outcome]) -> int:
    """Prints the summary, keeps the outcomes where ``TOTAL`` says; returns the exit status."""
    earlier = earlier_outcomes()
    if os.environ.get("TOTAL"):
        written = [json.dumps(asdict(each)) for each in [*earlier, *outcomes]]
        Path(os.environ["TOTAL"]).write_text("\n".join(written) + "\n", encoding="utf-8")
    print(summary(outcomes, earlier), flush=True)
    return int(any(each.failed for each in [*earlier, *outcomes]))


def chosen(parts: list[Part], names: list[str]) -> list[Part]:
    """The parts whose names begin with one of these; all of them if there are none.

    Raises:
        ValueError: for a name that no part begins with.
    """
    unknown = [name for name in names if not any(p.name.startswith(name) for p in parts)]
    if unknown:
        known = ", ".join(part.name for part in parts)
        raise ValueError(f"no part is called {', '.join(unknown)}; there are: {known}")
    return [part for part in parts if not names or part.name.startswith(tuple(names))]


def main(names: list[str]) -> int:
    """Runs the named parts, or all, and returns the exit status."""
    try:
        parts = chosen(all_parts(), names)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    start = time.perf_counter()
    outcomes = run_all(parts)
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes")
    return finish(outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
