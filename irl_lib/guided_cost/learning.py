"""The loop of guided cost learning: samples, reward steps, policy steps."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.guided_cost.samples import Memory, Trajectories, of_one_length
from irl_lib.guided_cost.weights import (
    log_weights,
    mixture_log_density,
    model_log_density,
    reward_loss,
)
from irl_lib.metrics import effective_sample_size
from irl_lib.networks import one_thread
from irl_lib.support import checkpoints
from irl_lib.support.checks import (
    Array,
    check_count,
    check_flag,
    check_real,
    check_sizes,
    check_type,
)
from irl_lib.support.progress import counted
from irl_lib.training.policy_steps import SoftActor
from irl_lib.training.timed_policies import Frame, SquashedGaussian

KIND = "irl_lib.guided_cost/1"
HISTORY = (
    "effective_sample_size",
    "batch_size",
    "largest_weight",
    "demonstrations_weight",
    "reward_loss",
    "return",
    "environment_return",
    "entropy",
    "at_bounds",
    "environment_steps",
)


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
    """The last one, nearly soft-optimal for it; ``policy(observation, rng)``, with a clock."""
    history: dict[str, Array]
    """One entry per iteration of what :func:`guided_cost_learning` lists."""


# --- the method ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """What decides the course of a run, its length apart; a checkpoint is known again by it."""

    seed: int
    horizon: int
    episodes: int
    memory: int | None
    reward_steps: int
    reward_learning_rate: float
    l2: float
    hidden: tuple[int, ...]
    policy_learning_rate: float
    policy_epochs: int


def guided_cost_learning(
    env: Any,
    demos: Demonstrations,
    reward_net: nn.Module,
    seed: int,
    iterations: int = 40,
    episodes: int = 20,
    memory: int | None = None,
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
    r"""A reward network and a policy from demonstrations, in an environment that is only stepped.

    An iteration draws episodes of the policy, improves the reward on a batch of these, of those of
    the policies before it and of the demonstrations, and then the policy on the new episodes, with
    the new reward.  The last reward and the last policy are returned, not the best by any score.

    Args:
        env: a Gymnasium environment with a horizon T; observations are a Box with one axis, actions
            too, between finite bounds.  Its own rewards are recorded, and not used.
        demos: trajectories of T steps.
        reward_net: of states or of states followed by actions, in the environment's units, like
            :class:`irl_lib.networks.RewardNet`; any module with ``n_inputs`` that maps
            ``(..., n_inputs)`` to ``(...)``.  A copy of it is trained, in its evaluation mode, in
            which nothing like dropout is drawn.  Inputs should be of size 1, which its ``centre``
            and ``scale`` are for.
        seed: a whole number >= 0; the only source of randomness.
        iterations: how many in all, those of a checkpoint included.
        episodes: new ones per iteration.
        memory: how many iterations' episodes the reward's batch holds; default: all, since the
            early, wide ones keep the reward down where nobody goes any more.
        reward_steps: Adam steps of the reward per iteration.
        reward_learning_rate: their size.
        l2: weight of :math:`\tfrac12 \|W\|^2`, over the reward's parameters with two axes or more:
            its weights but not its biases (which :func:`irl_lib.max_ent.deep_max_ent` counts).
        hidden: sizes of the hidden layers of policy and critic.
        policy_learning_rate: of PPO.
        policy_epochs: passes of PPO over the new episodes.
        horizon: T; default: the environment's own limit.
        min_effective_share: of an iteration's episodes and the demonstrations together; an
            effective sample size of the batch below it is warned of, once.
        checkpoint: a file; written after each iteration, and gone on from when it exists and is of
            a run with the same settings, environment, demonstrations and first reward.  What is
            known of an environment are its ``spec`` and its spaces; of one without a spec its
            spaces alone.
        callback: called with an :class:`Iteration` after each iteration; it may raise to stop.
        progress: show a progress bar (needs tqdm).

    Returns:
        GuidedCostResult, with one entry per iteration in each array of ``history``:

        - ``effective_sample_size`` and ``largest_weight`` (weights sum to 1) of the batch, whose
          size is ``batch_size``, after the reward steps; ``demonstrations_weight``, how much of the
          weight the demonstrations have;
        - ``reward_loss``: minus the estimated log-likelihood of a demonstration given its start, in
          nats, with actions in the unit [-1, 1];
        - ``return``, ``environment_return``: of a new episode, by the learned reward and by the
          environment's own;
        - ``entropy``: of a new episode's actions, in nats, which comes out too high where many of
          them are at the bounds;
        - ``at_bounds``: the share of the new actions' numbers for which that is so, as
          :meth:`irl_lib.training.timed_policies.Frame.share_at_bounds` says;
        - ``environment_steps``: taken so far.

    Raises:
        ValueError: naming a bad argument; when demonstrations and environment don't fit each other
            or the horizon; when an episode ends early or holds what is not finite; and, naming the
            iteration, for a weight that is not finite.
        ImportError: when torch or stable-baselines3 is missing.

    Implements: eq-importance-gradient, eq-importance-weight

    Reference: Finn, Levine, Abbeel (2016).
    """
    settings = _Settings(
        seed=rollouts.check_episode_seed(seed),
        horizon=_horizon(env, horizon),
        episodes=check_count("episodes", episodes),
        memory=None if memory is None else check_count("memory", memory),
        reward_steps=check_count("reward_steps", reward_steps),
        reward_learning_rate=_rate("reward_learning_rate", reward_learning_rate),
        l2=check_real("l2", l2, 0.0),
        hidden=check_sizes("hidden", hidden),
        policy_learning_rate=_rate("policy_learning_rate", policy_learning_rate),
        policy_epochs=check_count("policy_epochs", policy_epochs),
    )
    check_flag("progress", progress)
    least = check_real("min_effective_share", min_effective_share, 0.0, most=1.0)
    last, file = check_count("iterations", iterations), _file(checkpoint)
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {callback!r}; expected a function")
    with one_thread():
        run = _Run(env, demos, reward_net, settings, least)
        return _go(run, last, file, callback, progress)


def _go(
    run: _Run,
    iterations: int,
    checkpoint: Path | None,
    callback: Callable[[Iteration], None] | None,
    progress: bool,
) -> GuidedCostResult:
    if checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint, iterations)
    numbers = counted("guided_cost_learning", "iterations", iterations, run.done, progress)
    for number in numbers:
        told = run.iterate(number)
        if checkpoint is not None:
            run.save(checkpoint)
        if callback is not None:
            callback(told)
    return run.result()


class _Run:
    """A run of the method; between two iterations it can be saved and restored."""

    def __init__(
        self,
        env: Any,
        demos: Demonstrations,
        reward_net: nn.Module,
        settings: _Settings,
        least_share: float,
    ) -> None:
        self.env, self.settings, self.least_share = env, settings, least_share
        shown = _check_demos(env, demos, settings.horizon)
        self.takes_actions = _takes_actions(reward_net, shown)
        self.memory = Memory(shown, settings.memory)
        self.identity = _identity(settings, env, shown, reward_net)
        self.reward = copy.deepcopy(reward_net).eval()
        trained = [each for each in self.reward.parameters() if each.requires_grad]
        if not trained:
            raise ValueError("reward_net has no parameters to train; expected at least one")
        self._try_reward(shown)
        self.optimiser = torch.optim.Adam(trained, lr=settings.reward_learning_rate)
        self.actor: SoftActor = SoftActor(
            _frame(env, shown),
            settings.seed,
            settings.hidden,
            settings.policy_learning_rate,
            settings.policy_epochs,
        )
        self.history: dict[str, list[float]] = {name: [] for name in HISTORY}

    def _try_reward(self, shown: Trajectories) -> None:
        inputs = self._inputs(shown)
        with torch.no_grad():
            rewards = self.reward(inputs)
        if not isinstance(rewards, torch.Tensor) or rewards.shape != inputs.shape[:-1]:
            kind = getattr(rewards, "shape", type(rewards).__name__)
            raise ValueError(
                f"reward_net returns {kind} for inputs {tuple(inputs.shape)}; expected a tensor "
                f"{tuple(inputs.shape[:-1])}, one reward for each vector"
            )

    @property
    def done(self) -> int:
        """How many iterations are behind."""
        return len(self.history["return"])

    def iterate(self, number: int) -> Iteration:
        """Samples, reward steps, policy steps; its randomness is the seed's and the number's."""
        policy, s = self.actor.policy(), self.settings
        of_episodes, of_batches = np.random.SeedSequence([s.seed, number]).spawn(2)
        seed = int(of_episodes.generate_state(1)[0])
        episodes = rollouts.rollout(self.env, policy, s.episodes, seed, s.horizon)
        fresh = of_one_length(f"iteration {number}: the policy's", episodes, s.horizon)
        self.memory.add(policy, fresh)
        noted = self._improve_reward(number)
        rewards = self._rewards(fresh)
        self.actor.improve(fresh.states, fresh.actions, rewards, np.random.default_rng(of_batches))
        noted["return"] = float(rewards.sum(axis=1).mean())
        noted["environment_return"] = float(rollouts.returns(episodes).mean())
        noted["entropy"] = -float(policy.log_density(fresh.before, fresh.actions).mean())
        noted["at_bounds"] = policy.frame.share_at_bounds(fresh.actions)
        noted["environment_steps"] = float((number + 1) * s.episodes * s.horizon)
        for name in HISTORY:
            self.history[name].append(noted[name])
        self._warn(number)
        return Iteration(number, self.reward, policy, episodes)

    def _improve_reward(self, number: int) -> dict[str, float]:
        """Adam on the loss of one batch, with densities that stay; then what the weights are."""
        batch = self.memory.batch()
        inputs = self._inputs(batch)
        n = len(self.memory.demos.states)
        start = torch.from_numpy(self.actor.values(batch.states[:, :1])[:, 0] * self.actor.unit)
        try:
            densities = _densities(self._numbers(inputs, start), self.memory.log_density(), n)
            fixed = torch.from_numpy(densities)
            for _ in range(self.settings.reward_steps):
                totals = self._totals(inputs, start)
                loss = reward_loss(totals[-n:], totals, fixed) + self._penalty()
                self.optimiser.zero_grad()
                torch.autograd.backward(loss)
                self.optimiser.step()
            return _noted(self._numbers(inputs, start), densities, n)
        except ValueError as error:
            raise ValueError(f"iteration {number}: {error}") from error

    def _penalty(self) -> Tensor | float:
        weights = [each for each in self.reward.parameters() if each.ndim > 1]
        return 0.5 * self.settings.l2 * sum((each**2).sum() for each in weights)

    def _inputs(self, samples: Trajectories) -> Tensor:
        parts = [samples.before, samples.actions] if self.takes_actions else [samples.before]
        kind = next(self.reward.parameters()).dtype
        return torch.from_numpy(np.concatenate(parts, axis=-1)).to(kind)

    def _rewards(self, samples: Trajectories) -> Array:
        """``(N, T)``."""
        with torch.no_grad():
            rewards = self.reward(self._inputs(samples)).double()
        return np.asarray(rewards.numpy())

    def _totals(self, inputs: Tensor, start: Tensor) -> Tensor:
        """``(M,)``: the rewards of whole trajectories, less the values of their starts."""
        totals: Tensor = self.reward(inputs).double().sum(dim=1) - start
        return totals

    def _numbers(self, inputs: Tensor, start: Tensor) -> Array:
        """The same without its gradient."""
        with torch.no_grad():
            return np.asarray(self._totals(inputs, start).numpy())

    def _warn(self, number: int) -> None:
        """When the effective sample size falls under the least share for the first time."""
        sizes = np.array(self.history["effective_sample_size"])
        count = self.settings.episodes + len(self.memory.demos.states)
        low = sizes < self.least_share * count
        if low[-1] and not low[:-1].any():
            warnings.warn(
                f"iteration {number}: the effective sample size of the batch is {sizes[-1]:.1f}, "
                f"less than {self.least_share:g} of the {count} new and demonstrated trajectories: "
                "a few decide about the reward (more episodes, fewer or smaller reward steps, a "
                "larger l2 help); it may happen again without a warning",
                RuntimeWarning,
                stacklevel=5,
            )

    def result(self) -> GuidedCostResult:
        history = {name: np.array(values) for name, values in self.history.items()}
        return GuidedCostResult(self.reward, self.actor.policy(), history)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Everything that the next iteration needs."""
        named = checkpoints.named
        arrays = {name: np.array(values) for name, values in self.history.items()}
        arrays = named("history", arrays)
        arrays |= named("reward", checkpoints.of_training(self.reward, self.optimiser))
        arrays |= named("actor", checkpoints.of_training(*self.actor.parts))
        kept = zip(self.memory.policies, self.memory.samples, strict=True)
        for i, (policy, samples) in enumerate(kept):
            arrays |= named(f"policy{i}", policy.arrays())
            arrays |= named(f"samples{i}", samples._asdict())
        checkpoints.write(path, KIND, self.identity, arrays)

    def restore(self, path: str | os.PathLike[str], iterations: int) -> None:
        """To where the run was when it was saved.

        Raises:
            ValueError: when the file is something else or not whole, or the run went on for longer.
        """
        part = checkpoints.part
        arrays = checkpoints.read(path, KIND, self.identity)
        history = part(arrays, "history")
        if {name: len(each) for name, each in history.items()} != dict.fromkeys(
            HISTORY, len(history.get("return", ()))
        ):
            raise ValueError(f"checkpoint {os.fspath(path)!r} has an incomplete history")
        if len(history["return"]) > iterations:
            raise ValueError(
                f"checkpoint {os.fspath(path)!r} has {len(history['return'])} iterations behind "
                f"it; iterations is {iterations}"
            )
        self.history = {name: history[name].tolist() for name in HISTORY}
        checkpoints.restore_training(self.reward, self.optimiser, part(arrays, "reward"))
        checkpoints.restore_training(*self.actor.parts, part(arrays, "actor"))
        for i in range(min(self.done, self.settings.memory or self.done)):
            policy = SquashedGaussian.from_arrays(self.actor.frame, part(arrays, f"policy{i}"))
            self.memory.add(policy, Trajectories(**part(arrays, f"samples{i}")))


