"""Language models of a few thousand weights and tokenizers of bytes, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LONGEST = 48  # tokens of an example
PAIRS = [("1+1=", "2"), ("2+3=", "5"), ("1+3=", "4"), ("2+6=", "8"), ("5+6=", "11"), ("9+8=", "17")]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}<assistant>{% endif %}"


def tokenizer(end: str | None = "<end>", template: str | None = None) -> Any:
    """One token for each byte, and one for the end."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end)
    found.chat_template = template
    return found


def model(seed: int = 0, size: int = 257, hidden: int = 16, layers: int = 1) -> Any:
    """Its weights are the seed's."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size,
                hidden_size=hidden,
                intermediate_size=2 * hidden,
                num_hidden_layers=layers,
                num_attention_heads=2,
                max_position_embeddings=LONGEST,
                initializer_range=0.2,
                bos_token_id=None,
                eos_token_id=256,
            )
        )


def stored(folder: Path, **of_tokenizer: Any) -> str:
    """A folder with both."""
    model().save_pretrained(folder)
    tokenizer(**of_tokenizer).save_pretrained(folder)
    return str(folder)


def written(path: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> str:
    """A file of pairs."""
    lines = [json.dumps({"prompt": prompt, "response": response}) for prompt, response in pairs]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)
