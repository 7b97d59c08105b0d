"""Drawing by chances that are given as numbers of any scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from irl_lib.support.checks import Array


def draw(shares: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """``(...)``: an index along the last axis of shares ``(..., N)``, which are at least 0 and sum
    to whatever they do; by inverting their cumulative sum at a uniform number.

    Example:
        >>> draw(np.array([[0.0, 2.0], [3.0, 0.0]]), np.random.default_rng(0))
        array([1, 0])
    """
    upto = np.cumsum(shares, axis=-1)
    drawn = rng.random(upto.shape[:-1])[..., None] * upto[..., -1:]
    return np.asarray(np.sum(drawn >= upto, axis=-1), dtype=np.int64)
