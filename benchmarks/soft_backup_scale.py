"""One soft backup from a thousand to a million states, beside what memory allows.

The floor is the time that moving the backup's arrays once takes: the transitions' data, indices
and row pointers, the values and the reward in, q and the new values out.  The bandwidth is that of
`a + b -> c` on arrays far larger than any cache, 24 bytes an element, measured in the same run
with one thread, and with two, each on half of the arrays.  Below the size of the caches the arrays
do not come from memory at all, so the floor is given for the largest problem only, where the backup
is also divided between two threads.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.running.harness import ROOT, Row, best_time
from irl_lib import planning, worlds
from irl_lib.mdp import MDP
from irl_lib.support.checks import Array

SIDES = (32, 100, 316, 1_000)
STREAM = 20_000_000  # elements
COLUMNS = {
    "threads": "threads",
    "ms": "one backup (ms)",
    "ns_per_transition": "ns per transition",
    "floor_ms": "moving its arrays once (ms)",
    "times_floor": "times that",
    "bandwidth_gb_s": "bandwidth (GB/s)",
    "peak_mib": "peak memory (MiB)",
}


def run(sides: tuple[int, ...] = SIDES, elements: int = STREAM) -> list[Row]:
    """One row for each size, and for the largest one with two threads."""
    rows = [measure(side) for side in sides]
    rows.append(measure(sides[-1], threads=2))
    for row in rows[-2:]:
        speed = bandwidth(elements, row["threads"])
        floor = 1e3 * row["bytes"] / speed
        row |= {
            "floor_ms": floor,
            "times_floor": row["ms"] / floor,
            "bandwidth_gb_s": speed / 1e9,
        }
    rows[-2]["peak_mib"] = peak_memory(sides[-1])
    return [{key: value for key, value in row.items() if key != "bytes"} for row in rows]


def bandwidth(elements: int, threads: int) -> float:
    """Bytes per second of `a + b -> c`."""
    a, b, c = (np.ones(elements) for _ in range(3))
    parts = [slice(i, i + elements // threads) for i in range(0, elements, elements // threads)]

    def add(part: slice) -> None:
        np.add(a[part], b[part], out=c[part])

    with ThreadPoolExecutor(threads) as pool:
        seconds = best_time(lambda: list(pool.map(add, parts)), repeats=15)
    return 3 * a.nbytes / seconds


def problem(side: int) -> tuple[MDP, Array, Array]:
    """A grid with four moves and slip, a reward as planning keeps it, and values."""
    world = worlds.gridworld(side, n_features=1)
    values = np.random.default_rng(0).normal(size=side * side)
    return world.mdp, np.asfortranarray(world.reward), values


def measure(side: int, threads: int = 1) -> Row:
    """One size."""
    mdp, reward, values = problem(side)
    seconds = best_time(
        lambda: planning.soft_backup(mdp, reward, values, workers=threads), repeats=200
    )
    matrix = mdp.matrix
    parts = (matrix.data, matrix.indices, matrix.indptr, values, reward, reward, values)
    return {
        "states": mdp.n_states,
        "transitions": int(matrix.nnz),
        "threads": threads,
        "ms": 1e3 * seconds,
        "ns_per_transition": 1e9 * seconds / matrix.nnz,
        "bytes": sum(part.nbytes for part in parts),
    }


def peak_memory(side: int) -> float:
    """MiB at most, of a fresh process that builds the problem and steps once each way."""
    command = f"from benchmarks import soft_backup_scale as b; print(b.step_both_ways({side}))"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def step_both_ways(side: int) -> float:
    """Build, one backup, one step of an occupancy; the peak memory of this process in MiB."""
    mdp, reward, values = problem(side)
    q, v = planning.soft_backup(mdp, reward, values)
    policy = np.exp(q - v[:, None])
    mdp.flow(policy * mdp.initial[:, None])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
