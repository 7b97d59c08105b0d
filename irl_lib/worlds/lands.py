r"""Maps for planning: a landscape, what crossing it amounts to, and travellers who mind it.

A map is a square of cells, each with an elevation, a land cover, vegetation, moisture, and perhaps
a road or a trail.  A *state* is a cell, an *action* one of eight moves, and a move's *features*
:math:`\phi(s, a) \ge 0` say how much of everything it crosses: half of it lies in either cell, and
a diagonal is :math:`\sqrt 2` cells long.  Rewards are costs, :math:`r = w^\top \phi` with
:math:`w \le 0`, and an episode ends at the goal: planning is a shortest-path problem, which
:func:`irl_lib.planning.value_iteration` solves by Dijkstra's algorithm.

Maps of other seeds are maps never seen, from the same distribution.

Reference: Ratliff, Bagnell and Zinkevich (2006), Maximum margin planning, ICML, who learned such
costs from routes drawn on satellite images.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from irl_lib.mdp import MDP
from irl_lib.support.checks import (
    Array,
    WrongTypeError,
    check_array,
    check_count,
    check_real,
    check_rng,
    check_seed,
)
from irl_lib.worlds.base import Index, Mask, World, deterministic, grid_positions

LARGEST = 10_000  # cells from side to side: 250 kilometres
SMALLEST = 16  # cells from side to side, below which there is no room for a landscape
CELL = 25.0  # metres
MOVES = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])  # x, y
LENGTHS = np.linalg.norm(MOVES, axis=1)  # in cells
COVERS = ("grass", "scrub", "forest", "swamp", "rock", "water")
NAMES = ("hiker", "vehicle", "scout", "herder")
# The features, and what each of these travellers minds, per cell; uphill and downhill per ten
# metres.
MINDED = {
    "length": (1.0, 1.0, 1.0, 1.0),
    "scrub": (1.0, 0.0, 0.0, 0.0),
    "forest": (0.0, 4.0, 0.0, 3.0),
    "swamp": (6.0, 9.0, 1.0, 0.0),
    "rock": (0.5, 5.0, 0.0, 4.0),
    "water": (8.0, 9.0, 4.0, 6.0),
    "off road": (0.0, 4.0, 0.0, 0.0),
    "off track": (0.0, 2.0, 0.0, 0.0),
    "near road": (1.5, 0.0, 6.0, 1.0),
    "far from road": (0.0, 0.0, 0.0, 0.0),
    "near water": (0.0, 0.0, 0.0, 0.0),
    "far from water": (1.0, 0.0, 0.0, 4.0),
    "near settlement": (0.0, 0.0, 6.0, 0.0),
    "dense growth": (0.0, 0.0, 0.0, 2.0),
    "open ground": (0.0, 0.0, 4.0, 0.0),
    "soft ground": (0.0, 0.0, 0.0, 0.0),
    "high ground": (0.0, 0.0, 2.0, 0.0),
    "ridge": (0.0, 0.0, 3.0, 0.0),
    "valley": (0.0, 0.0, 0.0, 0.0),
    "uphill": (1.0, 0.0, 0.0, 2.0),
    "downhill": (0.0, 0.0, 0.0, 1.0),
    "steep": (1.0, 4.0, 0.0, 0.0),
    "slanting": (0.0, 3.0, 0.0, 0.0),
}
FEATURES = tuple(MINDED)
TRAVELLERS: Mapping[str, Mapping[str, float]] = {
    name: {feature: costs[i] for feature, costs in MINDED.items() if costs[i]}
    for i, name in enumerate(NAMES)
}


@dataclass(frozen=True, eq=False)
class Terrain:
    """A map of n by n cells; layers are indexed ``[y, x]``, and cell (x, y) is state y * n + x.

    Made by :func:`terrain`.
    """

    elevation: Array
    """``(n, n)``, in metres."""
    cover: Index
    """``(n, n)``: an index into ``COVERS``."""
    vegetation: Array
    """``(n, n)``: how dense it is, from 0 to 1."""
    moisture: Array
    """``(n, n)``, from 0 to 1."""
    road: Mask
    """``(n, n)``: where roads are, bridges included."""
    trail: Mask
    """``(n, n)``: where trails are."""
    settlements: Index
    """``(M,)``, the states that roads connect."""
    blocked: Mask
    """``(n, n)``: deep water and cliffs, which nobody enters."""

    feature_names = FEATURES

    def __repr__(self) -> str:
        n, closed = len(self.elevation), np.mean(self.blocked)
        roads = np.count_nonzero(self.road)
        return f"Terrain({n} x {n} cells, {roads} of them road, {closed:.0%} blocked)"

    @property
    def size(self) -> int:
        """n, cells from side to side."""
        return len(self.elevation)

    @cached_property
    def positions(self) -> Array:
        """``(S, 2)``: x and y of each state, in cells."""
        return grid_positions(self.size, self.size).astype(float)

    @cached_property
    def targets(self) -> Index:
        """``(S, A)``: where each move leads; a move off the map or into a blocked cell stays.

        From a blocked cell, where nobody ever is, every move leads somewhere.
        """
        return _targets(self.blocked)

    def features(self) -> Array:
        """``(S, A, K)``: how much of everything each move crosses.

        Lengths in cells; uphill and downhill in tens of metres; the others are lengths, weighted
        by how much a cell has of the property, from 0 to 1.  What can't be entered costs a step.
        """
        layers = np.stack([np.ravel(layer) for layer in _layers(self)], axis=1)
        crossed = 0.5 * (layers[:, None] + layers[self.targets]) * LENGTHS[:, None]
        return np.concatenate([crossed, _slopes(self.elevation, self.targets)], axis=2)

    def task(self, start: int, goal: int, weights: ArrayLike) -> World:
        """Getting from one cell to another, as an episodic MDP of the whole map.

        Args:
            start: the state where it begins.
            goal: the state where it ends.
            weights: ``(K,)``, the traveller's; all at most 0, and not all 0.

        Raises:
            ValueError: for a start or a goal that is no cell or a blocked one, the same cell
                twice, no way from one to the other, or a weight above 0.
        """
        w = check_array("weights", weights, (len(FEATURES),))
        if w.max() > 0.0:
            worst = FEATURES[int(w.argmax())]
            raise ValueError(f"weights is {w.max():g} for {worst!r}; expected costs, at most 0")
        targets = self._ways_to(start, goal)
        phi = self.features()
        phi[goal] = 0.0
        mdp = MDP(deterministic(targets), np.arange(len(targets)) == start)
        return World(mdp, phi, w, phi @ w, self.positions, FEATURES)

    def draw_ends(
        self, rng: np.random.Generator, n: int = 1, least: float = 0.6
    ) -> list[tuple[int, int]]:
        """Starts and goals at random, at least this share of the map's side apart.

        Args:
            rng: where the randomness comes from.
            n: how many pairs.
            least: distance in units of the side, below 1.

        Raises:
            ValueError: for a bad argument, or a map without cells so far apart.
        """
        check_rng(rng)
        if check_real("least", least, 0.0) >= 1.0:
            raise ValueError(f"least is {least!r}; expected a share of the side below 1")
        pairs = rng.choice(np.flatnonzero(~self.blocked), (1_000 * check_count("n", n), 2))
        apart = np.linalg.norm(np.diff(self.positions[pairs], axis=1)[:, 0], axis=1)
        far = pairs[(apart >= least * self.size) & (apart > 0.0)][:n]
        if len(far) < n:
            raise ValueError(f"least is {least!r}, but hardly any free cells are so far apart")
        return [(int(start), int(goal)) for start, goal in far]

    def _ways_to(self, start: int, goal: int) -> Index:
        """``(S, A)``: the targets for a task; cells from which the goal can't be reached are closed
        like blocked ones.
        """
        for name, state in (("start", start), ("goal", goal)):
            _check_cell(name, state, self)
        if start == goal:
            raise ValueError(f"start and goal are both {self._cell(goal)}; expected two cells")
        label = _components(_targets(self.blocked))
        if label[start] != label[goal]:
            raise ValueError(
                f"no path leads from the start {self._cell(start)} to the goal {self._cell(goal)}: "
                "blocked cells lie between"
            )
        reached = (label == label[goal]) & ~self.blocked.ravel()
        targets = _targets(~reached.reshape(self.blocked.shape))
        targets[goal] = goal
        return targets

    def _cell(self, state: int) -> str:
        return f"cell (x={state % self.size}, y={state // self.size})"


def terrain(size: int = 128, seed: int = 0) -> Terrain:
    """A landscape: noise for elevation, moisture and vegetation; lakes, swamps, forests, rocks,
    settlements, and roads between them where building is cheap.

    All cells that are not blocked can be reached from each other.

    Args:
        size: cells from side to side, of 25 metres.
        seed: for everything.

    Raises:
        ValueError: for a size below 16.

    Example:
        >>> from irl_lib import planning
        >>> land = terrain(64, seed=1)
        >>> start, goal = land.draw_ends(np.random.default_rng(0))[0]
        >>> world = land.task(start, goal, travel_costs({"length": 1.0}))
        >>> plan = planning.value_iteration(world.mdp, world.reward)
        >>> round(float(world.mdp.initial @ plan.v), 1)
        -63.4
    """
    if check_count("size", size, most=LARGEST) < SMALLEST:
        raise ValueError(f"size is {size}; expected at least {SMALLEST} cells")
    rng = check_seed(seed)
    height = _ranks(_noise(size, rng, 2.0))
    # A smaller map is a smaller piece of land: as steep, and less high.
    elevation = size * (2.4 * height + 0.06 * _noise(size, rng, 1.3))
    moisture = _ranks(_noise(size, rng, 1.6) - 1.8 * height)
    vegetation = _ranks(_noise(size, rng, 1.1) + 1.5 * moisture)
    depth = rng.uniform(0.06, 0.12) - _ranks(elevation)  # of water, in ranks
    cover = _covers(elevation, moisture, vegetation, depth)
    cliff = np.hypot(*np.gradient(elevation, CELL)) > 1.0
    settlements = _settlements(rng, (depth > -0.02) | cliff, max(3, size // 20))
    road, trail = _ways(rng, elevation, cover, settlements)
    blocked = ((depth > 0.02) | cliff) & ~road & ~trail
    label = _components(_targets(blocked)).reshape(blocked.shape)
    blocked |= label != label.ravel()[settlements[0]]  # an island is no place to start from
    return Terrain(elevation, cover, vegetation, moisture, road, trail, settlements, blocked)


def travel_costs(minded: Mapping[str, float]) -> Array:
    """The weights ``(K,)`` of somebody who minds these features: minus the costs, else zero.

    Raises:
        ValueError: for a name that is no feature, or a cost below 0.
    """
    if not isinstance(minded, Mapping):
        raise WrongTypeError(f"minded is {minded!r}; expected a dict of costs by name")
    unknown = set(minded) - set(FEATURES)
    if unknown:
        raise ValueError(
            f"minded has {', '.join(map(repr, sorted(unknown)))}; expected some of "
            f"{', '.join(FEATURES)}"
        )
    checked = {name: check_real(f"minded[{name!r}]", cost, 0.0) for name, cost in minded.items()}
    return -np.array([checked.get(name, 0.0) for name in FEATURES])


def traveller(name: str) -> Array:
    """The weights ``(K,)`` of one of ``TRAVELLERS``.

    Raises:
        ValueError: when there is nobody of that name.
    """
    if not isinstance(name, str) or name not in TRAVELLERS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(TRAVELLERS)}")
    return travel_costs(TRAVELLERS[name])


# --- moves --------------------------------------------------------------------------------------


def _targets(blocked: Mask) -> Index:
    """``(S, A)``: where each move leads."""
    size = len(blocked)
    after = grid_positions(size, size)[:, None] + MOVES
    inside = ((after >= 0) & (after < size)).all(axis=2)
    target = np.clip(after, 0, size - 1) @ [1, size]
    closed = blocked.ravel()
    open_to = inside & (~closed[target] | closed[:, None])
    return np.where(open_to, target, np.arange(size * size)[:, None])


def _components(targets: Index) -> Index:
    """``(S,)``: a number for each set of cells that can be reached from each other."""
    links = _links(targets, np.ones(targets.shape))
    label: Index = csgraph.connected_components(links, connection="strong")[1]
    return label


def _links(targets: Index, values: Array) -> sparse.csr_array:
    """``(S, S)``: a value for each move, from cell to cell."""
    n, slots = targets.shape
    where = targets.ravel(), slots * np.arange(n + 1)
    # Before 1.15, scipy's Dijkstra takes 32-bit indices only.
    parts = (values.ravel(), *(index.astype(np.int32) for index in where))
    return sparse.csr_array(parts, shape=(n, n))


def _check_cell(name: str, state: Any, land: Terrain) -> None:
    n = land.size**2
    whole = isinstance(state, numbers.Integral) and not isinstance(state, bool)
    if not whole or not 0 <= state < n:
        raise ValueError(f"{name} is {state!r}; expected a state, 0 to {n - 1}")
    if land.blocked.ravel()[state]:
        what = COVERS[int(land.cover.ravel()[state])]
        raise ValueError(
            f"{name} is {land._cell(int(state))}, which is blocked ({what}); expected a free cell"
        )


# --- features -----------------------------------------------------------------------------------


def _layers(land: Terrain) -> list[Any]:
    """``(n, n)`` each: how much a cell has of each feature that has no direction."""
    settled = np.zeros_like(land.road)
    settled.flat[land.settlements] = True
    road, water = _distance(land.road), _distance(land.cover == COVERS.index("water"))
    bend = _bend(land.elevation)
    ground = land.cover * ~land.road  # a road is a road, whatever it leads through
    return [
        np.ones_like(land.elevation),
        *(ground == c for c in range(1, len(COVERS))),
        ~land.road,
        ~(land.road | land.trail),
        np.exp(-road / 4.0),
        np.minimum(road / 25.0, 1.0),
        np.exp(-water / 4.0),
        np.minimum(water / 25.0, 1.0),
        np.exp(-_distance(settled) / 10.0),
        np.maximum(2.0 * land.vegetation - 1.0, 0.0),
        np.maximum(1.0 - 2.0 * land.vegetation, 0.0),
        land.moisture,
        _ranks(land.elevation),
        np.maximum(-bend, 0.0),
        np.maximum(bend, 0.0),
    ]


def _slopes(elevation: Array, targets: Index) -> Array:
    """``(S, A, 4)``: uphill and downhill in tens of metres, steepness along a move and across."""
    height = elevation.ravel()
    climb = height[targets] - height[:, None]
    slope = np.abs(climb) / (LENGTHS * CELL)
    dy, dx = (g.ravel() for g in np.gradient(elevation, CELL))
    direction = MOVES / LENGTHS[:, None]
    across = np.abs(dx[:, None] * direction[:, 1] - dy[:, None] * direction[:, 0])
    parts = [
        np.maximum(climb, 0.0) / 10.0,
        np.maximum(-climb, 0.0) / 10.0,
        LENGTHS * np.clip((slope - 0.15) / 0.3, 0.0, 1.0),
        LENGTHS * np.clip(across / 0.5, 0.0, 1.0),
    ]
    return np.stack(parts, axis=2)


def _distance(mask: Mask) -> Array:
    """``(n, n)``: cells to the nearest one in the mask; far where there is none."""
    if not mask.any():
        return np.full(mask.shape, 1e3)
    return np.asarray(ndimage.distance_transform_edt(~mask))


def _bend(elevation: Array) -> Array:
    """``(n, n)``: from -1 on a ridge to 1 in a valley."""
    smooth = ndimage.gaussian_filter(elevation, 2.0, mode="nearest")
    around = ndimage.gaussian_filter(smooth, 6.0, mode="nearest")
    return np.asarray(np.clip((around - smooth) / 15.0, -1.0, 1.0))


# --- a landscape --------------------------------------------------------------------------------


def _noise(size: int, rng: np.random.Generator, exponent: float) -> Array:
    """``(n, n)``: smooth noise with mean 0 and deviation 1; its amplitude falls with frequency."""
    wave = np.fft.fftfreq(size)
    frequency = np.hypot(wave[:, None], wave)
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(size, size))) * frequency**-exponent
    field = np.fft.ifft2(spectrum).real
    return np.asarray((field - field.mean()) / field.std())


def _ranks(field: Array) -> Array:
    """The same field with its values spread evenly over [0, 1)."""
    order = np.argsort(np.argsort(field, axis=None))
    return np.asarray(order.reshape(field.shape) / field.size)


def _covers(elevation: Array, moisture: Array, vegetation: Array, depth: Array) -> Index:
    """``(n, n)``: what grows or lies where, by height, wetness and density."""
    height = _ranks(elevation)
    cover = np.zeros(elevation.shape, dtype=np.int64)
    cover[vegetation > 0.45] = COVERS.index("scrub")
    cover[vegetation > 0.65] = COVERS.index("forest")
    cover[(height > 0.8) & (moisture < 0.6)] = COVERS.index("rock")
    cover[(height < 0.45) & (moisture > 0.72)] = COVERS.index("swamp")
    cover[depth > 0.0] = COVERS.index("water")
    return cover


def _settlements(rng: np.random.Generator, unfit: Mask, n: int) -> Index:
    """``(n,)`` states, far from each other."""
    free = rng.permutation(np.flatnonzero(~unfit))
    y, x = np.divmod(free, len(unfit))
    chosen, away = [0], np.full(free.size, np.inf)
    for _ in range(n - 1):
        away = np.minimum(away, np.hypot(x - x[chosen[-1]], y - y[chosen[-1]]))
        # One of the farther ones: the farthest are in the corners.
        fit = np.flatnonzero(away >= 0.6 * away.max())
        chosen.append(int(rng.choice(fit)))
    return free[chosen]


def _ways(
    rng: np.random.Generator, elevation: Array, cover: Index, settlements: Index
) -> tuple[Mask, Mask]:
    """Where roads between neighbouring settlements and trails to lonely places are."""
    road, trail = np.zeros(cover.shape, dtype=bool), np.zeros(cover.shape, dtype=bool)
    where = np.stack(np.divmod(settlements, len(cover)), axis=1)
    apart = np.linalg.norm(where[:, None] - where, axis=2)
    tree = csgraph.minimum_spanning_tree(apart).tocoo()
    for a, b in zip(tree.row, tree.col, strict=True):
        _lay(road, _building_costs(elevation, cover, road, 0.0), settlements[[a, b]])
    dry = np.flatnonzero(cover != COVERS.index("water"))
    for place in rng.choice(dry, 2 * len(settlements), replace=False):
        cost = _building_costs(elevation, cover, road | trail, 1.0)
        _lay(trail, cost, np.array([place, rng.choice(settlements)]))
    return road, trail & ~road


def _building_costs(elevation: Array, cover: Index, done: Mask, wiggle: float) -> sparse.csr_array:
    """``(S, S)``: what each move costs a builder, to whom what is there already is nearly free."""
    targets = _targets(np.zeros(cover.shape, dtype=bool))
    climb = np.abs(elevation.ravel()[targets] - elevation.ravel()[:, None])
    hard = np.array([1.0, 1.2, 1.5 + wiggle, 4.0, 3.0, 5.0])[cover.ravel()]
    cost = LENGTHS * (hard[:, None] + hard[targets]) * (1.0 + 0.2 * climb)
    return _links(targets, cost * np.where(done.ravel()[targets], 0.2, 1.0))


def _lay(way: Mask, cost: sparse.csr_array, ends: Index) -> None:
    """Mark the cheapest way from the first of two cells to the second."""
    _, before = csgraph.dijkstra(cost, indices=ends[0], return_predecessors=True)
    cell = int(ends[1])
    while cell >= 0:
        way.flat[cell] = True
        cell = int(before[cell])
