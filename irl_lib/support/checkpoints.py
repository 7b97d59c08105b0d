"""The state of a long computation in one npz file, so that it can be stopped and resumed.

Numbers are kept to the last bit and nothing is ever pickled.  :class:`Training` makes arrays of a
network and its Adam, and brings them back.  What writes and reads a checkpoint is
:class:`irl_lib.support.runs.LongRun`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from irl_lib.support import files
from irl_lib.support.checks import Kind
from irl_lib.support.files import Arrays

if TYPE_CHECKING:  # whoever has a network to keep has imported torch already
    import torch
    from torch import nn


def write(
    path: str | os.PathLike[str], kind: str, settings: Mapping[str, Any], arrays: Arrays
) -> None:
    """Write a checkpoint, as :func:`irl_lib.support.files.write_whole` does.

    Args:
        path: of the file.
        kind: what computation it belongs to.
        settings: plain values, by which that computation is known again.
        arrays: everything that it needs to go on.

    Raises:
        ValueError: for an array of anything but numbers.
    """
    texts = {"kind": kind, "settings": json.dumps(dict(settings)), "names": json.dumps([*arrays])}
    files.write_whole(path, files.pack(texts | arrays, compress=False))


def read(path: str | os.PathLike[str], kind: str, settings: Mapping[str, Any]) -> Arrays:
    """The arrays that :func:`write` wrote, for a computation with the same settings.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no checkpoint of this kind, or not a whole one; or naming a setting
            that differs.
    """
    name = os.fspath(path)
    content = files.check_path(path, "checkpoint").read_bytes()
    try:
        arrays = files.unpack(content)
        found, known = files.text(arrays, "kind"), json.loads(files.text(arrays, "settings"))
        names = json.loads(files.text(arrays, "names"))
    except ValueError as error:
        raise ValueError(f"checkpoint {name!r} can't be read: {error}") from error
    if found != kind:
        raise ValueError(f"checkpoint {name!r} is one of {found}; expected {kind}")
    arrays = {key: each for key, each in arrays.items() if key not in ("kind", "settings", "names")}
    if arrays.keys() != set(names):
        absent = ", ".join(sorted(set(names) ^ arrays.keys()))
        raise ValueError(f"checkpoint {name!r} is not what was written; it differs in {absent}")
    wanted = json.loads(json.dumps(dict(settings)))
    for key in sorted(known.keys() | wanted.keys()):
        if known.get(key) != wanted.get(key):
            raise ValueError(
                f"checkpoint {name!r} was made with {key} = {known.get(key)!r}; here it is "
                f"{wanted.get(key)!r} (another path begins anew)"
            )
    return arrays


def part(arrays: Mapping[str, Kind], prefix: str) -> dict[str, Kind]:
    """The arrays whose names begin with ``prefix/``, under what follows.

    Example:
        >>> import numpy as np
        >>> sorted(part({"a/x": np.zeros(1), "a/y": np.zeros(1), "b/x": np.zeros(1)}, "a"))
        ['x', 'y']
    """
    start = f"{prefix}/"
    return {key.removeprefix(start): each for key, each in arrays.items() if key.startswith(start)}


def named(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays with ``prefix/`` before their names: what :func:`part` undoes."""
    return {f"{prefix}/{key}": each for key, each in arrays.items()}


class Training:
    """A network and the optimiser that trains it, as arrays and back.

    Args:
        module: the network.
        optimiser: Adam, or another that keeps nothing but tensors.
    """

    def __init__(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.module, self.optimiser = module, optimiser

    def arrays(self) -> Arrays:
        """All numbers of both."""
        tensors = {f"module/{key}": each for key, each in self.module.state_dict().items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{key}": each for key, each in values.items()}
        return {key: each.detach().cpu().numpy().copy() for key, each in tensors.items()}

    def restore(self, arrays: Arrays) -> None:
        """Bring a network of the same make, and its optimiser, to where :meth:`arrays` was."""
        import torch

        tensors = {key: torch.from_numpy(each.copy()) for key, each in arrays.items()}
        self.module.load_state_dict(part(tensors, "module"))
        state: dict[int, dict[str, Any]] = {}
        for name, each in part(tensors, "optimiser").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = each
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
