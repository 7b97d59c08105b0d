r"""How far a policy is from an expert, how much of a reward behaviour determines, and how far two
rewards are from each other.

Everything about rewards rests on one family of changes: *potential shaping*
:math:`r(s,a) + h(s) - \gamma\, \mathbb{E}\, h(s')` leaves every soft policy as it is, and the order
of all policies, too.  :func:`identifiability` counts what is left when it is taken away;
:func:`starc_distance` and :func:`epic_distance` take it away, and the scale, before they compare.

References: Ng, Harada, Russell (1999); Cao, Cohen, Szpruch (2021); Gleave et al. (2021); Skalse et
al. (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import (
    MDP,
    check_mdp,
    check_mdps,
    check_policy,
    check_reward,
    feature_matrix,
    reachable,
)
from irl_lib.planning import feature_expectations, occupancy, policy_value, value_iteration
from irl_lib.support.checks import (
    Array,
    check_array,
    check_distribution,
    check_flag,
    check_numbers,
    check_real,
    check_type,
)

ROUNDING = 1e-10  # what is smaller, relative to the reward that it was made from, counts as zero
MAX_ENTRIES = 20_000_000  # of a dense matrix or table


def expected_value_difference(mdp: MDP, policy: ArrayLike, reward: ArrayLike) -> float:
    """How much return a policy gives away: the optimal return minus its own, both from the start.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)`` or ``(T, S, A)``.
        reward: ``(S, A)``, the true one.

    Returns:
        At least 0, in units of the reward.
    """
    ahead = value_iteration(mdp, reward).v - policy_value(mdp, policy, reward)
    return float(mdp.initial @ np.atleast_2d(ahead)[0])


def feature_gap(mdp: MDP, policy: ArrayLike, features: Any, expert: ArrayLike) -> float:
    """Euclidean distance between the feature expectations of a policy and an expert's ``(K,)``."""
    own = feature_expectations(mdp, policy, features)
    return float(np.linalg.norm(own - check_array("expert", expert, own.shape)))


def negative_log_likelihood(mdp: MDP, policy: ArrayLike, demos: Demonstrations) -> float:
    r"""Mean over trajectories of :math:`-\sum_t \log \pi(a_t \mid s_t)`, in nats.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        demos: trajectories possible in the MDP.

    Raises:
        ValueError: for bad arguments, or when a demonstrated action has probability zero.
    """
    pi = check_policy(mdp, policy)
    check_type("demos", demos, Demonstrations).check(mdp)
    step = demos.steps()
    when = (step.time,) if pi.ndim == 3 else ()
    chosen = pi[(*when, step.state, step.action)]
    if chosen.size and chosen.min() <= 0.0:
        j = int(np.argmin(chosen))
        raise ValueError(
            f"policy gives probability 0 to action {step.action[j]} in state {step.state[j]}, "
            f"which trajectory {step.trajectory[j]} takes at step {step.time[j]}; expected more "
            "than 0, or the likelihood is 0"
        )
    return float(-np.log(chosen).sum() / len(demos))


def effective_sample_size(log_weights: ArrayLike) -> float:
    r"""Kish's :math:`(\sum w)^2 / \sum w^2` of importance weights given by their logarithms.

    Args:
        log_weights: ``(N,)``; a common constant doesn't matter.

    Returns:
        From 1 (one sample has all the weight) to N (all weights equal).
    """
    logs = check_numbers("log_weights", log_weights)
    if logs.ndim != 1 or logs.size == 0:
        raise ValueError(f"log_weights has shape {logs.shape}; expected one axis, not empty")
    logs = check_array("log_weights", logs, logs.shape)
    weights: Array = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / np.sum(weights**2))


