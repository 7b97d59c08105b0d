"""The workers of a Dask cluster as a place for cells."""

from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import CancelledError
from typing import Any

from benchmarks.running.cell import compute
from benchmarks.running.places import LostError
from benchmarks.running.study import Cell

CONNECT_SECONDS = 5
WAITING = 500  # cells that a cluster has at a time


class NoSchedulerError(Exception):
    """Nothing that could run a cell answers at an address."""


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
