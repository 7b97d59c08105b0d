r"""Figures: one style, one palette with fixed meanings, and a player for animations.

The only module that imports matplotlib.  Nothing global is changed: :func:`figure` applies the
style to the figure that it makes.  Every figure has a light background of its own, so that it is
readable on a dark page.
"""

from irl_lib.plotting.figures import (
    CARD,
    COLORS,
    COVER_COLORS,
    LINES,
    MAX_BYTES,
    ROAD_GREYS,
    ROAD_WIDTHS,
    STYLE,
    TEMPLATE,
    WALL,
    BookAxes,
    BookFigure,
    Player,
    arrows,
    cost_map,
    figure,
    heatmap,
    maze_map,
    path,
    player,
    road_map,
    route,
    shades,
    terrain_map,
    trajectories,
)

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
    "arrows",
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
