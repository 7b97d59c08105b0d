"""Adversarial methods at work: a pole, a pole with a preference, and a maze whose gap moves.

In the two tasks with a pole (Gymnasium's CartPole-v1) there is one demonstration of 500 steps, and
every twentieth pair of it is shown: 25 pairs.  ``upright`` is scored by the steps until the pole
falls.  ``aside`` is scored by the share of 500 steps that the cart is within 0.3 m of the place,
one metre to the right, where the expert, a threshold of a linear function, keeps it: that is not
revealed by how long the pole stays up.  Beside the methods stand three controls: PPO with the
reward +1 a step, which has no expert; a demonstration whose columns, and whose actions, are each
shuffled, so that it has the expert's values and none of the relations between them; and a clone of
the 25 pairs, trained to its end.

In the maze a wall leaves a gap at the right, and then one at the left.  The reward is of states,
the expert soft-optimal (planned exactly on a lattice), and 20 demonstrations are of the first maze.
What a method has learned is brought to the second one: a policy as it is, a reward by its exact
soft-optimal policy there.  An exact planner finds every bump that a reward happens to have in the
last iteration, so it is also given the mean of the last hundred iterations' rewards.  A control
stops the same games after three iterations, when the policy still moves nearly at random: the table
of whole games was known when it was added.

Policies are those of the last iteration, and act as they learned to: their actions are drawn (the
expert's are not).  The settings are the methods' own defaults, but for the weight of the gradient
penalty, which each task has for itself.  They were chosen on the seeds 101 to 103, 0 to 3 and, for
``upright``, 10 to 12; none of these is among those here.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from irl_lib import demonstrations, metrics, planning, rollouts, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

SEEDS, FEW = 10, 3  # of the table of methods; of the table of regularisations
EARLY, EARLY_ITERATIONS = "stopped early", 3
FIRST = {"upright": 20, "aside": 10, "maze": 4}  # those before were seen while settings changed
COPIES, STEPS, ITERATIONS, MAZE_ITERATIONS = 8, 128, 96, 200
SUBSAMPLE = 20
PLACE, GAINS, NEAR = 1.0, np.array([1.0, 1.6, 18.0, 3.0]), 0.3
DEMONSTRATION_SEED, EVALUATION_SEED, EVALUATED = 3, 5, 20
GOOD = 475.0  # steps of 500
CLONE_PASSES, CLONE_RATE = 3_000, 1e-3
PENALTY = {"upright": 1.0, "aside": 0.1, "maze": 0.01}
MAZE_STEPS, MAZE_DISCOUNT, MAZE_SHOWN, MAZE_EVALUATED = 40, 0.95, 20, 100
CELLS, ACTION_CELLS = 25, 7
AVERAGED = 100  # iterations, the last ones
POLES = ("upright", "aside")
METHODS = (
    "gail",
    "gail, shuffled expert",
    "airl",
    "+1 a step",
    "cloning",
)
REGULARISATIONS = ("gradient penalty", "spectral norm", "dropout", "none")
MAZE_GAMES = ("airl of states", "airl of states and actions", "gail")
MAZE_METHODS = (*MAZE_GAMES, "cloning")
MAZE_CONTROLS = ("untrained discriminator", "random reward")
VERSIONS = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
COLUMNS = {
    "task": "task",
    "method": "method",
    "variant": "variant",
    "seeds": "seeds",
    "steps": "environment steps",
    "score": "score",
    "least": "the least of the seeds",
    "sd": "standard deviation over seeds",
    "good": f"seeds at {GOOD:g} or more",
    "length": "steps of an episode",
    "policy": "its policy, where it learned",
    "policy_moved": "its policy, where the gap has moved",
    "last": "its last reward, planned for where it learned",
    "last_moved": "its last reward, planned for where the gap has moved",
    "planned": f"its mean reward over {AVERAGED} iterations, where it learned",
    "planned_moved": "its mean reward, where the gap has moved",
    "planned_moved_low": "95 % interval of the mean, low",
    "planned_moved_high": "high",
    "starc": "STARC distance from the true reward, where the gap has moved",
    "seconds": "seconds, median",
}
Record = dict[str, Any]


def cells() -> list[Record]:
    """One for each run; those of the first seeds first."""
    kinds = [(task, method) for task in POLES for method in METHODS]
    kinds += [("maze", method) for method in (*MAZE_METHODS, *MAZE_CONTROLS)]
    variants = [
        (method, variant)
        for method in ("gail", "airl")
        for variant in (*REGULARISATIONS[1:], "rewards as they are")
    ]
    listed: list[Record] = []
    for i in range(SEEDS):
        listed += [{"task": t, "method": method, "seed": FIRST[t] + i} for t, method in kinds]
        listed += [
            {"task": "maze", "method": method, "seed": FIRST["maze"] + i, "variant": EARLY}
            for method in MAZE_GAMES
        ]
        if i < FEW:
            listed += [
                {"task": "aside", "method": method, "seed": FIRST["aside"] + i, "variant": variant}
                for method, variant in variants
            ]
    return listed


def run_cell(task: str, method: str, seed: int, variant: str = "") -> Record:
    """What one run came to."""
    from irl_lib.networks import one_thread

    start = time.perf_counter()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of sure discriminators: the table says it
        if task == "maze":
            found = in_maze(method, seed, EARLY_ITERATIONS if variant == EARLY else MAZE_ITERATIONS)
        else:
            found = on_pole(task, method, seed, variant)
    return found | {"took": round(time.perf_counter() - start, 1)}


# --- poles --------------------------------------------------------------------------------------


def aside_expert(observation: Array, _: Any = None) -> int:
    """Pushes the cart to its place, and under the pole."""
    return int((observation - np.array([PLACE, 0.0, 0.0, 0.0])) @ GAINS > 0.0)


def pole_demo(task: str, seed: int) -> Demonstrations:
    """One demonstration; another for each seed."""
    import gymnasium

    if task == "upright":
        shipped = demonstrations.shipped("cartpole_expert")
        return shipped.select([seed % len(shipped)])
    env = gymnasium.make("CartPole-v1")
    return rollouts.rollout(env, aside_expert, 1, 1_000 * DEMONSTRATION_SEED + seed)


def shuffled(demos: Demonstrations, seed: int) -> Demonstrations:
    """The same values, each column in an order of its own."""
    rng = np.random.default_rng([seed, 99])
    states = [np.stack([rng.permutation(column) for column in s.T], axis=1) for s in demos.states]
    actions = [rng.permutation(a) for a in demos.actions]
    return Demonstrations(states, actions, terminated=demos.terminated)


def on_pole(task: str, method: str, seed: int, variant: str) -> Record:
    """How a policy does that was learned from 25 pairs."""
    demos = pole_demo(task, seed)
    if "shuffled" in method:
        demos = shuffled(demos, seed)
    if method == "cloning":
        policy, steps = cloned(demos, seed, SUBSAMPLE), 0
    elif method == "+1 a step":
        policy, steps = paid_for_steps(demos, seed)
    else:
        policy, steps = played(task, method, demos, seed, variant)
    return {"steps": steps, **judged(task, policy)}


def played(
    task: str, method: str, demos: Demonstrations, seed: int, variant: str
) -> tuple[Any, int]:
    """The last policy of a game, and what it cost."""
    import gymnasium

    from irl_lib.adversarial import airl, gail

    env = gymnasium.make_vec("CartPole-v1", COPIES, vectorization_mode="sync")
    settings: Record = {
        "subsample": SUBSAMPLE,
        "penalty": PENALTY[task],
        "steps": STEPS,
        "max_iterations": ITERATIONS,
    }
    if variant in REGULARISATIONS:
        settings["regularisation"] = variant
    elif variant:
        settings["scale_rewards"] = False
    learn: Callable[..., Any] = gail if method.startswith("gail") else airl
    found = learn(env, demos, seed=seed, **settings)
    return found.policy, int(found.history["environment_steps"][-1])


def paid_for_steps(demos: Demonstrations, seed: int) -> tuple[Any, int]:
    """The control that never sees an expert: the same optimiser of policies, paid 1 for each step.

    The demonstration gives the first unit of the observations, as it does in the games.
    """
    import gymnasium

    from irl_lib.training.copies import Copies
    from irl_lib.training.ppo import Actor
    from irl_lib.training.running_unit import RunningUnit

    env = gymnasium.make_vec("CartPole-v1", COPIES, vectorization_mode="sync")
    copies, unit = Copies(env, seed), RunningUnit(demos.states[0][:-1:SUBSAMPLE].astype(np.float64))
    actor = Actor(env.single_observation_space, env.single_action_space, unit, seed, discount=0.99)
    rng = np.random.default_rng(seed)
    for _ in range(ITERATIONS):
        passed, _noted = copies.collect(lambda seen: actor.act(seen, rng), STEPS)
        actor.improve(passed, np.ones(passed.terminated.shape), rng)
        unit.update(passed.states.reshape(-1, passed.states.shape[-1]))
    return actor.policy(), ITERATIONS * STEPS * COPIES


def cloned(demos: Demonstrations, seed: int, subsample: int) -> Any:
    """A clone of every so many'th pair, trained until it has them by heart."""
    import gymnasium

    from irl_lib.behavior_cloning import clone_network

    steps = demos.steps()
    kept = np.flatnonzero(steps.time % subsample == 0)
    pairs = Demonstrations(
        [np.stack([steps.state[i], steps.next_state[i]]) for i in kept],
        [steps.action[i : i + 1] for i in kept],
    )
    env = gymnasium.make("CartPole-v1")
    with warnings.catch_warnings(record=True):  # a fixed budget: it may say it isn't done
        warnings.simplefilter("always")
        return clone_network(
            env, pairs, seed=seed, max_iterations=CLONE_PASSES, learning_rate=CLONE_RATE
        ).policy


