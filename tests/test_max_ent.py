"""Maximum entropy: its gradient, its optimum, and what it says where there is none."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from irl_lib import demonstrations, max_ent, planning, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.max_ent import MaxEntResult
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array
from irl_lib.worlds.base import World
from strategies import Problem, problems, slope

METHODS = ["l-bfgs", "newton-cg"]


def solve(*args: Any, **kwargs: Any) -> MaxEntResult:
    """The solution, with every warning an error."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        return max_ent.max_ent(*args, **kwargs)


def fails_to_solve(message: str, *args: Any, **kwargs: Any) -> MaxEntResult:
    """What is returned where there is no solution: finite, not converged, explained, warned of."""
    with pytest.warns(RuntimeWarning, match=message), np.errstate(all="raise", under="ignore"):
        found = max_ent.max_ent(*args, **kwargs)
    assert not found.converged
    finite = (found.weights, found.reward, found.policy, found.gradient_norm)
    assert all(np.isfinite(array).all() for array in (*finite, *found.history.values()))
    return found


def shown(mdp: MDP, reward: Array, causal: bool = True) -> Array:
    """The exact occupancy of a soft-optimal expert."""
    if causal:
        return planning.occupancy(mdp, planning.soft_value_iteration(mdp, reward).policy)
    return planning.trajectory_occupancy(mdp, planning.trajectory_posterior(mdp, reward))


# --- the gradient -----------------------------------------------------------------------------


@settings(max_examples=200)
@given(problems(), st.sampled_from([0.0, 0.3]))
def test_the_gradient_is_that_of_the_objective(problem: Problem, l2: float) -> None:
    """T1, relative to the larger of one and the mass: values and rounding grow with it."""
    mdp = problem.mdp
    expert = planning.feature_expectations(mdp, problem.policy(), problem.features)
    w = problem.weights
    direction = problem.rng.normal(size=w.size) / (10.0 if mdp.episodic else 1.0)
    for causal in (True, False)[: 1 + (mdp.horizon is not None)]:

        def value(step: float, causal: bool = causal) -> float:
            weights = w + step * direction
            return max_ent.objective(
                mdp, problem.features, expert, weights, causal=causal, l2=l2
            ).value

        gradient = max_ent.objective(
            mdp, problem.features, expert, w, causal=causal, l2=l2
        ).gradient
        scale = max(1.0, float(shown(mdp, problem.reward, causal).sum()))
        assert slope(value, gradient @ direction, scale, 1e-9) < 1e-8


@settings(max_examples=200)
@given(problems())
def test_the_gradient_vanishes_at_the_truth(problem: Problem) -> None:
    """T2: with the exact occupancy of the soft-optimal expert, up to rounding."""
    mdp = problem.mdp
    for causal in (True, False)[: 1 + (mdp.horizon is not None)]:
        expert = shown(mdp, problem.reward, causal)
        at_truth = max_ent.objective(mdp, problem.features, expert, problem.weights, causal=causal)
        assert np.linalg.norm(at_truth.gradient) < 1e-12 * max(100.0, float(expert.sum()))


@settings(max_examples=60)
@given(problems())
def test_the_objective_is_concave(problem: Problem) -> None:
    """Along a line through the truth, which is therefore the maximum for its own expert."""
    mdp = problem.mdp
    direction = problem.rng.normal(size=problem.weights.size) / (10.0 if mdp.episodic else 1.0)
    for causal in (True, False)[: 1 + (mdp.horizon is not None)]:
        expert = shown(mdp, problem.reward, causal)
        here, there, middle = (
            max_ent.objective(
                mdp, problem.features, expert, problem.weights + step * direction, causal=causal
            ).value
            for step in (0.0, 1.0, 0.5)
        )
        room = 1e-11 * max(1.0, float(expert.sum()))
        assert here >= there - room
        assert middle >= 0.5 * (here + there) - room


@settings(max_examples=60)
@given(problems(max_states=4, finite=True))
def test_the_posterior_gradient_of_sampled_data_is_a_feature_gap(problem: Problem) -> None:
    mdp, w = problem.mdp, problem.weights
    demos = demonstrations.sample(mdp, problem.policy(), 5, problem.rng)
    found = max_ent.objective(mdp, problem.features, demos, w, causal=False, l2=0.5)
    mu = demos.feature_expectations(mdp, problem.features)
    own = np.einsum("sa,sak->k", shown(mdp, problem.reward, causal=False), problem.phi)
    np.testing.assert_allclose(found.gradient, mu - own - 0.5 * w, atol=1e-11 * max(1.0, mdp.mass))


