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
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from irl_lib.support.checks import Array, as_array, check_array, check_numbers, check_real

Index = NDArray[np.integer[Any]]

ACCURACIES = (1e-12, 1e-8)  # asked of the solver: the first, or where rounding forbids, the second
INACCURATE = 1e-5  # relative KKT residual from which on a solution is not trusted in silence
SAME = 1e-12  # relative difference of feature expectations, or returns, that is none
DEAREST = 1e8  # price of slack that a solver can take, in units in which all else is about one
IMPOSSIBLE = 1e-9  # slack, relative to the margins, that a feasible program may seem to need


class InfeasibleError(ValueError):
    """No weights give the expert its margin.

    Attributes:
        shares: policy number -> its share in a mixture that does as well as the experts.
        demonstrations: the numbers of the demonstrations that it is compared with.
    """

    def __init__(self, message: str, shares: dict[int, float], demonstrations: list[int]) -> None:
        super().__init__(message)
        self.shares, self.demonstrations = shares, demonstrations


@dataclass(frozen=True, eq=False)
class ProgramResult:
    """The optimum of a program over given policies, with its certificate."""

    weights: Array
    """``(K,)``."""
    slacks: Array
    """``(N,)``: one for each demonstration; the least that the weights need."""
    duals: Array
    """``(M,)``: one for each policy; those above 0 are the support vectors."""
    objective: float
    """Of the program, at ``weights`` and ``slacks``."""
    bound: float
    """The dual's value at ``duals``: no weights have a lower objective."""
    kkt_residual: float
    """The largest violation of an optimality condition, relative to its terms; 0 at the optimum."""

    @property
    def duality_gap(self) -> float:
        """``objective - bound``."""
        return self.objective - self.bound


@dataclass(frozen=True, eq=False)
class WidestMargin:
    """The optimum of the max-margin program with bounded norm, with its certificate."""

    weights: Array
    """``(K,)``, of norm 1; zero where no weights separate the expert from the others."""
    margin: float
    """The distance of the expert from the mixtures of the others, in units of the features."""
    duals: Array
    """``(M,)``, summing to 1: the mixture of policies that is closest to the expert."""
    bound: float
    """No margin is larger than this, the distance of that mixture from the expert."""
    kkt_residual: float
    """The largest violation of an optimality condition, relative to its terms; 0 at the optimum."""

    @property
    def duality_gap(self) -> float:
        """``bound - margin``."""
        return self.bound - self.margin


def solve_program(
    mu_expert: ArrayLike,
    mus: ArrayLike,
    margins: ArrayLike = 1.0,
    slack: float | None = None,
    demonstration: ArrayLike | None = None,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
) -> ProgramResult:
    r"""The structured max-margin program over a list of policies.

    Args:
        mu_expert: ``(K,)``, or ``(N, K)`` for several demonstrations.
        mus: ``(M, K)``, the feature expectations of each policy.
        margins: :math:`\Delta`, ``(M,)`` or one for all, at least 0.
        slack: C, the price of the mean slack; None for the hard program.
        demonstration: ``(M,)``, which demonstration each policy is compared with; needed where
            there are several.
        lower: of the weights, ``(K,)`` or one for all.
        upper: likewise.

    Raises:
        ValueError: naming a bad argument, or two policies that are the same.
        InfeasibleError: for a hard program that no weights satisfy, naming the policies and the
            demonstration that make it so.

    Implements: eq-svm-margin, eq-structured-margin

    Example:
        >>> found = solve_program([1.0, 1.0], [[0.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
        >>> found.weights.round(6), found.duals.round(6)
        (array([1. , 0.5]), array([1.  , 0.25, 0.  ]))
    """
    experts = check_experts(mu_expert)
    others = _check_policies(mus, experts.shape[1])
    delta = _check_margins(margins, len(others))
    which = _check_which(demonstration, len(others), len(experts))
    check_distinct(others, delta, which)
    program = MarginProgram(experts.shape[1], len(experts), slack, lower, upper)
    return program.solve(experts[which] - others, delta, which)


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
    expert = check_experts(mu_expert)[0]
    rows = expert - _check_policies(mus, expert.size)
    size, cp = _size(rows), convex_solver()
    w, m = cp.Variable(expert.size), cp.Variable()
    wins = (rows / size) @ w >= m
    problem = cp.Problem(cp.Maximize(m), [wins, cp.norm(w, 2) <= 1.0])
    _solve(problem, cp)
    alpha = np.maximum(np.asarray(wins.dual_value, dtype=np.float64), 0.0)
    return _widest(rows, np.asarray(w.value, dtype=np.float64), alpha / alpha.sum(), size)


