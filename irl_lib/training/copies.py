"""Copies of an environment, stepped side by side, in a state that can be kept.

Each episode of each copy begins with a reset to a seed of its own, which follows from the seed of
the run, the number of the copy and that of the episode.  Given its seed and its actions, an episode
of Gymnasium's environments leaves nothing to chance: so a checkpoint holds these two of the
episodes that are going on, and :meth:`Copies.restore` plays them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.error import Error
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from irl_lib.demonstrations.spaces import is_bounded
from irl_lib.rollouts import episode_limit
from irl_lib.support.checks import Array
from irl_lib.support.files import Arrays

Act = Callable[[Array], NDArray[Any]]
Flags = NDArray[np.bool_]


class Transitions(NamedTuple):
    """T steps of n copies; what a copy does in a row is in a column."""

    states: Array
    """``(T, n, d)``."""
    actions: NDArray[Any]
    """``(T, n)`` whole numbers or ``(T, n, m)`` floats, as the environment got them."""
    next_states: Array
    """``(T, n, d)``: where the step led, also where the episode ended there."""
    terminated: NDArray[np.bool_]
    """``(T, n)``."""
    truncated: NDArray[np.bool_]
    """``(T, n)``: cut by a limit of steps, and not terminated."""

    @property
    def ended(self) -> NDArray[np.bool_]:
        """``(T, n)``: after which steps a copy began anew."""
        return self.terminated | self.truncated


class Copies:
    """The copies, each in the midst of an episode.

    Args:
        env: a Gymnasium ``VectorEnv``, in any of its modes of resetting, which happens here; or a
            single environment.  States are a Box with one axis; actions Discrete, or a Box with one
            axis between finite bounds.
        seed: a whole number >= 0; all starts follow from it.
        max_steps: an episode that is longer is cut there; default: the environment's own limit.

    Raises:
        ValueError: for something else, other spaces, or an environment without a limit.
    """

    def __init__(self, env: Any, seed: int, max_steps: int | None = None) -> None:
        self.env, self.seed = as_vector(env), seed
        self.n = int(self.env.num_envs)
        self.limit = limit_of(self.env, max_steps)
        self.episodes = np.zeros(self.n, dtype=np.int64)
        """Of each copy, how many episodes it has begun."""
        self.done: list[list[Any]] = [[] for _ in range(self.n)]
        """Of each copy, its actions since its episode began."""
        self.paid = np.zeros(self.n)
        """Of each copy, what the environment paid since then."""
        self.states: Array = np.zeros((self.n, *(self.env.single_observation_space.shape or ())))
        self._same_step = self.env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP

    def collect(self, act: Act, steps: int) -> tuple[Transitions, dict[str, float]]:
        """``steps`` steps of each copy, and how long the episodes were and what they were paid.

        Of the episodes that ended meanwhile, the mean; where none did, of those that go on.

        Raises:
            ValueError: naming the step and the copy, where the environment returns what is not
                finite.
        """
        if not self.episodes.any():
            self._begin(np.ones(self.n, dtype=bool))
        rows: list[tuple[Any, ...]] = []
        ended_lengths: list[int] = []
        ended_returns: list[float] = []
        for _ in range(steps):
            before, actions = self.states, act(self.states)
            after, terminated, over = self._step(actions)
            truncated = over & ~terminated
            rows.append((before, actions, after, terminated, truncated))
            for i in np.flatnonzero(over):
                ended_lengths.append(len(self.done[i]))
                ended_returns.append(float(self.paid[i]))
            self.states = after
            if over.any():
                self._begin(over)
        counted = {
            "episode_length": np.mean(ended_lengths or [len(each) for each in self.done]),
            "environment_return": np.mean(ended_returns or self.paid),
        }
        passed = Transitions._make(np.stack(each) for each in zip(*rows, strict=True))
        return passed, {name: float(each) for name, each in counted.items()}

    def _step(self, actions: NDArray[Any]) -> tuple[Array, Flags, Flags]:
        """One step of all; where each led, whether it terminated, whether it is over."""
        mine = actions.copy()  # some environments write to what they are given
        seen, paid, terminated, truncated, told = self.env.step(mine)
        after = np.array(seen, dtype=np.float64)
        if self._same_step and "final_obs" in told:
            ended = np.asarray(terminated | truncated)
            after[ended] = np.stack([told["final_obs"][i] for i in np.flatnonzero(ended)])
        wrong = ~(np.isfinite(after).all(axis=1) & np.isfinite(paid))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"copy {i}, step {len(self.done[i])} of its episode: the environment returned the "
                f"observation {after[i]} and paid {paid[i]}; expected finite numbers"
            )
        self.paid += paid
        for each, action in zip(self.done, actions, strict=True):
            each.append(action)
        late = np.array([len(each) >= self.limit for each in self.done])
        return after, np.array(terminated, dtype=bool), np.asarray(terminated | truncated | late)

    def _begin(self, which: Flags) -> None:
        """New episodes of some copies."""
        self.episodes[which] += 1
        self._reset(which)
        for i in np.flatnonzero(which):
            self.done[i], self.paid[i] = [], 0.0

    def _reset(self, which: Flags) -> None:
        """Some copies, to where their present episodes began."""
        seeds = [
            int(np.random.SeedSequence([self.seed, i, int(episode)]).generate_state(1)[0])
            for i, episode in enumerate(self.episodes)
        ]
        options = None if which.all() else {"reset_mask": which.copy()}
        try:
            seen, _ = self.env.reset(seed=seeds, options=options)
        except Error as error:
            raise ValueError(
                f"env is {self.env}, which can't be reset to a seed for each copy: {error}; "
                "Gymnasium's copies can be that were made with vectorization_mode='sync'"
            ) from error
        self.states = np.where(which[:, None], np.asarray(seen, dtype=np.float64), self.states)

    def arrays(self) -> Arrays:
        """The episodes that are going on: their numbers and what was done in them."""
        lengths = np.array([len(each) for each in self.done])
        flat = [action for each in self.done for action in each]
        return {"episodes": self.episodes.copy(), "lengths": lengths, "actions": np.array(flat)}

    def restore(self, arrays: Arrays) -> None:
        """Plays those episodes again, so that all are at their last step at the same time."""
        self.episodes, lengths = arrays["episodes"].copy(), arrays["lengths"]
        flat = arrays["actions"].astype(self.env.single_action_space.dtype)
        played = np.split(flat, np.cumsum(lengths)[:-1])
        self.done, self.paid = [[] for _ in range(self.n)], np.zeros(self.n)
        self._reset(np.ones(self.n, dtype=bool))
        for left in range(int(lengths.max()), 0, -1):
            waiting = lengths <= left  # those that begin now, and those whose turn comes later
            if waiting.any():
                self._reset(waiting)
            filled = [each[-left] if len(each) >= left else flat[0] for each in played]
            seen, paid, *_ = self.env.step(np.stack(filled))
            playing = lengths >= left
            self.states = np.where(playing[:, None], np.asarray(seen, np.float64), self.states)
            self.paid += np.where(playing, paid, 0.0)
        if (lengths == 0).any():
            self._reset(lengths == 0)
        self.done = [list(each) for each in played]


def as_vector(env: Any) -> Any:
    """A vectorised environment as it is, a single one as the only copy.

    Raises:
        ValueError: for something else, or spaces of other kinds.
    """
    if not isinstance(env, VectorEnv):
        if not all(hasattr(env, name) for name in ("reset", "step", "observation_space")):
            raise ValueError(f"env is {env!r}; expected a Gymnasium environment or VectorEnv")
        single = env
        env = SyncVectorEnv([lambda: single])
    seen, done = env.single_observation_space, env.single_action_space
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
        raise ValueError(f"env's observation space is {seen}; expected a Box with one axis")
    if not isinstance(done, spaces.Discrete) and not is_bounded(done):
        raise ValueError(
            f"env's action space is {done}; expected a Discrete space, or a Box of floats with one "
            "axis between finite bounds"
        )
    return env


def limit_of(env: Any, max_steps: int | None) -> int:
    """``max_steps``, or where that is None the limit that the copies have of their own.

    Raises:
        ValueError: when there is neither.
    """
    copies = getattr(env.unwrapped, "envs", None)
    return episode_limit(copies[0] if copies else env, max_steps)


def name_of(env: Any) -> str | None:
    """Of an environment, where it has one."""
    found: str | None = getattr(getattr(env, "spec", None), "id", None)
    return found