# --- the optimum ------------------------------------------------------------------------------


@settings(max_examples=100)
@given(problems(discounts=(0.7, 0.9, 1.0)), st.sampled_from(METHODS))
def test_soft_experts_are_recovered_and_nothing_is_flagged(problem: Problem, method: str) -> None:
    mdp = problem.mdp
    start = problem.weights.copy() if mdp.episodic else None
    if start is not None:
        start[0] += 1.0
    for causal in (True, False)[: 1 + (mdp.horizon is not None)]:
        expert = shown(mdp, problem.reward, causal)
        found = solve(
            mdp, problem.features, expert, causal=causal, method=method, initial_weights=start
        )
        assert found.converged
        assert found.gradient_norm <= 1e-6
        again = shown(mdp, found.reward, causal)
        gap = np.einsum("sa,sak->k", again - expert, problem.phi)
        assert np.linalg.norm(gap) <= 1.1e-6
        np.testing.assert_allclose(found.reward, problem.phi @ found.weights, atol=1e-12)


@settings(max_examples=100)
@given(problems(discounts=(0.7, 0.9, 1.0), finite=True), st.sampled_from(METHODS))
def test_varied_demonstrations_are_not_flagged(problem: Problem, method: str) -> None:
    """Every action is seen in every state at every time: the optimum is finite."""
    mdp = problem.mdp
    assume(mdp.n_states * mdp.n_actions <= 12)
    uniform = np.full((mdp.n_states, mdp.n_actions), 1.0 / mdp.n_actions)
    mixed = 0.5 * planning.occupancy(mdp, uniform) + 0.5 * planning.occupancy(mdp, problem.policy())
    assert solve(mdp, problem.features, mixed, method=method).converged


def test_weights_are_recovered_to_the_digit() -> None:
    for horizon in (None, 12):
        world = worlds.gridworld(5, seed=1, horizon=horizon)
        expert = shown(world.mdp, world.reward)
        for method in METHODS:
            found = solve(world.mdp, world.features, expert, method=method, tolerance=1e-9)
            np.testing.assert_allclose(found.weights, world.weights, atol=1e-7)
            policy = planning.soft_value_iteration(world.mdp, world.reward).policy
            np.testing.assert_allclose(found.policy, policy, atol=1e-7)


def test_gradient_ascent_reaches_the_same_optimum() -> None:
    world = worlds.gridworld(3, seed=1, horizon=5, n_features=2)
    expert = shown(world.mdp, world.reward)
    found = solve(
        world.mdp, world.features, expert, method="gradient-ascent", max_iterations=20_000
    )
    np.testing.assert_allclose(found.weights, world.weights, atol=1e-4)
    assert (np.diff(found.history["objective"]) > -1e-12).all()


def test_the_history_has_a_row_per_iteration() -> None:
    world = worlds.gridworld(4, seed=1, horizon=6)
    for method in METHODS:
        found = solve(world.mdp, world.features, shown(world.mdp, world.reward), method=method)
        lengths = {len(column) for column in found.history.values()}
        assert set(found.history) == {"objective", "gradient_norm", "weight_norm"}
        assert lengths.pop() > 3
        assert not lengths
        assert found.history["gradient_norm"][-1] == found.gradient_norm


def test_more_demonstrations_come_closer() -> None:
    world = worlds.gridworld(4, seed=1, horizon=8, n_features=3)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    errors = []
    for n in (30, 3_000):
        demos = demonstrations.sample(world.mdp, policy, n, np.random.default_rng(0))
        errors.append(
            np.linalg.norm(solve(world.mdp, world.features, demos).weights - world.weights)
        )
    assert errors[1] < 0.4 * errors[0]


def test_regularisation_shrinks() -> None:
    world = worlds.gridworld(4, seed=1, horizon=8, n_features=3)
    expert = shown(world.mdp, world.reward)
    norms = [
        np.linalg.norm(solve(world.mdp, world.features, expert, l2=l2).weights)
        for l2 in (0.0, 0.1, 10.0)
    ]
    assert norms[0] > norms[1] > norms[2] > 0.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("causal", [True, False])
