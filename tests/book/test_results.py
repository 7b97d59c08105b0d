"""The stored results of the benchmarks, and the tables that the book makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from benchmarks.running import harness
from irl_book_launch import colab_address
from irl_book_results import columns, describe, make_table, provenance, show

KEYS = {"command", "versions", "machine", "date", "results"}


def stored(root: Path) -> dict[str, dict[str, Any]]:
    """The stored results by name; the record of the notebooks' runs has a format of its own."""
    files = (root / "book" / "results").glob("*.json")
    chosen = (path for path in files if path.stem != "notebooks")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in chosen}


def test_every_file_says_what_made_it(root: Path) -> None:
    assert stored(root)
    for name, content in stored(root).items():
        assert set(content) >= KEYS, name
        assert content["command"] == f"python -m benchmarks {name}"
        script = root / "benchmarks" / f"{name}.py"
        assert script.exists(), f"{name} was made by {script}, which is not there"
        assert content["results"], name
        assert all(isinstance(row, dict) for row in content["results"]), name
        assert "missing" not in content, f"{name} was stored before all of its cells were there"


def test_every_cell_of_a_study_is_there_once(root: Path) -> None:
    names = [name for name in harness.names() if harness.is_study(name)]
    for name, content in stored(root).items():
        assert ("cells" in content) == (name in names), name
        made = [json.dumps(each["cell"], sort_keys=True) for each in content.get("cells", [])]
        assert len(made) == len(set(made)), name


def test_the_page_shows_every_row_of_every_file(root: Path, site: Path) -> None:
    text = (site / "book" / "results.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    shown = {str(s["id"]): len(s.select("tbody tr")) for s in page.select("section[id^=results-]")}
    expected = {name: len(content["results"]) for name, content in stored(root).items()}
    assert shown == {f"results-{name.replace('_', '-')}": n for name, n in expected.items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.012345, "0.0123"),
        (12345.6, "12,346"),
        (1.5e-9, "1.5e-09"),
        (True, "yes"),
        (None, "\N{EN DASH}"),
        ("64 x 64", "64 x 64"),
    ],
)
def test_values_are_shown_to_be_read(value: object, text: str) -> None:
    assert show(value) == text


def test_a_table_has_a_column_for_each_key_of_any_row() -> None:
    rows = [{"size": 5, "our_ms": 0.2}, {"size": 64, "peer_ms": 3.0}]
    assert columns(rows) == ["size", "our_ms", "peer_ms"]
    table = make_table(rows, {"our_ms": "ours (ms)"})
    cells = [cell.astext() for cell in table.findall() if cell.tagname == "entry"]
    absent = "\N{EN DASH}"
    assert cells == ["size", "ours (ms)", "peer ms", "5", "0.2", absent, "64", absent, "3"]


def test_lists_are_for_figures_and_not_for_the_table() -> None:
    rows = [{"method": "a", "curve": [1.0, 2.0], "range": {"low": 1}, "mean": 1.5}]
    assert columns(rows) == ["method", "mean"]


def test_a_table_says_what_made_it_and_what_is_missing() -> None:
    about = {"command": "c", "date": "d", "machine": {"cores": 2}, "versions": {"numpy": "2"}}
    line = "Made by c on d; cores 2; numpy 2"
    assert provenance(about).astext() == f"{line}."
    missing = {**about, "missing": "3 of 8 cells"}
    assert provenance(missing).astext() == f"{line}; 3 of 8 cells are missing."


def test_a_mapping_is_described_in_its_order() -> None:
    assert describe({"cores": 2, "cpu": "a kind"}) == "cores 2, cpu a kind"
    assert describe("two cores") == "two cores"


def test_colab_opens_the_flavour_and_not_the_source() -> None:
    address = colab_address("https://github.com/someone/book", "pages", "notebooks/04_name")
    assert address.endswith("/github/someone/book/blob/pages/colab/04_name.ipynb")
