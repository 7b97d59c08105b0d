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

References: Ziebart (2010), chapter 6; Levine (2018), sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph, linalg

from irl_lib.mdp import (
    MDP,
    Array,
    add_product,
    check_policy,
    check_real,
    check_reward,
    feature_matrix,
)

DIRECT_LIMIT = 50_000  # states up to which a linear system is factorised rather than iterated
BLOCK = 32_768  # states per block of a backup, so that its temporaries stay in cache
TOLERANCE = 1e-14  # Bellman residual, relative to the largest value, of a fixed point
TIE = 1e-12  # actions whose relative values differ by less are equally good
MAX_SWEEPS = 1_000_000
MAX_NEWTON_STEPS = 1_000
STALLED = 1e-12  # the residual, likewise relative, that rounding may leave behind
LOOKAHEAD = 50  # sweeps of value iteration between two linear systems of policy iteration,
MANY = 1_000  # from this many states on: they cost a third of a system, and halve their number
HUGE = 1e9  # steps' worth of reward: a value beyond is on its way to infinity


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
    """
    table, ahead = _action_major_table(reward), mdp.discount * v
    q, new = np.empty(table.shape), np.empty(v.shape)

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
        return _evaluate(mdp, pi, gain)
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
    horizon = _finite(mdp)
    policy = plan.policy[:horizon]

    def tilted_flow(t: int, x: Array) -> Array:
        return np.asarray(_tilted(mdp, plan.v[t + 1]).T @ x.ravel())

    return _forward(mdp, _tilted_start(mdp, plan), policy, tilted_flow)


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
    """
    dr = check_reward(mdp, direction)
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
    horizon, dr = _finite(mdp), _action_major_table(check_reward(mdp, direction))
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
    chain = _chain(mdp, plan.policy)
    dv = _solve(chain, np.sum(plan.policy * dr, axis=1))
    dlog = dr + mdp.discount * mdp.expect(dv) - dv[:, None]
    visited = _stationary_occupancy(mdp, plan.policy) if states is None else states
    x = visited[:, None] * plan.policy
    dx = x * (dlog - np.sum(plan.policy * dlog, axis=1, keepdims=True))
    dstate = _solve(chain, mdp.discount * mdp.flow(dx), transposed=True)
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

    return _backward(mdp, mdp.horizon, q_of, temperature, keep_q)


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
        soft_max(step, temperature, policy[t], v[t])
    q = q[: horizon if keep_q else 0]
    return Plan(q.transpose(0, 2, 1), v, policy.transpose(0, 2, 1))


def _fixed_point(mdp: MDP, reward: Array, temperature: float) -> Plan:
    """Newton's method on v - Tv, from the value of a policy: it never decreases."""
    policy = np.full((mdp.n_states, mdp.n_actions), 1.0 / mdp.n_actions)
    v, last = _along_shortest_paths(mdp, reward, temperature), np.inf
    for _ in range(MAX_NEWTON_STEPS):
        v = _value_of(mdp, policy, reward, temperature) if v is None else v
        if v is None:
            break
        plan = _greedy(mdp, reward, v, temperature)
        residual = float(np.abs(plan.v - v).max(initial=0.0, where=~_ended(mdp)))
        scale = max(1.0, float(np.abs(v).max()))
        # The residual falls quadratically until rounding stops it.
        if residual <= TOLERANCE * scale or last <= residual <= STALLED * scale:
            return plan if temperature else plan._replace(policy=_that_ends(mdp, plan))
        better = _improve(policy, _look_ahead(mdp, reward, plan, temperature), temperature)
        if np.array_equal(better, policy):  # seen from afar a small gain can pass for a tie
            better = _improve(policy, plan, temperature)
        policy, v, last = better, None, residual
    kind = "soft value" if temperature else "value"
    raise DivergenceError(
        f"the {kind} does not converge for this reward (entries from {reward.min():g} to "
        f"{reward.max():g}): with discount {mdp.discount:g} and no horizon, going on for ever "
        "gains more than it costs; lower the reward, the discount or the temperature, or give a "
        "horizon"
    )


