"""Figures of the book, and their style."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.support.checks import Array, check_count, check_numbers, check_real, check_type
from irl_lib.worlds.base import World

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image  # comes with matplotlib
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
DPI = 110  # pixels of the page for each inch of a figure
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
    """A figure that a notebook shows without pyplot: a PNG of two pixels for one of the page's."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        made = png(self, 2 * DPI)
        with Image.open(io.BytesIO(made)) as image:
            width, height = image.size
        return made, {"width": round(width / 2), "height": round(height / 2)}


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
    x, y = positions_of(world).T
    flat = check_numbers("values", values)
    if flat.shape != x.shape:
        raise ValueError(f"values has shape {flat.shape}; expected {x.shape}, one for each state")
    left, bottom = x.min(), y.min()
    table = np.full((int(y.max() - bottom) + 1, int(x.max() - left) + 1), np.nan)
    table[(y - bottom).astype(int), (x - left).astype(int)] = flat
    height, width = table.shape
    edges = left - 0.5 + np.arange(width + 1), bottom - 0.5 + np.arange(height + 1)
    mesh = ax.pcolormesh(*edges, table, **({"cmap": "cividis"} | options))
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    color_bar(ax, mesh, label)
    return mesh


def color_bar(ax: Any, colored: Any, label: str) -> None:
    """The bar that says what the colours mean; none without a label."""
    if check_type("label", label, str):
        ax.figure.colorbar(colored, ax=ax, label=label, shrink=0.8)


def positions_of(world: Any) -> Array:
    """``(S, 2)``, of anything that has positions."""
    if not hasattr(world, "positions"):
        raise TypeError(f"world is {world!r}; expected a world, with positions")
    return check_numbers("world.positions", world.positions)


def png(fig: Figure, dpi: int, colors: int = 256) -> bytes:
    """The file of a figure, with a palette of so many colours, which takes a third of the space."""
    drawn, made = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(STYLE):
        fig.savefig(drawn, format="png", dpi=dpi, metadata={"Software": None})
    with Image.open(drawn) as image:
        method = Image.Quantize.MAXCOVERAGE  # so that few pixels of a colour keep it
        reduced = image.convert("RGB").quantize(colors, method, dither=Image.Dither.NONE)
        reduced.save(made, format="PNG", optimize=True, dpi=(dpi, dpi))
    return made.getvalue()
