"""Maximum entropy with a reward that is linear in features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, sparse

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations, complete_occupancy, is_cut
from irl_lib.max_ent.likelihood import (
    Shown,
    check_objective,
    shown_by,
    table_objective,
    value_from,
    visits_to,
)
from irl_lib.mdp import MDP, feature_matrix
from irl_lib.support.checks import (
    Array,
    check_array,
    check_count,
    check_flag,
    check_numbers,
    check_real,
)
from irl_lib.support.progress import bar

METHODS = ("l-bfgs", "newton-cg", "gradient-ascent")


CG_ITERATIONS = 200


FINISH = 100  # Newton steps at most, after L-BFGS


TINY = 1e-300  # instead of zero, below a fraction


CONSTANT = 1e-12  # variance, relative to the largest square, of features that do not vary


DENSE_FEATURES = 200  # up to which a (K, K) matrix costs next to nothing


FLAT = 1e-14  # curvature, relative to that of independent visits, that is none


HOPELESS = 1e6  # a reward per step, in nats, that only weights on their way to infinity reach


STILL = 1e-6  # nats by which a Newton step moves a reward at an optimum that is found


LONGEST_WAY = 40  # Newton steps within which a gradient at the edge falls from one to rounding


EXACT = 1e-12  # rounding of a difference of returns, relative to their terms


@dataclass(frozen=True, eq=False)
class MaxEntResult:
    """What :func:`max_ent` recovered, and how far it got."""

    weights: Array
    """``(K,)``."""
    reward: Array
    """``(S, A)``: ``features @ weights``."""
    policy: Array
    """``(S, A)`` or ``(T, S, A)``: the soft-optimal policy, or the posterior's."""
    history: dict[str, Array]
    """``objective``, ``gradient_norm`` and ``weight_norm``, one entry per iteration."""
    gradient_norm: float
    """Euclidean norm of the gradient at ``weights``, which is the certificate; 0 at the optimum."""
    converged: bool
    """Whether the certificate is below the tolerance, and a finite optimum exists."""
    message: str
    objective: str
    """``"dual"`` or ``"likelihood"``: what was climbed."""


class Objective(NamedTuple):
    """The concave objective at some weights."""

    value: float
    gradient: Array
    """``(K,)``."""
    plan: planning.Plan


def objective(
    mdp: MDP,
    features: Any,
    expert: Demonstrations | ArrayLike,
    weights: ArrayLike,
    causal: bool = True,
    l2: float = 0.0,
    objective: str | None = None,
) -> Objective:
    r""":math:`L(w) = w^\top\mu_E - F(w) - \tfrac{1}{2} l_2 \|w\|^2` and its gradient, exactly.

    Args:
        mdp: S states, A actions.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        expert: demonstrations; or the occupancy ``(S, A)``; or the feature expectations ``(K,)``.
        weights: ``(K,)``.
        causal: F is :math:`\mathbb{E} V_0`; else :math:`\log Z`.
        l2: weight of the squared norm.
        objective: as for :func:`max_ent`.

    Implements: eq-likelihood-split, eq-likelihood-gradient, eq-linear-gradient
    """
    problem = _Problem(mdp, features, expert, causal, l2, objective, "expert")
    return problem.evaluate(check_array("weights", weights, (problem.phi.shape[1],)))


