"""Predicting routes: the comparison of chapter 4 in ten cities, with three kinds of drivers.

Two populations drive as maximum entropy assumes.  The third does not: its drivers plan optimally,
each with a private idea of what every turn costs.  Every model learns from the same 240 drives and
predicts 240 others from their ends.  The best-path model is trained for several numbers of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from benchmarks.running.harness import Row
from irl_lib import routes, worlds
from irl_lib.routes import prediction
from irl_lib.support.checks import Array

VERSIONS: dict[str, str] = {}
COLUMNS = {
    "drivers": "drivers",
    "model": "model",
    "match": "share of the route matched, %",
    "match_error": "standard error",
    "ninety": "at least 90 % matched, %",
    "ninety_error": "standard error",
    "ahead": "cities in which maximum entropy matches more",
}
SEEDS, SIZE, DRIVES = 10, 4_000, 240
STEPS = (10, 20, 40, 80, 160)  # of the best-path model
NOISE = 0.3  # of a private cost, on the scale of logarithms
WEIGHTS = {
    "unhurried": (-6.0, -4.0, -6.0, -2.0, -0.5, -0.6, -2.0, -1.6, -0.6),
    "hurried": (-1.0, -1.0, -0.5, -6.0, -0.5, -0.5, -1.0, -0.8, -0.2),
}
DRIVERS = {"unhurried": "unhurried", "hurried": "hurried", "planners": "hurried"}


def cells() -> list[dict[str, Any]]:
    """Each kind of drivers in each city."""
    return [{"drivers": drivers, "seed": seed} for drivers in DRIVERS for seed in range(SEEDS)]


def run_cell(drivers: str, seed: int, size: int = SIZE, drives: int = DRIVES) -> dict[str, float]:
    """The two shares of every model, in percent."""
    city = worlds.roads(seed=seed, size=size)
    rng = np.random.default_rng([seed, 120])
    places = rng.choice(city.n_segments, 60, replace=False)
    homes = np.setdiff1d(np.arange(city.n_segments), places)
    ends = rng.choice(homes, 2 * drives), rng.choice(places, 2 * drives)
    driven = drive(city, drivers, *ends, rng)
    learning, testing = driven[:drives], driven[drives:]
    found = {}
    for model, predicted in predictions(city, learning, [e[drives:] for e in ends], seed).items():
        match = prediction.route_match(city, testing, predicted)
        found[f"{model}: match"] = 100.0 * float(match.mean())
        found[f"{model}: ninety"] = 100.0 * float((match >= 0.9).mean())
    return found


def drive(city: Any, drivers: str, origins: Any, goals: Any, rng: np.random.Generator) -> list[Any]:
    """What a kind of drivers drives between these ends."""
    weights = np.array(WEIGHTS[DRIVERS[drivers]])
    if drivers != "planners":
        return list(routes.sample_routes(city, weights, origins, goals, rng))
    cost = -city.features @ weights
    ends = zip(origins, goals, strict=True)
    return [planned(city, cost * private(len(cost), rng), *pair) for pair in ends]


def private(n: int, rng: np.random.Generator) -> Array:
    """``(T,)``: how a driver misjudges each turn."""
    return np.asarray(np.exp(NOISE * rng.normal(size=n)))


def planned(city: Any, cost: Array, origin: int, goal: int) -> Any:
    """The cheapest route of one driver."""
    backward = sparse.csr_array(city.turn_matrix(cost).T)
    onward = csgraph.dijkstra(backward, indices=goal, return_predecessors=True)[1]
    route = [int(origin)]
    while route[-1] != goal:
        route.append(int(onward[route[-1]]))
    return np.array(route)


def predictions(city: Any, learning: Any, ends: Sequence[Any], seed: int) -> dict[str, Any]:
    """Each model's routes."""
    weights = {
        "maximum entropy": routes.max_ent_routes(city, learning).weights,
        "shortest time": -1.0 * (np.array(city.feature_names) == "minutes"),
    }
    for steps in STEPS:
        rng = np.random.default_rng([seed, steps])
        margin = prediction.best_path_weights(city, learning, rng, steps=steps)
        weights[f"best path, {steps} steps"] = margin
    habits = prediction.turn_frequencies(city, learning)
    found: dict[str, Any] = {"turn frequencies": habits.best_routes(*ends)}
    return found | {m: prediction.best_routes(city, w, *ends) for m, w in weights.items()}


def summary(finished: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[Row]:
    """For each kind of drivers and model, means over the cities."""
    rows = []
    for drivers in DRIVERS:
        mine = [result for cell, result in finished if cell["drivers"] == drivers]
        models = [name.split(":")[0] for name in mine[0] if name.endswith(": match")]
        for model in models:
            row: Row = {"drivers": drivers, "model": model}
            for what in ("match", "ninety"):
                shares = np.array([result[f"{model}: {what}"] for result in mine])
                row[what] = round(float(shares.mean()), 1)
                row[f"{what}_error"] = round(float(shares.std(ddof=1) / np.sqrt(len(shares))), 1)
            ours = [result["maximum entropy: match"] for result in mine]
            behind = sum(
                a > result[f"{model}: match"] for a, result in zip(ours, mine, strict=True)
            )
            row["ahead"] = f"{behind} of {len(mine)}" if model != "maximum entropy" else ""
            rows.append(row)
    return rows
