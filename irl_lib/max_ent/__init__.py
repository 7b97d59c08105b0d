r"""Maximum entropy inverse reinforcement learning (the lecture's version 2).

Find the reward :math:`r_w(s,a) = w^\top \phi(s,a)` under which an expert's behaviour is most
likely, when the expert is soft-optimal.  In both of its forms this is a concave problem in
:math:`w`,

.. math::
    L(w) = w^\top \mu_E - F(w), \qquad \nabla L(w) = \mu_E - \mu_w ,

the expert's feature expectations minus the learner's:

- **causal** (Ziebart 2010): :math:`F = \mathbb{E}_{p_0} V_0(s_0)` of the soft Bellman recursion,
  and :math:`\mu_w` belongs to the soft-optimal policy in the true dynamics.  With a discount,
  everything is discounted.
- **not causal** (Ziebart et al. 2008): :math:`F = \log Z`, and :math:`\mu_w` belongs to the
  trajectory posterior :math:`p(\tau) \exp(r_w(\tau)) / Z`.  The same for deterministic dynamics;
  optimistic about luck otherwise.

A reward that is a network, :func:`deep_max_ent`, is climbed along the same difference, sent back
through the network.

The Hessian is :math:`-\nabla^2 F`: in the second form minus the covariance of the feature counts.
Its products with a vector cost one more pass over the MDP, which makes Newton's method affordable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.max_ent.linear import METHODS, MaxEntResult, Objective, max_ent, objective
from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.max_ent.neural import DeepMaxEntResult, deep_max_ent

__all__ = [
    "METHODS",
    "DeepMaxEntResult",
    "MaxEntResult",
    "Objective",
    "deep_max_ent",
    "max_ent",
    "objective",
]

__getattr__ = lazily(
    __name__,
    {
        "DeepMaxEntResult": "irl_lib.max_ent.neural",
        "deep_max_ent": "irl_lib.max_ent.neural",
    },
)
