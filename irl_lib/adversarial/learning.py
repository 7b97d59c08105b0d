"""The game, played on copies of a simulator: GAIL and AIRL, whose loop is one and the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from irl_lib.adversarial.discriminators import (
    Free,
    Structured,
    accuracy,
    discriminator_loss,
    gradient_penalty,
)
from irl_lib.adversarial.game import Game, free, structured
from irl_lib.adversarial.settings import CERTIFICATE, HISTORY, settings_of, warn_of_sure
from irl_lib.demonstrations import Demonstrations
from irl_lib.networks import PolicyNet, one_thread, seeded
from irl_lib.support.result import Result
from irl_lib.support.runs import LongRun
from irl_lib.training.copies import Transitions
from irl_lib.training.steps import policy_rows


class Iteration(NamedTuple):
    """What a callback is given after each iteration."""

    number: int
    """From 0 on."""
    policy: Callable[[], PolicyNet]
    """Makes a copy of the policy as it is now."""
    discriminator: Free | Structured
    """As it is now; a copy is needed to keep it."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GailResult(Result):
    """What :func:`gail` learned: a policy; no reward, which a free discriminator doesn't hold."""

    policy: PolicyNet
    discriminator: Free
    """The last one; of a game that has ended it knows nothing."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AirlResult(Result):
    """What :func:`airl` learned: the last policy and the last reward."""

    policy: PolicyNet
    reward: nn.Module
    """Of states, or of states followed by actions, in the environment's units (whole-numbered
    actions one-hot); with ``absorbing``, states are followed by 0, or by 1 after the end."""
    shaping: nn.Module
    """h, of states."""


# --- the methods --------------------------------------------------------------------------------


def gail(
    env: Any,
    demos: Demonstrations,
    *,
    seed: int,
    reward: str = "logit",
    absorbing: bool = True,
    subsample: int = 1,
    discount: float = 0.99,
    max_iterations: int = 100,
    tolerance: float | None = None,
    max_steps: int | None = None,
    steps: int = 128,
    memory: int = 4,
    discriminator_steps: int = 8,
    batch: int = 256,
    learning_rate: float = 3e-3,
    regularisation: str = "gradient penalty",
    penalty: float = 1.0,
    hidden: Sequence[int] = (64, 64),
    scale_rewards: bool = True,
    policy_hidden: Sequence[int] = (64, 64),
    policy_sd: float = 1.0,
    policy_learning_rate: float = 1e-3,
    policy_epochs: int = 10,
    trace: float = 0.95,
    entropy_weight: float = 0.0,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[Iteration], None] | None = None,
    progress: bool = False,
) -> GailResult:
    r"""A policy whose steps a discriminator can't tell from the demonstrated ones.

    An iteration lets the policy take some steps in each copy of the environment, improves the
    discriminator on these and the demonstrations, and then the policy, by proximal policy
    optimisation, on the same steps with what the discriminator pays for them.  The last policy is
    returned, not the best by any score.

    Args:
        env: a Gymnasium ``VectorEnv`` of n copies, as ``gymnasium.make_vec`` or
            :func:`irl_lib.worlds.batched` makes it, or a single environment; observations are a Box
            with one axis, actions Discrete or a Box with one axis between finite bounds.  Its own
            rewards are recorded, and not used.
        demos: trajectories in that environment, of any lengths.
        seed: a whole number >= 0; the only source of randomness.
        reward: what the policy is paid for a logit, a name of
            :data:`irl_lib.adversarial.discriminators.REWARDS`.  Its sign decides whether long
            episodes pay, whatever the expert does.
        absorbing: whether the discriminator is shown that an episode ended: a state of its own, in
            which it stays for good, and which is paid for ever.  Else what comes after the end is
            worth 0, and the sign of the reward matters (Kostrikov et al. 2019).  Where all
            episodes are cut and none ends, there is nothing to be shown.
        subsample: only every so many'th step of each trajectory is shown, from the first one on; a
            stay in the state after the end then counts for 1 / subsample.
        discount: gamma, in [0, 1).
        max_iterations: how many in all, those of a checkpoint included.
        tolerance: the run ends as soon as the certificate is not above it; default: it takes all of
            its iterations, and claims no convergence.
        max_steps: an episode that is longer is cut there; default: the environment's own limit.
        steps: of each copy, in an iteration.
        memory: how many iterations' steps the discriminator is trained on.
        discriminator_steps: Adam's, in an iteration.
        batch: steps of the expert, and of the policy, in one of these; and transitions per gradient
            of the policy.
        learning_rate: of the discriminator.
        regularisation: of the discriminator: ``"gradient penalty"`` (towards 0, between the two
            kinds of steps), ``"spectral norm"``, ``"dropout"`` (of half of the hidden units, with a
            decay of the weights) or ``"none"``.
        penalty: the gradient penalty's weight; the larger, the steadier and the less exact.
        hidden: sizes of the discriminator's hidden layers.
        scale_rewards: whether the policy's rewards are divided by their standard deviation so far;
            nothing is subtracted, since that would change what long episodes are worth.
        policy_hidden: sizes of the hidden layers of policy and critic.
        policy_sd: the standard deviations that the policy begins with, of real actions in the unit
            [-1, 1]; they are learned.
        policy_learning_rate: of PPO.
        policy_epochs: passes of PPO over the new steps.
        trace: lambda of the advantages, in [0, 1].
        entropy_weight: of the policy's entropy beside its standardised advantages.
        checkpoint: a file; written after each iteration, and gone on from when it exists and is of
            a run with the same settings, environment and demonstrations.  The episodes that are
            going on are played again then, which needs an environment that its seed determines.
        callback: called with an :class:`Iteration` after each iteration; it may raise to stop.  It
            must not step or reset ``env``, whose copies are in the midst of their episodes.
        progress: show a progress bar (needs tqdm).

    Returns:
        GailResult, with one entry per iteration in each array of ``history``:

        - ``accuracy``: how often the discriminator was right, in the iteration's batches: 1/2 when
          the game is over;
        - ``discriminator_loss``: in nats, log 4 when it is over; ``penalty``: the mean squared
          gradient;
        - ``entropy``: of the policy, in nats an action (real ones in the unit [-1, 1]);
        - ``reward``: what a step was paid, and ``reward_scale``, by which that was divided;
        - ``episode_length``, ``environment_return``: of the episodes that ended, or where none did,
          of those that are going on, so far;
        - ``environment_steps``: taken so far, by all copies;
        - ``divergence``: by how many nats the loss differs from log 4, the ``certificate``: an
          estimate, as good as the discriminator, of twice the Jensen-Shannon divergence of the
          two distributions of steps.

    Raises:
        ValueError: naming a bad argument; when demonstrations and environment don't fit each other;
            when the environment returns what is not finite, naming the copy and the step, or the
            training leaves the finite numbers.
        ImportError: when torch, gymnasium or stable-baselines3 is missing.

    Warns:
        RuntimeWarning: when the discriminator is sure of all steps for twenty iterations in a row:
            its rewards then hardly depend on what the policy does.

    Implements: eq-gail-objective, eq-gail-reward

    Reference: Ho, Ermon (2016).
    """
    settings = settings_of(locals())
    with one_thread():
        game = Game(env, demos, settings, free)
        found = _play(game, "gail", max_iterations, tolerance, checkpoint, callback, progress)
    return GailResult(discriminator=game.discriminator, **found)


def airl(
    env: Any,
    demos: Demonstrations,
    *,
    seed: int,
    state_only: bool = True,
    reward_net: nn.Module | None = None,
    absorbing: bool = True,
    subsample: int = 1,
    discount: float = 0.99,
    max_iterations: int = 100,
    tolerance: float | None = None,
    max_steps: int | None = None,
    steps: int = 128,
    memory: int = 4,
    discriminator_steps: int = 8,
    batch: int = 256,
    learning_rate: float = 3e-3,
    regularisation: str = "gradient penalty",
    penalty: float = 1.0,
    hidden: Sequence[int] = (64, 64),
    scale_rewards: bool = True,
    policy_hidden: Sequence[int] = (64, 64),
    policy_sd: float = 1.0,
    policy_learning_rate: float = 1e-3,
    policy_epochs: int = 10,
    trace: float = 0.95,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[Iteration], None] | None = None,
    progress: bool = False,
) -> AirlResult:
    r"""A reward, and a policy for it, by a discriminator that has the policy in its logit.

    The loop is that of :func:`gail`.  The logit is :math:`f(s, a, s') - \log \pi(a \mid s)` with
    :math:`f = r + \gamma h(s') - h(s)`, and it is what the policy is paid: so the policy maximises
    the discounted sum of :math:`f` and its own entropy.  The discount of the shaping is that of the
    policy; there is no other.

    Args:
        env: as :func:`gail` takes it.
        demos: likewise.
        seed: likewise.
        state_only: whether the reward is one of states: only then can it be more than an advantage,
            and hold where the dynamics change (Fu et al. 2018).
        reward_net: of states, or of states followed by actions, in the environment's units; a copy
            of it in 32 bits is trained.  Default: a :class:`irl_lib.networks.RewardNet` with
            ``hidden``, regularised like the shaping, whose inputs are standardised as they come.
        absorbing: as in :func:`gail`; states then have one number more, as the reward sees them:
            1 after the end, and 0 before it.
        subsample: as in :func:`gail`.
        discount: as in :func:`gail`.
        max_iterations: as in :func:`gail`.
        tolerance: as in :func:`gail`.
        max_steps: as in :func:`gail`.
        steps: as in :func:`gail`.
        memory: as in :func:`gail`.
        discriminator_steps: as in :func:`gail`.
        batch: as in :func:`gail`.
        learning_rate: of reward and shaping.
        regularisation: of their networks.
        penalty: the weight of the penalty on the gradient of f.
        hidden: sizes of the hidden layers of reward and shaping.
        scale_rewards: as in :func:`gail`.
        policy_hidden: as in :func:`gail`.
        policy_sd: as in :func:`gail`.
        policy_learning_rate: as in :func:`gail`.
        policy_epochs: as in :func:`gail`.
        trace: as in :func:`gail`.
        checkpoint: as in :func:`gail`.
        callback: as in :func:`gail`.
        progress: as in :func:`gail`.

    Returns:
        AirlResult, with the ``history`` and the ``certificate`` of :func:`gail`.

    Raises:
        ValueError: as in :func:`gail`; and for a reward network of other inputs.
        ImportError: when torch, gymnasium or stable-baselines3 is missing.

    Implements: eq-structured-discriminator

    Reference: Fu, Luo, Levine (2018).
    """
    settings = settings_of(locals() | {"reward": "logit", "entropy_weight": 0.0})
    with one_thread():
        make = structured(reward_net)
        game = Game(env, demos, settings, make, reward_net=reward_net)
        found = _play(game, "airl", max_iterations, tolerance, checkpoint, callback, progress)
    return AirlResult(
        reward=game.discriminator.reward.eval(),
        shaping=game.discriminator.shaping.eval(),
        **found,
    )


# --- the loop -----------------------------------------------------------------------------------


def _play(
    game: Game,
    method: str,
    max_iterations: int,
    tolerance: float | None,
    checkpoint: str | os.PathLike[str] | None,
    callback: Callable[[Iteration], None] | None,
    progress: bool,
) -> dict[str, Any]:
    """All iterations; what the result has in common."""
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {callback!r}; expected a function")
    run = LongRun(method, HISTORY, game.identity, game.state, checkpoint, CERTIFICATE, tolerance)
    for number in run.iterations(max_iterations, progress):
        sources = np.random.SeedSequence([game.settings.seed, number]).spawn(4)
        acts, pairs, batches = map(np.random.default_rng, sources[:3])
        # The policy takes some steps.
        act = partial(game.actor.act, rng=acts)
        passed, noted = game.copies.collect(act, game.settings.steps)
        game.memory.add(policy_rows(passed, game.settings.absorbing))
        # The discriminator learns to tell them from the expert's.
        with seeded(int(sources[3].generate_state(1)[0])):
            noted |= _improve_discriminator(game, pairs)
        # The policy learns from what the discriminator pays.
        try:
            noted |= _improve_policy(game, passed, batches)
        finally:  # before another error, which is raised of such weights
            game.check_policy(number)
        # What is known of the size of the observations is brought up to date.
        game.see(passed.states)
        steps = (number + 1) * game.settings.steps * game.copies.n
        run.note(noted | {"environment_steps": float(steps)})
        warn_of_sure(run.history["accuracy"], method)
        if callback is not None:
            callback(Iteration(number, game.actor.policy, game.discriminator))
    game.discriminator.eval()
    return {"policy": game.actor.policy(), **run.outcome()}


def _improve_discriminator(game: Game, rng: np.random.Generator) -> dict[str, float]:
    """A few steps of Adam on batches of both kinds of steps."""
    s, remembered = game.settings, game.memory.all()
    scale = torch.from_numpy(game.scale()).float()
    notes = []
    game.discriminator.train()
    for _ in range(s.discriminator_steps):
        which = [rng.integers(len(each.states), size=s.batch) for each in (game.expert, remembered)]
        expert = game.pairs(game.expert.take(which[0]))
        policy = game.pairs(remembered.take(which[1]))
        logits = game.discriminator(expert), game.discriminator(policy)
        loss = discriminator_loss(*logits, (expert, policy))
        mix = torch.from_numpy(rng.random(s.batch)).float()
        slope = torch.zeros(())
        if s.regularisation == "gradient penalty" and s.penalty > 0.0:
            slope = gradient_penalty(game.discriminator, expert, policy, mix, scale)
        game.optimiser.zero_grad()
        torch.autograd.backward(loss + s.penalty * slope)
        game.optimiser.step()
        notes.append((accuracy(*logits), float(loss.detach()), float(slope.detach())))
    right, loss_mean, slope_mean = np.mean(notes, axis=0)
    return {
        "accuracy": right,
        "discriminator_loss": loss_mean,
        "penalty": slope_mean,
        "divergence": abs(np.log(4.0) - loss_mean),
    }


def _improve_policy(game: Game, passed: Transitions, rng: np.random.Generator) -> dict[str, float]:
    """A round of PPO with the new rewards."""
    shape = passed.terminated.shape
    game.discriminator.eval()
    rewards = game.rewards(policy_rows(passed, absorbing=False)).reshape(shape)
    game.paid.update(rewards.reshape(-1, 1))
    scale = float(game.paid.scale[0]) if game.settings.scale_rewards else 1.0
    noted = game.actor.improve(passed, rewards / scale, rng, game.absorbed() / scale)
    return noted | {"reward": float(rewards.mean()), "reward_scale": scale}
