"""How far a policy is from an expert, and how much of a reward its behaviour determines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP, Array, check_array, check_numbers, check_policy
from irl_lib.planning import feature_expectations, policy_value, value_iteration


def expected_value_difference(mdp: MDP, policy: ArrayLike, reward: ArrayLike) -> float:
    """How much return a policy gives away: the optimal return minus its own, both from the start.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)`` or ``(T, S, A)``.
        reward: ``(S, A)``, the true one.

    Returns:
        At least 0, in units of the reward.
    """
    best, own = value_iteration(mdp, reward).v, policy_value(mdp, policy, reward)
    if mdp.horizon is not None:
        best, own = best[0], own[0]
    return float(mdp.initial @ (best - own))


def feature_gap(mdp: MDP, policy: ArrayLike, features: Any, expert: ArrayLike) -> float:
    """Euclidean distance between the feature expectations of a policy and an expert's ``(K,)``."""
    own = feature_expectations(mdp, policy, features)
    return float(np.linalg.norm(own - check_array("expert", expert, own.shape)))


def negative_log_likelihood(mdp: MDP, policy: ArrayLike, demos: Demonstrations) -> float:
    r"""Mean over trajectories of :math:`-\sum_t \log \pi(a_t \mid s_t)`, in nats.

    Args:
        mdp: S states, A actions.
        policy: ``(S, A)``, or ``(T, S, A)`` when the horizon is finite.
        demos: trajectories possible in the MDP.

    Raises:
        ValueError: for bad arguments, or when a demonstrated action has probability zero.
    """
    pi = check_policy(mdp, policy)
    demos.check(mdp)
    step = demos.steps()
    when = (step.time,) if pi.ndim == 3 else ()
    chosen = pi[(*when, step.state, step.action)]
    if chosen.size and chosen.min() <= 0.0:
        j = int(np.argmin(chosen))
        raise ValueError(
            f"policy gives probability 0 to action {step.action[j]} in state {step.state[j]}, "
            f"which trajectory {step.trajectory[j]} takes at step {step.time[j]}; expected more "
            "than 0, or the likelihood is 0"
        )
    return float(-np.log(chosen).sum() / len(demos))


def effective_sample_size(log_weights: ArrayLike) -> float:
    r"""Kish's :math:`(\sum w)^2 / \sum w^2` of importance weights given by their logarithms.

    Args:
        log_weights: ``(N,)``; a common constant doesn't matter.

    Returns:
        From 1 (one sample has all the weight) to N (all weights equal).
    """
    logs = check_numbers("log_weights", log_weights)
    if logs.ndim != 1 or logs.size == 0:
        raise ValueError(f"log_weights has shape {logs.shape}; expected one axis, not empty")
    logs = check_array("log_weights", logs, logs.shape)
    weights: Array = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / np.sum(weights**2))
