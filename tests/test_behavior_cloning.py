"""Behaviour cloning: the maximum of the likelihood, by counting and by gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import logsumexp

from irl_lib import ConvergenceWarning, demonstrations, metrics, rollouts, worlds
from irl_lib.behavior_cloning import NetworkCloneResult, clone, clone_network, network
from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.mdp import MDP
from irl_lib.networks import PolicyNet
from strategies import Problem, problems

gymnasium = pytest.importorskip("gymnasium")


def shown(problem: Problem, n: int = 6) -> Demonstrations:
    mdp = problem.mdp
    length = None if mdp.horizon or mdp.episodic else 7
    return demonstrations.sample(mdp, problem.policy(), n, problem.rng, length)


def train(*args: Any, seed: int = 0, **kwargs: Any) -> NetworkCloneResult:
    """The result, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return clone_network(*args, seed=seed, **kwargs)


# --- tables -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems(), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_table_is_counts_divided_by_counts(problem: Problem, smoothing: float) -> None:
    mdp, demos = problem.mdp, shown(problem)
    if demos.n_steps == 0:
        return
    found = clone(mdp, demos, smoothing=smoothing)
    for s in range(mdp.n_states):
        here = [int(a) for x, u in demos for i, a in enumerate(u) if x[i] == s]
        assert bool(found.seen[s]) == bool(here)
        for a in range(mdp.n_actions):
            share = (here.count(a) + smoothing) / max(len(here) + mdp.n_actions * smoothing, 1e-9)
            if not here:
                share = 1.0 / mdp.n_actions
            assert abs(found.policy[s, a] - share) < 1e-12
            assert found.counts[s, a] == here.count(a)
    np.testing.assert_allclose(found.policy.sum(axis=-1), 1.0, rtol=1e-12)


@settings(max_examples=15)
@given(problems(max_states=4))
def test_no_policy_makes_the_demonstrations_likelier(problem: Problem) -> None:
    """Against a general optimiser over all tables, which starts anywhere."""
    mdp, demos = problem.mdp, shown(problem, 20)
    if demos.n_steps == 0:
        return
    step, shape = demos.steps(), (mdp.n_states, mdp.n_actions)
    start = problem.rng.normal(size=shape).ravel()

    def loss(flat: Any) -> float:
        logits = flat.reshape(shape)
        logs = logits - logsumexp(logits, axis=1, keepdims=True)
        return -float(logs[step.state, step.action].mean())

    best = optimize.minimize(loss, start, options={"gtol": 1e-7})
    found = clone(mdp, demos)
    assert -1e-10 <= found.log_likelihood + best.fun < 1e-3
    table = np.exp(best.x.reshape(shape) - logsumexp(best.x.reshape(shape), axis=1, keepdims=True))
    often = found.counts.sum(axis=1) > 3
    np.testing.assert_allclose(table[often], found.policy[often], atol=2e-2)


@settings(max_examples=40)
@given(problems(), st.sampled_from([0.0, 0.5]))
def test_the_certificate_is_the_gradient_in_the_logits(problem: Problem, smoothing: float) -> None:
    """Which torch, too, finds to be zero, of the mean log-likelihood."""
    mdp, demos = problem.mdp, shown(problem)
    if demos.n_steps == 0:
        return
    found = clone(mdp, demos, smoothing=smoothing)
    assert found.converged
    assert found.certificate["gradient"] < 1e-15
    assert found.history == {}
    weights = torch.tensor(found.counts + smoothing)
    logits = torch.tensor(np.log(np.maximum(found.policy, 1e-300)), requires_grad=True)
    loss = (weights * torch.log_softmax(logits, dim=1)).sum() / weights.sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(gradient.norm()) < 1e-14


@settings(max_examples=40)
@given(problems())
def test_the_likelihood_is_the_metrics_one_per_step(problem: Problem) -> None:
    demos = shown(problem)
    if demos.n_steps == 0:
        return
    found = clone(problem.mdp, demos)
    total = -metrics.negative_log_likelihood(problem.mdp, found.policy, demos) * len(demos)
    np.testing.assert_allclose(found.log_likelihood * demos.n_steps, total, atol=1e-9)


