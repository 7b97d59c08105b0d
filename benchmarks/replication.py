"""Every chapter for fresh seeds: does what its tagged cells assert hold again?

The cell with the tag ``parameters`` sets the seed from which a chapter takes all of its
randomness.  Here each chapter runs from its first cell to its last with other seeds than the
published one, and each cell that verifies an equation, demonstrates a claim of the lecture or is
the control of one either holds or doesn't: it holds if it runs to its end.  An error stops no
chapter, so what comes after it is tried, too.

A run is known by its chapter's code: a chapter whose code changes is run anew, one whose text
changes is not.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SEEDS = 20
"""How many; the published outputs have the seed 0, these have 1, 2, and so on."""
KINDS = ("verifies", "demonstrates", "control")
CELL_TIMEOUT = 900
VERSIONS = {name: version(name) for name in ("cvxpy", "gymnasium", "nbclient", "torch")}
COLUMNS = {
    "chapter": "chapter",
    "kind": "what the cell does",
    "name": "equation or claim",
    "held": "seeds for which it held",
    "seeds": "of",
    "failed": "seeds for which it did not",
}
Record = dict[str, Any]


def tags(cell: Record) -> list[str]:
    """A cell's tags."""
    return list(cell.get("metadata", {}).get("tags", []))


def with_seed(notebook: Any, seed: int) -> Any:
    """The notebook, changed in place: its ``parameters`` cell sets this seed.

    Raises:
        ValueError: unless exactly one cell has the tag ``parameters`` and sets ``seed`` alone.
    """
    found = [cell for cell in notebook["cells"] if "parameters" in tags(cell)]
    if len(found) != 1 or "".join(found[0]["source"]).split("=")[0].strip() != "seed":
        raise ValueError(f"{len(found)} cells have the tag parameters; expected one, `seed = 0`")
    found[0]["source"] = f"seed = {seed}"
    return notebook


def digest(path: Path) -> str:
    """Of a notebook's code and of the tags in it, however it is divided into cells."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    text = "\n".join("".join(cell["source"]) for cell in code)
    named = sorted({tag for cell in code for tag in tags(cell)})
    return hashlib.sha256(json.dumps([text, named]).encode()).hexdigest()[:16]


def cells() -> list[Record]:
    """One for each chapter and seed."""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    return [
        {"chapter": path.stem, "code": digest(path), "seed": seed}
        for path in paths
        for seed in range(1, SEEDS + 1)
    ]


def run_cell(chapter: str, code: str, seed: int) -> Record:
    """Which tagged cells of a chapter hold for a seed, and what the others raised."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if digest(path) != code:
        raise ValueError(f"{chapter} has changed since its cells were listed; start anew")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return held(with_seed(notebook, seed))


def held(notebook: Any) -> Record:
    """Runs a notebook to its end, errors or not; the tags of cells that held and that did not."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            allow_errors=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        ).execute()
    result: Record = {"held": [], "failed": [], "errors": []}
    for cell in notebook["cells"]:
        raised = [out for out in cell.get("outputs", []) if out["output_type"] == "error"]
        named = [tag for tag in tags(cell) if tag.partition(":")[0] in KINDS]
        result["failed" if raised else "held"] += named
        result["errors"] += [f"{cell['id']}: {out['ename']}: {out['evalue']}" for out in raised]
    return result


def summary(finished: list[tuple[Record, Record]]) -> list[Record]:
    """For each chapter and tag, for how many seeds all of its cells held."""
    rows: dict[tuple[str, str], Record] = {}
    for cell, result in finished:
        for tag in sorted({*result["held"], *result["failed"]}):
            kind, _, name = tag.partition(":")
            empty = {"chapter": cell["chapter"][:2], "kind": kind, "name": name}
            row = rows.setdefault(
                (cell["chapter"], tag), {**empty, "held": 0, "seeds": 0, "failed": []}
            )
            row["seeds"] += 1
            row["held"] += tag not in result["failed"]
            row["failed"] += [cell["seed"]] if tag in result["failed"] else []
    ordered = sorted(rows.items(), key=lambda item: (item[0][0], KINDS.index(item[1]["kind"])))
    return [{**row, "failed": ", ".join(map(str, row["failed"])) or "none"} for _, row in ordered]
