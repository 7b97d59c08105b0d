"""Chapters for other seeds: what a run notes of tagged cells, and the table made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

import irl_book_common as common
from benchmarks import replication


def notebook(*cells: tuple[str, str]) -> Any:
    """Code cells, each with one tag or none, as nbformat reads them."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{i}",
            "metadata": {"tags": [tag] if tag else []},
            "source": text,
            "execution_count": None,
            "outputs": [],
        }
        for i, (tag, text) in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return nbformat.from_dict(whole)  # type: ignore[no-untyped-call]


def test_an_error_fails_its_own_tag_and_stops_nothing() -> None:
    chapter = notebook(
        ("parameters", "seed = 0"),
        ("demonstrates:odd", "assert seed % 2, seed"),
        ("control:odd", "assert seed == 4"),
        ("", "raise ValueError('no tag')"),
        ("verifies:four", "assert seed == 4"),
    )
    result = replication.held(replication.with_seed(chapter, 4))
    assert result == {
        "held": ["control:odd", "verifies:four"],
        "failed": ["demonstrates:odd"],
        "errors": ["cell-1: AssertionError: 4", "cell-3: ValueError: no tag"],
    }


@pytest.mark.parametrize(
    "cells",
    [
        (),
        (("", "seed = 0"),),
        (("parameters", "seed = 0"), ("parameters", "seed = 1")),
        (("parameters", "rate = 0"),),
    ],
)
def test_a_chapter_without_its_seed_is_refused(cells: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="expected one, `seed = 0`"):
        replication.with_seed(notebook(*cells), 1)


def test_code_that_has_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "NOTEBOOKS", tmp_path)
    path = tmp_path / "01_a.ipynb"
    path.write_text(json.dumps(notebook(("parameters", "seed = 0"))), encoding="utf-8")
    (cell, *_) = replication.cells()
    assert cell == {"chapter": "01_a", "code": replication.digest(path), "seed": 1}
    path.write_text(json.dumps(notebook(("parameters", "seed = 9"))), encoding="utf-8")
    with pytest.raises(ValueError, match="01_a has changed"):
        replication.run_cell(**cell)


def test_every_chapter_can_be_run_for_another_seed(root: Path) -> None:
    cells = replication.cells()
    chapters = common.chapters(root)
    assert len(cells) == replication.SEEDS * len(chapters)
    for chapter in chapters:
        raw = json.loads(chapter.path.read_text(encoding="utf-8"))
        digest = replication.digest(chapter.path)
        assert digest == common.code_digest(raw)
        assert {"chapter": chapter.name, "code": digest, "seed": 1} in cells
        replication.with_seed(raw, 3)


def test_the_table_counts_seeds_for_which_every_cell_of_a_tag_held() -> None:
    cell = {"chapter": "03_margin", "code": "", "seed": 1}
    rows = replication.summary(
        [
            (cell, {"held": ["demonstrates:a", "verifies:b"], "failed": []}),
            (cell | {"seed": 2}, {"held": ["demonstrates:a"], "failed": ["verifies:b"]}),
            (cell | {"seed": 5}, {"held": ["demonstrates:a"], "failed": ["demonstrates:a"]}),
        ]
    )
    named = {"chapter": "03", "seeds": 2, "held": 1}
    assert rows == [
        named | {"kind": "verifies", "name": "b", "failed": "2"},
        named | {"kind": "demonstrates", "name": "a", "seeds": 3, "held": 2, "failed": "5"},
    ]
