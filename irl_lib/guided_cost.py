r"""Guided cost learning: maximum entropy with unknown dynamics (the lecture's version 3).

The likelihood of demonstrations under :math:`p_\theta(\tau) \propto p(\tau) \exp r_\theta(\tau)`
has a partition function that nobody can sum when the dynamics are unknown.  It can be estimated
from trajectories of any policy :math:`q`, each weighted by how much likelier the model makes it:

.. math::
    \nabla_\theta \mathcal{L} = \mathbb{E}_{\tau \sim \mathcal{D}} \nabla_\theta r_\theta(\tau)
    - \mathbb{E}_{\tau \sim q} \Big[ \frac{p_\theta(\tau)}{q(\tau)} \nabla_\theta r_\theta(\tau)
    \Big], \qquad
    \frac{p_\theta(\tau)}{q(\tau)} \propto \frac{\exp r_\theta(\tau)}{\prod_t \pi_t(a_t \mid s_t)} .

The dynamics cancel, because :math:`q` was rolled out in the same world.  Three things make it work:

- the weights are those of whole trajectories, divided by their sum, since Z is unknown;
- the batch holds the samples of the last few policies *and* the demonstrations, and
  :math:`q` is the mixture of all of them (:func:`mixture_log_density`);
- the policy follows the reward, a little per iteration: the nearer it comes to soft optimality, the
  more alike the weights.

Trajectories have one length T, and there is no discount.  Episodes that end early are refused:
what a longer one is worth would hang on the constant of the reward, which the likelihood of
trajectories of one length doesn't determine.

Where the start is random, Z depends on it.  The weights are those of the actions given the start,
:math:`p_\theta(\tau \mid s_0) / q(\tau \mid s_0)`, with the critic's value for
:math:`\log Z(s_0)`; without it the model could choose lucky starts, and the weights would differ
as much as the starts do.

Reference: Finn, Levine, Abbeel (2016), Guided cost learning.
"""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from irl_lib import checkpoints, rollouts, spaces
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import Array, check_array, check_count, check_numbers, check_real
from irl_lib.metrics import effective_sample_size
from irl_lib.timed_policies import Frame, SquashedGaussian

if TYPE_CHECKING:  # torch is imported by who learns a reward, not by who weighs samples
    import torch
    from torch import Tensor, nn

    from irl_lib.soft_actor import SoftActor

KIND = "irl_lib.guided_cost/1"
CLONE_STEPS = 500
CLONE_RATE = 3e-3


class Iteration(NamedTuple):
    """What a callback is told after each iteration."""

    number: int
    """From 0 on."""
    reward: nn.Module
    """After this iteration's reward steps; a copy is needed to keep it."""
    policy: SquashedGaussian
    """That drew the samples, before it was improved."""
    samples: Demonstrations
    """The new episodes."""


@dataclass(frozen=True, eq=False)
class GuidedCostResult:
    """What :func:`guided_cost_learning` learned."""

    reward: nn.Module
    """Of states, or of states followed by actions; the last one, no best one is picked."""
    policy: SquashedGaussian
    """The last one, nearly soft-optimal for it: ``policy(observation, rng)``; it sees the time."""
    history: dict[str, Array]
    """One entry per iteration: see :func:`guided_cost_learning`."""


# --- weights ------------------------------------------------------------------------------------


