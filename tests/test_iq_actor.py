"""IQ-Learn of real actions: the actor's maximum against a closed form, its runs against a task."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import ndtri

from irl_lib import Demonstrations, iq_learn, rollouts

torch = pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")

from irl_lib.iq_learn.actors import Actor, from_unit, to_unit  # noqa: E402
from irl_lib.iq_learn.learner import Learner  # noqa: E402
from irl_lib.iq_learn.losses import LOSSES, ONLINE  # noqa: E402
from irl_lib.iq_learn.maxima import Trained  # noqa: E402
from irl_lib.iq_learn.sampled import IqResult, Iteration  # noqa: E402
from irl_lib.iq_learn.settings import check_finite, settings_of  # noqa: E402

Box = gymnasium.spaces.Box
SMALL: dict[str, Any] = {
    "steps": 8,
    "updates": 3,
    "batch": 16,
    "hidden": (8,),
    "max_iterations": 3,
    "max_steps": 12,
}
SIDES = torch.tensor([[-1.0], [1.0]])
LOW, HIGH = np.array([-2.0, 1.0]), np.array([4.0, 5.0])


class Pursuit(gymnasium.Env[Any, Any]):
    """A point pursues a place that jumps every eight steps; what is paid is minus their distance.

    An action of 1 is a rest.
    """

    observation_space = Box(-1.0, 1.0, (2,))
    action_space = Box(-2.0, 4.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.place = self.np_random.uniform(-1.0, 1.0, 2)
        self.time = 0
        return self.seen(), {}

    def seen(self) -> Any:
        return np.array([self.at, self.place], dtype=np.float32)

    def step(self, action: Any) -> Any:
        self.at = float(np.clip(self.at + 0.1 * (action[0] - 1.0), -1.0, 1.0))
        self.time += 1
        paid = -abs(self.at - self.place)
        if self.time % 8 == 0:
            self.place = self.np_random.uniform(-1.0, 1.0)
        return self.seen(), paid, False, False, {}


def pursuer(seen: Any, _: Any) -> Any:
    return np.clip([1.0 + (float(seen[1]) - float(seen[0])) / 0.1], -2.0, 4.0)


def pursuits(steps: int = 80) -> Demonstrations:
    return rollouts.rollout(Pursuit(), pursuer, 1, seed=0, max_steps=steps)


def shuffled(demos: Demonstrations) -> Demonstrations:
    mixed = np.random.default_rng(0).permutation(demos.actions[0])
    return Demonstrations(demos.states, [mixed], demos.terminated)


def learned(online: bool = True, demos: Demonstrations | None = None, **given: Any) -> IqResult:
    shown = pursuits(30) if demos is None else demos
    return iq_learn.iq_learn(
        Pursuit(), shown, online=online, **({"seed": 0, "temperature": 0.1} | SMALL | given)
    )


def settings(**given: Any) -> Any:
    defaults = {k: p.default for k, p in signature(iq_learn.iq_learn).parameters.items()}
    return settings_of(defaults | {"env": Pursuit(), "seed": 0} | given)


def trained(m: int = 1, **given: Any) -> Trained:
    """In double precision, for observations of one number and actions of m."""
    places = Box(-1.0, 1.0, (1,)), Box(-2.0, 4.0, (m,))
    found = Trained(places, settings(**given), np.zeros(1), np.ones(1))
    for each in (found.critics, found.actor, found.average.net):
        each.double()
    return found


# --- densities, units ---------------------------------------------------------------------------


def test_the_density_of_one_number_integrates_to_one() -> None:
    actor = trained(hidden=(4,)).actor
    noise = torch.linspace(-9.0, 9.0, 20_001, dtype=torch.float64)[:, None]
    for state in (-2.0, 0.5, 3.0):
        with torch.no_grad():
            at = torch.full_like(noise, state)
            actions, log_density = actor.drawn(at, noise)
        mass = trapezoid(log_density.exp().numpy(), actions[:, 0].numpy())
        assert mass == pytest.approx(1.0, abs=1e-6)


def test_the_density_is_the_gaussians_over_the_slope_of_the_tangent() -> None:
    """As torch's distributions have it, from the actions alone; in several numbers a product."""
    actor = trained(3).actor
    rng = np.random.default_rng(0)
    states, noise = torch.tensor(rng.normal(size=(7, 1))), torch.tensor(rng.normal(size=(7, 3)))
    with torch.no_grad():
        actions, log_density = actor.drawn(states, noise)
        mean, log_sd = actor(states)
        known = torch.distributions.TransformedDistribution(
            torch.distributions.Normal(mean, log_sd.exp()),
            torch.distributions.transforms.TanhTransform(),
        )
        wanted = known.log_prob(actions).sum(dim=-1)
    assert log_density.numpy() == pytest.approx(wanted.numpy(), rel=1e-9)


