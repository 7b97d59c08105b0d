"""Submissions made from the masters' own answers."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from assignments.master import Master, masters, source

MASTERS = masters()


def solutions(master: Master) -> dict[str, str]:
    """The cell of each graded function's solution."""
    return {check.name: master.solution_of(check.name) for _, check in master.checks}


def write_notebook(path: Path, master: Master, cells: list[str]) -> None:
    """The starter's own code, and after it these cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = [source(cell) for cell in master.starter_cells if cell["cell_type"] == "code"]
    made = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "source": text}
        for text in [*own, *cells]
    ]
    notebook = {"cells": made, "metadata": {"assignment": master.name}, "nbformat": 4}
    path.write_text(json.dumps(notebook), encoding="utf-8")


def wrong_by_rank(master: Master) -> dict[str, list[str]]:
    """Submissions, each with another wrong answer to every question: cells by name."""
    names = {name: list(master.answers["WRONG"][name]) for name in solutions(master)}
    most = max(len(each) for each in names.values())
    return {
        f"wrong-{rank}": [
            without(master.wrong_source(name, each[rank % len(each)]), set(names) - {name})
            for name, each in names.items()
        ]
        for rank in range(most)
    }


def without(text: str, others: set[str]) -> str:
    """A cell without some of its functions: the right ones that a wrong one has beside it."""
    tree = ast.parse(text)
    tree.body = [each for each in tree.body if getattr(each, "name", None) not in others]
    return ast.unparse(tree)


def right_by_rank(master: Master) -> dict[str, list[str]]:
    """Submissions, each with another right answer to every question."""
    styles = [list(master.answers["RIGHT"][name].values()) for name in solutions(master)]
    return {
        f"right-{rank}": [each[rank % len(each)] for each in styles]
        for rank in range(max(len(each) for each in styles))
    }


def earned(parts: list[Any]) -> dict[str, float]:
    """Points by function."""
    points: dict[str, float] = {}
    for part in parts:
        points[part.function] = points.get(part.function, 0.0) + part.earned
    return points
