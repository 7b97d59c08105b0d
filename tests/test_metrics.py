"""Distances between policies, rewards and experts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from irl_lib import demonstrations, metrics, planning, worlds
from irl_lib.demonstrations import Demonstrations
from strategies import Problem, problems


@settings(max_examples=60)
@given(problems())
def test_the_value_difference_is_zero_for_the_best_and_positive_else(problem: Problem) -> None:
    mdp, reward = problem.mdp, problem.reward
    best = planning.value_iteration(mdp, reward).policy
    scale = max(1.0, np.abs(planning.policy_value(mdp, best, reward)).max())
    assert abs(metrics.expected_value_difference(mdp, best, reward)) < 1e-11 * scale
    policy = problem.policy()
    found = metrics.expected_value_difference(mdp, policy, reward)
    x = planning.occupancy(mdp, best) - planning.occupancy(mdp, policy)
    assert abs(found - (x * reward).sum()) < 1e-10 * scale
    assert found > -1e-10 * scale


def test_the_feature_gap_is_a_euclidean_distance() -> None:
    world = worlds.gridworld(3, seed=1)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    mu = planning.feature_expectations(world.mdp, policy, world.features)
    assert metrics.feature_gap(world.mdp, policy, world.features, mu) == 0.0
    moved = mu + np.array([3.0, 4.0, 0.0, 0.0, 0.0, 0.0])
    assert metrics.feature_gap(world.mdp, policy, world.features, moved) == pytest.approx(5.0)
    with pytest.raises(ValueError, match=r"expert has shape \(2,\); expected \(6,\)"):
        metrics.feature_gap(world.mdp, policy, world.features, [1.0, 2.0])


def test_the_likelihood_is_that_of_the_actions() -> None:
    world = worlds.two_goal()
    policy = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9], [0.5, 0.5]])
    demos = Demonstrations([[1, 2, 3], [2, 1]], [[1, 1], [0]])
    found = metrics.negative_log_likelihood(world.mdp, policy, demos)
    assert found == pytest.approx(-(np.log(0.75) + np.log(0.9) + np.log(0.1)) / 2.0)
    policy[2] = [0.0, 1.0]
    message = "policy gives probability 0 to action 0 in state 2, which trajectory 1 takes at"
    with pytest.raises(ValueError, match=message):
        metrics.negative_log_likelihood(world.mdp, policy, demos)


def test_the_likelihood_follows_a_policy_of_time() -> None:
    world = worlds.gridworld(3, horizon=4, seed=1, discount=1.0)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    demos = demonstrations.sample(world.mdp, plan.policy, 4_000, np.random.default_rng(0))
    found = metrics.negative_log_likelihood(world.mdp, plan.policy, demos)
    zero = np.zeros_like(world.reward)
    entropy = planning.policy_value(world.mdp, plan.policy, zero, temperature=1.0)[0]
    assert found == pytest.approx(float(world.mdp.initial @ entropy), abs=0.05)


def test_the_effective_sample_size() -> None:
    assert metrics.effective_sample_size(np.full(7, -900.0)) == pytest.approx(7.0)
    assert metrics.effective_sample_size([0.0, -900.0]) == pytest.approx(1.0)
    assert metrics.effective_sample_size(np.log([1.0, 2.0])) == pytest.approx(9.0 / 5.0)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([], "log_weights has shape .0,.; expected one axis, not empty"),
        (1.0, "log_weights has shape ..; expected one axis"),
        ([np.nan], "log_weights is nan at index"),
        (["a"], "log_weights has entries of type"),
        ([[1.0], [1.0, 2.0]], "log_weights is no array of numbers"),
    ],
)
def test_bad_weights_are_named(logs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.effective_sample_size(logs)
