r"""How likely a soft-optimal agent makes what an expert did, as a function of the reward table.

Whatever a reward is made of, its table :math:`r(s,a)` is all that planning sees.  With the expert's
occupancy :math:`\rho_E`, the soft values :math:`V` of the table, and *sources* :math:`b`, which say
how much of the expert's time enters the world in each state,

.. math::
    L(r) = \sum_{s,a} \rho_E(s,a)\, r(s,a) - \sum_s b(s)\, V(s), \qquad
    \nabla_r L = \rho_E - \rho_b ,

where :math:`\rho_b` are the visits of the soft-optimal policy when it enters the world by the same
sources: a difference of visitations, one number for each state and action.  There are two choices.

- **dual**: everybody enters at the start, :math:`b = p_0`.  It is concave in :math:`r`.
- **likelihood**: :math:`b(s') = \sum_a \rho_E(s',a) - \gamma \sum_{s,a} \rho_E(s,a) P(s'|s,a)`,
  wherever the expert's visits do not follow from its earlier ones: where it started, and where
  chance took it.  With it :math:`L = \mathbb{E} \sum_t \gamma^t \log \pi_r(a_t|s_t)`, the
  log-likelihood of the actions that were shown, which is never above 0.  They may end early, by
  truncation or in an absorbing state, where nothing counts that nobody did.

When :math:`\rho_E` is the occupancy of a policy, they are the same.  That of finitely many
demonstrations in a random world is not: no policy is that lucky.  Then the dual has no maximum
over all tables; a linear reward rarely notices, a flexible one does.

References: Ziebart (2010), chapter 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations, Expert, complete_occupancy, is_cut
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

OBJECTIVES = ("likelihood", "dual")


class Shown(NamedTuple):
    """What an expert showed: where it was, and where it came in."""

    occupancy: Array
    """``(S, A)``, discounted."""
    sources: Array | None
    """``(S,)``, discounted; with a horizon ``(T, S)``, for each step, not discounted; None stands
    for the start."""
    states: Array | None = None
    """Likewise, how often it was where, for the likelihood; None stands for where a policy goes
    that enters by the sources."""


class FreeValue(NamedTuple):
    """What the expert's reward is compared with."""

    value: float
    visits: Array
    """``(S, A)``, its gradient in the reward."""
    plan: planning.Plan


class TableObjective(NamedTuple):
    """The objective at some table of rewards."""

    value: float
    gradient: Array
    """``(S, A)``: the expert's visits minus the learner's."""
    plan: planning.Plan


def free_value(mdp: MDP, reward: Array, sources: Array | None, causal: bool = True) -> FreeValue:
    r""":math:`F(r)` and its gradient, the visits of a learner for whom r is the reward.

    Causal, :math:`F = \sum_s b(s) V(s)`; not causal, :math:`F = \log Z`.

    Args:
        mdp: S states, A actions.
        reward: ``(S, A)``, checked.
        sources: as in :class:`Shown`.
        causal: whether the learner plans, or chooses its luck as well.

    Raises:
        irl_lib.planning.DivergenceError: when no finite soft value exists.
    """
    if causal:
        plan = planning.unchecked_soft_plan(mdp, reward)
        visits = planning.unchecked_occupancy(mdp, plan.policy, sources)
        return FreeValue(value_from(mdp, plan.v, sources), visits, plan)
    plan = planning.trajectory_posterior(mdp, reward)
    visits = planning.trajectory_occupancy(mdp, plan)
    return FreeValue(planning.log_partition(mdp, plan), visits, plan)


def table_objective(mdp: MDP, shown: Shown, reward: Array) -> TableObjective:
    r""":math:`L(r)` and its gradient, exactly.

    Args:
        mdp: S states, A actions.
        shown: from :func:`shown_by`.
        reward: ``(S, A)``, checked.

    Raises:
        irl_lib.planning.DivergenceError: when no finite soft value exists.

    Implements: eq-nonlinear-maxent
    """
    free = free_value(mdp, reward, shown.sources)
    value = float(np.sum(shown.occupancy * reward)) - free.value
    return TableObjective(value, shown.occupancy - free.visits, free.plan)


