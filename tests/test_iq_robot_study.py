"""The study of IQ-Learn on the robot: its cells, its control and its table, without a simulator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from benchmarks import iq_robot as study
from benchmarks import robot
from irl_lib import results


def test_cells_are_all_seeds_and_one_of_each_control() -> None:
    cells = study.cells()
    assert len({tuple(each.values()) for each in cells}) == len(cells)
    for stride in (1, robot.SUBSAMPLE):
        mine = [each for each in cells if each["stride"] == stride]
        for method in ("iq_learn", "cloning"):
            seeds = [each["seed"] for each in mine if each["method"] == method]
            assert seeds == list(range(study.SEEDS))
        assert [each["seed"] for each in mine if each["method"] == "shuffled"] == [0]


def test_it_takes_a_tenth_of_the_steps_of_the_game() -> None:
    ours = study.COPIES * study.SETTINGS["steps"] * study.ITERATIONS
    assert 10 * ours == robot.COPIES * robot.SETTINGS["steps"] * robot.ITERATIONS


def test_a_checkpoint_belongs_to_its_cell_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    own = study.checkpoint_of("iq_learn", 1, 0)
    others = [("iq_learn", 1, 1), ("iq_learn", 20, 0), ("shuffled", 1, 0)]
    assert own not in [study.checkpoint_of(*each) for each in others]
    monkeypatch.setitem(study.SETTINGS, "temperature", 123.0)
    assert study.checkpoint_of("iq_learn", 1, 0) != own


def test_the_table_counts_all_seeds() -> None:
    reference = results.load("robot_expert").rows[-1]
    expert, chance = reference["mean_return"], reference["random_return"]
    levels = [expert, 0.5 * (expert + chance), expert]
    finished = [
        ({"method": "iq_learn", "stride": 20, "seed": i}, {"final": each, "environment_steps": 7})
        for i, each in enumerate(levels)
    ]
    finished += [
        ({"method": "shuffled", "stride": 1, "seed": 0}, {"final": chance, "environment_steps": 7})
    ]
    rows = study.summary(finished)
    assert {key for each in rows for key in each} <= set(study.COLUMNS)
    assert [(each["method"], each.get("stride")) for each in rows] == [
        ("shuffled", 1),
        ("iq_learn", 20),
        ("the expert", None),
    ]
    assert (rows[0]["seeds"], rows[0]["share"]) == (1, pytest.approx(0.0))
    assert (rows[1]["seeds"], rows[1]["environment_steps"]) == (3, 7)
    assert rows[1]["share"] == pytest.approx((1.0 + 0.5 + 1.0) / 3)
    assert rows[1]["share_least"] == pytest.approx(0.5)
    assert rows[1]["final_least"] == pytest.approx(levels[1])


class Runner(gymnasium.Env[Any, Any]):
    """With the robot's spaces, and paid for its first number."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (17,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,))
    spec = gymnasium.envs.registration.EnvSpec("HalfCheetah-v5", max_episode_steps=3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.np_random.normal(size=17).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        seen = self.np_random.normal(size=17).astype(np.float32)
        return seen, float(action[0]), False, self.time == 3, {}


@pytest.mark.parametrize("stride", study.STRIDES)
def test_cloning_is_shown_the_same_steps(
    stride: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    seen: list[int] = []

    def clone_network(env: Any, demos: Any, **_: Any) -> Any:
        seen.append(demos.n_steps)
        return SimpleNamespace(policy=SimpleNamespace(act=lambda observation: np.ones(6)))

    monkeypatch.setattr("irl_lib.behavior_cloning.clone_network", clone_network)
    monkeypatch.setattr(gymnasium, "make", lambda name: Runner())
    found = study.run_cell("cloning", stride, 0)
    assert seen == [1_000 // stride]
    assert (found["final"], found["environment_steps"]) == (3.0, 0)


@pytest.mark.parametrize("method", ["iq_learn", "shuffled"])
def test_a_run_is_judged_and_goes_on_from_its_checkpoint(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(gymnasium, "make", lambda name: Runner())
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    monkeypatch.setattr(study, "ITERATIONS", 2)
    monkeypatch.setattr(study, "EVALUATED", 2)
    small = study.SETTINGS | {"steps": 2, "updates": 1, "hidden": (4,), "batch": 8}
    monkeypatch.setattr(study, "SETTINGS", small)
    found = study.run_cell(method, 20, 0)
    assert -3.0 <= found["final"] <= 3.0
    assert found["environment_steps"] == 2 * 2 * study.COPIES
    assert len(found["entropy"]) == len(found["loss"]) == 2
    kept = study.checkpoint_of(method, 20, 0)
    before = kept.read_bytes()
    assert study.run_cell(method, 20, 0) == found
    assert kept.read_bytes() == before
