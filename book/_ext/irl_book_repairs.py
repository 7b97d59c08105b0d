"""Repairs of the HTML that docutils, sphinx-exercise and sphinx-proof write.

* docutils marks the entries of a bibliography ``doc-biblioentry`` within an element of role
  ``list``.  That role is deprecated, and a list must hold list items; so that is what they become.
* sphinx-exercise and sphinx-proof give the same id to the content of every exercise, solution and
  theorem of a page.  Nothing links to these ids, so they go.
* The theme's sidebar has an arrow that shows the pages below one; it gets a name, for who hears it.

And of the time that building takes:

* pybtex looks for its backend in the metadata of all installed packages, anew for each citation,
  unless the backend is registered.
* The theme computes the contents in the sidebar anew for each page, out of all sections and objects
  of all pages, of which it then shows the titles of pages alone.  So they are taken out once, and
  pages beyond the contents, those of the sources above all, share what is the same in a folder.
* autodoc looks for comments on attributes in the sources of all base classes, and so tokenizes half
  of torch and matplotlib; the book shows none of what its classes inherit.
* Python's collector of cycles walks over all trees of all pages, again and again, and finds next to
  nothing; it comes a hundred times more seldom.
* Jupyter Book has no option for Sphinx's own number of processes.  Two extensions do not say
  whether pages may be read side by side, and sphinx-proof not how what was read is brought
  together: none of them keeps anything of a page, but for sphinx-proof's list, which it merges.
"""

from __future__ import annotations

import gc
import os
import posixpath
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from pybtex.plugin import find_plugin, register_plugin
from pydata_sphinx_theme import toctree
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx_proof.domain import ProofDomain

DEPRECATED = 'role="doc-biblioentry"'
UNDERSTOOD = 'role="listitem"'
COLLECTED = 70_000  # objects that have come and not gone before cycles are looked for
UNDECLARED = ("sphinx_jupyterbook_latex", "sphinx_multitoc_numbering")
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


def name_arrows() -> None:
    """Let the theme name what shows the pages below one, where it has no text."""
    fold = toctree.add_collapse_checkboxes

    def named(soup: BeautifulSoup) -> None:
        fold(soup)
        for arrow in soup.select("li > details > summary"):
            above = arrow.find_previous("a")
            if above is not None and not arrow.get_text(strip=True):
                arrow["aria-label"] = f"pages below {above.get_text(strip=True)}"

    toctree.add_collapse_checkboxes = named


def titles_alone(toc: nodes.bullet_list) -> nodes.bullet_list:
    """The contents of a page without its sections: its title, and the pages below it."""
    result = toc.deepcopy()
    for entry in result:
        below = list(entry.findall(addnodes.toctree))
        entry[1:] = [nodes.bullet_list("", *below)] if below else []
    return result


class Sidebar:
    """The contents in the sidebar of each page."""

    def __init__(self, env: BuildEnvironment) -> None:
        """Take the sections out of the contents."""
        self.env = env
        self.titles = {page: titles_alone(toc) for page, toc in env.tocs.items()}
        self.shared: dict[tuple[Any, ...], str] = {}

    def toctree(self, page: str, original: Callable[..., str], **options: Any) -> str:
        """What ``original`` gives, sooner."""
        if not options.get("titles_only"):
            return original(**options)
        if page in self.env.tocs:
            return self.quick(original, options)
        key = (posixpath.dirname(page), *sorted(options.items()))
        if key not in self.shared:
            self.shared[key] = self.quick(original, options)
        return self.shared[key]

    def quick(self, original: Callable[..., str], options: dict[str, Any]) -> str:
        """What ``original`` gives of titles alone."""
        whole, self.env.tocs = self.env.tocs, self.titles
        try:
            return original(**options)
        finally:
            self.env.tocs = whole


def speed_sidebar_up(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Replaces what the theme asks for a page's contents."""
    sidebar = getattr(app, "irl_book_sidebar", None) or Sidebar(app.env)
    app.irl_book_sidebar = sidebar
    context["toctree"] = partial(sidebar.toctree, pagename, context["toctree"])


def read_own_sources_alone() -> None:
    """Let autodoc and viewcode read the sources of the package, and no others."""
    for_module = ModuleAnalyzer.for_module.__func__

    def own(cls: type[ModuleAnalyzer], modname: str) -> ModuleAnalyzer:
        if modname.partition(".")[0] != "irl_lib":
            raise PycodeError(f"{modname} is not of this book")
        return for_module(cls, modname)

    ModuleAnalyzer.for_module = classmethod(own)


def forget_other_sources(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take from viewcode's list the modules that have no page, which its index would link to."""
    modules: dict[str, Any] = getattr(env, "_viewcode_modules", {})
    for name in [name for name, entry in modules.items() if not entry]:
        del modules[name]
    return []


def work_side_by_side(app: Sphinx) -> None:
    """Read and write pages in as many processes as there are cores."""
    app.parallel = max(app.parallel, os.cpu_count() or 1)
    for name in UNDECLARED:
        app.extensions[name].parallel_read_safe = True
    ProofDomain.merge_domaindata = lambda self, docnames, otherdata: None


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("html-page-context", repair_page)
    app.connect("html-page-context", speed_sidebar_up)
    for name in ("docutils", "plaintext"):
        register_plugin("pybtex.backends", name, find_plugin("pybtex.backends", name), force=True)
    name_arrows()
    read_own_sources_alone()
    app.connect("env-updated", forget_other_sources)
    gc.set_threshold(COLLECTED)
    app.connect("builder-inited", work_side_by_side)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
