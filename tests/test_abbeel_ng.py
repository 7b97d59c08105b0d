"""The gridworld experiment of Abbeel and Ng: its parts at a small size."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import abbeel_ng
from irl_lib import planning


@pytest.fixture(scope="module")
def expert() -> abbeel_ng.Expert:
    return abbeel_ng.make(16, 4, seed=1)


def test_the_world_is_that_of_the_paper(expert: abbeel_ng.Expert) -> None:
    mdp, phi = expert.world.mdp, expert.world.features
    assert phi.shape == (256, 4, 16)
    np.testing.assert_array_equal(phi.sum(axis=2), 1.0)
    np.testing.assert_array_equal(phi[:, 0].sum(axis=0), 16.0)  # macrocells of 4 by 4 cells
    # The cells (0..3, 0..3) are one macrocell, and (4, 0) is in the next.
    region = phi[:, 0].argmax(axis=1).reshape(16, 16)
    assert (region[:4, :4] == 0).all()
    assert region[0, 4] == 1
    assert region[4, 0] == 4
    assert np.count_nonzero(expert.weights) >= 2
    assert expert.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(mdp.initial, 1 / 256)
    inside = 5 * 16 + 5
    assert mdp.dense_transitions()[inside, 0, inside + 1] == pytest.approx(0.7 + 0.3 / 4)
    assert mdp.discount == 0.99


def test_who_has_seen_everything_is_as_good_as_the_expert(expert: abbeel_ng.Expert) -> None:
    seen = abbeel_ng.learners(expert, expert.occupancy, rounds=30)
    assert set(seen) == set(abbeel_ng.LEARNERS)
    assert seen["mimic"] == pytest.approx(1.0)
    assert seen["all_features"] > 0.99
    assert seen["known_features"] > 0.99
    assert max(seen["majority"], seen["frequencies"]) < 0.99
    assert max(seen.values()) <= 1.0 + 1e-9


def test_who_has_seen_nothing_does_anything(expert: abbeel_ng.Expert) -> None:
    nothing = np.zeros_like(expert.occupancy)
    np.testing.assert_array_equal(abbeel_ng.mimic(nothing), 0.25)
    one = nothing.copy()
    one[3, 2] = 5.0
    np.testing.assert_array_equal(abbeel_ng.mimic(one)[3], [0.0, 0.0, 1.0, 0.0])
    assert abbeel_ng.per_region(expert, one)[0, 2] == 5.0
    assert abbeel_ng.per_region(expert, one)[4].sum() == 0.0


def test_samples_are_nested_and_complete(
    expert: abbeel_ng.Expert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abbeel_ng, "BATCH", 3)
    found = dict(abbeel_ng.sampled_occupancies(expert, (1, 4, 400), np.random.default_rng(0)))
    assert list(found) == [1, 4, 400]
    for shown in found.values():
        assert shown.sum() == pytest.approx(expert.world.mdp.mass)
    assert ((found[1] > 0) <= (found[4] > 0)).all()
    few, many = (np.abs(found[n] - expert.occupancy).sum() for n in (1, 400))
    assert many < 0.5 * few


def test_distances_fall_to_the_expert(expert: abbeel_ng.Expert) -> None:
    for method in ("projection", "max-margin"):
        curve = abbeel_ng.distances(expert, method, 12)
        assert curve.shape == (12,)
        assert (np.diff(curve) <= 1e-9).all()
        assert curve[-1] < 0.3 * curve[0]
    plan = planning.value_iteration(expert.world.mdp, expert.world.reward)
    assert expert.worth(plan.policy) == pytest.approx(1.0)


def test_the_table_has_a_row_for_each_question() -> None:
    rows = abbeel_ng.run(size=16, seeds=range(2), numbers=(1, 20), rounds=(1, 3), learning_rounds=2)
    assert [row["after"] for row in rows] == [
        "1 round",
        "3 rounds",
        "1 trajectory",
        "20 trajectories",
    ]
    assert all(set(row) <= set(abbeel_ng.COLUMNS) for row in rows)
    assert all("±" in rows[0][name] for name in ("projection", "max_margin"))
    assert abbeel_ng.summary([1.0, 3.0]) == "2.000 ± 1.000"
    assert abbeel_ng.summary([1.0]) == "1.000 ± 0.000"
