"""The study of all methods: its cells, its worlds, its ruler, its controls and its table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cvxpy")

from benchmarks import side_by_side as study
from irl_lib import behavior_cloning, planning


def test_cells_are_all_seeds_of_all_levels() -> None:
    cells = study.cells()
    assert len({tuple(sorted(map(str, each.items()))) for each in cells}) == len(cells)
    kinds = [(part, level) for part, levels in study.LEVELS.items() for level in levels]
    for kind, n in ((("park", ""), study.SEEDS), *((k, study.FEW) for k in kinds)):
        seeds = [each["seed"] for each in cells if (each["part"], each["level"]) == kind]
        assert seeds == list(range(n))


def test_every_method_and_control_is_in_the_lists() -> None:
    setting = study.setting_of("park", "", 0)
    assert tuple(study.methods(setting, 0)) == study.METHODS
    assert tuple(study.controls(setting, 0)) == study.CONTROLS


def test_each_part_changes_what_it_says() -> None:
    usual = study.setting_of("park", "", 0)
    assert len(usual.demos) == study.SHOWN
    assert len(study.setting_of("fewer", 3, 0).demos) == 3
    assert study.setting_of("missing", "mud", 0).features.shape[2] == 3
    wrong = study.setting_of("model", 0.5, 0)
    assert abs(wrong.mdp.matrix - wrong.world.matrix).max() > 0.1
    assert abs(wrong.simulator.matrix - wrong.world.matrix).max() == 0.0
    assert study.setting_of("discount", 0.95, 0).mdp.discount == 0.95
    noisy = behavior_cloning.clone(usual.mdp, study.setting_of("noise", 0.5, 0).demos)
    assert noisy.log_likelihood < behavior_cloning.clone(usual.mdp, usual.demos).log_likelihood


def test_the_published_world_has_the_published_numbers() -> None:
    calm, wind, reward = study.published()
    expert = planning.soft_value_iteration(calm, reward, 0.1).policy
    for mdp, wanted in ((calm, 1.237), (wind, 0.052)):
        got = np.sum(planning.occupancy(mdp, expert) * reward) / mdp.mass
        assert got == pytest.approx(wanted, abs=6e-4)


def test_the_changed_worlds_are_changed() -> None:
    mdp = study.park().mdp
    right = mdp.dense_transitions()[:, 0]
    np.testing.assert_allclose(study.windy(mdp, 1.0).dense_transitions()[:, 3], right)
    np.testing.assert_allclose(study.swapped(mdp).dense_transitions()[:, 2], right)


def test_the_ruler_goes_from_the_best_to_the_uniform_policy() -> None:
    place = study.park()
    ruler = study.Ruler(place.reward)
    best = planning.value_iteration(place.mdp, place.reward).policy
    even = np.full((36, 4), 0.25)
    assert ruler.regret(place.mdp, best) == pytest.approx(0.0, abs=1e-9)
    assert ruler.regret(place.mdp, even) == pytest.approx(1.0)
    assert ruler.regret(place.mdp, np.stack([even] * 7)) == pytest.approx(1.0)
    worst = planning.value_iteration(place.mdp, -place.reward).policy
    assert ruler.regret(place.mdp, worst) > 1.0


def test_a_cell_judges_what_the_methods_return(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(setting: Any, seed: int) -> Any:
        even = np.full((36, 4), 0.25)
        return {"nothing": lambda: (even, setting.truth, True)}

    monkeypatch.setattr(study, "methods", one)
    monkeypatch.setattr(study, "controls", lambda setting, seed: {})
    found = study.run_cell("park", "", 0)
    assert found["policy"] == [1.0]
    assert found["replanned"] == found["replanned_wind"] == found["replanned_swap"] == [0.0]
    assert found["starc"] == [0.0]
    assert found["converged"] == [1]


def test_the_table_has_means_of_all_seeds() -> None:
    n = len(study.METHODS) + len(study.CONTROLS)
    names = (*study.MEASURES, "starc", "epic", "took", "converged")
    results = [{name: [float(seed + i) for i in range(n)] for name in names} for seed in (0, 2)]
    pairs = [({"part": "park", "level": "", "seed": k}, r) for k, r in enumerate(results)]
    rows = study.summary(pairs)
    assert [row["method"] for row in rows] == [*study.METHODS, *study.CONTROLS]
    assert rows[3]["policy"] == 4.0
    assert rows[3]["replanned_wind_sd"] == 1.0
    assert rows[3]["converged"] == 8
