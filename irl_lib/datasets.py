"""Expert data on disk: the package's own npz files, and Minari's data sets.

Both are read into a :class:`irl_lib.trajectories.Record`, of which the constructor of
:class:`irl_lib.demonstrations.Demonstrations` makes, and checks, demonstrations.  Nothing is ever
unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib import files, spaces
from irl_lib.trajectories import Record, check_indices

FORMAT = "irl_lib.demonstrations/3"
OLDER = (  # the first had no rewards, and whole numbers only; neither had a digest
    "irl_lib.demonstrations/1",
    "irl_lib.demonstrations/2",
)
NEEDED = {"format", "lengths", "states", "actions", "terminated", "truncated"}
OPTIONAL = {"rewards", "environment"}


def write_npz(path: str | os.PathLike[str], record: Record) -> None:
    """Write an npz file, as :func:`irl_lib.files.write_whole` does.

    Vectors that have no more than 32 bits of precision, as most environments' have, are written
    with 32 bits.
    """
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "lengths": np.array([len(a) for a in record.actions], dtype=np.int64),
        "states": _narrow(np.concatenate(record.states)),
        "actions": _narrow(np.concatenate(record.actions)),
        "terminated": record.terminated,
        "truncated": record.truncated,
    }
    if record.rewards is not None:
        arrays["rewards"] = _narrow(np.concatenate(record.rewards))
    if record.environment is not None:
        arrays["environment"] = record.environment
    files.write_whole(path, files.pack(arrays, compress=True))


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in 32 bits, if they are floats that keep their values."""
    if values.dtype.kind != "f":
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values) else values


def read_npz(content: bytes) -> Record:
    """The content of a file that :func:`write_npz` wrote.

    Raises:
        ValueError: saying what it is, when it is anything else.
    """
    data = files.unpack(content)
    kind = files.text(data, "format")
    if kind not in (*OLDER, FORMAT):
        raise ValueError(f"its format is {kind!r}; expected {FORMAT!r}")
    if kind == FORMAT and not files.has_digest(content):
        raise ValueError("its digest is missing: it was changed after it had been written")
    if not NEEDED <= data.keys() <= NEEDED | OPTIONAL:
        raise ValueError(f"its entries are {', '.join(data)}; expected {', '.join(sorted(NEEDED))}")
    lengths, n = check_indices("its entry 'lengths'", data["lengths"]), len(data["actions"])
    if lengths.size == 0 or lengths.max() > n or lengths.sum() != n:
        raise ValueError(f"its lengths do not add up to its {n} actions")
    ends = np.cumsum(lengths)
    return Record(
        np.split(data["states"], (ends + np.arange(1, len(ends) + 1))[:-1]),
        np.split(data["actions"], ends[:-1]),
        data["terminated"],
        data["truncated"],
        np.split(data["rewards"], ends[:-1]) if "rewards" in data else None,
        files.text(data, "environment") if "environment" in data else None,
    )


def read_minari(dataset: Any, observation_space: Any, action_space: Any) -> Record:
    """A Minari data set, or a local one's name, as :func:`irl_lib.demonstrations.from_minari`."""
    data = _local(dataset) if isinstance(dataset, str) else dataset
    if not hasattr(data, "iterate_episodes"):
        raise ValueError(f"dataset is {dataset!r}; expected a Minari data set or its name")
    _check_same("observation_space", data.observation_space, observation_space, data.id)
    _check_same("action_space", data.action_space, action_space, data.id)
    for name in ("observation_space", "action_space"):
        spaces.width(f"the {name} of {data.id}", getattr(data, name))
    episodes = list(data.iterate_episodes())
    if not episodes:
        raise ValueError(f"dataset {data.id} has no episodes")
    ended = np.array([_has_ended(i, each) for i, each in enumerate(episodes)])
    return Record(
        _entries("observations", data.observation_space, episodes),
        _entries("actions", data.action_space, episodes),
        ended,
        ~ended,
        _rewards(episodes),
        None if data.env_spec is None else str(data.env_spec.id),
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
    if spaces.is_numbered(space):
        return [np.asarray(each) for each in found]
    return [spaces.entries(f"{name} of episode {i}", space, x) for i, x in enumerate(found)]


def _check_same(name: str, found: Any, wanted: Any, where: str) -> None:
    if wanted is not None and found != wanted:
        raise ValueError(f"the {name} of {where} is {found}; expected {wanted}")


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


def write_minari(
    record: Record, dataset_id: str, observation_space: Any, action_space: Any, **more: Any
) -> Any:
    """A new Minari data set on disk, as :func:`irl_lib.demonstrations.to_minari`."""
    minari = _minari()
    if not all(map(len, record.actions)):
        i = [len(a) for a in record.actions].index(0)
        raise ValueError(f"trajectory {i} has no steps; Minari's format needs at least one")
    buffer = [
        _episode(record, i, observation_space, action_space) for i in range(len(record.actions))
    ]
    return minari.create_dataset_from_buffers(
        dataset_id,
        [minari.data_collector.EpisodeBuffer(**episode) for episode in buffer],
        observation_space=observation_space,
        action_space=action_space,
        **more,
    )


def _episode(record: Record, i: int, state_space: Any, action_space: Any) -> dict[str, Any]:
    steps = len(record.actions[i])
    last = np.arange(steps) == steps - 1
    unknown = np.full(steps, np.nan)
    return {
        "observations": spaces.members(f"states[{i}]", state_space, record.states[i]),
        "actions": spaces.members(f"actions[{i}]", action_space, record.actions[i]),
        "rewards": unknown if record.rewards is None else record.rewards[i],
        "terminations": last & record.terminated[i],
        "truncations": last & record.truncated[i],
    }


def _minari() -> Any:
    try:
        import minari
        import minari.data_collector
    except ImportError as error:
        raise ImportError('Minari data sets need minari: pip install "irl_lib[minari]"') from error
    return minari