# --- what behaviour determines ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What part of a reward soft-optimal behaviour determines; made by :func:`identifiability`."""

    n_unknowns: int
    """``S*A`` numbers of a table, or S, or K weights; T times as many where steps may differ."""
    rank: int
    """How many independent combinations of them the behaviour determines."""
    basis: Array
    """``(n_unknowns, ambiguity)``: orthonormal columns, the changes that cannot be seen."""
    rewards: Array
    """``(ambiguity, S, A)``, or ``(ambiguity, T, S, A)``: the same changes as tables of rewards."""
    singular_values: Array
    """``(n_unknowns,)``, descending: how far each direction is from being a potential shaping."""
    cut: float
    """Singular values below it count as zero."""

    @property
    def ambiguity(self) -> int:
        """The dimension of what stays open."""
        return self.n_unknowns - self.rank

    @property
    def last_kept(self) -> float:
        """The smallest singular value above the cut; infinite where there is none."""
        return float(self.singular_values[self.rank - 1]) if self.rank else float("inf")

    @property
    def first_dropped(self) -> float:
        """The largest singular value below the cut; 0 where there is none."""
        return float(self.singular_values[self.rank]) if self.ambiguity else 0.0


def identifiability(
    mdps: MDP | Sequence[MDP],
    features: Any = None,
    state_only: bool = False,
    per_step: bool = False,
    tolerance: float = 1e-8,
) -> Identifiability:
    r"""What part of a reward the soft-optimal policies of one or several MDPs determine.

    A reward explains the soft policy :math:`\pi` if and only if, for some potential h (its soft
    value), :math:`r(s,a) = \log\pi(a|s) + h(s) - \gamma\, \mathbb{E}\, h(s')`.
    So two rewards can't be told apart if and only if their difference is
    :math:`h(s) - \gamma\, \mathbb{E}\, h(s')` in each of the MDPs, with a potential for each.
    With a horizon the potential depends on time and ends with :math:`h_T = 0`.  States that no
    trajectory reaches say nothing; where episodes end, the reward is known to be 0.

    Args:
        mdps: one, or several with the same states and actions: the same reward, other dynamics,
            another discount, start or horizon.
        features: the reward is linear in these, as :func:`irl_lib.mdp.feature_matrix` takes them,
            and the unknowns are the K weights; default: any reward table.
        state_only: the reward depends on the state alone, and the unknowns are S numbers.
        per_step: with a horizon, each step has a reward of its own; else there is one for all.
        tolerance: on singular values, relative to the largest one of the features.

    Returns:
        Identifiability, with the singular values on both sides of the cut, so that a case that is
        almost degenerate can be seen.

    Raises:
        ValueError: for MDPs that don't fit each other, features together with ``state_only``,
            ``per_step`` without a common horizon, or a problem of more than 20 million matrix
            entries (everything is dense here).

    References: Cao, Cohen, Szpruch (2021), theorems 1 and 2, corollaries 3 and 4.

    Example:
        >>> from irl_lib.worlds import random_mdp
        >>> near, far = (random_mdp(5, 3, 2, seed=1, discount=g).mdp for g in (0.5, 0.9))
        >>> identifiability(near).ambiguity  # as many as states
        5
        >>> identifiability([near, far]).ambiguity  # the constants
        1
    """
    check_flag("state_only", state_only)
    problems = _fitting(mdps, check_flag("per_step", per_step))
    phi = _design(problems[0], features, state_only)
    steps = problems[0].horizon if per_step else None
    share = check_real("tolerance", tolerance, 0.0, open_end=True)
    parts = [_not_shaping(mdp, phi, steps) for mdp in problems]
    triangle = np.linalg.qr(np.vstack(parts), mode="r")
    _, found, directions = np.linalg.svd(triangle)
    values = np.zeros(directions.shape[0])
    values[: found.size] = found
    cut = share * float(np.linalg.norm(phi, 2))
    rank = int(np.count_nonzero(values > cut))
    basis = np.ascontiguousarray(directions[rank:].T)
    rewards = _tables(problems[0], phi, basis, steps)
    return Identifiability(values.size, rank, basis, rewards, values, cut)


