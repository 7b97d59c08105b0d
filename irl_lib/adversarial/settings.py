"""What decides the course of a game, each setting checked under its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from irl_lib.adversarial.discriminators import REGULARISATIONS, REWARDS
from irl_lib.support.checks import (
    check_count,
    check_flag,
    check_real,
    check_sizes,
    check_whole_seed,
)
from irl_lib.training.copies import as_vector, limit_of


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
    for name in ("learning_rate", "policy_learning_rate"):
        checked[name] = check_real(name, given[name], 0.0, open_end=True)
    for name in ("penalty", "entropy_weight"):
        checked[name] = check_real(name, given[name], 0.0)
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