def test_far_out_everything_is_finite() -> None:
    actor = Actor(1, 2, (), False, 0, np.zeros(1), np.ones(1))
    with torch.no_grad():
        actor.body.biases[-1].copy_(torch.tensor([[50.0, -50.0, -90.0, 90.0]]))
    actions, log_density = actor.drawn(torch.zeros(1, 1), torch.ones(1, 2))
    assert torch.isfinite(log_density).all()
    (actions.sum() + log_density.sum()).backward()
    assert all(torch.isfinite(each.grad).all() for each in actor.parameters())


def test_bounds_are_minus_one_and_one_in_the_networks_unit() -> None:
    space = Box(LOW.astype(np.float32), HIGH.astype(np.float32))
    members = np.array([LOW, HIGH, 0.5 * (LOW + HIGH), [1.3, 4.2]])
    unit = to_unit(space, members)
    assert unit[:3] == pytest.approx(np.array([[-1, -1], [1, 1], [0, 0]]))
    assert from_unit(space, torch.tensor(unit)) == pytest.approx(members)
    assert from_unit(space, torch.tensor([[-1.0, 1.0]])).dtype == np.float32
    wide = Box(-1e308, 1e308, (1,), np.float64)
    assert to_unit(wide, [[1e308]])[0] == pytest.approx([1.0])
    odd = Box(-np.random.default_rng(0).random(99), np.full(99, 0.3), dtype=np.float64)
    assert all(odd.contains(each) for each in from_unit(odd, torch.ones(2, 99) * SIDES))


# --- the maximum --------------------------------------------------------------------------------


class Bowl(torch.nn.Module):
    """Two Q functions of an action, whatever the state; the least is the second."""

    def forward(self, inputs: Any) -> Any:
        q = bowl(inputs[:, 1:])
        return torch.stack([q + 1.0, q])

    def least(self, inputs: Any) -> Any:
        return self(inputs).amin(dim=0)


def bowl(actions: Any) -> Any:
    return -3.0 * (actions - 0.4) ** 2 - actions


def exact(temperature: float) -> float:
    """The soft maximum of the least Q, by a fine grid."""
    grid = np.linspace(-1.0, 1.0, 100_001)
    return temperature * float(np.log(trapezoid(np.exp(bowl(grid) / temperature), grid)))


def best(temperature: float) -> float:
    """What the best tangent of a Gaussian comes to, of a grid of means and standard deviations."""
    noise = ndtri((np.arange(1_000) + 0.5) / 1_000)
    mean, log_sd = np.meshgrid(np.linspace(-1.0, 1.0, 41), np.linspace(-2.0, 0.5, 51))
    before = mean[..., None] + np.exp(log_sd[..., None]) * noise
    actions = np.tanh(before)
    gaussian = -0.5 * noise**2 - 0.5 * np.log(2.0 * np.pi) - log_sd[..., None]
    log_density = gaussian - np.log1p(-(actions**2))
    return float((bowl(actions) - temperature * log_density).mean(axis=-1).max())


