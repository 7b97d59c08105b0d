"""What code a study's cells depend on, and which state of the package ran them.

A finished cell is the result of a cell as long as the code of the study that `run_cell` reaches
stays the same: another summary or a better docstring make it none out of date.  The package's own
code is not part of that identity, but every finished cell says which state of it ran.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.running import harness


@lru_cache
def source_digest(name: str) -> str:
    """Of the code that a study's `run_cell` reaches, as it was when it was first asked for.

    Of other benchmarks that it imports from, that is all.
    """
    own = reached(inspect.getsource(harness.load(name)), "run_cell")
    others = [inspect.getsource(harness.load(other)) for other in siblings(own)]
    return hashlib.sha256("\n".join([own, *others]).encode()).hexdigest()[:16]


def siblings(code: str) -> list[str]:
    """The modules of this folder that statements import, those apart that run and report."""
    imports = [each for each in ast.parse(code).body if isinstance(each, ast.ImportFrom)]
    found = {alias.name for each in imports if each.module == "benchmarks" for alias in each.names}
    parts = [(each.module or "").split(".") for each in imports]
    found |= {part[1] for part in parts if part[0] == "benchmarks" and len(part) > 1}
    return sorted(found & set(harness.names()))


def reached(source: str, start: str) -> str:
    """The statements of a module that a function reaches, without comments and docstrings.

    What it reaches: its own names, those that their definitions use, and so on; and whatever runs
    on import without defining a name.
    """
    statements = [each for each in ast.parse(source).body if not is_text(each)]
    wanted = {start}.union(*(used(each) for each in statements if not bound(each)))
    while True:
        chosen = [each for each in statements if not bound(each) or bound(each) & wanted]
        more = wanted.union(*(used(each) for each in chosen))
        if more == wanted:
            return "\n".join(ast.unparse(without_docstrings(each)) for each in chosen)
        wanted = more


def bound(statement: ast.stmt) -> set[str]:
    """The names that a definition, an import or an assignment defines; of other statements none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {each.asname or each.name.partition(".")[0] for each in statement.names}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return set()


def used(statement: ast.stmt) -> set[str]:
    """All names in a statement."""
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or another text that does nothing."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant and isinstance(statement.value.value, str)


def without_docstrings(statement: ast.stmt) -> ast.stmt:
    """The statement, changed in place."""
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = [each for each in node.body if not is_text(each)] or [ast.Pass()]
    return statement


@lru_cache
def package_version() -> str:
    """The version of irl_lib with a digest of its code, as it was when it was first asked for."""
    spec, digest = find_spec("irl_lib"), hashlib.sha256()
    folder = Path(str(spec.origin if spec else None)).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version('irl_lib').partition('+')[0]}+code.{digest.hexdigest()[:12]}"
