"""Trajectories of states and actions."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib.demonstrations import entries, spaces
from irl_lib.demonstrations import files as own_files
from irl_lib.demonstrations.entries import Entries
from irl_lib.mdp import MDP, check_mdp, feature_matrix
from irl_lib.support import files
from irl_lib.support.checks import (
    Array,
    Index,
    check_flags,
    check_indices,
    check_real,
    check_rng,
    frozen,
)

MISSING_MASS = 0.05  # share of the discounted mass that truncated demonstrations may leave out


class Steps(NamedTuple):
    """Steps of several trajectories, one entry each; states and actions may be vectors."""

    trajectory: Index
    time: Index
    state: Entries
    action: Entries
    next_state: Entries


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Demonstrations:
    """Trajectories of an expert, in an MDP or in a simulator.

    Args:
        states: per trajectory ``(L + 1,)`` whole numbers or ``(L + 1, d)`` floats, the last state
            included.
        actions: per trajectory ``(L,)`` whole numbers or ``(L, m)`` floats.
        terminated: ``(N,)`` booleans, whether each episode ended; one boolean for all.
        truncated: ``(N,)`` booleans, whether each was cut; default: those that did not terminate.
        rewards: per trajectory ``(L,)``, what the environment paid: for evaluation alone, no method
            reads it; default: unknown.
        environment: the name of the environment, like ``"CartPole-v1"``; default: unknown.

    Raises:
        ValueError: naming the trajectory, for lengths that don't fit, entries that are neither
            whole numbers >= 0 nor finite floats, trajectories of different kinds, or one that is
            both terminated and truncated, or neither; and without trajectories.

    Example:
        >>> demos = Demonstrations([[0, 1, 2]], [[0, 0]], terminated=True)
        >>> demos
        Demonstrations(1 trajectory, 2 steps, 1 terminated)
        >>> Demonstrations([[[0.0, 0.5], [0.1, 0.4]]], [[1]]).state_width
        2
    """

    states: tuple[Entries, ...]
    actions: tuple[Entries, ...]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    rewards: tuple[Array, ...] | None
    environment: str | None

    def __init__(
        self,
        states: Sequence[ArrayLike],
        actions: Sequence[ArrayLike],
        terminated: ArrayLike = False,
        truncated: ArrayLike | None = None,
        rewards: Sequence[ArrayLike] | None = None,
        environment: str | None = None,
    ) -> None:
        paths, choices = entries.check_trajectories(states, actions)
        ended = check_flags("terminated", terminated, len(paths))
        cut = check_flags("truncated", ~ended if truncated is None else truncated, len(paths))
        if (ended == cut).any():
            i = int(np.argmax(ended == cut))
            raise ValueError(
                f"trajectory {i} has terminated={ended[i]} and truncated={cut[i]}; "
                "expected exactly one of them"
            )
        if environment is not None and not isinstance(environment, str):
            raise ValueError(f"environment is {environment!r}; expected a name, or None")
        paid = None if rewards is None else entries.check_rewards(rewards, choices)
        values = (paths, choices, ended, cut, paid, environment)
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)  # the one way to fill a frozen dataclass

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[tuple[Entries, Entries]]:
        return iter(zip(self.states, self.actions, strict=True))

    def __repr__(self) -> str:
        plural = "y" if len(self) == 1 else "ies"
        counts = f"{self.n_steps} steps, {np.count_nonzero(self.terminated)} terminated"
        where = f" of {self.environment}" if self.environment else ""
        return f"Demonstrations({len(self)} trajector{plural}{where}, {counts})"

    @property
    def n_steps(self) -> int:
        """How many actions there are in all."""
        return sum(map(len, self.actions))

    @property
    def state_width(self) -> int | None:
        """The length of a state's vector; None where states are whole numbers."""
        return entries.width(self.states)

    @property
    def action_width(self) -> int | None:
        """The length of an action's vector; None where actions are whole numbers."""
        return entries.width(self.actions)

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
                horizon, or one that terminated where no absorbing state is; and for states or
                actions that are vectors.
        """
        check_mdp(mdp)
        for name, size, n in (
            ("states", self.state_width, mdp.n_states),
            ("actions", self.action_width, mdp.n_actions),
        ):
            if size is not None:
                raise ValueError(
                    f"{name} are {entries.describe(size)}; an MDP has whole numbers, 0 to {n - 1}"
                )
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
        impossible = np.asarray(chance).ravel() <= 0.0
        if impossible.any():
            j = int(np.argmax(impossible))
            raise ValueError(
                f"trajectory {step.trajectory[j]} goes from state {step.state[j]} by action "
                f"{step.action[j]} to state {step.next_state[j]} at step {step.time[j]}, which is "
                "impossible in this MDP"
            )

    def check_spaces(
        self, observation_space: Any, action_space: Any, environment: str | None = None
    ) -> None:
        """Whether an environment with these (Gymnasium) spaces could have produced this.

        Observations beyond the bounds of their Box pass, because environments return such.

        Args:
            observation_space: of a kind that :mod:`irl_lib.demonstrations.spaces` takes.
            action_space: likewise.
            environment: its name, to be compared where these demonstrations have one, too.

        Raises:
            ValueError: naming what these demonstrations have and what the environment has.
        """
        if environment and self.environment and environment != self.environment:
            raise ValueError(
                f"the demonstrations are of {self.environment}; the environment is {environment}"
            )
        of = f" of {self.environment}" if self.environment else ""
        states, actions = (f"states{of}", self.states), (f"actions{of}", self.actions)
        spaces.check_entries(*states, "observation_space", observation_space, bounds=False)
        spaces.check_entries(*actions, "action_space", action_space)

    def occupancy(self, mdp: MDP) -> Array:
        r"""``(S, A)``: the mean over trajectories of :math:`\sum_t \gamma^t 1[s_t = s, a_t = a]`.

        A terminated trajectory stays in its absorbing state for what is left of the horizon, with
        all actions alike; without horizon and discount nothing is left.  A truncated one counts as
        far as it goes.

        Warns:
            UserWarning: where truncation left out so much, and at different times, that this is
                the occupancy of no policy; see :func:`is_cut`.

        Raises:
            ValueError: as :meth:`check`.
        """
        counted = self.counted(mdp)
        self._warn_of_cuts(mdp, counted)
        return counted

    def feature_expectations(self, mdp: MDP, features: Any) -> Array:
        r"""``(K,)``: the mean over trajectories of :math:`\sum_t \gamma^t \phi(s_t, a_t)`.

        Warns:
            UserWarning: as :meth:`occupancy`.

        Implements: eq-feature-expectations
        """
        phi, counted = feature_matrix(mdp, features), self.counted(mdp)
        self._warn_of_cuts(mdp, counted)
        return np.asarray(phi.T @ counted.ravel())

    def counted(self, mdp: MDP) -> Array:
        """:meth:`occupancy`, without a warning."""
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

    def _warn_of_cuts(self, mdp: MDP, counted: Array) -> None:
        lengths = [len(a) for a, cut in zip(self.actions, self.truncated, strict=True) if cut]
        even = bool(lengths) and min(lengths) == max(lengths) and not mdp.episodic
        if not even and left_out(mdp, self, counted):
            warnings.warn(
                f"{len(lengths)} of {len(self)} trajectories were truncated, after {min(lengths)} "
                f"to {max(lengths)} steps: no policy has the occupancy or the feature expectations "
                "of what is left; pass the demonstrations themselves to max_ent, which then fits "
                "the actions that were shown",
                UserWarning,
                stacklevel=3,
            )

    def split(
        self, fraction: float, rng: np.random.Generator
    ) -> tuple[Demonstrations, Demonstrations]:
        """A random ``fraction`` of the trajectories, and the others; whole trajectories only.

        Raises:
            ValueError: when ``fraction`` is not in (0, 1), or leaves one side empty.
        """
        check_rng(rng)
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
        chosen = check_indices("which", which)
        if not chosen.size:
            raise ValueError("which has no entries; expected at least one trajectory")
        _check_range("which", chosen, len(self), "trajectories")
        part = copy.copy(self)  # all of it has been checked
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                object.__setattr__(part, name, tuple(value[i] for i in chosen))
            elif isinstance(value, np.ndarray):
                object.__setattr__(part, name, frozen(value[chosen]))
        return part

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an npz file, in which :meth:`load` notices every bit that has changed since.

        An existing file is replaced whole or, when anything fails, left as it was.

        Raises:
            ValueError: when ``path`` is no path, or leads to something that is no file.
            OSError: when the file can't be written.
        """
        own_files.write_npz(path, vars(self))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Demonstrations:
        """Read what :meth:`save` wrote; nothing is ever unpickled.

        Raises:
            ValueError: when the file is damaged, or something else; it says what.
            OSError: when there is none (FileNotFoundError), or it may not be read.
        """
        content = files.check_path(path).read_bytes()
        try:
            return Demonstrations(**own_files.read_npz(content))
        except ValueError as error:
            raise ValueError(
                f"path {os.fspath(path)!r} holds no demonstrations: {error}"
            ) from error


def left_out(mdp: MDP, demos: Demonstrations, counted: Array) -> str:
    """What truncation left out, in words; nothing where that is nothing, or little."""
    if mdp.episodic:
        last = np.array([s[-1] for s in demos.states], dtype=np.int64)
        n = int(np.count_nonzero(~mdp.absorbing[last]))
        if len(demos) == 1 and n:
            return "no end: it was truncated before its episode was over"
        return f"{n} of {len(demos)} episodes truncated before their end" if n else ""
    left, mass = float(counted.sum()), mdp.mass
    if 1.0 - left / mass <= MISSING_MASS:
        return ""
    return (
        f"an occupancy of {left:.6g} in all; expected {mass:.6g}, the sum of the discounts over "
        "the horizon"
    )


def _check_range(name: str, values: Index, n: int, what: str) -> None:
    if values.size and values.max() >= n:
        raise ValueError(f"{name} has the entry {values.max()}; there are {what} 0 to {n - 1}")
