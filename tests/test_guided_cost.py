"""Guided cost learning: weights against enumeration; runs that repeat, stop and resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irl_lib import ConvergenceWarning, max_ent, rollouts, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.learning import (
    HISTORY,
    GuidedCostResult,
    Iteration,
    guided_cost_learning,
)
from irl_lib.guided_cost.weights import (
    log_weights,
    mixture_log_density,
    model_log_density,
    reward_loss,
)
from irl_lib.mdp import MDP
from irl_lib.metrics import effective_sample_size
from irl_lib.networks import RewardNet
from irl_lib.support.checks import Array

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

# --- exactness: a batch that holds every trajectory as often as its probability says -------------


def small() -> MDP:
    """Two states, two actions, two steps; all probabilities are quarters."""
    p = np.array([[[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5], [0.75, 0.25]]])
    return MDP(p, [0.75, 0.25], horizon=2)


class Batch:
    """Trajectories of one policy, in the exact proportions of their probabilities."""

    def __init__(self, mdp: MDP, policy: Array, times: int = 1) -> None:
        self.paths: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        dense = mdp.matrix.toarray().reshape(2, 2, 2)  # action, state, next state
        for states, actions in product(product(range(2), repeat=3), product(range(2), repeat=2)):
            chance = mdp.initial[states[0]]
            for t in range(2):
                s, a, after = states[t], actions[t], states[t + 1]
                chance *= policy[t, s, a] * dense[a, s, after]
            copies = chance * 4**5 * times
            assert copies == round(copies)
            self.paths += [(states, actions)] * round(copies)

    def log_density(self, policy: Array) -> Array:
        """``(M,)``: of the actions."""
        return np.array(
            [sum(np.log(policy[t, s[t], a[t]]) for t in range(2)) for s, a in self.paths]
        )

    def counts(self) -> Array:
        """``(M, 4)``: how often each pair of state and action is met."""
        found = np.zeros((len(self.paths), 4))
        for i, (s, a) in enumerate(self.paths):
            for t in range(2):
                found[i, 2 * s[t] + a[t]] += 1.0
        return found


FIRST = np.array([[[0.25, 0.75], [0.5, 0.5]], [[0.75, 0.25], [0.25, 0.75]]])
SECOND = np.array([[[0.75, 0.25], [0.75, 0.25]], [[0.5, 0.5], [0.25, 0.75]]])


def compare(loss_batches: list[Batch], log_density: Array) -> None:
    """Loss and gradient of the batch against the likelihood and its gradient by planning."""
    mdp, rng = small(), np.random.default_rng(0)
    demos = Demonstrations([[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[0, 1], [1, 0], [1, 0]])
    shown = np.zeros((3, 4))
    for i, (s, a) in enumerate(demos):
        np.add.at(shown[i], 2 * s[:-1] + a, 1.0)
    counts = np.concatenate([each.counts() for each in loss_batches])
    weights = rng.normal(size=4)
    w = torch.tensor(weights, requires_grad=True)
    loss = reward_loss(torch.tensor(shown) @ w, torch.tensor(counts) @ w, torch.tensor(log_density))
    loss.backward()
    exact = max_ent.objective(mdp, np.eye(4).reshape(2, 2, 4), demos, weights, causal=False)
    assert w.grad is not None
    assert abs(loss.item() + exact.value) < 1e-10
    np.testing.assert_allclose(w.grad.numpy(), -exact.gradient, atol=1e-10)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    """In stochastic dynamics, of the likelihood of whole trajectories (not the causal one)."""
    batch = Batch(small(), FIRST)
    compare([batch], batch.log_density(FIRST))


def test_the_gradient_with_samples_of_two_policies() -> None:
    batches = [Batch(small(), FIRST), Batch(small(), SECOND, times=3)]
    logs = [[b.log_density(p) for b in batches] for p in (FIRST, SECOND)]
    rows = np.stack([np.concatenate(row) for row in logs], axis=1)
    compare(batches, mixture_log_density(rows, [len(b.paths) for b in batches]))


def test_the_model_finds_its_own_normaliser() -> None:
    """Samples of q in exact proportions: so is Z."""
    p, q = np.array([1.0, 2.0, 3.0, 4.0]) / 10.0, np.array([4.0, 3.0, 2.0, 1.0]) / 10.0
    drawn = np.repeat(np.arange(4), [4, 3, 2, 1])
    found = model_log_density(np.log(p) + 12.3, np.log(p)[drawn] + 12.3, np.log(q)[drawn])
    np.testing.assert_allclose(found, np.log(p), atol=1e-12)


@given(st.integers(0, 10_000), st.sampled_from([3, 6, 9]), st.sampled_from([1.0, 1e3]))
def test_no_weight_is_above_one_over_the_share(seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    totals, logs = scale * rng.normal(size=(2, 12))
    share = n / 12
    own = model_log_density(totals, totals[:-n], logs[:-n])
    mixture = np.logaddexp(np.log(share) + own, np.log1p(-share) + logs)
    ratios = np.exp(own - mixture)
    assert ratios.max() <= 1.0 / share + 1e-9
    np.testing.assert_allclose(np.diff(own), np.diff(totals), atol=1e-9 * scale)
    moved = model_log_density(totals + 7.0, totals[:-n] + 7.0, logs[:-n])
    np.testing.assert_allclose(moved, own, atol=1e-9 * scale)


@given(st.integers(0, 10_000), st.sampled_from([1, 4, 9]), st.sampled_from([0.1, 1.0, 30.0]))
def test_demonstrations_never_have_all_the_weight(seed: int, n: int, scale: float) -> None:
    """However far they are from what policies have drawn; so the gradient doesn't vanish."""
    rng = np.random.default_rng(seed)
    totals, logs = scale * rng.normal(size=(2, 12))
    logs[-n:] = -900.0
    own = model_log_density(totals, totals[:-n], logs[:-n])
    mixture = mixture_log_density(np.stack([logs, own], axis=1), [12 - n, n])
    share = np.exp(log_weights(totals, mixture))[-n:].sum()
    assert share <= (n + 1) / (n + 2) + 1e-9


