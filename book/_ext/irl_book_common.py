"""What the book's Sphinx extensions and its tests both need to know about the sources.

Nothing here imports Sphinx or runs a notebook: notebooks are read as JSON, the package's
docstrings with ``ast``.

What ties a lecture equation ``<id>`` to the book:

* its derivation carries the label ``eq-<id>``: ``$$ ... $$ (eq-<id>)``, in one chapter,
* code that implements it says so in a line ``Implements: eq-<id>`` of its docstring,
* the cell that checks it has the tag ``verifies:<id>``,

and a claim of the lecture to the book: the cell that shows it has the tag ``demonstrates:<id>``.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Notebook = dict[str, Any]
Cell = dict[str, Any]

PARTS = {
    "why": "Why imitation, and the problem",
    "v0": "What is a good reward?",
    "v1": "Maximum margin",
    "v2": "Maximum entropy",
    "v3": "Partial policy optimisation",
    "v4": "Adversarial inverse reinforcement learning",
    "v5": "Without an adversary",
}
CHAPTERS_OF_PART = {
    "why": ("01",),
    "v0": ("02",),
    "v1": ("03",),
    "v2": ("04",),
    "v3": ("05", "06"),
    "v4": ("07",),
    "v5": ("08", "09"),
}
CHECKS = re.compile(r"^\s*assert\b|\b(?:np|numpy)\.testing\.|\bcheck\w*\(", re.MULTILINE)
FENCE = re.compile(r"^\s*(?P<mark>`{3,}|~{3,})\s*(?P<info>.*?)\s*$")
DOLLAR_LABEL = re.compile(r"\$\$\s*\(([^()\s]+)\)")
OPTION_LABEL = re.compile(r"^\s*:label:\s*(eq-\S+)\s*$", re.MULTILINE)
IMPLEMENTS = re.compile(r"^\s*Implements:((?:[^\n]*,\s*\n)*[^\n]*)", re.MULTILINE)


# What tokenize finds in lines without code.
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


class Chapter(NamedTuple):
    """A notebook that the table of contents names."""

    docname: str
    """Its path from the repository's root, without the suffix."""
    path: Path

    @property
    def name(self) -> str:
        """The notebook's name, ``04_maximum_entropy``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits that its name begins with."""
        return self.path.stem[:2]


class Place(NamedTuple):
    """Where a label or a tag was found."""

    chapter: Chapter
    cell: Cell
    index: int
    """The position of the cell among all cells of its notebook, from zero."""


class Implementation(NamedTuple):
    """An object of the package whose docstring says which equations it implements."""

    name: str
    """Dotted, from the package on: ``irl_lib.planning.occupancy``."""
    equations: tuple[str, ...]
    """Identifiers, without the prefix ``eq-``."""