def _fitting(mdps: MDP | Sequence[MDP], per_step: bool) -> list[MDP]:
    problems = check_mdps(mdps, "mdps")
    first = problems[0]
    for i, mdp in enumerate(problems):
        if (mdp.n_states, mdp.n_actions) != (first.n_states, first.n_actions):
            raise ValueError(
                f"mdps[{i}] has {mdp.n_states} states and {mdp.n_actions} actions; expected "
                f"{first.n_states} and {first.n_actions}, as mdps[0]"
            )
        if per_step and (mdp.horizon is None or mdp.horizon != first.horizon):
            raise ValueError(
                f"per_step is True and mdps[{i}] has the horizon {mdp.horizon}; expected a "
                "finite one, the same for all"
            )
    return problems


def _design(mdp: MDP, features: Any, state_only: bool) -> Array:
    """``(S*A, K)``: from the unknowns of one step to its reward table."""
    if features is not None and state_only:
        raise ValueError("features and state_only are both given; expected one of them")
    if features is None:
        shape = (mdp.n_states,) if state_only else (mdp.n_states, mdp.n_actions)
        n = int(np.prod(shape))
        _check_size("the matrix of features", mdp.n_states * mdp.n_actions, n)
        features = np.eye(n).reshape(*shape, n)
    matrix = feature_matrix(mdp, features)
    return matrix.toarray() if isinstance(matrix, sparse.csr_array) else matrix


def _not_shaping(mdp: MDP, phi: Array, steps: int | None) -> Array:
    """The part of each unknown's reward that is no shaping in this MDP, one row per (t, s, a)."""
    horizon = 1 if mdp.horizon is None else mdp.horizon
    rows = horizon * mdp.n_states * mdp.n_actions
    _check_size("the matrix of shapings", rows, horizon * mdp.n_states + phi.shape[1])
    reward = np.tile(phi, (horizon, 1)) if steps is None else np.kron(np.eye(steps), phi)
    reached = _reached(mdp)
    seen, free = reached.copy(), reached.ravel()
    if mdp.episodic:
        seen[:, mdp.absorbing] = True  # where the reward is 0, and so is the potential
        free = free & ~mdp.absorbing
    kept = np.repeat(seen.ravel(), mdp.n_actions)
    # Potentials of states that are never reached would be columns of zeros.
    q, _ = np.linalg.qr(_shapings(mdp)[kept][:, free])
    return np.asarray(reward[kept] - q @ (q.T @ reward[kept]))


def _shapings(mdp: MDP) -> Array:
    """``(T*S*A, T*S)``, T being 1 without a horizon: from h to h(s) - gamma E h(s')."""
    n, a = mdp.n_states, mdp.n_actions
    now = np.repeat(np.eye(n), a, axis=0)
    later = mdp.discount * mdp.dense_transitions().reshape(n * a, n)
    if mdp.horizon is None:
        return now - later
    steps = np.eye(mdp.horizon)
    return np.kron(steps, now) - np.kron(np.eye(mdp.horizon, k=1), later)


def _reached(mdp: MDP) -> NDArray[np.bool_]:
    """``(T, S)``, T being 1 without a horizon: the states that some actions lead to."""
    at = mdp.initial > 0.0
    if mdp.horizon is None:
        anything = mdp.policy_matrix(np.full((mdp.n_states, mdp.n_actions), 1.0 / mdp.n_actions))
        return reachable(anything, at)[None]
    steps = [at]
    for _ in range(mdp.horizon - 1):
        mass = np.repeat(steps[-1][:, None], mdp.n_actions, axis=1).astype(np.float64)
        steps.append(mdp.flow(mass) > 0.0)
    return np.array(steps)


def _tables(mdp: MDP, phi: Array, basis: Array, steps: int | None) -> Array:
    """The columns of ``basis`` as tables of rewards, one after the other."""
    shape = (mdp.n_states, mdp.n_actions)
    if steps is None:
        return np.asarray((phi @ basis).T.reshape(-1, *shape))
    per_step = basis.T.reshape(basis.shape[1], steps, -1)
    return np.asarray((per_step @ phi.T).reshape(-1, steps, *shape))