def test_the_table_converges_to_the_expert() -> None:
    """The limit of many demonstrations, at the rate that a frequency has."""
    world = worlds.random_mdp(5, 3, 2, seed=0, horizon=10, discount=1.0)
    rng = np.random.default_rng(1)
    expert = rng.dirichlet(np.ones(3), size=5)
    demos = demonstrations.sample(world.mdp, expert, 4000, rng)
    found = clone(world.mdp, demos)
    deviation = np.sqrt(expert * (1 - expert) / found.counts.sum(axis=1, keepdims=True))
    assert (np.abs(found.policy - expert) < 4.5 * deviation).all()
    np.testing.assert_allclose(clone(world.mdp, demos, smoothing=1e9).policy, 1 / 3, atol=1e-4)


def test_the_dynamics_are_not_looked_at() -> None:
    world = worlds.random_mdp(5, 3, 2, seed=2, horizon=8, discount=1.0)
    other = MDP(np.full((5, 3, 5), 0.2), world.mdp.initial, horizon=8)
    rng = np.random.default_rng(1)
    demos = demonstrations.sample(world.mdp, np.full((5, 3), 1 / 3), 9, rng)
    np.testing.assert_array_equal(clone(world.mdp, demos).policy, clone(other, demos).policy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"smoothing": -0.1}, "smoothing is -0.1"),
        ({"smoothing": np.nan}, "smoothing is nan"),
        ({"demos": Demonstrations([[0]], [[]])}, "demos have no steps"),
        ({"demos": Demonstrations([[0, 3]], [[1]])}, "impossible"),
        ({"demos": Demonstrations([[0, 9]], [[1]])}, "there are states 0 to 3"),
        ({"demos": Demonstrations([[[0.0], [1.0]]], [[1]])}, "states are vectors of length 1"),
    ],
)
def test_bad_arguments_of_tables_are_named(arguments: dict[str, Any], message: str) -> None:
    good = {"mdp": worlds.chain(4).mdp, "demos": Demonstrations([[0, 1]], [[1]])}
    with pytest.raises(ValueError, match=message):
        clone(**(good | arguments))


# --- networks -----------------------------------------------------------------------------------


def test_a_network_on_one_hot_states_reaches_the_table() -> None:
    world = worlds.random_mdp(6, 3, 2, seed=3, horizon=12, discount=1.0)
    rng = np.random.default_rng(0)
    expert = rng.dirichlet(np.full(3, 0.7), size=6)
    demos = demonstrations.sample(world.mdp, expert, 30, rng)
    table = clone(world.mdp, demos)
    found = train(world.mdp, demos, max_iterations=300, batch=None, learning_rate=0.02)
    assert table.log_likelihood - 1e-3 < found.log_likelihood <= table.log_likelihood + 1e-6
    learned = found.policy.probabilities(np.eye(6))
    often = table.counts.sum(axis=1) > 10
    np.testing.assert_allclose(learned[often], table.policy[often], atol=0.02)


def test_a_clone_of_a_perfect_walk_over_numbered_states_walks_it() -> None:
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    way = {0: 1, 4: 1, 8: 2, 9: 1, 13: 2, 14: 2}
    demos = rollouts.rollout(env, lambda observation, rng: way[observation], 20, seed=0)
    assert (rollouts.returns(demos) == 1.0).all()
    fit = train(env, demos, max_iterations=150, learning_rate=0.03)
    assert fit.log_likelihood > -1e-3
    likely = rollouts.rollout(env, lambda observation, rng: fit.policy.act(observation), 20, 1)
    for walked in (
        likely,
        *(rollouts.rollout(env, p, 20, 1) for p in (fit.policy.act, fit.policy)),
    ):
        assert (rollouts.returns(walked) == 1.0).all()
    table = fit.policy.probabilities(np.arange(16))
    np.testing.assert_array_equal(table, fit.policy.probabilities(np.eye(16)))
    assert {s: int(table[s].argmax()) for s in way} == way


@settings(max_examples=5)
@given(problems(max_states=5))
def test_a_clone_over_numbered_states_is_the_table(problem: Problem) -> None:
    """In any MDP: what it says of a state's number is what the clone by counting says."""
    mdp, demos = problem.mdp, shown(problem, 20)
    if demos.n_steps == 0:
        return
    table = clone(mdp, demos, smoothing=0.0)
    policy = clone_network(
        mdp,
        demos,
        seed=0,
        hidden=(),
        max_iterations=150,
        batch=None,
        learning_rate=0.2,
        tolerance=1e3,
    ).policy
    often = table.counts.sum(axis=1) > 5
    found = policy.probabilities(np.arange(mdp.n_states))
    np.testing.assert_allclose(found[often], table.policy[often], atol=0.1)
    for s in range(mdp.n_states):
        assert policy.act(s) == policy.act(np.int64(s)) == found[s].argmax()


