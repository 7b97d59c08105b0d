"""Max margin: its programs, the working set against every policy there is, and the projection."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from irl_lib import demonstrations, max_ent, max_margin, planning, worlds
from irl_lib.demonstrations import Demonstrations
from irl_lib.max_margin.best_response import best_responses, read_tasks, respond
from irl_lib.max_margin.program import Optimum, Program
from irl_lib.max_margin.program import solve as solve_program
from irl_lib.mdp import MDP, deterministic_policy, enumerate_policies
from irl_lib.support.checks import Array
from irl_lib.support.result import ConvergenceWarning
from irl_lib.worlds.base import World

SEEDS = st.integers(0, 2**32 - 1)


# --- programs over listed policies ------------------------------------------------------------


class Listed(NamedTuple):
    """Experts, policies and margins, for which some weights give every expert a lead."""

    experts: Array
    mus: Array
    margins: Array
    which: Any

    @property
    def leads(self) -> Array:
        """``(M, K)``."""
        return self.experts[self.which] - self.mus


def listed(rng: np.random.Generator, n: int = 1, k: int = 3, m: int = 8) -> Listed:
    truth = rng.normal(size=k)
    which = np.r_[np.arange(n), rng.integers(0, n, m - n)]
    leads = rng.normal(size=(m, k))
    leads *= np.sign(leads @ truth)[:, None]
    experts = rng.normal(size=(n, k))
    return Listed(experts, experts[which] - leads, rng.uniform(0.2, 3.0, m), which)


def program(
    experts: Any,
    mus: Any,
    margins: Any = 1.0,
    slack: float | None = None,
    which: Any = 0,
    upper: Any = np.inf,
) -> Optimum:
    """The structured program's optimum, over policies in a list."""
    experts, mus = np.atleast_2d(np.asarray(experts, dtype=float)), np.asarray(mus, dtype=float)
    which, margins = (np.broadcast_to(each, len(mus)) for each in (which, margins))
    bounds = np.broadcast_to(upper, mus.shape[1])
    rows = experts[which] - mus
    return solve_program(Program(rows, margins, which, len(experts), slack, bounds))


def solve(case: Listed, slack: float | None = None, **more: Any) -> Optimum:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return program(case.experts, case.mus, case.margins, slack, case.which, **more)


def gap(found: Optimum) -> float:
    """Between the objective and the dual's."""
    return found.objective - found.bound


def by_general_optimiser(case: Listed, slack: float | None, upper: float = np.inf) -> float:
    """The program's value, from scipy's general constrained optimiser."""
    n, k = case.experts.shape
    price = 0.0 if slack is None else slack / n
    select = np.eye(n)[case.which] * (slack is not None)
    constraint = optimize.LinearConstraint(
        np.hstack([case.leads, select]), lb=case.margins, ub=np.inf
    )
    best = np.inf
    for start in (1.0, 10.0):
        # scipy 1.13 says when it brings a step back to the bounds.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = optimize.minimize(
                lambda x: 0.5 * x[:k] @ x[:k] + price * x[k:].sum(),
                np.full(k + n, start),
                jac=lambda x: np.r_[x[:k], np.full(n, price)],
                bounds=[(None, upper)] * k + [(0.0, None)] * n,
                constraints=constraint,
                method="SLSQP",
                options={"maxiter": 1000, "ftol": 1e-14},
            )
        feasible = np.hstack([case.leads, select]) @ found.x >= case.margins - 1e-8
        if found.success and feasible.all():
            best = min(best, float(found.fun))
    return best


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([None, 0.3, 5.0]), st.integers(1, 3))
def test_the_program_agrees_with_a_general_optimiser(
    seed: int, slack: float | None, n: int
) -> None:
    case = listed(np.random.default_rng(seed), n)
    found = solve(case, slack)
    peer = by_general_optimiser(case, slack)
    assume(np.isfinite(peer) and found.objective < 1e4)
    assert found.objective == pytest.approx(peer, rel=1e-6)
    assert found.kkt_residual < 1e-7


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([None, 0.01, 1.0, 100.0]), st.integers(1, 3))
def test_the_optimality_conditions_hold(seed: int, slack: float | None, n: int) -> None:
    """Each of them, from the numbers that are returned and nothing else."""
    case = listed(np.random.default_rng(seed), n)
    found = solve(case, slack)
    w, alpha, zeta = found.weights, found.duals, found.slacks
    spare = case.leads @ w - case.margins + zeta[case.which]
    size = 1e-6 * (1.0 + found.objective)
    np.testing.assert_allclose(w, alpha @ case.leads, atol=size)
    assert spare.min() > -size
    assert alpha.min() >= 0.0
    assert np.abs(alpha * spare).max() < size
    if slack is not None:
        total = np.bincount(case.which, alpha, minlength=n)
        assert (total <= slack / n * (1.0 + 1e-12)).all()
        assert np.abs((slack / n - total) * zeta).max() < size
        assert zeta.min() >= 0.0
    dual = alpha @ case.margins - 0.5 * np.sum((alpha @ case.leads) ** 2)
    assert found.bound == pytest.approx(dual)
    assert abs(gap(found)) <= 1e-7 * (1.0 + found.objective)


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([0.1, 10.0]), st.integers(1, 3))
def test_slack_is_the_largest_violation_of_each_demonstration(
    seed: int, slack: float, n: int
) -> None:
    case = listed(np.random.default_rng(seed), n)
    found = solve(case, slack)
    violations = case.margins - case.leads @ found.weights
    expected = [max(0.0, violations[case.which == i].max()) for i in range(n)]
    np.testing.assert_allclose(found.slacks, expected, atol=1e-12)
    cost = 0.5 * found.weights @ found.weights + slack * np.mean(expected)
    assert found.objective == pytest.approx(cost)


@settings(max_examples=40)
@given(SEEDS)
def test_margin_and_svm_are_one_program(seed: int) -> None:
    """The same direction, and m |w| = 1."""
    case = listed(np.random.default_rng(seed))
    widest = max_margin.widest_margin(case.experts[0], case.mus)
    svm = program(case.experts[0], case.mus)
    norm = float(np.linalg.norm(svm.weights))
    assert widest.margin * norm == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(svm.weights / norm, widest.weights, atol=1e-4)
    # The support vectors are the corners of the closest mixture.
    np.testing.assert_allclose(svm.duals / svm.duals.sum(), widest.duals, atol=1e-4)
    closest = case.experts[0] - widest.duals @ case.mus
    assert np.linalg.norm(closest) == pytest.approx(widest.margin, rel=1e-5)
    assert abs(widest.bound - widest.margin) < 1e-5
    # The optimality conditions, relative to the features.
    leads, w = case.experts[0] - case.mus, widest.weights
    size = float(np.linalg.norm(leads, axis=1).max())
    assert np.linalg.norm(widest.duals @ leads - widest.bound * w) < 1e-5 * size
    assert np.abs(widest.duals * (leads @ w - widest.margin)).max() < 1e-5 * size


