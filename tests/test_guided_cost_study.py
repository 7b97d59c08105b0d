"""The study of guided cost learning: what its table says, and short runs of its methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import guided_cost as study

pytest.importorskip("stable_baselines3")


def test_a_policy_is_good_from_where_it_stays_above_the_line() -> None:
    n = study.SMOOTH
    assert study.steps_until_good([1.0] * 20, 0.5) == n
    assert study.steps_until_good([0.0] * 20, 0.5) is None
    assert study.steps_until_good([1.0] * 10 + [0.0] * 10, 0.5) is None
    # The mean over five is above one half when three of them are.
    assert study.steps_until_good([0.0] * 10 + [1.0] * 10, 0.5) == 13
    # What falls again counts from its last return on: here a zero at the seventeenth step is
    # forgiven, five of them are not.
    once, often = [1.0] * 30, [1.0] * 30
    once[16], often[16:21] = 0.0, [0.0] * 5
    assert study.steps_until_good(once, 0.5) == n
    assert study.steps_until_good(often, 0.5) == 24


def result(level: float) -> dict[str, Any]:
    """The same return at every policy step."""
    return {
        "final": level,
        "planned": level - 1.0,
        "changed": level - 2.0,
        "steps_per_round": 600,
        "returns": [level] * 10,
    }


def test_the_table_counts_all_seeds() -> None:
    reference = study.reference_of("maze")
    expert, chance = reference["mean_return"], reference["random_return"]
    levels = [expert, 0.5 * (expert + chance), expert]
    finished = [
        ({"method": "guided", "environment": "maze", "seed": i}, result(level))
        for i, level in enumerate(levels)
    ]
    rows = study.summary(finished)
    assert {key for row in rows for key in row} <= set(study.COLUMNS)
    (row,) = [each for each in rows if each["method"] == "guided"]
    assert (row["seeds"], row["good"], row["steps"], row["all_steps"]) == (3, 2, 3_000.0, 6_000)
    assert row["final"] == pytest.approx(np.mean(levels))
    assert row["final_least"] == pytest.approx(levels[1])
    assert row["share"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert row["changed"] == pytest.approx(np.mean(levels) - 2.0)
    experts = [each for each in rows if each["method"] == "the expert"]
    assert [each["environment"] for each in experts] == ["maze", "pendulum"]
    assert experts[0]["final"] == expert


def test_nobody_good_leaves_no_number_of_steps() -> None:
    reference = study.reference_of("pendulum")
    row = study.row([result(reference["random_return"])] * 2, reference)
    assert row["good"] == 0
    assert "steps" not in row


def test_cells_are_all_methods_environments_and_seeds() -> None:
    cells = study.cells()
    assert len(cells) == len(study.METHODS) * len(study.PROBLEMS) * study.SEEDS
    settings = {(c["environment"], c["method"]) for c in cells if c["method"] != "cloning"}
    assert settings == set(study.SETTINGS)


@pytest.mark.parametrize("method", ["guided", "unweighted", "nested"])
def test_a_short_run_is_repeatable(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_steps = 2 if method == "nested" else 1
    short = {("maze", method): study.Setting(2, policy_steps)}
    monkeypatch.setattr(study, "SETTINGS", short)
    monkeypatch.setattr(study, "EVALUATED", 5)
    monkeypatch.setattr(study, "EPISODES", 4)
    monkeypatch.setattr(study, "planned", lambda problem, name, reward: reward.effort.item())
    first, again = (study.run_cell(method, "maze", 0) for _ in range(2))
    assert first == again
    assert set(first) == {"final", "planned", "changed", "steps_per_round", "returns"}
    assert len(first["returns"]) == 2 * policy_steps
    assert first["steps_per_round"] == 4 * 30
    assert first["planned"] == first["changed"] != 0.0  # the reward has been learned


def test_a_reward_is_judged_by_its_exact_plan() -> None:
    """The true reward, written as a network is called, earns what the expert's plan earns."""
    import torch

    problem = study.maze_problem()
    maze = problem.env.unwrapped.maze

    def truth(inputs: Any) -> Any:
        x = inputs.double().numpy()
        return torch.from_numpy(maze.reward(x[..., :2], x[..., 2:]))

    expected = study.reference_of("maze")["planned_return"]
    assert study.planned(problem, "planned", truth) == pytest.approx(expected, abs=0.3)
    assert study.planned(problem, "changed", truth) < expected - 1.0
    worse = study.planned(problem, "planned", lambda inputs: 0.0 * truth(inputs))
    assert worse == pytest.approx(study.reference_of("maze")["random_return"], rel=0.02)


def test_cloning_is_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "EVALUATED", 20)
    found = study.run_cell("cloning", "maze", 0)
    assert set(found) == {"final"}
    assert -70.0 < found["final"] < -36.0
