"""IQ-Learn on tables: its objective in three sets of variables, its optimum, and its limits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from irl_lib import (
    behavior_cloning,
    demonstrations,
    iq_learn,
    max_ent,
    planning,
    worlds,
)
from irl_lib.iq_learn import IqTabularResult, Price
from irl_lib.iq_learn import objective as form
from irl_lib.iq_learn import tabular as module
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array
from strategies import Problem, ended_twice, in_form, problems, slope

OBJECTIVES = ("dual", "likelihood")
DISCOUNTS = (0.7, 0.9, 1.0)


def solve(*args: Any, **kwargs: Any) -> IqTabularResult:
    """The solution, with every warning an error."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        found = iq_learn.iq_learn_tabular(*args, **kwargs)
    assert found.converged
    return found


def fails_to_solve(message: str, *args: Any, **kwargs: Any) -> IqTabularResult:
    """What is returned where there is no solution: finite, not converged, explained, warned of."""
    with pytest.warns(RuntimeWarning, match=message):
        found = iq_learn.iq_learn_tabular(*args, **kwargs)
    assert not found.converged
    assert all(np.isfinite(array).all() for array in (*tables(found), *found.history.values()))
    return found


def tables(found: IqTabularResult) -> tuple[Array, ...]:
    return found.q, found.v, found.reward, found.policy


def shape(mdp: MDP) -> tuple[int, ...]:
    table = (mdp.n_states, mdp.n_actions)
    return table if mdp.horizon is None else (mdp.horizon, *table)


def live(mdp: MDP) -> Array:
    """1, and 0 where an episode is over; of the shape of Q."""
    ended = mdp.absorbing[:, None] if mdp.episodic else np.zeros((mdp.n_states, 1), dtype=bool)
    return np.broadcast_to(~ended, shape(mdp)).astype(float)


def visits(mdp: MDP, policy: Array) -> Array:
    """An occupancy of the shape of Q."""
    if mdp.horizon is None:
        return planning.occupancy(mdp, policy)
    return iq_learn.timed_occupancy(mdp, policy)


def soft_expert(mdp: MDP, reward: Array) -> Array:
    return visits(mdp, planning.soft_value_iteration(mdp, reward).policy)


def random_q(problem: Problem, scale: float = 1.0) -> Array:
    return scale * problem.rng.normal(size=shape(problem.mdp)) * live(problem.mdp)


def random_price(problem: Problem) -> Price:
    mu = problem.rng.uniform(0.0, 1.0, shape(problem.mdp))
    return iq_learn.price(problem.mdp, 0.3, mu)


def lucky(problem: Problem) -> Array:
    """A table that is the occupancy of no policy, though of an occupancy's mass."""
    shown = problem.rng.uniform(0.0, 1.0, shape(problem.mdp)) * live(problem.mdp)
    mdp = problem.mdp
    return shown if mdp.episodic else shown * (mdp.mass / shown.sum())


def steps_left(mdp: MDP, q: Array) -> float:
    """How many steps the policy of Q counts at most: what an error of its reward grows by."""
    going = live(mdp) if mdp.horizon is None else np.ones(shape(mdp)[1:])
    return max(1.0, float(planning.policy_value(mdp, iq_learn.policy_of(mdp, q), going).max()))


# --- three sets of variables ----------------------------------------------------------------------


@settings(max_examples=80)
@given(problems())
def test_rewards_and_q_functions_are_one_to_one(problem: Problem) -> None:
    """Rewards of each step included; relative to the values, whose rounding is what is left."""
    mdp, r = problem.mdp, problem.reward
    if mdp.horizon is not None:
        r = r + problem.rng.normal(size=shape(mdp))
    q = iq_learn.soft_bellman(mdp, r)
    size = max(1.0, float(np.abs(q).max()))
    assert np.abs(iq_learn.inverse_bellman(mdp, q) - r).max() < 1e-12 * size

    q = random_q(problem)
    reward = iq_learn.inverse_bellman(mdp, q)
    left = steps_left(mdp, q)
    assert np.abs(iq_learn.soft_bellman(mdp, reward) - q).max() < 1e-13 * left * max(10.0, left)


@settings(max_examples=60)
@given(problems())
def test_q_values_and_policies_are_those_of_planning(problem: Problem) -> None:
    mdp = problem.mdp
    plan = planning.soft_value_iteration(mdp, problem.reward)
    q = iq_learn.soft_bellman(mdp, problem.reward)
    size = max(1.0, float(np.abs(q).max()))
    np.testing.assert_allclose(q, plan.q, rtol=0.0, atol=1e-12 * size)
    np.testing.assert_allclose(iq_learn.soft_value(mdp, q), plan.v, rtol=0.0, atol=1e-12 * size)
    np.testing.assert_allclose(iq_learn.policy_of(mdp, q), plan.policy, rtol=0, atol=1e-12 * size)
    if mdp.horizon is not None:
        every = np.broadcast_to(problem.reward, shape(mdp))
        each_step = iq_learn.soft_bellman(mdp, every)
        np.testing.assert_allclose(each_step, q, rtol=0.0, atol=1e-12 * size)


def test_policies_sum_to_one_however_large_q_is() -> None:
    """exp(Q - V) would be off by the rounding of V, 1e-11 here."""
    mdp = worlds.chain(4).mdp
    q = 1e5 + np.random.default_rng(0).normal(size=(mdp.n_states, 2))
    assert np.abs(iq_learn.policy_of(mdp, q).sum(axis=1) - 1.0).max() < 1e-15


