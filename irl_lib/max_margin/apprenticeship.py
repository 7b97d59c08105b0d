"""Apprenticeship learning: a mixture of policies with the expert's feature expectations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.max_margin.best_response import (
    Response,
    Task,
    best_plan,
    given_response,
    one_task,
    respond,
)
from irl_lib.max_margin.program import widest_margin
from irl_lib.max_margin.structured import Index, _Bar
from irl_lib.mdp import MDP, check_mdp, check_policy, deterministic_policy
from irl_lib.support.checks import (
    Array,
    check_count,
    check_distribution,
    check_flag,
    check_numbers,
    check_real,
)

VERSIONS = ("projection", "max-margin")


NEGLIGIBLE = 1e-12  # share of a policy that a convex program would leave out, but for its accuracy


@dataclass(frozen=True, eq=False)
class ProjectionResult:
    """What :func:`projection` found: a mixture of policies, and how far it is from the expert."""

    weights: Array
    """``(K,)``: from the mixture towards the expert, of norm 1; the last question that was asked,
    and no estimate of what the expert wants."""
    policy: Array
    """``(S, A)`` or ``(T, S, A)``: the one policy with the occupancy of the mixture."""
    policies: tuple[Index, ...]
    """Each ``(S,)`` or ``(T, S)``: what the policies of the mixture do."""
    shares: Array
    """``(n,)``: the probability with which each is drawn, once, at the start of an episode."""
    feature_expectations: Array
    """``(n, K)``, of each policy."""
    mixture: Array
    """``(K,)``: ``shares @ feature_expectations``."""
    closest: int
    """The single policy whose feature expectations are closest to the expert's."""
    history: dict[str, Array]
    """With one entry per iteration, ``distance`` of the mixture from the expert, ``lower_bound`` on
    what any mixture can reach, ``contraction`` (the distance after this iteration by the one
    before) and ``contraction_bound``, what it is at most where the expert's features are within
    reach."""
    distance: float
    """Of the mixture's feature expectations from the expert's, in the Euclidean norm."""
    lower_bound: float
    """No mixture of policies is closer to the expert's feature expectations."""
    converged: bool
    """Whether ``distance`` is below the tolerance, or as close to ``lower_bound``."""
    message: str


