"""Cloning as supervised learning: the policy of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from irl_lib.demonstrations import Demonstrations, spaces
from irl_lib.mdp import MDP
from irl_lib.networks import PolicyNet, check_torch_rng, one_thread
from irl_lib.support.checks import Array, check_count, check_flag, check_real, check_type
from irl_lib.support.progress import counted


@dataclass(frozen=True, eq=False)
class NetworkCloneResult:
    """What :func:`clone_network` found, and how far it got."""

    policy: PolicyNet
    """With the parameters of the last epoch, never the best one's."""
    log_likelihood: float
    """Mean over the steps that were trained on, in nats."""
    history: dict[str, Array]
    """``log_likelihood`` after each epoch; ``validation_log_likelihood`` if there was a share."""
    converged: bool
    """Whether the log-likelihood had settled within the tolerance."""
    message: str


def clone_network(
    env: Any,
    demos: Demonstrations,
    rng: torch.Generator,
    hidden: Sequence[int] = (64, 64),
    sd: float | None = None,
    l2: float = 0.0,
    epochs: int = 100,
    batch: int | None = 256,
    learning_rate: float = 1e-3,
    validation: float = 0.0,
    tolerance: float = 0.01,
    progress: bool = False,
) -> NetworkCloneResult:
    r"""A network trained to make the demonstrated actions likely, with Adam.

    Observations are shifted and scaled by their mean and standard deviation over the training data;
    whole-numbered states become one-hot vectors.  The parameters of the last epoch are returned:
    choosing the best ones by any score would make that score a part of the training.

    Args:
        env: what acts are possible in: a Gymnasium environment, the pair of its observation and
            action spaces, or an :class:`irl_lib.mdp.MDP`.  Actions are of a Discrete space or a
            Box, observations of any space that :mod:`irl_lib.demonstrations.spaces` takes.
        demos: from that environment.
        rng: a ``torch.Generator``, for the initial weights, the validation split and the batches.
        hidden: sizes of the hidden layers; none for a linear policy.
        sd: with real actions, the fixed standard deviation of the Gaussian; default: learned.  A
            fixed one makes the problem least squares.
        l2: weight of :math:`\tfrac12 \|W\|^2`, over all weights but not the biases.
        epochs: passes over the data.
        batch: steps per gradient; None for all at once.
        learning_rate: Adam's.
        validation: share of the trajectories, whole ones, that is not trained on; 0 for none.
        tolerance: in nats per step: see ``converged``.
        progress: show a progress bar (needs tqdm).

    Returns:
        NetworkCloneResult, whose ``policy.act`` takes the environment's observations and returns
        actions within its bounds.  When the mean log-likelihood over the last tenth of the epochs
        differs by more than ``tolerance`` from that over the tenth before, ``converged`` is False
        and a warning says so.

    Raises:
        ValueError: naming a bad argument, when the demonstrations do not fit the spaces, or when
            training leaves the finite numbers.
        ImportError: when torch is missing.

    Implements: eq-bc-objective
    """
    check_torch_rng(rng)
    check_count("epochs", epochs)
    settings = _Settings(
        check_real("l2", l2, 0.0),
        epochs,
        None if batch is None else check_count("batch", batch),
        check_real("learning_rate", learning_rate, 0.0, open_end=True),
        check_flag("progress", progress),
    )
    room = check_real("tolerance", tolerance, 0.0, open_end=True)
    interface = _interface(env)
    _check_fit(interface, check_type("demos", demos, Demonstrations))
    kept, held_out = _split(demos, validation, rng)
    data = _tensors(interface, kept)
    policy = _network(interface, data, rng, hidden, sd)
    watched = {"log_likelihood": data}
    if held_out is not None:
        watched["validation_log_likelihood"] = _tensors(interface, held_out)
    with one_thread():
        history = _train(policy, data, watched, settings, rng)
    return _result(policy, history, room)


class _Interface(NamedTuple):
    """What a policy reads and writes."""

    observation_space: Any
    action_space: Any
    n_states: int | None
    n_inputs: int
    n_actions: int | None
    action_size: int | None


class _Settings(NamedTuple):
    l2: float
    epochs: int
    batch: int | None
    learning_rate: float
    progress: bool


class _Data(NamedTuple):
    observations: Tensor
    """``(N, d)``."""
    actions: Tensor
    """``(N,)`` or ``(N, m)``."""


class _Discrete(NamedTuple):
    """The states or actions of an MDP, as a space."""

    n: int
    start: int = 0
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"Discrete({self.n})"


def _interface(env: Any) -> _Interface:
    observed, acted = _space_pair(env)
    n_states = _size("observation_space", observed)
    n_actions = _size("action_space", acted)
    if n_actions is None and not hasattr(acted, "low"):
        raise ValueError(f"action_space is {acted}; expected a Discrete space or a Box")
    inputs = n_states or spaces.width("observation_space", observed)
    outputs = None if n_actions else spaces.width("action_space", acted)
    return _Interface(observed, acted, n_states, inputs or 0, n_actions, outputs)