def max_ent(
    mdp: MDP,
    features: Any,
    demos: Demonstrations | ArrayLike,
    causal: bool = True,
    l2: float = 0.0,
    method: str = "l-bfgs",
    tolerance: float = 1e-6,
    max_iterations: int = 1_000,
    step_size: float = 0.1,
    initial_weights: ArrayLike | None = None,
    progress: bool = False,
    objective: str | None = None,
) -> MaxEntResult:
    r"""Recover the weights of a linear reward from demonstrations, by maximum likelihood.

    Args:
        mdp: S states, A actions.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: demonstrations; or the expert's occupancy ``(S, A)``; or its feature expectations
            ``(K,)``.
        causal: the causal form (any horizon), or the posterior over trajectories (finite horizon).
        l2: weight of :math:`\tfrac{1}{2}\|w\|^2`; above 0 the optimum is finite and unique.
        method: ``"l-bfgs"``, finished by Newton steps where rounding stops it; ``"newton-cg"`` for
            many or badly scaled features; ``"gradient-ascent"``, the lecture's, with a constant
            ``step_size``.
        tolerance: on the gradient norm.
        max_iterations: of the method.
        step_size: of gradient ascent.
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
    check_flag("progress", progress)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_real("step_size", step_size, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    problem = _Problem(mdp, features, demos, causal, l2, objective)
    start = _start(problem, initial_weights)
    with _Log(problem, tolerance, progress) as log:
        if method == "gradient-ascent":
            weights = _gradient_ascent(log, start, step_size, max_iterations)
        elif method == "newton-cg":
            weights = _newton_cg(log, start, max_iterations)
        else:
            weights = _finish(log, _l_bfgs(log, start, max_iterations), max_iterations)
    return _result(problem, weights, log)


class _Problem:
    """The objective, with everything that doesn't depend on the weights computed once."""

    def __init__(
        self,
        mdp: MDP,
        features: Any,
        expert: Demonstrations | ArrayLike,
        causal: bool,
        l2: float,
        objective: str | None,
        name: str = "demos",
    ) -> None:
        self.causal, self.l2 = check_flag("causal", causal), check_real("l2", l2, 0.0)
        self.mdp = mdp
        self.phi = feature_matrix(mdp, features)
        if mdp.episodic and abs(self.phi[np.repeat(mdp.absorbing, mdp.n_actions)]).max() > 0.0:
            raise ValueError(
                "features is not 0 in an absorbing state: with discount 1 and no horizon an "
                "episode ends there; put the feature on the step that enters it"
            )
        self.objective = _which_objective(mdp, expert, self.causal, objective)
        self.shown: Shown | None = None
        if self.objective == "likelihood":
            self.shown = shown_by(mdp, expert, "likelihood")
            self.expert = self.features_of(self.shown.occupancy)
        else:
            self.expert = _expert_features(mdp, self.phi, expert, name)

    def reward(self, weights: Array) -> Array:
        return np.asarray(self.phi @ weights).reshape(self.mdp.n_states, self.mdp.n_actions)

    def features_of(self, occupancy: Array) -> Array:
        return np.asarray(self.phi.T @ occupancy.ravel())

    def evaluate(self, weights: Array) -> Objective:
        value, pull, plan = self._without_l2(weights)
        cost = float(0.5 * self.l2 * weights @ weights)
        return Objective(value - cost, pull - self.l2 * weights, plan)

    def _without_l2(self, weights: Array) -> tuple[float, Array, planning.Plan]:
        if self.shown is not None:
            value, slope, plan = table_objective(self.mdp, self.shown, self.reward(weights))
            return value, self.features_of(slope), plan
        if self.causal:
            plan = planning.unchecked_soft_plan(self.mdp, self.reward(weights))
            free = self.from_start(plan)
            occupancy = planning.unchecked_occupancy(self.mdp, plan.policy)
        else:
            plan = planning.trajectory_posterior(self.mdp, self.reward(weights))
            free = planning.log_partition(self.mdp, plan)
            occupancy = planning.trajectory_occupancy(self.mdp, plan)
        value = float(weights @ self.expert) - free
        return value, self.expert - self.features_of(occupancy), plan

    def curvature(self, plan: planning.Plan, direction: Array) -> Array:
        """Minus the Hessian, times a direction; of the likelihood its expectation."""
        change = self.reward(direction)
        if self.causal:
            states = None if self.shown is None else self.shown.states
            moved = planning.occupancy_derivative(self.mdp, plan, change, states)
        else:
            moved = planning.trajectory_occupancy_derivative(self.mdp, plan, change)
        return self.features_of(moved) + self.l2 * direction

    def visits(self, plan: planning.Plan) -> Array:
        """``(S, A)``: where the curvature looks, and what the plan does there."""
        if self.shown is None or self.shown.states is None:
            return planning.unchecked_occupancy(self.mdp, plan.policy)
        return visits_to(self.mdp, plan.policy, self.shown.states)

    def from_start(self, plan: planning.Plan) -> float:
        """The value of a plan where the learner enters: averaged over the first state."""
        if self.shown is not None:
            return value_from(self.mdp, plan.v, self.shown.sources)
        return float(self.mdp.initial @ (plan.v if self.mdp.horizon is None else plan.v[0]))

    def attempt(self, weights: Array) -> Objective | None:
        """The objective, or None where it is minus infinity: no finite soft value."""
        try:
            return self.evaluate(weights)
        except planning.DivergenceError:
            return None

    def most(self, reward: Array) -> float:
        """The most that any behaviour collects; infinite where going on for ever pays."""
        if not self.causal:
            return planning.best_case(self.mdp, reward)
        try:
            return self.from_start(planning.value_iteration(self.mdp, reward))
        except planning.DivergenceError:
            return float("inf")

    def preconditioner(self, plan: planning.Plan) -> Array:
        """``(K,)``: about the diagonal of the curvature, were visits independent."""
        occupancy = self.visits(plan).ravel()
        squares: Any = self.phi.power(2) if isinstance(self.phi, sparse.csr_array) else self.phi**2
        return np.asarray(squares.T @ occupancy) + self.l2


