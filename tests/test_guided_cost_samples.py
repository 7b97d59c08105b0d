"""What is remembered of samples: each under every policy that is remembered."""

from __future__ import annotations

import numpy as np
import pytest

from irl_lib.guided_cost.samples import Memory
from irl_lib.training.episodes import Episodes
from irl_lib.training.timed_policies import SquashedGaussian, Units

HORIZON = 3
UNITS = Units(np.zeros(2), np.ones(2), np.full(1, -1.0), np.ones(1), HORIZON)


def policy(seed: int) -> SquashedGaussian:
    rng = np.random.default_rng(seed)
    heads = [(0.2 * rng.normal(size=(1, 3)), 0.2 * rng.normal(size=1)) for _ in range(2)]
    return SquashedGaussian(UNITS, [], *heads)


def some(n: int, seed: int) -> Episodes:
    rng = np.random.default_rng(seed)
    return Episodes(rng.normal(size=(n, HORIZON + 1, 2)), rng.uniform(-1, 1, (n, HORIZON, 1)))


@pytest.mark.parametrize("size", [1, 2, 3, None])
def test_a_batch_and_its_density_by_brute_force(size: int | None) -> None:
    demos, memory = some(5, 99), Memory(some(5, 99), size, UNITS)
    policies, samples = [policy(i) for i in range(4)], [some(2 + i, i) for i in range(4)]
    for i in range(4):
        memory.add(policies[i], samples[i])
        first = 0 if size is None else max(0, i + 1 - size)
        kept = [*samples[first : i + 1], demos]
        states = np.concatenate([each.states for each in kept])
        actions = np.concatenate([each.actions for each in kept])
        np.testing.assert_array_equal(memory.batch().states, states)
        np.testing.assert_array_equal(memory.batch().actions, actions)
        density, drawn = np.zeros(len(states)), 0
        for j in range(first, i + 1):
            density += len(samples[j].states) * np.exp(
                policies[j].log_density(states[:, :-1], actions)
            )
            drawn += len(samples[j].states)
        np.testing.assert_allclose(memory.log_density(), np.log(density / drawn), rtol=1e-9)


def test_what_is_kept_is_brought_back_with_its_densities() -> None:
    demos, first = some(5, 99), Memory(some(5, 99), 2, UNITS)
    for i in range(3):
        first.add(policy(i), some(2 + i, i))
    second = Memory(demos, 2, UNITS)
    second.restore(first.arrays())
    for mine, its in zip(first.batch(), second.batch(), strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(first.log_density(), second.log_density())
