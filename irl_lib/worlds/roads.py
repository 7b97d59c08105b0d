r"""Street networks, for learning route preferences from drives (Ziebart et al. 2008).

A driver's *state* is the directed segment that the car is on, an *action* is the turn into a next
segment.  Each turn :math:`i \to j` has features :math:`\phi_{ij}`: what making it, and then driving
along segment :math:`j`, amounts to.  The dynamics are deterministic, and the destination differs
from drive to drive, which is why :mod:`irl_lib.routes` works on the network itself and not on one
MDP per destination; :meth:`RoadNetwork.mdp` makes that MDP for small networks.

Reference: Ziebart, Maas, Bagnell, Dey (2008), Maximum entropy inverse reinforcement learning, AAAI.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from irl_lib.mdp import MDP, Array, check_array, check_count, check_seed
from irl_lib.worlds.base import World

Index = NDArray[np.int64]

ROAD_TYPES = ("street", "arterial", "motorway")  # from small to large
TURN_KINDS = ("straight", "left", "right", "u-turn")
FEATURES = (
    "street km",
    "arterial km",
    "motorway km",
    "minutes",
    "single-lane km",
    "straight",
    "left",
    "right",
    "change of road",
)
HIGHWAYS = {  # OpenStreetMap's classes, and ours
    "motorway": "motorway",
    "trunk": "motorway",
    "primary": "arterial",
    "secondary": "arterial",
    "tertiary": "arterial",
    "arterial": "arterial",
    "residential": "street",
    "living_street": "street",
    "unclassified": "street",
    "service": "street",
    "road": "street",
    "street": "street",
}
BLOCKS = (70.0, 190.0)  # metres between two crossings of the generated city
RAMP = 30.0  # metres that a motorway node is off its crossing, both ways
ARTERIAL_EVERY = 5  # blocks
MOST_SEGMENTS = 10_000_000
NO_ROAD = -1e5  # the reward of an action that does not exist


@dataclass(frozen=True, eq=False)
class RoadNetwork:
    """Directed road segments and the turns between them; every segment can be reached from every
    other.

    Segments are ``0 .. S-1`` and turns ``0 .. T-1``, sorted by the segment that they leave.
    Made by :func:`roads` or :func:`road_network`.
    """

    positions: Array
    """``(N, 2)``: x and y of each node, in metres."""
    tail: Index
    """``(S,)``: the node that a segment leaves."""
    head: Index
    """``(S,)``: the node that it leads to."""
    length: Array
    """``(S,)``, in metres."""
    speed: Array
    """``(S,)``, in km/h."""
    lanes: Array
    """``(S,)``."""
    road_type: Index
    """``(S,)``: an index into ``ROAD_TYPES``."""
    turn_from: Index
    """``(T,)``: the segment that a turn leaves; ascending."""
    turn_to: Index
    """``(T,)``: the segment that it enters."""
    turn_kind: Index
    """``(T,)``: an index into ``TURN_KINDS``; U-turns exist at dead ends only."""
    names: tuple[Hashable, ...] = ()
    """The edge of the graph that each segment was made from, where there was one."""
    feature_names: tuple[str, ...] = FEATURES

    def __repr__(self) -> str:
        sizes = f"{self.n_segments} segments, {self.n_turns} turns, {len(self.positions)} nodes"
        return f"RoadNetwork({sizes})"

    @property
    def n_segments(self) -> int:
        """S, how many directed segments there are."""
        return len(self.tail)

    @property
    def n_turns(self) -> int:
        """T, how many turns there are."""
        return len(self.turn_to)

    @cached_property
    def features(self) -> Array:
        """``(T, K)``: what making a turn and driving along the segment that it enters amounts to.

        Kilometres by road type, travel time at the speed limit, kilometres with a single lane; the
        kind of turn (a U-turn counts as two left turns); whether it changes the type of the road.
        """
        to, kind = self.turn_to, self.turn_kind
        km = self.length[to] / 1000.0
        change = self.road_type[to] != self.road_type[self.turn_from]
        columns = [km * (self.road_type[to] == t) for t in range(len(ROAD_TYPES))]
        columns += [60.0 * km / self.speed[to], km * (self.lanes[to] < 2)]
        columns += [kind == 0, 1.0 * (kind == 1) + 2.0 * (kind == 3), kind == 2]
        columns += [change]
        return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)

    @cached_property
    def first_turn(self) -> Index:
        """``(S + 1,)``: segment ``i`` has the turns ``first_turn[i] : first_turn[i + 1]``."""
        return np.searchsorted(self.turn_from, np.arange(self.n_segments + 1)).astype(np.int64)

    @cached_property
    def out_turns(self) -> Index:
        """``(S, D)``: the turns out of each segment, filled up with -1."""
        counts = np.diff(self.first_turn)
        slot = np.arange(self.n_turns) - self.first_turn[self.turn_from]
        table = np.full((self.n_segments, int(counts.max())), -1, dtype=np.int64)
        table[self.turn_from, slot] = np.arange(self.n_turns)
        return table

    def turn_matrix(self, values: Array) -> sparse.csr_array:
        """``(S, S)``: one value per turn ``(T,)``, as a sparse matrix from segment to segment."""
        shape = (self.n_segments, self.n_segments)
        return sparse.csr_array((values, self.turn_to, self.first_turn), shape=shape)

    def turns(self, origins: ArrayLike, targets: ArrayLike) -> Index:
        """The turn from each origin into each target segment, or -1 where there is none."""
        start, end = np.asarray(origins, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        candidates = self.out_turns[start]
        fits = (candidates >= 0) & (self.turn_to[candidates] == end[..., None])
        slot = fits.argmax(axis=-1)[..., None]
        found = np.take_along_axis(candidates, slot, axis=-1)[..., 0]
        return np.where(fits.any(axis=-1), found, -1)

    def mdp(self, destination: int, weights: ArrayLike) -> World:
        r"""The drive to one destination as an episodic MDP: for small networks, to compare with.

        Its states are the segments and one more, ``S``; its actions are the slots of
        :attr:`out_turns`.  A slot without a turn leads to state ``S``, where the episode ends, and
        has a last feature of its own, "no road", of prohibitive weight.

        Args:
            destination: the segment where the episode ends.
            weights: ``(K,)``, of the features.

        Raises:
            ValueError: for a destination that is no segment, or bad weights.
        """
        n, slots = self.out_turns.shape
        w = check_array("weights", weights, (len(self.feature_names),))
        check_segments("destination", destination, n)
        turn = np.vstack([self.out_turns, np.full((1, slots), -1)])
        target = np.where(turn >= 0, self.turn_to[turn], n)
        target[destination] = destination
        phi = np.zeros((n + 1, slots, w.size + 1))
        phi[..., :-1] = np.where(turn[..., None] >= 0, self.features[turn], 0.0)
        phi[..., -1] = turn < 0
        phi[[destination, n]] = 0.0
        one = (np.ones((n + 1) * slots), target.ravel(), np.arange((n + 1) * slots + 1))
        transitions = sparse.csr_array(one, shape=((n + 1) * slots, n + 1))
        start = np.r_[np.arange(n) != destination, False]
        theta = np.append(w, NO_ROAD)
        centres = 0.5 * (self.positions[self.tail] + self.positions[self.head])
        where = np.vstack([centres, centres.min(axis=0, keepdims=True)])
        names = (*self.feature_names, "no road")
        return World(MDP(transitions, start / start.sum()), phi, theta, phi @ theta, where, names)

    def graph(self) -> Any:
        """The network as a ``networkx.MultiDiGraph``, with the attributes that :func:`road_network`
        reads.
        """
        nx = _networkx()
        graph = nx.MultiDiGraph()
        for node, (x, y) in enumerate(self.positions):
            graph.add_node(node, x=float(x), y=float(y))
        for i in range(self.n_segments):
            graph.add_edge(
                int(self.tail[i]),
                int(self.head[i]),
                length=float(self.length[i]),
                speed_kph=float(self.speed[i]),
                lanes=int(self.lanes[i]),
                highway=ROAD_TYPES[self.road_type[i]],
            )
        return graph


def roads(seed: int = 0, size: int = 20_000) -> RoadNetwork:
    """A city: streets on a jittered grid, arterials every five blocks, a motorway ring and a cross.

    One street in seven is missing and one in seven is one-way.  Motorways meet the city at ramps,
    ten blocks apart; a city of fewer than about 900 segments has none.

    Args:
        seed: for everything that is drawn.
        size: how many directed segments there are at least.

    Raises:
        ValueError: for a size below 20.

    Example:
        >>> roads(seed=0, size=1_000).n_segments >= 1_000
        True
    """
    if check_count("size", size, most=MOST_SEGMENTS) < 20:
        raise ValueError(f"size is {size!r}; expected at least 20 segments")
    side = max(4, int(np.sqrt(size / 3.4)))
    while True:
        network = _city(side, check_seed(seed))
        if network.n_segments >= size:
            return network
        side += max(1, side // 50)


def road_network(graph: Any) -> RoadNetwork:
    """The network of any networkx (Multi)DiGraph with the names that OSMnx uses.

    Nodes need ``x`` and ``y`` in metres (project geographic coordinates first).  Edges need
    ``length`` (m), ``speed_kph``, ``lanes`` and ``highway``: a class of OpenStreetMap, or one of
    ``ROAD_TYPES``.  Where OSMnx gives a list of values, the first counts.  An undirected edge is
    two segments; loops and segments outside the largest part in which every segment can be reached
    are left out.

    Raises:
        ValueError: for a graph without edges, a missing attribute or a bad value, naming node or
            edge, or when no two segments can be reached from each other.
    """
    edges = list(_edges(graph))
    if not edges:
        raise ValueError("graph has no edges (loops don't count); expected a street network")
    order = {node: i for i, node in enumerate(graph.nodes)}
    positions = np.array([_position(node, data) for node, data in graph.nodes(data=True)])
    tail, head = (np.array([order[e[0][end]] for e in edges]) for end in (0, 1))
    columns = ("length", "speed_kph", "lanes")
    numbers = [[_number(f"edge {name!r}", data, c) for name, data in edges] for c in columns]
    length, speed, lanes = np.array(numbers)
    road_type = np.array([ROAD_TYPES.index(_highway(name, data)) for name, data in edges])
    number = np.arange(len(edges))
    segments = _Segments(tail, head, length, speed, lanes, road_type, number)
    return _connect(positions, segments, [name for name, _ in edges])


def check_segments(name: str, value: ArrayLike, n_segments: int) -> Index:
    """``value`` as whole numbers that are segments."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or ((array < 0) | (array >= n_segments)).any():
        raise ValueError(
            f"{name} is {value!r}; expected segments, whole numbers from 0 to {n_segments - 1}"
        )
    return array.astype(np.int64)