def shown_by(
    mdp: MDP, demos: Demonstrations | ArrayLike, objective: str, name: str = "demos"
) -> Shown:
    """The occupancy of demonstrations, and the sources of an objective.

    Args:
        mdp: S states, A actions.
        demos: demonstrations; or an occupancy ``(S, A)``, with a horizon that of a policy.
        objective: ``"likelihood"`` or ``"dual"``.
        name: what an error calls the demonstrations.

    Raises:
        ValueError: for another objective, or bad demonstrations; truncated ones are bad for the
            dual, which needs what they left out (:func:`irl_lib.demonstrations.is_cut`).
    """
    check_objective(objective)
    if objective == "likelihood" and isinstance(demos, Demonstrations):
        return _of_the_actions(mdp, demos)
    occupancy = complete_occupancy(mdp, demos, name)
    if objective == "likelihood" and mdp.horizon is None:
        return Shown(occupancy, _residual(mdp, occupancy), occupancy.sum(axis=1))
    return Shown(occupancy, None)


def choose_objective(given: Sequence[Expert], causal: bool, objective: str | None) -> str:
    """What is climbed where nobody said: what takes the demonstrations as they are."""
    if objective is None:
        cut = any(each.demos is not None and is_cut(each.mdp, each.demos) for each in given)
        return "likelihood" if causal and cut else "dual"
    check_objective(objective)
    if objective == "likelihood" and not causal:
        raise ValueError(
            "objective is 'likelihood', that of actions in the states they were taken in, which is "
            "causal; expected causal=True, or objective='dual'"
        )
    bare = [each.name for each in given if not each.has_occupancy]
    if objective == "likelihood" and bare:
        raise ValueError(
            f"{bare[0]} is feature expectations, from which only objective='dual' can be had; "
            "expected Demonstrations or an occupancy"
        )
    return objective


def check_objective(objective: str) -> None:
    """Refuse an objective that there is not.

    Raises:
        ValueError: naming those that there are.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; expected one of {', '.join(OBJECTIVES)}")


def value_from(mdp: MDP, v: Array, sources: Array | None) -> float:
    """The values of a plan, ``(S,)`` or ``(T + 1, S)``, where the sources enter the world."""
    if sources is None:
        return float(mdp.initial @ (v if mdp.horizon is None else v[0]))
    if mdp.horizon is None:
        return float(sources @ v)
    weights = mdp.discount ** np.arange(mdp.horizon)
    return float(weights @ np.sum(sources * v[:-1], axis=1))


def visits_to(mdp: MDP, policy: Array, states: Array) -> Array:
    """``(S, A)``, discounted: what a policy does if it is in these states so often.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` with a horizon.
        states: as in :class:`Shown`.
    """
    if mdp.horizon is None:
        return states[:, None] * policy
    weights = mdp.discount ** np.arange(mdp.horizon)
    return np.asarray(np.einsum("t,ts,tsa->sa", weights, states, policy))


def _of_the_actions(mdp: MDP, demos: Demonstrations) -> Shown:
    """What was done, and nothing after a trajectory's end."""
    demos.check(mdp)
    step = demos.steps()
    weights = mdp.discount**step.time
    if mdp.episodic:
        weights = weights * ~mdp.absorbing[step.state]
    occupancy = np.zeros((mdp.n_states, mdp.n_actions))
    np.add.at(occupancy, (step.state, step.action), weights)
    occupancy /= len(demos)
    if mdp.horizon is None:
        return Shown(occupancy, _residual(mdp, occupancy), occupancy.sum(axis=1))
    visits = _visits(mdp, demos)
    return Shown(occupancy, _residuals(mdp, visits), visits.sum(axis=2))


def _residual(mdp: MDP, occupancy: Array) -> Array:
    """``(S,)``: visits that do not follow from earlier ones."""
    return np.asarray(occupancy.sum(axis=1) - mdp.discount * mdp.flow(occupancy))


def _residuals(mdp: MDP, visits: Array) -> Array:
    """``(T, S)``: the same, step by step."""
    sources: Array = visits.sum(axis=2)
    for t in range(1, len(sources)):
        sources[t] -= mdp.flow(visits[t - 1])
    return sources


def _visits(mdp: MDP, demos: Demonstrations) -> Array:
    """``(T, S, A)``: the mean over trajectories, of what was done; not discounted."""
    step, share = demos.steps(), 1.0 / len(demos)
    visits = np.zeros((mdp.horizon or 0, mdp.n_states, mdp.n_actions))
    np.add.at(visits, (step.time, step.state, step.action), share)
    return visits
