"""Copies of a world, stepped at once: Gymnasium's vector environments in plain numpy.

Gymnasium's ``SyncVectorEnv`` steps one copy after the other.  Here one step is a few operations on
arrays, whatever n is, and comes to the same: each copy has a generator of its own, which its seed
makes and which draws the same starts; the equations are evaluated in the same order; episodes end
and begin anew by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from irl_lib.support.checks import LARGEST_SEED, as_array, check_count
from irl_lib.worlds.environments import CARTPOLE, cartpole, point_maze
from irl_lib.worlds.mazes import NAME
from irl_lib.worlds.motions import Acrobot, CartPole, Flags, Motion, MountainCar, PointMaze, Seen

MOTIONS: dict[str, Callable[[Any], Motion]] = {
    "CartPole-v1": CartPole,
    "Acrobot-v1": Acrobot,
    "MountainCar-v0": MountainCar,
    CARTPOLE: CartPole,
    NAME: PointMaze,
}
PHYSICS = ("pole_length", "gravity", "force")
Step = tuple[Seen, NDArray[np.float64], Flags, Flags, dict[str, Any]]


def batched(
    name: str,
    n: int,
    *,
    max_steps: int | None = None,
    autoreset: Any = AutoresetMode.NEXT_STEP,
    **changes: Any,
) -> Batch:
    """Copies of a world that are stepped at once, as a Gymnasium ``VectorEnv``.

    What it returns is, bit by bit, what ``gymnasium.make_vec(name, n, vectorization_mode="sync")``
    returns for the same seeds and actions; only the maze's rewards may be rounded differently.

    Args:
        name: ``"CartPole-v1"``, ``"Acrobot-v1"``, ``"MountainCar-v0"``,
            ``"irl_lib/PointMaze-v0"``, or ``"irl_lib/CartPole-v1"``, which is what a cart-pole with
            changes is called.
        n: how many.
        max_steps: an episode is truncated then; default: the world's own limit.
        autoreset: what happens to a copy whose episode is over.  ``"NextStep"``: its next step is a
            reset, whatever its action.  ``"SameStep"``: it is reset at once, and
            ``infos["final_obs"]`` has the observation that it ended with.  ``"Disabled"``: it has
            to be reset by ``reset(options={"reset_mask": ...})``.
        changes: of the cart-pole, ``pole_length``, ``gravity`` and ``force`` as
            :func:`irl_lib.worlds.cartpole` takes them; of the maze, what
            :func:`irl_lib.worlds.point_maze` takes.

    Returns:
        An environment whose observations are ``(n, d)`` of 32 bits, rewards, ``terminated`` and
        ``truncated`` ``(n,)``, and whose ``spec`` is that of one copy.

    Raises:
        ValueError: naming a bad argument, or what else there is to choose.
        ImportError: when gymnasium is missing.

    Example:
        >>> env = batched("CartPole-v1", 3, max_steps=50)
        >>> seen, _ = env.reset(seed=0)
        >>> seen, rewards, terminated, truncated, _ = env.step(np.array([0, 1, 1]))
        >>> seen.shape, rewards.tolist(), env.spec.max_episode_steps
        ((3, 4), [1.0, 1.0, 1.0], 50)
    """
    if not isinstance(name, str) or name not in MOTIONS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(MOTIONS)}")
    count, mode = check_count("n", n), _mode(autoreset)
    if max_steps is not None:
        max_steps = check_count("max_steps", max_steps)
    single = _single(name, max_steps, changes)
    return Batch(single, MOTIONS[name](single.unwrapped), count, mode)


class Batch(VectorEnv[Seen, NDArray[Any], NDArray[Any]]):
    """What :func:`batched` makes.

    Args:
        single: a single environment with a limit of steps, which is asked for its spaces and its
            description.
        motion: its equations.
        n: how many copies.
        autoreset: what happens to a copy whose episode is over.
    """

    def __init__(self, single: Any, motion: Motion, n: int, autoreset: Any) -> None:
        self.spec, self.num_envs, self.render_mode = single.spec, n, None
        self.metadata = {"render_modes": [], "autoreset_mode": autoreset}
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, n)
        self.action_space = batch_space(single.action_space, n)
        self._motion, self._mode = motion, autoreset
        self._limit: int = single.spec.max_episode_steps
        self._generators: dict[int, np.random.Generator] = {}
        self._states = np.zeros((motion.size, n))
        self._seen = np.zeros((n, *single.observation_space.shape), dtype=np.float32)
        self._elapsed = np.zeros(n, dtype=np.int64)
        self._over = np.zeros(n, dtype=bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Seen, dict[str, Any]]:
        """New episodes of all copies, or of some.

        Args:
            seed: copy i is seeded with ``seed + i``, or with the i-th of n; where there is none, it
                goes on with its generator.
            options: ``{"reset_mask": mask}`` with n booleans, at least one of them true, resets
                those copies alone.

        Returns:
            The observations ``(n, d)`` of all copies, and an empty dict.

        Raises:
            ValueError: for other options or a bad seed, naming it.
        """
        which = self._asked(options)
        seeds = self._seeds(seed)
        for i in map(int, np.flatnonzero(which)):
            if seeds[i] is not None or i not in self._generators:
                self._generators[i] = np_random(seeds[i])[0]
        self._begin(which, self._seen)
        self._over[which] = False
        return self._seen.copy(), {}

    def step(self, actions: Any) -> Step:
        """One step of each copy.

        Before the first reset, and for a copy whose episode is over and that isn't reset by itself,
        Gymnasium's ``ResetNeeded`` is raised.

        Args:
            actions: ``(n,)`` whole numbers, or ``(n, m)`` floats, of which those beyond the bounds
                count as the bounds.

        Returns:
            Observations, rewards, which copies terminated, which were truncated, and in the mode
            that resets at once the ``final_obs`` of these.

        Raises:
            ValueError: naming an action that is wrong, and its copy.
        """
        chosen = self._checked(actions)
        self._refuse_what_is_over()
        self._states, rewards, terminated = self._motion.step(self._states, chosen)
        self._elapsed += 1
        truncated = self._elapsed >= self._limit
        seen, told = self._motion.seen(self._states), {}
        if self._mode == AutoresetMode.NEXT_STEP and self._over.any():
            rewards[self._over] = 0.0
            terminated[self._over] = truncated[self._over] = False
            self._begin(self._over, seen)
        self._over = terminated | truncated
        if self._mode == AutoresetMode.SAME_STEP and self._over.any():
            told = _final(seen, self._over)
            self._begin(self._over, seen)
        self._seen = seen
        return seen.copy(), rewards, terminated, truncated, told

    def _begin(self, which: Flags, seen: Seen) -> None:
        """New episodes of some copies, whose observations are replaced."""
        starts = [self._motion.start(self._generators[int(i)]) for i in np.flatnonzero(which)]
        columns = np.stack(starts, axis=1)
        self._states[:, which], self._elapsed[which] = columns, 0
        seen[which] = self._motion.seen(columns)

    # --- what is asked for ----------------------------------------------------------------------

    def _asked(self, options: Any) -> Flags:
        """Which copies a reset is of."""
        if options is None or options == {}:
            return np.ones(self.num_envs, dtype=bool)
        if not isinstance(options, dict) or set(options) != {"reset_mask"}:
            raise ValueError(
                f"options is {options!r}; expected {{'reset_mask': booleans}}, or None"
            )
        mask = as_array("options['reset_mask']", options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] is {mask!r}; expected {self.num_envs} booleans, at least "
                "one of them true"
            )
        if not (mask.all() or self._generators):
            raise ValueError(
                f"options['reset_mask'] leaves out copy {int(np.argmin(mask))}; the first reset is "
                "of all copies"
            )
        return mask

    def _seeds(self, seed: Any) -> list[int | None]:
        """Of each copy; None where it goes on with its generator."""
        n = self.num_envs
        if seed is None:
            return [None] * n
        if not isinstance(seed, list | tuple):
            first = check_count("seed", seed, 0, LARGEST_SEED)
            return [first + i for i in range(n)]
        if len(seed) != n:
            raise ValueError(f"seed has {len(seed)} entries; expected one for each of {n} copies")
        return [
            None if each is None else check_count(f"seed[{i}]", each, 0, LARGEST_SEED)
            for i, each in enumerate(seed)
        ]

    def _checked(self, actions: Any) -> NDArray[Any]:
        """Actions that fit the space."""
        space, array = self.action_space, as_array("actions", actions)
        numbered = isinstance(space, spaces.MultiDiscrete)
        if array.shape != space.shape or array.dtype.kind not in ("iu" if numbered else "iuf"):
            raise ValueError(
                f"actions has shape {array.shape} and type {array.dtype}; expected shape "
                f"{space.shape} of {'whole' if numbered else 'real'} numbers"
            )
        if isinstance(space, spaces.MultiDiscrete):
            fits = (array >= 0) & (array < space.nvec)
            wanted = f"a whole number from 0 to {space.nvec[0] - 1}"
        else:
            fits, wanted = np.isfinite(array).all(axis=1), "finite numbers"
        if not fits.all():
            i = int(np.argmin(fits))
            raise ValueError(f"actions[{i}] is {array[i]}; expected {wanted}")
        return array

    def _refuse_what_is_over(self) -> None:
        if not self._generators:
            raise ResetNeeded("step was called before reset")
        if self._mode == AutoresetMode.DISABLED and self._over.any():
            raise ResetNeeded(
                f"the episode of copy {int(np.argmax(self._over))} is over, and autoreset is "
                "Disabled: reset it with options={'reset_mask': ...}"
            )


def _final(seen: Seen, over: Flags) -> dict[str, Any]:
    """What Gymnasium tells of the episodes that are over, in the mode that resets at once."""
    last = np.full(len(seen), None, dtype=object)
    for i in np.flatnonzero(over):
        last[i] = seen[i].copy()
    return {
        "final_obs": last,
        "_final_obs": over.copy(),
        "final_info": {},
        "_final_info": over.copy(),
    }


def _mode(autoreset: Any) -> AutoresetMode:
    known = [each.value for each in AutoresetMode]
    if isinstance(autoreset, AutoresetMode):
        return autoreset
    if not isinstance(autoreset, str) or autoreset not in known:
        raise ValueError(f"autoreset is {autoreset!r}; expected one of {', '.join(known)}")
    return AutoresetMode(autoreset)


def _single(name: str, max_steps: int | None, changes: dict[str, Any]) -> Any:
    """One such environment."""
    limit: dict[str, Any] = {} if max_steps is None else {"max_steps": max_steps}
    if name == NAME:
        return point_maze(**limit, **changes)
    known = PHYSICS if MOTIONS[name] is CartPole else ()
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise ValueError(
            f"changes has {', '.join(map(repr, unknown))}; {name} takes "
            f"{', '.join(known) or 'none'}"
        )
    if name == CARTPOLE or changes:
        return cartpole(**limit, **changes)
    return gymnasium.make(name, max_episode_steps=max_steps, disable_env_checker=True)