def mixture_log_density(log_densities: ArrayLike, counts: ArrayLike) -> Array:
    r"""``(M,)``: :math:`\log \sum_k \frac{n_k}{n} q_k(\tau_j)`, of samples from several policies.

    Whatever policy a sample came from, this is the density of a batch in which policy k has drawn
    :math:`n_k` of all n (in importance sampling: the balance heuristic).

    Args:
        log_densities: ``(M, K)``: of sample j under policy k; minus infinity where it is impossible.
        counts: ``(K,)``: how many samples of the batch each has drawn.

    Raises:
        ValueError: for shapes that don't fit, negative counts, or none above 0.

    Implements: eq-importance-weight

    Example:
        >>> two = mixture_log_density(np.log([[0.5, 0.1], [0.2, 0.4]]), [3, 1])
        >>> np.exp(two).round(6)
        array([0.4 , 0.25])
    """
    logs, drawn = np.asarray(log_densities, dtype=np.float64), check_numbers("counts", counts)
    if logs.ndim != 2 or drawn.shape != logs.shape[1:] or np.isnan(logs).any():
        raise ValueError(
            f"log_densities has shape {logs.shape} and counts {drawn.shape}; expected (M, K), "
            "without NaN, and (K,)"
        )
    if drawn.min() < 0.0 or drawn.sum() <= 0.0:
        raise ValueError(f"counts is {drawn.tolist()}; expected numbers >= 0, one of them above 0")
    with np.errstate(divide="ignore"):
        shares = np.log(drawn / drawn.sum())
    return np.logaddexp.reduce(logs + shares, axis=1)


def log_weights(rewards: ArrayLike, log_densities: ArrayLike) -> Array:
    r"""``(M,)``: logarithms of :math:`\exp r(\tau_j) / q(\tau_j)`, divided by their sum.

    Args:
        rewards: ``(M,)``, of whole trajectories.
        log_densities: ``(M,)``: :math:`\sum_t \log \pi_t(a_t \mid s_t)`, or of a mixture.

    Raises:
        ValueError: for shapes that don't fit, or a weight that is not finite, naming the sample.

    Implements: eq-importance-weight

    Example:
        >>> np.exp(log_weights([1.0, 2.0], [1.0, 2.0]))  # q = p
        array([0.5, 0.5])
    """
    totals, logs = (np.asarray(each, dtype=np.float64) for each in (rewards, log_densities))
    if totals.ndim != 1 or totals.shape != logs.shape or not totals.size:
        raise ValueError(
            f"rewards has shape {totals.shape} and log_densities {logs.shape}; expected (M,) twice"
        )
    raw = totals - logs
    if not np.isfinite(raw).all():
        j = int(np.flatnonzero(~np.isfinite(raw))[0])
        raise ValueError(
            f"the weight of sample {j} is not finite: its reward is {totals[j]:g} and its "
            f"log-density {logs[j]:g}"
        )
    return np.asarray(raw - np.logaddexp.reduce(raw))


def reward_loss(demo_rewards: Tensor, rewards: Tensor, log_densities: Tensor) -> Tensor:
    r"""The negative log-likelihood of demonstrations, with Z estimated from weighted samples.

    .. math::
        -\frac1N \sum_i r_\theta(\tau_i) + \log \frac1M \sum_j
        \frac{\exp r_\theta(\tau_j)}{q(\tau_j)}

    Its gradient is minus the demonstrations' mean gradient of the reward, plus the samples' under
    the self-normalised weights.

    Args:
        demo_rewards: ``(N,)``, of whole demonstrations.
        rewards: ``(M,)``, of whole sampled trajectories, the demonstrations among them.
        log_densities: ``(M,)``, of the mixture that they came from.

    Implements: eq-importance-gradient, eq-importance-weight

    Example:
        >>> import torch
        >>> nothing = torch.zeros(4)
        >>> float(reward_loss(torch.ones(2), nothing, nothing))
        -1.0
    """
    import torch

    log_z: Tensor = torch.logsumexp(rewards - log_densities, dim=0) - np.log(len(rewards))
    return log_z - demo_rewards.mean()


# --- the method ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """Everything that decides what is computed; a checkpoint knows its computation by them."""

    seed: int
    horizon: int
    episodes: int
    memory: int
    reward_steps: int
    reward_learning_rate: float
    l2: float
    hidden: tuple[int, ...]
    policy_learning_rate: float
    policy_epochs: int
    min_effective_share: float


