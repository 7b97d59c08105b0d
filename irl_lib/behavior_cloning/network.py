"""Cloning as supervised learning: the policy of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.networks import PolicyNet, l2_penalty, one_thread
from irl_lib.support.checks import (
    check_count,
    check_real,
    check_type,
    check_whole_seed,
)
from irl_lib.support.progress import counted
from irl_lib.support.result import Result, warn_early

Data: TypeAlias = tuple[Tensor, Tensor]  # observations (N, d); actions (N,) or (N, m)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class NetworkCloneResult(Result):
    """What :func:`clone_network` found, and how far it got; no reward.

    ``policy`` is a :class:`irl_lib.networks.PolicyNet` with the parameters of the last iteration,
    never the best one's.  ``history`` has the mean ``log_likelihood`` over the steps that were
    trained on, in nats, after each iteration, and ``validation_log_likelihood`` if there was a
    share.  ``certificate["change"]`` is by how much the former still changed.
    """

    @property
    def log_likelihood(self) -> float:
        """Of the last iteration, the mean over the steps that were trained on, in nats."""
        return float(self.history["log_likelihood"][-1])


def clone_network(
    env: Any,
    demos: Demonstrations,
    *,
    seed: int,
    hidden: Sequence[int] = (64, 64),
    sd: float | None = None,
    l2: float = 0.0,
    max_iterations: int = 100,
    batch: int | None = 256,
    learning_rate: float = 1e-3,
    validation: float = 0.0,
    tolerance: float = 0.01,
    progress: bool = False,
) -> NetworkCloneResult:
    r"""A network trained to make the demonstrated actions likely, with Adam.

    Observations are shifted and scaled by their mean and standard deviation over the training data;
    whole-numbered states become one-hot vectors.  The parameters of the last iteration are
    returned: choosing the best ones by any score would make that score a part of the training.

    Args:
        env: what acts are possible in: a Gymnasium environment, the pair of its observation and
            action spaces, or an :class:`irl_lib.mdp.MDP`.  Actions are of a Discrete space or a
            Box, observations of any space that :mod:`irl_lib.demonstrations.spaces` takes.
        demos: from that environment.
        seed: of the validation split, the initial weights and the batches.
        hidden: sizes of the hidden layers; none for a linear policy.
        sd: with real actions, the fixed standard deviation of the Gaussian; default: learned.  A
            fixed one makes the problem least squares.
        l2: weight of :math:`\tfrac12 \|W\|^2`, over all weights but not the biases.
        max_iterations: passes over the data.
        batch: steps per gradient; None for all at once.
        learning_rate: Adam's.
        validation: share of the trajectories, whole ones, that is not trained on; 0 for none.
        tolerance: in nats per step: see ``converged``.
        progress: show a progress bar (needs tqdm).

    Returns:
        NetworkCloneResult, whose ``policy.act`` takes the environment's observations and returns
        actions within its bounds.  When the mean log-likelihood over the last tenth of the
        iterations differs by more than ``tolerance`` from that over the tenth before, ``converged``
        is False and a :class:`irl_lib.ConvergenceWarning` says so.

    Raises:
        ValueError: naming a bad argument, when the demonstrations do not fit the spaces, or when
            training leaves the finite numbers.
        ImportError: when torch is missing.

    Implements: eq-bc-objective
    """
    n, weight = check_count("max_iterations", max_iterations), check_real("l2", l2, 0.0)
    rate = check_real("learning_rate", learning_rate, 0.0, open_end=True)
    room = check_real("tolerance", tolerance, 0.0, open_end=True)
    size = None if batch is None else check_count("batch", batch)
    rng = torch.Generator().manual_seed(check_whole_seed(seed) % 2**64)
    places = _from_zero(spaces.spaces_of(env))
    check_type("demos", demos, Demonstrations).check_spaces(*places)
    if demos.n_steps == 0:
        raise ValueError("demos have no steps; expected at least one action to copy")
    parts = _split(demos, validation, rng)
    watched = {name: _tensors(places[0], part) for name, part in parts.items()}
    data = watched["log_likelihood"]
    policy = _network(places, data, rng, hidden, sd)
    optimiser = torch.optim.Adam(policy.parameters(), lr=rate)
    with one_thread():
        noted = [_mean_log_probs(policy, watched)]
        for i in counted("clone_network", "passes", n, shown=progress):
            order = torch.randperm(len(data[1]), generator=rng)
            for rows in torch.split(order, size or len(order)):
                _step(policy, optimiser, (data[0][rows], data[1][rows]), weight)
            noted.append(_mean_log_probs(policy, watched))
            _check_finite(noted[-1], i + 1, rate)
    return _result(policy, noted, room)


def _from_zero(places: tuple[Any, Any]) -> tuple[Any, Any]:
    for name, space in zip(("observation_space", "action_space"), places, strict=True):
        if spaces.is_numbered(space) and int(space.start) != 0:
            raise ValueError(f"{name} is {space}; expected whole numbers from 0 on")
    return places


def _split(
    demos: Demonstrations, validation: float, rng: torch.Generator
) -> dict[str, Demonstrations]:
    """Trajectories to train on and others to validate on, whole ones, by what is noted of them."""
    share = check_real("validation", validation, 0.0)
    if share == 0.0:
        return {"log_likelihood": demos}
    n = max(1, round(share * len(demos)))
    if share >= 1.0 or n >= len(demos):
        raise ValueError(
            f"validation is {validation!r} of {len(demos)} trajectories; expected a share in "
            "[0, 1) that leaves at least one to train on"
        )
    order = torch.randperm(len(demos), generator=rng).numpy()
    kept, held_out = demos.select(order[n:]), demos.select(order[:n])
    return {"log_likelihood": kept, "validation_log_likelihood": held_out}


def _tensors(observation_space: Any, demos: Demonstrations) -> Data:
    step = demos.steps()
    seen, kind = step.state, torch.long if demos.action_width is None else torch.float32
    if demos.state_width is None:
        seen = np.eye(int(observation_space.n))[seen]
    return torch.tensor(seen, dtype=torch.float32), torch.tensor(step.action, dtype=kind)


def _network(
    places: tuple[Any, Any],
    data: Data,
    rng: torch.Generator,
    hidden: Sequence[int],
    sd: float | None,
) -> PolicyNet:
    """A network for these spaces, its inputs in units of the data."""
    unit: tuple[Any, Any] = (None, None)
    if not spaces.is_numbered(places[0]):
        unit = spaces.standard_unit(data[0].double().numpy())
    numbered = spaces.is_numbered(places[1])
    n_actions = int(places[1].n) if numbered else None
    action_size = None if numbered else data[1].shape[1]
    sizes = data[0].shape[1], rng, n_actions, action_size
    return PolicyNet(*sizes, hidden, sd, *unit, *places)


def _step(policy: PolicyNet, optimiser: torch.optim.Optimizer, data: Data, l2: float) -> None:
    """One of Adam's, down the penalised mean log-loss of some steps."""
    optimiser.zero_grad()
    loss = l2_penalty(policy, l2) - policy.log_prob(*data).mean()
    torch.autograd.backward(loss)
    optimiser.step()


