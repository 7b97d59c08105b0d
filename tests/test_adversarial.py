"""Discriminators against closed forms and finite differences; games that stop and resume."""

from __future__ import annotations

import inspect
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irl_lib import Demonstrations, rollouts, worlds

torch = pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402

from irl_lib import adversarial  # noqa: E402
from irl_lib.adversarial import learning  # noqa: E402
from irl_lib.adversarial.discriminators import (  # noqa: E402
    REGULARISATIONS,
    REWARDS,
    Free,
    Pairs,
    Structured,
    accuracy,
    discriminator_loss,
    gradient_penalty,
    network,
    optimiser,
)
from irl_lib.adversarial.game import Game, free, structured  # noqa: E402
from irl_lib.adversarial.settings import settings_of  # noqa: E402
from irl_lib.demonstrations import shipped  # noqa: E402
from irl_lib.networks import RewardNet  # noqa: E402
from irl_lib.training.copies import Copies, Transitions  # noqa: E402
from irl_lib.training.ppo import Actor  # noqa: E402
from irl_lib.training.running_unit import RunningUnit  # noqa: E402
from irl_lib.training.steps import Rows, absorbed_rows, expert_rows, policy_rows  # noqa: E402

METHODS = ("gail", "airl")
SMALL: dict[str, Any] = {
    "steps": 16,
    "memory": 2,
    "discriminator_steps": 2,
    "batch": 32,
    "hidden": (8,),
    "policy_hidden": (8,),
    "policy_epochs": 2,
}


def some_pairs(n: int, seed: int, d: int = 3, m: int = 2, weights: Any = None) -> Pairs:
    rng = np.random.default_rng(seed)
    return Pairs(
        states=torch.from_numpy(rng.normal(size=(n, d))),
        actions=torch.from_numpy(np.eye(m)[rng.integers(m, size=n)]),
        next_states=torch.from_numpy(rng.normal(size=(n, d))),
        goes_on=torch.from_numpy((rng.random(n) < 0.7).astype(float)),
        log_prob=torch.from_numpy(np.log(rng.uniform(0.05, 1.0, n))),
        weights=torch.from_numpy(np.ones(n) if weights is None else np.asarray(weights)),
    )


# --- what is paid for a logit -------------------------------------------------------------------


def test_rewards_are_what_their_names_say() -> None:
    x = torch.linspace(-6.0, 6.0, 25, dtype=torch.float64)
    d = torch.sigmoid(x)
    expected = {
        "logit": torch.log(d) - torch.log(1.0 - d),
        "log D": torch.log(d),
        "-log(1-D)": -torch.log(1.0 - d),
        "fairl": -(d / (1.0 - d)) * torch.log(d / (1.0 - d)),
    }
    assert set(expected) == set(REWARDS)
    for name, values in expected.items():
        torch.testing.assert_close(REWARDS[name](x), values, rtol=1e-12, atol=1e-12)


def test_rewards_stay_finite_where_d_is_0_or_1() -> None:
    """In single precision the printed form overflows from a logit of 17 on."""
    x = torch.tensor([-1e4, -100.0, 100.0, 1e4])
    printed = -torch.log(1.0 - torch.sigmoid(x))
    assert not torch.isfinite(printed).all()
    for pay in REWARDS.values():
        assert torch.isfinite(pay(x)).all()
    torch.testing.assert_close(REWARDS["-log(1-D)"](x), x.clamp(min=0.0))
    torch.testing.assert_close(REWARDS["log D"](x), x.clamp(max=0.0))


def test_a_reward_of_one_sign_has_that_sign() -> None:
    x = torch.linspace(-30.0, 30.0, 61)
    assert (REWARDS["log D"](x) <= 0.0).all()
    assert (REWARDS["-log(1-D)"](x) >= 0.0).all()
    for name in ("logit", "fairl"):
        assert REWARDS[name](x).min() < 0.0 < REWARDS[name](x).max()


# --- the discriminators -------------------------------------------------------------------------


