"""One soft backup from a thousand to a million states, beside what memory allows.

The floor is the time that moving the backup's arrays once takes: the transitions' data, indices
and row pointers, the values and the reward in, q and the new values out.  The bandwidth is that of
`a + b -> c` on arrays far larger than any cache, 24 bytes an element, measured in the same run
with as many threads as the backup uses: one.  Below the size of the caches the arrays do not
come from memory at all, so the floor is given for the largest problem only.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np

from benchmarks.harness import ROOT, Row, best_time
from irl_lib import planning, worlds
from irl_lib.mdp import MDP, Array

SIDES = (32, 100, 316, 1_000)
STREAM = 20_000_000  # elements
COLUMNS = {
    "ms": "one backup (ms)",
    "ns_per_transition": "ns per transition",
    "floor_ms": "moving its arrays once (ms)",
    "times_floor": "times that",
    "bandwidth_gb_s": "bandwidth (GB/s)",
    "peak_mib": "peak memory (MiB)",
}


def run(sides: tuple[int, ...] = SIDES, elements: int = STREAM) -> list[Row]:
    """One row for each size."""
    speed = bandwidth(elements)
    rows = [measure(side) for side in sides]
    moved = rows[-1].pop("bytes")
    floor = 1e3 * moved / speed
    rows[-1] |= {
        "floor_ms": floor,
        "times_floor": rows[-1]["ms"] / floor,
        "bandwidth_gb_s": speed / 1e9,
        "peak_mib": peak_memory(sides[-1]),
    }
    return [{key: value for key, value in row.items() if key != "bytes"} for row in rows]


def bandwidth(elements: int) -> float:
    """Bytes per second of `a + b -> c`."""
    a, b, c = (np.ones(elements) for _ in range(3))
    return 3 * a.nbytes / best_time(lambda: np.add(a, b, out=c), repeats=15)


def problem(side: int) -> tuple[MDP, Array, Array]:
    """A grid with four moves and slip, a reward as planning keeps it, and values."""
    world = worlds.gridworld(side, n_features=1)
    values = np.random.default_rng(0).normal(size=side * side)
    return world.mdp, np.asfortranarray(world.reward), values


def measure(side: int) -> Row:
    """One size."""
    mdp, reward, values = problem(side)
    seconds = best_time(lambda: planning.soft_backup(mdp, reward, values), repeats=200)
    matrix = mdp.matrix
    parts = (matrix.data, matrix.indices, matrix.indptr, values, reward, reward, values)
    return {
        "states": mdp.n_states,
        "transitions": int(matrix.nnz),
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
