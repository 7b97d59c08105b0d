r"""What a model of routes is good for, and the models that it is compared with.

From the soft values of :mod:`irl_lib.routes`: the best route, where a drive is going, which turn
comes next.  As yardsticks: the route of least cost for costs from elsewhere, turns chosen by their
frequency (:func:`turn_frequencies`), and the best path of a linear cost learned by comparing best
paths with the driven ones (:func:`best_path_weights`, a structured perceptron).

Reference: Ziebart et al. (2008), sections 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import csgraph

from irl_lib.routes.likelihood import (
    Routes,
    Trips,
    check_routes,
    follow,
    pairs_of,
    soft_values,
    trips_of,
)
from irl_lib.support.checks import (
    Array,
    check_array,
    check_count,
    check_distribution,
    check_real,
    check_rng,
)
from irl_lib.worlds.base import Index
from irl_lib.worlds.streets import ROAD_TYPES, TURN_KINDS, RoadNetwork, check_segments


def best_routes(
    network: RoadNetwork, weights: ArrayLike, origins: ArrayLike, destinations: ArrayLike
) -> list[Index]:
    r"""The route of the largest reward, which is the most likely one, for each pair; by Dijkstra's
    algorithm.

    Args:
        network: S segments, T turns with K features.
        weights: ``(K,)``, under which no turn may have a reward above 0.
        origins: ``(R,)`` segments.
        destinations: ``(R,)`` segments.

    Raises:
        ValueError: for a bad argument, or when a turn's reward is positive.
    """
    trips = pairs_of(network, origins, destinations)
    w = check_array("weights", weights, (network.features.shape[1],))
    return _shortest(network, trips, -(network.features @ w))


def destination_posterior(
    network: RoadNetwork,
    weights: ArrayLike,
    prefixes: Routes,
    candidates: ArrayLike,
    prior: ArrayLike | None = None,
) -> Array:
    r"""``(P, G)``: how likely each candidate is the destination of each drive of which the
    beginning was seen.

    By Bayes' rule, :math:`p(g \mid o \to c) \propto p(g) \exp(r(o \to c)) z_c^g / z_o^g`: how much
    of all the ways to g begin like this.  The reward of what was driven is the same for all g, and
    drops out.  A destination that was passed already is excluded; one that is being reached is not.

    Args:
        network: S segments.
        weights: ``(K,)``.
        prefixes: each the segments of the beginning of a drive, the current one last.
        candidates: ``(G,)`` different segments.
        prior: ``(G,)``; default: all alike.

    Raises:
        ValueError: for a bad argument, or a prefix after which no candidate is possible.
    """
    goals, p = _beliefs(network, candidates, prior)
    return _posterior(soft_values(network, weights, goals), prefixes, goals, p)


def next_turn_probabilities(
    network: RoadNetwork,
    weights: ArrayLike,
    prefixes: Routes,
    candidates: ArrayLike,
    prior: ArrayLike | None = None,
) -> Array:
    r"""``(P, D)``: the chance of each turn of ``network.out_turns[prefix[-1]]`` when the
    destination is not known.

    The mixture over :func:`destination_posterior` of the turn probabilities to each destination,
    given that the drive goes on.  One that goes on where only the current segment was a candidate
    leaves it to come back.

    Raises:
        ValueError: as :func:`destination_posterior`.
    """
    goals, p = _beliefs(network, candidates, prior)
    v = soft_values(network, weights, goals)
    belief = _posterior(v, prefixes, goals, p)
    current = np.array([np.asarray(route)[-1] for route in prefixes])
    ahead = np.where(current[:, None] == goals, 0.0, belief)
    belief = np.where(ahead.any(axis=1, keepdims=True), ahead, belief)
    turn = network.out_turns[current]
    reward = network.features @ np.asarray(weights)
    log_p = reward[turn][..., None] + v[network.turn_to[turn]] - v[current][:, None]
    with np.errstate(divide="ignore"):
        log_p = np.where(turn[..., None] < 0, -np.inf, log_p + np.log(belief)[:, None])
    log_p -= log_p.max(axis=(1, 2), keepdims=True)  # it may be far to come back
    chance = np.exp(log_p).sum(axis=2)
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))


def route_match(network: RoadNetwork, routes: Routes, predicted: Routes) -> Array:
    """``(R,)``: the share of each route's length, without its first segment, that the predicted one
    has too.

    Raises:
        ValueError: for bad routes, or when there are not as many predicted ones.
    """
    if len(routes) != len(predicted):
        raise ValueError(f"predicted has {len(predicted)} routes; expected {len(routes)}")
    shares = np.empty(len(routes))
    for i, route in enumerate(check_routes(network, routes)):
        other = check_segments(f"predicted[{i}]", predicted[i], network.n_segments)
        driven = route[1:]
        length = network.length[driven]
        shares[i] = length[np.isin(driven, other)].sum() / length.sum()
    return shares


# --- models to compare with ---------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TurnFrequencies:
    """How often drivers take a kind of turn where they can; made by :func:`turn_frequencies`."""

    network: RoadNetwork
    scores: Array
    """``(C,)``: by kind of turn, type of the road entered, and whether it comes nearer to the
    destination.
    """

    def log_probabilities(self, goal: int) -> Array:
        """``(T,)``: of each turn among those out of its segment, on the way to a destination."""
        check_segments("goal", goal, self.network.n_segments)
        log_score = np.log(self.scores[_category(self.network, goal)])
        first = self.network.first_turn[:-1]
        total = np.log(np.add.reduceat(np.exp(log_score), first))
        # Where there is one way on, rounding may leave it a probability above 1.
        return np.asarray(np.minimum(log_score - total[self.network.turn_from], 0.0))

    def route_log_probability(self, routes: Routes) -> Array:
        """``(R,)``: the log-probability of each route."""
        trips = trips_of(self.network, routes)
        found = np.empty(len(routes))
        for goal, mine in trips.by_goal():
            log_p = self.log_probabilities(goal)
            for i in mine.tolist():
                path = np.asarray(routes[i])
                found[i] = log_p[self.network.turns(path[:-1], path[1:])].sum()
        return found

    def best_routes(self, origins: ArrayLike, destinations: ArrayLike) -> list[Index]:
        """The most likely route of each pair."""
        trips = pairs_of(self.network, origins, destinations)
        found = dict[int, Index]()
        for goal, mine in trips.by_goal():
            paths = _shortest(self.network, trips.some(mine), -self.log_probabilities(goal))
            found |= dict(zip(mine.tolist(), paths, strict=True))
        return [found[i] for i in range(len(trips.origin))]


def turn_frequencies(
    network: RoadNetwork, routes: Routes, smoothing: float = 1.0
) -> TurnFrequencies:
    """Learn how often each category of turn is taken where it could be taken.

    Args:
        network: where the routes are.
        routes: each the segments of a drive.
        smoothing: what is added to how often a category was taken, and twice that to how often it
            could have been.

    Raises:
        ValueError: for bad routes, or a smoothing that is no finite number above 0.
    """
    check_real("smoothing", smoothing, 0.0, open_end=True)
    trips = trips_of(network, routes)
    n = 2 * len(TURN_KINDS) * len(ROAD_TYPES)
    taken, offered = np.full((2, n), float(smoothing))
    for goal, mine in trips.by_goal():
        category = _category(network, goal)
        paths = [np.asarray(routes[i]) for i in mine.tolist()]
        at = np.concatenate([path[:-1] for path in paths])
        to = np.concatenate([path[1:] for path in paths])
        taken += np.bincount(category[network.turns(at, to)], minlength=n)
        choices = network.out_turns[at]
        offered += 0.5 * np.bincount(category[choices[choices >= 0]], minlength=n)
    return TurnFrequencies(network, 0.5 * taken / offered)


def best_path_weights(
    network: RoadNetwork,
    routes: Routes,
    rng: np.random.Generator,
    steps: int = 40,
    step_size: float = 0.5,
    batch: int = 20,
) -> Array:
    """``(K,)``: weights whose best paths have, nearly, the features of the routes: a structured
    perceptron.

    At each step some destinations are drawn, the best paths found, and the weights moved along the
    mean difference of the features, in units of their sizes; all weights stay below 0, so that
    there are best paths; what is returned is the mean of the second half of the steps.

    Raises:
        ValueError: for bad routes, or a number that is not above 0.
    """
    check_count("steps", steps)
    check_count("batch", batch)
    check_real("step_size", step_size, 0.0, open_end=True)
    check_rng(rng)
    trips = trips_of(network, routes)
    size = trips.features.mean(axis=0) + 1e-12
    w = -1.0 / size
    total, kept = np.zeros_like(w), 0
    for step in range(steps):
        goals = rng.choice(len(trips.goals), size=min(batch, len(trips.goals)), replace=False)
        mine = np.flatnonzero(np.isin(trips.goal, goals))
        best = best_routes(network, w, trips.origin[mine], trips.goals[trips.goal[mine]])
        gap = (trips.features[mine] - trips_of(network, best).features).mean(axis=0)
        w = np.minimum(w + step_size / np.sqrt(step + 1.0) * gap / size**2, -1e-3 / size)
        if 2 * step >= steps:
            total, kept = total + w, kept + 1
    return np.asarray(total / kept)


# --- inside -------------------------------------------------------------------------------------


def _shortest(network: RoadNetwork, trips: Trips, cost: Array) -> list[Index]:
    """The cheapest routes, from one Dijkstra search backwards from each destination."""
    if cost.min() < 0.0:
        i = int(cost.argmin())
        raise ValueError(
            f"weights give the turn from {network.turn_from[i]} to {network.turn_to[i]} the reward "
            f" {-cost[i]:g}; expected none above 0, or there is no best route"
        )
    backward = sparse.csr_array(network.turn_matrix(cost).T)
    found = dict[int, Index]()
    for goals, mine, column in trips.parts(network.n_segments):
        onward = csgraph.dijkstra(backward, indices=goals, return_predecessors=True)[1]

        def step(at: Index, walker: Index, onward: Index = onward, column: Index = column) -> Index:
            return np.asarray(onward[column[walker], at], dtype=np.int64)

        found |= dict(zip(mine.tolist(), follow(trips, mine, step), strict=True))
    return [found[i] for i in range(len(trips.origin))]


def _beliefs(
    network: RoadNetwork, candidates: ArrayLike, prior: ArrayLike | None
) -> tuple[Index, Array]:
    """The candidates ``(G,)``, and how likely each is before anything was seen."""
    goals = check_segments("candidates", np.atleast_1d(candidates), network.n_segments)
    p = np.full(len(goals), 1 / len(goals)) if prior is None else prior
    return goals, check_distribution("prior", p, (len(goals),))


def _posterior(v: Array, prefixes: Routes, goals: Index, prior: Array) -> Array:
    paths = [check_segments(f"prefixes[{i}]", r, len(v)) for i, r in enumerate(prefixes)]
    if not paths or any(path.ndim != 1 or path.size == 0 for path in paths):
        raise ValueError("prefixes is empty, or has an empty one; expected lists of segments")
    with np.errstate(divide="ignore"):
        score = np.stack([np.log(prior) + v[path[-1]] - v[path[0]] for path in paths])
    for row, path in zip(score, paths, strict=True):
        row[np.isin(goals, path[:-1])] = -np.inf
    best = score.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        i = int(np.argmin(best))
        raise ValueError(f"prefixes[{i}] has passed all candidates; expected one still ahead")
    weight = np.exp(score - best)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _category(network: RoadNetwork, goal: int) -> Index:
    """``(T,)``: the kind of a turn, the type of the road entered, and whether that comes nearer to
    a goal.
    """
    end = network.positions[network.head[goal]]
    away = np.linalg.norm(network.positions - end, axis=1)[network.head]
    nearer = away[network.turn_to] < away[network.turn_from]
    road = network.road_type[network.turn_to]
    return np.asarray((network.turn_kind * len(ROAD_TYPES) + road) * 2 + nearer)
