"""Figures: nothing global is touched, bad sizes are refused, and the player is whole."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from irl_lib import planning, plotting, worlds
from irl_lib.plotting import players
from irl_lib.worlds import gridworld, roads, terrain, traveller

ALT = "A square that grows from frame to frame. Nothing else happens."


def draw(i):
    fig, ax = plotting.figure(width=2.0, height=2.0)
    ax.plot([0, i + 1], [0, i + 1])
    return fig


def test_nothing_global_changes():
    before = dict(mpl.rcParams)
    fig, axes = plotting.figure(columns=2, rows=2)
    axes[0, 0].set_title("a finding")
    axes[0, 0].plot([1, 2], label="line")
    axes[0, 0].legend()
    fig._repr_png_()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or mpl.pyplot.get_fignums() == []


def test_a_figure_has_two_pixels_for_one_of_the_page():
    made, size = draw(1)._repr_png_()
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == (440, 440)
        assert image.mode == "P"  # a palette
    assert size == {"width": 220, "height": 220}


def test_the_style_holds_after_the_figure_was_made():
    fig, ax = plotting.figure()
    title = ax.set_title("a finding")
    assert (ax.get_title(loc="left"), title.get_fontweight()) == ("a finding", "bold")
    assert ax.plot([1, 2])[0].get_color() == plotting.COLORS["expert"]
    assert mpl.colors.to_hex(fig.get_facecolor()).upper() == plotting.CARD


def luminance(color):
    channel = np.array(mpl.colors.to_rgb(color))
    linear = np.where(channel <= 0.03928, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("name", sorted(plotting.COLORS))
def test_the_palette_has_contrast(name):
    paper, ink = luminance(plotting.CARD), luminance(plotting.COLORS[name])
    assert (paper + 0.05) / (ink + 0.05) >= 3.0  # what lines and symbols need


@pytest.mark.parametrize("sizes", [{"columns": 0}, {"rows": 0}, {"width": 0.0}, {"height": -1.0}])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match=r"expected a (finite|whole) number"):
        plotting.figure(**sizes)


def test_grids_are_drawn_where_they_are():
    world = gridworld(4, 3, seed=0)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    _, ax = plotting.figure()
    mesh = plotting.heatmap(ax, world, plan.v, label="value")
    np.testing.assert_allclose(mesh.get_array().reshape(3, 4), plan.v.reshape(3, 4))
    plotting.trajectories(ax, world, [[0, 1, 2], [0, 4]])
    assert len(ax.lines) == 4
    with pytest.raises(ValueError, match=r"values has shape \(3,\); expected \(12,\)"):
        plotting.heatmap(ax, world, [1.0, 2.0, 3.0])


def test_maps_have_each_road_once():
    network = roads(seed=0, size=1_000)
    _, ax = plotting.figure()
    plotting.road_map(ax, network)
    drawn = sum(len(c.get_segments()) for c in ax.collections)
    ends = {frozenset(pair) for pair in zip(network.tail, network.head, strict=True)}
    assert drawn == len(ends)
    _, ax = plotting.figure()
    plotting.road_map(ax, network, smallest="motorway")
    assert 0 < sum(len(c.get_segments()) for c in ax.collections) < 20
    line = plotting.route(ax, network, [0, 1, 2])
    np.testing.assert_allclose(line.get_xdata() * 1000, network.positions[network.head[:3], 0])
    with pytest.raises(ValueError, match="smallest is 'lane'; expected one of street"):
        plotting.road_map(ax, network, smallest="lane")


def test_a_player_is_deterministic_and_needs_no_other_host():
    first, again = (plotting.player(draw, 3, ALT, "growing")._repr_html_() for _ in range(2))
    assert first == again
    assert "@" not in re.sub("@media", "", re.sub('base64,[^"]*', "", first))
    assert "http" not in re.sub('base64,[^"]*', "", first)
    assert first.count("<img") == 3
    assert first.count(" hidden src=") == 2
    assert 'id="player-growing"' in first
    for part in ("<noscript>", "@media print", 'aria-label="Frame"', ">Play</button>"):
        assert part in first


def test_the_frames_are_pictures():
    shown = plotting.player(draw, 2, ALT, "growing", still=0)
    for frame in shown.frames:
        with Image.open(io.BytesIO(frame)) as image:
            assert image.size == (144, 144)
            assert image.mode == "P"
    assert shown.frames[0] != shown.frames[1]
    assert repr(shown) == "Player('growing', 2 frames)"
    assert re.search('class=still src="data', shown._repr_html_())


def test_quotes_in_the_description_are_escaped():
    page = plotting.player(
        draw, 1, 'The "best" path & <the> others, drawn.', "growing"
    )._repr_html_()
    assert 'alt="The &quot;best&quot; path &amp; &lt;the&gt; others, drawn."' in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_frames": 0}, "n_frames is 0; expected a whole number, at least 1"),
        ({"still": 3}, "still is 3; expected a whole number, at most 2"),
        ({"interval": 0}, "interval is 0; expected a whole number"),
        ({"name": "a b"}, "name is 'a b'"),
        ({"alt": "short"}, "expected .* a description"),
    ],
)
def test_bad_players(options, message):
    with pytest.raises(ValueError, match=message):
        plotting.player(**({"draw": draw, "n_frames": 3, "alt": ALT, "name": "growing"} | options))


def test_an_animation_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(players, "MAX_BYTES", 1_000)
    with pytest.raises(ValueError, match=r"the 3 frames take .* expected at most 1,000"):
        plotting.player(draw, 3, ALT, "growing")


def test_without_matplotlib_the_error_names_the_extra():
    code = "import sys; sys.modules['matplotlib'] = None; import irl_lib.plotting"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "irl_lib[plot]"' in ran.stderr


def test_maps_show_land_costs_and_paths():
    land = terrain(24, seed=0)
    start, goal = land.draw_ends(np.random.default_rng(0))[0]
    world = land.task(start, goal, traveller("hiker"))
    fig, (left, right) = plotting.figure(columns=2)
    handles = plotting.terrain_map(left, land)
    assert [h.get_label() for h in handles][-2:] == ["trail", "road"]
    picture = left.images[0].get_array()
    assert picture.shape == (24, 24, 3)
    assert (picture[land.road] == picture[land.road][0]).all()
    assert left.images[0].get_extent() == [0.0, 0.6, 0.0, 0.6]  # 24 cells of 25 metres
    image = plotting.cost_map(right, land, world.reward)
    shown = image.get_array()
    np.testing.assert_array_equal(shown.mask, land.blocked)
    cell = int(np.flatnonzero(~land.blocked)[5])
    lengths = np.array([1.0, 2**0.5] * 4)
    assert shown.ravel()[cell] == pytest.approx(np.mean(-world.reward[cell] / lengths))
    line = plotting.path(left, land, [start, goal])
    np.testing.assert_allclose(line.get_xydata(), (world.positions[[start, goal]] + 0.5) * 0.025)
    assert fig._repr_png_()
    with pytest.raises(ValueError, match=r"reward has shape \(576,\); expected \(576, 8\)"):
        plotting.cost_map(right, land, world.reward[:, 0])


def test_a_maze_is_drawn_with_walls_start_and_goal() -> None:
    maze = worlds.Maze(walls=((0.4, 0.3, 0.6, 0.7), (0.7, 0.0, 0.9, 0.2)))
    _, ax = plotting.figure()
    plotting.maze_map(ax, maze)
    boxes = [(*p.get_xy(), p.get_width(), p.get_height()) for p in ax.patches]
    low, high = maze.start_box
    expected = [(0.4, 0.3, 0.2, 0.4), (0.7, 0.0, 0.2, 0.2), (*low, *(high - low))]
    np.testing.assert_allclose(boxes, expected)
    np.testing.assert_allclose(np.concatenate(ax.lines[0].get_data()), maze.goal)
    assert ax.get_xlim() == ax.get_ylim() == (0.0, 1.0)
