r"""Policies :math:`\pi_t(a \mid s)` for a finite horizon and actions between bounds.

With a horizon of T steps what is best depends on how many are left, so these policies see the time.
Each is the hyperbolic tangent of a Gaussian, which keeps actions within their bounds and whose
density is known: importance weights are made of such densities.

Densities are those of actions in a unit in which each number of an action runs from -1 to 1.  At
the bounds themselves, where demonstrations may lie, they would be 0 or infinite: what is closer to
a bound than ``EDGE`` has the density of what is that far from it.  So the density of a policy that
chooses little else is not exact.  It integrates to 0.96 for mean 4 and standard deviation 1 before
the tangent, to 0.26 for mean 6; there its entropy comes out too high.
:meth:`Units.share_at_bounds` says how many actions this concerns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations import spaces
from irl_lib.support.checks import Array, check_array, check_numbers, check_rng

EDGE = 1e-4  # what lies closer than this to a bound, in the unit [-1, 1], is moved that far inside
LOG_2PI = math.log(2.0 * math.pi)
LOG_SD_RANGE = (-20.0, 2.0)  # of standard deviations before the tangent

Layer = tuple[Array, Array]  # weight (outputs, inputs) and bias (outputs,)


@dataclass(frozen=True, eq=False)
class Units:
    """The units in which a policy sees states and time and gives actions."""

    centre: Array
    """``(d,)``, subtracted from states."""
    scale: Array
    """``(d,)``, by which they are then divided."""
    low: Array
    """``(m,)``: the bounds of the actions, which become -1 and 1."""
    high: Array
    """``(m,)``."""
    horizon: int
    """T; step t is seen as 2 t / T - 1."""

    @staticmethod
    def around(states: Array, space: Any, horizon: int) -> Units:
        """Units in which states ``(..., d)`` have mean 0 and standard deviation 1.

        Args:
            states: the expert's.
            space: of actions, a Box with finite bounds.
            horizon: T.
        """
        centre, scale = spaces.standard_unit(states.reshape(-1, states.shape[-1]))
        low, high = (np.asarray(bound, dtype=np.float64) for bound in (space.low, space.high))
        return Units(centre, scale, low, high, horizon)

    def inputs(self, states: ArrayLike, times: ArrayLike) -> Array:
        """``(..., d + 1)``: what a network sees of states ``(..., d)`` at times ``(...)``."""
        seen = (_vectors("states", states, self.centre.shape) - self.centre) / self.scale
        when = check_numbers("times", times)
        if when.shape != seen.shape[seen.ndim - 1 - when.ndim : -1]:
            raise ValueError(f"times has shape {when.shape}; the states have {seen.shape[:-1]}")
        clock = 2.0 * check_array("times", when, when.shape) / self.horizon - 1.0
        return np.concatenate([seen, np.broadcast_to(clock, seen.shape[:-1])[..., None]], axis=-1)

    def _unit(self, actions: ArrayLike) -> Array:
        """Actions in the unit in which each number runs from -1 to 1."""
        middle, half = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
        return (_vectors("actions", actions, middle.shape) - middle) / half

    def to_gaussian(self, actions: ArrayLike) -> Array:
        """Actions before the tangent: any numbers; from ones in the environment's unit."""
        return np.arctanh(np.clip(self._unit(actions), EDGE - 1.0, 1.0 - EDGE))

    def from_gaussian(self, numbers: ArrayLike) -> Array:
        """Actions in the environment's unit, from ones before the tangent."""
        before = _vectors("numbers", numbers, self.low.shape)
        middle, half = (self.high + self.low) / 2.0, (self.high - self.low) / 2.0
        return np.clip(middle + half * np.tanh(before), self.low, self.high)

    def share_at_bounds(self, actions: ArrayLike) -> float:
        """The share of the numbers of actions ``(..., m)`` that are within ``EDGE`` of a bound."""
        return float(np.mean(np.abs(self._unit(actions)) > 1.0 - EDGE))


