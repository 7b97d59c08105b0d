"""The MDP: its inputs, its refusals, and the trajectories that it can list."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import irl_lib
from irl_lib import max_ent, planning, worlds
from irl_lib.mdp import MDP, add_product, enumerate_policies, enumerate_trajectories, feature_matrix
from irl_lib.support.checks import Array
from strategies import Problem, all_paths, in_form, path_total, problems

STAY = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
START = [1.0, 0.0]


def changed(index: tuple[int, ...], value: float) -> Array:
    array = STAY.copy()
    array[index] = value
    return array


# --- input ------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(problems(), st.sampled_from(["dense", "csr", "sequence"]))
def test_every_form_of_input_is_the_same_mdp(problem: Problem, form: str) -> None:
    mdp = problem.mdp
    given_form = in_form(form, problem.transitions)
    before = copy.deepcopy(given_form)
    same = MDP(given_form, mdp.initial, mdp.discount, mdp.horizon)
    np.testing.assert_allclose(same.dense_transitions(), problem.transitions, atol=1e-15)
    np.testing.assert_allclose(mdp.dense_transitions(), problem.transitions, atol=1e-15)
    v, x = problem.rng.normal(size=mdp.n_states), problem.rng.random(problem.reward.shape)
    np.testing.assert_allclose(same.expect(v), problem.transitions @ v, atol=1e-14)
    arriving = np.einsum("sa,sat->t", x, problem.transitions)
    np.testing.assert_allclose(same.flow(x), arriving, atol=1e-14)
    same.matrix.data[:] = 0.0  # the MDP has its own memory: what was given stays as it was
    for a, b in zip(as_dense(given_form), as_dense(before), strict=True):
        np.testing.assert_array_equal(a, b)


def as_dense(form: Any) -> list[Array]:
    parts = form if isinstance(form, list) else [form]
    return [part.toarray() if sparse.issparse(part) else part for part in parts]


@pytest.mark.parametrize("make", [list, tuple, np.float32, np.asfortranarray])
def test_numbers_of_other_kinds_are_fine(make: Any) -> None:
    transitions = make(STAY.tolist()) if make in (list, tuple) else make(STAY)
    mdp = MDP(transitions, START, np.float32(0.5), np.int64(3))
    np.testing.assert_array_equal(mdp.dense_transitions(), STAY)
    assert type(mdp.discount) is float
    assert type(mdp.horizon) is int


def test_whole_numbers_and_booleans_are_numbers() -> None:
    for kind in (int, bool, np.uint8):
        mdp = MDP(STAY.astype(kind), np.array([1, 0], dtype=kind), 1, 2)
        np.testing.assert_array_equal(mdp.dense_transitions(), STAY)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array", "bsr_array", "lil_array"])
def test_every_sparse_format_is_fine(kind: str) -> None:
    stacked = getattr(sparse, kind)(STAY.reshape(4, 2))
    np.testing.assert_array_equal(MDP(stacked, START, 0.9).dense_transitions(), STAY)
    parts = [getattr(sparse, kind)(STAY[:, a]) for a in range(2)]
    np.testing.assert_array_equal(MDP(parts, START, 0.9).dense_transitions(), STAY)


def test_duplicate_entries_are_added_up() -> None:
    halves = sparse.coo_array(([0.5, 0.5, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    np.testing.assert_array_equal(
        MDP(halves, START, 0.9).dense_transitions()[:, 0], [[0.0, 1.0], [1.0, 0.0]]
    )


def test_one_sparse_action_is_not_shared() -> None:
    part = sparse.csr_array(np.array([[0.5, 0.5], [0.0, 1.0 + 1e-9]]))
    MDP([part], START, 0.9)
    assert part.toarray()[1, 1] == 1.0 + 1e-9


def test_read_only_input_is_fine_and_the_start_is_a_copy() -> None:
    start, transitions = np.array(START), STAY.copy()
    transitions.setflags(write=False)
    mdp = MDP(transitions, start, 0.9)
    start[:] = 0.5
    np.testing.assert_array_equal(mdp.initial, START)
    with pytest.raises(ValueError, match="read-only"):
        mdp.initial[0] = 0.0


def test_rows_within_the_tolerance_are_normalised() -> None:
    mdp = MDP(changed((0, 0, 0), 1.0 + 5e-7), [1.0 + 5e-7, 0.0], 0.9)
    assert mdp.dense_transitions().sum(axis=2).max() == 1.0
    assert mdp.initial.sum() == 1.0


def test_indices_are_small_integers() -> None:
    assert worlds.gridworld(5).mdp.matrix.indices.dtype == np.int32


def test_what_an_mdp_says_of_itself() -> None:
    mdp = MDP(STAY, START)
    assert repr(mdp) == "MDP(n_states=2, n_actions=2, discount=1.0, horizon=None)"
    assert mdp.episodic
    assert mdp.mass == np.inf
    np.testing.assert_array_equal(mdp.absorbing, [False, True])
    assert MDP(STAY, START, 0.5).mass == 2.0
    assert MDP(STAY, START, 0.5, 3).mass == 1.75
    assert MDP(STAY, START, 1.0, 7).mass == 7.0
    again = pickle.loads(pickle.dumps(mdp))
    np.testing.assert_array_equal(again.dense_transitions(), STAY)


def test_a_state_that_can_be_left_is_not_absorbing() -> None:
    nearly = np.array([[[1.0 - 1e-7, 1e-7]], [[0.0, 1.0]]])
    np.testing.assert_array_equal(MDP(nearly, START).absorbing, [False, True])


# --- bad input --------------------------------------------------------------------------------

BAD_MDPS: list[tuple[dict[str, Any], str]] = [
    ({"transitions": changed((0, 0, 0), 0.9)}, r"transitions sums to 0.9 over s' at s=0, a=0"),
    ({"transitions": changed((1, 1, 0), 0.2)}, r"transitions sums to 1.2 over s' at s=1, a=1"),
    (
        {"transitions": [[[1.5, -0.5], [0.0, 1.0]], [[0.0, 1.0]] * 2]},
        "transitions is -0.5 at s=0, a=0; expected >= 0",
    ),
    ({"transitions": changed((0, 1, 0), np.nan)}, "transitions is nan at s=0, a=1; expected"),
    ({"transitions": changed((1, 0, 1), np.inf)}, "transitions is inf at s=1, a=0; expected"),
    ({"transitions": np.ones((2, 2))}, r"transitions has shape \(2, 2\); expected \(S, A, S\)"),
    ({"transitions": np.ones((2, 3, 4))}, r"transitions has shape \(2, 3, 4\)"),
    ({"transitions": np.ones((0, 1, 0))}, r"transitions has shape \(0, 1, 0\)"),
    ({"transitions": np.ones((2, 0, 2))}, r"transitions has shape \(2, 0, 2\)"),
    ({"transitions": []}, r"transitions has shape \(0,\)"),
    ({"transitions": [[[1.0, 0.0]], [[1.0]]]}, "transitions is no array of numbers"),
    ({"transitions": None}, "transitions has entries of type object; expected real numbers"),
    ({"transitions": "dense"}, "transitions has entries of type <U5; expected real numbers"),
    ({"transitions": STAY.astype(complex)}, "transitions has entries of type complex128"),
    ({"transitions": STAY.astype(str)}, "transitions has entries of type <U32"),
    ({"transitions": sparse.csr_array((3, 2))}, r"transitions has shape \(3, 2\); expected \(S\*A"),
    ({"transitions": sparse.csr_array((4, 2))}, "transitions sums to 0 over s' at s=0, a=0"),
    ({"transitions": sparse.csr_array(STAY.reshape(4, 2) * 1j)}, "entries of type complex128"),
    (
        {"transitions": [sparse.eye_array(2), sparse.eye_array(3)]},
        r"transitions\[0\] has shape \(2, 2\); expected a sparse matrix of shape \(3, 3\)",
    ),
    ({"transitions": [np.eye(2), sparse.eye_array(2)]}, r"transitions\[0\] has shape \(2, 2\)"),
    ({"initial": [0.5, 0.4]}, "initial sums to 0.9; a distribution sums to 1"),
    ({"initial": [1.5, -0.5]}, "initial has the negative entry -0.5"),
    ({"initial": [np.nan, 1.0]}, r"initial is nan at index \(0,\)"),
    ({"initial": [1.0]}, r"initial has shape \(1,\); expected \(2,\)"),
    ({"initial": 0}, r"initial has shape \(\); expected \(2,\)"),
    ({"initial": None}, "initial has entries of type object"),
    ({"discount": 1.1}, r"discount is 1.1; expected a number in \(0, 1\]"),
    ({"discount": 0.0}, "discount is 0.0; expected"),
    ({"discount": -0.5}, "discount is -0.5; expected"),
    ({"discount": np.nan}, "discount is nan; expected"),
    ({"discount": "0.9"}, "discount is '0.9'; expected"),
    ({"discount": None}, "discount is None; expected"),
    ({"discount": True}, "discount is True; expected"),
    ({"discount": 1j}, "discount is 1j; expected"),
    ({"discount": np.complex128(0.5)}, "discount is .*; expected"),
    ({"horizon": 0}, "horizon is 0; expected a whole number, at least 1, or None"),
    ({"horizon": -3}, "horizon is -3; expected"),
    ({"horizon": 2.0}, "horizon is 2.0; expected"),
    ({"horizon": "5"}, "horizon is '5'; expected"),
    ({"horizon": True}, "horizon is True; expected"),
    ({"transitions": np.full((2, 1, 2), 0.5), "discount": 1.0}, "needs absorbing states that end"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD_MDPS)
def test_bad_input_is_named(wrong: dict[str, Any], message: str) -> None:
    right = {"transitions": STAY, "initial": START, "discount": 0.9, "horizon": None}
    with pytest.raises(ValueError, match=message):
        MDP(**{**right, **wrong})


def test_a_state_without_a_way_to_an_end_is_named() -> None:
    loop = np.zeros((3, 1, 3))
    loop[[0, 1, 2], 0, [1, 0, 2]] = 1.0
    message = r"no absorbing state can be reached from state 0 \(and 1 more\): give a horizon"
    with pytest.raises(ValueError, match=message):
        MDP(loop, [1.0, 0.0, 0.0])


@settings(max_examples=60)
@given(
    st.recursive(
        st.one_of(st.none(), st.text(max_size=2), st.floats(), st.integers(), st.booleans()),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=12,
    )
)
def test_whatever_is_passed_the_error_names_the_argument(value: Any) -> None:
    for name in ("transitions", "initial", "discount", "horizon"):
        right = {"transitions": STAY, "initial": START, "discount": 0.9, "horizon": None}
        try:
            MDP(**{**right, name: value})
        except ValueError as error:
            assert str(error).startswith(name)  # noqa: PT017 - most values are refused, some not


# --- features ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(problems())
def test_every_form_of_features_is_the_same_matrix(problem: Problem) -> None:
    matrix = feature_matrix(problem.mdp, problem.features)
    dense = matrix.toarray() if sparse.issparse(matrix) else matrix
    np.testing.assert_array_equal(dense, problem.phi.reshape(-1, problem.phi.shape[-1]))


BAD_FEATURES: list[tuple[Any, str]] = [
    (np.full((2, 2, 1), np.nan), r"features is nan at index \(0, 0, 0\)"),
    (np.ones((3, 2, 1)), r"features has shape \(3, 2, 1\); expected \(2, 2, 1\)"),
    (np.ones((2, 3, 1)), r"features has shape \(2, 3, 1\); expected \(2, 2, 1\)"),
    (np.ones(2), r"features has shape \(2,\); expected \(2, 2, K\) or \(2, K\)"),
    (np.ones((2, 2, 0)), "features has shape .* with at least one feature"),
    (sparse.csr_array(np.full((4, 1), np.inf)), "features has an entry that is not finite"),
    (sparse.csr_array((3, 1)), r"features has shape \(3, 1\); expected \(4, K\), a row for each"),
    (sparse.csr_array((4, 0)), r"features has shape \(4, 0\)"),
    (None, "features has entries of type object"),
    ([["a", "b"]] * 2, "features has entries of type <U1"),
    ([[1.0], [1.0, 2.0]], "features is no array of numbers"),
]


@pytest.mark.parametrize(("features", "message"), BAD_FEATURES)
def test_bad_features_are_named(features: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_matrix(MDP(STAY, START, 0.9), features)


# --- all trajectories: T9 ---------------------------------------------------------------------

TINY = {"max_states": 3, "max_actions": 2, "max_horizon": 3, "finite": True}


@settings(max_examples=200)
@given(problems(**TINY))
def test_the_list_of_trajectories_is_complete(problem: Problem) -> None:
    paths = all_paths(problem.mdp, problem.transitions)
    listed = enumerate_trajectories(problem.mdp)
    chances = {
        (tuple(s), tuple(a)): np.exp(log)
        for s, a, log in zip(
            listed.states.tolist(), listed.actions.tolist(), listed.log_dynamics, strict=True
        )
    }
    assert len(chances) == len(listed.states) == len(paths)
    for path in paths:
        assert abs(chances[path.states, path.actions] - path.chance) < 1e-14
    gamma, policy = problem.mdp.discount, problem.policy()
    by_path = {(path.states, path.actions): path for path in paths}
    totals, logs = listed.total(problem.phi, gamma), listed.log_policy(policy)
    for i, key in enumerate(zip(listed.states.tolist(), listed.actions.tolist(), strict=True)):
        path = by_path[tuple(key[0]), tuple(key[1])]
        np.testing.assert_allclose(totals[i], path_total(path, problem.phi, gamma), atol=1e-13)
        chosen = [policy[t, path.states[t], a] for t, a in enumerate(path.actions)]
        np.testing.assert_allclose(np.exp(logs[i]), np.prod(chosen), atol=1e-14)


@settings(max_examples=200)
@given(problems(**TINY))
def test_the_posterior_is_the_sum_over_all_trajectories(problem: Problem) -> None:
    """T9: Z, the posterior's marginals and policy, the likelihood and its gradient."""
    mdp, gamma = problem.mdp, problem.mdp.discount
    paths = all_paths(mdp, problem.transitions)
    weight = np.array(
        [path.chance * np.exp(path_total(path, problem.reward, gamma)) for path in paths]
    )
    plan = planning.trajectory_posterior(mdp, problem.reward)
    log_z = planning.log_partition(mdp, plan)
    assert abs(log_z - np.log(weight.sum())) < 1e-12
    visits = np.zeros((mdp.horizon, mdp.n_states, mdp.n_actions))
    for path, w in zip(paths, weight / weight.sum(), strict=True):
        for t, (s, a) in enumerate(zip(path.states[:-1], path.actions, strict=True)):
            visits[t, s, a] += w
    discounts = gamma ** np.arange(mdp.horizon)
    marginal = np.einsum("t,tsa->sa", discounts, visits)
    found = planning.trajectory_occupancy(mdp, plan)
    np.testing.assert_allclose(found, marginal, atol=1e-12)
    seen = visits.sum(axis=2) > 1e-9
    ratio = visits[seen] / visits[seen].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(plan.policy[seen], ratio, atol=1e-8)


