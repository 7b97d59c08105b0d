"""Rewards that are networks: their gradient, their optimum, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from irl_lib import demonstrations, max_ent, metrics, planning, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.max_ent import DeepMaxEntResult
from irl_lib.max_ent.likelihood import shown_by, table_objective
from irl_lib.max_ent.neural import NeuralLikelihood
from irl_lib.mdp import MDP
from irl_lib.networks import MapRewardNet, RewardNet, reward_table
from irl_lib.support.checks import Array
from strategies import Problem, ended_twice, problems, slope

OBJECTIVES = ["likelihood", "dual"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(problem: Problem, width: int = 4) -> RewardNet:
    """A network for a problem's features; where episodes end, every step costs enough."""
    seed = int(problem.rng.integers(2**31))
    net = RewardNet(problem.phi.shape[2], generator(seed), hidden=(width,)).double()
    if problem.mdp.episodic:
        last: Any = net.body[2]
        with torch.no_grad():  # the hidden layer adds at most the root of its width
            last.bias.fill_(-0.5 - width**0.5 - np.log(problem.mdp.n_actions))
    return net


def some_demos(problem: Problem, n: int = 3) -> Demonstrations:
    """A few trajectories of a random policy, as far as the horizon, or far enough."""
    policy = problem.policy()
    return demonstrations.sample(problem.mdp, policy, n, problem.rng)


def flat(tensors: Any) -> Array:
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


def solve(*args: Any, **kwargs: Any) -> DeepMaxEntResult:
    """The solution, with every warning an error."""
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        return max_ent.deep_max_ent(*args, **kwargs)


# --- planning that torch can differentiate, written anew ----------------------------------------


def soft_plan(mdp: MDP, transitions: Tensor, reward: Tensor) -> tuple[Tensor, Tensor]:
    """``v`` and ``log pi``, from the soft Bellman equations; with a horizon, for each step."""
    if mdp.horizon is None:
        return fixed_point(mdp, transitions, reward)
    v, values, logs = torch.zeros(mdp.n_states).double(), [], []
    for _ in range(mdp.horizon):
        q = reward + mdp.discount * transitions @ v
        v = torch.logsumexp(q, dim=1)
        values.insert(0, v)
        logs.insert(0, q - v[:, None])
    return torch.stack(values), torch.stack(logs)


def fixed_point(mdp: MDP, transitions: Tensor, reward: Tensor) -> tuple[Tensor, Tensor]:
    """Soft policy iteration: each step solves for the value of a policy, entropy included."""
    going = torch.ones(mdp.n_states).double()
    if mdp.episodic:
        going = torch.tensor(~mdp.absorbing).double()
    log_pi = torch.full_like(reward, -np.log(mdp.n_actions))
    v = torch.zeros(mdp.n_states).double()
    for _ in range(60):
        pi = log_pi.exp()
        chain = mdp.discount * torch.einsum("sa,sap->sp", pi, transitions)
        gain = (pi * (reward - log_pi)).sum(dim=1) * going
        v = torch.linalg.solve(torch.eye(mdp.n_states).double() - going[:, None] * chain, gain)
        q = reward + mdp.discount * transitions @ v
        log_pi = torch.log_softmax(q, dim=1)
    return v, log_pi


def autodiff_objective(
    problem: Problem, net: nn.Module, demos: Demonstrations, objective: str
) -> Tensor:
    """The whole objective of demonstrations as one torch expression."""
    mdp = problem.mdp
    reward = net(torch.tensor(problem.phi))
    if mdp.episodic:
        reward = reward * torch.tensor(~mdp.absorbing)[:, None]
    v, log_pi = soft_plan(mdp, torch.tensor(problem.transitions), reward)
    if objective == "dual":
        first = v if mdp.horizon is None else v[0]
        shown = torch.tensor(demonstrations.complete_occupancy(mdp, demos))
        return (shown * reward).sum() - torch.tensor(mdp.initial) @ first
    total = 0.0 * reward.sum()
    for states, actions in demos:
        for t, (state, action) in enumerate(zip(states[:-1], actions, strict=True)):
            step = log_pi[state, action] if mdp.horizon is None else log_pi[t, state, action]
            total = total + mdp.discount**t * step
    return total / len(demos)


