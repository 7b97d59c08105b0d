"""Drawing by shares: their proportions, any scale, and never where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from irl_lib.support.draws import draw


def test_draws_have_the_proportions_of_the_shares() -> None:
    shares = np.tile([0.0, 3.0, 0.0, 1.0, 4.0, 0.0], (20_000, 1))
    drawn = np.bincount(draw(shares, np.random.default_rng(0)), minlength=6)
    assert drawn[[0, 2, 5]].tolist() == [0, 0, 0]
    error = (drawn - 2_500 * shares[0]) / np.sqrt(20_000)
    assert np.abs(error).max() < 4.5 * 0.5  # standard deviations of a share of one half


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_one_uniform_number_decides_a_row_at_any_scale(scale: float) -> None:
    shares = np.random.default_rng(1).random((4, 5, 3))
    drawn = draw(scale * shares, np.random.default_rng(2))
    uniform = np.random.default_rng(2).random((4, 5))
    upto = shares.cumsum(axis=-1) / shares.sum(axis=-1, keepdims=True)
    np.testing.assert_array_equal(drawn, (uniform[..., None] >= upto).sum(axis=-1))
    assert draw(scale * shares[0, 0], np.random.default_rng(2)).shape == ()
