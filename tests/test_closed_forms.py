"""Worlds whose answers are known in closed form, through every method.

Each has a name and formulas that were derived by hand; every method that says something of such a
world has to say that, to nine digits where it is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from irl_lib import behavior_cloning, demonstrations, max_ent, max_margin, planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

EXACT = {"rtol": 1e-9, "atol": 1e-9}
near = np.testing.assert_allclose


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


# --- the bandit with two arms: one state, one step ----------------------------------------------

ARMS = MDP(np.ones((1, 2, 1)), [1.0], horizon=1)
SECOND = np.array([[[0.0], [1.0]]])  # the feature: whether it is the second arm
PAYS = np.array([[0.3, 1.5]])


def test_soft_plans_of_a_bandit_are_a_sigmoid_of_the_difference() -> None:
    p, log_z = sigmoid(1.2), np.logaddexp(0.3, 1.5)
    soft, tilted = (
        plan(ARMS, PAYS) for plan in (planning.soft_value_iteration, planning.trajectory_posterior)
    )
    for plan in (soft, tilted):  # without chance they are the same
        near(plan.policy, [[[1.0 - p, p]]], **EXACT)
        near(plan.v, [[log_z], [0.0]], **EXACT)
    near(planning.log_partition(ARMS, tilted), log_z, **EXACT)
    near(planning.occupancy(ARMS, soft.policy), [[1.0 - p, p]], **EXACT)
    near(planning.trajectory_occupancy(ARMS, tilted), [[1.0 - p, p]], **EXACT)
    near(planning.policy_value(ARMS, soft.policy, PAYS, temperature=1.0)[0], [log_z], **EXACT)
    near(planning.policy_value(ARMS, soft.policy, PAYS)[0], [0.3 + 1.2 * p], **EXACT)
    cold = planning.soft_value_iteration(ARMS, PAYS, temperature=0.1)
    near(cold.policy[0, 0, 1], sigmoid(12.0), **EXACT)
    hard = planning.value_iteration(ARMS, PAYS)
    near(hard.policy, [[[0.0, 1.0]]])
    near(hard.v[0], [1.5])
    near(planning.best_case(ARMS, PAYS), 1.5)


def test_the_occupancy_of_a_bandit_moves_by_its_variance() -> None:
    """By p (1 - p), the derivative of the sigmoid."""
    p = sigmoid(1.2)
    direction = np.array([[0.0, 1.0]])
    slope = [[-p * (1.0 - p), p * (1.0 - p)]]
    soft, tilted = (
        planning.soft_value_iteration(ARMS, PAYS),
        planning.trajectory_posterior(ARMS, PAYS),
    )
    near(planning.occupancy_derivative(ARMS, soft, direction), slope, **EXACT)
    near(planning.trajectory_occupancy_derivative(ARMS, tilted, direction), slope, **EXACT)


@pytest.mark.parametrize("method", ["l-bfgs", "newton-cg"])
@pytest.mark.parametrize("causal", [True, False])
def test_the_weight_of_a_bandit_is_the_log_odds(method: str, causal: bool) -> None:
    for share in (0.2, 0.75, 0.99):
        fit = max_ent.max_ent(ARMS, SECOND, [share], causal=causal, method=method, tolerance=1e-12)
        near(fit.weights, [np.log(share / (1.0 - share))], **EXACT)
        near(fit.policy, [[[1.0 - share, share]]], **EXACT)


def test_the_objective_of_a_bandit() -> None:
    """Of w: w mu - log(1 + e^w), less l2 w^2 / 2."""
    found = max_ent.objective(ARMS, SECOND, [0.75], [0.4], l2=0.5)
    near(found.value, 0.4 * 0.75 - np.logaddexp(0.0, 0.4) - 0.25 * 0.4**2, **EXACT)
    near(found.gradient, [0.75 - sigmoid(0.4) - 0.5 * 0.4], **EXACT)


def pulled(first: int, second: int) -> Demonstrations:
    """So many pulls of each arm, a trajectory each."""
    arms = [[0]] * first + [[1]] * second
    return Demonstrations([[0, 0]] * len(arms), arms)


def test_clones_of_a_bandit_are_shares() -> None:
    demos = pulled(1, 3)
    found = behavior_cloning.clone(ARMS, demos)
    near(found.policy, [[0.25, 0.75]], **EXACT)
    near(found.log_likelihood, 0.25 * np.log(0.25) + 0.75 * np.log(0.75), **EXACT)
    assert found.certificate["gradient"] < 1e-9
    laplace = behavior_cloning.clone(ARMS, demos, smoothing=1.0)
    near(laplace.policy, [[2 / 6, 4 / 6]], **EXACT)
    fit = max_ent.max_ent(ARMS, SECOND, demos, tolerance=1e-12)
    near(fit.weights, [np.log(3.0)], **EXACT)  # the same policy, by its reward
    near(fit.policy[0], found.policy, **EXACT)


def test_the_margin_of_a_bandit() -> None:
    """One rival at a distance d: the smallest weights with a lead of one are d / |d|^2."""
    both = np.eye(2)[None]
    found = max_margin.max_margin(ARMS, both, np.array([[0.0, 1.0]]))
    near(found.weights, [-0.5, 0.5], atol=1e-6)  # of a solver for convex programs
    near(found.policy, [[[0.0, 1.0]]])


def test_the_projection_on_a_bandit_mixes_its_arms() -> None:
    found = max_margin.projection(ARMS, SECOND, np.array([0.3]), tolerance=1e-9)
    near(found.policy, [[[0.7, 0.3]]], **EXACT)
    near(found.distance, 0.0, atol=1e-9)
    near(sorted(found.shares), [0.3, 0.7], **EXACT)


# --- stay or leave: an episode of geometric length ----------------------------------------------
# Staying in state 0 pays a < 0, leaving pays b and ends.  Of V = log(e^(a + V) + e^b) the solution
# is V = b - log(1 - e^a), and the chance of staying is p = e^a: the lengths are geometric.

STAY_PAYS, LEAVE_PAYS = -0.4, 0.7
LEAVING = MDP([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]], [1.0, 0.0])
STAYS = np.array([[[1.0], [0.0]], [[0.0], [0.0]]])
REWARD = np.array([[STAY_PAYS, LEAVE_PAYS], [0.0, 0.0]])


def test_soft_plans_of_staying_or_leaving() -> None:
    p = np.exp(STAY_PAYS)
    plan = planning.soft_value_iteration(LEAVING, REWARD)
    near(plan.v, [LEAVE_PAYS - np.log(1.0 - p), 0.0], **EXACT)
    near(plan.policy[0], [p, 1.0 - p], **EXACT)
    near(planning.policy_value(LEAVING, plan.policy, REWARD, temperature=1.0), plan.v, **EXACT)
    paid = STAY_PAYS * p / (1.0 - p) + LEAVE_PAYS
    near(planning.policy_value(LEAVING, plan.policy, REWARD)[0], paid, **EXACT)
    visits = planning.occupancy(LEAVING, plan.policy)
    near(visits, [[p / (1.0 - p), 1.0], [0.0, 0.0]], **EXACT)
    near(planning.value_iteration(LEAVING, REWARD).v, [LEAVE_PAYS, 0.0], **EXACT)


def test_the_visits_of_staying_move_with_its_reward() -> None:
    """d/da of e^a / (1 - e^a)."""
    p = np.exp(STAY_PAYS)
    plan = planning.soft_value_iteration(LEAVING, REWARD)
    moved = planning.occupancy_derivative(LEAVING, plan, STAYS[..., 0])
    near(moved, [[p / (1.0 - p) ** 2, 0.0], [0.0, 0.0]], **EXACT)


def stayed(*times: int) -> Demonstrations:
    """Episodes in which somebody stayed so often before they left."""
    states = [[0] * (n + 1) + [1] for n in times]
    return Demonstrations(states, [[0] * n + [1] for n in times], terminated=True)


def test_the_reward_of_staying_is_a_logarithm() -> None:
    """Of m stays in the mean: log of m / (1 + m), by the counts, the actions and the clone."""
    demos, m = stayed(0, 1, 5), 2.0
    near(demos.feature_expectations(LEAVING, STAYS), [m], **EXACT)
    settings: Any = {"tolerance": 1e-12, "initial_weights": [-2.0]}  # at zero nobody would leave
    for expert in (demos, demos.occupancy(LEAVING), [m]):
        fit = max_ent.max_ent(LEAVING, STAYS, expert, **settings)
        near(fit.weights, [np.log(m / (1.0 + m))], **EXACT)
    shown = max_ent.max_ent(LEAVING, STAYS, demos, objective="likelihood", **settings)
    near(shown.weights, [np.log(m / (1.0 + m))], **EXACT)
    near(behavior_cloning.clone(LEAVING, demos).policy[0], [2 / 3, 1 / 3], **EXACT)


def test_sampled_episodes_are_of_geometric_length() -> None:
    n, p = 20_000, np.exp(STAY_PAYS)
    policy = planning.soft_value_iteration(LEAVING, REWARD).policy
    demos = demonstrations.sample(LEAVING, policy, n, np.random.default_rng(0))
    stays = np.array([len(actions) - 1 for actions in demos.actions])
    assert demos.terminated.all()
    assert abs(stays.mean() - p / (1.0 - p)) < 4.0 * np.sqrt(p / n) / (1.0 - p)
    for k in range(4):
        chance = (1.0 - p) * p**k
        assert abs(np.mean(stays == k) - chance) < 4.0 * np.sqrt(chance * (1.0 - chance) / n)


# --- the gamble: where likelihood of trajectories and causal entropy part -----------------------

WIN, LOSE = 1.3, -2.0
CHANCES = np.zeros((4, 2, 4))  # safe or risky; then a step that is paid by where one is
CHANCES[0, 0, 3] = CHANCES[1, :, 1] = CHANCES[2, :, 2] = CHANCES[3, :, 3] = 1.0
CHANCES[0, 1, [1, 2]] = 0.5
GAMBLE = MDP(CHANCES, [1.0, 0.0, 0.0, 0.0], horizon=2)
STAKES = np.array([[0.0, 0.0], [WIN, WIN], [LOSE, LOSE], [0.0, 0.0]])


def test_the_gambler_counts_on_luck_and_the_causal_one_does_not() -> None:
    lucky = np.log(0.5 * (np.exp(WIN) + np.exp(LOSE)))
    tilted, causal = (
        plan(GAMBLE, STAKES)
        for plan in (planning.trajectory_posterior, planning.soft_value_iteration)
    )
    near(tilted.policy[0, 0, 1], sigmoid(lucky), **EXACT)
    near(causal.policy[0, 0, 1], sigmoid(0.5 * (WIN + LOSE)), **EXACT)
    log_z = np.log(2.0) + np.logaddexp(0.0, lucky)  # the second step has two equal actions
    near(planning.log_partition(GAMBLE, tilted), log_z, **EXACT)
    won = planning.trajectory_occupancy(GAMBLE, tilted)[1].sum()
    near(won, sigmoid(lucky) * sigmoid(WIN - LOSE), **EXACT)
    near(planning.occupancy(GAMBLE, causal.policy)[1].sum(), 0.5 * causal.policy[0, 0, 1], **EXACT)
    near(planning.best_case(GAMBLE, STAKES), WIN)
    near(planning.value_iteration(GAMBLE, STAKES).v[0, 0], 0.0, atol=1e-12)


# --- a machine that wears out -------------------------------------------------------------------
# It runs (action 0), or is replaced (action 1) for a cost of 1.  While it is good (state 0) a run
# pays 3, and half of the time it is worn afterwards; worn (state 1), a run pays 1.  With a discount
# of 0.9 it is best to run a good one and replace a worn one, of which by hand
#     V_good = 3 + .9 (V_good + V_worn) / 2,  V_worn = -1 + .9 V_good:  510 / 29 and 430 / 29.

MACHINE = MDP([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]], [1.0, 0.0], discount=0.9)
INCOME = np.array([[3.0, -1.0], [1.0, -1.0]])
BEST = np.array([[1.0, 0.0], [0.0, 1.0]])


def test_a_machine_that_wears_out_is_replaced() -> None:
    plan = planning.value_iteration(MACHINE, INCOME)
    near(plan.v, [510 / 29, 430 / 29], **EXACT)
    near(plan.q, [[510 / 29, 430 / 29], [1.0 + 0.9 * 430 / 29, 430 / 29]], **EXACT)
    near(plan.policy, BEST)
    near(planning.policy_value(MACHINE, BEST, INCOME), plan.v, **EXACT)
    visits = planning.occupancy(MACHINE, BEST)
    near(visits, [[200 / 29, 0.0], [0.0, 90 / 29]], **EXACT)
    near(planning.feature_expectations(MACHINE, BEST, INCOME[..., None]), [510 / 29], **EXACT)
    near(planning.policy_value(MACHINE, BEST[[0, 0]], INCOME)[1], 10.0, **EXACT)  # worn for ever


def test_who_replaces_worn_machines_is_followed() -> None:
    """By the methods that take an occupancy; the reward is one of many that explain it."""
    visits = planning.occupancy(MACHINE, BEST)
    features = np.eye(4).reshape(2, 2, 4)
    near(max_margin.max_margin(MACHINE, features, visits).policy, BEST)
    mixture = max_margin.projection(MACHINE, features, visits, tolerance=1e-9)
    near(mixture.policy, BEST, **EXACT)
    near(mixture.mixture, visits.ravel(), **EXACT)


# --- Puterman's example -------------------------------------------------------------------------
# Puterman (2005), Markov decision processes, section 3.1: in the first state, 5 and an even chance
# to stay, or 10 and on; the second costs 1 for ever.  With a discount of .95 V is -60/7 and -20.

PUTERMAN = MDP([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]], [1.0, 0.0], discount=0.95)
PAID = np.array([[5.0, 10.0], [-1.0, -1.0]])


def soft_puterman() -> Array:
    """By hand, too: the second state's V is (log 2 - 1) / .05; the first one's solves one equation
    in one unknown, here by bisection.
    """
    second = (np.log(2.0) - 1.0) / 0.05

    def excess(v: float) -> float:
        stay = 5.0 + 0.475 * (v + second)
        return float(np.logaddexp(stay, 10.0 + 0.95 * second) - v)

    low, high = -100.0, 100.0  # the excess falls in v
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return np.array([low, second])


def test_putermans_example() -> None:
    plan = planning.value_iteration(PUTERMAN, PAID)
    near(plan.v, [-60 / 7, -20.0], **EXACT)
    near(plan.policy[0], [1.0, 0.0])
    near(planning.policy_value(PUTERMAN, plan.policy, PAID), plan.v, **EXACT)
    near(planning.occupancy(PUTERMAN, plan.policy)[0], [1 / 0.525, 0.0], **EXACT)
    soft = planning.soft_value_iteration(PUTERMAN, PAID)
    near(soft.v, soft_puterman(), **EXACT)
    near(planning.policy_value(PUTERMAN, soft.policy, PAID, temperature=1.0), soft.v, **EXACT)


def test_a_soft_expert_of_putermans_example_is_found_again() -> None:
    """One feature that the rewards differ in: its weight is known up to nothing."""
    features: Any = PAID[..., None]
    policy = planning.soft_value_iteration(PUTERMAN, 0.3 * PAID).policy
    mu = planning.feature_expectations(PUTERMAN, policy, features)
    fit = max_ent.max_ent(PUTERMAN, features, mu, method="newton-cg", tolerance=1e-10)
    near(fit.weights, [0.3], **EXACT)
    near(fit.policy, policy, **EXACT)