def test_the_widest_margin_by_hand() -> None:
    """The expert at (0, 2), the others on the line y = x - 1 and behind it."""
    found = max_margin.widest_margin([0.0, 2.0], [[0.0, -1.0], [3.0, 2.0], [3.0, -3.0]])
    np.testing.assert_allclose(found.weights, np.array([-1.0, 1.0]) / np.sqrt(2), atol=1e-6)
    assert found.margin == pytest.approx(3.0 / np.sqrt(2))
    np.testing.assert_allclose(found.duals, [0.5, 0.5, 0.0], atol=1e-6)


def test_no_margin_is_zero() -> None:
    found = max_margin.widest_margin([0.0, 0.0], [[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert found.margin == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_allclose(found.duals, [0.5, 0.25, 0.25], atol=1e-5)


@settings(max_examples=30)
@given(SEEDS, st.floats(0.01, 100.0))
def test_scaling(seed: int, factor: float) -> None:
    """Features c times as large need weights 1/c as large; margins c times as large, c times."""
    case = listed(np.random.default_rng(seed))
    base = solve(case).weights
    stretched = case._replace(experts=factor * case.experts, mus=factor * case.mus)
    np.testing.assert_allclose(factor * solve(stretched).weights, base, rtol=1e-6, atol=1e-9)
    wider = case._replace(margins=factor * case.margins)
    np.testing.assert_allclose(solve(wider).weights / factor, base, rtol=1e-6, atol=1e-9)
    price = 0.7
    soft = solve(case, price).weights
    np.testing.assert_allclose(
        factor * solve(stretched, price / factor**2).weights, soft, rtol=1e-5, atol=1e-7
    )


@settings(max_examples=30)
@given(SEEDS)
def test_limits_of_the_price(seed: int) -> None:
    """Dear slack is not used: the hard program.  Cheap slack: w is C times the mean best lead."""
    case = listed(np.random.default_rng(seed))
    hard = solve(case)
    assume(hard.duals.sum() < 1e4)
    dear = solve(case, 1.01 * hard.duals.sum())
    np.testing.assert_allclose(dear.weights, hard.weights, atol=1e-5 * (1 + hard.objective))
    assert dear.slacks.max() < 1e-6
    worth = solve(case, 0.9 * hard.duals.sum())
    assert worth.slacks.max() > 1e-6
    cheap = solve(case, 1e-6)
    first = int(np.argmax(case.margins))
    np.testing.assert_allclose(cheap.weights, 1e-6 * case.leads[first], rtol=1e-4, atol=1e-12)


def test_one_slack_for_each_demonstration() -> None:
    """One good and one hopeless demonstration: the good one needs no slack."""
    experts = np.array([[1.0, 0.0], [0.0, 0.0]])
    mus = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = program(experts, mus, 1.0, slack=4.0, which=[0, 1])
    # w = (x, 0): x^2/2 + 2 (1 - x)+ + 2 (1 + x)+ is least at 0 for x <= 1.
    np.testing.assert_allclose(found.weights, 0.0, atol=1e-6)
    np.testing.assert_allclose(found.slacks, 1.0, atol=1e-6)
    lopsided = program(
        np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]),
        np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        1.0,
        slack=300.0,
        which=[0, 1, 2],
    )
    np.testing.assert_allclose(lopsided.slacks, [0.0, 0.0, 2.0], atol=1e-5)
    np.testing.assert_allclose(lopsided.weights, [1.0, 0.0], atol=1e-5)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([0.5, 20.0]))
def test_bounds_hold_and_are_optimal(seed: int, slack: float) -> None:
    case = listed(np.random.default_rng(seed), n=2)
    found = solve(case, slack, upper=-0.1)
    assert found.weights.max() <= -0.1
    peer = by_general_optimiser(case, slack, -0.1)
    assume(np.isfinite(peer))
    assert found.objective == pytest.approx(peer, rel=1e-6)
    assert abs(gap(found)) < 1e-6 * found.objective
    apart = solve(case, slack, upper=[0.0, -0.2, np.inf])
    assert apart.weights[1] <= -0.2
    assert apart.weights[0] <= 0.0
    assert abs(gap(apart)) < 1e-6 * apart.objective


@pytest.mark.parametrize("huge", [2.0**63, 1e300, np.finfo(float).max])
@pytest.mark.parametrize("slack", [None, 3.0])
def test_bounds_that_are_far_away_change_nothing(huge: float, slack: float | None) -> None:
    case = listed(np.random.default_rng(0), n=2)
    for leads in (1e-9, 1.0, 1e9):  # weights are as large as the features are small
        scaled = case._replace(experts=leads * case.experts, mus=leads * case.mus)
        price = None if slack is None else slack / leads**2
        free, bounded = solve(scaled, price), solve(scaled, price, upper=huge)
        np.testing.assert_allclose(bounded.weights, free.weights, rtol=1e-9)
        assert bounded.kkt_residual < 1e-7
        half = solve(scaled, price, upper=[huge, -0.1 / leads, np.inf])
        assert half.weights[1] <= -0.1 / leads
        assert half.kkt_residual < 1e-7
        with pytest.raises(max_margin.InfeasibleError, match=r"the mixture of policy 0 .* and pol"):
            program([0.0, 0.0], [[leads, 0.0], [-leads, 0.0]], upper=huge)


@settings(max_examples=40)
@given(SEEDS)
def test_an_infeasible_program_names_a_mixture_that_nothing_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mus = rng.normal(size=(6, 3))
    inside = rng.dirichlet(np.ones(4)) @ mus[:4]
    with pytest.raises(max_margin.InfeasibleError, match="the mixture of policy") as caught:
        program(inside, mus)
    shares = caught.value.shares
    mixed = sum(share * mus[j] for j, share in shares.items())
    np.testing.assert_allclose(mixed, inside, atol=1e-6)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert caught.value.demonstrations == [0]
    soft = program(inside, mus, slack=1.0)
    assert soft.slacks[0] >= 1.0 - 1e-7


