"""One step of the soft Bellman recursion, and what planning returns."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from irl_lib.mdp import MDP, add_product, check_mdp
from irl_lib.support.checks import Array, check_count, check_real, check_shape, check_type

BLOCK = 32_768  # states per block of a backup, so that its temporaries stay in cache


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
    table = action_major_table(check_shape("reward", reward, shape))
    ahead = mdp.discount * check_shape("v", v, shape[:1])
    check_real("temperature", temperature, 0.0)
    check_count("workers", workers)
    q, new = np.empty(table.shape), np.empty(ahead.shape)

    def back_up(first: int) -> None:
        block = slice(first, first + BLOCK)
        q[:, block] = table[:, block]
        for a, row in enumerate(q[:, block]):
            add_product(mdp.matrix, ahead, row, a * mdp.n_states + first)
        soft_max(q[:, block], temperature, None, new[block])

    parts = range(0, mdp.n_states, BLOCK)
    if workers == 1 or len(parts) == 1:
        for first in parts:
            back_up(first)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(back_up, parts))
    return q.T, new


def greedy(mdp: MDP, reward: Array, v: Array, temperature: float) -> Plan:
    """``q``, the next ``v``, and the soft policy; at temperature zero that is left open."""
    q = action_major_table(reward) + mdp.discount * action_major_table(mdp.expect(v))
    policy, new = np.empty_like(q), np.empty(mdp.n_states)
    soft_max(q, temperature, policy if temperature else None, new)
    if mdp.episodic:
        new[mdp.absorbing] = 0.0
    return Plan(q.T, new, policy.T)


def soft_max(q: Array, temperature: float, policy: Array | None, v: Array) -> None:
    """Fill ``v`` with the log-sum-exp over actions of action-major ``(A, S)`` q, and ``policy``.

    At temperature zero it is the largest one, and there is no policy to fill.
    """
    fill = of_block(temperature)
    for i in range(0, v.size, BLOCK):
        block = slice(i, i + BLOCK)
        weights = None if policy is None else policy[:, block]
        fill(q[:, block], temperature, weights, v[block])


def of_block(temperature: float) -> Callable[[Array, float, Array | None, Array], None]:
    """:func:`soft_max` for arrays that fit into the cache."""
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


def entropy(policy: Array) -> Array:
    """``(..., S)``: the entropy of each row; 0 log 0 = 0."""
    return np.asarray(-np.sum(policy * np.log(np.where(policy > 0.0, policy, 1.0)), axis=-1))


def log_expect_exp(mdp: MDP, v: Array) -> Array:
    """``(A, S)``: log E exp v(s')."""
    best, weights = next_weights(mdp, v)
    log_mean = best + np.log(np.add.reduceat(weights, mdp.matrix.indptr[:-1]))
    return np.asarray(log_mean.reshape(mdp.n_actions, mdp.n_states))


def next_weights(mdp: MDP, v: Array) -> tuple[Array, Array]:
    """Each row's best v(s'), and P exp(v - best) of each entry, so that nothing underflows."""
    entries = v[mdp.matrix.indices]
    best = np.maximum.reduceat(entries, mdp.matrix.indptr[:-1])
    excess = entries - np.repeat(best, np.diff(mdp.matrix.indptr))
    return best, mdp.matrix.data * np.exp(excess)


def log_mean_exp(v: Array, weights: Array) -> float:
    """The log of the mean of exp v, under weights that sum to one."""
    support = weights > 0.0
    best = v[support].max()
    return float(best + np.log(np.sum(weights[support] * np.exp(v[support] - best))))


def action_major_table(table: Array) -> Array:
    """``(A, S)``, contiguous; without a copy for what this module returns."""
    return np.ascontiguousarray(table.T)


def check_plan(mdp: MDP, plan: Plan) -> None:
    """That it may be a plan for this MDP, by its shapes."""
    check_type("plan", plan, Plan)
    times = () if mdp.horizon is None else (mdp.horizon,)
    check_shape("plan.policy", plan.policy, (*times, mdp.n_states, mdp.n_actions))
    check_shape("plan.v", plan.v, (*(t + 1 for t in times), mdp.n_states))


def finite_horizon(mdp: MDP) -> int:
    """The horizon of an MDP that has one."""
    check_mdp(mdp)
    if mdp.horizon is None:
        raise ValueError(
            "horizon is None: a distribution over trajectories needs a finite one; "
            "soft_value_iteration takes infinite horizons"
        )
    return mdp.horizon