# --- pure functions -----------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_a_mixture_is_the_mean_of_densities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logs, counts = rng.normal(size=(6, 3)), rng.integers(0, 5, 3)
    counts[rng.integers(3)] += 1
    brute = [
        np.log(sum(n * np.exp(x) for n, x in zip(counts, row, strict=True)) / counts.sum())
        for row in logs
    ]
    found = mixture_log_density(logs, counts)
    np.testing.assert_allclose(found, brute, atol=1e-12)
    order = rng.permutation(3)
    np.testing.assert_allclose(mixture_log_density(logs[:, order], counts[order]), found)
    rows = rng.permutation(6)
    np.testing.assert_array_equal(mixture_log_density(logs[rows], counts), found[rows])
    np.testing.assert_allclose(mixture_log_density(logs - 1e4, counts), found - 1e4)


def test_an_impossible_sample_has_the_density_of_the_other() -> None:
    found = mixture_log_density([[-np.inf, 0.0], [-np.inf, -np.inf]], [1, 3])
    assert found.tolist() == [np.log(0.75), -np.inf]
    with pytest.raises(ValueError, match="weight of sample 1 is not finite"):
        log_weights([0.0, 0.0], found)


def test_weights_are_alike_where_the_samples_come_from_the_model() -> None:
    logs = np.random.default_rng(0).normal(size=9) * 50.0
    np.testing.assert_allclose(np.exp(log_weights(logs + 3.0, logs)), 1.0 / 9.0, rtol=1e-9)


@given(st.integers(0, 10_000), st.sampled_from([1.0, 1e3]))
def test_weights_sum_to_one_whatever_the_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, logs = scale * rng.normal(size=(2, 20))
    found = log_weights(rewards, logs)
    assert abs(np.exp(found).sum() - 1.0) < 1e-9
    np.testing.assert_allclose(found - found[0], (rewards - logs) - (rewards - logs)[0], atol=1e-9)
    order = rng.permutation(20)
    np.testing.assert_allclose(log_weights(rewards[order], logs[order]), found[order], atol=1e-9)
    shifted = log_weights(rewards + 1000.0, logs - 1000.0)
    np.testing.assert_allclose(shifted, found, atol=1e-8)