class Table(torch.nn.Module):
    """A logit for each of several states, which are one-hot: any function of them."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.zeros(n, dtype=torch.float64))
        self.n_inputs = n

    def forward(self, inputs: Any) -> Any:
        return inputs @ self.values


def test_the_best_logit_is_the_log_ratio_of_occupancies() -> None:
    """And the objective there is twice the Jensen-Shannon divergence, less log 4."""
    expert, policy = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    every = torch.eye(3, dtype=torch.float64)
    none = torch.zeros(3, 0, dtype=torch.float64)
    ours, theirs = (
        Pairs(every, none, every, torch.ones(3), torch.zeros(3), torch.from_numpy(weights))
        for weights in (expert, policy)
    )
    net = Free(Table(3))  # type: ignore[arg-type]
    search = torch.optim.LBFGS(net.parameters(), max_iter=200, tolerance_grad=1e-13)

    def loss() -> Any:
        search.zero_grad()
        value = discriminator_loss(net(ours), net(theirs), (ours, theirs))
        value.backward()
        return value

    search.step(loss)
    mean = 0.5 * (expert + policy)
    divergence = 0.5 * (expert @ np.log(expert / mean) + policy @ np.log(policy / mean))
    assert float(-loss().detach()) == pytest.approx(2.0 * divergence - math.log(4.0), abs=1e-9)
    found = net.net.values.detach().numpy()
    np.testing.assert_allclose(found, np.log(expert / policy), atol=1e-5)


def test_knowing_nothing_costs_log_4_and_is_right_half_the_time() -> None:
    pairs = some_pairs(10, 0), some_pairs(20, 1)
    zero = torch.zeros(10, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    assert float(discriminator_loss(*zero, pairs)) == pytest.approx(math.log(4.0), rel=1e-12)
    assert accuracy(*zero) == 0.5
    assert accuracy(zero[0] + 1.0, zero[1] - 1.0) == 1.0
    assert accuracy(zero[0] - 1.0, zero[1] + 1.0) == 0.0


def test_weights_count_like_copies() -> None:
    once = some_pairs(3, 0, weights=[1.0, 2.0, 3.0])
    rows = [0, 1, 1, 2, 2, 2]
    often = Pairs._make(each[rows] for each in some_pairs(3, 0))
    net, other = network(5, (4,), "none", 0).double(), some_pairs(4, 1)
    values = [
        discriminator_loss(Free(net)(ours), Free(net)(other), (ours, other))
        for ours in (once, often)
    ]
    torch.testing.assert_close(*values, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("state_only", [True, False])
def test_the_structured_logit_is_what_it_should_be(state_only: bool) -> None:
    pairs = some_pairs(7, 2)
    reward, shaping = RewardNet(3 if state_only else 5, 1).double(), RewardNet(3, 2).double()
    net = Structured(reward, shaping, 0.9)
    for i, logit in enumerate(net(pairs)):
        state, action, after, goes_on, log_prob, _ = (each[i] for each in pairs)
        inputs = state if state_only else torch.cat([state, action])
        f = reward(inputs) + 0.9 * goes_on * shaping(after) - shaping(state)
        torch.testing.assert_close(logit, f - log_prob, rtol=1e-12, atol=1e-12)


def test_shaping_adds_the_value_of_the_start_and_nothing_else() -> None:
    """Along a whole episode that terminated, the discounted sum of f is that of r less h(s_0)."""
    pairs = some_pairs(6, 3)
    states = torch.cat([pairs.states, pairs.states[:1]])
    goes_on = torch.ones(6, dtype=torch.float64)
    goes_on[-1] = 0.0
    episode = pairs._replace(next_states=states[1:], goes_on=goes_on)
    reward, shaping = RewardNet(3, 1).double(), RewardNet(3, 2).double()
    discounts = 0.8 ** torch.arange(6, dtype=torch.float64)
    total = discounts @ Structured(reward, shaping, 0.8).potential(episode)
    expected = discounts @ reward(episode.states) - shaping(states[0])
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", METHODS)
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    """Of the loss and of the penalty, in double precision."""
    ours, theirs = some_pairs(5, 4), some_pairs(5, 5)
    net: Any = Free(RewardNet(5, 0, (4,)).double())
    if kind == "airl":
        net = Structured(RewardNet(3, 0, (4,)).double(), RewardNet(3, 1, (4,)).double(), 0.9)
    mix, scale = torch.linspace(0.0, 1.0, 5).double(), torch.full((8,), 1.5).double()

    def loss() -> Any:
        value = discriminator_loss(net(ours), net(theirs), (ours, theirs))
        return value + 0.7 * gradient_penalty(net, ours, theirs, mix, scale)

    loss().backward()
    for parameter in net.parameters():
        known, flat = parameter.grad.flatten(), parameter.data.view(-1)
        for i in range(len(flat)):
            before = float(flat[i])
            values = []
            for step in (1e-5, -1e-5):
                flat[i] = before + step
                values.append(float(loss().detach()))
            flat[i] = before
            assert float(known[i]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_the_penalty_is_the_squared_slope_in_units() -> None:
    net = Free(RewardNet(5, 0, ()).double())
    slope = next(each for each in net.parameters() if each.ndim == 2).detach()[0]
    scale = torch.tensor([1.0, 2.0, 3.0, 0.5, 0.5, 1.0, 1.0, 1.0]).double()
    found = gradient_penalty(net, some_pairs(4, 0), some_pairs(4, 1), torch.rand(4).double(), scale)
    torch.testing.assert_close(found, ((slope * scale[:5]) ** 2).sum())


@pytest.mark.parametrize("kind", REGULARISATIONS)
def test_networks_are_regularised_as_asked(kind: str) -> None:
    net = network(4, (16, 16), kind, 0)
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    noisy = not torch.equal(net(x), net(x)) if kind != "spectral norm" else False
    assert noisy == (kind == "dropout")
    net.eval()
    assert torch.equal(net(x), net(x))
    layers = [each for each in net.body if isinstance(each, torch.nn.Linear)]
    if kind == "spectral norm":
        for _ in range(50):
            net.train()(x)
        norms = [torch.linalg.matrix_norm(each.weight.detach(), 2).item() for each in layers]
        np.testing.assert_allclose(norms, 1.0, atol=1e-3)


# --- the steps ----------------------------------------------------------------------------------


def walk(lengths: list[int], terminated: list[bool]) -> Demonstrations:
    """Trajectories in CartPole's spaces, whose states count up."""
    states = [np.arange(4.0 * (n + 1)).reshape(n + 1, 4) / 100.0 for n in lengths]
    return Demonstrations(states, [np.arange(n) % 2 for n in lengths], terminated)


