"""Sphinx extension: a search by section, and notes for what is referred to.

Sphinx's own search finds pages, of which some are as long as a booklet, and shows where a word
stands only while a server serves them.  Here the text of each section is taken while pages are
read, without code and with formulas in plain letters, and written into one script that a browser
loads from a disk as well: ``_static/irl-index.js``, on the search page alone.  What ranks first is
decided there (``irl-search.js``).

``_static/irl-notes.js`` has the citations, errata and numbered equations, for a page that shows
what a reference leads to (``irl-book.js`` loads it when the first is asked for).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

Entry = dict[str, Any]

LONGEST = 6000  # characters of a section that are searched
SKIPPED = (
    nodes.literal_block,
    nodes.math_block,
    nodes.raw,
    nodes.comment,
    nodes.image,
    nodes.section,
    addnodes.desc,
)
BEFORE_ARCHIVES = 300
GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "varepsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "psi": "ψ",
    "chi": "χ",
    "omega": "ω",
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Pi": "Π",
    "Sigma": "Σ",
    "Phi": "Φ",
    "Psi": "Ψ",
    "Omega": "Ω",
}
SYMBOLS = GREEK | {
    "top": "ᵀ",
    "sum": "∑",
    "log": "log",
    "exp": "exp",
    "max": "max",
    "min": "min",
    "in": "∈",
    "le": "≤",
    "ge": "≥",
    "infty": "∞",
    "to": "→",
    "mid": "|",
    "cdot": "·",
    "times": "×",
    "ldots": "…",
    "dots": "…",
}
COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
NOTED_PAGES = ("book/references", "book/errata")


# ---- plain text


def plain_formula(latex: str) -> str:
    """A formula in plain letters, as far as that goes: Greek ones for their commands."""
    text = COMMAND.sub(lambda match: SYMBOLS.get(match[1], ""), latex)
    return " ".join(re.sub(r"[{}$\\^_&]", "", re.sub(r"\\[,;:!]", " ", text)).split())


def plain_text(node: nodes.Node) -> Iterator[str]:
    """The words of a node, without code, pictures and the sections within."""
    if isinstance(node, nodes.Text):
        yield str(node)
    elif isinstance(node, nodes.math):
        yield plain_formula(node.astext())
    elif not isinstance(node, SKIPPED):
        for child in node.children:
            yield from plain_text(child)
        if isinstance(node, nodes.paragraph | nodes.title | nodes.term):
            yield " "


def words_of(node: nodes.Element) -> str:
    """The text of a section, but its title."""
    parts = (
        part
        for child in node.children
        if not isinstance(child, nodes.title)
        for part in plain_text(child)
    )
    return " ".join("".join(parts).split())[:LONGEST]


def sections(doctree: nodes.document) -> Iterator[Entry]:
    """The sections of a page in order, with their text; the first stands for the page."""
    for i, section in enumerate(doctree.findall(nodes.section)):
        title = section.next_node(nodes.title)
        ids = section.get("ids", [])
        if title is not None and ids:
            heading = "".join(plain_text(title)).strip()
            yield {"anchor": ids[0] if i else "", "title": heading, "text": words_of(section)}


def objects(doctree: nodes.document) -> Iterator[Entry]:
    """What a page of the package documents: names and first sentences."""
    for entry in doctree.findall(addnodes.desc):
        signature = entry.next_node(addnodes.desc_signature)
        content = entry.next_node(addnodes.desc_content)
        if signature is None or not signature.get("ids"):
            continue
        paragraph = content.next_node(nodes.paragraph) if content is not None else None
        text = " ".join("".join(plain_text(paragraph)).split()) if paragraph is not None else ""
        name = str(signature.get("fullname") or signature["ids"][0])
        yield {"anchor": signature["ids"][0], "title": name, "text": text, "object": 1}


def equation_notes(doctree: nodes.document) -> Iterator[tuple[str, str]]:
    """The numbered equations of a page, by their anchors, as what a browser typesets."""
    for block in doctree.findall(nodes.math_block):
        label = block.get("label")
        if label:
            yield nodes.make_id(f"equation-{label}"), block.astext()


# ---- what is kept of each page


def kept(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """What was taken from the pages, by their names."""
    store: Any = env
    if not hasattr(store, "irl_book_search"):
        store.irl_book_search = {}
    found: dict[str, dict[str, Any]] = store.irl_book_search
    return found


def take(app: Sphinx, doctree: nodes.document) -> None:
    """Take the text of a page that was read."""
    entries = [*sections(doctree), *objects(doctree)]
    kept(app.env)[app.env.docname] = {
        "entries": entries,
        "equations": dict(equation_notes(doctree)),
    }


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read anew."""
    kept(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    """Bring together what processes side by side have taken."""
    kept(env).update({name: kept(other)[name] for name in docnames if name in kept(other)})


# ---- what is written


def index(env: BuildEnvironment) -> dict[str, Any]:
    """The index: pages, and their sections."""
    pages, entries = [], []
    for name in sorted(kept(env)):
        title = env.titles[name].astext() if name in env.titles else name
        number = (
            ".".join(map(str, env.toc_secnumbers.get(name, {}).get("", ())))
            if hasattr(env, "toc_secnumbers")
            else ""
        )
        pages.append([f"{name}.html", f"{number}. {title}" if number else title])
        for entry in kept(env)[name]["entries"]:
            entries.append(
                [
                    len(pages) - 1,
                    entry["anchor"],
                    entry["title"],
                    entry["text"],
                    entry.get("object", 0),
                ]
            )
    return {"pages": pages, "entries": entries}


def page_notes(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """The entries of a bibliography, or the errata, of a page that was written."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    for entry in page.select("div.citation[id], dd[id], section[id]"):
        inside = [child for child in entry.children if isinstance(child, Tag)]
        if entry.name == "section" and not entry.find("h3", recursive=False):
            continue
        text = "".join(str(child) for child in inside if child.name not in ("section", "span"))
        anchors = [
            entry["id"],
            *(span["id"] for span in entry.find_all("span", id=True, recursive=False)),
        ]
        for anchor in anchors:
            yield f"{name}.html#{anchor}", text


def notes(app: Sphinx) -> dict[str, str]:
    """What references lead to, by address."""
    found: dict[str, str] = {}
    for name in NOTED_PAGES:
        path = Path(app.outdir, f"{name}.html")
        if path.is_file():
            found.update(page_notes(path, name))
    for name, page in sorted(kept(app.env).items()):
        for anchor, latex in page["equations"].items():
            formula = html.escape(f"\\[{latex}\\]")
            found[f"{name}.html#{anchor}"] = (
                f'<div class="math notranslate nohighlight">{formula}</div>'
            )
    return found


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the index and the notes."""
    if exception is not None or app.builder.name != "html":
        return
    static = Path(app.outdir, "_static")
    for name, content in (("irlIndex", index(app.env)), ("irlNotes", notes(app))):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        file = "irl-index.js" if name == "irlIndex" else "irl-notes.js"
        (static / file).write_text(f"window.{name} = {text};\n", encoding="utf-8")


def replace_search(app: Sphinx) -> None:
    """Leave Sphinx's own index out."""
    if app.builder.name == "html":
        app.builder.search = False


def search_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The page that shows what was found."""
    yield "search", {}, "search.html"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handlers."""
    app.connect("builder-inited", replace_search)
    app.connect("doctree-read", take)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("html-collect-pages", search_page)
    app.connect("build-finished", write, priority=BEFORE_ARCHIVES)
    return {
        "version": "1",
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
