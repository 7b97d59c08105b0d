r"""The likelihood of demonstrations under a reward that is a network, and its climb.

With the reward :math:`r_\theta` a network, the chain rule goes through the table of rewards,

.. math::
    \nabla_\theta L = \sum_{s,a} (\rho_E - \rho_\theta)(s,a)\, \nabla_\theta r_\theta(s,a) ,

the difference of visitations of :mod:`irl_lib.table_likelihood`, sent back through the network:
torch never sees the planning.  :math:`L` is no longer concave in :math:`\theta`; but it is smooth,
exact and without noise, so that it is climbed by L-BFGS on the parameters as one vector.

References: Ziebart (2010); Wulfmeier, Ondrúška and Posner (2015).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import optimize
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from irl_lib import planning
from irl_lib.demonstrations import Demonstrations
from irl_lib.max_ent.likelihood import Shown, shown_by, table_objective
from irl_lib.max_ent.linear import HOPELESS
from irl_lib.mdp import MDP
from irl_lib.networks import input_tensor, reward_tensor
from irl_lib.support.checks import Array, check_array, check_count, check_flag, check_real
from irl_lib.support.progress import bar

MEMORY = 20  # pairs of steps and gradients from which L-BFGS guesses the curvature


@dataclass(frozen=True, eq=False)
class DeepMaxEntResult:
    """What :func:`deep_max_ent` recovered, and how far it got."""

    reward: nn.Module
    """A trained copy of the network, in double precision, at the last parameters of the climb."""
    rewards: Any
    """``(S, A)``: what it says of each state and action; a tuple of them for several MDPs."""
    policy: Any
    """``(S, A)`` or ``(T, S, A)``: soft-optimal for that; a tuple of them for several MDPs."""
    history: dict[str, Array]
    """``objective`` and ``gradient_norm``, one entry per iteration."""
    gradient_norm: float
    """Euclidean norm of the gradient in the parameters, at the last ones."""
    converged: bool
    """Whether that is below the tolerance; the stationary point need not be the best one."""
    message: str


def deep_max_ent(
    mdp: MDP | Sequence[MDP],
    reward_net: nn.Module,
    demos: Any,
    features: Any,
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
        reward_net: maps ``features`` to rewards, one for each vector, such as
            :class:`irl_lib.networks.RewardNet`; it is copied, not changed.
        demos: demonstrations; or the expert's occupancy ``(S, A)``.
        features: what the network sees of states, ``(S, d)``, or of states and actions,
            ``(S, A, d)``.
        objective: ``"likelihood"``: the mean over trajectories of
            :math:`\sum_t \gamma^t \log \pi_\theta(a_t|s_t)`, which is at most 0; or ``"dual"``:
            :math:`\mathbb{E}_{\mathcal{D}} \sum_t \gamma^t r_\theta - \mathbb{E} V_0`, that of
            :func:`max_ent`.  They are the same for the occupancy of a policy.  The likelihood is
            that of the actions shown; the dual has who has terminated stay in the absorbing state,
            all actions alike.  Demonstrations have
            some luck in a random world; a flexible reward then takes the dual towards infinity,
            unless ``l2`` stops it.
        l2: weight of half the squared norm of the parameters, biases included (which
            :func:`irl_lib.guided_cost.guided_cost_learning` leaves out).
        tolerance: on the gradient norm.
        max_iterations: of L-BFGS, the start included.
        progress: show a progress bar (needs tqdm).

    Returns:
        DeepMaxEntResult at the last parameters.  When the tolerance is not met, or rewards run off
        to infinity, ``converged`` is False, ``message`` says why, and a warning repeats it.

    Raises:
        ValueError: naming a bad argument; or when the network that is passed has rewards that are
            not finite, or for which no finite soft value exists.
        ImportError: when torch is missing.

    Implements: eq-nonlinear-maxent

    References: Wulfmeier, Ondrúška and Posner (2015); Ziebart (2010).
    """
    check_flag("progress", progress)
    check_real("tolerance", tolerance, 0.0, open_end=True)
    check_count("max_iterations", max_iterations)
    problem = NeuralLikelihood(mdp, reward_net, demos, features, objective, l2)
    with _DeepLog(problem, tolerance, progress) as log:
        last = climb(problem, problem.start(), log.add, max_iterations)
    return _deep_result(problem, last, log, isinstance(mdp, MDP))