def test_the_expert_is_shown_every_so_many_steps() -> None:
    demos = walk([5, 7], [True, False])
    rows = expert_rows(demos, 3, absorbing=True)
    steps = demos.steps()
    kept = np.flatnonzero(steps.time % 3 == 0)
    n = len(kept)
    np.testing.assert_array_equal(rows.states[:n], steps.state[kept])
    np.testing.assert_array_equal(rows.next_states[:n], steps.next_state[kept])
    np.testing.assert_array_equal(rows.actions[:n], steps.action[kept])
    assert not rows.absorbed[:n].any()
    assert rows.absorbed[n:].tolist() == [True]  # of two episodes, one terminated
    assert rows.weights[n:].tolist() == [pytest.approx(1.0 / 3.0)]
    assert (
        not rows.terminated.any()
    )  # the last steps, 4 and 6, of which 6 was cut, are 4: not shown
    assert expert_rows(walk([4], [True]), 3, absorbing=False).terminated.tolist() == [
        False,
        True,
    ]


def test_each_end_of_the_policys_is_followed_by_a_stay() -> None:
    passed = Transitions(
        np.zeros((2, 3, 4)),
        np.zeros((2, 3), dtype=int),
        np.ones((2, 3, 4)),
        np.array([[True, False, False], [False, True, False]]),
        np.array([[False, False, True], [False, False, False]]),
    )
    assert len(policy_rows(passed, absorbing=False).states) == 6
    rows = policy_rows(passed, absorbing=True)
    assert rows.absorbed.tolist() == [False] * 6 + [True] * 2
    assert len(absorbed_rows(0, rows, 1.0).states) == 0


