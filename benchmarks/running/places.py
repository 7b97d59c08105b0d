"""Where cells run: a process of this machine for each, or the workers of a Dask cluster.

Whoever calls a place waits for one cell at a time.  So a process that dies takes its cell along
and no other.  Joblib's own process pool ends all processes when one dies, and its Dask backend
waits forever for a cell whose workers have died.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Protocol

from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from benchmarks.running.cell import compute
from benchmarks.running.study import Cell

LIMITS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB", "BLIS")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in LIMITS}
ATTEMPTS = 3  # of a cell whose process died; on a cluster the scheduler counts them


class LostError(Exception):
    """The process or the worker that ran a cell is gone."""


class Place(AbstractContextManager["Place"], Protocol):
    """Where cells run; leaving it ends what still runs."""

    slots: int
    attempts: int

    def __call__(self, name: str, source: str, cell: Cell) -> str:
        """What :func:`compute` returns; a :class:`LostError` if nothing came back."""


class Processes:
    """Processes of this machine, one for each cell that runs, with one thread for its arithmetic.

    A process runs one cell after the other; one that dies is replaced.
    """

    attempts = ATTEMPTS

    def __init__(self, jobs: int) -> None:
        self.slots = jobs
        self._is_open = True
        self._started: list[ProcessPoolExecutor] = []
        self._free: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(jobs):
            self._free.put(self._new())

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        for process in self._started:
            process.shutdown(wait=False, kill_workers=True)

    def __call__(self, name: str, source: str, cell: Cell) -> str:
        """Run a cell in a process that is free, of which there are as many as callers."""
        process = self._free.get()
        try:
            return process.submit(compute, name, source, cell).result()
        except BrokenProcessPool as error:
            process.shutdown(wait=False, kill_workers=True)
            if not self._is_open:  # stopped and not lost: run again, it would never end
                raise
            process = self._new()
            raise LostError(str(error)) from error
        finally:
            self._free.put(process)

    def _new(self) -> ProcessPoolExecutor:
        """A process, which starts with its first cell."""
        process = ProcessPoolExecutor(max_workers=1, env=ONE_THREAD)
        self._started.append(process)
        return process
