"""Finished cells: a file each, known again by its cell and by the code that ran it."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.running import harness
from benchmarks.running.study import Record, Study

FOLDER = harness.ROOT / ".sweeps"


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
