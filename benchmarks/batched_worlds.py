"""Steps a second of worlds in batches, beside Gymnasium's copies stepped one after the other.

Both take the same random actions, in the same run and one thread; what is counted are the steps of
all copies together, with the episodes that end and begin anew meanwhile.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import gymnasium

from benchmarks.running.harness import Row, best_time
from irl_lib import worlds

NAMES = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "irl_lib/PointMaze-v0")
SIZES = (8, 64, 512)
STEPS = 12_800  # of all copies together, timed at once
VERSIONS = {"gymnasium": version("gymnasium")}
COLUMNS = {
    "world": "world",
    "copies": "copies",
    "ours": "steps a second, in a batch",
    "gymnasium": "steps a second, Gymnasium's copies",
    "times": "times that",
}


def run(sizes: tuple[int, ...] = SIZES, steps: int = STEPS) -> list[Row]:
    """A row for each world and number of copies."""
    return [compare(name, n, max(1, steps // n)) for n in sizes for name in NAMES]


def compare(name: str, n: int, length: int) -> Row:
    """One world, n copies, which take ``length`` steps each."""
    ours = speed(worlds.batched(name, n), length)
    theirs = speed(gymnasium.make_vec(name, n, vectorization_mode="sync"), length)
    return {
        "world": name,
        "copies": n,
        "ours": ours,
        "gymnasium": theirs,
        "times": ours / theirs,
    }


def speed(env: Any, length: int) -> float:
    """Steps a second of all copies together."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(length)]
    env.reset(seed=0)

    def play() -> None:
        for each in actions:
            env.step(each)

    return length * env.num_envs / best_time(play, repeats=20, seconds=3.0)