def _widest(rows: Array, w: Array, alpha: Array, size: float) -> WidestMargin:
    norm, mixture = float(np.linalg.norm(w)), np.asarray(alpha @ rows)
    bound = float(np.linalg.norm(mixture))
    # The optimum is on the sphere, or at zero.
    w = w / norm if norm > 0.5 else np.zeros_like(w)
    leads = np.asarray(rows @ w)
    margin = max(float(leads.min()), 0.0)
    residual = max(
        float(np.linalg.norm(mixture - bound * w)), float(np.abs(alpha * (leads - margin)).max())
    )
    return WidestMargin(w, margin, alpha, bound, residual / size)


class MarginProgram:
    """The program for one expert (or several) and a growing list of policies.

    It is built once, with its data as parameters and room for more policies than there are; rows
    that are not in use say ``zeta >= -1``, which always holds.  Full, it is built anew, twice as
    large.  Constraints are divided by their sizes, so that the solver sees numbers of order one.
    """

    def __init__(
        self,
        n_features: int,
        n_demonstrations: int,
        slack: float | None = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
    ) -> None:
        if slack is not None:
            check_real("slack", slack, 0.0, open_end=True)
        self.n, self.price = n_demonstrations, slack
        self.lower, self.upper = _check_bounds(lower, upper, n_features)
        self.rounds = 0

    @property
    def limit(self) -> float:
        """What the duals of one demonstration sum to at most."""
        return np.inf if self.price is None else self.price / self.n

    def clip(self, weights: Array) -> Array:
        """The weights within the bounds that are closest to ``weights``."""
        return np.clip(weights, self.lower, self.upper)

    def solve(self, rows: Array, margins: Array, which: Index) -> ProgramResult:
        """The optimum over M policies.

        Args:
            rows: ``(M, K)``, the expert's lead over each policy in each feature.
            margins: ``(M,)``.
            which: ``(M,)``, the demonstration of each.

        Raises:
            InfeasibleError: for a hard program that no weights satisfy.
        """
        if self.price is None:
            self._refuse_hopeless(rows, margins, which)
        place, sizes = self._make_room(which), self._sizes(rows)
        least = float(np.abs(self.clip(np.zeros(self.lower.size))).max())
        scale = max(least, float((np.abs(margins) / sizes).max(initial=0.0)))
        if scale == 0.0:  # no margins, and weights of zero give them
            return self._certify(rows, margins, which, np.zeros(self.lower.size), 0.0 * margins)
        dear = 0.0 if self.price is None else self.limit * float(sizes[:1].sum()) / scale
        found = []
        for cost in [dear] if dear <= DEAREST else [0.1 * DEAREST, DEAREST]:
            self._fill(rows, margins, place, sizes, scale, cost)
            if not _solve(self.problem, self.cp):
                self._refuse(rows, margins, which)
            weights = self.clip(np.asarray(self.w.value, dtype=np.float64) * scale)
            duals = np.asarray(self.wins.dual_value, dtype=np.float64)[place] * scale / sizes
            found.append((weights, duals))
        optima = (self._certify(rows, margins, which, *each) for each in _priced(found, dear))
        best = min(optima, key=lambda each: each.kkt_residual)
        _warn_if_inaccurate(best.kkt_residual)
        return best

    def value(self, weights: Array, slacks: Array) -> float:
        """The objective."""
        cost = 0.0 if self.price is None else self.price * float(np.mean(slacks))
        return 0.5 * float(weights @ weights) + cost

    def _sizes(self, rows: Array) -> Array:
        """``(M,)``: what each constraint is divided by; without slack each by its own norm."""
        norms = np.linalg.norm(rows, axis=1)
        if self.price is not None:
            return np.full(len(rows), _size(rows))
        return np.asarray(np.where(norms > 0.0, norms, 1.0))

    def _make_room(self, which: Index) -> Index:
        """The row of each policy: rows go round the demonstrations."""
        order = np.argsort(which, kind="stable")
        counts = np.bincount(which, minlength=self.n)
        turn = np.empty_like(which)
        turn[order] = np.arange(which.size) - np.repeat(np.cumsum(counts) - counts, counts)
        most = max(8, int(counts.max()))
        if most > self.rounds:
            self._build(2 ** int(np.ceil(np.log2(most))))
        return np.asarray(turn * self.n + which)

    def _build(self, rounds: int) -> None:
        self.cp = cp = convex_solver()
        self.rounds = rounds
        k, m = self.lower.size, rounds * self.n
        self.w, self.a, self.b = cp.Variable(k), cp.Parameter((m, k)), cp.Parameter(m)
        self.cost, lead = cp.Parameter(nonneg=True), self.a @ self.w
        objective = cp.sum_squares(self.w) / 2
        if self.price is not None:
            zeta = cp.Variable(self.n, nonneg=True)
            lead = lead + np.tile(np.eye(self.n), (rounds, 1)) @ zeta
            objective = objective + self.cost * cp.sum(zeta)
        self.wins = lead >= self.b
        self.bounds = [cp.Parameter(k), cp.Parameter(k)]
        limits = [
            sign * self.w[finite] <= sign * bound[finite]
            for sign, bound, finite in self._signed_bounds()
            if finite.size
        ]
        self.problem = cp.Problem(cp.Minimize(objective), [self.wins, *limits])

    def _signed_bounds(self) -> list[tuple[float, Any, Index]]:
        sides = zip((-1.0, 1.0), self.bounds, (self.lower, self.upper), strict=True)
        return [(sign, bound, np.flatnonzero(np.isfinite(side))) for sign, bound, side in sides]

    def _fill(
        self, rows: Array, margins: Array, place: Index, sizes: Array, scale: float, cost: float
    ) -> None:
        """The data, with weights in units of ``scale`` and slack in units of the largest margin."""
        a, b = np.zeros(self.a.shape), np.full(self.b.shape, -1.0)
        a[place], b[place] = rows / sizes[:, None], margins / (sizes * scale)
        self.a.value, self.b.value = a, b
        if self.price is not None:
            self.cost.value = cost
        for bound, side in zip(self.bounds, (self.lower, self.upper), strict=True):
            bound.value = np.clip(np.where(np.isfinite(side), side, 0.0) / scale, -DEAREST, DEAREST)

    def _certify(
        self, rows: Array, margins: Array, which: Index, weights: Array, duals: Array
    ) -> ProgramResult:
        leads, slacks = rows @ weights, np.zeros(self.n)
        if self.price is not None:
            short = margins - leads
            short[np.abs(short) <= SAME * (np.abs(margins) + np.abs(leads))] = 0.0
            np.maximum.at(slacks, which, short)
        alpha = self._feasible(np.maximum(duals, 0.0), which)
        objective, bound = self.value(weights, slacks), self._dual(rows, margins, alpha)
        spare = leads + slacks[which] - margins
        left = np.zeros(self.n)
        if self.price is not None:
            left = np.asarray(self.limit - np.bincount(which, alpha, minlength=self.n))
        size, most = _size(rows), float(np.abs(margins).max(initial=0.0)) or 1.0
        # What there is to weights and objective where optimality leaves nothing but rounding.
        unit = min(most / size, self.limit * size)
        pull = float(np.linalg.norm(weights) + alpha @ np.linalg.norm(rows, axis=1))
        slackness = float(np.abs(alpha * spare).sum() + np.abs(left * slacks).sum())
        residual = max(
            float(np.linalg.norm(weights - self.clip(alpha @ rows))) / max(pull, unit),
            float((np.maximum(-spare, 0.0) / (most + np.abs(leads))).max(initial=0.0)),
            slackness / max(objective + float(np.abs(alpha @ margins)), unit * most / size),
        )
        return ProgramResult(weights, slacks, alpha, objective, bound, residual)

    def _feasible(self, alpha: Array, which: Index) -> Array:
        """The duals, scaled down where those of a demonstration sum to more than they may."""
        total = np.bincount(which, alpha, minlength=self.n)
        share = np.ones(self.n)
        np.divide(self.limit, total, out=share, where=total > self.limit)
        return np.asarray(alpha * share[which])

    def _dual(self, rows: Array, margins: Array, alpha: Array) -> float:
        g = alpha @ rows
        w = self.clip(g)
        return float(0.5 * w @ w - w @ g + alpha @ margins)

    def _refuse_hopeless(self, rows: Array, margins: Array, which: Index) -> None:
        scale = _size(rows)
        alike = np.flatnonzero((np.abs(rows).max(axis=1) <= SAME * scale) & (margins > 0.0))
        if alike.size:
            j, i = int(alike[0]), int(which[alike[0]])
            raise InfeasibleError(
                f"policy {j} has the same feature expectations as the expert of demonstration {i}: "
                "no weights can prefer one to the other; leave it out, or pass slack=C",
                {j: 1.0},
                [i],
            )

    def _refuse(self, rows: Array, margins: Array, which: Index) -> None:
        """Say why: the dual of the program that minimises slack is a mixture that can't be beaten.

        Raises:
            InfeasibleError: for a hard program.
            RuntimeError: with slack, where there always is an optimum.
        """
        if self.price is not None:
            raise RuntimeError(
                f"the solver failed on max margin with slack={self.price:g}, feature expectations "
                f"that differ by up to {_size(rows):g} and margins up to "
                f"{np.abs(margins).max(initial=0.0):g}: rescale the features or the loss"
            )
        size, unit = _size(rows), _size(margins[:, None])
        k, selects = rows.shape[1], np.eye(self.n)[which]
        found = optimize.linprog(
            np.r_[np.zeros(k), np.ones(self.n)],
            A_ub=-np.hstack([rows / size, selects]),
            b_ub=-margins / unit,
            bounds=[*zip(self.lower * size / unit, self.upper * size / unit, strict=True)]
            + [(0.0, None)] * self.n,
            method="highs",
        )
        if found.status != 0 or found.fun <= IMPOSSIBLE:
            raise InfeasibleError(
                "the hard program is too close to infeasible to be solved: some policies do all "
                "but as well as the expert; pass slack=C",
                {},
                [],
            )
        alpha = np.maximum(-found.ineqlin.marginals, 0.0)
        bounded = bool(np.isfinite([self.lower, self.upper]).any())
        raise _explained(alpha, which, found.x[k:], bounded)


