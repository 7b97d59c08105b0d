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
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import Env, spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from irl_lib.support.checks import Array
from irl_lib.training.timed_policies import (
    LOG_SD_RANGE,
    Frame,
    Layer,
    SquashedGaussian,
    log_tanh_slope,
)

NATS = 0.25  # per step of the horizon: the unit of the critic's values
ADAM_EPSILON = 1e-5  # Stable-Baselines3's for PPO
TRACE = 0.95  # lambda of generalised advantage estimation


class SoftActor:
    """Stable-Baselines3's PPO, its critic included, on episodes that are handed to it.

    Args:
        frame: units.
        seed: of the initial weights.
        hidden: sizes of the hidden layers of policy and critic.
        learning_rate: Adam's.
        epochs: passes over the episodes at each :meth:`improve`.
        batch: steps per gradient.
    """

    def __init__(
        self,
        frame: Frame,
        seed: int,
        hidden: Sequence[int] = (64, 64),
        learning_rate: float = 1e-3,
        epochs: int = 10,
        batch: int = 256,
    ) -> None:
        self.frame = frame
        self.unit = NATS * frame.horizon
        with seeded_torch(seed):
            self.model = PPO(
                _TimedPolicy,
                _Spaces(len(frame.centre) + 1, len(frame.low)),
                learning_rate=learning_rate,
                n_steps=2,  # of a buffer that is never filled
                batch_size=2,  # which it would warn of, were it more than that buffer holds
                n_epochs=epochs,
                gamma=1.0,
                ent_coef=0.0,
                max_grad_norm=10.0,
                policy_kwargs={"net_arch": list(hidden)},
                device="cpu",
            )
        self.model.batch_size = batch
        self.model.set_logger(Logger(None, []))

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
        numbers = self.frame.to_gaussian(actions)
        soft = rewards - log_density
        values = self.values(before)
        advantages = _advantages((soft - soft.mean()) / self.unit, values)
        # PPO's policy is the Gaussian before the tangent, whose slope cancels in its ratios.
        gaussian = log_density + log_tanh_slope(numbers).sum(axis=-1)
        inputs = self.frame.inputs(before, np.arange(self.frame.horizon))
        columns = inputs, numbers, values, gaussian, advantages, advantages + values
        rows = Rows(*(_tensor(each).flatten(0, 1) for each in columns))
        model: Any = self.model
        model.rollout_buffer = Rounds(rows, rng)
        model.train()

    def values(self, states: Array) -> Array:
        """``(N, T')``: the critic's soft values of states ``(N, T', d)`` from step 0 on, in units.

        They belong to rewards from which a constant per step was taken away.
        """
        inputs = _tensor(self.frame.inputs(states, np.arange(states.shape[1])))
        with torch.no_grad():
            values: Tensor = self.model.policy.predict_values(inputs.flatten(0, 1)).double()
        flat: Array = values.numpy()
        return flat.reshape(states.shape[:2])

    def policy(self) -> SquashedGaussian:
        """The policy as it is now; what becomes of this actor later doesn't change it."""
        net: Any = self.model.policy
        layers = [_numbers(each) for each in net.mlp_extractor.policy_net if _is_linear(each)]
        return SquashedGaussian(
            self.frame, layers, _numbers(net.action_net), _numbers(net.log_sd_net)
        )

    @property
    def parts(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        """All that changes, the network and its optimiser."""
        return self.model.policy, self.model.policy.optimizer


class Rows(NamedTuple):
    """Steps, under the names by which PPO asks for them."""

    observations: Tensor
    actions: Tensor
    old_values: Tensor
    old_log_prob: Tensor
    advantages: Tensor
    returns: Tensor


class Rounds:
    """What PPO takes for its rollout buffer: the steps in random order, a batch at a time."""

    def __init__(self, rows: Rows, rng: np.random.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.values, self.returns = rows.old_values.numpy(), rows.returns.numpy()

    def get(self, batch_size: int) -> Iterator[Rows]:
        """All steps once."""
        order = torch.from_numpy(self.rng.permutation(len(self.returns)))
        for which in torch.split(order, batch_size):
            yield Rows(*(each[which] for each in self.rows))


def _advantages(rewards: Array, values: Array) -> Array:
    """``(N, T)``: generalised advantages, without discount and with :math:`V_T = 0`."""
    following = np.concatenate([values[:, 1:], np.zeros((len(values), 1))], axis=1)
    surprises = rewards + following - values
    advantages: Array = np.empty(surprises.shape)
    ahead = np.zeros(len(surprises))
    for t in reversed(range(surprises.shape[1])):
        ahead = surprises[:, t] + TRACE * ahead
        advantages[:, t] = ahead
    return advantages


class _TimedPolicy(ActorCriticPolicy):
    """Stable-Baselines3's, with standard deviations that depend on what is seen."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        del self.log_std
        last: Any = self.action_net
        self.log_sd_net = nn.Linear(last.in_features, last.out_features)
        nn.init.zeros_(self.log_sd_net.weight)
        nn.init.zeros_(self.log_sd_net.bias)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=ADAM_EPSILON)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Any:
        log_sd = self.log_sd_net(latent_pi).clamp(*LOG_SD_RANGE)
        return self.action_dist.proba_distribution(self.action_net(latent_pi), log_sd)


class _Spaces(Env[NDArray[np.float32], NDArray[np.float32]]):
    """The spaces of an environment that nobody steps; actions are those before the tangent."""

    def __init__(self, n_inputs: int, action_size: int) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_inputs,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (action_size,), np.float32)


@contextmanager
def seeded_torch(seed: int) -> Iterator[None]:
    """Torch's global random numbers are those of a seed meanwhile, and untouched afterwards."""
    outside = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(seed % 2**64).get_state())
    try:
        yield
    finally:
        torch.set_rng_state(outside)


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def _numbers(layer: nn.Linear) -> Layer:
    weight, bias = (each.detach().double().numpy().copy() for each in (layer.weight, layer.bias))
    return weight, bias


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
