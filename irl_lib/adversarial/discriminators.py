r"""Who did this, the expert or the policy?  Discriminators, their loss, and the rewards they give.

A discriminator's answer is the probability :math:`D = \sigma(x)` that a step is the expert's.  All
here work with the logit :math:`x = \log D - \log(1 - D)`, since :math:`D` itself rounds to 0 or 1
long before :math:`x` stops to say anything.  Its loss is the negative of

.. math::
    \mathbb{E}_{\pi^*}[\log D] + \mathbb{E}_{\pi}[\log (1 - D)],

whose maximum over all :math:`D`, at :math:`D = \rho_E / (\rho_E + \rho_\pi)`, is twice the
Jensen-Shannon divergence of the two occupancies, less :math:`\log 4`.

- A *free* one (Ho and Ermon 2016) is any function of state and action.  At the end of the game it
  is 1/2 everywhere.
- A *structured* one (Finn et al. 2016, Fu et al. 2018) knows the policy: its logit is
  :math:`f(s, a, s') - \log \pi(a \mid s)`, with :math:`f = r(s, a) + \gamma h(s') - h(s)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from irl_lib.networks import RewardNet, seeded

STEEPEST = 20.0  # the largest logit in FAIRL's reward, which grows like its exponential

REWARDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda x: x,
    "log D": lambda x: -softplus(-x),
    "-log(1-D)": softplus,
    "fairl": lambda x: -x.clamp(max=STEEPEST) * torch.exp(x.clamp(max=STEEPEST)),
}
r"""What the policy is paid for a logit.  ``log D`` is never above 0, ``-log(1-D)`` never below it,
``logit``, which is their sum, and ``fairl``, :math:`-x e^x` (Ghasemipour et al. 2020), have both
signs."""

REGULARISATIONS = ("gradient penalty", "spectral norm", "dropout", "none")
DROPPED = 0.5  # of the hidden units
DECAY = 1e-2  # of the weights, by AdamW, beside dropout


class Pairs(NamedTuple):
    """Steps as a discriminator sees them; all of one length N."""

    states: Tensor
    """``(N, d)``."""
    actions: Tensor
    """``(N, m)``: one-hot, or real numbers."""
    next_states: Tensor
    """``(N, d)``."""
    goes_on: Tensor
    """``(N,)``: 0 where nothing comes after it: it terminated, and that is no state."""
    log_prob: Tensor
    """``(N,)``: of the policy as it is."""
    weights: Tensor
    """``(N,)``: how much each counts."""


class Free(nn.Module):
    """A logit of state and action: GAIL's discriminator.

    Args:
        net: of states followed by actions.
    """

    def __init__(self, net: RewardNet) -> None:
        super().__init__()
        self.net = net
        self.standardised = [net]

    def potential(self, pairs: Pairs) -> Tensor:
        """``(N,)``: all of the logit that is learned."""
        logits: Tensor = self.net(torch.cat([pairs.states, pairs.actions], dim=1))
        return logits

    def forward(self, pairs: Pairs) -> Tensor:
        """``(N,)``: the logits.

        Implements: eq-gail-objective
        """
        return self.potential(pairs)


class Structured(nn.Module):
    """A logit with a reward in it: AIRL's discriminator.

    Args:
        reward: of states, or of states followed by actions.
        shaping: h, of states; it is 0 where nothing comes after a step.
        discount: gamma, which has to be the one that the policy is trained with.
        standardised: those of the two networks whose inputs are brought to a unit meanwhile.
    """

    def __init__(
        self,
        reward: nn.Module,
        shaping: nn.Module,
        discount: float,
        standardised: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.reward, self.shaping, self.discount = reward, shaping, discount
        self.standardised = list(standardised)

    def potential(self, pairs: Pairs) -> Tensor:
        r"""``(N,)``: :math:`f(s, a, s') = r(s, a) + \gamma h(s') - h(s)`."""
        state_only = self.reward.n_inputs == pairs.states.shape[1]
        shown = [pairs.states] if state_only else [pairs.states, pairs.actions]
        later = self.discount * pairs.goes_on * self.shaping(pairs.next_states)
        f: Tensor = self.reward(torch.cat(shown, dim=1)) + later - self.shaping(pairs.states)
        return f

    def forward(self, pairs: Pairs) -> Tensor:
        r"""``(N,)``: :math:`f - \log \pi(a \mid s)`.

        Implements: eq-structured-discriminator
        """
        return self.potential(pairs) - pairs.log_prob


def discriminator_loss(expert: Tensor, policy: Tensor, pairs: tuple[Pairs, Pairs]) -> Tensor:
    r"""Minus the objective, in nats: :math:`\log 4` where nothing can be told apart.

    Args:
        expert: ``(N,)`` logits of the expert's steps.
        policy: ``(M,)`` logits of the policy's.
        pairs: both kinds of steps, for their weights.

    Implements: eq-gail-objective
    """
    ours, theirs = (each.weights / each.weights.sum() for each in pairs)
    return ours @ softplus(-expert) + theirs @ softplus(policy)


def gradient_penalty(
    net: Free | Structured, expert: Pairs, policy: Pairs, mix: Tensor, scale: Tensor
) -> Tensor:
    r"""The mean of :math:`\|\nabla\|^2`, between steps of the expert and of the policy.

    Args:
        net: a discriminator.
        expert: N steps.
        policy: N steps.
        mix: ``(N,)``, how far each is from the policy's to the expert's.
        scale: ``(2 d + m,)``, of states, actions and next states: the gradient is that in units.

    Reference: Mescheder, Geiger, Nowozin (2018), which penalises towards 0, so that the game can
    end where the discriminator is flat; Gulrajani et al. (2017) towards 1, where it can't.
    """
    mixed: Any = [
        (mix[:, None] * a + (1.0 - mix[:, None]) * b).requires_grad_()
        for a, b in zip(expert[:3], policy[:3], strict=True)
    ]
    between = Pairs._make([*mixed, *policy[3:]])
    total = net.potential(between).sum()
    slopes = torch.autograd.grad(total, mixed, create_graph=True, allow_unused=True)
    known = [torch.zeros_like(m) if s is None else s for s, m in zip(slopes, mixed, strict=True)]
    return ((torch.cat(known, dim=1) * scale) ** 2).sum(dim=1).mean()


def network(
    n_inputs: int, hidden: Sequence[int], regularisation: str, seed: int, **unit: Any
) -> RewardNet:
    """A network for a discriminator, regularised where that is done within it."""
    net = RewardNet(n_inputs, seed, hidden, **unit)
    layers = list(net.body)
    if regularisation == "spectral norm":
        with seeded(seed):
            layers = [spectral_norm(x) if isinstance(x, nn.Linear) else x for x in layers]
    if regularisation == "dropout":
        pairs = [(x, nn.Dropout(DROPPED)) if isinstance(x, nn.Tanh) else (x,) for x in layers]
        layers = [each for pair in pairs for each in pair]
    net.body = nn.Sequential(*layers)
    return net


def optimiser(net: nn.Module, regularisation: str, learning_rate: float) -> torch.optim.Optimizer:
    """Adam; with dropout, with a decay of the weights."""
    decay = DECAY if regularisation == "dropout" else 0.0
    return torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=decay)


def accuracy(expert: Tensor, policy: Tensor) -> float:
    """How often a discriminator is right, both kinds weighing alike; a logit of 0 is half right."""
    right = 0.5 * (1.0 + torch.sign(expert)).mean() + 0.5 * (1.0 - torch.sign(policy)).mean()
    return 0.5 * float(right.detach())