# --- turns --------------------------------------------------------------------------------------


class _Segments(NamedTuple):
    """Segments before it is known which can be reached."""

    tail: Index
    head: Index
    length: Array
    speed: Array
    lanes: Array
    road_type: Index
    source: Index
    """Which of the given edges each one is."""

    def take(self, kept: NDArray[np.bool_]) -> _Segments:
        """Some of them."""
        return _Segments(
            self.tail[kept],
            self.head[kept],
            self.length[kept],
            self.speed[kept],
            self.lanes[kept],
            self.road_type[kept],
            self.source[kept],
        )


def _connect(positions: Array, segments: _Segments, names: Sequence[Hashable] = ()) -> RoadNetwork:
    """Find the turns, and keep the largest part in which each segment can be reached from each."""
    # First among nodes: a street with no way back must not make a dead end look like a crossing.
    near = _largest(len(positions), segments.tail, segments.head)
    segments = segments.take(near[segments.tail] & near[segments.head])
    origin, target = _turns(segments.tail, segments.head)
    kept = _largest(len(segments.tail), origin, target)
    if kept.sum() < 2:
        raise ValueError("no two segments of the network can be reached from each other")
    inside = kept[origin] & kept[target]
    kind = _kinds(positions, segments.tail, segments.head, origin[inside], target[inside])
    number = np.cumsum(kept) - 1
    origin, target, segments = number[origin[inside]], number[target[inside]], segments.take(kept)
    ends = np.stack([segments.tail, segments.head])
    used, (tail, head) = np.unique(ends, return_inverse=True)
    return RoadNetwork(
        positions[used],
        tail,
        head,
        segments.length,
        segments.speed,
        segments.lanes,
        segments.road_type,
        origin,
        target,
        kind,
        tuple(names[i] for i in segments.source.tolist()) if names else (),
    )


