"""The exact posterior over trajectories, given optimality: planning that chooses its luck."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from irl_lib.mdp import MDP, check_reward
from irl_lib.planning.backups import (
    Plan,
    action_major_table,
    check_plan,
    finite_horizon,
    log_expect_exp,
    log_mean_exp,
    next_weights,
)
from irl_lib.planning.bellman import backward
from irl_lib.planning.occupancies import forward
from irl_lib.support.checks import Array


def trajectory_posterior(mdp: MDP, reward: ArrayLike) -> Plan:
    r"""The exact posterior :math:`p(a_t \mid s_t, \mathcal{O}_{t:T-1} = 1)`, by backward messages.

    The messages are :math:`V_t(s) = \log p(\mathcal{O}_{t:T-1} = 1 \mid s_t = s)`, up to the
    constant of a uniform prior over actions.  With a discount below one the trajectory reward is
    :math:`\sum_t \gamma^t r(s_t, a_t)`.  The policy has to be read with the posterior's own
    dynamics (:func:`trajectory_occupancy`): it is optimistic about luck.

    Args:
        mdp: with a finite horizon.
        reward: ``(S, A)``.

    Raises:
        ValueError: for a bad reward or an infinite horizon.

    Implements: eq-optimality-variable, eq-trajectory-posterior, eq-soft-policy
    """
    horizon = finite_horizon(mdp)
    table = action_major_table(check_reward(mdp, reward))

    def q_of(t: int, v: Array, q: Array) -> None:
        np.multiply(table, mdp.discount**t, out=q)
        q += log_expect_exp(mdp, v)

    return backward(mdp, horizon, q_of, 1.0)


def log_partition(mdp: MDP, plan: Plan) -> float:
    r"""``log Z`` of a :func:`trajectory_posterior`: :math:`\log \mathbb{E}_{p_0} \exp V_0(s_0)`.

    Implements: eq-partition-function
    """
    finite_horizon(mdp)
    check_plan(mdp, plan)
    return float(log_mean_exp(plan.v[0], mdp.initial))


def best_case(mdp: MDP, reward: ArrayLike) -> float:
    """The most that any trajectory of positive probability collects.

    It is what :func:`trajectory_posterior` plans for as the reward grows: luck is chosen.
    """
    table = action_major_table(check_reward(mdp, reward))
    v = np.zeros(mdp.n_states)
    for t in reversed(range(finite_horizon(mdp))):
        luck = np.maximum.reduceat(v[mdp.matrix.indices], mdp.matrix.indptr[:-1])
        v = np.max(mdp.discount**t * table + luck.reshape(table.shape), axis=0)
    return float(v[mdp.initial > 0.0].max())


def trajectory_occupancy(mdp: MDP, plan: Plan) -> Array:
    r"""``(S, A)``: the occupancy under a :func:`trajectory_posterior` and its tilted dynamics.

    The posterior's next states follow :math:`P(s'|s,a) \exp V_{t+1}(s')`, normalised, and so does
    its first one.
    """
    finite_horizon(mdp)
    check_plan(mdp, plan)

    def tilted_flow(t: int, x: Array) -> Array:
        return np.asarray(_tilted(mdp, plan.v[t + 1]).T @ x.ravel())

    return forward(mdp, _tilted_start(mdp, plan), plan.policy, tilted_flow)


def trajectory_occupancy_derivative(mdp: MDP, plan: Plan, direction: ArrayLike) -> Array:
    r"""The same for :func:`trajectory_posterior`: the Hessian of ``log Z``, applied to a direction.

    It is the covariance, under the posterior, of visits and of the total reward in that direction.
    Backwards, :math:`\dot v_t = \sum_a \pi_t (\gamma^t \dot r + \tilde P_t \dot v_{t+1})`, with the
    tilted dynamics :math:`\tilde P_t`; forwards, the visits :math:`x_t` move by
    :math:`\dot x_t = \dot b_t \pi_t + x_t\, \partial \log \pi_t`, and the states by
    :math:`\dot b_{t+1} = b_{t+1} \dot v_{t+1} + \tilde P_t^\top (\dot x_t - x_t \tilde P_t \dot
    v_{t+1})`, since the dynamics are tilted by :math:`\exp v_{t+1}`.
    """
    horizon, dr = finite_horizon(mdp), action_major_table(check_reward(mdp, direction, "direction"))
    check_plan(mdp, plan)
    kernels = [_tilted(mdp, plan.v[t + 1]) for t in range(horizon)]
    dv = np.zeros((horizon + 1, mdp.n_states))
    ahead, dlog = np.empty((horizon, *dr.shape)), np.empty((horizon, *dr.shape))
    for t in reversed(range(horizon)):
        ahead[t] = np.asarray(kernels[t] @ dv[t + 1]).reshape(dr.shape)
        step = mdp.discount**t * dr + ahead[t]
        dv[t] = np.sum(plan.policy[t].T * step, axis=0)
        dlog[t] = step - dv[t]
    state = _tilted_start(mdp, plan)
    dstate = state * (dv[0] - state @ dv[0])
    total = np.zeros_like(dr)
    for t, kernel in enumerate(kernels):
        x = plan.policy[t].T * state
        dx = plan.policy[t].T * dstate + x * dlog[t]
        total += mdp.discount**t * dx
        state = np.asarray(kernel.T @ x.ravel())
        dstate = state * dv[t + 1] + np.asarray(kernel.T @ (dx - x * ahead[t]).ravel())
    return total.T


def _tilted(mdp: MDP, v: Array) -> sparse.csr_array:
    """``(A*S, S)``: P(s'|s,a) exp v(s'), normalised."""
    _, weights = next_weights(mdp, v)
    totals = np.add.reduceat(weights, mdp.matrix.indptr[:-1])
    weights /= np.repeat(totals, np.diff(mdp.matrix.indptr))
    parts = (weights, mdp.matrix.indices, mdp.matrix.indptr)
    return sparse.csr_array(parts, shape=mdp.matrix.shape)


def _tilted_start(mdp: MDP, plan: Plan) -> Array:
    support = mdp.initial > 0.0
    excess = np.where(support, plan.v[0] - plan.v[0][support].max(), -np.inf)
    weights = mdp.initial * np.exp(excess)
    return np.asarray(weights / weights.sum())
