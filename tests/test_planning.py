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
from irl_lib.mdp import MDP
from irl_lib.planning import backups, bellman, fixed_points, systems
from irl_lib.support.checks import Array
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
        patch.setattr(fixed_points, "_along_shortest_paths", lambda *_: None)
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

    monkeypatch.setattr(fixed_points, "_value_of", refuse)
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
    count, evaluate = [], fixed_points._value_of

    def counted(*arguments: Any) -> Array | None:
        count.append(1)
        return evaluate(*arguments)

    monkeypatch.setattr(fixed_points, "_value_of", counted)
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
            patch.setattr(fixed_points, "MANY", 1)
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
    for module in (backups, bellman):
        monkeypatch.setattr(module, "BLOCK", 7)
    for (plan, reward), again in zip(
        plans, (planning.soft_value_iteration, planning.value_iteration), strict=True
    ):
        for a, b in zip(plan, again(world.mdp, reward), strict=True):
            np.testing.assert_array_equal(a, b)


def test_iterated_systems_agree_with_factorised_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.gridworld(6, seed=4, discount=0.9)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    x = planning.occupancy(world.mdp, plan.policy)
    monkeypatch.setattr(systems, "DIRECT_LIMIT", 10)
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
    for module in (backups, bellman):
        monkeypatch.setattr(module, "BLOCK", 7)
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


# --- policies that never end ------------------------------------------------------------------


def lossy_chain(seed: int, leak: float) -> tuple[MDP, Array]:
    """Six states and a policy in whose first three an episode goes round, but for a leak."""
    rng = np.random.default_rng(seed)
    transitions = np.zeros((6, 2, 6))
    transitions[:3, 0, :3] = rng.dirichlet(np.ones(3), size=3)
    transitions[0, 0] *= 1.0 - leak
    transitions[0, 0, 5] += leak
    transitions[3:5, 0] = rng.dirichlet(np.ones(6), size=2)
    transitions[:5, 1, 5] = 1.0
    transitions[5, :, 5] = 1.0
    return MDP(transitions, [0.2, 0.2, 0.2, 0.2, 0.2, 0.0]), np.eye(2)[[0] * 6]


@pytest.mark.parametrize("seed", range(60))
def test_a_policy_that_never_ends_is_an_error_and_one_that_rarely_does_is_none(seed: int) -> None:
    mdp, policy = lossy_chain(seed, 0.0)
    reward = -np.ones((6, 2)) * ~mdp.absorbing[:, None]
    plan = planning.Plan(reward, reward[:, 0], policy)
    for refused in (
        lambda: planning.policy_value(mdp, policy, reward),
        lambda: planning.policy_value(mdp, policy, 0.0 * reward, 0.5),
        lambda: planning.occupancy(mdp, policy),
        lambda: planning.feature_expectations(mdp, policy, np.ones((6, 1))),
        lambda: planning.occupancy_derivative(mdp, plan, reward),
    ):
        with pytest.raises(ValueError, match=r"never reaches an absorbing state from state 0 \("):
            refused()
    leak = 10.0 ** -(seed % 7)
    mdp, policy = lossy_chain(seed, leak)
    inner = np.eye(5) - mdp.dense_transitions()[:5, 0, :5]
    steps = np.linalg.solve(inner, np.ones(5))
    v = planning.policy_value(mdp, policy, reward)
    np.testing.assert_allclose(v[:5], -steps, rtol=1e-12 / leak)
    np.testing.assert_allclose(planning.occupancy(mdp, policy).sum(), -mdp.initial @ v, rtol=1e-8)


