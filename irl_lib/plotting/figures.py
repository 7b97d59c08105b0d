"""Figures of the book."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from irl_lib.support.checks import (
    Array,
    as_array,
    check_array,
    check_count,
    check_numbers,
    check_real,
    check_type,
)
from irl_lib.worlds.base import World
from irl_lib.worlds.lands import CELL, COVERS, LENGTHS, Terrain
from irl_lib.worlds.mazes import Maze
from irl_lib.worlds.streets import ROAD_TYPES, RoadNetwork

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle
except ImportError as error:
    raise ImportError('irl_lib.plotting needs matplotlib: pip install "irl_lib[plot]"') from error

# After Okabe and Ito (2008): told apart by colour-blind readers, on white and on grey.
COLORS = {
    "expert": "#0072B2",
    "learner": "#D55E00",
    "previous": "#009E73",
    "truth": "#000000",
    "neutral": "#8C8C8C",
}
LINES = ("expert", "learner", "previous", "neutral")
CARD = "#FBFBF8"
STYLE: Any = {
    "axes.facecolor": CARD,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.labelsize": 11,
    "axes.prop_cycle": f"cycler(color={[COLORS[name] for name in LINES]})",
    "figure.facecolor": CARD,
    "savefig.facecolor": CARD,
    "font.size": 11,
    "grid.color": "#E2E2DC",
    "image.cmap": "cividis",
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}
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
MAX_BYTES = 500_000  # of an animation


def figure(
    columns: int = 1, rows: int = 1, width: float = 7.0, height: float | None = None, **options: Any
) -> tuple[Figure, Any]:
    """A figure in the book's style, and its axes.

    Args:
        columns: panels side by side.
        rows: panels below each other.
        width: in inches.
        height: in inches; default: panels three quarters as high as wide.
        options: of ``Figure.subplots``, such as ``sharey``.

    Returns:
        The figure, and one axes object or an array of them.

    Raises:
        ValueError: for sizes that are not above 0.
    """
    columns, rows = check_count("columns", columns), check_count("rows", rows)
    wide = check_real("width", width, 0.0, open_end=True)
    tall = 0.75 * wide / columns * rows if height is None else height
    tall = check_real("height", tall, 0.0, open_end=True)
    with mpl.rc_context(STYLE):
        fig = BookFigure(figsize=(wide, tall), layout="constrained")
        return fig, fig.subplots(rows, columns, subplot_kw={"axes_class": BookAxes}, **options)


def shades(n: int) -> list[Any]:
    """``n`` colours from light to dark, for curves that have an order."""
    return [mpl.colormaps["cividis_r"](x) for x in np.linspace(0.2, 1.0, check_count("n", n))]


class BookFigure(Figure):
    """A figure that a notebook shows without pyplot, as PNG."""

    def _repr_png_(self) -> bytes:
        return _png(self, 110)


class BookAxes(Axes):
    """Axes whose titles, lines and legends have the book's style, whenever they are drawn."""

    def set_title(self, *args: Any, **options: Any) -> Any:
        """As matplotlib's."""
        with mpl.rc_context(STYLE):
            return super().set_title(*args, **options)

    def plot(self, *args: Any, **options: Any) -> Any:
        """As matplotlib's."""
        with mpl.rc_context(STYLE):
            return super().plot(*args, **options)

    def legend(self, *args: Any, **options: Any) -> Any:
        """As matplotlib's."""
        with mpl.rc_context(STYLE):
            return super().legend(*args, **options)


def heatmap(ax: Any, world: World, values: ArrayLike, label: str = "", **options: Any) -> Any:
    """Colour the cells of a grid by a value per state ``(S,)``; NaN stays blank.

    Args:
        ax: where to draw.
        world: states at whole-numbered positions.
        values: ``(S,)``.
        label: of the colour bar; none without.
        options: of ``pcolormesh``, such as ``vmin`` and ``cmap``.

    Raises:
        ValueError: when there is not one value per state.
    """
    check_type("ax", ax, Axes)
    x, y = _positions(world).T
    flat = check_numbers("values", values)
    if flat.shape != x.shape:
        raise ValueError(f"values has shape {flat.shape}; expected {x.shape}, one for each state")
    left, bottom = x.min(), y.min()
    table = np.full((int(y.max() - bottom) + 1, int(x.max() - left) + 1), np.nan)
    table[(y - bottom).astype(int), (x - left).astype(int)] = flat
    height, width = table.shape
    edges = left - 0.5 + np.arange(width + 1), bottom - 0.5 + np.arange(height + 1)
    mesh = ax.pcolormesh(*edges, table, **({"cmap": "cividis"} | options))
    _bare(ax)
    if check_type("label", label, str):
        ax.figure.colorbar(mesh, ax=ax, label=label, shrink=0.8)
    return mesh


