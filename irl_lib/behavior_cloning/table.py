"""Cloning as counting: the policy of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.demonstrations import Demonstrations
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import Array, check_flag, check_real, check_type


@dataclass(frozen=True, eq=False)
class CloneResult:
    """What :func:`clone` found."""

    policy: Array
    """``(S, A)``, or ``(T, S, A)`` when it was asked to depend on time."""
    log_likelihood: float
    """Mean over all demonstrated steps of the log-probability of the action, in nats."""
    counts: Array
    """As ``policy``: how often each action was demonstrated."""
    seen: NDArray[np.bool_]
    """``(S,)``, or ``(T, S)``: where there was a demonstration; elsewhere the policy is uniform."""


def clone(
    mdp: MDP, demos: Demonstrations, smoothing: float = 0.0, stationary: bool = True
) -> CloneResult:
    r"""The policy table under which the demonstrations are most likely.

    That is how often each action was taken in a state, divided by how often the state was met.  In
    a state that was never met any policy is as likely; the uniform one is returned.

    Args:
        mdp: for its sizes, and to refuse demonstrations that are impossible in it.
        demos: trajectories of whole numbers.
        smoothing: added to each count: the mean of the posterior under a symmetric Dirichlet prior
            with this concentration, instead of the maximum of the likelihood; 1 is Laplace's rule.
        stationary: one policy for all steps; else one for each step, which needs a horizon.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-bc-objective

    Example:
        >>> from irl_lib.worlds import chain
        >>> shown = Demonstrations([[0, 1, 2, 1, 2]], [[1, 1, 0, 1]])
        >>> clone(chain(4).mdp, shown).policy
        array([[0. , 1. ],
               [0. , 1. ],
               [1. , 0. ],
               [0.5, 0.5]])
    """
    amount = check_real("smoothing", smoothing, 0.0)
    check_type("demos", demos, Demonstrations).check(check_mdp(mdp))
    step = demos.steps()
    shape: tuple[int, ...] = (mdp.n_states, mdp.n_actions)
    where: tuple[Any, ...] = (step.state, step.action)
    if not check_flag("stationary", stationary):
        if mdp.horizon is None:
            raise ValueError("stationary is False, but horizon is None; expected a finite horizon")
        shape, where = (mdp.horizon, *shape), (step.time, *where)
    counts = np.zeros(shape)
    np.add.at(counts, where, 1.0)
    policy, seen = _conditional(counts + amount), counts.sum(axis=-1) > 0.0
    return CloneResult(policy, _mean_log(policy[where]), counts, seen)


def _conditional(counts: Array) -> Array:
    """Counts divided by their sums over actions; uniform where there are none."""
    total = counts.sum(axis=-1, keepdims=True)
    uniform = np.full(counts.shape, 1.0 / counts.shape[-1])
    return np.asarray(np.divide(counts, total, out=uniform, where=total > 0.0))


def _mean_log(chances: Array) -> float:
    if chances.size == 0:
        raise ValueError("demos have no steps; expected at least one action to copy")
    return float(np.log(chances).mean())