def test_redundant_features_have_a_finite_optimum(method: str, causal: bool) -> None:
    """A constant feature and a copy of another: flat directions, but no way to infinity."""
    world = worlds.gridworld(4, seed=1, horizon=6, n_features=2)
    copies = np.concatenate([world.features, world.features[..., :1], np.ones((16, 4, 1))], axis=2)
    expert = shown(world.mdp, world.reward, causal)
    found = solve(world.mdp, copies, expert, causal=causal, method=method)
    assert found.converged
    zero = np.zeros((16, 4, 1))
    found = solve(world.mdp, np.concatenate([world.features, zero], axis=2), expert, causal=causal)
    assert found.converged


@pytest.mark.parametrize("method", max_ent.METHODS)
@pytest.mark.parametrize("l2", [0.0, 1.0])
@pytest.mark.parametrize("horizon", [None, 6])
def test_features_that_do_not_vary_get_no_weight(
    method: str, l2: float, horizon: int | None
) -> None:
    """A constant one, nothing at all, and the differences of a potential."""
    world = worlds.gridworld(4, seed=1, discount=0.9, horizon=horizon, slip=0.2)
    expert = shown(world.mdp, world.reward)
    constant, potential = np.ones((16, 4, 1)), np.linspace(-3.0, 5.0, 16)
    shaping = potential[:, None] - 0.9 * world.mdp.expect(potential)
    flat = [constant, 1e3 * constant, 0.0 * constant, np.dstack([constant, -constant, constant])]
    if horizon is None:
        flat += [shaping[..., None], np.dstack([shaping, constant])]
    for features in flat:
        found = solve(world.mdp, features, expert, l2=l2, method=method)
        assert found.converged
        np.testing.assert_allclose(found.weights, 0.0, atol=1e-6)


@pytest.mark.parametrize("seed", range(16))
def test_directions_in_which_all_policies_are_alike_stay_where_they_were(seed: int) -> None:
    """Beside features that matter: the policy is right, and their weights stay small."""
    world, _, rng = drawn(3 * seed)
    mdp, k = world.mdp, world.features.shape[2]
    potential = rng.normal(size=mdp.n_states)
    shaping = potential[:, None] - mdp.discount * mdp.expect(potential)
    parts = [world.features, np.full((*shaping.shape, 1), rng.normal()), shaping[..., None]]
    mixed = np.concatenate(parts, axis=2) @ (np.eye(k + 2) + 0.3 * rng.normal(size=(k + 2, k + 2)))
    expert = shown(mdp, world.features @ rng.normal(size=k))
    found = solve(mdp, mixed, expert, method=METHODS[seed % 2])
    np.testing.assert_allclose(shown(mdp, found.reward), expert, atol=1e-5)
    assert np.abs(found.weights).max() < 1e2


def test_terminated_flags_and_explicit_absorbing_states_agree() -> None:
    """T7: the same occupancy, gradient, objective and policy."""
    world = worlds.random_mdp(5, 2, 3, 7, discount=0.8, horizon=6, n_absorbing=1)
    features = world.features.copy()
    features[-1] = np.random.default_rng(0).normal(size=3)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    full = demonstrations.sample(world.mdp, policy, 200, np.random.default_rng(3))
    ends = [int(np.argmax(s == 4)) if (s == 4).any() else None for s in full.states]
    cut = Demonstrations(
        [s if end is None else s[: end + 1] for s, end in zip(full.states, ends, strict=True)],
        [a if end is None else a[:end] for a, end in zip(full.actions, ends, strict=True)],
        [end is not None for end in ends],
    )
    assert 20 < cut.terminated.sum() < 200
    # What is done in an absorbing state says nothing: the explicit data hold every action of it.
    every = [both_actions_after(a, end) for a, end in zip(full.actions, ends, strict=True)]
    explicit = Demonstrations(
        [s for s in full.states for _ in range(2)], [a for pair in every for a in pair]
    )
    x, y = explicit.occupancy(world.mdp), cut.occupancy(world.mdp)
    np.testing.assert_allclose(x, y, atol=1e-13)
    first, second = (
        max_ent.objective(world.mdp, features, demos, world.weights) for demos in (explicit, cut)
    )
    assert first.value == pytest.approx(second.value, abs=1e-12)
    np.testing.assert_allclose(first.gradient, second.gradient, atol=1e-12)
    found = [solve(world.mdp, features, demos, l2=0.01) for demos in (explicit, cut)]
    np.testing.assert_allclose(found[0].policy, found[1].policy, atol=1e-6)


def both_actions_after(actions: Array, end: int | None) -> list[Array]:
    """Twice the trajectory's actions, after the end once all 0 and once all 1."""
    if end is None:
        return [actions, actions]
    rest = len(actions) - end
    return [np.r_[actions[:end], np.full(rest, a)].astype(np.int64) for a in range(2)]


