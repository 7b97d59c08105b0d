r"""Expert data: trajectories of states and actions, and what they say about an occupancy.

A trajectory with ``L`` steps has ``L + 1`` states and ``L`` actions.  How it ended is part of the
data:

- ``terminated``: the episode ended, in an absorbing state; it stays there, so that its occupancy is
  complete;
- ``truncated``: somebody stopped watching; what would have come is unknown.

Taking a timeout for an end is the most widespread error of public implementations.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib.mdp import MDP, Array, check_count, check_policy, check_real, feature_matrix

Index = NDArray[np.int64]

FORMAT = "irl_lib.demonstrations/1"
UNREADABLE = (  # whatever reading a file of something else, or half a file, ends in
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Steps(NamedTuple):
    """Steps of several trajectories, one entry each."""

    trajectory: Index
    time: Index
    state: Index
    action: Index
    next_state: Index


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Demonstrations:
    """Trajectories of a tabular MDP.

    Args:
        states: per trajectory ``(L + 1,)`` whole numbers, the last state included.
        actions: per trajectory ``(L,)`` whole numbers.
        terminated: ``(N,)`` booleans, whether each episode ended; one boolean for all.
        truncated: ``(N,)`` booleans, whether each was cut; default: those that did not terminate.

    Raises:
        ValueError: without trajectories, for lengths that don't fit, entries that are no whole
            numbers >= 0, or a trajectory that is both terminated and truncated, or neither.

    Example:
        >>> demos = Demonstrations([[0, 1, 2]], [[0, 0]], terminated=True)
        >>> demos
        Demonstrations(1 trajectory, 2 steps, 1 terminated)
    """

    states: tuple[Index, ...]
    actions: tuple[Index, ...]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    def __init__(
        self,
        states: Sequence[ArrayLike],
        actions: Sequence[ArrayLike],
        terminated: ArrayLike = False,
        truncated: ArrayLike | None = None,
    ) -> None:
        paths, choices = _trajectories(states, actions)
        ended = _flags("terminated", terminated, len(paths))
        cut = _flags("truncated", ~ended if truncated is None else truncated, len(paths))
        if (ended == cut).any():
            i = int(np.flatnonzero(ended == cut)[0])
            raise ValueError(
                f"trajectory {i} has terminated={ended[i]} and truncated={cut[i]}; "
                "expected exactly one of them"
            )
        fields = {"states": paths, "actions": choices, "terminated": ended, "truncated": cut}
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # the one way to fill a frozen dataclass

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[tuple[Index, Index]]:
        return iter(zip(self.states, self.actions, strict=True))

    def __repr__(self) -> str:
        plural = "y" if len(self) == 1 else "ies"
        counts = f"{self.n_steps} steps, {np.count_nonzero(self.terminated)} terminated"
        return f"Demonstrations({len(self)} trajector{plural}, {counts})"

    @property
    def n_steps(self) -> int:
        """How many actions there are in all."""
        return sum(map(len, self.actions))

    def steps(self) -> Steps:
        """All steps of all trajectories, as flat arrays."""
        lengths = np.array([len(a) for a in self.actions])
        return Steps(
            trajectory=np.repeat(np.arange(len(self)), lengths),
            time=np.concatenate([np.arange(n) for n in lengths]),
            state=np.concatenate([s[:-1] for s in self.states]),
            action=np.concatenate(self.actions),
            next_state=np.concatenate([s[1:] for s in self.states]),
        )

    def check(self, mdp: MDP) -> None:
        """Whether an MDP could have produced this.

        Raises:
            ValueError: naming the trajectory and the step, for a state or an action that does not
                exist, an impossible first state or transition, a trajectory longer than the
                horizon, or one that terminated where no absorbing state is.
        """
        for i, (s, a) in enumerate(self):
            _check_range(f"states[{i}]", s, mdp.n_states, "states")
            _check_range(f"actions[{i}]", a, mdp.n_actions, "actions")
            if mdp.horizon is not None and len(a) > mdp.horizon:
                raise ValueError(f"trajectory {i} has {len(a)} steps; the horizon is {mdp.horizon}")
            if mdp.initial[s[0]] == 0.0:
                raise ValueError(f"trajectory {i} starts in state {s[0]}, where initial is 0")
            if self.terminated[i] and not mdp.absorbing[s[-1]]:
                raise ValueError(
                    f"trajectory {i} is terminated but ends in state {s[-1]}, which the MDP can "
                    "leave; expected an absorbing state, or truncated"
                )
        step = self.steps()
        if step.state.size == 0:
            return
        chance = mdp.matrix[step.action * mdp.n_states + step.state, step.next_state]
        impossible = np.flatnonzero(np.asarray(chance).ravel() <= 0.0)
        if impossible.size:
            j = impossible[0]
            raise ValueError(
                f"trajectory {step.trajectory[j]} goes from state {step.state[j]} by action "
                f"{step.action[j]} to state {step.next_state[j]} at step {step.time[j]}, which is "
                "impossible in this MDP"
            )

    def occupancy(self, mdp: MDP) -> Array:
        r"""``(S, A)``: the mean over trajectories of :math:`\sum_t \gamma^t 1[s_t = s, a_t = a]`.

        A terminated trajectory stays in its absorbing state for what is left of the horizon, with
        all actions alike; without horizon and discount nothing is left.  A truncated one counts as
        far as it goes.

        Raises:
            ValueError: as :meth:`check`.
        """
        self.check(mdp)
        step = self.steps()
        weights = mdp.discount**step.time
        if mdp.episodic:
            weights = weights * ~mdp.absorbing[step.state]
        total = np.zeros((mdp.n_states, mdp.n_actions))
        np.add.at(total, (step.state, step.action), weights)
        if not mdp.episodic:
            seen = np.bincount(step.trajectory, weights, minlength=len(self))
            for i in np.flatnonzero(self.terminated):
                total[self.states[i][-1]] += (mdp.mass - seen[i]) / mdp.n_actions
        return total / len(self)

    def feature_expectations(self, mdp: MDP, features: Any) -> Array:
        r"""``(K,)``: the mean over trajectories of :math:`\sum_t \gamma^t \phi(s_t, a_t)`.

        Implements: eq-feature-expectations
        """
        return np.asarray(feature_matrix(mdp, features).T @ self.occupancy(mdp).ravel())

    def split(
        self, fraction: float, rng: np.random.Generator
    ) -> tuple[Demonstrations, Demonstrations]:
        """A random ``fraction`` of the trajectories, and the others; whole trajectories only.

        Raises:
            ValueError: when ``fraction`` is not in (0, 1), or leaves one side empty.
        """
        _check_rng(rng)
        share = check_real("fraction", fraction, 0.0, open_end=True)
        n = round(share * len(self))
        if share >= 1.0 or not 0 < n < len(self):
            raise ValueError(
                f"fraction is {fraction!r} of {len(self)} trajectories; expected a number in "
                "(0, 1) that leaves at least one on each side"
            )
        order = rng.permutation(len(self))
        return self.select(order[:n]), self.select(order[n:])

    def select(self, which: ArrayLike) -> Demonstrations:
        """The trajectories with these numbers, in this order.

        Raises:
            ValueError: when there is no such trajectory, or none is chosen.
        """
        chosen = _indices("which", which)
        _check_range("which", chosen, len(self), "trajectories")
        return Demonstrations(
            [self.states[int(i)] for i in chosen],
            [self.actions[int(i)] for i in chosen],
            self.terminated[chosen],
            self.truncated[chosen],
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz file.

        An existing file is replaced whole or, when anything fails, left as it was.
        """
        lengths = np.array([len(a) for a in self.actions], dtype=np.int64)
        arrays: dict[str, Any] = {
            "format": np.array(FORMAT),
            "lengths": lengths,
            "states": np.concatenate(self.states),
            "actions": np.concatenate(self.actions),
            "terminated": self.terminated,
            "truncated": self.truncated,
        }
        target = Path(path)
        beside = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                np.savez_compressed(file, **arrays)
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Demonstrations:
        """Read what :meth:`save` wrote; nothing is ever unpickled.

        Raises:
            ValueError: when the file is truncated, or something else.
            FileNotFoundError: when there is none.
        """
        content = io.BytesIO(Path(path).read_bytes())
        try:
            return _from_npz(content)
        except UNREADABLE as error:
            raise ValueError(
                f"path {os.fspath(path)!r} holds no demonstrations: {error}"
            ) from error


