"""Sphinx extension: the lecture map, made from labels, tags and docstrings.

``{lecture-map}`` lists every equation of the lecture with the places where it is derived,
implemented and checked; ``{lecture-claims}`` every further claim with the cell that shows it.
Nothing on the map is written by hand, so it cannot be out of date.  Cells with a ``verifies:`` or
``demonstrates:`` tag get an anchor, and the equation names in docstrings become links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import irl_book_common as common

ANCHORED = ("verifies", "demonstrates")
EQUATION_NAME = re.compile(r"\beq-([a-z0-9]+(?:-[a-z0-9]+)*)")


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


def joined(parts: Iterable[nodes.Node]) -> nodes.paragraph:
    """A paragraph of nodes with commas between them."""
    result = paragraph()
    for position, part in enumerate(parts):
        if position:
            result += nodes.Text(", ")
        result += part
    return result


def table(
    title: str, header: list[str], widths: list[int], rows: list[list[nodes.Node]]
) -> nodes.table:
    """A captioned table; each row is a list of block nodes."""
    group = nodes.tgroup("", cols=len(header))
    group.extend(nodes.colspec(colwidth=width) for width in widths)
    head = [paragraph(text) for text in header]
    group += nodes.thead("", nodes.row("", *[nodes.entry("", cell) for cell in head]))
    body = [nodes.row("", *[nodes.entry("", cell) for cell in row]) for row in rows]
    group += nodes.tbody("", *body)
    caption = nodes.title("", title)
    return nodes.table("", caption, group, classes=["lecture-map", "colwidths-given"])


def chapters_text(part: str) -> str:
    """The chapters that a part of the lecture belongs to, in words."""
    numbers = common.CHAPTERS_OF_PART[part]
    return ("chapter " if len(numbers) == 1 else "chapters ") + " and ".join(numbers)


class MapDirective(SphinxDirective):
    """What the two tables share: the sources, and a cell that links to the tagged cells."""

    def prepare(self) -> None:
        """Read the sources; as it depends on all of them, the page is read anew in every build."""
        self.env.note_reread()
        self.root = Path(self.env.srcdir)
        self.chapters = common.chapters(self.root)

    def cell_links(self, prefix: str, identifier: str, part: str, word: str) -> nodes.paragraph:
        """Links to the cells that carry a tag, or the chapters in which they will."""
        places = common.tagged(self.chapters, prefix).get(identifier, [])
        if not places:
            return paragraph(chapters_text(part))
        return joined(
            cross_reference(
                self.env.docname,
                "std",
                "ref",
                common.anchor(prefix, identifier, position),
                f"{word} {place.chapter.number}" if len(places) == 1 else f"{word} {position + 1}",
            )
            for position, place in enumerate(places)
        )

    def section(self, part: str, prefix: str, content: nodes.Node) -> nodes.section:
        """A section for one part of the lecture."""
        title = f"{part}: {common.PARTS[part]}"
        result = nodes.section("", nodes.title(title, title), content, ids=[f"{prefix}-{part}"])
        result["names"] = [nodes.fully_normalize_name(f"{prefix} {part}")]
        return result


class LectureMap(MapDirective):
    """``{lecture-map}``: one table per part of the lecture."""

    def run(self) -> list[nodes.Node]:
        """Build the sections."""
        self.prepare()
        self.derived = common.derivations(self.chapters)
        self.code = common.implementations(self.root / "irl_lib")
        listed = common.equations(self.root)
        return [
            self.section(part, "map", self.part_table(part, listed))
            for part in common.PARTS
            if any(equation["part"] == part for equation in listed)
        ]

    def part_table(self, part: str, listed: list[dict[str, str]]) -> nodes.table:
        """The equations of one part."""
        rows = [self.row(equation) for equation in listed if equation["part"] == part]
        header = ["equation, as on the slide", "derived", "implemented", "checked"]
        return table(
            f"Part {part} of the lecture, {chapters_text(part)}", header, [55, 12, 21, 12], rows
        )

    def row(self, equation: dict[str, str]) -> list[nodes.Node]:
        """One equation: itself, and the three places."""
        identifier, slide = equation["id"], equation["slide"]
        formula = paragraph(nodes.math(slide, slide))
        name = paragraph(nodes.literal(identifier, identifier))
        return [
            nodes.container("", formula, name, ids=[f"map-{identifier}"]),
            self.derivation(identifier, equation["part"]),
            self.implementation(identifier, equation["part"]),
            self.cell_links("verifies", identifier, equation["part"], "check in"),
        ]

    def derivation(self, identifier: str, part: str) -> nodes.paragraph:
        """A link to the equation in its chapter."""
        places = self.derived.get(f"eq-{identifier}", [])
        if not places:
            return paragraph(chapters_text(part))
        link = cross_reference(self.env.docname, "math", "eq", f"eq-{identifier}", "")
        return paragraph(link)

    def implementation(self, identifier: str, part: str) -> nodes.paragraph:
        """Links to the objects that say they implement it."""
        found = [code.name for code in self.code if identifier in code.equations]
        if found:
            return joined(ApiLink("", name=name) for name in found)
        return paragraph(
            "in the cell" if f"eq-{identifier}" in self.derived else chapters_text(part)
        )


class LectureClaims(MapDirective):
    """``{lecture-claims}``: a table of the claims and of the cells that show them."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        self.prepare()
        rows = [
            [
                paragraph(claim["claim"]),
                paragraph(chapters_text(claim["part"])),
                self.cell_links("demonstrates", claim["id"], claim["part"], "shown in"),
            ]
            for claim in common.claims(self.root)
        ]
        header = ["claim", "chapter", "shown"]
        return [table("What the lecture claims beyond its equations", header, [64, 18, 18], rows)]


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
                labels[name] = (app.env.docname, name)


def link_equations(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let a docstring's ``Implements:`` line link to the equations that the book derives."""
    derived = common.derivations(common.chapters(Path(app.srcdir)))

    def linked(match: re.Match[str]) -> str:
        return f"{match[1]} :eq:`{match[0]}`" if match[0] in derived else match[1]

    text = common.IMPLEMENTS.sub(lambda line: EQUATION_NAME.sub(linked, line[0]), "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the handlers."""
    app.add_directive("lecture-map", LectureMap)
    app.add_directive("lecture-claims", LectureClaims)
    app.add_node(ApiLink)
    app.connect("doctree-read", anchor_tagged_cells)
    app.connect("doctree-resolved", resolve_api_links)
    app.connect("autodoc-process-docstring", link_equations)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
