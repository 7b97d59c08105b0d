"""A simulated robot, HalfCheetah-v5, learned from one and from four demonstrations.

The expert (``benchmarks/robot_expert.py``) runs for 1,000 steps an episode; nobody falls, no
episode ends early, so that staying alive earns nothing.  Of each demonstration the learners are
shown every ``SUBSAMPLE``'th step.  Three learners get the same steps:

- gail: ``irl_lib.adversarial.gail``, which also steps the environment and never sees its rewards;
- shuffled: the same with the expert's actions permuted among its steps, a control: states and
  actions are the expert's, what belongs together is lost; whatever it still earns comes from the
  states, which alone say how fast the expert runs;
- cloning: behaviour cloning, trained until it fits them, which needs no environment.

``cloning, all steps`` is shown all 1,000 steps of each demonstration, which are enough for it.

All numbers are of the policy after the last iteration, acting greedily; none is the best of a run.
How good it is, is said on a scale on which uniform actions have 0 and the expert has 1.  A long
cell goes on from its checkpoint when it is started again, also with more iterations; the
checkpoints stay in ``.sweeps/robot/checkpoints``, and are removed by hand.  Beside the numbers,
each cell has a few frames of the gait, for a film strip that needs no simulator.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.robot_expert import NAME, VERSIONS
from benchmarks.running.finished import FOLDER
from irl_lib import demonstrations, results, rollouts
from irl_lib.demonstrations import Demonstrations

__all__ = ["COLUMNS", "VERSIONS", "cells", "run_cell", "summary"]
METHODS = ("gail", "shuffled", "cloning", "cloning, all steps")
SEEDS = 3
SHOWN = (1, 4)  # demonstrations
SUBSAMPLE = 20
COPIES, ITERATIONS = 16, 200
SETTINGS: dict[str, Any] = {  # tuned on seed 100
    "reward": "logit",
    "discount": 0.98,
    "trace": 0.92,
    "steps": 128,
    "memory": 4,
    "discriminator_steps": 16,
    "batch": 128,
    "learning_rate": 1e-3,
    "penalty": 10.0,
    "policy_sd": 0.37,
    "policy_learning_rate": 3e-4,
}
CLONING: dict[str, Any] = {"max_iterations": 1_000}
EVALUATION_SEED, EVALUATED = 3, 50
FILMED, FRAMES = 500, 8  # the first step that is filmed, and how many are
POINTS = 100  # of a learning curve
COLUMNS = {
    "method": "method",
    "demonstrations": "demonstrations",
    "seeds": "seeds",
    "final": "return of the last policy",
    "final_least": "the least of the seeds",
    "share": "on the scale from uniform actions (0) to the expert (1)",
    "share_least": "the least of the seeds on that scale",
    "environment_steps": "steps in the environment",
}


def cells() -> list[dict[str, Any]]:
    """The expert itself, for its gait; one seed of each learner; the other seeds of gail."""
    learners = [(method, 0) for method in METHODS] + [("gail", seed) for seed in range(1, SEEDS)]
    found = [
        {"method": method, "demonstrations": n, "seed": seed}
        for method, seed in learners
        for n in SHOWN
    ]
    return [{"method": "the expert", "demonstrations": 0, "seed": 0}, *found]


def run_cell(method: str, demonstrations: int, seed: int) -> dict[str, Any]:
    """One run: what the last policy is paid, how it moves, and how it came there."""
    from irl_lib.networks import one_thread

    with one_thread():
        if method == "the expert":
            return replayed()
        learn = cloned if method.startswith("cloning") else played
        policy, found = learn(method, demonstrations, seed)
        return found | judged(policy)


# --- the learners -------------------------------------------------------------------------------


def played(method: str, n: int, seed: int) -> tuple[rollouts.Policy, dict[str, Any]]:
    """GAIL's last policy, acting greedily, and its learning curve."""
    from gymnasium.vector import SyncVectorEnv

    from irl_lib.adversarial import gail

    demos = shown(n)
    if method == "shuffled":
        demos = shuffled(demos, np.random.default_rng(seed))
    path = checkpoint_of(method, n, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    result = gail(
        SyncVectorEnv([lambda: gymnasium.make(NAME)] * COPIES),
        demos,
        seed=seed,
        subsample=SUBSAMPLE,
        max_iterations=ITERATIONS,
        checkpoint=path,
        **SETTINGS,
    )
    every = max(1, ITERATIONS // POINTS)
    curve = {
        name: np.round(result.history[name][every - 1 :: every], 3).tolist()
        for name in ("environment_return", "accuracy", "divergence")
    }
    steps = int(result.history["environment_steps"][-1])
    return greedy(result.policy), {"environment_steps": steps, **curve}


def cloned(method: str, n: int, seed: int) -> tuple[rollouts.Policy, dict[str, Any]]:
    """A clone of the same steps, or of all of them, acting greedily."""
    import warnings

    from irl_lib.behavior_cloning import clone_network

    env, demos = gymnasium.make(NAME), shown(n)
    if method == "cloning":
        demos = apart(demos, SUBSAMPLE)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        copy = clone_network(env, demos, seed=seed, **CLONING)
    return greedy(copy.policy), {"environment_steps": 0, "warned": len(said)}


def shown(n: int) -> Demonstrations:
    """The first demonstrations."""
    return demonstrations.shipped("robot_expert").select(np.arange(n))


def shuffled(demos: Demonstrations, rng: np.random.Generator) -> Demonstrations:
    """The same states and the same actions, which no longer belong together."""
    actions = rng.permutation(np.concatenate(demos.actions))
    ends = np.cumsum([len(each) for each in demos.actions])
    return Demonstrations(
        demos.states,
        np.split(actions, ends[:-1]),
        demos.terminated,
        environment=demos.environment,
    )


def apart(demos: Demonstrations, subsample: int) -> Demonstrations:
    """Every so many'th step of each trajectory, from the first on, as a trajectory of its own."""
    steps = demos.steps()
    chosen = np.flatnonzero(steps.time % subsample == 0)
    return Demonstrations(
        [np.stack([steps.state[i], steps.next_state[i]]) for i in chosen],
        [steps.action[i][None] for i in chosen],
        terminated=False,
        environment=demos.environment,
    )


def greedy(policy: Any) -> rollouts.Policy:
    """The mode of a policy."""
    return lambda observation, _: policy.act(observation)


def checkpoint_of(method: str, n: int, seed: int) -> Path:
    """Where a long cell is kept meanwhile, for these settings alone."""
    known = repr((SUBSAMPLE, COPIES, sorted(SETTINGS.items())))
    name = hashlib.sha256(known.encode()).hexdigest()[:12]
    return FOLDER / "robot" / "checkpoints" / f"{name}-{method}-{n}-{seed}.npz"


# --- what it came to ----------------------------------------------------------------------------


def judged(policy: rollouts.Policy) -> dict[str, Any]:
    """What a policy is paid in whole episodes, and its gait."""
    paid = rollouts.returns(
        rollouts.rollout(gymnasium.make(NAME), policy, EVALUATED, EVALUATION_SEED)
    )
    return {
        "final": float(paid.mean()),
        "final_sd": float(paid.std(ddof=1)),
        "gait": filmed(policy, EVALUATION_SEED),
    }


def replayed() -> dict[str, Any]:
    """The expert's return and gait in its first demonstration, played again."""
    from benchmarks.robot_expert import DEMONSTRATION_SEED

    demos = shown(1)
    actions = iter(demos.actions[0])
    gait = filmed(lambda *_: next(actions), DEMONSTRATION_SEED)
    return {"final": float(rollouts.returns(demos)[0]), "environment_steps": 0, "gait": gait}


def filmed(policy: rollouts.Policy, seed: int) -> list[list[list[float]]]:
    """``(FRAMES, 8, 4)``: the parts of the body from the side at successive steps, in metres.

    Of each part x and z of its one end and of its other one; x is counted from where the middle of
    the torso is in the first frame.
    """
    film = Film(gymnasium.make(NAME))
    rollouts.rollout(film, policy, 1, seed, max_steps=FILMED + FRAMES)
    frames = np.array(film.frames)
    frames[..., [0, 2]] -= frames[0, 0, [0, 2]].mean()
    rounded: list[list[list[float]]] = np.round(frames, 3).tolist()
    return rounded


class Film(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment of MuJoCo that notes where the parts of the body are."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.frames: list[Any] = []
        self.passed = 0

    def step(self, action: Any) -> Any:
        """A step; filmed or not."""
        told = super().step(action)
        self.passed += 1
        if self.passed > FILMED:
            self.frames.append(ends_of_parts(self.unwrapped))
        return told


def ends_of_parts(env: Any) -> Any:
    """``(8, 4)``: x and z of both ends of each capsule; the first shape is the floor."""
    where, half = env.data.geom_xpos[1:], env.model.geom_size[1:, 1]
    axis = env.data.geom_xmat[1:].reshape(-1, 3, 3)[:, :, 2] * half[:, None]
    return np.concatenate([(where - axis)[:, [0, 2]], (where + axis)[:, [0, 2]]], axis=1)


# --- the table ----------------------------------------------------------------------------------


def summary(finished: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each method and number of demonstrations, all seeds in it, and the expert's."""
    reference = results.load("robot_expert").rows[-1]
    rows = []
    for method in METHODS:
        for n in SHOWN:
            mine = [
                result
                for cell, result in finished
                if (cell["method"], cell["demonstrations"]) == (method, n)
            ]
            if mine:
                rows.append({"method": method, "demonstrations": n, **row(mine, reference)})
    return [*rows, {"method": "the expert", "final": reference["mean_return"], "share": 1.0}]


def row(mine: list[dict[str, Any]], reference: dict[str, Any]) -> dict[str, Any]:
    """What all seeds of a method came to."""
    chance, expert = reference["random_return"], reference["mean_return"]
    final = np.array([each["final"] for each in mine])
    share = (final - chance) / (expert - chance)
    return {
        "seeds": len(mine),
        "final": float(final.mean()),
        "final_least": float(final.min()),
        "share": float(share.mean()),
        "share_least": float(share.min()),
        "environment_steps": mine[0]["environment_steps"],
    }
