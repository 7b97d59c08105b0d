"""Runs every check of the project and prints one summary.

Each part runs whether or not the ones before it failed.  A part is either a pytest run, of which
each test counts, or a single command, which counts as one.  The last line is the total,
``N passed, N failed[, N skipped]``, and the exit status is 0 only when nothing failed.

    python tests/run.py              everything
    python tests/run.py lint types   the parts of these names
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]


@dataclass(frozen=True)
class Part:
    """One line of the summary: a name, a command, and whether pytest runs it."""

    name: str
    command: list[str]
    is_pytest: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a part came to."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    reasons: list[str] = field(default_factory=list)


def pytest_part(name: str, *arguments: str) -> Part:
    """A part that pytest runs with these arguments."""
    return Part(name, [*PYTEST, *arguments], is_pytest=True)


NBVAL = [
    "--nbval",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    "--nbval-cell-timeout=300",
    "-n2",
    "--dist=loadfile",
    # What a kernel's own machinery deprecates is not a fault of a notebook.
    "-Wdefault",
]
RENDERED = ["tests/book/test_html.py", "tests/book/test_browser.py"]

PARTS = [
    Part("book", ["make", "--no-print-directory", "book", "FRESH=yes"]),
    pytest_part("package", "tests", "--ignore=tests/book", "-n2"),
    pytest_part("doctests", "--doctest-modules", "irl_lib"),
    pytest_part("notebooks", *NBVAL, "notebooks"),
    pytest_part("sources", "tests/book", *(f"--ignore={path}" for path in RENDERED)),
    pytest_part("pages", "tests/book/test_html.py"),
    pytest_part("browser", "tests/book/test_browser.py", "-n2"),
    Part("lint", [sys.executable, "-m", "ruff", "check", "."]),
    Part("format", [sys.executable, "-m", "ruff", "format", "--check", "."]),
    Part("types", [sys.executable, "-m", "mypy"]),
    Part("spelling", [sys.executable, "-m", "codespell_lib", "."]),
]


def run(part: Part) -> Outcome:
    """Runs one part in the repository's root, its output going straight to the terminal."""
    print(f"\n=== {part.name}: {' '.join(part.command)}", flush=True)
    # Without what a make above this one would hand down to the makes below.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*part.command, f"--junitxml={report}"] if part.is_pytest else part.command
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        seconds = time.perf_counter() - start
        if part.is_pytest and report.exists():
            return tally(part.name, report, status, seconds)
    return Outcome(part.name, int(status == 0), int(status != 0), 0, seconds)


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
    return Outcome(name, len(cases) - len(bad) - skipped, failed, skipped, seconds, reasons)


def counts(passed: int, failed: int, skipped: int) -> str:
    """``N passed, N failed`` and, where there are any, ``, N skipped``."""
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def summary(outcomes: list[Outcome]) -> str:
    """A line per part, the reasons for what was skipped, and the total alone on the last line."""
    lines = ["", "=== summary"]
    for each in outcomes:
        mark = "FAILED" if each.failed else "ok"
        text = counts(each.passed, each.failed, each.skipped)
        lines.append(f"{each.name:<10} {mark:<7} {each.seconds:6.1f} s   {text}")
        lines += [f"           skipped: {reason}" for reason in each.reasons]
    totals = (
        sum(getattr(each, key) for each in outcomes) for key in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, "", counts(*totals)])


def main(names: list[str]) -> int:
    """Runs the named parts, or all, and returns the exit status."""
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        known = ", ".join(part.name for part in PARTS)
        print(
            f"no part is called {', '.join(sorted(unknown))}; there are: {known}", file=sys.stderr
        )
        return 2
    outcomes = [run(part) for part in PARTS if not names or part.name in names]
    print(summary(outcomes), flush=True)
    return int(any(each.failed for each in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
