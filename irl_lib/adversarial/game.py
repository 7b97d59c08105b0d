"""The two players of a game: what they are made of, what they see, and what one pays the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irl_lib.adversarial.discriminators import (
    REWARDS,
    Free,
    Pairs,
    Structured,
    network,
    optimiser,
)
from irl_lib.adversarial.settings import Settings
from irl_lib.demonstrations import Demonstrations
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import Array, check_type
from irl_lib.support.runs import Kept, identity_of
from irl_lib.training.copies import Copies, name_of
from irl_lib.training.episodes import check_trainable
from irl_lib.training.ppo import Actor
from irl_lib.training.running_unit import RunningUnit
from irl_lib.training.steps import Memory, Rows, absorbed_rows, expert_rows


class Game:
    """A discriminator, a policy, and the steps that the first is trained on."""

    def __init__(
        self,
        env: Any,
        demos: Demonstrations,
        settings: Settings,
        make: Callable[[Settings, int, int], Any],
        **networks: nn.Module | None,
    ) -> None:
        self.settings = settings
        self.copies = Copies(env, settings.seed, settings.max_steps)
        vector = self.copies.env
        places = vector.single_observation_space, vector.single_action_space
        check_type("demos", demos, Demonstrations).check_spaces(*places, name_of(vector))
        self.expert = expert_rows(demos, settings.subsample, settings.absorbing)
        self.unit = RunningUnit(self.expert.states[~self.expert.absorbed])
        self.actor = Actor(
            *places,
            self.unit,
            settings.seed,
            discount=settings.discount,
            hidden=settings.policy_hidden,
            sd=settings.policy_sd,
            learning_rate=settings.policy_learning_rate,
            epochs=settings.policy_epochs,
            batch=settings.batch,
            trace=settings.trace,
            entropy_weight=settings.entropy_weight,
        )
        self.paid = RunningUnit(np.zeros((1, 1)))
        d, m = len(self.unit.centre), len(self.actor.middle)
        self.discriminator = make(settings, d + settings.absorbing, m)
        self.optimiser = optimiser(
            self.discriminator, settings.regularisation, settings.learning_rate
        )
        self.memory = Memory(settings.memory)
        self.state: dict[str, Kept] = {
            "copies": self.copies,
            "unit": self.unit,
            "paid": self.paid,
            "actor": self.actor.training,
            "discriminator": Training(self.discriminator, self.optimiser),
            "memory": self.memory,
        }
        given = {name: net for name, net in networks.items() if net is not None}
        self.identity = identity_of(settings, vector, self.expert, **given)
        self._show_units()

    def absorbed(self) -> float:
        """What it is worth to be absorbed: what a stay is paid, for ever; or else 0."""
        if not self.settings.absorbing:
            return 0.0
        stay = float(self.rewards(absorbed_rows(1, self.expert, 1.0))[0])
        return stay / (1.0 - self.settings.discount)

    def see(self, states: Array) -> None:
        """Brings what is known of the size of observations ``(..., d)`` up to date."""
        self.unit.update(states.reshape(-1, states.shape[-1]))
        self._show_units()

    def rewards(self, rows: Rows) -> Array:
        """``(N,)``: what the policy is paid for steps.

        Raises:
            ValueError: when it is not finite.
        """
        with torch.no_grad():
            logits = self.discriminator(self.pairs(rows)).double()
            paid = np.asarray(REWARDS[self.settings.reward](logits).numpy())
        if not np.isfinite(paid).all():
            raise ValueError(
                f"the discriminator pays {paid[~np.isfinite(paid)][0]} for a step: learning_rate "
                f"{self.settings.learning_rate:g} or penalty {self.settings.penalty:g} is too high "
                "for these data, or a reward_net is not finite"
            )
        return paid

    def check_policy(self, number: int) -> None:
        """That its weights are finite.

        Raises:
            ValueError: when one isn't.
        """
        if not all(torch.isfinite(each).all() for each in self.actor.net.parameters()):
            raise ValueError(
                f"the policy's weights are not finite in iteration {number}: policy_learning_rate "
                f"{self.settings.policy_learning_rate:g} is too high for these data"
            )

    def pairs(self, rows: Rows) -> Pairs:
        """Steps as the discriminator sees them."""
        absorbed, over = rows.absorbed, rows.absorbed | rows.terminated
        logs = self.actor.log_prob(rows.states, rows.actions)
        actions = self.actor.encoded(rows.actions) * torch.from_numpy(~absorbed)[:, None]
        return Pairs(
            states=self._seen(rows.states, absorbed),
            actions=actions,
            next_states=self._seen(rows.next_states, over),
            goes_on=torch.from_numpy(~rows.terminated | self.settings.absorbing).float(),
            log_prob=logs * torch.from_numpy(~absorbed),
            weights=torch.from_numpy(rows.weights).float(),
        )

    def _seen(self, states: Array, absorbed: Any) -> Tensor:
        """``(N, d)``, or ``(N, d + 1)`` whose last number says that all is over."""
        if self.settings.absorbing:
            at = absorbed[:, None]
            states = np.concatenate([np.where(at, self.unit.centre, states), at], axis=1)
        return torch.from_numpy(states).float()

    def _unit_of_states(self) -> tuple[Array, Array]:
        flag = [0.0] * self.settings.absorbing
        centre = np.concatenate([self.unit.centre, flag])
        return centre, np.concatenate([self.unit.scale, [1.0] * len(flag)])

    def scale(self) -> Array:
        """``(2 d + m,)``: of states, actions and next states."""
        scale = self._unit_of_states()[1]
        return np.concatenate([scale, self.actor.half, scale])

    def _show_units(self) -> None:
        """Standardises the inputs of the discriminator's own networks."""
        states = self._unit_of_states()
        actions = self.actor.middle, self.actor.half
        for net in self.discriminator.standardised:
            for name, *columns in zip(("centre", "scale"), states, actions, strict=True):
                values = np.concatenate(columns)[: net.n_inputs]
                getattr(net, name).copy_(torch.from_numpy(values))


def free(settings: Settings, d: int, m: int) -> Free:
    """GAIL's discriminator, of states of d numbers and actions of m."""
    net = network(d + m, settings.hidden, settings.regularisation, settings.seed)
    return Free(net)


def structured(
    reward_net: nn.Module | None,
) -> Callable[[Settings, int, int], Structured]:
    """What makes AIRL's discriminator, with a copy of the reward network or one of its own.

    Raises:
        ValueError: when it is called, for a reward network of other inputs.
    """

    def make(s: Settings, d: int, m: int) -> Structured:
        wanted = d if s.state_only else d + m
        shaping = network(d, s.hidden, s.regularisation, s.seed + 1)
        if reward_net is None:
            reward: nn.Module = network(wanted, s.hidden, s.regularisation, s.seed)
            return Structured(reward, shaping, s.discount, standardised=[reward, shaping])
        size = getattr(reward_net, "n_inputs", None)
        if not isinstance(reward_net, nn.Module) or size != wanted:
            raise ValueError(
                f"reward_net is {reward_net!r}; expected a torch module with n_inputs {wanted}: "
                f"states of {d} numbers{', the last for whether all is over' * s.absorbing}"
                f"{'' if s.state_only else f', actions of {m}'} (state_only is {s.state_only}, "
                f"absorbing {s.absorbing})"
            )
        own = copy.deepcopy(reward_net).float()
        check_trainable(own.eval(), torch.zeros(2, wanted))
        return Structured(own, shaping, s.discount, standardised=[shaping])

    return make
