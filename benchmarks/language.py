"""Is one number better than a temperature?  Losses of language models, on languages that are known.

What is asked was fixed before anything was run: *at the same entropy, does any single strength and
temperature give more right answers among those that were not trained on than tuned maximum
likelihood does at its own temperature, and is it nearer to the truth?*

Two languages with many right answers to a prompt: four digits and three signs whose sum is given,
``equal``, with all right answers equally likely, and ``zipf``, with the k'th in proportion to 1/k;
a thousand examples of each.  A third, ``memory``, whose letters depend on one or two before them,
is prepared and has not been run.

Eight losses, each with several strengths: maximum likelihood; the same with weight decay, with
smoothed labels, with a bonus for entropy; the focal loss; GEM, which here is maximum likelihood at
another temperature, exactly; the price of the implied reward (``iq``); and a price of the variance
of log-probabilities of a prompt's answers, which has no value function (``variance``).  A recurrent
network of 40,000 weights, AdamW at a constant rate, batches of 100; it is judged after each number
of steps in ``MARKS``, at each of several temperatures, exactly: nothing is sampled.

What is compared is, first, the share of right answers among those that were not trained on, at the
temperature at which the model's entropy is the language's own; and second, the divergence from the
truth at the best temperature.  For each of the two, strength and steps of each loss are chosen on
the seeds ``TUNING``, where all strengths are run; what is reported are the seeds ``FRESH``, where
only those are that were chosen (``CHOSEN``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from irl_lib.worlds import languages
from irl_lib.worlds.languages import Language, Tokens

LANGUAGES: dict[str, Callable[[], Language]] = {
    "equal": languages.sums,
    "zipf": lambda: languages.sums(zipf=1.0),
    "memory": languages.variable_memory,
}
STRENGTHS: dict[str, tuple[float, ...]] = {
    "maximum likelihood": (0.0,),
    "weight decay": (0.1, 0.3, 1.0, 2.0, 4.0),
    "label smoothing": (0.03, 0.1, 0.3),
    "entropy bonus": (0.05, 0.15, 0.4),
    "focal": (1.0, 2.0),
    "gem": (0.5, 0.7, 0.9),
    "iq": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "variance": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
"""Of ``equal``."""
FEW: dict[str, tuple[float, ...]] = {
    "maximum likelihood": (0.0,),
    "weight decay": (0.3, 1.0),
    "iq": (0.1, 0.3, 1.0, 3.0),
    "variance": (0.3, 1.0, 3.0),
}
"""Of the other languages."""
CHOSEN: dict[str, dict[str, tuple[float, ...]]] = {
    "equal": {
        "maximum likelihood": (0.0,),
        "weight decay": (1.0,),
        "label smoothing": (0.03,),
        "entropy bonus": (0.05,),
        "focal": (1.0,),
        "gem": (0.5, 0.9),
        "iq": (3.0,),
        "variance": (3.0,),
    },
    "zipf": {
        "maximum likelihood": (0.0,),
        "weight decay": (1.0,),
        "iq": (0.3, 3.0),
        "variance": (0.3, 3.0),
    },
}
"""Of each language and loss, the strengths that were best on ``TUNING``, for either question."""
TUNING, FRESH = (100,), (0, 1, 2, 3, 4)
EXAMPLES, BATCH, RATE, WIDTH, EMBEDDED = 1_000, 100, 3e-3, 96, 32
MARKS = (400, 800, 1_600, 3_200)
TEMPERATURES = (0.3, 0.45, 0.6, 0.8, 1.0, 1.25)
KEPT = (
    "entropy",
    "valid",
    "novel",
    "copied",
    "forward_kl",
    "reverse_kl",
    "total_variation",
    "distinct",
)
VERSIONS = {"torch": version("torch")}
Record = dict[str, Any]


def cells() -> list[Record]:
    """One for each training: with all strengths, and with those that were chosen."""
    return [
        {"language": name, "loss": loss, "strength": strength, "seed": seed}
        for name in CHOSEN
        for seeds, losses in ((TUNING, tried(name)), (FRESH, CHOSEN.get(name, {})))
        for seed in seeds
        for loss, strengths in losses.items()
        for strength in strengths
    ]


def tried(language: str) -> dict[str, tuple[float, ...]]:
    """The strengths of each loss that are run on ``TUNING``."""
    return STRENGTHS if language == "equal" else FEW


def run_cell(language: str, loss: str, strength: float, seed: int) -> Record:
    """How one training went: a row for each mark and temperature."""
    from irl_lib.networks import one_thread

    begun = time.perf_counter()
    with one_thread():
        rows = trained(LANGUAGES[language](), loss, strength, seed)
    return {"rows": rows, "took": round(time.perf_counter() - begun, 1)}


def trained(language: Language, loss: str, strength: float, seed: int) -> list[list[float]]:
    """Mark, temperature, and what is KEPT of it, in each row."""
    rng = np.random.default_rng([seed, 9])
    asked, answers = language.sample(EXAMPLES, rng)
    seen = np.zeros(language.chances.shape, dtype=bool)
    seen[asked, answers] = True
    texts = torch.from_numpy(language.texts(asked, answers))
    model = Recurrent(len(language.vocabulary), seed)
    decay = strength if loss == "weight decay" else 0.0
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=decay)
    rows = []
    for step in range(1, MARKS[-1] + 1):
        batch = texts[rng.integers(EXAMPLES, size=BATCH)]
        value = LOSSES[loss](model(batch), batch, strength)
        optimiser.zero_grad()
        torch.autograd.backward(value)
        optimiser.step()
        if step in MARKS:
            rows += [[step, *row] for row in judged(language, model, seen)]
    return rows


def judged(language: Language, model: Recurrent, seen: Any) -> list[list[float]]:
    """A row for each temperature."""
    found = language.log_chances(Reader(model), TEMPERATURES)
    rows = []
    for temperature, table in zip(TEMPERATURES, found, strict=True):
        marks = languages.judge(language, table, seen)
        rows.append([temperature, *(round(marks[name], 5) for name in KEPT)])
    return rows


# --- the model ----------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """Embedded tokens, one layer of gated recurrent units, and logits.

    Args:
        n_tokens: in the vocabulary.
        seed: of the weights.
    """

    def __init__(self, n_tokens: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(n_tokens, EMBEDDED)
            self.units = nn.GRU(EMBEDDED, WIDTH, batch_first=True)
            self.head = nn.Linear(WIDTH, n_tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(B, T, tokens)``: after each of the tokens ``(B, T)``, what comes next."""
        logits: Tensor = self.head(self.units(self.embedding(tokens))[0])
        return logits