class Strolls(gymnasium.Env):  # type: ignore[misc]
    """One that ends by itself after so many steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.zeros(1, dtype=np.float32), 1.0, self.time == self.length, False, {}


def test_episodes_are_cut_at_the_limit_where_they_have_not_ended() -> None:
    env = SyncVectorEnv([lambda: Strolls(3), lambda: Strolls(2), lambda: Strolls(9)])
    copies = Copies(env, seed=0, max_steps=3)
    passed, told = copies.collect(lambda states: np.zeros(3, dtype=int), 6)
    ends = [list(np.flatnonzero(each)) for each in (*passed.terminated.T, *passed.truncated.T)]
    assert ends == [[2, 5], [1, 3, 5], [], [], [], [2, 5]]
    assert told == {"episode_length": 18 / 7, "environment_return": 18 / 7}


def test_a_running_unit_is_that_of_all() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, (12, 2)) * [1.0, 0.0] + [0.0, 5.0]
    unit = RunningUnit(values[:2])
    for part in (values[2:3], values[3:10], values[10:]):
        unit.update(part)
    np.testing.assert_allclose(unit.centre, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(unit.scale, [values[:, 0].std(), 1.0], rtol=1e-14)


# --- games --------------------------------------------------------------------------------------


def cartpoles(n: int = 3, mode: Any = AutoresetMode.NEXT_STEP) -> Any:
    return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * n, autoreset_mode=mode)


def mazes(n: int = 2) -> Any:
    return SyncVectorEnv([worlds.point_maze] * n)


def one_expert() -> Demonstrations:
    return shipped("cartpole_expert").select([0])


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same to the last bit."""
    logs = all(np.array_equal(one.history[k], other.history[k]) for k in one.history)
    pairs = zip(one.policy.state_dict().values(), other.policy.state_dict().values(), strict=True)
    return logs and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("world", ["cartpole", "maze"])
def test_a_game_repeats_and_resumes(method: str, world: str, tmp_path: Path) -> None:
    """Stopped after any iteration, in environments that are new each time; bit for bit."""
    play, make = getattr(adversarial, method), cartpoles if world == "cartpole" else mazes
    demos = one_expert() if world == "cartpole" else shipped("point_maze_expert").select([0, 1])
    whole = play(make(), demos, seed=3, max_iterations=4, **SMALL)
    assert same(whole, play(make(), demos, seed=3, max_iterations=4, **SMALL))
    assert not same(whole, play(make(), demos, seed=4, max_iterations=4, **SMALL))
    path = tmp_path / "game.npz"
    for last in (1, 2, 4):
        found = play(make(), demos, seed=3, max_iterations=last, checkpoint=path, **SMALL)
    assert same(whole, found)
    with pytest.raises(ValueError, match="made with seed = 3"):
        play(make(), demos, seed=4, max_iterations=4, checkpoint=path, **SMALL)


@pytest.mark.parametrize("regularisation", REGULARISATIONS)
def test_each_regularisation_resumes(regularisation: str, tmp_path: Path) -> None:
    settings = SMALL | {"seed": 1, "regularisation": regularisation, "absorbing": True}
    whole = adversarial.gail(cartpoles(), one_expert(), max_iterations=3, **settings)
    path = tmp_path / "game.npz"
    for last in (1, 3):
        found = adversarial.gail(
            cartpoles(), one_expert(), max_iterations=last, checkpoint=path, **settings
        )
    assert same(whole, found)


def test_the_mode_of_resetting_changes_nothing() -> None:
    found = [
        adversarial.gail(cartpoles(3, mode), one_expert(), seed=0, max_iterations=2, **SMALL)
        for mode in AutoresetMode
    ]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (the global one is what is asked for)
    adversarial.airl(cartpoles(), one_expert(), seed=0, max_iterations=1, **SMALL)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("method", METHODS)
