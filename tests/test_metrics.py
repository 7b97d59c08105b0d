"""Distances between policies, rewards and experts."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_lib import demonstrations, metrics, planning, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array
from strategies import Problem, problems, random_transitions


@settings(max_examples=60)
@given(problems())
def test_the_value_difference_is_zero_for_the_best_and_positive_else(problem: Problem) -> None:
    mdp, reward = problem.mdp, problem.reward
    best = planning.value_iteration(mdp, reward).policy
    scale = max(1.0, np.abs(planning.policy_value(mdp, best, reward)).max())
    assert abs(metrics.expected_value_difference(mdp, best, reward)) < 1e-11 * scale
    policy = problem.policy()
    found = metrics.expected_value_difference(mdp, policy, reward)
    x = planning.occupancy(mdp, best) - planning.occupancy(mdp, policy)
    assert abs(found - (x * reward).sum()) < 1e-10 * scale
    assert found > -1e-10 * scale


def test_the_feature_gap_is_a_euclidean_distance() -> None:
    world = worlds.gridworld(3, seed=1)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    mu = planning.feature_expectations(world.mdp, policy, world.features)
    assert metrics.feature_gap(world.mdp, policy, world.features, mu) == 0.0
    moved = mu + np.array([3.0, 4.0, 0.0, 0.0, 0.0, 0.0])
    assert metrics.feature_gap(world.mdp, policy, world.features, moved) == pytest.approx(5.0)
    with pytest.raises(ValueError, match=r"expert has shape \(2,\); expected \(6,\)"):
        metrics.feature_gap(world.mdp, policy, world.features, [1.0, 2.0])


def test_the_likelihood_is_that_of_the_actions() -> None:
    world = worlds.two_goal()
    policy = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9], [0.5, 0.5]])
    demos = Demonstrations([[1, 2, 3], [2, 1]], [[1, 1], [0]])
    found = metrics.negative_log_likelihood(world.mdp, policy, demos)
    assert found == pytest.approx(-(np.log(0.75) + np.log(0.9) + np.log(0.1)) / 2.0)
    policy[2] = [0.0, 1.0]
    message = "policy gives probability 0 to action 0 in state 2, which trajectory 1 takes at"
    with pytest.raises(ValueError, match=message):
        metrics.negative_log_likelihood(world.mdp, policy, demos)


def test_the_likelihood_follows_a_policy_of_time() -> None:
    world = worlds.gridworld(3, horizon=4, seed=1, discount=1.0)
    plan = planning.soft_value_iteration(world.mdp, world.reward)
    demos = demonstrations.sample(world.mdp, plan.policy, 4_000, np.random.default_rng(0))
    found = metrics.negative_log_likelihood(world.mdp, plan.policy, demos)
    zero = np.zeros_like(world.reward)
    entropy = planning.policy_value(world.mdp, plan.policy, zero, temperature=1.0)[0]
    assert found == pytest.approx(float(world.mdp.initial @ entropy), abs=0.05)


def test_the_effective_sample_size() -> None:
    assert metrics.effective_sample_size(np.full(7, -900.0)) == pytest.approx(7.0)
    assert metrics.effective_sample_size([0.0, -900.0]) == pytest.approx(1.0)
    assert metrics.effective_sample_size(np.log([1.0, 2.0])) == pytest.approx(9.0 / 5.0)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([], "log_weights has shape .0,.; expected one axis, not empty"),
        (1.0, "log_weights has shape ..; expected one axis"),
        ([np.nan], "log_weights is nan at index"),
        (["a"], "log_weights has entries of type"),
        ([[1.0], [1.0, 2.0]], "log_weights is no array of numbers"),
    ],
)
def test_bad_weights_are_named(logs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.effective_sample_size(logs)


# --- what behaviour determines ------------------------------------------------------------------


def soft_policies(mdp: MDP, rewards: Array) -> Array:
    """``(T, S, A)``, T being 1 without a horizon: by plain loops, for a reward per step or one."""
    if mdp.horizon is None:
        return planning.soft_value_iteration(mdp, rewards).policy[None]
    per_step = np.broadcast_to(rewards, (mdp.horizon, mdp.n_states, mdp.n_actions))
    v, found, p = np.zeros(mdp.n_states), [], mdp.dense_transitions()
    for t in reversed(range(mdp.horizon)):
        q = per_step[t] + mdp.discount * (p @ v)
        v = np.log(np.exp(q).sum(axis=1))
        found.append(np.exp(q - v[:, None]))
    return np.array(found[::-1])


def seen(mdp: MDP, policies: Array) -> Array:
    """The rows of the policies for states that can be reached at that step (or ever), by loops."""
    p = mdp.dense_transitions()
    at = {s for s in range(mdp.n_states) if mdp.initial[s] > 0.0}
    steps = [at]
    for _ in range(mdp.n_states if mdp.horizon is None else mdp.horizon - 1):
        at = {x for s in at for x in range(mdp.n_states) if p[s, :, x].max() > 0.0}
        steps.append(at)
    if mdp.horizon is None:
        steps = [set().union(*steps)]
    return np.array([policies[t, s] for t, states in enumerate(steps) for s in sorted(states)])


def sizes(mdp: MDP) -> tuple[int, int]:
    """How many states can be reached, and how many (step, state) pairs."""
    one = np.ones((mdp.horizon or 1, mdp.n_states, 1))
    return mdp.n_states, len(seen(mdp, one))


@st.composite
def settings_of(draw: st.DrawFn) -> tuple[MDP, np.random.Generator]:
    """MDPs in which something is at stake: two states and actions at least, some never reached."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, a = draw(st.sampled_from([3, 4, 5])), draw(st.sampled_from([2, 3]))
    horizon = draw(st.sampled_from([None, 2, 3, 5]))
    discount = draw(st.sampled_from([0.7, 0.9, 1.0]))
    ends = int(horizon is None and discount == 1.0)
    p = random_transitions(rng, n, a, ends, draw(st.sampled_from([1, 2])))
    start = np.zeros(n)
    start[: draw(st.sampled_from([1, n]))] = 1.0
    return MDP(p, start / start.sum(), discount, horizon), rng


