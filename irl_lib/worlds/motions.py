"""How the states of n copies of a world move in one step: its equations, on columns of an array.

Each is written like Gymnasium's (or our) single environment, with its constants and its order of
operations, so that a copy's state is the same to the last bit.  Nothing is checked here, and
nothing is known of episodes: :mod:`irl_lib.worlds.batches` does both.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from irl_lib.support.checks import Array
from irl_lib.worlds.mazes import Maze

Flags = NDArray[np.bool_]
Seen = NDArray[np.float32]


class Moved(NamedTuple):
    """What one step of n copies came to."""

    states: Array
    """``(k, n)``: k numbers of each copy."""
    rewards: Array
    """``(n,)``."""
    terminated: NDArray[np.bool_]
    """``(n,)``."""


class Motion(Protocol):
    """What a world is made of."""

    size: int
    """k, the numbers of a state."""

    def start(self, rng: np.random.Generator) -> NDArray[Any]:
        """``(k,)``: a state to begin with, drawn as the single environment draws it."""

    def step(self, states: Array, actions: NDArray[Any]) -> Moved:
        """From states ``(k, n)``, by actions ``(n,)`` or ``(n, m)``."""

    def seen(self, states: NDArray[Any]) -> Seen:
        """``(n, d)``: the observations of states ``(k, n)``."""


class CartPole:
    """A state is position, speed, angle and angular speed.

    Args:
        env: a single environment, whose physics all copies have.
    """

    size = 4

    def __init__(self, env: Any) -> None:
        self.env = env
        self.forces = np.array([-env.force_mag, env.force_mag])

    def start(self, rng: np.random.Generator) -> Array:
        """Near the middle, upright and at rest."""
        return rng.uniform(low=-0.05, high=0.05, size=(4,))

    def step(self, states: Array, actions: NDArray[Any]) -> Moved:
        """One explicit Euler step; each pays 1."""
        env = self.env
        _, speed, angle, turning = states
        cos, sin = np.cos(angle), np.sin(angle)
        push = self.forces[actions] + env.polemass_length * np.square(turning) * sin
        push /= env.total_mass
        angular = (env.gravity * sin - cos * push) / (
            env.length * (4.0 / 3.0 - env.masspole * np.square(cos) / env.total_mass)
        )
        linear = push - env.polemass_length * angular * cos / env.total_mass
        after = states + env.tau * np.stack([speed, linear, turning, angular])
        fallen = np.abs(after[2]) > env.theta_threshold_radians
        return Moved(after, np.ones(len(actions)), fallen | (np.abs(after[0]) > env.x_threshold))

    def seen(self, states: NDArray[Any]) -> Seen:
        """The state."""
        return _rounded(states)


class Acrobot:
    """A state is the two angles and their speeds.

    Args:
        env: a single environment, whose physics all copies have.
    """

    size = 4

    def __init__(self, env: Any) -> None:
        self.env = env
        self.torques = np.array(env.AVAIL_TORQUE)
        self.fastest = np.array([[env.MAX_VEL_1], [env.MAX_VEL_2]])

    def start(self, rng: np.random.Generator) -> NDArray[Any]:
        """Hanging, nearly at rest; of 32 bits."""
        return rng.uniform(low=-0.1, high=0.1, size=(4,)).astype(np.float32)

    def step(self, states: Array, actions: NDArray[Any]) -> Moved:
        """One step of Runge and Kutta's; each costs 1 until the tip is high enough."""
        after = self._integrated(states, self.torques[actions])
        after[:2] = _wrapped(after[:2])
        np.clip(after[2:], -self.fastest, self.fastest, out=after[2:])
        first, second = after[:2]
        high = -np.cos(first) - np.cos(second + first) > 1.0
        return Moved(after, np.where(high, 0.0, -1.0), high)

    def seen(self, states: NDArray[Any]) -> Seen:
        """Cosine and sine of each angle, and the speeds."""
        first, second, *speeds = states
        sides = np.cos(first), np.sin(first), np.cos(second), np.sin(second)
        return _rounded(np.stack([*sides, *speeds]))

    def _integrated(self, states: Array, torques: Array) -> Array:
        whole = self.env.dt
        half = whole / 2.0
        k1 = self._rates(states, torques)
        k2 = self._rates(states + half * k1, torques)
        k3 = self._rates(states + half * k2, torques)
        k4 = self._rates(states + whole * k3, torques)
        return np.asarray(states + whole / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4))

    def _rates(self, states: Array, torques: Array) -> Array:
        """``(4, n)``: of change, by the book's equations of motion."""
        env, g = self.env, 9.8
        m1, m2, l1, lc1, lc2 = (
            *(env.LINK_MASS_1, env.LINK_MASS_2, env.LINK_LENGTH_1),
            *(env.LINK_COM_POS_1, env.LINK_COM_POS_2),
        )
        first, second, speed1, speed2 = states
        cos, sin = np.cos(second), np.sin(second)
        reach = l1**2 + lc2**2 + 2 * l1 * lc2 * cos
        d1 = m1 * lc1**2 + m2 * reach + env.LINK_MOI + env.LINK_MOI
        d2 = m2 * (lc2**2 + l1 * lc2 * cos) + env.LINK_MOI
        d2_square, square1, square2 = _squares(np.stack([d2, speed1, speed2]))
        phi2 = m2 * lc2 * g * np.cos(first + second - np.pi / 2.0)
        phi1 = -m2 * l1 * lc2 * square2 * sin - 2 * m2 * l1 * lc2 * speed2 * speed1 * sin
        phi1 = phi1 + (m1 * lc1 + m2 * l1) * g * np.cos(first - np.pi / 2) + phi2
        turn2 = torques + d2 / d1 * phi1 - m2 * l1 * lc2 * square1 * sin - phi2
        turn2 /= m2 * lc2**2 + env.LINK_MOI - d2_square / d1
        turn1 = -(d2 * turn2 + phi1) / d1
        return np.stack([speed1, speed2, turn1, turn2])