@settings(max_examples=80)
@given(problems())
def test_the_objective_in_q_is_that_in_the_reward(problem: Problem) -> None:
    """At r_Q, for any table in the place of the expert's."""
    mdp, q, cost = problem.mdp, random_q(problem), random_price(problem)
    reward = iq_learn.inverse_bellman(mdp, q)
    left = steps_left(mdp, q)
    for shown in (visits(mdp, problem.policy()), lucky(problem)):
        in_q = iq_learn.iq_objective(mdp, shown, q, cost)
        in_r = iq_learn.reduced_objective(mdp, shown, reward, cost)
        terms = 1.0 + float(np.sum(shown * np.abs(reward))) + left
        assert abs(in_q - in_r) < 1e-13 * terms * max(10.0, left)


@settings(max_examples=80)
@given(problems())
def test_values_cancel_where_the_expert_flows_from_the_start(problem: Problem) -> None:
    """Minus the objective in Q; else the difference is V where more, or less, enters than p_0."""
    mdp, q, cost = problem.mdp, random_q(problem), random_price(problem)
    pi, v = iq_learn.policy_of(mdp, q), iq_learn.soft_value(mdp, q)
    own, start = (v, mdp.initial) if mdp.horizon is None else (v[:-1], np.zeros(v[:-1].shape))
    if mdp.horizon is not None:
        start[0] = mdp.initial
    for shown in (visits(mdp, problem.policy()), lucky(problem)):
        entering = shown.sum(axis=-1)
        if mdp.horizon is None:
            entering = entering - mdp.discount * mdp.flow(shown)
        else:
            for t, before in enumerate(shown[:-1]):
                entering[t + 1] -= mdp.discount * mdp.flow(before)
        more = float(np.sum((entering - start) * own))
        in_pi_v = iq_learn.value_policy_objective(mdp, shown, pi, v, cost)
        in_q = iq_learn.iq_objective(mdp, shown, q, cost)
        terms = 1.0 + float(np.sum(shown * (1.0 + np.abs(q))))
        assert abs(in_pi_v - more + in_q) < 1e-12 * terms
    # Of an occupancy nothing is left over; of the other table, there is.
    flowing = visits(mdp, problem.policy())
    in_pi_v = iq_learn.value_policy_objective(mdp, flowing, pi, v, cost)
    in_q = iq_learn.iq_objective(mdp, flowing, q, cost)
    assert abs(in_pi_v + in_q) < 1e-11 * (1.0 + float(np.sum(flowing * (1.0 + np.abs(q)))))


def test_values_do_not_cancel_without_either_condition() -> None:
    world = worlds.random_mdp(4, 2, 2, seed=0, discount=0.9, horizon=3)
    mdp, rng = world.mdp, np.random.default_rng(0)
    cost = iq_learn.price(mdp, 0.5, np.ones(shape(mdp)))
    q = rng.normal(size=shape(mdp))
    pi, v = iq_learn.policy_of(mdp, q), iq_learn.soft_value(mdp, q)
    shown = iq_learn.timed_occupancy(mdp, pi)

    def gap(mdp: MDP, v: Array) -> float:
        in_pi_v = iq_learn.value_policy_objective(mdp, shown, pi, v, cost)
        return abs(in_pi_v + iq_learn.iq_objective(mdp, shown, q, cost))

    assert gap(mdp, v) < 1e-12
    assert gap(mdp.started_at([1.0, 0.0, 0.0, 0.0]), v) > 0.01
    v[-1] = 1.0
    assert gap(mdp, v) > 0.01


def test_without_a_price_values_drop_out_and_cloning_is_left() -> None:
    """T10."""
    mdp, rng = worlds.random_mdp(4, 3, 2, seed=1, discount=0.9).mdp, np.random.default_rng(0)
    expert = rng.dirichlet(np.ones(3), size=4)
    shown, free = planning.occupancy(mdp, expert), iq_learn.price(mdp, 0.0, np.ones((4, 3)))
    pi = rng.dirichlet(np.ones(3), size=4)
    losses = [
        iq_learn.value_policy_objective(mdp, shown, pi, scale * rng.normal(size=4), free)
        for scale in (0.0, 1.0, 1e3)
    ]
    assert losses == [losses[0]] * 3
    assert losses[0] == pytest.approx(-float(np.sum(shown * np.log(pi))), rel=1e-14)
    best = iq_learn.value_policy_objective(mdp, shown, expert, np.zeros(4), free)
    assert best < losses[0]


@settings(max_examples=60)
@given(problems(finite=True))
def test_timed_occupancies_add_up(problem: Problem) -> None:
    """T3: over time to the occupancy, at each step to the discount; of demonstrations, too."""
    mdp = problem.mdp
    policy = problem.policy()
    found = iq_learn.timed_occupancy(mdp, policy)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), mdp.discount ** np.arange(mdp.horizon))
    np.testing.assert_allclose(found.sum(axis=0), planning.occupancy(mdp, policy), atol=1e-12)
    demos = demonstrations.sample(mdp, policy, 3, problem.rng)
    shown = iq_learn.timed_occupancy(mdp, demos)
    np.testing.assert_allclose(shown.sum(axis=0), demos.counted(mdp), atol=1e-12)
    for t, state, action in np.argwhere(shown > 0.0):
        count = sum(s[t] == state and a[t] == action for s, a in demos)
        assert shown[t, state, action] == pytest.approx(mdp.discount**t * count / 3)