def _largest(n: int, start: Index, end: Index) -> NDArray[np.bool_]:
    """``(n,)``: the largest part of a directed graph in which all can be reached from all."""
    links = sparse.csr_array((np.ones(len(start)), (start, end)), shape=(n, n))
    _, label = csgraph.connected_components(links, connection="strong")
    return np.asarray(label == np.argmax(np.bincount(label, minlength=1)))


def _turns(tail: Index, head: Index) -> tuple[Index, Index]:
    """All pairs of a segment and one that starts where it ends; turning round only where nothing
    else is left.
    """
    by_tail = np.argsort(tail, kind="stable")
    first = np.searchsorted(tail[by_tail], head)
    counts = np.searchsorted(tail[by_tail], head, side="right") - first
    origin = np.repeat(np.arange(len(tail)), counts)
    slot = np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
    target = by_tail[first[origin] + slot]
    back = head[target] == tail[origin]
    onward = np.bincount(origin[~back], minlength=len(tail)) > 0
    kept = ~back | ~onward[origin]
    return origin[kept], target[kept]


def _kinds(positions: Array, tail: Index, head: Index, origin: Index, target: Index) -> Index:
    """The kind of each turn, by its angle: within 45 degrees of straight on, to the left, to the
    right.
    """
    before, after = (positions[head[s]] - positions[tail[s]] for s in (origin, target))
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angle = np.arctan2(cross, np.sum(before * after, axis=1))
    kind = np.where(np.abs(angle) <= np.pi / 4, 0, np.where(angle > 0, 1, 2))
    return np.where(head[target] == tail[origin], 3, kind).astype(np.int64)


