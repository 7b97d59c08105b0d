"""What guided cost learning costs: the policy improved a little, or to the end, for each reward.

Three learners get the same 20 demonstrations, the same networks and the same policy steps
(``irl_lib.training.policy_steps``), and differ in the gradient of the reward alone:

- guided: one policy step for each reward step, weights of trajectories, all samples kept
  (``irl_lib.guided_cost``);
- unweighted: one policy step for each reward step, its fresh samples taken at face value;
- nested: ten policy steps for each reward step (five in the pendulum), so that the fresh samples
  need no weights.

Every reward step is the same number of Adam's steps.  All numbers are of the last iteration; none
is the best of a run.  A clone of the demonstrations, which knows no time and no environment, is
beside them.  How good a policy is, is said on a scale on which uniform actions have 0 and the
expert has 1 (both of a thousand episodes, stored with the experts); so is a reward, by its exact
soft-optimal policy on a lattice.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from benchmarks import pendulum_expert
from irl_lib import demonstrations, planning, results, rollouts, worlds
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

METHODS = ("guided", "unweighted", "nested", "cloning")
SEEDS = 5
REWARD_STEPS, REWARD_RATE, L2 = 10, 3e-3, 1e-2
EPISODES = 20  # of a policy step
EVALUATION_SEED, EVALUATED = 3, 200
GOOD = 0.9  # of the way from uniform actions to the expert
SMOOTH = 5  # policy steps over which returns are averaged before they are called good
VERSIONS = {name: version(name) for name in ("stable_baselines3", "gymnasium", "torch")}
COLUMNS = {
    "environment": "environment",
    "method": "method",
    "seeds": "seeds",
    "final": "return of the last policy",
    "final_least": "the least of the seeds",
    "share": "on the scale from uniform actions (0) to the expert (1)",
    "good": f"seeds that reach {GOOD} and stay",
    "steps": "steps until then, median of these",
    "all_steps": "steps in all",
    "planned": "return of the last reward's soft-optimal policy",
    "changed": "the same with the upper way closed",
}


class Setting(NamedTuple):
    """How long a method learns."""

    reward_steps: int
    """Each is ``REWARD_STEPS`` of Adam's."""
    policy_steps: int
    """For each reward step."""
    memory: int | None = None
    """Of how many policies the samples are kept; None for all."""


SETTINGS = {
    ("maze", "guided"): Setting(40, 1),
    ("maze", "unweighted"): Setting(40, 1),
    ("maze", "nested"): Setting(40, 10),
    ("pendulum", "guided"): Setting(100, 1, memory=20),
    ("pendulum", "unweighted"): Setting(100, 1),
    ("pendulum", "nested"): Setting(60, 5),
}


class Problem(NamedTuple):
    """An environment, its demonstrations, and the lattice that tells a good reward."""

    env: Any
    demos: demonstrations.Demonstrations
    centre: Array
    """``(d,)``: the middle of the states, and"""
    scale: Array
    """``(d,)``: their unit, for the reward's network."""
    inputs: Array
    """``(S, A, d + m)``: states followed by actions, at the points of the lattice."""
    lattices: dict[str, tuple[MDP, Array]]
    """MDP and true reward: ``planned`` as it is, ``changed`` in other dynamics."""


def cells() -> list[dict[str, Any]]:
    """One for each method, environment and seed."""
    return [
        {"method": method, "environment": environment, "seed": seed}
        for environment in PROBLEMS
        for method in METHODS
        for seed in range(SEEDS)
    ]


def run_cell(method: str, environment: str, seed: int) -> dict[str, Any]:
    """One run: returns after each policy step, and what the last policy and reward are worth."""
    from irl_lib.networks import one_thread

    problem = PROBLEMS[environment]()
    with one_thread():
        if method == "cloning":
            return cloned(problem, seed)
        learn = guided if method == "guided" else plain
        policy, reward, curve = learn(problem, SETTINGS[environment, method], seed)
        found: dict[str, Any] = {"final": worth(problem.env, policy)}
        found |= {name: planned(problem, name, reward) for name in problem.lattices}
    steps = EPISODES * int(problem.env.spec.max_episode_steps)
    return found | {"steps_per_round": steps, "returns": np.round(curve, 2).tolist()}


# --- the problems -------------------------------------------------------------------------------


