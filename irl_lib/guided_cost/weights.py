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

from irl_lib.support.checks import Array, check_array, check_numbers, check_type

if TYPE_CHECKING:  # torch is imported by who takes a gradient, not by who weighs samples
    from torch import Tensor


def mixture_log_density(log_densities: ArrayLike, counts: ArrayLike) -> Array:
    r"""``(M,)``: :math:`\log \sum_k \frac{n_k}{n} q_k(\tau_j)`, of samples from several policies.

    Whatever policy a sample came from, this is the density of a batch in which policy k has drawn
    :math:`n_k` of all n (in importance sampling: the balance heuristic).

    Args:
        log_densities: ``(M, K)``: of sample j under policy k; minus infinity where impossible.
        counts: ``(K,)``: how many samples of the batch each has drawn.

    Raises:
        ValueError: for shapes that don't fit; for NaN, or a density that is infinite; for counts
            that are negative or not finite, or none above 0.

    Implements: eq-importance-weight

    Example:
        >>> two = mixture_log_density(np.log([[0.5, 0.1], [0.2, 0.4]]), [3, 1])
        >>> np.exp(two).round(6)
        array([0.4 , 0.25])
    """
    logs, drawn = check_numbers("log_densities", log_densities), check_numbers("counts", counts)
    if logs.ndim != 2 or drawn.shape != logs.shape[1:] or not drawn.size:
        raise ValueError(
            f"log_densities has shape {logs.shape} and counts {drawn.shape}; expected (M, K) and "
            "(K,), with K at least 1"
        )
    if np.isnan(logs).any() or (logs == np.inf).any():
        raise ValueError("log_densities has NaN or infinity; expected numbers or minus infinity")
    check_array("counts", drawn, drawn.shape)
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
    totals, logs = _pair({"rewards": rewards, "log_densities": log_densities})
    raw = totals - logs
    return np.asarray(raw - np.logaddexp.reduce(raw))


def model_log_density(
    rewards: ArrayLike, sample_rewards: ArrayLike, sample_log_densities: ArrayLike
) -> Array:
    r"""``(M,)``: :math:`\log p_\theta(\tau_j) = r_\theta(\tau_j) - \log \hat Z`, dynamics apart.

    Who mixes demonstrations into a batch has to say how dense they are.  If the model is right they
    come from the model.  :math:`\hat Z`, the mean of :math:`\exp r_\theta(\tau_i) / q(\tau_i)`, is
    taken over what policies have drawn, and not over demonstrations: no such samples being near
    them, as at first, they would have all the weight, and a reward no gradient.

    With a share :math:`\lambda` of demonstrations in the batch, no weight under the mixture,
    :math:`p_\theta / (\lambda p_\theta + (1 - \lambda) q)`, is above :math:`1 / \lambda`; and of
    all weight, N demonstrations have (N + 1) / (N + 2) at most, as long as the reward is the one
    for which the densities were computed.

    Args:
        rewards: ``(M,)``, of whole trajectories.
        sample_rewards: ``(n,)``, of those that policies have drawn, no demonstrations among them.
        sample_log_densities: ``(n,)``, of the mixture of these policies.

    Raises:
        ValueError: as :func:`log_weights`, or for a reward that is not finite.

    Reference: Finn, Christiano, Abbeel, Levine (2016).

    Example:
        >>> model_log_density([3.0, 1.0], [1.0, 3.0], [-2.0, 0.0])  # Z is exp 3
        array([ 0., -2.])
    """
    totals = check_numbers("rewards", rewards)
    totals = check_array("rewards", totals, (totals.size,))
    pair = {"sample_rewards": sample_rewards, "sample_log_densities": sample_log_densities}
    of_samples, logs = _pair(pair)
    log_z = np.logaddexp.reduce(of_samples - logs) - np.log(logs.size)
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

    Raises:
        ValueError: for shapes that don't fit, or what is not finite, naming the sample.

    Implements: eq-importance-gradient, eq-importance-weight

    Example:
        >>> import torch
        >>> nothing = torch.zeros(4)
        >>> float(reward_loss(torch.ones(2), nothing, nothing))
        -1.0
    """
    import torch

    named = {"demo_rewards": demo_rewards, "rewards": rewards, "log_densities": log_densities}
    for name, value in named.items():
        check_type(name, value, torch.Tensor)
    if demo_rewards.ndim != 1 or rewards.ndim != 1 or rewards.shape != log_densities.shape:
        shapes = [tuple(each.shape) for each in (demo_rewards, rewards, log_densities)]
        raise ValueError(
            f"demo_rewards, rewards and log_densities have the shapes {shapes[0]}, {shapes[1]} and "
            f"{shapes[2]}; expected (N,) and twice (M,)"
        )
    log_z: Tensor = torch.logsumexp(rewards - log_densities, dim=0) - np.log(len(rewards) or 1)
    loss = log_z - demo_rewards.mean()
    if not torch.isfinite(loss):  # which it isn't without samples either
        _pair({"rewards": rewards, "log_densities": log_densities})
        shown = demo_rewards.detach().numpy()
        check_array("demo_rewards", shown, (shown.size or 1,))
        raise ValueError("the loss is not finite, although rewards and densities are")
    return loss


def _pair(named: dict[str, ArrayLike]) -> tuple[Array, Array]:
    """Rewards and log-densities, by the names that the caller knows them by."""
    (reward, density), (totals, logs) = named, (check_numbers(*each) for each in named.items())
    if totals.ndim != 1 or totals.shape != logs.shape or not totals.size:
        raise ValueError(
            f"{reward} has shape {totals.shape} and {density} {logs.shape}; expected (M,) twice"
        )
    with np.errstate(invalid="ignore"):  # infinity less infinity, which is named below
        wrong = np.flatnonzero(~np.isfinite(totals - logs))
    if wrong.size:
        j = wrong[0]
        raise ValueError(
            f"the weight of sample {j} is not finite: its reward is {totals[j]:g} and its "
            f"log-density {logs[j]:g} ({reward} and {density})"
        )
    return totals, logs