def test_steps_after_the_end_of_an_episode_do_not_count() -> None:
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0, slip=0.0)
    short = Demonstrations([[0, 1, 2, 5, 8]], [[0, 0, 1, 1]], terminated=True)
    long = Demonstrations([[0, 1, 2, 5, 8, 8, 8]], [[0, 0, 1, 1, 3, 2]])
    np.testing.assert_array_equal(short.occupancy(world.mdp), long.occupancy(world.mdp))


# --- no optimum -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("causal", [True, False])
def test_deterministic_demonstrations_have_no_finite_optimum(method: str, causal: bool) -> None:
    world = worlds.gridworld(4, seed=1, horizon=6, slip=0.0)
    one_hot = np.eye(64).reshape(16, 4, 64)
    hard = planning.value_iteration(world.mdp, world.reward).policy
    demos = demonstrations.sample(world.mdp, hard, 50, np.random.default_rng(0))
    message = "no finite weights are optimal: the expert's features are at the edge"
    fails_to_solve(message, world.mdp, one_hot, demos, causal=causal, method=method)
    assert solve(world.mdp, one_hot, demos, causal=causal, method=method, l2=0.1).converged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("horizon", [None, 6])
def test_a_feature_that_nothing_reaches_has_no_finite_optimum(
    method: str, horizon: int | None
) -> None:
    world = worlds.gridworld(4, seed=1, horizon=horizon, n_features=2)
    expert = planning.feature_expectations(
        world.mdp, np.full((16, 4), 0.25), world.features
    ) + np.array([50.0, 0.0])
    message = "no finite weights are optimal: the expert's features are at the edge"
    found = fails_to_solve(message, world.mdp, world.features, expert, method=method)
    assert "feature 0" in found.message
    assert "use l2 > 0" in found.message
    assert solve(world.mdp, world.features, expert, method=method, l2=1.0).converged


@pytest.mark.parametrize("method", METHODS)
def test_an_expert_that_never_fails_in_an_episode_has_no_finite_optimum(method: str) -> None:
    """The shortest way, always: in an episodic grid the cost of a step grows without end."""
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0, slip=0.0, features=np.ones((9, 1)))
    expert = planning.occupancy(
        world.mdp, planning.value_iteration(world.mdp, -world.features[..., 0]).policy
    )
    message = "no finite weights are optimal"
    fails_to_solve(
        message, world.mdp, world.features, expert, method=method, initial_weights=[-3.0]
    )


def test_what_is_found_in_episodes_with_slip_is_no_edge() -> None:
    """The worst policy there takes almost for ever, and is no measure of how close the best is."""
    for size, slip in [(3, 0.1), (3, 0.3), (5, 0.2), (5, 0.3), (8, 0.5)]:
        world = one_cost(size, slip)
        expert = shown(world.mdp, world.reward)
        for first in (-2.0, -3.0):
            found = solve(world.mdp, world.features, expert, initial_weights=[first])
            assert found.converged
            np.testing.assert_allclose(found.weights, -2.5, atol=1e-4)
    world = one_cost(5, 0.3)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    for seed in range(3):
        demos = demonstrations.sample(world.mdp, policy, 3_000, np.random.default_rng(seed))
        found = solve(world.mdp, world.features, demos, initial_weights=[-3.0])
        np.testing.assert_allclose(found.weights, -2.5, atol=0.1)
        assert found.objective == "dual"


def one_cost(size: int, slip: float) -> World:
    """A grid to leave at a corner, where each step costs 2.5."""
    return worlds.gridworld(
        size,
        slip=slip,
        discount=1.0,
        goals=[(size - 1, size - 1)],
        features=np.ones((size**2, 1)),
        weights=[-2.5],
    )


def drawn(seed: int) -> tuple[World, Array, np.random.Generator]:
    """A world of any kind, features ``(S, A, K)``, and weights to start from."""
    rng = np.random.default_rng(seed)
    kind, k = seed % 3, 1 + seed // 3 % 4
    discount, horizon = [(0.9, None), (1.0, 5), (1.0, None)][kind]
    states, actions = rng.integers(3, 8), rng.integers(2, 4)
    world = worlds.random_mdp(
        int(states), int(actions), k, seed, discount, horizon, n_absorbing=int(kind == 2)
    )
    features, start = world.features, np.zeros(k)
    if kind == 2:  # every step costs
        features = -(0.1 + np.abs(features)) * ~world.mdp.absorbing[:, None, None]
        features[..., 0] = -1.0 * ~world.mdp.absorbing[:, None]
        start[0] = 3.0
    return world._replace(features=features), start, rng


