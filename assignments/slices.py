"""The part of a notebook that a function needs.

Grading runs the imports, functions, classes and assignments that a graded function uses, directly
or through others, in their order, and nothing else: no training run, no plot, no call for its own
sake.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a notebook: what it binds, and what it uses."""

    source: str
    binds: frozenset[str]
    uses: frozenset[str]


def without_magics(text: str) -> str:
    """Code without the lines that only IPython understands."""
    lines = text.splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def statements(cells: Iterable[str]) -> list[Statement]:
    """Those of all cells that Python can read."""
    found = []
    for text in cells:
        try:
            nodes = ast.parse(without_magics(text)).body
            found += [statement(node) for node in nodes]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return found


def statement(node: ast.stmt) -> Statement:
    """One statement."""
    source = ast.unparse(node)
    table = symtable.symtable(source, "notebook", "exec")
    binds = {each.get_name() for each in table.get_symbols() if bound(each)}
    return Statement(source, frozenset(binds | filled(node)), frozenset(used(table)))


def bound(symbol: symtable.Symbol) -> bool:
    """Whether a statement gives a name its value."""
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def filled(node: ast.stmt) -> set[str]:
    """The names of what a statement changes by ``name[...] = ...``."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    subscripts = [each.value for each in targets if isinstance(each, ast.Subscript)]
    return {each.id for each in subscripts if isinstance(each, ast.Name)}


def used(table: symtable.SymbolTable) -> Iterator[str]:
    """The names of the notebook that a statement uses, in functions too."""
    module = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (module or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from used(child)


def needed(found: list[Statement], name: str) -> str:
    """The source of what a name needs; nothing where it is not bound."""
    wanted, chosen = {name}, set()
    while more := {i for i, each in enumerate(found) if each.binds & wanted} - chosen:
        chosen |= more
        wanted |= {each for i in more for each in found[i].uses}
    return "\n".join(found[i].source for i in sorted(chosen))
