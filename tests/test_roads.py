"""Street networks: what a generated city is like, what a graph becomes, and what is refused."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csgraph

from irl_lib.worlds import RoadNetwork, road_network, roads
from irl_lib.worlds.streets import FEATURES, HIGHWAYS, ROAD_TYPES, TURN_KINDS
from street_graphs import graph_of

EDGE = {"length": 100.0, "speed_kph": 50.0, "lanes": 1, "highway": "residential"}


def crossing() -> nx.MultiDiGraph:
    """Two streets that cross in the middle, all of them two-way: the ends are dead ends."""
    graph = nx.MultiDiGraph()
    for node, (x, y) in enumerate([(0, 0), (100, 0), (0, 100), (-100, 0), (0, -100)]):
        graph.add_node(node, x=float(x), y=float(y))
    for end in range(1, 5):
        graph.add_edge(0, end, **EDGE)
        graph.add_edge(end, 0, **EDGE)
    return graph


def line(*points: tuple[float, float]) -> SimpleNamespace:
    """What a test needs of a LineString."""
    return SimpleNamespace(coords=list(points))


def quarter(projected: bool = False) -> nx.MultiDiGraph:
    """A quarter as OSMnx writes it: a primary road through it, a block of streets, an alley, a slip
    road, a bus lane, and a bend; longitudes and latitudes, or the same place in metres.
    """
    graph = nx.MultiDiGraph(crs="EPSG:25832" if projected else "epsg:4326")
    longitude, latitude = 10.0, 59.9  # where a degree of longitude is half a degree of latitude
    east, north = 111_195.0 * np.cos(np.radians(latitude)), 111_195.0

    def place(x: float, y: float) -> tuple[float, float]:
        if projected:
            return 500_000.0 + x, 6_600_000.0 + y
        return longitude + x / east, latitude + y / north

    corners = {1: (0, 0), 2: (200, 0), 3: (400, 0), 4: (200, 150), 5: (400, 150), 6: (0, 150)}
    for node, where in corners.items():
        x, y = place(*where)
        graph.add_node(node, x=x, y=y, street_count=3)
    primary = {"highway": "primary", "lanes": "2", "maxspeed": "60", "name": "Storgata"}
    mixed = {"highway": ["residential", "unclassified"], "lanes": ["3", "2"]}
    fast = {"highway": ["tertiary", "secondary"], "maxspeed": ["50", "30"]}
    two_way = [
        (1, 2, primary),
        (2, 3, primary | {"maxspeed": "40 mph"}),
        (2, 4, mixed),
        (3, 5, {"highway": "residential", "maxspeed": "none"}),
        (4, 5, fast),
        (4, 6, {"highway": "living_street", "lanes": float("nan")}),
        (5, 6, {"highway": "track", "geometry": [(400, 150), (400, 300), (0, 300), (0, 150)]}),
    ]
    for osmid, (a, b, tags) in enumerate(two_way):
        bend = tags.get("geometry", [corners[a], corners[b]])
        length = float(np.linalg.norm(np.diff(bend, axis=0), axis=1).sum())
        common = tags | {"osmid": osmid, "oneway": False, "length": length}
        ways = bend, bend[::-1]
        for reverse, ends in enumerate([(a, b), (b, a)]):
            shape = {"geometry": line(*(place(*point) for point in ways[reverse]))}
            data = common | {"reversed": bool(reverse)} | (shape if "geometry" in tags else {})
            graph.add_edge(*ends, **data)
    ramp = {"highway": "primary_link", "oneway": True, "length": 260.0, "reversed": False}
    graph.add_edge(1, 4, osmid=90, **ramp)
    return graph


def segment(network: RoadNetwork, tail: int, head: int) -> int:
    """The segment made from the edge from ``tail`` to ``head``."""
    return [name[:2] for name in network.names].index((tail, head))


@pytest.mark.parametrize("size", [20, 60, 1_000, 20_000])
def test_a_city_is_large_enough_and_strongly_connected(size):
    network = roads(seed=1, size=size)
    assert network.n_segments >= size
    links = network.turn_matrix(np.ones(network.n_turns))
    assert csgraph.connected_components(links, connection="strong")[0] == 1
    assert (np.diff(network.turn_from) >= 0).all()
    assert (network.head[network.turn_from] == network.tail[network.turn_to]).all()


def test_a_city_has_every_type_of_road_and_few_ramps():
    network = roads(seed=0, size=20_000)
    counts = np.bincount(network.road_type, minlength=len(ROAD_TYPES))
    assert counts[0] > counts[1] > counts[2] > 20
    entrances = (network.road_type[network.turn_from] == 1) & (
        network.road_type[network.turn_to] == 2
    )
    assert 0 < entrances.sum() < 0.01 * network.n_turns


def test_the_seed_decides_and_nothing_else():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = roads(0, 200), roads(0, 200), roads(1, 200)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    for field in dataclasses.fields(RoadNetwork):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert first.n_turns != other.n_turns or (first.length != other.length).any()


def test_a_size_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="size is 3; expected at least 20"):
        roads(size=3)
    with pytest.raises(ValueError, match="size is '30'; expected a whole number"):
        roads(size="30")


def test_the_turns_of_a_crossing():
    network = road_network(crossing(), u_turns=False)
    assert (network.n_segments, network.n_turns) == (8, 4 * 3 + 4)
    from_east = segment(network, 1, 0)
    kinds = {
        int(network.head[network.turn_to[t]]): int(network.turn_kind[t])
        for t in range(network.n_turns)
        if network.turn_from[t] == from_east
    }
    assert kinds == {3: 0, 4: 1, 2: 2}  # west is straight on, south left, north right
    dead_end = network.turn_from == segment(network, 0, 1)
    assert network.turn_kind[dead_end].tolist() == [3]


def test_features_are_what_their_names_say():
    graph = crossing()
    for a, b in ((0, 1), (1, 0)):
        graph.edges[a, b, 0].update(length=500.0, speed_kph=60.0, lanes="2", highway="primary")
    network = road_network(graph, u_turns=False)
    turn = network.turns(segment(network, 2, 0), segment(network, 0, 1))
    row = dict(zip(FEATURES, network.features[turn], strict=True))
    assert row == pytest.approx(
        {
            "street km": 0.0,
            "arterial km": 0.5,
            "motorway km": 0.0,
            "minutes": 0.5,
            "single-lane km": 0.0,
            "straight": 0.0,
            "left": 1.0,
            "right": 0.0,
            "change of road": 1.0,
        }
    )
    ends = segment(network, 0, 1), segment(network, 1, 0)
    back = network.turns(*ends)
    assert network.features[back, FEATURES.index("left")] == 2.0
    network = road_network(graph)
    assert network.feature_names == (*FEATURES, "u-turn")
    kinds = network.features[network.turns(*ends), FEATURES.index("straight") :]
    assert kinds.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    np.testing.assert_array_equal(network.features[:, -1], network.turn_kind == 3)


def test_turning_round_in_streets_of_two_directions():
    ring = nx.cycle_graph(4).to_directed()
    for node, (x, y) in enumerate([(0, 0), (100, 0), (100, 100), (0, 100)]):
        ring.nodes[node].update(x=x, y=y)
    nx.set_edge_attributes(ring, dict.fromkeys(ring.edges, EDGE))
    network = road_network(ring)
    assert (network.n_segments, network.n_turns) == (8, 16)
    assert (network.turn_kind == 3).sum() == 8
    assert set(network.left_out.values()) == {0}
    assert repr(network) == "RoadNetwork(8 segments, 16 turns, 4 nodes)"
    one_way = road_network(ring, u_turns=False)
    assert one_way.n_segments == 4
    assert one_way.left_out == {"loops": 0, "out of reach": 4}
    assert repr(one_way).endswith("left out: out of reach 4)")


@pytest.mark.parametrize("told_by", ["key", "length", "both"])
def test_back_by_another_street_is_not_turning_round(told_by):
    graph = crossing()
    for ends in ((0, 1), (1, 0)):
        longer = {} if told_by == "key" else {"length": 180.0}
        key = 7 if told_by == "length" and ends == (1, 0) else 1
        graph.add_edge(*ends, key=key, **(EDGE | longer))
    for u_turns in (True, False):
        network = road_network(graph, u_turns=u_turns)
        number = {name: i for i, name in enumerate(network.names)}
        other = next(name for name in number if name[:2] == (1, 0) and name[2])
        by_the_other = network.turns(number[0, 1, 0], number[other])
        assert network.turn_kind[by_the_other] != 3
        same = network.turns(number[0, 1, 1], number[other])
        assert network.turn_kind[same] == 3 if u_turns else same == -1


def test_a_one_way_street_has_no_other_direction():
    """Out by a third street, one-way, and back by one of two directions is no turning round."""
    graph = crossing()
    graph.add_edge(0, 1, **(EDGE | {"length": 130.0, "oneway": True}))
    network = road_network(graph)
    number = {name: i for i, name in enumerate(network.names)}
    assert network.turn_kind[network.turns(number[0, 1, 1], number[1, 0, 0])] != 3
    assert network.turn_kind[network.turns(number[0, 1, 0], number[1, 0, 0])] == 3


@pytest.mark.parametrize("projected", [False, True])
def test_a_quarter_as_osmnx_writes_it(projected):
    network = road_network(quarter(projected))
    assert network.n_segments == 15
    at = {name[:2]: i for i, name in enumerate(network.names)}
    speed = {ends: network.speed[i] for ends, i in at.items()}
    lanes = {ends: network.lanes[i] for ends, i in at.items()}
    road = {ends: ROAD_TYPES[network.road_type[i]] for ends, i in at.items()}
    assert speed[1, 2] == 60.0
    assert speed[2, 3] == pytest.approx(64.37, abs=0.01)
    assert [speed[ends] for ends in ((2, 4), (3, 5), (4, 5))] == [25.0, 25.0, 30.0]
    assert [speed[ends] for ends in ((4, 6), (5, 6), (1, 4))] == [10.0, 15.0, 30.0]
    assert [lanes[ends] for ends in ((1, 2), (2, 4), (4, 5), (4, 6))] == [2.0, 2.0, 2.0, 1.0]
    assert [road[ends] for ends in ((1, 2), (2, 4), (4, 5), (5, 6))] == [
        "arterial",
        "street",
        "arterial",
        "street",
    ]
    kind = {
        (a, b, c): TURN_KINDS[network.turn_kind[network.turns(at[a, b], at[b, c])]]
        for a, b, c in ((1, 2, 3), (1, 2, 4), (5, 4, 2), (2, 4, 6), (1, 4, 5), (1, 2, 1))
    }
    assert list(kind.values()) == ["straight", "left", "left", "left", "straight", "u-turn"]
    # The track leaves node 5 northwards, though it ends in the west.
    assert TURN_KINDS[network.turn_kind[network.turns(at[3, 5], at[5, 6])]] == "straight"
    assert TURN_KINDS[network.turn_kind[network.turns(at[5, 6], at[6, 4])]] == "left"
    apart = np.linalg.norm(
        network.positions[network.head[at[1, 2]]] - network.positions[network.tail[at[1, 2]]]
    )
    assert apart == pytest.approx(200.0, rel=1e-3)


@pytest.mark.parametrize(
    "crs",
    [
        None,
        "epsg:4326",
        "EPSG:4258",
        4326,
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "+proj=longlat +datum=WGS84",
        {"init": "epsg:4326"},
        'GEOGCRS["WGS 84",ENSEMBLE["World Geodetic System 1984 ensemble"]]',
        SimpleNamespace(is_geographic=True),
        "EPSG:25832",  # not true, as the lengths tell
    ],
)
def test_degrees_are_projected(crs):
    graph, metres = quarter(), road_network(quarter(projected=True))
    graph.graph["crs"] = crs
    network = road_network(graph)
    np.testing.assert_array_equal(network.turn_kind, metres.turn_kind)
    away, expected = (p.positions - p.positions[0] for p in (network, metres))
    np.testing.assert_allclose(away, expected, atol=0.5)


@pytest.mark.parametrize(
    "crs",
    [
        None,
        "EPSG:25832",
        'PROJCRS["UTM 32N",BASEGEOGCRS["WGS 84",ID["EPSG",4326]]]',
        "WGS 84 / UTM",
    ],
)
def test_metres_stay(crs):
    graph = quarter(projected=True)
    graph.graph["crs"] = crs
    network = road_network(graph)
    assert network.positions.min(axis=0).tolist() == [500_000.0, 6_600_000.0]
    small = crossing()  # 100 metres are less than 180, and no degrees
    small.graph["crs"] = crs
    assert np.abs(road_network(small).positions).max() == 100.0


def test_a_place_across_the_180th_meridian():
    graph, moved = quarter(), quarter()
    for _, data in moved.nodes(data=True):
        data["x"] = (data["x"] + 169.998 + 180.0) % 360.0 - 180.0
    for *_, data in moved.edges(data=True):
        if "geometry" in data:
            points = [((x + 349.998) % 360.0 - 180.0, y) for x, y in data["geometry"].coords]
            data["geometry"] = line(*points)
    assert np.ptp([x for _, x in moved.nodes(data="x")]) > 300.0
    here, there = road_network(graph), road_network(moved)
    np.testing.assert_array_equal(here.turn_kind, there.turn_kind)
    np.testing.assert_allclose(here.positions, there.positions, atol=1e-3)


def test_degrees_that_are_none():
    graph = quarter(projected=True)
    graph.graph["crs"] = "epsg:4326"
    with pytest.raises(ValueError, match=r"crs'\] is 'epsg:4326', but y goes up to 6.*latitudes"):
        road_network(graph)


def test_what_is_not_for_cars_is_left_out_where_asked():
    graph = quarter()
    for a, b, highway in ((1, 6, "busway"), (6, 1, "busway"), (2, 5, ["footway", "service"])):
        graph.add_edge(a, b, highway=highway, length=150.0)
    graph.add_edge(2, 2, highway="footway", length=10.0)
    with pytest.raises(ValueError, match=r"edge \(1, 6, 0\) has highway='busway'.*cars_only=True"):
        road_network(graph)
    network = road_network(graph, cars_only=True)
    assert network.n_segments == 15
    assert network.left_out == {"loops": 1, "not for cars": 3, "out of reach": 0}
    assert "left out: loops 1, not for cars 3)" in repr(network)
    graph = nx.MultiDiGraph([(0, 1, {"highway": "steps"})])
    with pytest.raises(ValueError, match=r"graph has no edges to drive on.*'not for cars': 1"):
        road_network(graph, cars_only=True)


def test_all_faults_are_told_at_once():
    graph = quarter()
    graph.add_edge(1, 6, highway="busway", length=150.0)
    graph.add_edge(6, 1, highway="busway", length=150.0)
    graph.add_edge(3, 4, highway="escape", length=-1.0)
    del graph.edges[1, 2, 0]["length"]
    graph.edges[2, 1, 0].update(lanes="0", maxspeed="-5")
    del graph.nodes[6]["y"]
    with pytest.raises(ValueError, match="graph has faults:") as error:
        road_network(graph)
    lines = str(error.value).splitlines()[1:]
    assert len(lines) == 7
    for told in (
        "node 6 has no 'y'",
        "edge (1, 2, 0) has no 'length'",
        "edge (2, 1, 0) has lanes='0'; expected a finite number above 0",
        "edge (2, 1, 0) has maxspeed='-5'; expected a finite number above 0",
        "edge (1, 6, 0) has highway='busway'; expected one of motorway",
        "edge (3, 4, 0) has highway='escape'; expected one of motorway",
        "edge (3, 4, 0) has length=-1.0; expected",
    ):
        assert any(line.startswith(told) for line in lines), told
    assert any(line.endswith("(and 1 more: edge (6, 1, 0))") for line in lines)


def test_one_way_streets_of_undirected_graphs():
    directed = quarter()
    graph = nx.MultiGraph(crs=directed.graph["crs"])
    graph.add_nodes_from(directed.nodes(data=True))
    for a, b, data in directed.edges(data=True):
        if not data["reversed"]:
            graph.add_edge(b, a, **data, **{"from": a, "to": b})
    network = road_network(graph)
    assert network.n_segments == 15
    one_way = [name for name in network.names if {1, 4} == set(name[:2])]
    assert [name[:2] for name in one_way] == [(1, 4)]


@pytest.mark.parametrize("option", ["u_turns", "cars_only"])
def test_options_are_true_or_false(option):
    with pytest.raises(ValueError, match=f"{option} is 'no'; expected True or False"):
        road_network(crossing(), **{option: "no"})


def test_every_turn_is_found_and_no_other():
    network = roads(seed=2, size=60)
    np.testing.assert_array_equal(
        network.turns(network.turn_from, network.turn_to), np.arange(network.n_turns)
    )
    pairs = set(zip(network.turn_from.tolist(), network.turn_to.tolist(), strict=True))
    for i in range(network.n_segments):
        for j in range(network.n_segments):
            assert (network.turns(i, j) >= 0) == ((i, j) in pairs)
    for bad in (np.nan, -1, 1.0, network.n_segments, "a"):
        with pytest.raises(ValueError, match=r"origins is .*expected segments"):
            network.turns(bad, 0)
        with pytest.raises(ValueError, match=r"targets is .*expected segments"):
            network.turns(0, bad)


def test_a_graph_and_back():
    network = roads(seed=0, size=1_000)
    again = road_network(graph_of(network), u_turns=False)
    assert (again.n_segments, again.n_turns) == (network.n_segments, network.n_turns)
    order = np.lexsort((network.length, network.head, network.tail))
    other = np.lexsort((again.length, again.head, again.tail))
    np.testing.assert_allclose(network.length[order], again.length[other])
    np.testing.assert_array_equal(network.road_type[order], again.road_type[other])
    np.testing.assert_allclose(network.features.sum(axis=0), again.features.sum(axis=0))


def test_simple_and_undirected_graphs_and_lists_of_values_will_do():
    graph = nx.Graph()
    for node, (x, y) in enumerate([(0, 0), (100, 0), (0, 100)]):
        graph.add_node(node, x=x, y=y)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        graph.add_edge(a, b, **(EDGE | {"lanes": ["2", "3"], "highway": ["trunk_link", "road"]}))
    graph.add_edge(0, 0, **EDGE)  # a loop
    network = road_network(graph)
    assert network.n_segments == 6
    assert network.left_out == {"loops": 1, "out of reach": 0}
    assert (network.lanes == 2).all()
    assert (network.road_type == ROAD_TYPES.index("motorway")).all()


def test_what_cannot_be_reached_is_left_out():
    graph = crossing()
    graph.add_node(9, x=500.0, y=0.0)
    graph.add_edge(1, 9, **EDGE)  # one way, and no way out
    network = road_network(graph)
    assert (1, 9, 0) not in network.names
    assert network.n_segments == 8
    assert network.left_out == {"loops": 0, "out of reach": 1}


@pytest.mark.parametrize("attribute", ["length", "highway"])
def test_a_missing_attribute_is_named(attribute):
    graph = crossing()
    del graph.edges[3, 0, 0][attribute]
    with pytest.raises(ValueError, match=rf"edge \(3, 0, 0\) has no '{attribute}'"):
        road_network(graph)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("length", 0.0),
        ("length", -5),
        ("speed_kph", float("nan")),
        ("speed_kph", "fast"),
        ("length", []),
        ("lanes", -2),
        ("highway", "footway"),
    ],
)
def test_a_bad_attribute_is_named(attribute, value):
    graph = crossing()
    graph.edges[3, 0, 0][attribute] = value
    with pytest.raises(ValueError, match=rf"edge \(3, 0, 0\) has {attribute}=.*expected"):
        road_network(graph)


@pytest.mark.parametrize("value", [None, [], float("nan"), "yes", [None, ""]])
def test_lanes_and_speeds_that_are_not_known_are_those_of_the_class(value):
    graph = crossing()
    for *_, data in graph.edges(data=True):
        del data["speed_kph"]
        data |= {"lanes": value, "maxspeed": value, "highway": "secondary_link"}
    network = road_network(graph)
    assert set(network.lanes) == {2.0}
    assert set(network.speed) == {25.0}


@pytest.mark.parametrize("name", sorted(HIGHWAYS))
@pytest.mark.parametrize("ramp", ["", "_link"])
def test_every_class_has_a_type_and_a_speed(name, ramp):
    graph = crossing()
    for *_, data in graph.edges(data=True):
        del data["speed_kph"]
        data["highway"] = name + ramp
    network = road_network(graph)
    road, fast, slow = HIGHWAYS[name]
    assert set(network.speed) == {slow if ramp else fast}
    assert {ROAD_TYPES[kind] for kind in network.road_type} == {road}
    assert sorted(HIGHWAYS, key=lambda each: -ROAD_TYPES.index(HIGHWAYS[each][0])) == list(HIGHWAYS)


def test_nodes_need_places():
    graph = crossing()
    del graph.nodes[2]["x"]
    with pytest.raises(ValueError, match="node 2 has no 'x'"):
        road_network(graph)


def test_graphs_that_are_no_street_networks():
    with pytest.raises(ValueError, match="graph has no edges"):
        road_network(nx.MultiDiGraph())
    with pytest.raises(ValueError, match="graph is a list; expected a networkx graph"):
        road_network([(0, 1)])
    graph = nx.DiGraph()
    graph.add_node(0, x=0.0, y=0.0)
    graph.add_node(1, x=1.0, y=0.0)
    graph.add_edge(0, 1, **EDGE)
    with pytest.raises(ValueError, match="no two segments of the network can be reached"):
        road_network(graph)


def test_the_mdp_refuses_what_is_no_segment():
    network = roads(seed=0, size=60)
    with pytest.raises(ValueError, match="destination is 1000; expected segments"):
        network.mdp(1000, np.zeros(len(FEATURES)))
    with pytest.raises(ValueError, match="weights has shape"):
        network.mdp(0, np.zeros(3))
