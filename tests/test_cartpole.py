"""The cart-pole with other physics: its equations of motion, its limits, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import cartpole_expert
from irl_lib import rollouts, worlds
from irl_lib.demonstrations import Demonstrations

CART, POLE, SECONDS = 1.0, 0.1, 0.02  # kg, kg, s


def pushed(state: Any, force: float, half: float, gravity: float) -> Any:
    """One explicit Euler step of the two equations of motion, solved together.

    Along the track the forces on cart and pole, around the hinge the torques (a rod's moment of
    inertia about its centre is a third of its mass times half its length squared).
    """
    x, speed, angle, turning = np.asarray(state, dtype=float)
    sin, cos = np.sin(angle), np.cos(angle)
    matrix = [[CART + POLE, POLE * half * cos], [cos, 4.0 / 3.0 * half]]
    right = [force + POLE * half * turning**2 * sin, gravity * sin]
    acceleration, angular = np.linalg.solve(matrix, right)
    change = np.array([speed, acceleration, turning, angular])
    return np.array([x, speed, angle, turning]) + SECONDS * change


@settings(max_examples=60)
@given(
    st.floats(0.05, 5.0),
    st.floats(0.1, 30.0),
    st.floats(0.5, 50.0),
    st.integers(0, 1),
    st.integers(0, 1000),
)
def test_it_moves_by_its_equations(
    half: float, gravity: float, force: float, action: int, seed: int
) -> None:
    env = worlds.cartpole(half, gravity, force)
    env.reset(seed=seed)
    for _ in range(3):
        before = env.unwrapped.state
        expected = pushed(before, force if action else -force, half, gravity)
        observation, _, terminated, _, _ = env.step(action)
        np.testing.assert_allclose(env.unwrapped.state, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(observation, expected.astype(np.float32))
        assert terminated == (abs(expected[0]) > 2.4 or abs(expected[2]) > np.radians(12))
        if terminated:
            break


def test_the_default_is_gymnasiums() -> None:
    def coin(observation: Any, rng: np.random.Generator) -> int:
        return int(rng.integers(2))

    ours, theirs = (
        rollouts.rollout(env, coin, 5, seed=0)
        for env in (worlds.cartpole(), gymnasium.make("CartPole-v1"))
    )
    for a, b in zip(ours.states, theirs.states, strict=True):
        np.testing.assert_array_equal(a, b)
    assert ours.environment == "irl_lib/CartPole-v1"
    assert theirs.environment == "CartPole-v1"


@pytest.mark.parametrize("change", [{"pole_length": 1.0}, {"gravity": 20.0}, {"force": 5.0}])
def test_every_change_is_felt(change: dict[str, float]) -> None:
    ends = []
    for env in (worlds.cartpole(), worlds.cartpole(**change)):
        env.reset(seed=0)
        ends.append([env.step(1)[0] for _ in range(5)][-1])
    assert np.abs(ends[0] - ends[1]).max() > 1e-3


def test_the_time_runs_out() -> None:
    def balance(observation: Any, rng: np.random.Generator) -> int:
        return int(observation[2] + observation[3] > 0)

    demos = rollouts.rollout(worlds.cartpole(max_steps=20), balance, 2, seed=0)
    assert [len(a) for a in demos.actions] == [20, 20]
    assert demos.truncated.all()
    assert rollouts.returns(demos).tolist() == [20.0, 20.0]
    assert worlds.cartpole().spec.max_episode_steps == 500


def test_it_can_be_made_again_from_its_description() -> None:
    env = worlds.cartpole(pole_length=1.5, gravity=3.0, force=7.0, max_steps=9)
    described = type(env.spec).from_json(env.spec.to_json())
    again = gymnasium.make(described)
    assert again.spec.max_episode_steps == 9
    for each in (env, again):
        each.reset(seed=5)
    np.testing.assert_array_equal(env.step(1)[0], again.step(1)[0])


def test_it_may_be_drawn() -> None:
    assert worlds.cartpole(render_mode="rgb_array").render_mode == "rgb_array"


@pytest.mark.parametrize("name", ["pole_length", "gravity", "force"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, "long", None, True])
def test_impossible_physics_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} is .*; expected a finite number > 0"):
        worlds.cartpole(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 2.5, None])
def test_impossible_limits_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"max_steps is .*; expected a whole number"):
        worlds.cartpole(max_steps=value)


def test_without_gymnasium_the_extra_is_named() -> None:
    code = "import sys; sys.modules['gymnasium'] = None\nfrom irl_lib import worlds\n"
    code += "worlds.cartpole()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "irl_lib[gym]"' in ran.stderr


def test_the_expert_is_trained_and_stored_alike_each_time(tmp_path: Path) -> None:
    """Much shorter than the benchmark; its last policy is the one that is measured and stored."""
    stored = []
    for name in ("first", "second"):
        path = tmp_path / "data" / f"{name}.npz"
        (row,) = cartpole_expert.run(steps=2_000, episodes=2, demonstrations=3, path=path)
        assert set(row) == set(cartpole_expert.COLUMNS)
        stored.append((row, Demonstrations.load(path)))
    (row, demos), (again, other) = stored
    assert row == again
    assert row["steps"] == 2_048
    assert 1.0 <= row["least_return"] <= row["mean_return"] <= 500.0
    assert (len(demos), demos.environment) == (3, "CartPole-v1")
    for a, b in zip(demos.states, other.states, strict=True):
        np.testing.assert_array_equal(a, b)
