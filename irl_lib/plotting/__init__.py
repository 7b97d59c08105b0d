r"""Figures: one style, one palette with fixed meanings, and a player for animations.

The only room that imports matplotlib.  Nothing global is changed: :func:`figure` applies the
style to the figure that it makes.  Every figure has a light background of its own, so that it is
readable on a dark page.
"""

from irl_lib.plotting.figures import (
    CARD,
    COLORS,
    LINES,
    STYLE,
    BookAxes,
    BookFigure,
    figure,
    heatmap,
    shades,
)
from irl_lib.plotting.maps import (
    COVER_COLORS,
    ROAD_GREYS,
    ROAD_WIDTHS,
    WALL,
    cost_map,
    maze_map,
    path,
    road_map,
    route,
    terrain_map,
    trajectories,
)
from irl_lib.plotting.players import MAX_BYTES, TEMPLATE, Player, player

__all__ = [
    "CARD",
    "COLORS",
    "COVER_COLORS",
    "LINES",
    "MAX_BYTES",
    "ROAD_GREYS",
    "ROAD_WIDTHS",
    "STYLE",
    "TEMPLATE",
    "WALL",
    "BookAxes",
    "BookFigure",
    "Player",
    "cost_map",
    "figure",
    "heatmap",
    "maze_map",
    "path",
    "player",
    "road_map",
    "route",
    "shades",
    "terrain_map",
    "trajectories",
]
