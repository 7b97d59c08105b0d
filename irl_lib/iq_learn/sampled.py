"""The objective on samples: soft Q networks, from demonstrations alone or with a simulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from irl_lib.demonstrations import Demonstrations
from irl_lib.iq_learn.critics import ImpliedReward, SoftPolicy
from irl_lib.iq_learn.learner import Learner
from irl_lib.iq_learn.settings import HISTORY, STEPPED, check_finite, settings_of
from irl_lib.networks import one_thread
from irl_lib.support.result import Result
from irl_lib.support.runs import LongRun


class Iteration(NamedTuple):
    """What a callback is given after each iteration."""

    number: int
    """From 0 on."""
    policy: Callable[[], SoftPolicy]
    """Makes a copy of the policy as it is now."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class IqResult(Result):
    """What :func:`iq_learn` learned: one Q, read as a policy and as a reward.

    With real actions they are an :class:`irl_lib.iq_learn.actors.ActorPolicy` and an
    :class:`irl_lib.iq_learn.actors.ActorReward`.
    """

    policy: SoftPolicy
    reward: ImpliedReward
    r"""What a step is paid, :math:`Q(s, a) - \gamma V(s')`."""


def iq_learn(
    env: Any,
    demos: Demonstrations,
    *,
    seed: int,
    online: bool = False,
    loss: str | None = None,
    weight: float = 2.0,
    temperature: float = 1.0,
    discount: float = 0.99,
    absorbing: bool | None = None,
    subsample: int = 1,
    keep_last: bool = True,
    max_iterations: int = 100,
    max_steps: int | None = None,
    steps: int = 16,
    updates: int | None = None,
    memory: int = 100_000,
    batch: int = 256,
    learning_rate: float = 3e-3,
    actor_learning_rate: float | None = None,
    decay: int | None = None,
    hidden: Sequence[int] = (128, 128),
    critics: int = 2,
    normalised: bool = True,
    target_rate: float = 0.05,
    clip: bool | None = None,
    averaging: float = 0.999,
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[Iteration], None] | None = None,
    progress: bool = False,
) -> IqResult:
    r"""A soft Q function whose policy and whose reward explain the demonstrations.

    An iteration takes some steps of Adam down the loss; on line, the policy first takes some steps
    in each copy of the environment, which are remembered.  The last Q is returned, not the best by
    any score; where ``averaging`` is not 0, that is the running mean of its weights.

    With Discrete actions there is no game.  With real ones V has no closed form: an actor is
    trained beside the critics, by a step of Adam after each of theirs, to maximise
    :math:`\mathbb{E}_\pi [Q - \alpha \log \pi]`, and with this inner maximisation the game is
    back (:mod:`irl_lib.iq_learn.maxima`).

    Args:
        env: off line, the pair of the spaces of observations and actions, or what has them: it is
            never stepped.  On line, a Gymnasium ``VectorEnv`` of n copies or a single environment,
            whose observations are a Box with one axis; its own rewards are recorded, and not used.
            Actions are Discrete, or a Box of floats with one axis between finite bounds.
        demos: trajectories from there, of any lengths.
        seed: a whole number >= 0; the only source of randomness.
        online: whether the environment is stepped.
        loss: the form of the objective, a name of :data:`irl_lib.iq_learn.losses.LOSSES`.  Default:
            ``"value and policy"`` off line, ``"least squares"`` on line.
        weight: beta, what rewards cost.  The forms that price the policy's steps, too, have rewards
            within :math:`\pm 2 / \beta`.
        temperature: alpha of the soft maximum, in the unit of the rewards, for a nat of entropy; of
            real actions that is the entropy in the unit in which their bounds are -1 and 1.
        discount: gamma, in [0, 1).
        absorbing: whether what comes after the end of an episode has the value that the objective
            gives to a state in which one stays for good: :math:`\pm 2 / \beta (1 - \gamma)` where
            only the expert, or only the policy, comes to an end.  Else it is 0.  Default: yes,
            where the form prices the policy's steps.
        subsample: only every so many'th step of each trajectory is shown, from the first one on.
        keep_last: whether the last step before an end is shown in any case.
        max_iterations: how many in all, those of a checkpoint included.
        max_steps: an episode that is longer is cut there; default: the environment's own limit.
        steps: of each copy, in an iteration.
        updates: Adam's steps in an iteration; default: one for each step of all copies, or off line
            100.
        memory: how many of the policy's last steps are kept.
        batch: steps of the expert, and of the policy, in each gradient; all, where they are fewer.
        learning_rate: Adam's.
        actor_learning_rate: of the actor's Adam, with real actions; default: ``learning_rate``.
        decay: iterations in which these fall to zero, linearly; default: they stay.
        hidden: sizes of the hidden layers.
        critics: how many networks there are; the policy and the value of what comes next go by the
            smallest Q, and so does the actor.
        normalised: whether hidden layers are normalised.
        target_rate: how far the slow copy, which says what comes next, moves in each step; with 1
            there is no slow copy, and gradients pass through V'.
        clip: whether V' is kept within what bounded rewards and the entropy add up to.  Default:
            yes, where the form prices the policy's steps.
        averaging: of the weights that are returned: how much is left of their mean after a step;
            fewer than 1 / (1 - averaging) of them count alike.
        checkpoint: a file; written after each iteration, and gone on from when it exists and is of
            a run with the same settings, environment and demonstrations.
        callback: called with an :class:`Iteration` after each iteration; it may raise to stop.  It
            must not step or reset ``env``, whose copies are in the midst of their episodes.
        progress: show a progress bar (needs tqdm).

    Returns:
        IqResult, with one entry per iteration in each array of ``history``: ``loss``, and the terms
        that it is the sum of, ``reward``, ``value`` and ``price``; ``end``, the value after an end;
        with real actions ``entropy``, of the actions that the actor draws; on line also
        ``episode_length``, ``environment_return`` (of the episodes that ended, or where none did,
        of those that are going on, so far) and ``environment_steps``.  There is no certificate, and
        ``converged`` is False: what a network's loss is at its least is not known.

    Raises:
        ValueError: naming a bad argument; when demonstrations and spaces don't fit each other; when
            the environment or the training leaves the finite numbers.
        ImportError: when torch or gymnasium is missing.

    Implements: eq-iq-objective, eq-value-policy-objective

    References: Garg et al. (2021).  Al-Hafez et al. (2023).  Haarnoja et al. (2018), Soft
    actor-critic.
    """
    settings = settings_of(locals())
    if callback is not None and not callable(callback):
        raise ValueError(f"callback is {callback!r}; expected a function")
    with one_thread():
        learner = Learner(env, demos, settings)
        columns = HISTORY + learner.maximum.columns + STEPPED * settings.online
        run = LongRun("iq_learn", columns, learner.identity, learner.state, checkpoint)
        for number in run.iterations(max_iterations, progress):
            sources = np.random.SeedSequence([settings.seed, number]).spawn(2)
            acts, batches = map(np.random.default_rng, sources)
            # On line, the policy takes some steps.
            noted = learner.act(number, acts) if online else {}
            # The critics go down the loss, on the expert's steps and the policy's; with real
            # actions, an actor goes after them.
            noted |= learner.improve(number, batches)
            check_finite(noted, number, settings)
            run.note(noted)
            if callback is not None:
                callback(Iteration(number, learner.policy))
    return IqResult(policy=learner.policy(), reward=learner.reward(), **run.outcome())
