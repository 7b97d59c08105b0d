"""The study of linear and neural rewards, at a small size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks import neural_rewards
from benchmarks.running import harness


def test_it_is_a_study_whose_cells_are_all_there() -> None:
    assert harness.is_study("neural_rewards")
    cells = neural_rewards.cells()
    assert len({json.dumps(cell) for cell in cells}) == len(cells) == (4 + 3) * 6 * 8
    assert not {cell["seed"] for cell in cells} & set(neural_rewards.TUNING_SEEDS)


PAIRS = sorted({(cell["world"], cell["method"]) for cell in neural_rewards.cells()})


@pytest.mark.parametrize(("world", "method"), PAIRS)
def test_a_small_cell_runs_and_is_determined(world: str, method: str) -> None:
    first, second = (
        neural_rewards.run_cell(world, method, 4, 1, size=6, iterations=5) for _ in range(2)
    )
    assert first == second == json.loads(json.dumps(first, allow_nan=False))
    assert 0.0 <= first["evd"] < 20.0
    assert 0.0 <= first["transfer"] < 20.0
    assert 1 <= first["iterations"] <= 6  # the start, and five steps


def test_the_network_loses_less_where_no_linear_reward_is_right() -> None:
    lost = {
        method: neural_rewards.run_cell("binaryworld", method, 32, 100, size=10, iterations=40)
        for method in ("linear", "neural")
    }
    assert lost["neural"]["evd"] < 0.5 * lost["linear"]["evd"]


def test_the_summary_has_means_and_their_intervals() -> None:
    values = [1.0, 1.2, 1.7]
    finished = [
        (
            {"world": "objectworld", "method": "linear", "demonstrations": 4, "seed": seed},
            {"evd": value, "transfer": 2 * value, "knowing_nothing": 5.0, "converged": seed > 0},
        )
        for seed, value in enumerate(values)
    ]
    (row,) = neural_rewards.summary(finished)
    assert set(row) == set(neural_rewards.COLUMNS)
    assert (row["seeds"], row["evd"], row["knowing_nothing"]) == (3, 1.3, 5.0)
    assert row["stopped_early"] == 1
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (row["evd_low"], row["evd_high"]) == (round(low, 3), round(high, 3))
    assert row["transfer"] == 2.6
    (alone,) = neural_rewards.summary(finished[:1])
    assert (alone["evd"], alone["evd_low"], alone["evd_high"]) == (1.0, None, None)
    assert neural_rewards.interval([0.0, 1.0])[1] == 0.0
