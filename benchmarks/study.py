"""What a study is, and how a finished cell of it is known again.

A study is a module of this folder with the functions

    cells() -> list[dict]            the parameters of each run, plain values of JSON
    run_cell(**cell) -> dict         what it came to: plain values of JSON, determined by the cell
    summary(finished) -> list[dict]  the rows of the table, from pairs of a cell and its result

and, as any benchmark, COLUMNS and VERSIONS.  A finished cell is a file of its own.  It is the
result of a cell as long as the cell's parameters and the code of the study that `run_cell` reaches
stay the same: more seeds, another summary or a better docstring make none of them out of date.
The package's own code is not part of that identity, but every file says which state of it ran.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Row

Cell = dict[str, Any]
Record = dict[str, Any]
PARTS = ("cells", "run_cell", "summary")
MOST_BYTES = 1_000_000  # of a stored file with every cell in full
KEPT = harness.ROOT / ".sweeps"


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
    return Study(name, module, tuple(checked_cells(name, module.cells())), source_digest(name))


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


# ---- what identifies the code


@lru_cache
def source_digest(name: str) -> str:
    """Of the code that a study's `run_cell` reaches, as it was when it was first asked for.

    Of other benchmarks that it imports from, that is all.
    """
    own = reached(inspect.getsource(harness.load(name)), "run_cell")
    others = [inspect.getsource(harness.load(other)) for other in siblings(own)]
    return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest()[:16]


def siblings(code: str) -> list[str]:
    """The modules of this folder that statements import, those apart that run and report."""
    imports = [each for each in ast.parse(code).body if isinstance(each, ast.ImportFrom)]
    found = {alias.name for each in imports if each.module == "benchmarks" for alias in each.names}
    parts = [(each.module or "").split(".") for each in imports]
    found |= {part[1] for part in parts if part[0] == "benchmarks" and len(part) > 1}
    return sorted(found & set(harness.names()))


def reached(source: str, start: str) -> str:
    """The statements of a module that a function reaches, without comments and docstrings.

    What it reaches: its own names, those that their definitions use, and so on; and whatever runs
    on import without defining a name.
    """
    statements = [each for each in ast.parse(source).body if not is_text(each)]
    wanted = {start}.union(*(used(each) for each in statements if not bound(each)))
    while True:
        chosen = [each for each in statements if not bound(each) or bound(each) & wanted]
        more = wanted.union(*(used(each) for each in chosen))
        if more == wanted:
            return "\n".join(ast.unparse(without_docstrings(each)) for each in chosen)
        wanted = more


def bound(statement: ast.stmt) -> set[str]:
    """The names that a definition, an import or an assignment defines; of other statements none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {each.asname or each.name.partition(".")[0] for each in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return set()


def used(statement: ast.stmt) -> set[str]:
    """All names in a statement."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or another text that does nothing."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant and isinstance(statement.value.value, str)


def without_docstrings(statement: ast.stmt) -> ast.stmt:
    """The statement, changed in place."""
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = [each for each in node.body if not is_text(each)] or [ast.Pass()]
    return statement


@lru_cache
def package_version() -> str:
    """The version of irl_lib with a digest of its code, as it was when it was first asked for."""
    spec, digest = find_spec("irl_lib"), hashlib.sha256()
    folder = Path(str(spec.origin if spec else None)).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version('irl_lib').partition('+')[0]}+code.{digest.hexdigest()[:12]}"


# ---- finished cells


def provenance(module: Any) -> Record:
    """What a cell that is finished here and now says of itself."""
    versions = {"python": platform.python_version(), "irl_lib": package_version()}
    versions |= {package: version(package) for package in harness.PACKAGES}
    return {
        "versions": versions | getattr(module, "VERSIONS", {}),
        "machine": harness.machine(),
        "date": harness.today(),
    }


def keep(study: Study, record: Record, folder: Path) -> None:
    """Write the file of a finished cell."""
    harness.write_json(folder / study.name / f"{study.key(record['cell'])}.json", record)


def kept(study: Study, folder: Path) -> dict[str, Record]:
    """What is finished of a study, by the keys of its cells, in their order."""
    found = {}
    for cell in study.cells:
        key = study.key(cell)
        record = read(folder / study.name / f"{key}.json")
        if record is not None and record["cell"] == cell:
            found[key] = record
    return found


def read(path: Path) -> Record | None:
    """A finished cell; nothing where the file is not there, or is anything else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = {"cell", "result", "seconds", "made"}
    return record if isinstance(record, dict) and set(record) >= parts else None


def forget(study: Study, folder: Path) -> None:
    """Remove all finished cells of a study, those of earlier versions of it, too."""
    for path in (folder / study.name).glob("*.json"):
        path.unlink()


# ---- what the book shows


def describe(study: Study, records: Iterable[Record]) -> dict[str, Any]:
    """What is stored of a study: its table, where that comes from, and the cells themselves."""
    records = list(records)
    rows = study.module.summary([(each["cell"], each["result"]) for each in records])
    made = [each["made"] for each in records]
    missing = len(study.cells) - len(records)
    seeds = sorted({each["cell"]["seed"] for each in records if "seed" in each["cell"]})
    return {
        "command": f"python -m benchmarks {study.name}",
        "versions": merged(each["versions"] for each in made),
        "machine": merged(each["machine"] for each in made),
        "date": max(each["date"] for each in made),
        **({"missing": f"{missing} of {len(study.cells)} cells"} if missing else {}),
        **({"seeds": seeds} if seeds else {}),
        "columns": getattr(study.module, "COLUMNS", {}),
        "results": checked_rows(study.name, rows),
        "cells": shortened([shown(each) for each in records]),
    }


def merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One dict of several; where they differ, all values in one text."""
    values: dict[str, list[Any]] = {}
    for part in parts:
        for key, value in part.items():
            known = values.setdefault(key, [])
            known += [] if value in known else [value]
    return {key: v[0] if len(v) == 1 else ", ".join(map(str, v)) for key, v in values.items()}


def checked_rows(name: str, rows: Any) -> list[Row]:
    """The rows of a table, if they are that."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise StudyError(f"{name}.summary() gave {rows!r}; expected a list of at least one dict")
    try:
        check_plain(rows, f"what {name}.summary() gave")
    except ValueError as reason:
        raise StudyError(str(reason)) from None
    return rows


def shown(record: Record) -> Record:
    """A finished cell as the stored file has it."""
    return {"cell": record["cell"], "result": record["result"], "seconds": record["seconds"]}


def shortened(cells: list[Record]) -> list[Record]:
    """The cells in full or, where that is too much for a repository, their single values alone."""
    if len(json.dumps(cells)) <= MOST_BYTES:
        return cells
    return [{**each, "result": dict(single_values(each["result"]))} for each in cells]


def single_values(result: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The entries of a result that are neither lists nor dicts."""
    return ((key, value) for key, value in result.items() if not isinstance(value, list | dict))