def arrows(ax: Any, world: World, policy: ArrayLike, color: str = "white", **options: Any) -> Any:
    """One arrow per state: the expected displacement under a policy ``(S, A)``.

    Raises:
        ValueError: when the policy has another shape.
    """
    _check_canvas(ax, color)
    where, mdp = _positions(world), world.mdp
    table = check_array("policy", policy, (mdp.n_states, mdp.n_actions))
    move = np.asarray(mdp.policy_matrix(table) @ where) - where
    kept = np.linalg.norm(move, axis=1) > 1e-3
    move /= max(float(np.linalg.norm(move, axis=1).max()), 1e-3)
    settings = {"angles": "xy", "scale_units": "xy", "scale": 1.3, "pivot": "mid", "width": 0.008}
    return ax.quiver(*where[kept].T, *move[kept].T, color=color, **(settings | options))


def trajectories(
    ax: Any,
    world: World,
    states: Sequence[ArrayLike],
    color: str = COLORS["expert"],
    spread: float = 0.12,
) -> None:
    """Draw paths of states, each a little beside the others, with a dot where it ends."""
    _check_canvas(ax, color)
    where, aside = _positions(world), check_real("spread", spread, 0.0)
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
    for road in range(ROAD_TYPES.index(smallest), len(ROAD_TYPES)):
        width, grey = ROAD_WIDTHS[road], ROAD_GREYS[road]
        mine = lines[once[network.road_type[once] == road]]
        style: Any = {
            "linewidths": width,
            "colors": grey,
            "zorder": 1,
            "rasterized": True,
        } | options
        ax.add_collection(LineCollection(list(mine), **style))
    ax.set(xlabel="km", ylabel="km", aspect="equal")
    ax.grid(visible=False)
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


# --- maps ---------------------------------------------------------------------------------------


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
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), aspect="equal", xticks=[0, 0.5, 1])
    ax.set(yticks=[0, 0.5, 1])
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
    ax.set(xlabel="km", ylabel="km")
    ax.grid(visible=False)
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
    ax.set(xlabel="km", ylabel="km")
    ax.grid(visible=False)
    if check_type("label", label, str):
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
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


def _positions(world: Any) -> Array:
    """``(S, 2)``, of anything that has positions."""
    if not hasattr(world, "positions"):
        raise TypeError(f"world is {world!r}; expected a world, with positions")
    return check_numbers("world.positions", world.positions)


def _path(name: str, value: ArrayLike, n: int) -> NDArray[np.int64]:
    """A sequence of whole numbers below n, at least one."""
    path = as_array(name, value)
    if path.ndim != 1 or path.dtype.kind not in "iu" or not 0 <= path.min() <= path.max() < n:
        raise ValueError(
            f"{name} is {value!r}; expected a sequence of whole numbers from 0 to {n - 1}"
        )
    return path.astype(np.int64)


def _on_the_map(land: Terrain) -> dict[str, Any]:
    side = land.size * CELL / 1000.0
    return {"origin": "lower", "extent": (0.0, side, 0.0, side), "interpolation": "nearest"}


def _light(elevation: Any) -> Any:
    """``(n, n)``: how light slopes are, 1 where it is flat."""
    dy, dx = np.gradient(elevation, CELL)
    return np.clip((1.0 + 0.6 * dx - 0.6 * dy) / np.hypot(1.0, np.hypot(dx, dy)), 0.55, 1.25)


# --- animations ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Player:
    """An animation as a piece of HTML that needs nothing but a browser; made by :func:`player`."""

    name: str
    alt: str
    interval: int
    frames: tuple[bytes, ...]
    """PNG files."""
    still: int
    """The frame that is shown first, in print, and where scripts are off."""

    def __repr__(self) -> str:
        return f"Player({self.name!r}, {len(self.frames)} frames)"

    def _repr_html_(self) -> str:
        alt = html.escape(self.alt)
        images = "".join(
            f'<img alt="{alt}" {"class=still" if i == self.still else "hidden"} '
            f'src="data:image/png;base64,{base64.b64encode(frame).decode()}">'
            for i, frame in enumerate(self.frames)
        )
        fields = {
            "NAME": self.name,
            "LABEL": html.escape(self.alt.split(".")[0]),
            "LAST": str(len(self.frames) - 1),
            "COUNT": str(len(self.frames)),
            "START": str(self.still),
            "SHOWN": str(self.still + 1),
            "INTERVAL": str(self.interval),
            "IMAGES": images,
        }
        return re.sub("@([A-Z]+)@", lambda match: fields[match[1]], TEMPLATE)