class Reader:
    """Logits for texts that go on from those of the call before, each token read once."""

    def __init__(self, model: Recurrent) -> None:
        self.model, self.state = model, torch.zeros(1, 1, WIDTH)

    def __call__(self, texts: Tokens) -> Any:
        """``(M, tokens)`` for the next token of texts ``(M, t)``."""
        if texts.shape[1] == 1:
            self.state = torch.zeros(1, 1, WIDTH)
        times = len(texts) // self.state.shape[1]
        before = self.state.repeat_interleave(times, dim=1)
        with torch.no_grad():
            newest = self.model.embedding(torch.from_numpy(texts[:, -1:]))
            seen, self.state = self.model.units(newest, before)
            return self.model.head(seen[:, 0]).numpy()


# --- the losses, each of logits (B, T, tokens) after the tokens (B, T) --------------------------


def of_shown(logits: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """``(B, T - 1, tokens)`` and ``(B, T - 1)``: log-probabilities, of all and of the next."""
    all_log = torch.log_softmax(logits[:, :-1], dim=-1)
    return all_log, all_log.gather(-1, texts[:, 1:, None])[..., 0]


def likelihood(logits: Tensor, texts: Tensor, _: float) -> Tensor:
    """Maximum likelihood."""
    return -of_shown(logits, texts)[1].mean()


def smoothed(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """A share of each label goes to all tokens alike (Szegedy et al. 2016)."""
    all_log, shown = of_shown(logits, texts)
    return -(1.0 - strength) * shown.mean() - strength * all_log.mean()


def with_entropy(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """A bonus for the entropy of the next token (Pereyra et al. 2017)."""
    all_log, shown = of_shown(logits, texts)
    return -shown.mean() + strength * (all_log.exp() * all_log).sum(-1).mean()


def focal(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """What is likely counts less (Lin et al. 2017)."""
    _, shown = of_shown(logits, texts)
    return -((1.0 - shown.exp()) ** strength * shown).mean()


def gem(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """With a linear function, as Li et al. (2025) write it: a contrast with a sharpened copy."""
    sharp = torch.softmax(logits[:, :-1].detach() / strength, dim=-1)
    shown = logits[:, :-1].gather(-1, texts[:, 1:, None])[..., 0]
    return ((sharp * logits[:, :-1]).sum(-1) - shown).mean()


def implied(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """The chapter's loss."""
    from irl_lib.language import iq_language_loss

    labels = texts.clone()
    labels[:, 0] = -100  # the prompt
    return iq_language_loss(logits, labels, weight=strength, end=languages.END).loss


def variance(logits: Tensor, texts: Tensor, strength: float) -> Tensor:
    """The variance of log-probabilities of answers to the same prompt, for each token; no V."""
    _, shown = of_shown(logits, texts)
    total = shown.sum(dim=1)
    same = (texts[:, 0, None] == texts[None, :, 0]).to(total.dtype)
    centred = total - same @ total / same.sum(dim=1)
    return -shown.mean() + strength * centred.square().mean() / shown.shape[1]


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "maximum likelihood": likelihood,
    "weight decay": likelihood,
    "label smoothing": smoothed,
    "entropy bonus": with_entropy,
    "focal": focal,
    "gem": gem,
    "iq": implied,
    "variance": variance,
}


# --- the table ----------------------------------------------------------------------------------

COLUMNS = {
    "language": "language",
    "loss": "loss",
    "strength": "strength",
    "mark": "steps of training",
    "seeds": "seeds",
    "valid": "right answers, at the entropy of the truth",
    "novel": "of what was not trained on",
    "novel_least": "the least of the seeds",
    "reached": "seeds whose temperatures reach that entropy",
    "ahead": "ahead of maximum likelihood in",
    "kl_strength": "strength that is nearest to the truth",
    "kl_mark": "steps of training, then",
    "temperature": "temperature, then",
    "kl": "divergence from the truth, in nats",
    "kl_most": "the most of the seeds",
    "kl_nearer": "nearer than maximum likelihood in",
}
COLUMN = dict(zip(KEPT, range(2, 2 + len(KEPT)), strict=True))  # after mark and temperature


def at_entropy(rows: list[list[float]], entropy: float, name: str) -> float | None:
    """What the temperatures of one model give between them at an entropy, if they reach it."""
    ordered = np.array(sorted(rows, key=lambda row: row[COLUMN["entropy"]]))
    seen = ordered[:, COLUMN["entropy"]]
    if not seen[0] <= entropy <= seen[-1]:
        return None
    return float(np.interp(entropy, seen, ordered[:, COLUMN[name]]))


def of_mark(result: Record, mark: float) -> list[list[float]]:
    """The rows of one state of training."""
    return [row for row in result["rows"] if row[0] == mark]


def chosen(finished: list[tuple[Record, Record]], entropy: float) -> tuple[Any, Any]:
    """On the seeds ``TUNING`` of one language and loss, what is best for either question.

    Returns:
        strength and mark with the most novel right answers at the entropy, or None where none
        reaches it; strength, mark and temperature with the least divergence.
    """
    scores: dict[Any, list[float | None]] = {}
    gaps: dict[Any, list[float]] = {}
    for cell, result in finished:
        for mark in MARKS:
            rows, key = of_mark(result, mark), (cell["strength"], mark)
            scores.setdefault(key, []).append(at_entropy(rows, entropy, "novel"))
            for row in rows:
                gaps.setdefault((*key, row[1]), []).append(row[COLUMN["forward_kl"]])
    whole = {key: np.mean(x) for key, x in scores.items() if None not in x}  # type: ignore[arg-type]
    best = max(whole, key=lambda key: whole[key]) if whole else None
    return best, min(gaps, key=lambda key: np.mean(gaps[key]))


def summary(finished: list[tuple[Record, Record]]) -> list[Record]:
    """A row for each language and loss, of the seeds ``FRESH``."""
    rows: list[Record] = []
    for language in LANGUAGES:
        mine = [each for each in finished if each[0]["language"] == language]
        first: Record = {}
        for loss in STRENGTHS:
            pairs = [each for each in mine if each[0]["loss"] == loss]
            if {each[0]["seed"] for each in pairs} >= {*TUNING, *FRESH}:
                found = reported(language, pairs)
                first = first or found
                rows.append({"language": language, "loss": loss} | compared(found, first))
    return rows


def reported(language: str, pairs: list[tuple[Record, Record]]) -> Record:
    """Of one loss: what was chosen, and what it came to on each fresh seed."""
    entropy = LANGUAGES[language]().entropy()
    best, near = chosen([each for each in pairs if each[0]["seed"] in TUNING], entropy)
    found: Record = {"best": best, "near": near, "novel": {}, "valid": {}, "kl": {}}
    for cell, result in pairs:
        seed = cell["seed"]
        if seed not in FRESH:
            continue
        if best is not None and cell["strength"] == best[0]:
            for name in ("novel", "valid"):
                found[name][seed] = at_entropy(of_mark(result, best[1]), entropy, name)
        if cell["strength"] == near[0]:
            rows = [each for each in of_mark(result, near[1]) if each[1] == near[2]]
            found["kl"][seed] = rows[0][COLUMN["forward_kl"]]
    return found


def compared(found: Record, first: Record) -> Record:
    """Means over fresh seeds; and in how many of them a loss is ahead of the first one."""
    kl, novel = found["kl"], {k: x for k, x in found["novel"].items() if x is not None}
    made: Record = {
        "seeds": len(kl),
        "kl_strength": found["near"][0],
        "kl_mark": found["near"][1],
        "temperature": found["near"][2],
        "kl": float(np.mean(list(kl.values()))),
        "kl_most": float(max(kl.values())),
    }
    if novel:
        made |= {
            "strength": found["best"][0],
            "mark": found["best"][1],
            "valid": float(np.mean([found["valid"][k] for k in novel])),
            "novel": float(np.mean(list(novel.values()))),
            "novel_least": float(min(novel.values())),
            "reached": len(novel),
        }
    if found is not first:
        made["kl_nearer"] = sum(kl[k] < first["kl"][k] for k in kl)
        made["ahead"] = sum(x > (first["novel"][k] or 0.0) for k, x in novel.items())
    return made
