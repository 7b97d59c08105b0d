r"""Guided cost learning on a table: the model plans, the likelihood is estimated from samples.

The model is the one of the lecture's importance weights,
:math:`p_w(\tau) \propto p(\tau) \exp \sum_t \gamma^t w^\top \phi(s_t, a_t)`.  With infinitely many
samples this is :func:`irl_lib.max_ent.max_ent` with ``causal=False``.

Reference: Finn, Levine, Abbeel (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from irl_lib import demonstrations, planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.guided_cost.weights import log_weights, mixture_log_density, model_log_density
from irl_lib.mdp import MDP, check_mdp, feature_matrix
from irl_lib.metrics import effective_sample_size
from irl_lib.support.checks import (
    Array,
    check_count,
    check_real,
    check_type,
    check_whole_seed,
)
from irl_lib.support.progress import counted
from irl_lib.support.result import Result

Store = list[tuple[Demonstrations, Array]]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GuidedCostTabularResult(Result):
    """What :func:`guided_cost_tabular` found; like all that samples, it claims no convergence.

    The policy is the last sampler, ``(T, S, A)``.  ``history`` has ``effective_share``, of the
    batch, and ``gradient``, the norm of the estimate, whose last one is the certificate.
    """

    weights: Array
    """``(K,)``: the mean of the last half of the iterations."""
    reward: Array
    """``(S, A)``: ``features @ weights``."""


def guided_cost_tabular(
    mdp: MDP,
    features: Any,
    demos: Demonstrations,
    *,
    seed: int,
    episodes: int = 50,
    memory: int = 5,
    l2: float = 1e-3,
    learning_rate: float = 0.3,
    max_iterations: int = 60,
    progress: bool = False,
) -> GuidedCostTabularResult:
    r"""A linear reward from demonstrations and from sampled trajectories.

    An iteration draws trajectories of the sampler, weighs a batch of these, of those of the
    samplers before it and of the demonstrations, takes a damped Newton step on the likelihood that
    is estimated from them, and moves the sampler towards the model's policy.

    Args:
        mdp: S states, A actions, a horizon T.
        features: as :func:`irl_lib.mdp.feature_matrix` takes them.
        demos: trajectories of T steps.
        seed: a whole number >= 0; the only source of randomness.
        episodes: drawn in an iteration.
        memory: how many iterations' episodes a batch has.
        l2: weight of :math:`\tfrac12 \|w\|^2`.
        learning_rate: share of the Newton step, and of the sampler's way to the model's policy.
        max_iterations: how many.
        progress: show a progress bar (needs tqdm).

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-importance-gradient, eq-importance-weight
    """
    phi = _checked(mdp, features, demos)
    rate = check_real("learning_rate", learning_rate, 0.0, open_end=True, most=1.0)
    ridge, rng = check_real("l2", l2, 0.0), np.random.default_rng(check_whole_seed(seed))
    check_count("episodes", episodes), check_count("memory", memory)
    mean_shown = _collected(mdp, phi, demos).mean(axis=0)
    weights, rows = np.zeros(phi.shape[1]), []
    store: Store = []
    shape = (mdp.n_states, mdp.n_actions)
    policy = np.full((mdp.horizon or 0, *shape), 1.0 / mdp.n_actions)
    n = check_count("max_iterations", max_iterations)
    path = np.empty((n, phi.shape[1]))
    for i in counted("guided_cost_tabular", "iterations", n, shown=progress):
        drawn = demonstrations.sample(mdp, policy, episodes, rng)
        store = [*store, (drawn, policy)][-memory:]
        collected, logs = _batch(mdp, phi, store, demos, weights)
        shares = log_weights(collected @ weights, logs)
        step, norm = _newton(collected, np.exp(shares), mean_shown, weights, ridge)
        weights = path[i] = weights + rate * step
        rows.append((effective_sample_size(shares) / shares.size, norm))
        model = planning.trajectory_posterior(mdp, (phi @ weights).reshape(shape)).policy
        mixed = (1.0 - rate) * np.log(policy) + rate * np.log(np.maximum(model, 1e-12))
        policy = np.exp(mixed - logsumexp(mixed, axis=-1, keepdims=True))
    weights, (share, norms) = path[n // 2 :].mean(axis=0), np.array(rows).T
    return GuidedCostTabularResult(
        policy=policy,
        history={"effective_share": share, "gradient": norms},
        converged=False,
        message="took all of its iterations",
        certificate={"gradient": float(norms[-1])},
        weights=weights,
        reward=np.asarray(phi @ weights).reshape(shape),
    )


def _checked(mdp: MDP, features: Any, demos: Demonstrations) -> Array:
    """``(S*A, K)``, when the rest fits, too."""
    if check_mdp(mdp).horizon is None:
        raise ValueError(f"mdp is {mdp}; expected a finite horizon")
    check_type("demos", demos, Demonstrations).check(mdp)
    lengths = sorted({len(each) for each in demos.actions})
    if lengths != [mdp.horizon]:
        raise ValueError(f"demos have {lengths} steps; expected {mdp.horizon}, the horizon")
    matrix = feature_matrix(mdp, features)
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _collected(mdp: MDP, phi: Array, demos: Demonstrations) -> Array:
    """``(N, K)``: discounted features of each trajectory."""
    step, total = demos.steps(), np.zeros((len(demos), phi.shape[1]))
    visited = phi[step.state * mdp.n_actions + step.action]
    np.add.at(total, step.trajectory, mdp.discount ** step.time[:, None] * visited)
    return total


def _log_density(policy: Array, demos: Demonstrations) -> Array:
    """``(N,)``: of the actions of each trajectory."""
    step = demos.steps()
    with np.errstate(divide="ignore"):
        logs = np.log(policy[step.time, step.state, step.action])
    return np.asarray(np.bincount(step.trajectory, logs, minlength=len(demos)), dtype=np.float64)


def _batch(
    mdp: MDP, phi: Array, store: Store, demos: Demonstrations, weights: Array
) -> tuple[Array, Array]:
    """What all trajectories collect, and the log-density of the mixture they come from."""
    groups = [drawn for drawn, _ in store]
    drawn = np.concatenate([_collected(mdp, phi, each) for each in groups])
    of_demos = _collected(mdp, phi, demos)
    logs = [
        np.concatenate([_log_density(pi, each) for each in [*groups, demos]]) for _, pi in store
    ]
    mixture = mixture_log_density(np.transpose(logs), [len(each) for each in groups])
    collected, n = np.concatenate([drawn, of_demos]), len(drawn)
    own = model_log_density(collected @ weights, drawn @ weights, mixture[:n])
    both = np.transpose([mixture, own])
    return collected, mixture_log_density(both, [n, len(demos)])


def _newton(
    collected: Array, shares: Array, shown: Array, weights: Array, l2: float
) -> tuple[Array, float]:
    """A damped Newton step on the estimated likelihood, and the norm of its gradient."""
    mean = shares @ collected
    curvature = (collected - mean).T @ ((collected - mean) * shares[:, None])
    damping = 0.05 * np.diag(collected.var(axis=0)) + (l2 + 1e-9) * np.eye(mean.size)
    gradient = shown - mean - l2 * weights
    step = np.asarray(np.linalg.solve(curvature + damping, gradient), dtype=np.float64)
    return step, float(np.linalg.norm(gradient))
