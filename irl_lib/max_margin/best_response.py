r"""Demonstrations as tasks, and the policy that violates a task's constraint most.

A *task* is a demonstration in its MDP: the expert's feature expectations :math:`\mu_E`, and by
how much it should beat a policy, :math:`\Delta`.  Given weights, the most violated constraint is
that of

.. math::
    \max_\pi\; \Delta(\pi, \pi^*) - w^\top(\mu_E - \mu(\pi)) ,

which is planning.  With :math:`\Delta = \sum (\rho_\pi - \rho_E)\, \ell` it is planning for the
*loss-augmented* reward :math:`w^\top \phi + \ell`.  With the unit margin, 1 for every deterministic
policy whose feature expectations differ from the expert's, it is planning for :math:`w^\top \phi`;
and for the second best policy, once the best one is the expert.

References: Abbeel and Ng (2004); Ratliff, Bagnell and Zinkevich (2006).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import linalg

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations, complete_occupancy
from irl_lib.demonstrations.expert import ROUNDING
from irl_lib.mdp import MDP, check_mdps, check_policy, deterministic_policy, feature_matrix
from irl_lib.support.checks import Array, check_array, check_numbers

Index = NDArray[np.integer[Any]]

SAME = 1e-9  # relative difference of feature expectations that is none
TIED = 1e-10  # relative loss of an action that is as good as the best
MOST_TIES = 100  # equally good policies with the expert's features to look around


class Task(NamedTuple):
    """One demonstration in its MDP."""

    mdp: MDP
    world: int
    """Which of the MDPs that were given."""
    phi: Any
    """``(S*A, K)``."""
    expert: Array
    """``(K,)``."""
    loss: Array | None
    """``(S, A)``; None for the unit margin."""
    own: float
    """The loss of the expert itself."""


class Response(NamedTuple):
    """A policy, and what its constraint says."""

    actions: Index
    lead: Array
    """``(K,)``: the expert's feature expectations minus its own."""
    margin: float

    def violation(self, weights: Array) -> float:
        """By how much the expert's lead falls short of the margin."""
        return self.margin - float(self.lead @ weights)


def read_tasks(mdp: Any, features: Any, demos: Any, margin: Any) -> list[Task]:
    """The tasks that the arguments of ``max_margin`` describe, all of them checked."""
    worlds = _aligned(mdp, features, demos)
    parts = [
        (i, world, feature_matrix(world, phi), start, shown)
        for i, (world, phi, shown_here) in enumerate(worlds)
        for start, shown in _shown(world, shown_here)
    ]
    if len({phi.shape[1] for _, _, phi, _, _ in parts}) > 1:
        counts = [phi.shape[1] for _, _, phi, _, _ in parts]
        raise ValueError(f"features have {counts} columns; expected as many for each MDP")
    tasks = []
    for (i, _, phi, start, shown), loss in zip(parts, _losses(margin, parts), strict=True):
        mu = shown if shown.ndim == 1 else np.asarray(phi.T @ shown.ravel())
        mu = check_array("demos", mu, (phi.shape[1],))
        own = 0.0 if loss is None else float(np.sum(loss * shown))
        tasks.append(Task(start, i, phi, mu, loss, own))
    return tasks


def one_task(mdp: MDP, features: Any, demos: Any) -> Task:
    """All demonstrations as one: their mean."""
    if not isinstance(demos, Demonstrations):
        return read_tasks(mdp, features, demos, "unit")[0]
    return read_tasks(mdp, features, complete_occupancy(mdp, demos), "unit")[0]


def _aligned(mdp: Any, features: Any, demos: Any) -> list[tuple[MDP, Any, Any]]:
    if isinstance(mdp, MDP):
        return [(mdp, features, demos)]
    check_mdps(mdp)
    for name, each in (("features", features), ("demos", demos)):
        if not isinstance(each, Sequence):
            raise ValueError(f"{name} is {each!r}; expected a sequence, one for each MDP")
    lengths = [len(each) for each in (mdp, features, demos)]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"mdp, features and demos have {lengths[0]}, {lengths[1]} and {lengths[2]} entries; "
            "expected as many of each, and at least one"
        )
    return list(zip(mdp, features, demos, strict=True))


