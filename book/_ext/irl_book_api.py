"""Sphinx extension: the pages of the package.

``{spine}`` lists modules in reading order and counts their lines of code.  An object has its entry
where it is defined; a reference to the name that a room hands it on by leads there.
"""

from __future__ import annotations

import importlib
import inspect
import pydoc
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import irl_book_common as common
from irl_book_map import cross_reference, paragraph, table

PACKAGE = "irl_lib"
HEAVY = ("torch", "matplotlib.pyplot", "stable_baselines3")


class Spine(SphinxDirective):
    """``{spine}``: its content names a module a line; a table with what each is and how long."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Build the table; as it depends on the package, the page is read anew in every build."""
        self.env.note_reread()
        root = Path(self.env.srcdir)
        lengths = {name: common.code_lines(common.module_file(root, name)) for name in self.content}
        rows: list[list[nodes.Node]] = [
            [self.link(name), paragraph(summary(root, name)), paragraph(f"{length:,}")]
            for name, length in lengths.items()
        ]
        total = nodes.strong("", f"{sum(lengths.values()):,}")
        rows.append([paragraph(nodes.strong("", "all of it")), paragraph(), paragraph(total)])
        return [table(["module", "what it is", "lines"], [34, 54, 12], rows, "spine")]

    def link(self, name: str) -> nodes.paragraph:
        """A reference to a module."""
        short = name.removeprefix(f"{PACKAGE}.")
        return paragraph(cross_reference(self.env.docname, "py", "mod", name, short))


def summary(root: Path, module: str) -> str:
    """The first sentence of a module's docstring."""
    text = common.docstring(common.module_file(root, module)).partition("\n\n")[0]
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


@cache
def home(target: str, module: str) -> str | None:
    """Where an object is defined that a docstring of a module names, in full or as seen there.

    It is seen there by the names of the module and by those of its room.
    """
    for start in (module, ".".join(module.split(".")[:2]), ""):
        found = pydoc.locate(f"{start}.{target}".lstrip("."))
        if inspect.ismodule(found):
            return found.__name__
        if isinstance(found, type) or inspect.isroutine(found):
            return f"{found.__module__}.{found.__qualname__}"
    return None


def resolve_handed_on(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """A reference to ``irl_lib.room.name`` leads to the module of the room that defines it."""
    target, module = str(node.get("reftarget", "")), node.get("py:module")
    if node.get("refdomain") != "py" or not (module or target).startswith(PACKAGE):
        return None
    entry = env.get_domain("py").objects.get(home(target, module or PACKAGE) or "")
    if entry is None:
        return None
    page = node.get("refdoc", env.docname)
    return make_refnode(app.builder, page, entry.docname, entry.node_id, contnode, target)


def import_heavy(app: Sphinx) -> None:
    """Import what takes long before the processes that read pages part, so that it is done once."""
    for name in HEAVY:
        importlib.import_module(name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this when it loads the extension."""
    app.add_directive("spine", Spine)
    app.connect("missing-reference", resolve_handed_on)
    app.connect("builder-inited", import_heavy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
