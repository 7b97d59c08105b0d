"""A grid of cells with four moves, slip, walls and goals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from irl_lib.mdp import MDP, Array, check_array
from irl_lib.worlds.base import World

MOVES = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # right, up, left, down, as (x, y)
MOVE_NAMES = ("right", "up", "left", "down")


def gridworld(
    width: int = 8,
    height: int | None = None,
    slip: float = 0.1,
    n_features: int = 6,
    seed: int = 0,
    discount: float = 0.95,
    horizon: int | None = None,
    goals: Sequence[tuple[int, int]] = (),
    walls: Sequence[tuple[int, int]] = (),
    features: Array | None = None,
    weights: Array | None = None,
) -> World:
    r"""A grid in which a move goes astray, in a direction drawn at random, with probability ``slip``.

    State ``y * width + x`` is the cell (x, y); a move against the border or a wall stays.  Cells in
    ``goals`` are absorbing.  By default each cell has ``n_features`` features: soft bumps at random
    places, with normal weights; features and weights of your own can be given.

    Args:
        width: cells from left to right.
        height: cells from bottom to top; default: ``width``.
        slip: the probability that a direction is drawn uniformly instead of the chosen one.
        n_features: K, how many bumps.
        seed: for their places and weights.
        discount: as in :class:`irl_lib.mdp.MDP`.
        horizon: as in :class:`irl_lib.mdp.MDP`.
        goals: (x, y) of absorbing cells; where episodes end there, their features are zero.
        walls: (x, y) of cells that can't be entered.
        features: ``(S, K)`` or ``(S, A, K)``, instead of the bumps.
        weights: ``(K,)``, instead of normal ones.

    Returns:
        World whose start is uniform over the cells that are neither goal nor wall.

    Raises:
        ValueError: for a size below 1, a slip outside [0, 1], or a goal or a wall outside the grid.
    """
    height = width if height is None else height
    if width < 1 or height < 1 or not 0.0 <= slip <= 1.0:
        raise ValueError(
            f"width, height and slip are {width}, {height}, {slip}; expected sizes >= 1, slip in [0, 1]"
        )
    wall, goal = (_cells(n, c, width, height) for n, c in [("walls", walls), ("goals", goals)])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    transitions = _transitions(positions, width, height, slip, wall, goal)
    start = ~(wall | goal)
    mdp = MDP(transitions, start / start.sum(), discount, horizon)
    rng = np.random.default_rng(seed)
    table = _bumps(positions, n_features, rng) if features is None else np.asarray(features, float)
    if table.ndim == 2:
        table = np.repeat(table[:, None], len(MOVES), axis=1)
    table = check_array("features", table, (width * height, len(MOVES), table.shape[-1])).copy()
    if mdp.episodic:
        table[mdp.absorbing] = 0.0
    drawn = rng.normal(size=table.shape[-1]) if weights is None else weights
    vector = check_array("weights", drawn, (table.shape[-1],))
    return World(mdp, table, vector, table @ vector, positions.astype(float))


def _transitions(
    positions: Array, width: int, height: int, slip: float, wall: Array, goal: Array
) -> list[sparse.csr_array]:
    n = len(positions)
    target = np.clip(positions[:, None] + MOVES, 0, [width - 1, height - 1])
    state = np.arange(n)
    landed = target[..., 1] * width + target[..., 0]
    landed = np.where(wall[landed] | goal[:, None], state[:, None], landed)
    moves = [
        sparse.csr_array((np.ones(n), (state, landed[:, a])), shape=(n, n))
        for a in range(len(MOVES))
    ]
    astray = sum(moves[1:], start=moves[0]) * (slip / len(MOVES))
    return [sparse.csr_array((1.0 - slip) * move + astray) for move in moves]


def _bumps(positions: Array, n_features: int, rng: np.random.Generator) -> Array:
    """``(S, K)``: a Gaussian bump for each feature, a quarter of the grid wide."""
    size = positions.max(axis=0) + 1.0
    centres = rng.uniform(0.0, size, size=(n_features, 2))
    distance = np.linalg.norm((positions[:, None] - centres) / size, axis=2)
    return np.asarray(np.exp(-0.5 * (distance / 0.25) ** 2))


def _cells(name: str, cells: Sequence[tuple[int, int]], width: int, height: int) -> Array:
    mask = np.zeros(width * height, dtype=bool)
    for x, y in cells:
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"{name} has the cell {(x, y)}; the grid is {width} by {height}")
        mask[y * width + x] = True
    return mask