def load_yaml(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def equations(root: Path) -> list[dict[str, str]]:
    """The lecture's equations in its order: dicts with ``id``, ``part``, ``slide``, ``check``."""
    return list(load_yaml(root / "book" / "equations.yml"))


def claims(root: Path) -> list[dict[str, Any]]:
    """What the lecture claims beyond its equations: dicts with ``id``, ``part``, ``claim``."""
    return list(load_yaml(root / "book" / "claims.yml"))


def toc_files(node: Any) -> Iterator[str]:
    """Every ``file`` (and the root) of a table of contents, in order."""
    if isinstance(node, list):
        for item in node:
            yield from toc_files(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield str(value)
            elif isinstance(value, list | dict):
                yield from toc_files(value)


def chapters(root: Path) -> list[Chapter]:
    """The notebooks of the table of contents, in its order."""
    names = (name.removesuffix(".ipynb") for name in toc_files(load_yaml(root / "_toc.yml")))
    return [
        Chapter(name, root / f"{name}.ipynb")
        for name in names
        if name.startswith("notebooks/") and (root / f"{name}.ipynb").is_file()
    ]


def due_parts(present: list[Chapter]) -> set[str]:
    """The parts of the lecture whose chapters are all there: nothing of them may be missing."""
    numbers = {chapter.number for chapter in present}
    return {part for part, needed in CHAPTERS_OF_PART.items() if numbers.issuperset(needed)}


@lru_cache(maxsize=64)
def _parsed(path: Path, modified: int) -> Notebook:
    """A notebook's JSON, parsed once for each state of its file."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def read_notebook(path: Path) -> Notebook:
    """A notebook as the JSON that it is; shared between callers, so not to be changed."""
    return _parsed(path, path.stat().st_mtime_ns)


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(cell: Cell) -> str:
    """A cell's text; the format allows a string and a list of lines."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def tags(cell: Cell) -> list[str]:
    """A cell's tags."""
    return list(cell.get("metadata", {}).get("tags", []))


def code_cells(notebook: Notebook) -> list[Cell]:
    """The code cells that hold code, in order."""
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    return [cell for cell in cells if source(cell).strip()]


def chapters_of_claim(claim: dict[str, Any]) -> tuple[str, ...]:
    """The chapters that show a claim: its own list, or all chapters of its part."""
    return tuple(claim.get("chapters", CHAPTERS_OF_PART[claim["part"]]))


def is_check(cell: Cell) -> bool:
    """Whether a cell is code that was run and that asserts something."""
    executed = cell["cell_type"] == "code" and cell.get("execution_count") is not None
    return executed and CHECKS.search(source(cell)) is not None


def without_code(markdown: str) -> str:
    """Markdown without the code blocks in it; the content of directives is Markdown and stays."""
    kept: list[str] = []
    directives: list[str] = []
    code = ""
    for line in markdown.split("\n"):
        match = FENCE.match(line)
        mark, info = (match["mark"], match["info"]) if match else ("", "")
        if code:
            code = "" if mark.startswith(code) and not info else code
            continue
        if mark and not info and directives and mark.startswith(directives[-1]):
            directives.pop()
        elif mark and info.startswith("{") and not info.startswith("{code"):
            directives.append(mark)
        elif mark:
            code = mark
            continue
        kept.append(line)
    return "\n".join(kept)


def equation_labels(markdown: str) -> list[str]:
    """The labels that MyST Markdown gives to equations."""
    plain = without_code(markdown)
    return DOLLAR_LABEL.findall(plain) + OPTION_LABEL.findall(plain)


def derivations(present: list[Chapter]) -> dict[str, list[Place]]:
    """Where each equation label stands, ``{"eq-<id>": [place, ...]}``; two are a mistake."""
    found: dict[str, list[Place]] = {}
    for chapter in present:
        for index, cell in enumerate(read_notebook(chapter.path)["cells"]):
            if cell["cell_type"] == "markdown":
                for label in equation_labels(source(cell)):
                    found.setdefault(label, []).append(Place(chapter, cell, index))
    return found


def tagged(present: list[Chapter], prefix: str) -> dict[str, list[Place]]:
    """The cells whose tags begin with ``prefix`` and a colon, by what follows it."""
    found: dict[str, list[Place]] = {}
    for chapter in present:
        for index, cell in enumerate(read_notebook(chapter.path)["cells"]):
            for tag in tags(cell):
                if tag.startswith(f"{prefix}:"):
                    found.setdefault(tag.split(":", 1)[1], []).append(Place(chapter, cell, index))
    return found


def code_digest(notebook: Notebook) -> str:
    """Of a notebook's code and of the tags in it: what other seeds were run with."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    named = sorted({tag for cell in code for tag in tags(cell)})
    text = "\n".join(source(cell) for cell in code)
    return hashlib.sha256(json.dumps([text, named]).encode()).hexdigest()[:16]


def replications(root: Path, present: list[Chapter]) -> dict[tuple[str, str], list[bool]]:
    """Whether the cells with a tag held for other seeds, ``{(chapter, tag): [held, ...]}``.

    Nothing of a chapter whose code has changed since.
    """
    path = root / "book" / "results" / "replication.json"
    stored = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    current = {(one.name, code_digest(read_notebook(one.path))) for one in present}
    found: dict[tuple[str, str], list[bool]] = {}
    for run in stored:
        chapter, code = run["cell"]["chapter"], run["cell"]["code"]
        held, failed = run["result"]["held"], run["result"]["failed"]
        if (chapter, code) in current:
            for tag in {*held, *failed}:
                found.setdefault((chapter, tag), []).append(tag not in failed)
    return found


def position_of(places: list[Place], index: int) -> int:
    """How many of the places before this one are in the same chapter."""
    return sum(place.chapter == places[index].chapter for place in places[:index])


def anchor(prefix: str, identifier: str, position: int) -> str:
    """The anchor of the cell that is the ``position``-th (from zero) to carry a tag."""
    return f"{prefix}-{identifier}" + (f"-{position + 1}" if position else "")


def implemented_ids(docstring: str) -> tuple[str, ...]:
    """The identifiers that a docstring's ``Implements:`` line names, without ``eq-``."""
    found: list[str] = []
    for match in IMPLEMENTS.finditer(docstring):
        found += [word.strip().rstrip(".") for word in match.group(1).split(",")]
    return tuple(word.removeprefix("eq-") for word in found if word)


def module_file(root: Path, module: str) -> Path:
    """The file of a module of the package, whose dotted name begins with ``irl_lib``."""
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def docstring(path: Path) -> str:
    """The docstring of a module."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def code_lines(path: Path) -> int:
    """The lines of a module that hold code: no docstrings, comments, blank lines."""
    text = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    held = (range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in NO_CODE)
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = (
        range(child.lineno, (child.end_lineno or 0) + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
        for child in node.body
        if isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Constant)
        and isinstance(child.value.value, str)
    )
    return len({*chain(*held)} - {*chain(*texts)})


def _definitions(module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The dotted name and the docstring of a module and of everything defined in it."""
    stack: list[tuple[str, ast.AST]] = [(module, tree)]
    while stack:
        name, node = stack.pop(0)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, ast.get_docstring(node) or ""
            kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            stack += [
                (f"{name}.{child.name}", child) for child in node.body if isinstance(child, kinds)
            ]


def implementations(package: Path) -> list[Implementation]:
    """The objects of a package that say which equations they implement; nothing is imported."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name, docstring in _definitions(module, ast.parse(path.read_text(encoding="utf-8"))):
            if ids := implemented_ids(docstring):
                found.append(Implementation(name, ids))
    return found
