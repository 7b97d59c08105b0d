"""Expert data: what is counted, what is refused, and files that are whole or absent."""

from __future__ import annotations

import dataclasses
import os
import pickle
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_lib import demonstrations, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.demonstrations import files as datasets
from irl_lib.mdp import MDP
from strategies import Problem, problems


def example() -> Demonstrations:
    return Demonstrations([[1, 2, 3], [2, 1], [1]], [[1, 1], [0], []], [True, False, False])


def simulated() -> Demonstrations:
    """Vectors of states and of actions, with what was paid; the last one has no step."""
    rng = np.random.default_rng(0)
    lengths = (3, 1, 0)
    return Demonstrations(
        [rng.normal(size=(n + 1, 2)) for n in lengths],
        [rng.uniform(-1, 1, (n, 1)) for n in lengths],
        [True, False, False],
        rewards=[rng.normal(size=n) for n in lengths],
        environment="Pendulum-v1",
    )


# --- what is counted --------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems(discounts=(0.7, 0.9, 1.0)))
def test_the_occupancy_is_a_mean_of_discounted_counts(problem: Problem) -> None:
    mdp, gamma = problem.mdp, problem.mdp.discount
    length = None if mdp.horizon or mdp.episodic else 5
    demos = demonstrations.sample(mdp, problem.policy()[:], 4, problem.rng, length)
    total = np.zeros((mdp.n_states, mdp.n_actions))
    for states, actions in demos:
        for t, (s, a) in enumerate(zip(states[:-1], actions, strict=True)):
            total[s, a] += gamma**t
    np.testing.assert_allclose(demos.occupancy(mdp), total / 4.0, atol=1e-12)
    mu = np.einsum("sa,sak->k", total / 4.0, problem.phi)
    found = demos.feature_expectations(mdp, problem.features)
    np.testing.assert_allclose(found, mu, atol=1e-11)


@settings(max_examples=60)
@given(problems(discounts=(0.7, 0.9, 1.0)))
def test_what_is_sampled_is_possible(problem: Problem) -> None:
    mdp = problem.mdp
    demos = demonstrations.sample(mdp, problem.policy(), 20, problem.rng)
    demos.check(mdp)
    for i, (states, actions) in enumerate(demos):
        assert demos.terminated[i] == (mdp.episodic and bool(mdp.absorbing[states[-1]]))
        if mdp.horizon is not None:
            assert len(actions) == mdp.horizon
        if mdp.episodic:
            assert not mdp.absorbing[states[:-1]].any()
    assert (demos.truncated == ~demos.terminated).all()


