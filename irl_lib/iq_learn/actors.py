r"""An actor: a policy of real actions between bounds, and the reward of critics that go with it.

Its actions are the hyperbolic tangent of a Gaussian, :math:`a = \tanh(\mu(s) + \sigma(s)\,
\epsilon)`, in the unit in which each number of an action runs from -1 to 1.  Densities and
entropies are those of actions in that unit: the largest entropy of m numbers is :math:`m \log 2`.

Of an action that the actor draws, :math:`\epsilon` is known, and with it the density.  It is never
asked for that of a demonstrated action, which may lie on a bound, where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from irl_lib.demonstrations import spaces
from irl_lib.iq_learn.critics import (
    Critics,
    ImpliedReward,
    SoftPolicy,
    check_finite,
    row_of,
    tensor,
)
from irl_lib.support.checks import Array, check_array, check_rng
from irl_lib.training.timed_policies import LOG_2PI, LOG_SD_RANGE

DRAWS = 32
"""Over so many actions the implied reward takes the mean that is V."""


class Actor(nn.Module):
    """The network of such a policy; it is built as critics are.

    Args:
        n_inputs: d, the length of an observation.
        size: m, the length of an action.
        hidden: sizes of the hidden layers.
        normalised: as of critics.
        seed: of the weights.
        centre: ``(d,)``, subtracted from each observation.
        scale: ``(d,)``, by which it is then divided.
    """

    def __init__(
        self,
        n_inputs: int,
        size: int,
        hidden: Sequence[int],
        normalised: bool,
        seed: int,
        centre: Array,
        scale: Array,
    ) -> None:
        super().__init__()
        self.n_inputs, self.size = n_inputs, size
        self.body = Critics(n_inputs, 2 * size, hidden, 1, normalised, seed, centre, scale)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, m)`` twice: mean and log standard deviation before the tangent."""
        mean, log_sd = self.body(observations)[0].chunk(2, dim=-1)
        return mean, log_sd.clamp(*LOG_SD_RANGE)

    def drawn(self, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions ``(N, m)`` and their log-densities ``(N,)``, made of normal numbers ``(N, m)``.

        Gradients go through both.
        """
        mean, log_sd = self(observations)
        before = mean + log_sd.exp() * noise
        slope = 2.0 * (math.log(2.0) - before - softplus(-2.0 * before))  # log(1 - tanh^2)
        log_density = -0.5 * (noise**2 + LOG_2PI) - log_sd - slope
        return torch.tanh(before), log_density.sum(dim=-1)


def joined(observations: Tensor, actions: Tensor) -> Tensor:
    """``(N, d + m)``: what critics of real actions see."""
    return torch.cat([observations, actions], dim=-1)


def to_unit(space: Any, actions: Any) -> Array:
    """Actions ``(N, m)`` of a Box in the unit in which its bounds are -1 and 1."""
    middle, half = _unit(space)
    return np.asarray((np.asarray(actions, dtype=np.float64) - middle) / half)


def from_unit(space: Any, actions: Tensor) -> NDArray[Any]:
    """The actions ``(N, m)`` of a Box that are these in that unit, in its own precision."""
    middle, half = _unit(space)
    exact: NDArray[Any] = (middle + half * actions.double().numpy()).astype(space.dtype)
    return exact.clip(space.low, space.high)


def _unit(space: Any) -> tuple[Array, Array]:
    low, high = (0.5 * np.asarray(each, dtype=np.float64) for each in (space.low, space.high))
    return high + low, high - low


class ActorPolicy(SoftPolicy):
    """A trained actor, as a policy of the environment.

    Args:
        actor: network.
        temperature: of the entropy for which it was trained.
        observation_space: of the environment.
        action_space: a Box with one axis and finite bounds.
    """

    def __init__(
        self, actor: Actor, temperature: float, observation_space: Any, action_space: Any
    ) -> None:
        nn.Module.__init__(self)
        self.actor, self.temperature = actor, temperature
        self.observation_space, self.action_space = observation_space, action_space

    def forward(self, observations: Tensor) -> Any:
        """``(N, m)`` twice: mean and log standard deviation before the tangent, in ``(N, d)``."""
        return self.actor(observations)

    def probabilities(self, observations: ArrayLike) -> Array:
        """None.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"a policy of real actions has no probabilities, in observations {observations!r} or "
            "others; use act"
        )

    def act(self, observation: Any, rng: np.random.Generator | None = None) -> Any:
        """``(m,)``: an action for one observation, in the environment's unit.

        Args:
            observation: a member of the observation space, or the vector that is made of it.
            rng: draws the action; without it, the action is the tangent of the Gaussian's mean,
                which in each number is the median of those that are drawn.

        Raises:
            ValueError: for another shape, or an entry that is not finite; where the network is not
                finite.
        """
        if rng is not None:
            check_rng(rng)
        row = row_of(observation, self.observation_space, self.actor)
        noise = np.zeros(self.actor.size) if rng is None else rng.standard_normal(self.actor.size)
        with torch.no_grad():
            actions, _ = self.actor.drawn(tensor(row), tensor(noise[None]))
        found = check_finite("observation", actions.double().numpy(), row)
        return from_unit(self.action_space, torch.from_numpy(found))[0]


class ActorReward(ImpliedReward):
    r"""The same of real actions, with :math:`V(s) = \mathbb{E}_\pi [Q - \alpha \log \pi]`.

    V is a mean over ``DRAWS`` actions of the actor, made of numbers that are the same at each call
    and in each state.

    Args:
        critics: networks, of states and actions.
        temperature: :math:`\alpha`.
        discount: :math:`\gamma`.
        end: what it is worth to have come to an end.
        action_space: a Box with one axis and finite bounds.
        actor: network.
    """

    def __init__(
        self,
        critics: Critics,
        temperature: float,
        discount: float,
        end: float,
        action_space: Any,
        actor: Actor,
    ) -> None:
        super().__init__(critics, temperature, discount, end, action_space)
        self.actor = actor

    @property
    def n_inputs(self) -> int:
        """d, the length of a state."""
        return self.actor.n_inputs

    def _checked(self, actions: ArrayLike, n: int) -> NDArray[Any]:
        """``(n, m)`` members of the action space."""
        chosen = check_array("actions", actions, (n, self.actor.size))
        if spaces.outside(self.action_space, chosen).any():
            raise ValueError(f"actions are {actions!r}; expected {n} of {self.action_space}")
        return chosen

    def _q(self, states: Tensor, actions: NDArray[Any]) -> Tensor:
        """``(N,)``: of actions that were taken."""
        unit = tensor(to_unit(self.action_space, actions))
        q: Tensor = self.critics(joined(states, unit)).mean(dim=0)
        return q[:, 0]

    def _v(self, states: Tensor) -> Tensor:
        """``(N,)``: of states."""
        noises = np.random.default_rng(0).standard_normal((DRAWS, 1, self.actor.size))
        total = torch.zeros(len(states))
        for noise in tensor(noises):
            actions, log_density = self.actor.drawn(states, noise.expand(len(states), -1))
            q = self.critics(joined(states, actions)).mean(dim=0)[:, 0]
            total += (q - self.temperature * log_density) / DRAWS
        return total
