"""The expert of CartPole-v1: trained, measured, and its demonstrations stored in the package.

Proximal policy optimisation (Stable-Baselines3 with its own settings, one thread, seeded) is
trained for a fixed number of steps; its last policy, acting greedily, is the expert.  The
demonstrations are whole episodes that start where Gymnasium's episodes start, none of them chosen
or left out.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.running.harness import ROOT, Row
from irl_lib import rollouts

NAME = "CartPole-v1"
PATH = ROOT / "irl_lib" / "data" / "cartpole_expert.npz"
SEED, EVALUATION_SEED, DEMONSTRATION_SEED = 0, 1, 2
VERSIONS = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
COLUMNS = {
    "environment": "environment",
    "steps": "steps of training",
    "seed": "seed",
    "episodes": "episodes",
    "mean_return": "mean return",
    "least_return": "least return",
    "evaluation_seed": "seed of the evaluation",
    "demonstrations": "demonstrations",
    "demonstration_seed": "seed of the demonstrations",
}


def run(
    steps: int = 100_000, episodes: int = 100, demonstrations: int = 20, path: Path = PATH
) -> list[Row]:
    """Train, evaluate, store the demonstrations; one row."""
    model = train(steps)
    env = gymnasium.make(NAME)

    def policy(observation: Any, rng: np.random.Generator) -> Any:
        return model.predict(observation, deterministic=True)[0]

    paid = rollouts.returns(rollouts.rollout(env, policy, episodes, EVALUATION_SEED))
    demos = rollouts.rollout(env, policy, demonstrations, DEMONSTRATION_SEED)
    path.parent.mkdir(exist_ok=True)
    demos.save(path)
    return [
        {
            "environment": NAME,
            "steps": int(model.num_timesteps),
            "seed": SEED,
            "episodes": episodes,
            "mean_return": float(paid.mean()),
            "least_return": float(paid.min()),
            "evaluation_seed": EVALUATION_SEED,
            "demonstrations": demonstrations,
            "demonstration_seed": DEMONSTRATION_SEED,
        }
    ]


def train(steps: int) -> Any:
    """The last policy of a training run; it rounds ``steps`` up to whole batches."""
    import torch
    from stable_baselines3 import PPO
    from tqdm.auto import tqdm

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small for more
    try:
        model = PPO("MlpPolicy", gymnasium.make(NAME), seed=SEED, device="cpu")
        with tqdm(total=steps, desc="training", unit=" steps") as bar:
            model.learn(steps, callback=lambda *_: bar.update() is not False)
    finally:
        torch.set_num_threads(threads)
    return model
