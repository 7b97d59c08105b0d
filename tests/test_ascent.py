"""Ascents of objectives whose optimum is known, whose edge is near, or that have none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from irl_lib.support.checks import Array
from irl_lib.training import ascent
from irl_lib.training.ascent import Point, Run


class Bowl:
    """``-(x - c)' A (x - c) / 2``, and nothing where ``x[0] > edge``."""

    def __init__(self, a: Array, centre: Array, edge: float = np.inf) -> None:
        self.a, self.centre, self.edge, self.calls = a, centre, edge, 0

    def evaluate(self, x: Array) -> Point | None:
        self.calls += 1
        if x[0] > self.edge:
            return None
        pull = self.a @ (self.centre - x)
        return Point(x, float(0.5 * (x - self.centre) @ pull), pull)

    def curvature(self, point: Point, direction: Array) -> Array:
        return np.asarray(self.a @ direction)

    def scale(self, point: Point) -> Array:
        return np.diag(self.a)


class Ramp:
    """``-log(1 + exp(-x))``: its optimum is at infinity."""

    def evaluate(self, x: Array) -> Point:
        value = -float(np.logaddexp(0.0, -x[0]))
        return Point(x, value, np.exp(-np.logaddexp(0.0, x)))

    def curvature(self, point: Point, direction: Array) -> Array:
        return point.gradient * (1.0 - point.gradient) * direction

    def scale(self, point: Point) -> Array:
        return point.gradient * (1.0 - point.gradient)


def random_bowl(n: int, seed: int, edge: float = np.inf) -> Bowl:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    return Bowl(root @ root.T + 0.1 * np.eye(n), rng.normal(size=n), edge)


def climbed(
    climb: Callable[[Run, Bowl, Point], Point],
    bowl: Bowl,
    most: int = 5_000,
    tolerance: float = 1e-9,
) -> tuple[Point, Run]:
    start = bowl.evaluate(np.full(len(bowl.centre), -1.0))
    assert start is not None
    with Run("test", tolerance, most) as run:
        run.note(start)
        return climb(run, bowl, start), run


CLIMBS = {
    "l-bfgs": ascent.l_bfgs,
    "l-bfgs in other variables": lambda run, bowl, start: ascent.l_bfgs(
        run, bowl, start, np.linalg.cholesky(np.linalg.inv(bowl.a))
    ),
    "newton-cg": ascent.newton_cg,
    "gradient": lambda run, bowl, start: ascent.gradient_ascent(
        run, bowl, start, 1.0 / float(np.linalg.norm(bowl.a, 2))
    ),
}


@pytest.mark.parametrize("climb", CLIMBS.values(), ids=CLIMBS)
@pytest.mark.parametrize("seed", range(3))
def test_the_top_is_found_and_the_history_leads_there(climb: object, seed: int) -> None:
    bowl = random_bowl(4, seed)
    point, run = climbed(climb, bowl)
    np.testing.assert_allclose(point.x, bowl.centre, atol=1e-7)
    history = run.history
    assert history["objective"][-1] == point.value
    assert history["gradient_norm"][-1] == point.norm <= 1e-9
    assert history["weight_norm"][0] == 2.0
    assert (np.diff(history["objective"]) >= -1e-12).all()


def test_variables_of_even_curvature_need_one_step() -> None:
    _, run = climbed(CLIMBS["l-bfgs in other variables"], random_bowl(6, 0), tolerance=1e-6)
    assert len(run.rows) <= 3
    _, plain = climbed(ascent.l_bfgs, random_bowl(6, 0), tolerance=1e-6)
    assert len(plain.rows) > 5


@pytest.mark.parametrize("climb", [ascent.l_bfgs, ascent.newton_cg])
def test_steps_beyond_the_edge_are_taken_back(climb: object) -> None:
    """The top is just inside of an edge that a whole step crosses."""
    bowl = Bowl(np.diag([1.0, 25.0]), np.array([1.0, 1.0]), edge=1.0 + 1e-6)
    point, _ = climbed(climb, bowl)
    np.testing.assert_allclose(point.x, 1.0, atol=1e-5)


def test_gradient_ascent_stops_before_the_edge() -> None:
    bowl = Bowl(np.eye(2), np.array([1.0, 1.0]), edge=0.0)
    climb = CLIMBS["gradient"]
    point, run = climbed(climb, bowl)
    assert point.x[0] <= 0.0
    assert not run.rows[-1][1] <= run.tolerance


@pytest.mark.parametrize("climb", CLIMBS.values(), ids=CLIMBS)
def test_steps_are_counted(climb: object) -> None:
    point, run = climbed(climb, random_bowl(8, 1), most=2, tolerance=1e-300)
    assert len(run.rows) == 3
    assert run.over
    assert run.left == 0
    assert run.rows[-1][0] == point.value


def test_a_run_stops_where_it_runs_off() -> None:
    start = Ramp().evaluate(np.zeros(1))
    with Run("test", 1e-300, 1_000, runs_off=lambda point: point.x[0] > 20.0) as run:
        run.note(start)
        point = ascent.newton_cg(run, Ramp(), start)
    assert run.lost
    assert 20.0 < point.x[0] < 40.0


def test_escapes_go_on_towards_infinity_and_end_at_a_top() -> None:
    def is_still(step: Array) -> bool:
        return float(np.abs(step).max()) <= 1e-6

    far = list(ascent.escapes(Ramp(), Ramp().evaluate(np.array([5.0])), is_still))
    assert len(far) > 10
    assert all(step[0] > 0.9 for step in far[2:])
    bowl = random_bowl(3, 2)
    top = bowl.evaluate(bowl.centre + 1e-3)
    assert top is not None
    assert len(list(ascent.escapes(bowl, top, is_still))) <= 4


def test_no_curvature_gives_the_gradient_direction() -> None:
    flat = Bowl(np.zeros((2, 2)), np.zeros(2))
    step = ascent.newton_step(flat, Point(np.zeros(2), 0.0, np.array([2.0, 1.0])), 1e-3)
    assert np.isfinite(step).all()
    assert step[0] == 2.0 * step[1] > 0.0