def _vectors(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Finite numbers whose last axis has this shape."""
    array = check_numbers(name, value)
    if array.shape[-1:] != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected (..., {shape[0]})")
    return check_array(name, array, array.shape)


class SquashedGaussian:
    r"""The tanh of a Gaussian whose mean and standard deviations are a network's outputs.

    Called as ``policy(observation, rng)`` it draws an action and moves its clock on by a step;
    :meth:`start` sets the clock to zero, and :func:`irl_lib.rollouts.rollout` calls it before each
    episode.

    Args:
        units: units.
        layers: the hidden layers, with tanh after each.
        mean: of the Gaussian, linear in the last hidden layer.
        log_sd: the logarithm of its standard deviations, likewise.

    Example:
        >>> units = Units(np.zeros(1), np.ones(1), -np.ones(1), np.ones(1), horizon=2)
        >>> head = (np.zeros((1, 2)), np.zeros(1))
        >>> wide = SquashedGaussian(units, [], head, head)
        >>> density = wide.log_density(np.zeros((1, 2, 1)), np.zeros((1, 2, 1)))
        >>> np.allclose(density, -np.log(2.0 * np.pi))
        True
    """

    def __init__(self, units: Units, layers: Sequence[Layer], mean: Layer, log_sd: Layer) -> None:
        self.units, self.layers, self.mean, self.log_sd = units, list(layers), mean, log_sd
        self.time = 0

    def start(self) -> None:
        """An episode begins."""
        self.time = 0

    def __call__(self, observation: Any, rng: np.random.Generator) -> Array:
        """``(m,)``: an action for the observation ``(d,)`` at the clock's time.

        Raises:
            ValueError: when all steps of the horizon have been taken; for another shape, or an
                entry that is not finite.
        """
        if self.time >= self.units.horizon:
            raise ValueError(
                f"the policy has a horizon of {self.units.horizon} steps, and all are taken; "
                "call start() before each episode"
            )
        check_rng(rng)
        units, seen = self.units, check_array("observation", observation, self.units.centre.shape)
        clock = 2.0 * self.time / units.horizon - 1.0
        # What units.inputs says, without its checks: an environment is waiting.
        mean, log_sd = self.moments(np.append((seen - units.centre) / units.scale, clock))
        self.time += 1
        return self.units.from_gaussian(mean + np.exp(log_sd) * rng.standard_normal(len(mean)))

    def moments(self, inputs: Array) -> tuple[Array, Array]:
        """``(..., m)`` each: mean and log standard deviation before the tangent."""
        hidden = inputs
        for weight, bias in self.layers:
            hidden = np.tanh(hidden @ weight.T + bias)
        mean, log_sd = (hidden @ head[0].T + head[1] for head in (self.mean, self.log_sd))
        return mean, np.clip(log_sd, *LOG_SD_RANGE)

    def arrays(self) -> dict[str, Array]:
        """The network's numbers by name; :meth:`from_arrays` makes the same policy of them."""
        parts = {f"layer{i}": each for i, each in enumerate(self.layers)}
        parts |= {"mean": self.mean, "log_sd": self.log_sd}
        return {
            f"{name}.{kind}": numbers
            for name, layer in parts.items()
            for kind, numbers in zip(("weight", "bias"), layer, strict=True)
        }

    @staticmethod
    def from_arrays(units: Units, arrays: Mapping[str, Array]) -> SquashedGaussian:
        """The policy of whose numbers :meth:`arrays` made these."""

        def layer(name: str) -> Layer:
            return arrays[f"{name}.weight"], arrays[f"{name}.bias"]

        hidden = [layer(f"layer{i}") for i in range((len(arrays) - 4) // 2)]
        return SquashedGaussian(units, hidden, layer("mean"), layer("log_sd"))

    def log_densities(self, states: ArrayLike, actions: ArrayLike) -> Array:
        r"""``(N, T)``: :math:`\log \pi_t(a_t \mid s_t)` of each step of trajectories.

        Args:
            states: ``(N, T, d)``, without the last of each trajectory.
            actions: ``(N, T, m)``, in the environment's unit.

        Raises:
            ValueError: for other shapes, or an entry that is not finite.
        """
        seen, done = check_numbers("states", states), check_numbers("actions", actions)
        d, m = len(self.units.centre), len(self.units.low)
        if seen.ndim != 3 or seen.shape[:2] != done.shape[:2]:
            raise ValueError(
                f"states has shape {seen.shape} and actions {done.shape}; expected (N, T, {d}) and "
                f"(N, T, {m})"
            )
        seen = check_array("states", seen, (*seen.shape[:2], d))
        numbers = self.units.to_gaussian(check_array("actions", done, (*seen.shape[:2], m)))
        mean, log_sd = self.moments(self.units.inputs(seen, np.arange(seen.shape[1])))
        gaussian = -0.5 * (((numbers - mean) * np.exp(-log_sd)) ** 2 + LOG_2PI) - log_sd
        return np.asarray((gaussian - log_tanh_slope(numbers)).sum(axis=-1))

    def log_density(self, states: ArrayLike, actions: ArrayLike) -> Array:
        r"""``(N,)``: :math:`\sum_t \log \pi_t(a_t \mid s_t)`, as :meth:`log_densities`."""
        return np.asarray(self.log_densities(states, actions).sum(axis=-1))


def log_tanh_slope(numbers: Array) -> Array:
    r""":math:`\log(1 - \tanh^2 u)`, also where the tangent is 1 to all digits.

    The formula of ``torch.distributions.transforms.TanhTransform``; policies are stepped, and their
    densities computed, without torch.

    Example:
        >>> float(log_tanh_slope(np.array(400.0)))
        -798.6137056388801
    """
    return np.asarray(2.0 * (math.log(2.0) - numbers - np.logaddexp(0.0, -2.0 * numbers)))