@pytest.mark.parametrize("seed", range(6))
def test_with_slack_there_is_always_an_optimum(seed: int) -> None:
    """However large features, margins and price are; a certificate is relative to them."""
    rng = np.random.default_rng(seed)
    truth, free = rng.normal(size=3), rng.normal(size=(6, 3))
    parted = free * np.sign(free @ truth)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for leads in (free, parted):
            for size, margin, price in [
                (1.0, 0.0, 1.0),
                (1.0, 1e-17, 1.0),
                (1e6, 1e-14, 1.0),
                (1e6, 1.0, 1.0),
                (1e3, 1.0, 1e9),
                (1e6, 1e6, 1e9),
            ]:
                margins = margin * rng.uniform(0.1, 1.0, 6)
                given = -size * leads, margins, price
                found = program(np.zeros(3), *given)
                assert found.kkt_residual < 1e-5
                assert abs(gap(found)) <= 1e-4 * found.objective
                pushed = program(np.zeros(3), *given, upper=-0.1)
                assert pushed.kkt_residual < 1e-5
                if leads is parted and size * price > 1.0:
                    hard = program(np.zeros(3), *given[:2]) if margin else found
                    np.testing.assert_allclose(found.weights, hard.weights, rtol=1e-4)


def test_demonstrations_that_contradict_each_other_are_named() -> None:
    experts = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    mus = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    with pytest.raises(
        max_margin.InfeasibleError, match="demonstration 0 and demonstration 2"
    ) as caught:
        program(experts, mus, which=[0, 1, 2])
    assert caught.value.demonstrations == [0, 2]
    assert caught.value.shares == {0: pytest.approx(0.5), 2: pytest.approx(0.5)}


def test_bounds_can_make_it_infeasible() -> None:
    with pytest.raises(max_margin.InfeasibleError, match="all weights within the bounds"):
        program([1.0, 0.0], [[0.0, 0.0]], upper=0.0)


def test_a_policy_that_is_the_expert_can_not_be_beaten() -> None:
    with pytest.raises(
        max_margin.InfeasibleError, match="policy 1 has the same feature expectations"
    ) as caught:
        program([1.0, 1.0], [[0.0, 0.0], [1.0, 1.0 + 1e-14]])
    assert (caught.value.shares, caught.value.demonstrations) == ({1: 1.0}, [0])


BAD_MARGINS = [
    ({"mu_expert": [0.0, np.nan]}, r"mu_expert is nan at index"),
    ({"mu_expert": 3.0}, r"mu_expert has shape \(\)"),
    ({"mus": [[1.0, 0.0, 0.0]]}, r"mus has shape \(1, 3\); expected \(M, 2\)"),
    ({"mus": np.zeros((0, 2))}, r"mus has shape \(0, 2\)"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_MARGINS)
def test_bad_lists_of_policies_are_refused(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"mu_expert": [1.0, 1.0], "mus": [[0.0, 0.0], [0.0, 1.0]]}
    max_margin.widest_margin(**good)
    with pytest.raises(ValueError, match=message):
        max_margin.widest_margin(**good | changes)


def test_without_cvxpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"irl_lib\[convex\]"):
        max_margin.widest_margin([1.0], [[0.0]])


# --- the working set, against every policy ----------------------------------------------------


class Case(NamedTuple):
    """A tiny MDP, an expert, and every deterministic policy."""

    world: World
    policies: Array
    occupancies: Array
    """``(N, S, A)``."""
    expert: Array
    """``(S, A)``: its occupancy."""

    @property
    def mus(self) -> Array:
        """``(N, K)``."""
        return np.einsum("nsa,sak->nk", self.occupancies, self.world.features)

    @property
    def mu_expert(self) -> Array:
        """``(K,)``."""
        return np.einsum("sa,sak->k", self.expert, self.world.features)

    @property
    def hamming(self) -> Array:
        """``(S, A)``."""
        return np.asarray(self.expert == 0.0, dtype=float)

    def margins(self, margin: str) -> Array:
        """Of every policy, from its definition."""
        if margin == "hamming":
            return np.einsum("nsa,sa->n", self.occupancies, self.hamming)
        return np.asarray(np.abs(self.mus - self.mu_expert).max(axis=1) > 1e-9, dtype=float)

    def violations(self, margin: str, weights: Array) -> Array:
        """Of every policy, without slack."""
        return self.margins(margin) - (self.mu_expert - self.mus) @ weights

    def full_program(self, margin: str, slack: float | None) -> Optimum:
        """Over all policies, each of which is listed once."""
        rows = np.column_stack([self.mus, self.margins(margin)])
        differs = np.abs(self.mus - self.mu_expert).max(axis=1) > 1e-9
        rows = rows[differs | (rows[:, -1] > 1e-9)]
        _, first = np.unique(rows.round(10), axis=0, return_index=True)
        return program(self.mu_expert, rows[first, :-1], rows[first, -1], slack)


def tiny(seed: int, kind: str, noise: float = 0.0) -> Case:
    """Discounted, with a horizon, or ending by itself; the expert is optimal, but for the noise."""
    horizon = 3 if kind == "horizon" else None
    states, actions = (3, 2) if kind == "horizon" else (4, 3)
    world = worlds.random_mdp(
        states,
        actions,
        3,
        seed,
        discount=1.0 if kind == "episodic" else 0.9,
        horizon=horizon,
        n_absorbing=int(kind == "episodic"),
    )
    if kind == "episodic":  # steps cost, so that going on for ever does not pay
        features = np.abs(world.features)
        weights = -np.abs(world.weights)
        world = world._replace(features=features, weights=weights, reward=features @ weights)
    policies = enumerate_policies(world.mdp)
    occupancies = np.array([planning.occupancy(world.mdp, policy) for policy in policies])
    best = planning.value_iteration(world.mdp, world.reward).policy
    expert = planning.occupancy(world.mdp, (1.0 - noise) * best + noise / actions)
    return Case(world, policies, occupancies, expert)


KINDS = st.sampled_from(["discounted", "horizon", "episodic"])


def fit(case: Case, margin: str, slack: float | None, **more: Any) -> max_margin.MaxMarginResult:
    """The answer, with every warning an error."""
    bounds = {"upper": -1e-3} if case.world.mdp.episodic else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return max_margin.max_margin(
            case.world.mdp,
            case.world.features,
            case.expert,
            margin=margin,
            slack=slack,
            **(bounds | more),
        )


def most_violated(
    mdp: MDP, features: Any, demos: Any, weights: Any, margin: Any = "unit"
) -> tuple[Array, float]:
    """The policy with the largest violation, and the violation, without slack."""
    task, *more = read_tasks(mdp, features, demos, margin, apart=True)
    assert not more
    found = best_responses([task], np.asarray(weights))[0]
    policy = deterministic_policy(found.actions, mdp.n_actions)
    return policy, found.margin - float(found.lead @ weights)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(["discounted", "horizon"]), st.sampled_from([None, 0.5, 20.0]))
