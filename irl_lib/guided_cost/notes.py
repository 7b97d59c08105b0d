"""What decides the course of a run, and what is noted of each iteration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from irl_lib import rollouts
from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.weights import log_weights, mixture_log_density, model_log_density
from irl_lib.metrics import effective_sample_size
from irl_lib.support.checks import Array, check_count, check_real, check_sizes, check_whole_seed
from irl_lib.training.episodes import Episodes
from irl_lib.training.timed_policies import SquashedGaussian

CERTIFICATE = ("policy_gap", "gradient")
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
    *CERTIFICATE,
)


@dataclass(frozen=True)
class Settings:
    """What decides the course of a run, its length apart; a checkpoint is known again by it."""

    seed: int
    horizon: int
    episodes: int
    memory: int | None
    reward_steps: int
    learning_rate: float
    l2: float
    hidden: tuple[int, ...]
    policy_learning_rate: float
    policy_epochs: int


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings among the method's arguments, by name.

    Raises:
        ValueError: naming a bad one.
    """
    memory, rate = given["memory"], given["policy_learning_rate"]
    return Settings(
        seed=check_whole_seed(given["seed"]),
        horizon=rollouts.episode_limit(given["env"], given["horizon"], "horizon"),
        episodes=check_count("episodes", given["episodes"]),
        memory=None if memory is None else check_count("memory", memory),
        reward_steps=check_count("reward_steps", given["reward_steps"]),
        learning_rate=check_real("learning_rate", given["learning_rate"], 0.0, open_end=True),
        l2=check_real("l2", given["l2"], 0.0),
        hidden=check_sizes("hidden", given["hidden"]),
        policy_learning_rate=check_real("policy_learning_rate", rate, 0.0, open_end=True),
        policy_epochs=check_count("policy_epochs", given["policy_epochs"]),
    )


def densities_of(totals: Array, of_policies: Array, n: int) -> Array:
    """``(M,)``: of a batch, under the mixture of the policies and, n times, the demonstrations."""
    m = len(totals)
    of_demos = model_log_density(totals, totals[:-n], of_policies[:-n])
    return mixture_log_density(np.stack([of_policies, of_demos], axis=1), [m - n, n])


def of_weights(totals: Array, densities: Array, n: int) -> dict[str, float]:
    """How many trajectories of a batch count; the last n are demonstrations."""
    logs = log_weights(totals, densities)
    log_mean = np.logaddexp.reduce(totals - densities) - np.log(len(totals))
    return {
        "effective_sample_size": effective_sample_size(logs),
        "batch_size": float(len(totals)),
        "largest_weight": float(np.exp(logs.max())),
        "demonstrations_weight": float(np.exp(logs[-n:]).sum()),
        "reward_loss": float(log_mean - totals[-n:].mean()),
    }


def of_samples(
    policy: SquashedGaussian, samples: Demonstrations, fresh: Episodes, number: int
) -> dict[str, float]:
    """What the new episodes were."""
    return {
        "environment_return": float(rollouts.returns(samples).mean()),
        "entropy": -float(policy.log_density(fresh.before, fresh.actions).mean()),
        "at_bounds": policy.units.share_at_bounds(fresh.actions),
        "environment_steps": float((number + 1) * fresh.actions.shape[0] * fresh.actions.shape[1]),
    }


def warn_of_few(sizes: Array, least_share: float, count: int) -> None:
    """When the effective sample size falls under the least share for the first time."""
    low = sizes < least_share * count
    if low[-1] and not low[:-1].any():
        warnings.warn(
            f"iteration {len(sizes) - 1}: the effective sample size of the batch is "
            f"{sizes[-1]:.1f}, less than {least_share:g} of the {count} new and demonstrated "
            "trajectories: a few decide about the reward (more episodes, fewer or smaller reward "
            "steps, a larger l2 help); it may happen again without a warning",
            RuntimeWarning,
            stacklevel=3,
        )
