"""Stepping environments: what is recorded, what is drawn from which seed, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

from irl_lib import planning, rollouts
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP


class Script(gymnasium.Env):
    """An environment that says what it is told to, step by step, always in the same buffer."""

    def __init__(self, steps: list[tuple[Any, Any, bool, bool]], start: Any = (0.0, 0.0)) -> None:
        self.observation_space = spaces.Box(-9.0, 9.0, (2,), np.float32)
        self.action_space = spaces.Discrete(3)
        self.script, self.start = steps, start
        self.buffer = np.zeros(2, dtype=np.float32)
        self.seen: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """The start, whatever the seed."""
        self.time = 0
        self.buffer[:] = self.start
        return self.buffer, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The next line of the script."""
        self.seen.append(action)
        observation, reward, terminated, truncated = self.script[self.time]
        self.buffer[:] = observation
        self.time += 1
        return self.buffer, reward, terminated, truncated, {}


class Echo(gymnasium.Env):
    """Its observation is the last action; both are vectors, or whole numbers from 1 on."""

    def __init__(self, space: Any) -> None:
        self.observation_space = self.action_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """The least there is."""
        return self.observation_space.low if self.observation_space.shape else 1, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """What it is given."""
        return action, 0.5, False, False, {}


def coin(observation: Any, rng: np.random.Generator) -> int:
    return int(rng.integers(2))


def second(observation: Any, rng: np.random.Generator) -> int:
    return 1


def same(first: Demonstrations, other: Demonstrations) -> bool:
    pairs = [(first.states, other.states), (first.actions, other.actions)]
    pairs.append((first.rewards or (), other.rewards or ()))
    arrays = [pair for one, two in pairs for pair in zip(one, two, strict=True)]
    return all(np.array_equal(a, b) for a, b in arrays) and bool(
        (first.terminated == other.terminated).all()
    )


# --- what is recorded -------------------------------------------------------------------------


def test_everything_that_happened_is_recorded() -> None:
    env = Script([((1, 2), 0.5, False, False), ((3, 4), -1, True, False)])
    demos = rollouts.rollout(
        env, lambda observation, rng: int(observation[0]) + 1, 2, 0, max_steps=10
    )
    for states, actions in demos:
        np.testing.assert_array_equal(states, [[0, 0], [1, 2], [3, 4]])
        np.testing.assert_array_equal(actions, [1, 2])
    assert env.seen == [1, 2, 1, 2]
    assert demos.rewards is not None
    np.testing.assert_array_equal(demos.rewards, [[0.5, -1.0]] * 2)
    assert demos.states[0].dtype == np.float64
    assert demos.environment is None


@pytest.mark.parametrize(
    ("ends", "max_steps", "length", "terminated"),
    [
        ((True, False), 10, 1, True),
        ((False, True), 10, 1, False),
        ((True, True), 10, 1, True),
        ((False, False), 2, 2, False),
    ],
)
def test_ends_and_cuts_are_kept_apart(
    ends: tuple[bool, bool], max_steps: int, length: int, terminated: bool
) -> None:
    env = Script([((1, 1), 1.0, *ends)] * 3)
    demos = rollouts.rollout(env, second, 1, 0, max_steps=max_steps)
    assert demos.n_steps == length
    assert (bool(demos.terminated[0]), bool(demos.truncated[0])) == (terminated, not terminated)


def test_the_limit_of_the_environment_counts_as_a_cut() -> None:
    env = gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=7)
    demos = rollouts.rollout(env, lambda observation, rng: 0, 2, 0)
    assert [len(a) for a in demos.actions] == [7, 7]
    assert demos.truncated.all()
    assert demos.environment == "FrozenLake-v1"
    shorter = rollouts.rollout(env, lambda observation, rng: 0, 1, 0, max_steps=3)
    assert shorter.n_steps == 3
    assert shorter.truncated.all()


def test_vectors_of_actions_are_what_the_environment_got() -> None:
    """In its precision: a bound of 0.7 is met by 0.7, though in 32 bits that is less."""
    env = Echo(spaces.Box(-0.7, 0.7, (1,), np.float32))
    for bound in (0.7, -0.7):
        demos = rollouts.rollout(env, lambda o, rng, push=bound: [push], 1, 0, max_steps=3)
        assert demos.action_width == demos.state_width == 1
        np.testing.assert_array_equal(demos.actions[0], demos.states[0][1:])
        np.testing.assert_array_equal(demos.actions[0], np.full((3, 1), np.float32(bound)))
        exact = Demonstrations([[[0.0], [0.0]]], [[[bound]]])
        exact.check_spaces(env.observation_space, env.action_space)
    pendulum = gymnasium.make("Pendulum-v1")
    demos = rollouts.rollout(pendulum, lambda o, rng: rng.uniform(-2, 2, 1), 2, 0)
    assert [a.shape for a in demos.actions] == [(200, 1)] * 2
    demos.check_spaces(pendulum.observation_space, pendulum.action_space, "Pendulum-v1")


