"""The point in a maze: where it can go, what it is paid, and planning on a lattice."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import pendulum_expert, point_maze_expert
from irl_lib import demonstrations, planning, rollouts, worlds
from irl_lib.worlds.environments import PointMazeEnv

UNIT = st.floats(0.0, 1.0)
MOVE = st.floats(-1.0, 1.0)
TWO_WALLS = worlds.Maze(walls=((0.3, 0.4, 0.5, 1.0), (0.6, 0.0, 0.72, 0.6)), start_spread=0.0)


def random_states(maze: Any, n: int, seed: int) -> Any:
    states = np.random.default_rng(seed).uniform(size=(n, 2))
    return states[~maze.inside_wall(states)]


# --- the physics --------------------------------------------------------------------------------


@settings(max_examples=300)
@given(UNIT, UNIT, MOVE, MOVE, st.sampled_from([worlds.Maze(), TWO_WALLS]))
def test_nobody_enters_a_wall_and_free_moves_are_whole(
    x: float, y: float, along: float, up: float, maze: Any
) -> None:
    if maze.inside_wall((x, y)):
        return
    after = np.array(maze.move(x, y, along, up))
    assert not maze.inside_wall(after)
    assert ((after >= 0.0) & (after <= 1.0)).all()
    wanted = np.array([x, y]) + maze.stride * np.array([along, up])
    if ((wanted >= 0.0) & (wanted <= 1.0)).all() and not _meets(maze, (x, y), wanted):
        np.testing.assert_allclose(after, wanted, atol=1e-15)
    # What was stopped stands at a wall or at the border, on the way to where it wanted.
    for i in (0, 1):
        if abs(after[i] - wanted[i]) > 1e-12:
            edges = [0.0, 1.0, *(w[i] for w in maze.walls), *(w[i + 2] for w in maze.walls)]
            assert np.abs(after[i] - np.array(edges)).min() < 1e-12
            assert min((x, y)[i], wanted[i]) - 1e-6 <= after[i]
            assert after[i] <= max((x, y)[i], wanted[i]) + 1e-6


def _meets(maze: Any, start: tuple[float, float], end: Any) -> bool:
    """Whether the two legs of a move, along x and then along y, touch the inside of a wall."""
    share = np.linspace(0.0, 1.0, 201)[:, None]
    corner = np.array([end[0], start[1]])
    legs = np.concatenate([start + share * (corner - start), corner + share * (end - corner)])
    return bool(maze.inside_wall(legs).any())


def test_a_wall_at_the_border_leaves_no_crack() -> None:
    assert TWO_WALLS.move(0.25, 1.0, 1.0, 1.0) == pytest.approx((0.3, 1.0), abs=1e-12)
    assert TWO_WALLS.move(0.55, 0.0, 1.0, -1.0) == pytest.approx((0.6, 0.0), abs=1e-12)
    np.testing.assert_allclose(TWO_WALLS.moves((0.25, 1.0), (1.0, 1.0)), [0.3, 1.0])


@pytest.mark.parametrize("at", [(0.0, 0.35), (1.0, 0.35), (0.35, 0.0), (0.35, 1.0)])
def test_no_border_leaves_a_crack(at: tuple[float, float]) -> None:
    """A wall from border to border, across the way along which the point walks."""
    across = (0.0, 0.4, 1.0, 0.6) if at[0] in (0.0, 1.0) else (0.4, 0.0, 0.6, 1.0)
    maze = worlds.Maze(walls=(across,), goal=(0.9, 0.9), start=(0.1, 0.1), start_spread=0.0)
    along, up = (0.0, 1.0) if at[0] in (0.0, 1.0) else (1.0, 0.0)
    stopped = [0.4 if number == 0.35 else number for number in at]
    assert maze.move(*at, along, up) == pytest.approx(stopped, abs=1e-12)


@given(UNIT, MOVE, MOVE)
def test_who_stands_at_a_wall_is_outside_when_rounded(y: float, along: float, up: float) -> None:
    maze = worlds.Maze()
    for x in (0.4, 0.6):
        rounded = np.array([x, y], dtype=np.float32).tolist()
        assert not maze.inside_wall(rounded)
        ends = np.array([maze.move(*place, along, up) for place in ((x, y), rounded)])
        assert np.abs(ends[0] - ends[1]).max() < 0.1 * abs(up) + 1e-6  # at a corner, slides or not


@pytest.mark.parametrize("maze", [worlds.Maze(), TWO_WALLS, worlds.Maze(walls=())])
def test_plain_numbers_and_arrays_agree(maze: Any) -> None:
    states = random_states(maze, 2_000, 0)
    actions = np.random.default_rng(1).uniform(-1.0, 1.0, states.shape)
    moved = [maze.move(*s, *a) for s, a in zip(states.tolist(), actions.tolist(), strict=True)]
    np.testing.assert_array_equal(maze.moves(states, actions), moved)
    paid = [maze.paid(*s, *a) for s, a in zip(states.tolist(), actions.tolist(), strict=True)]
    np.testing.assert_allclose(maze.reward(states, actions), paid, rtol=1e-12)


def test_the_reward_is_what_its_formula_says() -> None:
    maze = worlds.Maze()
    assert maze.reward(maze.goal) == pytest.approx(
        -3.0 * math.exp(-((0.35**2 + 0.3**2) / 2 / 0.12**2)), abs=1e-12
    )
    at_goal, near = maze.reward([maze.goal, (0.85, 0.55)])
    assert at_goal - near == pytest.approx(3.0 * (math.sqrt(0.02) - 0.1), abs=3e-3)
    far, wet = worlds.Maze(puddle_cost=0.0).reward(maze.puddle), maze.reward(maze.puddle)
    assert far - wet == pytest.approx(3.0)
    assert maze.reward((0.2, 0.9)) - maze.reward((0.2, 0.9), (0.5, -1.0)) == pytest.approx(1.25)


# --- the environment ----------------------------------------------------------------------------


def test_gymnasium_accepts_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("irl_lib/PointMaze-v0").unwrapped)


@pytest.mark.parametrize(
    "code",
    [
        "import gymnasium, irl_lib.worlds; name = 'irl_lib/PointMaze-v0'",
        "import irl_lib, gymnasium; name = 'irl_lib.worlds.environments:irl_lib/PointMaze-v0'",
        "import irl_lib, gymnasium; irl_lib.worlds.point_maze(); name = 'irl_lib/PointMaze-v0'",
    ],
)
def test_it_is_registered(code: str) -> None:
    made = f"{code}; env = gymnasium.make(name); print(env.spec.max_episode_steps)"
    command = [sys.executable, "-W", "error", "-c", made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "30"), done.stderr


def test_an_episode_is_what_the_maze_says() -> None:
    env = worlds.point_maze(max_steps=12, puddle_cost=2.0, stride=0.07)
    maze = env.unwrapped.maze
    assert maze == worlds.Maze(puddle_cost=2.0, stride=0.07)
    draws = np.random.default_rng(0)
    place, _ = env.reset(seed=3)
    assert place.dtype == np.float32
    exact = np.array(env.unwrapped.place)
    low, high = maze.start_box
    assert ((low <= exact) & (exact <= high)).all()
    for t in range(12):
        action = draws.uniform(-1.0, 1.0, 2).astype(np.float32)
        place, paid, terminated, truncated, _ = env.step(action)
        assert paid == pytest.approx(float(maze.reward(exact, action)), rel=1e-12)
        exact = maze.moves(exact, action)
        np.testing.assert_allclose(place, exact, atol=1e-7)
        assert (terminated, truncated) == (False, t == 11)


def test_starts_differ_and_follow_the_seed() -> None:
    env = worlds.point_maze()
    first = [env.reset(seed=seed)[0] for seed in (0, 1, 0)]
    np.testing.assert_array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 1e-3
    np.testing.assert_allclose(env.reset(options={"place": (0.7, 0.2)})[0], [0.7, 0.2], rtol=1e-6)
    with pytest.raises(ValueError, match=r"start is \(0.5, 0.5\), inside a wall"):
        env.reset(options={"place": (0.5, 0.5)})


def test_an_action_beyond_the_bounds_counts_as_the_bound() -> None:
    ends = []
    for action in ([5.0, -0.3], [1.0, -0.3]):
        env = worlds.point_maze()
        env.reset(seed=0)
        ends.append(env.step(np.array(action))[:2])
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"action has the entry {number}"):
            env.step(np.array([number, 0.0]))
    for action in ([0.0, 0.0, 0.0], 0.5):
        with pytest.raises(ValueError, match=r"expected two numbers"):
            env.unwrapped.step(action)


def test_where_an_episode_begins_can_be_said() -> None:
    env = worlds.point_maze()
    np.testing.assert_allclose(env.reset(options={"place": (0.5, 0.1)})[0], [0.5, 0.1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"options\['place'\]: .* inside a wall"):
        env.reset(options={"place": (0.5, 0.5)})
    with pytest.raises(ValueError, match=r"options is {'plac': 1}; expected {'place'"):
        env.reset(options={"plac": 1})


def test_it_can_be_made_again_from_its_description() -> None:
    env = worlds.point_maze(walls=(), max_steps=9)
    again = gymnasium.make(type(env.spec).from_json(env.spec.to_json()))
    assert again.unwrapped.maze == env.unwrapped.maze == worlds.Maze(walls=())
    assert again.spec.max_episode_steps == 9
    copy = worlds.point_maze(maze=env.unwrapped.maze, puddle_cost=1.0)
    assert copy.unwrapped.maze == worlds.Maze(walls=(), puddle_cost=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wall": ()}, r"changes has 'wall'; expected some of walls, goal"),
        ({"goal": (0.5, 0.5)}, r"goal is \(0.5, 0.5\), inside a wall"),
        ({"goal": (0.5, 1.5)}, r"goal is \(0.5, 1.5\); expected a place in the unit square"),
        ({"goal": 0.5}, r"goal has shape \(\); expected \(2,\)"),
        ({"start": (0.36, 0.5)}, r"start_spread is 0.08: .* reach into the wall"),
        ({"walls": [(0.4, 0.3, 0.45, 0.7)]}, r"walls\[0\] is no thicker than a stride of 0.1"),
        ({"walls": [(0.4, 0.3, 0.3, 0.7)]}, r"walls\[0\] is .*; expected left, bottom, right, top"),
        ({"stride": 0.0}, r"stride is 0.0; expected a finite number > 0"),
        ({"puddle_cost": -1.0}, r"puddle_cost is -1.0; expected a finite number >= 0"),
        ({"action_cost": np.nan}, r"action_cost is nan"),
        ({"max_steps": 0}, r"max_steps is 0; expected a whole number, at least 1"),
        ({"render_mode": "human"}, r"changes has 'render_mode'"),
        ({"walls": None}, "walls is None; expected a sequence of rectangles"),
        ({"maze": "x"}, "maze is 'x'; expected an instance of .*Maze"),
        ({"maze": worlds.Maze}, "maze is <class .*; expected an instance of .*Maze"),
    ],
)
def test_impossible_mazes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        worlds.point_maze(**change)


def test_nothing_is_rendered() -> None:
    with pytest.raises(ValueError, match="render_mode is 'human'"):
        PointMazeEnv(render_mode="human")


def test_without_gymnasium_the_extra_is_named() -> None:
    code = "import sys; sys.modules['gymnasium'] = None\nfrom irl_lib import worlds\n"
    code += "worlds.point_maze()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "irl_lib[gym]"' in ran.stderr


# --- planning on a lattice ----------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
def test_interpolation_is_exact_for_linear_functions(seed: int, d: int, around: bool) -> None:
    draws = np.random.default_rng(seed)
    low = draws.normal(size=d)
    high = low + draws.uniform(0.5, 3.0, size=d)
    periodic = [around, *[False] * (d - 1)]
    lattice = worlds.Lattice(low, high, draws.integers(2, 6, size=d), periodic)
    at = draws.uniform(low, high, size=(20, d))
    if around:  # beyond the last point a function that rises comes down again
        at[:, 0] = np.minimum(at[:, 0], high[0] - lattice.spacing[0])
    matrix = lattice.interpolation(at)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    assert matrix.data.min() >= 0.0
    np.testing.assert_allclose(matrix @ lattice.points, at, atol=1e-12)
    np.testing.assert_allclose(
        lattice.interpolation(lattice.points).toarray(), np.eye(len(lattice.points)), atol=1e-12
    )


def test_an_angle_comes_round() -> None:
    lattice = worlds.Lattice([-np.pi], [np.pi], [8], [True])
    assert lattice.shape == (8,)
    half = lattice.interpolation([[np.pi - np.pi / 8], [-np.pi - np.pi / 8], [3 * np.pi]]).toarray()
    np.testing.assert_allclose(half[0, [7, 0]], [0.5, 0.5])
    np.testing.assert_allclose(half[1], half[0], atol=1e-12)
    np.testing.assert_allclose(half[2, 0], 1.0)


def test_beyond_the_box_the_nearest_counts() -> None:
    lattice = worlds.Lattice([0.0, 0.0], [1.0, 1.0], [2, 2])
    outside, inside = lattice.interpolation([[1.7, -0.2], [1.0, 0.0]]).toarray()
    np.testing.assert_array_equal(outside, inside)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0.0], [3]), "expected high above low"),
        (([0.0], [1.0], [3, 3]), "cells has 2 entries; expected 1, one for each"),
        (([0.0], [1.0], 3), "cells is 3; expected a sequence of whole numbers"),
        (([0.0], [1.0], [3], ["no"]), "periodic has type <U2"),
        (([0.0], [1.0], [3], [True, False]), r"periodic has type bool and shape \(2,\)"),
        (([], [], []), r"low has shape \(0,\) and high \(0,\); expected \(d,\) twice"),
        (([0.0], [1.0], [0]), r"cells\[0\] is 0; expected a whole number"),
        (([0.0], [np.inf], [3]), r"high is inf"),
        (([0.0], [1.0, 2.0], [3]), r"low has shape \(1,\) and high \(2,\)"),
    ],
)
def test_bad_lattices_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        worlds.Lattice(*arguments)
    good = worlds.Lattice([0.0], [1.0], [3])
    with pytest.raises(ValueError, match="next_states has shape"):
        good.mdp(np.zeros((3, 2, 1)), [[0.0]], 5)
    with pytest.raises(ValueError, match=r"at has shape \(\)"):
        good.interpolation(0.0)
    with pytest.raises(ValueError, match="start has no entries"):
        good.mdp(np.zeros((4, 2, 1)), np.zeros((0, 1)), 5)
    with pytest.raises(ValueError, match="at is nan"):
        good.interpolation([[np.nan]])


def planned(maze: Any, cells: int, action_cells: int) -> tuple[float, float]:
    """The optimal value on the lattice, and what its plan is paid in the environment."""
    grid = worlds.maze_grid(maze, cells, action_cells)
    plan = planning.value_iteration(grid.mdp, grid.reward)
    env, steps = worlds.point_maze(maze=maze), iter(range(1, 31))

    def greedy(seen: Any, rng: np.random.Generator) -> Any:
        after = maze.moves(seen, grid.actions)
        value = grid.lattice.interpolation(after) @ plan.v[next(steps)]
        return grid.actions[np.argmax(maze.reward(seen, grid.actions) + value)]

    (paid,) = rollouts.returns(rollouts.rollout(env, greedy, 1, seed=0))
    return float(grid.mdp.initial @ plan.v[0]), float(paid)


def test_where_all_moves_end_on_the_lattice_planning_is_exact() -> None:
    """A move is one cell: 2/3 of a stride of 0.1, of fifteen cells."""
    maze = worlds.Maze(
        walls=((0.4, 0.2, 0.6, 0.8),), start=(0.2, 7 / 15), goal=(0.8, 7 / 15), start_spread=0.0
    )
    value, paid = planned(maze, 15, 3)
    assert paid == pytest.approx(value, abs=2e-3)
    assert paid > float(maze.reward(maze.start)) * 30 / 2  # better than to stay


def test_elsewhere_it_is_nearly_so() -> None:
    value, paid = planned(worlds.Maze(start_spread=0.0), 60, 9)
    assert value - 1.5 < paid < value + 0.3


def test_the_grid_starts_where_the_maze_starts() -> None:
    maze = worlds.Maze()
    grid = worlds.maze_grid(maze, cells=40, action_cells=3, horizon=2)
    np.testing.assert_allclose(grid.mdp.initial @ grid.states, maze.start, atol=1e-9)
    there = grid.states[grid.mdp.initial > 0.0]
    low, high = maze.start_box
    assert ((there >= low - 0.025) & (there <= high + 0.025)).all()
    np.testing.assert_allclose(np.unique(grid.actions), [-2 / 3, 0.0, 2 / 3], atol=1e-15)
    np.testing.assert_allclose(grid.reward, maze.reward(grid.states[:, None], grid.actions))


# --- the experts --------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "time", "odds"), [(1.0, 0, 1.0), (1.0, 1, 16.0), (0.5, 1, 4.0)])
def test_a_policy_between_the_points_has_the_interpolated_odds(
    place: float, time: int, odds: float
) -> None:
    q = np.zeros((2, 2, 2))
    q[1, 1, 0] = np.log(16.0)  # at the second step, at the upper end
    line = worlds.Lattice([0.0], [1.0], [1])
    policy, rng = worlds.LatticePolicy(line, q, [[-0.5], [0.5]], [1.0]), np.random.default_rng(0)
    drawn = []
    for _ in range(2_000):
        policy.start()
        drawn.append([policy(np.array([place]), rng).item() for _ in range(time + 1)][-1])
    low = np.array(drawn)[np.array(drawn) < 0.0]
    chance = odds / (1.0 + odds)
    assert len(low) / 2_000 == pytest.approx(chance, abs=4 * 0.5 / 2_000**0.5)
    assert (low.min(), low.max()) == pytest.approx((-1.0, 0.0), abs=0.02)  # all of its cell


def test_a_policy_that_fits_no_lattice_is_refused() -> None:
    line = worlds.Lattice([0.0], [1.0], [1])
    with pytest.raises(ValueError, match=r"q has shape \(2, 2, 2\) and actions \(3, 1\)"):
        worlds.LatticePolicy(line, np.zeros((2, 2, 2)), np.zeros((3, 1)), [1.0])
    with pytest.raises(ValueError, match="q has NaN or infinity"):
        worlds.LatticePolicy(line, np.full((2, 2, 3), np.nan), np.zeros((3, 1)), [1.0])
    with pytest.raises(ValueError, match=r"width is \[-1.0\]; expected numbers >= 0"):
        worlds.LatticePolicy(line, np.zeros((2, 2, 3)), np.zeros((3, 1)), [-1.0])
    policy = worlds.LatticePolicy(line, np.zeros((1, 2, 3)), np.zeros((3, 1)), [1.0])
    policy(np.zeros(1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="horizon of 1 steps, and all are taken"):
        policy(np.zeros(1), np.random.default_rng(0))


def test_what_is_not_finite_has_no_reward() -> None:
    for call in (worlds.Maze().moves, worlds.Maze().reward):
        with pytest.raises(ValueError, match="states is nan"):
            call([np.nan, 0.0], [0.0, 0.0])


@pytest.mark.parametrize(
    ("benchmark", "settings", "pays", "chance"),
    [
        (point_maze_expert, {"cells": 40, "action_cells": 9}, -36.5, -78.0),
        (pendulum_expert, {"cells": 80, "action_cells": 7}, -160.0, -600.0),
    ],
)
def test_experts_are_planned_and_stored(
    benchmark: Any, settings: dict[str, int], pays: float, chance: float, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "expert.npz"
    rows = benchmark.run(**settings, episodes=40, demonstrations=2, path=path)
    assert [set(row) for row in rows] == [set(benchmark.COLUMNS)] * 2
    fine = rows[1]
    assert fine["random_return"] == pytest.approx(chance, rel=0.15)
    assert fine["mean_return"] == pytest.approx(pays, abs=4 * fine["standard_error"])
    demos = demonstrations.Demonstrations.load(path)
    assert (len(demos), demos.environment) == (2, fine["environment"])
    assert [len(a) for a in demos.actions] == [fine["horizon"]] * 2
    assert demos.truncated.all()


@pytest.mark.parametrize("angle", [-2.5, 0.1, 3.0])
@pytest.mark.parametrize("speed", [-7.9, 0.5, 7.9])
def test_the_pendulums_lattice_moves_and_pays_as_gymnasium_does(angle: float, speed: float) -> None:
    grid = pendulum_expert.pendulum_grid(400, 3)
    row = grid.lattice.interpolation([[angle, speed]])
    near = grid.lattice.points[row.indices[np.argmax(row.data)]]
    state = int(row.indices[np.argmax(row.data)])
    for a, torque in enumerate(grid.actions):
        env = pendulum_expert.make_env().unwrapped
        env.reset(seed=0)
        env.state = near.copy()
        seen, paid, *_ = env.step(torque)
        assert grid.reward[state, a] == pytest.approx(paid, rel=1e-9)
        to = grid.mdp.action_matrix(a)[[state]]
        there = grid.lattice.points[to.indices]
        np.testing.assert_allclose(to.data @ there[:, 1], seen[2], atol=1e-5)
        np.testing.assert_allclose(to.data @ np.cos(there[:, 0]), seen[0], atol=1e-3)
        np.testing.assert_allclose(to.data @ np.sin(there[:, 0]), seen[1], atol=1e-3)


@pytest.mark.parametrize(
    ("name", "make"),
    [("point_maze_expert", worlds.point_maze), ("pendulum_expert", pendulum_expert.make_env)],
)
def test_the_shipped_experts_were_there(name: str, make: Any) -> None:
    """Each demonstration replayed in the environment: the same places, the same rewards."""
    demos, env = demonstrations.shipped(name), make()
    assert len(demos) == 20
    demos.check_spaces(env.observation_space, env.action_space, env.spec.id)

    assert demos.rewards is not None
    if name == "pendulum_expert":
        env = _Tracked(env, demos.states)
    again = rollouts.rollout(env, _Script(demos.actions), 20, point_maze_expert.DEMONSTRATION_SEED)
    for i in range(20):
        np.testing.assert_allclose(again.states[i], demos.states[i], atol=1e-5)
        np.testing.assert_allclose(again.rewards[i], demos.rewards[i], atol=1e-5)


class _Tracked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The pendulum, put back before each step to where a demonstration was.

    Its balance is unstable and multiplies rounding, which is another one before numpy 2: there
    Gymnasium computes with the torque in double precision.
    """

    def __init__(self, env: Any, states: Any) -> None:
        super().__init__(env)
        self.tracks = iter(states)

    def reset(self, **options: Any) -> Any:
        self.track = iter(next(self.tracks))
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        cosine, sine, speed = (float(each) for each in next(self.track))
        self.unwrapped.state = np.array([np.arctan2(sine, cosine), speed])
        return super().step(action)


class _Script:
    """Actions by episode and step, whatever is observed."""

    def __init__(self, actions: Any) -> None:
        self.rest = iter([iter(each) for each in actions])

    def start(self) -> None:
        self.steps = next(self.rest)

    def __call__(self, observation: Any, rng: np.random.Generator) -> Any:
        return next(self.steps)