@pytest.mark.parametrize("seed", range(36))
def test_experts_at_the_edge_are_told_from_those_near_it(seed: int) -> None:
    """At the edge: the best for some reward.  Near it: the soft-optimal for large weights."""
    world, start, rng = drawn(seed)
    mdp, features = world.mdp, world.features
    method = METHODS[seed // 3 % 2]
    weights = rng.normal(size=start.size)
    weights = np.abs(weights) + 0.1 if mdp.episodic else weights
    best = planning.value_iteration(mdp, features @ weights)
    v = best.v if mdp.horizon is None else best.v[:-1]
    ties = (best.q >= v[..., None] - 1e-9) * rng.uniform(0.1, 1.0, best.q.shape)
    expert = planning.occupancy(mdp, ties / ties.sum(axis=-1, keepdims=True))
    uniform = planning.occupancy(mdp, np.full(features.shape[:2], 1.0 / features.shape[1]))
    given = (mdp, features, expert)
    if np.einsum("sa,sak->k", expert - uniform, features) @ weights > 1e-9:
        message = "no finite weights are optimal"
        fails_to_solve(message, *given, method=method, initial_weights=start)
    bold = 4.0 * weights / np.abs(weights).max()
    if mdp.episodic:
        bold[0] = max(bold[0], 2.0)
    near = shown(mdp, features @ bold)
    found = solve(mdp, features, near, method=method, initial_weights=start)
    assert found.converged


def test_too_few_iterations_are_admitted() -> None:
    world = worlds.gridworld(4, seed=1, horizon=6)
    expert = shown(world.mdp, world.reward)
    for method in max_ent.METHODS:
        message = "stopped after 2 iterations at gradient norm .*, above the tolerance 1e-09"
        found = fails_to_solve(
            message,
            world.mdp,
            world.features,
            expert,
            method=method,
            tolerance=1e-9,
            max_iterations=2,
        )
        assert found.gradient_norm > 1e-9


# --- episodes without a horizon ---------------------------------------------------------------


def wandering() -> tuple[MDP, Array, Array]:
    """A grid to leave at a corner, each step at a cost, and an expert in it."""
    features = np.stack([-np.ones(16), np.arange(16) % 3 == 0], axis=1)
    world = worlds.gridworld(
        4, slip=0.0, goals=[(3, 3)], discount=1.0, features=features, weights=[2.5, -0.5]
    )
    return world.mdp, world.features, shown(world.mdp, world.reward)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [1.7, 2.5, 8.0, 15.0])
def test_line_searches_come_back_from_weights_without_value(method: str, first: float) -> None:
    mdp, features, expert = wandering()
    found = solve(mdp, features, expert, method=method, initial_weights=[first, 0.0])
    np.testing.assert_allclose(found.weights, [2.5, -0.5], atol=1e-4)


def test_l_bfgs_comes_back_by_itself_from_far_away() -> None:
    """So far out that the Newton steps which finish its work could not do all of it."""
    mdp, features, expert = wandering()
    found = solve(mdp, features, expert, initial_weights=[40.0, 0.0])
    np.testing.assert_allclose(found.weights, [2.5, -0.5], atol=1e-4)


def test_gradient_ascent_stops_before_weights_without_value() -> None:
    mdp, features, expert = wandering()
    found = fails_to_solve(
        "stopped after",
        mdp,
        features,
        expert,
        method="gradient-ascent",
        initial_weights=[8.0, 0.0],
        learning_rate=100.0,
    )
    assert found.weights[0] == 8.0


@pytest.mark.parametrize("start", [None, [0.5, 0.0]])
def test_a_start_without_value_is_an_error(start: object) -> None:
    mdp, features, expert = wandering()
    which = "None, so zero" if start is None else r"\[0.5, 0.0\]"
    with pytest.raises(ValueError, match=f"initial_weights is {which}, for which no finite soft"):
        max_ent.max_ent(mdp, features, expert, initial_weights=start)


def test_features_after_the_end_are_refused() -> None:
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0)
    cancelling = np.zeros((9, 4, 1))
    cancelling[8, 0], cancelling[8, 1] = 1.0, -1.0
    with pytest.raises(ValueError, match="features is not 0 in an absorbing state"):
        max_ent.max_ent(world.mdp, cancelling, np.zeros((9, 4)))