def test_the_working_set_reaches_the_full_program(
    seed: int, kind: str, slack: float | None
) -> None:
    case = tiny(seed, kind)
    for margin in ("unit", "hamming"):
        if margin == "hamming" and slack is None and not separated(case):
            continue
        full = case.full_program(margin, slack)
        assume(full.objective < 1e7)
        found = fit(case, margin, slack, tolerance=1e-7)
        assert found.converged
        scale = 1.0 + full.objective
        assert found.history["lower_bound"][-1] == pytest.approx(full.objective, abs=1e-6 * scale)
        assert abs(found.certificate["duality_gap"]) < 1e-5 * scale
        np.testing.assert_allclose(found.weights, full.weights, atol=1e-3 * scale)
        slacks = found.slacks[0]
        assert case.violations(margin, found.weights).max() <= slacks + 1e-7 + 1e-9 * scale
        lower = found.history["lower_bound"]
        assert (np.diff(lower) >= -1e-9 * scale).all()
        assert found.certificate["kkt_residual"] < 1e-7
        assert 0.0 <= found.certificate["violation"] <= 1e-7


def separated(case: Case) -> bool:
    """Whether policies with the expert's features all have the expert's occupancy."""
    same = np.abs(case.mus - case.mu_expert).max(axis=1) <= 1e-9
    return bool(case.margins("hamming")[same].max(initial=0.0) <= 1e-9)


@settings(max_examples=10)
@given(SEEDS, st.sampled_from([2.0, 30.0]))
def test_episodes_that_end(seed: int, slack: float) -> None:
    """With bounds that keep the loss-augmented reward below zero, planning exists."""
    case = tiny(seed, "episodic")
    # An upper bound on what a step costs at least, by its features.
    cheapest = case.world.features.sum(axis=2)[~case.world.mdp.absorbing].min()
    upper = -1.0 / cheapest - 0.1
    found = fit(case, "hamming", slack, upper=upper, tolerance=1e-6)
    violations = case.violations("hamming", found.weights)
    assert violations.max() <= found.slacks[0] + 1e-6
    assert found.weights.max() <= upper
    cost = 0.5 * found.weights @ found.weights + slack * max(violations.max(), 0.0)
    assert found.history["lower_bound"][-1] == pytest.approx(cost, rel=1e-4)


@settings(max_examples=40)
@given(SEEDS, KINDS, st.sampled_from(["truth", "noise", "zero"]), st.booleans())
def test_the_most_violated_constraint_is_that_of_all_policies(
    seed: int, kind: str, which: str, noisy: bool
) -> None:
    case = tiny(seed, kind, noise=0.3 if noisy else 0.0)
    rng = np.random.default_rng(seed)
    weights = {"truth": 1.0, "noise": 0.3, "zero": 0.0}[which] * case.world.weights
    if which == "noise":
        weights = weights + rng.normal(size=3) * (kind != "episodic")
    margins = ["unit"] + ["hamming"] * (kind != "episodic" and not noisy)
    for margin in margins:
        policy, violation = most_violated(
            case.world.mdp, case.world.features, case.expert, weights, margin
        )
        every = case.violations(margin, weights)
        if margin == "unit":  # those with the expert's features have no margin to keep
            every = np.where(case.margins(margin) > 0.0, every, -np.inf)
        assert violation == pytest.approx(every.max(), abs=1e-8)
        index = int(np.argmax([np.array_equal(policy, each) for each in case.policies]))
        assert every[index] == pytest.approx(every.max(), abs=1e-8)


def corridor(n_dead: int) -> World:
    """States in a row, and some that nobody reaches; features of states."""
    world = worlds.chain(4, discount=0.9)
    dense = world.mdp.dense_transitions()
    transitions = np.zeros((4 + n_dead, 2, 4 + n_dead))
    transitions[:4, :, :4] = dense
    transitions[4:, :, 0] = 1.0
    mdp = MDP(transitions, np.eye(4 + n_dead)[0], 0.9)
    features = np.zeros((4 + n_dead, 2, 2))
    features[:4] = world.features
    features[4:, 1] = 5.0
    return World(mdp, features, world.weights, features @ world.weights, np.zeros((1, 2)))


def test_the_second_best_policy_differs_where_somebody_goes() -> None:
    """Changes in states that are never reached change nothing, and are no other policy."""
    world = corridor(n_dead=2)
    plan = planning.value_iteration(world.mdp, world.reward)
    expert = planning.occupancy(world.mdp, plan.policy)
    policy, violation = most_violated(world.mdp, world.features, expert, world.weights)
    mu = planning.feature_expectations(world.mdp, plan.policy, world.features)
    every = np.array(
        [
            planning.feature_expectations(world.mdp, each, world.features)
            for each in enumerate_policies(world.mdp)
        ]
    )
    gaps = (mu - every) @ world.weights
    differs = np.abs(mu - every).max(axis=1) > 1e-9
    assert 0 < differs.sum() < len(every)
    assert violation == pytest.approx(1.0 - gaps[differs].min())
    assert not np.array_equal(planning.occupancy(world.mdp, policy), expert)


def test_ties_with_the_experts_features_are_looked_around() -> None:
    """Two equally good ways with the same features; only beyond one of them lies the next best."""
    s, up, down, far, end = range(5)
    transitions = np.zeros((5, 3, 5))
    transitions[s, 0, up] = transitions[s, 1:, down] = 1.0
    transitions[up, :, end] = 1.0
    transitions[down, 0, end] = 1.0
    transitions[down, 1:, far] = transitions[far, :, end] = transitions[end, :, end] = 1.0
    features = np.zeros((5, 3, 1))
    features[[up, down]] = 1.0
    features[down, 1:] = 0.9
    features[up, 1:] = 0.5
    mdp = MDP(transitions, np.eye(5)[s], 0.9)
    best = planning.value_iteration(mdp, features[..., 0])
    assert best.policy[s, 0] == 1.0
    expert = planning.occupancy(mdp, best.policy)
    policy, violation = most_violated(mdp, features, expert, [1.0])
    assert policy[s, 0] == 0.0
    assert violation == pytest.approx(1.0 - 0.9 * (1.0 - 0.9))


def test_a_single_policy_leaves_nothing_to_ask() -> None:
    """Where all policies have the expert's features every reward does, and zero is the smallest."""
    world = worlds.random_mdp(3, 2, 2, seed=0)
    features = np.ones((3, 2, 1))
    expert = planning.occupancy(world.mdp, np.full((3, 2), 0.5))
    found = max_margin.max_margin(world.mdp, features, expert)
    assert found.converged
    np.testing.assert_array_equal(found.weights, 0.0)


