"""Episodes of one length as arrays, the expert's and a policy's, and rewards of their steps.

What a method with a horizon asks of an environment, of demonstrations and of a reward network
stands here, with the errors that say what was expected.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.support.checks import Array, check_type


class Episodes(NamedTuple):
    """Trajectories of one length."""

    states: Array
    """``(N, T + 1, d)``."""
    actions: Array
    """``(N, T, m)``."""

    @property
    def before(self) -> Array:
        """``(N, T, d)``: the states in which something was done."""
        return self.states[:, :-1]


def of_one_length(whose: str, demos: Demonstrations, horizon: int) -> Episodes:
    """The trajectories as arrays.

    Raises:
        ValueError: beginning with ``whose``, when one is of another length than ``horizon``.
    """
    for i, actions in enumerate(demos.actions):
        if demos.terminated[i] and len(actions) < horizon:
            raise ValueError(
                f"{whose} trajectory {i} terminated after {len(actions)} steps; expected "
                f"{horizon} steps of each: what ending early is worth can't be learned from the "
                "likelihood of trajectories of one length"
            )
        if len(actions) != horizon:
            raise ValueError(
                f"{whose} trajectory {i} has {len(actions)} steps; the horizon is {horizon}, and "
                "all must have that many"
            )
    states, actions = np.stack(demos.states), np.stack(demos.actions)
    return Episodes(states.astype(np.float64), actions.astype(np.float64))


def of_expert(env: Any, demos: Demonstrations, horizon: int) -> Episodes:
    """The demonstrations as arrays, in an environment with vectors of states and bounded actions.

    Raises:
        ValueError: when the environment is another, or they don't fit it or the horizon.
    """
    check_type("demos", demos, Demonstrations)
    for name in ("observation_space", "action_space"):
        space = getattr(env, name)
        if not spaces.is_vector(space):
            raise ValueError(f"env.{name} is {space}; expected a Box with one axis")
    low, high = env.action_space.low, env.action_space.high
    bounded = np.isfinite(low).all() and np.isfinite(high).all() and np.all(low < high)
    if not bounded or env.action_space.dtype.kind != "f":
        raise ValueError(
            f"env.action_space is {env.action_space}; expected finite bounds, the lower ones below "
            "the upper ones, of floats"
        )
    own_name = getattr(getattr(env, "spec", None), "id", None)
    demos.check_spaces(env.observation_space, env.action_space, own_name)
    return of_one_length("demos:", demos, horizon)


def reward_inputs(reward_net: Any, samples: Episodes) -> Tensor:
    """``(N, T, d)`` or ``(N, T, d + m)``: what a reward of states, or of actions too, is shown.

    Raises:
        ValueError: when ``reward_net`` is no torch module with ``n_inputs`` of one of these sizes.
    """
    d, m = samples.states.shape[-1], samples.actions.shape[-1]
    n_inputs = getattr(reward_net, "n_inputs", None)
    if not isinstance(reward_net, nn.Module) or n_inputs is None:
        raise ValueError(f"reward_net is {reward_net!r}; expected a torch module with n_inputs")
    if n_inputs not in (d, d + m):
        raise ValueError(
            f"reward_net has {n_inputs} inputs; expected {d}, the length of a state, or {d + m}, "
            f"that of a state followed by an action of length {m}"
        )
    parts = [samples.before] if n_inputs == d else [samples.before, samples.actions]
    kind = next((each.dtype for each in reward_net.parameters()), torch.float32)
    return torch.from_numpy(np.concatenate(parts, axis=-1)).to(kind)


def check_trainable(reward_net: nn.Module, inputs: Tensor) -> list[nn.Parameter]:
    """The parameters that are trained, of a network with one reward for each vector of ``inputs``.

    Raises:
        ValueError: when there are none, or the network returns something else.
    """
    trained = [each for each in reward_net.parameters() if each.requires_grad]
    if not trained:
        raise ValueError("reward_net has no parameters to train; expected at least one")
    with torch.no_grad():
        rewards = reward_net(inputs)
    if not isinstance(rewards, Tensor) or rewards.shape != inputs.shape[:-1]:
        kind = getattr(rewards, "shape", type(rewards).__name__)
        raise ValueError(
            f"reward_net returns {kind} for inputs {tuple(inputs.shape)}; expected a tensor "
            f"{tuple(inputs.shape[:-1])}, one reward for each vector"
        )
    return trained
