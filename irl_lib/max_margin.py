r"""Max margin planning and apprenticeship learning (the lecture's version 1).

Find weights under which the expert beats every other policy by a margin,

.. math::
    w^\top \mu_E \ge w^\top \mu(\pi) + \Delta(\pi, \pi^*) - \zeta \qquad \text{for all } \pi .

There are exponentially many policies, but the optimum depends on few of them, the support vectors.
So :func:`max_margin` keeps a *working set*: solve the convex program over it
(:mod:`irl_lib.margin_programs`), find the policy outside that violates its constraint most, which
is a planning problem, add it, repeat.  With the margin of a sum of losses,
:math:`\Delta = \sum (\rho_\pi - \rho_E)\, \ell`, the most violated constraint belongs to the best
response to the *loss-augmented* reward,

.. math::
    \max_\pi\; \Delta(\pi, \pi^*) - w^\top(\mu_E - \mu(\pi))
    = \max_\pi\; \sum_{s,a} \rho_\pi(s,a) \big( w^\top \phi(s,a) + \ell(s,a) \big) + \text{const}.

:func:`projection` asks for less: a mixture of policies with the expert's feature expectations.

References: Abbeel and Ng (2004); Ratliff, Bagnell and Zinkevich (2006).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.margin_programs import (
    InfeasibleError,
    MarginProgram,
    ProgramResult,
    WidestMargin,
    solve_program,
    widest_margin,
)
from irl_lib.margin_tasks import (
    Response,
    Task,
    best_plan,
    best_responses,
    given_response,
    one_task,
    read_tasks,
    respond,
)
from irl_lib.mdp import (
    MDP,
    Array,
    check_array,
    check_count,
    check_distribution,
    check_flag,
    check_mdp,
    check_numbers,
    check_policy,
    check_real,
    deterministic_policy,
)
from irl_lib.progress import bar

__all__ = [
    "InfeasibleError",
    "MaxMarginResult",
    "ProgramResult",
    "ProjectionResult",
    "WidestMargin",
    "WorkingSet",
    "max_margin",
    "merge_policies",
    "most_violated",
    "projection",
    "solve_program",
    "widest_margin",
]

Index = NDArray[np.integer[Any]]

VERSIONS = ("projection", "max-margin")
NEGLIGIBLE = 1e-12  # share of a policy that a convex program would leave out, but for its accuracy


# --- what comes out ---------------------------------------------------------------------------


class WorkingSet(NamedTuple):
    """The policies that the program knows, one entry each."""

    demonstration: Index
    """``(M,)``: the demonstration that each is compared with."""
    feature_expectations: Array
    """``(M, K)``."""
    leads: Array
    r"""``(M,)``: :math:`w^\top(\mu_E - \mu(\pi))`."""
    margins: Array
    r"""``(M,)``: :math:`\Delta(\pi, \pi^*)`."""
    duals: Array
    """``(M,)``: above 0 for the support vectors."""
    actions: tuple[Index, ...]
    """Each ``(S,)`` or ``(T, S)``: what the policy does; see ``mdp.deterministic_policy``."""


@dataclass(frozen=True, eq=False)
class MaxMarginResult:
    """What :func:`max_margin` recovered, and how far it got."""

    weights: Array
    """``(K,)``."""
    reward: Any
    """``(S, A)``: ``features @ weights``; a tuple of them for several MDPs."""
    policy: Any
    """``(S, A)`` or ``(T, S, A)``: optimal for the reward; a tuple of them for several MDPs."""
    slacks: Array
    """``(N,)``, one for each demonstration; zero for the hard program."""
    working_set: WorkingSet
    history: dict[str, Array]
    """With one entry per iteration, ``lower_bound`` and ``upper_bound`` of the optimum over all
    policies (infinite while no feasible weights are known; feasible to within the tolerance, where
    there is no slack), ``violation``, ``n_constraints``,
    ``weights`` ``(n, K)``, ``planning_seconds`` and ``program_seconds``."""
    violation: float
    r"""By how much the worst of all policies exceeds its slack, in units of :math:`\Delta`."""
    kkt_residual: float
    """Of the last program, relative; 0 at its optimum."""
    duality_gap: float
    """Upper minus lower bound of the optimum over all policies; infinite where none is feasible."""
    converged: bool
    """Whether ``violation`` is below the tolerance."""
    message: str

    @property
    def margin(self) -> float:
        """The least lead over the working set, per unit of the weights' norm."""
        norm = float(np.linalg.norm(self.weights))
        return float(self.working_set.leads.min() / norm) if norm > 0.0 else 0.0


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


