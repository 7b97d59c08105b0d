r"""Maps whose reward no weighted sum of the features can say: objectworld and binaryworld.

Both are squares of cells with five actions, a step in each direction and staying; an action fails
with probability ``slip``, and one of the other four happens instead.

**objectworld** (Levine, Popović and Koltun 2011): some cells hold an object, which has an outer and
an inner colour.  The features of a cell are its distances to the nearest object of each colour.
Its reward is +1 where an object of the first outer colour is less than three cells away and one
of the second less than two, -1 where only the first is, and 0 elsewhere: what one distance means
depends on the other.  All other colours are there to distract.

**binaryworld** (Wulfmeier, Ondrúška and Posner 2015): every cell is blue or red.  The features of a
cell are the colours of the nine cells of its neighbourhood.  Its reward is +1 where exactly
four of them are blue, -1 where exactly five are, and 0 elsewhere: no single feature says anything.

Maps of other seeds are maps never seen, from the same distribution: a reward of the features can
be taken there.

References: Levine, Popović and Koltun (2011), Nonlinear inverse reinforcement learning with
Gaussian processes, NIPS; Wulfmeier, Ondrúška and Posner (2015), Maximum entropy deep inverse
reinforcement learning.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import spatial

from irl_lib.mdp import MDP
from irl_lib.support.checks import Array, check_count, check_flag, check_real, check_seed
from irl_lib.worlds.base import Mask, grid_positions, grid_steps, slippery

MOVES = np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1]])  # stay, right, up, left, down: (x, y)
NEAR_FIRST, NEAR_SECOND = 3.0, 2.0  # cells, of objectworld's reward
BLUE_GOOD, BLUE_BAD = 4, 5  # blue cells of nine, of binaryworld's
SIDES = (2, 10_000)  # cells from side to side, at least and at most
COLORS = (2, 1_000)


class MapWorld(NamedTuple):
    """A world whose reward is no linear function of its features, so that it has no weights.

    State ``y * n + x`` is the cell (x, y).
    """

    mdp: MDP
    features: Array
    """``(S, K)``, of states."""
    reward: Array
    """``(S, A)``, the hidden one; it depends on the state alone."""
    positions: Array
    """``(S, 2)``: x and y of each state, for drawing."""
    feature_names: tuple[str, ...]
    cells: Array
    """``(n, n, C)``, indexed ``[y, x]``: what lies in each cell itself, as zeros and ones."""
    cell_names: tuple[str, ...]

    def __repr__(self) -> str:
        n = len(self.cells)
        good, bad = (int(np.sum(self.reward[:, 0] == sign)) for sign in (1.0, -1.0))
        sizes = f"{n} x {n} cells, {self.features.shape[1]} features"
        return f"MapWorld({sizes}, reward +1 in {good} cells and -1 in {bad})"


def objectworld(
    size: int = 32,
    n_colors: int = 2,
    discrete: bool = False,
    density: float = 0.05,
    slip: float = 0.3,
    seed: int = 0,
    discount: float = 0.9,
    horizon: int | None = None,
) -> MapWorld:
    r"""Objects on a map, of which each has an outer and an inner colour.

    Args:
        size: n, cells from side to side.
        n_colors: C, colours that an object's outer half, and its inner one, can have.
        discrete: features ``(S, 2 C n)`` instead of ``(S, 2 C)``: for each distance, whether it
            is less than 1, ..., less than n cells.
        density: the chance of an object in a cell.
        slip: the chance that another action happens than the chosen one.
        seed: for the objects.
        discount: as in :class:`irl_lib.mdp.MDP`.
        horizon: as in :class:`irl_lib.mdp.MDP`.

    Returns:
        MapWorld.  The distances (Euclidean, in cells; outer colours first) to a colour that no
        object has are :math:`\sqrt 2\, n`, longer than any.  ``cells`` has a layer for each outer
        and then each inner colour, 1 where such an object lies.  The start is uniform.

    Raises:
        ValueError: for a size or a number of colours below 2, or a chance outside [0, 1].

    Example:
        >>> objectworld(16, seed=1)
        MapWorld(16 x 16 cells, 4 features, reward +1 in 14 cells and -1 in 78)
    """
    n, colors = check_count("size", size, *SIDES), check_count("n_colors", n_colors, *COLORS)
    chance, rng = check_real("density", density, 0.0, most=1.0), check_seed(seed)
    check_flag("discrete", discrete)
    mdp, positions = _map(n, slip, discount, horizon)
    filled = rng.random(n * n) < chance
    outer, inner = np.where(filled, rng.integers(colors, size=(2, n * n)), -1)
    layers = np.array([half == c for half in (outer, inner) for c in range(colors)])
    distances = np.stack([_distances(positions, layer, n) for layer in layers], axis=1)
    near, very_near = distances[:, 0] < NEAR_FIRST, distances[:, 1] < NEAR_SECOND
    reward = np.where(near, np.where(very_near, 1.0, -1.0), 0.0)
    colours = tuple(f"{half} {c + 1}" for half in ("outer", "inner") for c in range(colors))
    names = tuple(f"distance to {each}" for each in colours)
    features = distances
    if discrete:
        features = (distances[:, :, None] < np.arange(1, n + 1)).reshape(n * n, -1).astype(float)
        names = tuple(f"{name} < {d}" for name in names for d in range(1, n + 1))
    lying = layers.T.reshape(n, n, -1).astype(float)
    return MapWorld(mdp, features, _table(mdp, reward), positions, names, lying, colours)


def binaryworld(
    size: int = 32,
    slip: float = 0.3,
    seed: int = 0,
    discount: float = 0.9,
    horizon: int | None = None,
) -> MapWorld:
    """A map of blue and red cells; beyond its border nothing is blue.

    Args:
        size: n, cells from side to side.
        slip: the chance that another action happens than the chosen one.
        seed: for the colours, each blue with probability one half.
        discount: as in :class:`irl_lib.mdp.MDP`.
        horizon: as in :class:`irl_lib.mdp.MDP`.

    Returns:
        MapWorld with features ``(S, 9)``: 1 for each blue cell of the neighbourhood, row by row
        from the one below left.  ``cells`` has one layer, 1 where a cell is blue.  The start is
        uniform.

    Raises:
        ValueError: for a size below 2, or a chance outside [0, 1].

    Example:
        >>> binaryworld(16, seed=1)
        MapWorld(16 x 16 cells, 9 features, reward +1 in 62 cells and -1 in 44)
    """
    n, rng = check_count("size", size, *SIDES), check_seed(seed)
    mdp, positions = _map(n, slip, discount, horizon)
    blue = (rng.random((n, n)) < 0.5).astype(float)
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(blue, 1), (3, 3))
    features = seen.reshape(n * n, 9).copy()
    count = features.sum(axis=1)
    reward = (count == BLUE_GOOD).astype(float) - (count == BLUE_BAD)
    names = tuple(f"blue at ({x:+d}, {y:+d})" for y in (-1, 0, 1) for x in (-1, 0, 1))
    return MapWorld(
        mdp, features, _table(mdp, reward), positions, names, blue[..., None], ("blue",)
    )


def _map(n: int, slip: float, discount: float, horizon: int | None) -> tuple[MDP, Array]:
    """The MDP of a square of cells, and the ``(S, 2)`` positions of its states."""
    astray = check_real("slip", slip, 0.0, most=1.0)
    others = astray / (len(MOVES) - 1)
    transitions = slippery(grid_steps(n, n, MOVES), 1.0 - astray - others, others)
    start = np.full(n * n, 1.0 / (n * n))
    return MDP(transitions, start, discount, horizon), grid_positions(n, n).astype(float)


def _distances(positions: Array, layer: Mask, n: int) -> Array:
    """``(S,)``: how far each cell is from the nearest of those marked ``(S,)``."""
    if not layer.any():
        return np.full(len(positions), np.sqrt(2.0) * n)
    return np.asarray(spatial.KDTree(positions[layer]).query(positions)[0])


def _table(mdp: MDP, reward: Array) -> Array:
    """A reward of states ``(S,)`` for each action ``(S, A)``."""
    return np.repeat(reward[:, None], mdp.n_actions, axis=1)
