"""Maximum entropy IRL on networks: against the recursion, enumeration, differences and samples."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from irl_lib import ConvergenceWarning, planning, routes
from irl_lib.routes import likelihood
from irl_lib.worlds import road_network, roads
from street_graphs import graph_of

TASTE = np.array([-5.0, -4.0, -2.0, -2.0, -0.5, -0.4, -1.4, -1.0, -0.4])
HAMLET = roads(seed=3, size=60)
TOWN = roads(seed=4, size=1_000)


def drives(network, n, seed=0, weights=TASTE):
    rng = np.random.default_rng(seed)
    pool = rng.choice(network.n_segments, 12, replace=False)
    ends = np.array(
        [[o, rng.choice(pool[pool != o])] for o in rng.integers(0, network.n_segments, n)]
    )
    return routes.sample_routes(network, weights, *ends.T, rng)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_linear_system_is_the_recursion(seed):
    rng = np.random.default_rng(seed)
    network = roads(seed=seed, size=40)
    weights = TASTE * rng.uniform(0.7, 1.5, TASTE.size)
    destination = int(rng.integers(network.n_segments))
    world = network.mdp(destination, weights)
    recursion = planning.soft_value_iteration(world.mdp, world.reward)
    linear = routes.soft_values(network, weights, destination)[:, 0]
    np.testing.assert_allclose(linear, recursion.v[: network.n_segments], atol=1e-9)
    chance = routes.turn_probabilities(network, weights, destination)[:, 0]
    slot = np.arange(network.n_turns) - network.first_turn[network.turn_from]
    policy = np.where(
        network.turn_from == destination, 0.0, recursion.policy[network.turn_from, slot]
    )
    np.testing.assert_allclose(chance, policy, atol=1e-9)


def test_expected_features_are_those_of_the_mdp():
    destination, origin = 7, 20
    world = HAMLET.mdp(destination, TASTE)
    start = np.eye(world.mdp.n_states)[origin]
    mdp = type(world.mdp)([world.mdp.action_matrix(a) for a in range(world.mdp.n_actions)], start)
    policy = planning.soft_value_iteration(mdp, world.reward).policy
    expected = planning.feature_expectations(mdp, policy, world.features)[:-1]
    drive = routes.sample_routes(HAMLET, TASTE, origin, destination, np.random.default_rng(0))
    _, gradient = routes.route_objective(HAMLET, drive, TASTE)
    driven = HAMLET.features[HAMLET.turns(drive[0][:-1], drive[0][1:])].sum(axis=0)
    np.testing.assert_allclose(driven - gradient, expected, atol=1e-9)


def test_values_and_probabilities_by_plain_enumeration():
    origin, goal = 0, 5
    reward = HAMLET.features @ (2 * TASTE)
    total, paths = 0.0, [((origin,), 0.0)]
    while paths:
        path, gain = paths.pop()
        if path[-1] == goal:
            total += np.exp(gain)
            continue
        for turn in HAMLET.out_turns[path[-1]]:
            if turn >= 0 and gain + reward[turn] > -45.0:
                paths.append(((*path, int(HAMLET.turn_to[turn])), gain + reward[turn]))
    value = routes.soft_values(HAMLET, 2 * TASTE, goal)[origin, 0]
    assert value == pytest.approx(np.log(total), abs=1e-6)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_gradient_equals_finite_differences(l2):
    seen, at = drives(TOWN, 40), 1.2 * TASTE
    _, gradient = routes.route_objective(TOWN, seen, at, l2)
    h = 1e-3 * np.eye(TASTE.size)

    def value(w):
        return routes.route_objective(TOWN, seen, w, l2)[0]

    fourth_order = [
        (8 * (value(at + e) - value(at - e)) - (value(at + 2 * e) - value(at - 2 * e))) / 12e-3
        for e in h
    ]
    np.testing.assert_allclose(gradient, fourth_order, atol=1e-8)


def test_the_information_is_minus_the_hessian():
    seen, h = drives(TOWN, 30), 1e-4 * np.eye(TASTE.size)
    hessian = [
        (
            routes.route_objective(TOWN, seen, TASTE + e)[1]
            - routes.route_objective(TOWN, seen, TASTE - e)[1]
        )
        / 2e-4
        for e in h
    ]
    np.testing.assert_allclose(routes.information(TOWN, seen, TASTE), -np.array(hessian), atol=1e-5)


def test_the_objective_is_the_mean_log_probability():
    seen = drives(TOWN, 20)
    log_p = routes.route_log_probability(TOWN, TASTE, seen)
    assert routes.route_objective(TOWN, seen, TASTE)[0] == pytest.approx(log_p.mean(), abs=1e-10)
    for route, expected in zip(seen, log_p, strict=True):
        chance = routes.turn_probabilities(TOWN, TASTE, route[-1])[:, 0]
        steps = chance[TOWN.turns(route[:-1], route[1:])]
        assert np.log(steps).sum() == pytest.approx(expected, abs=1e-9)


def test_turn_probabilities_are_distributions():
    chance = routes.turn_probabilities(TOWN, TASTE, [3, 400])
    total = np.add.reduceat(chance, TOWN.first_turn[:-1], axis=0)
    total[[3, 400], [0, 1]] += 1.0  # where drives end no turn is taken
    np.testing.assert_allclose(total, 1.0, atol=1e-10)


def test_samples_follow_the_model():
    n, origin, goal = 4_000, 10, 50
    rng = np.random.default_rng(0)
    sampled = routes.sample_routes(HAMLET, TASTE, np.full(n, origin), np.full(n, goal), rng)
    assert all(r[0] == origin and r[-1] == goal and (r[:-1] != goal).all() for r in sampled)
    found, counts = np.unique([",".join(map(str, r)) for r in sampled], return_counts=True)
    common = counts > 20
    paths = [np.array(name.split(","), dtype=int) for name in found[common]]
    p = np.exp(routes.route_log_probability(HAMLET, TASTE, paths))
    error = (counts[common] - n * p) / np.sqrt(n * p * (1 - p))
    assert common.sum() >= 2
    assert np.abs(error).max() < 4.5


def test_many_destinations_in_parts_are_the_same(monkeypatch):
    seen = drives(TOWN, 60)
    value, gradient = routes.route_objective(TOWN, seen, TASTE)
    log_p = routes.route_log_probability(TOWN, TASTE, seen)
    monkeypatch.setattr(likelihood, "CHUNK", 3 * TOWN.n_segments)
    other, other_gradient = routes.route_objective(TOWN, seen, TASTE)
    assert value == pytest.approx(other, abs=1e-12)
    np.testing.assert_allclose(gradient, other_gradient, atol=1e-12)
    np.testing.assert_allclose(log_p, routes.route_log_probability(TOWN, TASTE, seen), atol=1e-12)
    again = drives(TOWN, 60)  # other random numbers go to other drives, but all arrive
    assert [r[-1] for r in again] == [r[-1] for r in seen]


def test_the_fit_recovers_the_weights_as_well_as_it_says():
    seen = drives(TOWN, 600)
    found = routes.max_ent_routes(TOWN, seen)
    assert found.converged
    assert found.certificate["gradient_norm"] <= 1e-6
    assert (np.diff(found.history["objective"]) > -1e-9).all()
    off = found.weights - TASTE
    assert off @ np.linalg.solve(found.covariance, off) < stats.chi2.ppf(0.999, TASTE.size)
    np.testing.assert_allclose(found.standard_errors**2, np.diag(found.covariance), rtol=1e-12)
    with_penalty = routes.max_ent_routes(TOWN, seen, l2=0.1)
    assert np.linalg.norm(with_penalty.weights) < np.linalg.norm(found.weights)


def test_a_feature_that_no_route_can_tell_of_has_no_standard_error():
    village = roads(seed=0, size=200)  # without motorways
    found = routes.max_ent_routes(village, drives(village, 300))
    unknown = np.array(village.feature_names) == "motorway km"
    assert found.converged
    assert found.standard_errors[unknown] == np.inf
    assert np.isfinite(found.standard_errors[~unknown]).all()
    assert np.isfinite(found.weights).all()


def test_the_line_search_backs_off_from_weights_without_a_value():
    seen = drives(TOWN, 100)
    steep = routes.max_ent_routes(TOWN, seen, initial_weights=8 * TASTE)
    usual = routes.max_ent_routes(TOWN, seen)
    assert steep.converged
    np.testing.assert_allclose(steep.weights, usual.weights, atol=1e-3)


def test_not_converging_is_said():
    message = "max_ent_routes: stopped after 2 iterations at gradient norm .*, above the tolerance"
    with pytest.warns(ConvergenceWarning, match=message) as said:
        found = routes.max_ent_routes(TOWN, drives(TOWN, 20), max_iterations=2)
    assert said[0].filename == __file__
    assert not found.converged
    assert found.message in str(said[0].message)
    assert np.isfinite(found.weights).all()
    assert {len(each) for each in found.history.values()} == {3}
    assert repr(found).startswith("RouteResult(not converged, 3 iterations, gradient_norm ")


def test_the_policy_is_that_of_any_destination():
    found = routes.max_ent_routes(HAMLET, drives(HAMLET, 50), l2=0.1)
    expected = routes.turn_probabilities(HAMLET, found.weights, [3, 7])
    np.testing.assert_array_equal(found.policy([3, 7]), expected)
    assert found.certificate == {"gradient_norm": found.history["gradient_norm"][-1]}


def test_after_the_data_there_are_keywords():
    with pytest.raises(TypeError, match="positional"):
        routes.max_ent_routes(HAMLET, drives(HAMLET, 5), 0.1)


@pytest.mark.parametrize("weights", [0.0 * TASTE, -1.0 * TASTE, 0.1 * TASTE, -400.0 * TASTE])
def test_wandering_about_that_pays_is_refused(weights):
    with pytest.raises(ValueError, match="wandering about pays more than it costs"):
        routes.soft_values(TOWN, weights, 0)
    with pytest.raises(ValueError, match="wandering about pays more than it costs"):
        routes.max_ent_routes(TOWN, drives(TOWN, 5), initial_weights=weights)


def test_underflow_is_refused():
    with pytest.raises(ValueError, match="exp V underflows"):
        routes.soft_values(TOWN, 100 * TASTE, 0)
    with pytest.raises(ValueError, match="exp V underflows"):
        routes.route_log_probability(TOWN, 100 * TASTE, [max(drives(TOWN, 50), key=len)])


def test_far_destinations_that_plain_numbers_would_lose():
    route = max(drives(TOWN, 50), key=len)
    value = routes.soft_values(TOWN, 24 * TASTE, route[-1])
    assert value.min() < -800.0  # exp of it is 0 in double precision
    assert np.isfinite(value).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "routes is empty"),
        ([[3]], r"routes\[0\] is \[3\]; expected two segments or more"),
        ([[3, -1]], r"routes\[0\] is .*expected segments"),
        ([[0.5, 1.5]], r"routes\[0\] is .*expected segments"),
        ([["a", "b"]], r"routes\[0\] is .*expected segments"),
        ([[5, 5]], r"routes\[0\] is .*nowhere else"),
        ([[[1, 2], [3, 4]]], r"routes\[0\] is .*two segments or more"),
        ([[0, 10**6]], r"routes\[0\] is .*expected segments"),
    ],
)
def test_what_is_no_route(bad, message):
    with pytest.raises(ValueError, match=message):
        routes.max_ent_routes(TOWN, bad)


def test_turns_that_do_not_exist_and_passed_destinations():
    good = drives(TOWN, 1)[0]
    elsewhere = (good[-1] + 500) % TOWN.n_segments
    with pytest.raises(
        ValueError, match=r"routes\[1\] goes from segment .* where there is no turn"
    ):
        routes.max_ent_routes(TOWN, [good, [*good, elsewhere]])
    with pytest.raises(ValueError, match=r"routes\[0\] is .*nowhere else"):
        routes.max_ent_routes(TOWN, [[good[-1], *good]])


def test_other_bad_arguments():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"origins\[1\] is 4, its own destination"):
        routes.sample_routes(TOWN, TASTE, [1, 4], [2, 4], rng)
    with pytest.raises(ValueError, match="expected as many of each"):
        routes.sample_routes(TOWN, TASTE, [1, 4], [2], rng)
    with pytest.raises(ValueError, match=r"weights has shape \(3,\); expected \(9,\)"):
        routes.soft_values(TOWN, np.ones(3), 0)
    with pytest.raises(ValueError, match="weights is nan"):
        routes.soft_values(TOWN, np.nan * TASTE, 0)
    for name, bad in (
        ("l2", -1.0),
        ("l2", np.nan),
        ("tolerance", 0.0),
        ("tolerance", np.inf),
        ("max_iterations", 0),
        ("max_iterations", 2.5),
    ):
        with pytest.raises(ValueError, match=f"{name} is {bad}; expected a"):
            routes.max_ent_routes(TOWN, drives(TOWN, 5), **{name: bad})
    for bad in (np.nan, -5, np.inf, "much"):
        with pytest.raises(ValueError, match=r"l2 is .*expected a finite number"):
            routes.route_objective(TOWN, drives(TOWN, 5), TASTE, l2=bad)


# --- turning round ------------------------------------------------------------------------------


def streets(pairs, places):
    """Two-way streets of equal kind between places."""
    graph = nx.MultiDiGraph()
    for node, (x, y) in enumerate(places):
        graph.add_node(node, x=x, y=y)
    for a, b in [*pairs, *((b, a) for a, b in pairs)]:
        length = float(np.hypot(*np.subtract(places[a], places[b])))
        graph.add_edge(a, b, length=length, highway="residential")
    return graph


BRANCH = streets(
    [(0, 1), (1, 2), (2, 3), (1, 4)], [(0, 0), (100, 0), (200, 0), (300, 0), (100, 100)]
)


def test_a_route_that_turns_round():
    network = road_network(BRANCH)
    at = {name[:2]: i for i, name in enumerate(network.names)}
    route = [at[0, 1], at[1, 2], at[2, 1], at[1, 4]]
    found = routes.max_ent_routes(network, [route], l2=1e-3)
    assert found.converged
    assert found.certificate["gradient_norm"] <= 1e-6
    assert np.isfinite(found.weights).all()
    assert 0.5 < np.exp(routes.route_log_probability(network, found.weights, [route])[0]) < 1.0


def test_why_a_route_is_refused():
    network = road_network(BRANCH, u_turns=False)
    at = {name[:2]: i for i, name in enumerate(network.names)}
    round_at_2 = [at[0, 1], at[1, 2], at[2, 1], at[1, 4]]
    with pytest.raises(
        ValueError, match=r"routes\[0\] .* at step 1, .*turning round at node 2.*u_turns"
    ):
        routes.max_ent_routes(network, [round_at_2])
    jump = [at[0, 1], at[1, 2], at[1, 4]]
    with pytest.raises(ValueError, match=r"routes\[1\] .* at step 1, .*does not start where"):
        routes.max_ent_routes(network, [[at[0, 1], at[1, 4]], jump])


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_streets_in_which_drivers_turn_round(seed):
    """The linear system is the recursion, and there are weights for every set of drives."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 12))
    pairs = [(k, int(rng.integers(k))) for k in range(1, n)]
    pairs += [tuple(rng.choice(n, 2, replace=False).tolist()) for _ in range(n // 2)]
    network = road_network(streets(pairs, rng.uniform(0.0, 1_000.0, (n, 2))))
    assert network.n_segments == 2 * len(pairs)
    weights = np.append(TASTE, -2.0) * rng.uniform(0.7, 1.5, TASTE.size + 1)
    goal = int(rng.integers(network.n_segments))
    world = network.mdp(goal, weights)
    recursion = planning.soft_value_iteration(world.mdp, world.reward).v[: network.n_segments]
    values = routes.soft_values(network, weights, goal)[:, 0]
    np.testing.assert_allclose(values, recursion, atol=1e-9)
    ends = rng.permuted(np.tile(np.arange(network.n_segments), (40, 1)), axis=1)[:, :2].T
    drives = routes.sample_routes(network, weights, *ends, rng)
    assert routes.max_ent_routes(network, drives, l2=1e-3).converged


def test_what_rounding_makes_of_far_weights_is_no_optimum():
    """Without a penalty these few drives have none; likelihoods above 1 once were taken for it."""
    rng = np.random.default_rng(1_018)
    n = int(rng.integers(4, 12))
    pairs = [(k, int(rng.integers(k))) for k in range(1, n)]
    pairs += [tuple(rng.choice(n, 2, replace=False).tolist()) for _ in range(n // 2)]
    network = road_network(streets(pairs, rng.uniform(0.0, 1_000.0, (n, 2))))
    weights = np.append(TASTE, -2.0) * rng.uniform(0.7, 1.5, TASTE.size + 1)
    ends = rng.permuted(np.tile(np.arange(network.n_segments), (40, 1)), axis=1)[:, :2].T
    seen = routes.sample_routes(network, weights, *ends, rng)
    with pytest.warns(ConvergenceWarning):
        found = routes.max_ent_routes(network, seen)
    assert found.history["objective"].max() <= 0.0
    assert found.certificate["gradient_norm"] < 1.0
    there = np.round([-76.2, 0.0, 0.0, -180.0, -76.2, 42.5, 11.3, 57.8, 0.0, 12.2], 1)
    with pytest.raises(ValueError, match="rounding hides"):
        routes.route_objective(network, seen, there)


def test_drives_without_a_turn_round():
    """What nobody did is dear: without a penalty, so dear that its rate is below the tolerance."""
    network = road_network(graph_of(TOWN))
    old = {(name[0], name[1]): i for i, name in enumerate(network.names)}
    number = np.array(
        [old[ends] for ends in zip(TOWN.tail.tolist(), TOWN.head.tolist(), strict=True)]
    )
    dead_end = np.bincount(TOWN.turn_from[TOWN.turn_kind == 3], minlength=TOWN.n_segments) > 0
    seen = [number[r] for r in drives(TOWN, 300) if not dead_end[r[:-1]].any()]
    found = routes.max_ent_routes(network, seen)
    assert found.converged
    assert found.weights[-1] < -6.0
