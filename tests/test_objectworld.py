"""Objectworld and binaryworld: against their definitions, cell by cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from irl_lib import max_ent, planning
from irl_lib.worlds import MapWorld, binaryworld, objectworld

STEPS = [(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)]
MAKERS = [objectworld, binaryworld]


def things(world: MapWorld) -> list[tuple[int, int, int, int]]:
    """x, y, outer and inner colour of every object, read off the layers of the map."""
    colors = world.cells.shape[2] // 2
    found = []
    for y, row in enumerate(world.cells):
        for x, cell in enumerate(row):
            if cell.any():
                assert cell[:colors].sum() == cell[colors:].sum() == 1.0
                outer, inner = (int(np.argmax(half)) for half in (cell[:colors], cell[colors:]))
                found.append((x, y, outer, inner))
    return found


def distances(world: MapWorld, x: int, y: int) -> list[float]:
    """To the nearest object of each outer and then each inner colour."""
    n, colors = len(world.cells), world.cells.shape[2] // 2
    found = [math.sqrt(2.0) * n] * (2 * colors)
    for ox, oy, outer, inner in things(world):
        for k in (outer, colors + inner):
            found[k] = min(found[k], math.hypot(ox - x, oy - y))
    return found


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_moves_succeed_or_another_happens(maker: Any, slip: float) -> None:
    n = 4
    world = maker(n, slip=slip, seed=2)
    expected = np.zeros((n * n, 5, n * n))
    for y in range(n):
        for x in range(n):
            for meant in range(5):
                for done, (dx, dy) in enumerate(STEPS):
                    landed = (x + dx, y + dy)
                    if not (0 <= landed[0] < n and 0 <= landed[1] < n):
                        landed = (x, y)
                    chance = 1.0 - slip if done == meant else slip / 4.0
                    expected[y * n + x, meant, landed[1] * n + landed[0]] += chance
    np.testing.assert_allclose(world.mdp.dense_transitions(), expected, atol=1e-15)
    np.testing.assert_allclose(world.mdp.initial, 1.0 / (n * n))
    np.testing.assert_array_equal(world.positions[n + 2], [2.0, 1.0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_colors", [2, 3])
def test_objectworld_is_its_definition(seed: int, n_colors: int) -> None:
    n = 9
    world = objectworld(n, n_colors, density=0.08, seed=seed)
    signs = objectworld(n, n_colors, discrete=True, density=0.08, seed=seed)
    np.testing.assert_array_equal(signs.reward, world.reward)
    for y in range(n):
        for x in range(n):
            far = distances(world, x, y)
            np.testing.assert_allclose(world.features[y * n + x], far, rtol=1e-14)
            below = [float(d < limit) for d in far for limit in range(1, n + 1)]
            np.testing.assert_array_equal(signs.features[y * n + x], below)
            reward = 0.0
            if far[0] < 3.0:
                reward = 1.0 if far[1] < 2.0 else -1.0
            assert (world.reward[y * n + x] == reward).all()


@pytest.mark.parametrize("seed", range(4))
def test_binaryworld_is_its_definition(seed: int) -> None:
    n = 6
    world = binaryworld(n, seed=seed)
    blue = world.cells[..., 0]
    assert set(blue.ravel()) == {0.0, 1.0}
    for y in range(n):
        for x in range(n):
            seen = [
                blue[y + dy, x + dx] if 0 <= y + dy < n and 0 <= x + dx < n else 0.0
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            np.testing.assert_array_equal(world.features[y * n + x], seen)
            reward = {4: 1.0, 5: -1.0}.get(int(sum(seen)), 0.0)
            assert (world.reward[y * n + x] == reward).all()


def test_names_say_what_the_columns_are() -> None:
    world = objectworld(5, 2, seed=0)
    assert world.cell_names == ("outer 1", "outer 2", "inner 1", "inner 2")
    assert world.feature_names == tuple(f"distance to {each}" for each in world.cell_names)
    signs = objectworld(5, 2, discrete=True, seed=0)
    assert len(signs.feature_names) == signs.features.shape[1] == 20
    assert signs.feature_names[6] == "distance to outer 2 < 2"
    names = binaryworld(5).feature_names
    assert (names[0], names[4], names[5]) == (
        "blue at (-1, -1)",
        "blue at (+0, +0)",
        "blue at (+1, +0)",
    )


def test_objects_are_as_many_as_expected_and_of_all_colours() -> None:
    drawn = [item for seed in range(20) for item in things(objectworld(20, 3, seed=seed))]
    mean, deviation = 20 * 400 * 0.05, math.sqrt(20 * 400 * 0.05 * 0.95)
    assert abs(len(drawn) - mean) < 4.0 * deviation
    pairs = np.zeros((3, 3))
    for _, _, outer, inner in drawn:
        pairs[outer, inner] += 1
    assert np.abs(pairs - len(drawn) / 9).max() < 4.0 * math.sqrt(len(drawn) / 9)
    blue = np.mean([binaryworld(20, seed=seed).cells for seed in range(20)])
    assert abs(blue - 0.5) < 4.0 * 0.5 / math.sqrt(8000)


@pytest.mark.parametrize("maker", MAKERS)
def test_seeds_decide_everything(maker: Any) -> None:
    same, again, other = maker(8, seed=3), maker(8, seed=3), maker(8, seed=4)
    np.testing.assert_array_equal(same.cells, again.cells)
    np.testing.assert_array_equal(same.features, again.features)
    assert (same.cells != other.cells).any()
    passed = maker(8, seed=np.random.default_rng(3))
    np.testing.assert_array_equal(same.cells, passed.cells)


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_empty_and_full_maps(density: float) -> None:
    world = objectworld(6, density=density, seed=0)
    assert len(things(world)) == 36 * density
    if not density:
        assert not world.reward.any()
        np.testing.assert_allclose(world.features, math.sqrt(2.0) * 6)


def test_no_linear_reward_is_the_true_one() -> None:
    """Least squares on the features leaves most of the reward unexplained."""
    for world in (objectworld(16, seed=1), binaryworld(16, seed=1)):
        table = np.column_stack([world.features, np.ones(256)])
        reward = world.reward[:, 0]
        left = reward - table @ np.linalg.lstsq(table, reward, rcond=None)[0]
        assert left.var() > 0.5 * reward.var()


@pytest.mark.parametrize("horizon", [None, 5])
def test_the_rest_of_the_package_takes_them(horizon: int | None) -> None:
    world = objectworld(5, seed=1, discount=0.8, horizon=horizon)
    assert world.mdp.discount == 0.8
    assert world.mdp.horizon == horizon
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    shown = planning.occupancy(world.mdp, policy)
    assert max_ent.max_ent(world.mdp, world.features, shown, l2=0.1).converged


@pytest.mark.parametrize(
    ("maker", "wrong", "message"),
    [
        (objectworld, {"size": 1}, "size is 1; expected a whole number, at least 2"),
        (objectworld, {"size": 0}, "size is 0; expected a whole number, at least 2"),
        (objectworld, {"discrete": "no"}, "discrete is 'no'; expected True or False"),
        (binaryworld, {"size": 1.5}, "size is 1.5"),
        (objectworld, {"n_colors": 1}, "n_colors is 1; expected a whole number, at least 2"),
        (objectworld, {"density": 1.1}, "density is 1.1; expected a number in"),
        (objectworld, {"slip": -0.1}, "slip is -0.1"),
        (binaryworld, {"slip": 2.0}, "slip is 2.0; expected a number in"),
        (binaryworld, {"seed": -1}, "seed is -1"),
        (objectworld, {"discount": 1.0}, "discount is 1 and horizon is None"),
    ],
)
def test_bad_arguments_are_named(maker: Any, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maker(**wrong)
