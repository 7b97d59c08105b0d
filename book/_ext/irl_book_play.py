"""Sphinx extension: figures that a reader moves, from ``book/play.yml``.

After the figure that is named there comes a question, and the place where ``irl-play.js`` builds
the figure.  Without scripts, on paper and in the notebook there is the named figure alone.  The
script is loaded by pages that have such a place, and by no other.
"""

from __future__ import annotations

import html
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from irl_book_quiz import by_chapter, rendered

logger = logging.getLogger(__name__)

FILE = Path("book", "play.yml")
SCRIPT = "irl-play.js"
Entry = dict[str, str]


class play_figure(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes in lower case
    """A question and the place of a figure that answers it."""


def visit_figure(translator: Any, node: play_figure) -> None:
    """Open the place; it is hidden until the script fills it."""
    title = html.escape(node["title"])
    translator.body.append(
        f'<div class="play" role="group" data-play="{node["play"]}" aria-label="{title}" hidden>\n'
    )


def depart_figure(translator: Any, node: play_figure) -> None:
    """Close the place, in which the figure is folded: who reads the question predicts first."""
    translator.body.append("<details><summary>Move it</summary></details>\n</div>\n")


def place(entry: Entry) -> play_figure:
    """The question of an entry, and where its figure is built."""
    first, *rest = rendered(entry["ask"])
    first.insert(0, nodes.strong("", "Predict, then move. "))
    return play_figure("", first, *rest, play=entry["play"], title=entry["title"])


def insert(app: Sphinx, doctree: nodes.document) -> None:
    """Put each of a chapter's figures behind the cell with the figure that it follows."""
    path = Path(app.srcdir) / FILE
    if not path.is_file() or not app.env.docname.startswith("notebooks/"):
        return
    app.env.note_dependency(str(FILE))  # whether or not it has a figure for this chapter today
    for entry in by_chapter(path).get(PurePosixPath(app.env.docname).name, []):
        named = [f for f in doctree.findall(nodes.figure) if entry["after"] in f["names"]]
        if not named:
            logger.warning("%s: there is no figure %s", FILE, entry["after"])
            continue
        node: nodes.Element = named[0]
        while not isinstance(node.parent, nodes.section):
            node = node.parent
        node.parent.insert(node.parent.index(node) + 1, place(entry))


def load(app: Sphinx, name: str, template: str, context: Any, doctree: Any) -> None:
    """Let a page that has such a figure load the script."""
    if doctree is not None and any(doctree.findall(play_figure)):
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the node and the handlers."""
    app.add_node(play_figure, html=(visit_figure, depart_figure))
    app.connect("doctree-read", insert, priority=150)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
