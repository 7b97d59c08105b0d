r"""The convex programs of max margin, over policies that are given by their feature expectations.

With :math:`\delta_j = \mu_E - \mu_j`, the expert's lead over policy :math:`j` in every feature, and
:math:`\Delta_j` the margin by which it should win, the structured program is

.. math::
    \min_{w, \zeta}\; \tfrac12 \|w\|^2 + \tfrac{C}{N} \sum_i \zeta_i \quad\text{s.t.}\quad
    w^\top \delta_j \ge \Delta_j - \zeta_{i(j)}, \qquad \zeta \ge 0,

one slack for each of N demonstrations.  The norm is squared.  Without slack that changes nothing;
with slack the two forms trace the same solutions, but with the plain norm w = 0 is optimal for
every small C, whatever the demonstrations say, and then jumps, while here w grows from 0 with C.

Its dual has a multiplier :math:`0 \le \alpha_j` for each policy, those of one demonstration summing
to C/N at most (without slack: to anything), and the value

.. math::
    \min_{w} \tfrac12 \|w\|^2 - w^\top g + \sum_j \alpha_j \Delta_j, \qquad
    g = \sum_j \alpha_j \delta_j ,

whose minimum is at w = g, clipped where w is bounded.  So every result here comes with a lower
bound that can be recomputed by hand.

References: Ratliff, Bagnell and Zinkevich (2006); Tsochantaridis et al. (2005).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from irl_lib.support.checks import Array, check_array, check_numbers

Index = NDArray[np.integer[Any]]

ACCURACIES = (1e-12, 1e-8)  # asked of the solver: the first, or where rounding forbids, the second
SAME = 1e-12  # relative difference of returns that is none
DEAREST = 1e8  # price of slack that a solver can take, in units in which all else is about one
IMPOSSIBLE = 1e-9  # slack, relative to the margins, that a feasible program may seem to need


class InfeasibleError(ValueError):
    """No weights give the expert its margin.

    Attributes:
        shares: policy number -> its share in a mixture that does as well as the experts.
        demonstrations: the numbers of the demonstrations that it is compared with.
    """

    def __init__(
        self, message: str, shares: dict[int, float] | None = None, demonstrations: Any = ()
    ) -> None:
        super().__init__(message)
        self.shares, self.demonstrations = shares or {}, list(demonstrations)


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum of a program, with its certificate.

    Attributes:
        weights: ``(K,)``.
        slacks: ``(N,)``, one for each demonstration: the least that the weights need.
        duals: ``(M,)``, one for each policy; those above 0 are the support vectors.
        objective: of the program, at ``weights`` and ``slacks``.
        bound: the dual's value at ``duals``: no weights have a lower objective.
        kkt_residual: the largest violation of an optimality condition, relative to its terms; 0 at
            the optimum.
    """

    weights: Array
    slacks: Array
    duals: Array
    objective: float
    bound: float
    kkt_residual: float


@dataclass(frozen=True, eq=False)
class Program:
    r"""The structured program over M policies, its objective and its dual.

    Attributes:
        leads: ``(M, K)``, :math:`\delta_j`: the expert's lead over each policy in each feature.
        margins: ``(M,)``, :math:`\Delta_j`.
        which: ``(M,)``, the demonstration that each policy is compared with.
        n: how many demonstrations there are.
        slack: C, the price of the mean slack; None for the hard program.
        upper: ``(K,)``, of the weights; infinite where there is no bound.
    """

    leads: Array
    margins: Array
    which: Index
    n: int
    slack: float | None
    upper: Array

    @property
    def price(self) -> float:
        """What one slack costs, which the duals of its demonstration sum to at most."""
        return np.inf if self.slack is None else self.slack / self.n

    def objective(self, weights: Array, slacks: Array) -> float:
        r""":math:`\tfrac12 \|w\|^2 + \tfrac{C}{N} \sum_i \zeta_i`."""
        cost = 0.0 if self.slack is None else self.slack * float(np.mean(slacks))
        return 0.5 * float(weights @ weights) + cost

    def dual(self, alpha: Array) -> float:
        r""":math:`\tfrac12 \|w\|^2 - w^\top g + \sum_j \alpha_j \Delta_j` at its least."""
        g = alpha @ self.leads
        w = np.minimum(g, self.upper)
        return float(0.5 * w @ w - w @ g + alpha @ self.margins)

    def slacks(self, weights: Array) -> Array:
        """``(N,)``: the least that the weights need; zero for the hard program."""
        slacks, leads = np.zeros(self.n), self.leads @ weights
        if self.slack is not None:
            short = self.margins - leads
            short[np.abs(short) <= SAME * (np.abs(self.margins) + np.abs(leads))] = 0.0
            np.maximum.at(slacks, self.which, short)
        return slacks


