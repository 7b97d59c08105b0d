r"""Behaviour cloning: a policy copied from demonstrations, by maximum likelihood.

The probability of a demonstrated trajectory under a policy :math:`\pi_\omega` is
:math:`p(\tau) \prod_t \pi_\omega(a_t \mid s_t)`, where the world's share :math:`p(\tau)` does not
depend on :math:`\omega`.  So the likelihood is largest where

.. math::
    \mathbb{E}_{(s,a) \sim \mathcal{D}} \log \pi_\omega(a \mid s)

is: supervised learning of actions from states, for which the world isn't needed.

- :func:`clone`: a table.  Its maximum is the empirical conditional, counts divided by counts.
- :func:`clone_network`: a network.  With whole-numbered actions this is classification with a
  cross-entropy; with real ones and a Gaussian of fixed standard deviation it is least squares.

Nothing here asks what an action leads to, which is what the copy doesn't know.

Reference: Pomerleau (1989), ALVINN: an autonomous land vehicle in a neural network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.behavior_cloning.table import CloneResult, clone
from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.behavior_cloning.network import NetworkCloneResult, clone_network

__all__ = ["CloneResult", "NetworkCloneResult", "clone", "clone_network"]

__getattr__ = lazily(
    __name__,
    {
        "NetworkCloneResult": "irl_lib.behavior_cloning.network",
        "clone_network": "irl_lib.behavior_cloning.network",
    },
)