class _DeepLog:
    """Keeps the history of :func:`deep_max_ent`, and shows the progress."""

    def __init__(self, problem: NeuralLikelihood, tolerance: float, progress: bool) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.rows: list[tuple[float, float]] = []
        self.hopeless = False
        self.bar: Any = bar("deep_max_ent", "iterations") if progress else None

    def __enter__(self) -> _DeepLog:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, found: Point) -> bool:
        """Note an iteration; True when the tolerance is met, or rewards run off to infinity."""
        self.rows.append((found.value, found.norm))
        if self.bar is not None:
            self.bar.update()
            self.bar.set_postfix(objective=f"{found.value:.6g}", gradient=f"{found.norm:.2g}")
        self.hopeless = any(np.abs(reward).max() > HOPELESS for reward in self.problem.rewards())
        return self.hopeless or found.norm <= self.tolerance


def _deep_result(
    problem: NeuralLikelihood, last: Point, log: _DeepLog, single: bool
) -> DeepMaxEntResult:
    met = last.norm <= log.tolerance and not log.hopeless
    message = "the gradient norm is below the tolerance"
    if log.hopeless:
        message = (
            f"a reward is beyond {HOPELESS:g}: no finite parameters are optimal; use l2 > 0, or "
            "objective='likelihood'"
        )
    elif not met:
        message = (
            f"stopped after {len(log.rows)} iterations at gradient norm {last.norm:.3g}, above the "
            f"tolerance {log.tolerance:g}: the last parameters are returned"
        )
    if not met:
        warnings.warn(f"deep_max_ent: {message}", RuntimeWarning, stacklevel=3)
    problem.parameters = last.parameters
    rewards = problem.rewards()
    mdps = [task.mdp for task in problem.tasks]
    policies = [
        planning.unchecked_soft_plan(*each).policy for each in zip(mdps, rewards, strict=True)
    ]
    return DeepMaxEntResult(
        reward=problem.net,
        rewards=rewards[0] if single else tuple(rewards),
        policy=policies[0] if single else tuple(policies),
        history=dict(zip(("objective", "gradient_norm"), np.array(log.rows).T.copy(), strict=True)),
        gradient_norm=last.norm,
        converged=met,
        message=message,
    )


class Task(NamedTuple):
    """Demonstrations in their MDP, and what the network sees of it."""

    mdp: MDP
    inputs: torch.Tensor
    """``(S, d)`` or ``(S, A, d)``."""
    shown: Shown


class Point(NamedTuple):
    """The objective at some parameters."""

    parameters: Array
    """``(P,)``."""
    value: float
    gradient: Array
    """``(P,)``."""

    @property
    def norm(self) -> float:
        """Euclidean norm of the gradient."""
        return float(np.linalg.norm(self.gradient))


class NeuralLikelihood:
    """The log-likelihood as a function of the parameters ``(P,)`` of a copy of a network.

    Args:
        mdp: S states, A actions; or a sequence of them, with as many demos and features: then the
            objective is the sum.
        reward_net: maps ``features`` to rewards; copied, in double precision.
        demos: demonstrations, or an occupancy ``(S, A)``.
        features: ``(S, d)`` or ``(S, A, d)``.
        objective: ``"likelihood"`` or ``"dual"``, as :mod:`irl_lib.table_likelihood` has them.
        l2: weight of half the squared norm of the parameters.

    Raises:
        ValueError: naming a bad argument.
    """

    def __init__(
        self, mdp: Any, reward_net: nn.Module, demos: Any, features: Any, objective: str, l2: float
    ) -> None:
        if not isinstance(reward_net, nn.Module):
            raise ValueError(f"reward_net is {reward_net!r}; expected a torch.nn.Module")
        self.net = copy.deepcopy(reward_net).double().eval()
        self.trained = [p for p in self.net.parameters() if p.requires_grad]
        if not self.trained:
            raise ValueError("reward_net has no parameters to train; expected at least one")
        self.l2 = check_real("l2", l2, 0.0)
        given = _aligned(mdp, demos, features)
        where = [""] if isinstance(mdp, MDP) else [f"map {i}: " for i in range(len(given))]
        self.tasks = [_task(*each, objective) for each in zip(where, given, strict=True)]
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

    def evaluate(self, parameters: Array) -> Point:
        """The objective and its gradient; the network is left at these parameters.

        Raises:
            irl_lib.planning.DivergenceError: where the objective is minus infinity or no number.

        Implements: eq-nonlinear-maxent
        """
        self.parameters = parameters
        self.net.zero_grad()
        value = -0.5 * self.l2 * float(parameters @ parameters)
        for task in self.tasks:
            value += self._push_back(task)
        slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.trained]
        gradient = parameters_to_vector(slopes).numpy() - self.l2 * parameters
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise planning.DivergenceError("the objective or its gradient is no finite number")
        return Point(parameters.copy(), value, gradient)

    def _push_back(self, task: Task) -> float:
        """One task's part of the objective; its gradient is added to the network's."""
        table = reward_tensor(task.mdp, self.net, task.inputs)
        reward = table.detach().numpy()
        if not np.isfinite(reward).all():
            raise planning.DivergenceError("a reward is no finite number")
        found = table_objective(task.mdp, task.shown, reward)
        torch.autograd.backward(table, torch.from_numpy(found.gradient))
        return found.value

    def start(self) -> Point:
        """The objective at the parameters that the network came with.

        Raises:
            ValueError: where it is minus infinity.
        """
        try:
            return self.evaluate(self.parameters)
        except planning.DivergenceError as error:
            raise ValueError(
                f"reward_net has parameters for which no finite soft value exists ({error}); pass "
                "one under which a step costs more than the entropy of its actions"
            ) from None

    def attempt(self, parameters: Array) -> Point | None:
        """The objective, or None where it is minus infinity."""
        try:
            return self.evaluate(parameters)
        except planning.DivergenceError:
            return None


