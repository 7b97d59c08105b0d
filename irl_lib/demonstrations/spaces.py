"""What the package takes of Gymnasium's spaces, without importing Gymnasium.

Trajectories hold two kinds of states and actions: whole numbers, of a ``Discrete`` space, and
vectors, of a ``Box``.  The *width* of a space is ``None`` for the first and the length of its
vectors for the second.  A ``MultiDiscrete`` or ``MultiBinary`` space, and a ``Dict`` or a ``Tuple``
of all these, are brought to vectors as ``gymnasium.spaces.utils.flatten`` does it: what is
numbered is one-hot there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from irl_lib.demonstrations.entries import Entries, describe
from irl_lib.demonstrations.entries import width as width_of_rows
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array, as_array

WRONG = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)


def is_numbered(space: Any) -> bool:
    """Whether this is a Discrete space."""
    return getattr(space, "shape", None) == () and hasattr(space, "n")


def is_vector(space: Any) -> bool:
    """Whether this is a Box with one axis."""
    return len(getattr(space, "shape", None) or ()) == 1 and hasattr(space, "low")


def is_bounded(space: Any) -> bool:
    """Whether this is a Box of floats with one axis, between finite bounds that differ."""
    if not is_vector(space) or not space.shape[0] or space.dtype.kind != "f":
        return False
    finite = np.isfinite(space.low).all() and np.isfinite(space.high).all()
    return bool(finite and np.all(space.low < space.high))


def flat(name: str, space: Any) -> Any:
    """The Discrete space, or the Box with one axis, that trajectories in a space are of.

    Raises:
        ValueError: naming a space that neither is one nor can be brought to one.
    """
    if is_numbered(space) or is_vector(space):
        return space
    if not leaves(space):
        raise ValueError(
            f"{name} is {space}; expected a Discrete space, a Box, a MultiDiscrete or MultiBinary "
            "space, or a Dict or a Tuple of these"
        )
    return _gymnasium().spaces.utils.flatten_space(space)


def width(name: str, space: Any) -> int | None:
    """``None`` for a Discrete space, the length of the vectors for others.

    Raises:
        ValueError: for a space of another kind, naming it.
    """
    space = flat(name, space)
    return None if is_numbered(space) else int(space.shape[0])


def leaves(space: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """The spaces of which a space is put together, each after the keys that lead to it.

    There are none where one of them is of another kind than this module takes.
    """
    if is_numbered(space) or is_vector(space):
        return [((), space)]
    gymnasium = _gymnasium()
    if gymnasium is None:
        return []
    kinds = gymnasium.spaces
    if isinstance(space, kinds.Box | kinds.MultiDiscrete | kinds.MultiBinary):
        return [((), space)]
    if not isinstance(space, kinds.Dict | kinds.Tuple):
        return []
    parts = space.spaces if isinstance(space, kinds.Dict) else dict(enumerate(space.spaces))
    below = {key: leaves(part) for key, part in parts.items()}
    if not all(below.values()):
        return []
    return [((key, *path), leaf) for key, found in below.items() for path, leaf in found]


def entries(name: str, space: Any, members: Any) -> Entries:
    """What trajectories hold of members of a space.

    Args:
        name: what an error calls them.
        space: of a kind that is taken.
        members: in one array ``(L, ...)``; those of a Dict or a Tuple in a dict or a tuple of such.

    Returns:
        Whole numbers ``(L,)`` of a Discrete space, else ``(L, d)`` floats.  The bounds of a Box are
        not looked at, because environments leave them.

    Raises:
        ValueError: naming members that are none of this space, or whole numbers that a float can't
            hold.
    """
    try:
        return _numbers(space, members) if is_numbered(space) else _vectors(space, members)
    except WRONG as error:
        raise ValueError(f"{name} are no members of {space}: {error}") from error


def entry(name: str, space: Any, member: Any) -> Any:
    """What trajectories hold of one member: a whole number, or a vector of finite floats ``(d,)``.

    Raises:
        ValueError: as :func:`entries`.
    """
    try:
        if is_numbered(space):
            return int(_numbers(space, [member])[0])
        vector = _vectors(space, member, single=True)[0]
    except WRONG as error:
        raise ValueError(f"{name} is {member!r}, no member of {space}: {error}") from error
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} is {member!r}; every entry has to be finite")
    return vector


def _numbers(space: Any, members: Any) -> Entries:
    """``(L,)`` members of a Discrete space."""
    array = as_array("it", members)
    if array.ndim != 1 or array.dtype.kind not in "iu" or outside(space, array).any():
        first = int(space.start)
        raise ValueError(f"expected whole numbers from {first} to {first + int(space.n) - 1}")
    return array


def _vectors(space: Any, members: Any, single: bool = False) -> Array:
    """``(L, d)`` of members in arrays ``(L, ...)``; ``(1, d)`` of a single one."""
    parts = [(leaf, as_array("it", reduce(getitem, path, members))) for path, leaf in leaves(space)]
    columns = [_columns(leaf, part[None] if single else part) for leaf, part in parts]
    return np.concatenate(columns, axis=1)


def _columns(leaf: Any, array: NDArray[Any]) -> Array:
    """``(L, d)`` of members ``(L, ...)`` of a space that isn't put together of others."""
    if array.shape[1:] != leaf.shape:
        raise ValueError(f"shape {array.shape[1:]} instead of {leaf.shape}")
    numbered = not hasattr(leaf, "low")
    if array.dtype.kind not in ("biu" if numbered else "biuf"):
        raise ValueError(f"entries of type {array.dtype}")
    if not numbered:
        floats = array.reshape(len(array), math.prod(leaf.shape)).astype(np.float64)
        if array.dtype.kind in "iu" and np.abs(floats).max(initial=0.0) >= 2.0**53:
            raise ValueError("whole numbers from 2**53 on, which a float doesn't hold")
        return floats
    for each in array:
        if not leaf.contains(each):
            raise ValueError(f"{each} is not in {leaf}")
    utils = _gymnasium().spaces.utils
    hot = [utils.flatten(leaf, each) for each in array]
    return np.array(hot, dtype=np.float64).reshape(len(array), utils.flatdim(leaf))


