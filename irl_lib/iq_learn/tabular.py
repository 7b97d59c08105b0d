"""The concave problem of the lecture's version 5, solved exactly on a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations import Demonstrations, Expert, is_cut
from irl_lib.iq_learn import objective as form
from irl_lib.iq_learn.newton import NewtonSystem
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import Array, check_array, check_count, check_real
from irl_lib.support.result import Result, warn_early
from irl_lib.training.ascent import Point, Run, line_search

MEASURES = ("uniform", "expert")
OBJECTIVES = ("dual", "likelihood")
ROUNDING = float(np.finfo(np.float64).eps)  # of a sum, relative to its terms
RESOLVED = 1e-6  # of what was shown, that a gradient may be and be called rounding


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class IqTabularResult(Result):
    """What :func:`iq_learn_tabular` found: a policy, its Q, its values, and their reward.

    ``history`` has ``objective``, ``gradient_norm`` and ``weight_norm`` (of Q), from the start on;
    the certificate is ``gradient_norm``, in Q.
    """

    reward: Array
    """``(S, A)``, or ``(T, S, A)``: :math:`Q - \\gamma E V'`."""
    q: Array
    """Likewise."""
    v: Array
    """``(S,)``, or ``(T + 1, S)``."""


def iq_learn_tabular(
    mdp: MDP,
    demos: Any,
    *,
    weight: float = 0.1,
    measure: str | ArrayLike = "uniform",
    objective: str | None = None,
    initial_q: ArrayLike | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 1_000,
    progress: bool = False,
) -> IqTabularResult:
    r"""Recover Q, and with it policy and reward, from demonstrations; nothing is planned for.

    What is maximised is
    :math:`\sum \rho\, r_Q - \mathbb{E}_{p_0} V_0 - \tfrac{\beta}{2} \sum \bar\rho\, r_Q^2`, by
    Newton's method.  At the maximum :math:`r = (\rho - \rho_\pi) / (\beta \bar\rho)`: the reward is
    positive where the expert is more often than the policy.

    Args:
        mdp: S states, A actions.
        demos: demonstrations; or the expert's occupancy, ``(S, A)``, or with a horizon
            ``(T, S, A)``.
        weight: beta > 0, what rewards cost; the less, the nearer is the policy to the expert's.
        measure: :math:`\bar\rho`: where they cost it.  ``"uniform"``: everywhere alike, with the
            mass of an occupancy in all; ``"expert"``: where the expert is, which is the chi-squared
            of IQ-Learn, and leaves Q without a finite optimum where an action was never shown; or a
            table of the shape of Q.
        objective: ``"dual"``, as above, which needs whole trajectories; or ``"likelihood"``, with
            :math:`\sum \rho \log \pi` in the place of the first two terms.  They are the same for
            the occupancy of a policy.  Of the dual there is one maximum; of the likelihood of
            finitely many demonstrations there may be several, nearly as good in our experience.
            Default: the likelihood for demonstrations of which truncation left out more than a
            little, the dual for all else.
        initial_q: of the shape of Q; default: zero.
        tolerance: on the norm of the gradient in Q; where rounding leaves more than that (values
            of 1e4, and rewards that cost much), it is enough to be down to rounding.  Of the
            reward it leaves open up to
            :math:`\text{tolerance} / ((1 - \gamma) \beta \bar\rho)`: ask for less where beta is
            small and the reward matters.
        max_iterations: steps at most.
        progress: show a progress bar (needs tqdm).

    Returns:
        IqTabularResult.  When the tolerance is not met, or there is no finite optimum,
        ``converged`` is False, ``message`` says why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-iq-objective

    Reference: Garg, Chakraborty, Cundy, Song, Ermon (2021), IQ-Learn.

    Example:
        >>> from irl_lib import planning, worlds
        >>> world = worlds.gridworld(5, seed=1)
        >>> expert = planning.soft_value_iteration(world.mdp, world.reward).policy
        >>> found = iq_learn_tabular(world.mdp, planning.occupancy(world.mdp, expert), weight=1e-4)
        >>> found.converged, bool(np.abs(found.policy - expert).max() < 0.01)
        (True, True)
    """
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    problem = Problem(mdp, demos, weight, measure, objective)
    point = problem.start(initial_q)
    with Run("iq_learn_tabular", tolerance, max_iterations, progress) as run:
        run.note(point)
        while not (run.over or problem.is_rounding(point)):
            better = line_search(problem, point, problem.newton_step(point))
            if better is None:
                break
            point = better
            run.note(point)
    return _result(problem, point, run)


class Problem:
    """The objective in Q, as :mod:`irl_lib.training.ascent` climbs it."""

    def __init__(
        self, mdp: MDP, demos: Any, weight: float, measure: Any, objective: str | None
    ) -> None:
        self.mdp, self.shape = check_mdp(mdp), form.shape_of(mdp)
        check_real("weight", weight, 0.0, open_end=True)
        kind = _kind(mdp, demos, objective)
        self.shown = form.ended(mdp, _occupancy(mdp, demos, kind))
        self.cost = form.price(mdp, weight, _measure(mdp, self.shown, measure))
        dual = kind == "dual"
        self.entering = form.start(mdp) if dual else form.sources(mdp, self.shown)
        prices = np.full(self.shape, self.cost.weight) * self.cost.measure
        self.system = NewtonSystem(mdp, form.ended(mdp, prices))

    def start(self, q: ArrayLike | None) -> Point:
        """The point to begin with."""
        table = check_array("initial_q", np.zeros(self.shape) if q is None else q, self.shape)
        found = self.evaluate(table.ravel())
        if found is None:
            raise ValueError(
                f"initial_q has entries up to {np.abs(table).max():g}, for which the objective "
                f"with weight {self.cost.weight:g} is not finite; expected smaller ones, or a "
                "smaller weight"
            )
        return found

    def evaluate(self, x: Array) -> Point | None:
        r"""The value, and with :math:`g = \rho - \beta \bar\rho r` its gradient, :math:`g - \pi b`.

        Here b is what enters plus :math:`\gamma P^\top g`: it vanishes where g is an occupancy, of
        the very policy that Q has.  None where Q is so large that they are not finite.
        """
        q = x.reshape(self.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            v = form.soft_value(self.mdp, q)
            reward = form.ended(self.mdp, q - self.mdp.discount * form.expected(self.mdp, v))
            own = v if self.mdp.horizon is None else v[:-1]
            terms = float(np.sum(self.shown * np.abs(reward)) + np.sum(self.entering * np.abs(own)))
            value = float(np.sum(self.shown * reward) - np.sum(self.entering * own))
            value -= self.cost.of(reward)
            pull = self.shown - self.cost.slope(reward)
            states = self.entering + form.arriving(self.mdp, pull)
            policy = form.policy_of(self.mdp, q)
            gradient = form.ended(self.mdp, pull - policy * states[..., None])
            point = Point(x, value, gradient.ravel(), max(1.0, terms), (policy, states))
            return point if np.isfinite([value, point.norm]).all() else None

    def visits(self, point: Point) -> Array:
        """b, where it is one: the objective is concave in Q where b is nowhere below 0."""
        return np.maximum(form.ended(self.mdp, point.more[1][..., None])[..., 0], 0.0)

    def newton_step(self, point: Point) -> Array:
        """To the maximum of the concave part."""
        step = self.system.step(point.more[0], self.visits(point), point.gradient)
        return form.ended(self.mdp, step).ravel()

    def curvature(self, point: Point, direction: Array) -> Array:
        """Minus the Hessian, times a direction, where that is concave; else the part that is."""
        policy = point.more[0]
        d = form.ended(self.mdp, direction.reshape(self.shape))
        dv = np.sum(policy * d, axis=-1)
        bend = self.visits(point)[..., None] * policy * (d - dv[..., None])
        padded = dv if self.mdp.horizon is None else np.vstack([dv, np.zeros(self.mdp.n_states)])
        moved = d - self.mdp.discount * form.expected(self.mdp, padded)
        back = self.cost.slope(form.ended(self.mdp, moved))
        back = back - policy * form.arriving(self.mdp, back)[..., None]
        return form.ended(self.mdp, bend + back).ravel()

    def is_rounding(self, point: Point) -> bool:
        """Whether the gradient is no more than the rounding of the terms that it is a sum of."""
        policy, states = point.more
        q = np.abs(point.x.reshape(self.shape))
        v = np.abs(form.soft_value(self.mdp, point.x.reshape(self.shape)))
        size = q + self.mdp.discount * form.expected(self.mdp, v)
        terms = form.ended(self.mdp, self.shown + self.cost.slope(size))
        entered = np.abs(self.entering) + form.arriving(self.mdp, terms)
        entered = entered[..., None] + np.abs(states[..., None]) * (1.0 - policy) * q
        least = ROUNDING * float(np.linalg.norm(terms + policy * entered))
        return point.norm <= min(least, RESOLVED * float(self.shown.sum()))

    def unbounded(self) -> int:
        """How many entries of Q fall for ever: neither shown nor priced, in a state that is."""
        states = self.entering + form.arriving(self.mdp, self.shown)
        free = (self.cost.measure == 0.0) & (self.shown == 0.0) & (states[..., None] > 0.0)
        return int(form.ended(self.mdp, free).sum())


def _kind(mdp: MDP, demos: Any, objective: str | None) -> str:
    if objective is None:
        cut = isinstance(demos, Demonstrations) and is_cut(mdp, demos)
        return "likelihood" if cut else "dual"
    if objective not in OBJECTIVES:
        raise ValueError(f"objective is {objective!r}; expected one of {', '.join(OBJECTIVES)}")
    return objective


def _occupancy(mdp: MDP, demos: Any, kind: str) -> Array:
    """Of the shape of Q; of full mass, but for the likelihood of demonstrations."""
    timed = mdp.horizon is not None
    if isinstance(demos, Demonstrations):
        table = form.timed_occupancy(mdp, demos) if timed else demos.counted(mdp)
        if kind == "likelihood":
            return table
        whole = Expert(mdp, None, demos, "demos").occupancy()
    else:
        table = check_array("demos", demos, form.shape_of(mdp))
        if timed and table.min() < 0.0:
            raise ValueError(f"demos has the entry {table.min():g}; an occupancy is >= 0")
        summed = table.sum(axis=0) if timed else table
        whole = Expert(mdp, None, summed, "demos").occupancy()
    if not timed:
        return np.maximum(whole, 0.0)  # of rounding
    return np.asarray(table * (whole.sum() / table.sum()))


def _measure(mdp: MDP, shown: Array, measure: Any) -> Array:
    if not isinstance(measure, str):
        return check_array("measure", measure, form.shape_of(mdp))
    if measure not in MEASURES:
        raise ValueError(
            f"measure is {measure!r}; expected one of {', '.join(MEASURES)}, or a table"
        )
    if measure == "expert":
        return shown
    flat = np.full(form.shape_of(mdp), 1.0 / (mdp.n_states * mdp.n_actions))
    if mdp.horizon is not None:
        return np.asarray(flat * mdp.discount ** np.arange(mdp.horizon)[:, None, None])
    return form.ended(mdp, flat * (shown.sum() if mdp.episodic else mdp.mass))


def _result(problem: Problem, last: Point, run: Run) -> IqTabularResult:
    mdp, q = problem.mdp, last.x.reshape(problem.shape)
    free, met = problem.unbounded(), last.norm <= run.tolerance
    message = "the gradient norm is below the tolerance"
    if not met and problem.is_rounding(last):
        met, message = True, "the gradient is 0 but for rounding"
    if free:
        message = (
            f"no finite optimum: {free} actions are neither shown nor priced, in states that are "
            "shown; their Q falls for ever: use measure='uniform'"
        )
    elif not met:
        remedy = "rounding hides what another would gain" if run.left else "allow more"
        message = (
            f"stopped after {len(run.rows) - 1} iterations at gradient norm {last.norm:.3g}, above "
            f"the tolerance {run.tolerance:g}: {remedy}"
        )
    if free or not met:
        warn_early("iq_learn_tabular", message)
    return IqTabularResult(
        policy=last.more[0],
        reward=form.inverse_bellman(mdp, q),
        q=q,
        v=form.soft_value(mdp, q),
        history=run.history,
        converged=met and not free,
        message=message,
        certificate={"gradient_norm": last.norm},
    )
