"""What the extensions of the page do with text: icons, pictures, formulas, addresses."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from irl_book_archive import pack, rooted
from irl_book_page import described, drawing, png_size, polish
from irl_book_quiz import quiz
from irl_book_search import plain_formula, sections


def png(path: Path, width: int, height: int) -> Path:
    """The first bytes of a PNG file of a size."""
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height))
    return path


def test_icons_become_drawings() -> None:
    page = '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" title="Light"></i>'
    made = polish(page)
    assert "fa-" not in made
    assert made.startswith('<svg class="icon icon-large theme-switch" data-mode="light"')
    assert "<title>Light</title>" in made
    assert drawing("sun")[2] in made
    assert polish('<span class="fa-solid fa-bars"></span>').startswith('<svg class="icon"')
    assert polish('<i class="other"></i>') == '<i class="other"></i>'


def test_an_icon_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing-like-it"):
        polish('<i class="fa-solid fa-nothing-like-it"></i>')


def test_pictures_of_the_text_come_late_and_have_their_size(tmp_path: Path) -> None:
    files = {"a.png": png(tmp_path / "a.png", 640, 480)}
    page = '<img src="logo.svg"><article><img alt="x" src="../_images/a.png" /></article>'
    made = polish(page, files)
    assert made.startswith('<img src="logo.svg">'), "the logo is seen at once"
    assert 'loading="lazy"' in made
    assert 'width="640" height="480"' in made
    half = page.replace(" />", ' style="width: 320px; height: 240px;" />')
    made = polish(half, files)
    assert 'width="320" height="240"' in made
    assert "style" not in made
    (tmp_path / "b.png").write_text("not a picture")
    assert png_size(tmp_path / "b.png") is None


def test_only_a_page_with_formulas_loads_their_script() -> None:
    scripts = (
        "<head>\n    <script>window.MathJax = {}</script>"
        '\n    <script defer="defer" src="../_static/mathjax/a.js"></script></head>'
    )
    assert "MathJax" not in polish(scripts)
    assert "mathjax" not in polish(scripts)
    with_formula = scripts + '<span class="math notranslate">x</span>'
    assert polish(with_formula) == with_formula


def test_formulas_in_plain_letters() -> None:
    assert plain_formula(r"\gamma \, \mathbb{E} V(s')") == "γ E V(s')"
    assert "\\" not in plain_formula(r"\frac{\partial L}{\partial \theta} \le \log \sum_a e^{Q}")


def test_sections_are_told_apart() -> None:
    parts = ["Top\n===", "Above.", "One\n---", "First.", "Two\n---", "Second ``code``.", "::"]
    source = "\n\n".join([*parts, "  left out"])
    found = list(sections(publish_doctree(source, settings_overrides={"doctitle_xform": False})))
    assert [(each["title"], each["text"]) for each in found] == [
        ("Top", "Above."),
        ("One", "First."),
        ("Two", "Second code."),
    ]
    assert [each["anchor"] for each in found] == ["", "one", "two"]


def test_a_page_is_described_by_its_first_sentences() -> None:
    source = "Top\n===\n\nShort.\n\n" + "A sentence of the page that is long enough. " * 6
    tree = publish_doctree(source, settings_overrides={"doctitle_xform": False})
    text = described(tree)
    assert text.startswith("A sentence of the page")
    assert text.endswith("enough.")
    assert len(text) <= 160


def test_relative_addresses_become_whole() -> None:
    page = '<a href="./book/a.html"><a href="#x"><a href="https://b/c"><img src="_static/l.svg">'
    made = rooted(page, "https://somewhere.org/book-of-it")
    assert made == (
        '<a href="/book-of-it/book/a.html"><a href="#x"><a href="https://b/c">'
        '<img src="/book-of-it/_static/l.svg">'
    )


def test_equal_sites_make_equal_archives(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "start.html").write_text('<a href="../irl-book.zip">', encoding="utf-8")
    (tmp_path / "a.png").write_bytes(b"a")
    first = pack(tmp_path, "https://somewhere.org").read_bytes()
    (tmp_path / "a.png").touch()
    assert pack(tmp_path, "https://somewhere.org").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "irl-book.zip") as archive:
        start = archive.read("irl-book/book/start.html").decode()
    assert start == '<a href="https://somewhere.org/irl-book.zip">'


def test_a_question_has_its_answer_folded() -> None:
    question = {"ask": "Is $x$?", "choices": ["no", "yes", "both"], "right": 2, "because": "So."}
    section = quiz([question])
    assert section["ids"] == ["check-your-understanding"]
    choices = next(section.findall(nodes.enumerated_list))
    assert [item.astext() for item in choices] == question["choices"]
    answer = section.children[-1]
    assert answer.astext() == "B. So."
    assert len(list(section.findall(nodes.math))) == 1
