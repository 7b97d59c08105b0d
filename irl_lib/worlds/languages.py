"""Small languages whose distribution is known: each string's probability, after each prompt.

A language has a list of tokens that may stand at each position, and its strings are all ways to
choose one for each, in the order of counting.  So a model's distribution over all of them is a
product over positions, and every distance to the truth is a sum, without sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp

from irl_lib.support.checks import (
    Array,
    as_array,
    check_array,
    check_count,
    check_distribution,
    check_indices,
    check_numbers,
    check_real,
    check_rng,
    check_shape,
    check_type,
    check_whole_seed,
)

Tokens = NDArray[np.int64]
TARGETS = tuple(range(10))
LETTERS, LENGTH, OPENINGS = 5, 7, 4  # of the language with a memory
END = 0
DRAWS = 100  # of which the distinct right answers are counted
STEEPEST = 80.0  # exponent of Zipf's law, with which the rarest answers still have a chance
ROUNDING = 1e-4  # of sums of a hundred thousand chances, from logits of 32 bits


@dataclass(frozen=True, eq=False)
class Language:
    """P prompts of one token each, and N strings of T tokens, each followed by an end token.

    Token 0 is the end.  Arrays are copied, and can't be written to.

    Raises:
        ValueError: naming a bad field.
    """

    vocabulary: tuple[str, ...]
    """How tokens look; the first is the end."""
    prompts: Tokens
    """``(P,)``."""
    choices: tuple[Tokens, ...]
    """T arrays, with the tokens that may stand at each position."""
    chances: Array
    """``(P, N)``: of each string after each prompt; a string of chance 0 is wrong there."""

    def __post_init__(self) -> None:
        names = self.vocabulary
        if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
            raise ValueError(f"vocabulary is {names!r}; expected a tuple of texts")
        if not isinstance(self.choices, tuple) or not self.choices:
            raise ValueError(f"choices is {self.choices!r}; expected a tuple of arrays")
        prompts = _tokens("prompts", self.prompts, len(names))
        choices = tuple(_tokens("choices", each, len(names)) for each in self.choices)
        for each in choices:
            if len(set(each)) < len(each) or END in each:
                raise ValueError(
                    f"choices has {each}; expected different tokens, not {END}, the end"
                )
        shape = len(prompts), prod(map(len, choices))
        chances = check_distribution("chances", self.chances, shape)
        for name, value in (("prompts", prompts), ("choices", choices), ("chances", chances)):
            object.__setattr__(self, name, value)

    @cached_property
    def strings(self) -> Tokens:
        """``(N, T)``: all of them, the last position changing fastest."""
        return np.array(list(product(*self.choices)), dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """``(P, N)``: whether a string is an answer to a prompt at all."""
        return np.asarray(self.chances > 0)

    def entropy(self) -> float:
        """Of answers, in nats: the mean over prompts."""
        return float(_entropies(self.chances).mean())

    def only(self, which: ArrayLike) -> Language:
        """The same language with some of its prompts.

        Args:
            which: their indices.

        Raises:
            ValueError: for an index that is none.
        """
        kept = _tokens("which", which, len(self.prompts))
        return replace(self, prompts=self.prompts[kept], chances=self.chances[kept])

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Which prompts were drawn, all alike, and which string answers each: ``(n,)`` indices.

        Args:
            n: how many.
            rng: draws them.

        Raises:
            ValueError: naming a bad argument.
        """
        check_count("n", n)
        check_rng(rng)
        asked = rng.integers(len(self.prompts), size=n)
        sums = self.chances.cumsum(axis=1)
        points = rng.random(n) * sums[asked, -1]
        found = [
            np.searchsorted(sums[p], u, side="right") for p, u in zip(asked, points, strict=True)
        ]
        return asked.astype(np.int64), np.array(found, dtype=np.int64)

    def texts(self, asked: ArrayLike, strings: ArrayLike) -> Tokens:
        """``(n, T + 2)``: prompt, string and end of each pair of indices, as tokens.

        Raises:
            ValueError: naming indices that are none.
        """
        rows = []
        for name, value, of in (("asked", asked, self.prompts), ("strings", strings, self.strings)):
            rows.append(of[_tokens(name, value, len(of))])
        prompts = rows[0][:, None]
        if len(rows[0]) != len(rows[1]):
            raise ValueError(
                f"strings has {len(rows[1])} entries; expected {len(prompts)}, as asked"
            )
        return np.hstack([prompts, rows[1], np.full_like(prompts, END)])

    def log_chances(
        self, logits_of: Callable[[Tokens], ArrayLike], temperatures: ArrayLike = (1.0,)
    ) -> Array:
        """What a model gives to each string after each prompt, at each of K temperatures.

        Args:
            logits_of: of texts ``(M, 1 + t)``, a prompt and t tokens each, the model's ``(M,
                tokens)`` for the next one.  It is called for t = 0 to T - 1; the texts of a call go
                on from those of the one before, each by all tokens that may come next.
            temperatures: by which logits are divided.

        Returns:
            ``(K, P, N)``: logarithms, in the precision of the logits, or in 32 bits where that is
            less.  Chances need not sum to 1: what is missing goes to what is no string of the
            language.

        Raises:
            ValueError: naming a bad argument; where a logit is not finite, or too large for a
                temperature.
        """
        if not callable(logits_of):
            raise ValueError(f"logits_of is {logits_of!r}; expected a function")
        given = check_numbers("temperatures", temperatures)
        if given.ndim != 1 or not given.size or not (given > 0.0).all():
            raise ValueError(f"temperatures is {temperatures!r}; expected a list of numbers > 0")
        texts = self.prompts[:, None].copy()  # for models that want to write, or say so
        total = np.zeros((len(given), len(self.prompts), 1))
        for tokens in self.choices:
            logits = as_array("logits_of(texts)", logits_of(texts))
            check_array("logits_of(texts)", logits, (len(texts), len(self.vocabulary)))
            logits = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
            with np.errstate(over="ignore", invalid="ignore"):
                added = [log_softmax(logits / each, axis=1)[:, tokens] for each in given.tolist()]
            more = np.stack(added).reshape(*total.shape, len(tokens))
            total = (total[..., None] + more).reshape(*total.shape[:2], -1)
            before = np.repeat(texts, len(tokens), axis=0)
            texts = np.hstack([before, np.tile(tokens, len(texts))[:, None]])
        if not np.isfinite(total).all():
            raise ValueError(
                f"logits_of(texts), divided by temperatures {temperatures!r}, are too large; "
                "expected smaller logits, or higher temperatures"
            )
        return total

    def read(self, tokens: ArrayLike) -> str:
        """Tokens ``(n,)`` as they look, up to the end.

        Raises:
            ValueError: for a token that is none.
        """
        shown = []
        for token in _tokens("tokens", tokens, len(self.vocabulary)).tolist():
            if token == END:
                break
            shown.append(self.vocabulary[token])
        return "".join(shown)