TEMPLATE = """<div id="player-@NAME@" role="group" aria-label="Animation: @LABEL@">
<style>
#player-@NAME@ img { max-width: 100%; height: auto; }
#player-@NAME@ [hidden] { display: none !important; }
#player-@NAME@ .controls { display: flex; gap: 0.5rem; align-items: center; flex-wrap: wrap; }
#player-@NAME@ button { font: inherit; color: inherit; background: transparent; min-height: 2.2rem;
  border: 1px solid currentColor; border-radius: 4px; padding: 0.2rem 0.8rem; cursor: pointer; }
#player-@NAME@ input { flex: 1 1 8rem; min-width: 6rem; }
@media print {
  #player-@NAME@ .controls, #player-@NAME@ img { display: none !important; }
  #player-@NAME@ img.still, #player-@NAME@ img.still[hidden] { display: block !important; }
}
</style>
@IMAGES@
<div class="controls" hidden>
<button type="button" data-do="back">Back</button>
<button type="button" data-do="play">Play</button>
<button type="button" data-do="next">Next</button>
<input type="range" min="0" max="@LAST@" value="@START@" aria-label="Frame">
<span>@SHOWN@ / @COUNT@</span>
</div>
<noscript><p>The picture is one frame of an animation, which needs scripts to be
allowed.</p></noscript>
<script>
(() => {
  const root = document.getElementById("player-@NAME@");
  const frames = root.querySelectorAll("img"), last = @LAST@;
  const slider = root.querySelector("input"), count = root.querySelector("span");
  const play = root.querySelector("[data-do=play]");
  let at = @START@, timer = null;
  const show = (i) => {
    at = i;
    frames.forEach((frame, j) => { frame.hidden = j !== i; });
    slider.value = i;
    slider.setAttribute("aria-valuetext", `Frame ${i + 1} of ${last + 1}`);
    count.textContent = `${i + 1} / ${last + 1}`;
  };
  const pause = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  const tick = () => { if (at === last) { pause(); } else { show(at + 1); } };
  const start = () => {
    if (at === last) { show(0); }
    timer = setInterval(tick, @INTERVAL@);
    play.textContent = "Pause";
  };
  const go = (i) => { pause(); show(Math.min(Math.max(i, 0), last)); };
  play.addEventListener("click", () => { if (timer) { pause(); } else { start(); } });
  root.querySelector("[data-do=back]").addEventListener("click", () => go(at - 1));
  root.querySelector("[data-do=next]").addEventListener("click", () => go(at + 1));
  slider.addEventListener("input", () => go(Number(slider.value)));
  root.querySelector(".controls").hidden = false;
  show(at);
})();
</script>
</div>"""


def player(
    draw: Callable[[int], Figure],
    n_frames: int,
    alt: str,
    name: str,
    interval: int = 300,
    dpi: int = 72,
    still: int = -1,
) -> Player:
    """An animation with play, pause and a slider, usable by keyboard, with a still picture for
    print.

    Nothing moves before the reader asks for it, as those who prefer reduced motion need it.

    Args:
        draw: gives the figure of frame ``0 .. n_frames - 1``.
        n_frames: how many.
        alt: what there is to see, for someone who can't see it.
        name: small letters, digits and dashes; no other player on the page may have it.
        interval: milliseconds per frame.
        dpi: pixels per inch.
        still: the frame to show first, and in print.

    Raises:
        ValueError: for a bad argument, or when the pictures take more than 500 kB.
    """
    n_frames, interval = check_count("n_frames", n_frames), check_count("interval", interval)
    still = check_count("still", still, least=-n_frames, most=n_frames - 1)
    check_count("dpi", dpi)
    if not callable(draw):
        raise ValueError(f"draw is {draw!r}; expected a function")
    check_type("name", name, str), check_type("alt", alt, str)
    if not re.fullmatch("[a-z][a-z0-9-]*", name) or len(alt) < 20:
        raise ValueError(
            f"name is {name!r} and alt is {alt!r}; expected a-z, 0-9 and dashes, and a description"
        )
    frames = tuple(_small(_png(draw(i), dpi)) for i in range(n_frames))
    size = sum(map(len, frames)) * 4 // 3
    if size > MAX_BYTES:
        raise ValueError(
            f"the {n_frames} frames take {size:,} bytes; expected at most {MAX_BYTES:,}: draw "
            "fewer or smaller ones"
        )
    return Player(name, alt, interval, frames, still % n_frames)


def _png(fig: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _small(png: bytes) -> bytes:
    """The same picture with a palette of 64 colours."""
    from PIL import Image  # comes with matplotlib

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        method = Image.Quantize.MAXCOVERAGE  # so that few pixels of a colour keep it
        reduced = image.convert("RGB").quantize(64, method, dither=Image.Dither.NONE)
        reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _bare(ax: Any) -> None:
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