# --- what was cut -----------------------------------------------------------------------------


def cut(demos: Demonstrations, rng: np.random.Generator, most: int) -> Demonstrations:
    """Each trajectory until some step of the first ``most``, or its end."""
    ends = [
        min(len(a), int(n))
        for a, n in zip(demos.actions, rng.integers(1, most + 1, len(demos)), strict=True)
    ]
    return Demonstrations(
        [s[: n + 1] for s, n in zip(demos.states, ends, strict=True)],
        [a[:n] for a, n in zip(demos.actions, ends, strict=True)],
        [
            bool(e) and n == len(a)
            for e, n, a in zip(demos.terminated, ends, demos.actions, strict=True)
        ],
    )


def log_likelihood(mdp: MDP, reward: Array, demos: Demonstrations) -> float:
    """The mean over trajectories of the discounted sum of log pi, from its definition."""
    policy, step = planning.soft_value_iteration(mdp, reward).policy, demos.steps()
    at = (step.time,) * (policy.ndim == 3) + (step.state, step.action)
    return float(np.sum(mdp.discount**step.time * np.log(policy[at])) / len(demos))


@settings(max_examples=50)
@given(problems(discounts=(0.7, 0.9, 1.0)), st.sampled_from([0.0, 0.3]))
def test_the_likelihood_is_that_of_the_actions_and_its_gradient_fits(
    problem: Problem, l2: float
) -> None:
    mdp, w, features = problem.mdp, problem.weights, problem.features
    demos = cut(demonstrations.sample(mdp, problem.policy(), 5, problem.rng), problem.rng, 4)
    direction = problem.rng.normal(size=w.size) / (10.0 if mdp.episodic else 1.0)

    def value(step: float) -> float:
        at = w + step * direction
        found = max_ent.objective(mdp, features, demos, at, l2=l2, objective="likelihood")
        own = log_likelihood(mdp, problem.phi @ at, demos) - 0.5 * l2 * at @ at
        assert found.value == pytest.approx(own, abs=1e-9 * max(1.0, abs(own)))
        return found.value

    found = max_ent.objective(mdp, features, demos, w, l2=l2, objective="likelihood")
    assert slope(value, found.gradient @ direction, max(1.0, abs(found.value)), 1e-9) < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_trajectories_of_different_lengths_are_fitted_by_their_actions(method: str) -> None:
    """Logs of 5 to 39 steps, which lose what no occupancy can do without."""
    world = worlds.gridworld(5, seed=1)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    rng = np.random.default_rng(0)
    demos = cut(demonstrations.sample(world.mdp, policy, 2_000, rng, 39), rng, 39)
    found = solve(world.mdp, world.features, demos, method=method)
    assert found.objective == "likelihood"
    np.testing.assert_allclose(found.weights, world.weights, atol=0.15)
    hard = planning.value_iteration(world.mdp, found.reward).policy
    for fitted, alpha in ((found.policy, 1.0), (hard, 0.0)):
        plan = planning.soft_value_iteration if alpha else planning.value_iteration
        own = planning.policy_value(world.mdp, fitted, world.reward, alpha)
        assert world.mdp.initial @ (plan(world.mdp, world.reward).v - own) < 0.05
    with pytest.warns(UserWarning, match="pass the demonstrations themselves to max_ent"):
        demos.feature_expectations(world.mdp, world.features)
    with pytest.raises(ValueError, match="objective='likelihood'"):
        max_ent.max_ent(world.mdp, world.features, demos, objective="dual")


def test_episodes_that_were_cut_are_not_taken_for_whole() -> None:
    world = one_cost(5, 0.0)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    demos = demonstrations.sample(world.mdp, policy, 2_000, np.random.default_rng(0), length=6)
    assert 300 < demos.truncated.sum() < 500
    found = solve(world.mdp, world.features, demos, initial_weights=[-3.0])
    assert found.objective == "likelihood"
    np.testing.assert_allclose(found.weights, -2.5, atol=0.1)
    with pytest.raises(ValueError, match="demos has 394 of 2000 episodes truncated before their e"):
        max_ent.max_ent(world.mdp, world.features, demos, initial_weights=[-3.0], objective="dual")


