"""What a policy is worth, how much it is where, and how that moves with the reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.mdp import MDP, add_product, check_policy, check_reward, feature_matrix
from irl_lib.planning.backups import Plan, action_major_table, check_plan, entropy
from irl_lib.planning.systems import System, ended, evaluate, policy_chain, stationary_occupancy
from irl_lib.support.checks import Array, check_real


def policy_value(mdp: MDP, policy: ArrayLike, reward: ArrayLike, temperature: float = 0.0) -> Array:
    r"""The value of a policy, with ``temperature`` times its entropy as a bonus at every step.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        reward: ``(S, A)``.
        temperature: the weight of :math:`-\log \pi(a|s)`; 0 for the plain return.

    Returns:
        ``(S,)``, or ``(T + 1, S)`` with ``v[T] = 0`` when the horizon is finite.

    Raises:
        ValueError: for bad arguments, or a policy that never ends an episode that has to end.
    """
    table, pi = check_reward(mdp, reward), check_policy(mdp, policy)
    gain = np.sum(pi * table, axis=-1)
    if check_real("temperature", temperature, 0.0) > 0.0:
        gain += temperature * entropy(pi)
    if mdp.horizon is None:
        return evaluate(mdp, pi, np.where(ended(mdp), 0.0, gain))[0]
    v = np.zeros((mdp.horizon + 1, mdp.n_states))
    pi = np.broadcast_to(pi, (mdp.horizon, *table.shape))
    gain = np.broadcast_to(gain, (mdp.horizon, mdp.n_states))
    for t in reversed(range(mdp.horizon)):
        v[t] = gain[t] + mdp.discount * np.sum(pi[t] * mdp.expect(v[t + 1]), axis=1)
    return v


def occupancy(mdp: MDP, policy: ArrayLike) -> Array:
    r"""``(S, A)``: how much a policy is where, :math:`\sum_t \gamma^t P(s_t = s, a_t = a)`.

    It sums to :attr:`irl_lib.mdp.MDP.mass`.  Where episodes end (no horizon, no discount) it is the
    expected number of visits before the end.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.

    Raises:
        ValueError: for a bad policy, or one that never ends an episode that has to end.
    """
    return unchecked_occupancy(mdp, check_policy(mdp, policy))


def unchecked_occupancy(mdp: MDP, policy: Array, sources: Array | None = None) -> Array:
    """:func:`occupancy` for inner loops: the policy comes from a plan and needs no check.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        sources: ``(S,)``, or with a horizon ``(T, S)`` not discounted: how much enters the world in
            each state, of either sign; default: one, at the start.
    """
    if mdp.horizon is None:
        entering = mdp.initial if sources is None else sources
        return stationary_occupancy(mdp, policy, entering)[:, None] * policy
    per_step = np.broadcast_to(policy, (mdp.horizon, *policy.shape[-2:]))
    matrix = mdp.transposed

    def flow(t: int, x: Array) -> Array:
        if sources is None or t + 1 == len(sources):
            arriving = np.zeros(mdp.n_states)
        else:
            arriving = mdp.discount**t * sources[t + 1]
        add_product(matrix, x.ravel(), arriving)
        return arriving

    return forward(mdp, mdp.initial if sources is None else sources[0], per_step, flow)


def feature_expectations(mdp: MDP, policy: ArrayLike, features: Any) -> Array:
    r"""``(K,)``: :math:`\mu(\pi, \phi) = \mathbb{E}_\pi \sum_t \gamma^t \phi(s_t, a_t)`.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.

    Implements: eq-feature-expectations
    """
    return np.asarray(feature_matrix(mdp, features).T @ occupancy(mdp, policy).ravel())


def occupancy_derivative(
    mdp: MDP, plan: Plan, direction: ArrayLike, states: Array | None = None
) -> Array:
    r"""How the occupancy of a soft plan at temperature 1 moves as the reward moves.

    This is the Hessian of :math:`\mathbb{E} V_0`, which the occupancy is the gradient of, applied
    to a
    direction: symmetric and positive semi-definite.  It costs as much as one gradient.

    Args:
        mdp: S states, A actions.
        plan: from :func:`soft_value_iteration`.
        direction: ``(S, A)``, the change of the reward.
        states: ``(S,)``, or with a horizon ``(T, S)`` not discounted, how often somebody else was
            where: then it is the Fisher information of the actions of a soft-optimal agent there,
            applied to the direction; default: where the plan goes.

    Returns:
        ``(S, A)``, the directional derivative.

    Raises:
        ValueError: for a bad direction, or a plan of another MDP or one that never ends.
    """
    dr = check_reward(mdp, direction, "direction")
    check_plan(mdp, plan)
    if mdp.horizon is None:
        return _stationary_derivative(mdp, plan, dr, states)
    dlog = _log_policy_derivative(mdp, plan, action_major_table(dr))
    total = np.zeros((mdp.n_actions, mdp.n_states))
    state, dstate = mdp.initial, np.zeros(mdp.n_states)
    for t in range(mdp.horizon):
        policy = plan.policy[t].T
        dx = dlog[t]
        dx *= state if states is None else states[t]
        dx += dstate
        dx *= policy
        state = mdp.flow((policy * state).T)
        dstate = mdp.flow(dx.T)
        if mdp.discount != 1.0:
            dx *= mdp.discount**t
        total += dx
    return total.T


def _log_policy_derivative(mdp: MDP, plan: Plan, dr: Array) -> Array:
    r"""``(T, A, S)``: how log pi = q - v moves as the action-major reward moves by ``dr``.

    .. math::
        \dot q_t = \dot r + \gamma\, \mathbb{E} \dot v_{t+1}, \qquad
        \dot v_t = \sum_a \pi_t \dot q_t, \qquad \partial \log \pi_t = \dot q_t - \dot v_t .
    """
    dlog = np.empty((len(plan.policy), *dr.shape))
    dv = np.zeros(mdp.n_states)
    for t in reversed(range(len(plan.policy))):
        step = np.multiply(mdp.expect(dv).T, mdp.discount, out=dlog[t])
        step += dr
        dv = np.einsum("as,as->s", plan.policy[t].T, step)
        step -= dv
    return dlog


def _stationary_derivative(mdp: MDP, plan: Plan, dr: Array, states: Array | None) -> Array:
    r"""The same at the fixed point, by two linear systems with :math:`I - \gamma P_\pi`.

    With :math:`\dot v = (I - \gamma P_\pi)^{-1} \sum_a \pi \dot r`, the visits of states b move by
    :math:`\dot b = (I - \gamma P_\pi)^{-\top} \gamma P^\top (b\, \pi\, \partial \log \pi)`, and
    those of actions by :math:`\dot b\, \pi + b\, \pi\, \partial \log \pi`.
    """
    visited = stationary_occupancy(mdp, plan.policy, mdp.initial) if states is None else states
    system = System(policy_chain(mdp, plan.policy))
    dv = system.solve(np.sum(plan.policy * dr, axis=1))
    dlog = dr + mdp.discount * mdp.expect(dv) - dv[:, None]
    x = visited[:, None] * plan.policy
    dx = x * (dlog - np.sum(plan.policy * dlog, axis=1, keepdims=True))
    dstate = system.solve(mdp.discount * mdp.flow(dx), transposed=True)
    if mdp.episodic:
        dstate[mdp.absorbing] = 0.0
        dx[mdp.absorbing] = 0.0
    moved: Array = dstate[:, None] * plan.policy + dx
    return moved


def forward(mdp: MDP, start: Array, policy: Array, flow: Callable[[int, Array], Array]) -> Array:
    r"""``(S, A)``: :math:`\sum_t x_t`, where :math:`x_t = b_t \pi_t` and :math:`b_{t+1} = \gamma
    P^\top x_t`; ``flow`` is that product, of the action-major ``(A, S)`` mass of a step.
    """
    total = np.zeros((mdp.n_actions, mdp.n_states))
    state, x = start, np.empty_like(total)
    for t in range(len(policy)):
        np.multiply(policy[t].T, state, out=x)
        total += x
        state = flow(t, x)
        if mdp.discount != 1.0:
            state *= mdp.discount
    return total.T
