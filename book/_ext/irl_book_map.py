"""Sphinx extension: the lecture map, made from labels, tags and docstrings.

``{lecture-map}`` lists every equation of the lecture with the places where it is derived,
implemented and checked; ``{lecture-claims}`` every further claim with the cell that shows it.
Nothing on the map is written by hand, so it cannot be out of date.  Cells with a ``verifies:`` or
``demonstrates:`` tag get an anchor, and the equation names in docstrings become links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import irl_book_common as common

ANCHORED = ("verifies", "demonstrates", "control")
NOTHING = "\N{EN DASH}"
EQUATION_NAME = re.compile(r"\beq-[a-z0-9]+(?:-[a-z0-9]+)*")


def cross_reference(document: str, domain: str, kind: str, target: str, text: str) -> nodes.Node:
    """A reference that Sphinx resolves, and warns about if it leads nowhere."""
    reference = addnodes.pending_xref(
        "",
        refdomain=domain,
        reftype=kind,
        reftarget=target,
        refexplicit=bool(text),
        refdoc=document,
    )
    reference["refwarn"] = True
    reference += nodes.inline(
        text or target, text or target, classes=["xref", domain, f"{domain}-{kind}"]
    )
    return reference


def paragraph(*parts: nodes.Node | str) -> nodes.paragraph:
    """A paragraph of nodes and plain text."""
    made = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.paragraph("", "", *made)


def separated(parts: Sequence[nodes.Node]) -> list[nodes.Node]:
    """Nodes with commas between them."""
    result: list[nodes.Node] = []
    for part in parts:
        result += [nodes.Text(", "), part] if result else [part]
    return result


def row(cells: Sequence[nodes.Node], columns: int) -> nodes.row:
    """A row of a table; a single cell takes its whole width."""
    result = nodes.row("", *[nodes.entry("", cell) for cell in cells])
    if len(cells) == 1:
        result[0]["morecols"] = columns - 1
    return result


def table(
    header: list[str],
    widths: list[int],
    rows: Iterable[list[nodes.Node]],
    kind: str = "lecture-map",
) -> nodes.table:
    """A table; each row is a list of block nodes, one for each cell, or one for all of them."""
    columns = len(header)
    group = nodes.tgroup("", cols=columns)
    group.extend(nodes.colspec(colwidth=width) for width in widths)
    group += nodes.thead("", row([paragraph(text) for text in header], columns))
    group += nodes.tbody("", *[row(cells, columns) for cells in rows])
    return nodes.table("", group, classes=[kind, "colwidths-given"])


def section(title: str, name: str, *content: nodes.Node) -> nodes.section:
    """A section of the page, with an anchor."""
    result = nodes.section("", nodes.title(title, title), *content, ids=[nodes.make_id(name)])
    result["names"] = [nodes.fully_normalize_name(name)]
    return result


def chapters_text(numbers: Sequence[str]) -> str:
    """Chapters, in words."""
    return ("chapter " if len(numbers) == 1 else "chapters ") + " and ".join(numbers)


class MapDirective(SphinxDirective):
    """What the two tables share: the sources, and a cell that links to the tagged cells."""

    def prepare(self) -> None:
        """Read the sources; as it depends on all of them, the page is read anew in every build."""
        self.env.note_reread()
        self.root = Path(self.env.srcdir)
        self.chapters = common.chapters(self.root)

    def cell_links(self, prefix: str, identifier: str, word: str) -> nodes.paragraph:
        """Links to the cells that carry a tag, a dash where there is none yet."""
        places = common.tagged(self.chapters, prefix).get(identifier, [])
        links = []
        for position, place in enumerate(places):
            name = common.anchor(prefix, identifier, common.position_of(places, position))
            target = f"{place.chapter.docname}:{name}"
            text = f"{word} {position + 1}" if len(places) > 1 else word
            if len({one.chapter for one in places}) > 1:
                text += f" ({place.chapter.number})"
            links.append(cross_reference(self.env.docname, "std", "ref", target, text))
        return paragraph(*separated(links)) if links else paragraph(NOTHING)


class LectureMap(MapDirective):
    """``{lecture-map}``: one table per part of the lecture."""

    def run(self) -> list[nodes.Node]:
        """Build the sections."""
        self.prepare()
        self.derived = common.derivations(self.chapters)
        self.code = common.implementations(self.root / "irl_lib")
        listed = common.equations(self.root)
        parts = [part for part in common.PARTS if any(item["part"] == part for item in listed)]
        return [self.part(part, listed) for part in parts]

    def part(self, part: str, listed: list[dict[str, str]]) -> nodes.section:
        """The equations of one part."""
        rows = [
            cells
            for equation in listed
            if equation["part"] == part
            for cells in (self.formula(equation), self.places(equation))
        ]
        made = table(["equation", "derived", "implemented", "checked"], [28, 16, 40, 16], rows)
        return section(f"Part {part}: {common.PARTS[part]}", f"map-{part}", made)

    def formula(self, equation: dict[str, str]) -> list[nodes.Node]:
        """The equation as the slide has it, over the table's whole width."""
        slide = equation["slide"]
        return [nodes.math_block(slide, slide, nowrap=False, number=None, label=None)]

    def places(self, equation: dict[str, str]) -> list[nodes.Node]:
        """The equation's name and the three places."""
        identifier = equation["id"]
        name = paragraph(nodes.literal(identifier, identifier))
        name["ids"] = [f"map-{identifier}"]
        return [
            name,
            self.derivation(identifier, equation["part"]),
            self.implementation(identifier),
            self.cell_links("verifies", identifier, "check"),
        ]

    def derivation(self, identifier: str, part: str) -> nodes.paragraph:
        """A link to the equation in its chapter, or the chapter in which it will be."""
        places = self.derived.get(f"eq-{identifier}", [])
        if not places:
            return paragraph(chapters_text(common.CHAPTERS_OF_PART[part]))
        link = cross_reference(self.env.docname, "math", "eq", f"eq-{identifier}", "")
        return paragraph(link, f" in {places[0].chapter.number}")

    def implementation(self, identifier: str) -> nodes.paragraph:
        """Links to the objects that say they implement it."""
        found = [code.name for code in self.code if identifier in code.equations]
        if found:
            return paragraph(*separated([ApiLink("", name=name) for name in found]))
        return paragraph("in the cell" if f"eq-{identifier}" in self.derived else NOTHING)


