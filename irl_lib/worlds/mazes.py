r"""A point that walks around obstacles to a goal: continuous states and actions, in a few lines.

The point lives in the unit square.  An action :math:`a \in [-1, 1]^2` moves it by ``stride`` times
:math:`a`, first along x and then along y; a wall or the border stops what is left of a move.  Given
state and action nothing is left to chance, so that the probability of a trajectory is that of its
start times that of its actions.  The reward is

.. math::
    r(s, a) = -c_d \left(\sqrt{\|s - g\|^2 + \epsilon^2} - \epsilon\right)
              - c_p \exp\left(-\tfrac12 \|s - m\|^2 / \sigma^2\right) - c_a \|a\|^2,

for a goal :math:`g` and a puddle around :math:`m`.  The puddle, unlike a wall, can be walked
through: that it is to be avoided is in the reward alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.mdp import MDP
from irl_lib.support.checks import (
    Array,
    as_array,
    check_array,
    check_count,
    check_numbers,
    check_real,
    check_type,
)
from irl_lib.worlds.lattice import Lattice

NAME = "irl_lib/PointMaze-v0"
HORIZON = 30
MOST_CELLS = 10_000  # per side of a lattice
TOUCH = 1e-6  # more than the rounding of a place to 32 bits
ROUNDED = 0.1  # the distance to the goal, within which the reward is round rather than pointed


@dataclass(frozen=True)
class Maze:
    """Where everything is, and what it costs: the physics and the reward of a maze.

    Raises:
        ValueError: naming a bad argument.

    Example:
        >>> maze = Maze()
        >>> maze.move(0.35, 0.5, 1.0, 0.5)  # a wall begins at x = 0.4
        (0.4, 0.55)
    """

    walls: tuple[tuple[float, float, float, float], ...] = ((0.4, 0.3, 0.6, 0.7),)
    """Rectangles (left, bottom, right, top).  Between two that touch one can squeeze through."""
    goal: tuple[float, float] = (0.85, 0.45)
    start: tuple[float, float] = (0.15, 0.45)
    start_spread: float = 0.08
    """The start is uniform in a square of this half-width around ``start``."""
    puddle: tuple[float, float] = (0.5, 0.15)
    puddle_radius: float = 0.12
    """Its standard deviation."""
    puddle_cost: float = 3.0
    distance_cost: float = 3.0
    action_cost: float = 1.0
    stride: float = 0.1

    def __post_init__(self) -> None:
        for name in ("puddle_radius", "stride"):
            self._set(name, check_real(name, getattr(self, name), 0.0, open_end=True))
        for name in ("start_spread", "puddle_cost", "distance_cost", "action_cost"):
            self._set(name, check_real(name, getattr(self, name), 0.0))
        for name in ("goal", "start", "puddle"):
            self._set(name, _place(name, getattr(self, name)))
        if isinstance(self.walls, str) or not np.iterable(as_array("walls", self.walls)):
            raise ValueError(f"walls is {self.walls!r}; expected a sequence of rectangles")
        self._set("walls", tuple(_wall(i, w, self.stride) for i, w in enumerate(self.walls)))
        for name in ("goal", "start"):
            if self.inside_wall(getattr(self, name)).any():
                raise ValueError(f"{name} is {getattr(self, name)}, inside a wall")
        low, high = self.start_box
        for left, bottom, right, top in self.walls:
            if low[0] < right and high[0] > left and low[1] < top and high[1] > bottom:
                raise ValueError(
                    f"start_spread is {self.start_spread}: the places to start from, {low} to "
                    f"{high}, reach into the wall {(left, bottom, right, top)}"
                )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the one way to fill a frozen dataclass

    @property
    def start_box(self) -> tuple[Array, Array]:
        """The lower left and the upper right corner of where episodes start."""
        centre = np.array(self.start)
        low = np.clip(centre - self.start_spread, 0.0, 1.0)
        return low, np.clip(centre + self.start_spread, 0.0, 1.0)

    @cached_property
    def solid(self) -> tuple[tuple[float, ...], ...]:
        """The walls as they are felt, a hair's breadth smaller, so that who stands at a wall stays
        outside of it when the place is rounded, and on beyond the border, so that nobody slips by.
        """
        return tuple(
            (
                left + TOUCH if left > 0.0 else -1.0,
                bottom + TOUCH if bottom > 0.0 else -1.0,
                right - TOUCH if right < 1.0 else 2.0,
                top - TOUCH if top < 1.0 else 2.0,
            )
            for left, bottom, right, top in self.walls
        )

    def move(self, x: float, y: float, along: float, up: float) -> tuple[float, float]:
        """Where an action ``(along, up)`` in [-1, 1] leads: plain numbers, for speed."""
        to = min(max(x + self.stride * along, 0.0), 1.0)
        for left, bottom, right, top in self.solid:
            if bottom < y < top and left < to < right:
                to = left - TOUCH if x < 0.5 * (left + right) else right + TOUCH
        x, to = to, min(max(y + self.stride * up, 0.0), 1.0)
        for left, bottom, right, top in self.solid:
            if left < x < right and bottom < to < top:
                to = bottom - TOUCH if y < 0.5 * (bottom + top) else top + TOUCH
        return x, to

    def moves(self, states: ArrayLike, actions: ArrayLike) -> Array:
        """``(..., 2)``: where actions ``(..., 2)`` lead from states ``(..., 2)``; as :meth:`move`.

        Raises:
            ValueError: for entries that are no finite numbers, or other than two coordinates.
        """
        before, action = _pairs("states", states), _pairs("actions", actions)
        before, action = np.broadcast_arrays(before, action)
        after = np.array(before)
        for i in (0, 1):
            other = after[..., 1 - i]
            to = np.clip(after[..., i] + self.stride * action[..., i], 0.0, 1.0)
            for wall in self.solid:
                low, high = wall[i], wall[i + 2]
                met = (wall[1 - i] < other) & (other < wall[3 - i]) & (low < to) & (to < high)
                near = np.where(before[..., i] < 0.5 * (low + high), low - TOUCH, high + TOUCH)
                to = np.where(met, near, to)
            after[..., i] = to
        return after

    def paid(self, x: Any, y: Any, along: Any, up: Any, functions: Any = math) -> Any:
        """The reward of one action in one state: plain numbers, for speed; or arrays, where
        ``functions`` is numpy.
        """
        square = (x - self.goal[0]) ** 2 + (y - self.goal[1]) ** 2
        away = functions.sqrt(square + ROUNDED**2) - ROUNDED
        deep = (x - self.puddle[0]) ** 2 + (y - self.puddle[1]) ** 2
        wet = functions.exp(-0.5 * deep / self.puddle_radius**2)
        effort = along**2 + up**2
        return -self.distance_cost * away - self.puddle_cost * wet - self.action_cost * effort

    def reward(self, states: ArrayLike, actions: ArrayLike = (0.0, 0.0)) -> Array:
        """``(...)``: the rewards of actions ``(..., 2)`` in states ``(..., 2)``; as :meth:`paid`.

        Raises:
            ValueError: for entries that are no finite numbers, or other than two coordinates.
        """
        x, y = np.moveaxis(_pairs("states", states), -1, 0)
        along, up = np.moveaxis(_pairs("actions", actions), -1, 0)
        return np.asarray(self.paid(x, y, along, up, np))

    def inside_wall(self, states: ArrayLike) -> Any:
        """``(...)``: which of the states ``(..., 2)`` lie inside a wall, where nobody can be."""
        x, y = np.moveaxis(_pairs("states", states), -1, 0)
        inside = np.zeros(np.shape(x), dtype=bool)
        for left, bottom, right, top in self.solid:
            inside |= (left < x) & (x < right) & (bottom < y) & (y < top)
        return inside


class MazeGrid(NamedTuple):
    """A maze with its states and its actions on lattices, for exact planning."""

    lattice: Lattice
    mdp: MDP
    states: Array
    """``(S, 2)``: the points, those inside walls included, which are never reached."""
    actions: Array
    """``(A, 2)``: the middles of equal cells of the square of actions."""
    reward: Array
    """``(S, A)``: the true one."""


def maze_grid(
    maze: Maze, cells: int = 50, action_cells: int = 15, horizon: int = HORIZON
) -> MazeGrid:
    """The maze as an MDP: the points of a lattice, and an action for each cell of another.

    Where the walls' edges are lines of the lattice, no interpolation reaches through a wall.

    Args:
        maze: where everything is.
        cells: intervals per side of the square of states.
        action_cells: per side of the square of actions.
        horizon: T.

    Raises:
        ValueError: naming a bad argument.

    Example:
        >>> from irl_lib import planning
        >>> grid = maze_grid(Maze(), cells=20, action_cells=5)
        >>> plan = planning.soft_value_iteration(grid.mdp, grid.reward)
        >>> plan.policy.shape
        (30, 441, 25)
    """
    check_type("maze", maze, Maze)
    n = check_count("cells", cells, most=MOST_CELLS)
    k = check_count("action_cells", action_cells, most=MOST_CELLS)
    lattice = Lattice([0.0, 0.0], [1.0, 1.0], [n, n])
    line = (2.0 * np.arange(k) + 1.0) / k - 1.0
    actions = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    states = lattice.points
    targets = maze.moves(states[:, None], actions)
    low, high = maze.start_box
    share = (2.0 * np.arange(16) + 1.0) / 32.0
    starts = low + (high - low) * np.stack(np.meshgrid(share, share), axis=-1).reshape(-1, 2)
    mdp = lattice.mdp(targets, starts, check_count("horizon", horizon))
    return MazeGrid(lattice, mdp, states, actions, maze.reward(states[:, None], actions))


def _pairs(name: str, value: ArrayLike) -> Array:
    array = check_numbers(name, value)
    if array.ndim < 1 or array.shape[-1] != 2:
        raise ValueError(f"{name} has shape {array.shape}; expected (..., 2)")
    return check_array(name, array, array.shape)


def _place(name: str, value: Any) -> tuple[float, float]:
    x, y = check_array(name, value, (2,)).tolist()
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
        raise ValueError(f"{name} is {(x, y)}; expected a place in the unit square")
    return x, y


def _wall(i: int, wall: Sequence[float], stride: float) -> tuple[float, float, float, float]:
    left, bottom, right, top = check_array(f"walls[{i}]", wall, (4,)).tolist()
    if not (0.0 <= left < right <= 1.0 and 0.0 <= bottom < top <= 1.0):
        raise ValueError(
            f"walls[{i}] is {(left, bottom, right, top)}; expected left, bottom, right, top of a "
            "rectangle in the unit square"
        )
    if min(right - left, top - bottom) <= stride:
        raise ValueError(
            f"walls[{i}] is no thicker than a stride of {stride:g}: the point could jump over it"
        )
    return left, bottom, right, top