def judged(task: str, policy: Any) -> Record:
    """Episodes, actions drawn: how long they last, and how near to its place the cart is."""
    import gymnasium

    act = policy if callable(policy) else lambda seen, _rng: policy.act(seen)
    done = rollouts.rollout(gymnasium.make("CartPole-v1"), act, EVALUATED, EVALUATION_SEED)
    length = float(rollouts.returns(done).mean())
    near = [np.sum(np.abs(states[1:, 0] - PLACE) < NEAR) / 500.0 for states in done.states]
    return {"length": length, "score": length if task == "upright" else float(np.mean(near))}


# --- the maze -----------------------------------------------------------------------------------


class Ground(NamedTuple):
    """A maze as an environment and on a lattice."""

    env: Any
    mdp: MDP
    grid: worlds.MazeGrid


def maze_env(moved: bool) -> Any:
    """The maze with its gap at the right, or moved to the left."""
    wall = (0.3, 0.44, 1.0, 0.56) if moved else (0.0, 0.44, 0.7, 0.56)
    return worlds.point_maze(
        max_steps=MAZE_STEPS,
        walls=(wall,),
        start=(0.5, 0.2),
        start_spread=0.2,
        goal=(0.5, 0.85),
        puddle_cost=0.0,
        distance_cost=6.0,
        action_cost=0.0,
    )