def _from_npz(content: io.BytesIO) -> Demonstrations:
    with np.load(content, allow_pickle=False) as file:
        if "format" not in file or str(file["format"]) != FORMAT:
            raise ValueError("its format is not " + FORMAT)
        data = {name: file[name] for name in file.files}
    ends = np.cumsum(data["lengths"])
    if ends.size == 0 or ends[-1] != len(data["actions"]):
        raise ValueError(f"its lengths do not add up to its {len(data['actions'])} actions")
    actions = np.split(data["actions"], ends[:-1])
    states = np.split(data["states"], (ends + np.arange(1, len(ends) + 1))[:-1])
    return Demonstrations(states, actions, data["terminated"], data["truncated"])


def sample(
    mdp: MDP, policy: ArrayLike, n: int, rng: np.random.Generator, length: int | None = None
) -> Demonstrations:
    r"""Trajectories of a policy in its MDP.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        n: how many.
        rng: where the randomness comes from.
        length: steps at most; default: the horizon, or as many as leave less than a thousandth of
            the discounted mass (:math:`\gamma^L < 0.001`); 100,000 where episodes end by
            themselves.

    Returns:
        Demonstrations; where episodes end (no horizon, no discount) they stop in their absorbing
        state, ``terminated``; all others are as long as asked for.

    Raises:
        ValueError: for a bad policy, or ``n`` or ``length`` below 1, or above the horizon.
    """
    pi = check_policy(mdp, policy)
    _check_rng(rng)
    n, steps = check_count("n", n), _length(mdp, length)
    state = rng.choice(mdp.n_states, size=n, p=mdp.initial)
    states, actions, lengths = [state], [], np.zeros(n, dtype=np.int64)
    ends = mdp.absorbing if mdp.episodic else np.zeros(mdp.n_states, dtype=bool)
    for t in range(steps):
        live = ~ends[state]
        if not live.any():
            break
        actions.append(_choose((pi[t] if pi.ndim == 3 else pi)[state], rng))
        state = np.where(live, _next_state(mdp, state, actions[-1], rng), state)
        states.append(state)
        lengths += live
    paths, choices = np.array(states).T, np.array(actions, dtype=np.int64).reshape(-1, n).T
    return Demonstrations(
        [paths[i, : lengths[i] + 1] for i in range(n)],
        [choices[i, : lengths[i]] for i in range(n)],
        ends[state],
    )


