"""Apprenticeship learning: a mixture of policies with the expert's feature expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from irl_lib.max_margin.best_response import Task, plan_for, read_tasks, respond, visits_by_step
from irl_lib.max_margin.program import widest_margin
from irl_lib.mdp import MDP, check_policy, deterministic_policy
from irl_lib.support.checks import Array, check_count, check_distribution, check_numbers, check_real
from irl_lib.support.progress import bar
from irl_lib.support.result import Result, warn_early

Index = NDArray[np.integer[Any]]

METHODS = ("projection", "max-margin")
HISTORY = ("distance", "lower_bound", "contraction", "contraction_bound")
NEGLIGIBLE = 1e-12  # share of a policy that a convex program would leave out, but for its accuracy


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ProjectionResult(Result):
    """What :func:`projection` found: a mixture of policies, and how far it is from the expert.

    The policy is the one with the occupancy of the mixture; a tuple of them for several MDPs.
    There is no reward: many fit, and none is sought.

    The history has, with one entry per iteration, ``distance`` of the mixture from the expert,
    ``lower_bound`` on what any mixture can reach, ``contraction`` (the distance after this
    iteration by the one before) and ``contraction_bound``, what it is at most where the expert's
    features are within reach.

    The certificate has ``duality_gap``, by how much ``distance`` exceeds the lower bound.
    """

    weights: Array
    """``(K,)``: from the mixture towards the expert, of norm 1; the last question that was asked,
    and no estimate of what the expert wants."""
    policies: tuple[Any, ...]
    """Each ``(S,)`` or ``(T, S)``: what the policies of the mixture do; for several MDPs each is a
    tuple."""
    shares: Array
    """``(n,)``: the probability with which each is drawn, once, at the start of an episode."""
    feature_expectations: Array
    """``(n, K)``, of each policy; for several MDPs their mean."""
    mixture: Array
    """``(K,)``: ``shares @ feature_expectations``."""
    closest: int
    """The single policy whose feature expectations are closest to the expert's."""
    distance: float
    """Of the mixture's feature expectations from the expert's, in the Euclidean norm."""


def projection(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    *,
    method: str = "projection",
    tolerance: float = 1e-3,
    max_iterations: int = 1_000,
    progress: bool = False,
) -> ProjectionResult:
    r"""A mixture of policies with the expert's feature expectations (Abbeel and Ng 2004).

    From the mixture's :math:`\bar\mu` towards the expert's, :math:`w = \mu_E - \bar\mu`; the best
    policy for :math:`w^\top \phi`; the point of the segment from :math:`\bar\mu` to it that is
    closest to :math:`\mu_E` is the next :math:`\bar\mu`.  When the expert's features are within
    reach, each step multiplies the distance t by :math:`D / \sqrt{D^2 + t^2}` at most, with D the
    diameter of the feature expectations, here bounded by the mass times the norm of the features'
    ranges.  For k features in [0, 1] that is :math:`\sqrt{k} / (1 - \gamma)`, and the paper's
    Lemma 3, :math:`k / \sqrt{k^2 + (1-\gamma)^2 t^2}`, follows.

    The first policy is the best for the reward 0, which is the first action everywhere.

    Args:
        mdp: S states, A actions; or several MDPs.  A policy is then one for each, and feature
            expectations, the expert's too, are the mean over the MDPs: of an episode in one of
            them, each as likely as the others.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them; one for each of several MDPs.
        demos: demonstrations, whole as for :func:`max_margin`, of which the mean counts; or the
            expert's occupancy ``(S, A)``, or feature expectations ``(K,)``; one for each of several
            MDPs.
        method: ``"projection"``; or ``"max-margin"``, the paper's other one, whose mixture is the
            closest of all policies so far
            (:func:`irl_lib.max_margin.program.widest_margin`): a convex program in each round, and
            fewer rounds.
        tolerance: on the distance of the feature expectations, or, where no mixture gets so close,
            on how much closer one could get.
        max_iterations: rounds of planning.
        progress: show a progress bar (needs tqdm).

    Returns:
        ProjectionResult.  When the tolerance is not met, ``converged`` is False, ``message`` says
        why, and a ConvergenceWarning repeats it.

    Raises:
        ValueError: naming a bad argument.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    tasks = read_tasks(mdp, features, demos, "unit", apart=False)
    closest = _on_segment if method == "projection" else _among_all
    actions, lead = _best(tasks, np.zeros_like(tasks[0].expert))
    members, leads, shares = [actions], lead[None], np.ones(1)
    gap, lower, diameter = lead, 0.0, float(np.mean([_diameter(task) for task in tasks]))
    rows: list[tuple[float, ...]] = []
    with bar("projection", "iterations", shown=progress) as shown:
        while len(rows) < max_iterations and _norm(gap) - lower > tolerance:
            before, weights = _norm(gap), gap / _norm(gap)
            actions, lead = _best(tasks, weights)
            lower = max(lower, float(weights @ lead))
            members, leads = [*members, actions], np.vstack([leads, lead])
            shares = closest(shares, leads)
            gap = shares @ leads
            bound = diameter / float(np.hypot(diameter, before))
            rows.append((_norm(gap), lower, _norm(gap) / before, bound))
            shown.update()
            shown.set_postfix(distance=f"{_norm(gap):.3g}")
    converged, message = _verdict(_norm(gap), lower, len(rows), tolerance)
    history = np.array(rows).reshape(-1, len(HISTORY)).T.copy()
    used = np.flatnonzero(shares > NEGLIGIBLE)
    policies, leads, shares = [members[i] for i in used], leads[used], shares[used]
    shares = shares / shares.sum()
    expert = np.mean([task.expert for task in tasks], axis=0)
    merged = [
        _merged(*each, shares) for each in zip(tasks, zip(*policies, strict=True), strict=True)
    ]
    alone = isinstance(mdp, MDP)
    return ProjectionResult(
        policy=merged[0] if alone else tuple(merged),
        history=dict(zip(HISTORY, history, strict=True)),
        converged=converged,
        message=message,
        certificate={"duality_gap": _norm(gap) - lower},
        weights=gap / (_norm(gap) or 1.0),
        policies=tuple(each[0] if alone else each for each in policies),
        shares=shares,
        feature_expectations=expert - leads,
        mixture=expert - shares @ leads,
        closest=int(np.argmin(np.linalg.norm(leads, axis=1))),
        distance=_norm(gap),
    )


def _best(tasks: Sequence[Task], weights: Array) -> tuple[tuple[Index, ...], Array]:
    r"""The best policy for :math:`w^\top \phi` in each MDP, and the expert's mean lead over it."""
    found = [respond(task, plan_for(task, weights)) for task in tasks]
    return tuple(each.actions for each in found), np.mean([each.lead for each in found], axis=0)