@settings(max_examples=60)
@given(problems())
def test_what_enters_for_a_policy_is_the_start(problem: Problem) -> None:
    """T4: and what enters for another table makes that one flow."""
    mdp = problem.mdp
    for policy_visits in (visits(mdp, problem.policy()), soft_expert(mdp, problem.reward)):
        entering = form.sources(mdp, policy_visits)
        room = 1e-12 * max(1.0, float(policy_visits.sum()))
        np.testing.assert_allclose(entering, form.start(mdp), rtol=0.0, atol=room)
    if mdp.episodic:
        assert not form.start(mdp)[mdp.absorbing].any()


# --- gradient and curvature -----------------------------------------------------------------------


def climbed(problem: Problem, shown: Any, objective: str) -> module.Problem:
    measure = problem.rng.uniform(0.0, 1.0, shape(problem.mdp))
    return module.Problem(problem.mdp, shown, 0.3, measure, objective)


@settings(max_examples=120)
@given(problems(), st.sampled_from(OBJECTIVES), st.booleans())
def test_the_gradient_is_that_of_finite_differences(
    problem: Problem, objective: str, flows: bool
) -> None:
    """T1, with every discount, horizon and ending; relative to the mass and the values."""
    mdp = problem.mdp
    shown = visits(mdp, problem.policy()) if flows else lucky(problem)
    climb = climbed(problem, shown, objective)
    q, direction = random_q(problem), random_q(problem)
    at = climb.start(q)
    size = at.terms + float(shown.sum())
    if objective == "dual":
        assert at.value == pytest.approx(
            iq_learn.iq_objective(mdp, climb.shown, q, climb.cost), abs=1e-13 * size
        )

    def value(step: float) -> float:
        point = climb.evaluate((q + step * direction).ravel())
        assert point is not None
        return point.value

    assert slope(value, at.gradient @ direction.ravel(), size, 1e-9) < 1e-8


@settings(max_examples=100)
@given(problems(), st.sampled_from(OBJECTIVES), st.booleans())
def test_the_curvature_is_that_of_finite_differences(
    problem: Problem, objective: str, flows: bool
) -> None:
    """Where visits are none below 0, which is where it is concave; else it is the concave part."""
    mdp = problem.mdp
    climb = climbed(problem, visits(mdp, problem.policy()) if flows else lucky(problem), objective)
    q, direction = random_q(problem), random_q(problem)
    at = climb.start(q)
    policy, states = at.more
    even = direction - np.sum(policy * direction, axis=-1, keepdims=True)
    convex = np.minimum(states, 0.0)[..., None] * policy * even * live(mdp)
    curved = climb.curvature(at, direction.ravel())
    size = at.terms + float(climb.shown.sum())

    def gradient(step: float) -> Array:
        point = climb.evaluate((q + step * direction).ravel())
        assert point is not None
        return -point.gradient

    assert slope(gradient, curved + convex.ravel(), size, 1e-9) < 1e-8
    assert direction.ravel() @ curved >= -1e-13 * size
    if (states >= 0.0).all():
        assert not convex.any()


@settings(max_examples=100)
@given(problems(discounts=DISCOUNTS), st.sampled_from(OBJECTIVES))
def test_newton_steps_are_exact(problem: Problem, objective: str) -> None:
    """The curvature along the step is the gradient: the system is solved, not approximated."""
    climb = climbed(problem, visits(problem.mdp, problem.policy()), objective)
    at = climb.start(random_q(problem))
    step = climb.newton_step(at)
    missing = np.linalg.norm(climb.curvature(at, step) - at.gradient)
    assert missing <= 1e-8 * (at.norm + 1e-8 * np.linalg.norm(step))


@settings(max_examples=60)
@given(problems(), st.sampled_from(OBJECTIVES))
def test_the_gradient_vanishes_at_the_truth_without_a_price(
    problem: Problem, objective: str
) -> None:
    """T2: with the exact occupancy of the soft-optimal agent; a tiny weight stands for none."""
    mdp = problem.mdp
    q = iq_learn.soft_bellman(mdp, problem.reward)
    shown = visits(mdp, iq_learn.policy_of(mdp, q))
    at = module.Problem(mdp, shown, 1e-300, "uniform", objective).start(q)
    assert at.norm < 1e-10 * max(1.0, float(shown.sum()))


def test_both_objectives_agree_for_the_occupancy_of_a_policy() -> None:
    for horizon in (None, 6):
        mdp = worlds.random_mdp(5, 3, 2, seed=3, discount=0.9, horizon=horizon).mdp
        rng = np.random.default_rng(0)
        shown = visits(mdp, rng.dirichlet(np.ones(3), size=5))
        q = rng.normal(size=shape(mdp))
        dual, likelihood = (
            module.Problem(mdp, shown, 0.1, "uniform", each).start(q) for each in OBJECTIVES
        )
        assert dual.value == pytest.approx(likelihood.value, abs=1e-12)
        np.testing.assert_allclose(dual.gradient, likelihood.gradient, atol=1e-12)


# --- the optimum ----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems(), st.sampled_from([0.01, 1.0]), st.booleans())
def test_at_the_optimum_rewards_are_what_the_expert_does_more(
    problem: Problem, weight: float, flows: bool
) -> None:
    """It is (rho - rho_pi) / (c mu), as far as the gradient is 0.

    The gradient in Q is that in r less what flows on of it; so the latter is at most as many times
    larger as the policy counts steps.
    """
    mdp = problem.mdp
    shown = visits(mdp, problem.policy()) if flows else lucky(problem)
    found = solve(mdp, shown, weight=weight, objective="dual")
    mu = module.Problem(mdp, shown, weight, "uniform", "dual").cost.measure
    reached = visits(mdp, found.policy) * live(mdp)
    left = steps_left(mdp, found.q)
    gap = np.abs(shown * live(mdp) - reached - weight * mu * found.reward)
    rounding = 1e-14 * float(shown.sum() + np.sum(weight * mu * np.abs(found.q)))
    assert gap.sum() <= (1.0 + left) * (shown.size**0.5 * found.gradient_norm + rounding)
    np.testing.assert_array_equal(found.reward, iq_learn.inverse_bellman(mdp, found.q))
    np.testing.assert_array_equal(found.v, iq_learn.soft_value(mdp, found.q))
    np.testing.assert_array_equal(found.policy, iq_learn.policy_of(mdp, found.q))