class LectureClaims(MapDirective):
    """``{lecture-claims}``: a table of the claims and of the cells that show them."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        self.prepare()
        self.replicated = common.replications(self.root, self.chapters)
        rows = [
            [
                paragraph(claim["claim"]),
                paragraph(chapters_text(common.chapters_of_claim(claim))),
                self.cell_links("demonstrates", claim["id"], "shown"),
                self.cell_links("control", claim["id"], "control"),
                paragraph(self.other_seeds(claim["id"])),
            ]
            for claim in common.claims(self.root)
        ]
        header = ["claim", "where", "cell", "without the cause", "other seeds"]
        return [table(header, [48, 14, 12, 14, 12], rows)]

    def other_seeds(self, identifier: str) -> str:
        """For how many other seeds the claim's cells and its controls hold, chapter by chapter."""
        names = [f"{kind}:{identifier}" for kind in ("demonstrates", "control")]
        texts = []
        for chapter in self.chapters:
            keys = [(chapter.name, name) for name in names]
            runs = [self.replicated[key] for key in keys if key in self.replicated]
            if runs:
                held = [all(seed) for seed in zip(*runs, strict=True)]
                texts.append(f"{sum(held)} of {len(held)}")
        return ", ".join(texts) or NOTHING


class ApiLink(nodes.General, nodes.Element):
    """A link to an object of the package, resolved when the API page has been read."""


def documented(name: str, objects: dict[str, Any]) -> str | None:
    """The object itself if the API page has it, else the innermost thing around it that is."""
    while name and name not in objects:
        name = name.rpartition(".")[0]
    return name or None


def resolve_api_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn each `ApiLink` into a link to the API page, or into plain code where it has no entry."""
    objects = app.env.get_domain("py").objects
    for node in list(doctree.findall(ApiLink)):
        short = node["name"].removeprefix("irl_lib.")
        text = nodes.literal(short, short)
        target = documented(node["name"], objects)
        if target is None:
            node.replace_self(text)
            continue
        place = objects[target]
        uri = app.builder.get_relative_uri(docname, place.docname) + f"#{place.node_id}"
        node.replace_self(nodes.reference("", "", text, internal=True, refuri=uri))


def anchor_tagged_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give the cells that verify or demonstrate something the anchors that the map links to."""
    labels = app.env.get_domain("std").anonlabels
    seen: dict[str, int] = {}
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") != "cell_code":
            continue
        for tag in node.get("cell_metadata", {}).get("tags", []):
            prefix, _, identifier = tag.partition(":")
            if prefix in ANCHORED and identifier:
                name = common.anchor(prefix, identifier, seen.get(tag, 0))
                seen[tag] = seen.get(tag, 0) + 1
                node["ids"].append(name)
                labels[f"{app.env.docname}:{name}"] = (app.env.docname, name)


def link_equations(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let a docstring's ``Implements:`` line link to the equations that the book derives."""
    text = "\n".join(lines)
    if "Implements:" not in text:
        return
    derived = common.derivations(common.chapters(Path(app.srcdir)))

    def linked(match: re.Match[str]) -> str:
        return f"{match[0]} :eq:`{match[0]}`" if match[0] in derived else match[0]

    text = common.IMPLEMENTS.sub(lambda line: EQUATION_NAME.sub(linked, line[0]), text)
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the handlers."""
    app.add_directive("lecture-map", LectureMap)
    app.add_directive("lecture-claims", LectureClaims)
    app.add_node(ApiLink)
    app.connect("doctree-read", anchor_tagged_cells)
    app.connect("doctree-resolved", resolve_api_links)
    app.connect("autodoc-process-docstring", link_equations)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
