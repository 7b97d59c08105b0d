"""The study of losses on known languages: its cells, losses, model, choices and table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from benchmarks import language as study
from irl_lib import worlds
from irl_lib.worlds import languages


def random_batch(n: int = 12) -> tuple[Any, Any]:
    language = worlds.sums()
    asked, answers = language.sample(n, np.random.default_rng(0))
    texts = torch.from_numpy(language.texts(asked, answers))
    source = torch.Generator().manual_seed(0)
    shape = (*texts.shape, len(language.vocabulary))
    return torch.randn(shape, generator=source, dtype=torch.float64), texts


def slope(loss: Any, logits: Any) -> Any:
    x = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def test_cells_try_all_strengths_and_report_those_that_were_chosen() -> None:
    cells = study.cells()
    assert len({tuple(each.values()) for each in cells}) == len(cells)
    for name in study.CHOSEN:
        mine = [each for each in cells if each["language"] == name]
        for seed in study.TUNING:
            pairs = {(e["loss"], e["strength"]) for e in mine if e["seed"] == seed}
            wanted = {(k, w) for k, ws in study.tried(name).items() for w in ws}
            assert pairs == wanted
        for seed in study.FRESH:
            pairs = {(e["loss"], e["strength"]) for e in mine if e["seed"] == seed}
            assert pairs == {(k, w) for k, ws in study.CHOSEN.get(name, {}).items() for w in ws}
    assert not set(study.TUNING) & set(study.FRESH)


@pytest.mark.parametrize("loss", list(study.LOSSES))
def test_without_a_strength_each_loss_is_maximum_likelihood(loss: str) -> None:
    logits, texts = random_batch()
    neutral = 1.0 if loss == "gem" else 0.0
    wanted = slope(lambda x: study.likelihood(x, texts, 0.0), logits)
    found = slope(lambda x: study.LOSSES[loss](x, texts, neutral), logits)
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=1e-12)
    other = slope(lambda x: study.LOSSES[loss](x, texts, 0.5), logits)
    assert (float((other - wanted).abs().max()) > 1e-6) == (
        loss not in ("maximum likelihood", "weight decay")
    )


def test_gem_is_maximum_likelihood_at_a_temperature() -> None:
    logits, texts = random_batch()
    found = slope(lambda x: study.gem(x, texts, 0.7), logits)
    wanted = slope(lambda x: 0.7 * study.likelihood(x / 0.7, texts, 0.0), logits)
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=1e-12)


def test_the_variance_is_that_of_each_prompt() -> None:
    logits, texts = random_batch(40)
    _, shown = study.of_shown(logits, texts)
    total, own = shown.sum(dim=1).numpy(), texts[:, 0].numpy()
    spread = np.mean([(x - total[own == p].mean()) ** 2 for x, p in zip(total, own, strict=True)])
    found = study.variance(logits, texts, 2.0) - study.likelihood(logits, texts, 0.0)
    assert float(found) == pytest.approx(2.0 * spread / 8, rel=1e-12)


def test_reading_on_is_reading_from_the_start() -> None:
    language = worlds.sums().only([0, 5])
    model = study.Recurrent(len(language.vocabulary), 0)

    def from_the_start(texts: Any) -> Any:
        with torch.no_grad():
            return model(torch.from_numpy(texts))[:, -1].numpy()

    short = languages.Language(
        language.vocabulary,
        language.prompts,
        language.choices[:3],
        np.full((2, 200), 1 / 200),
    )
    ours = short.log_chances(study.Reader(model), [1.0, 0.5])
    np.testing.assert_allclose(ours, short.log_chances(from_the_start, [1.0, 0.5]), atol=1e-5)


def test_a_training_is_judged_at_each_mark_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MARKS", (2, 4))
    monkeypatch.setattr(study, "TEMPERATURES", (0.5, 1.0))
    monkeypatch.setitem(study.LANGUAGES, "equal", lambda: worlds.sums().only([0, 1]))
    first = study.run_cell("equal", "iq", 0.1, 0)["rows"]
    assert [row[:2] for row in first] == [[2, 0.5], [2, 1.0], [4, 0.5], [4, 1.0]]
    assert all(len(row) == 2 + len(study.KEPT) for row in first)
    assert study.run_cell("equal", "iq", 0.1, 0)["rows"] == first
    assert study.run_cell("equal", "iq", 0.1, 1)["rows"] != first


def rows_of(mark: float, entropies: list[float], novel: list[float], kl: list[float]) -> Any:
    empty = dict.fromkeys(study.KEPT, 0.0)
    made = []
    for k, (h, x, d) in enumerate(zip(entropies, novel, kl, strict=True)):
        values = empty | {"entropy": h, "novel": x, "valid": x, "forward_kl": d}
        made.append([mark, 1.0 + k, *values.values()])
    return made


def test_at_an_entropy_it_is_between_two_temperatures() -> None:
    rows = rows_of(400, [9.0, 7.0], [0.2, 0.6], [1.0, 2.0])
    assert study.at_entropy(rows, 8.5, "novel") == pytest.approx(0.3)
    assert study.at_entropy(rows, 9.5, "novel") is None


def test_what_is_best_is_chosen_on_the_seeds_for_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "MARKS", (400, 800))

    def cell(strength: float, seed: int, novel: float, kl: float) -> Any:
        low = rows_of(400, [7.0, 10.0], [novel, novel], [kl, kl + 1])
        high = rows_of(800, [1.0, 2.0], [1.0, 1.0], [9.0, 9.0])  # never at the entropy
        name = {"language": "equal", "loss": "iq", "strength": strength, "seed": seed}
        return name, {"rows": low + high}

    tuned = [cell(0.1, 100, 0.3, 1.0), cell(1.0, 100, 0.5, 2.0)]
    best, near = study.chosen(tuned, 8.0)
    assert best == (1.0, 400)
    assert near == (0.1, 400, 1.0)
    fresh = [cell(w, seed, 0.4 + 0.01 * seed, 3.0) for w in (0.1, 1.0) for seed in study.FRESH]
    found = study.reported("equal", tuned + fresh)
    assert found["novel"] == {seed: pytest.approx(0.4 + 0.01 * seed) for seed in study.FRESH}
    rival = {"novel": dict.fromkeys(study.FRESH, 0.415), "kl": dict.fromkeys(study.FRESH, 2.0)}
    made = study.compared(found, rival)
    assert (made["seeds"], made["ahead"], made["kl_nearer"]) == (5, 3, 0)
    assert made["novel"] == pytest.approx(0.42)
    assert set(made) <= set(study.COLUMNS)


def test_the_strengths_that_were_chosen_are_the_best_of_the_stored_ones() -> None:
    from irl_lib import results

    stored = [(e["cell"], e["result"]) for e in results.load("language").cells]
    for name, losses in study.CHOSEN.items():
        entropy = study.LANGUAGES[name]().entropy()
        for loss, strengths in losses.items():
            pairs = [
                each
                for each in stored
                if (each[0]["language"], each[0]["loss"]) == (name, loss)
                and each[0]["seed"] in study.TUNING
            ]
            best, near = study.chosen(pairs, entropy)
            assert set(strengths) == {near[0]} | ({best[0]} if best else set()), (name, loss)
