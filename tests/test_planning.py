"""Planning: against brute force, slow loops, closed forms and limits."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from irl_lib import demonstrations, planning, worlds
from irl_lib.mdp import MDP, Array
from strategies import Problem, problems, slope


def soft_by_loops(problem: Problem, temperature: float, steps: int) -> tuple[Array, Array]:
    """Soft values and policy after this many steps from zero, one state at a time."""
    p, gamma, reward = problem.transitions, problem.mdp.discount, problem.reward
    v = np.zeros(problem.mdp.n_states)
    policy = np.zeros_like(reward)
    for _ in range(steps):
        new = np.zeros_like(v)
        for s in range(len(v)):
            if problem.mdp.episodic and problem.mdp.absorbing[s]:
                policy[s] = 1.0 / problem.mdp.n_actions
                continue
            q = [reward[s, a] + gamma * sum(p[s, a] * v) for a in range(len(reward[s]))]
            weights = [np.exp((x - max(q)) / temperature) for x in q]
            new[s] = max(q) + temperature * np.log(sum(weights))
            policy[s] = np.array(weights) / sum(weights)
        v = new
    return v, policy


def dense_occupancy(problem: Problem, policy: Array, steps: int) -> tuple[Array, Array]:
    """The occupancy after this many steps, and where the state then is, by dense algebra."""
    state, total = problem.mdp.initial.copy(), np.zeros_like(problem.reward)
    for t in range(steps):
        pi = policy[t] if policy.ndim == 3 else policy
        if problem.mdp.episodic:
            state = np.where(problem.mdp.absorbing, 0.0, state)
        x = state[:, None] * pi
        total += problem.mdp.discount**t * x
        state = np.einsum("sa,sat->t", x, problem.transitions)
    return total, state


def deterministic_policies(n_states: int, n_actions: int) -> list[Array]:
    choices = itertools.product(range(n_actions), repeat=n_states)
    return [np.eye(n_actions)[list(choice)] for choice in choices]


@settings(max_examples=60)
@given(problems(max_states=4, discounts=(0.7, 0.9)), st.sampled_from([0.3, 1.0, 2.0]))
def test_soft_values_equal_plain_loops(problem: Problem, temperature: float) -> None:
    plan = planning.soft_value_iteration(problem.mdp, problem.reward, temperature)
    horizon = problem.mdp.horizon
    v, policy = soft_by_loops(problem, temperature, horizon or 400)
    first = (plan.v, plan.policy) if horizon is None else (plan.v[0], plan.policy[0])
    np.testing.assert_allclose(first[0], v, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(first[1], policy, rtol=1e-10, atol=1e-11)


@settings(max_examples=60)
@given(problems(max_states=4, finite=False, discounts=(1.0,)))
def test_soft_values_of_episodes_equal_plain_loops(problem: Problem) -> None:
    plan = planning.soft_value_iteration(problem.mdp, problem.reward)
    v, policy = soft_by_loops(problem, 1.0, 300)
    np.testing.assert_allclose(plan.v, v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(plan.policy, policy, rtol=1e-9, atol=1e-9)
    assert (plan.v[problem.mdp.absorbing] == 0.0).all()


@settings(max_examples=100)
@given(problems())
def test_a_plan_satisfies_its_equations(problem: Problem) -> None:
    mdp, reward = problem.mdp, problem.reward
    plan = planning.soft_value_iteration(mdp, reward)
    v = plan.v if mdp.horizon is None else plan.v[:-1]
    after = plan.v if mdp.horizon is None else plan.v[1:]
    expected = reward + mdp.discount * np.einsum("sat,...t->...sa", problem.transitions, after)
    scale = max(1.0, np.abs(plan.v).max())
    live = ~mdp.absorbing if mdp.episodic else np.ones(mdp.n_states, dtype=bool)
    np.testing.assert_allclose(plan.q, expected, atol=1e-12 * scale)
    soft = np.log(np.exp(plan.q - v[..., None]).sum(axis=-1))
    assert np.abs(soft[..., live]).max(initial=0.0) < 1e-12 * scale
    ratio = np.exp(plan.q - v[..., None])
    np.testing.assert_allclose(plan.policy[..., live, :], ratio[..., live, :], atol=1e-11 * scale)
    np.testing.assert_allclose(plan.policy.sum(axis=-1), 1.0, atol=1e-14)


@settings(max_examples=60)
@given(problems(max_states=4, max_actions=2, finite=False, discounts=(0.7, 0.9, 0.999)))
def test_hard_values_equal_the_best_of_all_policies(problem: Problem) -> None:
    mdp, best = problem.mdp, np.full(problem.mdp.n_states, -np.inf)
    for policy in deterministic_policies(mdp.n_states, mdp.n_actions):
        chain = np.einsum("sa,sat->st", policy, problem.transitions)
        gain = (policy * problem.reward).sum(axis=1)
        best = np.maximum(best, np.linalg.solve(np.eye(len(chain)) - mdp.discount * chain, gain))
    plan = planning.value_iteration(mdp, problem.reward)
    np.testing.assert_allclose(plan.v, best, rtol=1e-10, atol=1e-10)
    own = planning.policy_value(mdp, plan.policy, problem.reward)
    np.testing.assert_allclose(own, best, rtol=1e-10, atol=1e-10)
    assert set(np.unique(plan.policy)) <= {0.0, 1.0}


@settings(max_examples=40)
@given(problems(max_states=2, max_actions=2, max_horizon=3, finite=True))
def test_hard_values_with_a_horizon_equal_the_best_of_all_policies(problem: Problem) -> None:
    mdp, best = problem.mdp, np.full(problem.mdp.n_states, -np.inf)
    assert mdp.horizon is not None
    choices = deterministic_policies(mdp.n_states, mdp.n_actions)
    for policy in itertools.product(choices, repeat=mdp.horizon):
        v = np.zeros(mdp.n_states)
        for pi in reversed(policy):
            ahead = problem.reward + mdp.discount * problem.transitions @ v
            v = (pi * ahead).sum(axis=1)
        best = np.maximum(best, v)
    plan = planning.value_iteration(mdp, problem.reward)
    np.testing.assert_allclose(plan.v[0], best, atol=1e-12)
    own = planning.policy_value(mdp, plan.policy, problem.reward)
    np.testing.assert_allclose(own, plan.v, atol=1e-12)


@settings(max_examples=40)
@given(problems(max_states=4, max_actions=2, finite=False, discounts=(1.0,)))
def test_hard_values_of_episodes_equal_the_best_of_all_policies(problem: Problem) -> None:
    mdp = problem.mdp
    live, best = ~mdp.absorbing, np.where(mdp.absorbing, 0.0, -np.inf)
    for policy in deterministic_policies(mdp.n_states, mdp.n_actions):
        chain = np.einsum("sa,sat->st", policy, problem.transitions)[np.ix_(live, live)]
        if np.abs(np.linalg.eigvals(chain)).max(initial=0.0) > 1.0 - 1e-9:
            continue  # it never ends, at a cost without bound
        gain = (policy * problem.reward).sum(axis=1)[live]
        v = np.linalg.solve(np.eye(len(chain)) - chain, gain)
        best[live] = np.maximum(best[live], v)
    plan = planning.value_iteration(mdp, problem.reward)
    np.testing.assert_allclose(plan.v, best, rtol=1e-10, atol=1e-10)


# --- occupancies ------------------------------------------------------------------------------


@settings(max_examples=100)
@given(problems())
def test_occupancy_equals_dense_sums(problem: Problem) -> None:
    policy = problem.policy()
    steps = problem.mdp.horizon or (40_000 if problem.mdp.discount == 0.999 else 2_000)
    if steps == 40_000:
        policy = planning.soft_value_iteration(problem.mdp, problem.reward).policy
        steps = 0  # too many: the flow below says as much
    found = planning.occupancy(problem.mdp, policy)
    if steps:
        np.testing.assert_allclose(found, dense_occupancy(problem, policy, steps)[0], atol=1e-9)
    assert (found >= -1e-15).all()


@settings(max_examples=200)
@given(problems())
def test_occupancies_have_their_mass_and_flow(problem: Problem) -> None:
    """T3, T4 and T6: mass, Bellman flow, and the telescoping sum of any function of states."""
    mdp, policy = problem.mdp, problem.policy()
    x = planning.occupancy(mdp, policy)
    mass = x.sum() if mdp.episodic else mdp.mass
    if not mdp.episodic:
        assert abs(x.sum() - mass) < 1e-12 * mass
    last = np.zeros(mdp.n_states)
    if mdp.horizon is not None:
        last = mdp.discount**mdp.horizon * dense_occupancy(problem, policy, mdp.horizon)[1]
    arriving = mdp.discount * np.einsum("sa,sat->t", x, problem.transitions)
    residual = x.sum(axis=1) - (mdp.initial + arriving - last)
    live = ~mdp.absorbing if mdp.episodic else np.ones(mdp.n_states, dtype=bool)
    assert np.abs(residual[live]).max(initial=0.0) < 1e-12 * max(1.0, mass)
    v = np.where(live, problem.rng.normal(size=mdp.n_states), 0.0)
    gains = v[:, None] - mdp.discount * problem.transitions @ v
    assert abs((x * gains).sum() - (mdp.initial - last) @ v) < 1e-11 * max(1.0, mass)


@pytest.mark.parametrize("horizon", [None, 7])
@pytest.mark.parametrize("discount", [0.7, 0.9, 1.0])
def test_monte_carlo_agrees(discount: float, horizon: int | None) -> None:
    """T3: every entry of an occupancy within four standard errors of sampled visits."""
    ends = int(horizon is None and discount == 1.0)
    world = worlds.random_mdp(6, 3, 2, 5, discount, horizon, branching=3, n_absorbing=ends)
    mdp = world.mdp
    reward = 0.2 * world.reward - 3.0 * ends * ~mdp.absorbing[:, None]
    policy = planning.soft_value_iteration(mdp, reward).policy
    length = 80 if horizon is None and discount < 1.0 else None
    demos = demonstrations.sample(mdp, policy, 8_000, np.random.default_rng(1), length)
    step = demos.steps()
    visits = np.zeros((len(demos), mdp.n_states, mdp.n_actions))
    np.add.at(visits, (step.trajectory, step.state, step.action), discount**step.time)
    error = visits.std(axis=0) / np.sqrt(len(demos))
    exact = planning.occupancy(mdp, policy)
    assert (np.abs(visits.mean(axis=0) - exact) <= 4.0 * error + 1e-11).all()
    assert error.max() < 0.05
    np.testing.assert_allclose(demos.occupancy(mdp), visits.mean(axis=0), atol=1e-11)


@settings(max_examples=60)
@given(problems())
def test_the_return_is_reward_times_occupancy(problem: Problem) -> None:
    mdp, policy = problem.mdp, problem.policy()
    v = planning.policy_value(mdp, policy, problem.reward)
    start = mdp.initial @ (v if mdp.horizon is None else v[0])
    x = planning.occupancy(mdp, policy)
    scale = max(1.0, x.sum())
    assert abs(start - (x * problem.reward).sum()) < 1e-12 * scale
    mu = planning.feature_expectations(mdp, policy, problem.features)
    np.testing.assert_allclose(mu, np.einsum("sa,sak->k", x, problem.phi), atol=1e-12 * scale)


@settings(max_examples=60)
@given(problems(), st.sampled_from([0.5, 1.0]))
def test_the_soft_value_is_return_plus_entropy_and_nothing_beats_it(
    problem: Problem, temperature: float
) -> None:
    mdp = problem.mdp
    plan = planning.soft_value_iteration(mdp, problem.reward, temperature)
    own = planning.policy_value(mdp, plan.policy, problem.reward, temperature)
    scale = max(1.0, np.abs(plan.v).max())
    np.testing.assert_allclose(own, plan.v, atol=1e-12 * scale)
    other = planning.policy_value(mdp, problem.policy(), problem.reward, temperature)
    assert (other <= plan.v + 1e-11 * scale).all()


# --- derivatives ------------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems())
def test_occupancy_derivative_is_the_slope_of_the_occupancy(problem: Problem) -> None:
    mdp = problem.mdp
    direction = problem.phi @ problem.rng.normal(size=problem.phi.shape[-1])
    direction /= max(1.0, np.abs(direction).max()) * (10.0 if mdp.episodic else 1.0)

    def occupancy(step: float) -> Array:
        plan = planning.soft_value_iteration(mdp, problem.reward + step * direction)
        return planning.occupancy(mdp, plan.policy)

    plan = planning.soft_value_iteration(mdp, problem.reward)
    found = planning.occupancy_derivative(mdp, plan, direction)
    scale = max(1.0, np.abs(occupancy(0.0)).max(), np.abs(found).max())
    assert slope(occupancy, found, scale, 1e-8) < 1e-8
    assert (direction * found).sum() > -1e-10 * scale


@settings(max_examples=60)
@given(problems(finite=True))
def test_posterior_derivative_is_the_slope_of_the_occupancy(problem: Problem) -> None:
    mdp = problem.mdp
    direction = problem.phi @ problem.rng.normal(size=problem.phi.shape[-1])

    def occupancy(step: float) -> Array:
        plan = planning.trajectory_posterior(mdp, problem.reward + step * direction)
        return planning.trajectory_occupancy(mdp, plan)

    plan = planning.trajectory_posterior(mdp, problem.reward)
    found = planning.trajectory_occupancy_derivative(mdp, plan, direction)
    scale = max(1.0, np.abs(found).max())
    assert slope(occupancy, found, scale, 1e-8) < 1e-8


# --- shortest paths ---------------------------------------------------------------------------


def random_map(rng: np.random.Generator, costs: str) -> tuple[MDP, Array, Array]:
    """Certain steps, episodes that end, and rewards of at most 0: with ties, loops, free steps."""
    n_states, n_actions = int(rng.integers(2, 12)), int(rng.integers(1, 5))
    ends = int(rng.integers(1, n_states))
    target = rng.integers(0, n_states, (n_states, n_actions))
    target[:, 0] = np.maximum(np.arange(n_states) - 1, 0)  # downwards, there is a way out
    target[:ends] = np.arange(ends)[:, None]
    reward = -rng.uniform(0.1, 3.0, target.shape)
    if costs != "real":
        reward = -rng.integers(0 if costs == "free" else 1, 3, target.shape).astype(float)
    reward[:ends] = 0.0
    initial = rng.dirichlet(np.ones(n_states))
    return MDP(np.eye(n_states)[target], initial), reward, target


def distances_by_loops(mdp: MDP, reward: Array, target: Array) -> Array:
    """Bellman and Ford: as many sweeps as there are states."""
    v = np.where(mdp.absorbing, 0.0, -np.inf)
    for _ in range(mdp.n_states):
        for s in np.flatnonzero(~mdp.absorbing):
            v[s] = max(reward[s, a] + v[target[s, a]] for a in range(mdp.n_actions))
    return v


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["real", "whole", "free"]))
def test_plans_on_maps_are_shortest_paths(seed: int, costs: str) -> None:
    mdp, reward, target = random_map(np.random.default_rng(seed), costs)
    plan = planning.value_iteration(mdp, reward)
    np.testing.assert_allclose(plan.v, distances_by_loops(mdp, reward, target), atol=1e-12)
    np.testing.assert_allclose(plan.q, reward + plan.v[target], atol=1e-12)
    # policy_value refuses a policy that goes round and round for nothing.
    own = planning.policy_value(mdp, plan.policy, reward)
    np.testing.assert_allclose(own, plan.v, atol=1e-10)
    assert set(np.unique(plan.policy)) <= {0.0, 1.0}


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["real", "whole", "free"]),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_shortest_paths_change_nothing_but_the_time(
    seed: int, costs: str, temperature: float
) -> None:
    """The same plan as policy iteration finds from its usual start; the same error, too."""
    mdp, reward, _ = random_map(np.random.default_rng(seed), costs)

    def solve() -> planning.Plan | None:
        try:
            if temperature:
                return planning.soft_value_iteration(mdp, reward, temperature)
            return planning.value_iteration(mdp, reward)
        except planning.DivergenceError:
            return None

    found = solve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_along_shortest_paths", lambda *_: None)
        usual = solve()
    assert (found is None) == (usual is None)
    if found is not None and usual is not None:
        scale = max(1.0, float(np.abs(usual.v).max()))
        for one, other in zip(found, usual, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10 * scale)


def test_shortest_paths_need_no_policy_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    mdp, reward, _ = random_map(np.random.default_rng(5), "real")
    world = worlds.gridworld(4, slip=0.1, goals=[(3, 3)], discount=1.0)

    def refuse(*_: object) -> None:
        raise AssertionError("a policy is evaluated")

    monkeypatch.setattr(planning, "_value_of", refuse)
    planning.value_iteration(mdp, reward)
    with pytest.raises(AssertionError, match="evaluated"):  # some steps pay
        planning.value_iteration(mdp, np.where(reward < 0.0, reward + 2.0, 0.0))
    with pytest.raises(AssertionError, match="evaluated"):  # chance
        planning.value_iteration(world.mdp, np.minimum(world.reward, 0.0))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_sums_over_paths_start_where_newton_would_end(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds.gridworld(15, slip=0.0, goals=[(14, 3)], discount=1.0)
    cost = np.random.default_rng(0).uniform(5.0, 9.0, (225, 4)) * ~world.mdp.absorbing[:, None]
    count, evaluate = [], planning._value_of

    def counted(*arguments: Any) -> Array | None:
        count.append(1)
        return evaluate(*arguments)

    monkeypatch.setattr(planning, "_value_of", counted)
    planning.soft_value_iteration(world.mdp, -cost, temperature)
    assert len(count) <= 1


def test_equal_ways_go_to_the_first_action_that_ends() -> None:
    """Two ways of the same length: the first one, although the second ends sooner."""
    target = np.array([[0, 0], [2, 0], [0, 0]])
    mdp = MDP(np.eye(3)[target], [0.0, 1.0, 0.0])
    plan = planning.value_iteration(mdp, [[0.0, 0.0], [-1.0, -2.0], [-1.0, -1.0]])
    assert plan.v.tolist() == [0.0, -2.0, -1.0]
    assert plan.policy[1].tolist() == [1.0, 0.0]


def test_a_step_that_pays_leaves_shortest_paths() -> None:
    target = np.array([[0, 0], [0, 2], [0, 0]])
    mdp = MDP(np.eye(3)[target], [0.0, 1.0, 0.0])
    reward = np.array([[0.0, 0.0], [-1.0, -1.0], [3.0, -1.0]])
    assert planning.value_iteration(mdp, reward).v.tolist() == [0.0, 2.0, 3.0]
    round_trip = MDP(np.eye(3)[[[0, 0], [0, 2], [1, 0]]], [0.0, 1.0, 0.0])
    with pytest.raises(planning.DivergenceError, match="going on for ever"):
        planning.value_iteration(round_trip, reward)


def test_an_end_out_of_reach_is_the_error_of_the_mdp() -> None:
    with pytest.raises(ValueError, match="no absorbing state can be reached from state 1"):
        MDP(np.eye(3)[[[0, 0], [2, 2], [1, 1]]], [0.0, 1.0, 0.0])


def test_long_ways_lose_nothing_to_rounding() -> None:
    """A corridor so long and costly that exp V of its far end is zero to a computer."""
    n = 3_000
    target = np.stack([np.maximum(np.arange(n) - 1, 0), np.minimum(np.arange(n) + 1, n - 1)], 1)
    target[0] = 0
    steps = [
        sparse.csr_array((np.ones(n), (np.arange(n), column)), shape=(n, n)) for column in target.T
    ]
    reward = np.full((n, 2), -2.0)
    reward[0] = 0.0
    mdp = MDP(steps, np.eye(1, n, n - 1)[0])
    plan = planning.soft_value_iteration(mdp, reward)
    assert plan.v[-1] < -5_000.0
    # The chance x of ever taking one step back solves x = exp(-2) (1 + x^2) in the middle.
    b = np.exp(-2.0)
    step = np.log((1.0 - np.sqrt(1.0 - 4.0 * b * b)) / (2.0 * b))
    np.testing.assert_allclose(np.diff(plan.v)[1_000:2_000], step, rtol=1e-9)
    hard = planning.value_iteration(mdp, reward)
    np.testing.assert_allclose(hard.v, -2.0 * np.arange(n), atol=0.0)


def test_looking_ahead_changes_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        world = worlds.gridworld(8, slip=0.3, seed=seed, discount=0.99)
        plan = planning.value_iteration(world.mdp, world.reward)
        with monkeypatch.context() as patch:
            patch.setattr(planning, "MANY", 1)
            ahead = planning.value_iteration(world.mdp, world.reward)
        np.testing.assert_allclose(ahead.v, plan.v, rtol=1e-11)
        np.testing.assert_array_equal(ahead.policy, plan.policy)


# --- what must hold ---------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems(finite=False))
def test_shaping_leaves_the_soft_policy_alone(problem: Problem) -> None:
    """T5: potentials move the values and nothing else."""
    mdp = problem.mdp
    potential = problem.rng.normal(size=mdp.n_states)
    potential[mdp.absorbing & mdp.episodic] = 0.0
    shaped = problem.reward + mdp.discount * mdp.expect(potential) - potential[:, None]
    shaped[mdp.absorbing & mdp.episodic] = 0.0
    plan = planning.soft_value_iteration(mdp, problem.reward)
    other = planning.soft_value_iteration(mdp, shaped)
    scale = max(1.0, np.abs(plan.v).max())
    np.testing.assert_allclose(other.policy, plan.policy, atol=1e-11 * scale)
    np.testing.assert_allclose(other.v, plan.v - potential, atol=1e-11 * scale)


@settings(max_examples=40)
@given(problems(discounts=(0.7, 0.9, 0.999)), st.floats(-3.0, 3.0))
def test_a_constant_moves_the_values_and_no_policy(problem: Problem, constant: float) -> None:
    mdp = problem.mdp
    plan = planning.soft_value_iteration(mdp, problem.reward)
    other = planning.soft_value_iteration(mdp, problem.reward + constant)
    first, moved = (plan.v, other.v) if mdp.horizon is None else (plan.v[0], other.v[0])
    scale = max(1.0, np.abs(first).max(), np.abs(moved).max())
    np.testing.assert_allclose(moved, first + constant * mdp.mass, atol=1e-11 * scale)
    np.testing.assert_allclose(other.policy, plan.policy, atol=1e-11 * scale)


@settings(max_examples=40)
@given(problems(discounts=(0.7, 0.9, 1.0)))
def test_at_low_temperature_soft_planning_is_hard(problem: Problem) -> None:
    """T10: the soft value exceeds the hard one by at most the entropy that there can be."""
    mdp, temperature = problem.mdp, 1e-4
    hard = planning.value_iteration(mdp, problem.reward)
    soft = planning.soft_value_iteration(mdp, problem.reward, temperature)
    longest = 1e4 if mdp.episodic else mdp.mass
    room = temperature * np.log(mdp.n_actions) * longest + 1e-10
    assert (soft.v >= hard.v - 1e-10).all()
    assert (soft.v <= hard.v + room).all()
    own = planning.policy_value(mdp, soft.policy, problem.reward)
    assert (own >= hard.v - room).all()


def test_an_absorbing_reward_of_minus_log_actions_ends_the_episode() -> None:
    """T7: such a state is worth nothing, as the end of an episode is, with any discount."""
    world = worlds.random_mdp(5, 3, 2, 3, discount=1.0, n_absorbing=1)
    reward = world.reward - 4.0 * ~world.mdp.absorbing[:, None]
    ended = planning.soft_value_iteration(world.mdp, reward)
    reward[-1] = -np.log(3.0)
    dense = world.mdp.dense_transitions()
    finite = MDP(dense, world.mdp.initial, 1.0, horizon=400)
    plan = planning.soft_value_iteration(finite, reward)
    assert np.abs(plan.v[:, -1]).max() < 1e-12
    np.testing.assert_allclose(plan.v[0], ended.v, atol=1e-10)
    np.testing.assert_allclose(plan.policy[0], ended.policy, atol=1e-10)
    x, y = planning.occupancy(finite, plan.policy), planning.occupancy(world.mdp, ended.policy)
    np.testing.assert_allclose(x[:-1], y[:-1], atol=1e-10)
    discounted = MDP(dense, world.mdp.initial, 0.9)
    assert abs(planning.soft_value_iteration(discounted, reward).v[-1]) < 1e-12


@pytest.mark.parametrize("horizon", [None, 150])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_huge_rewards_stay_finite(horizon: int | None, sign: float) -> None:
    """T8: rewards of +-1000 on a 50 x 50 grid, hard, soft and the posterior."""
    world = worlds.gridworld(50, n_features=1, horizon=horizon, discount=0.95)
    mixed = np.random.default_rng(0).choice([-1000.0, 1000.0], size=(2500, 4))
    reward = mixed if sign > 0.0 else np.full((2500, 4), -1000.0)
    plans = [
        planning.value_iteration(world.mdp, reward),
        planning.soft_value_iteration(world.mdp, reward),
    ]
    occupancies = [planning.occupancy(world.mdp, plan.policy) for plan in plans]
    if horizon is not None:
        plans.append(planning.trajectory_posterior(world.mdp, reward))
        occupancies.append(planning.trajectory_occupancy(world.mdp, plans[-1]))
        assert np.isfinite(planning.log_partition(world.mdp, plans[-1]))
    for plan, x in zip(plans, occupancies, strict=True):
        assert all(np.isfinite(array).all() for array in (*plan, x))
        np.testing.assert_allclose(x.sum(), world.mdp.mass, rtol=1e-11)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.floats(-3.0, 0.5))
def test_a_soft_value_without_end_is_an_error(seed: int, level: float) -> None:
    """In a deterministic MDP the value is finite if and only if exp(r) has spectral radius < 1."""
    rng = np.random.default_rng(seed)
    n_states, n_actions = 5, 2
    targets = rng.integers(n_states, size=(n_states, n_actions))
    targets[:-1, 0] = np.arange(1, n_states)  # so that the last state can be reached
    targets[-1] = n_states - 1
    reward = level + rng.normal(size=(n_states, n_actions))
    reward[-1] = 0.0
    kernel = np.zeros((n_states, n_states))
    np.add.at(kernel, (np.arange(n_states)[:, None], targets), np.exp(reward))
    radius = np.abs(np.linalg.eigvals(kernel[:-1, :-1])).max()
    mdp = MDP(np.eye(n_states)[targets], np.eye(n_states)[0])
    if radius < 0.999:
        z = np.linalg.solve(np.eye(n_states - 1) - kernel[:-1, :-1], kernel[:-1, -1])
        v = planning.soft_value_iteration(mdp, reward).v
        np.testing.assert_allclose(v[:-1], np.log(z), rtol=1e-7, atol=1e-7)
    elif radius > 1.001:
        with pytest.raises(planning.DivergenceError, match="does not converge for this reward"):
            planning.soft_value_iteration(mdp, reward)


def test_a_hard_value_without_end_is_an_error() -> None:
    loop = MDP(np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0]] * 2]), [1.0, 0.0])
    with pytest.raises(planning.DivergenceError, match="going on for ever gains more"):
        planning.value_iteration(loop, [[0.1, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="never reaches an absorbing state"):
        planning.policy_value(loop, [[1.0, 0.0], [0.5, 0.5]], [[-1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="never reaches an absorbing state"):
        planning.occupancy(loop, [[1.0, 0.0], [0.5, 0.5]])


def test_among_equally_good_actions_the_episode_ends() -> None:
    """Zero rewards: going round is as good as the way out, and the policy takes the way out."""
    world = worlds.gridworld(4, slip=0.0, goals=[(3, 3)], discount=1.0)
    plan = planning.value_iteration(world.mdp, np.zeros((16, 4)))
    assert (plan.v == 0.0).all()
    visits = planning.occupancy(world.mdp, plan.policy)
    assert visits.sum() < 16.0
    assert (planning.policy_value(world.mdp, plan.policy, np.zeros((16, 4))) == 0.0).all()


def test_ties_go_to_the_first_action() -> None:
    plan = planning.value_iteration(worlds.two_goal().mdp, np.zeros((4, 2)))
    np.testing.assert_array_equal(plan.policy, np.eye(2)[[0, 0, 0, 0]])
    soft = planning.soft_value_iteration(worlds.two_goal().mdp, np.zeros((4, 2)))
    np.testing.assert_allclose(soft.policy, 0.5, atol=1e-14)


def test_one_state_and_one_action() -> None:
    mdp = MDP([[[1.0]]], [1.0], discount=0.5)
    plan = planning.soft_value_iteration(mdp, [[3.0]])
    np.testing.assert_allclose(plan.v, [6.0])
    np.testing.assert_allclose(planning.occupancy(mdp, plan.policy), [[2.0]])
    two = MDP([[[1.0], [1.0]]], [1.0], discount=1.0, horizon=3)
    plan = planning.soft_value_iteration(two, [[0.0, 0.0]])
    np.testing.assert_allclose(plan.v[:, 0], np.log(2.0) * np.array([3.0, 2.0, 1.0, 0.0]))
    ended = MDP([[[1.0], [1.0]]], [1.0])
    assert planning.soft_value_iteration(ended, [[0.0, 0.0]]).v == [0.0]


def test_one_backup_is_one_step_of_the_recursion() -> None:
    world = worlds.gridworld(5, seed=2, horizon=3, discount=0.9)
    plan = planning.soft_value_iteration(world.mdp, world.reward, 0.5)
    q, v = planning.soft_backup(world.mdp, world.reward, plan.v[1], 0.5)
    np.testing.assert_allclose(q, plan.q[0], atol=1e-14)
    np.testing.assert_allclose(v, plan.v[0], atol=1e-14)


def test_reductions_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.gridworld(5, seed=2, horizon=4)
    plans = [
        (planning.soft_value_iteration(world.mdp, world.reward), world.reward),
        (planning.value_iteration(world.mdp, world.reward), world.reward),
    ]
    monkeypatch.setattr(planning, "BLOCK", 7)
    for (plan, reward), again in zip(
        plans, (planning.soft_value_iteration, planning.value_iteration), strict=True
    ):
        for a, b in zip(plan, again(world.mdp, reward), strict=True):
            np.testing.assert_array_equal(a, b)


def test_iterated_systems_agree_with_factorised_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.gridworld(6, seed=4, discount=0.9)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    x = planning.occupancy(world.mdp, plan.policy)
    monkeypatch.setattr(planning, "DIRECT_LIMIT", 10)
    again = planning.soft_value_iteration(world.mdp, world.reward)
    np.testing.assert_allclose(again.v, plan.v, atol=1e-11)
    np.testing.assert_allclose(planning.occupancy(world.mdp, plan.policy), x, atol=1e-11)


def test_inputs_are_left_alone_and_results_are_new() -> None:
    world = worlds.gridworld(4, horizon=5)
    reward, policy = world.reward.copy(), np.full((16, 4), 0.25)
    for array in (reward, policy):
        array.setflags(write=False)
    plan = planning.soft_value_iteration(world.mdp, reward)
    planning.value_iteration(world.mdp, reward)
    planning.trajectory_posterior(world.mdp, reward)
    planning.policy_value(world.mdp, policy, reward, 1.0)
    x = planning.occupancy(world.mdp, policy)
    kept = [array.copy() for array in plan]
    x += 1.0
    planning.occupancy_derivative(world.mdp, plan, reward)
    for array, copy in zip(plan, kept, strict=True):
        assert not np.shares_memory(array, reward)
        np.testing.assert_array_equal(array, copy)


def test_normal_use_warns_of_nothing() -> None:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for horizon, discount in [(None, 0.9), (6, 1.0), (6, 0.9)]:
            world = worlds.gridworld(5, seed=1, horizon=horizon, discount=discount)
            for reward in (world.reward, 500.0 * world.reward, 0.0 * world.reward):
                plan = planning.soft_value_iteration(world.mdp, reward)
                planning.occupancy(world.mdp, plan.policy)
                planning.policy_value(world.mdp, plan.policy, reward, 1.0)
                planning.occupancy_derivative(world.mdp, plan, reward)
                hard = planning.value_iteration(world.mdp, reward)
                planning.policy_value(world.mdp, hard.policy, reward, 1.0)
                if horizon:
                    posterior = planning.trajectory_posterior(world.mdp, reward)
                    planning.trajectory_occupancy(world.mdp, posterior)
                    planning.trajectory_occupancy_derivative(world.mdp, posterior, reward)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf, "1", None, True])
def test_bad_temperatures(temperature: object) -> None:
    world = worlds.two_goal()
    with pytest.raises(ValueError, match=r"temperature is .*; expected a finite number > 0"):
        planning.soft_value_iteration(world.mdp, world.reward, temperature)


def test_the_posterior_needs_a_horizon() -> None:
    world = worlds.two_goal()
    with pytest.raises(ValueError, match="horizon is None: a distribution over trajectories"):
        planning.trajectory_posterior(world.mdp, world.reward)


BAD_POLICIES = [
    (np.full((4, 2), 0.3), "policy sums to 0.6 in state 0; a distribution sums to 1"),
    (np.tile([1.5, -0.5], (4, 1)), "policy has the negative entry -0.5"),
    (np.full((4, 3), 1 / 3), r"policy has shape \(4, 3\); expected \(4, 2\)"),
    (np.full((7, 4, 2), 0.5), r"policy has shape \(7, 4, 2\); expected \(4, 2\)"),
    (np.full((4, 2), np.nan), r"policy is nan at index \(0, 0\)"),
    (None, "policy has entries of type object; expected real numbers"),
    ([[0.5, 0.5], [1.0]], "policy is no array of numbers"),
]


@pytest.mark.parametrize(("policy", "message"), BAD_POLICIES)
def test_bad_policies(policy: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planning.occupancy(worlds.two_goal().mdp, policy)


BAD_REWARDS = [
    (np.zeros(4), r"reward has shape \(4,\); expected \(4, 2\)"),
    (np.full((4, 2), np.inf), r"reward is inf at index \(0, 0\)"),
    ([["1", "2"]] * 4, "reward has entries of type <U1; expected real numbers"),
    (np.zeros((4, 2), dtype=complex), "reward has entries of type complex128"),
    (None, "reward has entries of type object"),
]


@pytest.mark.parametrize(("reward", "message"), BAD_REWARDS)
def test_bad_rewards(reward: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planning.soft_value_iteration(worlds.two_goal().mdp, reward)


def test_rewards_after_the_end_are_refused() -> None:
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0)
    with pytest.raises(ValueError, match="reward is not 0 in the absorbing state 8"):
        planning.value_iteration(world.mdp, np.ones((9, 4)))


def test_a_backup_is_the_same_whatever_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BLOCK", 7)
    world = worlds.gridworld(6, slip=0.3, seed=2, discount=0.9)
    v = np.random.default_rng(0).normal(size=36)
    expected = world.reward + 0.9 * world.mdp.expect(v)
    for workers in (1, 3):
        q, new = planning.soft_backup(world.mdp, world.reward, v, workers=workers)
        np.testing.assert_allclose(q, expected, rtol=1e-12)
        np.testing.assert_allclose(new, np.log(np.exp(expected).sum(axis=1)), rtol=1e-12)


def test_a_plan_for_inner_loops_is_the_same_but_for_q() -> None:
    world = worlds.gridworld(4, seed=2, discount=0.9, horizon=5)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    lean = planning.unchecked_soft_plan(world.mdp, world.reward)
    np.testing.assert_array_equal(lean.policy, plan.policy)
    np.testing.assert_array_equal(lean.v, plan.v)
    assert lean.q.shape == (0, 16, 4)


def test_a_gain_that_looking_ahead_hides_is_still_taken() -> None:
    """To leave gains a little now; seen from fifty steps on, staying until then is as good."""
    n, stay, leave = 1_000, 0, 1
    last = np.full(n, n - 1)
    moves = [
        sparse.csr_array((np.ones(n), (np.arange(n), targets)), shape=(n, n))
        for targets in (np.arange(n), last)
    ]
    mdp = MDP(moves, np.full(n, 1.0 / n), discount=0.99)
    reward = np.ones((n, 2))
    reward[:-1, leave] += 2e-9
    reward[-1, leave] = -10.0  # so that at first nobody wants to be there
    plan = planning.value_iteration(mdp, reward)
    np.testing.assert_allclose(plan.v[:-1] - 100.0, 2e-9, rtol=1e-3)
    assert plan.policy[-1, stay] == 1.0
