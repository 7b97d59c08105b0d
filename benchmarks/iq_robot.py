"""IQ-Learn with real actions: the robot, HalfCheetah-v5, from one demonstration.

The same expert, the same demonstration and the same scale as in the study ``robot``, which has
GAIL's rows: uniform actions have 0 there and the expert has 1.  The learner is shown all 1,000
steps of the demonstration, or every twentieth of them, and takes a tenth of the steps in the
environment that GAIL has there.

- iq_learn: ``irl_lib.iq_learn.iq_learn`` on line, whose actor is trained beside its critics;
- shuffled: the same with the expert's actions permuted among its steps, a control: what it still
  earns comes from the states;
- cloning: behaviour cloning of the same steps, which needs no environment, as in ``robot``.

All numbers are of the policy after the last iteration, acting by the tangent of its Gaussian's
mean.  Settings were tuned on seed 100, in five short runs, some of them broken off: two were shown
the whole demonstration, and both learned, by least squares and by the mixture; three were shown
every twentieth step, and none of them moved, with temperatures of 0.01, 0.05 and 0.3 and discounts
of 0.95 and 0.99.

A cell goes on from its checkpoint when it is started again, also with more iterations; the
checkpoints stay in ``.sweeps/iq_robot/checkpoints``, and are removed by hand.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.robot import (
    EVALUATED,
    EVALUATION_SEED,
    SUBSAMPLE,
    cloned,
    greedy,
    shown,
    shuffled,
)
from benchmarks.robot_expert import NAME, VERSIONS
from benchmarks.running.finished import FOLDER
from irl_lib import results, rollouts

__all__ = ["COLUMNS", "VERSIONS", "cells", "run_cell", "summary"]
METHODS = ("iq_learn", "shuffled", "cloning")
STRIDES = (1, SUBSAMPLE)
SEEDS = 3
COPIES, ITERATIONS = 4, 320
SETTINGS: dict[str, Any] = {  # tuned on seed 100
    "temperature": 0.01,
    "discount": 0.99,
    "steps": 32,
    "updates": 32,
    "batch": 128,
    "hidden": (128, 128),
    "learning_rate": 1e-3,
}
POINTS = 40  # of a learning curve
COLUMNS = {
    "method": "method",
    "stride": "every so many'th step",
    "seeds": "seeds",
    "final": "return of the last policy",
    "final_least": "the least of the seeds",
    "share": "on the scale from uniform actions (0) to the expert (1)",
    "share_least": "the least of the seeds on that scale",
    "environment_steps": "steps in the environment",
}


def cells() -> list[dict[str, Any]]:
    """All seeds of the learner and of cloning, and one of the control."""
    runs = [(method, seed) for method in ("iq_learn", "cloning") for seed in range(SEEDS)]
    return [
        {"method": method, "stride": stride, "seed": seed}
        for stride in STRIDES
        for method, seed in [*runs, ("shuffled", 0)]
    ]


def run_cell(method: str, stride: int, seed: int) -> dict[str, Any]:
    """One run: what the last policy is paid in whole episodes, and how it came there."""
    from irl_lib.networks import one_thread

    with one_thread():
        if method == "cloning":
            kind = "cloning" if stride == SUBSAMPLE else "cloning, all steps"
            policy, found = cloned(kind, 1, seed)
        else:
            policy, found = trained(method, stride, seed)
        done = rollouts.rollout(gymnasium.make(NAME), policy, EVALUATED, EVALUATION_SEED)
    paid = rollouts.returns(done)
    return {"final": float(paid.mean()), "final_sd": float(paid.std(ddof=1)), **found}


def trained(method: str, stride: int, seed: int) -> tuple[rollouts.Policy, dict[str, Any]]:
    """IQ-Learn's last policy, acting by its mean, and its learning curve."""
    from gymnasium.vector import SyncVectorEnv

    from irl_lib.iq_learn import iq_learn

    demos = shown(1)
    if method == "shuffled":
        demos = shuffled(demos, np.random.default_rng(seed))
    path = checkpoint_of(method, stride, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = iq_learn(
        SyncVectorEnv([lambda: gymnasium.make(NAME)] * COPIES),
        demos,
        seed=seed,
        online=True,
        subsample=stride,
        max_iterations=ITERATIONS,
        checkpoint=path,
        **SETTINGS,
    )
    every = max(1, ITERATIONS // POINTS)
    curve = {
        name: np.round(found.history[name][every - 1 :: every], 3).tolist()
        for name in ("environment_return", "loss", "price", "entropy")
    }
    steps = int(found.history["environment_steps"][-1])
    return greedy(found.policy), {"environment_steps": steps, **curve}


def checkpoint_of(method: str, stride: int, seed: int) -> Path:
    """Where a cell is kept meanwhile, for these settings alone."""
    known = repr((COPIES, sorted(SETTINGS.items())))
    name = hashlib.sha256(known.encode()).hexdigest()[:12]
    return FOLDER / "iq_robot" / "checkpoints" / f"{name}-{method}-{stride}-{seed}.npz"


def summary(finished: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each method and stride, all seeds in it, and the expert's."""
    from benchmarks.robot import row

    reference = results.load("robot_expert").rows[-1]
    rows = []
    for stride in STRIDES:
        for method in METHODS:
            mine = [
                result
                for cell, result in finished
                if (cell["method"], cell["stride"]) == (method, stride)
            ]
            if mine:
                rows.append({"method": method, "stride": stride, **row(mine, reference)})
    return [*rows, {"method": "the expert", "final": reference["mean_return"], "share": 1.0}]
