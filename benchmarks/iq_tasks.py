"""Non-adversarial imitation of goals: a double pendulum, a car in a valley, a lander.

On CartPole, staying alive is all that pays, and a method that never sees an expert can score.  Here
every step costs something until a goal is reached; of the lander, a crash ends an episode, too.
Experts: of Gymnasium's MountainCar-v0 a policy that is planned on a lattice, of Acrobot-v1 a search
some steps ahead in its exact equations, of LunarLander-v3 the controller that Gymnasium ships.
Scores are mean returns of 20 episodes.

``acrobot``, every tenth pair of one demonstration and its last, about ten pairs: IQ-Learn with a
simulator, 10,240 steps of four copies; GAIL and AIRL with as many steps, and GAIL with ten times as
many; cloning, and IQ-Learn without a simulator.  Controls are the same method with the
demonstration's columns shuffled, whose pairs mean nothing and which ends as the expert does; and
with as many pairs of uniform actions, which end nowhere.

Off line, all tasks with every pair of one demonstration, the lander also with three.

Policies are those of the last iteration.  Settings of IQ-Learn were chosen on the seeds 100 to 102,
GAIL and AIRL have their defaults.  The task and its stride were chosen on these seeds, too, where
cloning fails: there the clones of every pair and every fifth of the car and the acrobot do well; of
the car with every twentieth, IQ-Learn did not learn to reach the goal within 10,000 steps; and from
every pair of one demonstration it did not learn to land within 20,000.  The lander needs Box2D:
``pip install -r benchmarks/requirements-lander.txt``.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.adversarial import shuffled
from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations
from irl_lib.support.checks import Array

NAMES = {"acrobot": "Acrobot-v1", "car": "MountainCar-v0", "lander": "LunarLander-v3"}
SEEDS = 5
COPIES, STEPS, ITERATIONS, WATCHED = 4, 16, 160, 8
GAME_COPIES, GAME_STEPS = 8, 128
ONLINE: dict[str, Any] = {
    "temperature": 0.1,
    "hidden": (64, 64),
    "batch": 64,
    "decay": ITERATIONS,
}
OFFLINE: dict[str, Any] = {"hidden": (64, 64), "max_iterations": 20}
PRICE, NO_PRICE, RIDGE = 0.1, 1e-12, 1e-4
CELLS, SWEEPS = (100, 100), 300  # of the car's lattice
BLOCKS, BLOCK = 4, 4  # of a torque that stays for some steps, in the search
DEMONSTRATION_SEED, EVALUATION_SEED, EVALUATED = 3, 5, 20
VERSIONS = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
Record = dict[str, Any]

SHUFFLED, UNIFORM = ", shuffled expert", ", uniform actions for an expert"
TEN = ", ten times the steps"
STEPPED = ("iq_learn", "iq_learn" + SHUFFLED, "iq_learn" + UNIFORM)
GAMES = ("gail", "gail" + SHUFFLED, "airl")
ALONE = ("iq_learn, off line", "cloning", "linear cloning")
REFERENCES = ("the expert", "uniform actions")
SPARSE = 10
DENSE = (("acrobot", 1), ("car", 1), ("lander", 1), ("lander", 3))
COLUMNS = {
    "task": "task",
    "method": "method",
    "shown": "demonstrations",
    "stride": "every so many'th pair",
    "seeds": "seeds",
    "steps": "environment steps",
    "score": "return, actions drawn",
    "least": "the least of the seeds",
    "sd": "standard deviation over seeds",
    "sure": "return, most likely actions",
    "sure_least": "its least of the seeds",
    "late": "return, mean of the last tenth of training",
    "best": "return, best of training",
    "seconds": "seconds, median",
}


def cells() -> list[Record]:
    """One for each run; of each part those of the first seeds first."""
    listed = [
        {"task": task, "method": method, "seed": 0, "shown": 0, "stride": 0}
        for task in NAMES
        for method in REFERENCES
    ]
    sparse, dense = [("acrobot", 1, SPARSE)], [(task, n, 1) for task, n in DENSE]
    parts = [((*STEPPED, *GAMES, *ALONE), sparse), (ALONE, dense), (("gail" + TEN,), sparse)]
    return listed + [
        {"task": task, "method": method, "seed": seed, "shown": n, "stride": stride}
        for methods, kinds in parts
        for seed in range(SEEDS)
        for task, n, stride in kinds
        for method in methods
    ]


def run_cell(task: str, method: str, seed: int, shown: int, stride: int) -> Record:
    """What one run came to."""
    from irl_lib.networks import one_thread

    begun = time.perf_counter()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of sure discriminators
        if method in REFERENCES:
            found = reference(task, method)
        else:
            found = learned(task, method, demonstrated(task, shown, seed), seed, stride)
    return found | {"took": round(time.perf_counter() - begun, 1)}


# --- worlds and experts -------------------------------------------------------------------------


def single(task: str) -> Any:
    """One copy."""
    import gymnasium

    return gymnasium.make(NAMES[task])


def copies(task: str, n: int) -> Any:
    """Some, side by side."""
    import gymnasium

    from irl_lib import worlds

    if task == "lander":
        return gymnasium.make_vec(NAMES[task], n, vectorization_mode="sync")
    return worlds.batched(NAMES[task], n)


@cache
def expert(task: str) -> Callable[..., int]:
    """Who demonstrates: a function of an observation and a generator that it doesn't use."""
    if task == "car":
        return CarExpert()
    if task == "acrobot":
        return AcrobotExpert()
    from gymnasium.envs.box2d.lunar_lander import heuristic

    env = single(task).unwrapped
    return lambda seen, _=None: int(heuristic(env, seen))


