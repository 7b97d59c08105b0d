"""The package's own files of trajectories; nothing is ever unpickled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.demonstrations.entries import Record, check_indices
from irl_lib.support import files

FORMAT = "irl_lib.demonstrations/3"
OLDER = (  # the first had no rewards, and whole numbers only; neither had a digest
    "irl_lib.demonstrations/1",
    "irl_lib.demonstrations/2",
)


NEEDED = {"format", "lengths", "states", "actions", "terminated", "truncated"}
OPTIONAL = {"rewards", "environment"}


def write_npz(path: str | os.PathLike[str], record: Record) -> None:
    """Write an npz file, as :func:`irl_lib.support.files.write_whole` does.

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
