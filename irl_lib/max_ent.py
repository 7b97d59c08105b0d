r"""Maximum entropy inverse reinforcement learning (the lecture's version 2).

Find the reward :math:`r_w(s,a) = w^\top \phi(s,a)` under which an expert's behaviour is most likely, when
the expert is soft-optimal.  In both of its forms this is a concave problem in :math:`w`,

.. math::
    L(w) = w^\top \mu_E - F(w), \qquad \nabla L(w) = \mu_E - \mu_w ,

the expert's feature expectations minus the learner's:

- **causal** (Ziebart 2010): :math:`F = \mathbb{E}_{p_0} V_0(s_0)` of the soft Bellman recursion, and
  :math:`\mu_w` belongs to the soft-optimal policy in the true dynamics.  With a discount, everything is discounted.
- **not causal** (Ziebart et al. 2008): :math:`F = \log Z`, and :math:`\mu_w` belongs to the trajectory
  posterior :math:`p(\tau) \exp(r_w(\tau)) / Z`.  The same for deterministic dynamics; optimistic about luck otherwise.

The Hessian is :math:`-\nabla^2 F`: in the second form minus the covariance of the feature counts.  Its
products with a vector cost one more pass over the MDP, which makes Newton's method affordable.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, sparse

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP, Array, check_array, feature_matrix

METHODS = ("l-bfgs", "newton-cg", "gradient-ascent")
MISSING_MASS = 0.05  # share of the discounted mass that truncated demonstrations may leave out
CG_ITERATIONS = 200
FLAT = 1e-14  # curvature, relative to that of independent visits, that is none
HOPELESS = 1e6  # a reward per step, in nats, that only weights on their way to infinity reach
EDGE_STEP = (
    0.1  # nats that a Newton step still moves a total reward by, when the optimum is not finite
)
EDGE_SHARE = 1e-3  # how close to the most that can be reached the expert then is


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
    """Per iteration: ``objective``, ``gradient_norm``, ``weight_norm``."""
    gradient_norm: float
    """The certificate: the Euclidean norm of the gradient at ``weights``; 0 at the optimum."""
    converged: bool
    """Whether the certificate is below the tolerance, and a finite optimum exists."""
    message: str


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
) -> Objective:
    r""":math:`L(w) = w^\top\mu_E - F(w) - \tfrac{1}{2} l_2 \|w\|^2` and its gradient, exactly.

    Args:
        mdp: S states, A actions.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        expert: demonstrations; or the occupancy ``(S, A)``; or the feature expectations ``(K,)``.
        weights: ``(K,)``.
        causal: F is :math:`\mathbb{E} V_0`; else :math:`\log Z`.
        l2: weight of the squared norm.

    Implements: eq-likelihood-split, eq-likelihood-gradient, eq-linear-gradient
    """
    problem = _Problem(mdp, features, expert, causal, l2)
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
) -> MaxEntResult:
    r"""Recover the weights of a linear reward from demonstrations, by maximum likelihood.

    Args:
        mdp: S states, A actions.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: demonstrations; or the expert's occupancy ``(S, A)``; or its feature expectations ``(K,)``.
        causal: the causal form (any horizon), or the posterior over trajectories (finite horizon).
        l2: weight of :math:`\tfrac{1}{2}\|w\|^2`; above 0 the optimum is finite and unique.
        method: ``"l-bfgs"``, finished by Newton steps where rounding stops it; ``"newton-cg"`` for many or badly scaled features;
            ``"gradient-ascent"``, the lecture's, with a constant ``step_size``.
        tolerance: on the gradient norm.
        max_iterations: of the method.
        step_size: of gradient ascent.
        initial_weights: ``(K,)``; default zero.
        progress: show a progress bar (needs tqdm).

    Returns:
        MaxEntResult.  When the tolerance is not met, or no finite optimum exists because the expert's features are
        at the edge of what any policy can reach, ``converged`` is False, ``message`` says why, and a
        warning repeats it.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-maxent-likelihood, eq-likelihood-gradient, eq-linear-gradient

    References: Ziebart et al. (2008), Ziebart (2010).

    Example:
        >>> import numpy as np
        >>> from irl_lib import planning, worlds
        >>> world = worlds.gridworld(5, seed=1)
        >>> expert = planning.soft_value_iteration(world.mdp, world.reward).policy
        >>> found = max_ent(world.mdp, world.features, planning.occupancy(world.mdp, expert), method="newton-cg")
        >>> found.converged, bool(np.allclose(found.weights, world.weights, atol=1e-4))
        (True, True)
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if not tolerance > 0.0 or max_iterations < 1 or not step_size > 0.0:
        raise ValueError(
            f"tolerance, max_iterations and step_size are {tolerance}, {max_iterations}, {step_size}; "
            "expected numbers > 0"
        )
    problem = _Problem(mdp, features, demos, causal, l2)
    k = problem.phi.shape[1]
    start = check_array(
        "initial_weights", np.zeros(k) if initial_weights is None else initial_weights, (k,)
    )
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
        self, mdp: MDP, features: Any, expert: Demonstrations | ArrayLike, causal: bool, l2: float
    ) -> None:
        if not np.isfinite(l2) or l2 < 0.0:
            raise ValueError(f"l2 is {l2!r}; expected a finite number >= 0")
        self.mdp, self.causal, self.l2 = mdp, causal, l2
        self.phi = feature_matrix(mdp, features)
        if mdp.episodic and np.any(self.phi[np.repeat(mdp.absorbing, mdp.n_actions)].sum() != 0.0):
            raise ValueError(
                "features is not 0 in an absorbing state: with discount 1 and no horizon an episode "
                "ends there; put the feature on the step that enters it"
            )
        self.expert = _expert_features(mdp, self.phi, expert)

    def reward(self, weights: Array) -> Array:
        return np.asarray(self.phi @ weights).reshape(self.mdp.n_states, self.mdp.n_actions)

    def features_of(self, occupancy: Array) -> Array:
        return np.asarray(self.phi.T @ occupancy.ravel())

    def evaluate(self, weights: Array) -> Objective:
        if self.causal:
            plan = planning.soft_value_iteration(self.mdp, self.reward(weights))
            v = plan.v if self.mdp.horizon is None else plan.v[0]
            free = float(self.mdp.initial @ v)
            occupancy = planning.unchecked_occupancy(self.mdp, plan.policy)
        else:
            plan = planning.trajectory_posterior(self.mdp, self.reward(weights))
            free = planning.log_partition(self.mdp, plan)
            occupancy = planning.trajectory_occupancy(self.mdp, plan)
        value = weights @ self.expert - free - 0.5 * self.l2 * weights @ weights
        gradient = self.expert - self.features_of(occupancy) - self.l2 * weights
        return Objective(float(value), gradient, plan)

    def curvature(self, plan: planning.Plan, direction: Array) -> Array:
        """Minus the Hessian, times a direction."""
        derivative = (
            planning.occupancy_derivative
            if self.causal
            else planning.trajectory_occupancy_derivative
        )
        moved = derivative(self.mdp, plan, self.reward(direction))
        return self.features_of(moved) + self.l2 * direction

    def attempt(self, weights: Array) -> Objective | None:
        """The objective, or None where it is minus infinity: no finite soft value."""
        try:
            return self.evaluate(weights)
        except planning.DivergenceError:
            return None

    def reach(self, direction: Array) -> tuple[float, float]:
        """The least and the most that any behaviour collects of a reward in this direction."""
        ends = []
        for sign in (-1.0, 1.0):
            reward = sign * self.reward(direction)
            if self.causal:
                v = planning.value_iteration(self.mdp, reward).v
                best = self.mdp.initial @ (v if self.mdp.horizon is None else v[0])
            else:
                best = planning.best_case(self.mdp, reward)
            ends.append(sign * float(best))
        return ends[0], ends[1]

    def preconditioner(self, plan: planning.Plan) -> Array:
        """``(K,)``: about the diagonal of the curvature, were visits independent."""
        occupancy = planning.unchecked_occupancy(self.mdp, plan.policy).ravel()
        squares = self.phi.multiply(self.phi) if sparse.issparse(self.phi) else self.phi**2
        return np.asarray(squares.T @ occupancy) + self.l2


