"""Stepping Gymnasium environments: what a policy does there, as demonstrations.

Gymnasium itself is not imported; whatever has its ``reset`` and ``step`` will do.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from copy import deepcopy
from inspect import Parameter, signature
from math import isfinite
from typing import Any

import numpy as np

from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.support.checks import (
    Array,
    check_count,
    check_distribution,
    check_real,
    check_type,
    check_whole_seed,
)
from irl_lib.support.draws import draw
from irl_lib.support.progress import counted

Policy = Callable[[Any, np.random.Generator], Any]

STEP = "observation, reward, terminated, truncated, info"
OLD_GYM = (
    "as Gymnasium's environments do; one of the old gym package needs a wrapper, like shimmy's "
    "GymV21CompatibilityV0"
)


def rollout(
    env: Any,
    policy: Any,
    n: int,
    seed: int,
    *,
    max_steps: int | None = None,
    progress: bool = False,
) -> Demonstrations:
    """``n`` whole episodes of a policy, with the rewards that the environment paid.

    Episode ``i`` depends on ``seed`` and ``i`` alone: its environment is reset with a seed of its
    own, and its policy draws from a generator of its own.  The same ``seed`` gives two policies the
    same start states.

    Args:
        env: a Gymnasium environment (a single one, no vector).  What its spaces may be, and how
            observations and actions that are neither whole numbers nor vectors are recorded, says
            :mod:`irl_lib.demonstrations.spaces`.
        policy: called as ``policy(observation, rng)`` with one observation, as the environment
            returned it, and a numpy Generator; it returns one action, a member of the action space;
            nothing is clipped to it.  A policy that depends on more than the observation, like the
            time, has a method ``start()``, which is called before each episode.  Other kinds:

            - a network of :func:`irl_lib.behavior_cloning.clone_network`, whose ``act`` is called;
            - a Stable-Baselines3 model or policy, whose ``predict`` is asked for the deterministic
              action, because it draws others from global random state;
            - where states and actions are whole numbers, a table ``(S, A)`` of probabilities.
        n: how many episodes.
        seed: a whole number >= 0.
        max_steps: an episode that is longer is cut there; default: the environment's own limit.
        progress: show a progress bar (needs tqdm).

    Returns:
        Demonstrations.  An episode that ended in the very step in which its time ran out counts as
        terminated.

    Raises:
        ValueError: for spaces of other kinds, an environment without a limit where ``max_steps`` is
            None, one with the interface of the old gym package, an action that is no member of the
            action space, and, naming the episode and the step, an observation or a reward that is
            not finite.

    Example:
        >>> import gymnasium
        >>> lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
        >>> demos = rollout(lake, lambda observation, rng: rng.integers(4), n=3, seed=0)
        >>> bool(demos.states[0][0] == 0)
        True
    """
    check_environment(env)
    act, source = _as_function(env, policy), check_whole_seed(seed)
    limit, count = episode_limit(env, max_steps), check_count("n", n)
    passed = counted("rollout", "episodes", count, shown=progress)
    episodes = [_episode(env, act, source, i, limit) for i in passed]
    states, actions, rewards, terminated = zip(*episodes, strict=True)
    name = getattr(getattr(env, "spec", None), "id", None)
    return Demonstrations(states, actions, terminated, rewards=rewards, environment=name)


def returns(demos: Demonstrations, discount: float = 1.0) -> Array:
    r"""``(N,)``: :math:`\sum_t \gamma^t r_t` of each trajectory, as the environment paid it.

    Raises:
        ValueError: when the rewards are unknown, or ``discount`` is not in [0, 1].

    Example:
        >>> returns(Demonstrations([[0, 1, 2]], [[0, 0]], rewards=[[1.0, 2.0]]), discount=0.5)
        array([2.])
    """
    check_type("demos", demos, Demonstrations)
    if demos.rewards is None:
        raise ValueError("demos has no rewards; returns need them")
    gamma = check_real("discount", discount, 0.0, most=1.0)
    return np.array([paid @ gamma ** np.arange(len(paid)) for paid in demos.rewards])


def _episode(env: Any, policy: Policy, seed: int, i: int, limit: int) -> tuple[Any, ...]:
    """States, actions, rewards of one episode, and whether it terminated."""
    of_environment, of_policy = np.random.SeedSequence(seed, spawn_key=(i,)).spawn(2)
    rng = np.random.default_rng(of_policy)
    if hasattr(policy, "start"):
        policy.start()
    begun = env.reset(seed=int(of_environment.generate_state(1)[0]))
    observation, _ = _answer("reset", begun, "observation, info")
    states, actions, rewards = [_seen(env, observation, i, 0)], [], []
    for t in range(limit):
        action, recorded = _chosen(env.action_space, policy(observation, rng), i, t)
        observation, reward, terminated, truncated, _ = _answer("step", env.step(action), STEP)
        actions.append(recorded)
        states.append(_seen(env, observation, i, t + 1))
        rewards.append(_paid(reward, i, t))
        if terminated or truncated:
            break
    return np.array(states), np.array(actions), rewards, bool(terminated)


def _seen(env: Any, observation: Any, i: int, t: int) -> Any:
    """What is recorded, a copy in double precision of a vector, since some reuse their buffer."""
    space = env.observation_space
    try:
        return spaces.entry("observation", space, observation)
    except ValueError as error:
        raise ValueError(
            f"episode {i}, step {t}: the environment returned the observation {observation!r}; "
            f"env.observation_space is {space}, and every entry has to be finite"
        ) from error


def _chosen(space: Any, action: Any, i: int, t: int) -> tuple[Any, Any]:
    """What the environment gets, in its own precision, and what is recorded."""
    try:
        recorded = spaces.entry("action", space, action)
        vector = None if spaces.is_numbered(space) else recorded[None]
        if vector is not None and spaces.outside(spaces.flat("action_space", space), vector)[0]:
            raise ValueError("it is out of bounds")
    except ValueError as error:
        raise ValueError(
            f"episode {i}, step {t}: the policy returned the action {action!r}; "
            f"env.action_space is {space}"
        ) from error
    if vector is None:
        return recorded, recorded
    if not hasattr(space, "low"):
        return deepcopy(action), recorded
    exact = np.asarray(action).astype(space.dtype)
    return exact, spaces.entry("action", space, exact)


def _answer(name: str, given: Any, parts: str) -> tuple[Any, ...]:
    """What an environment returned, if it has the parts of Gymnasium's interface."""
    fits = isinstance(given, tuple) and len(given) == parts.count(",") + 1
    if not fits or not isinstance(given[-1], Mapping):
        raise ValueError(f"env.{name} returned {given!r}; expected {parts} {OLD_GYM}")
    return tuple(given)


