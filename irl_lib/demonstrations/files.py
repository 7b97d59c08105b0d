"""The package's own files of trajectories; nothing is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.support import files
from irl_lib.support.checks import check_indices

FORMAT = "irl_lib.demonstrations/3"
OLDER = (  # the first had no rewards, and whole numbers only; neither had a digest
    "irl_lib.demonstrations/1",
    "irl_lib.demonstrations/2",
)
NEEDED = {"format", "lengths", "states", "actions", "terminated", "truncated"}
OPTIONAL = {"rewards", "environment"}


def write_npz(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Write an npz file, as :func:`irl_lib.support.files.write_whole` does.

    Vectors that have no more than 32 bits of precision, as most environments' have, are written
    with 32 bits.

    Args:
        path: where to.
        fields: of :class:`irl_lib.demonstrations.Demonstrations`, by name.
    """
    lengths = np.array([len(a) for a in fields["actions"]], dtype=np.int64)
    arrays: dict[str, Any] = {"format": FORMAT, "lengths": lengths}
    arrays |= {name: _joined(value) for name, value in fields.items() if value is not None}
    files.write_whole(path, files.pack(arrays, compress=True))


def _joined(value: Any) -> Any:
    """Several trajectories as one array, in 32 bits if it is of floats that keep their values."""
    if not isinstance(value, tuple):
        return value
    joined: NDArray[Any] = np.concatenate(value)
    if joined.dtype.kind != "f":
        return joined
    with np.errstate(over="ignore"):
        narrow = joined.astype(np.float32)
    return narrow if np.array_equal(narrow, joined) else joined


def read_npz(content: bytes) -> dict[str, Any]:
    """The fields that :func:`write_npz` wrote, by name.

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
    fields: dict[str, Any] = {name: data[name] for name in ("terminated", "truncated")}
    fields["states"] = np.split(data["states"], (ends + np.arange(1, len(ends) + 1))[:-1])
    for name in {"actions", "rewards"} & data.keys():
        fields[name] = np.split(data[name], ends[:-1])
    if "environment" in data:
        fields["environment"] = files.text(data, "environment")
    return fields