def unknown_changes(mdp: MDP, kind: str, phi: Array, found: metrics.Identifiability) -> Array:
    """A unit change of the unknowns, orthogonal to what is said to be open, as a reward."""
    x = np.sin(1.0 + np.arange(found.n_unknowns))
    x -= found.basis @ (found.basis.T @ x)
    x /= max(float(np.linalg.norm(x)), 1e-12)
    table = {"features": phi.reshape(-1, phi.shape[-1])}.get(kind, np.eye(phi[..., 0].size))
    if kind == "states":
        table = np.repeat(np.eye(mdp.n_states), mdp.n_actions, axis=0)
    steps = -1 if kind == "steps" else 1
    change = (x.reshape(-1, table.shape[1]) @ table.T).reshape(steps, *phi.shape[:2])
    change[:, mdp.absorbing & mdp.episodic] = 0.0
    return change if kind == "steps" else change[0]


@pytest.mark.parametrize("kind", ["table", "features", "states", "steps"])
@settings(max_examples=60)
@given(case=settings_of())
def test_the_ambiguity_is_what_no_policy_shows(
    case: tuple[MDP, np.random.Generator], kind: str
) -> None:
    mdp, rng = case
    if kind == "steps" and mdp.horizon is None:
        mdp = MDP(mdp.dense_transitions(), mdp.initial, mdp.discount, 3)
    phi = rng.normal(size=(mdp.n_states, mdp.n_actions, 3))
    phi[mdp.absorbing & mdp.episodic] = 0.0
    base = phi[..., 0] - 3.0 * ~(mdp.absorbing & mdp.episodic)[:, None]
    base = np.array([base] * (mdp.horizon or 1)) if kind == "steps" else base
    options: dict[str, Any] = {"state_only": kind == "states", "per_step": kind == "steps"}
    options["features"] = phi if kind == "features" else None
    found = metrics.identifiability(mdp, **options)
    before = seen(mdp, soft_policies(mdp, base))
    for change in found.rewards:
        assert not mdp.episodic or not change[mdp.absorbing].any()
        after = seen(mdp, soft_policies(mdp, base + change))
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-10)
    change = unknown_changes(mdp, kind, phi, found)
    if found.rank and np.abs(change).max() > 1e-6 and found.last_kept > 1e-3:
        after = seen(mdp, soft_policies(mdp, base + 0.1 * change))
        assert np.abs(after - before).max() > 1e-7
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(found.ambiguity), atol=1e-9)
    assert found.first_dropped <= found.cut < found.last_kept


