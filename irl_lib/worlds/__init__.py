"""Problems to solve, each a :class:`irl_lib.worlds.base.World`; those that draw take a ``seed``."""

import sys

from irl_lib.worlds.base import World
from irl_lib.worlds.cartpole import cartpole
from irl_lib.worlds.gridworld import gridworld
from irl_lib.worlds.lattice import Lattice, LatticePolicy
from irl_lib.worlds.objectworld import MapWorld, binaryworld, objectworld
from irl_lib.worlds.point_maze import Maze, MazeGrid, maze_grid, point_maze
from irl_lib.worlds.roads import RoadNetwork, road_network, roads
from irl_lib.worlds.terrain import TRAVELLERS, Terrain, terrain, travel_costs, traveller
from irl_lib.worlds.textbook import chain, gamble, random_mdp, two_goal

__all__ = [
    "TRAVELLERS",
    "Lattice",
    "LatticePolicy",
    "MapWorld",
    "Maze",
    "MazeGrid",
    "RoadNetwork",
    "Terrain",
    "World",
    "binaryworld",
    "cartpole",
    "chain",
    "gamble",
    "gridworld",
    "maze_grid",
    "objectworld",
    "point_maze",
    "random_mdp",
    "road_network",
    "roads",
    "terrain",
    "travel_costs",
    "traveller",
    "two_goal",
]

if "gymnasium" in sys.modules:  # which takes as long to import as all of this package
    from irl_lib.worlds import environments  # noqa: F401
