r"""Guided cost learning: maximum entropy with unknown dynamics (the lecture's version 3).

The likelihood of demonstrations under :math:`p_\theta(\tau) \propto p(\tau) \exp r_\theta(\tau)`
has a partition function that nobody can sum when the dynamics are unknown.  It can be estimated
from trajectories of any policy :math:`q`, each weighted by how much likelier the model makes it:

.. math::
    \nabla_\theta \mathcal{L} = \mathbb{E}_{\tau \sim \mathcal{D}} \nabla_\theta r_\theta(\tau)
    - \mathbb{E}_{\tau \sim q} \Big[ \frac{p_\theta(\tau)}{q(\tau)} \nabla_\theta r_\theta(\tau)
    \Big], \qquad
    \frac{p_\theta(\tau)}{q(\tau)} \propto \frac{\exp r_\theta(\tau)}{\prod_t \pi_t(a_t \mid s_t)} .

The dynamics cancel, because :math:`q` was rolled out in the same world.  Three things make it work:

- the weights are those of whole trajectories, divided by their sum, since Z is unknown;
- the batch holds the samples of all policies so far *and* the demonstrations, and :math:`q` is
  the mixture of all that they came from
  (:func:`irl_lib.guided_cost.weights.mixture_log_density`); the demonstrations' density is taken to
  be the model's own, which bounds their weights
  (:func:`irl_lib.guided_cost.weights.model_log_density`);
- the policy follows the reward, a little per iteration: the nearer it comes to soft optimality, the
  more alike the weights.

Trajectories have one length T, and there is no discount.  Episodes that end early are refused:
what a longer one is worth would hang on the constant of the reward, which the likelihood of
trajectories of one length doesn't determine.

Where the start is random, Z depends on it.  The weights are those of the actions given the start,
:math:`p_\theta(\tau \mid s_0) / q(\tau \mid s_0)`, with the critic's value of the start for
:math:`\log Z(s_0)`, up to a constant that cancels.  Without it the model could choose lucky starts,
and the weights would differ as much as the starts do.

What differs from the paper: it improves linear-Gaussian controllers on fitted dynamics, here it is
proximal policy optimisation (:mod:`irl_lib.training.policy_steps`); it fits a Gaussian to the
demonstrations for their density; it regularises the reward along the trajectories, where here the
weights of the network are penalised.

References: Finn, Levine, Abbeel (2016), Guided cost learning.  Finn, Christiano, Abbeel, Levine
(2016), A connection between generative adversarial networks, inverse reinforcement learning, and
energy-based models: the demonstrations' density.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from irl_lib.guided_cost.tabular import GuidedCostTabularResult, guided_cost_tabular
from irl_lib.guided_cost.weights import (
    log_weights,
    mixture_log_density,
    model_log_density,
    reward_loss,
)
from irl_lib.support.lazy import lazily

if TYPE_CHECKING:
    from irl_lib.guided_cost.learning import GuidedCostResult, Iteration, guided_cost_learning

__all__ = [
    "GuidedCostResult",
    "GuidedCostTabularResult",
    "Iteration",
    "guided_cost_learning",
    "guided_cost_tabular",
    "log_weights",
    "mixture_log_density",
    "model_log_density",
    "reward_loss",
]

__getattr__ = lazily(
    __name__,
    {
        "GuidedCostResult": "irl_lib.guided_cost.learning",
        "Iteration": "irl_lib.guided_cost.learning",
        "guided_cost_learning": "irl_lib.guided_cost.learning",
    },
)