def members(name: str, space: Any, rows: Entries) -> Any:
    """The members of a space of which :func:`entries` makes these: one array, a dict or a tuple.

    Floats get the precision of their Box.

    Raises:
        ValueError: for what no members of the space can be brought to.
    """
    if is_numbered(space):
        return rows.astype(space.dtype)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            made = _unflattened(space, rows)
        again = entries(name, space, made)
    except WRONG as error:
        raise ValueError(f"{name} are no members of {space}: {error}") from error
    utils = _gymnasium().spaces.utils
    parts = [(utils.flatdim(leaf), leaf.dtype.kind != "f") for _, leaf in leaves(space)]
    whole = np.concatenate([np.full(*part) for part in parts])
    if not np.array_equal(again[:, whole], rows[:, whole]) or not np.isfinite(again).all():
        raise ValueError(f"{name} hold what is no member of {space}")
    return made


def _unflattened(space: Any, rows: Entries) -> Any:
    if hasattr(space, "low"):
        return rows.astype(space.dtype).reshape(len(rows), *space.shape)
    gymnasium = _gymnasium()
    each = [gymnasium.spaces.utils.unflatten(space, row) for row in rows]
    batches = gymnasium.vector.utils
    return batches.concatenate(space, each, batches.create_empty_array(space, n=len(each)))


