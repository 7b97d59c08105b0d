"""The study of the robot: its table, its controls and its film, without the robot's simulator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from benchmarks import robot as study
from benchmarks import robot_expert
from irl_lib import results, rollouts
from irl_lib.demonstrations import Demonstrations


def test_cells_are_all_seeds_and_one_of_each_control() -> None:
    cells = study.cells()
    assert len({tuple(each.values()) for each in cells}) == len(cells)
    for n in study.SHOWN:
        mine = [each for each in cells if each["demonstrations"] == n]
        assert [c["seed"] for c in mine if c["method"] == "gail"] == list(range(study.SEEDS))
        assert {c["method"] for c in mine} == set(study.METHODS)
    assert [c["method"] for c in cells if c["demonstrations"] == 0] == ["the expert"]


def test_the_demonstrations_are_what_the_expert_is_said_to_earn() -> None:
    reference = results.load("robot_expert").rows[-1]
    demos = study.shown(reference["demonstrations"])
    assert demos.environment == robot_expert.NAME
    assert not demos.terminated.any()
    assert {len(each) for each in demos.actions} == {1_000}
    assert rollouts.returns(demos).mean() == pytest.approx(reference["demonstrated_return"])
    assert np.abs(np.concatenate(demos.actions)).max() <= 1.0


def test_the_table_counts_all_seeds() -> None:
    reference = results.load("robot_expert").rows[-1]
    expert, chance = reference["mean_return"], reference["random_return"]
    levels = [expert, 0.5 * (expert + chance), expert]
    finished = [
        (
            {"method": "gail", "demonstrations": 4, "seed": i},
            {"final": level, "environment_steps": 7, "gait": []},
        )
        for i, level in enumerate(levels)
    ]
    rows = study.summary(finished)
    assert {key for each in rows for key in each} <= set(study.COLUMNS)
    assert [each["method"] for each in rows] == ["gail", "the expert"]
    assert (rows[0]["demonstrations"], rows[0]["seeds"]) == (4, 3)
    assert rows[0]["final"] == pytest.approx(np.mean(levels))
    assert rows[0]["final_least"] == pytest.approx(levels[1])
    assert rows[0]["share"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert rows[0]["share_least"] == pytest.approx(0.5)
    assert rows[0]["environment_steps"] == 7
    assert rows[1]["final"] == expert


def trajectories() -> Demonstrations:
    """Two of five and three steps, whose actions say where they were taken."""
    states = [np.arange(6.0)[:, None], 10.0 + np.arange(4.0)[:, None]]
    return Demonstrations(states, [each[:-1] / 100.0 for each in states], terminated=False)


def test_shuffled_actions_are_the_same_ones_at_other_states() -> None:
    demos = trajectories()
    mixed = study.shuffled(demos, np.random.default_rng(0))
    before, after = (np.concatenate(each.actions).ravel() for each in (demos, mixed))
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
    assert (before != after).sum() >= 6
    assert [len(each) for each in mixed.actions] == [5, 3]
    for one, two in zip(demos.states, mixed.states, strict=True):
        np.testing.assert_array_equal(one, two)
    again = study.shuffled(demos, np.random.default_rng(0))
    np.testing.assert_array_equal(np.concatenate(again.actions).ravel(), after)


def test_thinned_steps_keep_states_and_actions_together() -> None:
    thin = study.apart(trajectories(), 2)
    assert [each.ravel().tolist() for each in thin.states] == [
        [0.0, 1.0],
        [2.0, 3.0],
        [4.0, 5.0],
        [10.0, 11.0],
        [12.0, 13.0],
    ]
    assert np.concatenate(thin.actions).ravel().tolist() == [0.0, 0.02, 0.04, 0.1, 0.12]


def test_a_checkpoint_belongs_to_its_cell_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    own = study.checkpoint_of("gail", 1, 0)
    others = [("gail", 1, 1), ("gail", 4, 0), ("shuffled", 1, 0)]
    assert own not in [study.checkpoint_of(*each) for each in others]
    monkeypatch.setitem(study.SETTINGS, "penalty", 123.0)
    assert study.checkpoint_of("gail", 1, 0) != own


class Slider(gymnasium.Env[Any, Any]):
    """Two rods that move to the right, with MuJoCo's names for where they are."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        flat, upright = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]), np.eye(3)
        turned = np.stack([upright, flat, upright]).reshape(3, 9)
        self.model = SimpleNamespace(geom_size=np.array([[9.0, 9], [0.1, 0.5], [0.1, 0.25]]))
        self.data = SimpleNamespace(geom_xpos=np.zeros((3, 3)), geom_xmat=turned)
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        self.data.geom_xpos = self.data.geom_xpos + np.array([0.5, 0.0, 0.0])
        return np.zeros(1, dtype=np.float32), 1.0, False, False, {}


def test_the_film_has_both_ends_of_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "FILMED", 3)
    monkeypatch.setattr(study, "FRAMES", 2)
    monkeypatch.setattr(gymnasium, "make", lambda name: Slider())
    film = np.array(study.filmed(lambda *_: np.zeros(1), seed=0))
    assert film.shape == (2, 2, 4)
    # A rod along x of length 1, one along z of length 1/2, both around the origin at first.
    np.testing.assert_allclose(film[0], [[-0.5, 0, 0.5, 0], [0, -0.25, 0, 0.25]])
    np.testing.assert_allclose(film[1] - film[0], [[0.5, 0, 0.5, 0]] * 2)
