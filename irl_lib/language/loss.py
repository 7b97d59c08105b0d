r"""The lecture's objective in a policy and its values, on the tokens of language models.

A state is the text so far, an action is the next token, and the next state is the text with that
token: the sampled next state is the only one there is.  A model's logits are a Q function, with
:math:`V(s) = \log \sum_a \exp Q(s, a)` and :math:`\log \pi = Q - V`.  What is minimised is the
mean, over the tokens of the responses, of

.. math::
    - \log \pi(a_t \mid s_t) + \lambda\, r_t^2, \qquad
    r_t = V(s_t) + \log \pi(a_t \mid s_t) - \gamma V(s_{t+1}) = Q(s_t, a_t) - \gamma V(s_{t+1}),

with :math:`V = 0` after an end token.  With :math:`\lambda = 0` this is maximum likelihood.

All functions take **unshifted** labels, as transformers' models do: ``labels[b, i]`` is the token
at position i, which the logits of position i - 1 predict.  It is ``IGNORED`` where the token is not
part of a response: in the prompt, and in the padding on either side.  A response that was cut
before its end token is taken to go on: the V after its last token comes from the logits there.
What follows an end token in the same row belongs to another response.

References: Wulfmeier et al. (2024), Imitating language via scalable inverse reinforcement learning.
Garg et al. (2021), IQ-Learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from irl_lib.support.checks import check_count, check_real, check_type

IGNORED = -100
"""The label of what is not the response's, as transformers has it."""


class Terms(NamedTuple):
    """What is minimised is their sum."""

    likelihood: Tensor
    r""":math:`-\log \pi`, on average."""
    consistency: Tensor
    r""":math:`\lambda r^2`, on average."""

    @property
    def loss(self) -> Tensor:
        """The sum."""
        return self.likelihood + self.consistency


class Tokens(NamedTuple):
    """What logits say of the tokens at positions 1 to T - 1; each ``(B, T - 1)``."""

    q: Tensor
    """Of the token."""
    v: Tensor
    """Of the text before it."""
    reward: Tensor
    r""":math:`Q - \gamma V'`."""
    shown: Tensor
    """Whether it is a response's; where it isn't, the others mean nothing."""


def iq_language_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    weight: float,
    end: int | Sequence[int],
    discount: float = 1.0,
    num_items_in_batch: int | Tensor | None = None,
) -> Terms:
    r"""The mean of :math:`-\log \pi + \lambda r^2` over all tokens of the responses of a batch.

    All tokens count the same: there is no :math:`\gamma^t` in the mean.  Logits of half precision
    are converted to float32 first.

    Args:
        logits: ``(B, T, vocabulary)``, real numbers; of tokens that can't come, -inf.
        labels: ``(B, T)``, whole numbers, not shifted.
        weight: :math:`\lambda \ge 0`.
        end: the end token, or several that all end a response.
        discount: :math:`\gamma`, from 0 to 1.
        num_items_in_batch: what the sum is divided by.  Where a batch is taken in several parts,
            or by several processes, it is the number of response tokens in all of them; the default
            is the number of those in ``labels``.

    Raises:
        ValueError: naming a bad argument; also for labels without a response, and for logits (or a
            weight) with which the loss is not finite.

    Implements: eq-value-policy-objective

    Reference: Wulfmeier et al. (2024).

    Example:
        >>> logits = torch.tensor([[[0.0, 1.0, 2.0]] * 3])
        >>> terms = iq_language_loss(logits, torch.tensor([[-100, 1, 2]]), weight=0.1, end=2)
        >>> f"{terms.likelihood:.4f} + {terms.consistency:.4f}"
        '0.9076 + 0.2991'
    """
    check_real("weight", weight, 0.0)
    found = _tokens(logits, labels, end, discount)
    items = _items(num_items_in_batch, found.shown)
    surprise = (found.v - found.q).masked_fill(~found.shown, 0.0)
    reward = found.reward.masked_fill(~found.shown, 0.0)
    terms = Terms(surprise.sum() / items, weight * reward.square().sum() / items)
    if not torch.isfinite(terms.loss):
        raise ValueError(
            f"logits have a loss of {terms.likelihood.item():g}, and with weight {weight:g} "
            f"{terms.consistency.item():g} more; expected numbers for which both are finite"
        )
    return terms


def implied_rewards(
    logits: Tensor, labels: Tensor, *, end: int | Sequence[int], discount: float = 1.0
) -> Tensor:
    r"""``(B, T)``: :math:`r_t` of each token of the responses, in its own place; 0 elsewhere.

    Args:
        logits: as of :func:`iq_language_loss`; so are the others.
        labels: ``(B, T)``.
        end: one or several.
        discount: :math:`\gamma`.

    Raises:
        ValueError: naming a bad argument; also for logits with which a reward is not finite.

    Implements: eq-inverse-bellman
    """
    found = _tokens(logits, labels, end, discount)
    reward = found.reward.masked_fill(~found.shown, 0.0)
    if not torch.isfinite(reward).all():
        raise ValueError("logits have rewards that are not finite; expected finite numbers")
    return pad(reward, (1, 0))


