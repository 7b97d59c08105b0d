"""What guided cost learning remembers: samples, and how dense each policy makes them."""

from __future__ import annotations

import numpy as np

from irl_lib.guided_cost.weights import mixture_log_density
from irl_lib.support.checkpoints import named, part
from irl_lib.support.checks import Array
from irl_lib.support.files import Arrays
from irl_lib.training.episodes import Episodes
from irl_lib.training.timed_policies import SquashedGaussian, Units


class Memory:
    """The samples of the last policies, what each of these makes of them, the demonstrations.

    A density is computed once, for the samples of one iteration at a time: a run that was stopped
    and resumed then gets the same to the last bit.

    Args:
        demos: the demonstrations.
        size: how many policies are remembered, with their samples; None for all.
        units: of the policies.
    """

    def __init__(self, demos: Episodes, size: int | None, units: Units) -> None:
        self.demos, self.size, self.units = demos, size, units
        self.policies: list[SquashedGaussian] = []
        self.samples: list[Episodes] = []
        self.log_densities: list[list[Array]] = []  # per policy: of each samples
        self.of_demos: list[Array] = []  # per policy

    def add(self, policy: SquashedGaussian, samples: Episodes) -> None:
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

    def batch(self) -> Episodes:
        """All samples, and then the demonstrations."""
        states, actions = zip(*self.samples, self.demos, strict=True)
        return Episodes(np.concatenate(states), np.concatenate(actions))

    def log_density(self) -> Array:
        """``(M,)``: of the batch, under the mixture of the policies."""
        rows = zip(self.log_densities, self.of_demos, strict=True)
        logs = np.stack([np.concatenate([*row, last]) for row, last in rows], axis=1)
        return mixture_log_density(logs, [len(each.states) for each in self.samples])

    def arrays(self) -> Arrays:
        """Policies and samples, for a checkpoint."""
        arrays: Arrays = {}
        for i, (policy, samples) in enumerate(zip(self.policies, self.samples, strict=True)):
            arrays |= named(f"policy{i}", policy.arrays()) | named(f"samples{i}", samples._asdict())
        return arrays

    def restore(self, arrays: Arrays) -> None:
        """What :meth:`arrays` made these of; densities are computed anew."""
        for i in range(len({name.partition("/")[0] for name in arrays}) // 2):
            policy = SquashedGaussian.from_arrays(self.units, part(arrays, f"policy{i}"))
            self.add(policy, Episodes(**part(arrays, f"samples{i}")))
