r"""Importance weights of whole trajectories.

A trajectory of the model :math:`p_\theta(\tau) \propto p(\tau) \exp r_\theta(\tau)`, drawn from a
policy instead, has the weight :math:`\exp r_\theta(\tau) / \prod_t \pi_t(a_t \mid s_t)`: what the
world contributes, :math:`p(\tau)`, is the same in both.  Everything here works with logarithms.

References: Finn, Levine, Abbeel (2016), Guided cost learning.  Finn, Christiano, Abbeel, Levine
(2016), A connection between generative adversarial networks, inverse reinforcement learning, and
energy-based models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize
from scipy.special import expit, logit

from irl_lib.mdp import Array, check_numbers, check_real

if TYPE_CHECKING:  # torch is imported by who takes a gradient, not by who weighs samples
    from torch import Tensor

TINY = 1e-12  # nats


def mixture_log_density(log_densities: ArrayLike, counts: ArrayLike) -> Array:
    r"""``(M,)``: :math:`\log \sum_k \frac{n_k}{n} q_k(\tau_j)`, of samples from several policies.

    Whatever policy a sample came from, this is the density of a batch in which policy k has drawn
    :math:`n_k` of all n (in importance sampling: the balance heuristic).

    Args:
        log_densities: ``(M, K)``: of sample j under policy k; minus infinity where impossible.
        counts: ``(K,)``: how many samples of the batch each has drawn.

    Raises:
        ValueError: for shapes that don't fit, negative counts, or none above 0.

    Implements: eq-importance-weight

    Example:
        >>> two = mixture_log_density(np.log([[0.5, 0.1], [0.2, 0.4]]), [3, 1])
        >>> np.exp(two).round(6)
        array([0.4 , 0.25])
    """
    logs, drawn = np.asarray(log_densities, dtype=np.float64), check_numbers("counts", counts)
    if logs.ndim != 2 or drawn.shape != logs.shape[1:] or np.isnan(logs).any():
        raise ValueError(
            f"log_densities has shape {logs.shape} and counts {drawn.shape}; expected (M, K), "
            "without NaN, and (K,)"
        )
    if drawn.min() < 0.0 or drawn.sum() <= 0.0:
        raise ValueError(f"counts is {drawn.tolist()}; expected numbers >= 0, one of them above 0")
    with np.errstate(divide="ignore"):
        shares = np.log(drawn / drawn.sum())
    return np.asarray(np.logaddexp.reduce(logs + shares, axis=1))


def log_weights(rewards: ArrayLike, log_densities: ArrayLike) -> Array:
    r"""``(M,)``: logarithms of :math:`\exp r(\tau_j) / q(\tau_j)`, divided by their sum.

    Args:
        rewards: ``(M,)``, of whole trajectories.
        log_densities: ``(M,)``: :math:`\sum_t \log \pi_t(a_t \mid s_t)`, or of a mixture.

    Raises:
        ValueError: for shapes that don't fit, or a weight that is not finite, naming the sample.

    Implements: eq-importance-weight

    Example:
        >>> np.exp(log_weights([1.0, 2.0], [1.0, 2.0]))  # q = p
        array([0.5, 0.5])
    """
    totals, logs = _pair(rewards, log_densities)
    raw = totals - logs
    return np.asarray(raw - np.logaddexp.reduce(raw))


def model_log_density(rewards: ArrayLike, log_densities: ArrayLike, share: float) -> Array:
    r"""``(M,)``: :math:`\log p_\theta(\tau_j) = r_\theta(\tau_j) - \log Z`, of a batch.

    Who mixes demonstrations into a batch has to say how dense they are.  If the model is right they
    come from the model.  Z is the number for which the weights under the whole mixture,
    :math:`p_\theta / (\lambda p_\theta + (1 - \lambda) q)`, have the mean 1; so no weight is above
    :math:`1 / \lambda`.

    Args:
        rewards: ``(M,)``, of whole trajectories, the demonstrations among them.
        log_densities: ``(M,)``, of the mixture of the policies alone, without demonstrations.
        share: :math:`\lambda`, the demonstrations' share of the batch.

    Raises:
        ValueError: as :func:`log_weights`, or for a share that is not in (0, 1).

    Reference: Finn, Christiano, Abbeel, Levine (2016).

    Example:
        >>> model_log_density([1.0, 3.0], [-2.0, 0.0], share=0.5)  # the same but for a constant
        array([-2.,  0.])
    """
    part = check_real("share", share, 0.0, open_end=True)
    if part >= 1.0:
        raise ValueError(f"share is {share!r}; expected a number in (0, 1)")
    totals, logs = _pair(rewards, log_densities)
    ratios = totals - logs

    def excess(log_z: float) -> float:
        return float(expit(ratios - log_z + logit(part)).mean()) - part

    low, high = float(ratios.min()), float(ratios.max())
    log_z = low if high - low < TINY else float(optimize.brentq(excess, low, high, xtol=TINY))
    return np.asarray(totals - log_z)


def reward_loss(demo_rewards: Tensor, rewards: Tensor, log_densities: Tensor) -> Tensor:
    r"""The negative log-likelihood of demonstrations, with Z estimated from weighted samples.

    .. math::
        -\frac1N \sum_i r_\theta(\tau_i) + \log \frac1M \sum_j
        \frac{\exp r_\theta(\tau_j)}{q(\tau_j)}

    Its gradient is minus the demonstrations' mean gradient of the reward, plus the samples' under
    the self-normalised weights.

    Args:
        demo_rewards: ``(N,)``, of whole demonstrations.
        rewards: ``(M,)``, of whole sampled trajectories, the demonstrations among them.
        log_densities: ``(M,)``, of the mixture that they came from.

    Implements: eq-importance-gradient, eq-importance-weight

    Example:
        >>> import torch
        >>> nothing = torch.zeros(4)
        >>> float(reward_loss(torch.ones(2), nothing, nothing))
        -1.0
    """
    import torch

    log_z: Tensor = torch.logsumexp(rewards - log_densities, dim=0) - np.log(len(rewards))
    return log_z - demo_rewards.mean()


def _pair(rewards: ArrayLike, log_densities: ArrayLike) -> tuple[Array, Array]:
    totals, logs = (np.asarray(each, dtype=np.float64) for each in (rewards, log_densities))
    if totals.ndim != 1 or totals.shape != logs.shape or not totals.size:
        raise ValueError(
            f"rewards has shape {totals.shape} and log_densities {logs.shape}; expected (M,) twice"
        )
    wrong = np.flatnonzero(~np.isfinite(totals - logs))
    if wrong.size:
        j = wrong[0]
        raise ValueError(
            f"the weight of sample {j} is not finite: its reward is {totals[j]:g} and its "
            f"log-density {logs[j]:g}"
        )
    return totals, logs
