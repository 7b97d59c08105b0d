"""The study of the closed passage: its cells, its table, and a short run."""

from __future__ import annotations

import pytest

from benchmarks import guided_cost
from benchmarks import guided_cost_closed as study

pytest.importorskip("stable_baselines3")


def test_cells_are_on_seeds_that_no_setting_was_tried_on() -> None:
    cells = study.cells()
    assert len(cells) == 25
    assert min(cell["seed"] for cell in cells) == 20


def test_the_table_has_means_and_the_least() -> None:
    finished = [
        (
            {"shown": "expert", "seed": seed},
            {"policy": -36.0, "policy_closed": -60.0 + i, "planned": -40.0, "changed": -50.0 + i},
        )
        for i, seed in enumerate((20, 21, 22))
    ]
    (row,) = study.summary(finished)
    assert set(row) <= set(study.COLUMNS)
    assert (row["seeds"], row["policy"], row["planned"]) == (3, -36.0, -40.0)
    assert (row["policy_closed"], row["policy_closed_least"]) == (-59.0, -60.0)
    assert (row["changed"], row["changed_least"]) == (-49.0, -50.0)


def test_a_short_run_is_repeatable_and_the_mazes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided_cost, "SETTINGS", {("maze", "guided"): guided_cost.Setting(1, 1)})
    monkeypatch.setattr(guided_cost, "EVALUATED", 20)
    monkeypatch.setattr(guided_cost, "EPISODES", 4)
    monkeypatch.setattr(guided_cost, "REWARD_STEPS", 2)
    expert = study.run_cell("expert", 1)
    assert expert == study.run_cell("expert", 1)
    assert expert["policy"] != expert["policy_closed"]
    assert expert["planned"] != expert["changed"]
    assert study.run_cell("nobody", 1)["planned"] != expert["planned"]
