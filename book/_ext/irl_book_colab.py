"""Sphinx extension: each chapter once more, in a flavour that Colab and GitHub can render.

After the build, `flavour` turns each notebook into plain Markdown (`irl_book_plain`) with the same
code cells and the same stored outputs.  Two cells come first: where the page is, and a bootstrap
that installs the package on Colab and wherever else it is missing (`irl_book_bootstrap`).  What has
no translation is a warning, and with ``-W`` a failed build.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.plugin import find_plugin
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import irl_book_bootstrap as bootstrap
import irl_book_common as common
from irl_book_plain import Book, Target, Translator, UntranslatableError, Work, details
from irl_book_site import build_wheel, wheel_version

logger = logging.getLogger(__name__)

HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
WHOLLY_HIDDEN = {"hide-cell", "remove-cell"}
SOLUTION, SOLUTION_END = "#### Solution to Exercise", "*End of the solution.*"


# ---- what the site has


class Site:
    """The tables of what pages may refer to, from the environment of a finished build."""

    def __init__(self, app: Sphinx) -> None:
        """Read the tables that all pages share."""
        self.env, self.formats = app.env, app.config.numfig_format
        self.url = app.config.html_baseurl.rstrip("/")
        self.labels = {name: self.target(name, *place) for name, *place in places(app.env)}
        self.pages = {
            name: Target(self.address(name), title.astext())
            for name, title in app.env.titles.items()
        }
        self.objects = {
            name: Target(self.address(entry.docname, entry.node_id), name)
            for name, entry in self.domain("py").objects.items()
        }
        self.images = {
            path: f"{self.url}/_images/{file}" for path, (_, file) in app.env.images.items()
        }
        self.citations = {one.key: self.work(one) for one in self.domain("cite").citations}

    def domain(self, name: str) -> Any:
        """A Sphinx domain, whose stores differ in kind."""
        return self.env.get_domain(name)

    def address(self, docname: str, anchor: str = "") -> str:
        """The address of a place on the site."""
        return f"{self.url}/{docname}.html" + (f"#{anchor}" if anchor else "")

    def target(self, label: str, docname: str, anchor: str, title: str) -> Target:
        """A labelled thing with its number, and how the site names it in a reference."""
        kind, number = self.numbered(label, docname, anchor)
        name = self.named(kind, number) if number else title or label
        return Target(self.address(docname, anchor), name, number)

    def numbered(self, label: str, docname: str, anchor: str) -> tuple[str, str]:
        """What kind of numbered thing a label names, and its number; two empty strings if none."""
        for kind, numbers in self.env.toc_fignumbers.get(docname, {}).items():
            if anchor in numbers:
                return kind, ".".join(map(str, numbers[anchor]))
        if label in self.domain("math").equations:
            return "displaymath", str(self.domain("math").equations[label][1])
        return "", ""

    def named(self, kind: str, number: str) -> str:
        """How the site names a numbered thing in a reference: ``(4.1)``, ``Fig. 4.2``."""
        if kind == "displaymath":
            return f"({number})"
        pattern = str(self.formats.get(kind, f"{kind.capitalize()} %s"))
        named = pattern.replace("%s", number) if "%s" in pattern else f"{pattern} {number}"
        return named[:1].upper() + named[1:]

    def work(self, citation: Any) -> Work:
        """A work that the book cites."""
        entry = citation.entry
        names = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        place = self.address(citation.bibliography_key.docname, citation.citation_id)
        year = str(entry.fields.get("year", "n.d."))
        return Work(place, authors.replace("{", "").replace("}", ""), year)

    def works(self, docname: str) -> list[str]:
        """The works that a page cites, in Markdown."""
        domain, backend = self.domain("cite"), find_plugin("pybtex.backends", "markdown")()
        here = (one for one in domain.citation_refs if one.docname == docname)
        keys = {target.key for one in here for target in one.targets}
        entries = {one.key: one.formatted_entry for one in domain.citations if one.key in keys}
        ordered = sorted(entries.values(), key=lambda one: str(one.label))
        return [str(one.text.render(backend)) for one in ordered]

    def seen_from(self, docname: str) -> Book:
        """What one page may refer to."""
        return Book(
            docname,
            self.labels,
            self.pages,
            self.objects,
            self.images,
            self.citations,
            self.works(docname),
        )


def places(env: BuildEnvironment) -> Iterator[tuple[str, str, str, str]]:
    """Each label of any kind with page, anchor and title; of two entries the later one counts."""
    stores: Any = env
    domain: Any = env.get_domain("std")
    for label, (docname, anchor) in domain.anonlabels.items():
        yield label, docname, anchor, ""
    for store in ("proof_list", "sphinx_exercise_registry"):
        for label, entry in getattr(stores, store, {}).items():
            yield label, entry["docname"], label, ""
    for label, (docname, anchor, title) in domain.labels.items():
        yield label, docname, anchor, title
    equations: Any = env.get_domain("math")
    for label, (docname, _) in equations.equations.items():
        yield label, docname, nodes.make_id(f"equation-{label}"), ""


# ---- the notebooks


def new_cell(kind: str, name: str, text: str) -> common.Cell:
    """A cell that the source does not have."""
    cell: common.Cell = {"cell_type": kind, "id": name[:64], "metadata": {}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def caption_cell(cell: common.Cell, translator: Translator) -> list[common.Cell]:
    """The caption of a figure that a code cell draws, with its number, and what it shows in words.

    The site takes all three from the cell's metadata, which other programs do not read.
    """
    found = cell["metadata"].get("mystnb", {})
    figure, words = found.get("figure", {}), found.get("image", {}).get("alt", "")
    caption = figure.get("caption", "")
    if not caption.strip():
        return []
    label = translator.book.labels.get(figure.get("name", ""))
    number = f"**{label.name}.** " if label is not None and label.number else ""
    text = f"{number}*{translator.cell(caption).strip()}*"
    if words:
        text += "\n\n" + details("The figure in words", words)
    return [new_cell("markdown", f"{cell['id']}-caption", text)]


def fold(cell: common.Cell, solving: bool) -> None:
    """Fold what the site folds: on Colab, and in JupyterLab and its relatives; solutions whole."""
    hidden = HIDDEN.intersection(common.tags(cell))
    if hidden or solving:
        cell["metadata"]["cellView"] = "form"
        cell["metadata"]["jupyter"] = {"source_hidden": True}
    if solving or hidden & WHOLLY_HIDDEN:
        cell["metadata"]["jupyter"]["outputs_hidden"] = True


def folded(text: str) -> str:
    """The text of a cell in a solution, folded but for the solution's heading and end."""
    before, heading, solution = text.partition(SOLUTION)
    if not heading:
        before, solution = "", text
    title, _, body = solution.partition("\n") if heading else ("", "", solution)
    body, end, after = body.partition(SOLUTION_END)
    inside = details("Open it", body) if body.strip() else ""
    parts = (before.strip(), f"{heading}{title}".strip(), inside, f"{end}{after}".strip())
    return "\n\n".join(part for part in parts if part)