def sums(*, zipf: float = 0.0, seed: int = 0) -> Language:
    """Four digits and three signs, whose sum is the prompt: 0 to 9.

    There are 2,891 to 3,151 right answers to a prompt, of 80,000 strings.

    Args:
        zipf: 0, and all right answers are equally likely; or an exponent z: in an order that is
            drawn for each prompt, the k'th has a chance in proportion to ``k**-z``; at most 80,
            so that it is one.
        seed: of that order.

    Raises:
        ValueError: naming a bad argument.
    """
    check_real("zipf", zipf, 0.0, most=STEEPEST)
    rng = np.random.default_rng(check_whole_seed(seed))
    names = ("", *(str(d) for d in range(10)), "+", "-", *(f"{t}=" for t in TARGETS))
    digits, signs = np.arange(1, 11), np.array([11, 12])
    choices = (digits, signs, digits, signs, digits, signs, digits)
    strings = np.array(list(product(*choices)))
    values = (
        strings[:, 0]
        - 1
        + (np.where(strings[:, 1::2] == 11, 1, -1) * (strings[:, 2::2] - 1)).sum(axis=1)
    )
    chances = np.zeros((len(TARGETS), len(strings)))
    for row, target in zip(chances, TARGETS, strict=True):
        places = np.flatnonzero(values == target)
        weights = (1.0 + rng.permutation(len(places))) ** -zipf
        row[places] = weights / weights.sum()
    return Language(names, np.array([13 + t for t in TARGETS]), choices, chances)


def variable_memory(*, seed: int = 0) -> Language:
    """Strings of seven letters; how far back the next letter looks depends on the letters.

    After some letters the one before them does not matter, after others it does, and a third of
    the letters cannot come next.  Prompts are the letter before the first.

    Args:
        seed: of the tables.

    Raises:
        ValueError: naming a bad argument.
    """
    rng = np.random.default_rng(check_whole_seed(seed))
    short, long = (_tables(rng, shape) for shape in ((), (LETTERS,)))
    remembers = np.arange(LETTERS) % 2 == 0
    table = np.where(
        remembers[None, :, None], long, short[None]
    )  # of the letter, and the one before
    grid = np.indices((LETTERS,) * LENGTH).reshape(LENGTH, -1)
    chances = np.empty((OPENINGS, grid.shape[1]))
    for opening in range(OPENINGS):
        before, last, total = np.full(grid.shape[1], opening), np.full(grid.shape[1], opening), 1.0
        for letter in grid:
            total = total * table[before, last, letter]
            before, last = last, letter
        chances[opening] = total
    names = ("", *"abcdefghij"[:LETTERS], *(f"{x}:" for x in "abcdefghij"[:OPENINGS]))
    choices = (np.arange(1, LETTERS + 1),) * LENGTH
    return Language(names, np.arange(LETTERS + 1, LETTERS + 1 + OPENINGS), choices, chances)


