"""The study of IQ-Learn in tasks with a goal: its cells, experts, controls, score and table."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import gymnasium

from benchmarks import iq_tasks as study
from irl_lib import rollouts
from irl_lib.training.steps import expert_rows


def test_cells_are_all_seeds_of_all_kinds() -> None:
    cells = study.cells()
    assert len({tuple(each.values()) for each in cells}) == len(cells)
    learners = [each for each in cells if each["method"] not in study.REFERENCES]
    kinds = {tuple(v for k, v in each.items() if k != "seed") for each in learners}
    assert len(learners) == study.SEEDS * len(kinds)
    assert {each["seed"] for each in learners} == set(range(study.SEEDS))
    assert len(cells) - len(learners) == len(study.REFERENCES) * len(study.NAMES)


def test_the_cars_expert_is_planned() -> None:
    done = rollouts.rollout(study.single("car"), study.expert("car"), 50, 11)
    paid = rollouts.returns(done)
    assert done.terminated.all()
    assert paid.mean() > -100.0
    assert paid.min() > -115.0


def test_the_acrobots_expert_finds_its_goal() -> None:
    done = rollouts.rollout(study.single("acrobot"), study.expert("acrobot"), 3, 11)
    assert done.terminated.all()
    assert rollouts.returns(done).min() > -100.0


def test_an_acrobot_without_torque_keeps_its_energy() -> None:
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 50))
    before, motion = study.energy(states), study.AcrobotExpert().motion
    motion.env.dt = 0.02  # of 0.2; the error of ten steps is of fifth order in it
    for _ in range(10):
        states = motion.step(states, np.ones(50, dtype=int)).states
    assert np.ptp(before) > 10.0
    np.testing.assert_allclose(study.energy(states), before, atol=1e-6)


def test_the_lander_needs_its_physics() -> None:
    if find_spec("Box2D") is None:
        with pytest.raises(gymnasium.error.DependencyNotInstalled, match="box2d"):
            study.expert("lander")
    else:
        done = rollouts.rollout(study.single("lander"), study.expert("lander"), 5, 11)
        assert rollouts.returns(done).mean() > 150.0


def test_uniform_pairs_end_nothing() -> None:
    demos = study.uniform_pairs("acrobot", 80, 0)
    assert (len(demos), demos.n_steps) == (1, 80)
    assert not demos.terminated.any()
    counts = np.bincount(demos.actions[0], minlength=3)
    assert np.abs(counts / 80 - 1 / 3).max() < 4.0 * np.sqrt(2 / 9 / 80)


def test_linear_cloning_is_the_ridge_regression() -> None:
    demos = study.demonstrated("acrobot", 1, 0)
    found = study.Linear(demos, 10, 3)
    rows = expert_rows(demos, 10, False, True)
    assert len(rows.states) == len(range(0, demos.n_steps, 10)) + (demos.n_steps % 10 != 1)
    assert rows.terminated[-1]
    x, y = found.rows(rows.states), np.eye(3)[rows.actions]
    gradient = x.T @ (x @ found.weights - y) / len(x) + study.RIDGE * found.weights
    assert np.abs(gradient).max() < 1e-12
    shares = found.probabilities(rows.states)
    np.testing.assert_array_equal(shares.argmax(axis=1), (x @ found.weights).argmax(axis=1))


def test_a_score_is_the_mean_return() -> None:
    class Swing:
        def probabilities(self, seen: Any) -> Any:
            return np.eye(3)[np.where(seen[:, 1] < 0.0, 0, 2)]

    env, totals = gymnasium.make("MountainCar-v0"), []
    for i in range(study.EVALUATED):
        seen, _ = env.reset(seed=study.EVALUATION_SEED * 1_000 + i)
        over, total = False, 0.0
        while not over:
            seen, paid, terminated, truncated, _ = env.step(0 if seen[1] < 0.0 else 2)
            over, total = terminated or truncated, total + float(paid)
        totals.append(total)
    assert -200.0 < np.mean(totals) < -100.0
    found = study.scored("car", Swing())
    assert found == {"score": np.mean(totals), "sure": np.mean(totals)}


def test_actions_are_drawn_as_likely_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chances, n, length = np.array([0.2, 0.1, 0.7]), study.EVALUATED, 500
    counts = np.zeros(3)

    def step(actions: Any) -> Any:
        counts[:] += np.bincount(actions, minlength=3)
        over = np.full(n, counts.sum() >= n * length)
        return np.zeros((n, 2)), np.ones(n), over, ~over & False, {}

    fake = SimpleNamespace(reset=lambda seed: (np.zeros((n, 2)), {}), step=step)
    monkeypatch.setattr(study, "copies", lambda task, n: fake)
    policy = SimpleNamespace(probabilities=lambda seen: np.tile(chances, (len(seen), 1)))
    assert study.watched("car", policy, study.drawn()) == length
    np.testing.assert_allclose(counts / counts.sum(), chances, atol=4.0 * 0.5 / np.sqrt(n * length))
    counts[:] = 0.0
    study.watched("car", policy, None)
    assert counts[2] == n * length


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("iq_learn", 512),
        ("iq_learn, shuffled expert", 512),
        ("iq_learn, uniform actions for an expert", 512),
        ("gail", 1_024),
        ("cloning", 0),
        ("linear cloning", 0),
    ],
)
def test_a_run_is_scored(method: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "ITERATIONS", 8 if steps == 512 else 16)
    monkeypatch.setitem(study.OFFLINE, "max_iterations", 1)
    found = study.run_cell("car", method, 0, shown=1, stride=20)
    assert -200.0 <= found["sure"] < -90.0
    assert found["steps"] == steps
    assert ("curve" in found) == (steps == 512)
    cell = {"task": "acrobot", "method": method, "shown": 1, "stride": 10, "seed": 0}
    (row,) = study.summary([(cell, found)])
    assert set(row) <= set(study.COLUMNS)
    assert (row["seeds"], row["steps"], row["score"]) == (1, steps, found["score"])


def test_the_table_counts_all_seeds() -> None:
    kind = {"task": "acrobot", "method": "iq_learn", "shown": 1, "stride": 10}
    common = {"sure": -80.0, "steps": 7, "took": 1.0, "late": -90.0, "best": -70.0, "curve": []}
    scores = [-80.0, -100.0, -300.0]
    finished = [(kind | {"seed": i}, common | {"score": s}) for i, s in enumerate(scores)]
    (row,) = study.summary(finished)
    assert (row["seeds"], row["steps"], row["least"]) == (3, 7, -300.0)
    assert row["score"] == pytest.approx(-160.0)
    assert (row["sure"], row["late"], row["best"]) == (-80.0, -90.0, -70.0)