@cache
def ground(moved: bool) -> Ground:
    """It and its lattice; without end, and discounted, as the games are."""
    env = maze_env(moved)
    grid = worlds.maze_grid(env.unwrapped.maze, CELLS, ACTION_CELLS)
    after = env.unwrapped.maze.moves(grid.states[:, None], grid.actions)
    mdp = grid.lattice.mdp(after, grid.lattice.points, None, MAZE_DISCOUNT)
    return Ground(env, mdp.started_at(grid.mdp.initial), grid)


def maze_expert() -> Any:
    """The soft-optimal policy of the true reward."""
    world = ground(moved=False)
    plan = planning.soft_value_iteration(world.mdp, world.grid.reward)
    q = np.broadcast_to(plan.q, (MAZE_STEPS, *plan.q.shape))
    width = [2.0 / ACTION_CELLS] * 2
    return worlds.LatticePolicy(world.grid.lattice, q, world.grid.actions, width)


@cache
def maze_demos() -> Demonstrations:
    """The same for all seeds."""
    env = ground(moved=False).env
    return rollouts.rollout(env, maze_expert(), MAZE_SHOWN, DEMONSTRATION_SEED)


def in_maze(method: str, seed: int, iterations: int) -> Record:
    """What a policy and a reward are worth where they were learned, and where the gap has moved."""
    found: Record = {}
    policy, rewards = learned_in_maze(method, seed, iterations)
    for moved, suffix in ((False, ""), (True, "_moved")):
        world = ground(moved)
        if policy is not None:
            done = rollouts.rollout(world.env, policy, MAZE_EVALUATED, EVALUATION_SEED)
            found[f"policy{suffix}"] = float(rollouts.returns(done).mean())
        if rewards:
            found[f"last{suffix}"] = planned_worth(world, rewards[-1])
            mean = np.mean(rewards[-AVERAGED:], axis=0)
            found[f"planned{suffix}"] = planned_worth(world, mean)
            found["starc"] = metrics.starc_distance(world.mdp, mean, world.grid.reward)
    return found


