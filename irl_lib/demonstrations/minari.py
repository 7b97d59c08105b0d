"""Minari's data sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.demonstrations import spaces
from irl_lib.demonstrations.trajectories import Demonstrations
from irl_lib.support.checks import check_type


def from_minari(
    dataset: Any, observation_space: Any = None, action_space: Any = None
) -> Demonstrations:
    """The episodes of a Minari data set, ends and cuts kept apart.

    An episode that neither terminated nor was truncated was cut by whoever collected it, and counts
    as truncated; one with both flags terminated.  Rewards that are all NaN are unknown.
    Observations and actions that are neither whole numbers nor vectors become vectors, as
    :mod:`irl_lib.demonstrations.spaces` says.

    Args:
        dataset: a ``MinariDataset``, or the name of one that is on this machine (needs minari).
        observation_space: what its space is expected to be; default: any that is supported.
        action_space: likewise.

    Raises:
        ValueError: for other spaces than expected or than are supported, no episodes, one that goes
            on after its end, entries that are not finite or no members of the data set's spaces.
        FileNotFoundError: when a name is given and no such data set is on this machine; nothing is
            downloaded.
        ImportError: when a name is given and minari is missing.
    """
    data = _local(dataset) if isinstance(dataset, str) else dataset
    if not hasattr(data, "iterate_episodes"):
        raise ValueError(f"dataset is {dataset!r}; expected a Minari data set or its name")
    wanted = {"observation_space": observation_space, "action_space": action_space}
    for name, space in wanted.items():
        found = getattr(data, name)
        if space is not None and found != space:
            raise ValueError(f"the {name} of {data.id} is {found}; expected {space}")
        spaces.width(f"the {name} of {data.id}", found)
    episodes = list(data.iterate_episodes())
    if not episodes:
        raise ValueError(f"dataset {data.id} has no episodes")
    return Demonstrations(
        _entries("observations", data.observation_space, episodes),
        _entries("actions", data.action_space, episodes),
        [_has_ended(i, each) for i, each in enumerate(episodes)],
        rewards=_rewards(episodes),
        environment=None if data.env_spec is None else str(data.env_spec.id),
    )


def to_minari(
    demos: Demonstrations,
    dataset_id: str,
    observation_space: Any,
    action_space: Any,
    **metadata: Any,
) -> Any:
    """A new Minari data set with these trajectories, in Minari's folder on this machine.

    Args:
        demos: at least one step in each trajectory; unknown rewards are written as NaN.  Vectors
            become the members of the spaces of which :func:`from_minari` makes them.
        dataset_id: its name, like ``"cartpole/expert-v0"``.
        observation_space: the environment's (Gymnasium).
        action_space: likewise.
        metadata: more arguments for ``minari.create_dataset_from_buffers``: ``env``, ``author``,
            ``description``, ...; Minari warns of those that it misses.

    Returns:
        The ``MinariDataset``.

    Raises:
        ValueError: when the spaces don't fit the trajectories, one has no steps, or a data set of
            that name exists.
        ImportError: when minari is missing.
    """
    check_type("demos", demos, Demonstrations).check_spaces(observation_space, action_space)
    minari = _minari()
    lengths = [len(a) for a in demos.actions]
    if 0 in lengths:
        i = lengths.index(0)
        raise ValueError(f"trajectory {i} has no steps; Minari's format needs at least one")
    episodes = [_episode(demos, i, observation_space, action_space) for i in range(len(demos))]
    return minari.create_dataset_from_buffers(
        dataset_id,
        [minari.data_collector.EpisodeBuffer(**each) for each in episodes],
        observation_space=observation_space,
        action_space=action_space,
        **metadata,
    )


def _local(name: str) -> Any:
    try:
        return _minari().load_dataset(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"dataset {name!r} is not on this machine; minari.download_dataset({name!r}) fetches "
            "what Minari's server has, and minari.list_local_datasets() lists what is here"
        ) from error


def _entries(name: str, space: Any, episodes: list[Any]) -> list[NDArray[Any]]:
    found = [getattr(each, name) for each in episodes]
    return [spaces.entries(f"{name} of episode {i}", space, x) for i, x in enumerate(found)]


def _has_ended(i: int, episode: Any) -> bool:
    """Whether an episode terminated: its last flag says so, and no other."""
    flags = np.asarray(episode.terminations, dtype=bool)
    if flags[:-1].any():
        raise ValueError(
            f"episode {i} terminated at step {int(np.argmax(flags))} and goes on to step "
            f"{flags.size}; expected terminations at the last step alone"
        )
    return bool(flags.size and flags[-1])


def _rewards(episodes: Iterable[Any]) -> list[NDArray[Any]] | None:
    """Per episode ``(L,)``; None where all are unknown, which is written as NaN."""
    rewards = [np.asarray(each.rewards, dtype=np.float64) for each in episodes]
    return None if all(np.isnan(each).all() for each in rewards) else rewards


def _episode(demos: Demonstrations, i: int, state_space: Any, action_space: Any) -> dict[str, Any]:
    """A trajectory as the fields of Minari's buffers."""
    steps = len(demos.actions[i])
    last = np.arange(steps) == steps - 1
    unknown = np.full(steps, np.nan)
    return {
        "observations": spaces.members(f"states[{i}]", state_space, demos.states[i]),
        "actions": spaces.members(f"actions[{i}]", action_space, demos.actions[i]),
        "rewards": unknown if demos.rewards is None else demos.rewards[i],
        "terminations": last & demos.terminated[i],
        "truncations": last & demos.truncated[i],
    }


def _minari() -> Any:
    try:
        import minari
        import minari.data_collector
    except ImportError as error:
        raise ImportError('Minari data sets need minari: pip install "irl_lib[minari]"') from error
    return minari