# --- the gradient -------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(problems(discounts=(0.7, 0.9, 1.0)), st.sampled_from(OBJECTIVES))
def test_differences_of_visits_sent_back_are_autodiff(problem: Problem, objective: str) -> None:
    """T1: the gradient equals autodiff through the whole objective, planning included."""
    net, demos = network(problem), some_demos(problem)
    expected = autodiff_objective(problem, net, demos, objective)
    slopes = torch.autograd.grad(expected, list(net.parameters()), allow_unused=True)
    wanted = flat(
        [
            torch.zeros_like(p) if s is None else s
            for p, s in zip(net.parameters(), slopes, strict=True)
        ]
    )
    found = NeuralLikelihood(problem.mdp, problem.phi, demos, net, objective, 0.0).start()
    scale = max(1.0, float(demos.occupancy(problem.mdp).sum()), abs(found.value))
    assert abs(found.value - float(expected.detach())) < 1e-9 * scale
    assert np.abs(found.gradient - wanted).max() < 1e-8 * scale


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(OBJECTIVES), st.sampled_from([0.0, 0.3]))
def test_the_gradient_is_that_of_finite_differences(
    problem: Problem, objective: str, l2: float
) -> None:
    """T1, with every discount, horizon and ending, for rewards of states and of actions."""
    net = network(problem)
    shown = planning.occupancy(problem.mdp, problem.policy())
    likelihood = NeuralLikelihood(problem.mdp, problem.phi, shown, net, objective, l2)
    start = likelihood.start()
    direction = problem.rng.normal(size=start.x.size) / 20.0

    def value(step: float) -> float:
        return likelihood.evaluate(start.x + step * direction).value

    scale = max(1.0, float(shown.sum()))
    assert slope(value, start.gradient @ direction, scale, 1e-9) < 1e-8


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(OBJECTIVES))
def test_the_gradient_vanishes_at_the_truth(problem: Problem, objective: str) -> None:
    """T2: with the exact occupancy of an agent that is soft-optimal for the network's reward."""
    net = network(problem)
    reward = reward_table(problem.mdp, net, problem.phi)
    policy = planning.soft_value_iteration(problem.mdp, reward).policy
    shown = planning.occupancy(problem.mdp, policy)
    found = NeuralLikelihood(problem.mdp, problem.phi, shown, net, objective, 0.0).start()
    assert np.linalg.norm(found.gradient) < 1e-10 * max(1.0, float(shown.sum()))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_both_objectives_agree_for_the_occupancy_of_a_policy(problem: Problem) -> None:
    mdp, shown = problem.mdp, planning.occupancy(problem.mdp, problem.policy())
    likelihood, dual = (
        table_objective(mdp, shown_by(mdp, shown, each), problem.reward) for each in OBJECTIVES
    )
    scale = max(1.0, float(shown.sum()))
    assert abs(likelihood.value - dual.value) < 1e-9 * scale * max(1.0, abs(dual.value))
    np.testing.assert_allclose(likelihood.gradient, dual.gradient, atol=1e-9 * scale)


