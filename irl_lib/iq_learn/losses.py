r"""The objective on samples, one function for each of its forms, each the sum of three terms.

With :math:`r = Q(s, a) - \gamma V'` and the price
:math:`\psi(r) = \tfrac{\beta}{2} \mathbb{E}\, r^2`, what is minimised is minus the lecture's
objective, scaled by :math:`1 - \gamma` so that sums over time become means over steps:

.. math::
    - \mathbb{E}_E\, r + (1 - \gamma)\, \mathbb{E}_{p_0} V_0 + \psi(r) .

The value of the start, of which demonstrations hold one sample each, is a telescoping sum over the
steps of *any* policy that starts there: :math:`(1 - \gamma)\, \mathbb{E}_{p_0} V_0 = \mathbb{E}[V -
\gamma V']`.  The forms differ in whose steps these are, and in whose rewards are priced.  ``V'`` is
the value of the sampled next state, so that the price has
:math:`\tfrac{\beta}{2} \gamma^2 \mathrm{Var}\, V'` too much in it where dynamics are random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """N steps of one kind, as k critics see them."""

    q: Tensor
    """``(k, N)``: of the action that was taken."""
    v: Tensor
    """``(k, N)``: of the state."""
    later: Tensor
    r"""``(N,)`` or ``(k, N)``: :math:`\gamma V'`, of what comes after it."""
    weights: Tensor
    """``(N,)``, which sum to 1."""

    @property
    def reward(self) -> Tensor:
        """``(k, N)``: r.

        Implements: eq-inverse-bellman
        """
        return self.q - self.later

    def mean(self, x: Tensor) -> Tensor:
        """Of something ``(k, N)``, over steps and critics."""
        return (x @ self.weights).mean()


class Terms(NamedTuple):
    """What is minimised is their sum."""

    reward: Tensor
    """Minus what the expert collects."""
    value: Tensor
    """What the start is worth, times 1 - gamma; as the form estimates it."""
    price: Tensor
    """What rewards cost."""


def start_values(expert: Batch, _: Batch | None, start: Tensor, beta: float) -> Terms:
    r"""As it is derived: :math:`V_0` of the start states; the expert's rewards are priced.

    Implements: eq-iq-objective
    """
    price = 0.5 * beta * expert.mean(expert.reward**2)
    return Terms(-expert.mean(expert.reward), start, price)


def value_and_policy(expert: Batch, _: Batch | None, __: Tensor, beta: float) -> Terms:
    r"""The expert's own steps in the telescoping sum: :math:`-\mathbb{E}_E \log \pi + \psi(r)`.

    The first two terms together are minus :math:`\mathbb{E}_E [Q - V]`, which is cloning.

    Implements: eq-value-policy-objective
    """
    price = 0.5 * beta * expert.mean(expert.reward**2)
    return Terms(-expert.mean(expert.reward), expert.mean(expert.v - expert.later), price)


def mixture(expert: Batch, policy: Batch | None, _: Tensor, beta: float) -> Terms:
    r"""Half of the expert's and half of the policy's steps, in the sum and in the price.

    Reference: Garg et al. (2021), whose code does this on line.
    """
    assert policy is not None
    halves = expert, policy
    value = sum((each.mean(each.v - each.later) for each in halves), torch.zeros(()))
    return Terms(-expert.mean(expert.reward), 0.5 * value, _price(expert, policy, beta))


def least_squares(expert: Batch, policy: Batch | None, _: Tensor, beta: float) -> Terms:
    r"""The policy's steps in the sum, with the Q of their actions in the place of V.

    Up to a constant it is
    :math:`\tfrac{\beta}{4} (\mathbb{E}_E (r - 2/\beta)^2 + \mathbb{E}_\pi (r + 2/\beta)^2)`: least
    squares, on one number for the expert and its opposite for the policy.  Its gradient is that of
    the sum of :math:`V - \gamma V'` as long as the actions are the present policy's, because of
    :math:`\nabla V = \sum_a \pi \nabla Q`.

    Reference: Al-Hafez et al. (2023), LS-IQ.
    """
    assert policy is not None
    return Terms(
        -expert.mean(expert.reward), policy.mean(policy.reward), _price(expert, policy, beta)
    )


def _price(expert: Batch, policy: Batch, beta: float) -> Tensor:
    r""":math:`\tfrac{\beta}{2} \mathbb{E}\, r^2`, over half of each."""
    return 0.25 * beta * (expert.mean(expert.reward**2) + policy.mean(policy.reward**2))


Form = Callable[[Batch, Batch | None, Tensor, float], Terms]

OFFLINE: Mapping[str, Form] = {"value and policy": value_and_policy, "start values": start_values}
"""The forms that need the expert's steps alone."""

ONLINE: Mapping[str, Form] = {"least squares": least_squares, "mixture": mixture}
"""Those that need the policy's, too."""

LOSSES: Mapping[str, Form] = {**OFFLINE, **ONLINE}
"""All forms, by name."""
