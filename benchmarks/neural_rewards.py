"""A linear and a neural reward on objectworld and binaryworld, over the number of demonstrations.

The experiment of Levine, Popović and Koltun (2011) and of Wulfmeier, Ondrúška and Posner (2015):
maps of 32 by 32 cells, an action that fails three times in ten, discount 0.9, demonstrations of
eight steps.  The expert is soft-optimal at temperature 0.2, as if the rewards were +-5 at
temperature 1.  A recovered reward is planned with, and what this policy gives away under the true
reward is its expected value difference: on the map of the demonstrations, and on maps never seen.

All methods climb the same likelihood by the same optimiser with the same limits, and see the same
demonstrations: `linear` a weighted sum of the features and a constant, `neural` a network of
them, `convolution` a network of the cells themselves, without the features; in objectworld there
is also `indicators`, a weighted sum of the discrete features, which say for each distance whether
it is less than 1, 2, ... cells: any sum of step functions of one distance each.  (In binaryworld
the features are indicators already.)  All parameters have the same normal prior, so that the
weight of their squared norm falls with the number of trajectories.

What was tried, with 8 and 64 trajectories on maps of 24 by 24 cells of `TUNING_SEEDS`, which are
not among those reported: precisions of the prior from 0.03 to 30.  The linear reward loses about
as much with any of them up to 1.  The network does best with 0.3 to 1 where little was shown, with
1 to 3 where much was; 1 is between them.  The sizes of the layers and of the windows are as they
were first written down.

The summary has the mean over seeds and its 95 % interval by Student's t, cut at 0, below which no
loss is; every seed is another map with other demonstrations and another initial network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy import stats

from irl_lib import demonstrations, max_ent, metrics, planning, worlds
from irl_lib.networks import MapRewardNet, RewardNet, one_thread, reward_table
from irl_lib.support.checks import Array
from irl_lib.worlds import MapWorld

Cell = dict[str, Any]
Result = dict[str, Any]

SIZE = 32
STEPS = 8
TEMPERATURE = 0.2
COUNTS = (4, 8, 16, 32, 64, 128)
SEEDS = 8
TUNING_SEEDS = (100, 101)
TRANSFER_MAPS = 4
HIDDEN = (32, 32)
WINDOWS = {"objectworld": 5, "binaryworld": 3}  # just what the true reward looks at
TOLERANCE, ITERATIONS = 1e-2, 300
METHODS = ("linear", "indicators", "neural", "convolution")
PRIOR = 1.0  # precision
MAKERS: dict[str, Callable[..., MapWorld]] = {
    "objectworld": worlds.objectworld,
    "binaryworld": worlds.binaryworld,
}
VERSIONS = {"torch": version("torch")}
COLUMNS = {
    "world": "world",
    "method": "reward",
    "demonstrations": "demonstrations",
    "seeds": "seeds",
    "evd": "value lost",
    "evd_low": "from (95 %)",
    "evd_high": "to (95 %)",
    "transfer": "on new maps",
    "transfer_low": "new maps, from",
    "transfer_high": "new maps, to",
    "knowing_nothing": "with reward 0",
    "stopped_early": "stopped early",
}


def cells() -> list[Cell]:
    """A cell for each world, method, number of demonstrations and seed."""
    return [
        {"world": world, "method": method, "demonstrations": count, "seed": seed}
        for world in MAKERS
        for count in COUNTS
        for method in METHODS
        for seed in range(SEEDS)
        if (world, method) != ("binaryworld", "indicators")
    ]


def run_cell(
    world: str,
    method: str,
    demonstrations: int,
    seed: int,
    size: int = SIZE,
    prior: float = PRIOR,
    iterations: int = ITERATIONS,
) -> Result:
    """Learn from one expert on one map, and plan there and on maps never seen.

    Args:
        world: one of ``MAKERS``.
        method: one of ``METHODS``.
        demonstrations: how many trajectories are shown.
        seed: of the map, the demonstrations and the network.
        size: cells from side to side.
        prior: precision of the parameters.
        iterations: at most, of the optimiser.

    Returns:
        ``evd`` and ``transfer``, the value lost on the map and on new maps (their mean);
        ``knowing_nothing``, that of the reward 0 on the map; how far the optimiser got.
    """
    known = _make(world, method, size, seed)
    net = _network(world, method, known, seed)
    shown = _shown(known, demonstrations, seed)
    with one_thread(), warnings.catch_warnings(record=True):
        warnings.simplefilter("always")  # how far it got is part of the result
        found = max_ent.deep_max_ent(
            known.mdp,
            _seen(method, known),
            shown,
            net,
            l2=prior / demonstrations,
            tolerance=TOLERANCE,
            max_iterations=iterations,
        )
    unseen = range(10_000 + 100 * seed, 10_000 + 100 * seed + TRANSFER_MAPS)
    new = [_make(world, method, size, each) for each in unseen]
    tables = [reward_table(each.mdp, found.reward, _seen(method, each)) for each in new]
    return {
        "evd": _lost(known, found.rewards),
        "transfer": float(np.mean([_lost(*each) for each in zip(new, tables, strict=True)])),
        "knowing_nothing": _lost(known, np.zeros_like(known.reward)),
        "iterations": len(found.history["objective"]),
        "gradient_norm": found.gradient_norm,
        "converged": found.converged,
    }


def summary(finished: list[tuple[Cell, Result]]) -> list[dict[str, Any]]:
    """A row for each world, number of demonstrations and method: means and their intervals."""
    keys = ("world", "demonstrations", "method")
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for cell, result in finished:
        groups.setdefault(tuple(cell[key] for key in keys), []).append(result)
    rows = []
    for group, results in groups.items():
        row: dict[str, Any] = dict(zip(keys, group, strict=True)) | {"seeds": len(results)}
        for name in ("evd", "transfer"):
            ends = interval([result[name] for result in results])
            row |= zip((name, f"{name}_low", f"{name}_high"), map(_rounded, ends), strict=True)
        row["knowing_nothing"] = _rounded(np.mean([each["knowing_nothing"] for each in results]))
        row["stopped_early"] = sum(not result["converged"] for result in results)
        rows.append({key: row[key] for key in COLUMNS})
    return rows


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 3)


def interval(values: list[float], level: float = 0.95) -> tuple[float, float | None, float | None]:
    """A mean and its confidence interval by Student's t, cut at 0; a single value has none."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.5 + level / 2.0, len(values) - 1) * stats.sem(values))
    return mean, max(mean - half, 0.0), mean + half