def flavour(notebook: common.Notebook, book: Book, header: str, bootstrap: str) -> common.Notebook:
    """A notebook's plain counterpart: the same code and outputs, Markdown that renders anywhere."""
    result = copy.deepcopy(notebook)
    translator = Translator(book)
    cells = [
        new_cell("markdown", "irl-book-site", header),
        new_cell("code", "irl-book-setup", bootstrap),
    ]
    solving = False
    for cell in result["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "markdown":
            text = common.source(cell)
            starts, ends = "{solution-start}" in text, "{solution-end}" in text
            made = translator.cell(text)
            cell["source"] = folded(made) if starts != ends or (solving and not ends) else made
            solving = (solving or starts) and not ends
        elif cell["cell_type"] == "code":
            fold(cell, solving)
            cells += caption_cell(cell, translator)
    result["cells"] = cells
    result["metadata"].setdefault("colab", {"provenance": [], "toc_visible": True})
    return result


def header_source(app: Sphinx, docname: str, site: str) -> str:
    """The first cell: where this page is on the site."""
    title = app.env.titles[docname].astext()
    book = f"[{app.config.html_title or app.config.project}]({site}/)"
    page = f"[{title}]({site}/{docname}.html)"
    return f"*This notebook is the page {page} of the book {book}; its references lead there.*"


def write_flavours(app: Sphinx, exception: Exception | None) -> None:
    """Write ``colab/<notebook>.ipynb`` for each chapter."""
    if exception is not None or app.builder.name != "html":
        return
    root, out = Path(app.srcdir), Path(app.outdir)
    site, version = Site(app), wheel_version(root)
    wheel = build_wheel(root, out / "wheels")
    (out / "colab").mkdir(exist_ok=True)
    for chapter in common.chapters(root):
        notebook = common.read_notebook(chapter.path)
        header = header_source(app, chapter.docname, site.url)
        more = bootstrap.lacking(root, notebook)
        setup_code = bootstrap.source(site.url, wheel.name, version, more)
        try:
            made = flavour(notebook, site.seen_from(chapter.docname), header, setup_code)
        except UntranslatableError as reason:
            logger.warning("Colab flavour: no translation for %s", reason, location=chapter.docname)
            continue
        text = json.dumps(made, indent=1, ensure_ascii=False)
        (out / "colab" / f"{chapter.name}.ipynb").write_text(text + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler; the wheel that the notebooks name is built before."""
    app.connect("build-finished", write_flavours, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