def by_plain_planning(case: Case, slack: float) -> tuple[Array, float]:
    """Weights and slack of the slide's loop, whose policies are the best for w.phi alone."""
    tasks = read_tasks(case.world.mdp, case.world.features, case.expert, "hamming", apart=True)
    known, weights, needed = [], np.zeros(3), 0.0
    while True:
        plan = planning.value_iteration(case.world.mdp, case.world.features @ weights)
        index = int(np.argmax([np.array_equal(plan.policy, each) for each in case.policies]))
        if case.violations("hamming", weights)[index] <= needed + 1e-6 or index in known:
            return weights, needed
        known.append(index)
        leads = case.mu_expert - case.mus[known]
        margins = case.margins("hamming")[known]
        assert margins[-1] == pytest.approx(respond(tasks[0], plan).margin)
        found = program(0.0 * case.mu_expert, -leads, margins, slack)
        weights, needed = found.weights, found.slacks[0]


def test_plain_planning_misses_the_most_violated_constraint() -> None:
    """Erratum 9: with the Hamming margin Opt(w.phi) stops early."""
    missed = 0
    for seed in range(12):
        case = tiny(seed, "discounted")
        right = fit(case, "hamming", 5.0)
        weights, slack = by_plain_planning(case, 5.0)
        missed += case.violations("hamming", weights).max() - slack > 0.01
        assert right.certificate["violation"] <= 1e-6
        assert case.violations("hamming", right.weights).max() <= right.slacks[0] + 2e-6
    assert missed >= 6


@settings(max_examples=10)
@given(SEEDS)
def test_a_noisy_expert_breaks_the_hard_margin_only(seed: int) -> None:
    """Its occupancy is a mixture of policies, none of which all weights can put behind it."""
    case = tiny(seed, "discounted", noise=0.4)
    with pytest.raises(max_margin.InfeasibleError, match="demonstration 0") as caught:
        fit(case, "unit", None)
    assert len(caught.value.shares) >= 2
    found = fit(case, "unit", 10.0)
    assert found.slacks[0] > 1.0 - 1e-6
    full = case.full_program("unit", 10.0)
    assert found.history["lower_bound"][-1] == pytest.approx(full.objective, rel=1e-6)


def test_unit_margin_is_the_structured_one_with_delta_one() -> None:
    for seed in range(4):
        case = tiny(seed, "discounted")
        hard, soft = fit(case, "unit", None), fit(case, "unit", 1e7)
        np.testing.assert_allclose(soft.weights, hard.weights, rtol=1e-5)
        assert hard.margin * np.linalg.norm(hard.weights) == pytest.approx(1.0)
        assert hard.slacks.max() == 0.0
        active = hard.duals > 1e-6 * hard.duals.max()
        leads = np.array([each.lead for each in hard.working_set]) @ hard.weights
        np.testing.assert_allclose(leads[active], 1.0, atol=1e-6)


def test_a_loss_of_ones_own_is_the_margin() -> None:
    case = tiny(3, "discounted")
    named = fit(case, "hamming", 2.0)
    given_as_loss = max_margin.max_margin(
        case.world.mdp, case.world.features, case.expert, margin=case.hamming, slack=2.0
    )
    np.testing.assert_array_equal(named.weights, given_as_loss.weights)
    doubled = max_margin.max_margin(
        case.world.mdp, case.world.features, case.expert, margin=2.0 * case.hamming, slack=4.0
    )
    np.testing.assert_allclose(doubled.weights, 2.0 * named.weights, atol=1e-6)
    assert doubled.working_set[0].margin == pytest.approx(2.0 * named.working_set[0].margin)


@settings(max_examples=20)
@given(SEEDS)
def test_a_loss_counts_beyond_the_experts_own(seed: int) -> None:
    """The expert has no margin over itself, even where it takes what the loss is for."""
    case = tiny(seed, "discounted", noise=0.3)
    rng = np.random.default_rng(seed)
    loss, weights = rng.uniform(size=case.expert.shape), rng.normal(size=3)
    margins = np.einsum("nsa,sa->n", case.occupancies - case.expert, loss)
    violations = margins - (case.mu_expert - case.mus) @ weights
    world = case.world
    _, violation = most_violated(world.mdp, world.features, case.expert, weights, loss)
    assert violation == pytest.approx(violations.max(), abs=1e-9)


# --- demonstrations ---------------------------------------------------------------------------


def walks(seed: int = 0, n: int = 4) -> tuple[World, Demonstrations]:
    world = worlds.gridworld(4, slip=0.0, n_features=4, seed=seed, discount=0.8)
    best = planning.value_iteration(world.mdp, world.reward).policy
    rng = np.random.default_rng(seed)
    return world, demonstrations.sample(world.mdp, best, n, rng, length=40)


def test_each_trajectory_is_a_task_with_a_slack_of_its_own() -> None:
    world, demos = walks()
    found = max_margin.max_margin(world.mdp, world.features, demos, margin="hamming", slack=10.0)
    assert found.converged
    assert found.slacks.shape == (4,)
    for i in range(4):
        one = demos.select([i])
        start = world.mdp.started_at(np.eye(world.mdp.n_states)[one.states[0][0]])
        shown = one.occupancy(start)
        _, violation = most_violated(
            start, world.features, shown / shown.sum() * start.mass, found.weights, "hamming"
        )
        assert violation == pytest.approx(max(found.slacks[i], violation), abs=1e-6)
        assert violation <= found.slacks[i] + 1e-6
    total = 0.5 * found.weights @ found.weights + 10.0 * found.slacks.mean()
    assert found.history["upper_bound"][-1] == pytest.approx(total, abs=1e-5)


def test_several_worlds_share_the_weights() -> None:
    """The same as one world after the other, put into one program."""
    parts = [walks(seed, 2) for seed in (0, 1)]
    mdps = [world.mdp for world, _ in parts]
    features = [world.features for world, _ in parts]
    demos = [shown for _, shown in parts]
    found = max_margin.max_margin(mdps, features, demos, margin="hamming", slack=3.0)
    assert found.slacks.shape == (4,)
    assert len(found.reward) == len(found.policy) == 2
    for world, reward, policy in zip(
        [w for w, _ in parts], found.reward, found.policy, strict=True
    ):
        np.testing.assert_allclose(reward, world.features @ found.weights)
        np.testing.assert_array_equal(policy, planning.value_iteration(world.mdp, reward).policy)
    alone = max_margin.max_margin(
        mdps[0], features[0], demos[0].select([0]), margin="hamming", slack=3.0
    )
    twice = max_margin.max_margin(
        [mdps[0]] * 2, [features[0]] * 2, [demos[0].select([0])] * 2, margin="hamming", slack=3.0
    )
    np.testing.assert_allclose(alone.weights, twice.weights, atol=1e-5)


