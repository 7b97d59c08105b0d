r"""The inner maximum, :math:`V(s) = \max_\pi \mathbb{E}_{a \sim \pi} [Q(s, a) - \alpha \log \pi]`.

What the objective on samples has to know of actions is in one of two classes:

- :class:`ClosedForm`, of Discrete actions: V is a sum over actions, and the policy that has it is
  known; so there is no game.
- :class:`Trained`, of real ones: the sum is an integral :math:`\alpha \log \int \exp(Q / \alpha)`
  without a closed form, and a policy, the actor, is trained to maximise what stands in the
  brackets.  **The game is back**: an inner maximisation runs beside the outer one, and until it has
  come to its end, what the critics are given for V lies below it.  The unit of actions, and so of
  densities and of the entropy, is the one in which their bounds are -1 and 1.

Reference: Haarnoja, Zhou, Abbeel, Levine (2018), Soft actor-critic.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from irl_lib.demonstrations import spaces
from irl_lib.iq_learn.actors import (
    Actor,
    ActorPolicy,
    ActorReward,
    from_unit,
    joined,
    to_unit,
)
from irl_lib.iq_learn.critics import Critics, ImpliedReward, SoftPolicy, soft_max
from irl_lib.iq_learn.settings import Settings
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import Array
from irl_lib.support.files import Arrays
from irl_lib.support.runs import Kept

Places = tuple[Any, Any]


class Copied:
    """A network that follows another one, as arrays and back."""

    def __init__(self, net: Any) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False)

    def follow(self, leader: Any, rate: float) -> None:
        """A part of the way to where the leader is."""
        with torch.no_grad():
            for mine, theirs in zip(self.net.parameters(), leader.parameters(), strict=True):
                mine.lerp_(theirs, rate)

    def arrays(self) -> Arrays:
        """For a checkpoint."""
        return {name: each.numpy().copy() for name, each in self.net.state_dict().items()}

    def restore(self, arrays: Arrays) -> None:
        """To where it was."""
        tensors = {name: torch.from_numpy(each.copy()) for name, each in arrays.items()}
        self.net.load_state_dict(tensors)


class ClosedForm:
    """Of Discrete actions; nothing is trained.

    Args:
        places: the spaces of observations and actions.
        settings: checked.
        centre: ``(d,)``, of observations.
        scale: ``(d,)``, likewise.

    Raises:
        ValueError: when an actor is to be trained.
    """

    columns: tuple[str, ...] = ()
    """What :meth:`improve` tells."""

    def __init__(self, places: Places, settings: Settings, centre: Array, scale: Array) -> None:
        s, self.places, self.temperature = settings, places, settings.temperature
        if s.actor_learning_rate:
            raise ValueError(
                f"actor_learning_rate is {s.actor_learning_rate:g}, and action_space {places[1]}, "
                "of which the policy is known without an actor; expected None"
            )
        n = int(places[1].n)
        self.entropy = float(np.log(n))
        """The largest there is."""
        self.critics = Critics(
            len(centre), n, s.hidden, s.critics, s.normalised, s.seed, centre, scale
        )
        self.kept: dict[str, Kept] = {}
        self.networks: dict[str, Any] = {}

    def draw(self, states: Tensor, rng: np.random.Generator) -> NDArray[Any]:
        """``(N,)``: actions of the policy."""
        with torch.no_grad():
            q = self.critics.least(states) / self.temperature
        noise = rng.gumbel(size=tuple(q.shape))
        chosen: NDArray[Any] = (q.double().numpy() + noise).argmax(axis=1)
        return chosen + int(self.places[1].start)

    def seen(
        self, states: Tensor, codes: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """``(k, N)`` twice: Q of actions ``(N,)`` that were taken, and V."""
        all_q = self.critics(states)
        chosen = torch.from_numpy(codes).long()
        q = all_q.gather(2, chosen[None, :, None].expand(len(all_q), -1, 1))[:, :, 0]
        return q, soft_max(all_q, self.temperature)

    def value(self, states: Tensor, rng: np.random.Generator) -> Tensor:
        """``(k, N)``: V."""
        return soft_max(self.critics(states), self.temperature)

    def least(self, net: Critics, states: Tensor, rng: np.random.Generator) -> Tensor:
        """``(N,)``: V of the least Q of some critics."""
        return soft_max(net.least(states), self.temperature)

    def improve(
        self, states: Tensor, rng: np.random.Generator, left: float, share: float
    ) -> list[float]:
        """Nothing."""
        return []

    def policy(self, critics: Critics) -> SoftPolicy:
        """That of some critics."""
        return SoftPolicy(critics, self.temperature, *self.places)

    def reward(self, critics: Critics, discount: float, end: float) -> ImpliedReward:
        """Likewise."""
        return ImpliedReward(critics, self.temperature, discount, end, self.places[1])


class Trained:
    """Of actions from a Box, by an actor; each mean over them is of one action that it draws.

    Args:
        places: the spaces of observations and actions.
        settings: checked.
        centre: ``(d,)``, of observations.
        scale: ``(d,)``, likewise.
    """

    columns = ("entropy",)

    def __init__(self, places: Places, settings: Settings, centre: Array, scale: Array) -> None:
        s, self.places, self.temperature = settings, places, settings.temperature
        d, m = len(centre), int(places[1].shape[0])
        self.entropy = m * float(np.log(2.0))
        """The largest there is, that of uniform actions."""
        unit = np.append(centre, np.zeros(m)), np.append(scale, np.ones(m))
        self.critics = Critics(d + m, 1, s.hidden, s.critics, s.normalised, s.seed, *unit)
        own = int(np.random.SeedSequence(s.seed).generate_state(1, np.uint64)[0])
        self.actor = Actor(d, m, s.hidden, s.normalised, own, centre, scale)
        self.average = Copied(self.actor)
        self.rate = s.actor_learning_rate or s.learning_rate
        self.optimiser = torch.optim.Adam(self.actor.parameters(), lr=self.rate)
        self.kept: dict[str, Kept] = {
            "actor": Training(self.actor, self.optimiser),
            "actor_average": self.average,
        }
        self.networks: dict[str, Any] = {"actor": self.actor}

    def draw(self, states: Tensor, rng: np.random.Generator) -> NDArray[Any]:
        """``(N, m)``: actions of the policy."""
        with torch.no_grad():
            return from_unit(self.places[1], self._drawn(states, rng)[0])

    def seen(
        self, states: Tensor, codes: NDArray[Any], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """``(k, N)`` twice: Q of actions ``(N, m)`` that were taken, and V."""
        taken = torch.from_numpy(codes).to(states.dtype)
        return self.critics(joined(states, taken))[..., 0], self.value(states, rng)

    def value(self, states: Tensor, rng: np.random.Generator) -> Tensor:
        r"""``(k, N)``: :math:`Q - \alpha \log \pi` of drawn actions; its mean is a bound of V.

        Gradients go to the critics alone.
        """
        with torch.no_grad():
            actions, log_density = self._drawn(states, rng)
        q: Tensor = self.critics(joined(states, actions))[..., 0]
        return q - self.temperature * log_density

    def least(self, net: Critics, states: Tensor, rng: np.random.Generator) -> Tensor:
        """``(N,)``: likewise, with the least Q of some critics."""
        with torch.no_grad():
            actions, log_density = self._drawn(states, rng)
        return net.least(joined(states, actions))[:, 0] - self.temperature * log_density

    def improve(
        self, states: Tensor, rng: np.random.Generator, left: float, share: float
    ) -> list[float]:
        r"""A step of Adam up :math:`\mathbb{E}[Q - \alpha \log \pi]`, with the least Q.

        Args:
            states: ``(N, d)``.
            rng: draws actions.
            left: of the learning rate.
            share: of the new weights in the averaged ones.

        Returns:
            The entropy before it, in nats, as the drawn actions have it.
        """
        actions, log_density = self._drawn(states, rng)
        gain = self.critics.least(joined(states, actions))[:, 0] - self.temperature * log_density
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * left
        self.optimiser.zero_grad()
        torch.autograd.backward(-gain.mean(), inputs=list(self.actor.parameters()))
        self.optimiser.step()
        self.average.follow(self.actor, share)
        return [-float(log_density.detach().mean())]

    def policy(self, critics: Critics) -> SoftPolicy:
        """The actor, with averaged weights."""
        return ActorPolicy(copy.deepcopy(self.average.net), self.temperature, *self.places)

    def reward(self, critics: Critics, discount: float, end: float) -> ImpliedReward:
        """That of some critics, and of the actor with averaged weights."""
        actor = copy.deepcopy(self.average.net)
        return ActorReward(critics, self.temperature, discount, end, self.places[1], actor)

    def _drawn(self, states: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        noise = rng.standard_normal((len(states), self.actor.size))
        return self.actor.drawn(states, torch.from_numpy(noise).to(states.dtype))


def codes(space: Any, actions: Any) -> NDArray[Any]:
    """Actions as critics take them: whole numbers from 0 on, or ``(N, m)`` from -1 to 1."""
    if spaces.is_numbered(space):
        return np.asarray(actions).astype(np.int64) - int(space.start)
    return to_unit(space, actions)


def maximum_of(
    places: Places, settings: Settings, centre: Array, scale: Array
) -> ClosedForm | Trained:
    """The one that the action space has."""
    kind = ClosedForm if spaces.is_numbered(places[1]) else Trained
    return kind(places, settings, centre, scale)
