r"""Street networks, for learning route preferences from drives (Ziebart et al. 2008).

A driver's *state* is the directed segment that the car is on, an *action* is the turn into a next
segment.  Each turn :math:`i \to j` has features :math:`\phi_{ij}`: what making it, and then driving
along segment :math:`j`, amounts to.  The dynamics are deterministic, and the destination differs
from drive to drive, which is why :mod:`irl_lib.routes` works on the network itself and not on one
MDP per destination; :meth:`RoadNetwork.mdp` makes that MDP for small networks.

Reference: Ziebart, Maas, Bagnell, Dey (2008), Maximum entropy inverse reinforcement learning, AAAI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from irl_lib.mdp import MDP
from irl_lib.support.checks import Array, check_array, check_count, check_flag, check_seed
from irl_lib.worlds.base import Index, Mask, World, deterministic

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
# OpenStreetMap's classes of roads for cars, from large to small: our type of road, and km/h where
# there is no limit, on the road and on its ramps ("_link").  That is what the car profile of OSRM,
# a router, assumes, but for "arterial", which is ours.
HIGHWAYS = {
    "motorway": ("motorway", 90.0, 45.0),
    "trunk": ("motorway", 85.0, 40.0),
    "primary": ("arterial", 65.0, 30.0),
    "secondary": ("arterial", 55.0, 25.0),
    "tertiary": ("arterial", 40.0, 20.0),
    "arterial": ("arterial", 50.0, 25.0),
    "unclassified": ("street", 25.0, 25.0),
    "residential": ("street", 25.0, 25.0),
    "living_street": ("street", 10.0, 25.0),
    "service": ("street", 15.0, 25.0),
    "track": ("street", 15.0, 25.0),
    "road": ("street", 25.0, 25.0),
    "street": ("street", 25.0, 25.0),
}
MILE = 1.609344  # km
AMOUNT = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?) ?(mph|km/h|kmh|kph)?")
LANES = {"street": 1.0, "arterial": 2.0, "motorway": 2.0}  # where they are not given
EARTH = 6_371_009.0  # metres, its mean radius
DEGREE = 10_000.0  # metres: less than a degree is where there are streets, more than other units
GEOGRAPHIC = re.compile(
    r"epsg::?(4326|4258|4269)\b|^(4326|4258|4269)$|crs84\b|\+proj=(longlat|latlong)|^\s*geo[gd]",
    re.IGNORECASE,
)
BLOCKS = (70.0, 190.0)  # metres between two crossings of the generated city
RAMP = 30.0  # metres that a motorway node is off its crossing, both ways
ARTERIAL_EVERY = 5  # blocks
LINES = (  # km/h and lanes of arterials and of streets, and the chances of the latter
    ([50.0, 60.0, 70.0], [30.0, 40.0, 50.0], None),
    ([1.0, 2.0, 3.0], [1.0, 2.0], [0.8, 0.2]),
)
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
    """``(T,)``: an index into ``TURN_KINDS``."""
    names: tuple[Hashable, ...] = ()
    """The edge of the graph that each segment was made from, where there was one."""
    feature_names: tuple[str, ...] = FEATURES
    """``(K,)``; with "u-turn" as the last one, drivers may turn round everywhere, and otherwise at
    dead ends only.
    """
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many segments of a graph were left out, by reason."""

    def __repr__(self) -> str:
        sizes = f"{self.n_segments} segments, {self.n_turns} turns, {len(self.positions)} nodes"
        missing = ", ".join(f"{why} {n}" for why, n in self.left_out.items() if n)
        return f"RoadNetwork({sizes}{missing and '; left out: '}{missing})"

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
        kind of turn (a U-turn counts as two left turns, where it has no feature of its own);
        whether it changes the type of the road.
        """
        to, kind = self.turn_to, self.turn_kind
        km = self.length[to] / 1000.0
        change = self.road_type[to] != self.road_type[self.turn_from]
        columns = [km * (self.road_type[to] == t) for t in range(len(ROAD_TYPES))]
        columns += [60.0 * km / self.speed[to], km * (self.lanes[to] < 2)]
        own = "u-turn" in self.feature_names
        left = 1.0 * (kind == 1) + 2.0 * (kind == 3) * (not own)
        columns += [kind == 0, left, kind == 2, change] + own * [kind == 3]
        return np.stack(columns, axis=1)

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
        where = self.turn_to.astype(np.int32), self.first_turn.astype(np.int32)  # for old csgraphs
        return sparse.csr_array((values, *where), shape=shape)

    def turns(self, origins: ArrayLike, targets: ArrayLike) -> Index:
        """The turn from each origin into each target segment, or -1 where there is none.

        Raises:
            ValueError: for what is no segment.
        """
        start = check_segments("origins", origins, self.n_segments)
        end = check_segments("targets", targets, self.n_segments)
        start, end = np.broadcast_arrays(start, end)
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
        start = np.r_[np.arange(n) != destination, False]
        theta = np.append(w, NO_ROAD)
        centres = 0.5 * (self.positions[self.tail] + self.positions[self.head])
        where = np.vstack([centres, centres.min(axis=0, keepdims=True)])
        names = (*self.feature_names, "no road")
        return World(
            MDP(deterministic(target), start / start.sum()), phi, theta, phi @ theta, where, names
        )


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


def road_network(graph: Any, *, u_turns: bool = True, cars_only: bool = False) -> RoadNetwork:
    """The network of any networkx graph with the names that OSMnx uses.

    Nodes need ``x`` and ``y``: metres, or degrees, which are projected to metres around the mean
    latitude (longitude and latitude are told by ``graph.graph["crs"]``, or by what the edges'
    lengths say).  Edges need ``length`` (m) and ``highway``: a class of OpenStreetMap, or one of
    ``ROAD_TYPES``.  Their speed is ``speed_kph``, or else the number in ``maxspeed`` (km/h, or mph
    where it says so), or else that of the class in ``HIGHWAYS``; ``lanes``, where they are not
    given, are ``LANES`` of the type.  ``geometry`` gives the directions in which an edge begins and
    ends.  Of a list of values, as OSMnx makes them, the smallest number and the largest class
    count.

    An edge of an undirected graph is two segments, unless it is ``oneway``.  Loops and segments
    outside the largest part in which every segment can be reached from every other are left out,
    and :attr:`RoadNetwork.left_out` says how many.

    Args:
        graph: a street network.
        u_turns: whether drivers may turn round wherever a street has two directions, which then has
            a feature of its own, "u-turn"; or only at dead ends, as two left turns.
        cars_only: leave out what is not for cars (every class that is not in ``HIGHWAYS``), which
            is refused otherwise.

    Raises:
        ValueError: for a graph without edges, naming all nodes and edges with a missing attribute
            or a bad value, or when no two segments can be reached from each other.

    Example:
        >>> import networkx as nx
        >>> graph = nx.cycle_graph(4)
        >>> for node, (x, y) in enumerate([(0, 0), (90, 0), (90, 90), (0, 90)]):
        ...     graph.nodes[node].update(x=x, y=y)
        >>> nx.set_edge_attributes(graph, 90.0, "length")
        >>> nx.set_edge_attributes(graph, "residential", "highway")
        >>> road_network(graph)
        RoadNetwork(8 segments, 16 turns, 4 nodes)
        >>> road_network(graph, u_turns=False)
        RoadNetwork(4 segments, 4 turns, 4 nodes; left out: out of reach 4)
    """
    check_flag("u_turns", u_turns)
    check_flag("cars_only", cars_only)
    every = list(_edges(graph))
    edges = [(name, data) for name, data in every if name[0] != name[1]]
    left_out = {"loops": len(every) - len(edges)}
    if cars_only:
        left_out["not for cars"] = len(edges)
        edges = [(name, data) for name, data in edges if _is_for_cars(data)]
        left_out["not for cars"] -= len(edges)
    if not edges:
        raise ValueError(
            f"graph has no edges to drive on (left out: {left_out}); expected a street network"
        )
    positions, segments = _read(graph, edges)
    network = _connect(positions, segments, [name for name, _ in edges], u_turns)
    left_out["out of reach"] = len(edges) - network.n_segments
    return replace(network, left_out=left_out)


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
    begins: Array
    """``(S, 2)``: the direction in which each one leaves its tail."""
    ends: Array
    """``(S, 2)``: the direction in which it arrives at its head."""
    key: Index
    """Which of the edges between two nodes each one is."""
    source: Index
    """Which of the given edges each one is."""

    def take(self, kept: Mask) -> _Segments:
        """Some of them."""
        return _Segments._make(column[kept] for column in self)


def _connect(
    positions: Array,
    segments: _Segments,
    names: Sequence[Hashable] = (),
    u_turns: bool = False,
) -> RoadNetwork:
    """Find the turns, and keep the largest part in which each segment can be reached from each."""
    # First among nodes: a street with no way back must not make a dead end look like a crossing.
    near = _largest(len(positions), segments.tail, segments.head)
    segments = segments.take(near[segments.tail] & near[segments.head])
    origin, target, kind = _turns(len(positions), segments, u_turns)
    kept = _largest(len(segments.tail), origin, target)
    if kept.sum() < 2:
        raise ValueError("no two segments of the network can be reached from each other")
    inside = kept[origin] & kept[target]
    number = np.cumsum(kept) - 1
    segments = segments.take(kept)
    used, ends = np.unique([segments.tail, segments.head], return_inverse=True)
    tail, head = ends.reshape(2, -1)  # flat before numpy 2
    return RoadNetwork(
        positions[used],
        tail,
        head,
        segments.length,
        segments.speed,
        segments.lanes,
        segments.road_type,
        number[origin[inside]],
        number[target[inside]],
        kind[inside],
        tuple(names[i] for i in segments.source.tolist()) if names else (),
        (*FEATURES, "u-turn") if u_turns else FEATURES,
    )


def _largest(n: int, start: Index, end: Index) -> Mask:
    """``(n,)``: the largest part of a directed graph in which all can be reached from all."""
    links = sparse.csr_array((np.ones(len(start)), (start, end)), shape=(n, n))
    links.sum_duplicates()  # scipy 1.13 never comes back from two links between the same two
    _, label = csgraph.connected_components(links, connection="strong")
    return np.asarray(label == np.argmax(np.bincount(label, minlength=1)))


def _turns(nodes: int, segments: _Segments, u_turns: bool) -> tuple[Index, Index, Index]:
    """All pairs of a segment and one that starts where it ends, and the kind of turn between them;
    turning round only where nothing else is left, unless there are U-turns.
    """
    n, number = len(segments.tail), np.arange(len(segments.tail))
    arrive = sparse.csr_array((np.ones(n), (number, segments.head)), shape=(n, nodes))
    leave = sparse.csr_array((np.ones(n), (segments.tail, number)), shape=(nodes, n))
    origin, target = (arrive @ leave).sorted_indices().nonzero()
    back = _turning_round(segments, origin, target)
    onward = np.bincount(origin[~back], minlength=n) > 0
    kept = ~back | ~onward[origin] | u_turns
    origin, target, back = origin[kept], target[kept], back[kept]
    return origin, target, np.where(back, 3, _kinds(segments.ends[origin], segments.begins[target]))


def _turning_round(segments: _Segments, origin: Index, target: Index) -> Mask:
    """``(T,)``: which turns lead back along the same street.

    Two nodes may be joined by several streets.  Then the two directions of a street are those of
    the most equal lengths, and among equal ones those with the same key.
    """
    unlike = np.round(np.abs(segments.length[origin] - segments.length[target]), 2)  # cm
    unlike += 1e-3 * (segments.key[origin] != segments.key[target])
    unlike[segments.head[target] != segments.tail[origin]] = np.inf
    least = np.full(len(segments.tail), np.inf)
    np.minimum.at(least, origin, unlike)
    return np.asarray(np.isfinite(unlike) & (unlike == least[origin]) & (unlike == least[target]))


def _kinds(before: Array, after: Array) -> Index:
    """The kind of each turn from one direction to another ``(T, 2)``, by its angle: within 45
    degrees of straight on, to the left, to the right.
    """
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angle = np.arctan2(cross, np.sum(before * after, axis=1))
    return np.where(np.abs(angle) <= np.pi / 4, 0, np.where(angle > 0, 1, 2))


# --- a graph ------------------------------------------------------------------------------------


def _edges(graph: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The directed edges: the names of the ends (and the key), and the attributes."""
    if not all(hasattr(graph, name) for name in ("edges", "nodes", "is_multigraph")):
        raise ValueError(f"graph is a {type(graph).__name__}; expected a networkx graph")
    keys = {"keys": True} if graph.is_multigraph() else {}
    for *name, data in graph.edges(data=True, **keys):
        forward, backward = tuple(name), (name[1], name[0], *name[2:])
        if graph.is_directed() or name[0] == name[1]:
            yield forward, data
        elif data.get("oneway") in (True, "yes", "True"):
            # What OSMnx made undirected tells where it led from.
            yield (backward if data.get("from") == name[1] else forward), data
        else:
            yield from ((forward, data), (backward, data))


