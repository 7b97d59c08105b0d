"""What is published is what was tested: one digest for each notebook, in four places."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

from bs4 import BeautifulSoup, Tag

import irl_book_common as common
from irl_book_status import META_NAME, PACKAGES, matches, read_record

ROOT = Path(__file__).resolve().parents[2]


def page(site: Path, name: str) -> BeautifulSoup:
    """A built page."""
    return BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def on_disk() -> dict[str, str]:
    """The digests of the files, computed here from their bytes."""
    return {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "notebooks").glob("*.ipynb")
    }


def on_pages(site: Path) -> dict[str, str]:
    """The digests in the heads of the chapters' pages."""
    found = {}
    for path in (site / "notebooks").glob("*.html"):
        tags = page(site, f"notebooks/{path.stem}").find_all("meta", attrs={"name": META_NAME})
        assert len(tags) == 1, f"{path.name} has {len(tags)} digests"
        found[path.stem] = str(tags[0]["content"])
    return found


def on_status_page(site: Path) -> dict[str, str]:
    """The digests on the status page."""
    tags = page(site, "book/status").find_all("code", attrs={"data-notebook": True})
    assert all(str(tag["data-sha256"]).startswith(tag.get_text()) for tag in tags)
    return {str(tag["data-notebook"]): str(tag["data-sha256"]) for tag in tags}


def test_there_is_something_to_compare() -> None:
    assert on_disk()


def test_the_last_runs_were_runs_of_these_files() -> None:
    assert {name: run["sha256"] for name, run in read_record(ROOT).items()} == on_disk()


def test_the_pages_were_built_from_these_files(site: Path) -> None:
    assert on_pages(site) == on_disk()


def test_the_status_page_lists_these_files(site: Path) -> None:
    assert on_status_page(site) == on_disk()


def test_the_status_page_knows_of_each_run(site: Path) -> None:
    rows = page(site, "book/status").select("#status-chapters tbody tr")
    assert len(rows) == len(on_disk())
    for row in rows:
        cells = [cell.get_text(" ", strip=True) for cell in row.find_all("td")]
        assert cells[2] == "this file"
        assert cells[3].endswith(" s")
        assert cells[4].endswith(" MiB")


def test_the_status_page_has_the_versions_of_this_environment(site: Path) -> None:
    rows = page(site, "book/status").select("#status-versions tbody tr")
    shown = {}
    for row in rows:
        name, version = (cell.get_text(strip=True) for cell in row.find_all("td"))
        shown[name] = version
    for name in ("numpy", "scipy", "matplotlib", "Sphinx"):
        assert name in PACKAGES
        assert shown[name] == metadata.version(name)


def test_the_digest_is_the_files_own() -> None:
    for chapter in common.chapters(ROOT):
        assert common.digest(chapter.path) == on_disk()[chapter.name]


def test_a_run_of_another_state_does_not_count() -> None:
    assert matches({"sha256": "a"}, "a")
    assert not matches({"sha256": "a"}, "b")
    assert not matches(None, "a")


def test_records_are_found_with_and_without_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "book" / "results").mkdir(parents=True)
    stored = {"04_a.ipynb": {"sha256": "a"}, "05_b": {"sha256": "b"}}
    (tmp_path / "book" / "results" / "notebooks.json").write_text(json.dumps(stored))
    assert set(read_record(tmp_path)) == {"04_a", "05_b"}
    assert read_record(tmp_path / "nowhere") == {}


def test_every_other_page_is_free_of_digests(site: Path) -> None:
    head = page(site, "book/start").find("head")
    assert isinstance(head, Tag)
    assert head.find("meta", attrs={"name": META_NAME}) is None
