"""What trajectories are made of, and the checks of it.

States and actions are whole numbers, ``(L,)``, or vectors of finite floats, ``(L, d)``: all of the
states one or the other, and all of the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib.demonstrations import spaces
from irl_lib.support.checks import Array, as_array, check_array

Index = NDArray[np.int64]
Entries = NDArray[Any]  # (L,) whole numbers, or (L, d) floats


class Record(NamedTuple):
    """The fields of :class:`irl_lib.demonstrations.Demonstrations`, in its order."""

    states: Sequence[NDArray[Any]]
    actions: Sequence[NDArray[Any]]
    terminated: NDArray[Any]
    truncated: NDArray[Any]
    rewards: Sequence[NDArray[Any]] | None
    environment: str | None


def width(rows: Sequence[Entries]) -> int | None:
    """The length of the vectors; None where the entries are whole numbers."""
    return None if rows[0].ndim == 1 else int(rows[0].shape[1])


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


def check_rewards(rewards: Sequence[ArrayLike], actions: tuple[Entries, ...]) -> tuple[Array, ...]:
    """Per trajectory ``(L,)`` finite floats, one for each action."""
    rows = _list("rewards", rewards)
    if len(rows) != len(actions):
        raise ValueError(f"rewards has {len(rows)} trajectories; expected {len(actions)}")
    pairs = enumerate(zip(rows, actions, strict=True))
    return tuple(
        _frozen(check_array(f"rewards[{i}]", row, (len(a),)).copy()) for i, (row, a) in pairs
    )


def _rows(name: str, value: Sequence[ArrayLike]) -> tuple[Entries, ...]:
    """Trajectories of one kind; where a row is empty its kind is that of the others."""
    rows = [_entries(f"{name}[{i}]", row) for i, row in enumerate(_list(name, value))]
    filled = [i for i, row in enumerate(rows) if len(row)]
    if not filled:
        return tuple(rows)
    kind = rows[filled[0]]
    rows = [row if len(row) else _frozen(kind[:0].copy()) for row in rows]
    for i, row in enumerate(rows):
        if row.shape[1:] != kind.shape[1:]:
            kinds = [spaces.describe(width([each])) for each in (row, kind)]
            raise ValueError(
                f"{name}[{i}] has {kinds[0]}; {name}[{filled[0]}] has {kinds[1]}: expected the "
                "same in all trajectories"
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
    if array.ndim == 2 and array.shape[1] and array.dtype.kind == "f":
        return _frozen(check_array(name, array, array.shape).copy())
    if array.ndim == 1 and array.size and array.dtype.kind == "f":
        raise ValueError(
            f"{name} has entries of type {array.dtype} and one axis; expected whole numbers, or "
            "vectors of floats (two axes)"
        )
    return check_indices(name, array)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def check_indices(name: str, value: ArrayLike) -> Index:
    """A copy as whole numbers ``(L,)``, none below zero."""
    array = as_array(name, value)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape} and entries of type {array.dtype}; expected one axis, "
            "time, of whole numbers, or two, time and component, of floats"
        )
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} has entries of type {array.dtype}; expected whole numbers")
    result = array.astype(np.int64)
    if result.size and result.min() < 0:
        worst = array[int(result.argmin())]
        raise ValueError(
            f"{name} has the entry {worst}; expected whole numbers from 0 to 2**63 - 1"
        )
    return _frozen(result)


def check_flags(name: str, value: ArrayLike, n: int) -> NDArray[np.bool_]:
    """``(n,)`` booleans, from as many or from one."""
    array = as_array(name, value)
    if array.dtype != np.bool_ or array.shape not in [(), (n,)]:
        raise ValueError(
            f"{name} has type {array.dtype} and shape {array.shape}; expected a boolean, or {n} "
            "of them"
        )
    return _frozen(np.broadcast_to(array, (n,)).copy())
