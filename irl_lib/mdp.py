r"""The MDP without a reward: what inverse reinforcement learning is given.

States are ``0 .. S-1``, actions ``0 .. A-1``, and :math:`P(s' \mid s, a)` is the probability of
the next state.  The reward is not part of it: in inverse reinforcement learning it is what is
unknown.  Callers see arrays indexed ``(S, A)``; inside, the transitions are one sparse matrix with
row ``a * S + s`` (*action-major*), because reductions over actions then run along long rows.
An array ``x`` of shape ``(S, A)`` meets that matrix as ``x.T.ravel()``, without a copy if it is
such a transposed view, as everything that this package returns is.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from irl_lib.support.checks import (
    Array,
    WrongTypeError,
    as_array,
    check_array,
    check_count,
    check_distribution,
    check_numbers,
    check_real,
    check_shape,
    check_type,
)
from irl_lib.support.transitions import action_major, to_csr

try:  # scipy's kernel of its own products, under a name that is not public: see add_product
    from scipy.sparse._sparsetools import csr_matvec
except ImportError:
    csr_matvec = None

STAYING = 1.0 - 1e-12  # the probability of staying, from which on it is one but for rounding


class MDP:
    r"""States, actions, dynamics, start, discount and horizon; no reward.

    Args:
        transitions: :math:`P(s' \mid s, a)`, as one of: a dense array ``(S, A, S)``; a scipy sparse
            matrix ``(S*A, S)`` whose row ``s*A + a`` is :math:`P(\cdot \mid s, a)`; a sequence of
            ``A`` sparse matrices ``(S, S)``.
        initial: ``(S,)``, the distribution of the first state.
        discount: :math:`\gamma`, in ``(0, 1]``.
        horizon: the number of steps ``T``, or ``None`` for infinite.  Without a horizon, a discount
            of one is allowed only where every state can reach an absorbing one.

    A state is *absorbing* when every action stays in it with probability one.  With a horizon, or
    with a discount below one, it is a state like any other: it earns its reward at every step, and
    its equivalent actions count in an entropy.  With neither, the episode ends there: its value is
    zero, it is never counted in an occupancy, and its reward has to be zero.

    Raises:
        ValueError: naming the argument, what it was and what was expected.

    Example:
        >>> stay_or_swap = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
        >>> MDP(stay_or_swap, initial=[1.0, 0.0], discount=0.9)
        MDP(n_states=2, n_actions=2, discount=0.9, horizon=None)
    """

    def __init__(
        self,
        transitions: ArrayLike | sparse.spmatrix | sparse.sparray | Sequence[Any],
        initial: ArrayLike,
        discount: float = 1.0,
        horizon: int | None = None,
    ) -> None:
        self.matrix, self.n_actions = action_major(transitions)
        self.n_states: int = self.matrix.shape[1]
        self.initial = check_distribution("initial", initial, (self.n_states,))
        self.discount = check_real("discount", discount, 0.0, open_end=True, most=1.0)
        self.horizon = _check_horizon(horizon)
        if self.horizon is None and self.discount == 1.0:
            self._check_absorption()

    def __repr__(self) -> str:
        return (
            f"MDP(n_states={self.n_states}, n_actions={self.n_actions}, "
            f"discount={self.discount}, horizon={self.horizon})"
        )

    def started_at(self, initial: ArrayLike) -> MDP:
        """The same MDP with another distribution ``(S,)`` of the first state."""
        other = copy.copy(self)
        other.initial = check_distribution("initial", initial, (self.n_states,))
        return other

    @property
    def mass(self) -> float:
        r"""The sum of an occupancy, :math:`(1-\gamma^T)/(1-\gamma)`, or ``T``.

        Infinite (``inf``) without horizon and discount, where it depends on the policy.
        """
        if self.horizon is None:
            return float("inf") if self.discount == 1.0 else 1.0 / (1.0 - self.discount)
        return float(np.sum(self.discount ** np.arange(self.horizon)))

    @property
    def episodic(self) -> bool:
        """Whether episodes end in absorbing states, without a horizon or a discount below one."""
        return self.horizon is None and self.discount == 1.0

    @cached_property
    def absorbing(self) -> NDArray[np.bool_]:
        """``(S,)``: the states that no action leaves."""
        stay = [self.action_matrix(a).diagonal() for a in range(self.n_actions)]
        return np.asarray(np.min(stay, axis=0) >= STAYING)

    @cached_property
    def transposed(self) -> sparse.csr_array:
        """``(S, A*S)``: ``matrix`` transposed, by rows, too."""
        return self.matrix.T.tocsr()

    @cached_property
    def twins(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The one action, the other, and the state, of each pair that leads to the same places."""
        place = self.expect(np.random.default_rng(0).random(self.n_states)).T
        found = [np.empty((3, 0), dtype=np.int64)]
        for a in range(self.n_actions - 1):  # equal rows give equal sums
            later, state = np.nonzero(place[a + 1 :] == place[a])
            found.append(np.stack([np.full(state.size, a), later + a + 1, state]))
        one, other, state = np.concatenate(found, axis=1)
        return one, other, state

    def action_matrix(self, action: int) -> sparse.csr_array:
        """``(S, S)``: the transitions of one action."""
        if not isinstance(action, numbers.Integral) or not 0 <= action < self.n_actions:
            raise ValueError(f"action is {action!r}; expected one of 0 to {self.n_actions - 1}")
        return self.matrix[action * self.n_states : (action + 1) * self.n_states]

    def dense_transitions(self) -> Array:
        """``(S, A, S)``: for printing and for tiny problems."""
        dense = self.matrix.toarray().reshape(self.n_actions, self.n_states, self.n_states)
        return np.ascontiguousarray(dense.transpose(1, 0, 2))

    def expect(self, v: Array) -> Array:
        r"""``(S, A)``: the expectation of ``v`` ``(S,)`` at the next state."""
        expected = np.zeros((self.n_actions, self.n_states))
        v = check_shape("v", v, (self.n_states,))
        add_product(self.matrix, np.ascontiguousarray(v), expected.ravel())
        return expected.T

    def flow(self, occupancy: Array) -> Array:
        r"""``(S,)``: where ``(S, A)`` mass arrives, :math:`\sum_{s,a} x(s,a) P(s' \mid s,a)`."""
        arriving = np.zeros(self.n_states)
        occupancy = check_shape("occupancy", occupancy, (self.n_states, self.n_actions))
        add_product(self.transposed, occupancy.T.ravel(), arriving)
        return arriving

    def policy_matrix(self, policy: Array) -> sparse.csr_array:
        r"""``(S, S)``: the chain of a policy ``(S, A)``, :math:`\sum_a \pi(a|s) P(s'|s,a)`."""
        policy = check_shape("policy", policy, (self.n_states, self.n_actions))
        chance = policy.T.ravel()
        rows = np.flatnonzero(chance)  # a deterministic policy takes few of them
        taken = self.matrix[rows]
        counts = np.diff(taken.indptr)
        weighted = taken.data * np.repeat(chance[rows], counts)
        where = np.repeat(rows % self.n_states, counts), taken.indices
        return sparse.csr_array((weighted, where), shape=(self.n_states, self.n_states))

    def _check_absorption(self) -> None:
        if not self.absorbing.any():
            raise ValueError(
                "discount is 1 and horizon is None, which needs absorbing states that end an "
                "episode; there are none: give a horizon, or a discount below 1"
            )
        lost = np.flatnonzero(~self._can_end())
        if lost.size:
            raise ValueError(
                f"discount is 1 and horizon is None, but no absorbing state can be reached from "
                f"state {lost[0]} (and {lost.size - 1} more): give a horizon, or a discount below 1"
            )

    def _can_end(self) -> NDArray[np.bool_]:
        """``(S,)``: the states from which some actions lead to an absorbing one."""
        arriving = self.transposed
        parts = (arriving.data, arriving.indices % self.n_states, arriving.indptr)
        backward = sparse.csr_array(parts, shape=(self.n_states, self.n_states))
        return reachable(backward, self.absorbing)


