r"""The soft Bellman recursion; at temperature zero, the hard one.

.. math::
    Q_t(s,a) &= r(s,a) + \gamma\, \mathbb{E}_{s' \sim P(\cdot|s,a)} V_{t+1}(s'), \\
    V_t(s) &= \alpha \log \sum_a \exp (Q_t(s,a) / \alpha), \\
    \pi_t(a|s) &= \exp((Q_t(s,a) - V_t(s)) / \alpha) .

The loop that is it stands in :func:`backward`; what :math:`Q_t` is made of is handed to it, since
:func:`irl_lib.planning.trajectory_posterior` differs from planning there, and nowhere else.
Without a horizon the recursion has a fixed point instead (:mod:`irl_lib.planning.fixed_points`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.mdp import MDP, add_product, check_reward
from irl_lib.planning.backups import BLOCK, Plan, action_major_table, of_block, soft_max
from irl_lib.planning.fixed_points import Scales, fixed_point
from irl_lib.support.checks import Array, check_real


def value_iteration(mdp: MDP, reward: ArrayLike) -> Plan:
    """The optimal values and a deterministic optimal policy.

    It takes the first of equally good actions; where episodes have to end, and that would not end
    them, the first that leads there.

    Args:
        mdp: S states, A actions.
        reward: ``(S, A)``.

    Raises:
        ValueError: for a bad reward, or one for which no finite optimal value exists.

    Example:
        >>> from irl_lib.worlds import two_goal
        >>> world = two_goal()
        >>> value_iteration(world.mdp, world.reward).v.round(2)
        array([ 9. ,  8.1,  9. , 10. ])
    """
    return _plan(mdp, check_reward(mdp, reward), 0.0)


def soft_value_iteration(mdp: MDP, reward: ArrayLike, temperature: float = 1.0) -> Plan:
    r"""The soft values and the maximum causal entropy policy.

    Args:
        mdp: S states, A actions.
        reward: ``(S, A)``.
        temperature: :math:`\alpha > 0`, the weight of the entropy.

    Raises:
        ValueError: for a bad argument, or when the soft value does not converge for this reward
            (only possible without horizon and discount, when wandering about pays more than it
            costs).

    Implements: eq-soft-policy, eq-maxent-rl-objective
    """
    alpha = check_real("temperature", temperature, 0.0, open_end=True)
    return _plan(mdp, check_reward(mdp, reward), alpha)


def unchecked_soft_plan(mdp: MDP, reward: Array) -> Plan:
    """:func:`soft_value_iteration` for inner loops, which need no check and no q.

    With a finite horizon ``q`` is empty: allocating it would take a third of the time.
    """
    return _plan(mdp, reward, 1.0, keep_q=False)


def _plan(mdp: MDP, reward: Array, temperature: float, keep_q: bool = True) -> Plan:
    if mdp.horizon is None:
        return fixed_point(mdp, reward, temperature)
    table, matrix, discount = action_major_table(reward), mdp.matrix, mdp.discount

    def q_of(t: int, v: Array, q: Array) -> None:  # r + gamma E V
        np.copyto(q, table)
        add_product(matrix, v if discount == 1.0 else discount * v, q.ravel())

    plan = backward(mdp, mdp.horizon, q_of, temperature, keep_q)
    if not temperature:
        _choose(mdp, reward, plan)
    return plan


def _choose(mdp: MDP, reward: Array, plan: Plan) -> None:
    """Fill the policy of a hard plan with a horizon: the first of equally good actions."""
    left = np.cumsum(mdp.discount ** np.arange(len(plan.q)))[::-1, None]  # steps, in all
    ties = Scales.of(mdp, reward).within(left).ties(plan.q.transpose(0, 2, 1), plan.v[:-1])
    best, actions = ties.argmax(axis=1)[:, None], np.arange(mdp.n_actions)[:, None]
    np.equal(best, actions, out=plan.policy.transpose(0, 2, 1), casting="unsafe")


def backward(
    mdp: MDP,
    horizon: int,
    q_of: Callable[[int, Array, Array], None],
    temperature: float,
    keep_q: bool = True,
) -> Plan:
    """The recursion over time, from ``V_T = 0``.

    Args:
        mdp: S states, A actions.
        horizon: T.
        q_of: fills the action-major ``(A, S)`` q of step t, given the values of step t + 1.
        temperature: at zero the policy is left open.
        keep_q: whether to keep the q of all steps.
    """
    shape = (mdp.n_actions, mdp.n_states)
    q = np.empty((horizon if keep_q else 1, *shape))
    policy, v = np.empty((horizon, *shape)), np.zeros((horizon + 1, mdp.n_states))
    fill = soft_max if mdp.n_states > BLOCK else of_block(temperature)
    for t in reversed(range(horizon)):
        step = q[t if keep_q else 0]
        q_of(t, v[t + 1], step)  # Q_t
        # V_t = alpha log sum exp(Q_t / alpha), and pi_t = exp((Q_t - V_t) / alpha)
        fill(step, temperature, policy[t] if temperature else None, v[t])
    q = q[: horizon if keep_q else 0]
    return Plan(q.transpose(0, 2, 1), v, policy.transpose(0, 2, 1))
