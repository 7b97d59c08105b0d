"""Runs the cells of a study, on processes of this machine or on a Dask cluster.

Joblib hands the cells out to threads, and each thread waits for one cell at a time: for a process
of its own on this machine, or for a worker of the cluster.  So a process that dies takes its cell
along and no other.  Joblib's own process pool ends all processes when one dies, and its Dask
backend waits forever for a cell whose workers have died.

Every finished cell is written at once; what is written is never run again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor
from tqdm.auto import tqdm

from benchmarks import harness, study
from benchmarks.study import Cell, Record, Study

LIMITS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB", "BLIS")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in LIMITS}
ATTEMPTS = 3  # of a cell whose process died; on a cluster the scheduler counts them
CONNECT_SECONDS = 5
WAITING = 500  # cells that a cluster has at a time


class LostError(Exception):
    """The process or the worker that ran a cell is gone."""


class NoSchedulerError(Exception):
    """Nothing that could run a cell answers at an address."""


class Place(AbstractContextManager["Place"], Protocol):
    """Where cells run; leaving it ends what still runs."""

    slots: int
    attempts: int

    def __call__(self, name: str, source: str, cell: Cell) -> str:
        """What :func:`compute` returns; a :class:`LostError` if nothing came back."""


def compute(name: str, source: str, cell: Cell) -> str:
    """Run one cell, wherever this process is: its record in JSON, or what went wrong.

    A number that is not finite, or anything that JSON can't hold, is what went wrong, too.
    """
    start = time.perf_counter()
    try:
        module = harness.load(name)
        if study.source_digest(name) != source:
            raise study.StudyError(f"this worker has another version of {name}; start it anew")
        study.package_version()  # of what is imported, and not of what it is when the cell ends
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        result = module.run_cell(**cell)
        if not isinstance(result, dict):
            raise TypeError(f"run_cell gave {result!r}; expected a dict")
        study.check_plain(result, "the result")
    except (Exception, SystemExit):
        return json.dumps({"failed": traceback.format_exc()})
    seconds = round(time.perf_counter() - start, 3)
    made = study.provenance(module)
    return json.dumps({"cell": cell, "result": result, "seconds": seconds, "made": made})


# ---- places


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
            process = self._new()
            raise LostError(str(error)) from error
        finally:
            self._free.put(process)

    def _new(self) -> ProcessPoolExecutor:
        """A process, which starts with its first cell."""
        process = ProcessPoolExecutor(max_workers=1, env=ONE_THREAD)
        if self._is_open:
            self._started.append(process)
        return process


class Cluster:
    """A Dask cluster; its scheduler gives a cell whose worker died to another, a few times.

    What had been waiting at workers that died is lost with the cell that killed them: hence a
    second attempt.
    """

    attempts = 2
    slots = WAITING

    def __init__(self, address: str) -> None:
        self._client = connected(address)
        self._futures: set[Any] = set()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel(list(self._futures))
        self._client.close()

    def __call__(self, name: str, source: str, cell: Cell) -> str:
        """Run a cell on whichever worker the scheduler finds."""
        from dask.distributed import KilledWorker

        future = self._client.submit(compute, name, source, cell, pure=False)
        self._futures.add(future)
        try:
            return str(future.result())
        except KilledWorker as error:
            raise LostError(str(error)) from error
        except CancelledError as error:
            raise ConnectionError("the connection to the scheduler was lost") from error
        finally:
            self._futures.discard(future)


def connected(address: str) -> Any:
    """A client of the scheduler there.

    Raises:
        NoSchedulerError: when there is none, or its workers run several cells in one process; or
            when Dask is missing.
    """
    try:
        from dask.distributed import Client
        from distributed.comm import connect
    except ImportError as error:
        raise NoSchedulerError(
            "--scheduler needs dask and distributed, which requirements.txt has"
        ) from error

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # failures are told here

    async def greet() -> None:  # a client that fails to connect takes long to give up
        (await asyncio.wait_for(connect(address), CONNECT_SECONDS)).abort()

    try:
        asyncio.run(greet())
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:  # as many kinds as there are things that may listen there
        reason = str(error) or f"nothing came back within {CONNECT_SECONDS} s"
        raise NoSchedulerError(f"no Dask scheduler answers at {address}: {reason}") from error
    workers = client.nthreads()
    wide = {worker: threads for worker, threads in workers.items() if threads > 1}
    if wide:
        client.close()
        raise NoSchedulerError(
            f"workers run several cells in one process, {wide}, where they would share torch's"
            " settings; start them with --nthreads 1"
        )
    if not workers:
        print("no worker has joined the cluster yet; cells wait for one", file=sys.stderr)
    return client


# ---- a sweep


def attempt(place: Place, name: str, source: str, cell: Cell) -> tuple[Cell, Record]:
    """A cell and what came of it; one that is lost is run again, a few times."""
    reason = ""
    for _ in range(place.attempts):
        try:
            return cell, json.loads(place(name, source, cell))
        except LostError as error:
            reason = f"lost {place.attempts} times, the last time because: {error}\n"
        except Exception as error:  # of the way there: what the cell itself raises comes as text
            return cell, {"failed": f"{type(error).__name__}: {error}"}
    return cell, {"failed": reason}


def outcomes(place: Place, wanted: Study, cells: list[Cell]) -> Iterator[tuple[Cell, Record]]:
    """What comes of the cells, in the order in which they finish."""
    calls = (joblib.delayed(attempt)(place, wanted.name, wanted.source, cell) for cell in cells)
    slots = min(place.slots, len(cells))
    yield from joblib.Parallel(slots, backend="threading", return_as="generator_unordered")(calls)


def run_missing(
    wanted: Study, make_place: Callable[[int], Place], folder: Path
) -> list[tuple[Cell, str]]:
    """Run the cells that are not there yet and keep what they come to; the failed, with reasons."""
    done = study.kept(wanted, folder)
    missing = [cell for cell in wanted.cells if wanted.key(cell) not in done]
    failed: list[tuple[Cell, str]] = []
    if not missing:
        return failed
    with (
        make_place(len(missing)) as place,
        tqdm(total=len(wanted.cells), initial=len(done), desc=wanted.name, unit=" cells") as bar,
    ):
        for cell, record in outcomes(place, wanted, missing):
            if "failed" in record:
                failed.append((cell, record["failed"]))
                bar.set_postfix(failed=len(failed))
            else:
                study.keep(wanted, record, folder)
                bar.update()
    return sorted(failed, key=lambda each: wanted.cells.index(each[0]))


def report(wanted: Study, failed: list[tuple[Cell, str]]) -> str:
    """The failed cells by name, those with the same reason together."""
    reasons: dict[str, list[Cell]] = {}
    for cell, reason in failed:
        reasons.setdefault(reason.rstrip(), []).append(cell)
    lines = ["", f"{len(failed)} of {len(wanted.cells)} cells of {wanted.name} failed:"]
    for reason, cells in reasons.items():
        lines += ["", *(f"--- {study.label(cell)}" for cell in cells), reason]
    return "\n".join(lines)


def store(wanted: Study, folder: Path, results: Path, partial: bool) -> Path | None:
    """Write the study's result if all cells are there, or some and that is enough."""
    records = list(study.kept(wanted, folder).values())
    if not records or (len(records) < len(wanted.cells) and not partial):
        return None
    versions = {each["made"]["versions"]["irl_lib"] for each in records}
    if versions != {study.package_version()}:
        print(
            f"{wanted.name}: cells were run with other states of irl_lib than the present one, as"
            " the stored versions say; --fresh runs them anew",
            file=sys.stderr,
        )
    content = study.describe(wanted, records)
    return harness.write_json(results / f"{wanted.name}.json", content)


def sweep(
    name: str,
    make_place: Callable[[int], Place],
    *,
    fresh: bool = False,
    partial: bool = False,
    folder: Path = study.KEPT,
    results: Path = harness.RESULTS,
) -> int:
    """Run what is missing of a study and store its result; the exit status.

    Raises:
        StudyError: for a module that is no study.
        NoSchedulerError: when there is nothing to run it on.
    """
    wanted = study.load(name)
    if fresh:
        study.forget(wanted, folder)
    try:
        failed, status = run_missing(wanted, make_place, folder), 0
    except KeyboardInterrupt:
        failed, status = [], 130
        print("\nstopped; the same command goes on with what is missing", file=sys.stderr)
    if failed:
        print(report(wanted, failed), file=sys.stderr)
        status = 1
    stored = store(wanted, folder, results, partial)
    done = len(study.kept(wanted, folder))
    print(f"{done} of {len(wanted.cells)} cells of {name} are in {folder / name}")
    print(stored or f"{name}.json is not written: cells are missing")
    return status