def test_a_clone_over_several_numbers_sees_each_of_them() -> None:
    """Right exactly where the two digits are equal, which no linear function of them says."""
    digits = gymnasium.spaces.MultiDiscrete([3, 3])
    rng = np.random.default_rng(0)
    seen = rng.integers(3, size=(301, 2))
    hot = spaces.entries("states", digits, seen)
    demos = Demonstrations([hot], [(seen[:-1, 0] == seen[:-1, 1]).astype(int)])
    env = (digits, gymnasium.spaces.Discrete(2))
    policy = train(env, demos, max_iterations=100, learning_rate=0.02, tolerance=1.0).policy
    for pair in np.ndindex(3, 3):
        assert policy.act(np.array(pair)) == (pair[0] == pair[1])
        assert policy.act(list(pair)) == (pair[0] == pair[1])
    with pytest.raises(ValueError, match=r"observation is array\(\[3, 0\]\), no member of Multi"):
        policy.act(np.array([3, 0]))


def test_the_actions_of_a_gaussian_clone_stay_in_bounds() -> None:
    """On Pendulum, of an expert whose torque is at its bounds most of the time."""
    env = gymnasium.make("Pendulum-v1")

    def swing(observation: Any, rng: np.random.Generator) -> Any:
        return 2.0 * np.sign(observation[2:]) if observation[2] else np.ones(1)

    demos = rollouts.rollout(env, swing, 3, seed=0)
    fit = train(env, demos, max_iterations=20, tolerance=9.0)
    for policy in (fit.policy.act, fit.policy):
        acted = np.concatenate(rollouts.rollout(env, policy, 2, seed=1).actions)
        assert (np.abs(acted) <= 2.0).all()
        assert (np.abs(acted) == 2.0).mean() > 0.2
    seen, rng = demos.states[0][0], np.random.default_rng(0)
    free = PolicyNet(3, torch.Generator(), action_size=1, centre=fit.policy.centre.numpy())
    free.load_state_dict(fit.policy.state_dict())
    for _ in range(50):  # the same draw, clipped
        state = rng.bit_generator.state
        bounded = fit.policy.act(seen, rng)
        rng.bit_generator.state = state
        np.testing.assert_array_equal(bounded, np.clip(free.act(seen, rng), -2.0, 2.0))


def test_actions_have_the_shape_of_their_box() -> None:
    square = gymnasium.spaces.Box(-1.0, 1.0, (2, 2))
    rng = np.random.default_rng(0)
    demos = Demonstrations([rng.normal(size=(31, 3))], [rng.uniform(-1, 1, (30, 4))])
    policy = train((BOX, square), demos, max_iterations=5, tolerance=9.0).policy
    for _ in range(20):
        action = policy.act(np.zeros(3), rng)
        assert action.shape == (2, 2)
        assert square.contains(action.astype(np.float32))


BOX = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
ACTIONS = gymnasium.spaces.Box(-np.inf, np.inf, (2,))


def regression(n: int = 8, noise: float = 0.1) -> Demonstrations:
    """Actions that are a linear function of the observation, and noise."""
    rng = np.random.default_rng(5)
    states = [rng.normal([0.0, 5.0, -1.0], [1.0, 3.0, 0.1], size=(21, 3)) for _ in range(n)]
    matrix = np.array([[1.0, -0.5], [0.2, 0.0], [3.0, 1.0]])
    actions = [x[:-1] @ matrix + rng.normal(0.0, noise, size=(20, 2)) for x in states]
    return Demonstrations(states, actions)