def test_a_terminated_trajectory_stays_where_it_ended() -> None:
    mdp = worlds.two_goal(discount=0.5).mdp
    found = Demonstrations([[1, 0]], [[0]], terminated=True).occupancy(mdp)
    np.testing.assert_allclose(found, [[0.5, 0.5], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    cut = Demonstrations([[1, 0]], [[0]]).occupancy(mdp)
    np.testing.assert_allclose(cut, [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    short = MDP(mdp.dense_transitions(), mdp.initial, 0.5, horizon=3)
    found = Demonstrations([[1, 0]], [[0]], terminated=True).occupancy(short)
    np.testing.assert_allclose(found[0], [0.375, 0.375])


def test_a_long_stay_equals_the_flag() -> None:
    """T7: the same occupancy from an explicit absorbing state, watched for long, as the flag."""
    mdp = worlds.two_goal(discount=0.7).mdp
    flag = Demonstrations([[1, 0]], [[0]], terminated=True).occupancy(mdp)
    long = [[1] + [0] * 150] * 2
    watched = Demonstrations(long, [[0] + [a] * 149 for a in (0, 1)]).occupancy(mdp)
    np.testing.assert_allclose(watched, flag, atol=1e-15)


def test_what_was_cut_at_different_times_is_warned_of() -> None:
    """By whatever makes an occupancy of it; not where little is missing, or all have one length."""
    world = worlds.gridworld(3, discount=0.9, slip=0.0)
    mdp, short = world.mdp, worlds.gridworld(3, discount=0.9, slip=0.0, horizon=4).mdp
    uneven = Demonstrations([[0, 1, 2], [0, 1, 2, 5]], [[0, 0], [0, 0, 1]])
    even = Demonstrations([[0, 1, 2], [0, 3, 4]], [[0, 0], [1, 0]])
    rng = np.random.default_rng(0)
    long = [demonstrations.sample(mdp, np.full((9, 4), 0.25), 1, rng, n) for n in (70, 90)]
    enough = Demonstrations([d.states[0] for d in long], [d.actions[0] for d in long])
    for each in (mdp, short):
        with pytest.warns(UserWarning, match="2 of 2 trajectories were truncated, after 2 to 3 st"):
            uneven.occupancy(each)
        with pytest.warns(UserWarning, match="no policy has the occupancy") as told:
            uneven.feature_expectations(each, world.features)
        assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even.occupancy(mdp)
        enough.occupancy(mdp)
    kinds = [demonstrations.is_cut(mdp, each) for each in (uneven, even, enough)]
    assert kinds == [True, True, False]


def test_an_episode_that_was_cut_is_not_whole() -> None:
    mdp = worlds.gridworld(3, goals=[(2, 2)], discount=1.0, slip=0.0).mdp
    whole = Demonstrations([[0, 1, 2, 5, 8]], [[0, 0, 1, 1]], terminated=True)
    watched = Demonstrations([[0, 1, 2, 5, 8, 8]], [[0, 0, 1, 1, 3]])
    cut_short = Demonstrations([[0, 1, 2]], [[0, 0]])
    for demos in (whole, watched):
        assert not demonstrations.is_cut(mdp, demos)
        assert demonstrations.complete_occupancy(mdp, demos).sum() == 4.0
    assert demonstrations.is_cut(mdp, cut_short)
    with pytest.warns(UserWarning, match="1 of 1 trajectories were truncated"):
        cut_short.occupancy(mdp)
    with pytest.raises(ValueError, match=r"demos has no end: it was truncated before .*fit"):
        demonstrations.complete_occupancy(mdp, cut_short)


def test_trajectories_of_one_length_may_as_well_have_that_horizon() -> None:
    mdp = worlds.gridworld(3, discount=0.9, slip=0.0).mdp
    even = Demonstrations([[0, 1, 2], [0, 3, 4]], [[0, 0], [1, 0]])
    with pytest.raises(ValueError, match=r"has an occupancy of 1.9 in all; .* all of them have, 2"):
        demonstrations.complete_occupancy(mdp, even)
    short = worlds.gridworld(3, discount=0.9, slip=0.0, horizon=2).mdp
    assert demonstrations.complete_occupancy(short, even).sum() == pytest.approx(1.9)


def test_the_same_seed_draws_the_same() -> None:
    mdp = worlds.gridworld(3, horizon=5).mdp
    policy = np.full((9, 4), 0.25)
    first, second, third = (
        demonstrations.sample(mdp, policy, 9, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert same(first, second)
    assert not same(first, third)


def test_a_sample_follows_the_policy_of_each_step() -> None:
    mdp = worlds.chain(4, horizon=3).mdp
    policy = np.eye(2)[[[1] * 4, [1] * 4, [0] * 4]]
    demos = demonstrations.sample(mdp, policy, 3, np.random.default_rng(0))
    for states, actions in demos:
        np.testing.assert_array_equal(states, [0, 1, 2, 1])
        np.testing.assert_array_equal(actions, [1, 1, 0])


def test_flat_steps() -> None:
    step = example().steps()
    np.testing.assert_array_equal(step.trajectory, [0, 0, 1])
    np.testing.assert_array_equal(step.time, [0, 1, 0])
    np.testing.assert_array_equal(step.state, [1, 2, 2])
    np.testing.assert_array_equal(step.action, [1, 1, 0])
    np.testing.assert_array_equal(step.next_state, [2, 3, 1])


def test_trajectories_without_a_step_are_fine() -> None:
    mdp = worlds.two_goal().mdp
    demos = Demonstrations([[1], [2]], [[], []])
    demos.check(mdp)
    assert demos.occupancy(mdp).sum() == 0.0
    assert demos.n_steps == 0


def test_split_and_select() -> None:
    mdp = worlds.gridworld(3, horizon=5).mdp
    demos = demonstrations.sample(mdp, np.full((9, 4), 0.25), 10, np.random.default_rng(0))
    first, rest = demos.split(0.3, np.random.default_rng(1))
    assert (len(first), len(rest)) == (3, 7)
    whole = sorted(tuple(s) + tuple(a) for s, a in demos)
    assert sorted(tuple(s) + tuple(a) for part in (first, rest) for s, a in part) == whole
    chosen = example().select([2, 0])
    np.testing.assert_array_equal(chosen.terminated, [False, True])
    np.testing.assert_array_equal(chosen.states[1], [1, 2, 3])


def test_demonstrations_do_not_change() -> None:
    states = np.array([1, 2, 3])
    demos = Demonstrations([states], [[1, 1]])
    states[0] = 2
    assert demos.states[0][0] == 1
    for array in (demos.states[0], demos.actions[0], demos.terminated, demos.truncated):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        demos.states = ()
    assert repr(example()) == "Demonstrations(3 trajectories, 3 steps, 1 terminated)"
    assert same(pickle.loads(pickle.dumps(example())), example())


def same(a: Demonstrations, b: Demonstrations) -> bool:
    pairs = [*zip(a.states, b.states, strict=True), *zip(a.actions, b.actions, strict=True)]
    pairs += [(a.terminated, b.terminated), (a.truncated, b.truncated)]
    if a.rewards is None or b.rewards is None:
        equal = a.rewards is b.rewards
    else:
        equal = all(np.array_equal(x, y) for x, y in zip(a.rewards, b.rewards, strict=True))
    return (
        equal
        and a.environment == b.environment
        and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)
    )


# --- simulators -------------------------------------------------------------------------------


def test_vectors_are_kept_in_double_precision() -> None:
    states = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
    demos = Demonstrations([states], [[1]])
    assert (demos.state_width, demos.action_width) == (2, None)
    assert demos.states[0].dtype == np.float64
    np.testing.assert_array_equal(demos.states[0], states)
    states[:] = 9.0
    assert demos.states[0].max() < 1.0
    with pytest.raises(ValueError, match="read-only"):
        demos.states[0][0, 0] = 1.0
    assert (example().state_width, example().action_width) == (None, None)


def test_an_empty_trajectory_is_of_the_kind_of_the_others() -> None:
    demos = Demonstrations([[[0.5]], [[1.5], [2.5]]], [[], [[0.1, 0.2]]])
    assert [a.shape for a in demos.actions] == [(0, 2), (1, 2)]
    np.testing.assert_array_equal(demos.steps().action, [[0.1, 0.2]])


def test_flat_steps_of_vectors() -> None:
    demos = simulated()
    step = demos.steps()
    np.testing.assert_array_equal(step.trajectory, [0, 0, 0, 1])
    np.testing.assert_array_equal(step.time, [0, 1, 2, 0])
    np.testing.assert_array_equal(step.state, np.vstack([s[:-1] for s in demos.states]))
    np.testing.assert_array_equal(step.next_state, np.vstack([s[1:] for s in demos.states]))
    np.testing.assert_array_equal(step.action, np.vstack(demos.actions))
    np.testing.assert_array_equal(step.next_state[:2], step.state[1:3])


def test_everything_goes_along_when_some_are_chosen() -> None:
    chosen = simulated().select([1, 0])
    assert chosen.rewards is not None
    assert simulated().rewards is not None
    for new, old in enumerate((1, 0)):
        np.testing.assert_array_equal(chosen.states[new], simulated().states[old])
        np.testing.assert_array_equal(chosen.actions[new], simulated().actions[old])
        np.testing.assert_array_equal(chosen.rewards[new], (simulated().rewards or ())[old])
    assert chosen.terminated.tolist() == [False, True]
    assert chosen.environment == "Pendulum-v1"
    first, rest = simulated().split(0.4, np.random.default_rng(0))
    assert (len(first), len(rest)) == (1, 2)
    assert first.rewards is not None
    assert repr(first).startswith("Demonstrations(1 trajectory of Pendulum-v1, ")


def test_an_mdp_has_no_vectors() -> None:
    mdp = worlds.two_goal().mdp
    for states, actions, name in (
        ([[[0.0], [1.0]]], [[0]], "states are vectors of length 1; an MDP has whole numbers, 0 to"),
        ([[1, 2]], [[[0.5, 1.0]]], "actions are vectors of length 2; an MDP has whole numbers"),
    ):
        demos = Demonstrations(states, actions)
        for use in (demos.check, demos.occupancy):
            with pytest.raises(ValueError, match=name):
                use(mdp)


VECTORS = [[[0.0, 0.5], [0.1, 0.4]]]
BAD_VECTORS: list[tuple[dict[str, Any], str]] = [
    ({"states": [[[0.0, np.nan], [0.1, 0.4]]]}, r"states\[0\] is nan at index \(0, 1\)"),
    ({"states": [[[0.0, 1.0], [np.inf, 0.4]]]}, r"states\[0\] is inf at index \(1, 0\)"),
    ({"states": [np.zeros((2, 2, 2))]}, r"states\[0\] has shape \(2, 2, 2\)"),
    ({"states": [np.zeros((2, 0))]}, r"states\[0\] has shape \(2, 0\)"),
    ({"states": [np.zeros((2, 2), dtype=complex)]}, "entries of type complex128"),
    ({"states": [np.zeros((3, 2))]}, r"states\[0\] has 3 entries and actions\[0\] has 1"),
    ({"actions": [[[np.nan]]]}, r"actions\[0\] is nan at index \(0, 0\)"),
    (
        {"actions": [[0.5]]},
        r"actions\[0\] has shape \(1,\) and entries of type float64; expected whole",
    ),
    (
        {"states": [*VECTORS, [[0.0], [1.0]]], "actions": [[0], [0]]},
        r"states\[1\] has vectors of length 1; states\[0\] has vectors of length 2: expected the",
    ),
    (
        {"states": [*VECTORS, [0, 1]], "actions": [[0], [0]]},
        r"states\[1\] has whole numbers; states\[0\] has vectors of length 2",
    ),
    (
        {"states": VECTORS * 2, "actions": [[0], [[0.5]]]},
        r"actions\[1\] has vectors of length 1; actions\[0\] has whole numbers",
    ),
    ({"rewards": [[0.0, 1.0]]}, r"rewards\[0\] has shape \(2,\); expected \(1,\)"),
    ({"rewards": [[0.0], [1.0]]}, "rewards has 2 trajectories; expected 1"),
    ({"rewards": [[np.nan]]}, r"rewards\[0\] is nan at index \(0,\)"),
    ({"rewards": [["much"]]}, r"rewards\[0\] has entries of type <U4; expected real numbers"),
    ({"rewards": 1.0}, "rewards is 1.0; expected a sequence of trajectories"),
    ({"environment": 1}, "environment is 1; expected a name, or None"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD_VECTORS)
def test_bad_vectors_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Demonstrations(**{"states": VECTORS, "actions": [[0]], **wrong})


PLANE, PUSH = spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)


def test_spaces_that_fit_are_accepted() -> None:
    simulated().check_spaces(PLANE, PUSH)
    simulated().check_spaces(PLANE, PUSH, "Pendulum-v1")
    tiny = spaces.Box(-1e-9, 1e-9, (2,))
    simulated().check_spaces(spaces.Dict({"a": PUSH, "b": PUSH}), spaces.Tuple([PUSH]))
    simulated().check_spaces(tiny, PUSH)  # environments leave the bounds of their observations
    Demonstrations(VECTORS, [[2]]).check_spaces(PLANE, spaces.Discrete(3), "Anything-v0")
    Demonstrations([[1, 2]], [[2]]).check_spaces(
        spaces.Discrete(2, start=1), spaces.Discrete(1, start=2)
    )


BAD_SPACES: list[tuple[Demonstrations, Any, str]] = [
    (
        simulated(),
        (spaces.Box(-9.0, 9.0, (6,)), PUSH),
        r"the states of Pendulum-v1 are vectors of length 2; observation_space is Box\(-9.0, 9.0, "
        r"\(6,\), float32\), which holds vectors of length 6",
    ),
    (simulated(), (spaces.Discrete(4), PUSH), "holds whole numbers"),
    (
        simulated(),
        (PLANE, spaces.Discrete(2)),
        r"the actions of Pendulum-v1 are vectors of length 1; action_space is Discrete\(2\)",
    ),
    (simulated(), (PLANE, PUSH, "CartPole-v1"), "are of Pendulum-v1; the environment is CartPole"),
    (
        simulated(),
        (PLANE, spaces.Box(-0.1, 0.1, (1,))),
        "actions of Pendulum-v1 have the entr",
    ),
    (simulated(), (PLANE, spaces.MultiBinary(1)), "action_space is MultiBinary"),
    (simulated(), (spaces.Dict({"a": PUSH}), PUSH), "observation_space is Dict.* of length 1"),
    (simulated(), (PLANE, spaces.Tuple([PUSH, PUSH])), "action_space is Tuple.* of length 2"),
    (simulated(), (PLANE, spaces.Box(-1, 1, (1,), np.int64)), "actions .* have the entry"),
    (simulated(), (spaces.Text(2), PUSH), "observation_space is Text"),
    (simulated(), (None, PUSH), "observation_space is None; expected a Discrete space, a Box"),
    (
        Demonstrations(VECTORS * 2, [[1], [2]]),
        (PLANE, spaces.Discrete(2)),
        r"actions have the entry 2 at step 0 of trajectory 1; action_space is Discrete\(2\)",
    ),
    (
        Demonstrations([[0, 1]], [[1]]),
        (spaces.Discrete(2, start=1), spaces.Discrete(2)),
        r"states have the entry 0 at step 0 of trajectory 0; observation_space is Discrete\(2, st",
    ),
]


@pytest.mark.parametrize(("demos", "place", "message"), BAD_SPACES)
def test_spaces_that_do_not_fit_are_named(demos: Demonstrations, place: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        demos.check_spaces(*place)


# --- bad input --------------------------------------------------------------------------------

BAD: list[tuple[tuple[Any, ...], str]] = [
    (([], []), "states and actions have 0 and 0 trajectories; expected .* at least one"),
    (([[0, 1]], []), "states and actions have 1 and 0 trajectories"),
    (([[0]], [[0]]), r"states\[0\] has 1 entries and actions\[0\] has 1; expected one state more"),
    (([[0, 1.5]], [[0]]), r"states\[0\] has shape \(2,\) and entries of type float64; expected"),
    (([[0, -1]], [[0]]), r"states\[0\] has the entry -1; expected whole numbers from 0"),
    (
        ([np.array([0, 2**63], dtype=np.uint64)], [[0]]),
        r"states\[0\] has the entry 9223372036854775",
    ),
    (([[0, 10**30]], [[0]]), r"states\[0\] has entries of type object"),
    (([[0, 1]], [["left"]]), r"actions\[0\] has entries of type <U4; expected whole numbers"),
    (([[0, 1]], [[True]]), r"actions\[0\] has entries of type bool; expected whole numbers"),
    (([[[0, 1]]], [[0]]), r"states\[0\] has shape \(1, 2\) and entries of type int64; expected"),
    (([[[0, 1], [0]]], [[0]]), r"states\[0\] is no array of numbers"),
    (([0, 1], [0]), r"states\[0\] has shape \(\) and entries of type int64; expected whole"),
    ((None, None), "states is None; expected a sequence of trajectories"),
    (([[0, 1]], [[0]], [True, False]), r"terminated has type bool and shape \(2,\); expected a"),
    (([[0, 1]], [[0]], 1), "terminated has type int64 and shape"),
    (([[0, 1]], [[0]], [[True], [True, False]]), "terminated is no array"),
    (([[0, 1]], [[0]], True, True), "trajectory 0 has terminated=True and truncated=True"),
    (([[0, 1]], [[0]], False, False), "trajectory 0 has terminated=False and truncated=False"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_trajectories_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Demonstrations(*arguments)


IMPOSSIBLE: list[tuple[Demonstrations, str]] = [
    (Demonstrations([[1, 4]], [[1]]), r"states\[0\] has the entry 4; there are states 0 to 3"),
    (Demonstrations([[1, 2]], [[2]]), r"actions\[0\] has the entry 2; there are actions 0 to 1"),
    (Demonstrations([[1, 2], [1, 3]], [[1], [1]]), "trajectory 1 goes from state 1 by action 1 to"),
    (Demonstrations([[0, 0]], [[1]]), "trajectory 0 starts in state 0, where initial is 0"),
    (Demonstrations([[1, 2]], [[1]], True), "trajectory 0 is terminated but ends in state 2"),
    (Demonstrations([[1, 2, 1, 2]], [[1, 0, 1]]), "trajectory 0 has 3 steps; the horizon is 2"),
]


@pytest.mark.parametrize(("demos", "message"), IMPOSSIBLE)
def test_what_the_mdp_cannot_do_is_named(demos: Demonstrations, message: str) -> None:
    mdp = worlds.two_goal().mdp
    short = MDP(mdp.dense_transitions(), mdp.initial, 0.9, horizon=2)
    with pytest.raises(ValueError, match=message):
        demos.occupancy(short)


BAD_SAMPLES: list[tuple[dict[str, Any], str]] = [
    ({"n": 0}, "n is 0; expected a whole number, at least 1"),
    ({"n": 2.5}, "n is 2.5; expected"),
    ({"rng": 0}, "rng is 0; expected a numpy.random.Generator"),
    ({"length": 0}, "length is 0; expected"),
    ({"length": 6}, "length is 6; the horizon is 5"),
    ({"policy": np.ones((9, 4))}, "policy sums to 4 in state 0; a distribution sums to 1"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD_SAMPLES)
def test_bad_samples_are_refused(wrong: dict[str, Any], message: str) -> None:
    right = {
        "mdp": worlds.gridworld(3, horizon=5).mdp,
        "policy": np.full((9, 4), 0.25),
        "n": 3,
        "rng": np.random.default_rng(0),
    }
    with pytest.raises(ValueError, match=message):
        demonstrations.sample(**{**right, **wrong})


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.01, -1, np.nan, "half", None])
def test_bad_fractions_are_refused(fraction: Any) -> None:
    with pytest.raises(ValueError, match="fraction is "):
        example().split(fraction, np.random.default_rng(0))


def test_bad_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="rng is None; expected a numpy"):
        example().split(0.5, None)
    with pytest.raises(ValueError, match="which has the entry 3; there are trajectories 0 to 2"):
        example().select([0, 3])
    with pytest.raises(ValueError, match="which has the entry -1"):
        example().select([-1])
    with pytest.raises(ValueError, match="at least one"):
        example().select([])


# --- files ------------------------------------------------------------------------------------


@st.composite
def any_demonstrations(draw: st.DrawFn) -> Demonstrations:
    """Of either kind of states and actions, with and without rewards and a name."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    widths = [draw(st.sampled_from([None, 1, 3])) for _ in range(2)]
    single = draw(st.booleans())

    def entries(n: int, width: int | None) -> Any:
        if width is None:
            return rng.integers(0, 2**40, n)
        return rng.normal(size=(n, width)).astype(np.float32 if single else np.float64)

    return Demonstrations(
        [entries(n + 1, widths[0]) for n in lengths],
        [entries(n, widths[1]) for n in lengths],
        rng.random(len(lengths)) < 0.5,
        rewards=[rng.normal(size=n) for n in lengths] if draw(st.booleans()) else None,
        environment=draw(st.sampled_from([None, "Hopper-v5"])),
    )


@settings(max_examples=60)
@given(demos=any_demonstrations())
def test_whatever_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, demos: Demonstrations
) -> None:
    path = tmp_path_factory.mktemp("saved") / "demos.npz"
    demos.save(path)
    assert same(Demonstrations.load(path), demos)


def test_files_take_the_precision_that_the_numbers_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for dtype, other in ((np.float32, np.float32), (np.float64, np.float64)):
        states = rng.normal(size=(9, 3)).astype(dtype)
        Demonstrations([states], [[0] * 8]).save(tmp_path / "demos.npz")
        with np.load(tmp_path / "demos.npz") as file:
            assert file["states"].dtype == other
            assert file["actions"].dtype == np.int64
    huge = Demonstrations([[[1e300], [1.0]]], [[0]])
    huge.save(tmp_path / "demos.npz")
    assert same(Demonstrations.load(tmp_path / "demos.npz"), huge)


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_of_older_formats_are_read(tmp_path: Path, kind: int, save: Any) -> None:
    example().save(tmp_path / "demos.npz")
    with np.load(tmp_path / "demos.npz") as file:
        arrays = dict(file)
    assert arrays["format"] == "irl_lib.demonstrations/3"
    arrays["format"] = np.array(f"irl_lib.demonstrations/{kind}")
    save(tmp_path / "old.npz", **arrays)
    assert same(Demonstrations.load(tmp_path / "old.npz"), example())


def test_a_file_of_this_format_has_a_digest(tmp_path: Path) -> None:
    example().save(tmp_path / "demos.npz")
    with np.load(tmp_path / "demos.npz") as file:
        np.savez(tmp_path / "other.npz", **file)
    with pytest.raises(ValueError, match=r"its digest is missing"):
        Demonstrations.load(tmp_path / "other.npz")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "demos.npz"
    example().save(path)
    assert same(Demonstrations.load(path), example())
    assert same(Demonstrations.load(str(path)), example())
    assert [p.name for p in tmp_path.iterdir()] == ["demos.npz"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "demos.npz"
    example().save(path)
    before = path.read_bytes()

    def half_written(number: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", half_written)
    with pytest.raises(type(error)):
        Demonstrations([[0, 1]], [[0]]).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["demos.npz"]


def test_a_save_that_cannot_begin_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        example().save(tmp_path / "absent" / "demos.npz")
    with pytest.raises(FileNotFoundError):
        Demonstrations.load(tmp_path / "absent.npz")


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demos.npz"
    example().save(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"path '.*demos\.npz' holds no demonstrations"):
            Demonstrations.load(path)


def test_every_changed_bit_is_noticed(tmp_path: Path) -> None:
    simulated().save(tmp_path / "demos.npz")
    whole = (tmp_path / "demos.npz").read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"^it"):
            datasets.read_npz(bytes(damaged))


def test_threads_may_save_to_one_file(tmp_path: Path) -> None:
    path, failed = tmp_path / "demos.npz", []

    def save(number: int) -> None:
        try:
            for _ in range(25):
                Demonstrations([[number] * 2000], [[number] * 1999]).save(path)
                assert len(np.unique(Demonstrations.load(path).states[0])) == 1
        except Exception as error:  # a thread's own would be lost
            failed.append(error)

    threads = [threading.Thread(target=save, args=(i,)) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    assert [each.name for each in tmp_path.iterdir()] == ["demos.npz"]


class Unpickled:
    """What would be run, if anything were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("something was unpickled",))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    trap = np.array([Unpickled()], dtype=object)
    np.savez(tmp_path / "no_format.npz", a=np.arange(3))
    np.savez(tmp_path / "other_format.npz", format=np.array("something/2"), states=trap)
    np.savez(tmp_path / "missing.npz", format=np.array(datasets.FORMAT))
    np.savez(tmp_path / "object.npz", format=np.array(datasets.FORMAT), lengths=trap)
    np.save(tmp_path / "array.npy", np.arange(3))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / f"{protocol}.pkl").write_bytes(pickle.dumps(Unpickled(), protocol))
    (tmp_path / "text.npz").write_text("states and actions")
    (tmp_path / "empty.npz").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as file:
        file.writestr("format", "not an array")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="holds no demonstrations: it") as refused:
            Demonstrations.load(path)
        assert "allow_pickle" not in str(refused.value)


def test_common_foreign_files_are_called_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "demos"
    path.write_bytes(pickle.dumps([[0, 1]]))
    with pytest.raises(ValueError, match="it is a pickle, and nothing is ever unpickled"):
        Demonstrations.load(path)
    with h5py.File(path, "w") as file:
        file["states"] = np.arange(3)
    with pytest.raises(ValueError, match=r"it is an HDF5 file \(.*from_minari reads Minari's"):
        Demonstrations.load(path)
    with pytest.raises(ValueError, match="is a folder; expected a file"):
        Demonstrations.load(tmp_path)
    for wrong in (3, None, [path]):
        bad: Any = wrong
        with pytest.raises(ValueError, match=r"path is .*; expected a text or a pathlib"):
            Demonstrations.load(bad)
        with pytest.raises(ValueError, match=r"path is .*; expected a text or a pathlib"):
            example().save(bad)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lengths", [3]),
        ("lengths", [[2], [1], [0]]),
        ("lengths", [[2, 1, 0]]),
        ("lengths", 3),
        ("lengths", [2**63 - 1, 2**63 - 1, 5]),
        ("format", ["irl_lib.demonstrations/2"]),
        ("more", [1]),
        ("environment", ["Pendulum-v1"]),
        ("environment", 3.0),
        ("lengths", [2, 1, 5]),
        ("lengths", [-1, 4, 0]),
        ("lengths", [0.5, 1.0, 2.0]),
        ("states", [0.5] * 6),
        ("states", [[1, 2]]),
        ("terminated", [1, 0, 0]),
        ("truncated", [True] * 3),
        ("rewards", [0.5] * 4),
        ("rewards", [np.nan] * 3),
        ("environment", np.zeros(3, dtype=object)),
    ],
)
def test_files_whose_parts_do_not_fit_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = tmp_path / "demos.npz"
    example().save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["format"] = np.array(datasets.OLDER[-1])  # which has no digest
    np.savez(path, **{**arrays, name: np.array(value)})
    with pytest.raises(ValueError, match="holds no demonstrations"):
        Demonstrations.load(path)
