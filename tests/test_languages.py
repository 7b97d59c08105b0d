"""Languages whose distribution is known: their chances, their samples, and exact distances."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from irl_lib import worlds
from irl_lib.worlds import languages
from irl_lib.worlds.languages import END, Language, judge


def tiny() -> Language:
    """Two prompts, strings of two tokens, of six."""
    chances = np.array([[0.5, 0.0, 0.25, 0.0, 0.0, 0.25], [0.0, 0.1, 0.0, 0.9, 0.0, 0.0]])
    choices = (np.array([1, 2]), np.array([1, 2, 3]))
    return Language(("", "a", "b", "c", "x:", "y:"), np.array([4, 5]), choices, chances)


def test_right_answers_of_sums_are_those_whose_sum_it_is() -> None:
    language = worlds.sums()
    for prompt, row in zip(language.prompts, language.right, strict=True):
        target = int(language.vocabulary[prompt].rstrip("="))
        texts = ["".join(language.vocabulary[t] for t in s) for s in language.strings[:2_000]]
        assert [eval(text) == target for text in texts] == row[:2_000].tolist()
    assert language.strings.shape == (80_000, 7)
    np.testing.assert_allclose(language.chances.sum(axis=1), 1.0, rtol=1e-12)
    even = np.log(language.right.sum(axis=1)).mean()
    assert language.entropy() == pytest.approx(even, rel=1e-12)


def test_zipf_is_one_over_the_rank_in_another_order_for_each_prompt() -> None:
    language = worlds.sums(zipf=1.0, seed=3)
    orders = []
    for row in language.chances:
        ranked = np.sort(row[row > 0])[::-1]
        np.testing.assert_allclose(ranked[0] / ranked, 1.0 + np.arange(len(ranked)), rtol=1e-9)
        orders.append(int(np.argmax(row)))
    assert len(set(orders)) == len(orders)
    assert (language.right == worlds.sums().right).all()
    assert (worlds.sums(zipf=1.0, seed=4).chances != language.chances).any()


def test_letters_look_back_one_or_two() -> None:
    language = worlds.variable_memory(seed=1)
    np.testing.assert_allclose(language.chances.sum(axis=1), 1.0, rtol=1e-12)
    n = languages.LETTERS
    grid = language.chances.reshape(-1, *(n,) * languages.LENGTH)
    pairs = grid.sum(axis=tuple(range(4, languages.LENGTH + 1)))  # of the first three letters
    after = pairs / np.where(pairs.sum(-1, keepdims=True) > 0, pairs.sum(-1, keepdims=True), 1.0)
    for last in range(n):  # the third letter, given the first two
        rows = [
            after[p, x, last] for p, x in product(range(4), range(n)) if pairs[p, x, last].sum()
        ]
        spread = np.ptp(rows, axis=0).max()
        assert (spread < 1e-9) == (last % 2 == 1)
        assert (np.array(rows) == 0).any()
    longer = grid.sum(axis=tuple(range(5, languages.LENGTH + 1)))  # of the first four
    for x, last in product(range(n), range(n)):  # the fourth, given the two before it: no more
        rows = [row / row.sum() for row in longer[:, :, x, last].reshape(-1, n) if row.sum()]
        assert not rows or np.ptp(rows, axis=0).max() < 1e-9


def test_samples_have_the_chances_of_the_language() -> None:
    language = tiny()
    asked, answers = language.sample(40_000, np.random.default_rng(0))
    counts = np.zeros(language.chances.shape)
    np.add.at(counts, (asked, answers), 1.0)
    wanted = language.chances * 20_000
    assert (counts[wanted == 0] == 0).all()
    assert np.abs(counts - wanted).max() < 5 * np.sqrt(20_000)
    texts = language.texts([0, 1], [5, 3])
    assert texts.tolist() == [[4, 2, 3, END], [5, 2, 1, END]]
    assert [language.read(row) for row in texts] == ["x:bc", "y:ba"]


def by_bigrams(table: np.ndarray) -> object:
    """A model whose logits depend on the last token alone."""
    return lambda texts: table[texts[:, -1]]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_model_s_chances_are_the_products_along_each_string(temperature: float) -> None:
    language, rng = tiny(), np.random.default_rng(1)
    table = rng.normal(size=(6, 6))
    found = language.log_chances(by_bigrams(table), [2.0, temperature])  # type: ignore[arg-type]
    log_pi = table / temperature
    log_pi = log_pi - np.log(np.exp(log_pi).sum(axis=1, keepdims=True))
    for p, prompt in enumerate(language.prompts):
        for i, (a, b) in enumerate(language.strings):
            assert found[1, p, i] == pytest.approx(log_pi[prompt, a] + log_pi[a, b], rel=1e-12)


def test_each_text_is_asked_for_once_and_goes_on_from_the_call_before() -> None:
    calls: list[np.ndarray] = []

    def model(texts: np.ndarray) -> np.ndarray:
        calls.append(texts)
        return np.zeros((len(texts), 6))

    tiny().log_chances(model)
    first, second = calls
    assert first.tolist() == [[4], [5]]
    assert second.tolist() == [[4, 1], [4, 2], [5, 1], [5, 2]]


def test_the_truth_is_at_no_distance_from_itself() -> None:
    language = tiny()
    with np.errstate(divide="ignore"):
        found = judge(language, np.log(language.chances))
    assert found["entropy"] == pytest.approx(language.entropy())
    assert (found["valid"], found["novel"], found["copied"]) == pytest.approx((1.0, 1.0, 0.0))
    for name in ("forward_kl", "reverse_kl", "total_variation"):
        assert found[name] == pytest.approx(0.0, abs=1e-12)


def test_distances_are_those_of_a_loop() -> None:
    language, rng = tiny(), np.random.default_rng(2)
    q = rng.dirichlet(np.ones(7), size=2)  # the last is no string
    seen = language.right & (rng.random((2, 6)) < 0.5)
    assert 0 < seen.sum() < language.right.sum()
    found = judge(language, np.log(q[:, :6]), seen)
    wanted: dict[str, list[float]] = {name: [] for name in found}
    for p, own, known in zip(language.chances, q, seen, strict=True):
        right = p > 0
        valid, copied = own[:6][right].sum(), own[:6][known].sum()
        inside = own[:6][right] / valid
        wanted["entropy"].append(-(own * np.log(own)).sum())
        wanted["valid"].append(valid)
        wanted["copied"].append(copied)
        wanted["novel"].append((valid - copied) / (1.0 - copied))
        wanted["forward_kl"].append((p[right] * np.log(p[right] / own[:6][right])).sum())
        wanted["reverse_kl"].append((inside * np.log(inside / p[right])).sum())
        wanted["total_variation"].append(0.5 * np.abs(np.append(p, 0.0) - own).sum())
        wanted["distinct"].append((1.0 - (1.0 - own[:6][right]) ** 100).sum())
    for name, rows in wanted.items():
        assert found[name] == pytest.approx(np.mean(rows), rel=1e-10), name


def test_distances_of_answers_without_a_chance_are_no_nans() -> None:
    """One of chance 0; all too rare for exp; all that is said was seen; none has a chance."""
    language = tiny()
    with np.errstate(all="raise", under="ignore"):
        one_less = np.log(np.full((2, 6), 1 / 7))
        one_less[0, 0] = -np.inf
        found = judge(language, one_less)
        assert found["forward_kl"] == np.inf
        wanted = [0.5 * np.log(0.5 / 0.25) * 2, 0.5 * (np.log(0.5 / 0.1) + np.log(0.5 / 0.9))]
        assert found["reverse_kl"] == pytest.approx(np.mean(wanted), rel=1e-12)
        rare = np.where(language.right, -1_000.0, np.log(1 / 5))
        found = judge(language, rare)
        wanted = [np.log(1 / 3) - np.log([0.5, 0.25, 0.25]).mean(), wanted[1]]
        assert found["reverse_kl"] == pytest.approx(np.mean(wanted), rel=1e-12)
        assert found["valid"] == 0.0
        right = np.where(language.right, np.log(1 / language.right.sum(1, keepdims=True)), -900.0)
        assert judge(language, right, language.right)["novel"] == 0.0
        with pytest.raises(ValueError, match="log_chances of prompt 1 are -inf for all right"):
            judge(language, np.where(language.right & [[True], [False]], -9.0, -np.inf))


def test_a_language_keeps_copies_of_what_it_is_given() -> None:
    given = tiny().chances.copy()
    given[0, 0] += 4e-7  # which counts as 1
    made = replace(tiny(), prompts=[4, 5], choices=([1, 2], [1, 2, 3]), chances=given)  # type: ignore
    given[:] = 9.0
    assert made.chances.sum(axis=1) == pytest.approx(1.0, rel=1e-15)
    assert made.log_chances(lambda texts: np.zeros((len(texts), 6))).shape == (1, 2, 6)
    for odd in ([1, 1], [0, 1]):
        with pytest.raises(ValueError, match=r"choices has .*; expected different tokens"):
            replace(made, choices=(np.array(odd), np.array([1, 2, 3])))


def test_half_precision_is_read_in_32_bits() -> None:
    table = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float16)
    one, other = (tiny().log_chances(by_bigrams(table.astype(k))) for k in ("f2", "f4"))  # type: ignore
    np.testing.assert_array_equal(one, other)


def test_some_prompts_are_the_same_language() -> None:
    language = tiny()
    one = language.only([1])
    assert one.prompts.tolist() == [5]
    assert one.chances.tolist() == language.chances[[1]].tolist()
    assert one.entropy() == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9))


def test_bad_input_is_refused() -> None:
    language = tiny()
    with pytest.raises(ValueError, match="zipf is -1"):
        worlds.sums(zipf=-1.0)
    with pytest.raises(ValueError, match="which is"):
        language.only([2])
    with pytest.raises(ValueError, match="logits_of"):
        language.log_chances(lambda texts: np.full((len(texts), 6), np.nan))
    with pytest.raises(ValueError, match="logits_of"):
        language.log_chances(lambda texts: np.zeros((len(texts), 5)))
    with pytest.raises(ValueError, match="temperatures"):
        language.log_chances(lambda texts: np.zeros((len(texts), 6)), [0.0])
    with pytest.raises(ValueError, match="log_chances"):
        judge(language, np.zeros((2, 6)))
    with pytest.raises(ValueError, match="log_chances"):
        judge(language, np.full((2, 6), np.nan))
    with pytest.raises(ValueError, match=r"seen has type bool and shape \(6, 2\)"):
        judge(language, np.full((2, 6), -9.0), np.zeros((6, 2), dtype=bool))
    with pytest.raises(ValueError, match=r"divided by temperatures \[1e-320\], are too large"):
        language.log_chances(lambda texts: np.eye(6)[texts[:, -1]], [1e-320])
    with pytest.raises(ValueError, match="zipf is 100"):
        worlds.sums(zipf=100.0)
    with pytest.raises(ValueError, match="asked"):
        language.texts([2], [0])
    with pytest.raises(ValueError, match="chances sums to"):
        replace(language, chances=language.chances / 2)


def test_texts_for_a_model_are_writable_and_not_the_languages_own() -> None:
    language = worlds.variable_memory()
    given = []

    def logits_of(texts: np.ndarray) -> np.ndarray:
        given.append(texts)
        return np.zeros((len(texts), len(language.vocabulary)))

    language.log_chances(logits_of)
    assert len(given) == len(language.choices)
    assert all(texts.flags.writeable for texts in given)
    assert not np.shares_memory(given[0], language.prompts)
