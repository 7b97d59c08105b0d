r"""The game on a table: both players' moves are exact, and nothing is drawn at random.

The policy moves by :math:`\pi \propto \pi^{1-\eta\alpha} \exp(\eta Q)`, with Q of what it is
paid, the step :math:`\eta` and the temperature :math:`\alpha`.  GAIL's discriminator is the best
one, :math:`x = \log p_E - \log p_\pi`; AIRL's is a logistic regression on a reward and a
potential, which goes on in each round from where it was.

References: Ho and Ermon (2016); Fu, Luo, Levine (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from irl_lib import planning
from irl_lib.demonstrations import complete_occupancy
from irl_lib.mdp import MDP, check_mdp, feature_matrix
from irl_lib.support.checks import Array, check_count, check_flag, check_real
from irl_lib.support.progress import bar
from irl_lib.support.result import Result, warn_early

STEPS = 100  # of L-BFGS at most, in a round, from where the last round ended
CHECKED = 10  # rounds from one look at the gap to the next


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TabularGailResult(Result):
    """What :func:`gail_tabular` found: a policy; the discriminator keeps no reward.

    ``history`` has ``divergence``, of Jensen and Shannon; the certificate is ``gap``: how much more
    than this policy another one could earn from the last discriminator, per step.
    """

    paid: Array
    """``(S, A)``: what the last discriminator pays, :math:`-\\log(1 - D)`."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TabularAirlResult(Result):
    """What :func:`airl_tabular` found: a policy, and a reward apart from its shaping.

    The certificate has ``policy_gap``, the largest difference of a probability from the
    soft-optimal policy of ``advantage``.  ``history`` has it for each round.
    """

    reward: Array
    """``(S, A)``: g; where it is one of states, the same for all actions."""
    potential: Array
    """``(S,)``: h."""
    advantage: Array
    """``(S, A)``: :math:`f = g + \\gamma \\mathbb{E} h(s') - h(s)`."""


def gail_tabular(
    mdp: MDP,
    demos: Any,
    *,
    entropy_weight: float = 0.0,
    learning_rate: float = 0.3,
    max_iterations: int = 2_000,
    tolerance: float = 1e-3,
    progress: bool = False,
) -> TabularGailResult:
    r"""Generative adversarial imitation with the best discriminator in every round.

    The policy that ends the game has the occupancy that is nearest to the expert's in the
    divergence of Jensen and Shannon, less ``entropy_weight`` times its entropy.

    Args:
        mdp: S states, A actions; no horizon, and a discount below one.
        demos: whole demonstrations, or the expert's occupancy ``(S, A)``.
        entropy_weight: the temperature.
        learning_rate: of the policy.
        max_iterations: rounds at most.
        tolerance: on the gap.
        progress: show a progress bar (needs tqdm).

    Returns:
        TabularGailResult.  When the tolerance is not met, ``converged`` is False, and a warning
        says so.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-gail-objective

    Example:
        >>> from irl_lib import worlds
        >>> world = worlds.gridworld(4, seed=1, discount=0.9)
        >>> expert = planning.soft_value_iteration(world.mdp, world.reward).policy
        >>> found = gail_tabular(world.mdp, planning.occupancy(world.mdp, expert))
        >>> found.converged, bool(np.abs(found.policy - expert).max() < 0.1)
        (True, True)
    """
    alpha = check_real("entropy_weight", entropy_weight, 0.0)
    rate, _ = _settings(learning_rate, max_iterations, tolerance)
    shown = _normalised(_discounted(mdp), demos)
    log_pi = np.full(shown.shape, -np.log(mdp.n_actions))
    divergences: list[float] = []
    with bar("gail_tabular", "rounds", max_iterations, shown=progress) as moving:
        while True:
            pi = np.exp(log_pi)
            own = planning.unchecked_occupancy(mdp, pi) / mdp.mass
            with np.errstate(divide="ignore"):
                paid = np.log1p(shown / own)  # -log(1 - D)
            v = planning.policy_value(mdp, pi, paid, alpha)
            divergences.append(_divergence(shown, own))
            last = len(divergences) > max_iterations
            if last or len(divergences) % CHECKED == 1:  # which needs planning
                gap = _gap(mdp, paid, v, alpha)
                if last or gap <= tolerance:
                    break
            q = paid + mdp.discount * mdp.expect(v)
            log_pi = _logs((1.0 - rate * alpha) * log_pi + rate * q)
            moving.update()
    met, message = _verdict("gail_tabular", "gap", gap, tolerance)
    return TabularGailResult(
        policy=pi,
        history={"divergence": np.array(divergences)},
        converged=met,
        message=message,
        certificate={"gap": gap},
        paid=paid,
    )