class _Log:
    """Counts iterations, keeps the history, and shows the progress."""

    def __init__(self, problem: _Problem, tolerance: float, progress: bool) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.rows: list[tuple[float, float, float]] = []
        self.bar: Any = None
        if progress:
            from tqdm.auto import tqdm

            self.bar = tqdm(desc="max_ent", unit=" iterations")

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, weights: Array, value: float, gradient: Array) -> bool:
        """Note an iteration; True when the tolerance is met, or the weights run off to infinity."""
        norm = float(np.linalg.norm(gradient))
        self.rows.append((value, norm, float(np.linalg.norm(weights))))
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix(objective=f"{value:.6g}", gradient=f"{norm:.2g}")
        hopeless = float(np.abs(self.problem.reward(weights)).max(initial=0.0)) > HOPELESS
        return hopeless or norm <= self.tolerance

    @property
    def history(self) -> dict[str, Array]:
        table = np.array(self.rows).reshape(-1, 3)
        names = ("objective", "gradient_norm", "weight_norm")
        return {name: table[:, i].copy() for i, name in enumerate(names)}


def _gradient_ascent(log: _Log, weights: Array, step_size: float, max_iterations: int) -> Array:
    for _ in range(max_iterations):
        value, gradient, _plan = log.problem.evaluate(weights)
        if log.add(weights, value, gradient):
            break
        weights = weights + step_size * gradient
    return weights


def _l_bfgs(log: _Log, weights: Array, max_iterations: int) -> Array:
    last: dict[bytes, Objective] = {}

    def negative(w: Array) -> tuple[float, Array]:
        found = log.problem.attempt(w)
        if found is None:  # the line search then tries a shorter step
            return np.inf, np.zeros_like(w)
        last.clear()
        last[w.tobytes()] = found
        return -found.value, -found.gradient

    def note(w: Array) -> None:
        found = last.get(w.tobytes()) or log.problem.evaluate(w)
        if log.add(w, found.value, found.gradient):
            raise StopIteration  # which is how a callback ends scipy's iteration

    options = {"maxiter": max_iterations, "maxfun": 20 * max_iterations, "maxcor": 20}
    found = optimize.minimize(
        negative,
        weights,
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={**options, "ftol": 0.0, "gtol": 0.0},
    )
    return np.asarray(found.x)


