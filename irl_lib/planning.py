r"""Planning, hard and soft, and the occupancies that plans lead to.

With reward :math:`r(s,a)`, discount :math:`\gamma` and temperature :math:`\alpha` the soft Bellman
recursion is

.. math::
    Q_t(s,a) = r(s,a) + \gamma\, \mathbb{E}_{s' \sim P(\cdot|s,a)} V_{t+1}(s'), \qquad
    V_t(s) = \alpha \log \sum_a \exp (Q_t(s,a) / \alpha), \qquad
    \pi_t(a|s) = \exp((Q_t(s,a) - V_t(s)) / \alpha),

backwards from :math:`V_T = 0` when the horizon is finite, and at its fixed point when it is not.
There is one such recursion in this package, :func:`soft_value_iteration`; at temperature zero it is
:func:`value_iteration`.  The exact posterior over trajectories given optimality
(:func:`trajectory_posterior`) differs in one place only: the expectation over the next state is
:math:`\log \mathbb{E} \exp V_{t+1}(s')`, as if luck could be chosen.

All of it runs in log space.  Without a horizon the fixed point is found by Newton's method on
:math:`V - \mathcal{T}V`, which is policy iteration (soft or hard): each step is one sparse linear
system.  Where every action has one outcome, every step costs and episodes end, planning is a
shortest-path problem, and Dijkstra's algorithm gives Newton's method the solution to start from.
Elsewhere it starts from the uniform policy; where that takes for ever to end an episode, from one
that ends them soon.

References: Ziebart (2010), chapter 6; Levine (2018), sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph, linalg

from irl_lib.mdp import (
    MDP,
    Array,
    add_product,
    check_count,
    check_mdp,
    check_policy,
    check_real,
    check_reward,
    check_shape,
    check_type,
    deterministic_policy,
    feature_matrix,
    reachable,
)

DIRECT_LIMIT = 50_000  # states up to which a linear system is factorised without trying to iterate
KRYLOV_STEPS = 100  # what an iteration gets for it beyond that: it needs few, or far too many
BLOCK = 32_768  # states per block of a backup, so that its temporaries stay in cache
TOLERANCE = 1e-14  # Bellman residual, relative to the largest value, of a fixed point
TIE = 1e-12  # actions are equally good if they differ by less, relative to what was added up
GAIN = 2e-14  # an action is better if it gains more, likewise relative
ULPS = 8.0 * float(np.finfo(np.float64).eps)  # the least that rounding changes, likewise relative
MAX_NEWTON_STEPS = 1_000
STALLED = 1e-12  # the residual, likewise relative, that rounding may leave behind
LOOKAHEAD = 50  # sweeps of value iteration between two linear systems of policy iteration,
MANY = 1_000  # from this many states on: they cost a third of a system, and halve their number
PATIENCE = 1e8  # steps to the end, up to which the uniform policy is one to start from
SAME = 0.01  # relative difference of the steps of two policies that are close to the last one
LONGEST = 1e13  # steps to the end: a policy that takes more never ends, but for rounding
SETTLED = 1e-3  # growth in a sweep, of the log of the chance to end soon, that is left alone


class DivergenceError(ValueError):
    """Without horizon and discount, going on for ever pays: no finite value exists."""


class Plan(NamedTuple):
    """What planning returns; with a finite horizon the first axis is time."""

    q: Array
    """``(S, A)`` or ``(T, S, A)``."""
    v: Array
    """``(S,)`` or ``(T + 1, S)`` with ``v[T] = 0``."""
    policy: Array
    """``(S, A)`` or ``(T, S, A)``."""


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
    horizon = _finite(mdp)
    table = _action_major_table(check_reward(mdp, reward))

    def q_of(t: int, v: Array, q: Array) -> None:
        np.multiply(table, mdp.discount**t, out=q)
        q += _log_expect_exp(mdp, v)

    return _backward(mdp, horizon, q_of, 1.0)


def log_partition(mdp: MDP, plan: Plan) -> float:
    r"""``log Z`` of a :func:`trajectory_posterior`: :math:`\log \mathbb{E}_{p_0} \exp V_0(s_0)`.

    Implements: eq-partition-function
    """
    _finite(mdp)
    _check_plan(mdp, plan)
    return float(_log_mean_exp(plan.v[0], mdp.initial))


def best_case(mdp: MDP, reward: ArrayLike) -> float:
    """The most that any trajectory of positive probability collects.

    It is what :func:`trajectory_posterior` plans for as the reward grows: luck is chosen.
    """
    table = _action_major_table(check_reward(mdp, reward))
    v = np.zeros(mdp.n_states)
    for t in reversed(range(_finite(mdp))):
        luck = np.maximum.reduceat(v[mdp.matrix.indices], mdp.matrix.indptr[:-1])
        v = np.max(mdp.discount**t * table + luck.reshape(table.shape), axis=0)
    return float(v[mdp.initial > 0.0].max())


def soft_backup(
    mdp: MDP, reward: Array, v: Array, temperature: float = 1.0, workers: int = 1
) -> tuple[Array, Array]:
    """One step of the soft Bellman recursion: ``q`` ``(S, A)`` and the new ``v`` ``(S,)``.

    Args:
        mdp: S states, A actions.
        reward: ``(S, A)``.
        v: ``(S,)``, the values of the next step.
        temperature: as in :func:`soft_value_iteration`.
        workers: threads among which the states are divided; worth it from 100,000 states on.

    Raises:
        ValueError: for an array of another shape, a temperature below 0 or no worker.
    """
    shape = (mdp.n_states, mdp.n_actions)
    table = _action_major_table(check_shape("reward", reward, shape))
    ahead = mdp.discount * check_shape("v", v, shape[:1])
    check_real("temperature", temperature, 0.0)
    check_count("workers", workers)
    q, new = np.empty(table.shape), np.empty(ahead.shape)

    def back_up(first: int) -> None:
        block = slice(first, first + BLOCK)
        q[:, block] = table[:, block]
        for a, row in enumerate(q[:, block]):
            add_product(mdp.matrix, ahead, row, a * mdp.n_states + first)
        _soft_max(q[:, block], temperature, None, new[block])

    parts = range(0, mdp.n_states, BLOCK)
    if workers == 1 or len(parts) == 1:
        for first in parts:
            back_up(first)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(back_up, parts))
    return q.T, new


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
        gain += temperature * _entropy(pi)
    if mdp.horizon is None:
        return _evaluate(mdp, pi, np.where(_ended(mdp), 0.0, gain))[0]
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


def unchecked_occupancy(mdp: MDP, policy: Array) -> Array:
    """:func:`occupancy` for inner loops: the policy comes from a plan and needs no check."""
    if mdp.horizon is None:
        return _stationary_occupancy(mdp, policy)[:, None] * policy
    per_step = np.broadcast_to(policy, (mdp.horizon, *policy.shape[-2:]))
    matrix, n_states = mdp.transposed, mdp.n_states

    def flow(t: int, x: Array) -> Array:
        arriving = np.zeros(n_states)
        add_product(matrix, x.ravel(), arriving)
        return arriving

    return _forward(mdp, mdp.initial, per_step, flow)


def trajectory_occupancy(mdp: MDP, plan: Plan) -> Array:
    r"""``(S, A)``: the occupancy under a :func:`trajectory_posterior` and its tilted dynamics.

    The posterior's next states follow :math:`P(s'|s,a) \exp V_{t+1}(s')`, normalised, and so does
    its first one.
    """
    _finite(mdp)
    _check_plan(mdp, plan)

    def tilted_flow(t: int, x: Array) -> Array:
        return np.asarray(_tilted(mdp, plan.v[t + 1]).T @ x.ravel())

    return _forward(mdp, _tilted_start(mdp, plan), plan.policy, tilted_flow)


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
    _check_plan(mdp, plan)
    if mdp.horizon is None:
        return _stationary_derivative(mdp, plan, dr, states)
    dlog = _log_policy_derivative(mdp, plan, _action_major_table(dr))
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


def trajectory_occupancy_derivative(mdp: MDP, plan: Plan, direction: ArrayLike) -> Array:
    r"""The same for :func:`trajectory_posterior`: the Hessian of ``log Z``, applied to a direction.

    It is the covariance, under the posterior, of visits and of the total reward in that direction.
    """
    horizon, dr = _finite(mdp), _action_major_table(check_reward(mdp, direction, "direction"))
    _check_plan(mdp, plan)
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


def _log_policy_derivative(mdp: MDP, plan: Plan, dr: Array) -> Array:
    """``(T, A, S)``: how log pi = q - v moves as the action-major reward moves by ``dr``."""
    dlog = np.empty((len(plan.policy), *dr.shape))
    dv = np.zeros(mdp.n_states)
    for t in reversed(range(len(plan.policy))):
        step = np.multiply(mdp.expect(dv).T, mdp.discount, out=dlog[t])
        step += dr
        dv = np.einsum("as,as->s", plan.policy[t].T, step)
        step -= dv
    return dlog


def _stationary_derivative(mdp: MDP, plan: Plan, dr: Array, states: Array | None) -> Array:
    visited = _stationary_occupancy(mdp, plan.policy) if states is None else states
    system = _System(_chain(mdp, plan.policy))
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


# --- backward: values -------------------------------------------------------------------------


def unchecked_soft_plan(mdp: MDP, reward: Array) -> Plan:
    """:func:`soft_value_iteration` for inner loops, which need no check and no q.

    With a finite horizon ``q`` is empty: allocating it would take a third of the time.
    """
    return _plan(mdp, reward, 1.0, keep_q=False)


def _plan(mdp: MDP, reward: Array, temperature: float, keep_q: bool = True) -> Plan:
    if mdp.horizon is None:
        return _fixed_point(mdp, reward, temperature)
    table, matrix, discount = _action_major_table(reward), mdp.matrix, mdp.discount

    def q_of(t: int, v: Array, q: Array) -> None:
        np.copyto(q, table)
        add_product(matrix, v if discount == 1.0 else discount * v, q.ravel())

    plan = _backward(mdp, mdp.horizon, q_of, temperature, keep_q)
    if not temperature:
        _choose(mdp, reward, plan)
    return plan


def _choose(mdp: MDP, reward: Array, plan: Plan) -> None:
    """Fill the policy of a hard plan with a horizon: the first of equally good actions."""
    left = np.cumsum(mdp.discount ** np.arange(len(plan.q)))[::-1, None]  # steps, in all
    ties = _Scales.of(mdp, reward).within(left).ties(plan.q.transpose(0, 2, 1), plan.v[:-1])
    best, actions = ties.argmax(axis=1)[:, None], np.arange(mdp.n_actions)[:, None]
    np.equal(best, actions, out=plan.policy.transpose(0, 2, 1), casting="unsafe")


def _backward(
    mdp: MDP,
    horizon: int,
    q_of: Callable[[int, Array, Array], None],
    temperature: float,
    keep_q: bool = True,
) -> Plan:
    """The recursion over time; ``q_of`` fills the action-major ``(A, S)`` q of a step."""
    shape = (mdp.n_actions, mdp.n_states)
    q = np.empty((horizon if keep_q else 1, *shape))
    policy, v = np.empty((horizon, *shape)), np.zeros((horizon + 1, mdp.n_states))
    soft_max = _soft_max if mdp.n_states > BLOCK else _of_block(temperature)
    for t in reversed(range(horizon)):
        step = q[t if keep_q else 0]
        q_of(t, v[t + 1], step)
        soft_max(step, temperature, policy[t] if temperature else None, v[t])
    q = q[: horizon if keep_q else 0]
    return Plan(q.transpose(0, 2, 1), v, policy.transpose(0, 2, 1))


def _fixed_point(mdp: MDP, reward: Array, temperature: float) -> Plan:
    v = _along_shortest_paths(mdp, reward, temperature)
    if temperature:
        return _soft_policy_iteration(mdp, reward, temperature, v)
    scales = _Scales.of(mdp, reward)
    if v is None:
        return _policy_iteration(mdp, reward, scales)
    plan = _greedy(mdp, reward, v, 0.0)
    best = scales.within(LONGEST).ties(plan.q.T, plan.v)
    return plan._replace(policy=_that_ends(mdp, best))


def _soft_policy_iteration(mdp: MDP, reward: Array, temperature: float, v: Array | None) -> Plan:
    """Newton's method on v - Tv; from the value of a policy on, it never decreases.

    Where a round trip pays, entropy included, policies make ever more of it, and more steps: at
    least e times as many as the last one where it just breaks even, and then the residual, which
    shrinks as the steps grow, says nothing.
    """
    last, before, steps = np.inf, np.inf, 0.0
    if v is None:
        _, v, steps = _start(mdp, reward, temperature)
    for _ in range(MAX_NEWTON_STEPS):
        plan = _greedy(mdp, reward, v, temperature)
        residual = float(np.abs(plan.v - v).max(initial=0.0, where=~_ended(mdp)))
        scale, rounding = max(temperature, float(np.abs(reward).max())), ULPS * np.abs(v).max()
        scale = max(scale, float(np.abs(v).max() if mdp.episodic else np.ptp(v)))
        # The residual falls quadratically until rounding stops it.
        stalled = last <= residual <= STALLED * scale + rounding
        small = residual <= TOLERANCE * scale or stalled
        if small and abs(steps - before) <= SAME * before:
            return plan
        last, before = residual, steps
        v, steps = _value_of(mdp, plan.policy, reward, temperature)
    raise _divergence(mdp, reward, temperature)


def _policy_iteration(mdp: MDP, reward: Array, scales: _Scales) -> Plan:
    """The same without entropy.

    A state leaves its action only for a better one.  So the policy ends every episode that the
    previous one ended, or has found a round trip that pays; and rounding can't make it cycle.
    """
    policy, v, steps = _start(mdp, reward, 0.0, scales)
    last = np.inf
    for _ in range(MAX_NEWTON_STEPS):
        plan, seen = _greedy(mdp, reward, v, 0.0), scales.within(steps)
        if not mdp.episodic:
            seen = seen._replace(spread=float(np.abs(reward).max()) + float(np.ptp(v)))
        better = _improve(policy, plan, seen)
        residual = float((plan.v - v).max())
        stalled = last <= residual <= STALLED * float(np.abs(v).max())
        if stalled or np.array_equal(better, policy):
            best = seen.ties(plan.q.T, plan.v) | seen.not_worse(policy.T > 0.0)
            return plan._replace(policy=_that_ends(mdp, best))
        ahead = _improve(policy, _look_ahead(mdp, reward, plan), seen)
        # Seen from afar a small gain can pass for a tie.
        policy, last = better if np.array_equal(ahead, policy) else ahead, residual
        v, steps = _value_of(mdp, policy, reward, 0.0)
    raise _divergence(mdp, reward, 0.0)


def _divergence(mdp: MDP, reward: Array, temperature: float) -> DivergenceError:
    kind = "soft value" if temperature else "value"
    return DivergenceError(
        f"the {kind} does not converge for this reward (entries from {reward.min():g} to "
        f"{reward.max():g}): with discount {mdp.discount:g} and no horizon, going on for ever "
        "gains more than it costs; lower the reward, the discount or the temperature, or give a "
        "horizon"
    )


def _start(
    mdp: MDP, reward: Array, temperature: float, scales: _Scales | None = None
) -> tuple[Array, Array, float]:
    """A policy, its value and its steps: the uniform one, or one that ends sooner."""
    policy = np.ones((mdp.n_states, mdp.n_actions))
    if scales is not None:
        scales.not_worse(policy.T)
    policy /= policy.sum(axis=1, keepdims=True)
    try:
        v, steps = _value_of(mdp, policy, reward, temperature)
    except DivergenceError:
        steps = np.inf
    if mdp.episodic and steps > PATIENCE:
        policy = _hasty(mdp)
        v, steps = _value_of(mdp, policy, reward, temperature)
    return policy, v, steps


def _hasty(mdp: MDP) -> Array:
    """A deterministic policy that ends every episode, and soon: for a good E exp(-T / PATIENCE).

    The log of that is improved from the chance of the likeliest way on, by value iteration.  Each
    of these bounds can be had: the policy that is greedy for it does as well, or better.
    """
    ahead = -_distance_to_end(mdp, 1.0 / PATIENCE - np.log(mdp.transposed.data))
    while True:
        q = _log_expect_exp(mdp, ahead) - 1.0 / PATIENCE
        new = np.where(mdp.absorbing, 0.0, q.max(axis=0))
        if (new - ahead).max() < SETTLED:
            return deterministic_policy(q.argmax(axis=0), mdp.n_actions)
        ahead = new


def _along_shortest_paths(mdp: MDP, reward: Array, temperature: float) -> Array | None:
    """The value where planning is a shortest-path problem, up to rounding; None elsewhere.

    With entropy, v = v_hard + temperature log z, where z sums over all paths, each weighted by how
    much worse than the shortest it is: z is at least 1, and nothing under- or overflows.
    """
    certain = bool((mdp.matrix.data == 1.0).all())
    if not (mdp.episodic and certain and reward.max() <= 0.0):
        return None
    lengths = _action_major_table(-reward).ravel()[mdp.transposed.indices]
    v = -_distance_to_end(mdp, lengths)
    if not temperature:
        return v
    hard = _greedy(mdp, reward, v, 0.0)
    weights = np.exp((hard.q - hard.v[:, None]) / temperature)
    system = _System(_chain(mdp, weights))
    try:
        z = system.solve(mdp.absorbing.astype(np.float64))
        steps = system.solve(np.where(mdp.absorbing, 0.0, z), refined=False) / z
    except ValueError:
        return None
    exists = z.min() > 0.5 and steps.min() >= 0.0 and steps.max() < LONGEST
    return v + temperature * np.log(z) if exists else None


def _distance_to_end(mdp: MDP, lengths: Array) -> Array:
    """``(S,)``: the length of a shortest path to an absorbing state.

    Dijkstra's algorithm starts from all absorbing states at once, and goes backwards.  Lengths are
    those of the entries of ``mdp.transposed``: column a * S + s of row s' is a step from s to s'.
    """
    arriving = mdp.transposed
    parts = (lengths, arriving.indices % mdp.n_states, arriving.indptr)
    graph = sparse.csr_array(parts, shape=(mdp.n_states, mdp.n_states))
    ends = np.flatnonzero(mdp.absorbing)
    return np.asarray(csgraph.dijkstra(graph, indices=ends, min_only=True))


def _look_ahead(mdp: MDP, reward: Array, plan: Plan) -> Plan:
    """The plan after some sweeps of value iteration more, for large discounted problems."""
    if mdp.episodic or mdp.n_states < MANY:
        return plan
    v = plan.v
    for _ in range(LOOKAHEAD):
        v = soft_backup(mdp, reward, v, 0.0)[1]
    return _greedy(mdp, reward, v, 0.0)


def _value_of(mdp: MDP, policy: Array, reward: Array, temperature: float) -> tuple[Array, float]:
    """The value of a policy, entropy included, and the most steps to its end."""
    gain = np.sum(policy * reward, axis=1)
    if temperature:
        gain += temperature * _entropy(policy)
    try:
        return _evaluate(mdp, policy, gain)
    except ValueError:  # improved so often that it no longer ends
        raise _divergence(mdp, reward, temperature) from None


def _that_ends(mdp: MDP, best: NDArray[np.bool_]) -> Array:
    """A deterministic policy among the best actions; where episodes end, one that ends them.

    Equally good actions need not be equally good together: round and round for nothing, each step
    is as good as the way out.  Where the first best actions go round like that, a state gets its
    first best action that can lead to a state that has one already, beginning with the absorbing
    ones.
    """
    choice = best.argmax(axis=0)
    rows = choice * mdp.n_states + np.arange(mdp.n_states)
    if not mdp.episodic or reachable(mdp.matrix[rows].T.tocsr(), mdp.absorbing).all():
        return deterministic_policy(choice, mdp.n_actions)
    done = mdp.absorbing
    while True:
        leads = best & (_action_major_table(mdp.expect(done.astype(np.float64))) > 0.0)
        new = leads.any(axis=0) & ~done
        if not new.any():
            return deterministic_policy(choice, mdp.n_actions)
        choice = np.where(new, leads.argmax(axis=0), choice)
        done = done | new


def _greedy(mdp: MDP, reward: Array, v: Array, temperature: float) -> Plan:
    """``q``, the next ``v``, and the soft policy; at temperature zero that is left open."""
    q = _action_major_table(reward) + mdp.discount * _action_major_table(mdp.expect(v))
    policy, new = np.empty_like(q), np.empty(mdp.n_states)
    _soft_max(q, temperature, policy if temperature else None, new)
    if mdp.episodic:
        new[mdp.absorbing] = 0.0
    return Plan(q.T, new, policy.T)


def _improve(previous: Array, plan: Plan, scales: _Scales) -> Array:
    """The next deterministic policy to evaluate: each state's best action, where one is better."""
    q = plan.q.T.copy()
    q[scales.worse] = -np.inf
    better = plan.v - scales.errors(plan.v, GAIN) > np.sum(previous * plan.q, axis=1)
    best = deterministic_policy(q.argmax(axis=0), len(q))
    return np.where(better[:, None], best, previous)


class _Scales(NamedTuple):
    """What the values of actions are compared with, to tell a difference from rounding.

    Values are sums, and rounding is relative to the sums of absolute rewards.  Where rewards have
    one sign, that is abs(v).  Where they haven't, it is at most 2 M - v if no sum exceeds M, and
    2 M + v if none is below -M.  Discounted values that have much in common (a large constant)
    can be told apart better than that: relative to their spread.
    """

    high: Any
    """``2 M`` of the former; 0 where no reward is positive."""
    low: Any
    """``2 M`` of the latter; 0 where no reward is negative."""
    worse: tuple[NDArray[np.int64], NDArray[np.int64]]
    """Actions, and their states, that lead where another action leads, for less."""
    spread: float = np.inf

    @classmethod
    def of(cls, mdp: MDP, reward: Array) -> _Scales:
        """The scales of one step."""
        one, other, state = mdp.twins
        first, second = reward[state, one], reward[state, other]
        differ = np.abs(first - second) > TIE * np.maximum(np.abs(first), np.abs(second))
        worse = np.where(first < second, one, other)[differ], state[differ]
        high, low = max(0.0, float(reward.max())), max(0.0, -float(reward.min()))
        return cls(2.0 * high, 2.0 * low, worse)

    def within(self, steps: Any) -> _Scales:
        """The scales of so many steps; of several numbers of them, ``(T, 1)``."""
        return self._replace(high=steps * self.high, low=steps * self.low)

    def errors(self, v: Array, share: float = TIE) -> Array:
        """``(..., S)``: the differences to ``v`` that are such a share of what was added up."""
        size = np.minimum(self.high - v, self.low + v)
        if self.spread == np.inf:
            return np.asarray(share * size)
        return np.asarray(share * np.minimum(size, self.spread) + ULPS * np.abs(v))

    def ties(self, q: Array, v: Array) -> NDArray[np.bool_]:
        """``(..., A, S)``: the actions, of action-major ``q``, that are as good as the best."""
        return np.asarray(self.not_worse(q >= (v - self.errors(v))[..., None, :]))

    def not_worse(self, chosen: Any) -> Any:
        """The same ``(..., A, S)``, with zeros for the actions that are ``worse``."""
        chosen[..., *self.worse] = 0
        return chosen


def _soft_max(q: Array, temperature: float, policy: Array | None, v: Array) -> None:
    """Fill ``v`` with the log-sum-exp over actions of action-major ``(A, S)`` q, and ``policy``.

    At temperature zero it is the largest one, and there is no policy to fill.
    """
    of_block = _of_block(temperature)
    for i in range(0, v.size, BLOCK):
        block = slice(i, i + BLOCK)
        weights = None if policy is None else policy[:, block]
        of_block(q[:, block], temperature, weights, v[block])


def _of_block(temperature: float) -> Callable[[Array, float, Array | None, Array], None]:
    return _soft_max_of_block if temperature else _max_of_block


def _soft_max_of_block(q: Array, temperature: float, policy: Array | None, v: Array) -> None:
    best: Array = np.maximum.reduce(q, axis=0)
    weights: Array = np.subtract(q, best, out=policy)
    if temperature != 1.0:
        weights /= temperature
    np.exp(weights, out=weights)
    total: Array = np.add.reduce(weights, axis=0)
    if policy is not None:
        policy /= total
    np.log(total, out=total)
    if temperature != 1.0:
        total *= temperature
    np.add(best, total, out=v)


def _max_of_block(q: Array, _temperature: float, _policy: Array | None, v: Array) -> None:
    np.maximum.reduce(q, axis=0, out=v)


def _entropy(policy: Array) -> Array:
    """``(..., S)``: the entropy of each row; 0 log 0 = 0."""
    return np.asarray(-np.sum(policy * np.log(np.where(policy > 0.0, policy, 1.0)), axis=-1))


def _log_expect_exp(mdp: MDP, v: Array) -> Array:
    """``(A, S)``: log E exp v(s')."""
    best, weights = _next_weights(mdp, v)
    log_mean = best + np.log(np.add.reduceat(weights, mdp.matrix.indptr[:-1]))
    return np.asarray(log_mean.reshape(mdp.n_actions, mdp.n_states))


def _next_weights(mdp: MDP, v: Array) -> tuple[Array, Array]:
    """Each row's best v(s'), and P exp(v - best) of each entry, so that nothing underflows."""
    entries = v[mdp.matrix.indices]
    best = np.maximum.reduceat(entries, mdp.matrix.indptr[:-1])
    excess = entries - np.repeat(best, np.diff(mdp.matrix.indptr))
    return best, mdp.matrix.data * np.exp(excess)


# --- forward: occupancies ---------------------------------------------------------------------


def _forward(mdp: MDP, start: Array, policy: Array, flow: Callable[[int, Array], Array]) -> Array:
    """The recursion over time; ``flow`` moves the action-major ``(A, S)`` mass of a step on."""
    total = np.zeros((mdp.n_actions, mdp.n_states))
    state, x = start, np.empty_like(total)
    for t in range(len(policy)):
        np.multiply(policy[t].T, state, out=x)
        total += x
        state = flow(t, x)
        if mdp.discount != 1.0:
            state *= mdp.discount
    return total.T


def _tilted(mdp: MDP, v: Array) -> sparse.csr_array:
    """``(A*S, S)``: P(s'|s,a) exp v(s'), normalised."""
    _, weights = _next_weights(mdp, v)
    totals = np.add.reduceat(weights, mdp.matrix.indptr[:-1])
    weights /= np.repeat(totals, np.diff(mdp.matrix.indptr))
    parts = (weights, mdp.matrix.indices, mdp.matrix.indptr)
    return sparse.csr_array(parts, shape=mdp.matrix.shape)


def _tilted_start(mdp: MDP, plan: Plan) -> Array:
    support = mdp.initial > 0.0
    excess = np.where(support, plan.v[0] - plan.v[0][support].max(), -np.inf)
    weights = mdp.initial * np.exp(excess)
    return np.asarray(weights / weights.sum())


def _log_mean_exp(v: Array, weights: Array) -> float:
    support = weights > 0.0
    best = v[support].max()
    return float(best + np.log(np.sum(weights[support] * np.exp(v[support] - best))))


# --- linear systems ---------------------------------------------------------------------------


def _chain(mdp: MDP, policy: Array) -> sparse.csr_array:
    """``(S, S)``: gamma P_pi, without the steps after the end of an episode."""
    if mdp.episodic:
        return mdp.policy_matrix(np.where(mdp.absorbing[:, None], 0.0, policy))
    return mdp.discount * mdp.policy_matrix(policy)


def _check_ends(never: NDArray[np.bool_]) -> None:
    lost = np.flatnonzero(never)
    if lost.size:
        raise ValueError(
            f"the policy never reaches an absorbing state from state {lost[0]} (and "
            f"{lost.size - 1} more), so that its value without horizon and discount is not finite"
        )


def _check_steps(steps: Array, sources: Array, arriving: Array) -> None:
    """That counts of steps are some: their balance fails by 1 where no step leads out for good."""
    balance = np.abs(steps - sources - arriving).max()
    if not (balance < 0.5 and np.abs(steps).max() < LONGEST):
        raise ValueError(
            f"the policy takes more than {LONGEST:g} steps to an absorbing state, so that its "
            "value without horizon and discount is beyond what floating-point numbers resolve"
        )


def _evaluate(mdp: MDP, policy: Array, gain: Array) -> tuple[Array, float]:
    """The value of a policy that gains ``(S,)``, and how many steps it counts at most."""
    chain = _chain(mdp, policy)
    if not mdp.episodic:
        left = 1.0 - mdp.discount
        return _System(chain).solve(gain, row_sum=left), 1.0 / left
    system, live = _System(chain), (~mdp.absorbing).astype(np.float64)
    _check_ends(~system.leading_to(mdp.absorbing))
    v, steps = system.solve(np.column_stack([gain * live, live])).T
    _check_steps(steps, live, chain @ steps)
    return v, float(steps.max())


def _stationary_occupancy(mdp: MDP, policy: Array) -> Array:
    chain = _chain(mdp, policy)
    system = _System(chain)
    if not mdp.episodic:
        return system.solve(mdp.initial, transposed=True)
    never = ~system.leading_to(mdp.absorbing)
    if never.any():  # which is no matter where it never comes
        _check_ends(never & reachable(chain, mdp.initial > 0.0))
        chain = _chain(mdp, np.where(never[:, None], 0.0, policy))
        system = _System(chain)
    states = system.solve(mdp.initial, transposed=True)
    _check_steps(states, mdp.initial, chain.T @ states)
    return np.where(mdp.absorbing, 0.0, states)


class _System:
    """I - chain, factorised at most once."""

    def __init__(self, chain: sparse.csr_array) -> None:
        self.matrix = sparse.csc_array(sparse.eye_array(chain.shape[0], format="csr") - chain)

    def leading_to(self, ends: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``(S,)``: the states from which the chain can come to some end."""
        by_target = (self.matrix.data, self.matrix.indices, self.matrix.indptr)
        return reachable(sparse.csr_array(by_target, shape=self.matrix.shape), ends)

    @cached_property
    def _factors(self) -> Any:
        # Diagonally dominant, and steps mostly lead to where others lead back from: an order for
        # symmetric patterns, without pivoting, leaves half the fill.
        try:
            return linalg.splu(self.matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
        except RuntimeError:
            raise ValueError(
                "the policy's chain is singular but for rounding: it (almost) never ends"
            ) from None

    def solve(
        self,
        right: Array,
        transposed: bool = False,
        row_sum: float = 0.0,
        refined: bool = True,
    ) -> Array:
        """The x with matrix @ x = right, or its transpose's; one step of iterative refinement.

        If what each row of the matrix sums to is known, a part of x that is the same everywhere
        costs no accuracy.
        """
        matrix = self.matrix.T if transposed else self.matrix
        if len(right) > DIRECT_LIMIT:
            x = _iterate(matrix.tocsr(), right)
            if x is not None:
                return x
        side = "T" if transposed else "N"
        x = self._factors.solve(right, side)
        if not refined:
            return np.asarray(x)
        level = 0.5 * (x.max() + x.min()) if row_sum else 0.0
        if np.ptp(x) > 0.5 * abs(level):  # it has little in common, and would lose digits
            level = 0.0
        x -= level
        x += self._factors.solve(right - row_sum * level - matrix @ x, side)
        return np.asarray(x + level)


def _iterate(matrix: sparse.csr_array, right: Array) -> Array | None:
    """The same by Krylov's method; None where it doesn't settle.

    Where chains mix fast it settles soon, and factors would fill up; where they don't, states have
    few neighbours in common with those far away, and factors have little fill.
    """
    if right.ndim == 2:
        columns = [x for x in (_iterate(matrix, b) for b in right.T) if x is not None]
        return np.column_stack(columns) if len(columns) == right.shape[1] else None
    x = np.zeros_like(right)
    for _ in range(4):
        missing = right - matrix @ x
        if np.abs(missing).max() <= TOLERANCE * max(np.abs(x).max(), np.abs(right).max()):
            return x
        more, failed = linalg.bicgstab(matrix, missing, rtol=1e-10, maxiter=KRYLOV_STEPS)
        if failed > 0 or not np.isfinite(more).all():
            return None
        x += more  # where it broke down, the next round tells what that is worth
    return None


def _ended(mdp: MDP) -> Any:
    return mdp.absorbing if mdp.episodic else np.zeros(mdp.n_states, dtype=bool)


def _action_major_table(table: Array) -> Array:
    """``(A, S)``, contiguous; without a copy for what this module returns."""
    return np.ascontiguousarray(table.T)


def _check_plan(mdp: MDP, plan: Plan) -> None:
    """That it may be a plan for this MDP, by its shapes."""
    check_type("plan", plan, Plan)
    times = () if mdp.horizon is None else (mdp.horizon,)
    check_shape("plan.policy", plan.policy, (*times, mdp.n_states, mdp.n_actions))
    check_shape("plan.v", plan.v, (*(t + 1 for t in times), mdp.n_states))


def _finite(mdp: MDP) -> int:
    check_mdp(mdp)
    if mdp.horizon is None:
        raise ValueError(
            "horizon is None: a distribution over trajectories needs a finite one; "
            "soft_value_iteration takes infinite horizons"
        )
    return mdp.horizon
