"""Mean and standard deviation of vectors that come in batches."""

from __future__ import annotations

import numpy as np

from irl_lib.support.checks import Array
from irl_lib.support.files import Arrays

LEAST = 1e-6  # of a spread, beside which a number counts as one that never changes


class RunningUnit:
    """The unit of all vectors so far: what is subtracted from each, and what it is divided by.

    Args:
        values: ``(N, d)``, the first ones.

    Example:
        >>> unit = RunningUnit(np.array([[0.0], [2.0]]))
        >>> unit.update(np.array([[4.0], [6.0]]))
        >>> unit.centre, unit.scale**2
        (array([3.]), array([5.]))
    """

    def __init__(self, values: Array) -> None:
        self.count, self.centre = len(values), values.mean(axis=0)
        self.squares = ((values - self.centre) ** 2).sum(axis=0)

    def update(self, values: Array) -> None:
        """Counts these, too (Chan, Golub, LeVeque 1983)."""
        other = RunningUnit(values)
        total, apart = self.count + other.count, other.centre - self.centre
        self.squares += other.squares + apart**2 * self.count * other.count / total
        self.centre = self.centre + apart * other.count / total
        self.count = total

    @property
    def scale(self) -> Array:
        """``(d,)``: the standard deviations; 1 of a number that never changes."""
        spread = np.sqrt(self.squares / self.count)
        return np.where(spread > LEAST * (1.0 + np.abs(self.centre)), spread, 1.0)

    def arrays(self) -> Arrays:
        """For a checkpoint."""
        return {
            "count": np.array(self.count),
            "centre": self.centre.copy(),
            "squares": self.squares.copy(),
        }

    def restore(self, arrays: Arrays) -> None:
        """To where it was."""
        self.count = int(arrays["count"])
        self.centre, self.squares = arrays["centre"].copy(), arrays["squares"].copy()
