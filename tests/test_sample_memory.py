"""What is remembered of samples: each under every policy that is remembered."""

from __future__ import annotations

import numpy as np
import pytest

from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.samples import Memory, Trajectories, of_one_length
from irl_lib.training.timed_policies import Frame, SquashedGaussian

HORIZON = 3


def policy(seed: int) -> SquashedGaussian:
    rng = np.random.default_rng(seed)
    heads = [(0.2 * rng.normal(size=(1, 3)), 0.2 * rng.normal(size=1)) for _ in range(2)]
    units = Frame(np.zeros(2), np.ones(2), np.full(1, -1.0), np.ones(1), HORIZON)
    return SquashedGaussian(units, [], *heads)


def some(n: int, seed: int) -> Trajectories:
    rng = np.random.default_rng(seed)
    return Trajectories(rng.normal(size=(n, HORIZON + 1, 2)), rng.uniform(-1, 1, (n, HORIZON, 1)))


@pytest.mark.parametrize("size", [1, 2, 3, None])
def test_a_batch_and_its_density_by_brute_force(size: int | None) -> None:
    demos, memory = some(5, 99), Memory(some(5, 99), size)
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


def test_trajectories_of_one_length_as_arrays() -> None:
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(4, 6, 2)), rng.normal(size=(4, 5, 1))
    found = of_one_length("all:", Demonstrations(list(states), list(actions)), 5)
    np.testing.assert_array_equal(found.states, states)
    np.testing.assert_array_equal(found.actions, actions)
    np.testing.assert_array_equal(found.before, states[:, :-1])
    ended = Demonstrations(list(states), list(actions), terminated=True)
    np.testing.assert_array_equal(of_one_length("all:", ended, 5).states, states)
    with pytest.raises(ValueError, match="all: trajectory 0 terminated after 5 steps; expected 6"):
        of_one_length("all:", ended, 6)
    cut = Demonstrations([*states, states[0][:-1]], [*actions, actions[0][:-1]])
    with pytest.raises(ValueError, match="all: trajectory 4 has 4 steps; the horizon is 5"):
        of_one_length("all:", cut, 5)