def _read(
    graph: Any, edges: Sequence[tuple[tuple[Any, ...], dict[str, Any]]]
) -> tuple[Array, _Segments]:
    """The nodes' positions ``(N, 2)``, in metres, and a segment for each edge.

    Raises:
        ValueError: with all that is missing or wrong.
    """
    faults: dict[str, dict[str, None]] = {}
    where = [_checked(faults, ("node", n), data, PLACE) for n, data in graph.nodes(data=True)]
    rows = [_checked(faults, ("edge", name), data, STREET) for name, data in edges]
    if faults:
        raise ValueError("\n".join(["graph has faults:", *_complaints(faults)]))
    order = {node: i for i, node in enumerate(graph.nodes)}
    tail, head = np.array([[order[end] for end in name[:2]] for name, _ in edges]).T
    length, speed, lanes, road_type = np.array(rows).T
    places = np.array(where)
    project = _projection(graph.graph.get("crs"), places, places[head] - places[tail], length)
    positions, lines = project(places), [_line(data, project) for _, data in edges]
    begins, ends = _directions(positions, tail, head, lines)
    codes: dict[Any, int] = {}
    key = np.array([codes.setdefault(name[2:], len(codes)) for name, _ in edges])
    kind, number = road_type.astype(np.int64), np.arange(len(edges))
    return positions, _Segments(tail, head, length, speed, lanes, kind, begins, ends, key, number)


