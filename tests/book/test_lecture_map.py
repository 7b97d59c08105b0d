"""Each equation of the lecture whose chapter exists is derived and checked; the map says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup, Tag

import irl_book_common as common

ROOT = Path(__file__).resolve().parents[2]


def missing(root: Path) -> list[str]:
    """What the equations of due parts lack: a derivation, or an executed cell that asserts."""
    present = common.chapters(root)
    due, found = common.due_parts(present), []
    derived, verified = common.derivations(present), common.tagged(present, "verifies")
    for equation in common.equations(root):
        name = equation["id"]
        if equation["part"] not in due:
            continue
        if f"eq-{name}" not in derived:
            found.append(f"{name} has no derivation: no equation has the label eq-{name}")
        if not any(common.is_check(place.cell) for place in verified.get(name, [])):
            found.append(f"{name} has no check: no executed, asserting cell has verifies:{name}")
    return found


def missing_claims(root: Path) -> list[str]:
    """The claims whose chapters all exist and that no executed, asserting cell shows."""
    present = common.chapters(root)
    shown = common.tagged(present, "demonstrates")
    numbers = {chapter.number for chapter in present}
    return [
        f"{claim['id']} is not shown: no cell has demonstrates:{claim['id']}, or asserts"
        for claim in common.claims(root)
        if numbers.issuperset(common.chapters_of_claim(claim))
        and not any(common.is_check(place.cell) for place in shown.get(claim["id"], []))
    ]


def missing_controls(root: Path) -> list[str]:
    """The claims that a cell shows, and that no executed, asserting cell is the control of."""
    present = common.chapters(root)
    controls = common.tagged(present, "control")
    return [
        f"{name} has no control: no cell has control:{name}, or asserts"
        for name in common.tagged(present, "demonstrates")
        if not any(common.is_check(place.cell) for place in controls.get(name, []))
    ]


def idle_tags(root: Path) -> list[str]:
    """Tagged cells that do not assert, or that readers never see."""
    present = common.chapters(root)
    found = []
    for prefix in ("verifies", "demonstrates", "control"):
        for name, places in common.tagged(present, prefix).items():
            for place in places:
                if not common.is_check(place.cell):
                    found.append(f"{place.chapter.name}, {prefix}:{name}: the cell asserts nothing")
                if "remove-cell" in common.tags(place.cell):
                    found.append(f"{place.chapter.name}, {prefix}:{name}: the cell is removed")
    return found


def unknown(root: Path) -> list[str]:
    """Names in labels, tags and docstrings that the lists do not have."""
    present = common.chapters(root)
    known = {equation["id"] for equation in common.equations(root)}
    claimed = {claim["id"] for claim in common.claims(root)}
    labels = [name for name in common.derivations(present) if name.startswith("eq-")]
    found = [f"label {name}" for name in labels if name.removeprefix("eq-") not in known]
    found += [f"tag verifies:{n}" for n in common.tagged(present, "verifies") if n not in known]
    found += [
        f"tag {kind}:{n}"
        for kind in ("demonstrates", "control")
        for n in common.tagged(present, kind)
        if n not in claimed
    ]
    return found + [
        f"docstring of {code.name}: {name}"
        for code in common.implementations(root / "irl_lib")
        for name in code.equations
        if name not in known
    ]


def repeated(root: Path) -> list[str]:
    """Labels that two equations have, and names that stand twice in a list."""
    derived = common.derivations(common.chapters(root))
    found = [f"label {name}" for name, places in derived.items() if len(places) > 1]
    for listed in (common.equations(root), common.claims(root)):
        names = [item["id"] for item in listed]
        found += [f"list entry {name}" for name in sorted({x for x in names if names.count(x) > 1})]
    return found


CHECKS: list[Callable[[Path], list[str]]] = [
    missing,
    missing_claims,
    missing_controls,
    idle_tags,
    unknown,
    repeated,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_book(check: Callable[[Path], list[str]]) -> None:
    assert check(ROOT) == []


def test_the_lists_are_whole() -> None:
    parts = [equation["part"] for equation in common.equations(ROOT)]
    assert len(parts) == 50
    assert parts == sorted(parts, key=list(common.PARTS).index), "not in the lecture's order"
    assert {claim["part"] for claim in common.claims(ROOT)} == set(common.PARTS)


def test_the_part_of_each_chapter_is_due() -> None:
    numbers = {chapter.number for chapter in common.chapters(ROOT)}
    assert "04" in numbers
    assert "v2" in common.due_parts(common.chapters(ROOT))


# ---- the page


def page(site: Path, name: str) -> BeautifulSoup:
    """A built page."""
    return BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")


def content(soup: BeautifulSoup) -> Tag:
    """The page's own text, without the frame around it."""
    article = soup.find("article")
    assert isinstance(article, Tag)
    return article


