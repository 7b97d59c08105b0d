"""Maps of streets, mazes and land, and the ways through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from irl_lib.plotting.figures import COLORS, color_bar, positions_of
from irl_lib.support.checks import as_array, check_array, check_real, check_type
from irl_lib.worlds.base import Index, World
from irl_lib.worlds.lands import CELL, COVERS, LENGTHS, Terrain
from irl_lib.worlds.mazes import Maze
from irl_lib.worlds.streets import ROAD_TYPES, RoadNetwork

ROAD_WIDTHS = (0.35, 0.9, 2.0)  # points: street, arterial, motorway
ROAD_GREYS = ("#D3D3CC", "#B0B0A8", "#85857C")
COVER_COLORS = {  # pale, so that paths stand out; told apart by lightness where not by hue
    "grass": "#E4E8C0",
    "scrub": "#C9D39B",
    "forest": "#93B083",
    "swamp": "#B9A9C9",
    "rock": "#D2CCC4",
    "water": "#9CC3E0",
}
DEEP, CLIFF = "#5F8FB8", "#8F877F"  # what nobody enters
WALL = "#5B5B57"
TRAIL, ROAD = "#9A7B4F", "#4A4440"


def trajectories(
    ax: Any,
    world: World,
    states: Sequence[ArrayLike],
    color: str = COLORS["expert"],
    spread: float = 0.12,
) -> None:
    """Draw paths of states, each a little beside the others, with a dot where it ends."""
    _check_canvas(ax, color)
    where, aside = positions_of(world), check_real("spread", spread, 0.0)
    if isinstance(states, str) or not np.iterable(states):
        raise ValueError(f"states is {states!r}; expected a sequence of paths")
    for i, path in enumerate(states):
        angle = 2.4 * i  # the golden angle: neighbours are far apart
        points = where[_path(f"states[{i}]", path, len(where))]
        points = points + aside * np.array([np.cos(angle), np.sin(angle)])
        ax.plot(*points.T, color=color, alpha=0.6, linewidth=1.5)
        ax.plot(*points[-1], "o", color=color, markersize=4)


def road_map(ax: Any, network: RoadNetwork, smallest: str = "street", **options: Any) -> None:
    """Draw a street network, larger roads darker and wider; axes in kilometres.

    Args:
        ax: where to draw.
        network: what to draw.
        smallest: the type of the smallest roads to draw, one of ``ROAD_TYPES``.
        options: of ``LineCollection``.

    Raises:
        ValueError: when ``smallest`` is no type of road.
    """
    check_type("ax", ax, Axes)
    check_type("network", network, RoadNetwork)
    if not isinstance(smallest, str) or smallest not in ROAD_TYPES:
        raise ValueError(f"smallest is {smallest!r}; expected one of {', '.join(ROAD_TYPES)}")
    points = network.positions / 1000.0
    lines = np.stack([points[network.tail], points[network.head]], axis=1)
    ends = np.sort(np.stack([network.tail, network.head], axis=1), axis=1)
    once = np.unique(ends, axis=0, return_index=True)[1]  # both directions are one line
    style: Any = {"zorder": 1, "rasterized": True} | options
    for road in range(ROAD_TYPES.index(smallest), len(ROAD_TYPES)):
        mine = lines[once[network.road_type[once] == road]]
        look = {"linewidths": ROAD_WIDTHS[road], "colors": ROAD_GREYS[road]} | style
        ax.add_collection(LineCollection(list(mine), **look))
    _kilometres(ax)
    ax.set_aspect("equal")
    ax.autoscale_view()


def route(
    ax: Any,
    network: RoadNetwork,
    segments: ArrayLike,
    color: str = COLORS["expert"],
    **options: Any,
) -> Any:
    """Draw a route, from the end of its first segment on; ``options`` are those of ``plot``."""
    _check_canvas(ax, color)
    path = _path("segments", segments, check_type("network", network, RoadNetwork).n_segments)
    points = network.positions[network.head[path]] / 1000.0
    return ax.plot(*points.T, color=color, **({"linewidth": 2.5, "zorder": 3} | options))[0]


def maze_map(ax: Any, maze: Maze) -> None:
    """Draw a maze: walls, a square around where episodes start, a star at the goal."""
    check_type("ax", ax, Axes)
    for left, bottom, right, top in check_type("maze", maze, Maze).walls:
        corner, width, height = (left, bottom), right - left, top - bottom
        ax.add_patch(Rectangle(corner, width, height, facecolor=WALL, zorder=2))
    low, high = maze.start_box
    outline: Any = {"fill": False, "linestyle": ":", "edgecolor": COLORS["truth"], "zorder": 2}
    width, height = (high - low).tolist()
    ax.add_patch(Rectangle((low[0], low[1]), width, height, **outline))
    ax.plot(*maze.goal, "*", color="white", markeredgecolor="black", markersize=13, zorder=5)
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), aspect="equal")
    ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    ax.grid(visible=False)


def terrain_map(ax: Any, land: Terrain) -> list[Patch]:
    """Draw a map: land cover, lit from the north-west, with roads and trails; axes in kilometres.

    Returns:
        What a legend of the land cover needs, ``ax.legend(handles=...)``.
    """
    palette = np.array([mpl.colors.to_rgb(COVER_COLORS[name]) for name in COVERS])
    check_type("ax", ax, Axes)
    picture = palette[check_type("land", land, Terrain).cover]
    water = land.cover == COVERS.index("water")
    picture[land.blocked] = mpl.colors.to_rgb(CLIFF)
    picture[land.blocked & water] = mpl.colors.to_rgb(DEEP)
    picture *= np.where(water, 1.0, _light(land.elevation))[..., None]
    picture[land.trail] = mpl.colors.to_rgb(TRAIL)
    picture[land.road] = mpl.colors.to_rgb(ROAD)
    ax.imshow(np.clip(picture, 0.0, 1.0), **_on_the_map(land))
    _kilometres(ax)
    colors = COVER_COLORS | {"deep water": DEEP, "cliff": CLIFF, "trail": TRAIL, "road": ROAD}
    return [Patch(color=color, label=name) for name, color in colors.items()]


def cost_map(
    ax: Any, land: Terrain, reward: ArrayLike, label: str = "cost per cell", **options: Any
) -> Any:
    """Colour the cells of a map by what crossing them costs, averaged over the moves out of them;
    what can't be entered stays blank.

    Args:
        ax: where to draw.
        land: the map.
        reward: ``(S, 8)``, costs being negative.
        label: of the colour bar; none without.
        options: of ``imshow``, such as ``vmax`` and ``cmap``.

    Raises:
        ValueError: when there is not one reward for each cell and move.
    """
    check_type("ax", ax, Axes)
    table = check_array("reward", reward, check_type("land", land, Terrain).targets.shape)
    cost = np.mean(-table / LENGTHS, axis=1).reshape(land.blocked.shape)
    settings = {"cmap": "cividis"} | _on_the_map(land) | options
    image = ax.imshow(np.where(land.blocked, np.nan, cost), **settings)
    _kilometres(ax)
    color_bar(ax, image, label)
    return image


def path(
    ax: Any, land: Terrain, states: ArrayLike, color: str = COLORS["expert"], **options: Any
) -> Any:
    """Draw a path over a map, with a light edge and a dot where it ends; ``options`` are those of
    ``plot``.
    """
    _check_canvas(ax, color)
    places = check_type("land", land, Terrain).positions
    points = (places[_path("states", states, len(places))] + 0.5) * CELL / 1000.0
    style: Any = {"linewidth": 2.2, "zorder": 3} | options
    ax.plot(*points.T, color="white", alpha=0.8, zorder=2, linewidth=style["linewidth"] + 1.5)
    ax.plot(*points[-1], "o", color=color, markersize=5, zorder=style["zorder"])
    return ax.plot(*points.T, color=color, **style)[0]


def _check_canvas(ax: Any, color: Any) -> None:
    check_type("ax", ax, Axes)
    if not mpl.colors.is_color_like(color):
        raise ValueError(f"color is {color!r}; expected a colour of matplotlib's")


def _path(name: str, value: ArrayLike, n: int) -> Index:
    """A sequence of whole numbers below n, at least one."""
    path = as_array(name, value)
    if path.ndim != 1 or path.dtype.kind not in "iu" or not 0 <= path.min() <= path.max() < n:
        raise ValueError(
            f"{name} is {value!r}; expected a sequence of whole numbers from 0 to {n - 1}"
        )
    return path.astype(np.int64)


def _kilometres(ax: Any) -> None:
    ax.set(xlabel="km", ylabel="km")
    ax.grid(visible=False)


def _on_the_map(land: Terrain) -> dict[str, Any]:
    side = land.size * CELL / 1000.0
    return {"origin": "lower", "extent": (0.0, side, 0.0, side), "interpolation": "nearest"}


def _light(elevation: Any) -> Any:
    """``(n, n)``: how light slopes are, 1 where it is flat."""
    dy, dx = np.gradient(elevation, CELL)
    return np.clip((1.0 + 0.6 * dx - 0.6 * dy) / np.hypot(1.0, np.hypot(dx, dy)), 0.55, 1.25)