class CarExpert:
    """Planned: the car's fewest steps to its goal, on a lattice of places and speeds.

    It takes the action whose exact next state is worth most, and between the points of the lattice
    values are interpolated.
    """

    def __init__(self) -> None:
        from irl_lib import worlds
        from irl_lib.worlds.motions import MountainCar

        env = single("car").unwrapped
        self.motion = MountainCar(env)
        self.lattice = worlds.Lattice(env.low, env.high, CELLS)
        parts = [self.moved(self.lattice.points, action) for action in range(3)]
        ways = [(self.lattice.interpolation(after), there) for after, there in parts]
        self.values = np.zeros(len(self.lattice.points))
        for _ in range(SWEEPS):
            self.values = np.max([(m @ self.values) * ~there - 1.0 for m, there in ways], axis=0)

    def moved(self, states: Array, action: int) -> tuple[Array, Any]:
        """``(N, 2)`` and ``(N,)``: where an action leads, and whether that is the goal."""
        done = self.motion.step(states.T, np.full(len(states), action))
        return done.states.T, done.terminated

    def __call__(self, seen: Array, _: Any = None) -> int:
        """The action."""
        parts = [self.moved(np.asarray(seen, dtype=float)[None], a) for a in range(3)]
        worth = [self.lattice.interpolation(after) @ self.values * ~there for after, there in parts]
        return int(np.argmax(worth))


class AcrobotExpert:
    """A search: of all sequences of torques, each kept for some steps, the first of the best.

    The best reaches the goal soonest or, where none does, has most energy in the end.
    """

    def __init__(self) -> None:
        from irl_lib.worlds.motions import Acrobot

        self.motion = Acrobot(single("acrobot").unwrapped)
        self.sequences = np.array(list(itertools.product(range(3), repeat=BLOCKS))).T

    def __call__(self, seen: Array, _: Any = None) -> int:
        """The action."""
        c1, s1, c2, s2, *speeds = np.asarray(seen, dtype=float)
        state = np.array([np.arctan2(s1, c1), np.arctan2(s2, c2), *speeds])
        states = np.repeat(state[:, None], self.sequences.shape[1], axis=1)
        soonest = np.full(states.shape[1], np.inf)
        for t, torques in enumerate(np.repeat(self.sequences, BLOCK, axis=0)):
            states, _paid, there = self.motion.step(states, torques)
            soonest = np.minimum(soonest, np.where(there, t, np.inf))
        best = soonest.argmin() if np.isfinite(soonest).any() else energy(states).argmax()
        return int(self.sequences[0, best])


