"""Repairs of the HTML that docutils, sphinx-exercise and sphinx-proof write.

* docutils marks the entries of a bibliography ``doc-biblioentry`` within an element of role
  ``list``.  That role is deprecated, and a list must hold list items; so that is what they become.
* sphinx-exercise and sphinx-proof give the same id to the content of every exercise, solution and
  theorem of a page.  Nothing links to these ids, so they go.

And of the time that building takes: pybtex looks for its backend in the metadata of all installed
packages, anew for each citation, unless the backend is registered; and Jupyter Book has no option
for Sphinx's own number of processes that write pages.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pybtex.plugin import find_plugin, register_plugin
from sphinx.application import Sphinx

DEPRECATED = 'role="doc-biblioentry"'
UNDERSTOOD = 'role="listitem"'
REPEATED = re.compile(r' id="(?:exercise|solution|proof)-content"')


def repair(body: str) -> str:
    """The body of a page, repaired."""
    return REPEATED.sub("", body.replace(DEPRECATED, UNDERSTOOD))


def repair_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Repairs a page's body before the theme wraps it."""
    if "body" in context:
        context["body"] = repair(context["body"])


def write_side_by_side(app: Sphinx, env: object) -> list[str]:
    """After reading, which not all extensions allow side by side: as many writers as cores."""
    app.parallel = max(app.parallel, os.cpu_count() or 1)
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("html-page-context", repair_page)
    for name in ("docutils", "plaintext"):
        register_plugin("pybtex.backends", name, find_plugin("pybtex.backends", name), force=True)
    app.connect("env-updated", write_side_by_side)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