def test_an_environment_may_change_the_action_that_it_got() -> None:
    env = Echo(spaces.Box(-1.0, 1.0, (1,), np.float32))

    def halve(action: Any) -> Any:
        action /= 2.0
        return action, 0.0, False, False, {}

    env.step = halve
    demos = rollouts.rollout(env, lambda observation, rng: [1.0], 1, 0, max_steps=2)
    np.testing.assert_array_equal(demos.actions[0], [[1.0], [1.0]])
    np.testing.assert_array_equal(demos.states[0], [[-1.0], [0.5], [0.5]])


def test_whole_numbers_may_begin_at_one() -> None:
    env = Echo(spaces.Discrete(2, start=1))
    demos = rollouts.rollout(env, np.array([[0.0, 1.0], [1.0, 0.0]]), 1, 0, max_steps=4)
    np.testing.assert_array_equal(demos.states[0], [1, 2, 1, 2, 1])
    np.testing.assert_array_equal(demos.actions[0], [2, 1, 2, 1])
    demos.check_spaces(env.observation_space, env.action_space)


class Old:
    """An environment of the old gym package."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def reset(self) -> Any:
        """The observation alone."""
        return np.zeros(2)

    def step(self, action: Any) -> tuple[Any, ...]:
        """Four values."""
        return np.zeros(2), 0.0, True, {}


def test_an_environment_of_the_old_gym_is_named_as_such() -> None:
    with pytest.raises(ValueError, match=r"takes a seed .* old gym package needs a wrapper"):
        rollouts.rollout(Old(), second, 1, 0, max_steps=5)


PAIR = spaces.Dict({"at": spaces.Box(-1, 1, (1,)), "keys": spaces.MultiDiscrete([2, 3])})


@pytest.mark.parametrize(
    "space",
    [
        PAIR,
        spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiBinary(2)]),
        spaces.Box(-1, 1, (2, 2)),
        spaces.MultiDiscrete([3, 2]),
        spaces.Box(0, 9, (2,), np.int64),
    ],
)
def test_spaces_of_all_kinds_are_recorded_as_vectors(space: Any) -> None:
    """What the environment got and returned, flattened by Gymnasium."""
    env, got = Echo(space), []
    space.seed(0)
    env.reset = lambda seed=None, options=None: (space.sample(), {})
    step = env.step
    env.step = lambda action: got.append(action) or step(action)
    demos = rollouts.rollout(env, lambda observation, rng: space.sample(), 2, 0, max_steps=3)
    expected = [flatten(space, each) for each in got]
    np.testing.assert_array_equal(np.concatenate(demos.actions), expected)
    assert all(space.contains(each) for each in got)
    for states, actions in demos:
        np.testing.assert_array_equal(states[1:], actions)
    demos.check_spaces(space, space)


def test_a_policy_gets_what_the_environment_returned() -> None:
    env, seen = Echo(PAIR), []
    env.reset = lambda seed=None, options=None: (PAIR.sample(), {})

    def policy(observation: Any, rng: np.random.Generator) -> Any:
        seen.append(PAIR.contains(observation))
        return observation

    rollouts.rollout(env, policy, 1, 0, max_steps=3)
    assert seen == [True] * 3


def test_whole_numbers_of_a_box_are_no_fractions() -> None:
    env = Echo(spaces.Box(0, 9, (1,), np.int64))
    demos = rollouts.rollout(env, lambda observation, rng: [2.0], 1, 0, max_steps=1)
    assert demos.actions[0].tolist() == [[2.0]]
    with pytest.raises(ValueError, match=r"the policy returned the action \[0\.7\]"):
        rollouts.rollout(env, lambda observation, rng: [0.7], 1, 0, max_steps=1)


# --- limits -----------------------------------------------------------------------------------


def test_the_limit_is_that_of_the_wrapper() -> None:
    """Around an environment that nobody registered, and the least of several."""
    mine = Script([((1, 1), 1.0, False, False)] * 40)
    limited = gymnasium.wrappers.TimeLimit
    for env, steps in (
        (limited(mine, 10), 10),
        (limited(limited(mine, 10), 20), 10),
        (limited(limited(mine, 20), 10), 10),
        (gymnasium.wrappers.RecordEpisodeStatistics(limited(mine, 10)), 10),
        (limited(gymnasium.make("CartPole-v1"), 3), 3),
        (limited(gymnasium.make("CartPole-v1", max_episode_steps=4), 30), 4),
    ):
        assert rollouts.episode_limit(env, None) == steps
        assert rollouts.rollout(env, second, 1, 0).n_steps == steps
        assert rollouts.episode_limit(env, 2) == 2
    with pytest.raises(ValueError, match="horizon is None and env has no limit of its own"):
        rollouts.episode_limit(mine, None, "horizon")


# --- policies of other kinds ------------------------------------------------------------------


@pytest.mark.parametrize("place", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_a_model_of_stable_baselines_is_a_policy(place: str) -> None:
    env = gymnasium.make(place)
    model = stable_baselines3.PPO("MlpPolicy", env, seed=0, n_steps=8, batch_size=8)

    def predict(observation: Any, rng: np.random.Generator) -> Any:
        return model.predict(observation, deterministic=True)[0]

    expected = rollouts.rollout(env, predict, 2, 0, max_steps=20)
    before = torch.get_rng_state()
    for policy in (model, model.policy):
        assert same(rollouts.rollout(env, policy, 2, 0, max_steps=20), expected)
    assert torch.equal(torch.get_rng_state(), before)


class Remembering:
    """A recurrent model: its action is how often it was asked in this episode."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """As Stable-Baselines3's."""
        assert deterministic
        state = np.zeros(1) if state is None or episode_start[0] else state + 1
        return np.array(int(state[0])), state


