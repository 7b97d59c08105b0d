r"""Adversarial methods: a game of a policy and a discriminator (the lecture's version 4).

.. math::
    \max_r \min_\pi \; \mathbb{E}_{\pi^*} \Big[ \sum_t \gamma^t r_t \Big]
    - \mathbb{E}_\pi \Big[ \sum_t \gamma^t (r_t - \log \pi(a_t \mid s_t)) \Big] - \psi(r)

A reward player and a policy take turns.  With the discriminator's loss for :math:`\psi` that is
generative adversarial imitation learning; with the policy in the discriminator's logit, what is
learned is a reward again.

- :mod:`irl_lib.adversarial.discriminators`: the two discriminators, their loss, what they pay;
- :mod:`irl_lib.adversarial.learning`: :func:`gail` and :func:`airl`, whose loop is the same.

What differs from the papers: the policy is improved by proximal policy optimisation on copies of
the environment, where Ho and Ermon (2016) and Fu et al. (2018) take trust-region steps; the
discriminator's gradient is penalised; the policy is labelled 0 and the expert 1, as in Fu et al.,
where Ho and Ermon have it the other way round.

References: Ho, Ermon (2016), Generative adversarial imitation learning.  Finn, Christiano, Abbeel,
Levine (2016), A connection between generative adversarial networks, inverse reinforcement
learning, and energy-based models.  Fu, Luo, Levine (2018), Learning robust rewards with adversarial
inverse reinforcement learning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.adversarial.tabular import (
    TabularAirlResult,
    TabularGailResult,
    airl_tabular,
    gail_tabular,
)
from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.adversarial.discriminators import REWARDS
    from irl_lib.adversarial.learning import AirlResult, GailResult, Iteration, airl, gail

__all__ = [
    "REWARDS",
    "AirlResult",
    "GailResult",
    "Iteration",
    "TabularAirlResult",
    "TabularGailResult",
    "airl",
    "airl_tabular",
    "gail",
    "gail_tabular",
]

__getattr__ = lazily(
    __name__,
    {
        "AirlResult": "irl_lib.adversarial.learning",
        "GailResult": "irl_lib.adversarial.learning",
        "Iteration": "irl_lib.adversarial.learning",
        "REWARDS": "irl_lib.adversarial.discriminators",
        "airl": "irl_lib.adversarial.learning",
        "gail": "irl_lib.adversarial.learning",
    },
)