def _checked(
    faults: dict[str, dict[str, None]],
    who: tuple[str, Any],
    data: dict[str, Any],
    readers: Iterable[Callable[[dict[str, Any]], float]],
) -> list[float]:
    """What the readers find in the data; what they can't read is added to the faults."""
    found = []
    for read in readers:
        try:
            found.append(read(data))
        except ValueError as fault:
            faults.setdefault(str(fault), {})[f"{who[0]} {who[1]!r}"] = None
    return found


def _complaints(faults: dict[str, dict[str, None]]) -> Iterator[str]:
    """A line for each fault, with the first of those that have it."""
    for fault, names in faults.items():
        first, *others = names
        more = ", ".join(others[:4]) + ", ..." * (len(others) > 4)
        yield f"{first} {fault}" + (f" (and {len(others)} more: {more})" if others else "")


# --- its attributes -----------------------------------------------------------------------------


def _number(data: dict[str, Any], key: str, above: float = 0.0) -> float:
    if key not in data:
        raise ValueError(f"has no {key!r}; it has {sorted(map(str, data))}")
    try:
        numbers = [float(value) for value in _listed(data[key])]
    except (TypeError, ValueError):
        numbers = []
    return _smallest(data, key, numbers, above)


def _smallest(data: dict[str, Any], key: str, numbers: list[float], above: float = 0.0) -> float:
    if not numbers or not all(above < number < np.inf for number in numbers):
        wanted = "a finite number" + (" above 0" if above == 0.0 else "")
        raise ValueError(f"has {key}={data[key]!r}; expected {wanted}")
    return min(numbers)