def solve(program: Program) -> Optimum:
    r"""The weights with the least norm, and slack, that give the expert its margins.

    The solver sees numbers of order one: constraints divided by their ``sizes`` (one for all where
    they share slacks), weights in units of ``scale``, which they are not below.

    Raises:
        InfeasibleError: for a hard program that no weights satisfy, naming the policies and the
            demonstration that make it so.

    Implements: eq-svm-margin, eq-structured-margin
    """
    start, size = np.minimum(0.0, program.upper), _size(program.leads)
    if (program.leads @ start >= program.margins).all():
        return _certified(program, start, np.zeros(len(program.margins)))
    sizes = np.full(len(program.leads), size)
    if program.slack is None:
        sizes = np.linalg.norm(program.leads, axis=1)
        if ((alike := sizes <= SAME * size) & (program.margins > 0.0)).any():
            _refuse(replace(program, leads=np.where(alike[:, None], 0.0, program.leads)))
        sizes[sizes == 0.0] = 1.0
    scale = max(float(np.abs(start).max()), float((np.abs(program.margins) / sizes).max()))
    price = program.price * size / scale
    if program.slack is None or price <= DEAREST:
        return _certified(program, *_minimise(program, sizes, scale, price))
    # Where slack is so dear that its price does not move the weights, each unit of it more adds the
    # mixture to the duals that nothing beats; or nothing, where no slack is needed.
    weights, duals = _minimise(program, sizes, scale, DEAREST)
    mixture, _ = _least_slack(program)
    dearer = duals + mixture * (program.price - DEAREST * scale / size)
    optima = [_certified(program, weights, each) for each in (duals, dearer)]
    return min(optima, key=lambda each: each.kkt_residual)


def _minimise(program: Program, sizes: Array, scale: float, price: float) -> tuple[Array, Array]:
    """Optimal weights and duals, at a price of slack in the solver's units."""
    cp = convex_solver()
    w, zeta = cp.Variable(program.upper.size), cp.Variable(program.n, nonneg=True)
    leads, cost = (program.leads / sizes[:, None]) @ w, cp.sum_squares(w) / 2
    if program.slack is not None:
        leads, cost = leads + zeta[program.which], cost + price * cp.sum(zeta)
    wins = leads >= program.margins / (sizes * scale)
    near = program.upper < DEAREST * scale
    bounds = [w[near] <= program.upper[near] / scale] if near.any() else []
    if not _solved(cp.Problem(cp.Minimize(cost), [wins, *bounds]), cp):
        _refuse(program)
    duals = np.asarray(wins.dual_value, dtype=np.float64) * scale / sizes
    return np.minimum(np.asarray(w.value, dtype=np.float64) * scale, program.upper), duals


