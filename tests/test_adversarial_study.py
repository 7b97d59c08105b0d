"""The study of adversarial methods: its tasks, its controls, its table, and short runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from irl_lib import planning

pytest.importorskip("stable_baselines3")

from benchmarks import adversarial as study


def test_a_shuffled_expert_has_the_values_and_not_their_relations() -> None:
    demos = study.pole_demo("upright", 3)
    mixed = study.shuffled(demos, 3)
    assert mixed.terminated.tolist() == demos.terminated.tolist()
    for ours, theirs in zip(mixed.states[0].T, demos.states[0].T, strict=True):
        np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))
        assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.3
    assert sorted(mixed.actions[0]) == sorted(demos.actions[0])
    assert not np.array_equal(study.shuffled(demos, 4).states[0], mixed.states[0])


def test_each_seed_has_a_demonstration_of_its_own() -> None:
    for task in study.POLES:
        one, other = (study.pole_demo(task, seed).states[0] for seed in (0, 1))
        assert len(one) == len(other) == 501
        assert not np.array_equal(one, other)


def test_the_expert_with_a_place_keeps_it() -> None:
    found = study.judged("aside", study.aside_expert)
    assert found["length"] == 500.0
    assert 0.7 < found["score"] < 0.8  # a quarter of the time it is on its way
    assert study.judged("upright", study.aside_expert)["score"] == 500.0
    still = study.judged("aside", lambda seen, _: int(seen @ study.GAINS > 0.0))
    assert still == {"length": 500.0, "score": 0.0}  # the same, but kept at the start


def test_the_mazes_differ_in_the_side_of_the_gap() -> None:
    one, other = study.ground(moved=False), study.ground(moved=True)
    np.testing.assert_array_equal(one.grid.reward, other.grid.reward)
    np.testing.assert_array_equal(one.grid.states, other.grid.states)
    values = [study.planned_worth(world, world.grid.reward) for world in (one, other)]
    np.testing.assert_allclose(*values, rtol=1e-9)  # goal and starts are in the middle
    here = planning.soft_value_iteration(one.mdp, one.grid.reward).policy
    assert study.worth(other, here) < 2.0 * values[1]  # what is right here is wrong there


def test_the_worth_of_a_policy_is_that_of_its_episodes() -> None:
    world = study.ground(moved=False)
    plan = planning.soft_value_iteration(world.mdp, world.grid.reward)
    at, total = world.mdp.initial, 0.0
    for _ in range(study.MAZE_STEPS):
        visited = at[:, None] * plan.policy
        total += float((visited * world.grid.reward).sum())
        at = world.mdp.flow(visited)
    np.testing.assert_allclose(study.worth(world, plan.policy), total, rtol=1e-10)


def test_the_table_counts_all_seeds() -> None:
    poles = [
        ({"task": "upright", "method": "gail", "seed": i}, {"steps": 9, "length": x, "score": x})
        for i, x in enumerate((500.0, 475.0, 20.0))
    ]
    maze = [
        ({"task": "maze", "method": "gail", "seed": i}, {"planned_moved": x, "policy": -1.0})
        for i, x in enumerate((-40.0, -60.0))
    ]
    finished = [(cell, found | {"took": 3.0}) for cell, found in poles + maze]
    rows = study.summary(finished)
    assert {key for row in rows for key in row} <= set(study.COLUMNS)
    by_name = {(row["task"], row["method"]): row for row in rows}
    assert by_name["upright", "gail"]["good"] == 2
    assert by_name["upright", "gail"]["least"] == 20.0
    assert by_name["upright", "gail"]["seeds"] == 3
    moved = by_name["maze", "gail"]
    np.testing.assert_allclose(moved["planned_moved"], -50.0)
    # The standard error of two values is half their distance.
    np.testing.assert_allclose(moved["planned_moved_high"], -50.0 + 1.96 * 10.0)
    assert by_name["upright", "the expert"]["score"] == 500.0
    assert by_name["maze", "the true reward"]["starc"] == 0.0
    assert (
        by_name["maze", "uniform actions"]["planned"]
        < 2.0 * by_name["maze", "the true reward"]["planned"]
    )


SHORT = (
    {"task": "upright", "method": "gail, shuffled expert"},
    {"task": "aside", "method": "airl", "variant": "dropout"},
    {"task": "upright", "method": "+1 a step"},
    {"task": "aside", "method": "cloning"},
    {"task": "maze", "method": "airl of states"},
    {"task": "maze", "method": "gail", "variant": study.EARLY},
    {"task": "maze", "method": "untrained discriminator"},
)


@pytest.mark.parametrize("cell", SHORT, ids=lambda cell: f"{cell['task']}-{cell['method']}")
def test_a_short_run_is_repeatable(cell: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "ITERATIONS", 1)
    monkeypatch.setattr(study, "MAZE_ITERATIONS", 1)
    monkeypatch.setattr(study, "EARLY_ITERATIONS", 1)
    monkeypatch.setattr(study, "CLONE_PASSES", 2)
    monkeypatch.setattr(study, "EVALUATED", 2)
    monkeypatch.setattr(study, "MAZE_EVALUATED", 3)
    first, second = (study.run_cell(**cell, seed=0) for _ in range(2))
    for each in (first, second):
        del each["took"]
    assert first == second
    assert all(np.isfinite(value) for value in first.values())
