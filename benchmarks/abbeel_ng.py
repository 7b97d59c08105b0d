"""The gridworld experiments of Abbeel and Ng (2004), at their size, over several worlds.

A grid of 128 by 128 cells; four moves, each of which fails with probability .3 and goes in a
random direction; discount .99; a start anywhere.  The features say which of 64 macrocells of 16 by
16 cells the walker is in.  A macrocell has a reward with probability .1, uniform in [0, 1]; worlds
with fewer than two are discarded, and the rewards are divided by their sum.  The expert is optimal.

First, how fast both versions of the algorithm approach the expert's feature expectations when these
are known exactly.  Then the return of what is learned, over the expert's, when they are estimated
from a number of trajectories; all values are exact, only the demonstrations are sampled.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from benchmarks.running.harness import Row
from irl_lib import demonstrations, max_margin, planning, worlds
from irl_lib.support.checks import Array
from irl_lib.worlds.base import World

SIZE, REGIONS, DISCOUNT = 128, 8, 0.99
SEEDS = range(4)
ROUNDS = (1, 2, 3, 5, 10, 15, 20, 30)
NUMBERS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
LEARNING_ROUNDS = 10
BATCH = 1_000  # trajectories sampled at a time
VERSIONS = {"cvxpy": version("cvxpy"), "clarabel": version("clarabel")}
LEARNERS = {
    "all_features": "apprentice, all features",
    "known_features": "apprentice, the features that count",
    "mimic": "mimic the expert",
    "majority": "majority vote in each macrocell",
    "frequencies": "frequencies in each macrocell",
}
COLUMNS = {
    "experiment": "experiment",
    "after": "after",
    "projection": "projection",
    "max_margin": "max margin",
    **LEARNERS,
}


class Expert(NamedTuple):
    """A world, and what there is to know of its expert."""

    world: World
    policy: Array
    occupancy: Array
    value: float

    @property
    def weights(self) -> Array:
        """``(K,)``: the hidden ones."""
        return self.world.weights

    def worth(self, policy: Array) -> float:
        """The return of a policy, over the expert's."""
        v = planning.policy_value(self.world.mdp, policy, self.world.reward)
        return float(self.world.mdp.initial @ v) / self.value


def make(size: int, regions: int, seed: int) -> Expert:
    """A world with sparse rewards, and its optimal expert."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(regions**2)
    while np.count_nonzero(weights) < 2:
        weights = rng.random(weights.size) * (rng.random(weights.size) < 0.1)
    row, column = np.divmod(np.arange(size**2), size)
    region = row * regions // size * regions + column * regions // size
    world = worlds.gridworld(
        size,
        slip=0.3,
        discount=DISCOUNT,
        features=np.eye(regions**2)[region],
        weights=weights / weights.sum(),
    )
    plan = planning.value_iteration(world.mdp, world.reward)
    occupancy = planning.occupancy(world.mdp, plan.policy)
    return Expert(world, plan.policy, occupancy, float(world.mdp.initial @ plan.v))


def learn(
    expert: Expert, shown: Array, kept: Array, method: str, rounds: int
) -> max_margin.ProjectionResult:
    """Apprenticeship learning from an occupancy, with some of the features."""
    features = expert.world.features[..., kept]
    with warnings.catch_warnings(record=True):  # to stop early is what is asked for
        warnings.simplefilter("always")
        return max_margin.projection(
            expert.world.mdp,
            features,
            shown,
            method=method,
            tolerance=1e-3,
            max_iterations=rounds,
        )


def distances(expert: Expert, method: str, rounds: int) -> Array:
    """After each round, in units of the mass: how far the mixture is from the expert."""
    everything = np.ones(expert.weights.size, dtype=bool)
    found = learn(expert, expert.occupancy, everything, method, rounds)
    reached = (1.0 - DISCOUNT) * found.history["distance"]
    return np.pad(reached, (0, rounds - reached.size), mode="edge")


def sampled_occupancies(
    expert: Expert, numbers: tuple[int, ...], rng: np.random.Generator
) -> Iterator[tuple[int, Array]]:
    """The mean occupancy of so many of the expert's trajectories, the earlier ones among them."""
    mdp, total, done = expert.world.mdp, np.zeros_like(expert.occupancy), 0
    for number in numbers:
        while done < number:
            n = min(BATCH, number - done)
            demos = demonstrations.sample(mdp, expert.policy, n, rng)
            total += n * demos.occupancy(mdp)
            done += n
        yield number, total * (mdp.mass / total.sum())


def mimic(shown: Array) -> Array:
    """Do in each state what was seen there; anything where nothing was."""
    seen = shown.sum(axis=1, keepdims=True)
    anything = np.full_like(shown, 1.0 / shown.shape[1])
    return np.divide(shown, seen, out=anything, where=seen > 0.0)


def per_region(expert: Expert, shown: Array) -> Array:
    """How often each action was seen in the macrocell of each state."""
    phi = expert.world.features[:, 0]
    return np.asarray(phi @ (phi.T @ shown))


def learners(expert: Expert, shown: Array, rounds: int) -> dict[str, float]:
    """The return of each learner, over the expert's."""
    counts = per_region(expert, shown)
    most = np.eye(shown.shape[1])[counts.argmax(axis=1)]
    masks = {"all_features": np.ones_like(expert.weights, dtype=bool)}
    masks["known_features"] = expert.weights > 0.0
    worth = {
        name: expert.worth(learn(expert, shown, kept, "max-margin", rounds).policy)
        for name, kept in masks.items()
    }
    return worth | {
        "mimic": expert.worth(mimic(shown)),
        "majority": expert.worth(np.where(counts.sum(axis=1, keepdims=True) > 0, most, 0.25)),
        "frequencies": expert.worth(mimic(counts)),
    }


def run(
    size: int = SIZE,
    seeds: range = SEEDS,
    numbers: tuple[int, ...] = NUMBERS,
    rounds: tuple[int, ...] = ROUNDS,
    learning_rounds: int = LEARNING_ROUNDS,
) -> list[Row]:
    """The distance after so many rounds, then the return after so many trajectories."""
    curves: dict[str, list[Array]] = {"projection": [], "max-margin": []}
    returns: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
    for seed in seeds:
        expert = make(size, REGIONS, seed)
        for name, found in curves.items():
            found.append(distances(expert, name, max(rounds)))
        rng = np.random.default_rng(seed)
        for number, shown in sampled_occupancies(expert, numbers, rng):
            returns[number].append(learners(expert, shown, learning_rounds))
    return distance_rows(curves, rounds) + return_rows(returns)


def distance_rows(curves: dict[str, list[Array]], rounds: tuple[int, ...]) -> list[Row]:
    """Mean and standard error over worlds."""
    return [
        {
            "experiment": "distance from the expert's features",
            "after": count(n, "round"),
            "projection": summary([curve[n - 1] for curve in curves["projection"]]),
            "max_margin": summary([curve[n - 1] for curve in curves["max-margin"]]),
        }
        for n in rounds
    ]


def return_rows(returns: dict[int, list[dict[str, float]]]) -> list[Row]:
    """Mean and standard error over worlds."""
    return [
        {"experiment": "return, over the expert's", "after": count(n, "trajectory")}
        | {name: summary([each[name] for each in found]) for name in LEARNERS}
        for n, found in returns.items()
    ]


def count(n: int, what: str) -> str:
    """So many of them."""
    plural = what if n == 1 else what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{n:,} {plural}"


def summary(values: list[float]) -> str:
    """Mean and standard error."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.3f} ± {error:.3f}"
