r"""Expert data: trajectories of states and actions, and what they say about an occupancy.

A trajectory with ``L`` steps has ``L + 1`` states and ``L`` actions.  How it ended is part of the data:

- ``terminated``: the episode ended, in an absorbing state; it stays there, so that its occupancy is complete;
- ``truncated``: somebody stopped watching; what would have come is unknown.

Taking a timeout for an end is the most widespread error of public implementations.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib.mdp import MDP, Array, check_policy, feature_matrix

Index = NDArray[np.int64]

FORMAT = "irl_lib.demonstrations/1"
UNREADABLE = (ValueError, KeyError, TypeError, EOFError, IndexError, zipfile.BadZipFile, zlib.error)


class Steps(NamedTuple):
    """Steps of several trajectories, one entry each."""

    trajectory: Index
    time: Index
    state: Index
    action: Index
    next_state: Index


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Trajectories of a tabular MDP.

    Args:
        states: per trajectory ``(L + 1,)`` whole numbers, the last state included.
        actions: per trajectory ``(L,)`` whole numbers.
        terminated: ``(N,)`` booleans, whether each episode ended; one boolean for all.
        truncated: ``(N,)`` booleans, whether each was cut; default: those that did not terminate.

    Raises:
        ValueError: without trajectories, for lengths that don't fit, entries that are no whole numbers >= 0,
            or a trajectory that is both terminated and truncated, or neither.

    Example:
        >>> demos = Demonstrations([[0, 1, 2]], [[0, 0]], terminated=True)
        >>> demos
        Demonstrations(1 trajectory, 2 steps, 1 terminated)
    """

    states: Sequence[Index]
    actions: Sequence[Index]
    terminated: NDArray[np.bool_] | bool = False
    truncated: NDArray[np.bool_] | bool | None = None

    def __post_init__(self) -> None:
        if len(self.states) == 0 or len(self.states) != len(self.actions):
            raise ValueError(
                f"states and actions have {len(self.states)} and {len(self.actions)} trajectories; "
                "expected as many of each, and at least one"
            )
        states = tuple(_indices(f"states[{i}]", x) for i, x in enumerate(self.states))
        actions = tuple(_indices(f"actions[{i}]", x) for i, x in enumerate(self.actions))
        for i, (s, a) in enumerate(zip(states, actions, strict=True)):
            if len(s) != len(a) + 1:
                raise ValueError(
                    f"states[{i}] has {len(s)} entries and actions[{i}] has {len(a)}; expected one "
                    "state more than actions, the state after the last action included"
                )
        terminated = _flags("terminated", self.terminated, len(states))
        cut = ~terminated if self.truncated is None else self.truncated
        truncated = _flags("truncated", cut, len(states))
        if (terminated == truncated).any():
            i = int(np.flatnonzero(terminated == truncated)[0])
            raise ValueError(
                f"trajectory {i} has terminated={terminated[i]} and truncated={truncated[i]}; "
                "expected exactly one of them"
            )
        for name, value in [
            ("states", states),
            ("actions", actions),
            ("terminated", terminated),
            ("truncated", truncated),
        ]:
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[tuple[Index, Index]]:
        return iter(zip(self.states, self.actions, strict=True))

    def __repr__(self) -> str:
        plural = "y" if len(self) == 1 else "ies"
        ended = int(np.sum(self.terminated))
        return f"Demonstrations({len(self)} trajector{plural}, {self.n_steps} steps, {ended} terminated)"

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
            ValueError: naming the trajectory and the step, for a state or an action that does not exist, an
                impossible first state or transition, a trajectory longer than the horizon, or one that
                terminated where no absorbing state is.
        """
        for i, (s, a) in enumerate(self):
            _check_range(f"states[{i}]", s, mdp.n_states, "states")
            _check_range(f"actions[{i}]", a, mdp.n_actions, "actions")
            if mdp.horizon is not None and len(a) > mdp.horizon:
                raise ValueError(f"trajectory {i} has {len(a)} steps; the horizon is {mdp.horizon}")
            if mdp.initial[s[0]] == 0.0:
                raise ValueError(f"trajectory {i} starts in state {s[0]}, where initial is 0")
            if np.atleast_1d(self.terminated)[i] and not mdp.absorbing[s[-1]]:
                raise ValueError(
                    f"trajectory {i} is terminated but ends in state {s[-1]}, which the MDP can "
                    "leave; expected an absorbing state, or truncated"
                )
        step = self.steps()
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
        all actions alike; without horizon and discount nothing is left.  A truncated one counts as far as it goes.

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
        n = round(fraction * len(self)) if 0.0 < fraction < 1.0 else 0
        if not 0 < n < len(self):
            raise ValueError(
                f"fraction is {fraction!r} of {len(self)} trajectories; expected a number in (0, 1) that "
                "leaves at least one on each side"
            )
        order = rng.permutation(len(self))
        return self.select(order[:n]), self.select(order[n:])

    def select(self, which: ArrayLike) -> Demonstrations:
        """The trajectories with these numbers, in this order."""
        chosen = np.asarray(which, dtype=np.int64)
        return Demonstrations(
            [self.states[i] for i in chosen],
            [self.actions[i] for i in chosen],
            np.atleast_1d(self.terminated)[chosen],
            np.atleast_1d(self.truncated)[chosen],
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz file; an existing one is replaced whole or, when anything fails, left as it was."""
        lengths = np.array([len(a) for a in self.actions], dtype=np.int64)
        arrays: dict[str, Any] = {
            "format": np.array(FORMAT),
            "lengths": lengths,
            "states": np.concatenate(self.states),
            "actions": np.concatenate(self.actions),
            "terminated": np.atleast_1d(self.terminated),
            "truncated": np.atleast_1d(self.truncated),
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
        try:
            with np.load(path, allow_pickle=False) as file:
                if "format" not in file or str(file["format"]) != FORMAT:
                    raise ValueError("its format is not " + FORMAT)
                data = {name: file[name] for name in file.files}
                ends = np.cumsum(data["lengths"])
                actions = np.split(data["actions"], ends[:-1])
                states = np.split(data["states"], (ends + np.arange(1, len(ends) + 1))[:-1])
                return Demonstrations(states, actions, data["terminated"], data["truncated"])
        except UNREADABLE as error:
            raise ValueError(
                f"path {os.fspath(path)!r} holds no demonstrations: {error}"
            ) from error


def sample(
    mdp: MDP, policy: ArrayLike, n: int, rng: np.random.Generator, length: int | None = None
) -> Demonstrations:
    r"""Trajectories of a policy in its MDP.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        n: how many.
        rng: where the randomness comes from.
        length: steps at most; default: the horizon, or as many as leave less than a thousandth of the
            discounted mass (:math:`\gamma^L < 0.001`); 100,000 where episodes end by themselves.

    Returns:
        Demonstrations; where episodes end (no horizon, no discount) they stop in their absorbing state,
        ``terminated``; all others are as long as asked for.

    Raises:
        ValueError: for a bad policy, or ``n`` or ``length`` below 1, or above the horizon.
    """
    pi = check_policy(mdp, policy)
    steps = _default_length(mdp) if length is None else length
    if n < 1 or steps < 1 or (mdp.horizon is not None and steps > mdp.horizon):
        raise ValueError(
            f"n is {n} and length is {steps}; expected at least 1, and no more than the horizon {mdp.horizon}"
        )
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


def _default_length(mdp: MDP) -> int:
    if mdp.horizon is not None:
        return mdp.horizon
    return 100_000 if mdp.episodic else int(np.ceil(np.log(1e-3) / np.log(mdp.discount)))


def _check_range(name: str, values: Index, n: int, what: str) -> None:
    if values.size and values.max() >= n:
        raise ValueError(f"{name} has the entry {values.max()}; the MDP has {what} 0 to {n - 1}")


def _indices(name: str, value: ArrayLike) -> Index:
    array = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one axis, time")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} has entries of type {array.dtype}; expected whole numbers")
    if array.size and array.min() < 0:
        raise ValueError(f"{name} has the negative entry {array.min()}; expected numbers >= 0")
    result = array.astype(np.int64)
    result.setflags(write=False)
    return result


def _flags(name: str, value: Any, n: int) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_ or array.shape not in [(), (n,)]:
        raise ValueError(
            f"{name} has type {array.dtype} and shape {array.shape}; expected a boolean, or one for each of "
            f"the {n} trajectories"
        )
    flags = np.broadcast_to(array, (n,)).copy()
    flags.setflags(write=False)
    return flags
