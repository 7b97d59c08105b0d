"""The assignments on the site: their starter notebooks, and a table of them.

After the build, ``starter/`` holds the notebooks for students, made by the assignments' own
command.  ``{assignments}`` is a table with a line for each: what it is about, points, hours, and
where to open it.  No solution and no hidden test gets to the site.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from irl_book_launch import colab_address

sys.path.append(str(Path(__file__).resolve().parents[2]))
from assignments.master import Master, masters

HEADER = ("Assignment", "Points", "Hours", "Notebook")


def link(text: str, address: str) -> nodes.reference:
    """A link out of the book's pages."""
    return nodes.reference("", text, refuri=address, internal=False)


def line(master: Master, address: str, colab: str) -> list[list[nodes.Node]]:
    """The cells of an assignment's line."""
    points = sum(question.points for question in master.questions)
    hours = sum(question.minutes for question in master.questions) / 60
    ways: list[nodes.Node] = [link("Colab", colab), nodes.Text(" · "), link("download", address)]
    texts = (master.title, f"{points:g}", f"{hours:.0f}")
    return [*([nodes.Text(text)] for text in texts), ways]


def row(cells: list[list[nodes.Node]]) -> nodes.row:
    """A row of a table."""
    made = nodes.row()
    for cell in cells:
        made += nodes.entry("", nodes.paragraph("", "", *cell))
    return made


class Assignments(SphinxDirective):
    """The table."""

    def run(self) -> list[nodes.Node]:
        """Make it."""
        config = self.env.config
        up = "../" * self.env.docname.count("/")
        group = nodes.tgroup(cols=len(HEADER))
        group += [nodes.colspec(colwidth=1) for _ in HEADER]
        group += nodes.thead("", row([[nodes.Text(text)] for text in HEADER]))
        body = nodes.tbody()
        for name, master in masters().items():
            self.env.note_dependency(str(master.path))
            repository = config.html_theme_options["repository_url"]
            colab = colab_address(repository, config.published_branch, name, "starter")
            body += row(line(master, f"{up}starter/{name}.ipynb", colab))
        group += body
        return [nodes.table("", group, classes=["results"])]


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Write ``starter/``.

    Raises:
        RuntimeError: if the command fails, with what it said.
    """
    if exception is not None or app.builder.name != "html":
        return
    command = [sys.executable, "-m", "assignments", "starter", str(Path(app.outdir) / "starter")]
    done = subprocess.run(command, cwd=app.srcdir, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the starter notebooks could not be made:\n{done.stderr}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this when it loads the extension."""
    app.add_directive("assignments", Assignments)
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
