"""The pages of the package: every module once, the spine short enough for an afternoon."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import irl_book_common as common
from irl_book_api import home

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 1_500  # of code in the spine, which a student reads in an afternoon
SPINE = re.compile(r"^:::\{spine\}\n(.*?)\n:::$", re.MULTILINE | re.DOTALL)


def spine() -> list[str]:
    """The modules that a student reads, as the package's page lists them."""
    (listed,) = SPINE.findall((ROOT / "book" / "api.md").read_text(encoding="utf-8"))
    return list(listed.split("\n"))


def modules() -> set[str]:
    """All modules of the package."""
    files = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "irl_lib").rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in files}


def test_every_module_is_on_one_page() -> None:
    pages = [ROOT / "book" / "api.md", *(ROOT / "book" / "api").glob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in pages]
    shown = [name for text in texts for name in re.findall(r"automodule:: (\S+)", text)]
    assert sorted(shown) == sorted(modules())


def test_each_page_has_one_room_and_is_in_the_contents() -> None:
    contents = list(common.toc_files(common.load_yaml(ROOT / "_toc.yml")))
    for path in (ROOT / "book" / "api").glob("*.md"):
        shown = re.findall(r"automodule:: (\S+)", path.read_text(encoding="utf-8"))
        assert {name.split(".")[1] for name in shown} == {path.stem}
        assert f"book/api/{path.stem}" in contents


def test_an_object_has_one_entry(site: Path) -> None:
    entries: list[str] = []
    for path in (site / "book" / "api").glob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        entries += [str(tag["id"]) for tag in page.select("dl.py > dt[id]")]
    assert len(entries) > 200
    assert sorted(set(entries)) == sorted(entries)
    assert "irl_lib.planning.bellman.soft_value_iteration" in entries


def test_the_spine_is_read_in_an_afternoon() -> None:
    names = spine()
    assert set(names) <= modules()
    lengths = {name: common.code_lines(common.module_file(ROOT, name)) for name in names}
    assert sum(lengths.values()) <= MOST_LINES, lengths


def test_the_spine_is_whole_and_in_order() -> None:
    """A module of it stands only on those before it, and every system has its main file in it."""
    names = spine()
    ground = ["irl_lib.mdp", "irl_lib.planning.bellman", "irl_lib.planning.occupancies"]
    ground += ["irl_lib.demonstrations.trajectories", "irl_lib.demonstrations.expert"]
    assert names[:5] == ground
    rooms = [name.split(".")[1] for name in names[5:]]
    assert len(set(rooms)) == len(rooms)
    assert {"behavior_cloning", "max_margin", "max_ent", "guided_cost", "adversarial"} <= set(rooms)


def test_the_page_says_how_long_it_is(site: Path) -> None:
    page = BeautifulSoup((site / "book" / "api.html").read_text(encoding="utf-8"), "html.parser")
    rows = [[cell.get_text() for cell in row("td")] for row in page.select("table.spine tbody tr")]
    lengths = [common.code_lines(common.module_file(ROOT, name)) for name in spine()]
    assert [name for name, _, _ in rows[:-1]] == [n.removeprefix("irl_lib.") for n in spine()]
    assert [int(row[-1].replace(",", "")) for row in rows] == [*lengths, sum(lengths)]
    assert all(what for _, what, _ in rows[:-1])


CODE = '''"""A docstring,

of several lines."""
# a comment
import os  # with a comment

TEXT = """not a docstring,

but three lines"""


def f(
    x,
):
    """Do."""
    return x


class A:
    """Be."""

    y: int
    """An attribute."""
'''


def test_lines_of_code_are_counted_without_docstrings_comments_and_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE, encoding="utf-8")
    assert common.code_lines(tmp_path / "a.py") == 1 + 3 + 4 + 2


@pytest.mark.parametrize(
    ("target", "module", "where"),
    [
        ("irl_lib.planning.occupancy", "irl_lib.mdp", "irl_lib.planning.occupancies.occupancy"),
        ("occupancy", "irl_lib.planning", "irl_lib.planning.occupancies.occupancy"),
        ("occupancy", "irl_lib.planning.bellman", "irl_lib.planning.occupancies.occupancy"),
        ("irl_lib.MDP", "irl_lib.planning", "irl_lib.mdp.MDP"),
        ("MDP.started_at", "irl_lib.mdp", "irl_lib.mdp.MDP.started_at"),
        ("irl_lib.planning", "irl_lib.mdp", "irl_lib.planning"),
        ("irl_lib.absent", "irl_lib.mdp", None),
        ("absent", "irl_lib.mdp", None),
    ],
)
def test_a_name_is_found_where_it_is_defined(target: str, module: str, where: str | None) -> None:
    assert home(target, module) == where