def _paid(reward: Any, i: int, t: int) -> float:
    is_number = isinstance(reward, numbers.Real) or (
        np.ndim(reward) == 0 and np.asarray(reward).dtype.kind in "biuf"
    )
    if not is_number or not isfinite(reward):
        raise ValueError(
            f"episode {i}, step {t}: the environment paid {reward!r}; expected a finite number"
        )
    return float(reward)


def _as_function(env: Any, policy: Any) -> Policy:
    """The policy; a table becomes a function that draws from the row of the state."""
    function: Policy = policy
    if not callable(policy) or hasattr(policy, "forward"):  # as torch's modules have
        if hasattr(policy, "act"):
            function = policy.act
        elif "deterministic" in _parameters(getattr(policy, "predict", None)):
            function = _Predictor(policy)
    return function if callable(function) else _from_table(env, policy)


def _from_table(env: Any, policy: Any) -> Policy:
    states, actions = env.observation_space, env.action_space
    numbered = spaces.is_numbered(states) and spaces.is_numbered(actions)
    if not numbered or not hasattr(policy, "__len__"):
        raise ValueError(
            f"policy is {policy!r}; expected a function (or a model with Stable-Baselines3's "
            f"predict{', or a table' * numbered}), as env has the spaces {states}, {actions}"
        )
    table = check_distribution("policy", policy, (int(states.n), int(actions.n)))
    return lambda seen, rng: int(actions.start + draw(table[int(seen) - int(states.start)], rng))


def _parameters(function: Any) -> Mapping[str, Parameter]:
    return signature(function).parameters if callable(function) else {}


class _Predictor:
    """The deterministic actions of a Stable-Baselines3 model, which may have a memory."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def start(self) -> None:
        """An episode begins."""
        self.state, self.begins = None, np.ones(1, dtype=bool)

    def __call__(self, observation: Any, rng: np.random.Generator) -> Any:
        """The action."""
        action, self.state = self.model.predict(
            observation, state=self.state, episode_start=self.begins, deterministic=True
        )
        self.begins = np.zeros(1, dtype=bool)
        return action


def check_environment(env: Any) -> None:
    """Whether this is a single Gymnasium environment with spaces that the package takes.

    Raises:
        ValueError: when it is something else, or naming the space.
    """
    wanted = ("reset", "step", "observation_space", "action_space")
    if not all(hasattr(env, name) for name in wanted) or hasattr(env, "num_envs"):
        raise ValueError(f"env is {env!r}; expected a single Gymnasium environment")
    taken = _parameters(env.reset)
    if "seed" not in taken and Parameter.VAR_KEYWORD not in [each.kind for each in taken.values()]:
        raise ValueError(f"env is {env!r}; expected one whose reset takes a seed {OLD_GYM}")
    for name in ("observation_space", "action_space"):
        spaces.width(f"env.{name}", getattr(env, name))


def episode_limit(env: Any, max_steps: int | None, name: str = "max_steps") -> int:
    """``max_steps``, or where that is None the limit that the environment has of its own.

    That is the least in its ``spec`` and in the ``TimeLimit`` wrappers around it.

    Args:
        env: a Gymnasium environment.
        max_steps: a number of steps, or None.
        name: what an error calls it.

    Raises:
        ValueError: when there is neither, or ``max_steps`` is below 1.
    """
    if max_steps is not None:
        return check_count(name, max_steps)
    limits = [getattr(getattr(env, "spec", None), "max_episode_steps", None)]
    while env is not getattr(env, "unwrapped", env):
        limits.append(getattr(env, "_max_episode_steps", None))
        env = env.env
    own = [each for each in limits if each is not None and each >= 1]
    if not own:
        raise ValueError(f"{name} is None and env has no limit of its own; expected a number")
    return int(min(own))
