r"""Ascents of a smooth objective, concave or not, that is minus infinity beyond some edge.

An :class:`Objective` has a value and a gradient wherever it is finite; a :class:`Curved` one also
multiplies its curvature, :math:`H = -\nabla^2 f`, with a vector.  A :class:`Run` says when to stop
and keeps the history; what climbs are

- :func:`l_bfgs`: steps :math:`B \nabla f`, where B is guessed from the last gradients;
- :func:`newton_cg`: steps :math:`H^{-1} \nabla f`, by conjugate gradients;
- :func:`gradient_ascent`: steps :math:`\eta \nabla f`.

:func:`escapes` are the directions in which a climb may run off to infinity.

References: Nocedal and Wright (2006), Numerical optimization, chapters 3, 5 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import optimize, sparse

from irl_lib.support.checks import Array
from irl_lib.support.progress import bar

MEMORY = 20  # pairs of steps and gradients from which L-BFGS guesses the curvature
CG_ITERATIONS = 200
FLAT = 1e-14  # curvature, relative to its scale, that is none
ROUNDING = 1e-12  # of a value, relative to the terms that it is a sum of
SUFFICIENT = 1e-4  # of the gain that the slope promises, from which on a step is taken
HALVINGS = 35  # of a step, until rounding hides what it gains
LONGEST_WAY = 40  # Newton steps within which a gradient at the edge falls from one to rounding


class Point(NamedTuple):
    """An objective at some parameters."""

    x: Array
    """``(n,)``: the parameters."""
    value: float
    gradient: Array
    """``(n,)``."""
    terms: float = 1.0
    """The size of what the value is a sum of, to which its rounding is relative."""
    more: Any = None
    """What the objective computed on the way."""

    @property
    def norm(self) -> float:
        """Euclidean norm of the gradient."""
        return float(np.linalg.norm(self.gradient))


class Objective(Protocol):
    """What is climbed."""

    def evaluate(self, x: Array) -> Point | None:
        """Value and gradient; None where the value is minus infinity."""


class Curved(Objective, Protocol):
    """What is climbed by its curvature."""

    def curvature(self, point: Point, direction: Array) -> Array:
        r""":math:`-\nabla^2 f(x)\, d`."""

    def scale(self, point: Point) -> Array:
        """``(n,)``: about the diagonal of the curvature."""


class Run:
    """One ascent: its history, its bar, and when it is over.

    Args:
        name: of the method, for the bar.
        tolerance: on the norm of the gradient.
        max_iterations: steps at most.
        progress: whether to show a bar.
        runs_off: tells whether a point is on its way to infinity.
    """

    def __init__(
        self,
        name: str,
        tolerance: float,
        max_iterations: int,
        progress: bool = False,
        runs_off: Callable[[Point], bool] = lambda point: False,
    ) -> None:
        self.tolerance, self.max_iterations, self.runs_off = tolerance, max_iterations, runs_off
        self.bar = bar(name, "iterations", shown=progress)
        self.rows: list[tuple[float, float, float]] = []
        self.lost = False

    def __enter__(self) -> Run:
        self.bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.__exit__(*error)

    def note(self, point: Point) -> None:
        """One entry of the history; the first is the start."""
        self.rows.append((point.value, point.norm, float(np.linalg.norm(point.x))))
        self.bar.update()
        self.bar.set_postfix(objective=f"{point.value:.6g}", gradient=f"{point.norm:.2g}")
        self.lost = self.runs_off(point)

    @property
    def left(self) -> int:
        """Steps that may still be made."""
        return self.max_iterations + 1 - len(self.rows)

    @property
    def over(self) -> bool:
        """Whether the last point meets the tolerance, or is the last one for another reason."""
        return self.lost or self.left < 1 or self.rows[-1][1] <= self.tolerance

    @property
    def history(self) -> dict[str, Array]:
        """``objective``, ``gradient_norm`` and ``weight_norm``, from the start on."""
        table = np.array(self.rows).reshape(-1, 3)
        names = ("objective", "gradient_norm", "weight_norm")
        return {name: table[:, i].copy() for i, name in enumerate(names)}


def gradient_ascent(run: Run, objective: Objective, start: Point, learning_rate: float) -> Point:
    """Steps along the gradient, from a start that is noted; the last point."""
    point = start
    while not run.over:
        found = objective.evaluate(point.x + learning_rate * point.gradient)
        if found is None:  # too long a step, beyond the edge
            break
        point = found
        run.note(point)
    return point


def l_bfgs(run: Run, objective: Objective, start: Point, basis: Any = None) -> Point:
    """The quasi-Newton method with a limited memory, from a start that is noted; the last point.

    Args:
        run: what it notes its iterations in, and is stopped by.
        objective: what is climbed.
        start: from where.
        basis: ``(n, n)``: it climbs in variables u of ``start.x + basis @ u``, which is quick where
            the curvature is about the same along all of them; default: the unit matrix.
    """
    if run.over:
        return start
    latest = accepted = start
    basis = sparse.eye_array(start.x.size, format="csr") if basis is None else basis

    def negative(u: Array) -> tuple[float, Array]:
        nonlocal latest
        x = start.x + basis @ u
        found = start if np.array_equal(x, start.x) else objective.evaluate(x)
        if found is None:
            # No finite value here: a hill as steep as the slope up to it halves the step.
            gain = float(accepted.gradient @ (x - accepted.x))
            return abs(gain) - accepted.value, basis.T @ accepted.gradient
        latest = found
        return -found.value, -(basis.T @ found.gradient)

    def step(u: Array) -> None:
        nonlocal accepted
        x = start.x + basis @ u
        found = latest if np.array_equal(x, latest.x) else objective.evaluate(x)
        if found is None:
            raise StopIteration  # which is how a callback ends scipy's iteration
        accepted = found
        run.note(accepted)
        if run.over:
            raise StopIteration

    limits = {"maxiter": run.left, "maxfun": 20 * run.left, "maxcor": MEMORY}
    optimize.minimize(
        negative,
        np.zeros_like(start.x),
        jac=True,
        method="L-BFGS-B",
        callback=step,
        options={**limits, "ftol": 0.0, "gtol": 0.0},
    )
    return accepted


def newton_cg(run: Run, objective: Curved, start: Point, most: int | None = None) -> Point:
    """Newton's method with a line search, from a start that is noted; the last point.

    Args:
        run: what it notes its iterations in, and is stopped by.
        objective: what is climbed.
        start: from where.
        most: steps at most; default: what the run allows.
    """
    point = start
    for _ in range(run.left if most is None else min(most, run.left)):
        if run.over:
            break
        step = newton_step(objective, point, min(0.5, point.norm**0.5))
        better = line_search(objective, point, step)
        if better is None:
            break
        point = better
        run.note(point)
    return point


def newton_step(objective: Curved, point: Point, rtol: float) -> Array:
    """``H step = gradient``, by conjugate gradients, preconditioned by the scale of H.

    They stop where the curvature ends, which is where the optimum is at infinity; scipy's would
    divide by zero.
    """
    scale = objective.scale(point)
    inverse = 1.0 / np.maximum(scale, FLAT * float(scale.max()) or 1.0)
    step, residual = np.zeros_like(point.gradient), point.gradient.copy()
    direction = inverse * residual
    rho = float(residual @ direction)
    for _ in range(CG_ITERATIONS):
        curved = objective.curvature(point, direction)
        bend = float(direction @ curved)
        if bend <= FLAT * float(direction @ (scale * direction)):
            return step if step.any() else direction
        step += (rho / bend) * direction
        residual -= (rho / bend) * curved
        if np.linalg.norm(residual) <= rtol * point.norm:
            break
        rho, previous = float(residual @ (inverse * residual)), rho
        direction = inverse * residual + (rho / previous) * direction
    return step


def line_search(objective: Objective, point: Point, step: Array) -> Point | None:
    """The first of the halved steps that gains enough; None when rounding hides all gains."""
    slope = float(point.gradient @ step)
    noise = ROUNDING * max(1.0, abs(point.value), point.terms)
    for halvings in range(HALVINGS):
        scale = 0.5**halvings
        found = objective.evaluate(point.x + scale * step)
        if found is not None and found.value >= point.value + SUFFICIENT * scale * slope - noise:
            return found
    return None


def escapes(objective: Curved, point: Point, is_still: Callable[[Array], bool]) -> Iterator[Array]:
    """Directions that may lead to infinity: where the climb went, would go, and goes from here on.

    At the edge, gradient and curvature vanish at one rate, so that a Newton step stays as long as
    it was for as long as the gradient is more than rounding; and it points ever more exactly to
    where the optimum is at infinity.  Towards a finite one the steps soon come to nothing, which
    ``is_still`` tells of a step.
    """
    yield point.x
    yield point.gradient
    for _ in range(LONGEST_WAY):
        step = newton_step(objective, point, 1e-3)
        if is_still(step):
            return
        yield step
        there = objective.evaluate(point.x + step)
        if there is None or there.norm > 0.9 * point.norm:
            return
        point = there