@pytest.mark.parametrize("seed", range(24))
def test_the_likelihood_of_what_was_cut_has_one_optimum_in_practice(seed: int) -> None:
    """From wherever the climb starts, and by whichever method; or it has none, and says so."""
    world, start, rng = drawn(seed)
    mdp, weights = world.mdp, rng.normal(size=start.size)
    if mdp.episodic:
        weights = np.r_[2.0, 0.5 * np.abs(weights[1:])]
    policy = planning.soft_value_iteration(mdp, world.features @ weights).policy
    whole = demonstrations.sample(mdp, policy, 100, rng, mdp.horizon or 12)
    demos = cut(whole, rng, mdp.horizon or 12)
    elsewhere = start + 0.5 * rng.normal(size=start.size) * (np.arange(start.size) > 0)
    found = [
        solve(
            mdp,
            world.features,
            demos,
            method=method,
            initial_weights=first,
            objective="likelihood",
            tolerance=1e-7,
        )
        for method in METHODS
        for first in (start, elsewhere)
    ]
    values = [each.history["objective"][-1] for each in found]
    assert np.ptp(values) < 1e-9 * max(1.0, -values[0])


def test_actions_that_are_best_for_some_reward_have_no_finite_likelihood() -> None:
    world = worlds.gridworld(4, seed=1, slip=0.0)
    policy = planning.value_iteration(world.mdp, world.reward).policy
    demos = demonstrations.sample(world.mdp, policy, 20, np.random.default_rng(0), length=5)
    message = "no finite weights are optimal: a reward in .* makes every action that was shown"
    fails_to_solve(message, world.mdp, world.features, demos)
    assert solve(world.mdp, world.features, demos, l2=0.1).converged


def test_both_objectives_agree_for_the_occupancy_of_a_policy() -> None:
    for horizon in (None, 5):
        world = worlds.gridworld(4, seed=1, horizon=horizon)
        expert = shown(world.mdp, world.reward)
        both = [
            solve(world.mdp, world.features, expert, objective=each).weights
            for each in ("dual", "likelihood")
        ]
        np.testing.assert_allclose(both[0], both[1], atol=1e-4)