def _priced(found: list[tuple[Array, Array]], dear: float) -> list[tuple[Array, Array]]:
    """Weights and duals that may be optimal at a price, from those at one or two lower ones.

    Where slack is so dear that its price does not move the weights, duals are linear in it; and
    constant, where no slack is needed.
    """
    weights, duals = found[-1]
    if len(found) == 1:
        return found
    return [found[-1], (weights, duals + (duals - found[0][1]) * (dear / DEAREST - 1.0) / 0.9)]


def _warn_if_inaccurate(residual: float) -> None:
    if residual > INACCURATE:
        warnings.warn(
            f"max margin: the optimality conditions hold to {residual:.1g} only, relative to their "
            "terms: the program is badly scaled",
            RuntimeWarning,
            stacklevel=4,
        )


def _explained(alpha: Array, which: Index, slacks: Array, bounded: bool) -> InfeasibleError:
    used = np.flatnonzero(alpha > 1e-7 * alpha.max())
    shares = {int(j): float(alpha[j] / alpha[used].sum()) for j in used}
    involved = sorted({int(i) for i in which[used]})
    named = " and ".join(f"policy {j} ({share:.1%})" for j, share in shares.items())
    experts = " and ".join(f"demonstration {i}" for i in involved)
    does = (
        "is at least as good under all weights within the bounds"
        if bounded
        else "has the same feature expectations"
    )
    worst = int(np.argmax(slacks))
    return InfeasibleError(
        f"no weights give the expert of {experts} its margin: the mixture of {named} {does}; "
        f"demonstration {worst} is the furthest from optimal; pass slack=C to allow for an expert "
        "who is not",
        shares,
        involved,
    )


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


