"""What decides the course of a sampled run, each setting checked under its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from irl_lib.iq_learn.losses import LOSSES, OFFLINE, ONLINE
from irl_lib.support.checks import (
    check_count,
    check_flag,
    check_real,
    check_sizes,
    check_whole_seed,
)
from irl_lib.training.copies import as_vector, limit_of
from irl_lib.training.steps import LARGEST

HISTORY = ("loss", "reward", "value", "price", "end")
STEPPED = ("episode_length", "environment_return", "environment_steps")
LARGEST_VALUE = 1e18  # of those that are squared there


@dataclass(frozen=True)
class Settings:
    """What decides the course of a run, its length apart; a checkpoint is known again by it."""

    seed: int
    online: bool
    loss: str
    weight: float
    temperature: float
    discount: float
    absorbing: bool
    subsample: int
    keep_last: bool
    copies: int
    max_steps: int
    steps: int
    updates: int
    memory: int
    batch: int
    learning_rate: float
    actor_learning_rate: float
    decay: int
    hidden: tuple[int, ...]
    critics: int
    normalised: bool
    target_rate: float
    clip: bool
    averaging: float


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings among the arguments, by name.

    Raises:
        ValueError: naming a bad one.
    """
    checked = {each.name: given[each.name] for each in fields(Settings) if each.name in given}
    checked["seed"] = check_whole_seed(given["seed"])
    for name in ("online", "keep_last", "normalised"):
        checked[name] = check_flag(name, given[name])
    for name in ("subsample", "steps", "memory", "batch", "critics"):
        checked[name] = check_count(name, given[name])
    for name in ("weight", "learning_rate"):
        checked[name] = check_real(name, given[name], 0.0, open_end=True, most=LARGEST)
    checked["temperature"] = check_real(
        "temperature", given["temperature"], 1.0 / LARGEST, most=LARGEST
    )
    checked["discount"] = check_real("discount", given["discount"], 0.0, most=1.0)
    if checked["discount"] == 1.0:
        raise ValueError("discount is 1; expected a number below 1, since episodes may have no end")
    checked["target_rate"] = check_real("target_rate", given["target_rate"], 0.0, most=1.0)
    checked["averaging"] = check_real("averaging", given["averaging"], 0.0, most=1.0)
    if checked["target_rate"] == 0.0 or checked["averaging"] == 1.0:
        name = "target_rate" if checked["target_rate"] == 0.0 else "averaging"
        raise ValueError(f"{name} is {given[name]!r}, with which nothing would ever be learned")
    checked["hidden"] = check_sizes("hidden", given["hidden"])
    rate = given["actor_learning_rate"]
    checked["actor_learning_rate"] = 0.0
    if rate is not None:
        checked["actor_learning_rate"] = check_real(
            "actor_learning_rate", rate, 0.0, open_end=True, most=LARGEST
        )
    checked["decay"] = 0 if given["decay"] is None else check_count("decay", given["decay"])
    given = {**given, **checked}
    return _check_values(Settings(**checked | _of_form(given) | _of_copies(given)))


def _of_form(given: Mapping[str, Any]) -> dict[str, Any]:
    """The form of the loss, and what goes with those that price the policy's rewards, too."""
    online, loss = given["online"], given["loss"]
    if loss is None:
        loss = "least squares" if online else "value and policy"
    known = LOSSES if online else OFFLINE
    if not isinstance(loss, str) or loss not in known:
        raise ValueError(f"loss is {loss!r}; expected one of {list(known)}, as online is {online}")
    found: dict[str, Any] = {"loss": loss}
    for name in ("absorbing", "clip"):
        value = given[name]
        found[name] = loss in ONLINE if value is None else check_flag(name, value)
        if found[name] and loss not in ONLINE:
            raise ValueError(
                f"{name} is True with loss={loss!r}, which prices no reward of the policy, so that "
                "there is no bound on rewards; expected False or None"
            )
    return found


def _check_values(s: Settings) -> Settings:
    """That what rewards and the entropy add up to can be squared in 32 bits."""
    value = (2.0 / s.weight + s.temperature) / (1.0 - s.discount)
    if (s.clip or s.absorbing) and value > LARGEST_VALUE:
        raise ValueError(
            f"weight is {s.weight:g}, temperature {s.temperature:g}, discount {s.discount:g}, with "
            f"which values are up to {value:.0e}; expected at most {LARGEST_VALUE:g}, since "
            "networks compute in 32 bits"
        )
    return s


def _of_copies(given: Mapping[str, Any]) -> dict[str, Any]:
    updates = given["updates"]
    if not given["online"]:
        if given["max_steps"] is not None:
            check_count("max_steps", given["max_steps"])
        found = {"copies": 0, "max_steps": 0}
        most = 100
    else:
        vector = as_vector(given["env"])
        found = {"copies": int(vector.num_envs), "max_steps": limit_of(vector, given["max_steps"])}
        most = found["copies"] * int(given["steps"])
    return found | {"updates": most if updates is None else check_count("updates", updates)}


def check_finite(noted: Mapping[str, float], number: int, settings: Settings) -> None:
    """That the loss, and an actor's entropy, still say something.

    Raises:
        ValueError: when one doesn't.
    """
    s, rates = settings, f"learning_rate {settings.learning_rate:g}"
    if s.actor_learning_rate:
        rates += f" or actor_learning_rate {s.actor_learning_rate:g}"
    for name in ("loss", "entropy"):
        if not isfinite(noted.get(name, 0.0)):
            raise ValueError(
                f"the {name} is {noted[name]} in iteration {number}: {rates} is too high, or "
                f"temperature {s.temperature:g} or weight {s.weight:g} far from 1, for these data"
            )