def _finish(log: _Log, weights: Array, max_iterations: int) -> Array:
    """Newton steps, where the line search of L-BFGS ended in rounding, short of the tolerance."""
    left = max_iterations - len(log.rows)
    if left < 1 or log.rows[-1][1] <= log.tolerance:
        return weights
    return _newton_cg(log, weights, min(left, 20))


def _newton_cg(log: _Log, weights: Array, max_iterations: int) -> Array:
    """Newton's method with each step by preconditioned conjugate gradients, and a line search."""
    problem = log.problem
    value, gradient, plan = problem.evaluate(weights)
    for _ in range(max_iterations):
        if log.add(weights, value, gradient):
            break
        rtol = min(0.5, float(np.linalg.norm(gradient)) ** 0.5)
        step = _newton_step(problem, plan, gradient, rtol)
        scale, slope = 1.0, float(gradient @ step)
        noise = 1e-12 * max(1.0, abs(value), abs(float(weights @ problem.expert)))  # of rounding
        while True:
            found = problem.attempt(weights + scale * step)
            if found is not None and found.value >= value + 1e-4 * scale * slope - noise:
                break
            scale /= 2.0
            if scale < 1e-10:
                return weights
        weights = weights + scale * step
        value, gradient, plan = found
    return weights


def _newton_step(problem: _Problem, plan: planning.Plan, gradient: Array, rtol: float) -> Array:
    """Preconditioned conjugate gradients on curvature @ step = gradient.

    They stop where the curvature ends, which is where the optimum is at infinity; scipy's would divide by zero.
    """
    scale = problem.preconditioner(plan)
    inverse = 1.0 / np.where(scale > 0.0, scale, 1.0)
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


def _expert_features(mdp: MDP, phi: Any, expert: Demonstrations | ArrayLike) -> Array:
    k = phi.shape[1]
    if isinstance(expert, Demonstrations):
        occupancy = expert.occupancy(mdp)
        hint = (
            "truncated demonstrations leave out what came later: use a horizon as long as they are"
        )
    elif np.shape(expert) == (k,):
        return check_array("demos", expert, (k,))
    else:
        occupancy = check_array("demos", expert, (mdp.n_states, mdp.n_actions))
        hint = "pass Demonstrations, an occupancy as planning.occupancy returns it, or its features (K,)"
    if mdp.episodic:
        return np.asarray(phi.T @ occupancy.ravel())
    share = float(occupancy.sum()) / mdp.mass
    if abs(1.0 - share) > MISSING_MASS:
        raise ValueError(
            f"demos has an occupancy of {share * mdp.mass:.6g} in all; expected {mdp.mass:.6g}, the sum of "
            f"the discounts over the horizon ({hint})"
        )
    complete = 1.0 if abs(1.0 - share) < 1e-9 else share  # rounding is not missing mass
    return np.asarray(phi.T @ occupancy.ravel()) / complete


def _result(problem: _Problem, weights: Array, log: _Log) -> MaxEntResult:
    found = problem.evaluate(weights)
    norm = float(np.linalg.norm(found.gradient))
    met = norm <= log.tolerance
    edge = "" if problem.l2 > 0.0 else _at_the_edge(problem, weights, found, met)
    message = "the gradient norm is below the tolerance"
    if edge or not met:
        message = edge or (
            f"stopped after {len(log.rows)} iterations at gradient norm {norm:.3g}, above the tolerance "
            f"{log.tolerance:g}: allow more, or use method='newton-cg'"
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
    )


def _at_the_edge(problem: _Problem, weights: Array, found: Objective, met: bool) -> str:
    """Why no finite optimum exists, or nothing.

    A finite optimum exists when the expert's features lie inside the set of those that policies reach.
    At its edge some direction d has d.mu_E >= d.mu of every policy.  Along it the objective gains less and
    less for ever: gradient and curvature vanish at one rate, so that a Newton step stays as long as it was.
    """
    candidates = [_newton_step(problem, found.plan, found.gradient, rtol=1e-3)]
    if not met:
        candidates += [found.gradient, weights]
    for direction in candidates:
        least, most = problem.reach(direction)
        own = float(direction @ problem.expert)
        if most - least > EDGE_STEP and most - own <= EDGE_SHARE * (most - least):
            k = int(np.argmax(np.abs(direction)))
            return (
                "no finite weights are optimal: the expert's features are at the edge of what any policy "
                f"reaches, or beyond it (in a direction in which feature {k} counts most, the expert has "
                f"{own:.6g} and policies have {least:.6g} to {most:.6g}); use l2 > 0, more or more varied "
                "demonstrations, or drop the feature that nothing can match"
            )
    return ""
