"""Fine-tuning of a model on pairs: what ``python -m irl_lib.language`` does.

Until a run has ended, its checkpoints are in a folder beside the one that was asked for.  At the
end the fine-tuned model is moved to its place, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

from irl_lib.language import data as pairs
from irl_lib.language.trainer import IQTrainer, not_finite
from irl_lib.support.checks import check_count, check_real
from irl_lib.support.files import write_whole

LARGEST_SEED = 2**32 - 1  # of numpy's, which transformers seeds
STATE = "trainer_state.json"  # what transformers writes last into a checkpoint


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the course of a run.

    Raises:
        ValueError: naming a bad one.
    """

    model: str
    """A folder, or a name that transformers can load."""
    data: str
    """A file of JSON lines."""
    weight: float
    r""":math:`\lambda`."""
    discount: float = 1.0
    r""":math:`\gamma`."""
    epochs: int = 3
    batch: int = 8
    """Examples that a process takes at a time."""
    accumulation: int = 1
    """Such batches to a step."""
    learning_rate: float = 2e-5
    """It falls linearly to 0."""
    max_length: int | None = None
    """After how many tokens examples are cut; where it is None, none is."""
    seed: int = 0
    checkpoint_every: int = 500
    """Steps."""

    def __post_init__(self) -> None:
        check_real("weight", self.weight, 0.0)
        check_real("discount", self.discount, 0.0, most=1.0)
        check_real("learning_rate", self.learning_rate, 0.0, open_end=True)
        for name in ("epochs", "batch", "accumulation", "checkpoint_every"):
            check_count(name, getattr(self, name))
        if self.max_length is not None:
            check_count("max_length", self.max_length, 2)
        check_count("seed", self.seed, 0, LARGEST_SEED)


def fine_tune(settings: Settings, output: Path) -> None:
    """Fine-tune a model, and write it, its tokenizer and its history to a folder.

    A run that was stopped goes on from its last checkpoint.

    Raises:
        ValueError: naming what can't be used, before anything is trained; or the step at which
            weights were no longer finite.
    """
    if os.path.lexists(output):
        raise ValueError(f"output {str(output)!r} exists; expected a folder that does not")
    arguments = _arguments(settings, beside := output.with_name(f"{output.name}.part"))
    model, tokenizer = load(settings.model)
    examples = _examples(settings, model, tokenizer)
    with arguments.main_process_first(local=False):
        last = _begin(beside, _identity(settings, arguments.world_size))
    trainer = IQTrainer(
        model,
        arguments,
        pairs.Padded(int(tokenizer.eos_token_id)),  # there may be no other, or one the model lacks
        examples,
        processing_class=tokenizer,
        weight=settings.weight,
        discount=settings.discount,
    )
    trainer.train(resume_from_checkpoint=last)
    if name := not_finite(model):
        step = trainer.state.global_step
        raise ValueError(f"step {step}: the weights {name} are not finite; nothing was written")
    trainer.save_model(str(beside / "whole"))  # and the tokenizer
    if trainer.is_world_process_zero():
        trainer.state.save_to_json(str(beside / "whole" / STATE))
        (beside / "whole").rename(output)
        shutil.rmtree(beside)
    trainer.accelerator.wait_for_everyone()


def load(name: str) -> tuple[Any, Any]:
    """A causal model in single precision, and its tokenizer.

    Raises:
        ValueError: when there is none of that name, or one with weights missing.
    """
    expected = "expected a folder with a causal language model, or the name of one"
    kind: Any = AutoModelForCausalLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model, info = kind.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # of many kinds: files are missing, damaged, of another model
        raise ValueError(f"model is {name!r}; {expected}: {error}") from error
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"model is {name!r}, which has no weights {missing[0]}; {expected}")
    return model, tokenizer


def _examples(settings: Settings, model: Any, tokenizer: Any) -> list[pairs.Example]:
    most = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    longest = settings.max_length or most
    if longest > most:
        raise ValueError(f"max_length is {longest}; expected {most} at most, as the model has it")
    read = pairs.read_pairs(settings.data)
    found = pairs.encode(read, tokenizer, longest, cut=settings.max_length is not None)
    size = model.get_input_embeddings().num_embeddings
    if (last := max(max(each.input_ids) for each in found)) >= size:
        raise ValueError(f"the tokenizer has the token {last}; the model has {size}")
    return found


def _arguments(settings: Settings, folder: Path) -> TrainingArguments:
    accelerated = getattr(torch, "accelerator", torch.cuda).is_available()
    return TrainingArguments(
        str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        use_cpu=not accelerated,  # else several processes would each train a model of their own
        dataloader_pin_memory=accelerated,
        average_tokens_across_devices=True,
        logging_steps=10,
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
        report_to="none",
    )


def _identity(settings: Settings, processes: int) -> dict[str, Any]:
    """What a run is known by: its settings, the content of its data, and its processes."""
    digest = hashlib.sha256(Path(settings.data).read_bytes()).hexdigest()
    return asdict(settings) | {"data": digest, "processes": processes}


def _begin(folder: Path, identity: dict[str, Any]) -> str | None:
    """The checkpoint to go on from, if there is one.

    Raises:
        ValueError: when what was begun here is another run, or nothing can be kept here.
    """
    note = folder / "settings.json"
    try:
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(note, json.dumps(identity, indent=1).encode())
        begun = dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"output: the run can't be kept in {str(folder)!r}: {error}; expected a folder that "
            "can be written to, or is a run's"
        ) from error
    if odd := [name for name in identity if begun.get(name) != identity[name]]:
        raise ValueError(
            f"{odd[0]} is {identity[odd[0]]!r}, and {begun.get(odd[0])!r} in the run that was "
            f"begun in {str(folder)!r}; expected the same, or that folder removed"
        )
    return _last(list(folder.glob(f"checkpoint-[0-9]*/{STATE}")))


def _last(states: Sequence[Path]) -> str | None:
    found = max(states, key=lambda each: int(each.parent.name.partition("-")[2]), default=None)
    return None if found is None else str(found.parent)