def _densities(totals: Array, of_policies: Array, n: int) -> Array:
    """``(M,)``: of a batch, under the mixture of the policies and, n times, the demonstrations."""
    m = len(totals)
    of_demos = model_log_density(totals, totals[:-n], of_policies[:-n])
    return mixture_log_density(np.stack([of_policies, of_demos], axis=1), [m - n, n])


def _noted(totals: Array, densities: Array, n: int) -> dict[str, float]:
    logs = log_weights(totals, densities)
    log_mean = np.logaddexp.reduce(totals - densities) - np.log(len(totals))
    return {
        "effective_sample_size": effective_sample_size(logs),
        "batch_size": float(len(totals)),
        "largest_weight": float(np.exp(logs.max())),
        "demonstrations_weight": float(np.exp(logs[-n:]).sum()),
        "reward_loss": float(log_mean - totals[-n:].mean()),
    }


def _frame(env: Any, shown: Trajectories) -> Frame:
    """Units: the demonstrated states' mean and standard deviation, the actions' bounds."""
    values = shown.before.reshape(-1, shown.before.shape[-1])
    centre, spread = values.mean(axis=0), values.std(axis=0)
    # A number that never changes says nothing, and must not be blown up where it does.
    scale = np.where(spread > 1e-6 * (1.0 + np.abs(centre)), spread, 1.0)
    low, high = (np.asarray(b, dtype=np.float64) for b in _bounds(env))
    return Frame(centre, scale, low, high, shown.actions.shape[1])


