"""The benchmark of CartPole with changed physics: its model, and that it runs at a small size."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gymnasium")
pytest.importorskip("torch")

from benchmarks import cartpole_transfer
from irl_lib import demonstrations, worlds


@pytest.mark.parametrize("force", [3.0, 10.0])
def test_the_model_steps_as_the_simulator_does(force: float) -> None:
    env = worlds.cartpole(pole_length=0.9, gravity=7.0, force=force)
    state, _ = env.reset(seed=3)
    for action in (1, 1, 0, 1, 0, 0, 0, 1):
        push = force if action else -force
        expected = cartpole_transfer.pushed(state[None].astype(float), push, 0.9, 7.0)[0]
        state = env.step(action)[0]
        np.testing.assert_allclose(state, expected, atol=1e-6)


def test_interpolation_keeps_the_mean() -> None:
    grid = cartpole_transfer.Grid((3, 5, 4, 7))
    inside = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 4)) * cartpole_transfer.REACH
    number, share = grid.corners(inside)
    np.testing.assert_allclose(np.einsum("nk,nkd->nd", share, grid.points[number]), inside)
    assert share.min() >= 0.0
    outside = grid.corners(inside * 10.0)
    clipped = np.clip(inside * 10.0, -np.array(cartpole_transfer.REACH), cartpole_transfer.REACH)
    means = np.einsum("nk,nkd->nd", outside[1], grid.points[outside[0]])
    np.testing.assert_allclose(means, clipped)


def test_who_has_fallen_stays_down() -> None:
    grid = cartpole_transfer.Grid((3, 3, 3, 3))
    start = np.eye(grid.down + 1)[0]
    mdp = grid.mdp(start, 8, 4, cartpole_transfer.USUAL)
    assert mdp.horizon == 2
    assert np.flatnonzero(mdp.absorbing).tolist() == [grid.down]
    over = np.flatnonzero(np.abs(grid.points[:, 2]) > 0.2)
    falling = over[grid.points[over, 2] * grid.points[over, 3] > 0.0]
    assert len(falling)
    np.testing.assert_allclose(mdp.dense_transitions()[falling, :, grid.down], 1.0)


def test_the_recovered_reward_wants_the_pole_upright() -> None:
    grid = cartpole_transfer.Grid((5, 5, 7, 7))
    reward = cartpole_transfer.recovered(grid, demonstrations.shipped("cartpole_expert"))
    middle = int(np.argmin(np.abs(grid.points).sum(axis=1)))
    assert reward[middle].max() == reward.max()
    assert reward[grid.down].max() < reward[middle].min()


def test_the_reward_by_hand_minds_falling_alone() -> None:
    grid = cartpole_transfer.Grid((3, 3, 3, 3))
    reward = cartpole_transfer.by_hand(grid)
    assert np.all(reward[: grid.down] == 0.0)
    assert np.all(reward[grid.down] == -1.0)


def test_a_small_run_has_a_row_for_each_value() -> None:
    sweeps = {"force": (10.0,), "pole_length": (2.0,)}
    with pytest.warns(RuntimeWarning, match="the log-likelihood last changed"):
        rows = cartpole_transfer.run(sweeps, 1, 1, (3, 3, 5, 5), iterations=3)
    assert [(row["changed"], row["value"]) for row in rows] == [
        ("force", 10.0),
        ("pole length", 2.0),
    ]
    assert all(set(row) == set(cartpole_transfer.COLUMNS) for row in rows)
    counted = [key for key in cartpole_transfer.COLUMNS if key not in ("changed", "value")]
    assert all(1.0 <= row[key] <= 500.0 for row in rows for key in counted)