@pytest.mark.parametrize("shift", [-1000.0, 0.0, 1000.0])
def test_the_loss_survives_large_rewards(shift: float) -> None:
    rng = np.random.default_rng(0)
    rewards = torch.tensor(rng.normal(size=8) + shift, requires_grad=True)
    logs = torch.tensor(rng.normal(size=8))
    loss = reward_loss(rewards[:3], rewards, logs)
    loss.backward()
    weights = np.exp(log_weights(rewards.detach().numpy(), logs.numpy()))
    weights[:3] -= 1.0 / 3.0
    assert rewards.grad is not None
    np.testing.assert_allclose(rewards.grad.numpy(), weights, atol=1e-12)
    assert abs(loss.item() - reward_loss(rewards[:3] - shift, rewards - shift, logs).item()) < 1e-9


def loss_of(*parts: Any) -> torch.Tensor:
    return reward_loss(*(torch.tensor(np.asarray(each, dtype=float)) for each in parts))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixture_log_density(np.zeros((3, 2)), [1, 1, 1]), r"shape \(3, 2\) and counts"),
        (lambda: mixture_log_density(np.full((3, 2), np.nan), [1, 1]), "has NaN or infinity"),
        (lambda: mixture_log_density([[np.inf, 0.0]], [1, 1]), "numbers or minus infinity"),
        (lambda: mixture_log_density(np.zeros((2, 0)), []), "with K at least 1"),
        (lambda: mixture_log_density([[0.0, 0.0]], [np.inf, 1.0]), "counts is inf"),
        (lambda: mixture_log_density([[0.0]], [np.nan]), "counts is nan"),
        (lambda: log_weights(np.array([1j]), [0.0]), "rewards has entries of type complex"),
        (lambda: log_weights([0.0], ["x"]), "log_densities has entries of type"),
        (lambda: loss_of([1.0, 1.0], np.zeros(4), np.zeros((4, 1))), r"\(4,\) and \(4, 1\)"),
        (lambda: loss_of([1.0], [np.nan, 0.0], [0.0, 0.0]), "weight of sample 0 is not finite"),
        (lambda: loss_of([1.0], [0.0], [-np.inf]), "weight of sample 0 is not finite"),
        (lambda: loss_of([np.nan], [0.0], [0.0]), "demo_rewards is nan"),
        (lambda: loss_of([], [0.0], [0.0]), r"demo_rewards has shape \(0,\)"),
        (lambda: loss_of([1.0], [], []), r"expected \(M,\) twice"),
        (lambda: mixture_log_density(np.zeros((3, 2)), [1, -1]), "expected numbers >= 0"),
        (lambda: mixture_log_density(np.zeros((3, 2)), [0, 0]), "one of them above 0"),
        (lambda: log_weights(np.zeros(3), np.zeros(2)), r"\(3,\) and log_densities \(2,\)"),
        (lambda: log_weights([], []), r"expected \(M,\) twice"),
        (lambda: log_weights([0.0, np.nan], [0.0, 0.0]), "sample 1 is not finite: its reward"),
        (lambda: model_log_density([np.nan], [0.0], [0.0]), "rewards is nan at index"),
        (lambda: model_log_density([0.0], [0.0], [np.inf]), "weight of sample 0 is not finite"),
        (lambda: model_log_density([0.0], [], []), r"expected \(M,\) twice"),
    ],
)
def test_bad_weights(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- the method, on a line ----------------------------------------------------------------------

HORIZON = 5


def spec_of(**settings: Any) -> Any:
    """The description of a line."""
    make = gymnasium.envs.registration.EnvSpec
    return make("Line-v0", max_episode_steps=HORIZON, kwargs=settings)


class Line(gymnasium.Env):
    """A point on a line that moves by half of its action, from -2 to 2; it is paid by place."""

    def __init__(self, **changes: Any) -> None:
        self.observation_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.spec = spec_of()
        self.nan_at = self.ends_at = self.cut_at = 10**9
        vars(self).update(changes)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Around -1."""
        super().reset(seed=seed)
        self.place, self.time = -1.0 + 0.2 * self.np_random.normal(), 0
        return self.seen(), {}

    def seen(self) -> Any:
        """The place, or NaN."""
        return np.array([self.place if self.time < self.nan_at else np.nan], dtype=np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move."""
        paid = -abs(self.place - 1.0)
        self.place += 0.5 * float(action[0])
        self.time += 1
        return self.seen(), paid, self.time >= self.ends_at, self.time >= self.cut_at, {}


def towards_one(observation: Any, rng: np.random.Generator) -> Array:
    return np.clip(1.5 * (1.0 - observation) + 0.5 * rng.normal(size=1), -1.9, 1.9)


def demonstrations_on(env: Any, n: int = 8) -> Demonstrations:
    return rollouts.rollout(env, towards_one, n, seed=5)


def net(n_inputs: int = 1, seed: int = 0) -> RewardNet:
    return RewardNet(n_inputs, seed, hidden=(8,))


SMALL = {
    "episodes": 4,
    "memory": 2,
    "reward_steps": 3,
    "l2": 1e-2,
    "hidden": (8,),
    "policy_epochs": 2,
}


def learn(max_iterations: int = 3, seed: int = 0, **changes: Any) -> GuidedCostResult:
    """A small run, without the warning that its samples are few."""
    env = changes.pop("env", None) or Line()
    demos = changes.pop("demos", None) or demonstrations_on(Line())
    reward = changes.pop("reward_net", None) or net()
    settings = {**SMALL, "max_iterations": max_iterations, "min_effective_share": 0.0, **changes}
    return guided_cost_learning(env, demos, seed=seed, reward_net=reward, **settings)


def same(first: GuidedCostResult, second: GuidedCostResult) -> bool:
    """To the last bit."""
    a, b = first.reward.state_dict(), second.reward.state_dict()
    c, d = first.policy.arrays(), second.policy.arrays()
    return (
        all(torch.equal(a[name], b[name]) for name in a)
        and all((c[name] == d[name]).all() for name in c)
        and all((first.history[name] == second.history[name]).all() for name in HISTORY)
    )


def test_the_expert_is_found_again() -> None:
    """The policy goes where the demonstrations go, and the reward is higher there."""
    env = Line()
    demos = demonstrations_on(env, 20)
    found = guided_cost_learning(
        env,
        demos,
        seed=1,
        reward_net=net(),
        max_iterations=40,
        episodes=20,
        hidden=(16,),
        policy_learning_rate=3e-3,
    )
    shown = np.mean(demos.states, axis=0)[:, 0]
    mine = np.mean(rollouts.rollout(env, found.policy, 200, seed=9).states, axis=0)[:, 0]
    assert np.abs(mine - shown).max() < 0.25
    before, after = found.history["environment_return"][0], found.history["environment_return"][-5:]
    expert = rollouts.returns(demos).mean()
    assert before < expert - 3.0
    assert after.mean() > expert - 0.7
    with torch.no_grad():
        there, here = found.reward(torch.tensor([[1.0], [-1.0]])).tolist()
    assert there > here + 1.0
    assert found.history["effective_sample_size"][-10:].min() > 15.0


def test_the_history_is_what_it_says() -> None:
    told: list[Iteration] = []
    found = learn(4, callback=told.append)
    history = found.history
    assert tuple(history) == HISTORY
    assert all(values.shape == (4,) for values in history.values())
    bounds = np.abs(np.stack(told[-1].samples.actions)) > 2.0 * (1.0 - 1e-4)
    assert history["at_bounds"][-1] == pytest.approx(bounds.mean(), abs=1e-12)
    assert history["batch_size"].tolist() == [12.0, 16.0, 16.0, 16.0]
    assert history["environment_steps"].tolist() == [20.0, 40.0, 60.0, 80.0]
    assert [each.number for each in told] == [0, 1, 2, 3]
    last = told[-1]
    paid = rollouts.returns(last.samples).mean()
    assert abs(history["environment_return"][-1] - paid) < 1e-9
    states = np.stack(last.samples.states)[:, :-1]
    actions = np.stack(last.samples.actions)
    entropy = -last.policy.log_density(states, actions).mean()
    assert abs(history["entropy"][-1] - entropy) < 1e-9
    with torch.no_grad():
        totals = found.reward(torch.tensor(states, dtype=torch.float32)).double().sum(dim=1)
    assert abs(history["return"][-1] - totals.mean().item()) < 1e-9
    assert (history["effective_sample_size"] <= history["batch_size"]).all()
    assert (history["largest_weight"] * history["effective_sample_size"] >= 0.999).all()
    assert ((history["demonstrations_weight"] > 0) & (history["demonstrations_weight"] < 1)).all()


def test_the_weights_are_those_of_the_whole_batch() -> None:
    """An iteration without a reward step to speak of, against the pure functions."""
    told: list[Iteration] = []
    demos = demonstrations_on(Line())
    tiny = {"learning_rate": 1e-12, "policy_learning_rate": 1e-12}
    found = learn(1, demos=demos, callback=told.append, reward_steps=1, **tiny)
    parts = [told[0].samples, demos]
    states = np.concatenate([np.stack(each.states) for each in parts])
    actions = np.concatenate([np.stack(each.actions) for each in parts])
    with torch.no_grad():
        inputs = torch.tensor(states[:, :-1], dtype=torch.float32)
        totals = found.reward(inputs).double().sum(dim=1).numpy()
    q = told[0].policy.log_density(states[:, :-1], actions)
    start = _start_values(found, demos, states)
    own = model_log_density(totals - start, (totals - start)[:4], q[:4])
    mixture = mixture_log_density(np.stack([q, own], axis=1), [4, 8])
    logs = log_weights(totals - start, mixture)
    ess = found.history["effective_sample_size"][0]
    assert abs(effective_sample_size(logs) - ess) < 1e-3 * ess
    assert abs(np.exp(logs[4:]).sum() - found.history["demonstrations_weight"][0]) < 1e-3


def _start_values(found: GuidedCostResult, demos: Demonstrations, states: Array) -> Array:
    from irl_lib.training.policy_steps import SoftActor

    actor = SoftActor(found.policy.units, 0, (8,), 1e-12, 2)
    return actor.values(states[:, :1])[:, 0] * actor.unit


def test_the_network_that_is_given_is_left_alone() -> None:
    given_net = net()
    before = {name: values.clone() for name, values in given_net.state_dict().items()}
    found = learn(2, reward_net=given_net)
    assert found.reward is not given_net
    assert all(torch.equal(before[name], values) for name, values in given_net.state_dict().items())
    assert any(
        not torch.equal(before[n], values) for n, values in found.reward.state_dict().items()
    )


@pytest.mark.parametrize("n_inputs", [1, 2])
@pytest.mark.parametrize("double", [False, True])
def test_rewards_of_states_and_of_actions_too(n_inputs: int, double: bool) -> None:
    reward = net(n_inputs).double() if double else net(n_inputs)
    found = learn(2, reward_net=reward)
    assert next(found.reward.parameters()).dtype == (torch.float64 if double else torch.float32)
    assert all(np.isfinite(values).all() for values in found.history.values())


def test_the_l2_penalty_shrinks_the_reward() -> None:
    norms = []
    for l2 in (0.0, 10.0):
        found = learn(6, l2=l2, reward_steps=20)
        weights = [p.detach() for p in found.reward.parameters() if p.ndim > 1]
        norms.append(sum(float((each**2).sum()) for each in weights))
    assert norms[1] < 0.8 * norms[0]


# --- the same again -----------------------------------------------------------------------------


def test_the_seed_is_the_only_randomness() -> None:
    first = learn()
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (the state that must not matter)
    outside = torch.get_rng_state()
    second = learn()
    assert torch.equal(outside, torch.get_rng_state())
    assert same(first, second)
    assert not same(first, learn(seed=1))


class StopError(Exception):
    """What a user's callback may raise."""


def stop_at(number: int) -> Any:
    def callback(told: Iteration) -> None:
        if told.number == number:
            raise StopError

    return callback


def test_a_run_can_be_stopped_after_any_iteration(tmp_path: Path) -> None:
    whole = learn(4)
    for number in range(4):
        path = tmp_path / f"{number}.npz"
        with pytest.raises(StopError):
            learn(4, checkpoint=path, callback=stop_at(number))
        seen: list[int] = []
        resumed = learn(
            4, checkpoint=path, callback=lambda told, seen=seen: seen.append(told.number)
        )
        assert seen == list(range(number + 1, 4))
        assert same(whole, resumed)


@pytest.mark.parametrize("memory", [1, 2, None])
def test_a_run_that_stops_at_every_iteration(tmp_path: Path, memory: int | None) -> None:
    path = tmp_path / "c.npz"
    for number in range(4):
        with pytest.raises(StopError):
            learn(4, memory=memory, checkpoint=path, callback=stop_at(number))
    resumed = learn(4, memory=memory, checkpoint=path)
    assert same(learn(4, memory=memory), resumed)
    kept = [12.0, 16.0, 20.0, 24.0] if memory is None else [8.0 + 4.0 * memory]
    assert resumed.history["batch_size"].tolist()[-len(kept) :] == kept


def test_a_finished_run_can_go_on(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    learn(2, checkpoint=path)
    assert same(learn(4), learn(4, checkpoint=path))
    with pytest.raises(ValueError, match="has 4 iterations behind it; max_iterations is 3"):
        learn(3, checkpoint=path)


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import test_guided_cost as tests
tests.learn(100_000, checkpoint={path!r})
"""


def test_a_killed_process_resumes(tmp_path: Path) -> None:
    """SIGKILL at a moment nobody chose; what the checkpoint holds goes on as if never stopped."""
    path = tmp_path / "c.npz"
    script = SCRIPT.format(folder=str(Path(__file__).parent), path=str(path))
    child = subprocess.Popen([sys.executable, "-c", script], env={**os.environ})
    try:
        deadline = time.monotonic() + 100.0
        while _iterations_in(path) < 2 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    reached = _iterations_in(path)
    assert 2 <= reached < 1000
    assert same(learn(reached + 1), learn(reached + 1, checkpoint=path))


def _iterations_in(path: Path) -> int:
    if not path.exists():
        return 0
    with np.load(path) as file:
        return len(file["history/return"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "made with seed = 0; here it is 1"),
        ({"reward_steps": 4}, "made with reward_steps = 3; here it is 4"),
        ({"l2": 0.5}, "made with l2 = 0.01; here it is 0.5"),
        ({"reward_net": net(seed=1)}, "made with reward_net = "),
        ({"demos": demonstrations_on(Line(), 7)}, "made with demos = "),
        ({"env": Line(spec=spec_of(gain=np.ones(2)))}, "made with env.kwargs = '{}'; here it is"),
    ],
)
def test_a_checkpoint_of_another_run(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    learn(1, checkpoint=tmp_path / "c.npz")
    with pytest.raises(ValueError, match=message):
        learn(2, checkpoint=tmp_path / "c.npz", **changes)


def test_environments_are_known_by_their_settings(tmp_path: Path) -> None:
    """Those that a function among them has are known again, wherever it lies in memory."""
    path = tmp_path / "c.npz"
    learn(1, checkpoint=path, env=Line(spec=spec_of(f=lambda: 1, gain=np.float32(2.0))))
    learn(2, checkpoint=path, env=Line(spec=spec_of(f=lambda: 1, gain=np.float32(2.0))))
    mazes = [worlds.point_maze(max_steps=4, walls=(), stride=stride) for stride in (0.1, 0.05)]
    demos = rollouts.rollout(mazes[0], lambda seen, rng: rng.uniform(-1.0, 1.0, 2), 3, seed=0)
    settings = {"demos": demos, "reward_net": net(2), "checkpoint": tmp_path / "maze.npz"}
    learn(1, env=mazes[0], **settings)
    with pytest.raises(ValueError, match=r"made with env\.kwargs = .*0\.1.*; here it is .*0\.05"):
        learn(2, env=mazes[1], **settings)


# --- what is refused, and warned of -------------------------------------------------------------


class Other(Line):
    """A line with another space."""

    def __init__(self, **spaces: Any) -> None:
        super().__init__()
        vars(self).update(spaces)


class Shaped(torch.nn.Linear):
    """A reward that returns something."""

    def __init__(self, function: Any) -> None:
        super().__init__(1, 1)
        self.n_inputs, self.function = 1, function

    def forward(self, inputs: torch.Tensor) -> Any:
        """Whatever it was given."""
        return self.function(inputs)


class Dropped(RewardNet):
    """A reward with dropout."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Half of the inputs, where it trains."""
        return super().forward(torch.nn.functional.dropout(inputs, training=self.training))


BOX = gymnasium.spaces.Box


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": Other(action_space=gymnasium.spaces.Discrete(3))}, "action_space is Discrete"),
        ({"env": Other(observation_space=gymnasium.spaces.Discrete(3))}, "observation_space is D"),
        ({"env": Other(action_space=BOX(-2.0, 2.0, (2,)))}, "actions of Line-v0 are vectors of l"),
        ({"env": Other(observation_space=BOX(-9.0, 9.0, (3,)))}, "states of Line-v0 are vectors"),
        ({"env": Other(action_space=BOX(-1.0, 1.0, (1,)))}, "actions of Line-v0 have the entry"),
        ({"env": Other(action_space=BOX(-np.inf, np.inf, (1,)))}, "expected finite bounds"),
        ({"env": Other(action_space=BOX(2.0, 2.0, (1,)))}, "the lower ones below"),
        (
            {"env": Other(action_space=BOX(-2, 2, (1,), np.int64))},
            "finite bounds.* of floats",
        ),
        ({"env": Other(action_space=gymnasium.spaces.MultiBinary(1))}, "action_space is MultiBin"),
        ({"env": Other(spec=None)}, "^horizon is None and env has no limit of its own"),
        ({"env": "Line-v0"}, "env is 'Line-v0'; expected a single Gymnasium environment"),
        ({"env": Line(nan_at=3)}, "episode 0, step 3: the environment returned the observation"),
        ({"env": Line(ends_at=2)}, "iteration 0: the policy's trajectory 0 terminated after 2 st"),
        ({"env": Line(cut_at=2)}, "iteration 0: the policy's trajectory 0 has 2 steps; the hor"),
        ({"horizon": 4}, "demos: trajectory 0 has 5 steps; the horizon is 4"),
        ({"horizon": 6}, "demos: trajectory 0 has 5 steps; the horizon is 6"),
        ({"horizon": 0}, "horizon is 0"),
        ({"reward_net": net(3)}, "3 inputs; expected 1, the length of a state, or 2, that of"),
        ({"reward_net": torch.nn.Linear(1, 1)}, "expected a torch module with n_inputs"),
        ({"reward_net": lambda x: x}, "expected a torch module with n_inputs"),
        ({"demos": [1, 2]}, r"demos is \[1, 2\]; expected an instance of .*Demonstrations"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"episodes": 0}, "episodes is 0"),
        ({"memory": 0}, "memory is 0"),
        ({"reward_steps": 1.5}, "reward_steps is 1.5"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"policy_learning_rate": -1.0}, "policy_learning_rate is -1.0"),
        ({"policy_epochs": 0}, "policy_epochs is 0"),
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"hidden": (8, 0)}, r"hidden\[1\] is 0"),
        ({"hidden": 8}, "hidden is 8; expected a sequence"),
        ({"callback": 3}, "callback is 3; expected a function"),
        ({"checkpoint": 3}, "checkpoint is 3; expected a text or a pathlib.Path"),
        ({"checkpoint": ""}, "checkpoint '' is a folder; expected a file"),
        ({"checkpoint": "no/such/folder/c"}, "checkpoint is 'no/such/folder/c'; expected a file"),
        ({"reward_net": Shaped(lambda x: x)}, r"returns .*\[8, 5, 1\]\) for inputs \(8, 5, 1\)"),
        ({"reward_net": Shaped(lambda x: x.sum())}, r"returns torch.Size\(\[\]\) for inputs"),
        ({"reward_net": Shaped(lambda x: 0.0)}, "returns float for inputs"),
        ({"reward_net": net().requires_grad_(False)}, "no parameters to train"),
        ({"min_effective_share": 2.0}, r"min_effective_share is 2.0; expected a number in \[0, 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn(**{"max_iterations": 1, **changes})


def test_the_horizon_is_that_of_the_time_limit() -> None:
    env = gymnasium.wrappers.TimeLimit(Other(spec=None), 5)
    assert env.spec is None
    result = learn(1, env=env)
    assert result.policy.units.horizon == 5
    with pytest.raises(ValueError, match="demos: trajectory 0 has 5 steps; the horizon is 4"):
        learn(1, env=gymnasium.wrappers.TimeLimit(env, 4))


def test_demonstrations_that_end_early_or_are_of_numbers() -> None:
    short = demonstrations_on(Line(ends_at=3))
    with pytest.raises(ValueError, match="demos: trajectory 0 terminated after 3 steps"):
        learn(demos=short)
    numbers = Demonstrations([[0] * 6], [[0] * 5])
    with pytest.raises(ValueError, match="whole numbers"):
        learn(demos=numbers)


def test_dropout_does_not_draw_and_what_is_frozen_stays() -> None:
    reward, outside = Dropped(1, 0, (8,)), torch.get_rng_state()
    next(reward.parameters()).requires_grad_(False)
    found = learn(2, reward_net=reward)
    assert torch.equal(outside, torch.get_rng_state())
    before, after = (list(each.parameters()) for each in (reward, found.reward))
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)][:2] == [True, False]
    assert reward.training