def clip(space: Any, vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The member of a Box that is nearest to a vector, in double precision.

    Args:
        space: a Box.
        vector: ``(d,)`` finite numbers, as many as the Box has.

    Returns:
        Of the shape of the Box.
    """
    inside = np.clip(vector.reshape(space.shape), space.low, space.high)
    return np.asarray(inside if space.dtype.kind == "f" else np.rint(inside), dtype=np.float64)


def _gymnasium() -> Any:
    """Gymnasium, if it has been imported; else nothing is one of its spaces."""
    if "gymnasium" not in sys.modules:
        return None
    import gymnasium.spaces.utils
    import gymnasium.vector.utils

    return gymnasium


class _Discrete(NamedTuple):
    """The states or actions of an MDP, as a space."""

    n: int
    start: int = 0
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"Discrete({self.n})"


def spaces_of(env: Any) -> tuple[Any, Any]:
    """Of observations and of actions, of whatever has them.

    Args:
        env: a Gymnasium environment, the pair of its spaces, or an :class:`irl_lib.mdp.MDP`.

    Raises:
        ValueError: for something else, or actions of another kind than Discrete or Box.
    """
    if isinstance(env, MDP):
        places: tuple[Any, Any] = _Discrete(env.n_states), _Discrete(env.n_actions)
    elif hasattr(env, "observation_space") and hasattr(env, "action_space"):
        places = env.observation_space, env.action_space
    elif isinstance(env, tuple) and len(env) == 2:
        places = env
    else:
        raise ValueError(
            f"env is {env!r}; expected an MDP, a Gymnasium environment, or the pair of its "
            "observation and action spaces"
        )
    width("observation_space", places[0])
    width("action_space", places[1])
    if not is_numbered(places[1]) and not hasattr(places[1], "low"):
        raise ValueError(f"action_space is {places[1]}; expected a Discrete space or a Box")
    return places


def outside(space: Any, values: Entries) -> NDArray[np.bool_]:
    """``(n,)``: which of the whole numbers ``(n,)`` or vectors ``(n, d)`` the space doesn't hold.

    Bounds are compared in the space's own precision: 0.1 is inside of a Box that ends at 0.1, too,
    when that Box has 32 bits, which ``space.contains`` denies.  A space of whole numbers holds no
    fractions.
    """
    if values.ndim == 1:
        first = int(space.start)
        return np.asarray((values < first) | (values >= first + int(space.n)))
    with np.errstate(over="ignore", invalid="ignore"):
        exact = values.astype(space.dtype)
    kept = (exact == values) | (exact.dtype.kind == "f")
    return np.asarray(~np.all((exact >= space.low) & (exact <= space.high) & kept, axis=1))


def check_entries(
    name: str, rows: Sequence[Entries], space_name: str, space: Any, bounds: bool = True
) -> None:
    """Whether trajectories' states or actions can come from a space.

    Args:
        name: what an error calls them.
        rows: an entry a trajectory.
        space_name: what an error calls the space.
        space: of a kind that is taken.
        bounds: whether vectors have to be inside of their Box.

    Raises:
        ValueError: naming both kinds, or the trajectory, the step, the entry and the space.
    """
    size, held = width_of_rows(rows), flat(space_name, space)
    wanted = width(space_name, held)
    if size != wanted:
        raise ValueError(
            f"the {name} are {describe(size)}; {space_name} is {space}, which holds "
            f"{describe(wanted)}"
        )
    for i, row in enumerate(rows if bounds or size is None else ()):
        wrong = np.flatnonzero(outside(held, row))
        if wrong.size:
            raise ValueError(
                f"{name} have the entry {row[wrong[0]]} at step {wrong[0]} of trajectory {i}; "
                f"{space_name} is {space}"
            )


def standard_unit(values: Array) -> tuple[Array, Array]:
    """``(d,)`` twice: mean and standard deviation of vectors ``(N, d)``, as a network's unit.

    A number that never changes says nothing, and must not be blown up where it does: its scale
    is 1.
    """
    centre, spread = values.mean(axis=0), values.std(axis=0)
    return centre, np.where(spread > 1e-6 * (1.0 + np.abs(centre)), spread, 1.0)
