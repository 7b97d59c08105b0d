"""The objective on samples: its forms against the tables', its runs against themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irl_lib import Demonstrations, iq_learn, planning, rollouts, worlds
from irl_lib.mdp import MDP

torch = pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")

from irl_lib.demonstrations import shipped  # noqa: E402
from irl_lib.iq_learn.critics import Critics, encoded  # noqa: E402
from irl_lib.iq_learn.learner import Learner, Replay  # noqa: E402
from irl_lib.iq_learn.losses import LOSSES, OFFLINE, ONLINE, Batch  # noqa: E402
from irl_lib.iq_learn.maxima import ClosedForm  # noqa: E402
from irl_lib.iq_learn.sampled import IqResult, Iteration  # noqa: E402
from irl_lib.training.steps import Rows  # noqa: E402

SMALL: dict[str, Any] = {"steps": 8, "updates": 3, "batch": 16, "hidden": (8,), "max_iterations": 3}
GAMMA = 0.8


def ring(n: int = 4) -> MDP:
    """States in a ring; one goes on, or stays: nothing is left to chance."""
    dense = np.zeros((n, 2, n))
    for s in range(n):
        dense[s, 0, s] = dense[s, 1, (s + 1) % n] = 1.0
    return MDP(dense, np.eye(n)[0], GAMMA)


def walks(seed: int = 0, n: int = 4, length: int = 30) -> Demonstrations:
    """Of somebody who goes on two times of three; cut."""
    rng = np.random.default_rng(seed)
    actions = [(rng.random(length) < 2 / 3).astype(int) for _ in range(n)]
    states = [np.concatenate([[0], np.cumsum(a) % 4]) for a in actions]
    return Demonstrations(states, actions)


def counts(demos: Demonstrations) -> Any:
    """``(S, A)``: shares of all steps."""
    steps, table = demos.steps(), np.zeros((4, 2))
    np.add.at(table, (steps.state, steps.action), 1.0)
    return table / table.sum()


def linear(**given: Any) -> IqResult:
    """Q as a table: the critic is linear in one-hot states, its gradient is whole."""
    whole = {"hidden": (), "critics": 1, "normalised": False, "target_rate": 1.0, "averaging": 0.0}
    return iq_learn.iq_learn(
        ring(), walks(), seed=0, discount=GAMMA, batch=1_000, **(whole | given)
    )


def table_of(found: IqResult) -> Any:
    with torch.no_grad():
        return found.policy.critics(torch.eye(4))[0].double().numpy()


def batch(seed: int, k: int = 2, n: int = 5) -> Batch:
    rng = np.random.default_rng(seed)
    q, v = (torch.tensor(rng.normal(size=(k, n))) for _ in range(2))
    return Batch(
        q, v, torch.tensor(rng.normal(size=n)), torch.full((n,), 1.0 / n, dtype=torch.float64)
    )


def weighed(n: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).random(n)
    return torch.tensor(drawn / drawn.sum())


# --- the forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0.3, 2.0])
def test_least_squares_are_on_two_numbers(c: float) -> None:
    expert, policy = batch(0)._replace(weights=weighed(5, 1)), batch(1)
    found = sum(LOSSES["least squares"](expert, policy, torch.zeros(()), c))
    squares = [
        each.mean((each.reward - side * 2.0 / c) ** 2) for each, side in ((expert, 1), (policy, -1))
    ]
    wanted = 0.25 * c * sum(squares) - 2.0 / c  # which completing the squares adds
    assert float(found) == pytest.approx(float(wanted), rel=1e-12)


def test_the_expert_alone_is_cloning_and_a_price() -> None:
    expert = batch(0)
    found = LOSSES["value and policy"](expert, None, torch.zeros(()), 0.5)
    log_prob = expert.mean(expert.q - expert.v)
    assert float(found.reward + found.value) == pytest.approx(-float(log_prob), rel=1e-12)
    assert float(found.price) == pytest.approx(0.25 * float(expert.mean(expert.reward**2)))


def test_the_mixture_is_half_of_each() -> None:
    expert, policy = batch(0), batch(1)
    found = LOSSES["mixture"](expert, policy, torch.zeros(()), 0.5)
    halves = [float(each.mean(each.v - each.later)) for each in (expert, policy)]
    assert float(found.value) == pytest.approx(np.mean(halves), rel=1e-12)
    squares = [float(each.mean(each.reward**2)) for each in (expert, policy)]
    assert float(found.price) == pytest.approx(0.25 * np.mean(squares), rel=1e-12)
    assert float(found.reward) == pytest.approx(-float(expert.mean(expert.reward)), rel=1e-12)


def test_q_of_the_policys_own_actions_has_the_gradient_of_v() -> None:
    """In expectation; with the actions of another policy it hasn't."""
    q = torch.tensor(np.random.default_rng(0).normal(size=(1, 3)), requires_grad=True)
    pi = torch.softmax(q, dim=-1).detach()
    zero, own = torch.zeros(3).double(), pi[0]
    slopes = []
    for shares in (own, torch.full((3,), 1 / 3, dtype=torch.float64)):
        taken = Batch(q, torch.logsumexp(q, -1, keepdim=True).expand(1, 3), zero, shares)
        form = LOSSES["least squares"](taken._replace(weights=zero), taken, torch.zeros(()), 1e-12)
        slopes.append(torch.autograd.grad(form.value, q)[0])
    v = torch.logsumexp(q, -1).sum()
    exact = torch.autograd.grad(v, q)[0]
    assert torch.allclose(slopes[0], exact, atol=1e-12)
    assert not torch.allclose(slopes[1], exact, atol=1e-2)