def _check_size(what: str, rows: int, columns: int) -> None:
    if rows * columns > MAX_ENTRIES:
        raise ValueError(
            f"{what} would have {rows:,} x {columns:,} entries; expected at most {MAX_ENTRIES:,}: "
            "everything is dense here, use fewer states or steps"
        )


# --- how far two rewards are from each other ----------------------------------------------------


def starc_distance(mdp: MDP, first: ArrayLike, second: ArrayLike) -> float:
    r"""How differently two rewards order the policies of an MDP (STARC).

    Each reward is replaced by its advantages under the uniformly random policy u ("value-adjusted
    levelling"), :math:`c(s,a) = r(s,a) + \gamma\, \mathbb{E}\, V_u(s') - V_u(s)`, which all of its
    shapings share, and these are divided by their Euclidean norm; zero stays zero.  The distance is
    half the Euclidean distance of the results.  With a horizon, the advantages of all steps count.
    States that no trajectory reaches are left out.

    It is 0 if and only if the rewards order all policies alike, and 1 for opposite ones.  What
    optimising one reward can lose of the other is bounded by a multiple of it, from above and from
    below.

    Args:
        mdp: S states, A actions.
        first: ``(S, A)``, or ``(S, A, S)`` where the reward depends on the next state.
        second: likewise.

    Returns:
        From 0 to 1; 1/2 from a reward to which all policies are equal (such as a constant) to one
        to which they aren't, and 0 between two of the former.

    Raises:
        ValueError: for a bad reward.

    References: Skalse et al. (2024).

    Example:
        >>> from irl_lib.worlds import chain
        >>> world = chain()
        >>> starc_distance(world.mdp, world.reward, -world.reward)
        1.0
    """
    a, b = (_levelled(mdp, name, r) for name, r in (("first", first), ("second", second)))
    return _half_distance(a, b)


def _levelled(mdp: MDP, name: str, reward: ArrayLike) -> Array:
    """The advantages under the uniform policy, of norm 1 (or 0)."""
    table = _expected_reward(mdp, name, reward)
    v = policy_value(mdp, np.full(table.shape, 1.0 / mdp.n_actions), table)
    now, ahead = (v[None], v[None]) if mdp.horizon is None else (v[:-1], v[1:])
    later = mdp.discount * np.array([mdp.expect(x) for x in ahead])
    advantage = (table + later - now[..., None]) * _reached(mdp)[..., None]
    return _normalised(advantage, float(np.abs(table).max() + np.abs(v).max()))


def _expected_reward(mdp: MDP, name: str, reward: ArrayLike) -> Array:
    """A reward as ``(S, A)``: the next state averaged out where it depends on it."""
    shape = (check_mdp(mdp).n_states, mdp.n_actions)
    table = check_numbers(name, reward)
    if table.ndim == 3:
        table = check_array(name, table, (*shape, mdp.n_states))
        table = np.einsum("sat,sat->sa", mdp.dense_transitions(), table)
    return check_reward(mdp, table, name)