def test_two_states_that_go_round_are_an_error() -> None:
    transitions = np.zeros((3, 2, 3))
    transitions[:2, 0, :2] = [[0.3, 0.7], [0.6, 0.4]]
    transitions[:2, 1, 2] = transitions[2, :, 2] = 1.0
    mdp = MDP(transitions, [0.5, 0.5, 0.0])
    with pytest.raises(ValueError, match=r"never reaches .* from state 0 \(and 1 more\)"):
        planning.occupancy(mdp, [[1.0, 0.0]] * 3)
    # Once in 1e16 steps is never, to floating-point numbers.
    with pytest.raises(ValueError, match=r"takes more than 1e\+13 steps|almost\) never ends"):
        planning.policy_value(mdp, [[1.0 - 1e-16, 1e-16]] * 3, np.zeros((3, 2)))


def test_a_loop_where_no_episode_comes_is_no_matter_to_an_occupancy() -> None:
    target = np.array([[1, 1], [3, 3], [2, 3], [3, 3]])
    mdp = MDP(np.eye(4)[target], [1.0, 0.0, 0.0, 0.0])
    visits = planning.occupancy(mdp, np.eye(2)[[0] * 4])
    np.testing.assert_array_equal(visits[:, 0], [1.0, 1.0, 0.0, 0.0])


# --- problems with a value, and without -------------------------------------------------------


def lock(n: int, slip: float = 0.0, prize: float = 0.0) -> tuple[MDP, Array]:
    """``n`` states in a row: action 0 goes on, but for slips; action 1 and slips, to the start."""
    transitions, s = np.zeros((n, 2, n)), np.arange(n - 1)
    transitions[s, 0, s + 1] = 1.0 - slip
    transitions[s, 0, 0] += slip
    transitions[s, 1, 0] = transitions[-1, :, -1] = 1.0
    reward = np.full((n, 2), -1.0)
    reward[-1] = 0.0
    reward[-2, 0] += prize
    return MDP(transitions, np.eye(n)[0]), reward


@pytest.mark.parametrize("n", [31, 40, 60, 400])
def test_a_lock_is_opened(n: int) -> None:
    """The uniform policy takes 2**n steps."""
    mdp, reward = lock(n, prize=9.0)
    plan = planning.value_iteration(mdp, reward)
    np.testing.assert_allclose(plan.v[0], 10.0 - n, rtol=1e-13)  # -30 for 40 states
    np.testing.assert_array_equal(plan.policy[:-1, 0], 1.0)
    for temperature in (0.3, 1.0):
        soft = planning.soft_value_iteration(mdp, reward, temperature)
        # Going back is paid by the way there: z = exp(-1) (z + z_0), from the end on.
        b = np.exp(-1.0 / temperature)
        back = b * (1.0 - b ** (n - 1)) / (1.0 - b)
        expected = plan.v[0] - temperature * np.log(1.0 - back)
        np.testing.assert_allclose(soft.v[0], expected, rtol=1e-11)


@pytest.mark.parametrize(("n", "slip"), [(41, 0.01), (101, 0.01), (301, 0.01), (61, 0.1)])
def test_a_lock_with_slips_is_opened(n: int, slip: float) -> None:
    """A row of n successes takes ((1 - slip)**-n - 1) / slip trials."""
    mdp, reward = lock(n, slip)
    plan = planning.value_iteration(mdp, reward)
    np.testing.assert_allclose(plan.v[0], (1.0 - (1.0 - slip) ** (1 - n)) / slip, rtol=1e-9)
    soft = planning.soft_value_iteration(mdp, reward, 0.5)
    again = planning.soft_backup(mdp, reward, soft.v, 0.5)[1]
    np.testing.assert_allclose(again[:-1], soft.v[:-1], rtol=1e-12)
    assert (soft.v >= plan.v).all()