@pytest.mark.parametrize("discount", [0.7, 0.95, 1.0])
@pytest.mark.parametrize("weight", [1e-3, 1.0])
def test_it_is_max_ent_with_a_feature_for_each_entry(discount: float, weight: float) -> None:
    """Whose l2 is the price: one optimum, one policy, one reward, by planning or without."""
    goals = [(2, 2)] if discount == 1.0 else []
    mdp = worlds.gridworld(3, discount=discount, goals=goals).mdp
    expert = np.random.default_rng(0).dirichlet(np.ones(4), size=9)
    shown = planning.occupancy(mdp, expert)
    l2 = weight * shown.sum() / 36.0
    features = np.eye(36).reshape(9, 4, 36) * live(mdp)[..., None]
    other = max_ent.max_ent(
        mdp,
        features,
        shown,
        l2=l2,
        method="newton-cg",
        tolerance=1e-11,
        initial_weights=np.full(36, -2.0),
    )
    found = solve(mdp, shown, weight=weight, tolerance=1e-12)
    assert other.converged
    np.testing.assert_allclose(found.reward, other.reward, atol=1e-9 / l2)
    np.testing.assert_allclose(found.policy, other.policy, atol=1e-9 / l2)
    value = max_ent.objective(mdp, features, shown, found.reward.ravel(), l2=l2).value
    assert found.history["objective"][-1] == pytest.approx(value, abs=1e-10)


def test_a_convex_solver_finds_the_same_saddle_point() -> None:
    r"""The dual is min over occupancies x of sum x log pi_x + (rho - x)^2 / (2 c mu)."""
    cvxpy = pytest.importorskip("cvxpy")
    mdp = worlds.random_mdp(3, 2, 2, seed=2, discount=0.8).mdp
    rng = np.random.default_rng(1)
    shown = rng.uniform(size=(3, 2))
    shown *= mdp.mass / shown.sum()  # of no policy
    mu, weight = rng.uniform(0.5, 1.5, (3, 2)), 0.7
    x = cvxpy.Variable((3, 2), nonneg=True)
    states = cvxpy.sum(x, axis=1, keepdims=True) @ np.ones((1, 2))
    ahead = mdp.dense_transitions().reshape(6, 3).T @ cvxpy.reshape(x, (6,), order="C")
    cost = cvxpy.sum(cvxpy.rel_entr(x, states))
    # Not as a sum of weighted squares, whose weights cvxpy 1.5.0 puts in another order.
    cost += cvxpy.sum_squares(cvxpy.multiply((2.0 * weight * mu) ** -0.5, shown - x))
    flows = [cvxpy.sum(x, axis=1) == mdp.initial + mdp.discount * ahead]
    program = cvxpy.Problem(cvxpy.Minimize(cost), flows)
    program.solve(solver="CLARABEL")
    found = solve(mdp, shown, weight=weight, measure=mu)
    assert found.history["objective"][-1] == pytest.approx(program.value, abs=1e-6)
    np.testing.assert_allclose(planning.occupancy(mdp, found.policy), x.value, atol=1e-4)
    np.testing.assert_allclose(found.reward, (shown - x.value) / (weight * mu), atol=1e-3)
    cost = iq_learn.price(mdp, weight, mu)
    value = iq_learn.reduced_objective(mdp, shown, found.reward, cost)
    assert value == pytest.approx(program.value, abs=1e-6)


@pytest.mark.parametrize(("discount", "horizon"), [(0.9, None), (0.9, 5), (1.0, 5), (1.0, None)])
def test_the_policy_is_the_experts_as_rewards_become_free(
    discount: float, horizon: int | None
) -> None:
    """T2: its divergence from a soft-optimal expert is no more than the price of its reward."""
    goals = [(3, 3)] if horizon is None and discount == 1.0 else []
    world = worlds.gridworld(4, seed=1, discount=discount, horizon=horizon, goals=goals)
    mdp, truth = world.mdp, (world.reward - 2.0) * ~world.mdp.absorbing[:, None]
    plan = planning.soft_value_iteration(mdp, truth)
    shown = visits(mdp, plan.policy)
    divergences = []
    for weight in (1e-1, 1e-3, 1e-5):
        found = solve(mdp, shown, weight=weight)
        mu = module.Problem(mdp, shown, weight, "uniform", "dual").cost
        price = iq_learn.price(mdp, weight, mu.measure).of(np.broadcast_to(truth, shape(mdp)))
        divergences.append(float(np.sum(shown * np.log(plan.policy / found.policy))))
        assert divergences[-1] <= price
    assert divergences[0] > divergences[1] > divergences[2] > -1e-12
    assert np.abs(found.policy - plan.policy).max() < 1e-3


