"""A grid of cells with four moves, slip, walls and goals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.mdp import MDP, feature_matrix
from irl_lib.support.checks import Array, as_array, check_array, check_count, check_real, check_seed
from irl_lib.worlds.base import Index, Mask, World, grid_positions, grid_steps, slippery

MOVES = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # right, up, left, down, as (x, y)
MOVE_NAMES = ("right", "up", "left", "down")
MOST_CELLS = 100_000_000


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
    features: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> World:
    r"""A grid in which a move goes in a direction drawn at random with probability ``slip``.

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
        ValueError: for a size below 1, a slip outside [0, 1], a goal or a wall outside the grid, or
            no cell left to start from.
    """
    height = width if height is None else height
    width, height = check_count("width", width), check_count("height", height)
    if width * height > MOST_CELLS:
        raise ValueError(
            f"width and height are {width} and {height}; expected at most {MOST_CELLS:,} cells"
        )
    slip = check_real("slip", slip, 0.0, most=1.0)
    n_features = check_count("n_features", n_features)
    wall, goal = (_cells(n, c, width, height) for n, c in [("walls", walls), ("goals", goals)])
    start = ~(wall | goal)
    if not start.any():
        raise ValueError("walls and goals cover every cell; expected one to start from")
    positions, landed = grid_positions(width, height), grid_steps(width, height, MOVES)
    stays = wall[landed] | goal[:, None]
    landed = np.where(stays, np.arange(width * height)[:, None], landed)
    transitions = slippery(landed, 1.0 - slip, slip / len(MOVES))
    mdp = MDP(transitions, start / start.sum(), discount, horizon)
    rng = check_seed(seed)
    table = _bumps(positions, n_features, rng) if features is None else features
    table, vector = _linear(mdp, table, weights, rng)
    return World(mdp, table, vector, table @ vector, positions.astype(float))


def _linear(
    mdp: MDP, features: ArrayLike, weights: ArrayLike | None, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Features ``(S, A, K)``, zero where episodes end, and weights ``(K,)``, or normal ones."""
    table = np.array(feature_matrix(mdp, features)).reshape(mdp.n_states, mdp.n_actions, -1)
    if mdp.episodic:
        table[mdp.absorbing] = 0.0
    k = table.shape[-1]
    return table, check_array("weights", rng.normal(size=k) if weights is None else weights, (k,))


def _bumps(positions: Index, n_features: int, rng: np.random.Generator) -> Array:
    """``(S, K)``: a Gaussian bump for each feature, a quarter of the grid wide."""
    size = positions.max(axis=0) + 1.0
    centres = rng.uniform(0.0, size, size=(n_features, 2))
    distance: Array = np.linalg.norm((positions[:, None] - centres) / size, axis=2)
    return np.asarray(np.exp(-0.5 * (distance / 0.25) ** 2))


def _cells(name: str, given: Sequence[tuple[int, int]], width: int, height: int) -> Mask:
    mask = np.zeros(width * height, dtype=bool)
    where = as_array(name, list(given) if isinstance(given, set | frozenset) else given)
    if where.shape == (0,):
        return mask
    if where.ndim != 2 or where.shape[1] != 2 or where.dtype.kind not in "iu":
        raise ValueError(f"{name} is {given!r}; expected pairs (x, y) of whole numbers")
    for x, y in where.tolist():
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"{name} has the cell {(x, y)}; the grid is {width} by {height}")
        mask[y * width + x] = True
    return mask