@settings(max_examples=200)
@given(problems(**TINY))
def test_the_likelihood_and_its_gradient_are_sums_over_all_trajectories(problem: Problem) -> None:
    """T9 with autodiff: both forms, by torch, through every trajectory or a plain recursion."""
    mdp, gamma = problem.mdp, problem.mdp.discount
    paths = all_paths(mdp, problem.transitions)
    chance = torch.tensor([path.chance for path in paths], dtype=torch.float64)
    counts = torch.tensor(np.array([path_total(p, problem.phi, gamma) for p in paths]))
    expert = planning.feature_expectations(mdp, problem.policy(), problem.features)
    for causal in (False, True):
        w = torch.tensor(problem.weights, requires_grad=True)
        if causal:
            free = soft_start_value(problem, w)
        else:
            free = torch.logsumexp(chance.log() + counts @ w, dim=0)
        value = w @ torch.tensor(expert) - free
        (gradient,) = torch.autograd.grad(value, w)
        found = max_ent.objective(
            mdp, problem.features, expert, problem.weights, causal=causal, l2=0.0
        )
        assert abs(found.value - float(value.detach())) < 1e-12
        np.testing.assert_allclose(found.gradient, gradient.numpy(), atol=1e-12)


def soft_start_value(problem: Problem, w: torch.Tensor) -> torch.Tensor:
    """E V_0 of the soft recursion, written again in torch."""
    reward = torch.tensor(problem.phi) @ w
    v = torch.zeros(problem.mdp.n_states, dtype=torch.float64)
    for _ in range(problem.mdp.horizon or 0):
        ahead = torch.einsum("sat,t->sa", torch.tensor(problem.transitions), v)
        v = torch.logsumexp(reward + problem.mdp.discount * ahead, dim=1)
    return torch.tensor(problem.mdp.initial) @ v