def test_the_memory_of_a_model_begins_with_the_episode() -> None:
    env = Echo(spaces.Discrete(9))
    demos = rollouts.rollout(env, Remembering(), 2, seed=0, max_steps=4)
    assert [actions.tolist() for actions in demos.actions] == [[0, 1, 2, 3]] * 2


# --- against the exact answer -----------------------------------------------------------------


def lake() -> tuple[Any, MDP]:
    env = gymnasium.make("FrozenLake-v1", is_slippery=True)
    transitions = np.zeros((16, 4, 16))
    for s, by_action in env.unwrapped.P.items():
        for a, outcomes in by_action.items():
            for chance, after, _, _ in outcomes:
                transitions[s, a, after] += chance
    return env, MDP(transitions, np.eye(16)[0])


def test_the_visits_of_a_table_are_its_occupancy() -> None:
    env, mdp = lake()
    policy = np.random.default_rng(0).dirichlet(np.ones(4), size=16)
    demos = rollouts.rollout(env, policy, 2_000, seed=0)
    assert demos.terminated.all()
    demos.check(mdp)
    each = np.array([demos.select([i]).occupancy(mdp) for i in range(len(demos))])
    exact = planning.occupancy(mdp, policy)
    spread = np.maximum(each.std(axis=0), np.sqrt(exact))  # that of a count, where it is rare
    error = spread / np.sqrt(len(demos))
    assert (np.abs(each.mean(axis=0) - exact) <= 4.0 * error).all()
    assert (exact > 8.0 * error).sum() > 20  # enough visits for most pairs to say something


# --- seeds ------------------------------------------------------------------------------------


def test_an_episode_depends_on_the_seed_and_its_number_alone() -> None:
    env = gymnasium.make("CartPole-v1")
    five = rollouts.rollout(env, coin, 5, seed=3)
    assert same(five, rollouts.rollout(env, coin, 5, seed=3))
    assert same(five.select([0, 1]), rollouts.rollout(env, coin, 2, seed=3))
    assert not same(five, rollouts.rollout(env, coin, 5, seed=4))
    starts = np.array([states[0] for states in five.states])
    assert len(np.unique(starts, axis=0)) == 5


def test_the_policys_draws_depend_on_the_seed_and_the_episode() -> None:
    env = Script([((1, 1), 1.0, False, False)] * 40)
    drawn = [rollouts.rollout(env, coin, 2, seed, max_steps=40).actions for seed in (0, 1)]
    assert len({tuple(actions) for pair in drawn for actions in pair}) == 4