# --- max margin -------------------------------------------------------------------------------


def max_margin(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    margin: str | ArrayLike | Sequence[ArrayLike] = "unit",
    slack: float | None = None,
    loss_augmented: bool = True,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
    initial_policy: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    progress: bool = False,
) -> MaxMarginResult:
    r"""Recover the weights under which the expert wins by a margin, by constraint generation.

    Args:
        mdp: S states, A actions; or several MDPs that share the weights.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them; one for each of several MDPs.
        demos: Demonstrations, each trajectory being a task of its own, with its own slack, in the
            MDP started where it starts; or the expert's occupancy ``(S, A)``, which is one task
            (better where dynamics are stochastic, as it averages luck); or, for the unit margin,
            its feature expectations ``(K,)``.  One entry for each of several MDPs.
        margin: ``"unit"``: :math:`\Delta = 1` for every deterministic policy whose feature
            expectations differ from the expert's.  (Over stochastic policies, which come as close
            to the expert as they like, no weights would do.)  ``"hamming"``: the expected number,
            discounted, of steps that the expert was never seen to take.  Or a loss
            :math:`\ell \ge 0`, ``(S, A)``, whose sum counts, beyond the expert's own; a list has
            one for each demonstration.
        slack: C, the price of the mean slack; None for the hard program.
        loss_augmented: plan for :math:`w^\top \phi + \ell`; False is the slide's
            :math:`w^\top \phi`, which can miss the most violated constraint.
        tolerance: stop when no policy's constraint is violated by more than its slack and this,
            in units of :math:`\Delta`.
        max_iterations: rounds of planning.
        initial_policy: ``(S, A)``, deterministic, the first of the working set; default: the best
            response to zero weights.
        lower: of the weights, ``(K,)`` or one for all.
        upper: likewise.  Where episodes only end in a goal, the loss-augmented reward has to stay
            at or below zero, or planning has no finite answer.
        progress: show a progress bar (needs tqdm).

    Returns:
        MaxMarginResult.  When the tolerance is not met, ``converged`` is False, ``message`` says
        why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument, or the demonstration for which planning diverges.
        InfeasibleError: when a hard program has no solution, naming the demonstration and the
            policies that make it so.

    Implements: eq-structured-margin, eq-working-set, eq-best-response

    The second best policy, which the unit margin needs once the expert is optimal, is a single
    deviation from an optimal one.  Where many optimal policies share the expert's feature
    expectations, ``MOST_TIES`` of them are tried, and beyond that it may be missed.

    Example:
        >>> from irl_lib import planning, worlds
        >>> world = worlds.two_goal()
        >>> plan = planning.value_iteration(world.mdp, world.reward)
        >>> expert = planning.occupancy(world.mdp, plan.policy)
        >>> found = max_margin(world.mdp, world.features, expert, margin="hamming", slack=100.0)
        >>> found.converged, bool(np.allclose(found.policy, plan.policy))
        (True, True)
    """
    check_flag("progress", progress)
    check_flag("loss_augmented", loss_augmented)
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    tasks = read_tasks(mdp, features, demos, margin)
    k, n = tasks[0].phi.shape[1], len(tasks)
    program = MarginProgram(k, n, slack, lower, upper)
    if initial_policy is None:
        first = best_responses(tasks, program.clip(np.zeros(k)), loss_augmented)
    else:
        first = [given_response(task, initial_policy) for task in tasks]
    with _Bar("max_margin", progress) as bar:
        log = _Log(tasks, program, tolerance, bar)
        log.enlarge(first, np.arange(n))
        message = _generate(log, loss_augmented, max_iterations)
    return _result(log, mdp, message)


