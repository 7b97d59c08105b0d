"""A button on each chapter that opens its Colab flavour.

Colab opens notebooks from a branch of a repository only, so the button leads to
``colab/<notebook>`` on the branch that the built folder is published on.  Jupyter Book's own button
would lead to the source, which shows raw directives there.  So would its download button, which
serves the same plain notebook instead.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sphinx.application import Sphinx

COLAB = "https://colab.research.google.com/github"
AFTER_THE_THEME = 900


def colab_address(repository: str, branch: str, docname: str, folder: str = "colab") -> str:
    """Where Colab opens the notebook ``docname`` of the GitHub repository with this address."""
    owner_and_name = urlsplit(repository).path.strip("/")
    return f"{COLAB}/{owner_and_name}/blob/{branch}/{folder}/{PurePosixPath(docname).name}.ipynb"


def serve_plain(buttons: list[dict[str, Any]], address: str) -> None:
    """Lets the download button serve the plain notebook; other pages have no source to run."""
    for group in buttons:
        if group.get("label") != "download-buttons":
            continue
        source = next(b for b in group["buttons"] if b["label"] == "download-source-button")
        source |= {
            "url": address,
            "tooltip": "Download this chapter as a notebook that runs anywhere",
        }
        group["buttons"] = [b for b in group["buttons"] if address or b is not source]


def add_button(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Puts the button before the theme's own ones, on pages that are notebooks."""
    if doctree is None:
        return
    is_notebook = app.env.doc2path(pagename).endswith(".ipynb")
    plain = f"colab/{PurePosixPath(pagename).name}.ipynb" if is_notebook else ""
    serve_plain(context["header_buttons"], context["pathto"](plain, 1) if plain else "")
    if not is_notebook:
        return
    repository = app.config.html_theme_options["repository_url"]
    button = {
        "type": "link",
        "url": colab_address(repository, app.config.published_branch, pagename),
        "text": "Colab",
        "tooltip": "Run this chapter on Colab",
        "icon": "_static/images/logo_colab.png",
        "label": "colab-button",
    }
    context["header_buttons"].insert(0, button)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.add_config_value("published_branch", "gh-pages", "html", str)
    app.connect("html-page-context", add_button, priority=AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
