"""What a world is: an MDP, features, a true reward, and where to draw each state; and how moves
become transitions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


class World(NamedTuple):
    """A problem: what a learner is given (``mdp``, ``features``) and what is hidden from it."""

    mdp: MDP
    features: Any
    """``(S, A, K)`` dense, or ``(S*A, K)`` CSR."""
    weights: Array
    """``(K,)``, the hidden ones: ``reward`` is ``features @ weights``."""
    reward: Array
    """``(S, A)``, the hidden one."""
    positions: Array
    """``(S, 2)``: x and y of each state, for drawing."""
    feature_names: tuple[str, ...] = ()


def grid_positions(width: int, height: int) -> Index:
    """``(S, 2)``: x and y of each cell of a grid, where (x, y) is state ``y * width + x``."""
    return np.indices((height, width)).reshape(2, -1)[::-1].T


def grid_steps(width: int, height: int, moves: ArrayLike) -> Index:
    """``(S, A)``: where moves ``(A, 2)`` lead on a grid, whose border stops them."""
    after = grid_positions(width, height)[:, None] + np.asarray(moves)
    return np.asarray(np.clip(after, 0, [width - 1, height - 1]) @ [1, width])


def deterministic(targets: Index) -> sparse.csr_array:
    """``(S*A, S)``: the transitions of actions that lead to ``targets``, ``(S, A)``."""
    parts = np.ones(targets.size), targets.ravel(), np.arange(targets.size + 1)
    return sparse.csr_array(parts, shape=(targets.size, len(targets)))


def slippery(targets: Index, chosen: float, each: float) -> list[sparse.csr_array]:
    """A matrix ``(S, S)`` for each action: it leads to its own target with probability ``chosen``,
    and, in addition, to that of ``each`` action of all with that one.
    """
    n = len(targets)
    moves = [sparse.csr_array((np.ones(n), (np.arange(n), to)), shape=(n, n)) for to in targets.T]
    anything = sum(moves[1:], start=moves[0]) * each
    return [sparse.csr_array(chosen * move + anything) for move in moves]
