"""transformers' Trainer with the loss on tokens in the place of the model's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from irl_lib.language.loss import iq_language_loss
from irl_lib.support.checks import check_real


class IQTrainer(Trainer):
    r"""transformers' ``Trainer`` that minimises :math:`-\log \pi + \lambda r^2`.

    The loss is the trainer's ``compute_loss_func``, which is told the number of tokens in all parts
    of a batch.  Checkpoints, resuming, mixed precision, gradient accumulation and several
    processes, FSDP and DeepSpeed among them, are the library's.  The logs have the two terms of the
    loss beside it, ``likelihood`` and ``consistency``.

    Each row of a batch begins with a prompt, because nothing predicts the first token of a row.

    Args:
        *args: as of ``Trainer``.
        weight: :math:`\lambda \ge 0`.
        discount: :math:`\gamma`, from 0 to 1.
        end: the end token, or several; default: the one of ``processing_class``.
        **kwargs: as of ``Trainer``, but for ``compute_loss_func``, which is :meth:`price`.

    Raises:
        ValueError: naming a bad argument; and in training, naming the step, for a loss that is not
            finite, with the name of the weights that are not, if there are any.

    Implements: eq-value-policy-objective

    Reference: Wulfmeier et al. (2024), Imitating language via scalable inverse reinforcement
    learning.
    """

    def __init__(
        self,
        *args: Any,
        weight: float,
        discount: float = 1.0,
        end: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.weight = check_real("weight", weight, 0.0)
        self.discount = check_real("discount", discount, 0.0, most=1.0)
        super().__init__(*args, **kwargs)
        self.compute_loss_func = self.price
        found = getattr(self.processing_class, "eos_token_id", None) if end is None else end
        if found is None:
            raise ValueError("end is None, and processing_class has no end token; expected one")
        self.end_tokens: int | Sequence[int] = found
        self._terms: list[Tensor] = []
        self._steps: set[int] = set()

    def price(
        self,
        outputs: Mapping[str, Tensor],
        labels: Tensor,
        num_items_in_batch: int | Tensor | None = None,
    ) -> Tensor:
        """The loss of a model's output; of a batch in parts, this part's share of it."""
        model: Any = self.model
        step = self.state.global_step + self.is_in_train
        try:
            terms = iq_language_loss(
                outputs["logits"],
                labels,
                weight=self.weight,
                end=self.end_tokens,
                discount=self.discount,
                num_items_in_batch=num_items_in_batch,
            )
        except ValueError as error:
            name = not_finite(model)
            cause = f"; the weights {name} are not finite" if name else ""
            raise ValueError(f"step {step}: {error}{cause}") from error
        if model.training:
            self._terms.append(torch.stack(terms).detach())
            self._steps.add(step)
        return terms.loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """With the two terms, as means over the steps since they were logged last."""
        if "loss" in logs and self._terms:
            how = "sum" if self.args.average_tokens_across_devices else "mean"
            total = torch.stack(self._terms).sum(0)
            pair = (self.accelerator.reduce(total, how) / len(self._steps)).tolist()
            logs |= {"likelihood": pair[0], "consistency": pair[1]}
            self._terms, self._steps = [], set()
        super().log(logs, *args, **kwargs)


def not_finite(model: nn.Module) -> str | None:
    """The name of the first weights that have an entry which is not finite, if there are any."""
    named = model.named_parameters()
    return next((name for name, each in named if not torch.isfinite(each).all()), None)
