"""Policy steps: towards the soft optimum, with randomness of their own."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from irl_lib.support.checks import Array
from irl_lib.training.timed_policies import SquashedGaussian, Units

pytest.importorskip("stable_baselines3")

from irl_lib.networks import one_thread
from irl_lib.training import policy_steps
from irl_lib.training.policy_steps import SoftActor

HORIZON = 3


def actor(seed: int = 0) -> SoftActor:
    units = Units(np.zeros(1), np.ones(1), np.full(1, -2.0), np.full(1, 2.0), HORIZON)
    return SoftActor(units, seed, hidden=(16, 16), learning_rate=3e-3, epochs=5, batch=64)


def episodes(policy: SquashedGaussian, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Of a world in which half of each action is added to the state."""
    states, actions = np.zeros((n, HORIZON + 1, 1)), np.zeros((n, HORIZON, 1))
    for i in range(n):
        policy.start()
        for t in range(HORIZON):
            actions[i, t] = policy(states[i, t], rng)
            states[i, t + 1] = states[i, t] + 0.5 * actions[i, t]
    return states, actions


def improved(seed: int, rounds: int, slope: float) -> SquashedGaussian:
    """After rounds with the reward ``slope * a``, in the unit in which actions are from -1 to 1."""
    learner, rng = actor(seed), np.random.default_rng(seed)
    with one_thread():
        for _ in range(rounds):
            states, actions = episodes(learner.policy(), 40, rng)
            learner.improve(states, actions, slope * actions[..., 0] / 2.0, rng)
    return learner.policy()


def test_the_soft_optimum_of_a_reward_of_actions() -> None:
    """The density is proportional to exp(b a) in each step: its mean and variance are known."""
    b = 2.0
    mean = 1.0 / np.tanh(b) - 1.0 / b
    variance = 1.0 + 1.0 / b**2 - 1.0 / np.tanh(b) ** 2
    policy, rng = improved(0, 60, b), np.random.default_rng(5)
    unit = episodes(policy, 500, rng)[1][..., 0] / 2.0
    np.testing.assert_allclose(unit.mean(axis=0), mean, atol=0.12)
    np.testing.assert_allclose(unit.var(axis=0), variance, atol=0.08)


def test_what_is_not_rewarded_stays_random() -> None:
    unit = episodes(improved(0, 30, 0.0), 500, np.random.default_rng(5))[1][..., 0] / 2.0
    assert abs(unit.mean()) < 0.12
    assert abs(unit.var() - 1.0 / 3.0) < 0.08


def test_advantages_are_sums_of_surprises() -> None:
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    found = policy_steps._advantages(rewards, values)
    after = np.append(values, np.zeros((4, 1)), axis=1)[:, 1:]
    for t in range(6):
        expected = sum(
            policy_steps.TRACE ** (u - t) * (rewards[:, u] + after[:, u] - values[:, u])
            for u in range(t, 6)
        )
        np.testing.assert_allclose(found[:, t], expected, rtol=1e-12)


def test_global_random_numbers_are_neither_read_nor_moved() -> None:
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the state that must not be read)
    policies = [improved(3, 2, 1.0)]
    moved = random.random(), torch.rand(1).item(), np.random.rand()  # noqa: NPY002
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert moved == (random.random(), torch.rand(1).item(), np.random.rand())  # noqa: NPY002
    policies.append(improved(3, 2, 1.0))
    first, second = (policy.arrays() for policy in policies)
    assert all((first[name] == second[name]).all() for name in first)
    other = improved(4, 2, 1.0).arrays()
    assert any((first[name] != other[name]).any() for name in first)


def test_the_density_is_stable_baselines_own() -> None:
    """What weights are made of is what PPO's policy says, but for the slope of the tangent."""
    learner, rng = actor(2), np.random.default_rng(0)
    states, actions = episodes(learner.policy(), 5, rng)
    units = learner.units
    inputs = units.inputs(states[:, :-1], np.arange(HORIZON)).reshape(-1, 2)
    numbers = units.to_gaussian(actions).reshape(-1, 1)
    with torch.no_grad():
        _, gaussian, _ = learner.model.policy.evaluate_actions(
            torch.tensor(inputs, dtype=torch.float32), torch.tensor(numbers, dtype=torch.float32)
        )
    slopes = np.log(1.0 - np.tanh(numbers[:, 0]) ** 2)
    expected = (gaussian.double().numpy() - slopes).reshape(5, HORIZON)
    found = learner.policy().log_densities(states[:, :-1], actions)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ratios_are_one_before_the_first_step_and_rewards_have_the_entropy_in_them() -> None:
    learner, rng = actor(1), np.random.default_rng(0)
    policy = learner.policy()
    states, actions = episodes(policy, 6, rng)
    rewards = rng.normal(size=(6, HORIZON))
    learner.model.train = lambda: None  # type: ignore[method-assign]
    learner.improve(states, actions, rewards, rng)
    steps = learner.model.rollout_buffer.steps  # type: ignore[attr-defined]
    with torch.no_grad():
        values, logs, _ = learner.model.policy.evaluate_actions(steps.observations, steps.actions)
    np.testing.assert_allclose(logs, steps.old_log_prob, atol=1e-4)
    np.testing.assert_allclose(values[:, 0], steps.old_values, atol=1e-5)
    soft = rewards - policy.log_densities(states[:, :-1], actions)
    paid = (soft - soft.mean()) / (policy_steps.NATS * HORIZON)
    wanted = policy_steps._advantages(paid, learner.values(states[:, :-1]))
    np.testing.assert_allclose(steps.advantages.reshape(6, HORIZON), wanted, atol=1e-5)


def test_a_policy_that_was_taken_stays_as_it_was() -> None:
    learner, rng = actor(), np.random.default_rng(0)
    taken = learner.policy()
    before = {name: values.copy() for name, values in taken.arrays().items()}
    states, actions = episodes(taken, 10, rng)
    learner.improve(states, actions, actions[..., 0], rng)
    assert all((before[name] == values).all() for name, values in taken.arrays().items())
    assert any((before[name] != each).any() for name, each in learner.policy().arrays().items())