@settings(max_examples=60)
@given(problems(**TINY))
def test_policies_occupy_what_their_trajectories_do(problem: Problem) -> None:
    mdp, policy = problem.mdp, problem.policy()
    listed = enumerate_trajectories(mdp)
    chance = np.exp(listed.log_dynamics + listed.log_policy(policy))
    assert abs(chance.sum() - 1.0) < 1e-12
    mu = chance @ listed.total(problem.phi, mdp.discount)
    found = planning.feature_expectations(mdp, policy, problem.features)
    np.testing.assert_allclose(found, mu, atol=1e-12)


def test_the_two_forms_agree_without_chance_and_differ_with_it() -> None:
    world = worlds.gridworld(3, slip=0.0, horizon=4, discount=1.0, seed=1)
    causal = planning.soft_value_iteration(world.mdp, world.reward)
    exact = planning.trajectory_posterior(world.mdp, world.reward)
    np.testing.assert_allclose(causal.policy, exact.policy, atol=1e-13)
    np.testing.assert_allclose(causal.v, exact.v, atol=1e-13)
    gamble = worlds.gamble()
    risk = [
        plan(gamble.mdp, gamble.reward).policy[0, 0, 1]
        for plan in (planning.soft_value_iteration, planning.trajectory_posterior)
    ]
    assert risk[1] - risk[0] > 0.3