def test_a_checkpoint_without_part_of_its_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    learn(2, checkpoint=path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **arrays | {"history/return": np.zeros(0)})
    with pytest.raises(ValueError, match="has an incomplete history"):
        learn(3, checkpoint=path)


def test_large_seeds() -> None:
    assert same(learn(1, seed=2**64 + 3), learn(1, seed=2**64 + 3))


def test_demonstrations_on_the_bounds_are_learned() -> None:
    """They are where no policy's density is; all the same the reward has a gradient."""

    def full_speed(observation: Any, rng: np.random.Generator) -> Array:
        return np.array([1.0, np.clip(0.3 * rng.normal(), -1.0, 1.0)])

    env = worlds.point_maze(max_steps=10, walls=())
    demos = rollouts.rollout(env, full_speed, 10, 0)
    settings = {"max_iterations": 15, "episodes": 20, "hidden": (32,)}
    reward = RewardNet(4, 0, (32,))
    found = guided_cost_learning(env, demos, seed=0, reward_net=reward, **settings)
    actions = np.concatenate(rollouts.rollout(env, found.policy, 30, 5).actions)
    shares = found.history["demonstrations_weight"]
    assert actions[:, 0].mean() > 0.5
    assert shares.max() < 0.99


def test_a_reward_that_runs_off_is_refused_with_its_iteration() -> None:
    with pytest.raises(ValueError, match=r"iteration 0: the weight of sample \d+ is not finite"):
        learn(2, learning_rate=1e37, reward_steps=5)


