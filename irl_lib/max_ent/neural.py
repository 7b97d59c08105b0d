r"""The likelihood of demonstrations under a reward that is a network, and its climb.

With the reward :math:`r_\theta` a network, the chain rule goes through the table of rewards,

.. math::
    \nabla_\theta L = \sum_{s,a} (\rho_E - \rho_\theta)(s,a)\, \nabla_\theta r_\theta(s,a) ,

the difference of visitations of :mod:`irl_lib.max_ent.likelihood`, sent back through the network:
torch never sees the planning.  :math:`L` is no longer concave in :math:`\theta`; but it is smooth,
exact and without noise, so that it is climbed by L-BFGS on the parameters as one vector.

References: Ziebart (2010); Wulfmeier, Ondrúška and Posner (2015).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from irl_lib import planning
from irl_lib.demonstrations import Expert, experts
from irl_lib.max_ent.likelihood import Shown, shown_by, table_objective
from irl_lib.mdp import MDP
from irl_lib.networks import input_tensor, reward_tensor
from irl_lib.support.checks import Array, check_array, check_count, check_real, check_type
from irl_lib.support.result import Result, warn_early
from irl_lib.training.ascent import Point, Run, l_bfgs

HOPELESS = 1e6  # a reward per step, in nats, that only parameters on their way to infinity reach


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DeepMaxEntResult(Result):
    """What :func:`deep_max_ent` recovered, and how far it got.

    The policy is soft-optimal for the reward.  ``history`` has ``objective``, ``gradient_norm`` and
    ``weight_norm``, from the start on; the certificate is ``gradient_norm``, that in the parameters
    at the last ones: the stationary point need not be the best one.
    """

    reward: nn.Module
    """A trained copy of the network, in double precision, at the last parameters of the climb."""
    rewards: Any
    """``(S, A)``: what it says of each state and action; a tuple of them for several MDPs."""


def deep_max_ent(
    mdp: MDP | Sequence[MDP],
    features: Any,
    demos: Any,
    reward_net: nn.Module,
    *,
    objective: str = "likelihood",
    l2: float = 0.0,
    tolerance: float = 1e-2,
    max_iterations: int = 500,
    progress: bool = False,
) -> DeepMaxEntResult:
    r"""Recover a reward that is a network from demonstrations, by maximum likelihood.

    L-BFGS climbs :math:`L(\theta) - \tfrac{1}{2} l_2 \|\theta\|^2`, which is not concave: where it
    ends depends on the parameters that the network comes with.  Nothing is drawn at random.

    Args:
        mdp: S states, A actions; or a sequence of them, with as many demos and features, which
            share the reward: then the objectives add up.
        features: what the network sees of states, ``(S, d)``, or of states and actions,
            ``(S, A, d)``.
        demos: demonstrations; or the expert's occupancy ``(S, A)``.
        reward_net: maps ``features`` to rewards, one for each vector, such as
            :class:`irl_lib.networks.RewardNet`; it is copied, not changed.
        objective: ``"likelihood"``: the mean over trajectories of
            :math:`\sum_t \gamma^t \log \pi_\theta(a_t|s_t)`, which is at most 0; or ``"dual"``:
            :math:`\mathbb{E}_{\mathcal{D}} \sum_t \gamma^t r_\theta - \mathbb{E} V_0`, that of
            :func:`max_ent`.  They are the same for the occupancy of a policy.  The likelihood is
            that of the actions shown; the dual has who has terminated stay in the absorbing state,
            all actions alike.  Demonstrations have some luck in a random world; a flexible reward
            then takes the dual towards infinity, unless ``l2`` stops it.
        l2: weight of half the squared norm of the weights, which are the parameters with two axes
            or more; biases are free.
        tolerance: on the gradient norm.
        max_iterations: of L-BFGS.
        progress: show a progress bar (needs tqdm).

    Returns:
        DeepMaxEntResult at the last parameters.  When the tolerance is not met, or rewards run off
        to infinity, ``converged`` is False, ``message`` says why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument; or when the network that is passed has rewards that are
            not finite, or for which no finite soft value exists.

    Implements: eq-nonlinear-maxent

    References: Wulfmeier, Ondrúška and Posner (2015); Ziebart (2010).
    """
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    problem = NeuralLikelihood(mdp, features, demos, reward_net, objective, l2)
    point = problem.start()
    with Run("deep_max_ent", tolerance, max_iterations, progress, problem.runs_off) as run:
        run.note(point)
        before = None
        while not run.over and point is not before:
            # Where its line search fails, L-BFGS forgets the curvature, and starts anew.
            before, point = point, l_bfgs(run, problem, point)
    return _result(problem, point, run, several=not isinstance(mdp, MDP))


def _result(problem: NeuralLikelihood, last: Point, run: Run, several: bool) -> DeepMaxEntResult:
    met = last.norm <= run.tolerance and not run.lost
    message = "the gradient norm is below the tolerance"
    if run.lost:
        message = (
            f"a reward is beyond {HOPELESS:g}: no finite parameters are optimal; use l2 > 0, or "
            "objective='likelihood'"
        )
    elif not met:
        message = (
            f"stopped after {len(run.rows) - 1} iterations at gradient norm {last.norm:.3g}, above "
            f"the tolerance {run.tolerance:g}: the last parameters are returned"
        )
    if not met:
        warn_early("deep_max_ent", message)
    problem.parameters = last.x
    rewards = problem.rewards()
    plans = [
        planning.unchecked_soft_plan(task.mdp, reward)
        for task, reward in zip(problem.tasks, rewards, strict=True)
    ]
    policies = [plan.policy for plan in plans]
    return DeepMaxEntResult(
        reward=problem.net,
        rewards=tuple(rewards) if several else rewards[0],
        policy=tuple(policies) if several else policies[0],
        history=run.history,
        converged=met,
        message=message,
        certificate={"gradient_norm": last.norm},
    )


class Task(NamedTuple):
    """Demonstrations in their MDP, and what the network sees of it."""

    mdp: MDP
    inputs: torch.Tensor
    """``(S, d)`` or ``(S, A, d)``."""
    shown: Shown


class NeuralLikelihood:
    """The log-likelihood as a function of the parameters ``(P,)`` of a copy of a network.

    Args:
        mdp: as for :func:`deep_max_ent`.
        features: likewise.
        demos: likewise.
        reward_net: likewise; copied, in double precision.
        objective: ``"likelihood"`` or ``"dual"``, as :mod:`irl_lib.max_ent.likelihood` has them.
        l2: weight of half the squared norm of the weights.

    Raises:
        ValueError: naming a bad argument.
    """

    def __init__(
        self, mdp: Any, features: Any, demos: Any, reward_net: nn.Module, objective: str, l2: float
    ) -> None:
        check_type("reward_net", reward_net, nn.Module)
        self.net = copy.deepcopy(reward_net).double().eval()
        self.trained = [p for p in self.net.parameters() if p.requires_grad]
        if not self.trained:
            raise ValueError("reward_net has no parameters to train; expected at least one")
        costs = [torch.full_like(p, float(p.ndim > 1)) for p in self.trained]
        self.l2 = check_real("l2", l2, 0.0) * parameters_to_vector(costs).numpy()
        self.tasks = [_task(each, objective) for each in experts(mdp, features, demos)]
        for reward in self.rewards():
            check_array("reward_net(features)", reward, reward.shape)

    @property
    def parameters(self) -> Array:
        """``(P,)``: the network's, in the order of ``net.parameters()``."""
        return parameters_to_vector(self.trained).detach().numpy().copy()

    @parameters.setter
    def parameters(self, values: Array) -> None:
        vector_to_parameters(torch.tensor(values), self.trained)

    def rewards(self) -> list[Array]:
        """The reward ``(S, A)`` of each task, at the network's parameters."""
        with torch.no_grad():
            return [reward_tensor(t.mdp, self.net, t.inputs).numpy() for t in self.tasks]

    def evaluate(self, x: Array) -> Point | None:
        """The objective and its gradient; the network is left at these parameters.

        None where the objective is minus infinity or no number.

        Implements: eq-nonlinear-maxent
        """
        self.parameters = x
        self.net.zero_grad()
        value = -0.5 * float(x @ (self.l2 * x))
        for task in self.tasks:
            table = reward_tensor(task.mdp, self.net, task.inputs)
            reward = table.detach().numpy()
            if not np.isfinite(reward).all():
                return None
            try:
                found = table_objective(task.mdp, task.shown, reward)
            except planning.DivergenceError:
                return None
            # The chain rule: torch sends the difference of visitations back through the network.
            torch.autograd.backward(table, torch.from_numpy(found.gradient))
            value += found.value
        slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.trained]
        gradient = parameters_to_vector(slopes).numpy() - self.l2 * x
        finite = np.isfinite(value) and np.isfinite(gradient).all()
        return Point(x.copy(), value, gradient) if finite else None

    def start(self) -> Point:
        """The objective at the parameters that the network came with.

        Raises:
            ValueError: where it is minus infinity.
        """
        found = self.evaluate(self.parameters)
        if found is None:
            raise ValueError(
                "reward_net has parameters for which no finite soft value exists; pass one under "
                "which a step costs more than the entropy of its actions"
            )
        return found

    def runs_off(self, point: Point) -> bool:
        """Whether parameters, those of the network, are on their way to infinity."""
        return any(np.abs(reward).max() > HOPELESS for reward in self.rewards())


def _task(expert: Expert, objective: str) -> Task:
    inputs = input_tensor(expert.mdp, expert.features)
    return Task(expert.mdp, inputs, shown_by(expert.mdp, expert.shown, objective, expert.name))