@pytest.mark.parametrize("measure", ["uniform", "expert"])
def test_it_is_cloning_as_rewards_become_free(measure: str) -> None:
    """T10, where every action was shown: the counts' shares, in states that were visited."""
    mdp = worlds.random_mdp(4, 2, 2, seed=5, discount=0.8, branching=2).mdp
    policy = np.random.default_rng(3).uniform(0.3, 0.7, (4, 1)) * [1.0, -1.0] + [0.0, 1.0]
    demos = demonstrations.sample(mdp, policy, 200, np.random.default_rng(0), length=12)
    cloned = behavior_cloning.clone(mdp, demos, smoothing=0.0)
    shown = demos.counted(mdp)
    assert shown.min() > 0.0
    found = solve(mdp, demos, weight=1e-7, measure=measure, objective="likelihood")
    shares = shown / shown.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.policy, shares, atol=1e-5)
    assert np.abs(cloned.policy - shares).max() < 0.1  # which counts without the discount


@settings(max_examples=40)
@given(problems(max_states=5, max_horizon=4, discounts=DISCOUNTS))
def test_time_and_discount_are_states_of_a_world_that_ends(problem: Problem) -> None:
    """A state for each step, and a chance of ending for the discount: the same Q, by other code."""
    mdp, shown = problem.mdp, lucky(problem)
    going = ~(mdp.absorbing & mdp.episodic)
    rows = problem.transitions.reshape(-1, mdp.n_states) * mdp.discount * going
    steps = mdp.horizon or 1
    ahead = rows if mdp.horizon is None else np.kron(np.eye(steps, k=1), rows)
    n, n_actions = steps * mdp.n_states, mdp.n_actions
    over = np.vstack(
        [
            np.column_stack([ahead, np.maximum(1.0 - ahead.sum(axis=1), 0.0)]),
            np.tile(np.eye(n + 1)[n], (n_actions, 1)),
        ]
    )
    start = np.zeros(n + 1)
    start[: mdp.n_states] = mdp.initial * going
    start[n] = max(0.0, 1.0 - start.sum())
    ended = MDP(over.reshape(n + 1, n_actions, n + 1), start, discount=1.0)
    weight, mu = 0.2, problem.rng.uniform(0.5, 1.0, shape(mdp))
    padded = [np.vstack([x.reshape(n, n_actions), np.zeros((1, n_actions))]) for x in (shown, mu)]
    wanted = solve(ended, padded[0], weight=weight, measure=padded[1], objective="dual")
    found = solve(mdp, shown, weight=weight, measure=mu, objective="dual")
    scale = max(1.0, float(np.abs(wanted.q).max())) * steps_left(mdp, found.q) ** 2
    wanted_q = wanted.q[:n].reshape(shape(mdp)) * live(mdp)
    assert np.abs(found.q * live(mdp) - wanted_q).max() < 1e-6 * scale


def test_one_step_one_action_and_one_state() -> None:
    one_step = MDP(np.ones((3, 2, 3)) / 3.0, [0.5, 0.3, 0.2], horizon=1)
    shown = np.array([[[0.4, 0.1], [0.0, 0.3], [0.1, 0.1]]])
    found = solve(one_step, shown, weight=0.5, measure=np.ones((1, 3, 2)))
    np.testing.assert_array_equal(found.reward, found.q)
    wanted = (shown - np.array([0.5, 0.3, 0.2])[:, None] * found.policy) / 0.5
    np.testing.assert_allclose(found.reward, wanted, atol=1e-7)

    one_action = worlds.random_mdp(4, 1, 2, seed=0, discount=0.9).mdp
    found = solve(one_action, planning.occupancy(one_action, np.ones((4, 1))))
    np.testing.assert_array_equal(found.policy, 1.0)
    np.testing.assert_allclose(found.reward, 0.0, atol=1e-6)

    one_state = MDP(np.ones((1, 3, 1)), [1.0], discount=0.9)
    expert = np.array([[0.7, 0.2, 0.1]])
    found = solve(one_state, 10.0 * expert, weight=1e-6)
    np.testing.assert_allclose(found.policy, expert, atol=1e-5)
    tiny = MDP(np.ones((1, 1, 1)), [1.0], horizon=1)
    assert solve(tiny, [[[1.0]]]).q.shape == (1, 1, 1)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("discount", [0.9, 0.9999])
@pytest.mark.parametrize("weight", [1e-8, 1e-4, 1.0, 1e3])
@pytest.mark.parametrize("plan", [planning.soft_value_iteration, planning.value_iteration])
def test_extreme_weights_and_discounts_converge(
    discount: float, weight: float, plan: Callable[..., planning.Plan]
) -> None:
    """On 400 states, for experts that take all actions and that take one, in few iterations."""
    world = worlds.gridworld(20, seed=1, discount=discount)
    shown = planning.occupancy(world.mdp, plan(world.mdp, world.reward).policy)
    found = solve(world.mdp, shown, weight=weight, max_iterations=60)
    assert all(np.isfinite(each).all() for each in tables(found))


def test_a_gradient_that_rounding_keeps_from_the_tolerance_is_enough() -> None:
    """Values of 1e4 and rewards that cost 1e5: what is left is no more than their last digits."""
    mdp = worlds.gridworld(5, seed=1, discount=0.9999).mdp
    shown = planning.occupancy(mdp, np.full((25, 4), 0.25))
    found = solve(mdp, shown, weight=1e3, tolerance=1e-12)
    assert found.message == "the gradient is 0 but for rounding"
    assert 1e-12 < found.gradient_norm < 1e-4
    assert len(found.history["objective"]) < 20
    plain = solve(mdp, shown, weight=1e-3)
    assert plain.message == "the gradient norm is below the tolerance"
    # A little beside the optimum it is not rounding.
    climb = module.Problem(mdp, shown, 1e3, "uniform", "dual")
    assert climb.is_rounding(climb.start(found.q))
    assert not climb.is_rounding(climb.start(found.q + 1e-4 * np.eye(25, 4)))