# --- a graph ------------------------------------------------------------------------------------


def _networkx() -> Any:
    try:
        import networkx as nx
    except ImportError as error:
        raise ImportError('this needs networkx: pip install "irl_lib[roads]"') from error
    return nx


def _edges(graph: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The directed edges without loops: the names of the ends (and the key), and the attributes."""
    if not all(hasattr(graph, name) for name in ("edges", "nodes", "is_multigraph")):
        raise ValueError(f"graph is a {type(graph).__name__}; expected a networkx graph")
    keys = {"keys": True} if graph.is_multigraph() else {}
    for *name, data in graph.edges(data=True, **keys):
        if name[0] != name[1]:
            yield tuple(name), data
            if not graph.is_directed():
                yield (name[1], name[0], *name[2:]), data


def _position(node: Hashable, data: dict[str, Any]) -> tuple[float, float]:
    where = f"node {node!r}"
    return _number(where, data, "x", -np.inf), _number(where, data, "y", -np.inf)


def _number(where: str, data: dict[str, Any], key: str, above: float = 0.0) -> float:
    if key not in data:
        raise ValueError(f"{where} has no {key!r}; it has {sorted(map(str, data))}")
    value = data[key][0] if isinstance(data[key], list) and data[key] else data[key]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not (np.isfinite(number) and number > above):
        wanted = "a finite number" + (" above 0" if above == 0.0 else "")
        raise ValueError(f"{where} has {key}={data[key]!r}; expected {wanted}")
    return number


def _highway(name: tuple[Any, ...], data: dict[str, Any]) -> str:
    if "highway" not in data:
        raise ValueError(f"edge {name!r} has no 'highway'; it has {sorted(map(str, data))}")
    value = data["highway"]
    word = str(value[0] if isinstance(value, list) and value else value).removesuffix("_link")
    if word not in HIGHWAYS:
        raise ValueError(
            f"edge {name!r} has highway={value!r}; expected one of {', '.join(HIGHWAYS)}"
        )
    return HIGHWAYS[word]


# --- a city -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Roads:
    """Two-way or one-way pieces of road before they become segments."""

    tail: Index
    head: Index
    speed: Array
    lanes: Array
    road_type: Index
    one_way: NDArray[np.bool_]


def _city(side: int, rng: np.random.Generator) -> RoadNetwork:
    y, x = np.divmod(np.arange(side * side), side)
    lines = np.cumsum(rng.uniform(*BLOCKS, (2, side)), axis=1)
    streets = np.stack([lines[0, x], lines[1, y]], axis=1)
    streets += np.clip(rng.normal(0.0, 12.0, streets.shape), -25.0, 25.0)
    across = np.flatnonzero(x < side - 1)
    along = np.flatnonzero(y < side - 1)
    parts = [
        _lines(across, across + 1, y[across], side, rng),
        _lines(along, along + side, x[along], side, rng),
    ]
    crossings, motorways = _motorways(side)
    positions = np.vstack([streets, streets[crossings] + RAMP])
    parts += motorways
    every = [np.concatenate(f) for f in zip(*(vars(p).values() for p in parts), strict=True)]
    tail, head, speed, lanes, road_type, one_way = every
    straight = np.linalg.norm(positions[tail] - positions[head], axis=1)
    length = straight * rng.uniform(1.0, 1.1, len(tail))
    back = ~one_way
    length, speed, lanes, road_type = (
        np.concatenate([f, f[back]]) for f in (length, speed, lanes, road_type)
    )
    tail, head = np.r_[tail, head[back]], np.r_[head, tail[back]]
    number = np.arange(len(tail))
    return _connect(positions, _Segments(tail, head, length, speed, lanes, road_type, number))


def _lines(tail: Index, head: Index, line: Index, side: int, rng: np.random.Generator) -> _Roads:
    """Streets and arterials along the lines of the grid; speeds and lanes are those of a whole
    line.
    """
    large = (np.arange(side) % ARTERIAL_EVERY == ARTERIAL_EVERY // 2)[line]
    speed = np.where(
        large,
        rng.choice([50.0, 60.0, 70.0], side)[line],
        rng.choice([30.0, 40.0, 50.0], side)[line],
    )
    lanes = np.where(
        large,
        rng.choice([1.0, 2.0, 3.0], side)[line],
        rng.choice([1.0, 2.0], side, p=[0.8, 0.2])[line],
    )
    luck = rng.random(len(tail))
    flipped = rng.random(len(tail)) < 0.5
    kept = large | (luck > 1 / 7)
    one_way = ~large & (luck > 6 / 7)
    a, b = np.where(flipped, head, tail), np.where(flipped, tail, head)
    return _Roads(*(f[kept] for f in (a, b, speed, lanes, large.astype(np.int64), one_way)))


def _motorways(side: int) -> tuple[Index, list[_Roads]]:
    """The crossings of the grid where motorways have ramps; the motorways, and the ramps."""
    stops = np.arange(side)[ARTERIAL_EVERY // 2 :: 2 * ARTERIAL_EVERY]
    if len(stops) < 2:
        return np.empty(0, dtype=np.int64), []
    low, middle, high = (stops[int(q * (len(stops) - 1) + 0.5)] for q in (0.2, 0.5, 0.8))
    ring = stops[(stops >= low) & (stops <= high)]
    walks = [
        np.stack([np.full_like(on, row), on])
        for row, on in ((low, ring), (middle, stops), (high, ring))
    ]
    walks += [w[::-1] for w in walks]
    chains = [w[0] * side + w[1] for w in walks if w.shape[1] > 1]
    pairs = np.unique(np.concatenate([np.stack([c[:-1], c[1:]], axis=1) for c in chains]), axis=0)
    crossings, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(pairs.shape) + side * side
    number = np.arange(len(crossings)) + side * side
    return crossings, [
        _alike(ends[:, 0], ends[:, 1], 100.0, 3.0, 2),
        _alike(crossings, number, 50.0, 2.0, 1),
    ]


def _alike(tail: Index, head: Index, speed: float, lanes: float, road_type: int) -> _Roads:
    n = len(tail)
    return _Roads(
        tail,
        head,
        np.full(n, speed),
        np.full(n, lanes),
        np.full(n, road_type),
        np.zeros(n, dtype=bool),
    )
