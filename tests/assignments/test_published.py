"""What is published: starters that run as on Colab, and no solution anywhere."""

from __future__ import annotations

import html
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from handed_in import MASTERS

import colab_runtime as runtime
from assignments.master import SOLUTION, Master, source
from environments import NoEnvironmentError
from test_colab import BOOTSTRAP_SECONDS, PYTHON, TORCH, execute, printed

ROOT = Path(__file__).resolve().parents[2]
TEXT = {".html", ".ipynb", ".js", ".json", ".txt", ".md", ".py", ".xml", ".csv", ".css", ".inv"}


def test_there_is_a_starter_for_each_assignment(site: Path) -> None:
    assert {path.stem for path in (site / "starter").iterdir()} == set(MASTERS)


def interpreter(code: str) -> Path:
    """One with Colab's versions, or the book's where torch is needed."""
    if TORCH.search(code):
        return Path(sys.executable)
    try:
        return runtime.colab_environment(ROOT / ".cache", PYTHON)
    except NoEnvironmentError as reason:
        if os.environ.get("REQUIRE_COLAB") == "1":
            pytest.fail(f"REQUIRE_COLAB is set, but {reason}")
        pytest.skip(f"no environment with Colab's versions: {reason}")


def test_an_untouched_starter_runs_as_on_colab(site: Path, master: Master, tmp_path: Path) -> None:
    made = nbformat.read(site / "starter" / f"{master.name}.ipynb", as_version=4)
    nbformat.validate(made)
    base = interpreter("\n".join(cell.source for cell in made.cells if cell.cell_type == "code"))
    python = runtime.overlay(tmp_path / "overlay", base)
    with runtime.served(site) as address:
        seconds = execute(made, tmp_path, python, address)
    said = [printed(cell) for cell in made.cells if cell.cell_type == "code"]
    visible = {check.name for _, check in master.checks if not check.hidden}
    for name in visible:
        assert any(f"{name}: not attempted yet" in text for text in said), name
    errors = [o for cell in made.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert not errors
    assert seconds[1] < BOOTSTRAP_SECONDS


# ---- what must not be there


def squeezed(text: str) -> str:
    """Text without white space."""
    return re.sub(r"\s+", "", text)


def pairs(block: str) -> Iterator[str]:
    """Each two lines of a solution that follow each other."""
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("# BEGIN", "# END"))]
    for one, two in pairwise(lines):
        if len(one) + len(two) > 40:
            yield squeezed(one + two)


@cache
def secrets() -> frozenset[str]:
    """What must be nowhere: solutions, hidden tests, model answers, listed answers."""
    found: set[str] = set()
    for master in MASTERS.values():
        for question in master.questions:
            for cell in question.solution:
                if cell["cell_type"] == "markdown":
                    found |= {squeezed(p) for p in source(cell).split("\n\n") if len(p) > 40}
                for block in SOLUTION.finditer(source(cell)):
                    found |= set(pairs(block.group()))
            for cell in question.tests:
                if source(cell).startswith("# HIDDEN"):
                    found |= set(pairs(source(cell)))
        for styles in master.answers["RIGHT"].values():
            found |= {pair for text in styles.values() for pair in pairs(text)}
    assert len(found) > 100
    taught = {secret for secret in found if secret in chapters()}
    assert len(taught) < 5, taught  # two lines that a chapter writes, too, give nothing away
    return frozenset(found - taught)


@cache
def chapters() -> str:
    """The code of all chapters."""
    cells = [
        cell
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    return squeezed("\n".join("".join(cell["source"]) for cell in cells))


def readings(name: str, data: bytes) -> Iterator[str]:
    """What a file says, as source and as it is shown."""
    text = data.decode(errors="replace")
    yield squeezed(text)
    if name.endswith(".html"):
        yield squeezed(html.unescape(re.sub(r"<[^>]*>", "", text)))
    if name.endswith((".ipynb", ".json", ".js")):
        plain = re.sub(r'",\s*"', "", text)
        yield squeezed(plain.replace("\\n", " ").replace('\\"', '"').replace("\\\\", "\\"))


def leaks(name: str, data: bytes) -> list[str]:
    """The secrets in a file."""
    return [secret for text in readings(name, data) for secret in secrets() if secret in text]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The text files of a folder, those in archives too."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as held:
                yield from ((f"{path.name}/{n}", held.read(n)) for n in held.namelist())
        elif path.is_file() and path.suffix in TEXT:
            yield str(path.relative_to(folder)), path.read_bytes()


def test_no_solution_is_published(site: Path) -> None:
    seen = 0
    for name, data in files(site):
        if "_static/mathjax" in name:
            continue
        seen += 1
        assert leaks(name, data) == [], name
        assert "assignments/" not in name
        assert not name.endswith(("answers.py", "assignments/child.py"))
    assert seen > 50


def test_a_leak_would_be_found() -> None:
    text = next(iter(MASTERS.values())).path.read_bytes()
    assert leaks("hw1.ipynb", text)
    shown = "<pre><span>chain = np.einsum(</span>&quot;sa,sat-&gt;st&quot;, policy, transitions)\n"
    shown += "system = np.eye(len(initial)) - discount * chain.T</pre>"
    assert leaks("page.html", shown.encode())
