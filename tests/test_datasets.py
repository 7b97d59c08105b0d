"""Minari's data sets, there and back, and the demonstrations that come with the package."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from gymnasium.vector.utils import concatenate, create_empty_array
from minari.data_collector import EpisodeBuffer

import irl_lib
from irl_lib import behavior_cloning, demonstrations, rollouts
from irl_lib.demonstrations import Demonstrations

PLANE, PUSH = spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)
ABOUT = {name: name for name in ("author", "author_email", "code_permalink", "algorithm_name")}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def vectors(rewards: bool = True) -> Demonstrations:
    """Three trajectories: one that ended and two that were cut."""
    rng = np.random.default_rng(0)
    lengths = (3, 1, 4)
    return Demonstrations(
        [rng.normal(size=(n + 1, 2)).astype(np.float32) for n in lengths],
        [rng.uniform(-1, 1, (n, 1)).astype(np.float32) for n in lengths],
        [False, True, False],
        rewards=[rng.normal(size=n) for n in lengths] if rewards else None,
    )


def store(demos: Demonstrations, *place: Any, **more: Any) -> Any:
    """A data set with what Minari wants to know, but for the environment, of which it warns."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = demonstrations.to_minari(demos, *place, **ABOUT, description="a test", **more)
    assert all("env" in str(each.message) for each in said)
    return made