def maze_problem() -> Problem:
    """The maze, and the same with the passage above the wall closed."""
    grids = {
        "planned": worlds.maze_grid(worlds.Maze(), 50, 11),
        "changed": worlds.maze_grid(worlds.Maze(walls=((0.4, 0.3, 0.6, 1.0),)), 50, 11),
    }
    grid = grids["planned"]
    return Problem(
        worlds.point_maze(),
        demonstrations.shipped("point_maze_expert"),
        np.array([0.5, 0.5]),
        np.array([0.3, 0.3]),
        joined(grid.states, grid.actions),
        {name: (each.mdp, each.reward) for name, each in grids.items()},
    )


def pendulum_problem() -> Problem:
    """Gymnasium's Pendulum-v1 for 100 steps."""
    grid = pendulum_expert.pendulum_grid(80, 9)
    angle, speed = grid.lattice.points.T
    seen = np.stack([np.cos(angle), np.sin(angle), speed], axis=-1)
    return Problem(
        pendulum_expert.make_env(),
        demonstrations.shipped("pendulum_expert"),
        np.zeros(3),
        np.array([0.7, 0.7, 3.0]),
        joined(seen, grid.actions),
        {"planned": (grid.mdp, grid.reward)},
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {"maze": maze_problem, "pendulum": pendulum_problem}


def joined(states: Array, actions: Array) -> Array:
    """``(S, A, d + m)``: every state with every action."""
    shape = len(states), len(actions)
    parts = (
        np.broadcast_to(states[:, None], (*shape, states.shape[1])),
        np.broadcast_to(actions, (*shape, actions.shape[1])),
    )
    return np.concatenate(parts, axis=-1)


def worth(env: Any, policy: Any) -> float:
    """The mean return that the environment pays."""
    paid = rollouts.returns(rollouts.rollout(env, policy, EVALUATED, EVALUATION_SEED))
    return float(paid.mean())


def planned(problem: Problem, name: str, reward_net: Any) -> float:
    """The true return of the exact soft-optimal policy for a learned reward."""
    import torch

    mdp, truth = problem.lattices[name]
    with torch.no_grad():
        table = reward_net(torch.from_numpy(problem.inputs).float()).double().numpy()
    policy = planning.soft_value_iteration(mdp, table).policy
    return float(mdp.initial @ planning.policy_value(mdp, policy, truth)[0])


# --- the methods --------------------------------------------------------------------------------


def new_reward(problem: Problem, seed: int) -> Any:
    """What every method starts from: a network of the state, minus a price times |a|^2."""
    import torch

    from irl_lib.networks import RewardNet

    class Preference(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            unit = {"centre": problem.centre, "scale": problem.scale}
            self.n_inputs = problem.inputs.shape[-1]
            self.of_state = RewardNet(len(problem.centre), seed, **unit)
            self.effort = torch.nn.Parameter(torch.zeros(()))

        def forward(self, inputs: Any) -> Any:
            d = self.of_state.n_inputs
            state, action = inputs[..., :d], inputs[..., d:]
            return self.of_state(state) - self.effort * (action**2).sum(dim=-1)

    return Preference()


def guided(problem: Problem, setting: Setting, seed: int) -> tuple[Any, Any, list[float]]:
    """Guided cost learning; the last policy, the reward, and a return for each policy step."""
    from irl_lib.guided_cost import guided_cost_learning

    result = guided_cost_learning(
        problem.env,
        problem.demos,
        seed=seed,
        reward_net=new_reward(problem, seed),
        max_iterations=setting.reward_steps,
        episodes=EPISODES,
        memory=setting.memory,
        reward_steps=REWARD_STEPS,
        learning_rate=REWARD_RATE,
        l2=L2,
        min_effective_share=0.0,  # nobody is there to read a warning; the table says how it ended
    )
    return result.policy, result.reward, result.history["environment_return"].tolist()


def plain(problem: Problem, setting: Setting, seed: int) -> tuple[Any, Any, list[float]]:
    """The gradient from fresh samples, as they are, after so many policy steps for each reward."""
    import torch

    from irl_lib.training.episodes import of_expert, of_one_length, reward_inputs
    from irl_lib.training.policy_steps import SoftActor
    from irl_lib.training.timed_policies import Units

    reward, env, horizon = (
        new_reward(problem, seed),
        problem.env,
        problem.env.spec.max_episode_steps,
    )
    optimiser = torch.optim.Adam(reward.parameters(), lr=REWARD_RATE)
    expert = of_expert(env, problem.demos, horizon)
    actor = SoftActor(Units.around(expert.before, env.action_space, horizon), seed)
    rng, shown, curve = np.random.default_rng(seed), reward_inputs(reward, expert), []
    for number in range(setting.reward_steps * setting.policy_steps):
        samples = rollouts.rollout(env, actor.policy(), EPISODES, 1_000_000 * seed + number)
        curve.append(float(rollouts.returns(samples).mean()))
        fresh = of_one_length("the policy's", samples, horizon)
        inputs = reward_inputs(reward, fresh)
        if (number + 1) % setting.policy_steps == 0:
            step_reward(reward, optimiser, shown, inputs)
        with torch.no_grad():
            rewards = reward(inputs).double().numpy()
        actor.improve(fresh.states, fresh.actions, rewards, rng)
    return actor.policy(), reward, curve


def step_reward(reward: Any, optimiser: Any, shown: Any, fresh: Any) -> None:
    """Guided cost learning's loss with the weight 1 for each sample: their density is exp r."""
    from irl_lib.guided_cost import reward_loss
    from irl_lib.networks import l2_penalty

    for _ in range(REWARD_STEPS):
        of_samples, of_demos = (reward(x).double().sum(dim=1) for x in (fresh, shown))
        loss = reward_loss(of_demos, of_samples, of_samples.detach())
        optimiser.zero_grad()
        (loss + l2_penalty(reward, L2)).backward()
        optimiser.step()


def cloned(problem: Problem, seed: int) -> dict[str, Any]:
    """Behaviour cloning with its default settings, and a Gaussian of learned width."""
    import warnings

    from irl_lib.behavior_cloning import clone_network

    with warnings.catch_warnings(record=True):  # a fixed budget: it may say it isn't done
        warnings.simplefilter("always")
        copy = clone_network(problem.env, problem.demos, seed=seed, l2=L2).policy
    low, high = problem.env.action_space.low, problem.env.action_space.high
    return {"final": worth(problem.env, lambda seen, rng: np.clip(copy.act(seen, rng), low, high))}


# --- the table ----------------------------------------------------------------------------------


def summary(finished: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each method and environment, all seeds in it, and one for each expert."""
    rows = []
    for environment in PROBLEMS:
        reference = reference_of(environment)
        for method in METHODS:
            mine = [
                result
                for cell, result in finished
                if (cell["method"], cell["environment"]) == (method, environment)
            ]
            if mine:
                rows.append({"environment": environment, "method": method, **row(mine, reference)})
        rows.append(
            {
                "environment": environment,
                "method": "the expert",
                "final": reference["mean_return"],
                "share": 1.0,
                "planned": reference["planned_return"],
            }
        )
    return rows


def reference_of(environment: str) -> dict[str, Any]:
    """What the expert and uniform actions are paid."""
    names = {"maze": "point_maze_expert", "pendulum": "pendulum_expert"}
    return results.load(names[environment]).rows[-1]


def row(mine: list[dict[str, Any]], reference: dict[str, Any]) -> dict[str, Any]:
    """What all seeds of a method came to."""
    chance, expert = reference["random_return"], reference["mean_return"]
    final = np.array([each["final"] for each in mine])
    values: dict[str, Any] = {
        "seeds": len(mine),
        "final": float(final.mean()),
        "final_least": float(final.min()),
        "share": float((final.mean() - chance) / (expert - chance)),
    }
    if "returns" in mine[0]:
        line = chance + GOOD * (expert - chance)
        first = [steps_until_good(each["returns"], line) for each in mine]
        reached = [n * r["steps_per_round"] for n, r in zip(first, mine, strict=True) if n]
        values["good"] = len(reached)
        if reached:
            values["steps"] = float(np.median(reached))
        values["all_steps"] = len(mine[0]["returns"]) * mine[0]["steps_per_round"]
    for name in ("planned", "changed"):
        if name in mine[0]:
            values[name] = float(np.mean([each[name] for each in mine]))
    return values


def steps_until_good(returns: list[float], line: float) -> int | None:
    """After how many policy steps the running mean is above the line and stays there."""
    window = np.ones(SMOOTH) / SMOOTH
    smooth = np.convolve(returns, window, mode="valid")
    below = np.flatnonzero(smooth < line)
    first = int(below[-1]) + 1 if below.size else 0
    return None if first >= len(smooth) else first + SMOOTH