# --- input ------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"method": "adam"}, "method is 'adam'; expected one of l-bfgs, newton-cg, gradient-ascent"),
    ({"tolerance": 0.0}, "tolerance is 0.0; expected a finite number > 0"),
    ({"tolerance": "tight"}, "tolerance is 'tight'; expected"),
    ({"learning_rate": -1.0}, "learning_rate is -1.0; expected a finite number > 0"),
    ({"max_iterations": 0}, "max_iterations is 0; expected a whole number, at least 1"),
    ({"max_iterations": 2.5}, "max_iterations is 2.5; expected"),
    ({"l2": -0.1}, "l2 is -0.1; expected a finite number >= 0"),
    ({"l2": np.nan}, "l2 is nan; expected"),
    ({"initial_weights": [0.0]}, r"initial_weights has shape \(1,\); expected \(6,\)"),
    ({"initial_weights": [np.nan] * 6}, r"initial_weights is nan at index \(0,\)"),
    ({"features": np.full((9, 4, 2), np.nan)}, r"features is nan at index \(0, 0, 0\)"),
    ({"demos": np.ones((9, 4))}, "demos has an occupancy of 36 in all; expected 20, the sum"),
    ({"demos": np.ones((4, 9))}, r"demos has shape \(4, 9\); expected Demonstrations, an occ"),
    ({"demos": np.full((9, 4), np.nan)}, r"demos is nan at index \(0, 0\)"),
    ({"demos": -np.ones((9, 4))}, "demos has the entry -1; an occupancy is >= 0"),
    ({"demos": None}, "demos has entries of type object"),
    ({"demos": [[1.0], [1.0, 2.0]]}, "demos is no array of numbers"),
    (
        {"demos": Demonstrations([[0, 1]], [[0]]), "objective": "dual"},
        "demos has an occupancy of 1 in all; expected 20, .*truncated demonstrations leave out",
    ),
    ({"objective": "posterior"}, "objective is 'posterior'; expected one of likelihood, dual"),
    (
        {"objective": "likelihood", "causal": False},
        "objective is 'likelihood', .*; expected causal=True, or objective='dual'",
    ),
    (
        {"objective": "likelihood", "demos": np.zeros(6)},
        "demos is feature expectations, from which only objective='dual' can be had",
    ),
    ({"demos": Demonstrations([[0, 8]], [[0]])}, "goes from state 0 by action 0 to state 8 at"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_bad_arguments_are_named(wrong: dict[str, Any], message: str) -> None:
    world = worlds.gridworld(3)
    right = {
        "mdp": world.mdp,
        "features": world.features,
        "demos": planning.occupancy(world.mdp, np.full((9, 4), 0.25)),
    }
    with pytest.raises(ValueError, match=message):
        max_ent.max_ent(**{**right, **wrong})


def test_the_posterior_needs_a_horizon() -> None:
    world = worlds.gridworld(3)
    expert = planning.occupancy(world.mdp, np.full((9, 4), 0.25))
    with pytest.raises(ValueError, match="horizon is None"):
        max_ent.max_ent(world.mdp, world.features, expert, causal=False)


def test_a_little_missing_mass_is_made_up_for() -> None:
    world = worlds.gridworld(3, seed=1)
    expert = shown(world.mdp, world.reward)
    full = solve(world.mdp, world.features, expert)
    cut = solve(world.mdp, world.features, 0.98 * expert)
    np.testing.assert_allclose(cut.weights, full.weights, atol=1e-5)


def test_what_is_passed_is_neither_changed_nor_returned() -> None:
    world = worlds.gridworld(3, seed=1, horizon=4)
    expert = shown(world.mdp, world.reward)
    start = world.weights.copy()
    for array in (expert, start, world.features):
        array.setflags(write=False)
    found = solve(world.mdp, world.features, expert, initial_weights=start)
    assert not np.shares_memory(found.weights, start)
    np.testing.assert_array_equal(start, world.weights)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    world = worlds.gridworld(3, seed=1, horizon=4)
    solve(world.mdp, world.features, shown(world.mdp, world.reward), progress=True)
    assert "iterations" in capsys.readouterr().err


def test_a_missing_progress_bar_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    world = worlds.gridworld(3, seed=1, horizon=4)
    with pytest.raises(ImportError, match=r'pip install "irl_lib\[progress\]"'):
        max_ent.max_ent(world.mdp, world.features, shown(world.mdp, world.reward), progress=True)


# --- several MDPs -------------------------------------------------------------------------------


def test_several_mdps_add_up_and_return_tuples() -> None:
    maps = [worlds.gridworld(4, seed=seed, n_features=3, slip=0.2) for seed in (1, 2)]
    weights = np.array([1.0, -0.5, 0.3])
    mdps, features = [each.mdp for each in maps], [each.features for each in maps]
    demos = [shown(each.mdp, each.features @ weights) for each in maps]
    both = max_ent.objective(mdps, features, demos, [0.1, 0.2, 0.3], l2=0.2)
    each = [
        max_ent.objective(*one, [0.1, 0.2, 0.3], l2=0.1)
        for one in zip(mdps, features, demos, strict=True)
    ]
    assert both.value == pytest.approx(sum(one.value for one in each), abs=1e-12)
    np.testing.assert_allclose(both.gradient, sum(one.gradient for one in each), atol=1e-12)
    for method in METHODS:
        found = solve(mdps, features, demos, method=method, max_iterations=10_000)
        np.testing.assert_allclose(found.weights, weights, atol=1e-4)
        for one, reward, policy in zip(maps, found.reward, found.policy, strict=True):
            np.testing.assert_allclose(reward, one.features @ found.weights, atol=1e-12)
            soft = planning.soft_value_iteration(one.mdp, reward).policy
            np.testing.assert_allclose(policy, soft, atol=1e-12)


def test_an_edge_of_several_mdps_is_one_of_their_sum() -> None:
    """What one map leaves at the edge another may bring inside."""
    world = worlds.gridworld(3, seed=1, n_features=2, horizon=4)
    best = planning.value_iteration(world.mdp, world.reward).policy
    hard = planning.occupancy(world.mdp, best)
    soft = shown(world.mdp, world.reward)
    twice = ([world.mdp] * 2, [world.features] * 2)
    fails_to_solve("no finite weights are optimal", *twice, [hard, hard])
    assert solve(*twice, [hard, soft]).converged


@pytest.mark.parametrize(
    ("features", "demos", "message"),
    [
        (3, 1, r"mdp and demos have 2 and 1 entries"),
        (1, 2, r"mdp and features have 2 and 1 entries"),
        ([2, 3], 2, r"features\[1\] has 3 columns, features\[0\] has 2"),
    ],
)
def test_sequences_that_do_not_fit_are_named(features: Any, demos: int, message: str) -> None:
    mdp = worlds.gridworld(2).mdp
    columns = [2] * features if isinstance(features, int) else features
    expert = np.full((4, 4), mdp.mass / 16.0)
    with pytest.raises(ValueError, match=message):
        max_ent.max_ent([mdp] * 2, [np.ones((4, 4, k)) for k in columns], [expert] * demos)