def test_what_is_recovered() -> None:
    world, demos = walks()
    found = max_margin.max_margin(world.mdp, world.features, demos, margin="hamming", slack=10.0)
    np.testing.assert_allclose(found.reward, world.features @ found.weights)
    np.testing.assert_array_equal(
        found.policy, planning.value_iteration(world.mdp, found.reward).policy
    )
    assert len(found.working_set) == len(found.duals)
    for each in found.working_set:
        shown = demos.select([each.number])
        start = world.mdp.started_at(np.eye(world.mdp.n_states)[shown.states[0][0]])
        policy = deterministic_policy(each.actions, world.mdp.n_actions)
        again = planning.feature_expectations(start, policy, world.features)
        visits = shown.occupancy(start)
        expert = np.einsum("sa,sak->k", visits * start.mass / visits.sum(), world.features)
        np.testing.assert_allclose(each.lead, expert - again, atol=1e-9)
    lengths = {len(column) for column in found.history.values()}
    assert len(lengths) == 1
    assert all(np.isfinite(found.history[name]).all() for name in found.history)
    assert (found.history["planning_seconds"] > 0.0).all()


def test_the_expert_may_be_given_in_three_ways() -> None:
    case = tiny(5, "discounted")
    by_occupancy = fit(case, "unit", 1.0)
    by_features = max_margin.max_margin(
        case.world.mdp, case.world.features, case.mu_expert, slack=1.0
    )
    np.testing.assert_allclose(by_occupancy.weights, by_features.weights, atol=1e-9)


def test_stopping_early_is_told() -> None:
    case = tiny(0, "discounted")
    with pytest.warns(ConvergenceWarning, match="stopped after 2 iterations") as told:
        found = max_margin.max_margin(
            case.world.mdp,
            case.world.features,
            case.expert,
            margin="hamming",
            slack=10.0,
            max_iterations=2,
        )
    assert told[0].filename == __file__
    assert not found.converged
    assert found.certificate["violation"] > 1e-6
    assert len(found.working_set) == len(found.duals) == found.history["n_constraints"][-1]
    assert repr(found).startswith("MaxMarginResult(not converged, 2 iterations, violation ")
    assert np.isfinite(found.weights).all()
    excess = case.violations("hamming", found.weights).max() - found.slacks[0]
    assert found.certificate["violation"] == pytest.approx(excess)


BAD_INPUT = [
    ({"slack": 0.0}, r"slack is 0.0; expected a finite number > 0"),
    ({"slack": -2.0}, r"slack is -2.0"),
    ({"slack": True}, r"slack is True"),
    ({"margin": "hinge"}, r"margin is 'hinge'; expected 'unit', 'hamming', or a loss"),
    ({"margin": np.ones(3)}, r"margin has shape \(3,\); expected \(4, 3\)"),
    ({"margin": -np.ones((4, 3))}, r"margin has the entry -1; a loss is >= 0"),
    ({"margin": [np.ones((4, 3))] * 2}, r"margin has 2 losses; there are 1 demonstrations"),
    ({"tolerance": 0.0}, r"tolerance is 0.0"),
    ({"max_iterations": 0}, r"max_iterations is 0"),
    ({"demos": np.zeros(3), "margin": "hamming"}, r"only margin='unit' can be had"),
    (
        {"demos": np.zeros(2)},
        r"demos has shape \(2,\); expected Demonstrations, an occupancy \(4, 3\), or its feature "
        r"expectations \(3,\)",
    ),
    ({"demos": np.full((4, 3), -1.0)}, r"demos has the entry -1; an occupancy is >= 0"),
    ({"demos": np.full((4, 3), 0.1)}, r"demos has an occupancy of 1.2 in all; expected 10"),
    ({"demos": np.full((4, 3), 10 / 12), "margin": "hamming"}, r"takes every action in every st"),
    ({"features": np.ones((2, 3))}, r"features has shape"),
    ({"slack": float("inf")}, r"slack is inf"),
    ({"upper": [1.0, 2.0]}, r"upper is \[1.0, 2.0\]; expected a number, or 3 of them"),
    ({"upper": float("nan")}, r"upper is nan"),
    ({"upper": -float("inf")}, r"upper is -inf"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_INPUT)
def test_bad_input_is_refused(changes: dict[str, Any], message: str) -> None:
    case = tiny(0, "discounted")
    good: dict[str, Any] = {
        "mdp": case.world.mdp,
        "features": case.world.features,
        "demos": case.expert,
    }
    with pytest.raises(ValueError, match=message):
        max_margin.max_margin(**good | changes)


def test_several_worlds_need_as_many_of_everything() -> None:
    case = tiny(0, "discounted")
    with pytest.raises(ValueError, match="mdp and demos have 2 and 1 entries"):
        max_margin.max_margin([case.world.mdp] * 2, [case.world.features], [case.expert])
    with pytest.raises(ValueError, match=r"features have \[3, 1\] columns"):
        max_margin.max_margin(
            [case.world.mdp] * 2, [case.world.features, np.ones((4, 1))], [case.expert] * 2
        )


def test_a_loss_that_makes_going_on_pay_is_explained() -> None:
    world = worlds.gridworld(3, slip=0.0, goals=[(2, 2)], discount=1.0)
    demos = Demonstrations([[0, 1, 2, 5, 8]], [[0, 0, 1, 1]], terminated=True)
    with pytest.raises(ValueError, match=r"demonstration 0 has no finite.*; bound the weights"):
        max_margin.max_margin(world.mdp, world.features, demos, margin="hamming", slack=1.0)
    steps = -np.ones((9, 4, 1)) * ~world.mdp.absorbing[:, None, None]
    found = max_margin.max_margin(world.mdp, -steps, demos, margin="hamming", slack=1.0, upper=-1.0)
    assert found.converged
    np.testing.assert_allclose(found.weights, -1.0)


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(["discounted", "horizon"]), st.sampled_from([1.0, 100.0]))
def test_margins_that_are_zero_but_for_rounding_ask_for_nothing(
    seed: int, kind: str, price: float
) -> None:
    """A loss that is the same everywhere, so that no policy has more of it than the expert."""
    case = tiny(seed, kind, noise=0.3 * (seed % 2))
    for loss in (0.0, 0.1, 1.0, 7.3):
        table = np.full(case.expert.shape, loss)
        found = max_margin.max_margin(
            case.world.mdp, case.world.features, case.expert, margin=table, slack=price
        )
        assert found.converged
        np.testing.assert_allclose(found.weights, 0.0, atol=1e-12)
        assert found.certificate["kkt_residual"] < 1e-5
        assert found.certificate["duality_gap"] < 1e-12