def implied_return(
    logits: Tensor, labels: Tensor, *, end: int | Sequence[int], discount: float = 1.0
) -> Tensor:
    r"""``(B,)``: :math:`\sum_t \gamma^t r_t` of a row's response, whose first token has t = 0.

    For a response that ends, this is :math:`V(s_0) + \sum_t \gamma^t \log \pi(a_t \mid s_t)`,
    because the values in between cancel.  With :math:`\gamma = 1` it is the response's
    log-probability plus a constant of the prompt.

    Args:
        logits: as of :func:`iq_language_loss`; so are the others.
        labels: ``(B, T)``, of one response in each row.
        end: one or several.
        discount: :math:`\gamma`.

    Raises:
        ValueError: naming a bad argument.
    """
    reward = implied_rewards(logits, labels, end=end, discount=discount)
    shown = pad(labels[:, 1:] != IGNORED, (1, 0))
    time = (shown.cumsum(-1) - 1).clamp(min=0)
    return (reward.new_tensor(discount) ** time * reward).sum(-1)


def _tokens(logits: Tensor, labels: Tensor, end: int | Sequence[int], discount: float) -> Tokens:
    ends = _check(logits, labels, end)
    check_real("discount", discount, 0.0, most=1.0)
    q_all = logits if logits.dtype == torch.float64 else logits.float()
    token, shown = labels[:, 1:], labels[:, 1:] != IGNORED
    tokens = pad(token.clamp(min=0).long(), (0, 1))
    read: tuple[Tensor, Tensor] = QAndV.apply(q_all, tokens)  # type: ignore[no-untyped-call]
    q, v = read[0][:, :-1], read[1]
    later = v[:, 1:].masked_fill(torch.isin(token, ends), 0.0)
    return Tokens(q, v[:, :-1], q - discount * later, shown)


class QAndV(torch.autograd.Function):
    r""":math:`Q(s, a)` of given tokens, and :math:`V(s) = \log \sum_a \exp Q(s, a)`.

    Their gradient in the logits is :math:`\pi` times that of V, plus that of Q in the tokens'
    places.  It takes one array of the size of the logits, where those of ``gather`` and
    ``logsumexp`` would take several.

    Implements: eq-soft-value
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, T)`` each, of ``(B, T, vocabulary)`` and ``(B, T)``."""
        ctx.save_for_backward(logits, tokens)
        return logits.gather(-1, tokens[..., None])[..., 0], logits.logsumexp(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_q: Tensor, slope_v: Tensor) -> tuple[Tensor, None]:
        """The gradient in the logits."""
        logits, tokens = ctx.saved_tensors
        slope = logits.softmax(-1).mul_(slope_v[..., None])
        return slope.scatter_add_(-1, tokens[..., None], slope_q[..., None]), None


# --- at the door ----------------------------------------------------------------------------------


def _check(logits: Tensor, labels: Tensor, end: int | Sequence[int]) -> Tensor:
    """The end tokens, once all three are what they should be."""
    check_type("logits", logits, Tensor)
    check_type("labels", labels, Tensor)
    if logits.ndim != 3 or not logits.is_floating_point() or 0 in logits.shape[1:]:
        raise ValueError(
            f"logits are {logits.dtype} of shape {tuple(logits.shape)}; expected real numbers "
            "(B, T, vocabulary)"
        )
    if labels.shape != logits.shape[:2] or labels.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected whole numbers of "
            f"shape {tuple(logits.shape[:2])}, as many as logits"
        )
    size = logits.shape[-1]
    odd = (labels != IGNORED) & ((labels < 0) | (labels >= size))
    if odd.any():
        raise ValueError(
            f"labels have the entry {int(labels[odd][0])}; expected {IGNORED}, or one of the "
            f"{size} tokens that logits have"
        )
    ids = [end] if not isinstance(end, list | tuple) else list(end)
    if not ids:
        raise ValueError("end is empty; expected a token that ends responses, or several")
    return labels.new_tensor([check_count("end", each, 0, size - 1) for each in ids])


def _items(given: int | Tensor | None, shown: Tensor) -> int | Tensor:
    """How many tokens there are."""
    if given is None:
        if not shown.any():
            raise ValueError("labels have no response's token after the first position")
        return shown.sum()
    if not isinstance(given, Tensor):
        return check_count("num_items_in_batch", given)
    if given.numel() != 1 or not 0 < given < torch.inf:
        raise ValueError(f"num_items_in_batch is {given!r}; expected one finite number > 0")
    return given.reshape(())