def targets(article: Tag) -> set[str]:
    """Where the links of a page lead."""
    return {unquote(str(link["href"])) for link in article.find_all("a", href=True)}


def is_alive(base: Path, target: str, anchors: dict[Path, set[str]]) -> bool:
    """Whether a link leads to a file that exists, and to an anchor in it."""
    name, _, anchor = target.partition("#")
    path = (base / name).resolve()
    if path not in anchors:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        tree = BeautifulSoup(text, "html.parser")
        anchors[path] = {str(tag["id"]) for tag in tree.find_all(id=True)}
    return path.is_file() and (not anchor or anchor in anchors[path])


def test_the_map_lists_every_equation_in_order(site: Path) -> None:
    names = [tag["id"] for tag in content(page(site, "book/lecture_map")).find_all("p", id=True)]
    assert names == [f"map-{equation['id']}" for equation in common.equations(ROOT)]


def test_the_map_leads_to_derivations_and_checks(site: Path) -> None:
    found = targets(content(page(site, "book/lecture_map")))
    present = common.chapters(ROOT)
    for name, places in common.derivations(present).items():
        if name.startswith("eq-"):
            assert f"../{places[0].chapter.docname}.html#equation-{name}" in found
    for prefix in ("verifies", "demonstrates", "control"):
        for name, places in common.tagged(present, prefix).items():
            for index, place in enumerate(places):
                anchor = common.anchor(prefix, name, common.position_of(places, index))
                assert f"../{place.chapter.docname}.html#{anchor}" in found


def test_the_map_leads_to_the_code(site: Path) -> None:
    found = targets(content(page(site, "book/lecture_map")))
    for code in common.implementations(ROOT / "irl_lib"):
        if not any(part.startswith("_") for part in code.name.split(".")):
            room = code.name.split(".")[1]
            assert f"api/{room}.html#{code.name}" in found


def test_every_link_of_the_map_is_alive(site: Path) -> None:
    anchors: dict[Path, set[str]] = {}
    links = {t for t in targets(content(page(site, "book/lecture_map"))) if ":" not in t}
    here = {t if not t.startswith("#") else f"lecture_map.html{t}" for t in links}
    assert here
    assert [t for t in sorted(here) if not is_alive(site / "book", t, anchors)] == []


# ---- the checks themselves, each on a small book that breaks it


def cell(kind: str, text: str, **extra: Any) -> common.Cell:
    """A cell; code counts as executed unless told otherwise."""
    made: common.Cell = {"cell_type": kind, "id": "x", "metadata": {}, "source": text}
    return made | ({"execution_count": 1, "outputs": []} if kind == "code" else {}) | extra


def checking(tag: str, text: str = "assert x == 1", **extra: Any) -> common.Cell:
    """A code cell with a tag."""
    return cell("code", text, metadata={"tags": [tag]}, **extra)


def made_up(folder: Path, *cells: common.Cell, code: str = "", chapter: str = "04_b") -> Path:
    """A book with two equations, one claim and one chapter."""
    for name in ("book", "notebooks", "irl_lib"):
        (folder / name).mkdir()
    (folder / "_toc.yml").write_text(f"root: book/start\nchapters:\n- file: notebooks/{chapter}\n")
    listed = [
        {"id": "one", "part": "v2", "slide": "1"},
        {"id": "later", "part": "v3", "slide": "2"},
    ]
    (folder / "book" / "equations.yml").write_text(json.dumps(listed))
    claimed = [
        {"id": "shown", "part": "v2", "claim": "it is"},
        {"id": "both", "part": "v2", "chapters": ["03", "04"], "claim": "it will be"},
    ]
    (folder / "book" / "claims.yml").write_text(json.dumps(claimed))
    (folder / "irl_lib" / "planning.py").write_text(code)
    (folder / "notebooks" / f"{chapter}.ipynb").write_text(json.dumps({"cells": cells}))
    return folder


