"""Environments of our own for Gymnasium; importing this module registers them.

``import irl_lib`` doesn't import Gymnasium, but where that has been imported before, it registers
them, too.  In any order there are :func:`irl_lib.worlds.point_maze` and Gymnasium's own
``gymnasium.make("irl_lib.worlds.environments:irl_lib/PointMaze-v0")``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.worlds.point_maze import HORIZON, NAME, Maze

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError('worlds.environments needs gymnasium: pip install "irl_lib[gym]"') from error

Vector = NDArray[np.float32]


class PointMazeEnv(gymnasium.Env[Vector, Vector]):
    """The maze without a limit of steps; what it takes are the fields of
    :class:`irl_lib.worlds.point_maze.Maze`.

    Raises:
        ValueError: naming a bad argument; and of ``step``, for an action that is not two finite
            numbers.  Those beyond [-1, 1] count as the nearest inside.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode is {render_mode!r}; there is none: draw it yourself")
        self.maze = Maze(**settings)
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.place = self.maze.start

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """A place to start from, uniform around ``start``; ``options={"place": (x, y)}`` sets it.

        Raises:
            ValueError: for a place inside a wall or outside the square, or for other options.
        """
        if options and set(options) != {"place"}:
            raise ValueError(f"options is {options!r}; expected {{'place': (x, y)}}")
        super().reset(seed=seed)
        low, high = self.maze.start_box
        x, y = self.np_random.uniform(low, high).tolist()
        if options and "place" in options:
            x, y = self._free(options["place"])
        self.place = x, y
        return self._seen(), {}

    def step(
        self, action: Sequence[float] | Vector
    ) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Move; the reward is that of the place before the move."""
        if np.shape(action) != (2,):
            raise ValueError(f"action is {action!r}; expected two numbers")
        along, up = (float(each) for each in action)
        if not (abs(along) <= 1.0 and abs(up) <= 1.0):
            along, up = self._allowed(along), self._allowed(up)
        paid = self.maze.paid(*self.place, along, up)
        self.place = self.maze.move(*self.place, along, up)
        return self._seen(), paid, False, False, {}

    def _seen(self) -> Vector:
        return np.array(self.place, dtype=np.float32)

    def _free(self, place: Any) -> tuple[float, float]:
        try:
            return replace(self.maze, start=place, start_spread=0.0).start
        except ValueError as error:
            raise ValueError(f"options['place']: {error}") from error

    @staticmethod
    def _allowed(number: float) -> float:
        if not math.isfinite(number):
            raise ValueError(f"action has the entry {number}; expected numbers in [-1, 1]")
        return min(max(number, -1.0), 1.0)


if NAME not in gymnasium.registry:
    gymnasium.register(
        NAME, entry_point="irl_lib.worlds.environments:PointMazeEnv", max_episode_steps=HORIZON
    )