def test_the_likelihood_is_that_of_the_actions() -> None:
    world = worlds.random_mdp(5, 3, 2, seed=1, discount=1.0, horizon=6)
    demos = demonstrations.sample(world.mdp, np.full((6, 5, 3), 1 / 3), 4, np.random.default_rng(0))
    found = table_objective(world.mdp, shown_by(world.mdp, demos, "likelihood"), world.reward)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    expected = metrics.negative_log_likelihood(world.mdp, policy, demos)
    assert found.value == pytest.approx(-expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_visits_from_the_start_are_an_occupancy(problem: Problem) -> None:
    mdp, policy = problem.mdp, problem.policy()
    start = mdp.initial
    if mdp.horizon is not None:
        start = np.zeros((mdp.horizon, mdp.n_states))
        start[0] = mdp.initial
    found = planning.unchecked_occupancy(mdp, policy, start)
    np.testing.assert_allclose(found, planning.occupancy(mdp, policy), rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_an_expert_visits_what_its_sources_lead_to(problem: Problem) -> None:
    """From its own sources, the policy that copies the shown actions repeats the shown visits."""
    mdp, demos = problem.mdp, some_demos(problem)
    if mdp.horizon is not None:
        return
    shown = shown_by(mdp, demos, "likelihood")
    visits = shown.occupancy.sum(axis=1, keepdims=True)
    copied = np.where(visits > 0.0, shown.occupancy / np.where(visits > 0.0, visits, 1.0), 1.0)
    copied /= copied.sum(axis=1, keepdims=True)
    found = planning.unchecked_occupancy(mdp, copied, shown.sources)
    np.testing.assert_allclose(found, shown.occupancy, atol=1e-9 * max(1.0, float(visits.sum())))


def test_several_maps_add_up() -> None:
    maps = [worlds.objectworld(5, seed=seed, horizon=4) for seed in (1, 2)]
    demos = [some_walks(world, 3) for world in maps]
    net = RewardNet(4, generator(), hidden=(5,))
    mdps, features = [world.mdp for world in maps], [world.features for world in maps]
    both = NeuralLikelihood(mdps, features, demos, net, "likelihood", 0.2).start()
    single = [
        NeuralLikelihood(*each, "likelihood", 0.1).start()
        for each in zip(mdps, features, demos, [net, net], strict=True)
    ]
    assert both.value == pytest.approx(sum(each.value for each in single))
    np.testing.assert_allclose(both.gradient, sum(each.gradient for each in single), atol=1e-12)

    found = solve(mdps, features, demos, net, l2=0.5)
    assert len(found.rewards) == len(found.policy) == 2
    for world, table in zip(maps, found.rewards, strict=True):
        np.testing.assert_array_equal(table, reward_table(world.mdp, found.reward, world.features))


def some_walks(world: Any, n: int, length: int | None = None) -> Demonstrations:
    expert = planning.soft_value_iteration(world.mdp, world.reward, 0.3).policy
    return demonstrations.sample(world.mdp, expert, n, np.random.default_rng(0), length)


# --- the optimum --------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [None, 5])
def test_a_linear_network_reaches_the_optimum_of_max_ent(horizon: int | None) -> None:
    world = worlds.gridworld(4, n_features=3, seed=2, discount=0.9, horizon=horizon)
    expert = planning.soft_value_iteration(world.mdp, world.reward).policy
    shown = planning.occupancy(world.mdp, expert)
    linear = max_ent.max_ent(world.mdp, world.features, shown, l2=0.1, tolerance=1e-9)
    net = RewardNet(3, generator(), hidden=())
    for objective in OBJECTIVES:
        found = solve(
            world.mdp, world.features, shown, net, objective=objective, l2=0.1, tolerance=1e-6
        )
        weights = flat(found.reward.parameters())
        np.testing.assert_allclose(weights[:3], linear.weights, atol=1e-5)
        # A constant changes no behaviour, and l2 leaves biases alone.
        np.testing.assert_allclose(weights[3], flat(net.parameters())[3], atol=1e-5)
        np.testing.assert_allclose(found.rewards - weights[3], linear.reward, atol=1e-5)


def test_a_network_learns_what_no_linear_reward_can() -> None:
    """Blue cells pay where there are four of nine: exact occupancies leave no doubt."""
    world = worlds.binaryworld(7, seed=3)
    expert = planning.soft_value_iteration(world.mdp, world.reward, 0.5).policy
    shown = planning.occupancy(world.mdp, expert)
    losses = []
    for hidden in ((), (24,)):
        net = RewardNet(9, generator(), hidden, centre=np.full(9, 0.5))
        found = solve(world.mdp, world.features, shown, net, l2=1e-3, tolerance=3e-2)
        policy = planning.value_iteration(world.mdp, found.rewards).policy
        losses.append(metrics.expected_value_difference(world.mdp, policy, world.reward))
    assert losses[1] < 0.3 * losses[0]


def test_a_convolution_learns_from_the_cells_themselves() -> None:
    world = worlds.binaryworld(7, seed=3)
    expert = planning.soft_value_iteration(world.mdp, world.reward, 0.5).policy
    shown = planning.occupancy(world.mdp, expert)
    net = MapRewardNet(1, (7, 7), generator(), hidden=(24,))
    cells = world.cells.reshape(49, 1)
    found = solve(world.mdp, cells, shown, net, l2=1e-3, tolerance=3e-2)
    policy = planning.value_iteration(world.mdp, found.rewards).policy
    assert metrics.expected_value_difference(world.mdp, policy, world.reward) < 0.1
    assert np.corrcoef(found.rewards[:, 0], world.reward[:, 0])[0, 1] > 0.9


def test_the_objective_climbs_and_the_certificate_is_the_gradient() -> None:
    world = worlds.objectworld(6, seed=1)
    demos, net = some_walks(world, 8, 6), RewardNet(4, generator(), hidden=(6,))
    found = solve(world.mdp, world.features, demos, net, l2=0.05, tolerance=1e-4)
    values = found.history["objective"]
    assert (np.diff(values) >= -1e-12).all()
    assert found.converged
    assert found.history["gradient_norm"][-1] == found.gradient_norm <= 1e-4
    again = NeuralLikelihood(world.mdp, world.features, demos, found.reward, "likelihood", 0.05)
    assert again.start().value == pytest.approx(values[-1], abs=1e-12)
    plan = planning.soft_value_iteration(world.mdp, found.rewards)
    np.testing.assert_allclose(found.policy, plan.policy, atol=1e-12)


def test_lucky_demonstrations_take_the_dual_beyond_any_likelihood() -> None:
    """The dual of sampled demonstrations goes above 0, where no log-likelihood can be, and on."""
    world = worlds.objectworld(8, seed=1, horizon=8)
    demos, net = some_walks(world, 4), RewardNet(4, generator(), hidden=(16,))
    given_ = world.mdp, world.features, demos, net
    with pytest.warns(RuntimeWarning, match="beyond 1e\\+06: no finite parameters"):
        dual = max_ent.deep_max_ent(*given_, objective="dual")
    with pytest.warns(RuntimeWarning, match="stopped after 60 iterations"):
        bounded = max_ent.deep_max_ent(*given_, max_iterations=60)
    assert dual.history["objective"][-1] > 1.0
    assert not dual.converged
    assert np.isfinite(dual.rewards).all()
    assert (bounded.history["objective"] < 0.0).all()


def test_truncated_demonstrations_have_a_likelihood_and_no_dual() -> None:
    world = worlds.objectworld(6, seed=1, discount=0.9)
    demos, net = some_walks(world, 5, length=4), RewardNet(4, generator(), hidden=(4,))
    assert solve(world.mdp, world.features, demos, net, l2=0.1).converged
    with pytest.raises(ValueError, match="truncated demonstrations leave out"):
        max_ent.deep_max_ent(world.mdp, world.features, demos, net, objective="dual")


def test_episodes_that_were_cut_have_a_likelihood_and_no_dual() -> None:
    world = worlds.gridworld(4, goals=[(3, 3)], slip=0.0, discount=1.0, features=np.ones((16, 1)))
    cost = np.where(world.mdp.absorbing, 0.0, -2.5)[:, None] * np.ones(4)
    policy = planning.soft_value_iteration(world.mdp, cost).policy
    demos = demonstrations.sample(world.mdp, policy, 500, np.random.default_rng(0), length=4)
    net = RewardNet(1, generator(), hidden=()).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(-1.0)
    found = solve(world.mdp, np.ones((16, 1)), demos, net, tolerance=1e-4)
    np.testing.assert_allclose(found.rewards, cost, atol=0.2)
    with pytest.raises(ValueError, match=r"episodes truncated before their end .*likelihood"):
        max_ent.deep_max_ent(world.mdp, np.ones((16, 1)), demos, net, objective="dual")


@pytest.mark.parametrize("horizon", [None, 7])
def test_terminated_flags_and_explicit_absorbing_states_agree(horizon: int | None) -> None:
    """T7: staying to the end, once with each action, is what the flag stands for in the dual."""
    world, *both = ended_twice(horizon)
    mdp = world.mdp
    found = [table_objective(mdp, shown_by(mdp, demos, "dual"), world.reward) for demos in both]
    assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    np.testing.assert_allclose(found[0].gradient, found[1].gradient, atol=1e-12)


@pytest.mark.parametrize(("discount", "horizon"), [(0.9, None), (1.0, None), (0.9, 7), (1.0, 5)])
@pytest.mark.parametrize("terminated", [True, False])
def test_only_what_was_shown_has_a_likelihood(
    discount: float, horizon: int | None, terminated: bool
) -> None:
    """Of who has arrived, too, action by action; its gradient against differences of that sum."""
    world = worlds.gridworld(
        3, goals=[(2, 2)], slip=0.2, seed=1, discount=discount, horizon=horizon
    )
    paths, acts = ([2, 5, 8], [5, 4, 5, 8]), ([1, 1], [3, 0, 1])
    demos = Demonstrations(paths, acts, [terminated] * 2)

    def by_hand(reward: Array) -> float:
        plan = planning.unchecked_soft_plan(world.mdp, reward).policy
        pi = plan if horizon is not None else [plan] * 3
        return sum(
            discount**t * np.log(pi[t][s, a]) / 2
            for path, act in zip(paths, acts, strict=True)
            for t, (s, a) in enumerate(zip(path[:-1], act, strict=True))
        )

    reward = np.where(world.mdp.absorbing[:, None], 0.0, world.reward - 1.5)
    shown = shown_by(world.mdp, demos, "likelihood")
    found = table_objective(world.mdp, shown, reward)
    assert found.value == pytest.approx(by_hand(reward), abs=1e-9)
    moved = np.random.default_rng(0).normal(size=reward.shape) * ~world.mdp.absorbing[:, None]
    slope = (by_hand(reward + 1e-5 * moved) - by_hand(reward - 1e-5 * moved)) / 2e-5
    assert np.sum(found.gradient * moved) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("horizon", [None, 100])
def test_huge_rewards_stay_finite(horizon: int | None) -> None:
    """T8: +-1000 on a grid of 50 by 50."""
    rng = np.random.default_rng(0)
    world = worlds.gridworld(50, features=rng.choice([-1.0, 1.0], (2500, 1)), horizon=horizon)
    net = RewardNet(1, generator(), hidden=(), scale=[1e-3])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    shown = planning.occupancy(world.mdp, np.full((2500, 4), 0.25))
    for objective in OBJECTIVES:
        found = NeuralLikelihood(world.mdp, world.features, shown, net, objective, 0.0).start()
        assert np.isfinite(found.value)
        assert np.isfinite(found.gradient).all()


def test_episodes_that_end_are_learned_and_long_steps_taken_back() -> None:
    """Without discount, rewards above the entropy's cost have no value: the search avoids them."""
    world = worlds.gridworld(4, goals=[(3, 3)], slip=0.0, seed=1, discount=1.0)
    cost = np.where(world.mdp.absorbing, 0.0, -2.0)[:, None] * np.ones(4)
    expert = planning.soft_value_iteration(world.mdp, cost).policy
    shown = planning.occupancy(world.mdp, expert)
    net = RewardNet(16, generator(), hidden=()).double()
    with torch.no_grad():
        list(net.parameters())[1].fill_(-1.6)  # little more than log 4
    found = solve(world.mdp, np.eye(16), shown, net, tolerance=1e-5, max_iterations=2_000)
    np.testing.assert_allclose(found.policy, expert, atol=1e-3)
    assert (found.rewards[world.mdp.absorbing] == 0.0).all()

    with torch.no_grad():
        list(net.parameters())[1].fill_(1.0)
    with pytest.raises(ValueError, match="no finite soft value exists"):
        max_ent.deep_max_ent(world.mdp, np.eye(16), shown, net)


@pytest.mark.parametrize("size", [1.0, 10.0, 100.0])
def test_a_step_too_long_is_taken_back(size: float) -> None:
    """An expert who lingers pulls the rewards up, past where wandering for ever pays."""
    world = worlds.gridworld(4, goals=[(3, 3)], slip=0.0, seed=1, discount=1.0)
    cost = np.where(world.mdp.absorbing, 0.0, -1.45)[:, None] * np.ones(4)
    expert = planning.soft_value_iteration(world.mdp, cost).policy
    shown = planning.occupancy(world.mdp, expert)
    net = RewardNet(1, generator(), hidden=()).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(-3.0 / (1.0 + size))
    features = np.full((16, 1), size)
    refused: list[Array] = []
    evaluate = NeuralLikelihood.evaluate

    def watched(self: NeuralLikelihood, parameters: Array) -> Any:
        found = evaluate(self, parameters)
        if found is None:
            refused.append(parameters)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NeuralLikelihood, "evaluate", watched)
        found = solve(world.mdp, features, shown, net, tolerance=1e-6)
    assert refused or size == 1.0
    np.testing.assert_allclose(found.rewards, cost, atol=1e-5)


# --- what is kept, and what is refused ----------------------------------------------------------


def test_nothing_is_random_and_the_network_passed_stays() -> None:
    world = worlds.objectworld(6, seed=1)
    demos, net = some_walks(world, 5, 6), RewardNet(4, generator(), hidden=(6,))
    before, state = flat(net.parameters()), torch.get_rng_state()
    first = solve(world.mdp, world.features, demos, net, l2=0.1)
    second = solve(world.mdp, world.features, demos, net, l2=0.1)
    np.testing.assert_array_equal(flat(net.parameters()), before)
    assert next(net.parameters()).dtype == torch.float32
    assert next(first.reward.parameters()).dtype == torch.float64
    np.testing.assert_array_equal(first.rewards, second.rewards)
    assert torch.equal(torch.get_rng_state(), state)


def test_too_few_iterations_are_admitted_and_the_last_parameters_returned() -> None:
    world = worlds.objectworld(6, seed=1)
    demos, net = some_walks(world, 5, 6), RewardNet(4, generator(), hidden=(6,))
    with pytest.warns(RuntimeWarning, match=r"stopped after 2 iterations .*last parameters"):
        found = max_ent.deep_max_ent(world.mdp, world.features, demos, net, max_iterations=2)
    assert not found.converged
    assert len(found.history["objective"]) == 3  # the start, and two steps
    again = NeuralLikelihood(world.mdp, world.features, demos, found.reward, "likelihood", 0.0)
    assert again.start().value == pytest.approx(found.history["objective"][-1], abs=1e-12)


def test_what_is_returned_is_where_the_climb_ended_and_not_what_it_tried_last() -> None:
    """With a tolerance below rounding, the last steps that are tried gain nothing."""
    world = worlds.gridworld(4, n_features=3, seed=2, discount=0.9)
    shown = planning.occupancy(world.mdp, np.full((16, 4), 0.25))
    net = RewardNet(3, generator(), hidden=())
    with pytest.warns(RuntimeWarning, match="above the tolerance 1e-30"):
        found = max_ent.deep_max_ent(world.mdp, world.features, shown, net, l2=0.1, tolerance=1e-30)
    again = NeuralLikelihood(world.mdp, world.features, shown, found.reward, "likelihood", 0.1)
    assert again.start().norm == found.gradient_norm == found.history["gradient_norm"][-1]


def test_features_of_states_are_those_of_every_action() -> None:
    world = worlds.objectworld(5, seed=1)
    demos, net = some_walks(world, 3, 6), RewardNet(4, generator(), hidden=(6,))
    repeated = np.repeat(world.features[:, None], 5, axis=1)
    one, other = (
        NeuralLikelihood(world.mdp, each, demos, net, "likelihood", 0.0).start()
        for each in (world.features, repeated)
    )
    assert one.value == pytest.approx(other.value, abs=1e-12)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-12)