@settings(max_examples=60)
@given(settings_of())
def test_any_reward_is_open_by_as_many_numbers_as_there_are_states(
    case: tuple[MDP, np.random.Generator],
) -> None:
    mdp, _ = case
    n_states, reached = sizes(mdp)
    if mdp.horizon is not None:
        found = metrics.identifiability(mdp, per_step=True)
        hidden = (mdp.horizon * n_states - reached) * mdp.n_actions
        assert found.ambiguity == reached + hidden
    elif mdp.episodic:
        assert metrics.identifiability(mdp).ambiguity == count_open(mdp)
    else:
        hidden = (n_states - reached) * mdp.n_actions
        assert metrics.identifiability(mdp).ambiguity == reached + hidden


def count_open(mdp: MDP) -> int:
    """The dimension for an episodic MDP: states that matter, and the rewards never reached."""
    marks = np.arange(mdp.n_states)[None, :, None] + 1.0
    reached = {int(x) - 1 for x in seen(mdp, marks).ravel()}
    live = {s for s in range(mdp.n_states) if not mdp.absorbing[s]}
    return len(reached & live) + mdp.n_actions * len(live - reached)


def test_an_end_that_is_never_reached_has_the_reward_zero_all_the_same() -> None:
    p = np.zeros((3, 2, 3))
    p[0, 0, 0] = p[0, 1, 1] = 1.0
    p[1, :, 1] = p[2, :, 2] = 1.0
    found = metrics.identifiability(MDP(p, [1.0, 0.0, 0.0]))
    # Staying gains h - h, leaving gains h: only the step that ends the episode is open.
    np.testing.assert_allclose(np.abs(found.rewards), [[[0, 1], [0, 0], [0, 0]]], atol=1e-12)


def test_a_second_discount_or_other_dynamics_leave_the_constants() -> None:
    near, far, other = (
        worlds.random_mdp(6, 3, 2, seed=seed, discount=g).mdp
        for seed, g in ((1, 0.6), (1, 0.9), (2, 0.9))
    )
    for pair in ([near, far], [far, other]):
        found = metrics.identifiability(pair)
        assert (found.n_unknowns, found.rank) == (18, 17)
        np.testing.assert_allclose(np.abs(found.rewards), np.full((1, 6, 3), 18**-0.5))
    alike = metrics.identifiability([far, far])
    assert alike.ambiguity == 6  # the same thing twice is nothing new


def test_two_discounts_give_the_reward_back() -> None:
    pair = [worlds.random_mdp(6, 3, 2, seed=1, discount=g) for g in (0.6, 0.9)]
    truth = pair[0].reward
    explained, shapings = [], []
    for world in pair:
        policy = planning.soft_value_iteration(world.mdp, truth).policy
        p = world.mdp.dense_transitions()
        shapings.append(np.repeat(np.eye(6), 3, axis=0) - world.mdp.discount * p.reshape(18, 6))
        explained.append(np.log(policy).ravel())
    system = np.hstack([shapings[0], -shapings[1]])
    h = np.linalg.lstsq(system, explained[1] - explained[0], rcond=None)[0]
    off = (explained[0] + shapings[0] @ h[:6]).reshape(6, 3) - truth
    np.testing.assert_allclose(off, off[0, 0], atol=1e-10)


