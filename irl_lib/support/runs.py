"""Long runs: iterations that can be stopped at any time and go on from a file, bit for bit.

A method gives what it keeps, by what it is known again and what it notes, and writes its loop::

    state = {"reward": Training(net, optimiser)}
    run = LongRun("my_method", ("loss",), identity, state, checkpoint)
    for number in run.iterations(max_iterations, progress):
        ...  # all randomness is the seed's and the number's
        run.note({"loss": loss})
    return MyResult(policy=..., **run.outcome())

An iteration's randomness has to come from a seed and its number (as by ``numpy.random.SeedSequence(
[seed, number])``), so that it is the same in a run that was stopped before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from irl_lib.support import checkpoints, files
from irl_lib.support.checks import Array, check_count, check_real
from irl_lib.support.files import Arrays
from irl_lib.support.progress import counted
from irl_lib.support.result import warn_early

FORMAT = 2  # of what a checkpoint holds; of another, the file is refused


class Kept(Protocol):
    """What a run keeps: something whose whole state is arrays."""

    def arrays(self) -> Arrays:
        """Everything that the next iteration needs."""

    def restore(self, arrays: Arrays) -> None:
        """To where it was when :meth:`arrays` was called."""


@dataclass(eq=False)
class LongRun:
    """The iterations of a method: their history, their checkpoint, their end.

    Raises:
        ValueError: for a checkpoint that can't be a file, or a bad number.
    """

    method: str
    """The name of the function, for the bar, the checkpoint and the warning."""
    columns: Sequence[str]
    """What :meth:`note` is told after each iteration."""
    identity: Mapping[str, Any]
    """Plain values by name, which decide the course of the run, its length apart."""
    state: Mapping[str, Kept]
    """All that changes between two iterations, by name."""
    checkpoint: str | os.PathLike[str] | None = None
    """A file that is gone on from when it exists; None for none."""
    certifies: Sequence[str] = ()
    """The columns that are 0 at the optimum."""
    tolerance: float | None = None
    """The run ends when none of them is above it; with None it takes all of its iterations."""
    every: int = 1
    """After how many iterations the file is written anew."""

    def __post_init__(self) -> None:
        self._noted: dict[str, list[float]] = {name: [] for name in self.columns}
        self._kind, self._last = f"irl_lib.{self.method}/{FORMAT}", 0
        check_count("every", self.every)
        if self.tolerance is not None:
            check_real("tolerance", self.tolerance, 0.0)
        self._file: Path | None = None
        if self.checkpoint is not None:
            self._file = files.check_path(self.checkpoint, "checkpoint")
            if not self._file.parent.is_dir():
                raise ValueError(
                    f"checkpoint is {str(self._file)!r}; expected a file in a folder that exists"
                )

    @property
    def done(self) -> int:
        """How many iterations are behind."""
        return len(self._noted[self.columns[0]])

    @property
    def history(self) -> dict[str, Array]:
        """One entry per iteration."""
        return {name: np.array(values) for name, values in self._noted.items()}

    @property
    def certificate(self) -> dict[str, float]:
        """What the last iteration noted of the columns that are 0 at the optimum."""
        return {name: self._noted[name][-1] for name in self.certifies if self.done}

    @property
    def converged(self) -> bool:
        """Whether the certificate is below the tolerance."""
        numbers = self.certificate.values()
        return self.tolerance is not None and bool(numbers) and max(numbers) <= self.tolerance

    def iterations(self, max_iterations: int, progress: bool = False) -> Iterator[int]:
        """The numbers of the iterations that are left, each of which has to :meth:`note` something.

        Raises:
            ValueError: when the file is not this run's or not whole, or has more iterations.
        """
        self._last = check_count("max_iterations", max_iterations)
        if self._file is not None and self._file.exists():
            self._restore(self._file)
        for number in counted(self.method, "iterations", self._last, self.done, progress):
            if self.converged:
                break
            yield number

    def note(self, numbers: Mapping[str, float]) -> None:
        """Add an iteration to the history; write the file, if it is time to.

        Whatever stops the run later, at most ``every`` iterations are lost.
        """
        for name, values in self._noted.items():
            values.append(float(numbers[name]))
        ends = self.converged or self.done == self._last
        if self._file is not None and (ends or self.done % self.every == 0):
            kept = [checkpoints.named(name, each.arrays()) for name, each in self.state.items()]
            kept.append(checkpoints.named("history", self.history))
            arrays = {name: array for each in kept for name, array in each.items()}
            checkpoints.write(self._file, self._kind, self.identity, arrays)

    def _restore(self, path: Path) -> None:
        """To where the run was when the file was written."""
        arrays = checkpoints.read(path, self._kind, self.identity)
        history = checkpoints.part(arrays, "history")
        if history.keys() != set(self.columns) or len({len(each) for each in history.values()}) > 1:
            raise ValueError(f"checkpoint {str(path)!r} has an incomplete history")
        self._noted = {name: history[name].tolist() for name in self.columns}
        if self.done > self._last:
            raise ValueError(
                f"checkpoint {str(path)!r} has {self.done} iterations behind it; max_iterations is "
                f"{self._last}"
            )
        for name, each in self.state.items():
            each.restore(checkpoints.part(arrays, name))

    def outcome(self) -> dict[str, Any]:
        """What a :class:`irl_lib.support.result.Result` says of the run.

        Warns:
            ConvergenceWarning: when a tolerance was asked for and not reached.
        """
        message = f"{self.done} iterations, and no tolerance was asked for"
        if self.tolerance is not None:
            parts = ", ".join(f"{name} {number:.2g}" for name, number in self.certificate.items())
            message = f"after {self.done} iterations: {parts}; the tolerance is {self.tolerance:g}"
            if not self.converged:
                warn_early(self.method, f"not converged {message}")
        return {
            "history": self.history,
            "converged": self.converged,
            "message": message,
            "certificate": self.certificate,
        }


# --- by what a run is known again ---------------------------------------------------------------


def identity_of(settings: Any, env: Any, demos: Iterable[Array], **networks: Any) -> dict[str, Any]:
    """What decides the course of a sampled run, as plain values by name.

    Args:
        settings: a dataclass of plain values, the seed among them.
        env: a Gymnasium environment, of which its ``spec`` and its spaces are known.
        demos: the arrays that the demonstrations are.
        networks: torch modules as they are before the first iteration, by name.
    """
    known = asdict(settings) | _environment(env) | {"demos": digest(demos)}
    for name, net in networks.items():
        numbers = [each.detach().cpu().numpy() for each in net.state_dict().values()]
        known[name] = f"{net!r} with weights {digest(numbers)}"
    return known


def _environment(env: Any) -> dict[str, str]:
    """What can be known of an environment; where its objects lie in memory is left out."""
    spec = getattr(env, "spec", None)
    settings = getattr(spec, "kwargs", None) or {}
    known = {
        "env": str(getattr(spec, "id", None)),
        "env.kwargs": json.dumps(settings, sort_keys=True, default=_plain),
        "env.wrappers": str(getattr(spec, "additional_wrappers", ())),
        "env.observation_space": str(env.observation_space),
        "env.action_space": str(env.action_space),
    }
    return {name: re.sub(r" at 0x[0-9a-f]+", "", text) for name, text in known.items()}


def digest(arrays: Iterable[Array]) -> str:
    """Sixteen characters that stand for all bits of some arrays.

    Example:
        >>> digest([np.zeros(2)]) == digest([np.zeros(2)]) != digest([np.zeros(3)])
        True
    """
    content = hashlib.sha256()
    for each in arrays:
        content.update(f"{each.dtype}{each.shape}".encode() + np.ascontiguousarray(each).tobytes())
    return content.hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else repr(value)
