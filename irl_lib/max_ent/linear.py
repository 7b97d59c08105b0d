"""Maximum entropy with a reward that is linear in features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from irl_lib import planning
from irl_lib.demonstrations import Expert, experts
from irl_lib.max_ent.edge import at_the_edge
from irl_lib.max_ent.likelihood import (
    Shown,
    choose_objective,
    free_value,
    shown_by,
    value_from,
    visits_to,
)
from irl_lib.mdp import MDP, feature_matrix
from irl_lib.support.checks import Array, check_array, check_count, check_flag, check_real
from irl_lib.support.result import Result, warn_early
from irl_lib.training import ascent
from irl_lib.training.ascent import Point, Run

METHODS = ("l-bfgs", "newton-cg", "gradient-ascent")
FINISH = 100  # Newton steps at most, after L-BFGS
TINY = 1e-300  # instead of zero, below a fraction
CONSTANT = 1e-12  # variance, relative to the largest square, of features that do not vary
DENSE_FEATURES = 200  # up to which a (K, K) matrix costs next to nothing
HOPELESS = 1e6  # a reward per step, in nats, that only weights on their way to infinity reach


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MaxEntResult(Result):
    """What :func:`max_ent` recovered, and how far it got.

    The policy is the soft-optimal one, or the posterior's.  ``history`` has ``objective``,
    ``gradient_norm`` and ``weight_norm``, from the start on; the certificate is ``gradient_norm``,
    the Euclidean norm of the gradient at ``weights``.
    """

    weights: Array
    """``(K,)``."""
    reward: Any
    """``(S, A)``: ``features @ weights``; a tuple of them for several MDPs."""
    objective: str
    """``"dual"`` or ``"likelihood"``: what was climbed."""


class Objective(NamedTuple):
    """The concave objective at some weights."""

    value: float
    gradient: Array
    """``(K,)``."""
    plan: Any
    """A :class:`irl_lib.planning.Plan`; a tuple of them for several MDPs."""


def objective(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    weights: ArrayLike,
    *,
    causal: bool = True,
    l2: float = 0.0,
    objective: str | None = None,
) -> Objective:
    r""":math:`L(w) = w^\top\mu_E - F(w) - \tfrac{1}{2} l_2 \|w\|^2` and its gradient, exactly.

    Args:
        mdp: S states, A actions; or several MDPs, with as many features and demos: then it is the
            sum.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: demonstrations; or the occupancy ``(S, A)``; or the feature expectations ``(K,)``.
        weights: ``(K,)``.
        causal: F is :math:`\mathbb{E} V_0`; else :math:`\log Z`.
        l2: weight of the squared norm.
        objective: as for :func:`max_ent`.

    Implements: eq-likelihood-split, eq-likelihood-gradient, eq-linear-gradient
    """
    problem = LinearLikelihood(mdp, features, demos, causal, l2, objective)
    w = check_array("weights", weights, (problem.k,))
    found = problem.evaluate(w)
    if found is None:
        raise planning.DivergenceError(
            f"weights is {w.tolist()}, for which no finite soft value exists: with discount 1 and "
            "no horizon, going on for ever gains more than it costs"
        )
    return Objective(
        found.value, found.gradient, found.more[0] if isinstance(mdp, MDP) else found.more
    )


def max_ent(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    *,
    causal: bool = True,
    l2: float = 0.0,
    method: str = "l-bfgs",
    tolerance: float = 1e-6,
    max_iterations: int = 1_000,
    learning_rate: float = 0.1,
    initial_weights: ArrayLike | None = None,
    progress: bool = False,
    objective: str | None = None,
) -> MaxEntResult:
    r"""Recover the weights of a linear reward from demonstrations, by maximum likelihood.

    Args:
        mdp: S states, A actions; or several MDPs that share the weights, with one entry of features
            and of demos for each: then the objectives add up.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: demonstrations; or the expert's occupancy ``(S, A)``; or its feature expectations
            ``(K,)``.
        causal: the causal form (any horizon), or the posterior over trajectories (finite horizon).
        l2: weight of :math:`\tfrac{1}{2}\|w\|^2`; above 0 the optimum is finite and unique.
        method: ``"l-bfgs"``, finished by Newton steps where rounding stops it; ``"newton-cg"`` for
            many or badly scaled features; ``"gradient-ascent"``, the lecture's, with a constant
            ``learning_rate``.
        tolerance: on the gradient norm.
        max_iterations: steps at most.
        learning_rate: of gradient ascent.
        initial_weights: ``(K,)``; default zero.
        progress: show a progress bar (needs tqdm).
        objective: ``"dual"``: :math:`L(w)` as above, which needs whole trajectories; or
            ``"likelihood"``: the mean over trajectories of
            :math:`\sum_t \gamma^t \log \pi_w(a_t|s_t)`, which takes those that were cut, at
            whatever lengths.  They are the same for the occupancy of a policy.  The second is
            concave only where they are the same, and never far from it in our experience; the
            climb starts at ``initial_weights``.  Default: the likelihood for demonstrations of
            which truncation left out more than a little
            (:func:`irl_lib.demonstrations.is_cut`), the dual for all else.

    Returns:
        MaxEntResult.  When the tolerance is not met, or no finite optimum exists because the
        expert's features are at the edge of what any policy can reach (of the likelihood: because
        the actions shown are the best for some reward), ``converged`` is False, ``message`` says
        why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-maxent-likelihood, eq-likelihood-gradient, eq-linear-gradient

    References: Ziebart et al. (2008), Ziebart (2010).

    Example:
        >>> import numpy as np
        >>> from irl_lib import planning, worlds
        >>> world = worlds.gridworld(5, seed=1)
        >>> expert = planning.soft_value_iteration(world.mdp, world.reward).policy
        >>> shown = planning.occupancy(world.mdp, expert)
        >>> found = max_ent(world.mdp, world.features, shown, method="newton-cg")
        >>> found.converged, bool(np.allclose(found.weights, world.weights, atol=1e-4))
        (True, True)
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_real("learning_rate", learning_rate, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    problem = LinearLikelihood(mdp, features, demos, causal, l2, objective)
    point = problem.start(initial_weights)
    with Run("max_ent", tolerance, max_iterations, progress, problem.runs_off) as run:
        run.note(point)
        if method == "gradient-ascent":
            point = ascent.gradient_ascent(run, problem, point, learning_rate)
        elif method == "newton-cg":
            point = ascent.newton_cg(run, problem, point)
        else:
            point = ascent.l_bfgs(run, problem, point, _even_basis(problem, point))
            # Where its line search ended in rounding, short of the tolerance.
            point = ascent.newton_cg(run, problem, point, FINISH)
    return _result(problem, point, run, several=not isinstance(mdp, MDP))


class _Task:
    """The likelihood of one MDP's demonstrations, but for ``l2``."""

    def __init__(self, expert: Expert, causal: bool, objective: str) -> None:
        self.mdp, self.causal = expert.mdp, causal
        self.phi = feature_matrix(self.mdp, expert.features)
        ended = np.repeat(self.mdp.absorbing, self.mdp.n_actions)
        if self.mdp.episodic and abs(self.phi[ended]).max() > 0.0:
            raise ValueError(
                "features is not 0 in an absorbing state: with discount 1 and no horizon an "
                "episode ends there; put the feature on the step that enters it"
            )
        self.shown: Shown | None = None
        if objective == "likelihood":
            self.shown = shown_by(self.mdp, expert.shown, "likelihood", expert.name)
            self.expert = self.features_of(self.shown.occupancy)
        else:
            self.expert = expert.expectations(self.phi)
        self.sources = None if self.shown is None else self.shown.sources
        self.states = None if self.shown is None else self.shown.states

    def reward(self, weights: Array) -> Array:
        """``(S, A)``."""
        return np.asarray(self.phi @ weights).reshape(self.mdp.n_states, self.mdp.n_actions)

    def features_of(self, visits: Array) -> Array:
        """``(K,)``."""
        return np.asarray(self.phi.T @ visits.ravel())

    def curvature(self, plan: planning.Plan, change: Array) -> Array:
        """``(S, A)``: how visits move as the reward does; of the likelihood, in expectation."""
        if self.causal:
            return planning.occupancy_derivative(self.mdp, plan, change, self.states)
        return planning.trajectory_occupancy_derivative(self.mdp, plan, change)

    def visits(self, plan: planning.Plan) -> Array:
        """``(S, A)``: where the curvature looks, and what the plan does there."""
        if self.states is None:
            return planning.unchecked_occupancy(self.mdp, plan.policy)
        return visits_to(self.mdp, plan.policy, self.states)

    def most(self, reward: Array) -> float:
        """The most that any behaviour collects; infinite where going on for ever pays."""
        if not self.causal:
            return planning.best_case(self.mdp, reward)
        try:
            best = planning.value_iteration(self.mdp, reward)
        except planning.DivergenceError:
            return float("inf")
        return value_from(self.mdp, best.v, self.sources)


class LinearLikelihood:
    r""":math:`L(w)`, summed over MDPs, as :mod:`irl_lib.training.ascent` climbs it.

    A point's ``more`` has the plan of each MDP.
    """

    def __init__(
        self, mdp: Any, features: Any, demos: Any, causal: bool, l2: float, objective: str | None
    ) -> None:
        check_flag("causal", causal)
        self.l2 = check_real("l2", l2, 0.0)
        given = experts(mdp, features, demos)
        self.objective = choose_objective(given, causal, objective)
        self.tasks = [_Task(each, causal, self.objective) for each in given]
        self.k = self.tasks[0].phi.shape[1]
        for i, task in enumerate(self.tasks):
            if task.phi.shape[1] != self.k:
                raise ValueError(
                    f"features[{i}] has {task.phi.shape[1]} columns, features[0] has {self.k}; "
                    "expected as many for each MDP"
                )
        self.expert = np.sum([task.expert for task in self.tasks], axis=0)

    def evaluate(self, weights: Array) -> Point | None:
        r""":math:`\sum w^\top \mu_E - F(w)` and :math:`\mu_E - \mu_w`, less the cost of ``l2``."""
        value, gradient = float(weights @ self.expert), self.expert - self.l2 * weights
        plans = []
        for task in self.tasks:
            try:
                free = free_value(task.mdp, task.reward(weights), task.sources, task.causal)
            except planning.DivergenceError:
                return None
            value, gradient = value - free.value, gradient - task.features_of(free.visits)
            plans.append(free.plan)
        value -= float(0.5 * self.l2 * weights @ weights)
        return Point(weights, value, gradient, abs(float(weights @ self.expert)), tuple(plans))

    def curvature(self, point: Point, direction: Array) -> Array:
        """Minus the Hessian, times a direction; of the likelihood its expectation."""
        curved = self.l2 * direction
        for task, plan in zip(self.tasks, point.more, strict=True):
            curved = curved + task.features_of(task.curvature(plan, task.reward(direction)))
        return curved

    def scale(self, point: Point) -> Array:
        """``(K,)``: about the diagonal of the curvature, were visits independent."""
        total = np.full(self.k, self.l2)
        for task, plan in zip(self.tasks, point.more, strict=True):
            phi: Any = task.phi
            squares = phi.power(2) if sparse.issparse(phi) else phi**2
            total = total + squares.T @ task.visits(plan).ravel()
        return total

    def largest(self, weights: Array) -> float:
        """The largest reward per step, of either sign."""
        return max(float(np.abs(t.reward(weights)).max(initial=0.0)) for t in self.tasks)

    def most(self, weights: Array) -> float:
        """The most that any behaviour collects, over all MDPs."""
        return sum(task.most(task.reward(weights)) for task in self.tasks)

    def runs_off(self, point: Point) -> bool:
        """Whether weights are on their way to infinity."""
        return self.largest(point.x) > HOPELESS

    def start(self, weights: ArrayLike | None) -> Point:
        """The point to begin with, which needs a finite soft value."""
        given = np.zeros(self.k) if weights is None else weights
        first = check_array("initial_weights", given, (self.k,)).copy()
        found = self.evaluate(first)
        if found is None:
            raise ValueError(
                f"initial_weights is {'None, so zero' if weights is None else first.tolist()}, for "
                "which no finite soft value exists: with discount 1 and no horizon, going on for "
                "ever gains more than it costs; pass initial_weights under which a step costs more "
                "than the entropy of its actions"
            )
        return found


def _even_basis(problem: LinearLikelihood, point: Point) -> Any:
    r"""``(K, K)``: directions along which the features of independent visits vary alike.

    With :math:`C = U \Lambda U^\top` the covariance of one visit's features, it is
    :math:`U \Lambda^{-1/2}`.  The gradient steps of correlated features zigzag; in these directions
    they do not.  A direction in which features do not vary at all changes no behaviour, and is left
    alone.
    """
    if problem.k > DENSE_FEATURES:
        return None
    spread = np.zeros((problem.k, problem.k))
    largest = 0.0
    for task, plan in zip(problem.tasks, point.more, strict=True):
        visits, phi = task.visits(plan).ravel(), task.phi
        second: Any = phi.T @ (sparse.diags_array(visits) @ phi)
        second = second.toarray() if sparse.issparse(second) else second
        total = np.asarray(phi.T @ visits)
        spread += second - np.outer(total, total) / max(visits.sum(), TINY)
        largest += second.diagonal().max()
    values, directions = np.linalg.eigh(spread)
    values = np.where(values > CONSTANT * largest, values, 0.0) + problem.l2
    directions = directions * (values > 0.0)
    return directions / np.sqrt(np.maximum(values, max(1e-6 * values[-1], TINY)))


def _result(problem: LinearLikelihood, last: Point, run: Run, several: bool) -> MaxEntResult:
    met = last.norm <= run.tolerance
    edge = "" if problem.l2 > 0.0 else at_the_edge(problem, last)
    message = "the gradient norm is below the tolerance"
    if edge or not met:
        message = edge or (
            f"stopped after {len(run.rows) - 1} iterations at gradient norm {last.norm:.3g}, above "
            f"the tolerance {run.tolerance:g}: allow more, or use method='newton-cg'"
        )
        warn_early("max_ent", message)
    rewards = [task.reward(last.x) for task in problem.tasks]
    policies = [plan.policy for plan in last.more]
    return MaxEntResult(
        weights=last.x,
        reward=tuple(rewards) if several else rewards[0],
        policy=tuple(policies) if several else policies[0],
        history=run.history,
        converged=met and not edge,
        message=message,
        certificate={"gradient_norm": last.norm},
        objective=problem.objective,
    )
