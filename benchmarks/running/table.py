"""What is stored of a study for the book: its table, where that comes from, and its cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.running.harness import Row
from benchmarks.running.study import Record, Study, StudyError, check_plain

MOST_BYTES = 1_000_000  # of a stored file with every cell in full


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