def test_episodes_that_were_cut_are_refused_and_the_way_out_works() -> None:
    features = -np.stack([np.ones(16), np.arange(16) % 3 == 0], axis=1)
    world = worlds.gridworld(
        4, slip=0.0, goals=[(3, 3)], discount=1.0, features=features, weights=[2.5, 0.5]
    )
    mdp, policy = world.mdp, planning.soft_value_iteration(world.mdp, world.reward).policy
    demos = demonstrations.sample(mdp, policy, 300, np.random.default_rng(0), length=5)
    message = r"objective='likelihood'.*pass planning.occupancy\(mdp, fit.policy\)"
    with pytest.raises(ValueError, match=r"trajectory \d+ of demos has no end.*" + message):
        max_margin.max_margin(mdp, world.features, demos)
    with pytest.raises(ValueError, match="of 300 episodes truncated before their end.*" + message):
        max_margin.projection(mdp, world.features, demos)
    start = [3.0, 0.0]
    fit = max_ent.max_ent(mdp, world.features, demos, objective="likelihood", initial_weights=start)
    completed = planning.occupancy(mdp, fit.policy)
    exact = planning.feature_expectations(mdp, policy, world.features)
    np.testing.assert_allclose(np.einsum("sa,sak->k", completed, world.features), exact, rtol=0.1)
    found = max_margin.max_margin(mdp, -world.features, completed, slack=1.0, upper=-1e-3)
    assert found.converged


def test_a_truncated_trajectory_is_refused() -> None:
    world, _ = walks()
    with pytest.raises(ValueError, match="trajectory 0 of demos has an occupancy of 1 in all"):
        max_margin.max_margin(world.mdp, world.features, Demonstrations([[0, 1]], [[0]]))


# --- the projection ---------------------------------------------------------------------------


def project(*args: Any, **kwargs: Any) -> max_margin.ProjectionResult:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return max_margin.projection(*args, **kwargs)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(["discounted", "horizon"]))
def test_the_projection_contracts(seed: int, kind: str) -> None:
    """Lemma 3 of the paper, for features in [0, 1], and the sharper form, at every iteration."""
    case = tiny(seed, kind, noise=0.3)
    low, high = case.world.features.min(), case.world.features.max()
    features = (case.world.features - low) / (high - low)
    mdp, k = case.world.mdp, 3
    found = project(mdp, features, case.expert, tolerance=0.02, max_iterations=5_000)
    distance = found.history["distance"]
    zero = planning.value_iteration(mdp, np.zeros((mdp.n_states, mdp.n_actions))).policy
    mu = np.einsum("sa,sak->k", case.expert, features)
    start = np.linalg.norm(mu - planning.feature_expectations(mdp, zero, features))
    before = np.r_[start, distance[:-1]]
    lemma = k / np.sqrt(k**2 + (before / mdp.mass) ** 2)
    assert (distance / before <= lemma + 1e-12).all()
    np.testing.assert_allclose(found.history["contraction"], distance / before)
    assert (found.history["contraction"] <= found.history["contraction_bound"] + 1e-12).all()
    assert (found.history["contraction_bound"] <= lemma + 1e-12).all()
    assert found.converged
    assert found.distance <= 0.02
    widest = project(mdp, features, case.expert, method="max-margin", tolerance=0.02)
    assert (widest.history["contraction"] <= widest.history["contraction_bound"] + 1e-6).all()
    assert widest.distance <= 0.02
    assert len(widest.history["distance"]) <= len(distance)


@settings(max_examples=20)
@given(SEEDS)
def test_a_step_of_the_projection_ends_at_the_closest_point(seed: int) -> None:
    """Of the segment towards the best policy, against a fine grid of its points."""
    case = tiny(seed, "discounted", noise=0.3)
    first = case.policies[0]  # the first action everywhere
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = max_margin.projection(
            case.world.mdp, case.world.features, case.expert, tolerance=1e-9, max_iterations=1
        )
    gap = case.mu_expert - np.einsum(
        "sa,sak->k", planning.occupancy(case.world.mdp, first), case.world.features
    )
    best = case.mus[np.argmax(case.mus @ gap)]
    shares = np.linspace(0.0, 1.0, 2_001)[:, None]
    points = case.mu_expert - gap + shares * (best - case.mu_expert + gap)
    closest = np.linalg.norm(points - case.mu_expert, axis=1).min()
    assert closest - 1e-3 < found.distance <= closest + 1e-9


@settings(max_examples=20)
@given(SEEDS, KINDS)
def test_the_mixture_is_what_it_says(seed: int, kind: str) -> None:
    case = tiny(seed, kind, noise=0.5)
    mdp, features = case.world.mdp, case.world.features
    if kind == "episodic":
        return
    found = project(mdp, features, case.expert, tolerance=0.1, max_iterations=5_000)
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.shares.min() > 0.0
    policies = [deterministic_policy(a, mdp.n_actions) for a in found.policies]
    visits = [planning.occupancy(mdp, policy) for policy in policies]
    mixed = sum(share * visit for share, visit in zip(found.shares, visits, strict=True))
    np.testing.assert_allclose(np.einsum("sa,sak->k", mixed, features), found.mixture, atol=1e-9)
    # One policy does the same, and nothing is lost of the occupancy's mass (T3).
    own = planning.occupancy(mdp, found.policy)
    np.testing.assert_allclose(own, mixed, atol=1e-9)
    assert own.sum() == pytest.approx(mdp.mass)
    assert np.linalg.norm(case.mu_expert - found.mixture) == pytest.approx(found.distance)
    gaps = np.linalg.norm(found.feature_expectations - case.mu_expert, axis=1)
    assert gaps[found.closest] == gaps.min()
    assert gaps.min() >= found.distance - 1e-9


