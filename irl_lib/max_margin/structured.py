"""Constraint generation: a program over the working set, best responses, more constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib import planning
from irl_lib.max_margin.best_response import Response, Task, best_responses, read_tasks
from irl_lib.max_margin.program import Optimum, Program, check_upper, solve
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array, check_count, check_real
from irl_lib.support.progress import bar
from irl_lib.support.result import Result, warn_early

Index = NDArray[np.integer[Any]]

SETTLED = "no policy violates its constraint by more than its slack and the tolerance"
INACCURATE = 1e-5  # relative KKT residual from which on weights are not called optimal


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxMarginResult(Result):
    r"""What :func:`max_margin` recovered, and how far it got.

    The policy is optimal for the reward; a tuple of them for several MDPs.

    The history has, with one entry per iteration, ``lower_bound`` and ``upper_bound`` of the
    optimum over all policies (infinite while no feasible weights are known; feasible to within the
    tolerance, where there is no slack), ``violation``, ``n_constraints``, ``weights`` ``(n, K)``,
    ``planning_seconds`` and ``program_seconds``.

    The certificate has ``violation``, by how much the worst of all policies exceeds its slack, in
    units of :math:`\Delta`; ``kkt_residual`` of the last program, relative to its terms; and
    ``duality_gap``, upper minus lower bound.
    """

    weights: Array
    """``(K,)``."""
    reward: Any
    """``(S, A)``: ``features @ weights``; a tuple of them for several MDPs."""
    slacks: Array
    """``(N,)``, one for each demonstration; zero for the hard program."""
    working_set: tuple[Response, ...]
    """The M policies that the last program knew."""
    duals: Array
    """``(M,)``, one for each of them: above 0 for the support vectors."""

    @property
    def margin(self) -> float:
        """The least lead over the working set, per unit of the weights' norm."""
        norm = float(np.linalg.norm(self.weights))
        least = min(float(each.lead @ self.weights) for each in self.working_set)
        return least / norm if norm > 0.0 else 0.0


def max_margin(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    *,
    margin: str | ArrayLike | Sequence[ArrayLike] = "unit",
    slack: float | None = None,
    upper: ArrayLike | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
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
        upper: of the weights, ``(K,)`` or one for all.  Where episodes only end in a goal, the
            loss-augmented reward has to stay at or below zero, or planning has no finite answer.
        tolerance: stop when no policy's constraint is violated by more than its slack and this,
            in units of :math:`\Delta`.
        max_iterations: rounds of planning.
        progress: show a progress bar (needs tqdm).

    Returns:
        MaxMarginResult.  When the tolerance is not met, ``converged`` is False, ``message`` says
        why, and a ConvergenceWarning repeats it.

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
    if slack is not None:
        check_real("slack", slack, 0.0, open_end=True)
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    tasks = read_tasks(mdp, features, demos, margin, apart=True)
    limit = check_upper(upper, tasks[0].expert.size)
    working_set, optimum, history = _generate(
        tasks, slack, limit, tolerance, max_iterations, progress
    )
    certificate = {
        "violation": max(float(history["violation"][-1]), 0.0),
        "kkt_residual": optimum.kkt_residual,
        "duality_gap": float(history["upper_bound"][-1] - history["lower_bound"][-1]),
    }
    faults = _faults(certificate, tolerance, len(history["violation"]), max_iterations)
    worlds = {task.world: task for task in tasks}.values()
    rewards = tuple(task.reward(optimum.weights) for task in worlds)
    pairs = zip(worlds, rewards, strict=True)
    policies = tuple(planning.value_iteration(task.mdp, reward).policy for task, reward in pairs)
    return MaxMarginResult(
        policy=policies[0] if isinstance(mdp, MDP) else policies,
        history=history,
        converged=not faults,
        message=faults or SETTLED,
        certificate=certificate,
        weights=optimum.weights,
        reward=rewards[0] if isinstance(mdp, MDP) else rewards,
        slacks=optimum.slacks,
        working_set=working_set,
        duals=optimum.duals,
    )


def _generate(
    tasks: Sequence[Task],
    slack: float | None,
    upper: Array,
    tolerance: float,
    max_iterations: int,
    progress: bool,
) -> tuple[tuple[Response, ...], Optimum, dict[str, Array]]:
    """Constraint generation, from the best responses to weights of zero."""
    working_set: dict[Any, Response] = {}
    rows: list[dict[str, Any]] = []
    new = best_responses(tasks, np.minimum(0.0, upper))
    with bar("max_margin", "iterations", shown=progress) as shown:
        while new and len(rows) < max_iterations:
            working_set |= {each.key: each for each in new}
            start = perf_counter()
            program = _program(list(working_set.values()), len(tasks), slack, upper)
            optimum = solve(program)
            solved = perf_counter()
            found = best_responses(tasks, optimum.weights)
            seconds = {
                "planning_seconds": perf_counter() - solved,
                "program_seconds": solved - start,
            }
            violations = np.array([each.margin - each.lead @ optimum.weights for each in found])
            excess = violations - optimum.slacks
            rows.append(_entry(program, optimum, violations, tolerance) | seconds)
            worse = [each for each, more in zip(found, excess, strict=True) if more > tolerance]
            new = [each for each in worse if each.key not in working_set]
            shown.update()
            shown.set_postfix(violation=f"{excess.max():.3g}", constraints=len(working_set))
    history = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    history["lower_bound"] = np.maximum.accumulate(history["lower_bound"])
    history["upper_bound"] = np.minimum.accumulate(history["upper_bound"])
    return tuple(working_set.values()), optimum, history


def _program(responses: Sequence[Response], n: int, slack: float | None, upper: Array) -> Program:
    """Over the working set."""
    leads = np.array([each.lead for each in responses])
    margins = np.array([each.margin for each in responses])
    which = np.array([each.number for each in responses])
    return Program(leads, margins, which, n, slack, upper)


def _entry(
    program: Program, optimum: Optimum, violations: Array, tolerance: float
) -> dict[str, Any]:
    """Of the history; the upper bound is the objective with all the slack that the weights need."""
    enough = np.maximum(violations, optimum.slacks)
    feasible = program.slack is not None or enough.max() <= tolerance
    return {
        "lower_bound": optimum.bound,
        "upper_bound": program.objective(optimum.weights, enough) if feasible else np.inf,
        "violation": (violations - optimum.slacks).max(),
        "n_constraints": len(program.leads),
        "weights": optimum.weights,
    }


def _faults(certificate: dict[str, float], tolerance: float, n: int, max_iterations: int) -> str:
    """Why the optimum was not found, with a warning; nothing where it was."""
    violation, residual = certificate["violation"], certificate["kkt_residual"]
    faults = []
    if violation > tolerance:
        ended = "the best responses are in the working set already: the tolerance is too fine"
        faults.append(ended if n < max_iterations else f"stopped after {n} iterations")
        faults.append(f"a policy violates its constraint by {violation:.3g} beyond slack")
    if residual > INACCURATE:
        faults.append(
            f"the program's optimality conditions hold to {residual:.1g} only, relative to their "
            "terms: it is badly scaled"
        )
    if faults:
        warn_early("max_margin", "; ".join(faults))
    return "; ".join(faults)