def test_two_policies_begin_in_the_same_states() -> None:
    env = gymnasium.make("CartPole-v1")
    one, two = (rollouts.rollout(env, policy, 3, seed=0) for policy in (coin, second))
    for a, b in zip(one.states, two.states, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_global_random_state_is_neither_read_nor_set() -> None:
    before = np.random.get_state()  # noqa: NPY002 - it is what must not change
    rollouts.rollout(gymnasium.make("CartPole-v1"), coin, 1, seed=0)
    after = np.random.get_state()  # noqa: NPY002
    assert before[2] == after[2]
    assert np.array_equal(before[1], after[1])


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rollouts.rollout(Script([((1, 1), 1.0, True, False)]), second, 2, 0, max_steps=5, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_progress_without_tqdm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r'pip install "irl_lib\[progress\]"'):
        rollouts.rollout(Script([]), second, 2, 0, max_steps=5, progress=True)


# --- returns ----------------------------------------------------------------------------------


def test_returns_are_discounted_sums() -> None:
    demos = Demonstrations([[0, 1, 1], [0, 1], [0]], [[0, 0], [1], []], rewards=[[1, 2], [4], []])
    np.testing.assert_allclose(rollouts.returns(demos), [3.0, 4.0, 0.0])
    np.testing.assert_allclose(rollouts.returns(demos, 0.5), [2.0, 4.0, 0.0])
    np.testing.assert_allclose(rollouts.returns(demos, 0.0), [1.0, 4.0, 0.0])
    with pytest.raises(ValueError, match=r"discount is 1\.5; expected a number in"):
        rollouts.returns(demos, 1.5)
    with pytest.raises(ValueError, match="demos has no rewards"):
        rollouts.returns(Demonstrations([[0, 1]], [[0]]))


# --- what is refused --------------------------------------------------------------------------

FINE = ((1.0, 1.0), 1.0, False, False)
BAD_STEPS: list[tuple[Any, str]] = [
    (((np.nan, 1.0), 1.0, False, False), "episode 0, step 2: the environment returned the obs"),
    (((1.0, np.inf), 1.0, False, False), "episode 0, step 2: the environment returned the obs"),
    (((1.0, 1.0), np.nan, False, False), "episode 0, step 1: the environment paid nan"),
    (((1.0, 1.0), None, False, False), "episode 0, step 1: the environment paid None"),
    (((1.0, 1.0), np.array([1.0]), False, False), r"paid array\(\[1.\]\); expected a fin"),
    (((None, 1.0), 1.0, False, False), "episode 0, step 2: the environment returned the obs"),
]


@pytest.mark.parametrize(("step", "message"), BAD_STEPS)
def test_what_is_not_finite_is_named(step: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollouts.rollout(Script([FINE, step, FINE]), second, 2, 0, max_steps=3)


@pytest.mark.parametrize("one", [1, np.float32(1.0), np.array(1.0), np.array(1), Fraction(1)])
def test_a_reward_is_any_single_number(one: Any) -> None:
    paid = rollouts.rollout(
        Script([(FINE[0], one, False, False)]), second, 1, 0, max_steps=1
    ).rewards
    assert paid is not None
    np.testing.assert_array_equal(paid[0], [1.0])


def test_a_bad_start_is_named() -> None:
    with pytest.raises(ValueError, match="episode 0, step 0: the environment returned"):
        rollouts.rollout(Script([FINE], (np.nan, 0.0)), second, 2, 0, max_steps=3)


@pytest.mark.parametrize("action", [3, -1, 1.0, np.nan, True, [1], None, "left"])
def test_actions_that_do_not_exist_are_named(action: Any) -> None:
    with pytest.raises(ValueError, match="episode 0, step 0: the policy returned the action"):
        rollouts.rollout(Script([FINE]), lambda observation, rng: action, 1, 0, max_steps=1)


@pytest.mark.parametrize("action", [[0.2], [np.nan], [np.inf], [1e300], 0.0, [0.0, 0.0], ["a"]])
def test_vectors_that_are_no_actions_are_named(action: Any) -> None:
    env = Echo(spaces.Box(-0.1, 0.1, (1,), np.float32))
    with pytest.raises(ValueError, match="episode 0, step 0: the policy returned the action"):
        rollouts.rollout(env, lambda observation, rng: action, 1, 0, max_steps=1)


def test_states_that_do_not_exist_are_named() -> None:
    env = Echo(spaces.Discrete(2, start=1))
    env.step = lambda action: (3, 0.0, False, False, {})
    with pytest.raises(ValueError, match="episode 0, step 1: the environment returned the obs"):
        rollouts.rollout(env, second, 1, 0, max_steps=3)


def bare(**changed: Any) -> Callable[[], Any]:
    """An environment with other parts."""

    def make() -> Any:
        env = Script([FINE] * 3)
        for name, value in changed.items():
            setattr(env, name, value)
        return env

    return make


BAD_ARGUMENTS: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: "CartPole-v1", {}, "env is 'CartPole-v1'; expected a single Gymnasium environment"),
    (lambda: gymnasium.make_vec("CartPole-v1", 2), {}, "expected a single Gymnasium environment"),
    (bare(observation_space=spaces.Dict({})), {}, "env.observation_space is Dict"),
    (bare(observation_space=spaces.Text(2)), {}, "expected a Discrete space, a Box, a MultiDis"),
    (bare(action_space=spaces.MultiDiscrete([2, 2])), {}, "returned the action 1; env.action_sp"),
    (bare(reset=lambda: np.zeros(2)), {}, "env is .*; expected one whose reset takes a seed as Gy"),
    (
        bare(reset=lambda seed=None: np.zeros(2)),
        {},
        r"env.reset returned array.*; expected observation, info as Gymnasium's environments do; "
        "one of the old gym package needs a wrapper, like shimmy",
    ),
    (
        bare(step=lambda action: (np.zeros(2), 0.0, False, {})),
        {},
        "env.step returned .*; expected observation, reward, terminated, truncated, info as Gymn",
    ),
    (bare(), {"n": 0}, "n is 0; expected a whole number, at least 1"),
    (bare(), {"max_steps": 0}, "max_steps is 0; expected a whole number"),
    (bare(), {"max_steps": None}, "max_steps is None and env has no limit of its own"),
    (bare(spec=SimpleNamespace(id="x", max_episode_steps=-1)), {"max_steps": None}, "no limit"),
    (bare(), {"seed": -1}, "seed is -1; expected a whole number, at least 0"),
    (bare(), {"seed": None}, "seed is None; expected"),
    (bare(), {"seed": 0.5}, "seed is 0.5; expected"),
    (
        bare(),
        {"policy": np.full((2, 3), 1 / 3)},
        r"a function \(or .*\), as env has the",
    ),
    (bare(), {"policy": None}, "policy is None; expected a function"),
    (lambda: Echo(spaces.Discrete(2)), {"policy": object()}, "policy is <object.*or a table"),
    (lambda: Echo(spaces.Discrete(2)), {"policy": np.eye(3)}, r"policy has shape \(3, 3\)"),
    (lambda: Echo(spaces.Discrete(2)), {"policy": np.ones((2, 2))}, "policy sums to 2"),
]


