"""Maximum entropy against `imitation` 1.0.1: one gradient, and a whole fit.

Both solve the same grids in the same run, `imitation` in an environment of its own that is made
under `.cache/` the first time.  One gradient is a soft backup through the horizon and the
occupancy of its policy; before times are compared, the answers are.  Ours runs on one thread; the
dense products of `imitation` on all, and again on one for a second figure.  The whole fit goes
from zero to a gap of the feature expectations of 1e-3, `imitation` with Adam at the better of two
rates.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.running.harness import ROOT, Row, best_time
from irl_lib import max_ent, planning, worlds
from irl_lib.worlds import World

ENVIRONMENT = ROOT / ".cache" / "imitation"
REQUIREMENTS = Path(__file__).with_name("requirements-imitation.txt")
SIZES = (5, 20, 64)
RATES = (0.03, 0.1)
TOLERANCE = 1e-3
VERSIONS = {"imitation": "1.0.1"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COLUMNS = {
    "ours_s": "ours (s)",
    "peer_s": "imitation (s)",
    "times": "times faster",
    "peer_alone_s": "imitation, one thread (s)",
    "times_alone": "times faster, one thread each",
}


def run() -> list[Row]:
    """One row for each problem."""
    make_environment()
    rows = [compare_gradient(size) for size in SIZES]
    return [*rows, compare_fit(20, n_features=8), fit_one_hot(64)]


def make_environment() -> None:
    """Install the peer; the environment counts as made once everything is in it."""
    done = ENVIRONMENT / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    index = os.environ.get("TORCH_INDEX")
    if index:
        torch = next(line for line in wanted.splitlines() if line.startswith("torch=="))
        subprocess.run([*pip, torch, "--index-url", index], check=True)
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    done.write_text(wanted, encoding="utf-8")


def grid(size: int, n_features: int) -> World:
    """The problem: four moves with slip, rewards of states, a horizon of three times the size."""
    return worlds.gridworld(size, n_features=n_features, horizon=3 * size, discount=1.0)


def ask_peer(what: str, world: World, threads: int | None = None, **more: Any) -> dict[str, Any]:
    """What the peer answers to this problem; with as many threads as it likes, or so many."""
    problem = {
        "transitions": world.mdp.dense_transitions(),
        "initial": world.mdp.initial,
        "horizon": world.mdp.horizon,
        "features": world.features[:, 0],
        "reward": world.reward[:, 0],
        **more,
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(source, **problem)
        script = str(Path(__file__).parent / "peers" / "imitation_1_0_1.py")
        python = str(ENVIRONMENT / "bin" / "python")
        limits = {name: str(threads) for name in THREADS} if threads else {}
        subprocess.run(
            [python, script, what, str(source), str(target)],
            check=True,
            cwd=folder,
            env={**os.environ, **limits},
        )
        with np.load(target) as answer:
            return dict(answer)


def compare_gradient(size: int) -> Row:
    """One gradient on the grid of this size, checked to be the same, and timed."""
    world = grid(size, n_features=8)

    def once() -> tuple[planning.Plan, Any]:
        plan = planning.unchecked_soft_plan(world.mdp, world.reward)  # as max_ent does it
        return plan, planning.unchecked_occupancy(world.mdp, plan.policy)

    seconds = best_time(once, repeats=1_000)
    plan, visits = once()
    peer = ask_peer("gradient", world)
    np.testing.assert_allclose(plan.v[0], peer["v"], rtol=1e-10)
    np.testing.assert_allclose(plan.policy, peer["policy"], atol=1e-10)
    np.testing.assert_allclose(visits.sum(axis=1), peer["visits"], atol=1e-9)
    found = row(f"gradient, {size} x {size}, horizon {3 * size}", seconds, float(peer["seconds"]))
    alone = float(ask_peer("gradient", world, threads=1)["seconds"])
    return {**found, "peer_alone_s": alone, "times_alone": alone / seconds}


def compare_fit(size: int, n_features: int) -> Row:
    """A whole fit from zero, to the same gap of the feature expectations."""
    world = grid(size, n_features)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    expert = planning.occupancy(world.mdp, policy)

    def once() -> max_ent.MaxEntResult:
        return max_ent.max_ent(world.mdp, world.features, expert, tolerance=TOLERANCE)

    seconds, gap = best_time(once, repeats=15), once().gradient_norm
    limits = {"rates": RATES, "tolerance": TOLERANCE, "max_iterations": 2_000}
    fits = ask_peer("fit", world, **limits).values()
    reached = [float(time) for time, peer_gap in fits if peer_gap <= 1.01 * TOLERANCE]
    found = row(f"fit, {size} x {size}, {n_features} features", seconds, min(reached, default=None))
    return {**found, "gap": gap}


def fit_one_hot(size: int) -> Row:
    """A feature for each state: 4096 weights, which the peer's optimiser does not get to."""
    world = grid(size, n_features=8)
    one_hot = sparse.eye_array(world.mdp.n_states)
    policy = planning.soft_value_iteration(world.mdp, world.reward).policy
    expert = planning.occupancy(world.mdp, policy)

    def once() -> max_ent.MaxEntResult:
        return max_ent.max_ent(world.mdp, one_hot, expert, method="newton-cg", tolerance=TOLERANCE)

    seconds, found = best_time(once, repeats=2), once()
    name = f"fit, {size} x {size}, one-hot features"
    return {**row(name, seconds, None), "gap": found.gradient_norm}


def row(problem: str, ours: float, peer: float | None) -> Row:
    """One line of the table."""
    times = None if peer is None else peer / ours
    return {"problem": problem, "ours_s": ours, "peer_s": peer, "times": times}
