"""The study of what the weights leave: its cells, its table, and a short run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import guided_cost
from benchmarks import guided_cost_weights as study

pytest.importorskip("stable_baselines3")


def result(level: float) -> dict[str, Any]:
    """A run whose numbers are easily told."""
    return {
        "final": level,
        "planned": level - 1.0,
        "steps_per_round": 600,
        "batch": 100,
        "returns": [level] * 30,
        "effective": [90.0] * 10 + [30.0] * 20,
        "largest": [0.9] * 10 + [0.1] * 20,
    }


def test_cells_are_all_variants_and_seeds() -> None:
    cells = study.cells()
    assert len(cells) == sum(len(v) * study.SEEDS[name] for name, v in study.VARIANTS.items())
    assert len({tuple(sorted(cell.items())) for cell in cells}) == len(cells)


def test_the_table_has_all_seeds_and_the_last_steps() -> None:
    finished = [
        ({"environment": "maze", "variant": "recent", "seed": i}, result(level))
        for i, level in enumerate((-40.0, -38.0))
    ]
    (row,) = study.summary(finished)
    assert set(row) <= set(study.COLUMNS)
    assert (row["seeds"], row["final"], row["final_least"]) == (2, -39.0, -40.0)
    assert (row["planned"], row["planned_least"]) == (-40.0, -41.0)
    assert (row["effective"], row["batch"]) == (30.0, 100)
    assert row["largest"] == pytest.approx(0.1)


def test_a_short_run_is_repeatable_and_keeps_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided_cost, "SETTINGS", {("maze", "guided"): guided_cost.Setting(3, 1)})
    monkeypatch.setattr(guided_cost, "EVALUATED", 2)
    monkeypatch.setattr(guided_cost, "EPISODES", 4)
    monkeypatch.setattr(guided_cost, "planned", lambda problem, name, net: net.effort.item())
    monkeypatch.setattr(study, "RECENT", {"maze": 2})
    recent = study.run_cell("maze", "recent", 1)
    assert recent == study.run_cell("maze", "recent", 1)
    assert recent["batch"] == 2 * guided_cost.EPISODES + 20  # two policies, and the demonstrations
    nobody = study.run_cell("maze", "nobody", 1)
    assert nobody["batch"] == 3 * guided_cost.EPISODES + 20
    assert np.all(np.array(nobody["effective"]) <= nobody["batch"])
    assert nobody["effective"][0] != recent["effective"][0]  # from other demonstrations
    fresh = study.run_cell("maze", "fresh", 1)
    assert fresh["batch"] == guided_cost.EPISODES + 20
    assert fresh["effective"][0] == recent["effective"][0]  # so far there are no older ones
