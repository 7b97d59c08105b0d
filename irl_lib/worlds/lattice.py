r"""Continuous states as the points of a regular lattice, so that exact planning applies.

Between the points a function is read off by multilinear interpolation, whose coefficients are not
negative and sum to one: so *interpolating the value at the next state* is the same as *landing on
the lattice points around it with these chances*, and a continuous problem becomes an
:class:`irl_lib.mdp.MDP`.  The finer the lattice, the smaller the error; how small is found by
halving it.

Reference: Kushner and Dupuis (2001), Numerical Methods for Stochastic Control Problems in
Continuous Time, chapter 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from irl_lib.mdp import MDP
from irl_lib.support.checks import (
    Array,
    check_array,
    check_flags,
    check_numbers,
    check_rng,
    check_sizes,
    check_type,
)
from irl_lib.support.draws import draw


@dataclass(frozen=True, eq=False)
class Lattice:
    """Evenly spaced points over a box, the first coordinate varying slowest.

    Args:
        low: ``(d,)``, the box's lower ends.
        high: ``(d,)``, its upper ends.
        cells: ``(d,)`` whole numbers: into how many intervals each side is cut.
        periodic: ``(d,)`` booleans: whether the upper end is the lower one again, as of an angle;
            default: nowhere.

    Raises:
        ValueError: naming a bad argument.

    Example:
        >>> line = Lattice([0.0], [1.0], [4])
        >>> line.points.ravel()
        array([0.  , 0.25, 0.5 , 0.75, 1.  ])
        >>> line.interpolation([[0.3]]).toarray().round(2)
        array([[0. , 0.8, 0.2, 0. , 0. ]])
    """

    low: Array
    high: Array
    cells: tuple[int, ...]
    periodic: tuple[bool, ...]

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        cells: Sequence[int],
        periodic: Sequence[bool] | None = None,
    ) -> None:
        bottom, top = check_numbers("low", low), check_numbers("high", high)
        if bottom.ndim != 1 or not bottom.size or bottom.shape != top.shape:
            raise ValueError(
                f"low has shape {bottom.shape} and high {top.shape}; expected (d,) twice, with d "
                "at least 1"
            )
        bottom, top = check_array("low", bottom, top.shape), check_array("high", top, top.shape)
        around = check_flags("periodic", False if periodic is None else periodic, bottom.size)
        counts = check_sizes("cells", cells)
        if (top <= bottom).any():
            raise ValueError(f"high is {top} and low is {bottom}; expected high above low")
        if len(counts) != bottom.size:
            raise ValueError(
                f"cells has {len(counts)} entries; expected {bottom.size}, one for each coordinate"
            )
        fields = {"low": bottom, "high": top, "cells": counts, "periodic": tuple(around.tolist())}
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # the one way to fill a frozen dataclass

    @property
    def shape(self) -> tuple[int, ...]:
        """How many points there are along each coordinate."""
        return tuple(n + (not p) for n, p in zip(self.cells, self.periodic, strict=True))

    @property
    def spacing(self) -> Array:
        """``(d,)``: the distance of neighbours."""
        return np.asarray((self.high - self.low) / self.cells)

    @property
    def points(self) -> Array:
        """``(S, d)``: all of them."""
        where = np.indices(self.shape).reshape(len(self.shape), -1).T
        return np.asarray(self.low + where * self.spacing)

    def interpolation(self, at: ArrayLike) -> sparse.csr_array:
        """``(N, S)``: the matrix that takes values at the points to values at ``at``, ``(N, d)``.

        Rows are distributions; beyond the box the nearest value inside is taken.

        Raises:
            ValueError: for another shape, or an entry that is not finite.
        """
        return self._around("at", at)

    def _around(self, name: str, at: ArrayLike) -> sparse.csr_array:
        where = check_numbers(name, at)
        where = check_array(name, where, (*where.shape[:1], len(self.shape)))
        scaled = (where - self.low) / self.spacing
        floor, share = np.empty(scaled.shape, dtype=np.int64), np.empty(scaled.shape)
        for i, (n, around) in enumerate(zip(self.cells, self.periodic, strict=True)):
            along = scaled[:, i] % n if around else np.clip(scaled[:, i], 0.0, n)
            floor[:, i] = np.minimum(along.astype(np.int64), n - 1)
            share[:, i] = along - floor[:, i]
        return self._corners(floor, share)

    def _corners(self, floor: np.ndarray, share: Array) -> sparse.csr_array:
        """The corners of the cells ``(N, d)``, each with the product of its shares."""
        columns, chances = [], []
        for corner in itertools.product((0, 1), repeat=len(self.shape)):
            index = (floor + corner) % self.shape
            columns.append(np.ravel_multi_index(tuple(index.T), self.shape))
            chances.append(np.where(corner, share, 1.0 - share).prod(axis=1))
        n, k = len(floor), len(columns)
        parts = np.stack(chances, axis=1).ravel(), np.stack(columns, axis=1).ravel()
        matrix = sparse.csr_array(
            (*parts, np.arange(0, n * k + 1, k)), shape=(n, int(np.prod(self.shape)))
        )
        matrix.eliminate_zeros()
        return matrix

    def mdp(
        self, next_states: ArrayLike, start: ArrayLike, horizon: int | None, discount: float = 1.0
    ) -> MDP:
        """The MDP on the points, in which landing between them is chance.

        Args:
            next_states: ``(S, A, d)``: where each action leads from each point.
            start: ``(N, d)``: first states, all equally likely.
            horizon: as in :class:`irl_lib.mdp.MDP`.
            discount: likewise.

        Raises:
            ValueError: for a bad argument.
        """
        size, d = int(np.prod(self.shape)), len(self.shape)
        targets = check_numbers("next_states", next_states)
        targets = check_array("next_states", targets, targets.shape)
        if targets.ndim != 3 or targets.shape[::2] != (size, d):
            raise ValueError(f"next_states has shape {targets.shape}; expected ({size}, A, {d})")
        starts = self._around("start", start)
        if not starts.shape[0]:
            raise ValueError("start has no entries; expected at least one state")
        first = np.asarray(starts.mean(axis=0)).ravel()
        transitions = self.interpolation(targets.reshape(-1, d))
        return MDP(transitions, first, discount, horizon)


class LatticePolicy:
    """Soft-optimal actions between the points: the values of actions are interpolated.

    It is called as ``policy(observation, rng)``, for :func:`irl_lib.rollouts.rollout`, and returns
    a uniform draw from the cell of actions that it has drawn.  It depends on the time, which
    :meth:`start` sets to zero.

    Args:
        lattice: of the states.
        q: ``(T, S, A)``, soft action values at temperature 1, as ``Plan.q``.
        actions: ``(A, m)``, the middles of cells.
        width: ``(m,)``, the cells' sides.
        state: makes the state ``(d,)`` from an observation; default: it is that.

    Raises:
        ValueError: for shapes that don't fit.
    """

    def __init__(
        self,
        lattice: Lattice,
        q: ArrayLike,
        actions: ArrayLike,
        width: ArrayLike,
        state: Callable[[Array], ArrayLike] | None = None,
    ) -> None:
        middles = check_numbers("actions", actions)
        middles = check_array("actions", middles, middles.shape)
        if state is not None and not callable(state):
            raise ValueError(f"state is {state!r}; expected a function")
        values = check_numbers("q", q)
        size = int(np.prod(check_type("lattice", lattice, Lattice).shape))
        if middles.ndim != 2 or values.ndim != 3 or values.shape[1:] != (size, len(middles)):
            raise ValueError(
                f"q has shape {values.shape} and actions {middles.shape}; expected (T, {size}, A) "
                "and (A, m)"
            )
        if np.isnan(values).any() or (values == np.inf).any():
            raise ValueError("q has NaN or infinity; expected numbers or minus infinity")
        self.lattice, self.q, self.actions, self.state = lattice, values, middles, state
        self.time = 0
        self.half = 0.5 * check_array("width", width, middles.shape[1:])
        if self.half.min(initial=0.0) < 0.0:
            raise ValueError(f"width is {width!r}; expected numbers >= 0")

    def start(self) -> None:
        """An episode begins."""
        self.time = 0

    def __call__(self, observation: Array, rng: np.random.Generator) -> Array:
        """One action ``(m,)``.

        Raises:
            ValueError: when all steps of the horizon have been taken.
        """
        if self.time >= len(self.q):
            raise ValueError(
                f"the policy has a horizon of {len(self.q)} steps, and all are taken; call start() "
                "before each episode"
            )
        check_rng(rng)
        state = observation if self.state is None else self.state(observation)
        state = check_array("observation", state, self.lattice.low.shape)
        row = self.lattice.interpolation(state[None])
        values = row.data @ self.q[self.time][row.indices]
        self.time += 1
        drawn = int(draw(np.exp(values - values.max()), rng))
        return np.asarray(self.actions[drawn] + rng.uniform(-self.half, self.half))
