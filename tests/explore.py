"""Draws new examples for the property tests, round after round, until the time is up.

    python tests/explore.py        an hour
    python tests/explore.py 5      five minutes

Every round runs all property tests with fresh examples, on all cores.  What failed is kept in
``.hypothesis`` and tried again at the beginning of each later round; the report says which test,
with what, and the exit status is 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "hypothesis", "-n2"]
COMMAND = [*PYTEST, "--ignore=tests/book", "--ignore=tests/assignments"]


def explore(report: Path) -> tuple[int, dict[str, str]]:
    """One round: how many property tests ran, and what the failing ones said."""
    subprocess.run(
        [*COMMAND, "tests", f"--junitxml={report}"],
        cwd=ROOT,
        env={**os.environ, "EXAMPLES": "explore"},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    cases = list(ET.parse(report).iter("testcase"))
    failures = {
        f"{case.get('classname')}::{case.get('name')}": failure.text or ""
        for case in cases
        for failure in case.iter("failure")
    }
    return len(cases), failures


def main(minutes: float) -> int:
    """Explores for that long; returns the exit status."""
    found: dict[str, str] = {}
    end = time.monotonic() + 60.0 * minutes
    number = 0
    while time.monotonic() < end:
        number += 1
        with TemporaryDirectory() as folder:
            tests, failures = explore(Path(folder) / "report.xml")
        for name in failures.keys() - found.keys():
            print(f"\n### {name}\n{failures[name]}", flush=True)
        found |= failures
        left = max(0.0, end - time.monotonic()) / 60.0
        print(f"round {number}: {tests} tests, {len(failures)} failed; ", end="")
        print(f"{left:.0f} minutes left", flush=True)
    names = "".join(f"\n  {name}" for name in sorted(found))
    print(f"{len(found)} property tests failed in {number} rounds{names}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
