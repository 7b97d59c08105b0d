"""The part of a notebook that a function needs.

Grading runs the imports, functions, classes and assignments that a graded function uses, directly
or through others, in their order, and nothing else: no training run, no plot, no call for its own
sake.  A name counts with the value that it has when it is read: what a later statement replaces is
left out.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

ALONE = Lock()  # Python 3.11 counts the depth of all threads' trees together


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a notebook: what it binds, and what it uses.

    ``replaces`` are those of the bound names whose earlier values are gone; ``later`` the used ones
    that are read when a function is called.
    """

    source: str
    binds: frozenset[str]
    replaces: frozenset[str]
    uses: frozenset[str]
    later: frozenset[str]


def without_magics(text: str) -> str:
    """Code without the lines that only IPython understands."""
    lines = text.splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def parsed(text: str) -> list[ast.stmt]:
    """Its statements, without magics, if there are any: a line may begin with an operator, too.

    Raises:
        SyntaxError: if Python can't read it.
    """
    with ALONE:
        try:
            return ast.parse(text).body
        except SyntaxError:
            return ast.parse(without_magics(text)).body


def statements(cells: Iterable[str]) -> list[Statement]:
    """Those of all cells that Python can read."""
    found = []
    for text in cells:
        try:
            found += [statement(node) for node in parsed(text)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return found


def statement(node: ast.stmt) -> Statement:
    """One statement."""
    source = ast.unparse(node)
    table = symtable.symtable(source, "notebook", "exec")
    binds = {each.get_name() for each in table.get_symbols() if bound(each)}
    surely = isinstance(
        node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)
    )
    replaces = frozenset(binds if surely else ())
    binds |= filled(node) | stars(node)
    now, later = set(used(table)), set(used_later(table))
    if not isinstance(node, ast.FunctionDef):  # it may call them
        now |= later
    return Statement(source, frozenset(binds), replaces, frozenset(now), frozenset(later))


def bound(symbol: symtable.Symbol) -> bool:
    """Whether a statement gives a name its value."""
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def stars(node: ast.stmt) -> set[str]:
    """An asterisk where a statement imports all that a module has."""
    return {each.name for each in getattr(node, "names", ()) if getattr(each, "name", "") == "*"}


def filled(node: ast.stmt) -> set[str]:
    """The names of what a statement changes by ``name[...] = ...``, in a loop, too."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return set()
    stored = [each for each in ast.walk(node) if isinstance(each, ast.Subscript)]
    stored = [each for each in stored if isinstance(each.ctx, ast.Store)]
    return {each.value.id for each in stored if isinstance(each.value, ast.Name)}


def used(table: symtable.SymbolTable) -> Iterator[str]:
    """The names of the notebook that a statement reads, or that a function has as globals."""
    module = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() if module else symbol.is_global():
            yield symbol.get_name()


def used_later(table: symtable.SymbolTable) -> Iterator[str]:
    """Those that functions in it read."""
    for child in table.get_children():
        yield from used(child)
        yield from used_later(child)


def needed(found: list[Statement], name: str) -> str:
    """The source of what a name needs; nothing where it is not bound."""
    chosen: set[int] = set()
    known: set[tuple[str, int]] = set()
    wanted = {(name, len(found))}  # and the statement that reads it
    while wanted:
        known |= wanted
        more = [(i, at) for each, at in wanted for i in sources(found, each, at)]
        chosen |= {i for i, _ in more}
        wanted = {(each, i) for i, _ in more for each in found[i].uses}
        wanted |= {(each, at) for i, at in more for each in found[i].later}
        wanted -= known
    return "\n".join(found[i].source for i in sorted(chosen))


def sources(found: list[Statement], name: str, at: int) -> list[int]:
    """The statements that have made a name what it is before one of them."""
    own = []
    for i in reversed(range(at)):
        if name in found[i].binds:
            own.append(i)
        if name in found[i].replaces:
            break
    if own or hasattr(builtins, name):
        return own
    return [i for i in range(at) if "*" in found[i].binds]