def energy(states: Array) -> Array:
    """``(n,)``: kinetic and potential, of acrobots ``(4, n)``; it stays where no torque acts."""
    first, second, speed1, speed2 = states
    cos = np.cos(second)
    kinetic = 0.5 * (3.5 + cos) * speed1**2 + (1.25 + 0.5 * cos) * speed1 * speed2
    kinetic += 0.5 * 1.25 * speed2**2
    return np.asarray(kinetic - 9.8 * (1.5 * np.cos(first) + 0.5 * np.cos(first + second)))


def demonstrated(task: str, n: int, seed: int) -> Demonstrations:
    """Some demonstrations; others for each seed."""
    return rollouts.rollout(single(task), expert(task), n, 1_000 * DEMONSTRATION_SEED + seed)


def uniform_pairs(task: str, n: int, seed: int) -> Demonstrations:
    """So many steps of uniform actions, that did not come to an end."""
    env = single(task)

    def uniform(_: Any, rng: np.random.Generator) -> int:
        return int(rng.integers(env.action_space.n))

    done = rollouts.rollout(env, uniform, 20, 1_000 * DEMONSTRATION_SEED + seed, max_steps=n)
    return done.select(np.flatnonzero(~done.terminated)[:1])


# --- what is learned ----------------------------------------------------------------------------


def learned(task: str, method: str, demos: Demonstrations, seed: int, stride: int) -> Record:
    """What the last policy of a method comes to."""
    if SHUFFLED in method:
        demos = shuffled(demos, seed)
    if UNIFORM in method:
        demos = uniform_pairs(task, demos.n_steps, seed)
    if method in ALONE:
        return scored(task, alone(task, method, demos, seed, stride)) | {"steps": 0}
    if method.startswith(("gail", "airl")):
        return played(task, method, demos, seed, stride)
    return stepped(task, demos, seed, stride)


def alone(task: str, method: str, demos: Demonstrations, seed: int, stride: int) -> Any:
    """A policy from demonstrations, with nothing stepped."""
    from irl_lib.iq_learn import iq_learn

    env = single(task)
    if method == "linear cloning":
        return Linear(demos, stride, int(env.action_space.n))
    price = NO_PRICE if method == "cloning" else PRICE
    places = env.observation_space, env.action_space
    return iq_learn(places, demos, seed=seed, subsample=stride, weight=price, **OFFLINE).policy


class Linear:
    """The largest of linear functions, by least squares on 0 and 1 with a ridge.

    It is shown what the networks are: every so many'th step, and the last before an end.
    """

    def __init__(self, demos: Demonstrations, stride: int, n_actions: int) -> None:
        from irl_lib.training.steps import expert_rows

        rows = expert_rows(demos, stride, False, True)
        self.centre, self.scale = rows.states.mean(axis=0), rows.states.std(axis=0) + 1e-12
        x, y = self.rows(rows.states), np.eye(n_actions)[rows.actions]
        ridge = RIDGE * len(x) * np.eye(x.shape[1])
        self.weights = np.linalg.solve(x.T @ x + ridge, x.T @ y)

    def rows(self, seen: Array) -> Array:
        """Standardised, with a constant."""
        z = (seen - self.centre) / self.scale
        return np.column_stack([z, np.ones(len(z))])

    def probabilities(self, seen: Array) -> Array:
        """``(N, A)``: it is sure."""
        largest = (self.rows(seen) @ self.weights).argmax(axis=1)
        return np.asarray(np.eye(self.weights.shape[1])[largest])


