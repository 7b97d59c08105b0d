"""What long runs came to: the stored results of the book's benchmarks and studies.

A result is one file of JSON that says which command made it, when, with which versions and on what
machine.  In a checkout these files are those of ``book/results``; the wheel carries copies of the
same files, so that a chapter can show a result wherever it runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

PACKAGED = resources.files("irl_lib") / "data" / "results"  # in the wheel alone
CHECKOUT = Path(__file__).resolve().parent.parent / "book" / "results"
OTHERS = ("notebooks",)  # files of that folder that no benchmark wrote


@dataclass(frozen=True)
class StoredResult:
    """A stored result, and where it comes from.

    Attributes:
        name: what it is called.
        command: what made it, in a checkout of the book.
        versions: of the interpreter and of the packages that count.
        machine: cores and processor that it was computed on.
        date: the day, ``YYYY-MM-DD``.
        columns: what the keys of the rows mean, for the header of a table.
        rows: the table, a dict for each row.
        cells: of a study, what the rows were made from: dicts with ``cell``, the parameters (the
            seed among them), ``result``, and ``seconds``.  A benchmark has none.
        missing: of a study that was stored before its end, how many cells it lacks; else nothing.
    """

    name: str
    command: str
    versions: dict[str, str]
    machine: dict[str, Any]
    date: str
    columns: dict[str, str]
    rows: tuple[dict[str, Any], ...]
    cells: tuple[dict[str, Any], ...] = ()
    missing: str = ""


def names() -> tuple[str, ...]:
    """The results that there are, sorted.

    Example:
        >>> "abbeel_ng" in names()
        True
    """
    files = (each.name for each in _folder().iterdir())
    stems = (name.removesuffix(".json") for name in files if name.endswith(".json"))
    return tuple(sorted(stem for stem in stems if stem not in OTHERS))


def load(name: str) -> StoredResult:
    """A stored result.

    Raises:
        ValueError: when there is none of this name; it lists those that there are.
        FileNotFoundError: when the package was installed without any.

    Example:
        >>> expert = load("cartpole_expert")
        >>> expert.command
        'python -m benchmarks cartpole_expert'
        >>> expert.rows[0]["environment"]
        'CartPole-v1'
    """
    if name not in names():
        raise ValueError(f"name is {name!r}; there are: {', '.join(names())}")
    stored = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return StoredResult(
        name=name,
        command=stored["command"],
        versions=stored["versions"],
        machine=stored["machine"],
        date=stored["date"],
        columns=stored["columns"],
        rows=tuple(stored["results"]),
        cells=tuple(stored.get("cells", ())),
        missing=stored.get("missing", ""),
    )


def _folder() -> Traversable:
    """Where the results are."""
    for folder in (PACKAGED, CHECKOUT):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"irl_lib has no stored results, neither in {PACKAGED} nor {CHECKOUT}")
