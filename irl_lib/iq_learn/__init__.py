r"""Non-adversarial methods: one objective instead of a game (the lecture's version 5).

.. math::
    \max_r \min_\pi \;\longrightarrow\; \max_Q \;\longrightarrow\; - \min_{\pi, V}

The soft-optimal policy of a reward is known in closed form, so the inner minimum of the game can be
replaced by its value: what is left is concave in the reward.  With
:math:`r_Q = Q - \gamma\, \mathbb{E} V'` it is an objective in Q that needs no planning, and with
:math:`Q = V + \log \pi` cloning with a price on the reward that a policy and its values imply.

- :mod:`irl_lib.iq_learn.objective`: that objective in a reward, in Q, in a policy and values;
- :mod:`irl_lib.iq_learn.tabular`: :func:`iq_learn_tabular`, which maximises it exactly;
- :mod:`irl_lib.iq_learn.newton`: the steps with which it does;
- :mod:`irl_lib.iq_learn.losses`: the objective on samples, a function for each of its forms;
- :mod:`irl_lib.iq_learn.maxima`: the maximum over policies, in closed form, or by an actor, with
  which the game is back;
- :mod:`irl_lib.iq_learn.sampled`: :func:`iq_learn`, soft Q networks, off line and on line.

Reference: Garg, Chakraborty, Cundy, Song, Ermon (2021), IQ-Learn: inverse soft-Q learning for
imitation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.iq_learn.objective import (
    Price,
    inverse_bellman,
    iq_objective,
    policy_of,
    price,
    reduced_objective,
    soft_bellman,
    soft_value,
    timed_occupancy,
    value_policy_objective,
)
from irl_lib.iq_learn.tabular import IqTabularResult, iq_learn_tabular
from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.iq_learn.losses import LOSSES
    from irl_lib.iq_learn.sampled import IqResult, Iteration, iq_learn

__all__ = [
    "LOSSES",
    "IqResult",
    "IqTabularResult",
    "Iteration",
    "Price",
    "inverse_bellman",
    "iq_learn",
    "iq_learn_tabular",
    "iq_objective",
    "policy_of",
    "price",
    "reduced_objective",
    "soft_bellman",
    "soft_value",
    "timed_occupancy",
    "value_policy_objective",
]

__getattr__ = lazily(
    __name__,
    {
        "IqResult": "irl_lib.iq_learn.sampled",
        "Iteration": "irl_lib.iq_learn.sampled",
        "LOSSES": "irl_lib.iq_learn.losses",
        "iq_learn": "irl_lib.iq_learn.sampled",
    },
)