def test_few_effective_samples_are_warned_of_once() -> None:
    with pytest.warns(
        RuntimeWarning, match=r"iteration 0: the effective sample size of the batch is"
    ) as seen:
        learn(3, min_effective_share=1.0)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn(3, min_effective_share=0.0)


def test_the_certificate_is_that_of_the_newest_episodes() -> None:
    told: list[Iteration] = []
    tiny = {"learning_rate": 1e-12, "policy_learning_rate": 1e-12, "reward_steps": 1}
    demos = demonstrations_on(Line())
    found = learn(2, demos=demos, callback=told.append, l2=0.0, **tiny)
    states = np.stack(told[1].samples.states)
    with torch.no_grad():
        inputs = torch.tensor(states[:, :-1], dtype=torch.float32)
        totals = found.reward(inputs).double().sum(dim=1).numpy()
    q = told[1].policy.log_density(states[:, :-1], np.stack(told[1].samples.actions))
    weights = np.exp(totals - _start_values(found, demos, states) - q)
    gap = np.log(weights.mean()) - np.log(weights).mean()
    assert found.certificate["policy_gap"] == pytest.approx(gap, abs=1e-5)
    assert found.certificate == {n: found.history[n][-1] for n in ("policy_gap", "gradient")}
    assert 0.0 < found.certificate["gradient"] < np.inf
    assert not found.converged
    assert repr(found).startswith("GuidedCostResult(not converged, 2 iterations, policy_gap ")


def test_a_run_ends_when_its_certificate_is_below_the_tolerance(tmp_path: Path) -> None:
    whole = learn(4)
    worst = np.maximum(whole.history["policy_gap"], whole.history["gradient"])
    tolerance = float(worst.min())
    found = learn(4, tolerance=tolerance, checkpoint=tmp_path / "c")
    assert found.converged
    assert len(found.history["return"]) == worst.argmin() + 1
    assert same(found, learn(4, tolerance=tolerance, checkpoint=tmp_path / "c"))  # and stays there
    with pytest.warns(ConvergenceWarning, match="^guided_cost_learning: not converged after 2 it"):
        assert not learn(2, tolerance=1e-6).converged


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    learn(2, progress=True)
    assert "guided_cost_learning: 100%" in capsys.readouterr().err
