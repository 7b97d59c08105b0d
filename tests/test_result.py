"""What every method returns: one shape, one line, one warning."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import irl_lib
from irl_lib import behavior_cloning, demonstrations, max_ent, max_margin, planning, routes, worlds
from irl_lib.support.result import Result


def made(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "policy": np.eye(2),
        "history": {"objective": np.zeros(3)},
        "converged": True,
        "message": "done",
        "certificate": {"gradient_norm": 1.234e-9},
    }
    return Result(**values | changes)


def test_it_says_what_it_is_in_one_line() -> None:
    assert repr(made()) == "Result(converged, 3 iterations, gradient_norm 1.2e-09)"
    assert repr(made(converged=False, history={}, certificate={})) == "Result(not converged)"
    once = made(history={"objective": np.zeros(1)}, certificate={})
    assert repr(once) == "Result(converged, 1 iteration)"


def test_numbers_of_the_certificate_are_attributes_and_nothing_else_is() -> None:
    assert made().gradient_norm == 1.234e-9
    with pytest.raises(AttributeError, match="no attribute 'gradient'"):
        _ = made().gradient
    for other in (copy.copy(made()), copy.deepcopy(made()), pickle.loads(pickle.dumps(made()))):
        assert other.gradient_norm == 1.234e-9
    with pytest.raises(dataclasses.FrozenInstanceError):
        made().converged = False  # type: ignore[misc]


def results() -> dict[str, Result]:
    """One of each method that needs no torch."""
    world = worlds.gridworld(3, seed=1, n_features=2)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    problem = (world.mdp, world.features, planning.occupancy(world.mdp, policy))
    rng = np.random.default_rng(0)
    town = worlds.roads(0, 100)
    weights = -np.ones(len(town.feature_names))
    trips = routes.sample_routes(town, weights, [0, 1, 2], [9, 9, 8], rng)
    return {
        "max_ent": max_ent.max_ent(*problem, l2=0.1),
        "max_margin": max_margin.max_margin(*problem, slack=1.0),
        "projection": max_margin.projection(*problem),
        "clone": behavior_cloning.clone(
            world.mdp, demonstrations.sample(world.mdp, policy, 5, rng, 9)
        ),
        "max_ent_routes": routes.max_ent_routes(town, trips, l2=0.1),
    }


def test_every_method_returns_one_with_numbers_that_are_small_where_it_converged() -> None:
    for name, found in results().items():
        assert isinstance(found, Result), name
        assert found.converged, found.message
        assert len(repr(found)) < 120
        assert "\n" not in repr(found)
        assert found.certificate, name
        assert max(found.certificate.values()) < 1e-2, repr(found)
        assert len({len(each) for each in found.history.values()}) <= 1, name


def test_what_stops_early_warns_of_it_where_it_was_called() -> None:
    world = worlds.gridworld(3, seed=1, n_features=2)
    expert = planning.soft_value_iteration(world.mdp, world.reward).policy
    shown = planning.occupancy(world.mdp, expert)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = max_ent.max_ent(world.mdp, world.features, shown, max_iterations=1, l2=1e-9)
        max_margin.projection(world.mdp, world.features, shown, max_iterations=1)
    assert not found.converged
    assert [each.category for each in heard] == [irl_lib.ConvergenceWarning] * 2
    assert {each.filename for each in heard} == {__file__}
    assert found.message in str(heard[0].message)
