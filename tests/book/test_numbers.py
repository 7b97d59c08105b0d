"""Numbers: chapters in the contents; equations, figures, exercises, theorems within chapters.

What a page says of another place, and what the Colab flavour says, is the number that the place
itself has on its page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from bs4 import BeautifulSoup, Tag

import irl_book_common as common

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = common.chapters(ROOT)
KINDS = {  # where each kind of thing is on a page, and where in it its number
    "equation": ("div.math[id]", ".eqno"),
    "figure": ("figure[id]", ".caption-number"),
    "exercise": ("div.exercise[id]", ".caption-number"),
    "theorem": ("div.proof.theorem[id]", ".caption-number"),
    "algorithm": ("div.proof.algorithm[id]", ".caption-number"),
}
NUMBER = re.compile(r"\d+(?:\.\d+)*")
TAG = re.compile(r"\\tag\{([\d.]+)\}")
SITE = re.escape(str(common.load_yaml(ROOT / "_config.yml")["html"]["baseurl"]).rstrip("/"))
LINK = re.compile(rf"\[([^\[\]]*)\]\({SITE}/([\w/]+)\.html#([^()\s]+)\)")

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
Pages = dict[str, BeautifulSoup]


class Numbered(NamedTuple):
    """A thing with a number."""

    page: str
    anchor: str
    kind: str
    number: str


@pytest.fixture(scope="module")
def pages(site: Path) -> Pages:
    """Every page of the contents, by name."""
    names = common.toc_files(common.load_yaml(ROOT / "_toc.yml"))
    files = {name: site / f"{name}.html" for name in names}
    return {
        name: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for name, path in files.items()
    }


def numbered(page: str, tree: BeautifulSoup) -> Iterator[Numbered]:
    """The things of a page that have a number, in order."""
    for kind, (place, number) in KINDS.items():
        for tag in tree.select(f"article {place}"):
            shown = tag.select_one(number)
            found = NUMBER.search(shown.get_text()) if shown else None
            if found:
                yield Numbered(page, str(tag["id"]), kind, found[0])


@pytest.fixture(scope="module")
def things(pages: Pages) -> dict[tuple[str, str], Numbered]:
    """Everything with a number, by page and anchor."""
    found = [thing for name, tree in pages.items() for thing in numbered(name, tree)]
    return {(thing.page, thing.anchor): thing for thing in found}


@every_chapter
def test_numbers_run_within_the_chapter(chapter: common.Chapter, pages: Pages) -> None:
    first = CHAPTERS.index(chapter) + 1
    found = list(numbered(chapter.docname, pages[chapter.docname]))
    for kind in KINDS:
        numbers = [thing.number for thing in found if thing.kind == kind]
        assert numbers == [f"{first}.{i + 1}" for i in range(len(numbers))], kind
    assert {"equation", "figure", "exercise"} <= {thing.kind for thing in found}


@every_chapter
def test_its_heading_and_the_contents_have_the_chapters_number(
    chapter: common.Chapter, pages: Pages
) -> None:
    assert chapter.number == f"{CHAPTERS.index(chapter) + 1:02d}"
    shown = f"{CHAPTERS.index(chapter) + 1}. "
    heading = pages[chapter.docname].select_one("article h1 .section-number")
    assert isinstance(heading, Tag)
    assert heading.get_text() == shown
    for name in ("book/start", "book/api/planning", "notebooks/01_why_imitation"):
        links = [tag for tag in pages[name].select(".bd-links li a") if tag.get_text().strip()]
        texts = [tag.get_text().strip() for tag in links]
        assert sum(text.startswith(shown) for text in texts) == 1, texts
    assert pages["book/start"].select("article .section-number") == []


def references(page: str, tree: BeautifulSoup) -> Iterator[tuple[tuple[str, str], str]]:
    """The links of a page to anchors of pages of the book, with their texts."""
    for tag in tree.select("article a.reference.internal[href*='#']"):
        path, _, anchor = str(tag["href"]).partition("#")
        place = (Path(page).parent / path).as_posix().removesuffix(".html") if path else page
        yield (re.sub(r"[\w]+/\.\./", "", place), anchor), tag.get_text()


def test_references_have_the_numbers_of_what_they_lead_to(
    pages: Pages, things: dict[tuple[str, str], Numbered]
) -> None:
    counted = dict.fromkeys(KINDS, 0)
    across = 0
    for name, tree in pages.items():
        for place, text in references(name, tree):
            thing = things.get(place)
            said = NUMBER.search(text)
            if thing and said:
                assert said[0] == thing.number, f"{name} says {text} of {place}"
                counted[thing.kind] += 1
                across += thing.page != name
    assert counted["equation"] > 50, counted
    assert counted["exercise"] > 5, counted
    assert counted["figure"] > 1, counted
    assert across > 40


@every_chapter
def test_the_colab_flavour_has_the_same_numbers(
    chapter: common.Chapter, site: Path, things: dict[tuple[str, str], Numbered]
) -> None:
    path = site / "colab" / f"{chapter.name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join(common.source(cell) for cell in cells if cell["cell_type"] == "markdown")
    own = [thing for thing in things.values() if thing.page == chapter.docname]
    equations = [thing.number for thing in own if thing.kind == "equation"]
    exercises = [thing.number for thing in own if thing.kind == "exercise"]
    assert [number for number in TAG.findall(text) if number in equations] == equations
    assert re.findall(r"^#### Exercise ([\d.]+)", text, re.MULTILINE) == exercises
    counted = 0
    for said, page, anchor in LINK.findall(text):
        thing = next(
            (t for t in things.values() if page.endswith(t.page) and t.anchor == anchor), None
        )
        number = NUMBER.search(said)
        if thing and number:
            assert number[0] == thing.number, f"{said} of {page}#{anchor}"
            counted += 1
    assert counted