def planned_worth(world: Ground, reward: Array) -> float:
    """What the exact soft-optimal policy for a reward is worth."""
    return worth(world, planning.soft_value_iteration(world.mdp, reward).policy)


def learned_in_maze(method: str, seed: int, iterations: int) -> tuple[Any, list[Array]]:
    """A policy, and tables of the rewards after each iteration; or None, or no tables.

    States and actions of the lattice are the same in both mazes, and so are the tables.
    """
    from gymnasium.vector import SyncVectorEnv

    from irl_lib.adversarial import airl, gail
    from irl_lib.behavior_cloning import clone_network

    world, demos = ground(moved=False), maze_demos()
    if method in MAZE_CONTROLS:
        return None, [tabulated(untrained(seed)) if "untrained" in method else noise(seed)]
    if method == "cloning":
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            clone = clone_network(world.env, demos, seed=seed, max_iterations=1_000)
        return drawing(world.env, clone.policy), []
    rewards: list[Array] = []

    def watch(iteration: Any) -> None:
        net = iteration.discriminator
        rewards.append(tabulated(net.net if method == "gail" else net.reward))

    settings: Record = {
        "discount": MAZE_DISCOUNT,
        "penalty": PENALTY["maze"],
        "absorbing": False,  # no episode ends: all are cut
        "max_iterations": iterations,
        "steps": STEPS,
        "callback": watch,
    }
    env = SyncVectorEnv([lambda: maze_env(moved=False)] * COPIES)
    if method == "gail":
        found: Any = gail(env, demos, seed=seed, **settings)
    else:
        found = airl(env, demos, seed=seed, state_only=method == "airl of states", **settings)
    return drawing(world.env, found.policy), rewards


def drawing(env: Any, policy: Any) -> Callable[..., Any]:
    """A policy as it acts, not its mode: the expert draws, too."""
    low, high = env.action_space.low, env.action_space.high
    return lambda seen, rng: np.clip(policy.act(seen, rng), low, high)


def untrained(seed: int) -> Any:
    """What a discriminator knows before it has seen anything."""
    from irl_lib.adversarial.discriminators import network

    return network(4, (64, 64), "gradient penalty", seed)


