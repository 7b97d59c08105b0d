"""The worlds: dynamics worked out by hand, seeds, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from irl_lib import planning, worlds
from irl_lib.worlds import World

WORLDS: list[tuple[Any, dict[str, Any]]] = [
    (worlds.gridworld, {"width": 4, "seed": 3}),
    (worlds.gridworld, {"width": 4, "height": 2, "goals": [(3, 1)], "discount": 1.0}),
    (worlds.chain, {}),
    (worlds.gamble, {}),
    (worlds.two_goal, {}),
    (worlds.random_mdp, {"n_states": 5, "n_actions": 2, "n_features": 3, "seed": 1}),
    (
        worlds.random_mdp,
        {"n_states": 5, "n_actions": 2, "n_features": 3, "seed": 1, "n_absorbing": 2},
    ),
]


@pytest.mark.parametrize(("make", "arguments"), WORLDS)
def test_every_world_is_consistent(make: Any, arguments: dict[str, Any]) -> None:
    world: World = make(**arguments)
    n_states, n_actions = world.mdp.n_states, world.mdp.n_actions
    assert world.features.shape == (n_states, n_actions, len(world.weights))
    np.testing.assert_array_equal(world.reward, world.features @ world.weights)
    assert world.positions.shape == (n_states, 2)
    again: World = make(**arguments)
    np.testing.assert_array_equal(world.reward, again.reward)
    np.testing.assert_array_equal(world.mdp.dense_transitions(), again.mdp.dense_transitions())
    assert np.isfinite(planning.value_iteration(world.mdp, world.reward).v).all()
    if world.feature_names:
        assert len(world.feature_names) == len(world.weights)


def test_seeds_draw_different_worlds() -> None:
    first, second = (worlds.gridworld(4, seed=seed).reward for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1
    drawn = [worlds.random_mdp(4, 2, 2, seed).mdp.dense_transitions() for seed in (0, 1)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1


def test_moves_in_a_grid() -> None:
    """Right, up, left, down from the middle of 3 x 3; a slip goes each way with a quarter."""
    dense = worlds.gridworld(3, slip=0.2).mdp.dense_transitions()
    for action, target in enumerate([5, 7, 3, 1]):
        row = np.zeros(9)
        row[[5, 7, 3, 1]] = 0.05
        row[target] += 0.8
        np.testing.assert_allclose(dense[4, action], row, atol=1e-15)
    np.testing.assert_allclose(dense[0, 2, 0], 0.8 + 0.1)  # against the border it stays


def test_walls_and_goals() -> None:
    world = worlds.gridworld(3, 1, slip=0.0, walls=[(1, 0)], goals=[(2, 0)])
    dense = world.mdp.dense_transitions()
    assert (dense[0, :, 0] == 1.0).all()
    assert (dense[2, :, 2] == 1.0).all()
    np.testing.assert_array_equal(world.mdp.initial, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(world.mdp.absorbing, [True, False, True])


def test_own_features_and_weights() -> None:
    features = np.arange(8.0).reshape(4, 2)
    world = worlds.gridworld(2, features=features, weights=[1.0, -1.0])
    np.testing.assert_array_equal(world.reward, np.full((4, 4), -1.0))
    features[:] = 7.0
    assert world.features.max() == 7.0
    assert world.features[0, 0, 0] == 0.0


def test_features_are_zero_where_episodes_end() -> None:
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0, features=np.ones((9, 1)))
    np.testing.assert_array_equal(
        world.features[..., 0], np.repeat(np.arange(9) < 8, 4).reshape(9, 4)
    )


def test_the_chain_by_hand() -> None:
    world = worlds.chain(3, horizon=2, discount=1.0)
    v = planning.value_iteration(world.mdp, world.reward).v
    np.testing.assert_allclose(v[0], [0.25, 1.75, 3.0])


def test_the_gamble_by_hand() -> None:
    """With even chances of w and l, exp Q is 4 for safe; causal and exact differ by Jensen."""
    world = worlds.gamble(win=2.0, lose=-4.0, chance=0.5)
    causal = planning.soft_value_iteration(world.mdp, world.reward).policy[0, 0, 1]
    exact = planning.trajectory_posterior(world.mdp, world.reward).policy[0, 0, 1]
    bet = np.exp(0.5 * 2.0 - 0.5 * 4.0)
    assert causal == pytest.approx(bet / (1.0 + bet))
    luck = 0.5 * np.exp(2.0) + 0.5 * np.exp(-4.0)
    assert exact == pytest.approx(luck / (1.0 + luck))


def test_random_worlds_end_where_they_should() -> None:
    world = worlds.random_mdp(6, 2, 3, 0, discount=1.0, n_absorbing=2)
    np.testing.assert_array_equal(world.mdp.absorbing, [False] * 4 + [True] * 2)
    assert (world.features[4:] == 0.0).all()


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (worlds.gridworld, {"width": 0}, "width is 0; expected a whole number, at least 1"),
    (worlds.gridworld, {"width": 3, "height": 2.5}, "height is 2.5; expected"),
    (worlds.gridworld, {"slip": 1.5}, r"slip is 1.5; expected a number in \[0, 1\]"),
    (worlds.gridworld, {"slip": -0.1}, "slip is -0.1; expected"),
    (worlds.gridworld, {"slip": np.nan}, "slip is nan; expected"),
    (worlds.gridworld, {"goals": [(8, 0)]}, r"goals has the cell \(8, 0\); the grid is 8 by 8"),
    (worlds.gridworld, {"walls": [(-1, 0)]}, r"walls has the cell \(-1, 0\)"),
    (worlds.gridworld, {"width": 1, "goals": [(0, 0)]}, "walls and goals cover every cell"),
    (worlds.gridworld, {"features": np.ones((3, 2))}, r"features has shape \(3, 2\)"),
    (worlds.gridworld, {"weights": [1.0]}, r"weights has shape \(1,\); expected \(6,\)"),
    (worlds.chain, {"length": 1}, "length is 1; expected a whole number, at least 2"),
    (worlds.gamble, {"chance": 0.0}, r"chance is 0.0; expected a probability in \(0, 1\)"),
    (
        worlds.random_mdp,
        {"n_states": 3, "n_actions": 1, "n_features": 1, "seed": 0, "branching": 4},
        "branching is 4; expected a whole number, at most 3",
    ),
]


@pytest.mark.parametrize(("make", "arguments", "message"), BAD)
def test_bad_worlds_are_refused(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda seed: worlds.gridworld(4, seed=seed),
        lambda seed: worlds.random_mdp(3, 2, 2, seed=seed),
        lambda seed: worlds.terrain(16, seed=seed),
        lambda seed: worlds.roads(seed=seed, size=200),
    ],
)
def test_a_bad_seed_is_refused(make: Callable[[Any], Any], seed: Any) -> None:
    with pytest.raises(ValueError, match="seed is "):
        make(seed)
