"""What ground costs, learned from six paths and tried on maps never seen.

The chapter's comparison on maps of 128 by 128 cells, with more of everything.  Every teacher shows
three paths on each of two maps; twelve journeys on six other maps are the test.  Two kinds of
teachers: those who err a little (paths of a soft policy), and those who never do.  The spread is
the standard deviation over journeys, teachers and seeds.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, optimize

from benchmarks.harness import Row
from irl_lib import demonstrations, max_ent, max_margin, planning, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.support.checks import Array
from irl_lib.worlds import World

SIZE = 128
SEEDS = 2
EXAM_MAPS = 6
TEMPERATURE = 0.5  # of teachers who err: half a cell's cost is worth a factor of e
PRICE = 10.0
STEPS = 0.5  # tolerance of max margin
SMOOTH = 2.0  # cells
GUESSES = {  # the chapter's: what one writes down after a look at some paths
    "hiker": {"length": 1.0, "water": 5.0, "swamp": 3.0, "uphill": 0.5},
    "vehicle": {"length": 1.0, "off road": 2.0, "water": 10.0, "swamp": 5.0},
    "scout": {"length": 1.0, "open ground": 2.0, "near road": 2.0},
    "herder": {"length": 1.0, "water": 5.0, "uphill": 1.0, "forest": 1.0},
}
VERSIONS = {"cvxpy": version("cvxpy"), "clarabel": version("clarabel")}
COLUMNS = {
    "overlap_percent": "overlap (%)",
    "regret_percent": "regret (%)",
    "regret_spread_percent": "its spread (%)",
    "worst_regret_percent": "worst journey (%)",
    "learn_seconds": "learned in (s)",
    "planning_percent": "of that, planning (%)",
    "rounds": "rounds",
} | {f"{name}_regret_percent": f"regret, {name} (%)" for name in GUESSES}


class Fit(NamedTuple):
    """What a method made of six paths."""

    weights: Array
    seconds: float = 0.0
    planning_share: float | None = None
    rounds: float | None = None


class Lessons(NamedTuple):
    """Tasks and their demonstrations."""

    teacher: str
    tasks: list[World]
    shown: list[Demonstrations]


def run(size: int = SIZE, seeds: int = SEEDS, exam_maps: int = EXAM_MAPS) -> list[Row]:
    """One row for each kind of teachers and each method."""
    importlib.import_module("cvxpy")  # seconds that belong to no method
    rows = []
    for kind, temperature in (("err a little", TEMPERATURE), ("never err", 0.0)):
        found: dict[str, list[tuple[str, Fit, Array]]] = {name: [] for name in METHODS}
        for teacher in GUESSES:
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                lessons = teach(teacher, size, seed, temperature, rng)
                exams = journeys(teacher, size, range(1_000, 1_000 + exam_maps), 2, rng)
                for name, method in METHODS.items():
                    fit = method(lessons)
                    found[name].append((teacher, fit, grade(exams, fit.weights)))
                report(kind, teacher, seed, found)
        rows += [summary(kind, name, results) for name, results in found.items()]
    return rows


def report(kind: str, teacher: str, seed: int, found: dict[str, Any]) -> None:
    """Progress on the standard error."""
    regrets = [f"{name} {100 * each[-1][2][1].mean():.1f} %" for name, each in found.items()]
    print(f"teachers {kind}, {teacher}, seed {seed}:", *regrets, file=sys.stderr, flush=True)


def journeys(
    teacher: str, size: int, maps: range, each: int, rng: np.random.Generator
) -> list[World]:
    """Some journeys on each of several maps, as the teacher sees them."""
    lands = [worlds.terrain(size, seed) for seed in maps]
    hidden = worlds.traveller(teacher)
    return [land.task(*ends, hidden) for land in lands for ends in land.draw_ends(rng, each)]


def teach(
    teacher: str, size: int, seed: int, temperature: float, rng: np.random.Generator
) -> Lessons:
    """Three paths on each of two maps."""
    tasks = journeys(teacher, size, range(2 * seed, 2 * seed + 2), 3, rng)
    shown = [travel(task, task.reward, rng, temperature) for task in tasks]
    return Lessons(teacher, tasks, shown)


def travel(
    task: World, reward: Array, rng: np.random.Generator, temperature: float = 0.0
) -> Demonstrations:
    """A cheapest path, or one of a soft policy."""
    if temperature:
        plan = planning.soft_value_iteration(task.mdp, reward, temperature)
    else:
        plan = planning.value_iteration(task.mdp, reward)
    return demonstrations.sample(task.mdp, plan.policy, 1, rng)


def grade(exams: list[World], weights: Array) -> Array:
    """``(2, N)``: share of the teacher's path that is met, and relative regret."""
    marks, rng = [], np.random.default_rng(0)  # it decides nothing: paths are the cheapest
    for task in exams:
        best = travel(task, task.reward, rng)
        found = travel(task, task.features @ weights, rng)
        overlap = np.isin(best.states[0], found.states[0]).mean()
        marks.append((overlap, cost(task, found) / cost(task, best) - 1.0))
    return np.array(marks).T