@pytest.mark.parametrize(("n_states", "open_"), [(6, 2), (7, 1)])
def test_an_even_ring_hides_its_checkerboard(n_states: int, open_: int) -> None:
    p = np.zeros((n_states, 2, n_states))
    for s in range(n_states):
        p[s, 0, s - 1] = p[s, 1, (s + 1) % n_states] = 1.0
    mdp = MDP(p, np.eye(n_states)[0], 0.9)
    found = metrics.identifiability(mdp, state_only=True)
    assert found.ambiguity == open_
    board = (-1.0) ** np.arange(n_states)
    in_span = np.linalg.norm(found.basis.T @ board) ** 2 / n_states
    assert (abs(in_span - 1.0) < 1e-12) == (n_states == 6)


def test_a_horizon_pins_a_stationary_reward_down_step_by_step() -> None:
    dimensions = []
    for horizon in (1, 2, 3, 6):
        mdp = worlds.random_mdp(6, 3, 2, seed=1, discount=0.9, horizon=horizon).mdp
        dimensions.append(metrics.identifiability(mdp).ambiguity)
    assert dimensions == [6, 1, 1, 1]
    line = [worlds.chain(6, horizon=t).mdp for t in range(1, 8)]
    line = [MDP(m.dense_transitions(), np.full(6, 1 / 6), 0.9, m.horizon) for m in line]
    found = [metrics.identifiability(m).ambiguity for m in line]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (6, 1)


def test_features_that_are_shapings_are_seen_as_such() -> None:
    mdp = worlds.random_mdp(5, 2, 2, seed=3, discount=0.8).mdp
    h = np.arange(5.0)
    shaping = h[:, None] - 0.8 * mdp.expect(h)
    other = np.random.default_rng(0).normal(size=(5, 2))
    phi = np.stack([shaping, other], axis=2)
    assert metrics.identifiability(mdp, phi).ambiguity == 1
    # A tilt by a millionth is found, and told: the singular value beside the cut is small.
    tilted = np.stack([shaping + 1e-6 * other, other @ np.array([[0, 1], [1, 0]])], axis=2)
    found = metrics.identifiability(mdp, tilted)
    assert found.ambiguity == 0
    assert 1e-7 < found.last_kept < 1e-4
    assert metrics.identifiability(mdp, tilted, tolerance=1e-4).ambiguity == 1
    assert metrics.identifiability(mdp, np.zeros((5, 2, 1))).ambiguity == 1
    for scale in (1e-12, 1e12):
        assert metrics.identifiability(mdp, scale * phi).ambiguity == 1
    nothing = metrics.identifiability(mdp, shaping[..., None])
    assert (nothing.rank, nothing.last_kept) == (0, np.inf)


def test_weights_of_each_step_are_told_apart() -> None:
    mdp = worlds.random_mdp(4, 2, 2, seed=3, discount=0.8, horizon=2).mdp
    of_state, other = np.repeat(np.arange(4.0), 2).reshape(4, 2), np.sin(np.arange(8.0))
    features = np.stack([of_state, other.reshape(4, 2)], axis=2)
    found = metrics.identifiability(mdp, features, per_step=True)
    # At the first step a reward of states alone is a potential; later it attracts.
    np.testing.assert_allclose(np.abs(found.basis), [[1.0], [0.0], [0.0], [0.0]], atol=1e-12)
    np.testing.assert_allclose(np.abs(found.rewards), [[of_state, np.zeros((4, 2))]], atol=1e-12)