def test_what_rounding_leaves_open_is_no_optimum() -> None:
    """Where prices are such that rounding is more than a millionth of what was shown."""
    mdp = worlds.gridworld(3, seed=1, discount=0.9).mdp
    shown = planning.occupancy(mdp, np.full((9, 4), 0.25))
    fails_to_solve("stopped after", mdp, shown, weight=1e12, max_iterations=20)
    with pytest.raises(
        ValueError, match=r"weight 1e\+300 is not finite; expected .* smaller weight"
    ):
        iq_learn.iq_learn_tabular(mdp, shown, weight=1e300)


@pytest.mark.parametrize("weight", [1e-15, 1e-30, 1e-300])
def test_rewards_that_cost_next_to_nothing_are_no_way_to_infinity(weight: float) -> None:
    """All rewards with that policy are as good, and values stay where rounding sees them."""
    world = worlds.gridworld(5, seed=1, discount=0.9)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    found = solve(world.mdp, planning.occupancy(world.mdp, plan.policy), weight=weight)
    assert np.abs(found.q).max() < 1e6
    np.testing.assert_allclose(found.policy, plan.policy, atol=1e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rewards_of_a_thousand_are_finite(sign: float) -> None:
    """T8, on a 50 x 50 grid."""
    world = worlds.gridworld(50, seed=1, discount=0.99)
    mdp = world.mdp
    reward = sign * 1e3 * np.sign(world.reward)
    q = iq_learn.soft_bellman(mdp, reward)
    assert np.abs(q).max() > 1e4
    np.testing.assert_allclose(iq_learn.inverse_bellman(mdp, q), reward, atol=1e-9)
    shown = planning.occupancy(mdp, iq_learn.policy_of(mdp, q))
    cost = iq_learn.price(mdp, 0.1, np.ones((2500, 4)))
    assert np.isfinite(iq_learn.iq_objective(mdp, shown, q, cost))
    found = solve(mdp, shown, weight=1e-6, max_iterations=60)
    assert all(np.isfinite(each).all() for each in tables(found))
    assert float(np.sum(shown * np.abs(found.policy - iq_learn.policy_of(mdp, q)))) < 0.1


@pytest.mark.parametrize("horizon", [None, 6])
@pytest.mark.parametrize("measure", ["uniform", "expert"])
def test_every_start_leads_to_one_optimum(horizon: int | None, measure: str) -> None:
    mdp = worlds.random_mdp(5, 3, 2, seed=4, discount=0.9, horizon=horizon).mdp
    rng = np.random.default_rng(0)
    shown = visits(mdp, rng.dirichlet(np.ones(3), size=5))
    first = solve(mdp, shown, weight=0.3, measure=measure, tolerance=1e-11)
    for scale in (1.0, 30.0, 1e3):
        start = scale * rng.normal(size=shape(mdp))
        other = solve(mdp, shown, weight=0.3, measure=measure, tolerance=1e-11, initial_q=start)
        np.testing.assert_array_equal(other.history["weight_norm"][0], np.linalg.norm(start))
        np.testing.assert_allclose(other.q, first.q, atol=1e-6)
        assert (np.diff(other.history["objective"]) >= -1e-9 * scale**2).all()
    again = solve(mdp, shown, weight=0.3, measure=measure, tolerance=1e-11, initial_q=first.q)
    assert len(again.history["objective"]) == 1
    np.testing.assert_array_equal(again.q, first.q)


@settings(max_examples=60)
@given(problems())
def test_the_uniform_measure_is_an_occupancy_that_is_everywhere_alike(problem: Problem) -> None:
    """Of the mass of one in all; with a horizon, of as much as it has at each step."""
    mdp, shown = problem.mdp, lucky(problem)
    mu = module.Problem(mdp, shown, 0.1, "uniform", "dual").cost.measure
    if mdp.horizon is not None:
        each = mdp.discount ** np.arange(mdp.horizon)
        np.testing.assert_allclose(mu.sum(axis=(1, 2)), each, rtol=1e-12)
        assert np.ptp(mu, axis=(1, 2)).max() == 0.0
    else:
        total = shown.sum() if mdp.episodic else mdp.mass
        np.testing.assert_allclose(mu[live(mdp) > 0.0], total / mu.size, rtol=1e-12)
    assert not mu[live(mdp) == 0.0].any()


def test_every_form_of_transitions_gives_the_same() -> None:
    world = worlds.random_mdp(5, 3, 2, seed=4, discount=0.9)
    dense = world.mdp.dense_transitions()
    shown = planning.occupancy(world.mdp, np.full((5, 3), 1.0 / 3.0))
    results = [
        solve(MDP(in_form(form, dense), world.mdp.initial, 0.9), shown)
        for form in ("dense", "csr", "sequence")
    ]
    for each in results[1:]:
        np.testing.assert_allclose(each.q, results[0].q, rtol=0.0, atol=1e-12)


# --- demonstrations -------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [None, 7])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_terminated_flags_and_explicit_absorbing_states_agree(
    horizon: int | None, objective: str
) -> None:
    """T7: staying to the end, once with each action, is what the flag stands for."""
    world, *both = ended_twice(horizon)
    mdp = world.mdp
    q = np.random.default_rng(0).normal(size=shape(mdp))
    one, other = (module.Problem(mdp, demos, 0.1, "uniform", objective).start(q) for demos in both)
    assert one.value == pytest.approx(other.value, abs=1e-12)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-12)
    policies = [solve(mdp, d, objective=objective).policy for d in both]
    np.testing.assert_allclose(*policies, atol=1e-6)


