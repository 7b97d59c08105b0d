"""The notebooks for students: no solution, no hidden test, and nothing to install."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from assignments.master import HERE, Cell, Master, masters

ROOT = HERE.parent
sys.path.append(str(ROOT / "book" / "_ext"))
import irl_book_bootstrap as bootstrap  # noqa: E402
import irl_book_common as common  # noqa: E402
from irl_book_site import wheel_name, wheel_version  # noqa: E402

HEADER = """\
*This is an assignment of the book [{title}]({site}/).
It runs on Colab, or in the book's own environment.*

**How it works.**
Run the next two cells first.
The first installs the book's package where it is missing, the second holds the checks.
Then write your answers where a cell says `...`, and run the check below each.
It says what is wrong, as well as it can tell.

**How it is graded.**
Hand in this notebook.
Each function is called with inputs that are drawn anew, and has 30 seconds for all of them.
The grader takes your function and the imports, functions, classes and variables that it uses,
and nothing else of the notebook; `irl_lib` is not there then, unless a question says so.
Don't change the names of functions or of their arguments."""


def cell(kind: str, name: str, text: str) -> Cell:
    """A new cell."""
    made: Cell = {"cell_type": kind, "id": name, "metadata": {}, "source": text}
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def starter(master: Master) -> dict[str, Any]:
    """The notebook for students."""
    config = common.load_yaml(ROOT / "_config.yml")
    site = str(config["html"]["baseurl"]).rstrip("/")
    own = [{**each, "outputs": [], "execution_count": None} for each in master.starter_cells]
    own = [
        each
        if each["cell_type"] == "code"
        else {key: each[key] for key in ("cell_type", "id", "metadata", "source")}
        for each in own
    ]
    more = bootstrap.lacking(ROOT, {"cells": own})
    setup = bootstrap.source(site, wheel_name(ROOT), wheel_version(ROOT), more)
    check = cell("code", f"{master.name}-checks", master.checks_source())
    check["metadata"] = {"cellView": "form", "jupyter": {"source_hidden": True}}
    first = [
        cell("markdown", f"{master.name}-header", HEADER.format(title=config["title"], site=site)),
        cell("code", f"{master.name}-setup", setup),
        check,
    ]
    return {
        "cells": first + own,
        "metadata": {
            "assignment": master.name,
            "colab": {"provenance": [], "toc_visible": True},
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def write_starters(out: Path) -> list[Path]:
    """Write all of them to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, master in masters().items():
        text = json.dumps(starter(master), indent=1, ensure_ascii=False)
        paths.append(out / f"{name}.ipynb")
        paths[-1].write_text(text + "\n", encoding="utf-8")
    return paths