def test_histories_are_whole_and_finite(method: str) -> None:
    play = getattr(adversarial, method)
    found = play(cartpoles(), one_expert(), seed=0, max_iterations=3, **SMALL)
    assert set(found.history) == set(learning.HISTORY)
    assert all(len(each) == 3 and np.isfinite(each).all() for each in found.history.values())
    np.testing.assert_array_equal(found.history["environment_steps"], [48.0, 96.0, 144.0])
    assert found.divergence == found.history["divergence"][-1]
    assert not found.converged
    observation = np.zeros(4, dtype=np.float32)
    assert found.policy.act(observation, np.random.default_rng(0)) in (0, 1)
    states = torch.zeros(2, 5)  # the last number says that all is over
    if method == "airl":
        assert found.reward(states).shape == found.shaping(states).shape == (2,)
    else:
        assert not hasattr(found, "reward")


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_a_policy_is_what_the_actor_was(name: str) -> None:
    """In the environment's units: densities of real actions differ by the unit's logarithm."""
    env = gymnasium.make(name)
    demos = shipped({"C": "cartpole_expert", "P": "pendulum_expert"}[name[0]]).select([0])
    states, actions = demos.states[0][:-1], demos.actions[0]
    actor = Actor(
        env.observation_space, env.action_space, RunningUnit(states), 0, discount=0.9, hidden=(8,)
    )
    policy = actor.policy()
    seen = torch.tensor(states, dtype=torch.float32)
    theirs = policy.log_prob(seen, torch.tensor(actions)).detach()
    unit = 0.0 if actor.numbered else float(np.log(actor.half).sum())
    torch.testing.assert_close(actor.log_prob(states, actions) - unit, theirs.float())
    drawn = actor.act(states, np.random.default_rng(0))
    assert all(env.action_space.contains(each) for each in drawn)