def climb(
    objective: NeuralLikelihood, start: Point, note: Callable[[Point], bool], max_iterations: int
) -> Point:
    """L-BFGS from a point, until ``note`` returns True or nothing more is gained.

    Where its line search fails, its memory of the curvature is dropped, and it starts anew.
    """
    done, here, used = note(start), start, 1
    while not done and used < max_iterations:
        path = _l_bfgs(objective, here, note, max_iterations - used)
        used += len(path.points)
        done = path.done or not path.points
        here = path.points[-1] if path.points else here
    return here


class _Path(NamedTuple):
    points: list[Point]
    done: bool


def _l_bfgs(
    objective: NeuralLikelihood, start: Point, note: Callable[[Point], bool], iterations: int
) -> _Path:
    latest = accepted = start
    points: list[Point] = []
    done = False

    def negative(parameters: Array) -> tuple[float, Array]:
        nonlocal latest
        found = objective.attempt(parameters)
        if found is None:
            # No finite value here: a hill as steep as the slope up to it halves the step.
            gain = float(accepted.gradient @ (parameters - accepted.parameters))
            return abs(gain) - accepted.value, accepted.gradient
        latest = found
        return -found.value, -found.gradient

    def step(parameters: Array) -> None:
        nonlocal accepted, done
        same = np.array_equal(parameters, latest.parameters)
        accepted = latest if same else objective.evaluate(parameters)
        points.append(accepted)
        done = note(accepted)
        if done:
            raise StopIteration  # which is how a callback ends scipy's iteration

    limits = {"maxiter": iterations, "maxfun": 20 * iterations, "maxcor": MEMORY}
    optimize.minimize(
        negative,
        start.parameters,
        jac=True,
        method="L-BFGS-B",
        callback=step,
        options={**limits, "ftol": 0.0, "gtol": 0.0},
    )
    return _Path(points, done)


def _task(where: str, given: tuple[MDP, Any, Any], objective: str) -> Task:
    """A task; an error begins with ``where``."""
    mdp, demos, features = given
    try:
        return Task(mdp, input_tensor(mdp, features), shown_by(mdp, demos, objective))
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _aligned(mdp: Any, demos: Any, features: Any) -> list[tuple[MDP, Any, Any]]:
    if isinstance(mdp, MDP):
        return [(mdp, demos, features)]
    if not isinstance(mdp, Sequence) or not all(isinstance(each, MDP) for each in mdp):
        raise ValueError(f"mdp is {mdp!r}; expected an MDP, or a sequence of them")
    for name, each in (("demos", demos), ("features", features)):
        if isinstance(each, Demonstrations) or not isinstance(each, Sequence | np.ndarray):
            raise ValueError(
                f"{name} is {each!r}; expected a sequence of {len(mdp)}, one for each MDP"
            )
    lengths = [len(each) for each in (mdp, demos, features)]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"mdp, demos and features have {lengths[0]}, {lengths[1]} and {lengths[2]} entries; "
            "expected as many of each, and at least one"
        )
    return list(zip(mdp, demos, features, strict=True))