def _space_pair(env: Any) -> tuple[Any, Any]:
    if isinstance(env, MDP):
        return _Discrete(env.n_states), _Discrete(env.n_actions)
    if hasattr(env, "observation_space") and hasattr(env, "action_space"):
        return env.observation_space, env.action_space
    if isinstance(env, tuple) and len(env) == 2:
        return env[0], env[1]
    raise ValueError(
        f"env is {env!r}; expected an MDP, a Gymnasium environment, or the pair of its observation "
        "and action spaces"
    )


def _size(name: str, space: Any) -> int | None:
    """How many whole numbers a space has; None for vectors."""
    if spaces.width(name, space) is not None:
        return None
    if int(space.start) != 0:
        raise ValueError(f"{name} is {space}; expected whole numbers from 0 on")
    return int(space.n)


def _check_fit(interface: _Interface, demos: Demonstrations) -> None:
    demos.check_spaces(interface.observation_space, interface.action_space)
    if demos.n_steps == 0:
        raise ValueError("demos have no steps; expected at least one action to copy")


def _split(
    demos: Demonstrations, validation: float, rng: torch.Generator
) -> tuple[Demonstrations, Demonstrations | None]:
    """Trajectories to train on and others to validate on; whole trajectories only."""
    share = check_real("validation", validation, 0.0)
    if share == 0.0:
        return demos, None
    n = max(1, round(share * len(demos)))
    if share >= 1.0 or n >= len(demos):
        raise ValueError(
            f"validation is {validation!r} of {len(demos)} trajectories; expected a share in "
            "[0, 1) that leaves at least one to train on"
        )
    order = torch.randperm(len(demos), generator=rng).numpy()
    return demos.select(order[n:]), demos.select(order[:n])


def _tensors(interface: _Interface, demos: Demonstrations) -> _Data:
    step = demos.steps()
    seen = np.eye(interface.n_inputs)[step.state] if interface.n_states else step.state
    kind = torch.long if interface.n_actions else torch.float32
    return _Data(torch.tensor(seen, dtype=torch.float32), torch.tensor(step.action, dtype=kind))


def _network(
    interface: _Interface,
    data: _Data,
    rng: torch.Generator,
    hidden: Sequence[int],
    sd: float | None,
) -> PolicyNet:
    centre = scale = None
    if interface.n_states is None:
        values = data.observations.double().numpy()
        centre, spread = values.mean(axis=0), values.std(axis=0)
        # A number that never changes says nothing, and must not be blown up where it does.
        scale = np.where(spread > 1e-6 * (1.0 + np.abs(centre)), spread, 1.0)
    sizes = interface.n_inputs, rng, interface.n_actions, interface.action_size
    places = interface.observation_space, interface.action_space
    return PolicyNet(*sizes, hidden, sd, centre, scale, *places)


def _train(
    policy: PolicyNet,
    data: _Data,
    watched: dict[str, _Data],
    settings: _Settings,
    rng: torch.Generator,
) -> dict[str, Array]:
    """Adam on minibatches; the mean log-likelihoods after each epoch."""
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    history: dict[str, list[float]] = {name: [] for name in watched}
    numbers = counted("clone_network", "epochs", settings.epochs, shown=settings.progress)
    for epoch in numbers:
        for rows in _batches(len(data.actions), settings.batch, rng):
            optimiser.zero_grad()
            loss = _penalised(policy, _Data(*(each[rows] for each in data)), settings.l2)
            torch.autograd.backward(loss)
            optimiser.step()
        for name, part in watched.items():
            history[name].append(_mean_log_prob(policy, part))
            if not np.isfinite(history[name][-1]):
                raise ValueError(
                    f"the {name.replace('_', ' ')} is {history[name][-1]} after epoch {epoch + 1}: "
                    f"learning_rate {settings.learning_rate:g} is too high for these data"
                )
    return {name: np.array(values) for name, values in history.items()}


def _batches(n: int, size: int | None, rng: torch.Generator) -> Iterator[Tensor]:
    """The numbers 0 to n - 1 in a random order, ``size`` at a time."""
    yield from torch.split(torch.randperm(n, generator=rng), size or n)


def _penalised(policy: PolicyNet, data: _Data, l2: float) -> Tensor:
    loss = -policy.log_prob(*data).mean()
    if l2 > 0.0:
        weights = (p for p in policy.body.parameters() if p.ndim == 2)
        for each in weights:
            loss = loss + 0.5 * l2 * (each**2).sum()
    return loss


def _mean_log_prob(policy: PolicyNet, data: _Data) -> float:
    with torch.no_grad():
        return float(policy.log_prob(*data).double().mean())


def _result(policy: PolicyNet, history: dict[str, Array], tolerance: float) -> NetworkCloneResult:
    values = history["log_likelihood"]
    window = max(1, len(values) // 10)
    late, before = values[-window:].mean(), values[-2 * window : -window]
    change = float(late - before.mean()) if before.size else float("inf")
    converged = abs(change) <= tolerance
    message = f"the log-likelihood last changed by {change:.2g} nats per step"
    if not converged:
        message += (
            f", more than the tolerance of {tolerance:g}: more epochs would change the policy"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return NetworkCloneResult(policy, float(values[-1]), history, converged, message)