def test_ppo_is_handed_generalised_advantages() -> None:
    """From their definition: sums of surprises up to the end, and beyond it what it is worth."""
    env, demos, rng = gymnasium.make("CartPole-v1"), one_expert(), np.random.default_rng(0)
    gamma, trace, absorbed, shape = 0.8, 0.6, -3.0, (6, 2)
    actor = Actor(
        env.observation_space,
        env.action_space,
        RunningUnit(demos.states[0]),
        0,
        discount=gamma,
        trace=trace,
        hidden=(8,),
    )
    states, after = rng.normal(size=(2, *shape, 4))
    terminated, truncated = np.zeros((2, *shape), dtype=bool)
    terminated[2, 0] = truncated[3, 1] = True
    passed = Transitions(states, rng.integers(2, size=shape), after, terminated, truncated)
    rewards = rng.normal(size=shape)
    actor.model.train = lambda: None  # type: ignore[method-assign]
    actor.improve(passed, rewards, rng, absorbed)
    steps = actor.model.rollout_buffer.steps  # type: ignore[attr-defined]

    def value(x: Any) -> Any:
        with torch.no_grad():
            return actor.net.predict_values(actor._seen(x.reshape(-1, 4))).numpy().reshape(shape)

    surprises = rewards + gamma * np.where(terminated, absorbed, value(after)) - value(states)
    wanted = np.zeros(shape)
    for t, i in np.ndindex(shape):
        for k in range(t, 6):
            wanted[t, i] += (gamma * trace) ** (k - t) * surprises[k, i]
            if passed.ended[k, i]:
                break
    found = steps.advantages.numpy().reshape(shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(steps.returns.numpy().reshape(shape), wanted + value(states), 1e-5)
    # Before the first step of Adam the ratios are 1.
    with torch.no_grad():
        now = actor.net.evaluate_actions(steps.observations, steps.actions)
    torch.testing.assert_close(now[1], steps.old_log_prob)


def bounded_actor(sd: float) -> tuple[Actor, Any]:
    """A policy of one real action between -2 and 2, and a state."""
    space, states = gymnasium.spaces.Box(-2.0, 2.0, (1,)), np.array([[1.0], [-1.0]])
    seen = gymnasium.spaces.Box(-9.0, 9.0, (1,))
    unit = RunningUnit(states)
    return Actor(seen, space, unit, 0, discount=0.9, hidden=(8,), sd=sd), states[:1]


@pytest.mark.parametrize("middle", [-1.4, 0.2, 1.0])
def test_the_likelihood_of_clipped_actions_sums_to_one(middle: float) -> None:
    """A density between the bounds, and a probability at each."""
    actor, state = bounded_actor(0.5)
    with torch.no_grad():
        actor.net.action_net.weight.zero_()
        actor.net.action_net.bias.fill_(middle)
    n = 4_000
    inside = (2.0 * np.arange(n) + 1.0) / n - 1.0  # in the unit [-1, 1]
    actions = 2.0 * np.concatenate([[-1.0], inside, [1.0]])[:, None].astype(np.float32)
    likely = actor.log_prob(np.repeat(state, n + 2, axis=0), actions).double().exp().numpy()
    assert likely[0] + likely[1:-1].sum() * 2.0 / n + likely[-1] == pytest.approx(1.0, abs=1e-4)
    drawn = actor.act(np.repeat(state, n, axis=0), np.random.default_rng(0))
    assert (drawn == 2.0).mean() == pytest.approx(likely[-1], abs=4.0 * 0.5 / np.sqrt(n))


def test_a_policy_far_beyond_its_bounds_stays_finite() -> None:
    """Its actions are all clipped; PPO's ratios must not overflow."""
    actor, state = bounded_actor(0.01)
    with torch.no_grad():
        actor.net.action_net.bias.fill_(5.0)
    steps, none = np.repeat(state, 64, axis=0)[:, None], np.zeros((64, 1), dtype=bool)
    rng = np.random.default_rng(0)
    actions = actor.act(steps[:, 0], rng)[:, None]
    assert (actions == 2.0).all()
    passed = Transitions(steps, actions, steps, none, none)
    for _ in range(5):
        actor.improve(passed, rng.normal(size=(64, 1)), rng)
    assert all(bool(each.isfinite().all()) for each in actor.net.parameters())
    assert float(actor.log_prob(steps[:, 0], actions[:, 0]).min()) > -1.0


def test_learning_survives_where_the_expert_does() -> None:
    """From one demonstration, a pole that falls after some 20 steps at first stays up for 150."""
    found = adversarial.gail(
        cartpoles(8),
        one_expert(),
        seed=0,
        reward="-log(1-D)",
        absorbing=False,
        learning_rate=3e-4,
        max_iterations=12,
        subsample=20,
    )
    lengths = found.history["episode_length"]
    assert lengths[0] < 40.0
    assert lengths[-1] > 80.0
    env = gymnasium.make("CartPole-v1")
    played = rollouts.rollout(env, lambda seen, rng: found.policy.act(seen), 5, seed=1)
    assert rollouts.returns(played).mean() > 150.0


def test_log_d_ends_episodes_whatever_the_expert_does() -> None:
    """The sign, not the learning: all of its rewards are below zero."""
    settings: dict[str, Any] = {"reward": "log D", "absorbing": False, "subsample": 20}
    found = adversarial.gail(cartpoles(8), one_expert(), seed=0, max_iterations=12, **settings)
    assert found.history["episode_length"][-3:].max() < found.history["episode_length"][0]


@pytest.mark.parametrize("method", METHODS)
def test_to_be_over_is_worth_what_the_expert_makes_of_it(method: str) -> None:
    """An expert who never falls makes it cost; one who is soon done makes it pay."""
    env, play = cartpoles(4), getattr(adversarial, method)
    never = one_expert()
    soon = Demonstrations([never.states[0][:4]], [never.actions[0][:3]], terminated=[True])
    stays = []
    for demos in (never, soon):
        game = play(env, demos, seed=0, max_iterations=10, steps=64, penalty=0.01)
        net = game.reward if method == "airl" else game.discriminator.net
        over = torch.zeros(1, net.n_inputs)
        over[0, 4] = 1.0  # in the middle of the room
        stays.append(float(net(over).detach()))
        if method == "airl":
            stays[-1] -= 0.01 * float(game.shaping(over).detach())
    assert stays[0] < 0.0 < stays[1]


def game_of(demos: Demonstrations, make: Any = free, **given: Any) -> Game:
    known = inspect.signature(adversarial.gail).parameters
    defaults = {k: p.default for k, p in known.items() if p.default is not p.empty}
    env = cartpoles()
    return Game(env, demos, settings_of(defaults | {"env": env, "seed": 0} | given), make)


def test_a_stay_after_the_end_has_neither_state_nor_action_nor_likelihood() -> None:
    game = game_of(walk([5, 7], [True, False]), discount=0.9, steps=4)
    stay = absorbed_rows(1, game.expert, 1.0)
    seen = game.pairs(stay)
    assert seen.states[0].tolist() == pytest.approx([*game.unit.centre, 1.0])
    assert torch.equal(seen.states, seen.next_states)
    assert (seen.actions.abs().sum(), seen.log_prob[0], seen.goes_on[0]) == (0.0, 0.0, 1.0)
    assert game.absorbed() == pytest.approx(10.0 * float(game.rewards(stay)[0]), rel=1e-12)
    steps = game.expert.states[:-1]
    np.testing.assert_allclose(game.unit.centre, steps.mean(axis=0), rtol=1e-12)
    # What the policy is paid, in one unit with what it is worth to be over.
    handed: list[Any] = []
    game.actor.improve = lambda *given: handed.append(given) or {}  # type: ignore
    states, none = np.random.default_rng(1).normal(size=(4, 3, 4)), np.zeros((4, 3), dtype=bool)
    passed = Transitions(states, none.astype(int), states, none, none)
    told = learning._improve_policy(game, passed, np.random.default_rng(0))
    paid = game.rewards(policy_rows(passed, absorbing=False)).reshape(4, 3)
    assert told == {"reward": paid.mean(), "reward_scale": float(game.paid.scale[0])}
    assert told["reward_scale"] != 1.0
    np.testing.assert_allclose(handed[0][1] * told["reward_scale"], paid, rtol=1e-12)
    assert handed[0][3] * told["reward_scale"] == pytest.approx(game.absorbed(), rel=1e-12)
    game.see(states)
    both = np.concatenate([steps, states.reshape(-1, 4)]).mean(axis=0)
    centre = game.discriminator.net.centre.numpy()
    np.testing.assert_allclose(centre, [*both, 0.0, 0.0, 0.0], rtol=1e-6)


def test_weights_decay_beside_dropout_alone() -> None:
    for kind in REGULARISATIONS:
        net = network(3, (4,), kind, 0)
        before = [each.detach().clone() for each in net.parameters()]
        for each in net.parameters():
            each.grad = torch.zeros_like(each)
        optimiser(net, kind, 0.5).step()
        factor = 0.995 if kind == "dropout" else 1.0
        for one, other in zip(before, net.parameters(), strict=True):
            torch.testing.assert_close(factor * one, other.detach(), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("absorbing", [True, False])
@pytest.mark.parametrize("make", [free, structured(None)])
def test_something_comes_after_an_end_that_is_a_state(absorbing: bool, make: Any) -> None:
    game = game_of(one_expert(), make, absorbing=absorbing, state_only=True)
    step = Rows(*(each[:1] for each in game.expert))._replace(terminated=np.array([True]))
    seen = game.pairs(step)
    assert float(seen.goes_on[0]) == float(absorbing)
    assert seen.next_states.shape == (1, 4 + absorbing)
    assert not absorbing or (seen.next_states[0, 4], seen.states[0, 4]) == (1.0, 0.0)


# --- at the door --------------------------------------------------------------------------------


class Broken(gymnasium.Wrapper):  # type: ignore[misc]
    """An environment that returns what is not finite in its fifth step."""

    def reset(self, **kwargs: Any) -> Any:
        self.count = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.count += 1
        seen, *others = self.env.step(action)
        return (seen * np.nan if self.count == 5 else seen, *others)


def test_an_observation_that_is_not_finite_is_named() -> None:
    env = SyncVectorEnv([lambda: Broken(gymnasium.make("CartPole-v1"))] * 2)
    with pytest.raises(ValueError, match=r"copy 0, step 4 of its episode: .*nan"):
        adversarial.gail(env, one_expert(), seed=0, max_iterations=1, **SMALL)


def test_an_environment_may_write_to_the_actions_that_it_is_given() -> None:
    class Writes(gymnasium.ActionWrapper):  # type: ignore[misc]
        def action(self, action: Any) -> Any:
            kept = action.copy()
            action[:] = 0.0
            return kept

    shown, played = shipped("point_maze_expert").select([0]), []
    for make in (worlds.point_maze, lambda: Writes(worlds.point_maze())):
        env = SyncVectorEnv([make])
        played.append(adversarial.gail(env, shown, seed=0, max_iterations=1, **SMALL))
    assert same(*played)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reward": "log"}, r"reward is 'log'; expected one of \['logit'"),
        ({"regularisation": "l2"}, "regularisation is 'l2'; expected one of"),
        ({"discount": 1.0}, "discount is 1; expected a number below 1"),
        ({"discount": -0.1}, "discount"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
        ({"batch": 1}, "batch"),
        ({"subsample": 0}, "subsample"),
        ({"trace": 1.5}, "trace"),
        ({"callback": 3}, "callback is 3"),
        ({"demos": 3}, "demos"),
        (
            {"demos": Demonstrations([np.zeros((1, 4))], [np.zeros(0, int)])},
            "demos have no steps; expected at least one action to copy",
        ),
        (
            {"demos": Demonstrations([np.full((2, 4), 1e39)], [[0]])},
            r"demos have a state with an entry of size 1e\+39; expected at most 1e\+30",
        ),
        ({"learning_rate": 1e300}, r"learning_rate is 1e\+300; expected a number in \(0, 1e\+30\]"),
        ({"penalty": 1e300}, r"penalty is 1e\+300"),
        (
            {"policy_learning_rate": 1e30},
            r"weights are not finite in iteration 0: policy_learning_r",
        ),
        ({"env": 3}, "env is 3; expected a Gymnasium"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    given = {"env": cartpoles(1), "demos": one_expert(), "seed": 0, "max_iterations": 1} | SMALL
    with pytest.raises(ValueError, match=message):
        adversarial.gail(**(given | changed))


def test_demonstrations_of_another_environment_are_refused() -> None:
    with pytest.raises(ValueError, match="CartPole"):
        adversarial.gail(mazes(), one_expert(), seed=0, **SMALL)


def test_an_environment_without_a_limit_is_refused() -> None:
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    env = SyncVectorEnv([CartPoleEnv])
    with pytest.raises(ValueError, match="max_steps is None and env has no limit"):
        adversarial.gail(env, one_expert(), seed=0, **SMALL)
    adversarial.gail(env, one_expert(), seed=0, max_iterations=1, max_steps=9, **SMALL)


def test_unbounded_actions_are_refused() -> None:
    class Free1(gymnasium.Env):  # type: ignore[misc]
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
        action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))

    with pytest.raises(ValueError, match="between finite bounds"):
        adversarial.gail(SyncVectorEnv([Free1]), one_expert(), seed=0, **SMALL)


def test_a_reward_network_of_other_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n_inputs 4: states of 4 numbers \(state_only is"):
        adversarial.airl(
            cartpoles(), one_expert(), seed=0, reward_net=RewardNet(6), absorbing=False, **SMALL
        )
    with pytest.raises(ValueError, match=r"n_inputs 5: states of 5 numbers, .* all is over"):
        adversarial.airl(cartpoles(), one_expert(), seed=0, reward_net=RewardNet(4), **SMALL)
    column: Any = torch.nn.Linear(5, 1)
    column.n_inputs = 5
    with pytest.raises(ValueError, match=r"reward_net returns torch.Size\(\[2, 1\]\) for inputs"):
        adversarial.airl(cartpoles(), one_expert(), seed=0, reward_net=column, **SMALL)
    spoiled = RewardNet(5)
    spoiled.centre.fill_(torch.nan)
    with pytest.raises(ValueError, match="the discriminator pays nan for a step"):
        adversarial.airl(cartpoles(), one_expert(), seed=0, reward_net=spoiled, **SMALL)
    net = RewardNet(6).double()  # trained in 32 bits
    before = [each.clone() for each in net.parameters()]
    found = adversarial.airl(
        cartpoles(),
        one_expert(),
        seed=0,
        state_only=False,
        reward_net=net,
        absorbing=False,
        max_iterations=1,
        **SMALL,
    )
    assert found.reward.n_inputs == 6
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_one_step_is_enough_and_cut_demonstrations_are_taken() -> None:
    for demos in (walk([1], [True]), walk([3, 2], [False, False])):
        found = adversarial.gail(
            cartpoles(), demos, seed=0, max_iterations=1, absorbing=True, **SMALL
        )
        assert np.isfinite(found.history["discriminator_loss"]).all()


def test_a_sure_discriminator_is_warned_of() -> None:
    """A demonstration that no policy can follow: its states are far from where any can be."""
    far = Demonstrations([np.full((31, 4), 2.0)], [np.zeros(30, dtype=int)], [False])
    with pytest.warns(RuntimeWarning, match="the discriminator has been right in"):
        adversarial.gail(
            cartpoles(2),
            far,
            seed=0,
            max_iterations=30,
            **(SMALL | {"discriminator_steps": 8, "penalty": 0.0, "learning_rate": 1e-2}),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adversarial.gail(cartpoles(2), one_expert(), seed=0, max_iterations=22, **SMALL)
