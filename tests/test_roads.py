"""Street networks: what a generated city is like, what a graph becomes, and what is refused."""

from __future__ import annotations

import dataclasses
import sys

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csgraph

from irl_lib.worlds import RoadNetwork, road_network, roads
from irl_lib.worlds.roads import FEATURES, ROAD_TYPES

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


def test_the_turns_of_a_crossing():
    network = road_network(crossing())
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
    network = road_network(graph)
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
    back = network.turns(segment(network, 0, 1), segment(network, 1, 0))
    assert network.features[back, FEATURES.index("left")] == 2.0


def test_every_turn_is_found_and_no_other():
    network = roads(seed=2, size=60)
    np.testing.assert_array_equal(
        network.turns(network.turn_from, network.turn_to), np.arange(network.n_turns)
    )
    pairs = set(zip(network.turn_from.tolist(), network.turn_to.tolist(), strict=True))
    for i in range(network.n_segments):
        for j in range(network.n_segments):
            assert (network.turns(i, j) >= 0) == ((i, j) in pairs)


def test_a_graph_and_back():
    network = roads(seed=0, size=1_000)
    again = road_network(network.graph())
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
    assert network.n_segments == 3  # one way round: the other one can't be reached from it
    assert (network.lanes == 2).all()
    assert (network.road_type == ROAD_TYPES.index("motorway")).all()


def test_what_cannot_be_reached_is_left_out():
    graph = crossing()
    graph.add_node(9, x=500.0, y=0.0)
    graph.add_edge(1, 9, **EDGE)  # one way, and no way out
    network = road_network(graph)
    assert (1, 9, 0) not in network.names
    assert network.n_segments == 8


@pytest.mark.parametrize("attribute", sorted(EDGE))
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
        ("lanes", None),
        ("lanes", []),
        ("highway", "footway"),
    ],
)
def test_a_bad_attribute_is_named(attribute, value):
    graph = crossing()
    graph.edges[3, 0, 0][attribute] = value
    with pytest.raises(ValueError, match=rf"edge \(3, 0, 0\) has {attribute}=.*expected"):
        road_network(graph)


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


def test_without_networkx_the_error_names_the_extra(monkeypatch):
    network = roads(seed=0, size=60)
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match=r"irl_lib\[roads\]"):
        network.graph()