def _shown(mdp: MDP, demos: Any) -> Iterator[tuple[MDP, Array]]:
    """Each task's MDP and occupancy, or feature expectations."""
    if isinstance(demos, Demonstrations):
        demos.check(mdp)
        for i in range(len(demos)):
            one = demos.select([i])
            start = mdp.started_at(np.eye(1, mdp.n_states, int(one.states[0][0]))[0])
            yield start, complete_occupancy(start, one, f"trajectory {i} of demos")
        return
    array = check_numbers("demos", demos)
    if array.ndim == 1:
        yield mdp, array
        return
    yield mdp, complete_occupancy(mdp, array)


def _losses(margin: Any, parts: Sequence[Any]) -> list[Array | None]:
    """One loss ``(S, A)`` for each task, or None for the unit margin."""
    if isinstance(margin, str) and margin == "unit":
        return [None] * len(parts)
    if any(shown.ndim == 1 for *_, shown in parts):
        raise ValueError(
            "demos is feature expectations, from which only margin='unit' can be had; expected "
            "Demonstrations or an occupancy"
        )
    if isinstance(margin, str):
        if margin != "hamming":
            raise ValueError(f"margin is {margin!r}; expected 'unit', 'hamming', or a loss (S, A)")
        return _hamming(parts)
    each = list(margin) if isinstance(margin, list | tuple) else [margin] * len(parts)
    if len(each) != len(parts):
        raise ValueError(f"margin has {len(each)} losses; there are {len(parts)} demonstrations")
    return [_checked_loss(mdp, loss) for (_, mdp, *_), loss in zip(parts, each, strict=True)]


def _hamming(parts: Sequence[Any]) -> list[Array | None]:
    """1 for what was never demonstrated, up to rounding."""
    losses: list[Array | None] = [
        _until_the_end(mdp, np.asarray(shown <= ROUNDING * shown.max(), dtype=np.float64))
        for _, mdp, _, _, shown in parts
    ]
    if not np.any([np.any(loss) for loss in losses]):
        raise ValueError(
            "demos takes every action in every state, so that its Hamming loss is 0 for all "
            "policies; use margin='unit', or a loss of your own"
        )
    return losses


def _checked_loss(mdp: MDP, loss: ArrayLike) -> Array:
    table = check_array("margin", loss, (mdp.n_states, mdp.n_actions))
    if table.min() < 0.0:
        raise ValueError(f"margin has the entry {table.min():g}; a loss is >= 0")
    return _until_the_end(mdp, table)


def _until_the_end(mdp: MDP, loss: Array) -> Array:
    """No loss where an episode is over."""
    return np.where(mdp.absorbing[:, None], 0.0, loss) if mdp.episodic else loss


# --- best responses ---------------------------------------------------------------------------


def best_responses(tasks: Sequence[Task], weights: Array, loss_augmented: bool) -> list[Response]:
    """For each task the policy that is planned for; tasks with the same reward share a plan."""
    plans: dict[int, planning.Plan] = {}
    found = []
    for i, task in enumerate(tasks):
        loss = task.loss if loss_augmented else None
        if loss is not None or task.world not in plans:
            plans[task.world] = best_plan(i, task, weights, loss)
        plan = plans[task.world]
        response = respond(task, plan.policy.argmax(axis=-1).astype(np.int16))
        if task.loss is None and loss_augmented and response.margin == 0.0:
            response = _second_best(task, plan, response)
        found.append(response)
    return found


def best_plan(i: int, task: Task, weights: Array, loss: Array | None) -> planning.Plan:
    """Of task number i, for the reward of these weights and the loss."""
    reward = np.asarray(task.phi @ weights).reshape(task.mdp.n_states, task.mdp.n_actions)
    try:
        return planning.value_iteration(task.mdp, reward if loss is None else reward + loss)
    except planning.DivergenceError as error:
        raise ValueError(
            f"demonstration {i} has no finite best response: {error}; bound the weights, so that "
            "no step gains more than it costs, its loss included"
        ) from error


def respond(task: Task, actions: Index) -> Response:
    """A policy's constraint."""
    policy = deterministic_policy(actions, task.mdp.n_actions)
    occupancy = planning.unchecked_occupancy(task.mdp, policy)
    lead = _difference(task.expert, np.asarray(task.phi.T @ occupancy.ravel()))
    if task.loss is not None:
        margin = _difference(np.sum(occupancy * task.loss), np.asarray(task.own))
        return Response(actions, lead, float(margin))
    same = float(np.abs(lead).max()) <= SAME * max(1.0, float(np.abs(task.expert).max()))
    return Response(actions, lead, 0.0 if same else 1.0)


