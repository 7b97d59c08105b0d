"""The loop of guided cost learning: samples, reward steps, policy steps."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.notes import (
    CERTIFICATE,
    HISTORY,
    Settings,
    densities_of,
    of_samples,
    of_weights,
    settings_of,
    warn_of_few,
)
from irl_lib.guided_cost.samples import Memory
from irl_lib.guided_cost.weights import (
    reward_loss,
)
from irl_lib.networks import l2_penalty, one_thread
from irl_lib.support.checkpoints import Training
from irl_lib.support.checks import Array, check_real
from irl_lib.support.result import Result
from irl_lib.support.runs import Kept, LongRun, identity_of
from irl_lib.training.episodes import (
    Episodes,
    check_trainable,
    of_expert,
    of_one_length,
    reward_inputs,
)
from irl_lib.training.policy_steps import SoftActor
from irl_lib.training.timed_policies import SquashedGaussian, Units


class Iteration(NamedTuple):
    """What a callback is given after each iteration."""

    number: int
    """From 0 on."""
    reward: nn.Module
    """After this iteration's reward steps; a copy is needed to keep it."""
    policy: SquashedGaussian
    """That drew the samples, before it was improved."""
    samples: Demonstrations
    """The new episodes."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GuidedCostResult(Result):
    """What :func:`guided_cost_learning` learned: the last reward and the last policy.

    ``policy(observation, rng)`` has a clock, and is nearly soft-optimal for the reward.
    """

    policy: SquashedGaussian
    reward: nn.Module
    """Of states, or of states followed by actions."""


# --- the method ---------------------------------------------------------------------------------


def guided_cost_learning(
    env: Any,
    demos: Demonstrations,
    *,
    seed: int,
    reward_net: nn.Module,
    max_iterations: int = 40,
    tolerance: float | None = None,
    episodes: int = 20,
    memory: int | None = None,
    reward_steps: int = 10,
    learning_rate: float = 3e-3,
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
        seed: a whole number >= 0; the only source of randomness.
        reward_net: of states or of states followed by actions, in the environment's units, like
            :class:`irl_lib.networks.RewardNet`; any module with ``n_inputs`` that maps
            ``(..., n_inputs)`` to ``(...)``.  A copy of it is trained, in its evaluation mode, in
            which nothing like dropout is drawn.  Inputs should be of size 1, which its ``centre``
            and ``scale`` are for.
        max_iterations: how many in all, those of a checkpoint included.
        tolerance: the run ends as soon as no number of the certificate is above it; default: it
            takes all of its iterations, and claims no convergence.
        episodes: new ones per iteration.
        memory: how many iterations' episodes the reward's batch holds; default: all, since the
            early, wide ones keep the reward down where nobody goes any more.
        reward_steps: Adam steps of the reward per iteration.
        learning_rate: of the reward.
        l2: weight of :math:`\tfrac12 \|W\|^2`, over the reward's parameters with two axes or more:
            its weights but not its biases.
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
          :meth:`irl_lib.training.timed_policies.Units.share_at_bounds` says;
        - ``environment_steps``: taken so far;
        - ``policy_gap``: :math:`\log \hat Z - \frac1n \sum_i \log u_i`, in nats, with the weights
          :math:`u_i` of the new episodes alone and :math:`\hat Z` their mean: an estimate, too low
          with few episodes, of the divergence of the policy's trajectories from the model's.  When
          the policy is soft-optimal for the new reward all weights are alike, and it is 0; but only
          where the dynamics are deterministic and the critic knows the values of the starts;
        - ``gradient``: the length of the gradient of the loss (the penalty included) at the last
          reward step, which samples make noisy: it is 0 where the reward is best for this batch.

        The last of ``policy_gap`` and ``gradient`` are the ``certificate``.

    Raises:
        ValueError: naming a bad argument; when demonstrations and environment don't fit each other
            or the horizon; when an episode ends early or holds what is not finite; and, naming the
            iteration, for a weight that is not finite.
        ImportError: when torch or stable-baselines3 is missing.

    Implements: eq-importance-gradient, eq-importance-weight

    Reference: Finn, Levine, Abbeel (2016).
    """
    rollouts.check_environment(env)
    settings = settings_of(locals())
    least = check_real("min_effective_share", min_effective_share, 0.0, most=1.0)
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {callback!r}; expected a function")
    with one_thread():
        learner = _Learner(env, demos, reward_net, settings)
        run = LongRun(
            "guided_cost_learning",
            HISTORY,
            learner.identity,
            learner.state,
            checkpoint,
            CERTIFICATE,
            tolerance,
        )
        for number in run.iterations(max_iterations, progress):
            for_episodes, for_batches = np.random.SeedSequence([settings.seed, number]).spawn(2)
            policy = learner.actor.policy()
            # Trajectories of the policy join those of all policies before it.
            samples, fresh = learner.draw(policy, for_episodes, number)
            # The reward: a few steps on the weighted batch, demonstrations included.
            noted = learner.improve_reward(number)
            # The policy: a little nearer to soft optimality for the new reward.
            noted |= learner.improve_policy(fresh, np.random.default_rng(for_batches))
            run.note(noted | of_samples(policy, samples, fresh, number))
            warn_of_few(run.history["effective_sample_size"], least, settings.episodes + len(demos))
            if callback is not None:
                callback(Iteration(number, learner.reward, policy, samples))
        return GuidedCostResult(
            policy=learner.actor.policy(), reward=learner.reward, **run.outcome()
        )