@pytest.mark.parametrize("horizon", [None, 20])
def test_cut_demonstrations_have_a_likelihood_and_no_dual(horizon: int | None) -> None:
    world = worlds.gridworld(3, seed=1, discount=0.9, horizon=horizon)
    mdp = world.mdp
    plan = planning.soft_value_iteration(mdp, world.reward)
    demos = demonstrations.sample(mdp, plan.policy, 4_000, np.random.default_rng(0), length=5)
    found = solve(mdp, demos, weight=0.01)
    named = solve(mdp, demos, weight=0.01, objective="likelihood")
    np.testing.assert_array_equal(found.q, named.q)
    shown = slice(None) if horizon is None else slice(0, 5)
    # At each of 5 steps a state has some 440 visits, and 0.1 is four standard errors of a share.
    assert np.abs(found.policy[shown] - plan.policy[shown]).max() < 0.1
    with pytest.raises(ValueError, match=r"demos has an occupancy of .*truncated demonstrations"):
        iq_learn.iq_learn_tabular(mdp, demos, objective="dual")


def test_the_likelihood_is_that_of_the_actions() -> None:
    for horizon in (None, 8):
        mdp = worlds.random_mdp(5, 3, 2, seed=1, discount=0.9, horizon=horizon).mdp
        rng = np.random.default_rng(0)
        demos = demonstrations.sample(mdp, np.full((5, 3), 1 / 3), 4, rng, length=6)
        q = rng.normal(size=shape(mdp))
        policy = iq_learn.policy_of(mdp, q)
        by_hand = sum(
            0.9**t * np.log(policy[s[t], a[t]] if horizon is None else policy[t, s[t], a[t]]) / 4
            for s, a in demos
            for t in range(6)
        )
        at = module.Problem(mdp, demos, 1e-300, "uniform", "likelihood").start(q)
        assert at.value == pytest.approx(by_hand, abs=1e-12)


def test_a_few_that_were_cut_are_scaled_to_the_whole() -> None:
    """By less than MISSING_MASS, with a horizon as without one."""
    mdp = worlds.random_mdp(4, 2, 2, seed=0, discount=0.7, horizon=12).mdp
    demos = demonstrations.sample(mdp, np.full((4, 2), 0.5), 6, np.random.default_rng(0), length=10)
    climb = module.Problem(mdp, demos, 0.1, "uniform", None)
    assert climb.shown.sum() == pytest.approx(mdp.mass, rel=1e-14)
    np.testing.assert_allclose(
        climb.shown.sum(axis=0), demonstrations.complete_occupancy(mdp, demos), atol=1e-14
    )


