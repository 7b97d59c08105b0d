"""What the weights of guided cost learning leave, what its older samples and its expert are for.

The learner ``guided`` of ``benchmarks.guided_cost``, on the same seeds and with the same settings
but one.  Variants:

- recent: the samples of the last policies alone are kept, four in the maze, where that study keeps
  all, and twenty on the pendulum, which is that study's own setting;
- fresh: the samples of the present policy alone, so that no weight is of an older one;
- nobody: the demonstrations are of uniform actions, a control: the expert's part is taken away.

Noted after each reward step is the effective sample size of the batch, and the largest weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import guided_cost
from irl_lib import rollouts

VARIANTS = {"maze": ("nobody", "recent"), "pendulum": ("recent", "fresh")}
SEEDS = {"maze": 2, "pendulum": 5}
RECENT = {"maze": 4, "pendulum": 20}
"""Policies whose samples the variant ``recent`` keeps."""
LAST = 20  # reward steps over which effective sample sizes are taken
VERSIONS = guided_cost.VERSIONS
COLUMNS = {
    "environment": "environment",
    "variant": "variant",
    "seeds": "seeds",
    "final": "return of the last policy",
    "final_least": "the least of the seeds",
    "planned": "return of the last reward's soft-optimal policy",
    "planned_least": "its least of the seeds",
    "effective": f"effective sample size, median of the last {LAST} reward steps",
    "batch": "trajectories in the last batch",
    "largest": "largest weight, mean of these reward steps",
}


def cells() -> list[dict[str, Any]]:
    """One for each problem, variant and seed."""
    return [
        {"environment": environment, "variant": variant, "seed": seed}
        for environment, variants in VARIANTS.items()
        for seed in range(SEEDS[environment])
        for variant in variants
    ]


def run_cell(environment: str, variant: str, seed: int) -> dict[str, Any]:
    """One run: returns and weights after each step, and what policy and reward are worth."""
    from irl_lib.guided_cost import guided_cost_learning
    from irl_lib.networks import one_thread

    problem = guided_cost.PROBLEMS[environment]()
    demos = problem.demos
    with one_thread():
        if variant == "nobody":
            demos = rollouts.rollout(problem.env, _uniform(problem.env), len(demos), 1_000 + seed)
        result = guided_cost_learning(
            problem.env,
            demos,
            seed=seed,
            reward_net=guided_cost.new_reward(problem, seed),
            max_iterations=guided_cost.SETTINGS[environment, "guided"].reward_steps,
            episodes=guided_cost.EPISODES,
            memory={"recent": RECENT[environment], "fresh": 1}.get(variant),
            reward_steps=guided_cost.REWARD_STEPS,
            learning_rate=guided_cost.REWARD_RATE,
            l2=guided_cost.L2,
            min_effective_share=0.0,  # nobody is there to read a warning; the table says it
        )
        history = result.history
        return {
            "final": guided_cost.worth(problem.env, result.policy),
            "planned": guided_cost.planned(problem, "planned", result.reward),
            "steps_per_round": guided_cost.EPISODES * int(problem.env.spec.max_episode_steps),
            "batch": int(history["batch_size"][-1]),
            "returns": np.round(history["environment_return"], 2).tolist(),
            "effective": np.round(history["effective_sample_size"], 2).tolist(),
            "largest": np.round(history["largest_weight"], 4).tolist(),
        }


def _uniform(env: Any) -> Any:
    low, high = env.action_space.low, env.action_space.high
    return lambda observation, rng: rng.uniform(low, high)


def summary(finished: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each problem and variant, all seeds in it."""
    rows = []
    for environment, variants in VARIANTS.items():
        for variant in variants:
            mine = [
                result
                for cell, result in finished
                if (cell["environment"], cell["variant"]) == (environment, variant)
            ]
            if mine:
                rows.append({"environment": environment, "variant": variant, **row(mine)})
    return rows


def row(mine: list[dict[str, Any]]) -> dict[str, Any]:
    """What all seeds came to."""
    final, planned = ([each[name] for each in mine] for name in ("final", "planned"))
    effective, largest = (
        [each[name][-LAST:] for each in mine] for name in ("effective", "largest")
    )
    return {
        "seeds": len(mine),
        "final": float(np.mean(final)),
        "final_least": float(np.min(final)),
        "planned": float(np.mean(planned)),
        "planned_least": float(np.min(planned)),
        "effective": float(np.median(effective)),
        "batch": mine[0]["batch"],
        "largest": float(np.mean(largest)),
    }
