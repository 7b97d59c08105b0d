"""What the benchmarks share: timing, and results that say where they come from."""

from __future__ import annotations

import ast
import datetime as dt
import importlib
import json
import os
import pkgutil
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from irl_lib.support import files

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
RESULTS = ROOT / "book" / "results"
PACKAGES = ("numpy", "scipy")
Row = dict[str, Any]


def names() -> list[str]:
    """The benchmarks and studies that there are: modules above this folder that define one."""
    found = {each.name for each in pkgutil.iter_modules([str(HERE)]) if not each.ispkg}
    named = sorted(found - {"__main__"})
    return [name for name in named if defined(name) & {"run", "cells", "run_cell"}]


def is_study(name: str) -> bool:
    """Whether a module is a study, which a sweep runs, rather than a benchmark."""
    found = defined(name)
    return "cells" in found or ("run_cell" in found and "run" not in found)


def defined(name: str) -> set[str]:
    """The functions that a module defines; it is not imported."""
    try:
        tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    except SyntaxError:  # which importing it will say, when it is named
        return {"run"}
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def load(name: str) -> Any:
    """The module of a benchmark."""
    return importlib.import_module(f"benchmarks.{name}")


def best_time(function: Callable[[], object], repeats: int = 7, seconds: float = 2.0) -> float:
    """The least of several wall clock times in seconds: whatever else ran can only add to it.

    It repeats until both the number of repeats is reached or the time is spent, at least once.
    """
    times: list[float] = []
    while len(times) < repeats and (not times or sum(times) < seconds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> dict[str, Any]:
    """Cores and the processor's name."""
    return {"cores": len(os.sched_getaffinity(0)), "cpu": _processor()}


def today() -> str:
    """The date, ``YYYY-MM-DD``."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor()


def describe(name: str, rows: list[Row]) -> dict[str, Any]:
    """The rows with what made them, when, where and with which versions."""
    module = load(name)
    versions = {"python": platform.python_version()}
    versions |= {package: version(package) for package in PACKAGES}
    return {
        "command": f"python -m benchmarks {name}",
        "versions": versions | getattr(module, "VERSIONS", {}),
        "machine": machine(),
        "date": today(),
        "columns": getattr(module, "COLUMNS", {}),
        "results": rows,
    }


def store(name: str, rows: list[Row], folder: Path = RESULTS) -> Path:
    """Write NAME.json; a file that is there is replaced whole or not at all."""
    return write_json(folder / f"{name}.json", describe(name, rows))


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a file, and the folder that it is in; one that is there is replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    files.write_whole(path, (text + "\n").encode())
    return path