def raw(episodes: list[dict[str, Any]], *, states: Any = PLANE, actions: Any = PUSH) -> Any:
    """A data set as somebody else might have made it."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        return minari.create_dataset_from_buffers(
            "other/made-v0",
            [EpisodeBuffer(**each) for each in episodes],
            observation_space=states,
            action_space=actions,
        )


def episode(steps: int = 2, **changed: Any) -> dict[str, Any]:
    """One that was cut at its last step."""
    whole = {
        "observations": np.ones((steps + 1, 2), dtype=np.float32),
        "actions": np.zeros((steps, 1), dtype=np.float32),
        "rewards": np.ones(steps),
        "terminations": np.zeros(steps, dtype=bool),
        "truncations": np.arange(steps) == steps - 1,
    }
    return {**whole, **changed}


def assert_same(found: Demonstrations, expected: Demonstrations) -> None:
    for name in ("states", "actions"):
        pairs = zip(getattr(found, name), getattr(expected, name), strict=True)
        for one, two in pairs:
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(found.terminated, expected.terminated)
    np.testing.assert_array_equal(found.truncated, expected.truncated)
    assert (found.rewards is None) == (expected.rewards is None)
    for one, two in zip(found.rewards or (), expected.rewards or (), strict=True):
        np.testing.assert_array_equal(one, two)


# --- there and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("rewards", [True, False])
def test_vectors_go_there_and_back(rewards: bool) -> None:
    made = store(vectors(rewards), "test/vectors-v0", PLANE, PUSH)
    assert made.total_episodes == 3
    assert made.total_steps == 8
    for source in (made, "test/vectors-v0"):
        assert_same(demonstrations.from_minari(source, PLANE, PUSH), vectors(rewards))


def test_the_data_set_has_minaris_layout() -> None:
    first, ended, last = store(vectors(), "test/vectors-v0", PLANE, PUSH)
    assert first.observations.shape == (4, 2)
    assert first.observations.dtype == np.float32
    assert first.actions.shape == (3, 1)
    assert first.terminations.tolist() == [False] * 3
    assert first.truncations.tolist() == [False, False, True]
    assert ended.terminations.tolist() == [True]
    assert ended.truncations.tolist() == [False]
    np.testing.assert_array_equal(last.rewards, (vectors().rewards or ())[2])


def test_episodes_of_an_environment_go_there_and_back() -> None:
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    demos = rollouts.rollout(env, np.full((16, 4), 0.25), 6, seed=0)
    place = (env.observation_space, env.action_space)
    store(demos, "test/lake-v0", *place, env=env, eval_env=env)
    found = demonstrations.from_minari("test/lake-v0", *place)
    assert_same(found, demos)
    assert found.environment == "FrozenLake-v1"
    assert rollouts.returns(found).tolist() == rollouts.returns(demos).tolist()


def test_a_part_of_a_data_set_is_read_as_such() -> None:
    made = store(vectors(), "test/vectors-v0", PLANE, PUSH)
    ended = made.filter_episodes(lambda each: bool(each.terminations[-1]))
    assert_same(demonstrations.from_minari(ended), vectors().select([1]))


def test_a_split_keeps_trajectories_whole() -> None:
    made = store(vectors(), "test/vectors-v0", PLANE, PUSH)
    parts = demonstrations.from_minari(made).split(0.34, np.random.default_rng(0))
    assert [len(part) for part in parts] == [1, 2]
    whole = {states.tobytes() for states in vectors().states}
    assert {states.tobytes() for part in parts for states in part.states} == whole


ROOM = spaces.Dict(
    {
        "place": PLANE,
        "keys": spaces.MultiDiscrete([3, 2]),
        "more": spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiBinary(2)]),
    }
)
KINDS = {
    "integer": spaces.Box(0, 255, (3,), np.uint8),
    "matrix": spaces.Box(-1.0, 1.0, (2, 2), np.float32),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(3),
    "tuple": spaces.Tuple([PLANE, spaces.Discrete(4)]),
    "dict": ROOM,
}


def columns(space: Any, members: list[Any]) -> Any:
    """Members as Minari wants those of an episode: in one array, a dict or a tuple of them."""
    return concatenate(space, members, create_empty_array(space, n=len(members)))


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_of_all_kinds_are_flattened_as_gymnasium_does_it(kind: str) -> None:
    space = KINDS[kind]
    space.seed(0)
    seen, done = [space.sample() for _ in range(4)], [space.sample() for _ in range(3)]
    one = episode(3, observations=columns(space, seen), actions=columns(space, done))
    demos = demonstrations.from_minari(raw([one], states=space, actions=space), space, space)
    np.testing.assert_array_equal(demos.states[0], [flatten(space, each) for each in seen])
    np.testing.assert_array_equal(demos.actions[0], [flatten(space, each) for each in done])
    assert demos.states[0].dtype == np.float64
    demos.check_spaces(space, space)
    made = store(demos, "test/again-v0", space, space)
    assert made.observation_space == space
    assert_same(demonstrations.from_minari(made), demos)
    np.testing.assert_equal(made[0].observations, one["observations"])
    np.testing.assert_equal(made[0].actions, one["actions"])


def test_a_clone_of_a_data_set_acts_on_what_the_environment_returns() -> None:
    """A policy of a Dict: it goes where it sees the key."""
    rng = np.random.default_rng(0)
    place = spaces.Dict({"keys": spaces.MultiDiscrete([2, 2]), "at": spaces.Box(-1, 1, (1,))})
    keys = rng.integers(2, size=(201, 2))
    seen = {"keys": keys, "at": rng.uniform(-1, 1, (201, 1)).astype(np.float32)}
    one = episode(200, observations=seen, actions=keys[:200, 1])
    demos = demonstrations.from_minari(raw([one], states=place, actions=spaces.Discrete(2)))
    assert demos.state_width == 5
    env = (place, spaces.Discrete(2))
    fit = behavior_cloning.clone_network(
        env, demos, seed=0, max_iterations=60, learning_rate=0.01, tolerance=1.0
    )
    for first, second in np.ndindex(2, 2):
        at = np.array([0.3], dtype=np.float32)
        assert fit.policy.act({"keys": np.array([first, second]), "at": at}) == second
    with pytest.raises(ValueError, match=r"observation is .* no member of Dict"):
        fit.policy.act({"keys": np.array([0, 2]), "at": at})


# --- ends and cuts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminations", "truncations", "terminated"),
    [
        ([False, True], [False, False], True),
        ([False, False], [False, True], False),
        ([False, True], [False, True], True),
        ([False, False], [False, False], False),
    ],
)
def test_the_last_flags_say_how_it_ended(
    terminations: list[bool], truncations: list[bool], terminated: bool
) -> None:
    data = raw([episode(terminations=np.array(terminations), truncations=np.array(truncations))])
    demos = demonstrations.from_minari(data)
    assert (bool(demos.terminated[0]), bool(demos.truncated[0])) == (terminated, not terminated)


# --- what is refused --------------------------------------------------------------------------

NAN = np.array([[1.0, 1.0], [np.nan, 1.0], [1.0, 1.0]], dtype=np.float32)
BAD_DATA: list[tuple[list[dict[str, Any]], str]] = [
    (
        [episode(), episode(terminations=np.array([True, False]))],
        "episode 1 terminated at step 0 and goes on to step 2",
    ),
    ([episode(observations=NAN)], r"states\[0\] is nan at index \(1, 0\)"),
    ([episode(), episode(actions=NAN[1:, :1])], r"actions\[1\] is nan at index \(0, 0\)"),
    ([episode(rewards=np.array([1.0, np.nan]))], r"rewards\[0\] is nan at index \(1,\)"),
    ([episode(observations=np.ones((2, 2)))], r"states\[0\] has 2 entries and actions\[0\] has 2"),
]


@pytest.mark.parametrize(("episodes", "message"), BAD_DATA)
def test_bad_episodes_are_named(episodes: list[dict[str, Any]], message: str) -> None:
    data = raw(episodes)
    with pytest.raises(ValueError, match=message):
        demonstrations.from_minari(data)


def test_another_action_space_is_named() -> None:
    data = raw([episode()])
    wide = spaces.Box(-2.0, 2.0, (1,), np.float32)
    message = r"action_space of other/made-v0 is Box\(-1.0, 1.0, .*; expected Box\(-2.0, 2.0"
    with pytest.raises(ValueError, match=message):
        demonstrations.from_minari(data, PLANE, wide)
    with pytest.raises(ValueError, match=r"expected Discrete\(2\)"):
        demonstrations.from_minari(data, action_space=spaces.Discrete(2))
    with pytest.raises(ValueError, match="the observation_space of other/made-v0 is Box"):
        demonstrations.from_minari(data, observation_space=PUSH)


def test_spaces_of_other_kinds_are_named() -> None:
    data = raw([episode(observations=["a", "bc", ""])], states=spaces.Text(2))
    with pytest.raises(ValueError, match="the observation_space of other/made-v0 is Text"):
        demonstrations.from_minari(data)
    with pytest.raises(ValueError, match=r"observation_space is Text.*; expected a Discrete space"):
        demonstrations.to_minari(vectors(), "test/a-v0", spaces.Text(2), PUSH)


def test_what_no_members_can_be_made_of_is_named(tmp_path: Path) -> None:
    pair = spaces.MultiDiscrete([1, 1])
    with pytest.raises(ValueError, match=r"states\[0\] .* no member.* MultiDiscrete"):
        demonstrations.to_minari(vectors(), "test/a-v0", pair, PUSH)
    whole = spaces.Box(-9, 9, (2,), np.int64)
    with pytest.raises(ValueError, match=r"states\[0\] hold what is no member of Box"):
        demonstrations.to_minari(vectors(), "test/a-v0", whole, PUSH)
    assert not (tmp_path / "minari" / "test").exists()


def test_observations_that_are_none_of_their_space_are_named() -> None:
    data = raw([episode(), episode(observations=np.ones((3, 3), np.float32))])
    with pytest.raises(ValueError, match=r"observations of episode 1 are no members of Box"):
        demonstrations.from_minari(data)


def test_no_episodes_are_an_error() -> None:
    made = store(vectors(), "test/vectors-v0", PLANE, PUSH)
    none = made.filter_episodes(lambda each: False)
    with pytest.raises(ValueError, match="dataset test/vectors-v0 has no episodes"):
        demonstrations.from_minari(none)


def test_something_else_is_no_data_set() -> None:
    with pytest.raises(ValueError, match="dataset is 3; expected a Minari data set or its name"):
        demonstrations.from_minari(3)
    message = r"'test/absent-v0' is not on this machine; minari\.download_dataset\('test/absent-v0'"
    with pytest.raises(FileNotFoundError, match=message):
        demonstrations.from_minari("test/absent-v0")
    assert callable(minari.download_dataset)  # what the message names
    assert minari.list_local_datasets() == {}


def test_what_minari_cannot_hold_is_named(tmp_path: Path) -> None:
    empty = Demonstrations([[1, 2], [1]], [[0], []])
    with pytest.raises(ValueError, match="trajectory 1 has no steps"):
        demonstrations.to_minari(empty, "test/a-v0", spaces.Discrete(3), spaces.Discrete(1))
    with pytest.raises(ValueError, match="the actions are vectors of length 1; action_space is"):
        demonstrations.to_minari(vectors(), "test/a-v0", PLANE, spaces.Discrete(2))
    assert not (tmp_path / "minari" / "test").exists()
    store(vectors(), "test/a-v0", PLANE, PUSH)
    with pytest.raises(ValueError, match="already exists"):
        store(vectors(), "test/a-v0", PLANE, PUSH)


def test_without_minari_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r'pip install "irl_lib\[minari\]"'):
        demonstrations.from_minari("test/a-v0")
    with pytest.raises(ImportError, match=r'pip install "irl_lib\[minari\]"'):
        demonstrations.to_minari(vectors(), "test/a-v0", PLANE, PUSH)


# --- what comes with the package --------------------------------------------------------------


def test_the_shipped_expert_is_gymnasiums_cartpole() -> None:
    """Every step of every episode, stepped again from the state before it."""
    demos = demonstrations.shipped("cartpole_expert")
    env = gymnasium.make("CartPole-v1")
    demos.check_spaces(env.observation_space, env.action_space, env.spec.id)
    assert len(demos) == 20
    assert demos.truncated.all()
    assert (rollouts.returns(demos) == 500.0).all()
    assert (np.abs([states[0] for states in demos.states]) <= 0.05).all()
    assert len(np.unique([states[0] for states in demos.states], axis=0)) == 20
    env.reset(seed=0)
    for states, actions in demos.select([0, 7, 19]):
        for t in range(0, 500, 7):
            env.unwrapped.state = states[t]
            after = env.unwrapped.step(int(actions[t]))[0]
            np.testing.assert_allclose(after, states[t + 1], atol=2e-6)


def test_it_is_small() -> None:
    folder = Path(irl_lib.__file__).parent / "data"
    assert (folder / "cartpole_expert.npz").stat().st_size < 300_000


@pytest.mark.parametrize("name", ["absent", "", "../data/cartpole_expert", "cartpole_expert.npz"])
def test_what_is_shipped_is_listed(name: str) -> None:
    with pytest.raises(ValueError, match=r"there are: .*cartpole_expert"):
        demonstrations.shipped(name)
