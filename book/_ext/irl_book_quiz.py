"""Sphinx extension: questions at the end of each chapter, from ``book/quiz.yml``.

While a chapter is read, a section "Check your understanding" is put before its exercises.  Each
question has choices and a folded answer, which is a ``details`` element, so that it opens without a
script and by keyboard.

    04_maximum_entropy:
      - ask: ...                 Markdown, with formulas
        choices: [..., ..., ...]
        right: 2                 counted from 1
        because: ...             why that one, and why not the others
"""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from docutils import nodes
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import DocutilsRenderer
from myst_parser.parsers.mdit import create_md_parser
from sphinx.application import Sphinx

FILE = Path("book", "quiz.yml")
TITLE = "Check your understanding"
IDENTIFIER = "check-your-understanding"
BEFORE = ("exercises", "references")
Question = dict[str, Any]


class quiz_answer(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes in lower case
    """An answer that is folded until the reader opens it."""


def visit_answer(translator: Any, node: quiz_answer) -> None:
    """Open the fold."""
    translator.body.append('<details class="quiz-answer"><summary>The answer</summary>\n')


def depart_answer(translator: Any, node: quiz_answer) -> None:
    """Close the fold."""
    translator.body.append("</details>\n")


@cache
def by_chapter(path: Path) -> dict[str, list[dict[str, Any]]]:
    """What a YAML file lists for each chapter, by the name of its notebook."""
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def rendered(text: str) -> list[nodes.Node]:
    """Markdown with formulas, as docutils' nodes."""
    parser = create_md_parser(MdParserConfig(enable_extensions={"dollarmath"}), DocutilsRenderer)
    document = parser.render(text)
    return list(document.children)


def asked(question: Question, number: int) -> list[nodes.Node]:
    """A question with its choices and the folded answer."""
    first, *rest = rendered(question["ask"])
    first.insert(0, nodes.strong("", f"{number}. "))
    choices = nodes.enumerated_list(
        enumtype="upperalpha", prefix="", suffix=".", classes=["quiz-choices"]
    )
    choices += [nodes.list_item("", *rendered(choice)) for choice in question["choices"]]
    letter = "ABCDEFGH"[question["right"] - 1]
    answer, *more = rendered(question["because"])
    answer.insert(0, nodes.strong("", f"{letter}. "))
    return [first, *rest, choices, quiz_answer("", answer, *more)]


def quiz(chapter: list[Question]) -> nodes.section:
    """The section with all questions of a chapter."""
    section = nodes.section(ids=[IDENTIFIER], names=[IDENTIFIER], classes=["quiz"])
    section += nodes.title("", TITLE)
    for number, question in enumerate(chapter, start=1):
        section += asked(question, number)
    return section


def insert(app: Sphinx, doctree: nodes.document) -> None:
    """Put the section before the exercises of a chapter that was read."""
    path = Path(app.srcdir) / FILE
    chapter = by_chapter(path).get(PurePosixPath(app.env.docname).name) if path.is_file() else None
    if not chapter or not app.env.docname.startswith("notebooks/"):
        return
    app.env.note_dependency(str(FILE))
    top = next(doctree.findall(nodes.section))
    later = (
        [i for i, node in enumerate(top.children) if set(node.get("ids", ())) & set(BEFORE)]
        if top.children
        else []
    )
    top.insert(later[0] if later else len(top.children), quiz(chapter))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the node and the handler, which comes before those that take a page's headings."""
    app.add_node(quiz_answer, html=(visit_answer, depart_answer))
    app.connect("doctree-read", insert, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
