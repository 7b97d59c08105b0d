"""Constraint generation: a program over the working set, best responses, more constraints."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib import planning
from irl_lib.max_margin.best_response import (
    Response,
    Task,
    best_responses,
    given_response,
    read_tasks,
)
from irl_lib.max_margin.program import MarginProgram
from irl_lib.mdp import MDP, deterministic_policy
from irl_lib.support.checks import Array, check_array, check_count, check_flag, check_real
from irl_lib.support.progress import bar

Index = NDArray[np.integer[Any]]


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
            its feature expectations ``(K,)``.  One entry for each of several MDPs.  Trajectories
            have to be whole; where they were cut, the error says what to pass instead.
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