def _bounds(env: Any) -> tuple[Any, Any]:
    return env.action_space.low, env.action_space.high


def _rate(name: str, value: float) -> float:
    return check_real(name, value, 0.0, open_end=True)


def _horizon(env: Any, horizon: int | None) -> int:
    rollouts.check_environment(env)
    return rollouts.episode_limit(env, horizon, "horizon")


def _check_demos(env: Any, demos: Demonstrations, horizon: int) -> Trajectories:
    """The demonstrations as arrays, when they and the environment are what the method needs."""
    check_type("demos", demos, Demonstrations)
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        if not spaces.is_vector(space):
            raise ValueError(f"env.{name} is {space}; expected a Box with one axis")
    low, high = _bounds(env)
    bounded = np.isfinite(low).all() and np.isfinite(high).all() and np.all(low < high)
    if not bounded or env.action_space.dtype.kind != "f":
        raise ValueError(
            f"env.action_space is {env.action_space}; expected finite bounds, the lower ones below "
            "the upper ones, of floats"
        )
    own_name = getattr(getattr(env, "spec", None), "id", None)
    demos.check_spaces(env.observation_space, env.action_space, own_name)
    return of_one_length("demos:", demos, horizon)


def _takes_actions(net: Any, shown: Trajectories) -> bool:
    """Whether a reward is one of states and actions; else it is one of states."""
    d, m = shown.states.shape[-1], shown.actions.shape[-1]
    n_inputs = getattr(net, "n_inputs", None)
    if not isinstance(net, torch.nn.Module) or n_inputs is None:
        raise ValueError(f"reward_net is {net!r}; expected a torch module with n_inputs")
    if n_inputs not in (d, d + m):
        raise ValueError(
            f"reward_net has {n_inputs} inputs; expected {d}, the length of a state, or {d + m}, "
            f"that of a state followed by an action of length {m}"
        )
    return bool(n_inputs == d + m)