class _Learner:
    """A reward, a policy, and the samples of all policies so far."""

    def __init__(
        self, env: Any, demos: Demonstrations, reward_net: nn.Module, settings: Settings
    ) -> None:
        self.env, self.settings = env, settings
        shown = of_expert(env, demos, settings.horizon)
        inputs = reward_inputs(reward_net, shown)
        self.reward = copy.deepcopy(reward_net).eval()
        self.trained = check_trainable(self.reward, inputs)
        self.optimiser = torch.optim.Adam(self.trained, lr=settings.learning_rate)
        units = Units.around(shown.before, env.action_space, settings.horizon)
        self.memory = Memory(shown, settings.memory, units)
        self.actor = SoftActor(
            units,
            settings.seed,
            settings.hidden,
            settings.policy_learning_rate,
            settings.policy_epochs,
        )
        self.state: dict[str, Kept] = {
            "reward": Training(self.reward, self.optimiser),
            "actor": self.actor.training,
            "memory": self.memory,
        }
        self.identity = identity_of(settings, env, shown, reward_net=reward_net)

    def draw(
        self, policy: SquashedGaussian, seeds: np.random.SeedSequence, number: int
    ) -> tuple[Demonstrations, Episodes]:
        """New episodes of the policy, which are remembered."""
        s, seed = self.settings, int(seeds.generate_state(1)[0])
        samples = rollouts.rollout(self.env, policy, s.episodes, seed, max_steps=s.horizon)
        fresh = of_one_length(f"iteration {number}: the policy's", samples, s.horizon)
        self.memory.add(policy, fresh)
        return samples, fresh

    def improve_reward(self, number: int) -> dict[str, float]:
        """Adam on the loss of one batch, with densities that stay; then what the weights are."""
        batch, n = self.memory.batch(), len(self.memory.demos.states)
        inputs = reward_inputs(self.reward, batch)
        start = torch.from_numpy(self.actor.values(batch.states[:, :1])[:, 0] * self.actor.unit)

        def totals() -> Tensor:
            """``(M,)``: the rewards of whole trajectories, less the values of their starts."""
            of_paths: Tensor = self.reward(inputs).double().sum(dim=1) - start
            return of_paths

        try:
            of_policies = self.memory.log_density()
            densities = densities_of(_numbers(totals), of_policies, n)
            fixed = torch.from_numpy(densities)
            for _ in range(self.settings.reward_steps):
                paths = totals()
                loss = reward_loss(paths[-n:], paths, fixed)
                self.optimiser.zero_grad()
                torch.autograd.backward(loss + l2_penalty(self.reward, self.settings.l2))
                self.optimiser.step()
            after = _numbers(totals)
            noted = of_weights(after, densities, n)
        except ValueError as error:
            raise ValueError(f"iteration {number}: {error}") from error
        # The weights of the newest samples alone, under the policy that drew them, not normalised.
        newest = after[-n - self.settings.episodes : -n] - self.memory.log_densities[-1][-1]
        gap = np.logaddexp.reduce(newest) - np.log(len(newest)) - newest.mean()
        slopes = [each.grad.flatten() for each in self.trained if each.grad is not None]
        return noted | {"policy_gap": float(gap), "gradient": float(torch.cat(slopes).norm())}

    def improve_policy(self, fresh: Episodes, rng: np.random.Generator) -> dict[str, float]:
        """A round of PPO on the new episodes, with the new reward."""
        with torch.no_grad():
            rewards = self.reward(reward_inputs(self.reward, fresh)).double().numpy()
        self.actor.improve(fresh.states, fresh.actions, rewards, rng)
        return {"return": float(rewards.sum(axis=1).mean())}


def _numbers(totals: Callable[[], Tensor]) -> Array:
    with torch.no_grad():
        return np.asarray(totals().numpy())