def _on_segment(shares: Array, leads: Array) -> Array:
    """The shares of the point closest to the expert from the mixture to the last policy."""
    gap = shares @ leads[:-1]
    towards = gap - leads[-1]
    length = float(towards @ towards)
    step = float(np.clip(gap @ towards / length, 0.0, 1.0)) if length > 0.0 else 0.0
    return np.append((1.0 - step) * shares, step)


def _among_all(_shares: Array, leads: Array) -> Array:
    """The shares of the point closest to the expert of all mixtures."""
    return widest_margin(np.zeros(leads.shape[1]), -leads).duals


def _verdict(distance: float, lower: float, rounds: int, tolerance: float) -> tuple[bool, str]:
    """Whether it ended well, and how; a warning where it did not."""
    if distance <= tolerance:
        return True, "the mixture's feature expectations are within the tolerance of the expert's"
    if distance - lower <= tolerance:
        return True, (
            f"no mixture of policies gets closer to the expert than {lower:.3g}: its feature "
            "expectations are out of reach, as those of a few demonstrations often are"
        )
    message = (
        f"stopped after {rounds} iterations, at distance {distance:.3g}, above the tolerance "
        f"{tolerance:g}"
    )
    warn_early("projection", message)
    return False, message


def _merged(task: Task, actions: Sequence[Index], shares: Array) -> Array:
    """The one policy of a mixture, in one MDP."""
    policies = [deterministic_policy(each, task.mdp.n_actions) for each in actions]
    return merge_policies(task.mdp, policies, shares)


def _norm(gap: Array) -> float:
    return float(np.linalg.norm(gap))


def _diameter(task: Task) -> float:
    """At least as much as two feature expectations can differ."""
    ends: list[Any] = [task.phi.max(axis=0), task.phi.min(axis=0)]
    top, low = (end.toarray() if sparse.issparse(end) else np.asarray(end) for end in ends)
    return task.mdp.mass * _norm(top - low)


def merge_policies(mdp: MDP, policies: Sequence[ArrayLike], shares: ArrayLike) -> Array:
    r"""The one policy with the occupancy of a mixture of policies.

    It takes an action as often as those of them do that come here: :math:`\pi(a|s) \propto \sum_i
    \lambda_i \rho_i(s, a)`, at each step where there is a horizon; in states where none comes, it
    does what the first does.

    Args:
        mdp: S states, A actions.
        policies: each ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        shares: the probability of each.

    Returns:
        ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.

    Raises:
        ValueError: naming a bad argument.

    References: Syed, Bowling and Schapire (2008).
    """
    if isinstance(policies, str) or not np.iterable(policies) or not len(policies):
        raise ValueError(f"policies is {policies!r}; expected a sequence of at least one policy")
    each = enumerate(policies)
    checked = [check_policy(mdp, policy, f"policies[{i}]") for i, policy in each]
    parts = check_numbers("shares", shares)
    if parts.shape != (len(checked),):
        raise ValueError(
            f"shares has shape {parts.shape}; expected ({len(checked)},), one for each of policies"
        )
    parts = check_distribution("shares", parts, parts.shape)
    visits = sum(
        share * visits_by_step(mdp, policy) for share, policy in zip(parts, checked, strict=True)
    )
    total = np.sum(visits, axis=-1, keepdims=True)
    merged = np.broadcast_to(checked[0], np.shape(visits)).copy()
    np.divide(visits, total, out=merged, where=total > 0.0)
    return merged
