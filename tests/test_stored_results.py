"""Stored results: what the package gives back is what stands in the repository, also installed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from irl_book_site import build_wheel
from irl_lib import results


def run_python(code: str, folder: Path, *path: Path) -> str:
    """What a fresh interpreter prints that looks for packages in ``path`` first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(root, tmp_path_factory.mktemp("wheels"))


def test_every_stored_result_is_given_back_as_it_stands(root: Path) -> None:
    files = {path.stem: path for path in (root / "book" / "results").glob("*.json")}
    assert set(results.names()) == set(files) - {"notebooks"}
    for name in results.names():
        stored = json.loads(files[name].read_text(encoding="utf-8"))
        found = results.load(name)
        assert found.name == name
        assert (found.command, found.versions) == (stored["command"], stored["versions"])
        assert (found.machine, found.date) == (stored["machine"], stored["date"])
        assert (found.columns, list(found.rows)) == (stored["columns"], stored["results"])
        assert list(found.cells) == stored.get("cells", [])


@pytest.mark.parametrize("name", ["absent", "notebooks", "../results/abbeel_ng", "", None])
def test_an_unknown_name_lists_what_there_is(name: object) -> None:
    with pytest.raises(
        ValueError, match=r"there are: abbeel_ng, adversarial, batched_worlds"
    ) as caught:
        results.load(name)
    assert str(caught.value).startswith(f"name is {name!r}; ")
    assert "notebooks," not in str(caught.value)


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        results.load("abbeel_ng").date = "never"


def test_cells_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"command": "c", "versions": {}, "machine": {}, "date": "d", "columns": {}}
    cells = [{"cell": {"seed": 0}, "result": {"x": 1.5}, "seconds": 2.0}]
    stored = json.dumps({**about, "results": [{"x": 1.5}], "cells": cells})
    (tmp_path / "study.json").write_text(stored, encoding="utf-8")
    monkeypatch.setattr(results, "PACKAGED", tmp_path)
    assert results.names() == ("study",)
    assert results.load("study").cells == tuple(cells)
    assert results.load("study").missing == ""


def test_a_part_of_a_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"command": "c", "versions": {}, "machine": {}, "date": "d", "columns": {}}
    stored = json.dumps({**about, "results": [], "missing": "3 of 40 cells"})
    (tmp_path / "study.json").write_text(stored, encoding="utf-8")
    monkeypatch.setattr(results, "PACKAGED", tmp_path)
    assert results.load("study").missing == "3 of 40 cells"


def test_a_package_without_results_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PACKAGED", tmp_path / "here")
    monkeypatch.setattr(results, "CHECKOUT", tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="no stored results"):
        results.load("abbeel_ng")


def test_the_repository_has_them_once(root: Path) -> None:
    assert not (root / "irl_lib" / "data" / "results").exists()


ASK = (
    "from irl_lib import results; print(results.__file__);"
    "print(*results.names()); print(results.load('abbeel_ng').rows)"
)


def test_an_installed_wheel_has_them(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", target, wheel], check=True, capture_output=True)
    where, names, rows = run_python(ASK, tmp_path, target).splitlines()
    assert where.startswith(str(target))
    assert names.split() == list(results.names())
    assert rows == str(results.load("abbeel_ng").rows)
    assert not (target / "irl_lib" / "data" / "results" / "notebooks.json").exists()
    assert not (target / "book").exists()


def test_a_wheel_that_is_not_unpacked_has_them(wheel: Path, tmp_path: Path) -> None:
    where, names, _ = run_python(ASK, tmp_path, wheel).splitlines()
    assert where.startswith(str(wheel))
    assert names.split() == list(results.names())


def test_a_wheel_that_is_made_of_the_source_archive_has_them(root: Path, tmp_path: Path) -> None:
    """A copy without git, as a download of the repository is, through its source archive."""
    names = subprocess.run(
        ["git", "ls-files", "irl_lib", "book/results", "pyproject.toml", "README.md", "LICENSE"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in names:
        copy = tmp_path / "copy" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((root / name).read_bytes())
    build = [sys.executable, "-m", "build", "--no-isolation", "-o", tmp_path / "out"]
    subprocess.run([*build, tmp_path / "copy"], check=True, capture_output=True)
    (made,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        held = {Path(name).name for name in archive.namelist() if "/data/results/" in name}
    kept = {Path(name).name for name in names if name.startswith("book/results/")}
    assert held == kept - {"notebooks.json"}
    assert len(held) > 5
