"""What a step with the loss on tokens costs, beside one of maximum likelihood.

Two transformers with the same weights take steps on the same batch in turns, the one with the
library's own loss, the other with ours: forwards, loss, backwards, AdamW.  What is reported of the
pairs is the median of their ratios, with quartiles: whatever else runs on the machine slows both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.running.harness import Row
from irl_lib import language

END = 0
# Tokens in the vocabulary, width, layers, rows of a batch, tokens of a row: one that is all
# transformer, and one that is all vocabulary, where a loss costs most.
SIZES = ((64, 192, 4, 16, 64), (512, 256, 6, 8, 128), (32_000, 192, 4, 4, 128))
PAIRS = 40
VERSIONS = {name: version(name) for name in ("torch", "transformers")}
COLUMNS = {
    "weights": "weights",
    "vocabulary": "vocabulary",
    "tokens": "tokens in a batch",
    "likelihood_ms": "maximum likelihood, ms",
    "ours_ms": "with the price, ms",
    "ratio": "ratio",
    "quarter": "its first quartile",
    "three_quarters": "its third",
}


def run(sizes: tuple[tuple[int, ...], ...] = SIZES, pairs: int = PAIRS) -> list[Row]:
    """A row for each size, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [compare(*size, pairs=pairs) for size in sizes]
    finally:
        torch.set_num_threads(threads)


def compare(vocabulary: int, width: int, layers: int, rows: int, length: int, *, pairs: int) -> Row:
    """One size."""
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(1, vocabulary, (rows, length), generator=drawn)
    ids[:, -1] = END
    labels = ids.clone()
    labels[:, : length // 4] = language.IGNORED  # the prompt
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=length,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = LlamaForCausalLM(config), LlamaForCausalLM(config)
    second.load_state_dict(first.state_dict())

    def likelihood() -> torch.Tensor:
        return first(input_ids=ids, labels=labels).loss

    def priced() -> torch.Tensor:
        logits = second(input_ids=ids).logits
        return language.iq_language_loss(logits, labels, weight=0.1, end=END).loss

    times = in_turns(stepper(first, likelihood), stepper(second, priced), pairs)
    ratios = np.quantile(times[:, 1] / times[:, 0], [0.5, 0.25, 0.75])
    return {
        "weights": sum(each.numel() for each in first.parameters()),
        "vocabulary": vocabulary,
        "tokens": rows * length,
        "likelihood_ms": 1e3 * float(np.median(times[:, 0])),
        "ours_ms": 1e3 * float(np.median(times[:, 1])),
        **dict(zip(("ratio", "quarter", "three_quarters"), map(float, ratios), strict=True)),
    }


def stepper(model: Any, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """Takes a step of a model's own optimiser."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def in_turns(one: Callable[[], None], other: Callable[[], None], pairs: int) -> np.ndarray:
    """``(pairs, 2)``, in seconds; each begins every second pair."""
    times = np.zeros((pairs, 2))
    for step in (one, other) * 3:  # what the first steps allocate
        step()
    for i in range(pairs):
        for j in (0, 1) if i % 2 == 0 else (1, 0):
            start = time.perf_counter()
            (one, other)[j]()
            times[i, j] = time.perf_counter() - start
    return times
