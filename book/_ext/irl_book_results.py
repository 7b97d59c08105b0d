"""Tables of the book that are made from the files that the benchmarks write.

    :::{results} maxent_vs_imitation
    :title: One gradient, the whole fit

    What was measured, in Markdown.
    :::

becomes a section with this text, a table of ``book/results/maxent_vs_imitation.json``, and a line
that says which command made it, when, with what and where.  Where the file does not exist, neither
does the section: the page claims nothing that was not measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book", "results")
MANY = 9  # columns that need smaller type on paper
Row = dict[str, Any]


def show(value: object) -> str:
    """A value as a table shows it: whole numbers grouped, others to three significant digits."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def describe(value: object) -> str:
    """A mapping as ``key value, key value``; anything else as its text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return str(value)


def columns(rows: list[Row]) -> list[str]:
    """The keys of all rows, in the order in which they first appear.

    Lists and dicts are there for figures; a table has no place for them.
    """
    cells = ((key, value) for row in rows for key, value in row.items())
    return list(dict.fromkeys(key for key, value in cells if not isinstance(value, list | dict)))


def entry(text: str, *, is_number: bool = False) -> nodes.entry:
    """One cell of a table."""
    cell = nodes.entry("", nodes.paragraph("", text))
    cell["classes"] += ["text-right"] if is_number else []
    return cell


def make_table(rows: list[Row], labels: dict[str, str]) -> nodes.table:
    """A table with one column for each key; ``labels`` rename keys in the header."""
    keys = columns(rows)
    group = nodes.tgroup(cols=len(keys))
    group += [nodes.colspec(colwidth=1) for _ in keys]
    header = nodes.row()
    header += [entry(labels.get(key, key.replace("_", " "))) for key in keys]
    group += nodes.thead("", header)
    body = nodes.tbody()
    for row in rows:
        line = nodes.row()
        values = [row.get(key) for key in keys]
        line += [entry(show(v), is_number=isinstance(v, int | float)) for v in values]
        body += line
    group += body
    classes = ["results", "many-columns"] if len(keys) > MANY else ["results"]
    return nodes.table("", group, classes=classes)


def provenance(stored: dict[str, Any]) -> nodes.paragraph:
    """The line below a table: what made it, when, on what machine and with which versions."""
    line = nodes.paragraph(classes=["provenance"])
    line += [nodes.Text("Made by "), nodes.literal("", str(stored["command"]))]
    where = describe(stored["machine"])
    line += nodes.Text(f" on {stored['date']}; {where}; {describe(stored['versions'])}")
    line += nodes.Text(f"; {stored['missing']} are missing." if "missing" in stored else ".")
    return line


class Results(SphinxDirective):
    """The directive ``results``; its argument is the name of a file in ``book/results``."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"title": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The section, or nothing where the file does not exist."""
        name = self.arguments[0]
        path = Path(self.env.srcdir) / FOLDER / f"{name}.json"
        if not path.exists():
            return []
        self.env.note_dependency(str(path))
        stored = json.loads(path.read_text(encoding="utf-8"))
        section = nodes.section(ids=[nodes.make_id(f"results-{name}")])
        section += nodes.title("", self.options.get("title", name))
        self.state.nested_parse(self.content, self.content_offset, section)
        section += [make_table(stored["results"], stored.get("columns", {})), provenance(stored)]
        return [section]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