def _start(problem: _Problem, weights: ArrayLike | None) -> Array:
    """The weights to begin with, which need a finite soft value."""
    k = problem.phi.shape[1]
    start = check_array("initial_weights", np.zeros(k) if weights is None else weights, (k,)).copy()
    if problem.attempt(start) is None:
        raise ValueError(
            f"initial_weights is {'None, so zero' if weights is None else start.tolist()}, for "
            "which no finite soft value exists: with discount 1 and no horizon, going on for ever "
            "gains more than it costs; pass initial_weights under which a step costs more than "
            "the entropy of its actions"
        )
    return start


class _Log:
    """Counts iterations, keeps the history, and shows the progress."""

    def __init__(self, problem: _Problem, tolerance: float, progress: bool) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.rows: list[tuple[float, float, float]] = []
        self.hopeless = False
        self.bar: Any = bar("max_ent", "iterations") if progress else None

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, weights: Array, found: Objective) -> bool:
        """Note an iteration; True when the tolerance is met, or the weights run off to infinity."""
        value, norm = found.value, float(np.linalg.norm(found.gradient))
        self.rows.append((value, norm, float(np.linalg.norm(weights))))
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix(objective=f"{value:.6g}", gradient=f"{norm:.2g}")
        self.hopeless = float(np.abs(self.problem.reward(weights)).max(initial=0.0)) > HOPELESS
        return self.hopeless or norm <= self.tolerance

    @property
    def history(self) -> dict[str, Array]:
        table = np.array(self.rows).reshape(-1, 3)
        names = ("objective", "gradient_norm", "weight_norm")
        return {name: table[:, i].copy() for i, name in enumerate(names)}


def _gradient_ascent(log: _Log, weights: Array, step_size: float, max_iterations: int) -> Array:
    found = log.problem.evaluate(weights)
    for _ in range(max_iterations):
        if log.add(weights, found):
            break
        new = weights + step_size * found.gradient
        attempt = log.problem.attempt(new)
        if attempt is None:  # too long a step, into weights without a finite value
            break
        weights, found = new, attempt
    return weights


def _l_bfgs(log: _Log, weights: Array, max_iterations: int) -> Array:
    """L-BFGS in variables u of ``weights + basis @ u`` in which the curvature is about even."""
    problem = log.problem
    accepted = weights, problem.evaluate(weights)
    if float(np.linalg.norm(accepted[1].gradient)) <= log.tolerance:
        log.add(*accepted)
        return weights
    latest, basis = accepted, _even_basis(problem, accepted[1].plan)

    def negative(u: Array) -> tuple[float, Array]:
        nonlocal latest
        w = weights + basis @ u
        found = problem.attempt(w)
        if found is None:
            # No finite value here: a hill as steep as the slope up to it halves the step.
            base, (value, gradient, _) = accepted
            return abs(float(gradient @ (w - base))) - value, basis.T @ gradient
        latest = w, found
        return -found.value, -(basis.T @ found.gradient)

    def note(u: Array) -> None:
        nonlocal accepted
        w = weights + basis @ u
        accepted = latest if np.array_equal(w, latest[0]) else (w, problem.evaluate(w))
        if log.add(*accepted):
            raise StopIteration  # which is how a callback ends scipy's iteration

    limits = {"maxiter": max_iterations, "maxfun": 20 * max_iterations, "maxcor": 20}
    optimize.minimize(
        negative,
        np.zeros_like(weights),
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={**limits, "ftol": 0.0, "gtol": 0.0},
    )
    return accepted[0]