def _listed(value: Any) -> list[Any]:
    """The values of an attribute that may be a list of them."""
    return list(value) if isinstance(value, list | tuple | set | np.ndarray) else [value]


def _tags(data: dict[str, Any], key: str) -> list[str]:
    """The values of an attribute as OpenStreetMap writes them; None and NaN are none."""
    given = [value for value in _listed(data.get(key)) if value is not None and value == value]
    return [word.strip() for value in given for word in str(value).split(";")]


def _amounts(data: dict[str, Any], key: str) -> list[float]:
    """The numbers among the tags, miles per hour in km/h."""
    found = [AMOUNT.fullmatch(word.lower()) for word in _tags(data, key)]
    return [float(at[1]) * (MILE if at[2] == "mph" else 1.0) for at in found if at]


def _is_for_cars(data: dict[str, Any]) -> bool:
    return all(word.removesuffix("_link") in HIGHWAYS for word in _tags(data, "highway"))


def _highway(data: dict[str, Any]) -> str:
    """The largest class of an edge."""
    words = _tags(data, "highway")
    if not words:
        raise ValueError(f"has no 'highway'; it has {sorted(map(str, data))}")
    if not _is_for_cars(data):
        raise ValueError(
            f"has highway={data['highway']!r}; expected one of {', '.join(HIGHWAYS)} "
            "(cars_only=True leaves out the others)"
        )
    size = list(HIGHWAYS)
    return min(words, key=lambda word: (size.index(word.removesuffix("_link")), word))