def test_sampling_a_policy_at_the_start_gives_the_mixture() -> None:
    """Monte Carlo, within four standard errors; the last policy alone is far off."""
    case = tiny(4, "horizon", noise=0.5)
    mdp, features = case.world.mdp, case.world.features
    found = project(mdp, features, case.expert, tolerance=0.05, max_iterations=5_000)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(20_000, found.shares)
    per_path = []
    for actions, n in zip(found.policies, counts, strict=True):
        if n:
            policy = deterministic_policy(actions, mdp.n_actions)
            drawn = demonstrations.sample(mdp, policy, int(n), rng)
            step = drawn.steps()
            sums = np.zeros((int(n), 3))
            weights = mdp.discount**step.time
            np.add.at(sums, step.trajectory, weights[:, None] * features[step.state, step.action])
            per_path.append(sums)
    totals = np.concatenate(per_path)
    error = totals.std(axis=0) / np.sqrt(len(totals))
    assert (np.abs(totals.mean(axis=0) - found.mixture) < 4.0 * error).all()
    last = np.linalg.norm(found.feature_expectations[-1] - case.mu_expert)
    assert last > 5.0 * found.distance


@settings(max_examples=8)
@given(SEEDS)
def test_the_lower_bound_is_the_distance_from_all_mixtures(seed: int) -> None:
    """An expert out of reach: the projection ends at the closest point, and knows it."""
    case = tiny(seed, "discounted")
    target = case.mu_expert + np.random.default_rng(seed).normal(size=3)
    found = project(
        case.world.mdp, case.world.features, target, tolerance=0.1, max_iterations=5_000
    )
    widest = project(
        case.world.mdp, case.world.features, target, method="max-margin", tolerance=1e-4
    )
    _, first = np.unique(case.mus.round(10), axis=0, return_index=True)
    exact = max_margin.widest_margin(target, case.mus[first])
    lower_bound = found.history["lower_bound"][-1]
    assert found.certificate == {"duality_gap": found.distance - lower_bound}
    assert lower_bound <= exact.margin + 1e-6
    assert found.distance >= exact.margin - 1e-6
    assert found.certificate["duality_gap"] <= 0.1
    assert widest.distance == pytest.approx(exact.margin, abs=1e-4)
    assert widest.history["lower_bound"][-1] == pytest.approx(exact.margin, abs=2e-4)
    assert len(widest.shares) <= 20
    assert found.converged


def test_a_projection_that_stops_early_says_so() -> None:
    case = tiny(1, "discounted", noise=0.4)
    with pytest.warns(ConvergenceWarning, match="stopped after 2 iterations") as told:
        found = max_margin.projection(
            case.world.mdp, case.world.features, case.expert, tolerance=1e-9, max_iterations=2
        )
    assert told[0].filename == __file__
    assert not found.converged
    assert len(found.history["distance"]) == 2
    assert repr(found).startswith("ProjectionResult(not converged, 2 iterations, duality_gap ")


def test_the_projection_of_demonstrations_takes_their_mean() -> None:
    world, demos = walks(n=6)
    found = project(world.mdp, world.features, demos, tolerance=0.05)
    shown = demos.occupancy(world.mdp)
    mu = np.einsum("sa,sak->k", shown / shown.sum() * world.mdp.mass, world.features)
    assert np.linalg.norm(mu - found.mixture) == pytest.approx(found.distance)


@pytest.mark.parametrize("method", ["projection", "max-margin"])
def test_one_mdp_given_twice_is_that_mdp(method: str) -> None:
    case = tiny(4, "horizon", noise=0.5)
    given = case.world.mdp, case.world.features, case.expert
    once = project(*given, method=method, tolerance=0.05)
    twice = project(*([each] * 2 for each in given), method=method, tolerance=0.05)
    assert twice.distance == pytest.approx(once.distance, abs=1e-9)
    np.testing.assert_allclose(twice.weights, once.weights, atol=1e-6)
    np.testing.assert_allclose(twice.mixture, once.mixture, atol=1e-9)
    np.testing.assert_allclose(twice.shares, once.shares, atol=1e-9)
    for policy in twice.policy:
        np.testing.assert_allclose(policy, once.policy, atol=1e-7)
    for pair, single in zip(twice.policies, once.policies, strict=True):
        np.testing.assert_array_equal(pair, [single, single])


@pytest.mark.parametrize("method", ["projection", "max-margin"])
def test_over_several_mdps_feature_expectations_are_the_mean(method: str) -> None:
    cases = [tiny(seed, "discounted", noise=0.3) for seed in (3, 8)]
    mdps, features = zip(*[each.world[:2] for each in cases], strict=True)
    found = project(mdps, features, [each.expert for each in cases], method=method, tolerance=0.05)
    target = np.mean([each.mu_expert for each in cases], axis=0)
    mixture = np.mean(
        [
            planning.feature_expectations(*each)
            for each in zip(mdps, found.policy, features, strict=True)
        ],
        axis=0,
    )
    assert np.linalg.norm(target - mixture) == pytest.approx(found.distance)
    assert found.converged
    assert found.distance <= 0.05
    # It may differ from the expert in each, as long as the mean fits: here it does.
    one = np.einsum("sa,sak->k", planning.occupancy(mdps[0], found.policy[0]), features[0])
    assert np.linalg.norm(cases[0].mu_expert - one) > 0.05
    for joint, mu in zip(found.policies, found.feature_expectations, strict=True):
        policies = [deterministic_policy(actions, 3) for actions in joint]
        each = zip(mdps, policies, features, strict=True)
        again = np.mean([planning.feature_expectations(*one) for one in each], axis=0)
        np.testing.assert_allclose(mu, again, atol=1e-9)


def test_an_expert_out_of_reach_of_constant_features() -> None:
    """All mixtures are the same point, as far from the expert as it says."""
    world = worlds.random_mdp(3, 2, 2, seed=0)
    found = project(world.mdp, np.ones((3, 2, 1)), [world.mdp.mass + 2.0])
    assert found.distance == pytest.approx(2.0)
    assert found.certificate["duality_gap"] == pytest.approx(0.0, abs=1e-9)


def test_merged_policies_follow_where_nobody_goes_the_first() -> None:
    world = corridor(n_dead=1)
    right, left = np.tile([0.0, 1.0], (5, 1)), np.tile([1.0, 0.0], (5, 1))
    merged = max_margin.merge_policies(world.mdp, [right, left], [0.5, 0.5])
    np.testing.assert_array_equal(merged[4], right[4])
    np.testing.assert_array_equal(merged[3], right[3])
    with pytest.raises(ValueError, match=r"shares has shape \(1,\); expected \(2,\)"):
        max_margin.merge_policies(world.mdp, [right, left], [1.0])


def test_progress_bars(capsys: pytest.CaptureFixture[str]) -> None:
    case = tiny(0, "discounted")
    fit(case, "unit", 1.0, progress=True)
    project(case.world.mdp, case.world.features, case.expert, tolerance=0.1, progress=True)
    shown = capsys.readouterr().err
    assert "max_margin" in shown
    assert "projection" in shown