class MountainCar:
    """A state is position and speed.

    Args:
        env: a single environment, whose physics all copies have.
    """

    size = 2

    def __init__(self, env: Any) -> None:
        self.env = env

    def start(self, rng: np.random.Generator) -> Array:
        """In the valley, at rest."""
        return np.array([rng.uniform(low=-0.6, high=-0.4), 0.0])

    def step(self, states: Array, actions: NDArray[Any]) -> Moved:
        """Each costs 1."""
        env = self.env
        place, speed = states
        slope = np.array([math.cos(each) for each in (3 * place).tolist()])
        speed = speed + ((actions - 1) * env.force + slope * (-env.gravity))
        speed = np.clip(speed, -env.max_speed, env.max_speed)
        place = np.clip(place + speed, env.min_position, env.max_position)
        speed[(place == env.min_position) & (speed < 0)] = 0.0
        there = (place >= env.goal_position) & (speed >= env.goal_velocity)
        return Moved(np.stack([place, speed]), np.full(len(actions), -1.0), there)

    def seen(self, states: NDArray[Any]) -> Seen:
        """The state."""
        return _rounded(states)


class PointMaze:
    """A state is the place.

    Args:
        env: a single environment, whose maze all copies have.
    """

    size = 2

    def __init__(self, env: Any) -> None:
        self.maze: Maze = env.maze
        self.box = self.maze.start_box

    def start(self, rng: np.random.Generator) -> Array:
        """Uniform around the maze's start."""
        low, high = self.box
        return np.asarray(rng.uniform(low, high))

    def step(self, states: Array, actions: NDArray[Any]) -> Moved:
        """It never terminates; actions beyond [-1, 1] count as the nearest inside."""
        actions = np.clip(actions.astype(np.float64), -1.0, 1.0)
        (x, y), (along, up) = states, actions.T
        paid = self.maze.paid(x, y, along, up, np)
        after = self.maze.moves(states.T, actions).T
        return Moved(after, paid, np.zeros(len(actions), dtype=bool))

    def seen(self, states: NDArray[Any]) -> Seen:
        """The state."""
        return _rounded(states)


def _rounded(columns: NDArray[Any]) -> Seen:
    """``(n, k)`` of 32 bits, from ``(k, n)``."""
    return np.ascontiguousarray(columns.T, dtype=np.float32)


def _squares(numbers: Array) -> Array:
    """As numpy squares one number, which the C library's power does: ``x * x``, and so the square
    of an array, is one bit off in one of a thousand.
    """
    return np.array([x**2 for x in numbers.ravel()]).reshape(numbers.shape)


def _wrapped(angles: Array) -> Array:
    """To [-pi, pi]."""
    while (beyond := angles > np.pi).any():
        angles = np.where(beyond, angles - 2 * np.pi, angles)
    while (beyond := angles < -np.pi).any():
        angles = np.where(beyond, angles + 2 * np.pi, angles)
    return angles
