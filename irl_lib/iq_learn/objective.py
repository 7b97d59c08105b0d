r"""One objective in three sets of variables: a reward, a Q function, a policy with its values.

With an expert's occupancy :math:`\rho` and a price
:math:`\psi(r) = \tfrac{\beta}{2} \sum \bar\rho\, r^2` the lecture's chain is

.. math::
    \max_r \Big[ \sum \rho\, r - \mathbb{E}_{p_0} V^r_0 - \psi(r) \Big]
    = \max_Q \Big[ \sum \rho\, r_Q - \mathbb{E}_{p_0} V_0 - \psi(r_Q) \Big]
    = -\min_{\pi, V} \Big[ - \sum \rho \log \pi + \psi(\log \pi + V - \gamma\, \mathbb{E} V') \Big],

with :math:`V = \log \sum_a \exp Q` and :math:`r_Q = Q - \gamma\, \mathbb{E} V'`.  All functions
take tables: Q ``(S, A)`` and V ``(S,)``; with a horizon, one for each step, Q ``(T, S, A)`` and V
``(T + 1, S)`` whose last row is 0.  Occupancies and prices then have the discount in them.  Where
episodes end (no horizon, no discount), absorbing states have no value and no reward.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, softmax

from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP, check_mdp, check_policy
from irl_lib.planning import soft_value_iteration
from irl_lib.planning.bellman import backward
from irl_lib.support.checks import Array, check_array, check_numbers, check_real, check_type


def shape_of(mdp: MDP) -> tuple[int, ...]:
    """Of Q, rewards and occupancies here: ``(S, A)``, or ``(T, S, A)``."""
    table = (check_mdp(mdp).n_states, mdp.n_actions)
    return table if mdp.horizon is None else (mdp.horizon, *table)


def soft_value(mdp: MDP, q: ArrayLike) -> Array:
    r""":math:`V(s) = \log \sum_a \exp Q(s, a)`, the largest sum of expected Q and entropy.

    Args:
        mdp: S states, A actions.
        q: ``(S, A)``, or ``(T, S, A)`` with a horizon.

    Returns:
        ``(S,)``, or ``(T + 1, S)`` with ``v[T] = 0``.

    Implements: eq-soft-value
    """
    return _soft_value(mdp, check_array("q", q, shape_of(mdp)))


def _soft_value(mdp: MDP, q: Array) -> Array:
    v = np.asarray(logsumexp(q, axis=-1))
    if mdp.episodic:
        v[mdp.absorbing] = 0.0
    return v if mdp.horizon is None else np.concatenate([v, np.zeros((1, mdp.n_states))])


def policy_of(mdp: MDP, q: ArrayLike) -> Array:
    r""":math:`\pi(a|s) = \exp(Q(s, a) - V(s))`, of the shape of ``q``.

    Implements: eq-policy-extraction
    """
    # Not exp(q - v), whose sum is off one by the rounding of v, times visits in the gradient.
    return np.asarray(softmax(check_array("q", q, shape_of(mdp)), axis=-1))


def inverse_bellman(mdp: MDP, q: ArrayLike) -> Array:
    r""":math:`r_Q(s, a) = Q(s, a) - \gamma\, \mathbb{E}_{s'} V(s')`: the reward that has this Q.

    It undoes :func:`soft_bellman`, and is undone by it: so rewards and Q functions are one to one.

    Args:
        mdp: S states, A actions.
        q: ``(S, A)``, or ``(T, S, A)`` with a horizon; any numbers.

    Implements: eq-inverse-bellman
    """
    return _inverse_bellman(mdp, check_array("q", q, shape_of(mdp)))


def _inverse_bellman(mdp: MDP, q: Array) -> Array:
    return ended(mdp, q - mdp.discount * expected(mdp, _soft_value(mdp, q)))


def soft_bellman(mdp: MDP, reward: ArrayLike) -> Array:
    r"""The Q with :math:`Q(s, a) = r(s, a) + \gamma\, \mathbb{E}_{s'} V(s')`, by planning.

    Args:
        mdp: S states, A actions.
        reward: ``(S, A)``; with a horizon also ``(T, S, A)``, another one at each step.

    Returns:
        ``(S, A)``, or ``(T, S, A)`` with a horizon.

    Raises:
        ValueError: naming a bad reward; where episodes end, that is also one that is not 0 in
            absorbing states, or for which going on for ever pays.

    Implements: eq-soft-bellman
    """
    check_mdp(mdp)
    given = check_numbers("reward", reward)
    if mdp.horizon is None or given.ndim == 2:
        return np.asarray(soft_value_iteration(mdp, given).q)
    of_step = check_array("reward", given, shape_of(mdp))

    def q_of(t: int, v: Array, q: Array) -> None:
        np.copyto(q, (of_step[t] + mdp.discount * mdp.expect(v)).T)

    return np.asarray(backward(mdp, mdp.horizon, q_of, 1.0).q)


class Price(NamedTuple):
    r""":math:`\psi(r) = \tfrac{\beta}{2} \sum \bar\rho\, r^2`."""

    weight: float
    """beta."""
    measure: Array
    r""":math:`\bar\rho`, of the shape of Q."""

    def of(self, reward: Array) -> float:
        """What a reward costs."""
        return float(0.5 * self.weight * np.sum(self.measure * reward**2))

    def slope(self, reward: Array) -> Array:
        """The gradient of that in the reward."""
        return self.weight * self.measure * reward


def price(mdp: MDP, weight: float, measure: ArrayLike) -> Price:
    """A price, checked.

    Args:
        mdp: S states, A actions.
        weight: beta >= 0.
        measure: of the shape of Q, >= 0.
    """
    mu = check_array("measure", measure, shape_of(mdp))
    if mu.min() < 0.0:
        raise ValueError(f"measure has the entry {mu.min():g}; expected numbers >= 0")
    return Price(check_real("weight", weight, 0.0), mu)


def check_price(mdp: MDP, cost: Price) -> Price:
    """A price for this MDP.

    Raises:
        ValueError: when it is something else.
    """
    return price(mdp, *check_type("cost", cost, Price))


def reduced_objective(mdp: MDP, shown: ArrayLike, reward: ArrayLike, cost: Price) -> float:
    r""":math:`\sum \rho\, r - \mathbb{E}_{p_0} V^r_0 - \psi(r)`; concave in the reward.

    Args:
        mdp: S states, A actions.
        shown: the expert's occupancy, of the shape of Q.
        reward: likewise.
        cost: the price, from :func:`price`.

    Raises:
        ValueError: naming a bad argument; where episodes end, also for a reward for which going on
            for ever pays.

    Implements: eq-reduced-objective
    """
    table = check_array("reward", reward, shape_of(mdp))
    v = _soft_value(mdp, soft_bellman(mdp, table))
    rho, psi = check_array("shown", shown, shape_of(mdp)), check_price(mdp, cost)
    return float(np.sum(rho * table)) - start_value(mdp, v) - psi.of(table)


def iq_objective(mdp: MDP, shown: ArrayLike, q: ArrayLike, cost: Price) -> float:
    r""":math:`\sum \rho\, (Q - \gamma\, \mathbb{E} V') - \mathbb{E}_{p_0} V_0 - \psi(r_Q)`.

    No planning is needed for it.  It need not be concave in Q where the price is not zero; but it
    is the concave function of the reward, seen through a bijection that is smooth both ways, so
    that a point where its gradient is 0 is the maximum.

    Args:
        mdp: S states, A actions.
        shown: the expert's occupancy, of the shape of Q.
        q: any numbers of that shape.
        cost: the price, from :func:`price`.

    Implements: eq-iq-objective
    """
    table = check_array("q", q, shape_of(mdp))
    rho, psi = check_array("shown", shown, shape_of(mdp)), check_price(mdp, cost)
    reward = _inverse_bellman(mdp, table)
    return float(np.sum(rho * reward)) - start_value(mdp, _soft_value(mdp, table)) - psi.of(reward)


def value_policy_objective(
    mdp: MDP, shown: ArrayLike, policy: ArrayLike, v: ArrayLike, cost: Price
) -> float:
    r""":math:`- \sum \rho \log \pi + \psi(\log \pi + V - \gamma\, \mathbb{E} V')`, to be minimised.

    It is minus :func:`iq_objective` where the expert's occupancy flows from :math:`p_0` as the
    dynamics have it, and :math:`V_T = 0` (where episodes end, V = 0 in absorbing states): then the
    values between the steps cancel.

    Args:
        mdp: S states, A actions.
        shown: the expert's occupancy, of the shape of Q.
        policy: likewise, above 0.
        v: ``(S,)``, or ``(T + 1, S)``.
        cost: the price, from :func:`price`.

    Implements: eq-value-policy-objective, eq-value-policy-identity
    """
    shape = shape_of(mdp)
    rho, psi = check_array("shown", shown, shape), check_price(mdp, cost)
    pi = np.broadcast_to(check_policy(mdp, policy), shape)
    if pi.min() <= 0.0:
        raise ValueError("policy has an entry 0; expected probabilities above 0")
    rows = shape[:-1] if mdp.horizon is None else (mdp.horizon + 1, mdp.n_states)
    values = check_array("v", v, rows)
    own = values if mdp.horizon is None else values[:-1]
    logs = np.log(pi)
    reward = ended(mdp, logs + own[..., None] - mdp.discount * expected(mdp, values))
    return -float(np.sum(rho * ended(mdp, logs))) + psi.of(reward)


# --- what flows -----------------------------------------------------------------------------------


def expected(mdp: MDP, v: Array) -> Array:
    """What v is expected after each step: ``(S, A)`` of ``(S,)``, or ``(T, S, A)``."""
    if mdp.horizon is None:
        return mdp.expect(v)
    return np.stack([mdp.expect(each) for each in v[1:]])


def arriving(mdp: MDP, occupancy: Array) -> Array:
    """Where an occupancy leads, discounted: ``(S,)``, or ``(T, S)`` whose first row is 0."""
    if mdp.horizon is None:
        return mdp.discount * mdp.flow(ended(mdp, occupancy))
    later = [mdp.discount * mdp.flow(each) for each in occupancy[:-1]]
    return np.stack([np.zeros(mdp.n_states), *later])


def sources(mdp: MDP, occupancy: Array) -> Array:
    """What enters the world in each state for an occupancy to flow: p_0, if it is a policy's."""
    found: Array = occupancy.sum(axis=-1) - arriving(mdp, occupancy)
    if mdp.episodic:
        found[mdp.absorbing] = 0.0
    return found


