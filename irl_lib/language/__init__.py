r"""Language models: the objective in a policy and its values, on tokens (the lecture's version 5).

.. math::
    \min_{\pi, V} \; \mathbb{E}_{\tau_E} \sum_t
    \Big[ - \log \pi(a_t \mid s_t) + \lambda \big( V(s_t) + \log \pi(a_t \mid s_t)
    - \gamma V(s_{t+1}) \big)^2 \Big]

A language model's logits are a Q function of the text so far, so that maximum likelihood gets the
price on implied rewards with which the lecture ends, at no cost: nothing is sampled, and there is
no other network.

- :mod:`irl_lib.language.loss`: the objective, and the rewards that a model implies;
- :mod:`irl_lib.language.trainer`: :class:`IQTrainer`, transformers' training loop with it;
- :mod:`irl_lib.language.data`: pairs of a prompt and a response, from a file to batches;
- :mod:`irl_lib.language.fine_tuning`: what the command does.

The command fine-tunes a causal model on a file of pairs, with maximum likelihood at weight 0::

    python -m irl_lib.language --model NAME_OR_PATH --data FILE.jsonl --weight 0.1 --output DIR

Reference: Wulfmeier et al. (2024), Imitating language via scalable inverse reinforcement learning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.language.loss import (
        IGNORED,
        Terms,
        implied_return,
        implied_rewards,
        iq_language_loss,
    )
    from irl_lib.language.trainer import IQTrainer

__all__ = [
    "IGNORED",
    "IQTrainer",
    "Terms",
    "implied_return",
    "implied_rewards",
    "iq_language_loss",
]

LOSS = "irl_lib.language.loss"

__getattr__ = lazily(
    __name__,
    {
        "IGNORED": LOSS,
        "IQTrainer": "irl_lib.language.trainer",
        "Terms": LOSS,
        "implied_return": LOSS,
        "implied_rewards": LOSS,
        "iq_language_loss": LOSS,
    },
)