def _certified(program: Program, weights: Array, duals: Array) -> Optimum:
    r"""How far weights and duals are from the optimum.

    There, with g as in the dual and :math:`\zeta_i` the least slack: :math:`w = \min(g, u)`;
    :math:`w^\top \delta_j + \zeta_{i(j)} \ge \Delta_j`, and equal where :math:`\alpha_j > 0`; and
    the duals of a demonstration with :math:`\zeta_i > 0` sum to C/N.  Each violation is divided by
    the terms that it is the difference of.
    """
    leads, slacks = program.leads @ weights, program.slacks(weights)
    alpha = np.maximum(duals, 0.0)
    total = np.bincount(program.which, alpha, minlength=program.n)
    share = np.ones(program.n)
    np.divide(program.price, total, out=share, where=total > program.price)
    alpha, objective = alpha * share[program.which], program.objective(weights, slacks)
    unspent = 0.0 if program.slack is None else program.price - total * share
    spare = leads + slacks[program.which] - program.margins
    size, most = _size(program.leads), _size(program.margins[:, None])
    # What there is to weights and objective where optimality leaves nothing but rounding.
    unit = min(most / size, program.price * size)
    pull = float(np.linalg.norm(weights) + alpha @ np.linalg.norm(program.leads, axis=1))
    gap = weights - np.minimum(alpha @ program.leads, program.upper)
    slackness = float(np.abs(alpha * spare).sum() + np.abs(unspent * slacks).sum())
    residual = max(
        float(np.linalg.norm(gap)) / max(pull, unit),
        float((np.maximum(-spare, 0.0) / (most + np.abs(leads))).max(initial=0.0)),
        slackness / max(objective + float(np.abs(alpha @ program.margins)), unit * most / size),
    )
    return Optimum(weights, slacks, alpha, objective, program.dual(alpha), residual)


def _least_slack(program: Program) -> tuple[Array, Array]:
    r"""Duals and slacks of :math:`\min_{w, \zeta} \sum_i \zeta_i`, in units of leads and margins.

    The duals are a mixture of policies that no weights put behind the experts by the margins; they
    are zero where there is none, or none that rounding leaves beyond doubt.
    """
    size, unit = _size(program.leads), _size(program.margins[:, None])
    near = program.upper < DEAREST * unit / size
    bounds = [
        (None, u * size / unit if close else None)
        for u, close in zip(program.upper, near, strict=True)
    ]
    found = optimize.linprog(
        np.r_[np.zeros(len(bounds)), np.ones(program.n)],
        A_ub=-np.hstack([program.leads / size, np.eye(program.n)[program.which]]),
        b_ub=-program.margins / unit,
        bounds=bounds + [(0.0, None)] * program.n,
        method="highs",
    )
    if found.status != 0 or found.fun <= IMPOSSIBLE:
        return np.zeros(len(program.margins)), np.zeros(program.n)
    return np.maximum(-found.ineqlin.marginals, 0.0), found.x[len(bounds) :]


def _refuse(program: Program) -> None:
    """Say why there is no solution.

    Raises:
        InfeasibleError: for a hard program.
        RuntimeError: with slack, where there always is an optimum.
    """
    if program.slack is not None:
        raise RuntimeError(
            f"the solver failed on max margin with slack={program.slack:g}, feature expectations "
            f"that differ by up to {_size(program.leads):g} and margins up to "
            f"{_size(program.margins[:, None]):g}: rescale the features or the loss"
        )
    alpha, slacks = _least_slack(program)
    if not alpha.any():
        raise InfeasibleError(
            "the hard program is too close to infeasible to be solved: some policies do all "
            "but as well as the expert; pass slack=C"
        )
    raise _explained(alpha, program.which, slacks, bool(np.isfinite(program.upper).any()))


def _explained(alpha: Array, which: Index, slacks: Array, bounded: bool) -> InfeasibleError:
    used = np.flatnonzero(alpha > 1e-7 * alpha.max())
    shares = {int(j): float(alpha[j] / alpha[used].sum()) for j in used}
    involved = sorted({int(i) for i in which[used]})
    parts = [f"policy {j} ({share:.1%})" for j, share in shares.items()]
    named = f"the mixture of {' and '.join(parts)}" if len(parts) > 1 else f"policy {used[0]}"
    experts = " and ".join(f"demonstration {i}" for i in involved)
    does = (
        "is at least as good under all weights within the bounds"
        if bounded
        else "has the same feature expectations"
    )
    worst = int(np.argmax(slacks))
    return InfeasibleError(
        f"no weights give the expert of {experts} its margin: {named} {does}; "
        f"demonstration {worst} is the furthest from optimal; pass slack=C to allow for an expert "
        "who is not",
        shares,
        involved,
    )