def start(mdp: MDP) -> Array:
    """p_0, of the shape of :func:`sources`."""
    if mdp.horizon is None:
        return np.asarray(np.where(mdp.absorbing & mdp.episodic, 0.0, mdp.initial))
    found = np.zeros((mdp.horizon, mdp.n_states))
    found[0] = mdp.initial
    return found


def start_value(mdp: MDP, v: Array) -> float:
    r""":math:`\mathbb{E}_{p_0} V_0`."""
    return float(mdp.initial @ (v if mdp.horizon is None else v[0]))


def ended(mdp: MDP, table: Array) -> Array:
    """The table, 0 where an episode is over."""
    return table * ~mdp.absorbing[:, None] if mdp.episodic else table


def timed_occupancy(mdp: MDP, shown: Demonstrations | ArrayLike) -> Array:
    r"""``(T, S, A)``: how much a policy, or an expert, is where at each step, discounted.

    Args:
        mdp: with a horizon T.
        shown: a policy ``(S, A)`` or ``(T, S, A)``; or demonstrations, of which the mean is taken.
            One that terminated stays in its last state for what is left, with all actions alike;
            one that was cut counts as far as it goes.

    Raises:
        ValueError: naming a bad argument, or for an MDP without a horizon.
    """
    shape = shape_of(mdp)
    if mdp.horizon is None:
        raise ValueError("mdp has no horizon; expected one, so that there are steps to tell apart")
    total = np.zeros(shape)
    if isinstance(shown, Demonstrations):
        shown.check(mdp)
        step = shown.steps()
        np.add.at(total, (step.time, step.state, step.action), mdp.discount**step.time)
        for i in np.flatnonzero(shown.terminated):
            for t in range(len(shown.actions[i]), mdp.horizon):
                total[t, shown.states[i][-1]] += mdp.discount**t / mdp.n_actions
        return total / len(shown)
    policy = np.broadcast_to(check_policy(mdp, shown, "shown"), shape)
    at = mdp.initial
    for t in range(mdp.horizon):
        total[t] = at[:, None] * policy[t]
        at = mdp.discount * mdp.flow(total[t])
    return total