class Sum(nn.Module):
    """A reward of another shape than is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, inputs: Tensor) -> Tensor:
        """One number for all of them."""
        return (inputs * self.weight).sum()


def spoilt() -> RewardNet:
    net = RewardNet(4, generator())
    with torch.no_grad():
        next(net.parameters()).fill_(np.nan)
    return net


MAP = worlds.objectworld(5, seed=1).mdp
UNIFORM = np.full((25, 5), MAP.mass / 125)


def frozen() -> RewardNet:
    return RewardNet(4, generator()).requires_grad_(False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reward_net": RewardNet(3, generator())}, "last size is 4; .*n_inputs=3"),
        ({"reward_net": 3}, "reward_net is 3; expected an instance of torch.nn"),
        ({"reward_net": Sum()}, r"reward_net returns \(\) for features \(25, 4\)"),
        ({"reward_net": spoilt()}, r"reward_net\(features\) is nan"),
        ({"reward_net": frozen()}, "no parameters to train"),
        ({"features": np.zeros((24, 4))}, r"features has shape \(24, 4\); expected \(25, 4\)"),
        ({"features": np.zeros(25)}, r"features has shape \(25,\)"),
        ({"features": np.full((25, 4), np.nan)}, "features is nan"),
        ({"features": "distances"}, "features has entries of type"),
        ({"objective": "posterior"}, "objective is 'posterior'; expected one of likelihood, dual"),
        ({"l2": -1.0}, "l2 is -1"),
        ({"tolerance": 0.0}, "tolerance is 0"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"demos": np.ones((25, 5))}, "demos has an occupancy of 125"),
        ({"demos": np.ones((24, 5))}, r"demos has shape \(24, 5\)"),
        ({"demos": [np.ones((25, 5))] * 2, "mdp": []}, "mdp has no entries"),
        ({"mdp": None}, "mdp is None; expected an MDP, or a sequence of them"),
        ({"mdp": [None]}, r"mdp\[0\] is None; expected an instance of irl_lib.mdp.MDP"),
        ({"mdp": [MAP] * 2}, "demos is Demonstrations.*; expected a sequence, one entry for each"),
        (
            {
                "mdp": [MAP] * 2,
                "demos": [UNIFORM] * 2,
                "features": [np.zeros((25, 4)), np.zeros(25)],
            },
            r"features has shape \(25,\)",
        ),
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, Any], message: str) -> None:
    world = worlds.objectworld(5, seed=1)
    given_: dict[str, Any] = {
        "mdp": world.mdp,
        "reward_net": RewardNet(4, generator()),
        "demos": some_walks(world, 2, 5),
        "features": world.features,
    }
    with pytest.raises(ValueError, match=message):
        max_ent.deep_max_ent(**(given_ | wrong))


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    world = worlds.objectworld(5, seed=1)
    demos = some_walks(world, 2, 5)
    solve(world.mdp, world.features, demos, RewardNet(4, generator()), l2=0.1, progress=True)
    assert "deep_max_ent" in capsys.readouterr().err


def test_max_ent_imports_without_torch_and_says_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from irl_lib import max_ent\n"
        "try:\n    max_ent.deep_max_ent(None, None, None, None)\n"
        "except ImportError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "irl_lib[torch]"' in ran.stdout