@pytest.mark.parametrize(("make", "wrong", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(
    make: Callable[[], Any], wrong: dict[str, Any], message: str
) -> None:
    right = {"policy": second, "n": 1, "seed": 0, "max_steps": 2}
    with pytest.raises(ValueError, match=message):
        rollouts.rollout(make(), **{**right, **wrong})


def test_an_environment_without_end_needs_a_limit() -> None:
    names = ("CliffWalking-v1", "CliffWalking-v0")  # the latter in older versions
    env = gymnasium.make(next(name for name in names if name in gymnasium.registry))
    with pytest.raises(ValueError, match="max_steps is None"):
        rollouts.rollout(env, coin, 1, 0)
    demos = rollouts.rollout(env, lambda observation, rng: 0, 1, 0, max_steps=50)
    assert demos.n_steps == 50
    assert demos.truncated.all()


class Counting:
    """A policy that does one more with every step of an episode, and counts the episodes."""

    def __init__(self) -> None:
        self.episodes = 0

    def start(self) -> None:
        """An episode begins."""
        self.episodes, self.time = self.episodes + 1, 0

    def __call__(self, observation: Any, rng: np.random.Generator) -> int:
        """The time."""
        self.time += 1
        return self.time


def test_a_policy_with_a_clock_is_started_before_each_episode() -> None:
    env, policy = Echo(spaces.Discrete(9, start=1)), Counting()
    demos = rollouts.rollout(env, policy, 3, seed=0, max_steps=4)
    assert policy.episodes == 3
    assert [actions.tolist() for actions in demos.actions] == [[1, 2, 3, 4]] * 3
