"""Animations that need nothing but a browser."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from matplotlib.figure import Figure

from irl_lib.plotting.figures import png
from irl_lib.support.checks import check_count, check_type

MAX_BYTES = 500_000  # of an animation
# A page with places for a name between two at signs each.
TEMPLATE = (resources.files("irl_lib.plotting") / "player.html").read_text(encoding="utf-8")


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
        return re.sub("@([A-Z]+)@", lambda match: fields[match[1]], TEMPLATE.rstrip())


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
    frames = tuple(png(draw(i), dpi, colors=64) for i in range(n_frames))
    size = sum(map(len, frames)) * 4 // 3
    if size > MAX_BYTES:
        raise ValueError(
            f"the {n_frames} frames take {size:,} bytes; expected at most {MAX_BYTES:,}: draw "
            "fewer or smaller ones"
        )
    return Player(name, alt, interval, frames, still % n_frames)
