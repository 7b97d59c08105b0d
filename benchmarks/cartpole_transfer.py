"""CartPole with changed physics: cloned policies against a recovered reward, planned for anew.

The experiment of chapter 1 over more values, several cloned networks and more episodes.  Both sides
learn from the twenty shipped episodes of the usual physics; both act in Gymnasium's simulator.  The
reward is planned for in a model of the changed physics on a grid, once with pushes that are held
for four steps of the simulator, as in the model that it was learned in, and once with single steps.
Beside it stands a reward that was written by hand, minus one for having fallen, planned for alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.running.harness import Row
from irl_lib import behavior_cloning, demonstrations, max_ent, planning, rollouts, worlds
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

VERSIONS = {name: version(name) for name in ("gymnasium", "torch")}
COLUMNS = {
    "changed": "changed",
    "value": "to",
    "copy": "copy: mean steps",
    "worst_copy": "worst copy: mean steps",
    "reward": "reward, pushes of 80 ms: mean steps",
    "by_hand": "don't fall, by hand, pushes of 80 ms: mean steps",
    "reward_fine": "reward, pushes of 20 ms: mean steps",
    "by_hand_fine": "don't fall, by hand, pushes of 20 ms: mean steps",
}
USUAL = {"pole_length": 0.5, "gravity": 9.8, "force": 10.0}
SWEEPS = {
    "pole_length": (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0),
    "gravity": (2.0, 5.0, 20.0, 40.0),
    "force": (2.0, 5.0, 20.0, 40.0),
}
REACH = (2.4, 3.0, np.pi / 15, 3.0)  # metres, metres per second, radians, radians per second
UNIT = np.array([2.4, 2.0, 0.21, 2.0])  # of the features
DECISIONS, HOLD, SECONDS = 25, 4, 12  # of the model; steps of a push; planned ahead
APART = 99  # steps between the starts; odd, as the expert's pushes alternate
SEED = 5  # of the episodes
Policy = Callable[[Any, np.random.Generator], Any]


def run(
    sweeps: Mapping[str, Sequence[float]] = SWEEPS,
    episodes: int = 30,
    networks: int = 3,
    sizes: tuple[int, int, int, int] = (9, 9, 13, 13),
    iterations: int = 60,
) -> list[Row]:
    """One row for each changed value: how long each side balances, of 500 steps."""
    demos = demonstrations.shipped("cartpole_expert")
    copies = [copy_of(demos, seed, iterations) for seed in range(networks)]
    grid = Grid(sizes)
    rewards = {"reward": recovered(grid, demos), "by_hand": by_hand(grid)}
    rows = []
    for name, values in sweeps.items():
        for value in values:
            physics = USUAL | {name: value}
            lengths = [balanced(copy, episodes, physics) for copy in copies]
            row: Row = {"changed": name.replace("_", " "), "value": value}
            row |= {"copy": float(np.mean(lengths)), "worst_copy": min(lengths)}
            for (which, reward), hold in itertools.product(rewards.items(), (HOLD, 1)):
                key = which if hold == HOLD else f"{which}_fine"
                policy = planned(grid, reward, hold, physics)
                row[key] = balanced(policy, episodes, physics)
            rows.append(row)
    return rows


def copy_of(demos: demonstrations.Demonstrations, seed: int, iterations: int) -> Policy:
    """A cloned network, acting greedily."""
    found = behavior_cloning.clone_network(
        worlds.cartpole(), demos, seed=seed, max_iterations=iterations
    )
    return lambda observation, _: found.policy.act(observation)


def balanced(policy: Policy, episodes: int, physics: Mapping[str, float]) -> float:
    """Mean number of steps of an episode."""
    env = worlds.cartpole(**physics)
    return float(rollouts.returns(rollouts.rollout(env, policy, episodes, SEED)).mean())


def pushed(state: Array, push: float, pole_length: float, gravity: float) -> Array:
    """States ``(N, 4)`` after 20 ms of a push in newton: Gymnasium's equations, Euler's rule."""
    _, speed, angle, spin = state.T
    pole, both = 0.1, 1.1  # kg
    h = (push + pole * pole_length * spin**2 * np.sin(angle)) / both
    inertia = pole_length * (4 / 3 - pole * np.cos(angle) ** 2 / both)
    turn = (gravity * np.sin(angle) - h * np.cos(angle)) / inertia
    faster = h - pole * pole_length * turn * np.cos(angle) / both
    return state + 0.02 * np.stack([speed, faster, spin, turn], axis=1)


def fallen(state: Array) -> Any:
    """``(N,)``: which episodes are over."""
    return (np.abs(state[:, 0]) > 2.4) | (np.abs(state[:, 2]) > np.pi / 15)


class Grid:
    """Points in four dimensions, denser in the middle; one more state for having fallen."""

    def __init__(self, sizes: tuple[int, int, int, int]) -> None:
        bends = [np.sinh(4.0 * np.linspace(-1.0, 1.0, n)) / np.sinh(4.0) for n in sizes]
        self.ticks = [limit * bend for limit, bend in zip(REACH, bends, strict=True)]
        self.points = np.array(list(itertools.product(*self.ticks)))
        self.down = len(self.points)

    def corners(self, states: Array) -> tuple[Any, Array]:
        """``(N, 16)``: the points around each state, and their shares in it."""
        number, share = np.zeros((len(states), 1), dtype=int), np.ones((len(states), 1))
        for values, axis in zip(states.T, self.ticks, strict=True):
            at = np.interp(values, axis, np.arange(len(axis)))[:, None]
            low = np.minimum(at.astype(int), len(axis) - 2)
            number = number * len(axis) + low
            number = np.hstack([number, number + 1])
            share = np.hstack([share * (1.0 - (at - low)), share * (at - low)])
        return number, share

    def mdp(self, start: Array, steps: int, hold: int, physics: Mapping[str, float]) -> MDP:
        """The cart on the grid; the push is held for some steps of the simulator."""
        force = physics["force"]
        parts = [self._transitions(push, hold, physics) for push in (-force, force)]
        return MDP(parts, start, horizon=steps // hold)

    def _transitions(self, push: float, hold: int, physics: Mapping[str, float]) -> Any:
        after, down = self.points, np.zeros(self.down, dtype=bool)
        for _ in range(hold):
            moved = pushed(after, push, physics["pole_length"], physics["gravity"])
            after = np.where(down[:, None], after, moved)
            down = down | fallen(after)
        number, share = self.corners(after)
        columns, weight = np.full((2, self.down + 1, 16), [[[self.down]], [[1 / 16]]])
        columns[:-1], weight[:-1] = np.where(down[:, None], self.down, number), share
        rows = np.repeat(np.arange(self.down + 1), 16)
        shape = (self.down + 1, self.down + 1)
        return sparse.coo_array(
            (weight.ravel(), (rows, columns.ravel().astype(int))), shape=shape
        ).tocsr()


def counted(grid: Grid) -> Array:
    """``(S, 5)``: the squares of the four variables, and having fallen."""
    features = np.zeros((grid.down + 1, 5))
    features[:-1, :4], features[-1, 4] = (grid.points / UNIT) ** 2, 1.0
    return features


def recovered(grid: Grid, demos: demonstrations.Demonstrations) -> Array:
    """``(S, 2)``: the reward that maximum entropy finds, linear in squares and in falling.

    The expert is beyond what the model can reach, so that only a direction is found.
    """
    seen = np.concatenate([states[:-1] for states in demos.states])
    number, share = grid.corners(seen[::APART])
    start = np.bincount(number.ravel(), share.ravel(), grid.down + 1) / len(number)
    shown = np.append(((seen / UNIT) ** 2).mean(axis=0) * DECISIONS, 0.0)
    mdp = grid.mdp(start, DECISIONS * HOLD, HOLD, USUAL)
    return max_ent.max_ent(mdp, counted(grid), shown, l2=0.1).reward


def by_hand(grid: Grid) -> Array:
    """``(S, 2)``: minus one for having fallen."""
    return np.repeat(-counted(grid)[:, 4:], 2, axis=1)


def planned(grid: Grid, reward: Array, hold: int, physics: Mapping[str, float]) -> Policy:
    """The best policy for a reward in the changed physics, read off between the points."""
    start = np.full(grid.down + 1, 1.0 / (grid.down + 1))  # planning doesn't look at it
    mdp = grid.mdp(start, SECONDS * 50, hold, physics)
    q = planning.value_iteration(mdp, reward).q[0]

    def act(observation: Any, _: np.random.Generator) -> int:
        number, share = grid.corners(np.asarray(observation)[None])
        return int((share[0] @ q[number[0]]).argmax())

    return act
