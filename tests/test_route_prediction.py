"""Predictions from a model of routes, and the models that it is compared with."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from irl_lib import routes
from irl_lib.routes import prediction as prediction
from irl_lib.worlds import road_network, roads

TASTE = np.array([-5.0, -4.0, -2.0, -2.0, -0.5, -0.4, -1.4, -1.0, -0.4])
TOWN = roads(seed=4, size=400)
PLACES = np.random.default_rng(5).choice(TOWN.n_segments, 15, replace=False)


def drives(n=200, seed=0):
    rng = np.random.default_rng(seed)
    ends = [(o, rng.choice(PLACES[o != PLACES])) for o in rng.integers(0, TOWN.n_segments, n)]
    return routes.sample_routes(TOWN, TASTE, *np.array(ends).T, rng)


def reward(route, weights=TASTE):
    return float((TOWN.features[TOWN.turns(route[:-1], route[1:])] @ weights).sum())


def test_best_routes_are_those_of_another_library():
    graph = nx.DiGraph()
    cost = -(TOWN.features @ TASTE)
    for t in range(TOWN.n_turns):
        graph.add_edge(int(TOWN.turn_from[t]), int(TOWN.turn_to[t]), weight=cost[t])
    ends = np.array([(r[0], r[-1]) for r in drives(30)])
    for (origin, goal), best in zip(
        ends, prediction.best_routes(TOWN, TASTE, *ends.T), strict=True
    ):
        assert (best[0], best[-1]) == (origin, goal)
        shortest = nx.dijkstra_path_length(graph, int(origin), int(goal))
        assert -reward(best) == pytest.approx(shortest, abs=1e-9)


def test_the_best_route_is_the_most_likely_one():
    seen = drives(100)
    ends = np.array([(r[0], r[-1]) for r in seen]).T
    best = prediction.best_routes(TOWN, TASTE, *ends)
    likely = routes.route_log_probability(TOWN, TASTE, best)
    assert (likely >= routes.route_log_probability(TOWN, TASTE, seen) - 1e-9).all()


def test_a_positive_reward_has_no_best_route():
    with pytest.raises(ValueError, match="expected none above 0, or there is no best route"):
        prediction.best_routes(TOWN, -TASTE, [0], [5])


def test_the_posterior_is_bayes_rule_over_whole_routes():
    prefix = max(drives(), key=len)[:6]
    prior = np.random.default_rng(1).dirichlet(np.ones(len(PLACES)))
    found = prediction.destination_posterior(TOWN, TASTE, [prefix], PLACES, prior)[0]
    weight = np.empty(len(PLACES))
    for k, goal in enumerate(PLACES):
        if goal in prefix[:-1]:
            weight[k] = 0.0
            continue
        chance = routes.turn_probabilities(TOWN, TASTE, goal)[:, 0]
        weight[k] = prior[k] * chance[TOWN.turns(prefix[:-1], prefix[1:])].prod()
    np.testing.assert_allclose(found, weight / weight.sum(), atol=1e-12)


def test_the_posterior_is_calibrated():
    """Among drives drawn from the prior, what is believed with probability p is true that often."""
    rng, n = np.random.default_rng(2), 3_000
    goals = rng.choice(PLACES, n)
    starts = rng.choice(np.setdiff1d(np.arange(TOWN.n_segments), PLACES), n)
    seen = routes.sample_routes(TOWN, TASTE, starts, goals, rng)
    halves = [r[: (len(r) + 1) // 2] for r in seen]
    belief = prediction.destination_posterior(TOWN, TASTE, halves, PLACES)
    true = (goals[:, None] == PLACES).astype(float)
    sure = belief > 0.3
    spread = np.sqrt((belief * (1 - belief))[sure].sum())
    assert abs((true - belief)[sure].sum()) < 5 * spread


def test_a_destination_that_was_passed_is_excluded_and_a_reached_one_is_not():
    route = max(drives(), key=len)
    candidates = np.array([route[2], route[-1]])
    found = prediction.destination_posterior(
        TOWN, TASTE, [route[:2], route[:3], route[:4]], candidates
    )
    assert found[0].min() > 0.0
    assert found[1, 0] > 0.0
    assert found[2].tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"prefixes\[0\] has passed all candidates"):
        prediction.destination_posterior(TOWN, TASTE, [route[:4]], [route[2]])


def test_next_turns_with_one_candidate_are_the_policy():
    route = max(drives(), key=len)
    chance = prediction.next_turn_probabilities(TOWN, TASTE, [route[:3]], [route[-1]])[0]
    turns = TOWN.out_turns[route[2]]
    policy = routes.turn_probabilities(TOWN, TASTE, route[-1])[turns, 0]
    np.testing.assert_allclose(chance, np.where(turns < 0, 0.0, policy), atol=1e-10)


def test_whoever_has_arrived_does_not_turn():
    route = max(drives(), key=len)
    here = [route[3], route[-1]]
    chance = prediction.next_turn_probabilities(TOWN, TASTE, [route[:4]], here)[0]
    alone = prediction.next_turn_probabilities(TOWN, TASTE, [route[:4]], here[1:])[0]
    np.testing.assert_allclose(chance, alone, atol=1e-12)


def test_a_drive_that_goes_on_from_its_only_candidate_comes_back():
    for here in range(0, TOWN.n_segments, 11):
        chance = prediction.next_turn_probabilities(TOWN, TASTE, [[here]], [here])[0]
        turns = TOWN.out_turns[here]
        gain = TOWN.features[turns] @ TASTE
        gain += routes.soft_values(TOWN, TASTE, here)[TOWN.turn_to[turns], 0]
        loops = np.where(turns < 0, 0.0, np.exp(gain))
        np.testing.assert_allclose(chance, loops / loops.sum(), atol=1e-12)
        assert chance.sum() == pytest.approx(1.0, abs=1e-12)


def test_the_only_turn_is_certain():
    alone = np.flatnonzero(np.diff(TOWN.first_turn) == 1)
    for here in alone[:10].tolist():
        for goals in ([here], [here, PLACES[0]], PLACES):
            chance = prediction.next_turn_probabilities(TOWN, TASTE, [[here]], goals)[0]
            assert chance[0] == pytest.approx(1.0, abs=1e-12)
            assert (chance[1:] == 0.0).all()


def test_coming_back_from_far_away():
    """Where exp of the value of the way back is 0."""
    graph = nx.MultiDiGraph()
    for node in range(3):
        graph.add_node(node, x=1_000.0 * node, y=500.0 * (node % 2))
    for a, b, length in ((0, 1, 1_000.0), (1, 2, 1_000.0), (2, 0, 1_000.0), (2, 0, 1_001.0)):
        graph.add_edge(a, b, length=length, highway="service")
    network = road_network(graph)
    here, before, *ways = (
        network.names.index(e) for e in [(1, 2, 0), (0, 1, 0), (2, 0, 0), (2, 0, 1)]
    )
    weights = -300.0 * (np.array(network.feature_names) == "street km")
    for prefix, goals in (([here], [here]), ([before, here], [here, before])):
        chance = prediction.next_turn_probabilities(network, weights, [prefix], goals)[0]
        turns = network.turns(here, ways)
        odds = chance[(network.out_turns[here] == turns[:, None]).argmax(axis=1)]
        assert odds[0] / odds[1] == pytest.approx(np.exp(0.3), rel=1e-9)
        assert chance.sum() == pytest.approx(1.0, abs=1e-12)


def test_next_turns_are_the_mixture():
    route = max(drives(), key=len)
    prefix = route[:4]
    chance = prediction.next_turn_probabilities(TOWN, TASTE, [prefix], PLACES)[0]
    belief = prediction.destination_posterior(TOWN, TASTE, [prefix], PLACES)[0]
    belief = np.where(prefix[-1] == PLACES, 0.0, belief)
    belief /= belief.sum()
    turns = TOWN.out_turns[prefix[-1]]
    policy = routes.turn_probabilities(TOWN, TASTE, PLACES)[turns]
    expected = np.where(turns[:, None] < 0, 0.0, policy) @ belief
    np.testing.assert_allclose(chance, expected, atol=1e-10)


def test_the_match_is_a_share_of_the_length():
    route = max(drives(), key=len)
    assert prediction.route_match(TOWN, [route], [route]).tolist() == [1.0]
    part = route[:3]
    expected = TOWN.length[route[1:3]].sum() / TOWN.length[route[1:]].sum()
    assert prediction.route_match(TOWN, [route], [part])[0] == pytest.approx(expected)
    with pytest.raises(ValueError, match="predicted has 0 routes; expected 1"):
        prediction.route_match(TOWN, [route], [])
    with pytest.raises(ValueError, match=r"routes\[0\] is \[3\]; expected two segments or more"):
        prediction.route_match(TOWN, [[3]], [[3]])
    with pytest.raises(ValueError, match=r"predicted\[0\] is .*expected segments"):
        prediction.route_match(TOWN, [route], [[np.nan]])


def test_turn_frequencies_are_distributions_and_prefer_what_was_taken():
    seen = drives()
    counts = prediction.turn_frequencies(TOWN, seen)
    log_p = counts.log_probabilities(int(PLACES[0]))
    total = np.add.reduceat(np.exp(log_p), TOWN.first_turn[:-1])
    np.testing.assert_allclose(total, 1.0, atol=1e-12)
    assert counts.scores.min() > 0.0
    assert counts.scores.max() < 1.0
    ours = routes.route_log_probability(TOWN, TASTE, seen).mean()
    assert counts.route_log_probability(seen).mean() < ours
    for bad in (0.0, -1, np.inf, np.nan, "some"):
        with pytest.raises(ValueError, match=r"smoothing is .*expected a finite number > 0"):
            prediction.turn_frequencies(TOWN, seen, smoothing=bad)
    even = prediction.turn_frequencies(TOWN, seen, smoothing=1e308)
    np.testing.assert_allclose(even.scores, 0.5)
    with pytest.raises(ValueError, match="goal is -1; expected segments"):
        counts.log_probabilities(-1)


def test_the_most_likely_route_of_the_turn_frequencies():
    seen = drives(20)
    counts = prediction.turn_frequencies(TOWN, seen)
    ends = np.array([(r[0], r[-1]) for r in seen]).T
    best = counts.best_routes(*ends)
    assert [(r[0], r[-1]) for r in best] == [(r[0], r[-1]) for r in seen]
    assert (counts.route_log_probability(best) >= counts.route_log_probability(seen) - 1e-9).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_turn_is_more_likely_than_certain(seed):
    # Where there is one way on, rounding left 4 of these a probability above 1, and no best route.
    counts = prediction.turn_frequencies(TOWN, drives(seed=seed))
    assert max(counts.log_probabilities(int(goal)).max() for goal in PLACES) <= 0.0
    assert len(counts.best_routes([0, 1], PLACES[:2])) == 2


def test_best_path_weights_predict_better_than_time():
    learn, test = drives(200), drives(200, seed=1)
    rng = np.random.default_rng(0)
    margin = prediction.best_path_weights(TOWN, learn, rng)
    fastest = -1.0 * (np.array(TOWN.feature_names) == "minutes")
    ends = np.array([(r[0], r[-1]) for r in test]).T
    ours, theirs = (
        prediction.route_match(TOWN, test, prediction.best_routes(TOWN, w, *ends)).mean()
        for w in (margin, fastest)
    )
    assert (margin < 0.0).all()
    assert ours > theirs


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", 2.5), ("batch", 0), ("step_size", np.nan), ("step_size", 0.0)],
)
def test_best_path_weights_need_numbers_above_0(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a"):
        prediction.best_path_weights(TOWN, drives(5), np.random.default_rng(0), **{name: value})


@pytest.mark.parametrize(
    ("prefixes", "candidates", "prior", "message"),
    [
        ([], [1], None, "prefixes is empty"),
        ([[]], [1], None, r"prefixes\[0\] is|prefixes is empty"),
        ([[0]], [10**6], None, "candidates is .*expected segments"),
        ([[0]], [1, 2], [1.0], r"prior has shape \(1,\); expected \(2,\)"),
        ([[0]], [1, 2], [0.7, 0.7], "prior sums to"),
        ([[0]], [1, 2], [-1.0, 2.0], "prior has the negative entry"),
    ],
)
def test_bad_arguments(prefixes, candidates, prior, message):
    with pytest.raises(ValueError, match=message):
        prediction.destination_posterior(TOWN, TASTE, prefixes, candidates, prior)