def test_what_cannot_be_identified_is_refused() -> None:
    mdp = worlds.random_mdp(4, 2, 2, seed=0).mdp
    short, long = (worlds.random_mdp(4, 2, 2, seed=0, horizon=t).mdp for t in (2, 3))
    wide = worlds.random_mdp(5, 2, 2, seed=0).mdp
    features = np.ones((4, 2, 1))
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "mdps has no entries; expected an MDP, or a sequence of them"),
        ([mdp, "no"], {}, r"mdps\[1\] is 'no'; expected an instance of irl_lib.mdp.MDP"),
        ([mdp, wide], {}, r"mdps\[1\] has 5 states and 2 actions; expected 4 and 2"),
        (mdp, {"per_step": True}, r"per_step is True and mdps\[0\] has the horizon None"),
        ([short, long], {"per_step": True}, r"mdps\[1\] has the horizon 3; expected a finite one"),
        (mdp, {"features": features, "state_only": True}, "features and state_only are both given"),
        (mdp, {"features": np.ones((3, 2, 1))}, "features has shape"),
        (mdp, {"tolerance": 0.0}, "tolerance is 0.0; expected a finite number > 0"),
        (worlds.gridworld(40).mdp, {}, "the matrix of features would have 6,400 x 6,400 entries"),
    ]
    for mdps, options, message in cases:
        with pytest.raises(ValueError, match=message):
            metrics.identifiability(mdps, **options)


# --- how far two rewards are from each other ----------------------------------------------------


class Pair(NamedTuple):
    """A discounted MDP, and what distances need."""

    mdp: MDP
    coverage: Array
    rewards: Array
    """Three of them, ``(3, S, A, S)``."""
    potential: Array


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, a = draw(st.integers(2, 5)), draw(st.integers(2, 3))
    discount = draw(st.sampled_from([0.5, 0.9, 0.99]))
    mdp = MDP(random_transitions(rng, n, a, 0, 2), rng.dirichlet(np.ones(n)), discount)
    coverage = rng.dirichlet(np.full(n * a * n, draw(st.sampled_from([0.1, 1.0]))))
    rewards = rng.normal(size=(3, n, a, n))
    return Pair(mdp, coverage.reshape(n, a, n), rewards, 10.0 * rng.normal(size=n))


def naive_epic(r1: Array, r2: Array, cover: Array, gamma: float, ds: Array, da: Array) -> float:
    """The definition, by loops and numpy's own weighted covariance."""
    n, k, _ = cover.shape

    def canonical(r: Array) -> Array:
        def mean(x: int) -> float:
            return sum(da[u] * ds[y] * r[x, u, y] for u in range(k) for y in range(n))

        offset = sum(ds[x] * mean(x) for x in range(n))
        shaped = np.zeros(cover.shape)
        for s, u, y in itertools.product(range(n), range(k), range(n)):
            shaped[s, u, y] = r[s, u, y] + gamma * mean(y) - mean(s) - gamma * offset
        return shaped.ravel()

    c = np.cov(canonical(r1), canonical(r2), aweights=cover.ravel(), ddof=0)
    return float(np.sqrt(max(0.0, 1.0 - c[0, 1] / np.sqrt(c[0, 0] * c[1, 1])) / 2.0))


@settings(max_examples=60)
@given(pairs())
def test_epic_is_its_definition(pair: Pair) -> None:
    gamma, (r1, r2, _) = pair.mdp.discount, pair.rewards
    n, k, _ = pair.coverage.shape
    marginals = pair.coverage.sum(axis=(1, 2)), pair.coverage.sum(axis=(0, 2))
    found = metrics.epic_distance(r1, r2, pair.coverage, gamma)
    assert found == pytest.approx(naive_epic(r1, r2, pair.coverage, gamma, *marginals), abs=1e-7)
    even = np.full(n, 1 / n), np.full(k, 1 / k)
    found = metrics.epic_distance(r1, r2, pair.coverage, gamma, *even)
    assert found == pytest.approx(naive_epic(r1, r2, pair.coverage, gamma, *even), abs=1e-7)


