"""Sphinx extension: the status page, and the digest of its notebook in every chapter's page.

``{status}`` lists each chapter with the SHA-256 of the notebook that this page was built from,
and what its last full run took (``book/results/notebooks.json``, written by ``make notebooks``).
Each chapter's page carries the same digest in ``<meta name="irl-book-notebook-sha256">``.  A test
compares the files, the record, the status page and the chapters' pages: what is published is what
was tested.
"""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import irl_book_common as common
from irl_book_map import NOTHING, cross_reference, paragraph, section, table

RECORD = Path("book", "results", "notebooks.json")
META_NAME = "irl-book-notebook-sha256"
SHORT = 12  # hexadecimal digits of a digest that are shown; all of them are in the title
PACKAGES = (
    "numpy",
    "scipy",
    "matplotlib",
    "networkx",
    "torch",
    "jupyter-book",
    "Sphinx",
    "myst-nb",
    "nbval",
)


class digest_code(nodes.literal):  # noqa: N801 - docutils names its nodes in lower case
    """A digest: short to read, whole in its title and in ``data-sha256``."""


def visit_digest(translator: Any, node: digest_code) -> None:
    """Write the digest as HTML."""
    name, whole = node["name"], node["sha256"]
    translator.body.append(
        f'<code class="docutils literal" title="{whole}"'
        f' data-notebook="{name}" data-sha256="{whole}">'
        f"{whole[:SHORT]}</code>"
    )
    raise nodes.SkipNode


def read_record(root: Path) -> dict[str, dict[str, Any]]:
    """What ``make notebooks`` wrote about its runs, by notebook; empty before the first."""
    path = root / RECORD
    found: dict[str, dict[str, Any]] = {}
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
    return {Path(name).stem: run for name, run in found.items()}


def matches(run: dict[str, Any] | None, sha256: str) -> bool:
    """Whether a recorded run is the run of this very file."""
    return run is not None and run["sha256"] == sha256


def versions() -> list[tuple[str, str]]:
    """The main packages of the environment that builds and tests the book, with their versions."""
    found = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


class Status(SphinxDirective):
    """``{status}``: the chapters and the versions, as two tables."""

    def run(self) -> list[nodes.Node]:
        """Build the tables."""
        self.env.note_reread()
        root = Path(self.env.srcdir)
        record = read_record(root)
        rows = [self.row(chapter, record.get(chapter.name)) for chapter in common.chapters(root)]
        header = ["chapter", "SHA-256", "last run", "time", "memory", "Python", "machine"]
        packages = [[paragraph(name), paragraph(version)] for name, version in versions()]
        runs = table(header, [25, 16, 13, 8, 12, 9, 17], rows, "status")
        return [
            section("The chapters", "status-chapters", runs),
            section(
                "The versions",
                "status-versions",
                table(["package", "version"], [5, 5], packages, "status"),
            ),
        ]

    def row(self, chapter: common.Chapter, run: dict[str, Any] | None) -> list[nodes.Node]:
        """One chapter."""
        sha256 = common.digest(chapter.path)
        link = cross_reference(self.env.docname, "std", "doc", f"/{chapter.docname}", "")
        facts = run if run is not None and matches(run, sha256) else {}
        return [
            paragraph(link),
            paragraph(digest_code("", sha256[:SHORT], name=chapter.name, sha256=sha256)),
            paragraph("this file" if facts else "an older file" if run else NOTHING),
            paragraph(f"{facts['seconds']:.0f} s" if facts else NOTHING),
            paragraph(f"{facts['peak_mib']:.0f} MiB" if facts else NOTHING),
            paragraph(str(facts.get("python", NOTHING))),
            paragraph(str(facts.get("machine", NOTHING))),
        ]


def add_digest(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Put the notebook's digest into the head of its page."""
    path = Path(app.srcdir, f"{pagename}.ipynb")
    if doctree is not None and path.is_file():
        tag = f'<meta name="{META_NAME}" content="{common.digest(path)}" />'
        context["metatags"] = context.get("metatags", "") + "\n" + tag


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, the node and the handler."""
    app.add_directive("status", Status)
    app.add_node(digest_code, html=(visit_digest, None))
    app.connect("html-page-context", add_digest)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
