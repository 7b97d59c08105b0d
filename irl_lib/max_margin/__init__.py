r"""Max margin planning and apprenticeship learning (the lecture's version 1).

Find weights under which the expert beats every other policy by a margin,

.. math::
    w^\top \mu_E \ge w^\top \mu(\pi) + \Delta(\pi, \pi^*) - \zeta \qquad \text{for all } \pi .

There are exponentially many policies, but the optimum depends on few of them, the support vectors.
So :func:`max_margin` keeps a *working set*: solve the convex program over it
(:mod:`irl_lib.max_margin.program`), find the policy outside that violates its constraint most,
which is a planning problem, add it, repeat.  With the margin of a sum of losses,
:math:`\Delta = \sum (\rho_\pi - \rho_E)\, \ell`, the most violated constraint belongs to the best
response to the *loss-augmented* reward,

.. math::
    \max_\pi\; \Delta(\pi, \pi^*) - w^\top(\mu_E - \mu(\pi))
    = \max_\pi\; \sum_{s,a} \rho_\pi(s,a) \big( w^\top \phi(s,a) + \ell(s,a) \big) + \text{const}.

:func:`projection` asks for less: a mixture of policies with the expert's feature expectations.

References: Abbeel and Ng (2004); Ratliff, Bagnell and Zinkevich (2006).
"""

from irl_lib.max_margin.apprenticeship import ProjectionResult, merge_policies, projection
from irl_lib.max_margin.best_response import Response
from irl_lib.max_margin.program import InfeasibleError, WidestMargin, widest_margin
from irl_lib.max_margin.structured import MaxMarginResult, max_margin

__all__ = [
    "InfeasibleError",
    "MaxMarginResult",
    "ProjectionResult",
    "Response",
    "WidestMargin",
    "max_margin",
    "merge_policies",
    "projection",
    "widest_margin",
]
