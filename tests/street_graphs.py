"""A street network as a graph, with the attributes that ``worlds.road_network`` reads."""

from __future__ import annotations

import networkx as nx

from irl_lib.worlds import RoadNetwork
from irl_lib.worlds.streets import ROAD_TYPES


def graph_of(network: RoadNetwork) -> nx.MultiDiGraph:
    """The nodes and the segments of a network."""
    graph = nx.MultiDiGraph()
    for node, (x, y) in enumerate(network.positions.tolist()):
        graph.add_node(node, x=x, y=y)
    for i, ends in enumerate(zip(network.tail.tolist(), network.head.tolist(), strict=True)):
        graph.add_edge(
            *ends,
            length=float(network.length[i]),
            speed_kph=float(network.speed[i]),
            lanes=int(network.lanes[i]),
            highway=ROAD_TYPES[network.road_type[i]],
        )
    return graph
