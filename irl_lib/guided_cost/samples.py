"""What a sampled method remembers: trajectories of one length, and whose samples they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.weights import mixture_log_density
from irl_lib.support.checks import Array
from irl_lib.training.timed_policies import SquashedGaussian


class Trajectories(NamedTuple):
    """Trajectories of one length."""

    states: Array
    """``(N, T + 1, d)``."""
    actions: Array
    """``(N, T, m)``."""

    @property
    def before(self) -> Array:
        """``(N, T, d)``: the states in which something was done."""
        return self.states[:, :-1]


class Memory:
    """The samples of the last policies, what each of these makes of them, the demonstrations.

    A density is computed once, for the samples of one iteration at a time: a run that was stopped
    and resumed then gets the same to the last bit.

    Args:
        demos: the demonstrations.
        size: how many policies are remembered, with their samples; None for all.
    """

    def __init__(self, demos: Trajectories, size: int | None) -> None:
        self.demos, self.size = demos, size
        self.policies: list[SquashedGaussian] = []
        self.samples: list[Trajectories] = []
        self.log_densities: list[list[Array]] = []  # per policy: of each samples
        self.of_demos: list[Array] = []  # per policy

    def add(self, policy: SquashedGaussian, samples: Trajectories) -> None:
        """A policy, and what it did; the oldest is forgotten where there are too many."""
        for earlier, row in zip(self.policies, self.log_densities, strict=True):
            row.append(earlier.log_density(samples.before, samples.actions))
        self.policies.append(policy)
        self.samples.append(samples)
        known = [policy.log_density(each.before, each.actions) for each in self.samples]
        self.log_densities.append(known)
        self.of_demos.append(policy.log_density(self.demos.before, self.demos.actions))
        if self.size is not None and len(self.policies) > self.size:
            del self.policies[0], self.samples[0], self.log_densities[0], self.of_demos[0]
            for row in self.log_densities:
                del row[0]

    def batch(self) -> Trajectories:
        """All samples, and then the demonstrations."""
        states, actions = zip(*self.samples, self.demos, strict=True)
        return Trajectories(np.concatenate(states), np.concatenate(actions))

    def log_density(self) -> Array:
        """``(M,)``: of the batch, under the mixture of the policies."""
        rows = zip(self.log_densities, self.of_demos, strict=True)
        logs = np.stack([np.concatenate([*row, last]) for row, last in rows], axis=1)
        return mixture_log_density(logs, [len(each.states) for each in self.samples])


def of_one_length(whose: str, demos: Demonstrations, horizon: int) -> Trajectories:
    """The trajectories as arrays.

    Raises:
        ValueError: beginning with ``whose``, when one is of another length than ``horizon``.
    """
    for i, actions in enumerate(demos.actions):
        if demos.terminated[i] and len(actions) < horizon:
            raise ValueError(
                f"{whose} trajectory {i} terminated after {len(actions)} steps; expected "
                f"{horizon} steps of each: what ending early is worth can't be learned from the "
                "likelihood of trajectories of one length"
            )
        if len(actions) != horizon:
            raise ValueError(
                f"{whose} trajectory {i} has {len(actions)} steps; the horizon is {horizon}, and "
                "all must have that many"
            )
    states, actions = np.stack(demos.states), np.stack(demos.actions)
    return Trajectories(states.astype(np.float64), actions.astype(np.float64))