class WidestMargin(NamedTuple):
    """The optimum of the max-margin program with bounded norm, with its certificate."""

    weights: Array
    """``(K,)``, of norm 1; zero where no weights separate the expert from the others."""
    margin: float
    """The distance of the expert from the mixtures of the others, in units of the features."""
    duals: Array
    """``(M,)``, summing to 1: the mixture of policies that is closest to the expert."""
    bound: float
    """No margin is larger than this, the distance of that mixture from the expert."""


def widest_margin(mu_expert: ArrayLike, mus: ArrayLike) -> WidestMargin:
    r"""The weights of norm at most 1 with the widest margin, :math:`\max m`.

    Args:
        mu_expert: ``(K,)``.
        mus: ``(M, K)``, the feature expectations of each policy.

    Returns:
        WidestMargin: the margin is the distance of ``mu_expert`` from the convex hull of ``mus``,
        and the duals are the closest point of that hull.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-max-margin

    Example:
        >>> found = widest_margin([1.0, 1.0], [[0.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
        >>> round(found.margin, 6), found.duals.round(6)
        (0.894427, array([0.8, 0.2, 0. ]))
    """
    leads = _check_leads(mu_expert, mus)
    cp = convex_solver()
    w, m = cp.Variable(leads.shape[1]), cp.Variable()
    wins = (leads / _size(leads)) @ w >= m
    _solved(cp.Problem(cp.Maximize(m), [wins, cp.norm(w, 2) <= 1.0]), cp)
    weights = np.asarray(w.value, dtype=np.float64)
    norm = float(np.linalg.norm(weights))  # of the optimum 1, or 0
    weights = weights / norm if norm > 0.5 else np.zeros_like(weights)
    alpha = np.maximum(np.asarray(wins.dual_value, dtype=np.float64), 0.0)
    alpha = alpha / alpha.sum()
    margin = max(float((leads @ weights).min()), 0.0)
    return WidestMargin(weights, margin, alpha, float(np.linalg.norm(alpha @ leads)))


def convex_solver() -> ModuleType:
    """The module cvxpy.

    Raises:
        ImportError: naming the extra to install, when there is none.
    """
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError('max margin needs cvxpy: pip install "irl_lib[convex]"') from error
    module: ModuleType = cvxpy
    return module


def _solved(problem: Any, cp: ModuleType) -> bool:
    """Whether an optimum was found; how good it is, the certificate says, not a warning."""
    for accuracy in ACCURACIES:
        settings = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), accuracy)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            try:
                problem.solve(solver="CLARABEL", **settings)
            except cp.error.SolverError:
                continue
        if problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return True
    return False


def _size(rows: Array) -> float:
    """The largest Euclidean norm of a row; 1 where all are zero."""
    return float(np.linalg.norm(rows, axis=1).max(initial=0.0)) or 1.0


def _check_leads(mu_expert: ArrayLike, mus: ArrayLike) -> Array:
    """``(M, K)``: the expert's lead over each policy."""
    expert, others = check_numbers("mu_expert", mu_expert), check_numbers("mus", mus)
    if expert.ndim != 1 or not expert.size:
        raise ValueError(f"mu_expert has shape {expert.shape}; expected (K,), not empty")
    if others.ndim != 2 or not len(others) or others.shape[1] != expert.size:
        raise ValueError(
            f"mus has shape {others.shape}; expected (M, {expert.size}), as mu_expert has "
            f"{expert.size} features"
        )
    expert = check_array("mu_expert", expert, expert.shape)
    return expert - check_array("mus", others, others.shape)


def check_upper(upper: ArrayLike | None, k: int) -> Array:
    """``(K,)``: the upper bounds of the weights; infinite where there is none."""
    array = np.array(check_numbers("upper", np.inf if upper is None else upper))
    if array.shape not in ((), (k,)) or not (array > -np.inf).all():  # nan is not, either
        raise ValueError(f"upper is {upper!r}; expected a number, or {k} of them")
    return np.broadcast_to(array, (k,)).copy()