def noise(seed: int) -> Array:
    """A reward of each state, drawn."""
    grid = ground(moved=False).grid
    drawn = np.random.default_rng([seed, 7]).normal(size=len(grid.states))
    return np.repeat(drawn[:, None], len(grid.actions), axis=1)


def tabulated(net: Any) -> Array:
    """A network of states, or of states and actions, at the points of the lattice."""
    import torch

    grid = ground(moved=False).grid
    shape = len(grid.states), len(grid.actions), 2
    parts = [np.broadcast_to(grid.states[:, None], shape)]
    if net.n_inputs > 2:
        parts.append(np.broadcast_to(grid.actions, shape))
    with torch.no_grad():
        values = net.eval()(torch.from_numpy(np.concatenate(parts, axis=-1)).float())
    return np.asarray(values.double().numpy())


def worth(world: Ground, policy: Array) -> float:
    """The true reward of an episode, exactly, on the lattice."""
    at, chain, paid = world.mdp.initial, world.mdp.policy_matrix(policy), 0.0
    of_state = (policy * world.grid.reward).sum(axis=1)
    for _ in range(MAZE_STEPS):
        paid += float(at @ of_state)
        at = chain.T @ at
    return paid


# --- the table ----------------------------------------------------------------------------------


def summary(finished: list[tuple[Record, Record]]) -> list[Record]:
    """A row for each method in each task, all seeds in it; and what experts and chance come to."""
    kinds = [(c["task"], c["method"], c.get("variant", "")) for c in cells()]
    rows = []
    for task, method, variant in dict.fromkeys(kinds):
        mine = [
            result
            for cell, result in finished
            if (cell["task"], cell["method"], cell.get("variant", "")) == (task, method, variant)
        ]
        if mine:
            row = {"task": task, "method": method, "variant": variant, "seeds": len(mine)}
            rows.append(row | (maze_row(mine) if task == "maze" else pole_row(task, mine)))
    return rows + references()


def pole_row(task: str, mine: list[Record]) -> Record:
    """What all seeds of a method came to."""
    score = np.array([each["score"] for each in mine])
    row: Record = {
        "steps": mine[0]["steps"],
        "score": float(score.mean()),
        "least": float(score.min()),
        "sd": float(score.std()),
        "length": float(np.mean([each["length"] for each in mine])),
        "seconds": float(np.median([each["took"] for each in mine])),
    }
    return row | ({"good": int((score >= GOOD).sum())} if task == "upright" else {})


def maze_row(mine: list[Record]) -> Record:
    """Means over seeds; of what transfers, with the interval of the mean."""
    names = [name for name in mine[0] if name != "took"]
    row: Record = {name: float(np.mean([each[name] for each in mine])) for name in names}
    if "planned_moved" in row and len(mine) > 1:
        values = np.array([each["planned_moved"] for each in mine])
        half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(mine))
        row["planned_moved_low"] = row["planned_moved"] - half
        row["planned_moved_high"] = row["planned_moved"] + half
    return row | {"seconds": float(np.median([each["took"] for each in mine]))}


def references() -> list[Record]:
    """The experts; and in the maze the true reward, planned for, and uniform actions."""
    shipped = demonstrations.shipped("cartpole_expert")
    upright = float(rollouts.returns(shipped).mean())
    rows = [{"task": "upright", "method": "the expert", "score": upright, "length": upright}]
    rows.append({"task": "aside", "method": "the expert", **judged("aside", aside_expert)})
    true: Record = {"task": "maze", "method": "the true reward", "starc": 0.0}
    chance: Record = {"task": "maze", "method": "uniform actions"}
    for moved, suffix in ((False, ""), (True, "_moved")):
        world = ground(moved)
        true[f"planned{suffix}"] = planned_worth(world, world.grid.reward)
        uniform = np.full(world.grid.reward.shape, 1.0 / ACTION_CELLS**2)
        chance[f"planned{suffix}"] = worth(world, uniform)
    return [*rows, true, chance]