def projection(
    mdp: MDP,
    features: Any,
    demos: Demonstrations | ArrayLike,
    version: str = "projection",
    tolerance: float = 1e-3,
    max_iterations: int = 1_000,
    initial_policy: ArrayLike | None = None,
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

    Args:
        mdp: S states, A actions.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: demonstrations, whole as for :func:`max_margin`; or the expert's occupancy
            ``(S, A)``, or feature expectations ``(K,)``.
        version: ``"projection"``; or ``"max-margin"``, the paper's other one, whose mixture is the
            closest of all policies so far (:func:`irl_lib.max_margin.program.widest_margin`): a convex
            program in each round, and fewer rounds.
        tolerance: on the distance of the feature expectations, or, where no mixture gets so close,
            on how much closer one could get.
        max_iterations: rounds of planning.
        initial_policy: ``(S, A)``, deterministic; default: the best for the reward 0, which is the
            first action everywhere.
        progress: show a progress bar (needs tqdm).

    Returns:
        ProjectionResult.  When the tolerance is not met, ``converged`` is False, ``message`` says
        why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument.
    """
    check_mdp(mdp)
    check_flag("progress", progress)
    if version not in VERSIONS:
        raise ValueError(f"version is {version!r}; expected one of {', '.join(VERSIONS)}")
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    task = one_task(mdp, features, demos)
    if initial_policy is not None:
        first = given_response(task, initial_policy)
    else:
        zero = planning.value_iteration(mdp, np.zeros((mdp.n_states, mdp.n_actions)))
        first = respond(task, zero.policy.argmax(axis=-1).astype(np.int16))
    mixture = _Mixture(task.expert, first, _diameter(mdp, task.phi))
    step = mixture.project if version == "projection" else mixture.widen
    with _Bar("projection", progress) as bar:
        while len(mixture.rows) < max_iterations and mixture.distance > tolerance:
            plan = best_plan(0, task, mixture.gap / mixture.distance, None)
            step(respond(task, plan.policy.argmax(axis=-1).astype(np.int16)))
            bar.show(distance=mixture.distance)
            if mixture.distance - mixture.lower <= tolerance:
                break
    return _projected(task, mixture, tolerance)


class _Mixture:
    """The policies so far, how often each is drawn, and the history."""

    def __init__(self, expert: Array, first: Response, diameter: float) -> None:
        self.expert, self.members, self.shares = expert, [first], np.ones(1)
        self.gap, self.diameter, self.lower = first.lead, diameter, 0.0
        self.rows: list[tuple[float, float, float, float]] = []

    @property
    def distance(self) -> float:
        return float(np.linalg.norm(self.gap))

    def project(self, new: Response) -> None:
        """Move to the point of the segment towards a new policy that is closest to the expert."""
        towards = self.gap - new.lead
        length = float(towards @ towards)
        step = float(np.clip(self.gap @ towards / length, 0.0, 1.0)) if length > 0.0 else 0.0
        self._move(new, np.append((1.0 - step) * self.shares, step))

    def widen(self, new: Response) -> None:
        """Move to the mixture of all policies so far that is closest to the expert."""
        mus = self.expert - np.array([each.lead for each in [*self.members, new]])
        self._move(new, widest_margin(self.expert, mus).duals)

    def _move(self, new: Response, shares: Array) -> None:
        before = self.distance
        self.lower = max(self.lower, float(self.gap @ new.lead) / before)
        self.members.append(new)
        self.shares = shares
        self.gap = shares @ np.array([each.lead for each in self.members])
        bound = 1.0 / np.sqrt(1.0 + (before / self.diameter) ** 2)
        self.rows.append((self.distance, self.lower, self.distance / before, float(bound)))

    @property
    def history(self) -> dict[str, Array]:
        names = ("distance", "lower_bound", "contraction", "contraction_bound")
        table = np.array(self.rows).reshape(-1, len(names))
        return {name: table[:, i].copy() for i, name in enumerate(names)}


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
    visits = sum(share * _visits(mdp, policy) for share, policy in zip(parts, checked, strict=True))
    total = np.sum(visits, axis=-1, keepdims=True)
    merged = np.broadcast_to(checked[0], np.shape(visits)).copy()
    np.divide(visits, total, out=merged, where=total > 0.0)
    return merged


def _visits(mdp: MDP, policy: Array) -> Array:
    """The occupancy, by step where there is a horizon."""
    if mdp.horizon is None:
        return planning.unchecked_occupancy(mdp, policy)
    per_step = np.broadcast_to(policy, (mdp.horizon, *policy.shape[-2:]))
    visits, state = np.empty(per_step.shape), mdp.initial
    for t, pi in enumerate(per_step):
        visits[t] = pi * state[:, None]
        state = mdp.flow(visits[t])
    return visits


def _diameter(mdp: MDP, phi: Any) -> float:
    """At least as much as two feature expectations can differ."""
    ends: list[Any] = [phi.max(axis=0), phi.min(axis=0)]
    top, low = (end.toarray() if sparse.issparse(end) else np.asarray(end) for end in ends)
    return mdp.mass * float(np.linalg.norm(top - low))


def _projected(task: Task, mixture: _Mixture, tolerance: float) -> ProjectionResult:
    message, converged = _verdict(mixture, tolerance)
    used = np.flatnonzero(mixture.shares > NEGLIGIBLE)
    members = [mixture.members[i] for i in used]
    shares = mixture.shares[used] / mixture.shares[used].sum()
    leads = np.array([each.lead for each in members])
    policies = [deterministic_policy(each.actions, task.mdp.n_actions) for each in members]
    return ProjectionResult(
        weights=mixture.gap / (mixture.distance or 1.0),
        policy=merge_policies(task.mdp, policies, shares),
        policies=tuple(each.actions for each in members),
        shares=shares,
        feature_expectations=task.expert - leads,
        mixture=task.expert - shares @ leads,
        closest=int(np.argmin(np.linalg.norm(leads, axis=1))),
        history=mixture.history,
        distance=mixture.distance,
        lower_bound=mixture.lower,
        converged=converged,
        message=message,
    )


def _verdict(mixture: _Mixture, tolerance: float) -> tuple[str, bool]:
    """How it ended, and whether well."""
    if mixture.distance <= tolerance:
        return "the mixture's feature expectations are within the tolerance of the expert's", True
    if mixture.distance - mixture.lower <= tolerance:
        return (
            f"no mixture of policies gets closer to the expert than {mixture.lower:.3g}: its "
            "feature expectations are out of reach, as those of a few demonstrations often are"
        ), True
    message = (
        f"stopped after {len(mixture.rows)} iterations, at distance {mixture.distance:.3g}, above "
        f"the tolerance {tolerance:g}"
    )
    warnings.warn(f"projection: {message}", RuntimeWarning, stacklevel=4)
    return message, False