@pytest.mark.parametrize("loss", OFFLINE)
def test_offline_losses_are_minus_the_objective_of_the_table(loss: str) -> None:
    """Where dynamics leave nothing to chance, and all steps are in the batch."""
    noted: list[Any] = []
    found = linear(
        loss=loss,
        weight=0.5,
        max_iterations=1,
        updates=1,
        callback=noted.append,
        learning_rate=1e-9,
    )
    mdp, q, shown = ring(), table_of(found), counts(walks())
    r, v = iq_learn.inverse_bellman(mdp, q), iq_learn.soft_value(mdp, q)
    price = 0.25 * np.sum(shown * r**2)
    if loss == "start values":
        wanted = -np.sum(shown * r) + (1.0 - GAMMA) * v[0] + price
    else:
        wanted = -np.sum(shown * (q - v[:, None])) + price
    # Adam's step of 1e-9 is all that lies between the table and the loss that was noted.
    assert float(found.history["loss"][0]) == pytest.approx(wanted, abs=1e-6)


def test_offline_it_comes_to_the_maximum_of_the_table() -> None:
    exact = iq_learn.iq_learn_tabular(
        ring(),
        counts(walks()) * ring().mass,
        weight=0.5,
        measure="expert",
        objective="likelihood",
    )
    assert exact.converged
    found = linear(weight=0.5, max_iterations=15, decay=15, learning_rate=0.1)
    chances = found.policy.probabilities(np.eye(4))
    assert np.abs(chances - exact.policy).max() < 1e-3
    states, actions = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    after = np.argmax(ring().dense_transitions()[states, actions], axis=1)
    rewards = found.reward(np.eye(4)[states], actions, np.eye(4)[after])
    assert np.abs(rewards - exact.reward.ravel()).max() < 1e-2


def test_without_a_price_it_is_cloning() -> None:
    found = linear(weight=1e-9, max_iterations=15, decay=15, learning_rate=0.1)
    shown = counts(walks())
    cloned = shown / shown.sum(axis=1, keepdims=True)
    assert np.abs(found.policy.probabilities(np.eye(4)) - cloned).max() < 1e-3


