"""Problems to solve, each a :class:`irl_lib.worlds.base.World`; those that draw take a ``seed``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from irl_lib.support.lazy import lazily
from irl_lib.worlds.base import World
from irl_lib.worlds.grids import gridworld
from irl_lib.worlds.lands import TRAVELLERS, Terrain, terrain, travel_costs, traveller
from irl_lib.worlds.languages import Language, sums, variable_memory
from irl_lib.worlds.lattice import Lattice, LatticePolicy
from irl_lib.worlds.mazes import Maze, MazeGrid, maze_grid
from irl_lib.worlds.objects import MapWorld, binaryworld, objectworld
from irl_lib.worlds.streets import RoadNetwork, road_network, roads
from irl_lib.worlds.textbook import chain, gamble, random_mdp, two_goal

if TYPE_CHECKING:
    from irl_lib.worlds.batches import batched
    from irl_lib.worlds.environments import cartpole, point_maze

__all__ = [
    "TRAVELLERS",
    "Language",
    "Lattice",
    "LatticePolicy",
    "MapWorld",
    "Maze",
    "MazeGrid",
    "RoadNetwork",
    "Terrain",
    "World",
    "batched",
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
    "sums",
    "terrain",
    "travel_costs",
    "traveller",
    "two_goal",
    "variable_memory",
]

__getattr__ = lazily(
    __name__,
    {
        "batched": "irl_lib.worlds.batches",
        "cartpole": "irl_lib.worlds.environments",
        "environments": "irl_lib.worlds.environments",
        "point_maze": "irl_lib.worlds.environments",
    },
)

if "gymnasium" in sys.modules:  # which takes as long to import as all of this package
    from irl_lib.worlds import environments  # noqa: F401
