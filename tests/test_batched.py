"""Worlds in batches: step by step what Gymnasium's copies do, and what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import batched_worlds
from irl_lib import worlds
from irl_lib.demonstrations import shipped

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv  # noqa: E402
from gymnasium.wrappers.vector import RecordEpisodeStatistics  # noqa: E402

from irl_lib.training.copies import Copies, as_vector, limit_of  # noqa: E402

MAZE = "irl_lib/PointMaze-v0"
NAMES = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", MAZE)
MODES = tuple(AutoresetMode)
N = 3
PHYSICS = {"pole_length": 1.3, "gravity": 14.0, "force": 6.0}
WALLS = {"walls": ((0.3, 0.4, 0.5, 1.0), (0.6, 0.0, 0.72, 0.6)), "stride": 0.09, "puddle_cost": 1.5}


def theirs(name: str, n: int = N, mode: AutoresetMode = MODES[0], **more: Any) -> Any:
    """Gymnasium's copies."""
    kwargs = {"autoreset_mode": mode}
    return gymnasium.make_vec(name, n, vectorization_mode="sync", vector_kwargs=kwargs, **more)


def chooser(env: Any, seed: int) -> Callable[[Any], Any]:
    """Random actions; car and acrobot mostly push on, or they would never reach the top."""
    rng, n = np.random.default_rng(seed), env.num_envs

    def choose(seen: Any) -> Any:
        if not isinstance(env.single_action_space, gymnasium.spaces.Discrete):
            return rng.uniform(-1.3, 1.3, (n, 2)).astype(np.float32)
        actions = rng.integers(env.single_action_space.n, size=n)
        if env.single_action_space.n == 2:
            return actions
        return np.where(rng.random(n) < 0.7, np.where(seen[:, -1] < 0.0, 0, 2), actions)

    return choose


def check_step(one: Any, other: Any) -> None:
    """The states are the same to the last bit; so are the rewards, but for the maze's."""
    for i in (0, 2, 3):
        assert one[i].dtype == other[i].dtype
        np.testing.assert_array_equal(one[i], other[i])
    assert one[1].dtype == other[1].dtype
    np.testing.assert_allclose(one[1], other[1], rtol=0.0, atol=1e-12)
    assert set(one[4]) == set(other[4])
    for name in one[4].keys() - {"final_obs", "final_info"}:
        np.testing.assert_array_equal(one[4][name], other[4][name])
    assert one[4].get("final_info") == other[4].get("final_info")
    for a, b in zip(one[4].get("final_obs", ()), other[4].get("final_obs", ()), strict=True):
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b)


def compare(one: Any, other: Any, steps: int, seed: int = 7) -> Any:
    """Both, through the same actions; how many episodes terminated, and were truncated."""
    choose = chooser(other, seed)
    seen, expected = (env.reset(seed=seed)[0] for env in (one, other))
    np.testing.assert_array_equal(seen, expected)
    ends = np.zeros(2, dtype=int)
    for _ in range(steps):
        actions = choose(seen)
        results = [env.step(actions) for env in (one, other)]
        check_step(*results)
        seen, _, terminated, truncated, _ = results[0]
        over = terminated | truncated
        ends += terminated.sum(), truncated.sum()
        if one.metadata["autoreset_mode"] == AutoresetMode.DISABLED and over.any():
            seen, expected = (
                env.reset(options={"reset_mask": over.copy()})[0] for env in (one, other)
            )
            np.testing.assert_array_equal(seen, expected)
    return ends


# --- what they do -------------------------------------------------------------------------------