@settings(max_examples=60)
@given(pairs())
def test_both_are_metrics_up_to_shaping_and_scale(pair: Pair) -> None:
    mdp, gamma, (r1, r2, r3) = pair.mdp, pair.mdp.discount, pair.rewards
    shaped = 3.0 * r1 + gamma * pair.potential - pair.potential[:, None, None]

    def epic(a: Array, b: Array) -> float:
        return metrics.epic_distance(a, b, pair.coverage, gamma)

    def starc(a: Array, b: Array) -> float:
        return metrics.starc_distance(mdp, a, b)

    for distance in (epic, starc):
        assert distance(r1, shaped) < 1e-9
        assert distance(r1, -shaped) == pytest.approx(1.0)
        assert distance(shaped, r2) == pytest.approx(distance(r1, r2), abs=1e-9)
        assert distance(r2, r1) == distance(r1, r2)
        assert 0.0 <= distance(r1, r2) <= 1.0
        assert distance(r1, r3) <= distance(r1, r2) + distance(r2, r3) + 1e-12
        constant = np.full(r1.shape, 7.3)
        assert distance(constant, r1) == pytest.approx(0.5)
        assert distance(constant, np.zeros_like(r1)) == 0.0
        assert distance(constant, constant + shaped - 3.0 * r1) == 0.0


def test_forms_that_are_uncorrelated_are_half_way_to_opposite() -> None:
    # States 0 and 1, one action, no discount: the canonical form is r minus its mean in s.
    even = np.full((2, 2, 2), 1 / 8)
    r1 = np.broadcast_to(np.array([[1.0, -1.0], [1.0, -1.0]])[..., None], (2, 2, 2))
    r2 = np.broadcast_to(np.array([[1.0, -1.0], [-1.0, 1.0]])[..., None], (2, 2, 2))
    assert metrics.epic_distance(r1, r2, even, 0.0) == pytest.approx(np.sqrt(0.5))
    stay = MDP(np.repeat(np.eye(2)[:, None], 2, axis=1), [0.5, 0.5], 0.9)
    assert metrics.starc_distance(stay, r1, r2) == pytest.approx(np.sqrt(0.5))


@settings(max_examples=40)
@given(problems())
def test_starc_is_its_definition_for_every_kind_of_horizon(problem: Problem) -> None:
    mdp, p = problem.mdp, problem.mdp.dense_transitions()
    other = np.where(
        mdp.absorbing[:, None] & mdp.episodic, 0.0, problem.rng.normal(size=p.shape[:2])
    )
    forms = []
    for r in (problem.reward, other):
        v = planning.policy_value(mdp, np.full(r.shape, 1 / mdp.n_actions), r)
        v = v if mdp.horizon is not None else np.array([v, v])
        rows = r + mdp.discount * np.einsum("sax,tx->tsa", p, v[1:]) - v[:-1, :, None]
        flat = seen(mdp, rows).ravel()
        norm = np.linalg.norm(flat)
        forms.append(flat / norm if norm > 1e-9 else np.zeros_like(flat))
    found = metrics.starc_distance(mdp, problem.reward, other)
    assert found == pytest.approx(np.linalg.norm(forms[0] - forms[1]) / 2.0, abs=1e-9)


@settings(max_examples=25)
@given(problems(max_states=4, finite=False, discounts=(0.5, 0.9)))
def test_starc_is_zero_if_and_only_if_policies_are_ordered_alike(problem: Problem) -> None:
    mdp, rng = problem.mdp, problem.rng
    h = rng.normal(size=mdp.n_states)
    same = 0.3 * problem.reward + mdp.discount * mdp.expect(h) - h[:, None]
    other = problem.reward + 0.5 * rng.normal(size=problem.reward.shape)
    policies = rng.dirichlet(np.full(mdp.n_actions, 0.3), size=(400, mdp.n_states))
    visits = np.array([planning.occupancy(mdp, pi) for pi in policies])
    value, alike, unlike = (
        np.einsum("nsa,sa->n", visits, r) for r in (problem.reward, same, other)
    )
    apart = metrics.starc_distance(mdp, problem.reward, same)
    assert apart < 1e-9
    np.testing.assert_allclose(alike - alike[0], 0.3 * (value - value[0]), atol=1e-9)
    swapped = (value[:, None] - value) * (unlike[:, None] - unlike) < -1e-12
    if swapped.any():
        assert metrics.starc_distance(mdp, problem.reward, other) > 1e-6
    if metrics.starc_distance(mdp, problem.reward, other) > 0.2 and np.ptp(value) > 1e-9:
        assert swapped.any() or np.ptp(unlike) < 1e-9