def _road_type(data: dict[str, Any]) -> int:
    return ROAD_TYPES.index(HIGHWAYS[_highway(data).removesuffix("_link")][0])


def _speed(data: dict[str, Any]) -> float:
    if "speed_kph" in data:
        return _number(data, "speed_kph")
    kph = _amounts(data, "maxspeed")
    if kph:
        return _smallest(data, "maxspeed", kph)
    word = _highway(data)
    _, on_the_road, on_its_ramps = HIGHWAYS[word.removesuffix("_link")]
    return on_its_ramps if word.endswith("_link") else on_the_road


def _lanes(data: dict[str, Any]) -> float:
    lanes = _amounts(data, "lanes")
    return _smallest(data, "lanes", lanes) if lanes else LANES[ROAD_TYPES[_road_type(data)]]


PLACE = (partial(_number, key="x", above=-np.inf), partial(_number, key="y", above=-np.inf))
STREET = (partial(_number, key="length"), _speed, _lanes, _road_type)


# --- where it is --------------------------------------------------------------------------------


def _projection(crs: Any, places: Array, apart: Array, length: Array) -> Callable[[Array], Array]:
    """From the coordinates of a graph to metres: they stay, or, longitudes and latitudes, are laid
    out flat around the mean latitude.

    Raises:
        ValueError: for degrees that are none.
    """
    if not _in_degrees(crs, places, apart, length):
        return np.asarray
    if np.abs(places[:, 1]).max() > 90.0:
        raise ValueError(
            f"graph.graph['crs'] is {crs!r}, but y goes up to {np.abs(places[:, 1]).max():g}; "
            "expected latitudes, or the crs of coordinates in metres"
        )
    origin = np.array([places[0, 0], places[:, 1].mean()])
    metres = np.radians(EARTH) * np.array([np.cos(np.radians(origin[1])), 1.0])

    def project(points: Array) -> Array:
        away = points - origin
        away[:, 0] = (away[:, 0] + 180.0) % 360.0 - 180.0  # there are streets across 180 degrees
        return np.asarray(away * metres)

    return project