LENGTHS = {
    mode: 10_000 if i == 0 or os.environ.get("FULL") else 2_000 for i, mode in enumerate(MODES)
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_steps_are_gymnasiums(name: str, mode: AutoresetMode) -> None:
    """In all modes with FULL=1, else in the usual one, and fewer in the others."""
    steps = LENGTHS[mode]
    ends = compare(worlds.batched(name, 2, autoreset=mode), theirs(name, 2, mode), steps)
    assert ends[1 if name == MAZE else 0] > steps / 200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_a_limit_of_steps_is_gymnasiums(name: str, mode: AutoresetMode) -> None:
    """Short enough that some episodes are truncated, and others terminate."""
    limit = 170 if name == "MountainCar-v0" else 22
    ours = worlds.batched(name, N, max_steps=limit, autoreset=mode.value)
    ends = compare(ours, theirs(name, N, mode, max_episode_steps=limit), 1_000)
    assert ends[1] > 5
    assert ends[0] > 5 or name in ("Acrobot-v1", MAZE)
    assert ours.spec.max_episode_steps == limit


@pytest.mark.parametrize("mode", MODES)
def test_changes_are_felt(mode: AutoresetMode) -> None:
    for name, changes, single in (
        ("CartPole-v1", PHYSICS, worlds.cartpole),
        ("irl_lib/CartPole-v1", PHYSICS, worlds.cartpole),
        (MAZE, WALLS, worlds.point_maze),
        (MAZE, {"maze": worlds.Maze(**WALLS), "stride": 0.05}, worlds.point_maze),
    ):
        other = SyncVectorEnv([lambda: single(**changes)] * N, autoreset_mode=mode)  # noqa: B023
        one = worlds.batched(name, N, autoreset=mode, **changes)
        compare(one, other, 1_000)
        assert one.spec.id == single(**changes).spec.id
        with pytest.raises(AssertionError, match=r"Not equal to tolerance|not equal"):
            compare(worlds.batched(name, N, autoreset=mode), other, 100)


@pytest.mark.parametrize("name", NAMES)
def test_resets_are_gymnasiums(name: str) -> None:
    """Of some copies in the midst of their episodes; with seeds, with some, and with none."""
    one, other, rng = worlds.batched(name, N), theirs(name), np.random.default_rng(0)
    choose = chooser(other, 0)
    for seed in (5, [3, 1, 4], None, [None, 2, None], 0):
        seen, expected = (env.reset(seed=seed)[0] for env in (one, other))
        np.testing.assert_array_equal(seen, expected)
        for t in range(60):
            actions = choose(seen)
            check_step(one.step(actions), other.step(actions))
            if t % 3:
                continue
            mask, seeds = rng.random(N) < 0.5, [t, None, 2 * t]
            mask[t % N] = True
            seen, expected = (
                env.reset(seed=seeds, options={"reset_mask": mask.copy()})[0]
                for env in (one, other)
            )
            np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("CartPole-v1", [2.5, 3.0, 0.22, 3.0]),
        ("Acrobot-v1", [np.pi, np.pi, 4 * np.pi, 9 * np.pi]),
        ("MountainCar-v0", [1.2, 0.07]),
    ],
)
def test_a_step_from_anywhere_is_gymnasiums(name: str, most: list[float]) -> None:
    """Also from where random actions hardly lead: fast, far out, near the end."""
    n, rng = 500, np.random.default_rng(0)
    one, other = worlds.batched(name, n), theirs(name, n)
    for env in (one, other):
        env.reset(seed=0)
    states = np.array(most)[:, None] * rng.uniform(-1.0, 1.0, (len(most), n))
    if name == "MountainCar-v0":
        states[0] = np.minimum(states[0], 0.6)
    one._states = states.copy()
    for env, state in zip(other.envs, states.T, strict=True):
        env.unwrapped.state = state.copy()
    actions = rng.integers(one.single_action_space.n, size=n)
    results = [env.step(actions) for env in (one, other)]
    check_step(*results)
    assert 0 < results[0][2].sum() < n


def test_without_a_seed_starts_differ() -> None:
    starts = [worlds.batched("CartPole-v1", 2).reset()[0] for _ in range(2)]
    assert len(np.unique(np.concatenate(starts)[:, 0])) == 4


def test_spaces_and_description_are_gymnasiums() -> None:
    for name in NAMES:
        one, other = worlds.batched(name, N), theirs(name)
        for space in ("observation_space", "action_space"):
            assert getattr(one, space) == getattr(other, space)
            assert getattr(one, f"single_{space}") == getattr(other, f"single_{space}")
        assert isinstance(one, VectorEnv)
        assert (one.num_envs, one.render_mode, one.unwrapped) == (N, None, one)
        assert one.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        assert (one.spec.id, one.spec.max_episode_steps) == (name, other.spec.max_episode_steps)
        assert repr(one) == f"Batch({name}, num_envs={N})"
        one.close()
        assert one.closed
        assert not worlds.batched(name, 1).closed


def test_what_is_returned_is_the_callers() -> None:
    """Nothing that is written into it comes back."""
    for mode in MODES[:2]:
        one, other = (worlds.batched("CartPole-v1", N, max_steps=3, autoreset=mode) for _ in "ab")
        for env in (one, other):
            seen, _ = env.reset(seed=0)
        seen[...] = 1.0
        mask = np.array([True, False, False])
        seen, expected = (
            env.reset(seed=0, options={"reset_mask": mask})[0] for env in (one, other)
        )
        np.testing.assert_array_equal(seen, expected)
        told: list[Any] = []
        for _ in range(9):
            results = [env.step(np.ones(N, dtype=int)) for env in (one, other)]
            check_step(*results)
            for kept, copy in told:
                np.testing.assert_array_equal(kept, copy)
            told = [(each, each.copy()) for each in results[0][:4]]
            for each in results[1][:4]:
                each[...] = 1
        seen, expected = (
            env.reset(seed=1, options={"reset_mask": mask})[0] for env in (one, other)
        )
        np.testing.assert_array_equal(seen, expected)