def most_violated(
    mdp: MDP, features: Any, demos: Any, weights: ArrayLike, margin: str | ArrayLike = "unit"
) -> tuple[Array, float]:
    r"""The policy with the largest :math:`\Delta(\pi, \pi^*) - w^\top(\mu_E - \mu(\pi))`, exactly.

    Args:
        mdp: S states, A actions.
        features: as for :func:`max_margin`.
        demos: one demonstration, as for :func:`max_margin`.
        weights: ``(K,)``.
        margin: as for :func:`max_margin`.

    Returns:
        The policy, and by how much it violates its constraint without slack.  (With the unit
        margin, among the policies that differ from the expert in their feature expectations.)

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-best-response
    """
    tasks = read_tasks(mdp, features, demos, margin)
    if len(tasks) != 1:
        raise ValueError(f"demos has {len(tasks)} trajectories; expected one")
    w = check_array("weights", weights, (tasks[0].phi.shape[1],))
    found = best_responses(tasks, w, loss_augmented=True)[0]
    return deterministic_policy(found.actions, mdp.n_actions), found.violation(w)


def _generate(log: _Log, loss_augmented: bool, max_iterations: int) -> str:
    """The loop: program, best responses, more constraints; returns why it ended."""
    settled = "no policy violates its constraint by more than its slack and the tolerance"
    if not loss_augmented:
        settled = "no best response to w.phi violates its constraint by more than its slack"
    for _ in range(max_iterations):
        log.solve()
        found = log.plan(loss_augmented)
        excess = log.note(found, loss_augmented)
        worse = np.flatnonzero(excess > log.tolerance)
        if worse.size == 0:
            return settled
        if not log.enlarge(found, worse):
            return "the best responses are in the working set already: the tolerance is too fine"
    return f"stopped after {max_iterations} iterations"


# --- the loop's state -------------------------------------------------------------------------


class _Log:
    """The working set, the program's last answer, and the history."""

    def __init__(
        self, tasks: list[Task], program: MarginProgram, tolerance: float, bar: _Bar
    ) -> None:
        self.tasks, self.program, self.tolerance = tasks, program, tolerance
        self.members: list[Response] = []
        self.which: list[int] = []
        self.seen: set[bytes] = set()
        self.rows: list[tuple[float, ...]] = []
        self.trail: list[Array] = []
        self.lower, self.upper, self.violation = -np.inf, np.inf, np.inf
        self.seconds = [0.0, 0.0]
        self.bar = bar

    def enlarge(self, found: Sequence[Response], which: Any) -> bool:
        """Add constraints that are new and say something; whether there were any."""
        before = len(self.members)
        for i in which:
            key = bytes([*int(i).to_bytes(8, "big"), *found[i].actions.tobytes()])
            if key not in self.seen and (found[i].margin > 0.0 or found[i].lead.any()):
                self.seen.add(key)
                self.members.append(found[i])
                self.which.append(int(i))
        return len(self.members) > before

    @property
    def constraints(self) -> tuple[Array, Array, Index]:
        """``(M, K)`` leads, ``(M,)`` margins and ``(M,)`` demonstrations."""
        leads = np.array([each.lead for each in self.members])
        margins = np.array([each.margin for each in self.members])
        k = self.tasks[0].phi.shape[1]
        return leads.reshape(-1, k), margins, np.array(self.which, dtype=np.int64)

    def solve(self) -> None:
        start = time.perf_counter()
        self.answer = self.program.solve(*self.constraints)
        self.seconds[1] = time.perf_counter() - start

    def plan(self, loss_augmented: bool) -> list[Response]:
        start = time.perf_counter()
        found = best_responses(self.tasks, self.answer.weights, loss_augmented)
        self.seconds[0] = time.perf_counter() - start
        return found

    def note(self, found: Sequence[Response], exact: bool) -> Array:
        """Write the history; returns by how much each task's response exceeds its slack."""
        answer, w = self.answer, self.answer.weights
        violations = np.array([response.violation(w) for response in found])
        excess = violations - answer.slacks
        self.lower = max(self.lower, answer.bound)
        if exact:
            self.violation = float(excess.max())
            self.upper = min(self.upper, self._feasible_value(violations))
        self.rows.append(
            (answer.bound, self.upper, float(excess.max()), len(self.members), *self.seconds)
        )
        self.trail.append(w)
        self.bar.show(violation=float(excess.max()), constraints=len(self.members))
        return excess

    def _feasible_value(self, violations: Array) -> float:
        """The objective at the weights with all the slack that they need; infinite without one."""
        program, w = self.program, self.answer.weights
        slacks = np.maximum(violations, self.answer.slacks)
        if program.price is None and slacks.max() > self.tolerance:
            return np.inf
        return program.value(w, slacks)

    @property
    def history(self) -> dict[str, Array]:
        table = np.array(self.rows)
        names = ("lower_bound", "upper_bound", "violation", "n_constraints")
        columns = (*names, "planning_seconds", "program_seconds")
        history = {name: table[:, i].copy() for i, name in enumerate(columns)}
        return history | {"weights": np.array(self.trail)}