def _even_basis(problem: _Problem, plan: planning.Plan) -> Any:
    """``(K, K)``: directions along which the features of independent visits vary alike.

    The gradient steps of correlated features zigzag; in these directions they do not.  A direction
    in which features do not vary at all changes no behaviour, and is left alone.
    """
    phi: Any = problem.phi
    if phi.shape[1] > DENSE_FEATURES:
        return sparse.eye_array(phi.shape[1], format="csr")
    visits = problem.visits(plan).ravel()
    counted = sparse.diags_array(visits) @ phi
    second = phi.T @ counted
    second = second.toarray() if sparse.issparse(second) else second
    total = np.asarray(phi.T @ visits)
    spread, directions = np.linalg.eigh(second - np.outer(total, total) / max(visits.sum(), TINY))
    spread = np.where(spread > CONSTANT * second.diagonal().max(), spread, 0.0) + problem.l2
    directions = directions * (spread > 0.0)
    return directions / np.sqrt(np.maximum(spread, max(1e-6 * spread[-1], TINY)))


def _finish(log: _Log, weights: Array, max_iterations: int) -> Array:
    """Newton steps, where the line search of L-BFGS ended in rounding, short of the tolerance."""
    left = max_iterations - len(log.rows)
    done = bool(log.rows) and log.rows[-1][1] <= log.tolerance
    if left < 1 or log.hopeless or done:
        return weights
    return _newton_cg(log, weights, min(left, FINISH))


def _newton_cg(log: _Log, weights: Array, max_iterations: int) -> Array:
    """Newton's method with each step by preconditioned conjugate gradients, and a line search."""
    found = log.problem.evaluate(weights)
    for _ in range(max_iterations):
        if log.add(weights, found):
            break
        rtol = min(0.5, float(np.linalg.norm(found.gradient)) ** 0.5)
        step = _newton_step(log.problem, found.plan, found.gradient, rtol)
        better = _line_search(log.problem, weights, found, step)
        if better is None:
            break
        weights, found = better
    return weights


def _line_search(
    problem: _Problem, weights: Array, found: Objective, step: Array
) -> tuple[Array, Objective] | None:
    """The first of the halved steps that gains enough; None when rounding hides all gains."""
    slope = float(found.gradient @ step)
    noise = 1e-12 * max(1.0, abs(found.value), abs(float(weights @ problem.expert)))
    for halvings in range(35):
        scale = 0.5**halvings
        new = weights + scale * step
        attempt = problem.attempt(new)
        if attempt is not None and attempt.value >= found.value + 1e-4 * scale * slope - noise:
            return new, attempt
    return None


def _newton_step(problem: _Problem, plan: planning.Plan, gradient: Array, rtol: float) -> Array:
    """Preconditioned conjugate gradients on curvature @ step = gradient.

    They stop where the curvature ends, which is where the optimum is at infinity; scipy's would
    divide by zero.
    """
    scale = problem.preconditioner(plan)
    inverse = 1.0 / np.maximum(scale, FLAT * float(scale.max()) or 1.0)
    step, residual = np.zeros_like(gradient), gradient.copy()
    direction = inverse * residual
    rho = float(residual @ direction)
    for _ in range(CG_ITERATIONS):
        curved = problem.curvature(plan, direction)
        bend = float(direction @ curved)
        if bend <= FLAT * float(direction @ (scale * direction)):
            return step if step.any() else direction
        step += (rho / bend) * direction
        residual -= (rho / bend) * curved
        if np.linalg.norm(residual) <= rtol * np.linalg.norm(gradient):
            break
        rho, previous = float(residual @ (inverse * residual)), rho
        direction = inverse * residual + (rho / previous) * direction
    return step


def _expert_features(mdp: MDP, phi: Any, expert: Demonstrations | ArrayLike, name: str) -> Array:
    k = phi.shape[1]
    if isinstance(expert, Demonstrations):
        return np.asarray(phi.T @ complete_occupancy(mdp, expert, name).ravel())
    array = check_numbers(name, expert)
    if array.shape == (k,):
        return check_array(name, array, (k,))
    if array.shape != (mdp.n_states, mdp.n_actions):
        raise ValueError(
            f"{name} has shape {array.shape}; expected Demonstrations, an occupancy "
            f"{(mdp.n_states, mdp.n_actions)}, or its feature expectations {(k,)}"
        )
    return np.asarray(phi.T @ complete_occupancy(mdp, array, name).ravel())


