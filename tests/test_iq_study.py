"""The study of IQ-Learn: its cells, its controls, its ladder, its score and its table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from benchmarks import adversarial as games
from benchmarks import iq_learn as study
from benchmarks import iq_offline as offline
from irl_lib import demonstrations, rollouts


def test_cells_are_all_seeds_of_all_kinds() -> None:
    cells = study.cells()
    assert len({tuple(sorted(each.items())) for each in cells}) == len(cells)
    for part in ("online", "ladder", "ablation"):
        mine = [each for each in cells if each["part"] == part]
        seeds = {each["seed"] for each in mine}
        n = study.FEW if part in ("ladder", "ablation") else study.SEEDS
        assert seeds == set(range(study.FIRST, study.FIRST + n))
        assert len(mine) % n == 0
    seeds = {each["seed"] for each in cells if each["part"] == "falling rate"}
    assert seeds == set(range(study.FRESH, study.FRESH + max(study.FALLING.values())))
    assert min(seeds) >= study.FIRST + study.SEEDS


def test_a_falling_rate_reaches_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(study, "learned", lambda *each: given.append(each[-1]) or {})
    for part in ("falling rate", "online"):
        study.run_cell(part, "iq_learn, V of all steps", 20, task="upright", stride=20)
    assert given[0] == {"loss": "mixture", "decay": study.ITERATIONS}
    assert given[1] == {"loss": "mixture", "decay": None}


def test_each_rung_adds_to_those_below_it() -> None:
    below = study.PUBLISHED
    for rung, added in study.LADDER.items():
        here = study.settings("ladder", rung)
        assert here == below | added
        assert (here != below) == bool(added)
        below = here


def test_the_ablation_takes_one_thing_from_the_top() -> None:
    top = study.settings("ladder", list(study.LADDER)[-1])
    for name in study.WITHOUT:
        here = study.settings("ablation", name)
        assert sum(top.get(k) != here[k] for k in here) == 1


def test_the_top_is_the_defaults() -> None:
    import inspect

    from irl_lib.iq_learn import iq_learn

    top = study.settings("ladder", list(study.LADDER)[-1])
    known = inspect.signature(iq_learn).parameters
    free = {"loss": "least squares", "absorbing": True, "clip": True}
    for name, value in top.items():
        default = known[name].default
        assert value == (free[name] if default is None else default), name


def test_uniform_pairs_come_from_nobody_and_end_nothing() -> None:
    for n in (25, 100):
        demos = study.uniform_pairs(0, n)
        assert demos.n_steps == n
        assert not demos.terminated.any()
        share = np.concatenate(demos.actions).mean()
        assert abs(share - 0.5) < 4.0 * 0.5 / np.sqrt(n)


def test_a_score_is_that_of_the_episodes() -> None:
    class Expert:
        def __init__(self, place: float) -> None:
            self.place = np.array([place, 0.0, 0.0, 0.0])

        def probabilities(self, seen: Any) -> Any:
            right = (seen - self.place) @ games.GAINS > 0.0
            return np.column_stack([~right, right]).astype(float)

    found = study.scored("upright", Expert(0.0))
    assert found == {"score": 500.0, "sure": 500.0}
    assert study.scored("aside", Expert(0.0))["sure"] == 0.0
    ours = study.scored("aside", Expert(games.PLACE))["sure"]
    assert ours == pytest.approx(games.judged("aside", games.aside_expert)["score"], abs=0.02)

    class Half:
        def probabilities(self, seen: Any) -> Any:
            return np.full((len(seen), 2), 0.5)

    import gymnasium

    env = gymnasium.make("CartPole-v1")
    drawn = rollouts.rollout(env, lambda seen, rng: int(rng.integers(2)), 100, 0)
    mean = rollouts.returns(drawn).mean()
    assert study.scored("upright", Half())["score"] == pytest.approx(mean, abs=12.0)


def test_offline_cells_are_all_seeds_of_all_kinds() -> None:
    cells = offline.cells()
    assert len({tuple(each.values()) for each in cells}) == len(cells)
    kinds = len(offline.METHODS) * len(offline.SHOWN) * len(offline.STRIDES)
    assert len(cells) == offline.SEEDS * kinds


def test_linear_cloning_is_the_ridge_regression() -> None:
    demos = demonstrations.shipped("cartpole_expert").select([0])
    found = offline.Linear(demos, 5)
    steps = demos.steps()
    kept = steps.time % 5 == 0
    x, y = found.rows(steps.state[kept]), 2.0 * steps.action[kept] - 1.0
    gradient = x.T @ (x @ found.weights - y) / len(y) + offline.RIDGE * found.weights
    assert np.abs(gradient).max() < 1e-12
    best = offline.learned("linear cloning", 0, 10, 1)
    assert study.scored("upright", best)["sure"] == 500.0


@pytest.mark.parametrize("method", ["iq_learn", "cloning"])
def test_an_offline_run_is_scored(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "ITERATIONS", 1)
    found = offline.run_cell(method, 0, shown=1, stride=20)
    assert 5.0 < found["score"] <= 500.0
    (row,) = offline.summary([({"method": method, "shown": 1, "stride": 20, "seed": 10}, found)])
    assert set(row) <= set(offline.COLUMNS)
    assert (row["seeds"], row["score"]) == (1, found["score"])


@pytest.mark.parametrize("method", ["iq_learn, shuffled expert", "gail", "cloning"])
def test_an_online_run_is_scored(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "ITERATIONS", 32)
    monkeypatch.setattr(games, "CLONE_PASSES", 3)
    found = study.run_cell("online", method, 0, task="aside", stride=5)
    assert 0.0 <= found["sure"] <= 1.0
    assert found["steps"] == (0 if method == "cloning" else 1_024)


def test_the_table_counts_all_seeds() -> None:
    kind = {"part": "ladder", "method": "least squares"}
    scores = [480.0, 500.0, 100.0]
    finished = [
        (
            kind | {"seed": i},
            {
                "score": score,
                "sure": 500.0,
                "steps": 7,
                "took": 1.0,
                "late": 90.0,
                "best": 500.0,
                "curve": [],
            },
        )
        for i, score in enumerate(scores)
    ]
    (row,) = study.summary(finished)
    assert set(row) <= set(study.COLUMNS)
    assert (row["seeds"], row["good"], row["sure_good"], row["steps"]) == (3, 2, 3, 7)
    assert row["score"] == pytest.approx(360.0)
    assert (row["least"], row["late"], row["best"]) == (100.0, 90.0, 500.0)
