"""One cell of a study, run wherever this process is."""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from importlib.metadata import version
from typing import Any

from benchmarks.running import harness, identity
from benchmarks.running.study import Cell, Record, StudyError, check_plain


def compute(name: str, source: str, cell: Cell) -> str:
    """Run one cell, wherever this process is: its record in JSON, or what went wrong.

    A number that is not finite, or anything that JSON can't hold, is what went wrong, too.
    """
    start = time.perf_counter()
    try:
        module = harness.load(name)
        if identity.source_digest(name) != source:
            raise StudyError(f"this worker has another version of {name}; start it anew")
        identity.package_version()  # of what is imported, and not of what it is when the cell ends
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        result = module.run_cell(**cell)
        if not isinstance(result, dict):
            raise TypeError(f"run_cell gave {result!r}; expected a dict")
        check_plain(result, "the result")
    except (Exception, SystemExit):
        return json.dumps({"failed": traceback.format_exc()})
    seconds = round(time.perf_counter() - start, 3)
    made = provenance(module)
    return json.dumps({"cell": cell, "result": result, "seconds": seconds, "made": made})


def provenance(module: Any) -> Record:
    """What a cell that is finished here and now says of itself."""
    versions = {"python": platform.python_version(), "irl_lib": identity.package_version()}
    versions |= {package: version(package) for package in harness.PACKAGES}
    return {
        "versions": versions | getattr(module, "VERSIONS", {}),
        "machine": harness.machine(),
        "date": harness.today(),
    }
