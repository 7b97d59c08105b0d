r"""Policy steps towards soft optimality, for a finite horizon and a reward that keeps changing.

Soft-optimal is the policy that maximises :math:`\mathbb{E}_\pi \sum_t r(s_t, a_t) - \log
\pi_t(a_t \mid s_t)`: an ordinary sum of rewards, if :math:`-\log \pi_t` counts as one.  So proximal
policy optimisation (Schulman et al. 2017) can improve a policy, here Stable-Baselines3's: given
episodes of the policy as it is, it is paid :math:`r - \log \pi_t`.

- The temperature is 1, and nothing adapts it: the scale of the reward is learned.
- There is no discount, and the horizon's end is an end, :math:`V_T = 0`.
- The policy sees the time, and its standard deviations may depend on what it sees.
- A constant per step changes nothing but the critic's targets; it is taken away.

Reference: Schulman et al. (2017), Proximal policy optimization algorithms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import Env, spaces
from numpy.typing import NDArray
from scipy.signal import lfilter
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from irl_lib.networks import seeded
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import Array
from irl_lib.training.timed_policies import (
    LOG_SD_RANGE,
    Layer,
    SquashedGaussian,
    Units,
    log_tanh_slope,
)

NATS = 0.25  # per step of the horizon: the unit of the critic's values
TRACE = 0.95  # lambda of generalised advantage estimation


class SoftActor:
    """Stable-Baselines3's PPO, its critic included, on episodes that are handed to it.

    Args:
        units: of states, time and actions.
        seed: of the initial weights.
        hidden: sizes of the hidden layers of policy and critic.
        learning_rate: Adam's.
        epochs: passes over the episodes at each :meth:`improve`.
        batch: steps per gradient.
    """

    def __init__(
        self,
        units: Units,
        seed: int,
        hidden: Sequence[int] = (64, 64),
        learning_rate: float = 1e-3,
        epochs: int = 10,
        batch: int = 256,
    ) -> None:
        self.units = units
        self.unit = NATS * units.horizon
        with seeded(seed % 2**64):
            self.model = PPO(
                _TimedPolicy,
                Unstepped(len(units.centre) + 1, unit_box(len(units.low))),
                learning_rate=learning_rate,
                n_steps=batch,  # of a buffer that is never filled; it warns where a batch is larger
                batch_size=batch,
                n_epochs=epochs,
                gamma=1.0,
                ent_coef=0.0,
                max_grad_norm=10.0,
                policy_kwargs={"net_arch": list(hidden)},
                device="cpu",
            )
        self.model.set_logger(Logger(None, []))
        self.training = Training(self.model.policy, self.model.policy.optimizer)

    def improve(
        self, states: Array, actions: Array, rewards: Array, rng: np.random.Generator
    ) -> None:
        """One round of PPO on episodes of the policy as it is.

        Args:
            states: ``(N, T + 1, d)``.
            actions: ``(N, T, m)``, in the environment's unit.
            rewards: ``(N, T)``.
            rng: draws the minibatches.
        """
        before = states[:, :-1]
        log_density = self.policy().log_densities(before, actions)
        numbers = self.units.to_gaussian(actions)
        soft = rewards - log_density
        values = self.values(before)
        advantages = _advantages((soft - soft.mean()) / self.unit, values)
        # PPO's policy is the Gaussian before the tangent, whose slope cancels in its ratios.
        gaussian = log_density + log_tanh_slope(numbers).sum(axis=-1)
        inputs = self.units.inputs(before, np.arange(self.units.horizon))
        columns = inputs, numbers, values, gaussian, advantages, advantages + values
        steps = Steps(*(_tensor(each).flatten(0, 1) for each in columns))
        model: Any = self.model
        model.rollout_buffer = Minibatches(steps, rng)
        model.train()

    def values(self, states: Array) -> Array:
        """``(N, T')``: the critic's soft values of states ``(N, T', d)`` from step 0 on, in units.

        They belong to rewards from which a constant per step was taken away.
        """
        inputs = _tensor(self.units.inputs(states, np.arange(states.shape[1])))
        with torch.no_grad():
            values: Tensor = self.model.policy.predict_values(inputs.flatten(0, 1)).double()
        flat: Array = values.numpy()
        return flat.reshape(states.shape[:2])

    def policy(self) -> SquashedGaussian:
        """The policy as it is now; what becomes of this actor later doesn't change it."""
        net: Any = self.model.policy
        hidden = [each for each in net.mlp_extractor.policy_net if isinstance(each, nn.Linear)]
        *layers, mean, log_sd = map(_numbers, [*hidden, net.action_net, net.log_sd_net])
        return SquashedGaussian(self.units, layers, mean, log_sd)


class Steps(NamedTuple):
    """Steps, under the names by which PPO asks for them."""

    observations: Tensor
    actions: Tensor
    old_values: Tensor
    old_log_prob: Tensor
    advantages: Tensor
    returns: Tensor


class Minibatches:
    """What PPO takes for its rollout buffer: the steps in random order, a batch at a time.

    Stable-Baselines3's own draws that order from numpy's global generator.
    """

    def __init__(self, steps: Steps, rng: np.random.Generator) -> None:
        self.steps, self.rng = steps, rng
        self.values, self.returns = steps.old_values.numpy(), steps.returns.numpy()

    def get(self, batch_size: int) -> Iterator[Steps]:
        """All steps once."""
        order = torch.from_numpy(self.rng.permutation(len(self.returns)))
        for which in torch.split(order, batch_size):
            yield Steps(*(each[which] for each in self.steps))


def _advantages(rewards: Array, values: Array) -> Array:
    r"""``(N, T)``: generalised advantages, without discount and with :math:`V_T = 0`.

    .. math:: A_t = \delta_t + \lambda A_{t+1}, \qquad \delta_t = r_t + V_{t+1} - V_t

    From the last step back that is a filter of first order.
    """
    surprises = rewards + np.pad(values[:, 1:], ((0, 0), (0, 1))) - values
    advantages: Array = lfilter([1.0], [1.0, -TRACE], surprises[:, ::-1])[:, ::-1]
    return advantages


class _TimedPolicy(ActorCriticPolicy):
    """Stable-Baselines3's, with standard deviations that depend on what is seen.

    PPO asks for no more than its values and its densities of actions.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.log_std  # the same for all observations; without a gradient, it stays what it is
        last: Any = self.action_net
        self.log_sd_net = nn.Linear(last.in_features, last.out_features)
        for each in self.log_sd_net.parameters():
            nn.init.zeros_(each)
        self.optimizer.add_param_group({"params": list(self.log_sd_net.parameters())})

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-densities and entropy."""
        for_policy, for_value = self.mlp_extractor(self.extract_features(obs))
        log_sd = self.log_sd_net(for_policy).clamp(*LOG_SD_RANGE)
        gaussian = self.action_dist.proba_distribution(self.action_net(for_policy), log_sd)
        return self.value_net(for_value), gaussian.log_prob(actions), gaussian.entropy()


class Unstepped(Env[NDArray[np.float32], Any]):
    """The spaces of an environment that nobody steps: numbers in their units."""

    def __init__(self, n_inputs: int, action_space: Any) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_inputs,), np.float32)
        self.action_space = action_space


def unit_box(size: int) -> Any:
    """``size`` numbers from -1 to 1."""
    return spaces.Box(-1.0, 1.0, (size,), np.float32)


def _numbers(layer: nn.Linear) -> Layer:
    weight, bias = (each.detach().double().numpy().copy() for each in (layer.weight, layer.bias))
    return weight, bias


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