def test_starc_leaves_out_what_is_never_reached() -> None:
    world = worlds.gridworld(3, walls=[(1, 1)], seed=2)
    changed = world.reward.copy()
    changed[4] += 100.0  # the wall
    assert metrics.starc_distance(world.mdp, world.reward, changed) < 1e-14
    changed[3] += 100.0
    assert metrics.starc_distance(world.mdp, world.reward, changed) > 0.1


def test_epic_does_not_know_the_dynamics() -> None:
    world = worlds.random_mdp(5, 2, 2, seed=1, discount=0.9)
    even = np.full((5, 2, 5), 1 / 50)
    h = np.arange(5.0)
    averaged = world.reward + 0.9 * world.mdp.expect(h) - h[:, None]
    assert metrics.starc_distance(world.mdp, world.reward, averaged) < 1e-12
    assert metrics.epic_distance(world.reward, averaged, even, 0.9) > 0.1


def test_the_coverage_of_a_policy_is_its_transitions() -> None:
    world = worlds.gridworld(3, seed=1, discount=0.9)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    cover = metrics.transition_coverage(world.mdp, policy)
    assert cover.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(cover.sum(axis=2), planning.occupancy(world.mdp, policy) * 0.1)
    demos = demonstrations.sample(world.mdp, policy, 3_000, np.random.default_rng(0), length=60)
    step = demos.steps()
    often = np.zeros_like(cover)
    np.add.at(often, (step.state, step.action, step.next_state), 0.9**step.time)
    np.testing.assert_allclose(often / often.sum(), cover, atol=0.005)


def test_bad_rewards_and_coverages_are_named() -> None:
    world = worlds.random_mdp(3, 2, 2, seed=1, discount=0.9)
    even, r = np.full((3, 2, 3), 1 / 18), world.reward
    cases: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((r[:2], r, even, 0.9), {}, r"first has shape \(2, 2\); expected \(3, 2\)"),
        ((r, np.full((3, 2, 3), np.nan), even, 0.9), {}, r"second is nan at index \(0, 0, 0\)"),
        ((r, r, even[0], 0.9), {}, r"coverage has shape \(2, 3\); expected \(S, A, S\)"),
        ((r, r, 2 * even, 0.9), {}, "coverage sums to 2"),
        ((r, r, even, 1.1), {}, r"discount is 1.1; expected a number in \[0, 1\]"),
        ((r, r, even, 0.9), {"states": [0.5, 0.5]}, r"states has shape \(2,\); expected \(3,\)"),
        ((r, r, even, 0.9), {"actions": [2.0, -1.0]}, "actions has the negative entry -1"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            metrics.epic_distance(*arguments, **options)
    with pytest.raises(ValueError, match=r"second has shape \(2, 2\); expected \(3, 2\)"):
        metrics.starc_distance(world.mdp, r, r[:2])
    with pytest.raises(ValueError, match=r"first has shape \(3, 2, 2\); expected \(3, 2, 3\)"):
        metrics.starc_distance(world.mdp, np.ones((3, 2, 2)), r)
    done = worlds.random_mdp(3, 2, 2, seed=1, discount=1.0, n_absorbing=1).mdp
    with pytest.raises(ValueError, match="first is not 0 in the absorbing state 2"):
        metrics.starc_distance(done, np.ones((3, 2)), r)
    with pytest.raises(ValueError, match="the coverage would have 10,000 x 2,500 entries"):
        metrics.transition_coverage(worlds.gridworld(50).mdp, np.full((2500, 4), 0.25))
