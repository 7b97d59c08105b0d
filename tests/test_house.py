"""The floors of the package: a room stands only on those below it, and no system on another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import irl_lib

ROOT = Path(irl_lib.__file__).parent
FLOORS = (
    {"support", "results"},
    {"mdp"},
    {"demonstrations", "planning"},
    {"metrics", "networks", "rollouts", "worlds"},
    {"training"},
    {
        "adversarial",
        "behavior_cloning",
        "guided_cost",
        "iq_learn",
        "language",
        "max_ent",
        "max_margin",
        "routes",
    },
    {"plotting"},
)
HEIGHT = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
SYSTEMS = FLOORS[5]
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = {f"{node.module}.{each.name}" for each in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return {name for name in found if name.partition(".")[0] == "irl_lib"}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def outside(path: Path) -> set[str]:
    """What a file imports of other packages."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in MODULES} == set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path))
def test_a_room_stands_on_lower_floors_alone(path: Path) -> None:
    mine = room(module_of(path))
    for other in {room(each) for each in imports_of(path)} - {mine}:
        assert other != "irl_lib", f"{path} imports the package's face"
        beside = HEIGHT[other] == HEIGHT[mine] and mine not in SYSTEMS
        assert HEIGHT[other] < HEIGHT[mine] or beside, f"{mine} imports {other}"


def test_there_are_no_circles() -> None:
    """A face is imported by whoever imports a module of its room; that is no arrow."""
    todo = {name: imports_of(path) - {name} for name, path in MODULES.items()}
    faces = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for face in faces:
        inside = {name for name in MODULES if name.startswith(f"{face}.")}
        assert all(face not in todo[name] for name in inside), f"{face} is imported from within"
    while todo:
        free = {name for name, wanted in todo.items() if not wanted & todo.keys()}
        assert free, f"a circle among {sorted(todo)}"
        todo = {name: wanted for name, wanted in todo.items() if name not in free}


def test_only_plotting_imports_matplotlib() -> None:
    for path in FILES:
        if "matplotlib" in outside(path):
            assert room(module_of(path)) == "plotting"


def test_training_ascent_knows_nothing_of_mdps_and_planning_nothing_of_torch() -> None:
    for module, path in MODULES.items():
        if module == "irl_lib.training.ascent":
            assert {room(each) for each in imports_of(path)} <= {"support"}
        if room(module) in {"mdp", "planning", "support", "demonstrations"}:
            assert "torch" not in outside(path) or module == "irl_lib.support.checkpoints"
