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
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from irl_lib import planning
from irl_lib.demonstrations.expert import ROUNDING, Expert, experts
from irl_lib.mdp import MDP, deterministic_policy, feature_matrix
from irl_lib.support.checks import Array, check_array

Index = NDArray[np.integer[Any]]

SAME = 1e-9  # relative difference of feature expectations that is none
TIED = 1e-10  # relative loss of an action that is as good as the best
MOST_TIES = 100  # equally good policies with the expert's features to look around


@dataclass(frozen=True, eq=False)
class Task:
    """One demonstration in its MDP.

    Attributes:
        number: of the demonstration.
        mdp: S states, A actions.
        world: which of the MDPs that were given.
        phi: ``(S*A, K)``.
        expert: ``(K,)``, its feature expectations.
        loss: ``(S, A)``; None for the unit margin.
        own: the loss of the expert itself.
    """

    number: int
    mdp: MDP
    world: int
    phi: Any
    expert: Array
    loss: Array | None
    own: float

    def reward(self, weights: Array) -> Array:
        """``(S, A)``."""
        return np.asarray(self.phi @ weights).reshape(self.mdp.n_states, self.mdp.n_actions)


@dataclass(frozen=True, eq=False)
class Response:
    """A policy, and what its constraint says.

    Attributes:
        number: of the demonstration that it is compared with.
        actions: ``(S,)`` or ``(T, S)``.
        lead: ``(K,)``, the expert's feature expectations minus its own.
        margin: by how much the expert should win.
    """

    number: int
    actions: Index
    lead: Array
    margin: float

    @property
    def key(self) -> tuple[int, bytes]:
        """The same for the same constraint."""
        return self.number, self.actions.tobytes()


def read_tasks(mdp: Any, features: Any, demos: Any, margin: Any, apart: bool) -> list[Task]:
    """A task for each MDP; or, ``apart``, for each trajectory, where trajectories are given."""
    given = experts(mdp, features, demos)
    phis = [feature_matrix(each.mdp, each.features) for each in given]
    columns = [phi.shape[1] for phi in phis]
    if len(set(columns)) > 1:
        raise ValueError(f"features have {columns} columns; expected as many for each MDP")
    parts = [_trajectories(each) if apart else [each] for each in given]
    n = sum(map(len, parts))
    margins = list(margin) if isinstance(margin, list | tuple) else [margin] * n
    if len(margins) != n:
        raise ValueError(f"margin has {len(margins)} losses; there are {n} demonstrations")
    tasks: list[Task] = []
    for world, (phi, part) in enumerate(zip(phis, parts, strict=True)):
        for each in part:
            number = len(tasks)
            expert, loss, own = _goal(each, phi, margins[number])
            tasks.append(Task(number, each.mdp, world, phi, expert, loss, own))
    if isinstance(margin, str) and margin == "hamming" and not any(np.any(t.loss) for t in tasks):
        raise ValueError(
            "demos takes every action in every state, so that its Hamming loss is 0 for all "
            "policies; use margin='unit', or a loss of your own"
        )
    return tasks


def _trajectories(expert: Expert) -> list[Expert]:
    """One expert for each trajectory, in the MDP started where it starts."""
    demos, mdp = expert.demos, expert.mdp
    if demos is None:
        return [expert]
    demos.check(mdp)
    parts = []
    for i in range(len(demos)):
        start = mdp.started_at(np.eye(1, mdp.n_states, int(demos.states[i][0]))[0])
        name = f"trajectory {i} of {expert.name}"
        parts.append(Expert(start, expert.features, demos.select([i]), name))
    return parts


def _goal(expert: Expert, phi: Any, margin: Any) -> tuple[Array, Array | None, float]:
    """The expert's feature expectations, the loss ``(S, A)`` of others, and the expert's own."""
    if isinstance(margin, str) and margin == "unit":
        return expert.expectations(phi), None, 0.0
    if not expert.has_occupancy:
        raise ValueError(
            f"{expert.name} is feature expectations, from which only margin='unit' can be had; "
            "expected Demonstrations or an occupancy"
        )
    shown = expert.occupancy()
    loss = _loss(expert.mdp, shown, margin)
    return np.asarray(phi.T @ shown.ravel()), loss, float(np.sum(loss * shown))


def _loss(mdp: MDP, shown: Array, margin: Any) -> Array:
    """``(S, A)``; none where an episode is over."""
    if not isinstance(margin, str):
        loss = check_array("margin", margin, shown.shape)
    elif margin == "hamming":  # 1 for what was never demonstrated, up to rounding
        loss = np.asarray(shown <= ROUNDING * shown.max(), dtype=np.float64)
    else:
        raise ValueError(f"margin is {margin!r}; expected 'unit', 'hamming', or a loss (S, A)")
    if loss.min() < 0.0:
        raise ValueError(f"margin has the entry {loss.min():g}; a loss is >= 0")
    return np.where(mdp.absorbing[:, None], 0.0, loss) if mdp.episodic else loss