def test_only_short_lists_are_made() -> None:
    with pytest.raises(ValueError, match="horizon is None"):
        enumerate_trajectories(worlds.two_goal().mdp)
    with pytest.raises(ValueError, match="more than max_trajectories=1000 trajectories"):
        enumerate_trajectories(worlds.gridworld(4, horizon=10).mdp, max_trajectories=1000)


def test_every_deterministic_policy_is_listed_once() -> None:
    mdp = worlds.random_mdp(3, 2, 1, seed=0).mdp
    listed = enumerate_policies(mdp)
    assert listed.shape == (8, 3, 2)
    assert len({tuple(policy.ravel()) for policy in listed}) == 8
    np.testing.assert_array_equal(listed.sum(axis=-1), 1.0)
    with_horizon = worlds.random_mdp(2, 3, 1, seed=0, horizon=2).mdp
    assert enumerate_policies(with_horizon).shape == (81, 2, 2, 3)
    assert len(np.unique(enumerate_policies(with_horizon).reshape(81, -1), axis=0)) == 81
    with pytest.raises(ValueError, match=r"3\*\*4 deterministic policies are more than max"):
        enumerate_policies(with_horizon, max_policies=80)


def test_another_start_shares_all_else() -> None:
    mdp = worlds.random_mdp(3, 2, 1, seed=0).mdp
    moved = mdp.started_at([0.0, 1.0, 0.0])
    assert moved.matrix is mdp.matrix
    np.testing.assert_array_equal(moved.initial, [0.0, 1.0, 0.0])
    assert mdp.initial[0] > 0.0
    with pytest.raises(ValueError, match="initial has shape"):
        mdp.started_at([1.0])