def test_gymnasiums_wrappers_go_around_it() -> None:
    env = RecordEpisodeStatistics(worlds.batched("CartPole-v1", N, max_steps=4))
    env.reset(seed=0)
    for _ in range(4):
        told = env.step(np.array([0, 1, 0]))[4]
    assert told["episode"]["l"].tolist() == [4] * N
    assert limit_of(env, None) == 4


# --- what learns in them ------------------------------------------------------------------------


def acting(env: Any, seed: int) -> Callable[[Any], Any]:
    """Random actions within the bounds, which :class:`Copies` keeps."""
    rng, space = np.random.default_rng(seed), env.single_action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return lambda states: rng.integers(space.n, size=len(states))
    return lambda states: rng.uniform(-1.0, 1.0, (len(states), 2)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_copies_collect_what_they_collect_of_gymnasiums(name: str, mode: AutoresetMode) -> None:
    passed, told = zip(
        *(
            Copies(env, seed=4, max_steps=25).collect(acting(env, 1), 200)
            for env in (worlds.batched(name, N, autoreset=mode), theirs(name, N, mode))
        ),
        strict=True,
    )
    for one, other in zip(*passed, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert passed[0].ended.sum() >= 24
    assert told[0] == pytest.approx(told[1], rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_running_episodes_are_restored_to_the_last_bit(name: str, mode: AutoresetMode) -> None:
    def copies() -> Copies:
        return Copies(worlds.batched(name, 5, max_steps=33, autoreset=mode), seed=2)

    whole = copies()
    whole.collect(acting(whole.env, 0), 50)
    again = copies()
    again.restore(whole.arrays())
    np.testing.assert_array_equal(whole.states, again.states)
    np.testing.assert_array_equal(whole.paid, again.paid)
    results = [each.collect(acting(each.env, 3), 100) for each in (whole, again)]
    for one, other in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert results[0][1] == results[1][1]


def test_the_limit_is_found() -> None:
    for name, limit in zip(NAMES, (500, 500, 200, 30), strict=True):
        env = worlds.batched(name, 2)
        assert as_vector(env) is env
        assert (limit_of(env, None), limit_of(env, 7)) == (limit, 7)
        assert limit_of(worlds.batched(name, 2, max_steps=9), None) == 9


def test_gail_learns_the_same_in_both() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    from irl_lib import adversarial

    small = {"steps": 16, "batch": 32, "hidden": (8,), "policy_hidden": (8,), "policy_epochs": 2}
    demos = shipped("cartpole_expert").select([0])
    one, other = (
        adversarial.gail(env, demos, seed=0, max_iterations=3, **small)
        for env in (worlds.batched("CartPole-v1", N), theirs("CartPole-v1"))
    )
    assert one.history.keys() == other.history.keys()
    for name, values in one.history.items():
        np.testing.assert_array_equal(values, other.history[name])
    with pytest.raises(ValueError, match=r"of CartPole-v1; the environment is irl_lib/CartPole-v1"):
        adversarial.gail(worlds.batched("CartPole-v1", N, gravity=5.0), demos, seed=0, **small)


# --- what they refuse ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "CartPole-v0"}, r"name is 'CartPole-v0'; expected one of CartPole-v1, Acrobot-v"),
        ({"name": ["CartPole-v1"]}, r"name is \['CartPole-v1'\]; expected one of"),
        ({"n": 0}, "n is 0; expected a whole number, at least 1"),
        ({"n": 2.0}, "n is 2.0; expected a whole number"),
        ({"max_steps": 0}, "max_steps is 0; expected a whole number, at least 1"),
        ({"max_steps": -1}, "max_steps is -1; expected a whole number, at least 1"),
        ({"autoreset": "never"}, "autoreset is 'never'; expected one of NextStep, SameStep, Disab"),
        ({"autoreset": None}, "autoreset is None; expected one of"),
        ({"length": 1.0}, "changes has 'length'; CartPole-v1 takes pole_length, gravity, force"),
        ({"render_mode": "human"}, "changes has 'render_mode'; CartPole-v1 takes pole_length"),
        ({"gravity": -1.0}, "gravity is -1.0; expected a finite number > 0"),
        ({"name": "Acrobot-v1", "gravity": 9.0}, "changes has 'gravity'; Acrobot-v1 takes none"),
        ({"name": MAZE, "gravity": 9.0}, "changes has 'gravity'; expected some of walls, goal"),
        ({"name": MAZE, "goal": (0.5, 0.5)}, r"goal is \(0.5, 0.5\), inside a wall"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        worlds.batched(**({"name": "CartPole-v1", "n": 2} | changed))


@pytest.mark.parametrize(
    ("name", "actions", "message"),
    [
        (
            "CartPole-v1",
            [0, 1],
            r"actions has shape \(2,\) and type int64; expected shape \(3,\) of",
        ),
        ("CartPole-v1", 1, r"actions has shape \(\) and type int64; expected shape \(3,\)"),
        ("CartPole-v1", [0.0, 1.0, 0.0], r"type float64; expected shape \(3,\) of whole numbers"),
        ("CartPole-v1", [True, False, True], r"type bool; expected shape \(3,\) of whole numbers"),
        ("CartPole-v1", [0, 1, 2], r"actions\[2\] is 2; expected a whole number from 0 to 1"),
        ("Acrobot-v1", [0, -1, 2], r"actions\[1\] is -1; expected a whole number from 0 to 2"),
        ("MountainCar-v0", [3, 0, 0], r"actions\[0\] is 3; expected a whole number from 0 to 2"),
        (
            MAZE,
            np.zeros((3, 3)),
            r"actions has shape \(3, 3\) and type float64; expected shape \(3, 2",
        ),
        (MAZE, [["a", "b"]] * 3, r"expected shape \(3, 2\) of real numbers"),
        (MAZE, [[0, 0], [0, np.nan], [0, 0]], r"actions\[1\] is \[ 0. nan\]; expected finite num"),
        (MAZE, [[0, 0], [0, 0], [np.inf, 0]], r"actions\[2\] is \[inf  0.\]; expected finite num"),
        (MAZE, [[0, 0], [0], [0, 0]], "actions is no array of numbers"),
    ],
)
def test_bad_actions_are_named_with_their_copy(name: str, actions: Any, message: str) -> None:
    env = worlds.batched(name, 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(actions)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": -1}, "seed is -1; expected a whole number, at least 0"),
        ({"seed": 0.5}, "seed is 0.5; expected a whole number"),
        ({"seed": [1, 2]}, "seed has 2 entries; expected one for each of 3 copies"),
        ({"seed": [1, 2, "3"]}, r"seed\[2\] is '3'; expected a whole number"),
        ({"options": {"low": 0.0}}, r"options is {'low': 0.0}; expected {'reset_mask': booleans}"),
        ({"options": {"reset_mask": [True] * 3, "low": 0.0}}, "options is .*; expected {'reset"),
        ({"options": [1]}, r"options is \[1\]; expected"),
        ({"options": {"reset_mask": [1, 0, 0]}}, r"expected 3 booleans, at least one of them true"),
        (
            {"options": {"reset_mask": [True] * 4}},
            r"options\['reset_mask'\] is .*; expected 3 bool",
        ),
        (
            {"options": {"reset_mask": [False] * 3}},
            "expected 3 booleans, at least one of them true",
        ),
    ],
)
def test_bad_resets_are_named(given: dict[str, Any], message: str) -> None:
    env = worlds.batched("CartPole-v1", 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.reset(**given)


def test_nothing_goes_on_that_has_not_begun_or_is_over() -> None:
    env = worlds.batched("CartPole-v1", 3, max_steps=2, autoreset="Disabled")
    none = np.zeros(3, dtype=int)
    with pytest.raises(ResetNeeded, match="step was called before reset"):
        env.step(none)
    some = np.array([True, False, True])
    with pytest.raises(ValueError, match="leaves out copy 1; the first reset is of all copies"):
        env.reset(options={"reset_mask": some})
    env.reset(seed=0)
    env.step(none)
    assert env.step(none)[3].all()
    with pytest.raises(ResetNeeded, match="the episode of copy 0 is over"):
        env.step(none)
    env.reset(options={"reset_mask": some})
    with pytest.raises(ResetNeeded, match="the episode of copy 1 is over"):
        env.step(none)
    env.reset(options={"reset_mask": ~some})
    env.step(none)


def test_without_gymnasium_the_extra_is_named() -> None:
    code = "import sys; sys.modules['gymnasium'] = None\nfrom irl_lib import worlds\n"
    code += "worlds.batched('CartPole-v1', 2)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "irl_lib[gym]"' in ran.stderr


# --- how fast they are --------------------------------------------------------------------------


def test_the_benchmark_counts_steps_of_all_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched_worlds, "best_time", lambda function, **_: function() or 0.5)
    rows = batched_worlds.run(sizes=(3,), steps=20)
    assert [row["world"] for row in rows] == list(NAMES)
    for row in rows:
        assert set(row) == set(batched_worlds.COLUMNS)
        assert (row["copies"], row["ours"], row["gymnasium"], row["times"]) == (3, 36.0, 36.0, 1.0)