def test_a_sure_way_is_found_among_likely_ones() -> None:
    """Each action but one may lead back to the start; the sure one forks, so no path is likely."""
    n = 120
    transitions = np.zeros((2 * n + 1, 3, 2 * n + 1))
    for s in range(2 * n):
        row = 2 * (s // 2) + 2
        onward = [row, row + 1] if row < 2 * n else [2 * n]
        transitions[s, 0, onward], transitions[s, 0, 0] = 0.0, 0.4
        transitions[s, 0, onward[0]] += 0.6
        transitions[s, 1, onward] = 1.0 / len(onward)
        transitions[s, 2, 0] = 1.0
    transitions[-1, :, -1] = 1.0
    mdp = MDP(transitions, np.eye(2 * n + 1)[0])
    plan = planning.value_iteration(mdp, -np.ones((2 * n + 1, 3)) * ~mdp.absorbing[:, None])
    np.testing.assert_allclose(plan.v[0], -float(n), rtol=1e-12)


def test_rare_success_has_its_value() -> None:
    """One chance in 1e11 to end, at each step, and no better action."""
    transitions = np.array([[[1.0 - 1e-11, 1e-11]] * 2, [[0.0, 1.0]] * 2])
    plan = planning.value_iteration(MDP(transitions, [1.0, 0.0]), [[-2.0, -1.0], [0.0, 0.0]])
    np.testing.assert_allclose(plan.v, [-1e11, 0.0], rtol=1e-4)
    assert plan.policy[0].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_large_map_with_slips_is_planned(temperature: float) -> None:
    """Beyond DIRECT_LIMIT, where sweeps took minutes and gave up."""
    side = 225
    world = worlds.gridworld(side, slip=0.1, discount=1.0, goals=[(side - 1, side - 1)])
    reward = np.full((side**2, 4), -2.0) * ~world.mdp.absorbing[:, None]
    assert side**2 > systems.DIRECT_LIMIT
    if temperature:
        plan = planning.soft_value_iteration(world.mdp, reward)
    else:
        plan = planning.value_iteration(world.mdp, reward)
    again = planning.soft_backup(world.mdp, reward, plan.v, temperature)[1]
    np.testing.assert_allclose(again[:-1], plan.v[:-1], rtol=1e-12)
    assert plan.v[-1] == 0.0


@pytest.mark.parametrize("episodic", [False, True])
def test_large_problems_that_mix_fast_need_no_factors(
    episodic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds.random_mdp(300, 3, 2, 1, 1.0 if episodic else 0.99, n_absorbing=30 * episodic)
    reward = world.reward - 5.0 * episodic * ~world.mdp.absorbing[:, None]

    def solve() -> list[Array]:
        plan = planning.soft_value_iteration(world.mdp, reward)
        hard = planning.value_iteration(world.mdp, reward)
        moved = planning.occupancy_derivative(world.mdp, plan, world.reward)
        return [plan.v, hard.v, planning.occupancy(world.mdp, plan.policy), moved]

    usual = solve()
    monkeypatch.setattr(systems, "DIRECT_LIMIT", 10)
    monkeypatch.delattr(systems.linalg, "splu")
    for found, expected in zip(solve(), usual, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-11])
def test_discounts_close_to_one_have_a_value(gap: float) -> None:
    """To stay pays 1 or 2, and to swap costs 5: once, to be where 2 is paid for ever."""
    mdp = MDP(np.eye(2)[[[0, 1], [1, 0]]], [1.0, 0.0], discount=1.0 - gap)
    gap = 1.0 - mdp.discount
    plan = planning.value_iteration(mdp, [[1.0, -5.0], [2.0, -5.0]])
    np.testing.assert_allclose(plan.v, [-5.0 + mdp.discount * 2.0 / gap, 2.0 / gap], rtol=1e-14)
    np.testing.assert_array_equal(plan.policy, [[0.0, 1.0], [1.0, 0.0]])
    reward = np.log([[1.0, 2.0], [3.0, 4.0]])
    soft = planning.soft_value_iteration(mdp, reward)
    gain = np.log(5.0)  # where the gap is 0: the spectral radius of exp(r) is 5
    np.testing.assert_allclose(soft.v * gap, gain, rtol=2.0 * gap + 2.3e-16 / gap)


@pytest.mark.parametrize("temperature", [1e9, 1e13])
def test_high_temperatures_have_a_value(temperature: float) -> None:
    world = worlds.gridworld(5, discount=0.9)
    plan = planning.soft_value_iteration(world.mdp, world.reward, temperature)
    np.testing.assert_allclose(plan.v, 10.0 * temperature * np.log(4.0), rtol=1e-7)
    np.testing.assert_allclose(plan.policy, 0.25, rtol=1e-7)
    two_ways = MDP(np.eye(3)[[[1, 1], [2, 2], [2, 2]]], [1.0, 0.0, 0.0])
    plan = planning.soft_value_iteration(two_ways, np.zeros((3, 2)), temperature)
    np.testing.assert_allclose(plan.v, temperature * np.log(2.0) * np.array([2.0, 1.0, 0.0]))


def small_episodes(rng: np.random.Generator, most_outcomes: int) -> Array:
    """``(S, A, S)``: states that can all reach the last one, and loops of all kinds."""
    while True:
        n_states, n_actions = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        transitions = np.zeros((n_states, n_actions, n_states))
        for s, a in itertools.product(range(n_states - 1), range(n_actions)):
            size = min(int(rng.integers(1, most_outcomes + 1)), n_states)
            targets = rng.choice(n_states, size=size, replace=False)
            transitions[s, a, targets] = rng.dirichlet(np.ones(size))
        transitions[-1, :, -1] = 1.0
        stays = transitions.diagonal(axis1=0, axis2=2).min(axis=0) == 1.0
        leads = np.linalg.matrix_power(transitions.sum(axis=1) + np.eye(n_states), n_states)
        if stays.sum() == 1 and (leads[:, -1] > 0.0).all():
            return transitions


def best_by_brute_force(transitions: Array, reward: Array) -> tuple[Array, float]:
    """The best value of all policies that end, and the largest gain of all that go round."""
    n = len(reward)
    best, gain = np.full(n, -np.inf), -np.inf
    for policy in deterministic_policies(n, reward.shape[1]):
        chain = np.einsum("sa,sat->st", policy, transitions)
        pays = (policy * reward).sum(axis=1)
        leads = np.linalg.matrix_power((chain > 0.0) + np.eye(n), n) > 0.0
        if leads[:, -1].all():
            inner = np.eye(n - 1) - chain[:-1, :-1]
            best = np.maximum(best, np.r_[np.linalg.solve(inner, pays[:-1]), 0.0])
        for s in np.flatnonzero(~leads[:, -1]):
            group = np.flatnonzero(leads[s])
            if leads[np.ix_(group, group)].all():
                size = group.size
                system = np.r_[chain[np.ix_(group, group)].T - np.eye(size), np.ones((1, size))]
                share = np.linalg.lstsq(system, np.eye(size + 1)[-1], rcond=None)[0]
                gain = max(gain, float(share @ pays[group]))
    return best, gain


@pytest.mark.parametrize("seed", range(150))
def test_going_round_for_a_gain_has_no_value_and_for_a_loss_it_has(seed: int) -> None:
    """Half of the problems are near misses: the best round trip gains or costs 1e-2 to 1e-10."""
    rng = np.random.default_rng(seed)
    transitions = small_episodes(rng, 1 + 2 * (seed % 2))
    shape, size = transitions.shape[:2], 10.0 ** rng.integers(-9, 9)
    whole = rng.integers(-2, 2, shape).astype(np.float64)
    reward = size * (whole if seed % 3 == 0 else rng.normal(size=shape) - rng.integers(2))
    reward[-1] = 0.0
    best, gain = best_by_brute_force(transitions, reward)
    if np.isfinite(gain) and seed % 4 > 1:
        reward[:-1] -= gain - size * rng.choice([-1.0, 1.0]) * 10.0 ** rng.integers(-10, -1)
        best, gain = best_by_brute_force(transitions, reward)
    mdp, scale = MDP(transitions, np.eye(len(reward))[0]), np.abs(reward).max()
    if gain > 1e-12 * scale:
        with pytest.raises(planning.DivergenceError, match="going on for ever gains"):
            planning.value_iteration(mdp, reward)
        return
    plan = planning.value_iteration(mdp, reward)
    scale = max(scale, np.abs(best).max())
    np.testing.assert_allclose(plan.v, best, atol=1e-11 * scale)
    own = planning.policy_value(mdp, plan.policy, reward)
    np.testing.assert_allclose(own, best, atol=1e-11 * scale)


@pytest.mark.parametrize("seed", range(150))
def test_near_misses_of_a_soft_value(seed: int) -> None:
    """Sure steps: it exists if the spectral radius of exp(r / temperature) is below 1."""
    rng = np.random.default_rng(seed)
    transitions = small_episodes(rng, 1)
    n, temperature = len(transitions), 10.0 ** rng.uniform(-2.0, 6.0)
    logs = rng.normal(size=transitions.shape[:2]) * rng.choice([0.1, 1.0, 5.0])
    distance = rng.choice([-1.0, 1.0]) * 10.0 ** -rng.integers(1, 10)

    def kernel(logs: Array) -> Array:
        return np.einsum("sa,sat->st", np.exp(logs), transitions)[:-1]

    for _ in range(3):
        radius = np.abs(np.linalg.eigvals(kernel(logs)[:, :-1])).max()
        if radius < 1e-6:  # no way back at all, up to rounding
            radius, distance = 1.0, -0.5
        logs[:-1] -= np.log(radius / (1.0 + distance))
    logs[-1] = 0.0
    mdp = MDP(transitions, np.eye(n)[0])
    if distance > 0.0:
        with pytest.raises(planning.DivergenceError, match="soft value does not converge"):
            planning.soft_value_iteration(mdp, temperature * logs, temperature)
        return
    plan = planning.soft_value_iteration(mdp, temperature * logs, temperature)
    z = np.linalg.solve(np.eye(n - 1) - kernel(logs)[:, :-1], kernel(logs)[:, -1])
    error = np.abs(plan.v[:-1] / temperature - np.log(z)).max()
    assert error < 1e-9 + 1e-13 / abs(distance)


@pytest.mark.parametrize("way_out", [0.0, -5.0, -500.0])
@pytest.mark.parametrize("chances", [1, 2])
def test_a_round_trip_that_just_breaks_even_has_no_soft_value(way_out: float, chances: int) -> None:
    """Spectral radius exactly 1; a hair below it there is a value, in closed form."""
    targets = np.zeros((2, chances + 1), dtype=int)
    targets[0, -1] = targets[1] = 1
    mdp = MDP(np.eye(2)[targets], [1.0, 0.0])
    reward = np.zeros((2, chances + 1))
    reward[0] = -np.log(chances)
    reward[0, -1] = way_out
    with pytest.raises(planning.DivergenceError, match="soft value does not converge"):
        planning.soft_value_iteration(mdp, reward)
    for loss in (1e-2, 1e-6, 1e-9):
        costs = reward - loss * (targets == 0) * [[1.0], [0.0]]
        v = planning.soft_value_iteration(mdp, costs).v[0]
        np.testing.assert_allclose(v, way_out - np.log(-np.expm1(-loss)), atol=1e-13 / loss + 1e-9)


# --- ties -------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [None, 1, 30])
@pytest.mark.parametrize("discount", [0.9, 0.99, 0.999])
def test_small_differences_between_actions_count(discount: float, horizon: int | None) -> None:
    """Relative to what is compared, whatever its scale, and in the same MDP."""
    reward = np.array([[0.0, 1e-13], [1e6, 1e6 + 1e-4], [-1e-20, -2e-20], [0.3, 0.1 + 0.2]])
    stay = np.repeat(np.eye(4)[:, None], 2, axis=1)
    for states in ([0], [1], [0, 1, 2, 3]):
        transitions = stay[np.ix_(states, [0, 1], states)]
        mdp = MDP(transitions, np.eye(len(states))[0], discount, horizon)
        plan = planning.value_iteration(mdp, reward[states])
        first = plan.policy if horizon is None else plan.policy[0]
        np.testing.assert_array_equal(first, np.eye(2)[[[1, 1, 0, 0][s] for s in states]])
        v = plan.v if horizon is None else plan.v[0]
        np.testing.assert_allclose(v, reward[states].max(axis=1) * mdp.mass, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("discount", [0.9, 0.999, 1.0])
def test_ways_that_are_equal_but_for_rounding_are_tied(scale: float, discount: float) -> None:
    """A map with the symmetries of a square, and rewards to match: so has the set of choices."""
    side = 9
    world = worlds.gridworld(side, slip=0.3, discount=discount, goals=[(4, 4)])
    pay = np.random.default_rng(0).uniform(-2.0, -1.0, (side, side))
    pay = pay + pay.T
    pay = pay + pay[::-1]
    pay = scale * (pay + pay[:, ::-1]).reshape(-1, 1)
    reward = np.repeat(pay, 4, axis=1) * ~world.mdp.absorbing[:, None]
    plan = planning.value_iteration(world.mdp, reward)
    q = plan.q[plan.policy.argmax(axis=1) == 0].reshape(-1, 4)
    first = plan.policy.argmax(axis=1)
    near = plan.q >= plan.q.max(axis=1, keepdims=True) * (1.0 + 1e-13)
    assert q.size
    np.testing.assert_array_equal(first, near.argmax(axis=1))
    corner_ties = near.reshape(side, side, 4)[0, 0].sum()
    assert corner_ties == 2


# --- doors ------------------------------------------------------------------------------------


def test_a_backup_checks_what_it_is_given() -> None:
    mdp = worlds.two_goal().mdp
    reward, v = np.zeros((4, 2)), np.zeros(4)
    with pytest.raises(ValueError, match=r"reward has shape \(2, 3\); expected \(4, 2\)"):
        planning.soft_backup(mdp, np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ValueError, match=r"v has shape \(3,\); expected \(4,\)"):
        planning.soft_backup(mdp, reward, np.zeros(3))
    with pytest.raises(ValueError, match=r"temperature is -1.0; expected"):
        planning.soft_backup(mdp, reward, v, -1.0)
    with pytest.raises(ValueError, match=r"workers is 0; expected"):
        planning.soft_backup(mdp, reward, v, workers=0)
    q, _ = planning.soft_backup(mdp, reward.astype(int), [1, 2, 3, 4])
    np.testing.assert_allclose(q, mdp.discount * mdp.expect(np.arange(1.0, 5.0)))


def test_plans_of_other_mdps_are_refused() -> None:
    world, other = worlds.gridworld(3, horizon=4), worlds.gridworld(4, horizon=4)
    plan = planning.trajectory_posterior(other.mdp, other.reward)
    longer = planning.trajectory_posterior(worlds.gridworld(3, horizon=5).mdp, world.reward)
    posterior = planning.trajectory_posterior(world.mdp, world.reward)
    for wrong in (plan, longer):
        for refused in (
            lambda: planning.log_partition(world.mdp, wrong),  # noqa: B023
            lambda: planning.trajectory_occupancy(world.mdp, wrong),  # noqa: B023
            lambda: planning.occupancy_derivative(world.mdp, wrong, world.reward),  # noqa: B023
            lambda: planning.trajectory_occupancy_derivative(world.mdp, wrong, world.reward),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=r"plan.policy has shape \(.*\); expected \(4, 9"):
                refused()
    halved = posterior._replace(v=posterior.v[1:])
    with pytest.raises(ValueError, match=r"plan.v has shape \(4, 9\); expected \(5, 9\)"):
        planning.log_partition(world.mdp, halved)