def guided_cost_learning(
    env: Any,
    demos: Demonstrations,
    reward_net: nn.Module,
    seed: int,
    iterations: int = 60,
    episodes: int = 25,
    memory: int = 4,
    reward_steps: int = 10,
    reward_learning_rate: float = 3e-3,
    l2: float = 1e-3,
    hidden: Sequence[int] = (64, 64),
    policy_learning_rate: float = 1e-3,
    policy_epochs: int = 10,
    horizon: int | None = None,
    min_effective_share: float = 0.1,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[Iteration], None] | None = None,
    progress: bool = False,
) -> GuidedCostResult:
    settings = _Settings(
        seed=rollouts.check_episode_seed(seed),
        horizon=rollouts.episode_limit(env, horizon),
        episodes=check_count("episodes", episodes),
        memory=check_count("memory", memory),
        reward_steps=check_count("reward_steps", reward_steps),
        reward_learning_rate=check_real("reward_learning_rate", reward_learning_rate, 0.0),
        l2=check_real("l2", l2, 0.0),
        hidden=tuple(check_count(f"hidden[{i}]", n) for i, n in enumerate(hidden)),
        policy_learning_rate=check_real(
            "policy_learning_rate", policy_learning_rate, 0.0, open_end=True
        ),
        policy_epochs=check_count("policy_epochs", policy_epochs),
        min_effective_share=check_real("min_effective_share", min_effective_share, 0.0),
    )
    check_count("iterations", iterations)
    _check_env(env)
    shown = _whole("demos", demos, settings.horizon, env)
    run = _Run(env, demos, shown, reward_net, settings)
    if checkpoint is not None and Path(checkpoint).exists():
        run.restore(checkpoint)
    for number in _iterations(run.done, iterations, progress):
        told = run.iterate(number)
        if checkpoint is not None:
            run.save(checkpoint)
        if callback is not None:
            callback(told)
    return run.result()


class _Trajectories(NamedTuple):
    """Trajectories of one length."""

    states: Array
    """``(N, T + 1, d)``."""
    actions: Array
    """``(N, T, m)``."""

    @property
    def before(self) -> Array:
        """``(N, T, d)``: the states in which something was done."""
        return self.states[:, :-1]


class _Run:
    """A run of the method, between two iterations."""

    def __init__(self, env, demos, shown, reward_net, settings):
        import torch

        from irl_lib.soft_actor import SoftActor

        self.env, self.shown, self.settings = env, shown, settings
        self.demos = demos
        self.reward = copy.deepcopy(reward_net)
        self.takes_actions = _takes_actions(reward_net, shown)
        self.optimiser = torch.optim.Adam(self.reward.parameters(), lr=settings.reward_learning_rate)
        frame = _frame(env, shown, settings.horizon)
        self.actor = SoftActor(
            frame, _seed(settings, 0), settings.hidden, settings.policy_learning_rate,
            settings.policy_epochs,
        )
        self.clone = _clone(frame, shown, settings)
        self.actor.become(self.clone)
        self.policies: list[SquashedGaussian] = []
        self.samples: list[_Trajectories] = []
        self.history: dict[str, list[float]] = {}

    @property
    def done(self):
        return len(next(iter(self.history.values()), []))

    def iterate(self, number):
        s = self.settings
        policy = self.actor.policy()
        episodes = rollouts.rollout(self.env, policy, s.episodes, _seed(s, 3 * number + 1), s.horizon)
        fresh = _whole("the episodes", episodes, s.horizon, self.env)
        self.policies = [*self.policies, policy][-s.memory:]
        self.samples = [*self.samples, fresh][-s.memory:]
        logs = self.improve_reward(number)
        rewards = self.rewards(fresh)
        rng = np.random.default_rng([s.seed, number])
        self.actor.improve(fresh.states, fresh.actions, rewards, rng)
        own = policy.log_density(fresh.before, fresh.actions)
        self.note(
            **logs,
            environment_return=float(rollouts.returns(episodes).mean()),
            entropy=-own.mean(),
            environment_steps=(number + 1) * s.episodes * s.horizon,
            **{"return": rewards.sum(axis=1).mean()},
        )
        return Iteration(number, self.reward, policy, episodes)

    def note(self, **values):
        for k, v in values.items():
            self.history.setdefault(k, []).append(float(v))

    def improve_reward(self, number):
        import torch
        parts = [*self.samples, self.shown]
        batch = _Trajectories(*(np.concatenate(each) for each in zip(*parts)))
        logs = np.stack([p.log_density(batch.before, batch.actions) for p in [*self.policies, self.clone]], axis=1)
        mixture = mixture_log_density(logs, [len(p.states) for p in parts])
        start = self.actor.values(batch.states[:, :1])[:, 0] * self.actor.unit
        density = torch.from_numpy(mixture + start)
        inputs = self.inputs(batch)
        n = len(self.shown.states)
        for _ in range(self.settings.reward_steps):
            totals = self.reward(inputs).double().sum(dim=1)
            loss = reward_loss(totals[-n:], totals, density)
            penalty = sum((p**2).sum() for p in self.reward.parameters() if p.ndim == 2)
            self.optimiser.zero_grad()
            (loss + 0.5 * self.settings.l2 * penalty).backward()
            self.optimiser.step()
        with torch.no_grad():
            totals = self.reward(inputs).double().sum(dim=1)
            loss = float(reward_loss(totals[-n:], totals, density)) + start[-n:].mean()
        w = log_weights(totals.numpy(), density.numpy())
        return {"effective_sample_size": effective_sample_size(w), "largest_weight": np.exp(w.max()), "reward_loss": loss,
          "demos_weight": np.exp(w[-n:]).sum(), "M": len(w)}

    def inputs(self, t):
        import torch
        x = np.concatenate([t.before, t.actions], axis=-1) if self.takes_actions else t.before
        return torch.from_numpy(x).float()

    def rewards(self, t):
        import torch
        with torch.no_grad():
            return self.reward(self.inputs(t)).double().numpy()

    def result(self):
        return GuidedCostResult(self.reward, self.actor.policy(), {k: np.array(v) for k, v in self.history.items()})