# --- best responses ---------------------------------------------------------------------------


def best_responses(tasks: Sequence[Task], weights: Array) -> list[Response]:
    r"""For each task the policy :math:`\arg\max_\pi \sum \rho_\pi (w^\top \phi + \ell)`.

    With the unit margin it is the best for :math:`w^\top \phi`, or the second best.  Tasks with the
    same reward share a plan.

    Implements: eq-best-response
    """
    plans: dict[int, planning.Plan] = {}
    found = []
    for task in tasks:
        if task.loss is not None or task.world not in plans:
            plans[task.world] = plan_for(task, weights)
        response = respond(task, plans[task.world])
        if task.loss is None and response.margin == 0.0:
            response = _second_best(task, plans[task.world], response)
        found.append(response)
    return found


def plan_for(task: Task, weights: Array) -> planning.Plan:
    """For the reward of these weights, and the task's loss."""
    reward = task.reward(weights)
    try:
        return planning.value_iteration(
            task.mdp, reward if task.loss is None else reward + task.loss
        )
    except planning.DivergenceError as error:
        raise ValueError(
            f"demonstration {task.number} has no finite best response: {error}; bound the weights, "
            "so that no step gains more than it costs, its loss included"
        ) from error


def respond(task: Task, plan: planning.Plan) -> Response:
    """The constraint of a plan's policy."""
    return _response(task, plan.policy.argmax(axis=-1).astype(np.int16))


def _response(task: Task, actions: Index) -> Response:
    r"""The lead :math:`\mu_E - \mu(\pi)` and the margin :math:`\sum (\rho_\pi - \rho_E) \ell`."""
    policy = deterministic_policy(actions, task.mdp.n_actions)
    occupancy = planning.unchecked_occupancy(task.mdp, policy)
    lead = _difference(task.expert, np.asarray(task.phi.T @ occupancy.ravel()))
    if task.loss is not None:
        margin = float(_difference(np.sum(occupancy * task.loss), np.asarray(task.own)))
    else:
        scale = max(1.0, float(np.abs(task.expert).max()))
        margin = float(np.abs(lead).max() > SAME * scale)
    return Response(task.number, actions, lead, margin)


def _difference(a: Any, b: Array) -> Array:
    """``a - b``, zero where it is nothing but rounding."""
    gap = np.asarray(a - b)
    return np.where(np.abs(gap) <= ROUNDING * (np.abs(a) + np.abs(b)), 0.0, gap)


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
            found = _response(task, other)
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
    r"""What a change of one action costs: how often its state is then visited, times its loss.

    With a horizon a state and time is visited once at most, and as often as before.
    Otherwise a change of the action in state s adds a row of rank one to the chain :math:`P_\pi`.
    With the column :math:`x = (I - \gamma P_\pi)^{-1} e_s`, how often one comes to s from where,
    the formula of Sherman and Morrison gives the visits of s after the change to action a,

    .. math::
        \frac{\mu_0^\top x}{1 - \gamma (P(\cdot|s,a) - P_\pi(\cdot|s))^\top x} .
    """
    if mdp.horizon is not None:
        there = visits_by_step(mdp, policy).sum(axis=-1, keepdims=True)
        discounts = mdp.discount ** np.arange(mdp.horizon)[:, None, None]
        return np.where(discounts * there > 0.0, discounts * there * worse, np.inf)
    states = np.flatnonzero(planning.unchecked_occupancy(mdp, policy).sum(axis=1) > 0.0)
    chain = mdp.discount * mdp.policy_matrix(policy)
    if mdp.episodic:
        chain = sparse.diags_array((~mdp.absorbing).astype(np.float64)) @ chain
        states = states[~mdp.absorbing[states]]
    factors = linalg.splu(sparse.csc_array(sparse.eye_array(mdp.n_states) - chain))
    prices = np.full(worse.shape, np.inf)
    for s in states:
        to_here = factors.solve(np.eye(1, mdp.n_states, int(s))[0])
        ahead = mdp.discount * mdp.expect(to_here)[s]
        returns = 1.0 - (ahead - ahead @ policy[s])
        visits = mdp.initial @ to_here / np.maximum(returns, TIED)
        prices[s] = np.where(returns > TIED, visits * worse[s], np.inf)
    return prices


def visits_by_step(mdp: MDP, policy: Array) -> Array:
    """The occupancy ``(S, A)``; with a horizon ``(T, S, A)``, the chances of each step."""
    if mdp.horizon is None:
        return planning.unchecked_occupancy(mdp, policy)
    per_step = np.broadcast_to(policy, (mdp.horizon, *policy.shape[-2:]))
    visits, state = np.empty(per_step.shape), mdp.initial
    for t, pi in enumerate(per_step):
        visits[t] = pi * state[:, None]
        state = mdp.flow(visits[t])
    return visits