def _tables(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """``(*shape, letters, letters)``: chances of the next one, about a third of them zero."""
    weights = rng.gamma(1.0, size=(*shape, LETTERS, LETTERS))
    order = weights.argsort(axis=-1).argsort(axis=-1)
    weights[order < LETTERS // 3 + 1] = 0.0
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _entropies(p: Array) -> Array:
    """In nats, over the last axis."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1))


def _tokens(name: str, value: ArrayLike, n: int) -> Tokens:
    """At least one index, all of them below n."""
    index = check_indices(name, value)
    if not index.size or index.max() >= n:
        raise ValueError(f"{name} is {value!r}; expected whole numbers below {n}")
    return index


def judge(
    language: Language, log_chances: ArrayLike, seen: ArrayLike | None = None
) -> dict[str, float]:
    r"""How a distribution over strings differs from a language's own; all exact, none sampled.

    Args:
        language: the truth p.
        log_chances: ``(P, N)``: logarithms of the distribution q.
        seen: ``(P, N)`` booleans, the strings that were trained on; default: none.

    Returns:
        Means over prompts, by name.  ``entropy`` is that of q in nats, where all that is no string
        counts as one; ``valid`` the mass of right answers, and ``copied`` that of right answers
        that were seen; ``novel`` the share of right answers in what was not seen, 0 where that has
        no mass; ``forward_kl`` :math:`D(p \| q)`, which is infinite where a right answer has no
        chance; ``reverse_kl`` :math:`D(q \| p)` of right answers alone, with q scaled to sum to 1
        on them; ``total_variation``; and ``distinct`` how many different right answers 100 draws
        have in the mean.

    Raises:
        ValueError: naming a bad argument; where no right answer to a prompt has a chance.
    """
    p, right = check_type("language", language, Language).chances, language.right
    log_q = check_shape("log_chances", log_chances, p.shape)
    with np.errstate(over="ignore"):
        q = np.exp(log_q)
    if not (q.sum(axis=1) < 1.0 + ROUNDING).all():
        raise ValueError(
            f"log_chances have chances that sum to {q.sum(axis=1)}; expected 1 at most"
        )
    log_right = np.where(right, log_q, -np.inf)
    log_valid = logsumexp(log_right, axis=1, keepdims=True)  # also where exp(log_q) is 0
    if not np.isfinite(log_valid).all():
        prompt = int(np.argmin(log_valid))
        raise ValueError(
            f"log_chances of prompt {prompt} are -inf for all right answers; expected a number for "
            "one of them at least"
        )
    known = right & _seen(seen, p.shape)
    rest = np.maximum(1.0 - q.sum(axis=1), 0.0)
    new, other = (q * (right & ~known)).sum(axis=1), (q * ~known).sum(axis=1) + rest
    log_p, share = np.log(np.where(right, p, 1.0)), np.exp(log_right - log_valid)
    found = {
        "entropy": _entropies(q) + _entropies(rest[:, None]),
        "valid": (q * right).sum(axis=1),
        "copied": (q * known).sum(axis=1),
        "novel": np.divide(new, other, out=np.zeros_like(new), where=other > 0.0),
        "forward_kl": (p * np.where(right, log_p - log_q, 0.0)).sum(axis=1),
        "reverse_kl": (share * np.where(share > 0.0, log_right - log_valid - log_p, 0.0)).sum(1),
        "total_variation": 0.5 * (np.abs(p - q).sum(axis=1) + rest),
        "distinct": np.where(right, 1.0 - (1.0 - np.minimum(q, 1.0)) ** DRAWS, 0.0).sum(axis=1),
    }
    return {name: float(each.mean()) for name, each in found.items()}


def _seen(value: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which strings were seen, as booleans of a shape."""
    array = np.zeros(shape, dtype=bool) if value is None else as_array("seen", value)
    if array.dtype != np.bool_ or array.shape != shape:
        raise ValueError(
            f"seen has type {array.dtype} and shape {array.shape}; expected booleans {shape}"
        )
    return array