def _choose(rows: Array, rng: np.random.Generator) -> Index:
    """One column of each row of probabilities, by inverting its cumulative sum."""
    cumulative = np.cumsum(rows, axis=1)
    drawn = rng.random(len(rows))[:, None] * cumulative[:, -1:]
    return np.asarray(np.sum(drawn >= cumulative, axis=1), dtype=np.int64)


def _next_state(mdp: MDP, state: Index, action: Index, rng: np.random.Generator) -> Index:
    """One next state for each (state, action), by inverting the rows' cumulative sums."""
    rows = action * mdp.n_states + state
    first, counts = mdp.matrix.indptr[rows], np.diff(mdp.matrix.indptr)[rows]
    columns = np.arange(counts.max())
    entry = np.minimum(first[:, None] + columns, mdp.matrix.nnz - 1)
    rest = np.where(columns < counts[:, None], mdp.matrix.data[entry], 0.0)
    return np.asarray(mdp.matrix.indices[first + _choose(rest, rng)], dtype=np.int64)


def _length(mdp: MDP, length: int | None) -> int:
    if length is not None:
        steps = check_count("length", length)
        if mdp.horizon is not None and steps > mdp.horizon:
            raise ValueError(f"length is {length}; the horizon is {mdp.horizon}")
        return steps
    if mdp.horizon is not None:
        return mdp.horizon
    return 100_000 if mdp.episodic else int(np.ceil(np.log(1e-3) / np.log(mdp.discount)))


def _check_rng(rng: object) -> None:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}; expected a numpy.random.Generator")


def _check_range(name: str, values: Index, n: int, what: str) -> None:
    if values.size and values.max() >= n:
        raise ValueError(f"{name} has the entry {values.max()}; there are {what} 0 to {n - 1}")


def _trajectories(
    states: Sequence[ArrayLike], actions: Sequence[ArrayLike]
) -> tuple[tuple[Index, ...], tuple[Index, ...]]:
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


def _rows(name: str, value: Sequence[ArrayLike]) -> tuple[Index, ...]:
    try:
        rows = list(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; expected a sequence of trajectories") from None
    return tuple(_indices(f"{name}[{i}]", row) for i, row in enumerate(rows))


def _indices(name: str, value: ArrayLike) -> Index:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array of whole numbers: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one axis, time")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} has entries of type {array.dtype}; expected whole numbers")
    result = array.astype(np.int64)
    if result.size and result.min() < 0:
        worst = array[int(result.argmin())]
        raise ValueError(
            f"{name} has the entry {worst}; expected whole numbers from 0 to 2**63 - 1"
        )
    result.setflags(write=False)
    return result


def _flags(name: str, value: ArrayLike, n: int) -> NDArray[np.bool_]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array of booleans: {error}") from None
    if array.dtype != np.bool_ or array.shape not in [(), (n,)]:
        raise ValueError(
            f"{name} has type {array.dtype} and shape {array.shape}; expected a boolean, or one "
            f"for each of the {n} trajectories"
        )
    flags = np.broadcast_to(array, (n,)).copy()
    flags.setflags(write=False)
    return flags
