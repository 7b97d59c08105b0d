"""Soft Q functions of observations, and the policy and the reward that are in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from irl_lib.demonstrations import spaces
from irl_lib.networks import mlp
from irl_lib.support.checks import (
    Array,
    check_array,
    check_flags,
    check_indices,
    check_rng,
)
from irl_lib.support.draws import draw


class Critics(nn.Module):
    """Several networks of one shape, each a Q function of A actions, computed at once.

    Args:
        n_inputs: d, the length of an observation.
        n_actions: A.
        hidden: sizes of the hidden layers, with rectified linear units between them.
        number: k, how many networks.
        normalised: whether each hidden layer is brought to mean 0 and variance 1 (Ba et al. 2016).
        seed: of the weights.
        centre: ``(d,)``, subtracted from each observation.
        scale: ``(d,)``, by which it is then divided.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        n_inputs: int,
        n_actions: int,
        hidden: Sequence[int],
        number: int,
        normalised: bool,
        seed: int,
        centre: Array,
        scale: Array,
    ) -> None:
        super().__init__()
        self.n_inputs, self.n_actions, self.normalised = n_inputs, n_actions, normalised
        source = torch.Generator().manual_seed(seed % 2**64)
        nets: list[Any] = [mlp([n_inputs, *hidden, n_actions], source) for _ in range(number)]
        layers = [[net[i] for net in nets] for i in range(0, len(nets[0]), 2)]
        weights = [torch.stack([each.weight.detach().T for each in layer]) for layer in layers]
        biases = [torch.stack([each.bias.detach()[None] for each in layer]) for layer in layers]
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, observations: Tensor) -> Tensor:
        """``(k, N, A)`` of ``(N, d)``."""
        x = (observations - self.centre) / self.scale
        x = x.expand(len(self.weights[0]), *x.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i:
                x = layer_norm(x, x.shape[-1:]) if self.normalised else x
                x = torch.relu(x)
            x = torch.baddbmm(bias, x, weight)
        return x

    def least(self, observations: Tensor) -> Tensor:
        """``(N, A)``: of each action the smallest Q of all networks."""
        least: Tensor = self(observations).amin(dim=0)
        return least


def soft_max(q: Tensor, temperature: float) -> Tensor:
    r""":math:`\alpha \log \sum_a \exp(Q / \alpha)` over the last axis.

    Implements: eq-soft-value
    """
    return temperature * torch.logsumexp(q / temperature, dim=-1)


class SoftPolicy(nn.Module):
    r""":math:`\pi(a|s) = \exp((Q(s, a) - V(s)) / \alpha)`, with the smallest Q of several networks.

    Args:
        critics: networks.
        temperature: :math:`\alpha`.
        observation_space: of the environment.
        action_space: Discrete.

    Implements: eq-policy-extraction
    """

    def __init__(
        self, critics: Critics, temperature: float, observation_space: Any, action_space: Any
    ) -> None:
        super().__init__()
        self.critics, self.temperature = critics, temperature
        self.observation_space, self.action_space = observation_space, action_space

    def forward(self, observations: Tensor) -> Tensor:
        """``(N, A)``: log-probabilities in observations ``(N, d)``."""
        q = self.critics.least(observations) / self.temperature
        return torch.log_softmax(q, dim=-1)

    def extra_repr(self) -> str:
        """What is printed of this policy."""
        return f"temperature={self.temperature:g}"

    def probabilities(self, observations: ArrayLike) -> Array:
        """``(N, A)``: the chances of the actions in observations ``(N, d)``, as numpy.

        Raises:
            ValueError: for observations of another shape, or where Q is not finite.
        """
        rows = np.shape(observations)[:1]
        seen = check_array("observations", observations, (*rows, self.critics.n_inputs))
        with torch.no_grad():
            chances = self(tensor(seen)).double().exp().numpy()
        return check_finite("observations", chances, seen)

    def act(self, observation: Any, rng: np.random.Generator | None = None) -> int:
        """An action for one observation: the most likely, or with ``rng`` a drawn one.

        Args:
            observation: a member of the observation space, or the vector that is made of it.
            rng: draws the action.

        Raises:
            ValueError: for another shape, or an entry that is not finite; where Q is not finite.
        """
        if rng is not None:
            check_rng(rng)
        chances = self.probabilities(row_of(observation, self.observation_space, self.critics))[0]
        chosen = int(chances.argmax()) if rng is None else int(draw(chances, rng))
        return chosen + int(self.action_space.start)


class ImpliedReward:
    r""":math:`r(s, a, s') = Q(s, a) - \gamma V(s')`, with the mean Q of several networks.

    Args:
        critics: networks.
        temperature: :math:`\alpha` of V.
        discount: :math:`\gamma`.
        end: what it is worth to have come to an end.
        action_space: Discrete.

    Implements: eq-inverse-bellman
    """

    def __init__(
        self, critics: Critics, temperature: float, discount: float, end: float, action_space: Any
    ) -> None:
        self.critics, self.temperature = critics, temperature
        self.discount, self.end, self.action_space = discount, end, action_space

    def __call__(
        self,
        states: ArrayLike,
        actions: ArrayLike,
        next_states: ArrayLike,
        terminated: ArrayLike = False,
    ) -> Array:
        """``(N,)``: of steps.

        Args:
            states: ``(N, d)``.
            actions: ``(N,)`` whole numbers, members of the action space.
            next_states: ``(N, d)``.
            terminated: ``(N,)`` booleans, or one for all.

        Raises:
            ValueError: naming a bad argument, or where the reward is not finite.
        """
        shape = (*np.shape(states)[:1], self.n_inputs)
        before, after = (
            tensor(check_array(name, each, shape))
            for name, each in (("states", states), ("next_states", next_states))
        )
        chosen = self._checked(actions, shape[0])
        over = check_flags("terminated", terminated, shape[0])
        with torch.no_grad():
            q, v = self._q(before, chosen), self._v(after)
        later = np.where(over, self.end, v.double().numpy())
        return check_finite("states", q.double().numpy() - self.discount * later, states)

    @property
    def n_inputs(self) -> int:
        """d, the length of a state."""
        return self.critics.n_inputs

    def _checked(self, actions: ArrayLike, n: int) -> NDArray[Any]:
        """``(n,)`` members of the action space."""
        chosen = check_indices("actions", actions)
        if chosen.shape != (n,) or spaces.outside(self.action_space, chosen).any():
            raise ValueError(f"actions are {actions!r}; expected {n} of {self.action_space}")
        return chosen

    def _q(self, states: Tensor, actions: NDArray[Any]) -> Tensor:
        """``(N,)``: of actions that were taken."""
        columns = torch.tensor(actions - int(self.action_space.start))[:, None]
        q: Tensor = self.critics(states).mean(dim=0)
        return q.gather(1, columns)[:, 0]

    def _v(self, states: Tensor) -> Tensor:
        """``(N,)``: of states."""
        return soft_max(self.critics(states).mean(dim=0), self.temperature)


def tensor(array: Array) -> Tensor:
    """In the networks' precision; of a view that runs backwards, too, which torch doesn't take."""
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)


def check_finite(name: str, found: Array, seen: ArrayLike) -> Array:
    """What networks of 32 bits found in each of N observations, if it is finite.

    Raises:
        ValueError: naming the first of them where it isn't.
    """
    wrong = ~np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"{name}[{i}] is {np.asarray(seen)[i]}, where the networks, which compute in 32 bits, "
            "have no finite values"
        )
    return np.asarray(found)


def encoded(space: Any, states: Any) -> Array:
    """``(N, d)``: observations as a network gets them; numbered ones are one-hot."""
    array = np.asarray(states)
    if spaces.is_numbered(space) and array.ndim == 1:
        columns = np.zeros((len(array), int(space.n)))
        columns[np.arange(len(array)), array.astype(int) - int(space.start)] = 1.0
        return columns
    return array.astype(np.float64)


def row_of(observation: Any, space: Any, net: Any) -> Array:
    """``(1, d)``: one observation, or the vector that is made of it, as a network gets it.

    Raises:
        ValueError: for another shape, or an entry that is not finite.
    """
    size = (net.n_inputs,)
    if getattr(observation, "shape", None) == size:
        return check_array("observation", observation, size)[None]
    member = spaces.entry("observation", space, observation)
    return encoded(space, np.asarray(member)[None])