def cost(task: World, path: Demonstrations) -> float:
    """What a path costs the teacher."""
    step = path.steps()
    return -float(task.reward[step.state, step.action].sum())


# --- methods ------------------------------------------------------------------------------------


def _upper(lessons: Lessons) -> Array:
    """Costs are costs, and a cell's length costs 1 at least: no less than its loss."""
    return worlds.travel_costs({"length": 1.0})


def shortest(lessons: Lessons) -> Fit:
    """All ground costs the same."""
    return Fit(worlds.travel_costs({"length": 1.0}))


def hand_tuned(lessons: Lessons) -> Fit:
    """The guess."""
    return Fit(worlds.travel_costs(GUESSES[lessons.teacher]))


def margin(lessons: Lessons, loss: Any = "hamming") -> Fit:
    """Structured max margin with a slack for each path."""
    start = time.perf_counter()
    found = max_margin.max_margin(
        [task.mdp for task in lessons.tasks],
        [task.features for task in lessons.tasks],
        lessons.shown,
        margin=loss,
        slack=PRICE,
        upper=_upper(lessons),
        tolerance=STEPS,
    )
    seconds = time.perf_counter() - start
    plan, program = (found.history[f"{part}_seconds"].sum() for part in ("planning", "program"))
    return Fit(found.weights, seconds, plan / (plan + program), len(found.history["violation"]))


def smooth_margin(lessons: Lessons) -> Fit:
    """The same with a loss that forgives steps close to the path."""
    pairs = zip(lessons.tasks, lessons.shown, strict=True)
    return margin(lessons, [forgiving_loss(task, path) for task, path in pairs])


def forgiving_loss(task: World, path: Demonstrations) -> Array:
    """``(S, A)``: one minus a Gaussian of the distance from the path, of where a move leads."""
    n_states, n_actions = task.reward.shape
    away = np.ones(n_states, dtype=bool)
    away[path.states[0]] = False
    side = int(np.sqrt(n_states))
    distance = ndimage.distance_transform_edt(away.reshape(side, side)).ravel()
    targets = task.mdp.matrix.indices.reshape(n_actions, n_states).T
    return np.asarray(1.0 - np.exp(-0.5 * (distance[targets] / SMOOTH) ** 2))


def max_entropy(lessons: Lessons) -> Fit:
    """The most likely weights; the likelihood of several goals is a sum."""
    upper, count = _upper(lessons), [0]
    n, mdps = len(lessons.tasks), [task.mdp for task in lessons.tasks]
    features = [task.features for task in lessons.tasks]

    def loss(w: Array) -> tuple[float, Array]:
        count[0] += 1
        at = max_ent.objective(mdps, features, lessons.shown, w, l2=0.01 * n)
        return -at.value / n, -at.gradient / n

    start = time.perf_counter()
    found = optimize.minimize(
        loss,
        2.5 * upper - 0.5,
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, 2.0 * most) for most in upper],  # so that no loop pays
        options={"ftol": 1e-4, "maxiter": 60},
    )
    return Fit(found.x, time.perf_counter() - start, None, count[0])


METHODS: dict[str, Callable[[Lessons], Fit]] = {
    "shortest": shortest,
    "hand-tuned": hand_tuned,
    "max margin": margin,
    "max margin, forgiving loss": smooth_margin,
    "max entropy": max_entropy,
}


def summary(kind: str, method: str, results: list[tuple[str, Fit, Array]]) -> Row:
    """One row of the table."""
    overlap, regret = np.concatenate([marks for _, _, marks in results], axis=1)
    fits = [fit for _, fit, _ in results]
    shares = [100.0 * fit.planning_share for fit in fits if fit.planning_share is not None]
    rounds = [fit.rounds for fit in fits if fit.rounds is not None]
    row: Row = {
        "teachers": kind,
        "method": method,
        "overlap_percent": round(100 * float(overlap.mean()), 1),
        "regret_percent": round(100 * float(regret.mean()), 2),
        "regret_spread_percent": round(100 * float(regret.std()), 2),
        "worst_regret_percent": round(100 * float(regret.max()), 1),
        "learn_seconds": round(float(np.mean([fit.seconds for fit in fits])), 1),
        "planning_percent": round(float(np.mean(shares)), 1) if shares else None,
        "rounds": round(float(np.mean(rounds)), 1) if rounds else None,
    }
    for teacher in GUESSES:
        mine = np.concatenate([marks[1] for name, _, marks in results if name == teacher])
        row[f"{teacher}_regret_percent"] = round(100 * float(mine.mean()), 2)
    return row
