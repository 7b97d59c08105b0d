"""What trajectories are made of, and the checks of it.

States and actions are whole numbers, ``(L,)``, or vectors of finite floats, ``(L, d)``: all of the
states one or the other, and all of the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from irl_lib.support.checks import Array, as_array, check_array, check_indices, frozen

Entries = NDArray[Any]  # (L,) whole numbers, or (L, d) floats


def width(rows: Sequence[Entries]) -> int | None:
    """The length of the vectors; None where the entries are whole numbers."""
    return None if rows[0].ndim == 1 else int(rows[0].shape[1])


def describe(size: int | None) -> str:
    """A width in words."""
    return "whole numbers" if size is None else f"vectors of length {size}"


def check_trajectories(
    states: Sequence[ArrayLike], actions: Sequence[ArrayLike]
) -> tuple[tuple[Entries, ...], tuple[Entries, ...]]:
    """States and actions as the arrays that are kept, or a ValueError that names the bad one."""
    paths, choices = _rows("states", states), _rows("actions", actions)
    if not paths or len(paths) != len(choices):
        raise ValueError(
            f"states and actions have {len(paths)} and {len(choices)} trajectories; "
            "expected as many of each, and at least one"
        )
    for i, (s, a) in enumerate(zip(paths, choices, strict=True)):
        if len(s) != len(a) + 1:
            raise ValueError(
                f"states[{i}] has {len(s)} entries and actions[{i}] has {len(a)}; expected one "
                "state more than actions, the state after the last action included"
            )
    return paths, choices


def check_rewards(rewards: Sequence[ArrayLike], actions: Sequence[Entries]) -> tuple[Array, ...]:
    """Per trajectory ``(L,)`` finite floats, one for each action."""
    rows = _list("rewards", rewards)
    if len(rows) != len(actions):
        raise ValueError(f"rewards has {len(rows)} trajectories; expected {len(actions)}")
    names = [f"rewards[{i}]" for i in range(len(rows))]
    shapes = [(len(a),) for a in actions]
    return tuple(
        frozen(check_array(*each).copy()) for each in zip(names, rows, shapes, strict=True)
    )


def _rows(name: str, value: Sequence[ArrayLike]) -> tuple[Entries, ...]:
    """Trajectories of one kind; where a row is empty its kind is that of the others."""
    rows = [_entries(f"{name}[{i}]", row) for i, row in enumerate(_list(name, value))]
    first = next((i for i, row in enumerate(rows) if len(row)), None)
    if first is None:
        return tuple(rows)
    rows = [row if len(row) else rows[first][:0] for row in rows]
    for i, row in enumerate(rows):
        if row.shape[1:] != rows[first].shape[1:]:
            raise ValueError(
                f"{name}[{i}] has {describe(width([row]))}; {name}[{first}] has "
                f"{describe(width(rows[first:]))}: expected the same in all trajectories"
            )
    return tuple(rows)


def _list(name: str, value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; expected a sequence of trajectories") from None


def _entries(name: str, value: ArrayLike) -> Entries:
    """Whole numbers ``(L,)``, or finite floats ``(L, d)``."""
    array = as_array(name, value)
    floats = array.dtype.kind == "f"
    if floats and array.ndim == 2 and array.shape[1]:
        return frozen(check_array(name, array, array.shape).copy())
    if array.ndim != 1 or (floats and array.size):
        raise ValueError(
            f"{name} has shape {array.shape} and entries of type {array.dtype}; expected whole "
            "numbers on one axis, time, or floats on two, time and component"
        )
    return check_indices(name, array)