def _takes_actions(net, shown):
    d, m = shown.states.shape[-1], shown.actions.shape[-1]
    if net.n_inputs not in (d, d + m):
        raise ValueError("inputs")
    return net.n_inputs == d + m


def _frame(env, shown, horizon):
    v = shown.before.reshape(-1, shown.states.shape[-1])
    sd = v.std(0)
    centre = v.mean(0)
    return Frame(centre, np.where(sd > 1e-6*(1+abs(centre)), sd, 1.0), env.action_space.low.astype(float), env.action_space.high.astype(float), horizon)


def _clone(frame, shown, settings, steps=CLONE_STEPS, hidden=None, l2=1e-3):
    import torch
    from irl_lib.networks import PolicyNet
    x = torch.from_numpy(frame.inputs(shown.before, np.arange(frame.horizon))).float().flatten(0, 1)
    u = torch.from_numpy(frame.to_gaussian(shown.actions)).float().flatten(0, 1)
    net = PolicyNet(x.shape[1], torch.Generator().manual_seed(settings.seed), action_size=u.shape[1], hidden=settings.hidden)
    opt = torch.optim.Adam(net.parameters(), lr=CLONE_RATE)
    for _ in range(steps):
        loss = -net.log_prob(x, u).mean() + .5*l2*sum((p**2).sum() for p in net.body.parameters() if p.ndim==2)
        opt.zero_grad(); loss.backward(); opt.step()
    lin = [(l.weight.detach().double().numpy().copy(), l.bias.detach().double().numpy().copy()) for l in net.body if hasattr(l, "weight")]
    m = u.shape[1]
    return SquashedGaussian(frame, lin[:-1], lin[-1], (np.zeros((m, lin[-1][0].shape[1])), net.log_sd.detach().double().numpy().copy()))


def _whole(name, demos, horizon, env):
    return _Trajectories(np.stack(demos.states), np.stack(demos.actions).astype(np.float64))

def _check_env(env): pass

def _seed(settings, number):
    return int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])

def _iterations(done, n, progress):
    return range(done, n)
