"""The fixed point of the recursion, by Newton's method, which is policy iteration."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from irl_lib.mdp import MDP, deterministic_policy, reachable
from irl_lib.planning.backups import (
    DivergenceError,
    Plan,
    action_major_table,
    entropy,
    greedy,
    log_expect_exp,
    soft_backup,
)
from irl_lib.planning.systems import LONGEST, TOLERANCE, System, ended, evaluate, policy_chain
from irl_lib.support.checks import Array

TIE = 1e-12  # actions are equally good if they differ by less, relative to what was added up
GAIN = 2e-14  # an action is better if it gains more, likewise relative
ULPS = 8.0 * float(np.finfo(np.float64).eps)  # the least that rounding changes, likewise relative
MAX_NEWTON_STEPS = 1_000
STALLED = 1e-12  # the residual, likewise relative, that rounding may leave behind
LOOKAHEAD = 50  # sweeps of value iteration between two linear systems of policy iteration,
MANY = 1_000  # from this many states on: they cost a third of a system, and halve their number
PATIENCE = 1e8  # steps to the end, up to which the uniform policy is one to start from
SAME = 0.01  # relative difference of the steps of two policies that are close to the last one
SETTLED = 1e-3  # growth in a sweep, of the log of the chance to end soon, that is left alone


def fixed_point(mdp: MDP, reward: Array, temperature: float) -> Plan:
    """The plan without a horizon."""
    v = _along_shortest_paths(mdp, reward, temperature)
    if temperature:
        return _soft_policy_iteration(mdp, reward, temperature, v)
    scales = Scales.of(mdp, reward)
    if v is None:
        return _policy_iteration(mdp, reward, scales)
    plan = greedy(mdp, reward, v, 0.0)
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
        plan = greedy(mdp, reward, v, temperature)
        residual = float(np.abs(plan.v - v).max(initial=0.0, where=~ended(mdp)))
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


def _policy_iteration(mdp: MDP, reward: Array, scales: Scales) -> Plan:
    """The same without entropy.

    A state leaves its action only for a better one.  So the policy ends every episode that the
    previous one ended, or has found a round trip that pays; and rounding can't make it cycle.
    """
    policy, v, steps = _start(mdp, reward, 0.0, scales)
    last = np.inf
    for _ in range(MAX_NEWTON_STEPS):
        plan, seen = greedy(mdp, reward, v, 0.0), scales.within(steps)
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
    mdp: MDP, reward: Array, temperature: float, scales: Scales | None = None
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
        q = log_expect_exp(mdp, ahead) - 1.0 / PATIENCE
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
    lengths = action_major_table(-reward).ravel()[mdp.transposed.indices]
    v = -_distance_to_end(mdp, lengths)
    if not temperature:
        return v
    hard = greedy(mdp, reward, v, 0.0)
    weights = np.exp((hard.q - hard.v[:, None]) / temperature)
    system = System(policy_chain(mdp, weights))
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
    return greedy(mdp, reward, v, 0.0)


def _value_of(mdp: MDP, policy: Array, reward: Array, temperature: float) -> tuple[Array, float]:
    """The value of a policy, entropy included, and the most steps to its end."""
    gain = np.sum(policy * reward, axis=1)
    if temperature:
        gain += temperature * entropy(policy)
    try:
        return evaluate(mdp, policy, gain)
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
        leads = best & (action_major_table(mdp.expect(done.astype(np.float64))) > 0.0)
        new = leads.any(axis=0) & ~done
        if not new.any():
            return deterministic_policy(choice, mdp.n_actions)
        choice = np.where(new, leads.argmax(axis=0), choice)
        done = done | new


def _improve(previous: Array, plan: Plan, scales: Scales) -> Array:
    """The next deterministic policy to evaluate: each state's best action, where one is better."""
    q = plan.q.T.copy()
    q[scales.worse] = -np.inf
    better = plan.v - scales.errors(plan.v, GAIN) > np.sum(previous * plan.q, axis=1)
    best = deterministic_policy(q.argmax(axis=0), len(q))
    return np.where(better[:, None], best, previous)


class Scales(NamedTuple):
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
    def of(cls, mdp: MDP, reward: Array) -> Scales:
        """The scales of one step."""
        one, other, state = mdp.twins
        first, second = reward[state, one], reward[state, other]
        differ = np.abs(first - second) > TIE * np.maximum(np.abs(first), np.abs(second))
        worse = np.where(first < second, one, other)[differ], state[differ]
        high, low = max(0.0, float(reward.max())), max(0.0, -float(reward.min()))
        return cls(2.0 * high, 2.0 * low, worse)

    def within(self, steps: Any) -> Scales:
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