def _make(name: str, method: str, size: int, seed: int) -> MapWorld:
    options = {"discrete": True} if method == "indicators" else {}
    return MAKERS[name](size, seed=seed, **options)


def _shown(world: MapWorld, count: int, seed: int) -> demonstrations.Demonstrations:
    expert = planning.soft_value_iteration(world.mdp, world.reward, TEMPERATURE).policy
    rng = np.random.default_rng(seed)
    return demonstrations.sample(world.mdp, expert, count, rng, length=STEPS)


def _network(name: str, method: str, world: MapWorld, seed: int) -> RewardNet | MapRewardNet:
    if method == "convolution":
        n, _, layers = world.cells.shape
        return MapRewardNet(layers, (n, n), seed, WINDOWS[name], HIDDEN)
    spread = world.features.std(axis=0)
    unit = np.where(spread > 0.0, spread, 1.0)
    hidden = HIDDEN if method == "neural" else ()
    return RewardNet(len(unit), seed, hidden, world.features.mean(axis=0), unit)


def _seen(method: str, world: MapWorld) -> Array:
    """``(S, d)``: what a method's network is shown of a map."""
    if method == "convolution":
        return world.cells.reshape(world.mdp.n_states, -1)
    return world.features


def _lost(world: MapWorld, reward: Array) -> float:
    """What planning with a reward gives away under the true one."""
    policy = planning.value_iteration(world.mdp, reward).policy
    return metrics.expected_value_difference(world.mdp, policy, world.reward)