def _mean_log_probs(policy: PolicyNet, watched: dict[str, Data]) -> dict[str, float]:
    with torch.no_grad():
        return {
            name: float(policy.log_prob(*data).double().mean()) for name, data in watched.items()
        }


def _check_finite(noted: dict[str, float], passes: int, learning_rate: float) -> None:
    for name, value in noted.items():
        if not np.isfinite(value):
            raise ValueError(
                f"the {name.replace('_', ' ')} is {value} after pass {passes}: learning_rate "
                f"{learning_rate:g} is too high for these data"
            )


def _result(
    policy: PolicyNet, noted: list[dict[str, float]], tolerance: float
) -> NetworkCloneResult:
    """Judged by the change of the log-likelihood from one tenth of the passes to the next.

    Of a single pass, that is the change from what the network was before it.
    """
    values = {name: np.array([each[name] for each in noted]) for name in noted[0]}
    window, trained = max(1, len(noted) // 10), values["log_likelihood"]
    change = float(trained[-window:].mean() - trained[-2 * window : -window].mean())
    message = f"the log-likelihood last changed by {change:.2g} nats per step"
    if abs(change) > tolerance:
        message += (
            f", more than the tolerance of {tolerance:g}: more passes would change the policy"
        )
        warn_early("clone_network", message)
    return NetworkCloneResult(
        policy=policy,
        history={name: each[1:] for name, each in values.items()},
        converged=abs(change) <= tolerance,
        message=message,
        certificate={"change": abs(change)},
    )