class Quantiles:
    """In the place of a generator: normal numbers whose mean is an integral."""

    def standard_normal(self, shape: tuple[int, int]) -> Any:
        return ndtri((np.arange(shape[0]) + 0.5) / shape[0])[:, None]


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_actors_value_is_a_bound_that_training_closes(temperature: float) -> None:
    found = trained(temperature=temperature, hidden=(8,), actor_learning_rate=1e-2)
    found.critics = Bowl()

    def value() -> float:
        return float(found.value(torch.zeros(20_000, 1).double(), Quantiles())[1].mean())

    before, rng = value(), np.random.default_rng(0)
    for _ in range(1_000):
        found.improve(torch.zeros(256, 1).double(), rng, 1.0, 1.0)
    # It comes to the best of its kind, as near as a noisy gradient gets; none is above the maximum.
    assert before < best(temperature) - 0.03 * temperature
    assert value() == pytest.approx(best(temperature), abs=0.01 * temperature)
    assert best(temperature) < exact(temperature) < best(temperature) + 0.05 * temperature


def test_the_actor_goes_up_the_least_q_and_the_entropy() -> None:
    """Its gradient is that of the mean over the same noise, by finite differences."""
    found = trained(2, hidden=(3,), temperature=0.7, critics=3)
    states = torch.tensor(np.random.default_rng(2).normal(size=(5, 1)))

    def aim() -> float:
        noise = torch.tensor(np.random.default_rng(4).standard_normal((5, 2)))
        with torch.no_grad():
            actions, log_density = found.actor.drawn(states, noise)
            q = found.critics(torch.cat([states, actions], dim=1)).amin(dim=0)[:, 0]
            return float((q - 0.7 * log_density).mean())

    numbers = list(found.actor.parameters())
    slopes = [slope_of(aim, each) for each in numbers]
    before = [each.detach().clone() for each in numbers]
    found.improve(states, np.random.default_rng(4), 0.0, 0.0)  # its gradient stays behind
    assert all(map(torch.equal, before, numbers))  # nothing is left of the rate
    for (along, slope), each in zip(slopes, numbers, strict=True):
        assert -float((each.grad * along).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert all(each.grad is None for each in found.critics.parameters())


def test_the_actor_has_a_rate_of_its_own() -> None:
    """Adam's first step is as long as that, in each number whose gradient is not zero."""
    found = trained(actor_learning_rate=0.02, learning_rate=0.5)
    before = [each.detach().clone() for each in found.actor.parameters()]
    found.improve(torch.ones(8, 1).double(), np.random.default_rng(0), 0.5, 0.0)
    pairs = zip(before, found.actor.parameters(), strict=True)
    assert max(float((a - b.detach()).abs().max()) for a, b in pairs) == pytest.approx(
        0.01, rel=1e-4
    )


def slope_of(function: Callable[[], float], numbers: Any) -> tuple[Any, float]:
    """A direction, and a function's derivative along it."""
    step, rng = 1e-6, np.random.default_rng(9)
    along = torch.tensor(rng.normal(size=tuple(numbers.shape)))
    ends = []
    for side in (step, -step):
        numbers.data += side * along
        ends.append(function())
        numbers.data -= side * along
    return along, (ends[0] - ends[1]) / (2.0 * step)


def test_the_critics_have_the_gradient_of_v_and_the_actor_has_none() -> None:
    found = trained(2, hidden=(3,), temperature=0.7)
    states = torch.tensor(np.random.default_rng(2).normal(size=(5, 1)))

    def value() -> Any:
        return found.value(states, np.random.default_rng(3)).mean()

    value().backward()
    for each in found.critics.parameters():
        along, slope = slope_of(lambda: float(value().detach()), each)
        assert float((each.grad * along).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert all(each.grad is None for each in found.actor.parameters())


def test_uniform_actions_have_the_largest_entropy() -> None:
    """Which bounds V' from above."""
    assert trained(3).entropy == pytest.approx(3.0 * np.log(2.0))
    found = trained(temperature=1.0, hidden=(8,), actor_learning_rate=1e-2)
    found.critics = Bowl()
    found.temperature = 1e3
    rng = np.random.default_rng(0)
    told = [found.improve(torch.zeros(256, 1).double(), rng, 1.0, 1.0)[0] for _ in range(300)]
    assert np.mean(told[-50:]) == pytest.approx(np.log(2.0), abs=0.02)
    assert np.mean(told[-50:]) <= np.log(2.0) + 4.0 * np.std(told[-50:]) / np.sqrt(50)


# --- the loss -----------------------------------------------------------------------------------


def written_out(found: Learner, seed: int) -> float:
    """The loss without a slow copy, from its formula, with the noise of V before that of V'."""
    s, rng, actor = found.settings, np.random.default_rng(seed), found.maximum.networks["actor"]
    kinds = [found.expert] + [found.replay.kept.take(slice(len(found.replay)))] * s.online
    n = sum(len(each.states) for each in kinds)
    noises = [rng.standard_normal((n, 1)) for _ in range(2)]

    def drawn(states: Any, noise: Any) -> tuple[Any, Any]:
        with torch.no_grad():
            actions, log_density = actor.drawn(torch.tensor(states), torch.tensor(noise))
            q = found.critics(torch.cat([torch.tensor(states), actions], 1))[..., 0].numpy()
        return q, s.temperature * log_density.numpy()

    def over(kind: str) -> Any:
        return np.concatenate([getattr(each, kind) for each in kinds])

    pairs = torch.tensor(np.column_stack([over("states"), (over("actions"))]))
    q = found.critics(pairs).detach().numpy()[..., 0]
    at, cost = drawn(over("states"), noises[0])
    after, cost_after = drawn(over("next_states"), noises[1])
    bound = 2.0 / s.weight
    ends = -bound / (1.0 - s.discount), (bound + s.temperature * np.log(2.0)) / (1.0 - s.discount)
    later = after.min(axis=0) - cost_after
    later = np.clip(later, *ends) if s.clip else later
    later = s.discount * np.where(over("terminated"), found.end(), later)
    first, where = len(found.expert.states), found.starts.numpy()
    v0, cost0 = drawn(where, rng.standard_normal((len(where), 1)))
    parts = [slice(0, first), slice(first, n)][: len(kinds)]
    weights = [each.weights / each.weights.sum() for each in kinds]

    def mean(x: Any, i: int) -> float:
        return float((x[:, parts[i]] @ weights[i]).mean())

    values = {
        "start values": lambda: (1.0 - s.discount) * float((v0 - cost0).mean()),
        "value and policy": lambda: mean(at - cost - later, 0),
        "mixture": lambda: 0.5 * sum(mean(at - cost - later, i) for i in (0, 1)),
        "least squares": lambda: mean(q - later, 1),
    }
    prices = [mean((q - later) ** 2, i) for i in range(len(kinds))]
    return -mean(q - later, 0) + values[s.loss]() + 0.5 * s.weight * float(np.mean(prices))


def in_double(loss: str) -> Learner:
    """With an end, steps that stand for several, three networks and gradients through V'."""
    rng = np.random.default_rng(0)
    demos = Demonstrations(
        [rng.uniform(-1, 1, (8, 2)) for _ in range(3)],
        [rng.uniform(-2, 4, (7, 1)) for _ in range(3)],
        terminated=[True, False, True],
    )
    forms = {"loss": loss, "online": loss in ONLINE, "temperature": 0.3, "weight": 0.5}
    rest = {"discount": 0.9, "subsample": 4, "hidden": (5,), "critics": 3, "target_rate": 1.0}
    found = Learner(Pursuit(), demos, settings(max_steps=9, **forms, **rest))
    for each in (found.critics, found.maximum.networks["actor"]):
        each.double()
    found._tensor = lambda array: torch.from_numpy(np.asarray(array)).double()  # type: ignore
    found.starts = found.starts.double()
    if loss in ONLINE:
        rows = found.expert.take(slice(0, 5))
        found.replay.add(rows._replace(states=rows.next_states, actions=rows.actions[::-1]))
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_has_the_loss_and_the_gradient_of_its_formula(loss: str) -> None:
    found, rng = in_double(loss), np.random.default_rng(6)
    assert found.expert.actions.min() >= -1.0
    assert found.expert.actions.max() <= 1.0
    total = sum(found.terms(found.drawn(rng), rng, found.end()))
    assert float(total.detach()) == pytest.approx(written_out(found, 6), rel=1e-12)
    total.backward()
    for each in found.critics.parameters():
        along, slope = slope_of(lambda: written_out(found, 6), each)
        assert float((each.grad * along).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert all(each.grad is None for each in found.maximum.networks["actor"].parameters())


def test_values_of_what_comes_next_are_within_what_can_be_earned() -> None:
    found = in_double("least squares")  # weight 0.5, discount 0.9, temperature 0.3
    with torch.no_grad():
        ends = []
        for side in (-1e6, 1e6):
            found.critics.biases[-1].fill_(side)
            after = torch.zeros(1, 2).double()
            ends.append(float(found._clipped(found.critics, after, np.random.default_rng(0))))
    assert ends == pytest.approx([-4.0 / 0.1, (4.0 + 0.3 * np.log(2.0)) / 0.1])


@pytest.mark.parametrize("online", [False, True])
def test_the_terms_are_the_loss(online: bool) -> None:
    found = learned(online)
    terms = sum(found.history[name] for name in ("reward", "value", "price"))
    assert found.history["loss"] == pytest.approx(terms, rel=1e-5, abs=1e-5)
    stepped = {"episode_length", "environment_return", "environment_steps"} if online else set()
    known = {"loss", "reward", "value", "price", "end", "entropy"}
    assert set(found.history) == known | stepped
    assert (found.history["entropy"] <= np.log(2.0) + 0.5).all()  # of 16 draws, not their mean


# --- runs ---------------------------------------------------------------------------------------


def numbers(found: IqResult) -> list[Any]:
    nets = found.policy, found.reward.critics, found.reward.actor
    return [each.numpy() for net in nets for each in net.state_dict().values()]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_repeats_and_resumes(loss: str, tmp_path: Path) -> None:
    """Stopped in the midst of an iteration that was not written."""

    def stop(iteration: Iteration) -> None:
        if iteration.number == 1:
            raise KeyboardInterrupt

    def run(**given: Any) -> IqResult:
        return learned(loss in ONLINE, loss=loss, decay=9, max_iterations=4, **given)

    whole, path = run(), tmp_path / "a.npz"
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, callback=stop)
    resumed = run(checkpoint=path)
    assert all(map(np.array_equal, numbers(whole), numbers(resumed)))
    for name in whole.history:
        assert np.array_equal(whole.history[name], resumed.history[name]), name
    assert not all(map(np.array_equal, numbers(run(seed=1)), numbers(whole)))


def test_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    learned()
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_returned_is_the_mean_of_trained_actors() -> None:
    path: list[list[Any]] = []

    def watch(iteration: Iteration) -> None:
        path.append([each.double().numpy() for each in iteration.policy().parameters()])

    one = {"updates": 1, "max_iterations": 4}
    learned(averaging=0.0, callback=watch, **one)
    found = learned(averaging=0.999, **one)
    for mean, *each in zip(found.policy.parameters(), *path, strict=True):
        assert mean.double().numpy() == pytest.approx(np.mean(each, axis=0), rel=1e-5, abs=1e-6)


def test_offline_nothing_is_stepped() -> None:
    class Untouchable(Pursuit):
        def step(self, action: Any) -> Any:
            raise AssertionError("stepped")

        def reset(self, **_: Any) -> Any:
            raise AssertionError("reset")

    found = iq_learn.iq_learn(Untouchable(), pursuits(30), seed=0, **SMALL)
    pair = Pursuit.observation_space, Pursuit.action_space
    same = iq_learn.iq_learn(pair, pursuits(30), seed=0, **SMALL)
    assert all(map(np.array_equal, numbers(found), numbers(same)))


def test_a_policy_acts_between_the_bounds_in_the_middle_or_by_chance() -> None:
    policy, seen = learned(temperature=1.0).policy, np.array([0.1, -0.3], dtype=np.float32)
    middle = policy.act(seen)
    assert middle.shape == (1,)
    rng = np.random.default_rng(0)
    drawn = np.array([policy.act(seen, rng) for _ in range(1_000)])[:, 0]
    assert drawn.min() >= -2.0
    assert drawn.max() <= 4.0
    assert drawn.std() > 0.1
    # The median of those that are drawn: half of them are above it, within four standard errors.
    assert abs((drawn > middle[0]).mean() - 0.5) < 4.0 * 0.5 / np.sqrt(1_000)
    with pytest.raises(ValueError, match="has no probabilities"):
        policy.probabilities(seen[None])


def test_the_reward_is_q_minus_what_the_actor_makes_of_the_next_state() -> None:
    found = learned(critics=3, temperature=0.7, discount=0.9)
    rng = np.random.default_rng(0)
    x, after = rng.uniform(-1, 1, (2, 6, 2))
    a, over = rng.uniform(-2, 4, (6, 1)), np.arange(6) % 3 == 0
    one, two = (torch.tensor(each, dtype=torch.float32) for each in (x, after))
    with torch.no_grad():
        unit = torch.tensor((a - 1.0) / 3.0, dtype=torch.float32)
        q = found.reward.critics(torch.cat([one, unit], dim=1))[..., 0].mean(dim=0).numpy()
        many = two.repeat_interleave(20_000, dim=0)
        noise = torch.tensor(rng.standard_normal((len(many), 1)), dtype=torch.float32)
        actions, log_density = found.policy.actor.drawn(many, noise)
        own = found.reward.critics(torch.cat([many, actions], dim=1))[..., 0].mean(dim=0)
        values = (own - 0.7 * log_density).reshape(6, -1).double().numpy()
    wanted = q - 0.9 * np.where(over, found.reward.end, values.mean(axis=1))
    paid = found.reward(x, a, after, over)
    assert paid[over] == pytest.approx(wanted[over], rel=1e-5, abs=1e-5)
    error = 0.9 * values.std(axis=1) / np.sqrt(32)
    assert (np.abs(paid - wanted) < 4.0 * error + 1e-5).all()
    assert np.array_equal(paid, found.reward(x, a, after, over))


def test_a_demonstrated_action_may_lie_on_a_bound() -> None:
    states = np.linspace(-1.0, 1.0, 22).reshape(11, 2)
    demos = Demonstrations([states], [np.tile([[-2.0], [4.0]], (5, 1))])
    for loss in LOSSES:
        found = learned(loss in ONLINE, demos, loss=loss)
        assert all(np.isfinite(each).all() for each in found.history.values())
        assert np.isfinite(found.reward(states[:-1], demos.actions[0], states[1:])).all()


# --- a task -------------------------------------------------------------------------------------


def score(policy: Any) -> float:
    """Minus the mean distance."""
    done = rollouts.rollout(Pursuit(), policy, 20, seed=7, max_steps=80)
    return float(rollouts.returns(done).mean()) / 80


LEARNING: dict[str, Any] = {
    "discount": 0.9,
    "batch": 64,
    "hidden": (32,),
    "averaging": 0.99,
    "max_steps": 80,
    "max_iterations": 60,
    "updates": 8,
}


def at_random() -> Demonstrations:
    """Of uniform actions."""
    return rollouts.rollout(
        Pursuit(), lambda _, rng: rng.uniform(-2.0, 4.0, 1), 1, seed=0, max_steps=80
    )


@pytest.mark.parametrize("online", [False, True])
def test_it_learns_to_pursue_from_one_demonstration(online: bool) -> None:
    """Uniform actions don't, nor does what is learned without the expert's choice of actions.

    Off line, that is his actions in another order.  On line his states alone tell much, so that it
    is a demonstration of uniform actions there.
    """
    shown = pursuits()
    control = at_random() if online else shuffled(shown)
    ours, theirs = (score(learned(online, demos, **LEARNING).policy) for demos in (shown, control))
    assert score(pursuer) > -0.1
    assert score(lambda _, rng: rng.uniform(-2.0, 4.0, 1)) < -0.6
    # Seeds 0 to 4: -0.165 to -0.135 of the demonstration, -0.88 to -0.50 of its controls.
    assert ours > -0.25
    assert theirs < -0.4


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [
        Box(-np.inf, np.inf, (1,)),
        Box(np.array([0.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64),
        Box(-1.0, 1.0, (1, 1)),
        Box(-1.0, 1.0, ()),
        Box(0, 3, (1,), np.int64),
        Box(1.0, 1.0, (1,)),
        gymnasium.spaces.MultiBinary(2),
        gymnasium.spaces.MultiDiscrete([2, 2]),
        gymnasium.spaces.Tuple([Box(-1.0, 1.0, (1,))]),
    ],
    ids=str,
)
@pytest.mark.parametrize("online", [False, True])
def test_other_action_spaces_are_named(space: Any, online: bool) -> None:
    class Other(Pursuit):
        action_space = space

    env: Any = Other() if online else (Pursuit.observation_space, space)
    with pytest.raises(ValueError, match=r"action.space is .*; expected a Discrete space"):
        iq_learn.iq_learn(env, pursuits(30), seed=0, online=online, **SMALL)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actor_learning_rate": 0.0}, "actor_learning_rate is 0"),
        ({"actor_learning_rate": "fast"}, "actor_learning_rate is 'fast'"),
        ({"actor_learning_rate": 1e38}, r"actor_learning_rate is 1e\+38"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learned(**changed)


def test_an_actor_for_discrete_actions_is_refused() -> None:
    places = Pursuit.observation_space, gymnasium.spaces.Discrete(2)
    demos = Demonstrations([np.zeros((4, 2))], [[0, 1, 0]])
    with pytest.raises(ValueError, match=r"actor_learning_rate is 0\.001, .*expected None"):
        iq_learn.iq_learn(places, demos, seed=0, actor_learning_rate=1e-3)


def test_demonstrations_of_other_actions_are_refused() -> None:
    states = np.zeros((4, 2))
    for actions, message in (
        ([0, 1, 0], "the actions are whole numbers"),
        (np.zeros((3, 2)), "the actions are vectors of length 2"),
        (np.full((3, 1), 4.1), r"actions have the entry \[4\.1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            learned(False, Demonstrations([states], [actions]))


def test_steps_of_other_shapes_have_no_reward() -> None:
    found, states = learned(), np.zeros((3, 2))
    for actions in (np.zeros(3), np.zeros((3, 2)), np.full((3, 1), 9.0), np.full((3, 1), np.nan)):
        with pytest.raises(ValueError, match="actions"):
            found.reward(states, actions, states)


def test_what_is_not_finite_is_not_returned() -> None:
    found, far, near = learned(False), np.full((1, 2), 1e39), np.ones((1, 2))
    for ask in (
        lambda: found.policy.act(far[0]),
        lambda: found.policy.act(far[0], np.random.default_rng(0)),
        lambda: found.reward(far, [[0.0]], near),
        lambda: found.reward(near, [[0.0]], far),
    ):
        with pytest.raises(ValueError, match="no finite values"):
            ask()
    with pytest.raises(ValueError, match=r"the loss is nan .* or actor_learning_rate 1e\+30"):
        learned(False, actor_learning_rate=1e30, normalised=False, updates=20)
    with pytest.raises(ValueError, match="the entropy is nan in iteration 3"):
        check_finite({"loss": 1.0, "entropy": float("nan")}, 3, settings())
