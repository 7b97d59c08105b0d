"""Non-adversarial imitation of a pole from demonstrations alone.

Of the shipped expert of Gymnasium's CartPole-v1, some demonstrations are shown, and of each every
so many'th pair.  Nothing is ever stepped but for the score.  Three methods: IQ-Learn, which is
cloning with a price on the reward that a policy and its values imply; the clone by the same
networks, batches and steps, whose price is next to nothing; and the sign of a linear function by
least squares with a ridge, which is the simplest there is, as the expert is a threshold of one.

The scores are those of the study of IQ-Learn with a simulator, by the policies of the last
iteration.  The price was not tuned; the number of steps was chosen on the seeds 100 to 103.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.iq_learn import scored
from benchmarks.iq_learn import summary as table
from irl_lib import demonstrations
from irl_lib.demonstrations import Demonstrations

SEEDS, FIRST = 10, 10
SHOWN, STRIDES = (1, 3, 10), (1, 5, 19, 20)
METHODS = ("iq_learn", "cloning", "linear cloning")
ITERATIONS, PRICE, NO_PRICE, RIDGE = 20, 0.1, 1e-12, 1e-4
VERSIONS = {name: version(name) for name in ("gymnasium", "torch")}
COLUMNS = {
    "method": "method",
    "shown": "demonstrations",
    "stride": "every so many'th pair",
    "seeds": "seeds",
    "score": "steps, actions drawn",
    "least": "the least of the seeds",
    "sd": "standard deviation over seeds",
    "good": "seeds at 475 or more",
    "sure": "steps, most likely actions",
    "sure_least": "its least of the seeds",
    "sure_good": "seeds at 475 or more, most likely actions",
    "seconds": "seconds, median",
}
Record = dict[str, Any]


def cells() -> list[Record]:
    """One for each run; those of the first seeds first."""
    return [
        {"method": method, "seed": seed, "shown": n, "stride": stride}
        for seed in range(FIRST, FIRST + SEEDS)
        for n in SHOWN
        for stride in STRIDES
        for method in METHODS
    ]


def run_cell(method: str, seed: int, shown: int, stride: int) -> Record:
    """What one run came to."""
    from irl_lib.networks import one_thread

    begun = time.perf_counter()
    with one_thread():
        found = scored("upright", learned(method, seed, shown, stride))
    return found | {"took": round(time.perf_counter() - begun, 1)}


def learned(method: str, seed: int, n: int, stride: int) -> Any:
    """A policy from every so many'th pair of some demonstrations."""
    import gymnasium

    from irl_lib.iq_learn import iq_learn

    shipped = demonstrations.shipped("cartpole_expert")
    demos = shipped.select(np.random.default_rng([seed, n]).permutation(len(shipped))[:n])
    if method == "linear cloning":
        return Linear(demos, stride)
    env = gymnasium.make("CartPole-v1")
    return iq_learn(
        (env.observation_space, env.action_space),
        demos,
        seed=seed,
        subsample=stride,
        weight=PRICE if method == "iq_learn" else NO_PRICE,
        max_iterations=ITERATIONS,
    ).policy


class Linear:
    """The sign of a linear function, by least squares on -1 and 1 with a ridge."""

    def __init__(self, demos: Demonstrations, stride: int) -> None:
        steps = demos.steps()
        kept = steps.time % stride == 0
        seen = steps.state[kept].astype(np.float64)
        self.centre, self.scale = seen.mean(axis=0), seen.std(axis=0) + 1e-12
        x, y = self.rows(seen), 2.0 * steps.action[kept] - 1.0
        ridge = RIDGE * len(x) * np.eye(x.shape[1])
        self.weights = np.linalg.solve(x.T @ x + ridge, x.T @ y)

    def rows(self, seen: Any) -> Any:
        """Standardised, with a constant."""
        z = (seen - self.centre) / self.scale
        return np.column_stack([z, np.ones(len(z))])

    def probabilities(self, seen: Any) -> Any:
        """``(N, 2)``: it is sure."""
        right = self.rows(seen) @ self.weights > 0.0
        return np.column_stack([~right, right]).astype(float)


def summary(finished: list[tuple[Record, Record]]) -> list[Record]:
    """A row for each method and kind of data, all seeds in it."""
    return table(finished, cells())