def reachable(steps: sparse.csr_array, sources: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(S,)``: the states to which the entries of ``steps`` ``(S, S)`` lead from some source."""
    n, firsts = steps.shape[0], np.flatnonzero(sources)
    indices = np.r_[steps.indices, firsts]  # of one more node, which leads to all sources
    indptr = np.r_[steps.indptr, steps.indptr[-1] + firsts.size]
    graph = sparse.csr_array((np.ones(indices.size), indices, indptr), shape=(n + 1, n + 1))
    found = np.zeros(n + 1, dtype=bool)
    found[csgraph.breadth_first_order(graph, n, return_predecessors=False)] = True
    return found[:n]


def add_product(matrix: sparse.csr_array, x: Array, y: Array, first: int = 0) -> None:
    """``y += matrix[first : first + len(y)] @ x``, in place, for floats without gaps.

    The public ``y += matrix @ x`` does the same, and is what is left where scipy has moved its
    kernel; but the dispatch around it takes as long as the product of a small world (400 states:
    14 against 8 microseconds), and part of the rows be copied.  The kernel trusts its sizes.
    """
    if first < 0 or first + y.size >= matrix.indptr.size or x.shape != matrix.shape[1:]:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}; expected {matrix.shape[1:]} and no more "
            f"than the {matrix.shape[0]} rows from {first} on"
        )
    if csr_matvec is None:
        y += matrix[first : first + y.size] @ x
    else:
        rows = matrix.indptr[first : first + y.size + 1]
        csr_matvec(y.size, x.size, rows, matrix.indices, matrix.data, x, y)


class Trajectories(NamedTuple):
    """All trajectories of a tiny MDP, one per row."""

    states: NDArray[np.int64]
    """``(N, T + 1)``: the states, the last one included."""
    actions: NDArray[np.int64]
    """``(N, T)``."""
    log_dynamics: Array
    r"""``(N,)``: :math:`\log p(\tau) = \log p_0(s_0) + \sum_t \log P(s_{t+1} \mid s_t, a_t)`."""

    def total(self, reward: ArrayLike, discount: float = 1.0) -> Array:
        r"""``(N, ...)``: :math:`\sum_t \gamma^t f(s_t, a_t)` along each trajectory.

        Args:
            reward: ``(S, A)``, or features ``(S, A, K)``.
            discount: :math:`\gamma`.

        Raises:
            ValueError: for another shape, an entry that is not finite, or a bad discount.
        """
        gamma = check_real("discount", discount, 0.0, most=1.0)
        table = self._table("reward", reward, 0)
        weights = gamma ** np.arange(self.actions.shape[1])
        summed: Array = np.einsum(
            "t,nt...->n...", weights, table[self.states[:, :-1], self.actions]
        )
        return summed

    def log_policy(self, policy: ArrayLike) -> Array:
        r"""``(N,)``: :math:`\sum_t \log \pi(a_t|s_t)` of a policy ``(S, A)`` or ``(T, S, A)``.

        Raises:
            ValueError: for another shape, or an entry that is not finite or below 0.
        """
        steps = np.arange(self.actions.shape[1])
        chances = check_numbers("policy", policy)
        table = self._table("policy", chances, int(chances.ndim == 3))
        if table.min(initial=0.0) < 0.0 or table.shape[:-2] not in ((), steps.shape):
            raise ValueError(
                f"policy has shape {table.shape} and entries from {table.min():g}; expected (S, A) "
                f"or ({steps.size}, S, A), and probabilities"
            )
        per_step = np.broadcast_to(table, (steps.size, *table.shape[-2:]))
        with np.errstate(divide="ignore"):
            logs = np.log(per_step[steps, self.states[:, :-1], self.actions])
        return np.asarray(logs.sum(axis=1))

    def _table(self, name: str, value: ArrayLike, first: int) -> Array:
        """Finite numbers of which axes ``first`` and ``first + 1`` are states and actions."""
        table = check_numbers(name, value)
        found = table.shape[first : first + 2]
        least = self.states.max(initial=0) + 1, self.actions.max(initial=0) + 1
        if len(found) < 2 or found[0] < least[0] or found[1] < least[1]:
            raise ValueError(
                f"{name} has shape {table.shape}; expected at least {least[0]} states and "
                f"{least[1]} actions, which the trajectories visit and take"
            )
        return check_array(name, table, table.shape)


def enumerate_trajectories(mdp: MDP, max_trajectories: int = 1_000_000) -> Trajectories:
    """Every trajectory of positive probability of an MDP with a (short) horizon: the oracle.

    Raises:
        ValueError: without a horizon, or when there are more than ``max_trajectories``.

    Example:
        >>> from irl_lib.worlds import gamble
        >>> paths = enumerate_trajectories(gamble().mdp)
        >>> float(np.exp(paths.log_dynamics).sum())  # A**T: one for each plan of actions
        4.0
    """
    check_mdp(mdp)
    most = check_count("max_trajectories", max_trajectories)
    if mdp.horizon is None:
        raise ValueError("horizon is None: only trajectories of a fixed length can be enumerated")
    start = np.flatnonzero(mdp.initial)
    no_actions = np.empty((start.size, 0), dtype=np.int64)
    paths = Trajectories(start[:, None], no_actions, np.log(mdp.initial[start]))
    for _ in range(mdp.horizon):
        paths = _one_step_longer(mdp, paths, most)
    return paths


def _one_step_longer(mdp: MDP, paths: Trajectories, most: int) -> Trajectories:
    """Every trajectory, continued by every action and to every next state."""
    n, matrix = len(paths.states), mdp.matrix
    action = np.tile(np.arange(mdp.n_actions), n)
    rows = action * mdp.n_states + np.repeat(paths.states[:, -1], mdp.n_actions)
    first, counts = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    total = int(counts.sum())
    if total > most:
        raise ValueError(
            f"more than max_trajectories={most} trajectories: this is for tiny MDPs, "
            f"use planning.occupancy for S={mdp.n_states}, T={mdp.horizon}"
        )
    parent = np.repeat(np.arange(rows.size), counts)
    entry = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + first[parent]
    history = parent // mdp.n_actions
    return Trajectories(
        np.column_stack([paths.states[history], matrix.indices[entry].astype(np.int64)]),
        np.column_stack([paths.actions[history], action[parent]]),
        paths.log_dynamics[history] + np.log(matrix.data[entry]),
    )


def deterministic_policy(actions: ArrayLike, n_actions: int) -> Array:
    """The policy ``(..., S, A)`` that always takes the given actions ``(..., S)``.

    Raises:
        ValueError: for anything but whole numbers from 0 to ``n_actions - 1``.

    Example:
        >>> deterministic_policy([1, 0], 2)
        array([[0., 1.],
               [1., 0.]])
    """
    n, chosen = check_count("n_actions", n_actions), as_array("actions", actions)
    if chosen.dtype.kind not in "iu":
        raise ValueError(f"actions has entries of type {chosen.dtype}; expected whole numbers")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < n:
        raise ValueError(
            f"actions has entries from {chosen.min()} to {chosen.max()}; expected 0 to {n - 1}, as "
            f"n_actions is {n}"
        )
    return np.asarray(chosen[..., None] == np.arange(n), dtype=np.float64)


def enumerate_policies(mdp: MDP, max_policies: int = 100_000) -> Array:
    """Every deterministic policy of a tiny MDP, the last state's action varying fastest.

    Returns:
        ``(N, S, A)`` with ``N = A**S``; ``(N, T, S, A)`` with ``N = A**(S*T)`` with a horizon.

    Raises:
        ValueError: when there are more than ``max_policies``.

    Example:
        >>> from irl_lib.worlds import two_goal
        >>> enumerate_policies(two_goal().mdp).shape
        (16, 4, 2)
    """
    check_count("max_policies", max_policies)
    check_mdp(mdp)
    shape = (mdp.n_states,) if mdp.horizon is None else (mdp.horizon, mdp.n_states)
    choices, total = int(np.prod(shape)), mdp.n_actions ** int(np.prod(shape))
    if total > max_policies:
        raise ValueError(
            f"{mdp.n_actions}**{choices} deterministic policies are more than "
            f"max_policies={max_policies}: this is for tiny MDPs"
        )
    places = mdp.n_actions ** np.arange(choices)[::-1]
    actions = np.arange(total)[:, None] // places % mdp.n_actions
    return deterministic_policy(actions.reshape(total, *shape), mdp.n_actions)


def check_mdp(mdp: Any) -> MDP:
    """``mdp``, when it is an :class:`MDP`.

    Raises:
        WrongTypeError: when it is something else.
    """
    return check_type("mdp", mdp, MDP)


def check_mdps(mdps: Any, name: str = "mdp") -> list[MDP]:
    """One MDP, or a sequence of them, as a list.

    Raises:
        WrongTypeError: when it is something else, naming the member that is.
        ValueError: when there are none.
    """
    if isinstance(mdps, MDP):
        return [mdps]
    if not isinstance(mdps, Sequence) or isinstance(mdps, str):
        raise WrongTypeError(f"{name} is {mdps!r}; expected an MDP, or a sequence of them")
    if not mdps:
        raise ValueError(f"{name} has no entries; expected an MDP, or a sequence of them")
    return [check_type(f"{name}[{i}]", each, MDP) for i, each in enumerate(mdps)]


def check_reward(mdp: MDP, reward: ArrayLike, name: str = "reward") -> Array:
    """A reward table ``(S, A)``; zero in absorbing states where episodes end there."""
    check_mdp(mdp)
    table = check_array(name, reward, (mdp.n_states, mdp.n_actions))
    if mdp.episodic and table[mdp.absorbing].any():
        state = int(np.flatnonzero(mdp.absorbing & table.any(axis=1))[0])
        raise ValueError(
            f"{name} is not 0 in the absorbing state {state}: with discount 1 and no horizon an "
            "episode ends there; put the reward on the step that enters it"
        )
    return table


def check_policy(mdp: MDP, policy: ArrayLike, name: str = "policy") -> Array:
    """A policy ``(S, A)``, or ``(T, S, A)`` when the horizon is finite."""
    check_mdp(mdp)
    array = check_numbers(name, policy)
    shape: tuple[int, ...] = (mdp.n_states, mdp.n_actions)
    if mdp.horizon is not None and array.ndim == 3:
        shape = (mdp.horizon, *shape)
    return check_distribution(name, array, shape)


def feature_matrix(mdp: MDP, features: Any) -> Array | sparse.csr_array:
    r"""Features as one matrix ``(S*A, K)``, row ``s*A + a`` being :math:`\phi(s, a)`.

    Args:
        mdp: for the shapes.
        features: dense ``(S, A, K)``, or ``(S*A, K)`` sparse; features of states alone, ``(S, K)``
            dense or sparse, are repeated for each action.

    Raises:
        ValueError: for another shape, or an entry that is not finite.
    """
    check_mdp(mdp)
    if sparse.issparse(features):
        return _sparse_features(mdp, features)
    array = check_numbers("features", features)
    if array.ndim not in (2, 3) or array.shape[-1] == 0:
        raise ValueError(
            f"features has shape {array.shape}; expected ({mdp.n_states}, {mdp.n_actions}, K) or "
            f"({mdp.n_states}, K), with at least one feature"
        )
    shape = (mdp.n_states, mdp.n_actions)[: array.ndim - 1]
    array = check_array("features", array, (*shape, array.shape[-1]))
    if array.ndim == 2:
        array = np.repeat(array[:, None], mdp.n_actions, axis=1)
    return array.reshape(mdp.n_states * mdp.n_actions, -1)


def _sparse_features(mdp: MDP, features: Any) -> sparse.csr_array:
    matrix = to_csr("features", features)
    n_states, n_actions = mdp.n_states, mdp.n_actions
    if not np.isfinite(matrix.data).all():
        raise ValueError("features has an entry that is not finite; expected finite numbers")
    if matrix.shape[0] == n_states and n_actions > 1:
        return matrix[np.repeat(np.arange(n_states), n_actions)]
    if matrix.shape[0] != n_states * n_actions or matrix.shape[1] == 0:
        raise ValueError(
            f"features has shape {matrix.shape}; expected ({n_states * n_actions}, K), a row for "
            f"each state and action, or ({n_states}, K), a row for each state"
        )
    return matrix


def _check_horizon(horizon: Any) -> int | None:
    if horizon is None:
        return None
    try:
        return check_count("horizon", horizon)
    except ValueError as error:
        raise ValueError(f"{error}, or None") from None