def epic_distance(
    first: ArrayLike,
    second: ArrayLike,
    coverage: ArrayLike,
    discount: float,
    states: ArrayLike | None = None,
    actions: ArrayLike | None = None,
) -> float:
    r"""How different two rewards are, whatever the dynamics (EPIC).

    Each reward is replaced by its canonically shaped form

    .. math:: \tilde r(s,a,s') = r(s,a,s') + \gamma \bar r(s') - \bar r(s)
              - \gamma\, \mathbb{E}_{X} \bar r(X), \qquad
              \bar r(x) = \mathbb{E}_{U, X'}\, r(x, U, X'),

    with X and X' from ``states`` and U from ``actions``, independently.  The distance is
    :math:`\sqrt{(1 - \kappa)/2}` with the correlation :math:`\kappa` of the two forms under the
    coverage.  Shaping by :math:`\gamma h(s') - h(s)` changes nothing.  That has to be in the reward
    as a function of the next state: averaged over next states, as an ``(S, A)`` table, it is
    another reward to EPIC, which knows no dynamics; use :func:`starc_distance`.

    Args:
        first: ``(S, A, S)``, or ``(S, A)``, which is read as not depending on the next state.
        second: likewise.
        coverage: ``(S, A, S)``, the distribution of the transitions that count; it need not be
            possible in any dynamics.  From a policy: :func:`transition_coverage`.  Where it is
            zero, the rewards may differ without being seen.
        discount: :math:`\gamma`.
        states: ``(S,)``, a distribution; default: that of s in the coverage.
        actions: ``(A,)``, a distribution; default: that of a in the coverage.

    Returns:
        From 0 to 1.  A canonical form that is constant on the coverage has no correlation; it is
        at 1/2 from all that are not, and at 0 from those that are.

    Raises:
        ValueError: naming a bad argument.

    References: Gleave et al. (2021), section 4.

    Example:
        >>> import numpy as np
        >>> r, h = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([3.0, -1.0])
        >>> shaped = r[:, :, None] + 0.9 * h - h[:, None, None]
        >>> bool(epic_distance(r, shaped, np.full((2, 2, 2), 1 / 8), 0.9) < 1e-12)
        True
    """
    cover = _coverage(coverage)
    gamma = check_real("discount", discount, 0.0, most=1.0)
    d_states = cover.sum(axis=(1, 2)) if states is None else states
    d_states = check_distribution("states", d_states, cover.shape[:1])
    d_actions = cover.sum(axis=(0, 2)) if actions is None else actions
    d_actions = check_distribution("actions", d_actions, cover.shape[1:2])
    named = (("first", first), ("second", second))
    tables = [_of_transitions(name, r, cover.shape) for name, r in named]
    a, b = (_standardised(_canonical(r, gamma, d_states, d_actions), r, cover) for r in tables)
    return _half_distance(a, b)


def transition_coverage(mdp: MDP, policy: ArrayLike) -> Array:
    """``(S, A, S)``: how a policy's discounted steps are distributed over transitions.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.

    Raises:
        ValueError: for a bad policy, or more than 20 million transitions.
    """
    _check_size("the coverage", check_mdp(mdp).n_states * mdp.n_actions, mdp.n_states)
    visits = occupancy(mdp, policy)
    return np.asarray((visits / visits.sum())[..., None] * mdp.dense_transitions())


def _coverage(coverage: ArrayLike) -> Array:
    cover = check_numbers("coverage", coverage)
    if cover.ndim != 3 or cover.shape[0] != cover.shape[2] or 0 in cover.shape:
        raise ValueError(f"coverage has shape {cover.shape}; expected (S, A, S)")
    flat = check_distribution("coverage", cover.ravel(), (cover.size,))
    return flat.reshape(cover.shape)


def _of_transitions(name: str, reward: ArrayLike, shape: tuple[int, ...]) -> Array:
    table = check_numbers(name, reward)
    if table.ndim == 2:
        return np.broadcast_to(check_array(name, table, shape[:2])[..., None], shape)
    return check_array(name, table, shape)


def _canonical(reward: Array, discount: float, states: Array, actions: Array) -> Array:
    """The canonically shaped reward, ``(S, A, S)``."""
    mean = np.einsum("sat,a,t->s", reward, actions, states)
    return np.asarray(reward + discount * mean - mean[:, None, None] - discount * (states @ mean))


def _standardised(canonical: Array, reward: Array, coverage: Array) -> Array:
    """Centred, and of norm 1 (or 0), in the metric of the coverage."""
    centred = np.sqrt(coverage) * (canonical - np.sum(coverage * canonical))
    return _normalised(centred, float(np.abs(reward).max()))


def _normalised(x: Array, scale: float) -> Array:
    norm = float(np.linalg.norm(x))
    return x / norm if norm > ROUNDING * scale else np.zeros_like(x)


def _half_distance(a: Array, b: Array) -> float:
    return min(1.0, 0.5 * float(np.linalg.norm(a - b)))
