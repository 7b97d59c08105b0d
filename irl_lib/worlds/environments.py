"""Environments of our own for Gymnasium; importing this module registers them.

``import irl_lib`` doesn't import Gymnasium, but where that has been imported before, it registers
them, too.  In any order there are :func:`irl_lib.worlds.point_maze` and Gymnasium's own
``gymnasium.make("irl_lib.worlds.environments:irl_lib/PointMaze-v0")``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numpy.typing import NDArray

from irl_lib.support.checks import check_count, check_real, check_type
from irl_lib.worlds.mazes import HORIZON, NAME, Maze

CARTPOLE = "irl_lib/CartPole-v1"
Vector = NDArray[np.float32]


class PointMazeEnv(gymnasium.Env[Vector, Vector]):
    """The maze without a limit of steps; what it takes are the fields of
    :class:`irl_lib.worlds.Maze`.

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
        along, up = (self._allowed(float(each)) for each in action)
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


def point_maze(max_steps: int = HORIZON, maze: Maze | None = None, **changes: Any) -> Any:
    """The maze as a Gymnasium environment; it is truncated at ``max_steps`` and never terminates.

    Observations are the place ``(2,)`` in the unit square, actions ``(2,)`` in [-1, 1].

    Args:
        max_steps: T.
        maze: where everything is; default: ``Maze()``.
        changes: what is different from it, such as ``walls=()`` or ``puddle_cost=0.0``.

    Returns:
        A ``gymnasium.Env`` whose ``spec.id`` is ``"irl_lib/PointMaze-v0"``, whose ``spec.kwargs``
        say how to make it again, and whose ``unwrapped.maze`` is the :class:`Maze`.

    Raises:
        ValueError: naming a bad argument.
        ImportError: when gymnasium is missing.

    Example:
        >>> env = point_maze(max_steps=40)
        >>> env.spec.id, env.spec.max_episode_steps
        ('irl_lib/PointMaze-v0', 40)
    """
    if maze is not None:
        check_type("maze", maze, Maze)
    settings = ({} if maze is None else asdict(maze)) | changes
    unknown = sorted(set(settings) - set(Maze.__dataclass_fields__))
    if unknown:
        raise ValueError(
            f"changes has {', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(Maze.__dataclass_fields__)}"
        )
    Maze(**settings)  # a bad setting is refused here, rather than inside of Gymnasium
    steps = check_count("max_steps", max_steps)
    return gymnasium.make(NAME, max_episode_steps=steps, disable_env_checker=True, **settings)


def cartpole(
    pole_length: float = 0.5,
    gravity: float = 9.8,
    force: float = 10.0,
    max_steps: int = 500,
    render_mode: str | None = None,
) -> Any:
    """Gymnasium's CartPole-v1; with the default values it is that, step by step.

    Args:
        pole_length: half of the pole's length in metres, which is what Gymnasium's ``length`` is:
            the distance from the hinge to the centre of the pole.  The pole weighs 0.1 kg whatever
            its length.
        gravity: in metres per second squared.
        force: of a push, in newton.
        max_steps: the episode is truncated then.
        render_mode: as Gymnasium takes it.

    Returns:
        A ``gymnasium.Env`` whose ``spec.id`` is ``"irl_lib/CartPole-v1"`` and whose ``spec.kwargs``
        are the physics.

    Raises:
        ValueError: when a number is not finite and above zero.
        ImportError: when gymnasium is missing.
    """
    physics = {
        "pole_length": check_real("pole_length", pole_length, 0.0, open_end=True),
        "gravity": check_real("gravity", gravity, 0.0, open_end=True),
        "force": check_real("force", force, 0.0, open_end=True),
    }
    if render_mode is not None and not isinstance(render_mode, str):
        raise ValueError(f"render_mode is {render_mode!r}; expected a text, or None")
    spec = gymnasium.envs.registration.EnvSpec(
        id=CARTPOLE,
        entry_point="irl_lib.worlds.environments:unlimited",
        reward_threshold=475.0,
        max_episode_steps=check_count("max_steps", max_steps),
        kwargs=physics,
    )
    return gymnasium.make(spec, render_mode=render_mode, disable_env_checker=True)


def unlimited(
    pole_length: float, gravity: float, force: float, render_mode: str | None = None
) -> Any:
    """The same without a limit of steps; Gymnasium calls this."""
    env = CartPoleEnv(render_mode=render_mode)
    env.length = pole_length
    env.gravity = gravity
    env.force_mag = force
    env.polemass_length = env.masspole * env.length  # computed once, when it was made
    return env
