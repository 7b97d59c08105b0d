"""Whether what guided cost learning has learned is of use once a passage is closed.

The learner ``guided`` of ``benchmarks.guided_cost`` in its maze, with the same settings, on seeds
that no setting was tried on.  Its last policy goes on in the maze whose way above the wall is
closed; its last reward is planned with there, exactly.  A control has demonstrations of uniform
actions in the place of the expert's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import guided_cost
from irl_lib import rollouts, worlds

SEEDS = {"expert": range(20, 40), "nobody": range(20, 25)}
VERSIONS = guided_cost.VERSIONS
COLUMNS = {
    "shown": "demonstrations of",
    "seeds": "seeds",
    "policy": "return of the last policy",
    "policy_closed": "with the way above closed",
    "policy_closed_least": "its least of the seeds",
    "planned": "return of the last reward's soft-optimal policy",
    "changed": "with the way above closed",
    "changed_least": "its least of the seeds",
}
RETURNS = ("policy", "policy_closed", "planned", "changed")


def cells() -> list[dict[str, Any]]:
    """One for each kind of demonstrations and seed."""
    return [{"shown": shown, "seed": seed} for shown, seeds in SEEDS.items() for seed in seeds]


def run_cell(shown: str, seed: int) -> dict[str, Any]:
    """One run: what its last policy and its last reward are worth in both mazes."""
    from irl_lib.networks import one_thread

    problem = guided_cost.maze_problem()
    closed = worlds.point_maze(maze=worlds.Maze(walls=((0.4, 0.3, 0.6, 1.0),)))
    if shown == "nobody":
        low, high = problem.env.action_space.low, problem.env.action_space.high
        walks = rollouts.rollout(
            problem.env, lambda seen, rng: rng.uniform(low, high), len(problem.demos), 1_000 + seed
        )
        problem = problem._replace(demos=walks)
    with one_thread():
        setting = guided_cost.SETTINGS["maze", "guided"]
        policy, reward, _ = guided_cost.guided(problem, setting, seed)
        return {
            "policy": guided_cost.worth(problem.env, policy),
            "policy_closed": guided_cost.worth(closed, policy),
            "planned": guided_cost.planned(problem, "planned", reward),
            "changed": guided_cost.planned(problem, "changed", reward),
        }


def summary(finished: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each kind of demonstrations, all seeds in it."""
    rows = []
    for shown in SEEDS:
        mine = [result for cell, result in finished if cell["shown"] == shown]
        if mine:
            columns = {name: [each[name] for each in mine] for name in RETURNS}
            row = {name: float(np.mean(values)) for name, values in columns.items()}
            row |= {f"{name}_least": float(min(columns[name])) for name in RETURNS[1::2]}
            rows.append({"shown": shown, "seeds": len(mine), **row})
    return rows
