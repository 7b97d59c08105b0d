"""Route preferences at the size of Ziebart et al. (2008): 300,000 road segments.

The chapter's comparison on a city as large as theirs: learn from a fifth of the drives, predict
the routes of the
others.  Their data are not public; the drives here are sampled from soft-optimal drivers with
hidden weights.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from irl_lib import routes as model
from irl_lib.routes import prediction as prediction
from irl_lib.worlds import RoadNetwork, roads

SIZE = 300_000
DESTINATIONS = 100
DRIVES = 2_000
REACH = (1_000.0, 8_000.0)  # metres between the ends of a drive
HIDDEN = np.array(
    [-6.0, -4.0, -6.0, -2.0, -0.5, -0.6, -2.0, -1.6, -0.6]
)  # the chapter's unhurried drivers
PUBLISHED = {  # Ziebart et al. (2008), Table 1
    "shortest time": (72.38, 43.12, None),
    "best path, margin-style": (75.29, 46.56, None),
    "maximum entropy": (78.79, 52.98, -6.85),
}
Row = dict[str, Any]
COLUMNS = {
    "matching_percent": "match (%)",
    "at_least_90_percent": "at least 90 % match (%)",
    "log_probability": "log-probability",
    "learn_seconds": "learned in (s)",
    "published_matching_percent": "published: match (%)",
    "published_at_least_90_percent": "published: at least 90 % (%)",
    "published_log_probability": "published: log-probability",
    "peak_memory_gib": "peak memory (GiB)",
}


def run(size: int = SIZE, destinations: int = DESTINATIONS, drives: int = DRIVES) -> list[Row]:
    """One row for each model: what it cost to learn, and how well it predicts the held-out
    drives.
    """
    rng = np.random.default_rng(0)
    network = roads(seed=0, size=size)
    origins, goals = draw_ends(network, destinations, drives, rng)
    routes = model.sample_routes(network, HIDDEN, origins, goals, rng)
    cut = drives // 5
    rows = compare(network, routes[:cut], routes[cut:], rng)
    for row in rows:
        row["segments"], row["destinations"] = network.n_segments, destinations
        match, most, log_probability = PUBLISHED.get(row["model"], (None, None, None))
        row |= {
            "published_matching_percent": match,
            "published_at_least_90_percent": most,
            "published_log_probability": log_probability,
        }
    return rows


def draw_ends(
    network: RoadNetwork, destinations: int, drives: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an origin and a destination, neither too near nor too far."""
    where = network.positions[network.head]
    pool = rng.choice(network.n_segments, destinations, replace=False)
    goals = rng.choice(pool, drives)
    origins = np.empty(drives, dtype=np.int64)
    for goal in pool:
        away = np.linalg.norm(where - where[goal], axis=1)
        near = np.flatnonzero((away > min(REACH[0], away.max() / 4)) & (away < REACH[1]))
        mine = np.flatnonzero(goals == goal)
        origins[mine] = rng.choice(near, mine.size)
    return origins, goals


def compare(
    network: RoadNetwork,
    learn: list[np.ndarray],
    test: list[np.ndarray],
    rng: np.random.Generator,
) -> list[Row]:
    """Learn each model from some routes, and predict the others from their ends."""
    ends = np.array([(route[0], route[-1]) for route in test]).T
    fastest = -1.0 * (np.array(network.feature_names) == "minutes")
    rows = [_row(network, test, "shortest time", 0.0, _best(network, fastest, ends))]
    margin, seconds = _timed(
        lambda: prediction.best_path_weights(network, learn, rng, steps=16, batch=10)
    )
    rows.append(
        _row(network, test, "best path, margin-style", seconds, _best(network, margin, ends))
    )
    counts, seconds = _timed(lambda: prediction.turn_frequencies(network, learn))
    log_p = counts.route_log_probability(test)
    rows.append(_row(network, test, "turn frequencies", seconds, counts.best_routes(*ends), log_p))
    fit, seconds = _timed(lambda: model.max_ent_routes(network, learn, tolerance=1e-4))
    for name, weights, took in (
        ("maximum entropy", fit.weights, seconds),
        ("the hidden weights", HIDDEN, 0.0),
    ):
        log_p = model.route_log_probability(network, weights, test)
        rows.append(_row(network, test, name, took, _best(network, weights, ends), log_p))
    rows[-2]["iterations"] = len(fit.history["objective"])
    rows[-2]["gradient_norm"] = fit.certificate["gradient_norm"]
    rows[-2]["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return rows


def _best(network: RoadNetwork, weights: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    return prediction.best_routes(network, weights, *ends)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _row(
    network: RoadNetwork,
    test: list[np.ndarray],
    name: str,
    seconds: float,
    predicted: list[np.ndarray],
    log_probability: np.ndarray | None = None,
) -> Row:
    match = prediction.route_match(network, test, predicted)
    print(f"{name}: {100 * match.mean():.1f} % after {seconds:.0f} s", file=sys.stderr, flush=True)
    return {
        "model": name,
        "matching_percent": round(100 * float(match.mean()), 2),
        "at_least_90_percent": round(100 * float((match >= 0.9).mean()), 2),
        "log_probability": None
        if log_probability is None
        else round(float(log_probability.mean()), 2),
        "learn_seconds": round(seconds, 1),
    }