@pytest.mark.parametrize("horizon", [None, 4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_action_that_is_neither_shown_nor_priced_leaves_no_optimum(
    horizon: int | None, objective: str
) -> None:
    mdp = worlds.random_mdp(4, 3, 2, seed=0, discount=0.9, horizon=horizon).mdp
    policy = np.tile([0.6, 0.4, 0.0], (4, 1))
    shown = visits(mdp, policy)
    count = np.count_nonzero(shown.sum(axis=-1))
    found = fails_to_solve(
        f"no finite optimum: {count} actions are neither shown nor priced",
        mdp,
        shown,
        measure="expert",
        objective=objective,
    )
    reached = found.policy[shown.sum(axis=-1) > 0.0]
    assert reached[:, 2].max() < 1e-6
    # A price on it is enough.
    assert solve(mdp, shown, objective=objective).converged
    full = visits(mdp, np.full((4, 3), 1.0 / 3.0))
    assert solve(mdp, full, measure="expert", objective=objective).converged


def test_what_stops_early_says_so() -> None:
    mdp = worlds.gridworld(4, seed=1).mdp
    shown = planning.occupancy(mdp, np.full((16, 4), 0.25) + 0.2 * np.array([1, -1, 1, -1]))
    found = fails_to_solve("stopped after 1 iterations at", mdp, shown, max_iterations=1)
    assert [len(each) for each in found.history.values()] == [2, 2, 2]
    assert found.history["gradient_norm"][-1] == found.gradient_norm


def test_a_world_that_nobody_reaches_harms_nobody() -> None:
    """Going on for ever pays there, if rewards are 0: values run off, and no one comes by."""
    transitions = np.zeros((3, 3, 3))
    transitions[[0, 2], :, 2] = 1.0
    transitions[1, :2, 1] = transitions[1, 2, 2] = 1.0
    mdp = MDP(transitions, [1.0, 0.0, 0.0])
    shown = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = solve(mdp, shown, weight=1e-6)
    np.testing.assert_allclose(found.policy[0], shown[0], atol=1e-5)
    assert all(np.isfinite(each).all() for each in tables(found))


# --- the doors ------------------------------------------------------------------------------------

SMALL = worlds.random_mdp(3, 2, 2, seed=0, discount=0.9).mdp
TIMED = worlds.random_mdp(3, 2, 2, seed=0, discount=0.9, horizon=4).mdp
SHOWN = planning.occupancy(SMALL, np.full((3, 2), 0.5))
TIMED_SHOWN = iq_learn.timed_occupancy(TIMED, np.full((3, 2), 0.5))
HALF = np.full((3, 2), 0.5)
FREE = iq_learn.price(SMALL, 0.1, np.ones((3, 2)))
OTHER = iq_learn.price(TIMED, 0.1, np.ones((4, 3, 2)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mdp": None}, r"mdp is None; expected an instance of irl_lib\.mdp\.MDP"),
        ({"demos": np.ones(6)}, r"demos has shape \(6,\); expected \(3, 2\)"),
        ({"demos": -SHOWN}, "demos has the entry -.*; an occupancy is >= 0"),
        ({"demos": 2.0 * SHOWN}, "demos has an occupancy of 20 in all; expected 10"),
        ({"demos": "expert"}, "demos has entries of type <U6; expected real numbers"),
        ({"demos": None}, "demos has entries of type object; expected real numbers"),
        ({"weight": 0.0}, "weight is 0.0; expected a finite number > 0"),
        ({"weight": np.inf}, "weight is inf; expected a finite number > 0"),
        ({"measure": "expertly"}, "measure is 'expertly'; expected one of uniform, expert, or a"),
        ({"measure": -np.ones((3, 2))}, "measure has the entry -1; expected numbers >= 0"),
        ({"measure": np.ones(3)}, r"measure has shape \(3,\); expected \(3, 2\)"),
        ({"objective": "primal"}, "objective is 'primal'; expected one of dual, likelihood"),
        ({"initial_q": np.ones((2, 3))}, r"initial_q has shape \(2, 3\); expected \(3, 2\)"),
        ({"initial_q": np.full((3, 2), 1e200)}, r"initial_q has entries up to 1e\+200, for which"),
        ({"tolerance": 0.0}, "tolerance is 0.0; expected a finite number > 0"),
        ({"max_iterations": 0}, "max_iterations is 0; expected a whole number, at least 1"),
        ({"progress": "no"}, "progress is 'no'; expected True or False"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], message: str) -> None:
    given_ = {"mdp": SMALL, "demos": SHOWN} | arguments
    with pytest.raises(ValueError, match=message):
        iq_learn.iq_learn_tabular(**given_)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: iq_learn.iq_learn_tabular(TIMED, SHOWN),
            r"demos has shape \(3, 2\); expected \(4, 3, 2\)",
        ),
        (
            lambda: iq_learn.iq_learn_tabular(TIMED, np.ones((4, 3, 2))),
            "demos has an occupancy of 24 in all; expected 3.439",
        ),
        (
            lambda: iq_learn.iq_learn_tabular(TIMED, TIMED_SHOWN - 0.1),
            "demos has the entry -.*; an occupancy is >= 0",
        ),
        (lambda: iq_learn.timed_occupancy(SMALL, HALF), "mdp has no horizon; expected one"),
        (lambda: iq_learn.timed_occupancy(TIMED, 2 * HALF), "shown sums to 2 in state 0; a dist"),
        (lambda: iq_learn.soft_value(SMALL, np.ones(3)), r"q has shape \(3,\); expected \(3, 2\)"),
        (lambda: iq_learn.soft_value(SMALL, HALF * np.nan), r"q is nan at index \(0, 0\)"),
        (lambda: iq_learn.policy_of(TIMED, HALF), r"q has shape \(3, 2\); expected \(4, 3, 2\)"),
        (lambda: iq_learn.inverse_bellman(SMALL, [1.0]), r"q has shape \(1,\); expected \(3, 2\)"),
        (
            lambda: iq_learn.soft_bellman(TIMED, np.ones((3, 3, 2))),
            r"reward has shape \(3, 3, 2\); expected \(4, 3, 2\)",
        ),
        (lambda: iq_learn.price(SMALL, -1.0, HALF), "weight is -1.0; expected a finite number >="),
        (lambda: iq_learn.price(SMALL, 1.0, -HALF), "measure has the entry -0.5; expected"),
        (
            lambda: iq_learn.iq_objective(SMALL, SHOWN, HALF, 0.1),
            r"cost is 0\.1; expected an instance of irl_lib\.iq_learn\.objective\.Price",
        ),
        (
            lambda: iq_learn.reduced_objective(SMALL, SHOWN, HALF, OTHER),
            r"measure has shape \(4, 3, 2\); expected \(3, 2\)",
        ),
        (
            lambda: iq_learn.value_policy_objective(SMALL, SHOWN, np.eye(3, 2), [0, 0, 0], FREE),
            "policy sums to 0 in state 2",
        ),
        (
            lambda: iq_learn.value_policy_objective(SMALL, SHOWN, [[1, 0]] * 3, [0, 0, 0], FREE),
            "policy has an entry 0; expected probabilities above 0",
        ),
        (
            lambda: iq_learn.value_policy_objective(SMALL, SHOWN, HALF, [0, 0], FREE),
            r"v has shape \(2,\); expected \(3,\)",
        ),
        (
            lambda: iq_learn.value_policy_objective(TIMED, TIMED_SHOWN, HALF, [0, 0, 0], OTHER),
            r"v has shape \(3,\); expected \(5, 3\)",
        ),
        (lambda: iq_learn.iq_objective(SMALL, [1.0], HALF, FREE), r"shown has shape \(1,\)"),
    ],
)
def test_each_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_occupancies_that_rounding_takes_below_zero_are_fine() -> None:
    shown = SHOWN.copy()
    shown[0, 1] = -1e-16
    shown[0, 0] += 0.1
    found = module.Problem(SMALL, shown * (SMALL.mass / shown.sum()), 0.1, "expert", None)
    assert found.shown.min() == found.cost.measure.min() == 0.0


def test_sparse_matrices_are_no_tables() -> None:
    with pytest.raises(ValueError, match="demos"):
        iq_learn.iq_learn_tabular(SMALL, sparse.csr_array(SHOWN))