def _solve(problem: Any, cp: ModuleType) -> bool:
    """Whether an optimum was found; how good it is, the certificate says, not a warning."""
    for accuracy in ACCURACIES:
        settings = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), accuracy)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            try:
                problem.solve(solver="CLARABEL", enforce_dpp=True, **settings)
            except cp.error.SolverError:
                continue
        if problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return True
    return False


def _size(rows: Array) -> float:
    """The largest Euclidean norm of a row; 1 where all are zero."""
    return float(np.linalg.norm(rows, axis=1).max(initial=0.0)) or 1.0


def check_experts(mu_expert: ArrayLike) -> Array:
    """``(N, K)``."""
    array = check_numbers("mu_expert", mu_expert)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"mu_expert has shape {array.shape}; expected (K,) or (N, K), not empty")
    return np.atleast_2d(check_array("mu_expert", array, array.shape))


def check_distinct(mus: Array, margins: Array, which: Index) -> None:
    """Refuse a policy that is listed twice."""
    rows = np.column_stack([mus, margins, which])
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[group.ravel()] != np.arange(len(rows)))
    if again.size:
        j = int(again[0])
        raise ValueError(
            f"mus has policy {int(first[group.ravel()[j]])} again as policy {j}, with the same "
            "feature expectations and margin; expected each once"
        )


