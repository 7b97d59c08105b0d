"""What a study is.

A study is a module of the folder above with the functions

    cells() -> list[dict]            the parameters of each run, plain values of JSON
    run_cell(**cell) -> dict         what it came to: plain values of JSON, determined by the cell
    summary(finished) -> list[dict]  the rows of the table, from pairs of a cell and its result

and, as any benchmark, COLUMNS and VERSIONS.  A finished cell is a file of its own.  It is the
result of a cell as long as the cell's parameters and the code of the study that `run_cell` reaches
(:mod:`benchmarks.running.identity`) stay the same: more seeds make none of them out of date.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from benchmarks.running import harness, identity

Cell = dict[str, Any]
Record = dict[str, Any]
PARTS = ("cells", "run_cell", "summary")


class StudyError(Exception):
    """A module that is no study, or a study whose cells are no cells."""


@dataclass(frozen=True)
class Study:
    """A module, its cells, and the digest of the code that runs them."""

    name: str
    module: Any
    cells: tuple[Cell, ...]
    source: str

    def key(self, cell: Cell) -> str:
        """What the file of a finished cell is called."""
        text = json.dumps([self.source, cell], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def load(name: str) -> Study:
    """The study of this name.

    Raises:
        StudyError: for a module that lacks a function, or cells that are not plain or not distinct.
    """
    module = harness.load(name)
    for part in PARTS:
        if not callable(getattr(module, part, None)):
            raise StudyError(f"{name} has no function {part}; a study has {', '.join(PARTS)}")
    return Study(
        name, module, tuple(checked_cells(name, module.cells())), identity.source_digest(name)
    )


def checked_cells(name: str, cells: Any) -> list[Cell]:
    """The cells, if they are distinct dicts of what JSON can hold."""
    if not isinstance(cells, list) or not cells:
        raise StudyError(f"{name}.cells() is {cells!r}; expected a list of at least one dict")
    seen: set[str] = set()
    for cell in cells:
        if not isinstance(cell, dict):
            raise StudyError(f"{name}.cells() has {cell!r}; expected dicts")
        try:
            check_plain(cell)
        except ValueError as reason:
            raise StudyError(f"the cell {cell!r} of {name}: {reason}") from None
        text = json.dumps(cell, sort_keys=True)
        if text in seen:
            raise StudyError(f"{name}.cells() has the cell {label(cell)} twice")
        seen.add(text)
    return cells


def label(cell: Cell) -> str:
    """A cell in a line of a report."""
    return " ".join(f"{key}={value}" for key, value in cell.items()) or "(no parameters)"


def check_plain(value: Any, path: str = "it") -> None:
    """Refuse what JSON would not give back as it was, and numbers that are not finite."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path} has the key {key!r}; expected text")
            check_plain(each, f"{path}[{key!r}]")
    elif isinstance(value, list):
        for i, each in enumerate(value):
            check_plain(each, f"{path}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}; numbers have to be finite")
    elif value is not None and not isinstance(value, bool | int | float | str):
        kind = type(value).__name__
        raise ValueError(f"{path} is of type {kind}; expected plain numbers, text, lists, dicts")