def _along_shortest_paths(mdp: MDP, reward: Array, temperature: float) -> Array | None:
    """The value where planning is a shortest-path problem, up to rounding; None elsewhere.

    With entropy, v = v_hard + temperature log z, where z sums over all paths, each weighted by how
    much worse than the shortest it is: z is at least 1, and nothing under- or overflows.
    """
    certain = bool((mdp.matrix.data == 1.0).all())
    if not (mdp.episodic and certain and reward.max() <= 0.0):
        return None
    v = -_distance_to_end(mdp, -reward)
    if not temperature or mdp.n_states > DIRECT_LIMIT:
        return None if temperature else v
    hard = _greedy(mdp, reward, v, 0.0)
    weights = np.exp((hard.q - hard.v[:, None]) / temperature)
    try:
        z = _solve(_chain(mdp, weights), mdp.absorbing.astype(np.float64))
    except ValueError:
        return None
    return v + temperature * np.log(z) if np.isfinite(z).all() and z.min() > 0.5 else None


def _distance_to_end(mdp: MDP, length: Array) -> Array:
    """``(S,)``: the length of a shortest path to an absorbing state, steps being ``(S, A)`` long.

    Dijkstra's algorithm starts from all absorbing states at once, and goes backwards.
    """
    arriving = mdp.transposed  # row s' has an entry in column a * S + s for every step s to s'
    lengths = _action_major_table(length).ravel()[arriving.indices]
    parts = (lengths, arriving.indices % mdp.n_states, arriving.indptr)
    graph = sparse.csr_array(parts, shape=(mdp.n_states, mdp.n_states))
    ends = np.flatnonzero(mdp.absorbing)
    return np.asarray(csgraph.dijkstra(graph, indices=ends, min_only=True))


def _look_ahead(mdp: MDP, reward: Array, plan: Plan, temperature: float) -> Plan:
    """The hard plan after some sweeps of value iteration more, for large discounted problems."""
    if temperature or mdp.episodic or mdp.n_states < MANY:
        return plan
    v = plan.v
    for _ in range(LOOKAHEAD):
        v = soft_backup(mdp, reward, v, 0.0)[1]
    return _greedy(mdp, reward, v, 0.0)


def _value_of(mdp: MDP, policy: Array, reward: Array, temperature: float) -> Array | None:
    """The value of a policy, entropy included; None where it is not finite."""
    gain = np.sum(policy * reward, axis=1) + temperature * _entropy(policy)
    try:
        v = _evaluate(mdp, policy, gain)
    except ValueError:  # improved so often that it no longer ends
        return None
    return v if np.abs(v).max() < HUGE * max(1.0, float(np.abs(reward).max())) else None


def _that_ends(mdp: MDP, plan: Plan) -> Array:
    """A deterministic policy among the best actions; where episodes end, one that ends them.

    Equally good actions need not be equally good together: round and round for nothing, each step
    is as good as the way out.  Where the first best actions go round like that, a state gets its
    first best action that can lead to a state that has one already, beginning with the absorbing
    ones.
    """
    if not mdp.episodic or _ends(mdp, plan.policy):
        return plan.policy
    best = _ties(plan.q.T, plan.v)
    choice, done = plan.policy.argmax(axis=1), mdp.absorbing
    while True:
        leads = best & (_action_major_table(mdp.expect(done.astype(np.float64))) > 0.0)
        new = leads.any(axis=0) & ~done
        if not new.any():
            return np.asarray(np.arange(mdp.n_actions) == choice[:, None], dtype=np.float64)
        choice = np.where(new, leads.argmax(axis=0), choice)
        done = done | new


def _ends(mdp: MDP, policy: Array) -> bool:
    """Whether a deterministic policy can reach an absorbing state from everywhere."""
    rows = policy.argmax(axis=1) * mdp.n_states + np.arange(mdp.n_states)
    ends = np.flatnonzero(mdp.absorbing)
    back = mdp.matrix[rows].T
    steps = csgraph.dijkstra(back, indices=ends, min_only=True, unweighted=True)
    return bool(np.isfinite(steps).all())


def _greedy(mdp: MDP, reward: Array, v: Array, temperature: float) -> Plan:
    q = _action_major_table(reward) + mdp.discount * _action_major_table(mdp.expect(v))
    policy, new = np.empty_like(q), np.empty(mdp.n_states)
    _soft_max(q, temperature, policy, new)
    if mdp.episodic:
        new[mdp.absorbing] = 0.0
    return Plan(q.T, new, policy.T)