def _check_policies(mus: ArrayLike, k: int) -> Array:
    array = check_numbers("mus", mus)
    if array.ndim != 2 or array.shape[0] == 0 or array.shape[1] != k:
        raise ValueError(
            f"mus has shape {array.shape}; expected (M, {k}), as mu_expert has {k} features"
        )
    return check_array("mus", array, array.shape)


def _check_margins(margins: ArrayLike, m: int) -> Array:
    array = check_numbers("margins", margins)
    if array.shape not in ((), (m,)):
        raise ValueError(f"margins has shape {array.shape}; expected ({m},), as mus, or one number")
    array = check_array("margins", np.broadcast_to(array, (m,)), (m,))
    if array.min() < 0.0:
        raise ValueError(f"margins has the entry {array.min():g}; expected numbers >= 0")
    return array


def _check_which(demonstration: ArrayLike | None, m: int, n: int) -> Index:
    if demonstration is None and n == 1:
        return np.zeros(m, dtype=np.int64)
    array = as_array("demonstration", demonstration)
    fits = array.shape == (m,) and array.dtype.kind in "iu"
    if not fits or array.min() < 0 or array.max() >= n:
        raise ValueError(
            f"demonstration is {demonstration!r}; expected a whole number from 0 to {n - 1} for "
            f"each of the {m} policies"
        )
    return array.astype(np.int64)


def _check_bounds(lower: ArrayLike | None, upper: ArrayLike | None, k: int) -> tuple[Array, Array]:
    ends = []
    for name, value, none in (("lower", lower, -np.inf), ("upper", upper, np.inf)):
        array = np.array(check_numbers(name, none if value is None else value))
        if array.shape not in ((), (k,)) or np.isnan(array).any():
            raise ValueError(f"{name} is {value!r}; expected a number, or {k} of them")
        ends.append(np.broadcast_to(array, (k,)).copy())
    if (ends[0] > ends[1]).any() or (ends[0] == np.inf).any() or (ends[1] == -np.inf).any():
        raise ValueError(f"lower is {lower!r} and upper {upper!r}; expected lower <= upper")
    return ends[0], ends[1]