def _in_degrees(crs: Any, places: Array, apart: Array, length: Array) -> bool:
    """Whether the crs says so, or the lengths do: a unit is far more than a kilometre."""
    if getattr(crs, "is_geographic", False) or GEOGRAPHIC.search(str(crs)):
        return True
    straight = np.linalg.norm(apart, axis=1)
    small = np.abs(places).max(axis=0) <= [360.0, 90.0]
    return bool(small.all() and np.median(length) > DEGREE * np.median(straight) > 0.0)


def _line(data: dict[str, Any], project: Callable[[Array], Array]) -> Array | None:
    """The points ``(n, 2)`` of an edge's geometry, where it has one."""
    points = getattr(data.get("geometry"), "coords", None)
    return None if points is None else project(np.array([point[:2] for point in points]))


def _directions(
    positions: Array, tail: Index, head: Index, lines: Sequence[Array | None]
) -> tuple[Array, Array]:
    """``(S, 2)`` each: in which directions segments begin and end."""
    begins = positions[head] - positions[tail]
    ends = begins.copy()
    for i, line in enumerate(lines):
        if line is None:
            continue
        far = np.linalg.norm(line[[0, -1]] - positions[tail[i]], axis=1)
        pieces = np.diff(line if far[0] <= far[1] else line[::-1], axis=0)
        pieces = pieces[pieces.any(axis=1)]
        if len(pieces):
            begins[i], ends[i] = pieces[0], pieces[-1]
    return begins, ends


# --- a city -------------------------------------------------------------------------------------


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
    joined = (np.concatenate(each) for each in zip(*parts, *motorways, strict=True))
    a, b, speed, lanes, road_type, one_way = joined
    length = np.linalg.norm(positions[a] - positions[b], axis=1) * rng.uniform(1.0, 1.1, len(a))
    back = np.flatnonzero(~one_way)
    every = np.r_[np.arange(len(a)), back]
    tail, head = np.r_[a, b[back]], np.r_[b, a[back]]
    ahead = positions[head] - positions[tail]
    columns = (each[every] for each in (length, speed, lanes, road_type))
    segments = (tail, head, *columns, ahead, ahead, np.ones_like(tail), every)
    return _connect(positions, _Segments._make(segments))


def _lines(
    tail: Index, head: Index, line: Index, side: int, rng: np.random.Generator
) -> tuple[NDArray[Any], ...]:
    """Streets and arterials along the lines of the grid: their ends, speeds and lanes, which are
    those of a whole line, types, and whether they are one-way.
    """
    large = (np.arange(side) % ARTERIAL_EVERY == ARTERIAL_EVERY // 2)[line]
    speed, lanes = (
        np.where(large, rng.choice(of_large, side)[line], rng.choice(of_small, side, p=p)[line])
        for of_large, of_small, p in LINES
    )
    luck = rng.random(len(tail))
    flipped = rng.random(len(tail)) < 0.5
    kept = large | (luck > 1 / 7)
    one_way = ~large & (luck > 6 / 7)
    a, b = np.where(flipped, head, tail), np.where(flipped, tail, head)
    return tuple(each[kept] for each in (a, b, speed, lanes, large.astype(np.int64), one_way))


def _motorways(side: int) -> tuple[Index, list[Any]]:
    """The crossings of the grid where motorways have ramps; the motorways, and the ramps, with the
    columns of :func:`_lines`.
    """
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
        np.broadcast_arrays(ends[:, 0], ends[:, 1], 100.0, 3.0, 2, False),
        np.broadcast_arrays(crossings, number, 50.0, 2.0, 1, False),
    ]