# --- doors of compiled code -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, 5, 1_000])
def test_products_refuse_arrays_of_other_sizes(size: int) -> None:
    mdp = worlds.two_goal().mdp
    wrong = f"shape .{size},.*; expected"
    with pytest.raises(ValueError, match=rf"v has {wrong} \(4,\)"):
        mdp.expect(np.ones(size))
    for shape in ((size, size), (size, 2), (4, size), (size,), (2, 4)):
        with pytest.raises(ValueError, match=r"occupancy has shape .*; expected \(4, 2\)"):
            mdp.flow(np.ones(shape))
        with pytest.raises(ValueError, match=r"policy has shape .*; expected \(4, 2\)"):
            mdp.policy_matrix(np.ones(shape))
    with pytest.raises(ValueError, match="x and y have shapes"):
        add_product(mdp.matrix, np.ones(size), np.zeros(8))


def test_products_stay_within_their_rows() -> None:
    mdp = worlds.two_goal().mdp
    y = np.zeros(3)
    add_product(mdp.matrix, np.arange(4.0), y, 5)
    np.testing.assert_allclose(y, (mdp.matrix @ np.arange(4.0))[5:])
    for first, rows in ((-1, 2), (6, 3), (8, 1), (0, 9)):
        with pytest.raises(ValueError, match=f"no more than the 8 rows from {first} on"):
            add_product(mdp.matrix, np.ones(4), np.zeros(rows), first)


