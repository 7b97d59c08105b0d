"""What decides the course of a game, each setting checked under its name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from irl_lib.adversarial.discriminators import REGULARISATIONS, REWARDS
from irl_lib.support.checks import (
    Array,
    check_count,
    check_flag,
    check_real,
    check_sizes,
    check_whole_seed,
)
from irl_lib.training.copies import as_vector, limit_of
from irl_lib.training.steps import LARGEST

CERTIFICATE = ("divergence",)
HISTORY = (
    "accuracy",
    "discriminator_loss",
    "penalty",
    "entropy",
    "reward",
    "reward_scale",
    "episode_length",
    "environment_return",
    "environment_steps",
    *CERTIFICATE,
)

SURE, SURE_ROUNDS = 0.99, 20  # an accuracy, in so many iterations in a row, that is warned of


@dataclass(frozen=True)
class Settings:
    """What decides the course of a run, its length apart; a checkpoint is known again by it."""

    seed: int
    discount: float
    reward: str
    absorbing: bool
    subsample: int
    copies: int
    max_steps: int
    steps: int
    memory: int
    discriminator_steps: int
    batch: int
    learning_rate: float
    regularisation: str
    penalty: float
    hidden: tuple[int, ...]
    scale_rewards: bool
    policy_hidden: tuple[int, ...]
    policy_sd: float
    policy_learning_rate: float
    policy_epochs: int
    trace: float
    entropy_weight: float
    state_only: bool = False


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings among a method's arguments, by name.

    Raises:
        ValueError: naming a bad one.
    """
    copies = as_vector(given["env"])
    checked = {each.name: given[each.name] for each in fields(Settings) if each.name in given}
    checked["seed"] = check_whole_seed(given["seed"])
    for name in {"absorbing", "scale_rewards", "state_only"} & checked.keys():
        checked[name] = check_flag(name, given[name])
    for name in ("subsample", "steps", "memory", "discriminator_steps", "policy_epochs"):
        checked[name] = check_count(name, given[name])
    checked["batch"] = check_count("batch", given["batch"], least=2)
    for name in ("learning_rate", "policy_learning_rate", "policy_sd"):
        checked[name] = check_real(name, given[name], 0.0, open_end=True, most=LARGEST)
    for name in ("penalty", "entropy_weight"):
        checked[name] = check_real(name, given[name], 0.0, most=LARGEST)
    for name in ("hidden", "policy_hidden"):
        checked[name] = check_sizes(name, given[name])
    checked["trace"] = check_real("trace", given["trace"], 0.0, most=1.0)
    checked["discount"] = check_real("discount", given["discount"], 0.0, most=1.0)
    if checked["discount"] == 1.0:
        raise ValueError("discount is 1; expected a number below 1, since episodes may have no end")
    _one_of("reward", given["reward"], REWARDS)
    _one_of("regularisation", given["regularisation"], REGULARISATIONS)
    checked["max_steps"] = limit_of(copies, given["max_steps"])
    return Settings(copies=int(copies.num_envs), **checked)


def _one_of(name: str, value: Any, known: Any) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}; expected one of {list(known)}")
    return value


def warn_of_sure(accuracies: Array, method: str) -> None:
    """When the discriminator has been sure of everything for so long for the first time."""
    if len(accuracies) < SURE_ROUNDS:
        return
    runs = np.convolve(accuracies >= SURE, np.ones(SURE_ROUNDS), "valid") == SURE_ROUNDS
    if runs[-1] and not runs[:-1].any():
        warnings.warn(
            f"{method}: the discriminator has been right in {accuracies[-1]:.1%} and more of its "
            f"steps for {SURE_ROUNDS} iterations: its rewards then say little about what to do "
            "better (a larger penalty, a smaller learning_rate, fewer discriminator_steps help; or "
            "the demonstrations may hold what no policy here can do); it may happen again without "
            "a warning",
            RuntimeWarning,
            stacklevel=4,
        )
