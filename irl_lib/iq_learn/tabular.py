"""The concave problem of the lecture's version 5, solved exactly on a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations import Demonstrations, Expert, is_cut
from irl_lib.iq_learn import objective as form
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import (
    Array,
    check_array,
    check_count,
    check_numbers,
    check_real,
)
from irl_lib.support.result import Result, warn_early
from irl_lib.training import ascent
from irl_lib.training.ascent import Point, Run

MEASURES = ("uniform", "expert")
OBJECTIVES = ("dual", "likelihood")


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
    :math:`\sum \rho\, r_Q - \mathbb{E}_{p_0} V_0 - \tfrac{c}{2} \sum \mu\, r_Q^2`, by Newton's
    method.  At the maximum :math:`r = (\rho - \rho_\pi) / (c \mu)`: the reward is high where the
    expert is more than the policy.

    Args:
        mdp: S states, A actions.
        demos: demonstrations; or the expert's occupancy, ``(S, A)``, or with a horizon
            ``(T, S, A)``.
        weight: c > 0, what rewards cost; the less, the nearer is the policy to the expert's.
        measure: :math:`\mu`: where they cost it.  ``"uniform"``: everywhere alike, with the mass
            of an occupancy in all; ``"expert"``: where the expert is, which is the chi-squared of
            IQ-Learn, and leaves Q without a finite optimum where an action was never shown; or a
            table of the shape of Q.
        objective: ``"dual"``, as above, which needs whole trajectories; or ``"likelihood"``, with
            :math:`\sum \rho \log \pi` in the place of the first two terms.  They are the same for
            the occupancy of a policy.  Default: the likelihood for demonstrations of which
            truncation left out more than a little, the dual for all else.
        initial_q: of the shape of Q; default: zero.
        tolerance: on the norm of the gradient in Q.
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
    shape = form.shape_of(mdp)
    first = check_array("initial_q", np.zeros(shape) if initial_q is None else initial_q, shape)
    with Run("iq_learn_tabular", tolerance, max_iterations, progress) as run:
        point = problem.evaluate(first.ravel())
        run.note(point)
        point = ascent.newton_cg(run, problem, point)
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

    def evaluate(self, x: Array) -> Point:
        r"""The value, and with :math:`g = \rho - c \mu r` the gradient :math:`g - \pi\, b`.

        Here b is what enters plus :math:`\gamma P^\top g`: it vanishes where g is an occupancy, of
        the very policy that Q has.
        """
        q = x.reshape(self.shape)
        v = form.soft_value(self.mdp, q)
        reward = form.ended(self.mdp, q - self.mdp.discount * form.expected(self.mdp, v))
        policy = form.policy_of(self.mdp, q)
        own = v if self.mdp.horizon is None else v[:-1]
        gained = float(np.sum(self.shown * reward))
        value = gained - float(np.sum(self.entering * own)) - self.cost.of(reward)
        pull = self.shown - self.cost.slope(reward)
        states = self.entering + form.arriving(self.mdp, pull)
        gradient = form.ended(self.mdp, pull - policy * states[..., None])
        return Point(x, value, gradient.ravel(), max(1.0, abs(gained)), (policy, states))

    def curvature(self, point: Point, direction: Array) -> Array:
        """Minus the Hessian, times a direction, where that is concave; else the part that is."""
        policy, states = point.more
        d = form.ended(self.mdp, direction.reshape(self.shape))
        dv = np.sum(policy * d, axis=-1)
        bend = np.maximum(states, 0.0)[..., None] * policy * (d - dv[..., None])
        padded = dv if self.mdp.horizon is None else np.vstack([dv, np.zeros(self.mdp.n_states)])
        moved = d - self.mdp.discount * form.expected(self.mdp, padded)
        back = self.cost.weight * self.cost.measure * form.ended(self.mdp, moved)
        back = back - policy * form.arriving(self.mdp, back)[..., None]
        return form.ended(self.mdp, bend + back).ravel()

    def scale(self, point: Point) -> Array:
        """About the diagonal of the curvature."""
        policy, states = point.more
        bend = np.maximum(states, 0.0)[..., None] * policy * (1.0 - policy)
        return np.asarray(bend + self.cost.weight * self.cost.measure).ravel()

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
    """Of the shape of Q."""
    shape = form.shape_of(mdp)
    if isinstance(demos, Demonstrations):
        if mdp.horizon is not None:
            return form.timed_occupancy(mdp, demos)
        if kind == "likelihood":
            return demos.counted(mdp)
        return Expert(mdp, None, demos, "demos").occupancy()
    table = check_array("demos", check_numbers("demos", demos), shape)
    if table.min() < 0.0:
        raise ValueError(f"demos has the entry {table.min():g}; an occupancy is >= 0")
    return table if mdp.horizon is not None else Expert(mdp, None, table, "demos").occupancy()


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
    if free:
        message = (
            f"no finite optimum: {free} actions are neither shown nor priced, in states that are "
            "shown; their Q falls for ever: use measure='uniform'"
        )
    elif not met:
        message = (
            f"stopped after {len(run.rows) - 1} iterations at gradient norm {last.norm:.3g}, above "
            f"the tolerance {run.tolerance:g}: allow more"
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
