"""Steps of the expert and of the policy, and stays in the state after the end, as rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from irl_lib.demonstrations import Demonstrations
from irl_lib.support.checkpoints import named, part
from irl_lib.support.checks import Array
from irl_lib.support.files import Arrays
from irl_lib.training.copies import Transitions

LARGEST = 1e30  # of numbers that networks of 32 bits multiply by


class Rows(NamedTuple):
    """N steps, in the environment's units."""

    states: Array
    actions: Any
    next_states: Array
    terminated: Any
    absorbed: Any
    """Which of them are no steps, but a stay in the state after the end."""
    weights: Array

    def take(self, which: Any) -> Rows:
        """Some of them."""
        return Rows._make(each[which] for each in self)


def joined(parts: Iterable[Rows]) -> Rows:
    """One after the other."""
    return Rows._make(np.concatenate(each) for each in zip(*parts, strict=True))


def absorbed_rows(n: int, like: Rows, weight: float) -> Rows:
    """Stays in the state after the end; their states and actions are masked where they are read."""
    states = np.repeat(like.states[:1], n, axis=0)
    yes, weights = np.ones(n, dtype=bool), np.full(n, weight)
    return Rows(states, np.repeat(like.actions[:1], n, axis=0), states, ~yes, yes, weights)


def policy_rows(passed: Transitions, absorbing: bool) -> Rows:
    """The policy's steps, one after the other, and a stay after each end."""
    flat = [each.reshape(-1, *each.shape[2:]) for each in passed[:4]]
    none, ones = np.zeros(len(flat[0]), dtype=bool), np.ones(len(flat[0]))
    rows = Rows._make([*flat, none, ones])
    if not absorbing:
        return rows
    return joined([rows, absorbed_rows(int(rows.terminated.sum()), rows, 1.0)])


def expert_rows(
    demos: Demonstrations, subsample: int, absorbing: bool, keep_last: bool = False
) -> Rows:
    """The demonstrated steps that are shown, and a stay after each end.

    Args:
        demos: trajectories.
        subsample: every so many'th step is shown, from the first one on, and stands for so many.
        absorbing: whether there are such stays; each stands for one step.
        keep_last: whether the last step before an end is shown in any case; then it stands for one.

    Raises:
        ValueError: when there is no step, or a state beyond the numbers of 32 bits.
    """
    if demos.n_steps == 0:
        raise ValueError("demos have no steps; expected at least one action to copy")
    largest = max(float(np.abs(each).max()) for each in demos.states)
    if largest > LARGEST:
        raise ValueError(
            f"demos have a state with an entry of size {largest:g}; expected at most {LARGEST:g}, "
            "since networks compute in 32 bits"
        )
    steps = demos.steps()
    lengths = np.array([len(each) for each in demos.actions])
    last = steps.time == lengths[steps.trajectory] - 1
    regular = steps.time % subsample == 0
    shown = regular | (keep_last & last & demos.terminated[steps.trajectory])
    n = int(shown.sum())
    rows = Rows(
        steps.state.astype(np.float64)[shown],
        steps.action[shown],
        steps.next_state.astype(np.float64)[shown],
        (last & demos.terminated[steps.trajectory])[shown],
        np.zeros(n, dtype=bool),
        np.where(regular[shown], 1.0, 1.0 / subsample),
    )
    if not absorbing:
        return rows
    ends = absorbed_rows(int(demos.terminated.sum()), rows, 1.0 / subsample)
    return joined([rows, ends])


class Memory:
    """The policy's steps of the last iterations."""

    def __init__(self, size: int) -> None:
        self.kept: deque[Rows] = deque(maxlen=size)

    def add(self, rows: Rows) -> None:
        """The newest; the oldest are forgotten where there are too many."""
        self.kept.append(rows)

    def all(self) -> Rows:
        """Of all of them."""
        return joined(self.kept)

    def arrays(self) -> Arrays:
        """For a checkpoint."""
        arrays: Arrays = {}
        for i, rows in enumerate(self.kept):
            arrays |= named(f"{i}", rows._asdict())
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """To where it was."""
        self.kept.clear()
        for i in range(len({name.partition("/")[0] for name in arrays})):
            self.kept.append(Rows(**part(arrays, f"{i}")))