def test_without_scipys_kernel_products_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose name is not public, and may go."""
    assert irl_lib.mdp.csr_matvec is not None  # else all of it is slower
    world = worlds.random_mdp(30, 3, 2, seed=0, horizon=9)
    x, rows = np.random.default_rng(0).random(30), np.arange(50.0)
    expected, plan = world.mdp.expect(x), planning.soft_value_iteration(world.mdp, world.reward)
    add_product(world.mdp.matrix, x, wanted := rows.copy(), 40)
    monkeypatch.setattr(irl_lib.mdp, "csr_matvec", None)
    add_product(world.mdp.matrix, x, found := rows.copy(), 40)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    np.testing.assert_allclose(world.mdp.expect(x), expected, rtol=1e-14)
    again = planning.soft_value_iteration(world.mdp, world.reward)
    np.testing.assert_allclose(again.v, plan.v, rtol=1e-13)
    with pytest.raises(ValueError, match="no more than the 90 rows from 41 on"):
        add_product(world.mdp.matrix, x, rows, 41)


def test_products_take_numbers_of_other_kinds() -> None:
    mdp = worlds.two_goal().mdp
    np.testing.assert_array_equal(mdp.expect([1, 2, 3, 4]), mdp.expect(np.arange(1.0, 5.0)))
    np.testing.assert_array_equal(
        mdp.expect(np.arange(8.0)[::2]), mdp.expect(2.0 * np.arange(4, dtype=np.float32))
    )
    mass = np.arange(8).reshape(4, 2)
    np.testing.assert_array_equal(mdp.flow(mass), mdp.flow(mass.astype(float)))


@pytest.mark.parametrize("action", [-1, 2, 10**9, 0.0, "0", None])
def test_actions_that_there_are_not_have_no_matrix(action: Any) -> None:
    with pytest.raises(ValueError, match=r"action is .*; expected one of 0 to 1"):
        worlds.two_goal().mdp.action_matrix(action)


def test_twins_are_actions_with_equal_rows() -> None:
    rows = np.eye(3)[[[1, 0, 1], [2, 2, 2], [0, 1, 2]]]
    one, other, state = MDP(rows, [1.0, 0.0, 0.0], 0.9).twins
    pairs = sorted(zip(state.tolist(), one.tolist(), other.tolist(), strict=True))
    assert pairs == [(0, 0, 2), (1, 0, 1), (1, 0, 2), (1, 1, 2)]
