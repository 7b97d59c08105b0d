"""Pairs of a prompt and a response, from a file to batches of tokens."""

from __future__ import annotations

import codecs
import json
import os
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from irl_lib.language.loss import IGNORED
from irl_lib.support.files import check_path

SHOWN = 20  # of the lines with something wrong, how many an error names


class Pair(NamedTuple):
    """One line of a file."""

    line: int
    """Counted from 1."""
    prompt: str
    response: str


class Example(NamedTuple):
    """A pair as tokens."""

    input_ids: list[int]
    labels: list[int]
    """The same, but for what is not the response's."""


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """What a file has to learn from: on each line an object with a ``prompt`` and a ``response``.

    Other keys are left alone, and blank lines skipped, as is the mark with which some editors begin
    a file in UTF-8.

    Raises:
        ValueError: for a file that isn't there, can't be read, is empty, or has lines with
            something else, naming these by their numbers.
    """
    place = check_path(path, "data")
    if not place.exists():
        raise ValueError(f"data {os.fspath(path)!r} does not exist; expected a file of JSON lines")
    try:
        content = place.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ValueError(f"data {os.fspath(path)!r} can't be read: {error}") from error
    pairs, wrong = [], []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                pairs.append(Pair(number, *_pair(line)))
            except ValueError as error:
                wrong.append(f"line {number}: {error}")
    refuse(wrong)
    if not pairs:
        raise ValueError(f"data {os.fspath(path)!r} is empty; expected a file of JSON lines")
    return pairs


def _pair(line: bytes) -> tuple[str, str]:
    try:
        entry = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("it is no JSON that can be read: too many brackets") from None
    if not isinstance(entry, dict):
        raise ValueError('it is no object; expected {"prompt": ..., "response": ...}')
    for key in ("prompt", "response"):
        if not isinstance(entry.get(key), str):
            what = "missing" if key not in entry else reprlib.repr(entry[key])
            raise ValueError(f"its {key} is {what}; expected a text")
        try:
            entry[key].encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"its {key} has half of a surrogate pair in it") from None
    if not entry["response"].strip():
        raise ValueError("its response is empty")
    return entry["prompt"], entry["response"]


def _object(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in entries]
    for key in ("prompt", "response"):
        if names.count(key) > 1:
            raise ValueError(f"several entries {key!r}")
    return dict(entries)


def refuse(wrong: Sequence[str]) -> None:
    """An error that names lines, if there is something wrong with any.

    Raises:
        ValueError: that names the first ``SHOWN`` of them.
    """
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise ValueError(
            "data has lines that can't be used:\n  " + "\n  ".join(wrong[:SHOWN]) + more
        )


def encode(pairs: Iterable[Pair], tokenizer: Any, longest: int, cut: bool) -> list[Example]:
    """Pairs as tokens: the prompt, in the chat template if there is one, the response, the end.

    Prompt and response are turned into tokens separately, because a model that is asked to answer
    sees the prompt alone.

    Args:
        pairs: from :func:`read_pairs`.
        tokenizer: transformers', with an end token.
        longest: of how many tokens an example may be.
        cut: whether a longer one is cut, and so loses its end token; if not, it is refused.

    Raises:
        ValueError: naming the lines that are too long, or whose response has no tokens, or the end
            token in it, or with which the chat template fails; or a tokenizer without an end token.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token; expected one, which ends each response")
    examples, wrong = [], []
    for pair in pairs:
        try:
            examples.append(_example(pair, tokenizer, longest, cut))
        except ValueError as error:
            wrong.append(f"line {pair.line}: {error}")
    refuse(wrong)
    return examples


def _example(pair: Pair, tokenizer: Any, longest: int, cut: bool) -> Example:
    prompt = _prompt(pair.prompt, tokenizer)
    response = tokenizer(pair.response, add_special_tokens=False)["input_ids"]
    if not prompt:
        raise ValueError("its prompt has no tokens, so that nothing predicts the response's first")
    if not response:
        raise ValueError("its response has no tokens")
    if tokenizer.eos_token_id in response:
        raise ValueError(f"its response has the end token {tokenizer.eos_token!r} in it")
    ids = [*prompt, *response, tokenizer.eos_token_id]
    if len(ids) > longest and not (cut and len(prompt) < longest):
        said = f"{len(prompt)} tokens in the prompt alone" if cut else f"{len(ids)} tokens"
        raise ValueError(f"it has {said}; expected {longest - cut} at most")
    labels = [IGNORED] * len(prompt) + ids[len(prompt) :]
    return Example(ids[:longest], labels[:longest])


def _prompt(text: str, tokenizer: Any) -> list[int]:
    if not tokenizer.chat_template:
        return list(tokenizer(text)["input_ids"])
    said = [{"role": "user", "content": text}]
    try:
        turn = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # a template may raise what it likes
        raise ValueError(f"the tokenizer's chat template fails: {error}") from error
    return list(tokenizer(turn, add_special_tokens=False)["input_ids"])


class Padded:
    """Makes a batch of examples, filled up on the right."""

    def __init__(self, filling: int) -> None:
        self.filling = filling

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask`` and ``labels``, each ``(B, T)``."""
        ids = [torch.tensor(each.input_ids) for each in examples]
        labels = [torch.tensor(each.labels) for each in examples]
        seen = [torch.ones_like(each) for each in ids]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.filling),
            "attention_mask": pad_sequence(seen, batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
