"""The expert of Pendulum-v1: the exact soft-optimal policy of 100 steps, and its demonstrations.

As for the maze (``point_maze_expert``), nothing is trained: angle and speed are two numbers, and
planning on a lattice solves the problem.  Upright is an unstable balance, which a lattice blurs:
its own value is lower than what its policy is paid in the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from benchmarks import point_maze_expert
from benchmarks.point_maze_expert import Expert
from benchmarks.running.harness import ROOT, Row
from irl_lib import worlds
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

PATH = ROOT / "irl_lib" / "data" / "pendulum_expert.npz"
HORIZON, CELLS, ACTION_CELLS = 100, 160, 15
SPEED, TORQUE, SECONDS = 8.0, 2.0, 0.05  # Gymnasium's bounds and time step
VERSIONS = point_maze_expert.VERSIONS
COLUMNS = point_maze_expert.COLUMNS


class PendulumGrid(NamedTuple):
    """The pendulum on a lattice of angles and speeds."""

    lattice: worlds.Lattice
    mdp: MDP
    actions: Array
    """``(A, 1)``: torques."""
    reward: Array
    """``(S, A)``."""


def make_env() -> Any:
    """Gymnasium's Pendulum-v1, for half its usual time."""
    return gymnasium.make("Pendulum-v1", max_episode_steps=HORIZON)


def pendulum_grid(cells: int, action_cells: int) -> PendulumGrid:
    """Gymnasium's equations of motion, from each point of the lattice."""
    lattice = worlds.Lattice([-np.pi, -SPEED], [np.pi, SPEED], [cells, cells], [True, False])
    angle, speed = lattice.points[:, :1], lattice.points[:, 1:]
    torque = TORQUE * ((2.0 * np.arange(action_cells) + 1.0) / action_cells - 1.0)
    faster = speed + (15.0 * np.sin(angle) + 3.0 * torque) * SECONDS
    after = np.clip(faster, -SPEED, SPEED)
    targets = np.stack([angle + after * SECONDS, after], axis=-1)
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
    share = (2.0 * np.arange(32) + 1.0) / 32.0 - 1.0
    starts = np.stack(np.meshgrid(np.pi * share, share), axis=-1).reshape(-1, 2)
    return PendulumGrid(lattice, lattice.mdp(targets, starts, HORIZON), torque[:, None], reward)


def expert(cells: int = CELLS, action_cells: int = ACTION_CELLS) -> Expert:
    """The soft-optimal policy."""
    grid = pendulum_grid(cells, action_cells)

    def make(q: Array) -> worlds.LatticePolicy:
        width = [2.0 * TORQUE / action_cells]
        return worlds.LatticePolicy(grid.lattice, q, grid.actions, width, angle_and_speed)

    return point_maze_expert.solve(grid.mdp, grid.reward, make)


def angle_and_speed(observation: Array) -> Array:
    """The state ``(2,)`` of an observation ``(3,)``: cosine and sine of the angle, speed."""
    return np.array([np.arctan2(observation[1], observation[0]), observation[2]])


def run(
    cells: int = CELLS,
    action_cells: int = ACTION_CELLS,
    episodes: int = 1_000,
    demonstrations: int = 20,
    path: Path = PATH,
) -> list[Row]:
    """Plan on a lattice and on one half as fine, measure, store the demonstrations."""
    solutions = {f"{n} x {n}": expert(n, action_cells) for n in (cells // 2, cells)}
    return point_maze_expert.rows_of(
        make_env(), solutions, action_cells, path, episodes, demonstrations
    )