DERIVED = cell("markdown", "We get\n\n$$\n1 = 1\n$$ (eq-one)\n")
CHECKED = checking("verifies:one")
SHOWN = checking("demonstrates:shown", "np.testing.assert_allclose(x, 1)")
CONTROL = checking("control:shown")
WHOLE = (DERIVED, CHECKED, SHOWN, CONTROL)
REMOVED = cell("code", "assert x", metadata={"tags": ["verifies:one", "remove-cell"]})
UNKNOWN_CODE = '"""Values.\n\nImplements: eq-one,\n    eq-three\n"""\n'


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_whole_book_has_nothing_to_complain_of(
    check: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    code = 'def f():\n    """F.\n\n    Implements: eq-one, eq-later\n    """\n'
    assert check(made_up(tmp_path, *WHOLE, code=code)) == []


@pytest.mark.parametrize(
    ("check", "cells", "code"),
    [
        (missing, (CHECKED, SHOWN), ""),
        (missing, (DERIVED, SHOWN), ""),
        (missing, (DERIVED, checking("verifies:one", "print(1)")), ""),
        (missing, (DERIVED, checking("verifies:one", execution_count=None)), ""),
        (missing, (cell("markdown", "```\n$$ 1 $$ (eq-one)\n```"), CHECKED), ""),
        (missing_claims, (DERIVED, CHECKED), ""),
        (missing_controls, (DERIVED, CHECKED, SHOWN), ""),
        (missing_controls, (DERIVED, CHECKED, SHOWN, checking("control:shown", "x")), ""),
        (idle_tags, (*WHOLE, checking("verifies:one", "x = 1")), ""),
        (
            idle_tags,
            (cell("code", "assert x", metadata={"tags": ["verifies:one", "remove-cell"]}),),
            "",
        ),
        (unknown, (*WHOLE, cell("markdown", "$$ 2 $$ (eq-two)")), ""),
        (unknown, (*WHOLE, checking("verifies:two")), ""),
        (unknown, (*WHOLE, checking("demonstrates:one")), ""),
        (unknown, (*WHOLE, checking("control:one")), ""),
        (unknown, WHOLE, UNKNOWN_CODE),
        (repeated, (*WHOLE, DERIVED), ""),
        (repeated, (*WHOLE, cell("markdown", "```{math}\n:label: eq-one\n1\n```")), ""),
    ],
)
def test_a_broken_book_is_found_out(
    check: Callable[[Path], list[str]], cells: tuple[common.Cell, ...], code: str, tmp_path: Path
) -> None:
    assert check(made_up(tmp_path, *cells, code=code))


def replicated(root: Path, *runs: tuple[list[str], list[str]], code: str = "") -> None:
    """Store runs of the made-up chapter for other seeds."""
    (chapter,) = common.chapters(root)
    known = code or common.code_digest(common.read_notebook(chapter.path))
    cells = [
        {
            "cell": {"chapter": chapter.name, "code": known, "seed": seed},
            "result": {"held": held, "failed": failed},
        }
        for seed, (held, failed) in enumerate(runs, 1)
    ]
    (root / "book" / "results").mkdir()
    (root / "book" / "results" / "replication.json").write_text(json.dumps({"cells": cells}))


def test_other_seeds_are_counted_for_the_present_code_alone(tmp_path: Path) -> None:
    root = made_up(tmp_path, *WHOLE)
    chapters = common.chapters(root)
    assert common.replications(root, chapters) == {}
    tag = "demonstrates:shown"
    replicated(root, ([tag], []), ([], [tag]), ([tag], [tag]))
    assert common.replications(root, chapters) == {("04_b", tag): [True, False, False]}


def test_other_seeds_of_other_code_are_not_counted(tmp_path: Path) -> None:
    root = made_up(tmp_path, *WHOLE)
    replicated(root, (["demonstrates:shown"], []), code="0" * 16)
    assert common.replications(root, common.chapters(root)) == {}


def test_parts_without_their_chapters_are_not_due(tmp_path: Path) -> None:
    root = made_up(tmp_path, chapter="05_c")
    assert common.due_parts(common.chapters(root)) == set()
    assert missing(root) == []


@pytest.mark.parametrize(
    ("markdown", "labels"),
    [
        ("$$ x $$ (eq-a)", ["eq-a"]),
        ("$$\nx\n$$ (eq-a)\n\n$$\ny\n$$", ["eq-a"]),
        ("```\n$$ x $$ (eq-a)\n```", []),
        ("````md\n```\n$$ x $$ (eq-a)\n```\n````", []),
        (
            "```{note}\n$$ x $$ (eq-a)\n```\n\n$$ y $$ (eq-b)\n\n```py\n$$ z $$ (eq-c)\n```",
            ["eq-a", "eq-b"],
        ),
        ("````{note}\n```{math}\n:label: eq-a\nx\n```\n````", ["eq-a"]),
        (":::{math}\n:label: eq-a\nx\n:::", ["eq-a"]),
        ("```{code-block} md\n$$ x $$ (eq-a)\n```\n$$ y $$ (eq-b)", ["eq-b"]),
    ],
)
def test_labels_are_found(markdown: str, labels: list[str]) -> None:
    assert common.equation_labels(markdown) == labels


def test_docstrings_are_found_at_every_level(tmp_path: Path) -> None:
    code = (
        '"""M.\n\nImplements: eq-one\n"""\n'
        'class A:\n    """A.\n\n    Implements: eq-later\n    """\n'
        '    def f(self):\n        """F.\n\n        Implements: eq-one, eq-later.\n        """\n'
    )
    found = common.implementations(made_up(tmp_path, code=code) / "irl_lib")
    assert [(item.name, item.equations) for item in found] == [
        ("irl_lib.planning", ("one",)),
        ("irl_lib.planning.A", ("later",)),
        ("irl_lib.planning.A.f", ("one", "later")),
    ]