def _identity(settings: _Settings, env: Any, shown: Trajectories, net: nn.Module) -> dict[str, Any]:
    """By what a checkpoint is known again: settings, environment, demonstrations, first reward."""
    numbers = [each.detach().cpu().numpy() for each in net.state_dict().values()]
    return {
        **asdict(settings),
        **_environment(env),
        "demos": _digest(shown),
        "reward_net": f"{net!r} with weights {_digest(numbers)}",
    }


def _environment(env: Any) -> dict[str, str]:
    """What can be known of an environment; where its objects lie in memory is left out."""
    spec = getattr(env, "spec", None)
    settings = getattr(spec, "kwargs", None) or {}
    known = {
        "env": str(getattr(spec, "id", None)),
        "env.kwargs": json.dumps(settings, sort_keys=True, default=_plain),
        "env.wrappers": str(getattr(spec, "additional_wrappers", ())),
        "env.observation_space": str(env.observation_space),
        "env.action_space": str(env.action_space),
    }
    return {name: re.sub(r" at 0x[0-9a-f]+", "", text) for name, text in known.items()}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else repr(value)


def _file(checkpoint: Any) -> Path | None:
    """A path at which a file is or can be."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | os.PathLike):
        raise ValueError(f"checkpoint is {checkpoint!r}; expected a path")
    path = Path(checkpoint)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"checkpoint is {str(path)!r}; expected a file in a folder that exists")
    return path


def _digest(arrays: Iterable[Array]) -> str:
    content = hashlib.sha256()
    for each in arrays:
        content.update(f"{each.dtype}{each.shape}".encode() + np.ascontiguousarray(each).tobytes())
    return content.hexdigest()[:16]