@pytest.mark.parametrize("sd", [0.5, None])
def test_a_linear_gaussian_is_least_squares(sd: float | None) -> None:
    """The closed form: fixed or learned, the deviation doesn't move the best mean."""
    demos = regression()
    step = demos.steps()
    inputs = np.column_stack([step.state, np.ones(len(step.state))])
    best = inputs @ np.linalg.lstsq(inputs, step.action, rcond=None)[0]
    found = train(
        (BOX, ACTIONS), demos, hidden=(), sd=sd, max_iterations=800, batch=None, learning_rate=0.03
    )
    with torch.no_grad():
        mean = found.policy(torch.tensor(step.state, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(mean, best, atol=5e-3)
    residual = np.sqrt(np.mean((step.action - best) ** 2, axis=0))
    learned = found.policy.log_sd.detach().exp().numpy()
    np.testing.assert_allclose(learned, residual if sd is None else 0.5, rtol=0.02)
    if sd is not None:
        squares = np.mean(np.sum((step.action - best) ** 2, axis=1))
        expected = -squares / (2 * sd**2) - np.log(2 * np.pi * sd**2)
        np.testing.assert_allclose(found.log_likelihood, expected, atol=1e-3)


def test_l2_shrinks_the_weights_as_ridge_regression_does() -> None:
    """The closed form for one centred input and sd 1: cov / (var + l2); the bias is free."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(401, 1))
    demos = Demonstrations([x], [3.0 + 2.0 * x[:-1] + rng.normal(0.0, 0.1, (400, 1))])
    one = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    u, y = x[:-1, 0], demos.actions[0][:, 0]
    z = (u - u.mean()) / u.std()
    linear = {"hidden": (), "sd": 1.0, "max_iterations": 600, "batch": None, "learning_rate": 0.03}
    for l2 in (0.0, 0.5):
        found = train((one, one), demos, **linear, l2=l2)
        weight, bias = (each.item() for each in found.policy.body.parameters())
        np.testing.assert_allclose(bias, y.mean(), rtol=1e-3)
        np.testing.assert_allclose(weight, np.mean(z * (y - y.mean())) / (1.0 + l2), rtol=1e-3)


def test_the_same_seed_gives_the_same_result_and_global_state_stays() -> None:
    demos = regression()
    before = torch.get_rng_state()
    both = [
        train((BOX, ACTIONS), demos, seed=4, max_iterations=20, validation=0.25, tolerance=9.0)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("log_likelihood", "validation_log_likelihood"):
        np.testing.assert_array_equal(both[0].history[name], both[1].history[name])
        assert both[0].history[name].shape == (20,)
    other = train((BOX, ACTIONS), demos, seed=5, max_iterations=20, tolerance=9.0)
    assert other.log_likelihood != both[0].log_likelihood
    assert "validation_log_likelihood" not in other.history


def test_large_seeds() -> None:
    found = [
        train((BOX, ACTIONS), regression(), seed=seed, max_iterations=2, tolerance=9.0)
        for seed in (2**64 + 3, 2**64 + 3, 4)
    ]
    likelihoods = [each.log_likelihood for each in found]
    assert likelihoods[0] == likelihoods[1] != likelihoods[2]


def test_validation_holds_out_whole_trajectories() -> None:
    """Trajectories that are told apart by a constant: none is on both sides."""
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        mark = [np.full((4, 1), float(i)) for i in range(10)]
        demos = Demonstrations(mark, [[0, 1, 0]] * 10)
        kept, held_out = network._split(demos, 0.3, rng).values()
        marks = [{float(x[0, 0]) for x in part.states} for part in (kept, held_out)]
        assert [len(each) for each in marks] == [7, 3]
        assert not marks[0] & marks[1]
        assert marks[0] | marks[1] == set(map(float, range(10)))


def test_validation_shows_what_memory_cannot_do() -> None:
    """Actions that are coin flips: training gets better than a coin, validation worse."""
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(11, 3)) for _ in range(12)]
    demos = Demonstrations(states, [rng.integers(2, size=10) for _ in range(12)])
    spaces = (BOX, gymnasium.spaces.Discrete(2))
    options = {"max_iterations": 300, "learning_rate": 0.01, "validation": 0.5, "tolerance": 9.0}
    history = train(spaces, demos, **options).history
    assert history["log_likelihood"][-1] > np.log(0.5) + 0.2
    assert history["validation_log_likelihood"][-1] < np.log(0.5) - 0.2
    assert history["validation_log_likelihood"].argmax() < 200  # the last is not the best


def test_the_last_parameters_are_kept() -> None:
    demos = regression()
    found = train(
        (BOX, ACTIONS),
        demos,
        sd=0.1,
        max_iterations=40,
        learning_rate=0.1,
        batch=4,
        tolerance=1e9,
    )
    step = demos.steps()
    data = [torch.tensor(x, dtype=torch.float32) for x in (step.state, step.action)]
    with torch.no_grad():
        now = float(found.policy.log_prob(*data).double().mean())
    assert now == found.log_likelihood == found.history["log_likelihood"][-1]
    assert now < found.history["log_likelihood"].max()


def test_too_few_passes_are_said_so() -> None:
    with pytest.warns(ConvergenceWarning, match="more passes would change") as said:
        found = clone_network((BOX, ACTIONS), regression(), seed=0, max_iterations=2)
    assert said[0].filename == __file__
    assert not found.converged
    assert "more than the tolerance" in found.message
    history = found.history["log_likelihood"]
    assert found.certificate == {"change": abs(history[1] - history[0])}
    with pytest.warns(ConvergenceWarning, match="more passes"):
        found = clone_network((BOX, ACTIONS), regression(), seed=0, max_iterations=1)
    assert not found.converged
    assert 0.01 < found.certificate["change"] < np.inf
    assert repr(found) == f"NetworkCloneResult(not converged, 1 iteration, {change_of(found)})"


def change_of(found: NetworkCloneResult) -> str:
    return f"change {found.certificate['change']:.2g}"


def test_an_environment_names_its_spaces() -> None:
    env = worlds.cartpole()
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(51, 4)) for _ in range(4)]
    demos = Demonstrations(states, [(x[:-1, 2] > 0.0).astype(int) for x in states])
    found = train(env, demos, max_iterations=150, learning_rate=0.01)
    assert found.log_likelihood > -0.15
    assert found.policy.act(np.array([0.0, 0.0, 1.0, 0.0])) == 1
    assert found.policy.act(np.array([0.0, 0.0, -1.0, 0.0])) == 0


def test_a_constant_observation_is_not_blown_up() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(201, 3)) * [1.0, 0.0, 1.0] + [0.0, 7.0, 0.0]
    demos = Demonstrations([states], [(states[:-1, 0] > 0).astype(int)])
    spaces = (BOX, gymnasium.spaces.Discrete(2))
    policy = train(spaces, demos, max_iterations=60, tolerance=1.0).policy
    assert policy.scale[1] == 1.0
    near = policy.probabilities([[2.0, 7.0, 0.0], [2.0, 7.001, 0.0]])
    np.testing.assert_allclose(near[0], near[1], atol=1e-3)


DISCRETE = gymnasium.spaces.Discrete(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": 3}, "env is 3"),
        ({"env": (BOX, DISCRETE)}, "the actions are vectors of length 2; action_space"),
        ({"env": (gymnasium.spaces.Box(-1, 1, (4,)), ACTIONS)}, "states are vectors of length 3"),
        ({"env": (gymnasium.spaces.Dict(), ACTIONS)}, "expected a Discrete space, a Box"),
        (
            {"env": (BOX, gymnasium.spaces.MultiDiscrete([2, 2]))},
            r"action_space is MultiDiscrete\(\[2 2\]\); expected a Discrete space or a Box",
        ),
        ({"env": (gymnasium.spaces.Discrete(4, start=1), DISCRETE)}, "whole numbers from 0 on"),
        ({"env": worlds.chain(4).mdp}, "states are vectors"),
        ({"seed": np.random.default_rng(0)}, "seed is Generator.*; expected a whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"tolerance": np.inf}, "tolerance is inf"),
        ({"validation": 1.0}, "validation is 1.0"),
        ({"validation": 0.96}, "of 8 trajectories"),
        ({"sd": -1.0}, "sd is -1.0"),
        ({"hidden": (0,)}, "is 0"),
        ({"demos": Demonstrations([np.zeros((1, 3))], [np.zeros((0, 2))])}, "no steps"),
    ],
)
def test_bad_arguments_of_networks_are_named(arguments: dict[str, Any], message: str) -> None:
    good = {"env": (BOX, ACTIONS), "demos": regression(), "seed": 0}
    with pytest.raises(ValueError, match=message):
        clone_network(**(good | arguments))


def test_states_beyond_the_mdp_are_refused() -> None:
    with pytest.raises(ValueError, match=r"entry 9.*Discrete\(4\)"):
        clone_network(worlds.chain(4).mdp, Demonstrations([[0, 9]], [[1]]), seed=0)


def test_training_that_leaves_the_finite_numbers_is_an_error() -> None:
    with pytest.raises(ValueError, match="learning_rate 1e\\+30 is too high"):
        clone_network((BOX, ACTIONS), regression(), seed=0, max_iterations=5, learning_rate=1e30)