def _improve(previous: Array, plan: Plan, temperature: float) -> Array:
    """The next policy to evaluate.

    A hard one leaves an action only for a better one: then it ends every episode that the previous
    one ended, and rounding can't make the iteration cycle.
    """
    if temperature:
        return plan.policy
    kept = np.sum(previous * plan.q, axis=1)
    better = plan.v > kept + TIE * np.maximum(1.0, np.abs(plan.v))
    return np.where(better[:, None], plan.policy, previous)


def _soft_max(q: Array, temperature: float, policy: Array | None, v: Array) -> None:
    """Fill ``v`` with the log-sum-exp over actions of action-major ``(A, S)`` q, and ``policy``."""
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


def _max_of_block(q: Array, _temperature: float, policy: Array | None, v: Array) -> None:
    np.maximum.reduce(q, axis=0, out=v)
    if policy is not None:
        first = _ties(q, v).argmax(axis=0)
        np.equal(np.arange(len(q))[:, None], first, out=policy, casting="unsafe")


def _ties(q: Array, best: Array) -> NDArray[np.bool_]:
    """``(A, S)``: the actions that are as good as the best, but for rounding."""
    return np.asarray(q >= best - TIE * np.maximum(1.0, np.abs(best)))


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


def _chain(mdp: MDP, policy: Array) -> sparse.csc_array:
    """``(S, S)``: gamma P_pi, without the steps after the end of an episode."""
    chain = mdp.discount * mdp.policy_matrix(policy)
    if mdp.episodic:
        chain = sparse.diags_array((~mdp.absorbing).astype(np.float64)) @ chain
    return sparse.csc_array(chain)


def _evaluate(mdp: MDP, policy: Array, gain: Array) -> Array:
    return _solve(_chain(mdp, policy), np.where(_ended(mdp), 0.0, gain))


def _stationary_occupancy(mdp: MDP, policy: Array) -> Array:
    states = _solve(_chain(mdp, policy), mdp.initial, transposed=True)
    return np.where(_ended(mdp), 0.0, states)


def _solve(chain: sparse.csc_array, right: Array, transposed: bool = False) -> Array:
    """Solves (I - chain) x = right, or its transpose; one step of iterative refinement."""
    if chain.shape[0] > DIRECT_LIMIT:
        return _sweep(chain.T.tocsr() if transposed else chain.tocsr(), right)
    system = sparse.csc_array(sparse.eye_array(chain.shape[0], format="csc") - chain)
    try:
        # Diagonally dominant, and steps mostly lead to where others lead back from: an order for
        # symmetric patterns, without pivoting, leaves half the fill.
        factors = linalg.splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
    except RuntimeError:
        raise ValueError(
            "the policy never reaches an absorbing state from some state, so that its value "
            "without horizon and discount is not finite"
        ) from None
    side = "T" if transposed else "N"
    x = factors.solve(right, side)
    matrix = system.T if transposed else system
    return np.asarray(x + factors.solve(right - matrix @ x, side))


def _sweep(matrix: sparse.csr_array, right: Array) -> Array:
    x = right.copy()
    for _ in range(MAX_SWEEPS):
        new: Array = right + matrix @ x
        change, scale = float(np.abs(new - x).max()), max(1.0, float(np.abs(new).max()))
        x = new
        if change <= TOLERANCE * scale:
            return x
    raise ValueError(f"the values did not settle in {MAX_SWEEPS} sweeps: lower the discount")


def _ended(mdp: MDP) -> Any:
    return mdp.absorbing if mdp.episodic else np.zeros(mdp.n_states, dtype=bool)


def _action_major_table(table: Array) -> Array:
    """``(A, S)``, contiguous; without a copy for what this module returns."""
    return np.ascontiguousarray(table.T)


def _finite(mdp: MDP) -> int:
    if mdp.horizon is None:
        raise ValueError(
            "horizon is None: a distribution over trajectories needs a finite one; "
            "soft_value_iteration takes infinite horizons"
        )
    return mdp.horizon
