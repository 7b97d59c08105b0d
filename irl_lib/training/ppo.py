r"""Proximal policy optimisation for a discounted sum of rewards that are learned meanwhile.

Stable-Baselines3's networks and its optimisation, on transitions of copies of an environment that
are handed to it with their rewards.  Advantages are the generalised ones,

.. math::
    A_t = \delta_t + \gamma \lambda (1 - e_t) A_{t+1}, \qquad
    \delta_t = r_t + \gamma V'_t - V(s_t),

with :math:`e_t = 1` where the episode is over.  What comes after a step is worth :math:`V'_t =
V(s_{t+1})`, also where a limit of steps cut the episode: time ran out for the watcher, not for the
policy.  Only where it terminated is it the value of being absorbed, which is 0 unless somebody says
otherwise.

References: Schulman et al. (2017), Proximal policy optimization algorithms.  Pardo et al. (2018),
Time limits in reinforcement learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from irl_lib.demonstrations.spaces import is_numbered
from irl_lib.networks import PolicyNet, seeded
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import Array
from irl_lib.training.copies import Transitions
from irl_lib.training.policy_steps import Minibatches, Steps, Unstepped, unit_box
from irl_lib.training.running_unit import RunningUnit

AT_BOUND = 1.0 - 1e-6  # from where on an action counts as clipped


class Actor:
    """A policy and its critic.

    Args:
        observation_space: of one environment, a Box with one axis.
        action_space: Discrete, or a Box with one axis and bounds.
        unit: of observations; it may be updated after each :meth:`improve`, not before it.
        seed: of the initial weights.
        discount: gamma.
        hidden: sizes of the hidden layers of policy and critic.
        sd: the policy's first standard deviations, of real actions in the unit [-1, 1].
        learning_rate: Adam's.
        epochs: passes over the transitions at each :meth:`improve`.
        batch: transitions per gradient.
        trace: lambda.
        entropy_weight: of the policy's entropy, beside the (standardised) advantages.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        unit: RunningUnit,
        seed: int,
        *,
        discount: float,
        hidden: Sequence[int] = (64, 64),
        sd: float = 1.0,
        learning_rate: float = 1e-3,
        epochs: int = 10,
        batch: int = 256,
        trace: float = 0.95,
        entropy_weight: float = 0.0,
    ) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.unit, self.discount, self.trace, self.hidden = unit, discount, trace, tuple(hidden)
        self.numbered = is_numbered(action_space)
        if self.numbered:
            self.middle, self.half = np.zeros(int(action_space.n)), np.ones(int(action_space.n))
        else:
            low, high = (each.astype(np.float64) for each in (action_space.low, action_space.high))
            self.middle, self.half = 0.5 * (low + high), 0.5 * (high - low)
        known = action_space if self.numbered else unit_box(len(self.middle))
        with seeded(seed % 2**64):
            self.model = PPO(
                "MlpPolicy" if self.numbered else _Clipped,
                Unstepped(len(unit.centre), known),
                learning_rate=learning_rate,
                n_steps=batch,  # of a buffer that is never filled; it warns where a batch is larger
                batch_size=batch,
                n_epochs=epochs,
                gamma=discount,
                ent_coef=entropy_weight,
                policy_kwargs={"net_arch": list(hidden), "log_std_init": math.log(sd)},
                device="cpu",
            )
        self.model.set_logger(Logger(None, []))
        self.net: Any = self.model.policy
        self.training = Training(self.net, self.net.optimizer)

    # --- acting -----------------------------------------------------------------------------------

    def act(self, states: Array, rng: np.random.Generator) -> NDArray[Any]:
        """``(n,)`` or ``(n, m)``: actions in states ``(n, d)``, as the environment has them."""
        with torch.no_grad():
            output = self.net.action_net(self.net.mlp_extractor.forward_actor(self._seen(states)))
            numbers = output.double().numpy()
        if self.numbered:
            noise = rng.gumbel(size=numbers.shape)
            chosen: NDArray[Any] = (numbers + noise).argmax(axis=1) + self.action_space.start
            return chosen
        sd = self.net.log_std.detach().double().exp().numpy()
        drawn = np.clip(numbers + sd * rng.standard_normal(numbers.shape), -1.0, 1.0)
        exact: NDArray[Any] = (self.middle + self.half * drawn).astype(self.action_space.dtype)
        return exact.clip(self.action_space.low, self.action_space.high)

    def log_prob(self, states: Array, actions: NDArray[Any]) -> Tensor:
        """``(N,)``: of actions ``(N,)`` or ``(N, m)`` in states ``(N, d)``, without a gradient.

        In nats.  Real numbers are counted in the unit [-1, 1]; inside that is a density, and at a
        bound, to which :meth:`act` clips, it is the probability of what lies beyond.
        """
        with torch.no_grad():
            _, logs, _ = self.net.evaluate_actions(self._seen(states), self._done(actions))
        return torch.as_tensor(logs)

    def encoded(self, actions: NDArray[Any]) -> Tensor:
        """``(N, m)``: actions as inputs of a network: one-hot, or as they are."""
        if not self.numbered:
            return torch.from_numpy(actions).float()
        return nn.functional.one_hot(self._done(actions), len(self.middle)).float()

    def policy(self) -> PolicyNet:
        """The policy as it is now; what becomes of this actor later doesn't change it."""
        size = {"n_actions" if self.numbered else "action_size": self.net.action_net.out_features}
        made = PolicyNet(
            len(self.unit.centre),
            **size,
            hidden=self.hidden,
            centre=self.unit.centre,
            scale=self.unit.scale,
            observation_space=self.observation_space,
            action_space=self.action_space,
        )
        layers = [each for each in self.net.mlp_extractor.policy_net if isinstance(each, nn.Linear)]
        targets = [each for each in made.body if isinstance(each, nn.Linear)]
        with torch.no_grad():
            for ours, theirs in zip(targets, [*layers, self.net.action_net], strict=True):
                ours.load_state_dict(theirs.state_dict())
            if not self.numbered:
                half, middle = (torch.from_numpy(x).float() for x in (self.half, self.middle))
                last = targets[-1]
                last.weight.copy_(last.weight * half[:, None])
                last.bias.copy_(last.bias * half + middle)
                made.log_sd.copy_(self.net.log_std + half.log())
        return made

    # --- learning ---------------------------------------------------------------------------------

    def improve(
        self,
        passed: Transitions,
        rewards: Array,
        rng: np.random.Generator,
        absorbed: float = 0.0,
    ) -> dict[str, float]:
        """One round of PPO on transitions of the policy as it is.

        Args:
            passed: T steps of n copies.
            rewards: ``(T, n)``.
            rng: draws the minibatches.
            absorbed: what it is worth to have terminated.

        Returns:
            The ``entropy`` of the policy before, in nats an action.
        """
        states, actions = _flat(passed.states), _flat(passed.actions)
        seen, done = self._seen(states), self._done(actions)
        with torch.no_grad():
            values, logs, entropy = self.net.evaluate_actions(seen, done)
            nexts = self.net.predict_values(self._seen(_flat(passed.next_states)))
        now, after = (each.double().numpy().reshape(rewards.shape) for each in (values, nexts))
        after = np.where(passed.terminated, absorbed, after)
        surprises = rewards + self.discount * after - now
        advantages = np.zeros_like(rewards)
        later = np.zeros(rewards.shape[1])
        for t in range(len(rewards) - 1, -1, -1):
            goes_on = self.discount * self.trace * ~passed.ended[t]
            later = advantages[t] = surprises[t] + goes_on * later
        columns = [torch.from_numpy(_flat(each)).float() for each in (advantages, advantages + now)]
        model: Any = self.model
        model.rollout_buffer = Minibatches(Steps(seen, done, values.flatten(), logs, *columns), rng)
        model.train()
        return {"entropy": float(entropy.mean())}

    def _seen(self, states: Array) -> Tensor:
        return torch.from_numpy((states - self.unit.centre) / self.unit.scale).float()

    def _done(self, actions: NDArray[Any]) -> Tensor:
        if self.numbered:
            return torch.from_numpy(actions - self.action_space.start).long()
        return torch.from_numpy((actions - self.middle) / self.half).float()


class _Clipped(ActorCriticPolicy):
    """Stable-Baselines3's, with the likelihood of actions that were clipped to [-1, 1].

    The Gaussian's density at a bound says nothing of them: where its mean lies beyond, the action
    that was drawn is far in a tail, and PPO's ratios overflow as the standard deviation falls.
    """

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-likelihoods, and the entropy before clipping."""
        for_policy, for_value = self.mlp_extractor(self.extract_features(obs))
        gaussian = self.action_dist.proba_distribution(self.action_net(for_policy), self.log_std)
        normal: Any = gaussian.distribution
        side = torch.sign(actions)
        beyond = torch.special.log_ndtr((side * normal.mean - 1.0) / normal.stddev)
        logs = torch.where(actions.abs() >= AT_BOUND, beyond, normal.log_prob(actions)).sum(dim=1)
        return self.value_net(for_value), logs, gaussian.entropy()


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """``(T * n, ...)`` of ``(T, n, ...)``."""
    return array.reshape(-1, *array.shape[2:])
