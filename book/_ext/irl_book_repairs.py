"""Repairs of the HTML that docutils, sphinx-exercise and sphinx-proof write.

* docutils marks the entries of a bibliography ``doc-biblioentry`` within an element of role
  ``list``.  That role is deprecated, and a list must hold list items; so that is what they become.
* sphinx-exercise and sphinx-proof give the same id to the content of every exercise, solution and
  theorem of a page.  Nothing links to these ids, so they go.
"""

from __future__ import annotations

import re
from typing import Any

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


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("html-page-context", repair_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
