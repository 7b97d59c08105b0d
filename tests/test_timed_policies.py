"""Policies of observation and time: their densities, units and clocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from irl_lib.training.timed_policies import EDGE, SquashedGaussian, Units, log_tanh_slope


def units_of(horizon: int = 4, size: int = 1) -> Units:
    """States around 5, actions from -2 to 4."""
    return Units(np.full(2, 5.0), np.full(2, 2.0), np.full(size, -2.0), np.full(size, 4.0), horizon)


def network(seed: int = 0, size: int = 1, horizon: int = 4) -> SquashedGaussian:
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(6, 3)), rng.normal(size=6)), (rng.normal(size=(5, 6)), np.ones(5))]
    heads = [(0.2 * rng.normal(size=(size, 5)), 0.1 * rng.normal(size=size)) for _ in range(2)]
    return SquashedGaussian(units_of(horizon, size), layers, *heads)


def test_a_step_has_the_density_of_the_tanh_of_a_gaussian() -> None:
    """Against scipy, one step and one number at a time."""
    policy, rng = network(size=2), np.random.default_rng(1)
    states, actions = rng.normal(5.0, 2.0, (3, 4, 2)), rng.uniform(-1.9, 3.9, (3, 4, 2))
    found = policy.log_densities(states, actions)
    for i in range(3):
        for t in range(4):
            seen = np.append((states[i, t] - 5.0) / 2.0, 2.0 * t / 4 - 1.0)
            for weight, bias in policy.layers:
                seen = np.tanh(weight @ seen + bias)
            mean = policy.mean[0] @ seen + policy.mean[1]
            sd = np.exp(policy.log_sd[0] @ seen + policy.log_sd[1])
            unit = (actions[i, t] - 1.0) / 3.0
            gaussian = stats.norm(mean, sd).logpdf(np.arctanh(unit))
            assert abs(found[i, t] - (gaussian - np.log(1.0 - unit**2)).sum()) < 1e-10
    np.testing.assert_allclose(policy.log_density(states, actions), found.sum(axis=1), rtol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 50), st.integers(0, 3))
def test_densities_integrate_to_one(seed: int, time: int) -> None:
    policy = network(seed)
    states = np.tile(np.random.default_rng(seed).normal(5.0, 2.0, 2), (1, 4, 1))

    def density(unit: float) -> float:
        actions = np.full((1, 4, 1), 1.0 + 3.0 * unit)
        return float(np.exp(policy.log_densities(states, actions)[0, time]))

    total = integrate.quad(density, EDGE - 1.0, 1.0 - EDGE, limit=200)[0]
    mean, log_sd = policy.moments(policy.units.inputs(states[0, 0], time))
    bound = float(np.arctanh(1.0 - EDGE))
    inside = stats.norm(mean, np.exp(log_sd)).cdf([bound, -bound])
    assert abs(total - (inside[0] - inside[1])) < 1e-6
    assert total > 0.9


def test_what_is_drawn_has_the_density_that_is_said() -> None:
    """The mean of 1/q over draws, restricted to a range, is the range's length."""
    policy, rng = network(3), np.random.default_rng(0)
    observation, draws = np.array([4.0, 6.0]), []
    for _ in range(20_000):
        policy.start()
        draws.append(policy(observation, rng))
    actions = np.array(draws)
    states = np.tile(observation, (len(actions), 1, 1))
    q = np.exp(policy.log_densities(states, actions[:, None]))[:, 0]
    unit = (actions[:, 0] - 1.0) / 3.0
    ratios = np.where(np.abs(unit) < 0.5, 1.0 / q, 0.0)
    error = ratios.std() / np.sqrt(len(ratios))
    assert abs(ratios.mean() - 1.0) < 4.0 * error < 0.3


def test_the_clock_moves_and_ends() -> None:
    """A nearly certain policy whose action is the time."""
    nothing = (np.zeros((1, 3)), np.full(1, -20.0))
    policy = SquashedGaussian(units_of(2), [], (np.array([[0.0, 0.0, 1.0]]), np.zeros(1)), nothing)
    rng = np.random.default_rng(0)
    for _ in range(2):
        policy.start()
        taken = [policy(np.zeros(2), rng)[0] for _ in range(2)]
        np.testing.assert_allclose(taken, [1.0 + 3.0 * np.tanh(-1.0), 1.0], atol=1e-6)
        with pytest.raises(ValueError, match="horizon of 2 steps, and all are taken"):
            policy(np.zeros(2), rng)


