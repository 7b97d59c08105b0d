"""The benchmarks' harness: what it stores, and that each benchmark runs at a small size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import maxent_vs_imitation, soft_backup_scale
from benchmarks.running import harness


def test_results_say_where_they_come_from(tmp_path: Path) -> None:
    path = harness.store("soft_backup_scale", [{"states": 4, "ms": 0.5}], tmp_path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "soft_backup_scale.json"
    assert {"command", "versions", "machine", "date", "results"} <= set(stored)
    assert stored["command"] == "python -m benchmarks soft_backup_scale"
    assert stored["results"] == [{"states": 4, "ms": 0.5}]
    assert stored["machine"]["cores"] >= 1
    assert stored["versions"]["numpy"] == np.__version__


def test_a_failed_store_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = harness.store("soft_backup_scale", [{"states": 4}], tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        harness.store("soft_backup_scale", [{"ms": float("nan")}], tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_least_time_is_taken() -> None:
    calls: list[int] = []
    assert 0.0 <= harness.best_time(lambda: calls.append(1), repeats=5) < 1.0
    assert len(calls) == 5


def test_the_command_line_lists_and_refuses(root: Path) -> None:
    command = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run([*command, "--list"], cwd=root, capture_output=True, text=True)
    kinds = dict(line.split() for line in listed.stdout.splitlines())
    assert list(kinds) == harness.names()
    assert kinds["soft_backup_scale"] == "benchmark"
    assert {name for name in kinds if harness.is_study(name)} == {
        name for name, kind in kinds.items() if kind == "study"
    }
    assert {"maxent_vs_imitation", "soft_backup_scale"} <= set(harness.names())
    wrong = subprocess.run([*command, "absent"], cwd=root, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "no benchmark is called absent" in wrong.stderr


def test_the_scale_benchmark_counts_what_it_moves() -> None:
    rows = soft_backup_scale.run(sides=(3, 5), elements=1_000)
    assert [row["states"] for row in rows] == [9, 25, 25]
    assert [row["threads"] for row in rows] == [1, 1, 2]
    assert all("bytes" not in row for row in rows)
    last = rows[-1]
    assert last["times_floor"] == pytest.approx(last["ms"] / last["floor_ms"])
    mdp, reward, values = soft_backup_scale.problem(5)
    moved = 12 * mdp.matrix.nnz + 4 * (mdp.matrix.shape[0] + 1) + 2 * reward.nbytes
    moved += 2 * values.nbytes
    assert last["floor_ms"] == pytest.approx(moved / last["bandwidth_gb_s"] / 1e6)


def test_the_peer_gets_the_same_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the peer: the answers are compared, and a wrong one stops the run."""
    asked = []

    def answer(what: str, world: object, **more: object) -> dict[str, object]:
        asked.append(what)
        plan = maxent_vs_imitation.planning.soft_value_iteration(world.mdp, world.reward)
        visits = maxent_vs_imitation.planning.occupancy(world.mdp, plan.policy).sum(axis=1)
        return {"seconds": 2.0, "v": plan.v[0], "policy": plan.policy, "visits": visits}

    monkeypatch.setattr(maxent_vs_imitation, "ask_peer", answer)
    row = maxent_vs_imitation.compare_gradient(3)
    assert asked == ["gradient", "gradient"]
    assert row["times"] == row["times_alone"] == pytest.approx(2.0 / row["ours_s"])
    assert row["problem"] == "gradient, 3 x 3, horizon 9"

    def wrong(what: str, world: object, **more: object) -> dict[str, object]:
        right = answer(what, world)
        return {**right, "visits": right["visits"] + 1e-3}

    monkeypatch.setattr(maxent_vs_imitation, "ask_peer", wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        maxent_vs_imitation.compare_gradient(3)
