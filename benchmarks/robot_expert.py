"""The expert of the robot, HalfCheetah-v5: trained, measured, and its demonstrations stored.

Proximal policy optimisation (Stable-Baselines3, observations and rewards in running units, one
thread, seeded) is trained for a fixed number of steps; its last policy, acting greedily, is the
expert.  The demonstrations are whole episodes that start where Gymnasium's episodes start, none of
them chosen or left out.  It needs MuJoCo: ``pip install -r benchmarks/requirements-robot.txt``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.running.harness import ROOT, Row
from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations

NAME = "HalfCheetah-v5"
PATH = ROOT / "irl_lib" / "data" / "robot_expert.npz"
SEED, EVALUATION_SEED, DEMONSTRATION_SEED = 0, 1, 2
COPIES = 8
SETTINGS = {
    "n_steps": 256,  # of each copy
    "batch_size": 128,
    "n_epochs": 10,
    "learning_rate": 3e-4,
    "gamma": 0.98,
    "gae_lambda": 0.92,
    "policy_kwargs": {"log_std_init": -1.0},
}
COLUMNS = {
    "environment": "environment",
    "steps": "steps of training",
    "seed": "seed",
    "episodes": "episodes",
    "mean_return": "mean return",
    "standard_error": "standard error",
    "least_return": "least return",
    "random_return": "return of uniform actions",
    "evaluation_seed": "seed of the evaluation",
    "demonstrations": "demonstrations",
    "demonstration_seed": "seed of the demonstrations",
    "demonstrated_return": "their mean return",
}


def versions() -> dict[str, str]:
    """Of what it needs; only where MuJoCo is installed, which the book itself doesn't need."""
    from importlib.metadata import PackageNotFoundError

    found = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
    try:
        return found | {"mujoco": version("mujoco")}
    except PackageNotFoundError:
        return found


VERSIONS = versions()


def run(
    steps: int = 1_000_000, episodes: int = 50, demonstrations: int = 4, path: Path = PATH
) -> list[Row]:
    """Train, evaluate, store the demonstrations; one row."""
    policy, trained = train(steps)
    env = gymnasium.make(NAME)
    paid = rollouts.returns(rollouts.rollout(env, policy, episodes, EVALUATION_SEED))
    chance = rollouts.returns(rollouts.rollout(env, uniform(env), episodes, EVALUATION_SEED))
    demos = in_32_bits(rollouts.rollout(env, policy, demonstrations, DEMONSTRATION_SEED))
    path.parent.mkdir(exist_ok=True)
    demos.save(path)
    return [
        {
            "environment": NAME,
            "steps": trained,
            "seed": SEED,
            "episodes": episodes,
            "mean_return": float(paid.mean()),
            "standard_error": float(paid.std(ddof=1) / np.sqrt(episodes)),
            "least_return": float(paid.min()),
            "random_return": float(chance.mean()),
            "evaluation_seed": EVALUATION_SEED,
            "demonstrations": demonstrations,
            "demonstration_seed": DEMONSTRATION_SEED,
            "demonstrated_return": float(rollouts.returns(demos).mean()),
        }
    ]


def uniform(env: Any) -> rollouts.Policy:
    """Uniform actions."""
    low, high = env.action_space.low, env.action_space.high
    return lambda _, rng: rng.uniform(low, high)


def in_32_bits(demos: Demonstrations) -> Demonstrations:
    """Observations in single precision, which is half the file."""
    return Demonstrations(
        [each.astype(np.float32) for each in demos.states],
        demos.actions,
        demos.terminated,
        rewards=demos.rewards,
        environment=demos.environment,
    )


def train(steps: int) -> tuple[Callable[[Any, np.random.Generator], Any], int]:
    """The last policy of a training run, greedy, and its steps, rounded up to whole batches."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
    from tqdm.auto import tqdm

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small for more
    try:
        copies = DummyVecEnv([lambda: gymnasium.make(NAME)] * COPIES)
        unit = VecNormalize(copies, gamma=SETTINGS["gamma"])
        model = PPO("MlpPolicy", unit, seed=SEED, device="cpu", **SETTINGS)
        with tqdm(total=steps, desc="training", unit=" steps") as bar:
            model.learn(steps, callback=lambda *_: bar.update(COPIES) is not False)
    finally:
        torch.set_num_threads(threads)

    def policy(observation: Any, _: np.random.Generator) -> Any:
        seen = unit.normalize_obs(observation[None])
        return model.predict(seen, deterministic=True)[0][0]

    return policy, int(model.num_timesteps)
