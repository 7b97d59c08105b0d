"""The experts of the continuous worlds: exact soft-optimal policies, and their demonstrations.

No policy is trained.  Both problems have two numbers for a state, so that planning on a lattice
(``irl_lib.worlds.lattice``) gives the soft-optimal policy at temperature 1 with the true reward
directly, up to what a lattice does; halving it says how much that is.  The demonstrations are whole
episodes in the environment itself, none of them chosen or left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.running.harness import ROOT, Row
from irl_lib import planning, rollouts, worlds
from irl_lib.support.checks import Array

PATH = ROOT / "irl_lib" / "data" / "point_maze_expert.npz"
CELLS, ACTION_CELLS = 100, 15
EVALUATION_SEED, DEMONSTRATION_SEED = 1, 2
VERSIONS = {name: version(name) for name in ("gymnasium",)}
COLUMNS = {
    "environment": "environment",
    "horizon": "steps",
    "lattice": "lattice of states",
    "action_cells": "cells of actions",
    "log_partition": "log Z against uniform actions",
    "planned_return": "return on the lattice",
    "episodes": "episodes",
    "mean_return": "return in the environment",
    "standard_error": "standard error",
    "random_return": "return of uniform actions",
    "evaluation_seed": "seed of the evaluation",
    "demonstrations": "demonstrations",
    "demonstration_seed": "seed of the demonstrations",
}


class Expert(NamedTuple):
    """A solved problem."""

    policy: worlds.LatticePolicy
    log_partition: float
    """:math:`\\log Z` with the uniform distribution over actions as the prior."""
    planned_return: float


def solve(grid_mdp: Any, reward: Array, make: Callable[[Array], worlds.LatticePolicy]) -> Expert:
    """Plan softly, and say what it is worth."""
    plan = planning.soft_value_iteration(grid_mdp, reward)
    steps, start = len(plan.q), grid_mdp.initial
    value = planning.policy_value(grid_mdp, plan.policy, reward)
    log_partition = float(start @ plan.v[0]) - steps * float(np.log(reward.shape[1]))
    return Expert(make(plan.q), log_partition, float(start @ value[0]))


def maze_expert(cells: int = CELLS, action_cells: int = ACTION_CELLS) -> Expert:
    """The soft-optimal policy of the maze with its default values."""
    grid = worlds.maze_grid(worlds.Maze(), cells, action_cells)

    def make(q: Array) -> worlds.LatticePolicy:
        return worlds.LatticePolicy(grid.lattice, q, grid.actions, [2.0 / action_cells] * 2)

    return solve(grid.mdp, grid.reward, make)


def rows_of(
    env: Any,
    solutions: dict[str, Expert],
    action_cells: int,
    path: Path,
    episodes: int,
    demonstrations: int,
) -> list[Row]:
    """One row for each lattice; the demonstrations are those of the last."""
    low, high = env.action_space.low, env.action_space.high
    chance = rollouts.rollout(env, lambda _, rng: rng.uniform(low, high), episodes, EVALUATION_SEED)
    rows = []
    for name, expert in solutions.items():
        paid = rollouts.returns(rollouts.rollout(env, expert.policy, episodes, EVALUATION_SEED))
        rows.append(
            {
                "environment": env.spec.id,
                "horizon": env.spec.max_episode_steps,
                "lattice": name,
                "action_cells": action_cells,
                "log_partition": expert.log_partition,
                "planned_return": expert.planned_return,
                "episodes": episodes,
                "mean_return": float(paid.mean()),
                "standard_error": float(paid.std(ddof=1) / np.sqrt(episodes)),
                "random_return": float(rollouts.returns(chance).mean()),
                "evaluation_seed": EVALUATION_SEED,
                "demonstrations": demonstrations if expert is [*solutions.values()][-1] else 0,
                "demonstration_seed": DEMONSTRATION_SEED,
            }
        )
    demos = rollouts.rollout(env, expert.policy, demonstrations, DEMONSTRATION_SEED)
    path.parent.mkdir(exist_ok=True)
    demos.save(path)
    return rows


def run(
    cells: int = CELLS,
    action_cells: int = ACTION_CELLS,
    episodes: int = 1_000,
    demonstrations: int = 20,
    path: Path = PATH,
) -> list[Row]:
    """Plan on a lattice and on one half as fine, measure, store the demonstrations."""
    solutions = {f"{n} x {n}": maze_expert(n, action_cells) for n in (cells // 2, cells)}
    return rows_of(worlds.point_maze(), solutions, action_cells, path, episodes, demonstrations)