def _result(problem: _Problem, weights: Array, log: _Log) -> MaxEntResult:
    found = problem.evaluate(weights)
    norm = float(np.linalg.norm(found.gradient))
    met = norm <= log.tolerance
    edge = "" if problem.l2 > 0.0 else _at_the_edge(problem, weights, found)
    message = "the gradient norm is below the tolerance"
    if edge or not met:
        message = edge or (
            f"stopped after {len(log.rows)} iterations at gradient norm {norm:.3g}, above the "
            f"tolerance {log.tolerance:g}: allow more, or use method='newton-cg'"
        )
        warnings.warn(f"max_ent: {message}", RuntimeWarning, stacklevel=3)
    return MaxEntResult(
        weights=weights,
        reward=problem.reward(weights),
        policy=found.plan.policy,
        history=log.history,
        gradient_norm=norm,
        converged=met and not edge,
        message=message,
        objective=problem.objective,
    )


def _at_the_edge(problem: _Problem, weights: Array, found: Objective) -> str:
    """Why no finite optimum exists, or nothing.

    A finite optimum exists when the expert's features lie inside the set of those that policies
    reach.  At its edge some direction d, the certificate, has d.mu_E >= d.mu of every policy, the
    best for the reward d.phi included.  (Of the likelihood: every action shown is best for it.)
    """
    for direction in filter(np.any, _ways_out(problem, weights, found)):
        unit = direction / np.linalg.norm(direction)
        own, reward = float(unit @ problem.expert), problem.reward(unit)
        terms = max(float(np.abs(unit) @ np.abs(problem.expert)), float(np.abs(reward).max()))
        most = problem.most(reward)
        if most - own > EXACT * terms:
            continue
        least = -problem.most(-reward)
        if own - least > EXACT * terms:  # else the direction does not matter: all have the same
            k = int(np.argmax(np.abs(unit)))
            return _no_optimum(
                problem, f"a direction in which feature {k} counts most", own, least, most
            )
    return ""


def _no_optimum(problem: _Problem, where: str, own: float, least: float, most: float) -> str:
    why = (
        "the expert's features are at the edge of what any policy reaches, or beyond it (in "
        f"{where}, the expert has {own:.6g} and policies have {least:.6g} to {most:.6g})"
    )
    if problem.objective == "likelihood":
        why = f"a reward in {where} makes every action that was shown the best"
    return (
        f"no finite weights are optimal: {why}; use l2 > 0, more or more varied demonstrations, or "
        "drop the feature that nothing can match"
    )


def _ways_out(problem: _Problem, weights: Array, found: Objective) -> Iterator[Array]:
    """Directions that may lead to infinity: where the climb went, would go, and goes from here on.

    At the edge, gradient and curvature vanish at one rate, so that a Newton step stays as long as
    it was for as long as the gradient is more than rounding; and it points ever more exactly to
    where the optimum is at infinity.  Towards a finite one the steps soon come to nothing.
    """
    yield weights
    yield found.gradient
    for _ in range(LONGEST_WAY):
        step = _newton_step(problem, found.plan, found.gradient, 1e-3)
        if float(np.abs(problem.reward(step)).max()) <= STILL:
            return
        yield step
        weights, norm = weights + step, np.linalg.norm(found.gradient)
        there = problem.attempt(weights)
        if there is None or np.linalg.norm(there.gradient) > 0.9 * norm:
            return
        found = there


def _which_objective(
    mdp: MDP, expert: Demonstrations | ArrayLike, causal: bool, objective: str | None
) -> str:
    """What is climbed where nobody said: what takes the demonstrations as they are."""
    if objective is None:
        cut = causal and isinstance(expert, Demonstrations) and is_cut(mdp, expert)
        return "likelihood" if cut else "dual"
    check_objective(objective)
    if objective == "likelihood" and not causal:
        raise ValueError(
            "objective is 'likelihood', that of actions in the states they were taken in, which is "
            "causal; expected causal=True, or objective='dual'"
        )
    given_expectations = not isinstance(expert, Demonstrations) and np.ndim(expert) == 1
    if objective == "likelihood" and given_expectations:
        raise ValueError(
            "demos is feature expectations, from which only objective='dual' can be had; expected "
            "Demonstrations or an occupancy"
        )
    return objective
