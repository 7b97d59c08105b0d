"""Episodes of one length as arrays; what is refused of environments is tried by the methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_lib.demonstrations import Demonstrations
from irl_lib.networks import RewardNet
from irl_lib.training.episodes import Episodes, of_one_length, reward_inputs


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


def test_a_reward_is_shown_states_or_actions_too() -> None:
    rng = np.random.default_rng(0)
    samples = Episodes(rng.normal(size=(4, 6, 2)), rng.normal(size=(4, 5, 1)))
    np.testing.assert_allclose(reward_inputs(RewardNet(2).double(), samples), samples.before)
    both = reward_inputs(RewardNet(3), samples)
    assert both.dtype == torch.float32
    joined = np.concatenate([samples.before, samples.actions], axis=2)
    np.testing.assert_allclose(both, joined, rtol=1e-6)
    with pytest.raises(ValueError, match="reward_net has 4 inputs; expected 2, the length of a st"):
        reward_inputs(RewardNet(4), samples)
