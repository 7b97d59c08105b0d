"""Stepping Gymnasium environments: what a policy does there, as demonstrations.

Gymnasium itself is not imported; whatever has its ``reset`` and ``step`` will do.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from copy import copy
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from irl_lib import spaces
from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import Array, check_count, check_distribution, check_flag, check_real, check_type
from irl_lib.progress import counted

Policy = Callable[[Any, np.random.Generator], Any]


class Episode(NamedTuple):
    """One episode: a state more than actions and rewards."""

    states: list[Any]
    actions: list[Any]
    rewards: list[float]
    terminated: bool


def rollout(
    env: Any,
    policy: Policy | ArrayLike,
    n: int,
    seed: int,
    max_steps: int | None = None,
    progress: bool = False,
) -> Demonstrations:
    """``n`` whole episodes of a policy, with the rewards that the environment paid.

    Episode ``i`` depends on ``seed`` and ``i`` alone: its environment is reset with a seed of its
    own, and its policy draws from a generator of its own.  The same ``seed`` gives two policies the
    same start states.

    Args:
        env: a Gymnasium environment (a single one, no vector) whose spaces are Discrete, or a Box
            with one axis.
        policy: called as ``policy(observation, rng)`` with one observation, a whole number or an
            array ``(d,)``, and a numpy Generator; it returns one action, a whole number or ``(m,)``
            numbers within the bounds.  For a Stable-Baselines3 model it is
            ``lambda observation, rng: model.predict(observation)[0]``.  Where states and actions
            are whole numbers it may be a table ``(S, A)`` of probabilities.  A policy that depends
            on more than the observation, like the time, has a method ``start()``, which is called
            before each episode.
        n: how many episodes.
        seed: a whole number >= 0.
        max_steps: an episode that is longer is cut there; default: the environment's own limit.
        progress: show a progress bar (needs tqdm).

    Returns:
        Demonstrations.  An episode that ended in the very step in which its time ran out counts as
        terminated.

    Raises:
        ValueError: for spaces of other kinds, an environment without a limit where ``max_steps`` is
            None, an action that is no member of the action space, and, naming the episode and the
            step, an observation or a reward that is not finite.

    Example:
        >>> import gymnasium
        >>> lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
        >>> demos = rollout(lake, lambda observation, rng: rng.integers(4), n=3, seed=0)
        >>> bool(demos.states[0][0] == 0)
        True
    """
    check_environment(env)
    check_flag("progress", progress)
    act, source = _as_function(env, policy), check_episode_seed(seed)
    limit, count = episode_limit(env, max_steps), check_count("n", n)
    numbers_of = counted("rollout", "episodes", count, shown=progress)
    episodes = [_episode(env, act, source, i, limit) for i in numbers_of]
    return Demonstrations(
        [np.array(each.states) for each in episodes],
        [np.array(each.actions) for each in episodes],
        [each.terminated for each in episodes],
        rewards=[each.rewards for each in episodes],
        environment=getattr(getattr(env, "spec", None), "id", None),
    )


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


def _episode(env: Any, policy: Policy, seed: int, i: int, limit: int) -> Episode:
    of_environment, of_policy = np.random.SeedSequence(seed, spawn_key=(i,)).spawn(2)
    rng = np.random.default_rng(of_policy)
    seen_in, chosen_from = env.observation_space, env.action_space
    if hasattr(policy, "start"):
        policy.start()
    observation, _ = env.reset(seed=int(of_environment.generate_state(1)[0]))
    states = [_seen(seen_in, observation, i, 0)]
    actions: list[Any] = []
    rewards: list[float] = []
    terminated = False
    for t in range(limit):
        actions.append(_chosen(chosen_from, policy(observation, rng), i, t))
        observation, reward, terminated, truncated, _ = env.step(copy(actions[-1]))
        states.append(_seen(seen_in, observation, i, t + 1))
        rewards.append(_paid(reward, i, t))
        if terminated or truncated:
            break
    return Episode(states, actions, rewards, bool(terminated))


def _seen(space: Any, observation: Any, i: int, t: int) -> Any:
    """A whole number, or a copy in double precision of a vector, since some reuse their buffer."""
    seen = np.asarray(observation)
    if space.shape == ():
        if spaces.holds_number(space, seen):
            return int(seen)
    elif seen.shape == space.shape and seen.dtype.kind in "biuf" and np.isfinite(seen).all():
        return seen.astype(np.float64)
    raise ValueError(
        f"episode {i}, step {t}: the environment returned the observation {observation!r}; "
        f"env.observation_space is {space}, and every entry has to be finite"
    )


def _chosen(space: Any, action: Any, i: int, t: int) -> Any:
    """A whole number, or a vector in the action space's own precision."""
    chosen = np.asarray(action)
    if space.shape == ():
        if spaces.holds_number(space, chosen):
            return int(chosen)
    elif chosen.shape == space.shape and chosen.dtype.kind in "iuf":
        with np.errstate(over="ignore"):
            exact = chosen.astype(space.dtype)
        if not spaces.outside(space, exact[None])[0]:
            return exact
    raise ValueError(
        f"episode {i}, step {t}: the policy returned the action {action!r}; "
        f"env.action_space is {space}"
    )


def _paid(reward: Any, i: int, t: int) -> float:
    is_number = isinstance(reward, numbers.Real) or (
        np.ndim(reward) == 0 and np.asarray(reward).dtype.kind in "biuf"
    )
    if not is_number or not isfinite(reward):
        raise ValueError(
            f"episode {i}, step {t}: the environment paid {reward!r}; expected a finite number"
        )
    return float(reward)


def _as_function(env: Any, policy: Policy | ArrayLike) -> Policy:
    """The policy; a table becomes a function that draws from the row of the state."""
    if callable(policy):
        return policy
    states, actions = env.observation_space, env.action_space
    if states.shape != () or actions.shape != ():
        raise ValueError(
            f"policy is {policy!r}; expected a function, as env has the spaces {states}, {actions}"
        )
    table = check_distribution("policy", policy, (int(states.n), int(actions.n)))
    upto = np.cumsum(table, axis=1)

    def draw(observation: Any, rng: np.random.Generator) -> int:
        row = upto[int(observation) - int(states.start)]
        return int(actions.start) + int(np.searchsorted(row, rng.random() * row[-1], "right"))

    return draw


def check_environment(env: Any) -> None:
    """Whether this is a single Gymnasium environment with spaces that the package takes.

    Raises:
        ValueError: when it is something else, or naming the space.
    """
    wanted = ("reset", "step", "observation_space", "action_space")
    if not all(hasattr(env, name) for name in wanted) or hasattr(env, "num_envs"):
        raise ValueError(f"env is {env!r}; expected a single Gymnasium environment")
    for name in ("observation_space", "action_space"):
        spaces.width(f"env.{name}", getattr(env, name))


def episode_limit(env: Any, max_steps: int | None) -> int:
    """``max_steps``, or where that is None the limit that the environment has of its own.

    Raises:
        ValueError: when there is neither, or ``max_steps`` is below 1.
    """
    if max_steps is not None:
        return check_count("max_steps", max_steps)
    own = getattr(getattr(env, "spec", None), "max_episode_steps", None)
    if own is None or own < 1:
        raise ValueError("max_steps is None and env has no limit of its own; expected a number")
    return int(own)


def check_episode_seed(seed: Any) -> int:
    """``seed`` as a whole number >= 0.

    Raises:
        ValueError: when it is something else.
    """
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is {seed!r}; expected a whole number >= 0")
    return int(seed)