def test_the_terms_are_the_loss() -> None:
    for online in (False, True):
        found = on_pole(online=online)
        terms = sum(found.history[name] for name in ("reward", "value", "price"))
        assert np.allclose(found.history["loss"], terms, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", ONLINE)
def test_online_losses_have_the_gradient_of_the_tables_objective(loss: str) -> None:
    """With the occupancies of an expert and of Q's own policy for samples; rewards of both cost."""
    mdp, weight = ring(), 0.5
    q = np.random.default_rng(0).normal(size=(4, 2))
    own = planning.occupancy(mdp, iq_learn.policy_of(mdp, q))
    shown = planning.occupancy(mdp, np.array([[0.3, 0.7]] * 4))
    table = torch.tensor(q, requires_grad=True)
    after = torch.tensor(mdp.dense_transitions()).argmax(dim=-1).ravel()
    v = torch.logsumexp(table, dim=-1)
    sides = [
        Batch(
            table.reshape(1, -1),
            v.repeat_interleave(2)[None],
            GAMMA * v[after],
            torch.tensor(occupancy.ravel() / occupancy.sum()),
        )
        for occupancy in (shown, own)
    ]
    total = sum(LOSSES[loss](*sides, torch.zeros(()), weight))
    slopes = torch.autograd.grad(total, table)[0].numpy()
    cost = iq_learn.price(mdp, weight, 0.5 * (shown + own))
    step, wanted = 1e-5, np.zeros((4, 2))
    for at in np.ndindex(4, 2):
        moved = np.zeros((4, 2))
        moved[at] = step
        up, down = (iq_learn.iq_objective(mdp, shown, q + each, cost) for each in (moved, -moved))
        wanted[at] = -(1.0 - GAMMA) * (up - down) / (2.0 * step)
    assert slopes == pytest.approx(wanted, abs=1e-8)  # the step's square, and rounding over it


def mean_of(x: Any, shares: Any) -> Any:
    return (x * shares).sum(axis=-1).mean()


def soft(q: Any, alpha: float) -> Any:
    return alpha * np.logaddexp.reduce(q / alpha, axis=-1)


def written_out(found: Learner) -> float:
    """The loss without a slow copy, in numpy and double precision, from its formula."""
    s = found.settings
    value = {"least squares": 0.0, "mixture": 0.5}.get(s.loss, 1.0)
    kinds = [found.expert] + [found.replay.kept.take(slice(len(found.replay)))] * (value < 1.0)
    most, joy = 2.0 / s.weight, s.temperature * np.log(2.0)
    low, high = -most / (1.0 - s.discount), (most + joy) / (1.0 - s.discount)
    rewards, telescoped, squares = [], [], []
    for rows in kinds:
        q, after = (
            found.critics(torch.tensor(x)).detach().numpy() for x in (rows.states, rows.next_states)
        )
        later = soft(after.min(axis=0), s.temperature)
        later = np.clip(later, low, high) if s.clip else later
        later = s.discount * np.where(rows.terminated, found.end(), later)
        r, share = q[:, np.arange(q.shape[1]), rows.actions] - later, rows.weights
        share = share / share.sum()
        rewards.append(mean_of(r, share))
        telescoped.append(mean_of(soft(q, s.temperature) - later, share))
        squares.append(mean_of(r**2, share))
    start = soft(found.critics(found.starts).detach().numpy(), s.temperature).mean()
    values = {
        "start values": (1.0 - s.discount) * start,
        "value and policy": telescoped[0],
        "mixture": np.mean(telescoped),
        "least squares": rewards[-1],
    }
    return float(-rewards[0] + values[s.loss] + 0.5 * s.weight * np.mean(squares))


def in_double(loss: str) -> Learner:
    rng = np.random.default_rng(0)
    demos = Demonstrations(
        [rng.normal(size=(8, 4)) for _ in range(3)],
        [rng.integers(2, size=7) for _ in range(3)],
        terminated=[True, False, True],
    )
    forms = {"loss": loss, "temperature": 0.3, "weight": 0.5, "discount": 0.9, "subsample": 4}
    found = learner(demos, hidden=(5,), critics=3, target_rate=1.0, **forms)
    found.critics.double()
    found._tensor = lambda array: torch.from_numpy(np.asarray(array)).double()  # type: ignore
    found.starts = found.starts.double()
    rows = steps_of_policy((rng.random(9) < 0.3).tolist())
    states, after = rng.normal(size=(2, 9, 4))
    found.replay.add(
        rows._replace(states=states, next_states=after, actions=rng.integers(2, size=9))
    )
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_has_the_loss_and_the_gradient_of_its_formula(loss: str) -> None:
    """With weights of steps that stand for several, ends, three networks and V' of the least."""
    found = in_double(loss)
    rng = np.random.default_rng(0)
    total = sum(found.terms(found.drawn(rng), rng, found.end()))
    assert float(total.detach()) == pytest.approx(written_out(found), rel=1e-12)
    total.backward()
    step, rng = 1e-6, np.random.default_rng(1)
    for each in found.critics.parameters():
        along = torch.tensor(rng.normal(size=each.shape))
        ends = []
        for side in (step, -step):
            each.data += side * along
            ends.append(written_out(found))
            each.data -= side * along
        slope = float((each.grad * along).sum())
        # Rounding of the loss over twice the step; the third derivative times its square is less.
        assert (ends[0] - ends[1]) / (2.0 * step) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_reward_is_of_the_mean_q_and_the_policy_of_the_least() -> None:
    found = on_pole(critics=3, temperature=0.7, discount=0.9, averaging=0.3)
    x = np.random.default_rng(0).normal(size=(6, 4))
    a, over = np.array([0, 1, 0, 1, 1, 0]), np.arange(6) % 3 == 0
    with torch.no_grad():
        q = found.policy.critics(torch.tensor(x, dtype=torch.float32)).double().numpy()
    v = soft(q.mean(axis=0), 0.7)[::-1]
    wanted = q.mean(axis=0)[np.arange(6), a] - 0.9 * np.where(over, found.reward.end, v)
    assert found.reward(x, a, x[::-1], over) == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    least = q.min(axis=0)
    chances = np.exp((least - soft(least, 0.7)[:, None]) / 0.7)
    assert found.policy.probabilities(x) == pytest.approx(chances, rel=1e-5)
    backwards = found.policy.probabilities(x[::-1])
    assert backwards[::-1] == pytest.approx(chances, rel=1e-5)


def test_critics_are_networks_side_by_side() -> None:
    """One by one, in numpy: their unit, the normalised hidden layers, rectified; the least Q."""
    rng = np.random.default_rng(0)
    centre, scale, x = rng.normal(size=3), rng.uniform(0.5, 2.0, 3), rng.normal(size=(5, 3))
    for normalised in (False, True):
        net = Critics(3, 2, (4, 6), 2, normalised, 0, centre, scale)
        wanted = []
        for i in range(2):
            y = (x - centre) / scale
            for j in range(3):
                if j:
                    spread = np.sqrt(y.var(axis=1, keepdims=True) + 1e-5)
                    y = (y - y.mean(axis=1, keepdims=True)) / spread if normalised else y
                    y = np.maximum(y, 0.0)
                y = y @ net.weights[j][i].detach().numpy() + net.biases[j][i].detach().numpy()
            wanted.append(y)
        seen = torch.tensor(x, dtype=torch.float32)
        assert net(seen).detach().numpy() == pytest.approx(np.array(wanted), rel=1e-4, abs=1e-5)
        least = np.minimum(*wanted)
        assert net.least(seen).detach().numpy() == pytest.approx(least, rel=1e-4, abs=1e-5)


def test_what_comes_next_is_said_by_a_slow_copy_that_follows() -> None:
    found = learner(shipped("cartpole_expert"), target_rate=0.25, updates=1, clip=False, batch=8)
    found.replay.add(steps_of_policy([False] * 3))
    slow = found.target.net
    with torch.no_grad():
        slow.biases[-1].add_(torch.tensor([5.0, -3.0]))
    rng = np.random.default_rng(0)
    kinds = found.drawn(rng)
    after = torch.tensor(np.concatenate([each.next_states for each in kinds])).float()
    later = torch.cat([each.later for each in found._seen(kinds, rng, 0.0)])
    wanted = 0.99 * soft(slow(after).detach().numpy().min(axis=0), 1.0)
    over = np.concatenate([each.terminated for each in kinds])
    assert later.detach().numpy() == pytest.approx(np.where(over, 0.0, wanted), rel=1e-5)
    before = [each.clone() for each in slow.parameters()]
    found.improve(0, rng)
    for old, lead, now in zip(before, found.critics.parameters(), slow.parameters(), strict=True):
        assert torch.allclose(now, 0.75 * old + 0.25 * lead, atol=1e-6)


def test_a_batch_is_drawn_from_all_steps() -> None:
    found = learner(shipped("cartpole_expert").select([0]), batch=50)
    rng, n = np.random.default_rng(0), len(found.expert.states)
    drawn = np.concatenate([found._take(found.expert, n, rng).states for _ in range(200)])
    assert len(np.unique(drawn, axis=0)) == len(np.unique(found.expert.states, axis=0))


def test_the_rate_falls_to_nothing() -> None:
    """Two iterations of four are as far as the rate goes; the first of two goes further."""
    ends = [
        weights(on_pole(False, decay=decay, max_iterations=last, averaging=0.0))
        for decay, last in ((2, 2), (2, 4), (4, 2))
    ]
    assert all(map(np.array_equal, ends[0], ends[1]))
    assert not all(map(np.array_equal, ends[0], ends[2]))


def test_steps_on_line_are_drawn_from_the_policy() -> None:
    places = gymnasium.spaces.Box(-1.0, 1.0, (2,)), gymnasium.spaces.Discrete(3, start=4)
    known = learner(shipped("cartpole_expert")).settings
    chosen = replace(known, temperature=0.3, critics=2, hidden=(8,))
    found = ClosedForm(places, chosen, np.zeros(2), np.ones(2))
    seen = torch.full((20_000, 2), 0.5)
    drawn = np.bincount(found.draw(seen, np.random.default_rng(0)), minlength=7) / 20_000
    chances = found.policy(found.critics).probabilities([[0.5, 0.5]])[0]
    assert drawn[4:] == pytest.approx(chances, abs=4.0 * 0.5 / np.sqrt(20_000))
    assert np.ptp(chances) > 0.1


# --- the end of an episode ----------------------------------------------------------------------


def pole(copies: int = 2) -> Any:
    return worlds.batched("CartPole-v1", copies)


def on_pole(online: bool = True, **given: Any) -> IqResult:
    env = gymnasium.make("CartPole-v1")
    place = pole() if online else (env.observation_space, env.action_space)
    demos = shipped("cartpole_expert").select([0])
    return iq_learn.iq_learn(
        place, demos, online=online, **({"seed": 0, "subsample": 20} | SMALL | given)
    )


def learner(demos: Demonstrations, **given: Any) -> Learner:
    from inspect import signature

    from irl_lib.iq_learn.sampled import iq_learn as method
    from irl_lib.iq_learn.settings import settings_of

    defaults = {k: p.default for k, p in signature(method).parameters.items()}
    settings = settings_of(defaults | {"env": pole(), "seed": 0, "online": True} | given)
    return Learner(pole(), demos, settings)


def steps_of_policy(terminated: list[bool]) -> Rows:
    n = len(terminated)
    return Rows(
        np.zeros((n, 4)),
        np.zeros(n, int),
        np.zeros((n, 4)),
        np.array(terminated),
        np.zeros(n, bool),
        np.ones(n),
    )


@pytest.mark.parametrize(
    ("expert_ends", "policy_ends", "share"),
    [
        (False, [False, True], -1.0),
        (True, [False, False], 1.0),
        (True, [True, False, False, False], 0.0),
        (False, [False, False], 0.0),
    ],
)
def test_an_end_is_worth_what_the_objective_gives_it(
    expert_ends: bool, policy_ends: list[bool], share: float
) -> None:
    path = np.zeros((5, 4))
    demos = Demonstrations([path], [np.zeros(4, int)], terminated=expert_ends)
    found = learner(demos, weight=0.5, discount=0.9)
    assert found.end() == 0.0
    found.replay.add(steps_of_policy(policy_ends))
    assert found.end() == pytest.approx(share * 2.0 / 0.5 / (1.0 - 0.9))


def test_ends_can_be_worth_nothing() -> None:
    found = learner(shipped("cartpole_expert"), absorbing=False)
    found.replay.add(steps_of_policy([True, True]))
    assert found.end() == 0.0


def test_the_last_step_is_kept_and_stands_for_one() -> None:
    path = np.arange(24.0).reshape(6, 4)
    demos = Demonstrations([path], [np.zeros(5, int)], terminated=True)
    kept = learner(demos, subsample=3).expert
    assert kept.states[:, 0].tolist() == [0.0, 12.0, 16.0]
    assert kept.terminated.tolist() == [False, False, True]
    assert kept.weights == pytest.approx([1.0, 1.0, 1.0 / 3.0])
    assert len(learner(demos, subsample=3, keep_last=False).expert.states) == 2


def test_values_of_what_comes_next_are_within_what_can_be_earned() -> None:
    found = learner(shipped("cartpole_expert"), weight=0.5, discount=0.9, temperature=2.0)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for bias in found.target.net.biases:
            bias.fill_(1e6)
        after = torch.zeros(1, 4)
        high = float(found._clipped(found.target.net, after, rng))
        found.target.net.biases[-1].fill_(-1e6)
        low = float(found._clipped(found.target.net, after, rng))
    assert high == pytest.approx((4.0 + 2.0 * np.log(2.0)) / 0.1, rel=1e-6)
    assert low == pytest.approx(-4.0 / 0.1, rel=1e-6)


def test_the_memory_forgets_the_oldest() -> None:
    memory = Replay(3, steps_of_policy([False]))
    for i in range(4):
        memory.add(steps_of_policy([False])._replace(states=np.full((1, 4), float(i))))
    assert len(memory) == 3
    assert sorted(memory.kept.states[:, 0]) == [1.0, 2.0, 3.0]
    again = Replay(3, steps_of_policy([False]))
    again.restore(memory.arrays())
    assert again.added == 4
    assert np.array_equal(again.kept.states, memory.kept.states)
    many = steps_of_policy([False] * 8)._replace(states=np.arange(32.0).reshape(8, 4))
    memory.add(many)
    assert sorted(memory.kept.states[:, 0]) == [20.0, 24.0, 28.0]
    with pytest.raises(ValueError, match=r"memory is .* for which there is no room"):
        Replay(2**50, many)


# --- runs ---------------------------------------------------------------------------------------


def weights(found: IqResult) -> list[Any]:
    return [each.numpy() for each in found.policy.state_dict().values()]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_repeats_and_resumes(loss: str, tmp_path: Path) -> None:
    settings = {"online": loss in ONLINE, "loss": loss}
    whole = on_pole(**settings)
    again = on_pole(**settings, checkpoint=tmp_path / "a.npz", max_iterations=1)
    resumed = on_pole(**settings, checkpoint=tmp_path / "a.npz")
    assert len(again.history["loss"]) == 1
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert np.array_equal(a, b)
    assert whole.history.keys() == resumed.history.keys()
    for name in whole.history:
        assert np.array_equal(whole.history[name], resumed.history[name]), name
    other = on_pole(**settings, seed=1)
    assert not all(map(np.array_equal, weights(other), weights(whole)))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    on_pole(checkpoint=tmp_path / "a.npz")
    with pytest.raises(ValueError, match="temperature"):
        on_pole(checkpoint=tmp_path / "a.npz", temperature=0.5)


@pytest.mark.parametrize(
    ("hidden", "settings"),
    [
        ("starts", {"online": False, "loss": "start values"}),
        ("ends", {"online": True, "subsample": 5, "keep_last": False}),
    ],
)
def test_a_checkpoint_of_demonstrations_whose_shown_steps_are_the_same_is_refused(
    hidden: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    x, a = np.random.default_rng(0).normal(size=(11, 4)), np.arange(10) % 2
    demos = Demonstrations([x], [a], terminated=hidden == "ends")
    cut = Demonstrations([x[:6], x[5:]], [a[:5], a[5:]])  # starts in one place more
    if hidden == "ends":
        cut = Demonstrations([x[:9]], [a[:8]], terminated=True)  # ends more often
    run: dict[str, Any] = SMALL | settings | {"seed": 0, "checkpoint": tmp_path / "a.npz"}
    place = pole() if settings["online"] else gymnasium.make("CartPole-v1")
    iq_learn.iq_learn(place, demos, **run)
    with pytest.raises(ValueError, match="made with demos"):
        iq_learn.iq_learn(place, cut, **run)


def test_a_checkpoint_says_what_is_not_the_same(tmp_path: Path) -> None:
    shown = shipped("cartpole_expert").select([0])
    run: dict[str, Any] = SMALL | {"seed": 0, "checkpoint": tmp_path / "a.npz"}
    place = gymnasium.make("CartPole-v1")
    iq_learn.iq_learn(place, shown, **run)
    with pytest.raises(ValueError, match="made with critics = 2; here it is 3"):
        iq_learn.iq_learn(place, shown, critics=3, **run)
    moved = Demonstrations([shown.states[0] + 1.0], shown.actions)
    with pytest.raises(ValueError, match="made with demos"):
        iq_learn.iq_learn(place, moved, **run)


@pytest.mark.parametrize("online", [False, True])
def test_settings_may_be_numpys(online: bool, tmp_path: Path) -> None:
    counts: dict[str, Any] = {
        "subsample": 20,
        "steps": 8,
        "memory": 99,
        "batch": 16,
        "critics": 2,
        "updates": 3,
    }
    flags: dict[str, Any] = {"keep_last": True, "normalised": True, "online": online}
    kinds: dict[str, Any] = {name: np.int64(each) for name, each in counts.items()}
    kinds |= {name: np.bool_(each) for name, each in flags.items()}
    plain = on_pole(**counts, **flags)
    found = on_pole(**kinds, checkpoint=tmp_path / "a.npz")
    assert all(map(np.array_equal, weights(plain), weights(found)))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_stops_in_the_midst_of_episodes_change_nothing(mode: str, tmp_path: Path) -> None:
    """In every mode of resetting, with a memory that has begun anew."""

    def run(**given: Any) -> IqResult:
        copies = worlds.batched("CartPole-v1", 3, autoreset=mode)
        shown = shipped("cartpole_expert").select([0])
        asked = SMALL | {"max_iterations": 6} | given
        return iq_learn.iq_learn(copies, shown, seed=0, online=True, memory=50, **asked)

    def stop(iteration: Iteration) -> None:
        if iteration.number == 3:
            raise KeyboardInterrupt

    whole, path = run(), tmp_path / "a.npz"
    run(checkpoint=path, max_iterations=1)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, callback=stop)
    resumed = run(checkpoint=path)
    assert all(map(np.array_equal, weights(whole), weights(resumed)))
    assert all(np.array_equal(whole.history[name], resumed.history[name]) for name in whole.history)
    assert whole.reward.end == resumed.reward.end


def test_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    on_pole()
    assert torch.equal(before, torch.get_rng_state())


def test_a_callback_is_given_the_policy_as_it_is_and_may_stop() -> None:
    seen: list[Iteration] = []

    def watch(iteration: Iteration) -> None:
        seen.append(iteration)
        if iteration.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_pole(callback=watch)
    assert [each.number for each in seen] == [0, 1]
    chances = seen[-1].policy().probabilities(np.zeros((3, 4)))
    assert chances.shape == (3, 2)
    assert np.allclose(chances.sum(axis=1), 1.0)


def test_offline_nothing_is_stepped() -> None:
    class Untouchable(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            raise AssertionError("stepped")

        def reset(self, **_: Any) -> Any:
            raise AssertionError("reset")

    env = Untouchable(gymnasium.make("CartPole-v1"))
    demos = shipped("cartpole_expert").select([0])
    found = iq_learn.iq_learn(env, demos, seed=0, **SMALL)
    assert set(found.history) == {"loss", "reward", "value", "price", "end"}


def test_what_is_returned_is_the_mean_of_trained_weights() -> None:
    """Of all while they are few; averaging leaves the training as it is."""
    path: list[list[Any]] = []

    def watch(iteration: Iteration) -> None:
        net = iteration.policy().critics
        path.append([each.detach().double().numpy() for each in net.parameters()])

    on_pole(averaging=0.0, updates=1, max_iterations=4, callback=watch)
    found = on_pole(averaging=0.999, updates=1, max_iterations=4)
    for mean, *each in zip(found.policy.critics.parameters(), *path, strict=True):
        wanted = np.mean(each, axis=0)
        assert np.allclose(mean.detach().double().numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_a_policy_acts_by_chance_or_by_the_largest() -> None:
    policy = on_pole().policy
    seen = np.array([0.1, 0.2, 0.3, 0.4])
    chances = policy.probabilities(seen[None])[0]
    assert policy.act(seen) == int(chances.argmax())
    rng = np.random.default_rng(0)
    drawn = np.mean([policy.act(seen, rng) for _ in range(2_000)])
    assert drawn == pytest.approx(chances[1], abs=4.0 * np.sqrt(0.25 / 2_000))
    done = rollouts.rollout(gymnasium.make("CartPole-v1"), policy, 2, seed=0)
    assert len(done) == 2


def test_actions_may_begin_at_any_number() -> None:
    space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    path = np.random.default_rng(0).random((9, 2))
    demos = Demonstrations([path], [np.arange(8) % 2 + 3])
    found = iq_learn.iq_learn(
        (space, gymnasium.spaces.Discrete(2, start=3)), demos, seed=0, **SMALL
    )
    assert found.policy.act(path[0]) in (3, 4)
    assert encoded(gymnasium.spaces.Discrete(3, start=2), [2, 4]).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_it_learns_to_balance() -> None:
    """From 500 pairs, in 3,000 steps: it stays up ten times as long as chance does."""
    found = iq_learn.iq_learn(
        pole(4),
        shipped("cartpole_expert").select([0]),
        seed=0,
        online=True,
        steps=8,
        max_iterations=94,
    )
    done = rollouts.rollout(gymnasium.make("CartPole-v1"), found.policy, 10, seed=7)
    assert rollouts.returns(done).mean() > 200.0


# --- what is refused, and what is not -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss": "squares"}, "loss is 'squares'; expected one of"),
        ({"loss": "mixture", "online": False}, "loss is 'mixture'; expected one of"),
        ({"absorbing": True, "online": False}, "absorbing is True with loss='value and policy'"),
        ({"clip": True, "loss": "start values"}, "clip is True with loss='start values'"),
        ({"discount": 1.0}, "discount is 1; expected a number below 1"),
        ({"target_rate": 0.0}, "target_rate is 0.0"),
        ({"averaging": 1.0}, "averaging is 1.0"),
        ({"callback": 3}, "callback is 3"),
        ({"max_steps": 0, "online": False}, "max_steps is 0"),
        ({"temperature": 1e-40}, "temperature is 1e-40"),
        ({"temperature": 1e300}, r"temperature is 1e\+300"),
        ({"weight": 1e-30}, "weight is 1e-30"),
        ({"weight": 1e300}, r"weight is 1e\+300"),
        ({"learning_rate": 1e38}, r"learning_rate is 1e\+38"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        on_pole(**changed)


def test_demonstrations_of_other_spaces_are_refused() -> None:
    env = gymnasium.make("CartPole-v1")
    places = env.observation_space, env.action_space
    wide = Demonstrations([np.zeros((4, 5))], [[0, 1, 0]])
    with pytest.raises(ValueError, match="the states are vectors of length 5"):
        iq_learn.iq_learn(places, wide, seed=0, **SMALL)
    many = Demonstrations([np.zeros((4, 4))], [[0, 1, 2]])
    with pytest.raises(ValueError, match="actions have the entry 2"):
        iq_learn.iq_learn(places, many, seed=0, **SMALL)
    none = Demonstrations([np.zeros((1, 4))], [np.zeros(0, int)])
    with pytest.raises(ValueError, match="demos have no steps"):
        iq_learn.iq_learn(places, none, seed=0, **SMALL)


def test_demonstrations_beyond_32_bits_are_refused() -> None:
    env = gymnasium.make("CartPole-v1")
    far = Demonstrations([np.full((3, 4), 1e39)], [[0, 1]])
    with pytest.raises(ValueError, match=r"demos have a state with an entry of size 1e\+39"):
        iq_learn.iq_learn(env, far, seed=0, **SMALL)


def test_what_is_not_finite_is_not_returned() -> None:
    far, near = np.full((1, 4), 1e39), np.ones((1, 4))
    found = on_pole(online=False)
    for ask in (
        lambda: found.policy.probabilities(far),
        lambda: found.policy.act(far[0]),
        lambda: found.policy.act(far[0], np.random.default_rng(0)),
        lambda: found.reward(far, [0], near),
        lambda: found.reward(near, [0], far),
    ):
        with pytest.raises(ValueError, match="no finite values"):
            ask()
    # The loss was finite, before a step that spoiled the weights.
    once: dict[str, Any] = {"updates": 1, "max_iterations": 1, "averaging": 0.0}
    spoiled = on_pole(online=False, learning_rate=1e30, normalised=False, **once)
    with pytest.raises(ValueError, match="no finite values"):
        spoiled.policy.act(near[0])


def test_copies_that_take_no_seeds_are_named() -> None:
    copies = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    with pytest.raises(ValueError, match=r"env is .*vectorization_mode='sync'"):
        iq_learn.iq_learn(copies, shipped("cartpole_expert"), seed=0, online=True, **SMALL)


def test_a_rate_that_is_too_high_is_named() -> None:
    with pytest.raises(ValueError, match="learning_rate 1e\\+30"):
        on_pole(online=False, learning_rate=1e30, normalised=False, updates=20)


def test_one_step_is_enough() -> None:
    for online in (False, True):
        place = pole() if online else gymnasium.make("CartPole-v1")
        for terminated in (False, True):
            demos = Demonstrations([np.zeros((2, 4))], [[1]], terminated=terminated)
            found = iq_learn.iq_learn(place, demos, seed=0, online=online, **SMALL)
            assert all(np.isfinite(each).all() for each in found.history.values())