def airl_tabular(
    mdp: MDP,
    demos: Any,
    *,
    features: Any = None,
    state_only: bool = True,
    l2: float = 1e-5,
    learning_rate: float = 0.5,
    max_iterations: int = 200,
    tolerance: float = 1e-3,
    progress: bool = False,
) -> TabularAirlResult:
    r"""Adversarial inverse reinforcement learning with an exact discriminator in every round.

    Its logit is :math:`g(s) + \gamma \mathbb{E} h(s') - h(s) - \log \pi(a \mid s)`, and the policy
    is paid that.  Expectations over next states are exact, so that the game can end where the
    dynamics are random, too.

    Args:
        mdp: S states, A actions; no horizon, and a discount below one.
        demos: whole demonstrations, or the expert's occupancy ``(S, A)``.
        features: g is linear in these, as :func:`irl_lib.mdp.feature_matrix` takes them; default:
            a table.
        state_only: of a table, one number for each state, and not for each action of it.
        l2: weight of half the squared norm of g's and h's parameters, relative to one step of the
            expert.
        learning_rate: of the policy.
        max_iterations: rounds at most.
        tolerance: on the policy's gap.
        progress: show a progress bar (needs tqdm).

    Returns:
        TabularAirlResult.  When the tolerance is not met, ``converged`` is False, and a warning
        says so.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-structured-discriminator
    """
    ridge = check_real("l2", l2, 0.0)
    rate, _ = _settings(learning_rate, max_iterations, tolerance)
    shown = _normalised(_discounted(mdp), demos)
    table = _design(mdp, features, check_flag("state_only", state_only))
    log_pi, theta = np.full(shown.shape, -np.log(mdp.n_actions)), np.zeros(table.shape[1])
    gaps: list[float] = []
    with bar("airl_tabular", "rounds", max_iterations, shown=progress) as moving:
        while True:
            pi = np.exp(log_pi)
            own = planning.unchecked_occupancy(mdp, pi) / mdp.mass
            theta = _fit(table, shown.ravel(), own.ravel(), log_pi.ravel(), ridge, theta)
            f = (table @ theta).reshape(pi.shape)
            best = planning.soft_value_iteration(mdp, f).policy
            gaps.append(float(np.abs(best - pi).max()))
            if gaps[-1] <= tolerance or len(gaps) > max_iterations:
                break
            v = planning.policy_value(mdp, pi, f, temperature=1.0)
            q = f + mdp.discount * mdp.expect(v)
            log_pi = _logs((1.0 - rate) * log_pi + rate * q)
            moving.update()
    met, message = _verdict("airl_tabular", "policy gap", gaps[-1], tolerance)
    g, h = theta[: -mdp.n_states], theta[-mdp.n_states :]
    return TabularAirlResult(
        policy=pi,
        history={"policy_gap": np.array(gaps)},
        converged=met,
        message=message,
        certificate={"policy_gap": gaps[-1]},
        reward=(table[:, : -mdp.n_states] @ g).reshape(pi.shape),
        potential=h,
        advantage=f,
    )


def _fit(table: Array, shown: Array, own: Array, log_pi: Array, l2: float, start: Array) -> Array:
    """The logistic regression of the expert's pairs against the policy's."""

    def loss(theta: Array) -> tuple[float, Array]:
        x = table @ theta - log_pi
        value = l2 * theta @ theta / 2.0 - shown @ log_expit(x) - own @ log_expit(-x)
        slope = own * expit(x) - shown * expit(-x)
        return float(value), np.asarray(table.T @ slope + l2 * theta)

    exact = {"gtol": 1e-7, "ftol": 1e-14, "maxiter": STEPS, "maxcor": 30}
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", options=exact).x)


def _design(mdp: MDP, features: Any, state_only: bool) -> Array:
    """``(S*A, K + S)``: from the parameters of g and h to f."""
    n, a = mdp.n_states, mdp.n_actions
    now = np.repeat(np.eye(n), a, axis=0)
    if features is None:
        reward = now if state_only else np.eye(n * a)
    else:
        matrix = feature_matrix(mdp, features)
        reward = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    shaping = mdp.discount * mdp.dense_transitions().reshape(n * a, n) - now
    return np.hstack([reward, shaping])


def _discounted(mdp: MDP) -> MDP:
    """``mdp``, when it goes on for ever and discounts."""
    if check_mdp(mdp).horizon is not None or mdp.discount == 1.0:
        raise ValueError(f"mdp is {mdp}; expected no horizon, and a discount below 1")
    return mdp


def _normalised(mdp: MDP, demos: Any) -> Array:
    """The expert's occupancy as a distribution."""
    shown = complete_occupancy(mdp, demos)
    return np.maximum(shown, 0.0) / mdp.mass


def _settings(learning_rate: float, max_iterations: int, tolerance: float) -> tuple[float, int]:
    check_real("tolerance", tolerance, 0.0, open_end=True)
    rate = check_real("learning_rate", learning_rate, 0.0, open_end=True, most=1.0)
    return rate, check_count("max_iterations", max_iterations)


def _logs(logits: Array) -> Array:
    """Log-probabilities, along the last axis."""
    return np.asarray(logits - logsumexp(logits, axis=-1, keepdims=True))


def _divergence(p: Array, q: Array) -> float:
    """Jensen's and Shannon's, in nats."""
    m = (p + q) / 2.0
    parts = [np.sum(x[x > 0.0] * np.log(x[x > 0.0] / m[x > 0.0])) for x in (p, q)]
    return float(sum(parts) / 2.0)


def _gap(mdp: MDP, paid: Array, v: Array, alpha: float) -> float:
    """By how much the best policy for what is paid beats the present one, per step."""
    if alpha > 0.0:
        best = planning.soft_value_iteration(mdp, paid, alpha).v
    else:
        best = planning.value_iteration(mdp, paid).v
    return max(float(mdp.initial @ (best - v)) / mdp.mass, 0.0)


def _verdict(method: str, what: str, found: float, tolerance: float) -> tuple[bool, str]:
    if found <= tolerance:
        return True, f"the {what} is below the tolerance"
    message = f"stopped with a {what} of {found:.3g}, above the tolerance {tolerance:g}"
    warn_early(method, message)
    return False, message
