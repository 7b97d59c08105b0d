"""Roles of elements that screen readers understand, where docutils writes deprecated ones.

docutils marks the entries of a bibliography ``doc-biblioentry`` within an element of role ``list``.
That role is deprecated, and a list must hold list items; so that is what the entries become.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

DEPRECATED = 'role="doc-biblioentry"'
UNDERSTOOD = 'role="listitem"'


def replace_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Replaces the roles in a page's body before the theme wraps it."""
    if "body" in context:
        context["body"] = context["body"].replace(DEPRECATED, UNDERSTOOD)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("html-page-context", replace_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
