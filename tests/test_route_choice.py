"""The study of predicted routes: its drivers, its models, its table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import route_choice
from benchmarks.running import harness
from irl_lib import routes, worlds


@pytest.fixture(scope="module")
def town() -> worlds.RoadNetwork:
    return worlds.roads(seed=3, size=200)


def test_it_is_a_study_of_every_kind_of_drivers_in_every_city() -> None:
    assert harness.is_study("route_choice")
    cells = route_choice.cells()
    assert len(cells) == len(route_choice.DRIVERS) * route_choice.SEEDS
    assert {cell["drivers"] for cell in cells} == set(route_choice.DRIVERS)


def test_a_planner_takes_the_cheapest_route(town: worlds.RoadNetwork) -> None:
    weights = np.array(route_choice.WEIGHTS["hurried"])
    cost = -town.features @ weights
    mine = route_choice.planned(town, cost, 0, town.n_segments - 1)
    (best,) = routes.prediction.best_routes(town, weights, [0], [town.n_segments - 1])
    paid = [cost[town.turns(route[:-1], route[1:])].sum() for route in (mine, best)]
    np.testing.assert_allclose(*paid)


def test_planners_disagree(town: worlds.RoadNetwork) -> None:
    rng = np.random.default_rng(0)
    ends = np.zeros(20, dtype=int), np.full(20, town.n_segments - 1)
    driven = route_choice.drive(town, "planners", *ends, rng)
    assert len({tuple(route) for route in driven}) > 1
    assert all((route[0], route[-1]) == (0, town.n_segments - 1) for route in driven)


def test_a_cell_runs_small_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_choice, "STEPS", (5,))
    found = [route_choice.run_cell("planners", 1, size=500, drives=80) for _ in range(2)]
    assert found[0] == found[1]
    assert all(0.0 <= share <= 100.0 for share in found[0].values())


def test_the_table_has_means_and_counts() -> None:
    finished = [
        (
            {"drivers": drivers, "seed": seed},
            {
                f"{model}: {what}": share + seed
                for model, share in (("maximum entropy", 60.0), ("shortest time", 50.0))
                for what in ("match", "ninety")
            },
        )
        for drivers in route_choice.DRIVERS
        for seed in (0, 2)
    ]
    rows = route_choice.summary(finished)
    assert len(rows) == 6
    ours, fastest = rows[:2]
    assert (ours["match"], ours["match_error"], ours["ahead"]) == (61.0, 1.0, "")
    assert (fastest["match"], fastest["ahead"]) == (51.0, "2 of 2")
    assert all(set(row) == set(route_choice.COLUMNS) for row in rows)