def _difference(a: Any, b: Array) -> Array:
    """``a - b``, zero where it is nothing but rounding."""
    gap = np.asarray(a - b)
    return np.where(np.abs(gap) <= ROUNDING * (np.abs(a) + np.abs(b)), 0.0, gap)


def given_response(task: Task, policy: ArrayLike) -> Response:
    """The constraint of the policy that somebody wants to begin with."""
    pi = check_policy(task.mdp, policy, "initial_policy")
    if not np.isin(pi, (0.0, 1.0)).all():
        raise ValueError("initial_policy is stochastic; expected one action in each state")
    return respond(task, pi.argmax(axis=-1).astype(np.int16))


def _second_best(task: Task, plan: planning.Plan, best: Response) -> Response:
    """The best policy whose feature expectations differ from the expert's, which is optimal.

    It is a vertex of the polytope of occupancies, and a vertex that is not optimal has a neighbour
    that is better; all better ones share the expert's features.  So it deviates in a single state
    from an optimal policy with the expert's features, and behaves optimally otherwise.
    """
    cost, response = np.inf, best
    todo, seen = [best.actions], {best.actions.tobytes()}
    while todo:
        actions = todo.pop()
        for price, where, action in _deviations(task.mdp, plan, actions):
            if price >= cost:
                break
            other = actions.copy()
            other[where] = action
            found = respond(task, other)
            if found.margin > 0.0:
                cost, response = price, found
            elif other.tobytes() not in seen and len(seen) < MOST_TIES:
                todo.append(other)
                seen.add(other.tobytes())
    return response


def _deviations(
    mdp: MDP, plan: planning.Plan, actions: Index
) -> Iterator[tuple[float, tuple[int, ...], int]]:
    """What each change of one action costs in return, cheapest first, where the policy goes."""
    v = plan.v if mdp.horizon is None else plan.v[:-1]
    worse = np.maximum(v[..., None] - plan.q, 0.0)
    worse[worse <= TIED * max(1.0, float(np.abs(v).max()))] = 0.0
    policy = deterministic_policy(actions, mdp.n_actions)
    prices = _prices(mdp, policy, worse)
    prices[policy > 0.0] = np.inf
    for flat in np.argsort(prices, axis=None, kind="stable"):
        *where, action = (int(i) for i in np.unravel_index(flat, prices.shape))
        if not np.isfinite(prices[(*where, action)]):
            return
        yield float(prices[(*where, action)]), tuple(where), action


def _prices(mdp: MDP, policy: Array, worse: Array) -> Array:
    """What a change of one action costs: how often its state is then visited, times its loss."""
    if mdp.horizon is not None:
        visits = np.empty(policy.shape[:2])
        state = mdp.initial
        for t in range(mdp.horizon):
            visits[t] = mdp.discount**t * state
            state = mdp.flow(policy[t] * state[:, None])
        return np.where(visits[..., None] > 0.0, visits[..., None] * worse, np.inf)
    return _stationary_prices(mdp, policy, worse)


def _stationary_prices(mdp: MDP, policy: Array, worse: Array) -> Array:
    """By the formula of Sherman and Morrison: a change of one action is one of rank one."""
    states = np.flatnonzero(planning.unchecked_occupancy(mdp, policy).sum(axis=1) > 0.0)
    chain = mdp.discount * mdp.policy_matrix(policy)
    if mdp.episodic:
        chain = sparse.diags_array((~mdp.absorbing).astype(np.float64)) @ chain
        states = states[~mdp.absorbing[states]]
    factors = linalg.splu(sparse.csc_array(sparse.eye_array(mdp.n_states) - chain))
    prices = np.full(worse.shape, np.inf)
    for s in states:
        to_here = factors.solve(np.eye(1, mdp.n_states, int(s))[0])  # discounted visits of s
        visits = mdp.initial @ to_here
        ahead = mdp.discount * mdp.expect(to_here)[s]
        returns = 1.0 - (ahead - ahead @ policy[s])
        prices[s] = np.where(returns > TIED, visits / np.maximum(returns, TIED) * worse[s], np.inf)
    return prices