def stepped(task: str, demos: Demonstrations, seed: int, stride: int) -> Record:
    """The last policy of the one objective, with a simulator; what it was worth on the way."""
    from irl_lib.iq_learn import iq_learn

    curve: list[float] = []

    def watch(iteration: Any) -> None:
        if iteration.number % WATCHED == WATCHED - 1:
            curve.append(round(watched(task, iteration.policy(), drawn()), 2))

    found = iq_learn(
        copies(task, COPIES),
        demos,
        seed=seed,
        online=True,
        subsample=stride,
        steps=STEPS,
        max_iterations=ITERATIONS,
        callback=watch,
        **ONLINE,
    )
    late = np.mean(curve[-max(1, len(curve) // 10) :])
    marks = {"late": float(late), "best": float(np.max(curve)), "curve": curve}
    steps = int(found.history["environment_steps"][-1])
    return scored(task, found.policy) | {"steps": steps} | marks


def played(task: str, method: str, demos: Demonstrations, seed: int, stride: int) -> Record:
    """The last policy of a game."""
    from irl_lib.adversarial import airl, gail

    learn: Callable[..., Any] = gail if method.startswith("gail") else airl
    times = 10 if TEN in method else 1
    found = learn(
        copies(task, GAME_COPIES),
        demos,
        seed=seed,
        subsample=stride,
        steps=GAME_STEPS,
        max_iterations=times * COPIES * STEPS * ITERATIONS // (GAME_COPIES * GAME_STEPS),
    )
    return scored(task, found.policy) | {"steps": int(found.history["environment_steps"][-1])}


# --- the score ----------------------------------------------------------------------------------


def drawn() -> np.random.Generator:
    """What actions are drawn from."""
    return np.random.default_rng(EVALUATION_SEED)


def scored(task: str, policy: Any) -> Record:
    """The mean return of a policy's drawn actions, and of its most likely ones."""
    return {"score": watched(task, policy, drawn()), "sure": watched(task, policy, None)}


def watched(task: str, policy: Any, rng: np.random.Generator | None) -> float:
    """The mean return of some episodes side by side."""
    env = copies(task, EVALUATED)
    seen, _ = env.reset(seed=[EVALUATION_SEED * 1_000 + i for i in range(EVALUATED)])
    alive, total = np.ones(EVALUATED, dtype=bool), np.zeros(EVALUATED)
    while alive.any():
        chances = policy.probabilities(np.asarray(seen, dtype=np.float64))
        if rng is None:
            chosen = chances.argmax(axis=1)
        else:
            bars = rng.random((EVALUATED, 1))
            chosen = (bars > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
        seen, paid, terminated, truncated, _ = env.step(chosen)
        total += alive * paid
        alive &= ~(terminated | truncated)
    return float(total.mean())


def reference(task: str, method: str) -> Record:
    """What the expert comes to, or uniform actions, in episodes of their own."""
    if method == "the expert":
        done = rollouts.rollout(single(task), expert(task), EVALUATED, EVALUATION_SEED)
        mean = float(rollouts.returns(done).mean())
        return {"score": mean, "sure": mean, "steps": 0}
    n = int(single(task).action_space.n)

    class Uniform:
        def probabilities(self, seen: Array) -> Array:
            return np.full((len(seen), n), 1.0 / n)

    value = watched(task, Uniform(), drawn())
    return {"score": value, "sure": value, "steps": 0}


# --- the table ----------------------------------------------------------------------------------


def summary(finished: list[tuple[Record, Record]]) -> list[Record]:
    """A row for each kind of run, all seeds in it."""
    kinds = [{k: v for k, v in each.items() if k != "seed"} for each in cells()]
    rows: list[Record] = []
    for kind in {tuple(each.items()): each for each in kinds}.values():
        mine = [found for cell, found in finished if kind.items() <= cell.items()]
        if mine:
            rows.append(kind | row(mine))
    return rows


def row(mine: list[Record]) -> Record:
    """What all seeds of a kind of run came to."""
    score, sure = (np.array([each[name] for each in mine]) for name in ("score", "sure"))
    found: Record = {
        "seeds": len(mine),
        "steps": mine[0]["steps"],
        "score": float(score.mean()),
        "least": float(score.min()),
        "sd": float(score.std()),
        "sure": float(sure.mean()),
        "sure_least": float(sure.min()),
        "seconds": float(np.median([each["took"] for each in mine])),
    }
    if "curve" in mine[0]:
        found |= {name: float(np.mean([each[name] for each in mine])) for name in ("late", "best")}
    return found