class _Bar:
    """A progress bar, or none."""

    def __init__(self, name: str, wanted: bool) -> None:
        self.bar: Any = bar(name, "iterations") if wanted else None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, **numbers: float) -> None:
        """One iteration more, and where it stands."""
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix({name: f"{number:.3g}" for name, number in numbers.items()})


def _result(log: _Log, mdp: MDP | Sequence[MDP], message: str) -> MaxMarginResult:
    if not np.isfinite(log.violation):  # plain best responses: find out what they missed
        exact = best_responses(log.tasks, log.answer.weights, loss_augmented=True)
        violations = np.array([each.violation(log.answer.weights) for each in exact])
        log.violation = float((violations - log.answer.slacks).max())
    met = log.violation <= log.tolerance
    if not met:
        message = f"{message}; a policy violates its constraint by {log.violation:.3g} beyond slack"
        warnings.warn(f"max_margin: {message}", RuntimeWarning, stacklevel=3)
    rewards, policies = _recovered(log.tasks, log.answer.weights)
    single = isinstance(mdp, MDP)
    return MaxMarginResult(
        weights=log.answer.weights,
        reward=rewards[0] if single else tuple(rewards),
        policy=policies[0] if single else tuple(policies),
        slacks=log.answer.slacks,
        working_set=_working_set(log),
        history=log.history,
        violation=log.violation,
        kkt_residual=log.answer.kkt_residual,
        duality_gap=log.upper - log.lower,
        converged=met,
        message=message,
    )


def _working_set(log: _Log) -> WorkingSet:
    leads, margins, which = log.constraints
    return WorkingSet(
        demonstration=which,
        feature_expectations=np.array([task.expert for task in log.tasks])[which] - leads,
        leads=leads @ log.answer.weights,
        margins=margins,
        duals=log.answer.duals,
        actions=tuple(each.actions for each in log.members),
    )


def _recovered(tasks: Sequence[Task], weights: Array) -> tuple[list[Array], list[Array]]:
    """The reward of each MDP that was given, and a policy that is optimal for it."""
    rewards, policies = [], []
    for i in range(tasks[-1].world + 1):
        task = next(task for task in tasks if task.world == i)
        shape = (task.mdp.n_states, task.mdp.n_actions)
        rewards.append(np.asarray(task.phi @ weights).reshape(shape))
        policies.append(planning.value_iteration(task.mdp, rewards[-1]).policy)
    return rewards, policies


# --- the projection method --------------------------------------------------------------------


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
        demos: demonstrations; or the expert's occupancy ``(S, A)``, or feature expectations
            ``(K,)``.
        version: ``"projection"``; or ``"max-margin"``, the paper's other one, whose mixture is the
            closest of all policies so far (:func:`irl_lib.margin_programs.widest_margin`): a convex
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