def test_actions_at_the_bounds_have_a_finite_density() -> None:
    states, edges = np.full((1, 4, 2), 5.0), np.array([-2.0, 4.0, -2.0, 4.0]).reshape(1, 4, 1)
    policy = network()
    found = policy.log_densities(states, edges)
    inside = 1.0 + 3.0 * (1.0 - EDGE) * np.array([-1.0, 1.0, -1.0, 1.0]).reshape(1, 4, 1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, policy.log_densities(states, inside), rtol=1e-9)


@pytest.mark.parametrize(
    ("mean", "mass", "share"), [(0.0, 1.0, 0.0), (4.0, 0.96, 0.17), (6.0, 0.26, 0.85)]
)
def test_who_keeps_to_the_bounds_has_no_exact_density(
    mean: float, mass: float, share: float
) -> None:
    """It integrates to less than 1: what the module says, and the share of those concerned."""
    head, unit_sd = (np.zeros((1, 3)), np.full(1, mean)), (np.zeros((1, 3)), np.zeros(1))
    policy, rng = SquashedGaussian(units_of(1), [], head, unit_sd), np.random.default_rng(0)
    inside = np.tanh(np.linspace(-10.0, 10.0, 40_001))
    states = np.zeros((len(inside), 1, 2))
    q = np.exp(policy.log_density(states, (1.0 + 3.0 * inside)[:, None, None]))
    assert integrate.trapezoid(q, inside) == pytest.approx(mass, abs=0.005)
    drawn = policy.units.from_gaussian(mean + rng.standard_normal((20_000, 1)))
    assert policy.units.share_at_bounds(drawn) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, rng: p([np.nan, 0.0], rng), "observation is nan"),
        (lambda p, rng: p([0.3], rng), r"observation has shape \(1,\); expected \(2,\)"),
        (lambda p, rng: p(0.3, rng), r"observation has shape \(\)"),
        (lambda p, rng: p.log_density(np.zeros((2, 4, 2)), np.zeros((1, 4, 1))), "and actions"),
        (
            lambda p, rng: p.log_density(np.zeros((1, 4, 3)), np.zeros((1, 4, 1))),
            "states has shape",
        ),
        (lambda p, rng: p.log_density(np.zeros((4, 2)), np.zeros((4, 1))), "states has shape"),
        (lambda p, rng: p.log_density(np.full((1, 4, 2), np.inf), np.zeros((1, 4, 1))), "is inf"),
    ],
)
def test_what_fits_no_policy_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(network(), np.random.default_rng(0))


def test_units_there_and_back() -> None:
    units = units_of(size=2)
    actions = np.random.default_rng(0).uniform(-1.99, 3.99, (5, 2))
    np.testing.assert_allclose(units.from_gaussian(units.to_gaussian(actions)), actions, rtol=1e-9)
    assert units.from_gaussian(np.full(2, 1e3)).tolist() == [4.0, 4.0]
    inputs = units.inputs(np.full((3, 5, 2), 7.0), np.arange(5))
    np.testing.assert_allclose(inputs[0, :, 2], [-1.0, -0.5, 0.0, 0.5, 1.0])
    assert inputs[..., :2].min() == inputs[..., :2].max() == 1.0


def test_a_policy_of_the_same_numbers_is_the_same() -> None:
    policy, rng = network(size=2), np.random.default_rng(0)
    again = SquashedGaussian.from_arrays(policy.units, policy.arrays())
    states, actions = rng.normal(5.0, 2.0, (3, 4, 2)), rng.uniform(-2.0, 4.0, (3, 4, 2))
    assert (again.log_densities(states, actions) == policy.log_densities(states, actions)).all()


@given(st.floats(-700.0, 700.0))
def test_the_slope_of_the_tangent(number: float) -> None:
    found = float(log_tanh_slope(np.array(number)))
    assert np.isclose(found, -2.0 * (np.logaddexp(number, -number) - np.log(2.0)), atol=1e-12)
