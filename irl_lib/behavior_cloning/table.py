"""Cloning as counting: the policy of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import Array, check_real, check_type
from irl_lib.support.result import Result


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CloneResult(Result):
    """What :func:`clone` found; no reward.

    ``policy`` is ``(S, A)``, ``certificate["gradient"]`` the norm of the gradient of the
    log-likelihood in the logits, and there are no iterations.
    """

    log_likelihood: float
    """Mean over all demonstrated steps of the log-probability of the action, in nats."""
    counts: Array
    """``(S, A)``: how often each action was demonstrated."""
    seen: NDArray[np.bool_]
    """``(S,)``: where there was a demonstration; elsewhere the policy is uniform."""


def clone(mdp: MDP, demos: Demonstrations, *, smoothing: float = 0.0) -> CloneResult:
    r"""The policy table under which the demonstrations are most likely.

    That is how often each action was taken in a state, divided by how often the state was met:
    with logits :math:`\theta` and counts :math:`n`, the gradient of the log-likelihood,

    .. math:: n(s, a) - n(s)\, \pi_\theta(a \mid s),

    is zero there.  In a state that was never met any policy is as likely; the uniform one is
    returned.

    Args:
        mdp: for its sizes, and to refuse demonstrations that are impossible in it.
        demos: trajectories of whole numbers.
        smoothing: added to each count: the mean of the posterior under a symmetric Dirichlet prior
            with this concentration, instead of the maximum of the likelihood; 1 is Laplace's rule.
            The certificate is then that of the likelihood of all these counts.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-bc-objective

    Example:
        >>> from irl_lib.worlds import chain
        >>> shown = Demonstrations([[0, 1, 2, 1, 2]], [[1, 1, 0, 1]])
        >>> found = clone(chain(4).mdp, shown)
        >>> found.policy
        array([[0. , 1. ],
               [0. , 1. ],
               [1. , 0. ],
               [0.5, 0.5]])
        >>> found
        CloneResult(converged, gradient 0)
    """
    amount = check_real("smoothing", smoothing, 0.0)
    check_type("demos", demos, Demonstrations).check(check_mdp(mdp))
    step = demos.steps()
    if step.state.size == 0:
        raise ValueError("demos have no steps; expected at least one action to copy")
    counts = np.zeros((mdp.n_states, mdp.n_actions))
    np.add.at(counts, (step.state, step.action), 1.0)
    weights = counts + amount
    policy = _conditional(weights)
    gradient = weights - weights.sum(axis=1, keepdims=True) * policy
    return CloneResult(
        policy=policy,
        history={},
        converged=True,
        message="counted",
        certificate={"gradient": float(np.linalg.norm(gradient) / weights.sum())},
        log_likelihood=float(np.log(policy[step.state, step.action]).mean()),
        counts=counts,
        seen=counts.sum(axis=1) > 0.0,
    )


def _conditional(counts: Array) -> Array:
    """Counts divided by their sums over actions; uniform where there are none."""
    total = counts.sum(axis=-1, keepdims=True)
    uniform = np.full(counts.shape, 1.0 / counts.shape[-1])
    return np.asarray(np.divide(counts, total, out=uniform, where=total > 0.0))
