"""Whether an expert is so extreme that no finite weights are the most likely."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from irl_lib.support.checks import Array
from irl_lib.training import ascent
from irl_lib.training.ascent import Curved, Point

STILL = 1e-6  # nats by which a Newton step moves a reward at an optimum that is found
EXACT = 1e-12  # rounding of a difference of returns, relative to their terms


class Linear(Curved, Protocol):
    """A likelihood of weights."""

    objective: str
    expert: Array
    """``(K,)``: its feature expectations."""

    def largest(self, weights: Array) -> float:
        """The largest reward per step, of either sign."""

    def most(self, weights: Array) -> float:
        """The most that any behaviour collects; infinite where going on for ever pays."""


def at_the_edge(problem: Linear, last: Point) -> str:
    """Why no finite optimum exists, or nothing.

    A finite optimum exists when the expert's features lie inside the set of those that policies
    reach.  At its edge some direction d, the certificate, has d.mu_E >= d.mu of every policy, the
    best for the reward d.phi included.  (Of the likelihood: every action shown is best for it.)
    """

    def is_still(step: Array) -> bool:
        return problem.largest(step) <= STILL

    for direction in filter(np.any, ascent.escapes(problem, last, is_still)):
        unit = direction / np.linalg.norm(direction)
        own = float(unit @ problem.expert)
        terms = max(float(np.abs(unit) @ np.abs(problem.expert)), problem.largest(unit))
        most = problem.most(unit)
        if most - own > EXACT * terms:
            continue
        least = -problem.most(-unit)
        if own - least > EXACT * terms:  # else the direction does not matter: all have the same
            k = int(np.argmax(np.abs(unit)))
            where = f"a direction in which feature {k} counts most"
            return _no_optimum(problem.objective, where, own, least, most)
    return ""


def _no_optimum(objective: str, where: str, own: float, least: float, most: float) -> str:
    why = (
        "the expert's features are at the edge of what any policy reaches, or beyond it (in "
        f"{where}, the expert has {own:.6g} and policies have {least:.6g} to {most:.6g})"
    )
    if objective == "likelihood":
        why = f"a reward in {where} makes every action that was shown the best"
    return (
        f"no finite weights are optimal: {why}; use l2 > 0, more or more varied demonstrations, or "
        "drop the feature that nothing can match"
    )
