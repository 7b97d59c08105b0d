r"""Neural networks: the one place in which a multilayer perceptron is built.

:class:`PolicyNet` is a policy :math:`\pi_\omega(a \mid s)` with a head for whole-numbered actions
(a softmax) or for real ones (a Gaussian).  :class:`RewardNet` is a reward :math:`r_\theta` of what
it is shown, a state or a state and an action; :class:`MapRewardNet` one of a cell and the cells
around it, which is a small convolution over a map.  Weights are torch's own initial ones, drawn
from a seed; torch's global generator is neither read nor moved.

Policies and rewards take numbered states, too: a tensor of whole numbers is one of states, each of
which becomes a one-hot vector, as in torch's own embeddings and losses.  Vectors are floats.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from irl_lib.demonstrations import spaces
from irl_lib.mdp import MDP, check_mdp
from irl_lib.support.checks import (
    Array,
    as_array,
    check_array,
    check_count,
    check_indices,
    check_numbers,
    check_real,
    check_rng,
    check_sizes,
    check_type,
)
from irl_lib.support.draws import draw

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise ImportError('irl_lib.networks needs torch: pip install "irl_lib[torch]"') from error

LOG_2PI = math.log(2.0 * math.pi)


@contextmanager
def seeded(seed: int | torch.Generator) -> Iterator[None]:
    """Torch draws what a seed says meanwhile, and as if nothing had happened after that.

    Args:
        seed: a whole number below 2**64; or a generator, which is moved on by what is drawn.

    Raises:
        ValueError: when it is something else.
    """
    source = seed
    if not isinstance(source, torch.Generator):
        source = torch.Generator().manual_seed(check_count("seed", source, 0, most=2**64 - 1))
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(source.get_state())
        yield
        source.set_state(torch.get_rng_state())


def mlp(sizes: Sequence[int], seed: int | torch.Generator = 0) -> nn.Sequential:
    r"""Linear layers with tanh between them.

    Weights and biases are uniform in :math:`\pm 1/\sqrt{n}`, with ``n`` inputs to the layer.

    Args:
        sizes: inputs, hidden layers, outputs; two numbers make a linear map.
        seed: of the weights, as :func:`seeded` takes it.

    Raises:
        ValueError: for fewer than two sizes, or one below 1.

    Example:
        >>> [tuple(p.shape) for p in mlp([4, 64, 2], seed=0).parameters()]
        [(64, 4), (64,), (2, 64), (2,)]
    """
    numbers = check_sizes("sizes", sizes)
    if len(numbers) < 2:
        raise ValueError(f"sizes is {list(numbers)}; expected at least inputs and outputs")
    with seeded(seed):
        return _layers([nn.Linear(*pair) for pair in itertools.pairwise(numbers)])


def _layers(maps: Sequence[nn.Module]) -> nn.Sequential:
    """Linear maps with tanh between them."""
    return nn.Sequential(*[each for layer in maps for each in (layer, nn.Tanh())][:-1])


class _Net(nn.Module):
    """What all networks here have: a unit for their inputs, and a name of one line."""

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        n_inputs: int,
        hidden: Sequence[int],
        centre: ArrayLike | None,
        scale: ArrayLike | None,
    ) -> None:
        super().__init__()
        self.n_inputs = check_count("n_inputs", n_inputs)
        self.hidden = check_sizes("hidden", hidden)
        shape = (self.n_inputs,)
        middle = check_array("centre", np.zeros(shape) if centre is None else centre, shape)
        unit = check_array("scale", np.ones(shape) if scale is None else scale, shape)
        if unit.min() <= 0.0:
            raise ValueError(f"scale has the entry {unit.min():g}; expected numbers above 0")
        self.register_buffer("centre", torch.tensor(middle, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(unit, dtype=torch.float32))

    def extra_repr(self) -> str:
        """What is printed of this network."""
        return f"{self.n_inputs} inputs, hidden={self.hidden}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


class PolicyNet(_Net):
    r"""A policy: a softmax over ``n_actions`` actions, or a Gaussian over ``m`` real ones.

    The Gaussian's mean is the network's output; its standard deviations do not depend on the
    observation.

    Args:
        n_inputs: d, the length of an observation.
        seed: of the weights, as :func:`seeded` takes it.
        n_actions: A, of a softmax policy; or
        action_size: m, of a Gaussian one; exactly one of the two.
        hidden: sizes of the hidden layers; none for a linear policy.
        sd: fixed standard deviation of the Gaussian, in the unit of the actions; default: learned.
        centre: ``(d,)``, subtracted from each observation.
        scale: ``(d,)``, by which it is then divided.
        observation_space: of the environment in which :meth:`act` is called (Gymnasium): it brings
            observations to vectors, as
            :mod:`irl_lib.demonstrations.spaces` says; default: they are vectors.
        action_space: likewise, a Box or Discrete; :meth:`act` clips a Gaussian's actions to it.

    Raises:
        ValueError: naming a bad argument, or a space of another size.

    Implements: eq-bc-objective

    Example:
        >>> policy = PolicyNet(4, seed=0, n_actions=2)
        >>> policy
        PolicyNet(4 inputs, 2 actions, hidden=(64, 64))
        >>> policy.log_prob(torch.zeros(3, 4), torch.tensor([0, 1, 1])).shape
        torch.Size([3])
    """

    def __init__(
        self,
        n_inputs: int,
        seed: int | torch.Generator = 0,
        n_actions: int | None = None,
        action_size: int | None = None,
        hidden: Sequence[int] = (64, 64),
        sd: float | None = None,
        centre: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        observation_space: Any = None,
        action_space: Any = None,
    ) -> None:
        super().__init__(n_inputs, hidden, centre, scale)
        self.discrete = n_actions is not None
        self.n_outputs = _outputs(n_actions, action_size, sd)
        _check_space("observation_space", observation_space, self.n_inputs)
        _check_space("action_space", action_space, self.n_outputs)
        self.observation_space, self.action_space = observation_space, action_space
        self.body = mlp([self.n_inputs, *self.hidden, self.n_outputs], seed)
        if not self.discrete:
            start = 0.0 if sd is None else math.log(check_real("sd", sd, 0.0, open_end=True))
            values = torch.full((self.n_outputs,), start)
            self.log_sd = nn.Parameter(values, requires_grad=sd is None)

    def extra_repr(self) -> str:
        """What is printed of this network."""
        kind = "actions" if self.discrete else "real actions"
        return f"{self.n_inputs} inputs, {self.n_outputs} {kind}, hidden={self.hidden}"

    def forward(self, observations: Tensor) -> Tensor:
        """Logits ``(N, A)``, or means ``(N, m)``, for ``(N, d)`` observations or ``(N,)`` numbers.

        Raises:
            ValueError: for observations of another length, or numbers that are not below d.
        """
        vectors = _vectors("observations", observations, self.n_inputs)
        output: Tensor = self.body((vectors - self.centre) / self.scale)
        return output

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        r"""``(N,)``: :math:`\log \pi_\omega(a \mid s)` in nats, for actions ``(N,)`` or ``(N, m)``.

        Implements: eq-bc-objective
        """
        output = self(observations)
        shape = output.shape[:1] if self.discrete else output.shape
        if check_type("actions", actions, Tensor).shape != shape:
            raise ValueError(f"actions has shape {tuple(actions.shape)}; expected {tuple(shape)}")
        if self.discrete:
            chosen = actions.long()[:, None]
            logs: Tensor = torch.log_softmax(output, dim=1).gather(1, chosen)[:, 0]
            return logs
        z: Tensor = (actions - output) * torch.exp(-self.log_sd)
        return -0.5 * (z**2 + LOG_2PI).sum(dim=1) - self.log_sd.sum()

    def probabilities(self, observations: ArrayLike) -> Array:
        """``(N, A)``: the chances of the actions, as numpy.

        Args:
            observations: ``(N, d)``, or whole numbers ``(N,)`` from 0 to d - 1.

        Raises:
            ValueError: of a Gaussian policy, or for observations of another shape.
        """
        if not self.discrete:
            raise ValueError("a Gaussian policy has densities, not probabilities; use log_prob")
        with torch.no_grad():
            logits = self(self._rows("observations", observations)).double()
            return np.asarray(torch.softmax(logits, dim=1).numpy())

    def act(self, observation: ArrayLike, rng: np.random.Generator | None = None) -> Any:
        """An action for one observation: the most likely, or with ``rng`` a drawn one.

        A Gaussian has no bounds, while the actions of most environments do.  Where the action space
        is known, what falls outside is clipped to it, as Gymnasium's ``ClipAction`` and the
        ``predict`` of Stable-Baselines3 do; :meth:`log_prob` is the density before that.

        Args:
            observation: ``(d,)``, a whole number from 0 to d - 1, or a member of the observation
                space.
            rng: draws the action.

        Returns:
            An int, or a float array ``(m,)``, or of the action space's shape.

        Raises:
            ValueError: for another shape, or an entry that is not finite.
        """
        if rng is not None:
            check_rng(rng)
        seen, space = observation, self.observation_space
        if space is not None and getattr(seen, "shape", None) != (self.n_inputs,):
            seen = spaces.entry("observation", space, seen)
        array = as_array("observation", seen)
        if array.ndim:
            array = check_array("observation", array, (self.n_inputs,))
        with torch.no_grad():
            output = self(self._rows("observation", array[None]))[0].double().numpy()
        if self.discrete:
            if rng is None:
                return int(output.argmax())
            return int(draw(np.exp(output - output.max()), rng))
        if rng is not None:
            sd = self.log_sd.detach().double().exp().numpy()
            output = output + sd * rng.standard_normal(len(output))
        return output if self.action_space is None else spaces.clip(self.action_space, output)

    def _rows(self, name: str, observations: ArrayLike) -> Tensor:
        """Observations ``(N, d)`` or numbers ``(N,)`` for :meth:`forward`."""
        array = as_array(name, observations)
        if array.ndim == 1:
            return torch.tensor(check_indices(name, array))
        array = check_array(name, array, (*array.shape[:1], self.n_inputs))
        return torch.tensor(array, dtype=self.scale.dtype)


class RewardNet(_Net):
    r"""A reward :math:`r_\theta` of a vector: a state, or a state followed by an action.

    Args:
        n_inputs: d, the length of that vector.
        seed: of the weights, as :func:`seeded` takes it.
        hidden: sizes of the hidden layers; none for a linear reward with a constant.
        centre: ``(d,)``, subtracted from each input.
        scale: ``(d,)``, by which it is then divided.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-nonlinear-maxent

    Example:
        >>> reward = RewardNet(3, seed=0)
        >>> reward
        RewardNet(3 inputs, hidden=(64, 64))
        >>> reward(torch.zeros(10, 4, 3)).shape, reward(torch.tensor([0, 2])).shape
        (torch.Size([10, 4]), torch.Size([2]))
    """

    def __init__(
        self,
        n_inputs: int,
        seed: int | torch.Generator = 0,
        hidden: Sequence[int] = (64, 64),
        centre: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> None:
        super().__init__(n_inputs, hidden, centre, scale)
        self.body = mlp([self.n_inputs, *self.hidden, 1], seed)

    def forward(self, inputs: Tensor) -> Tensor:
        """Rewards ``(...)`` of inputs ``(..., d)``, or of whole numbers ``(...)``.

        Raises:
            ValueError: for inputs of another length, or numbers that are not below d.
        """
        vectors = _vectors("inputs", inputs, self.n_inputs)
        rewards: Tensor = self.body((vectors - self.centre) / self.scale)[..., 0]
        return rewards


class MapRewardNet(_Net):
    r"""A reward :math:`r_\theta` of each cell of a map, from what is in the cells around it.

    The same small network looks through a square window that moves from cell to cell: a
    convolution, followed by layers that see one cell.  Beyond the border of the map it sees the
    ``centre``.

    Args:
        n_inputs: C, how many numbers each cell has.
        shape: ``(height, width)`` of the map; state ``y * width + x`` is the cell (x, y).
        seed: of the weights, as :func:`seeded` takes it.
        window: cells along a side of the window, an odd number.
        hidden: sizes of the hidden layers; none for a linear filter with a constant.
        centre: ``(C,)``, subtracted from each cell's numbers.
        scale: ``(C,)``, by which they are then divided.

    Raises:
        ValueError: naming a bad argument.

    Implements: eq-nonlinear-maxent

    Example:
        >>> reward = MapRewardNet(2, (4, 5), seed=0, hidden=(8,))
        >>> reward
        MapRewardNet(2 inputs, map (4, 5), window 3, hidden=(8,))
        >>> reward(torch.zeros(20, 2)).shape, reward(torch.zeros(4, 5, 2)).shape
        (torch.Size([20]), torch.Size([4, 5]))
    """

    def __init__(
        self,
        n_inputs: int,
        shape: tuple[int, int],
        seed: int | torch.Generator = 0,
        window: int = 3,
        hidden: Sequence[int] = (32,),
        centre: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> None:
        super().__init__(n_inputs, hidden, centre, scale)
        self.shape = _check_map_shape(shape)
        self.window = check_count("window", window)
        if self.window % 2 == 0:
            raise ValueError(
                f"window is {window}; expected an odd number, with a cell in its middle"
            )
        sizes = list(itertools.pairwise([self.n_inputs, *self.hidden, 1]))
        with seeded(seed):
            first = nn.Conv2d(*sizes[0], self.window, padding=self.window // 2)
            self.body = _layers([first, *(nn.Conv2d(*pair, 1) for pair in sizes[1:])])

    def extra_repr(self) -> str:
        """What is printed of this network."""
        seen = f"map {self.shape}, window {self.window}"
        return f"{self.n_inputs} inputs, {seen}, hidden={self.hidden}"

    def forward(self, inputs: Tensor) -> Tensor:
        """Rewards ``(..., H, W)`` of maps ``(..., H, W, C)``, or ``(..., S)`` of ``(..., S, C)``.

        Raises:
            ValueError: for another number of inputs, or a map of another shape.
        """
        _check_width("inputs", inputs, self.n_inputs)
        size = math.prod(self.shape)
        if inputs.shape[-3:-1] != self.shape and inputs.shape[-2:-1] != (size,):
            raise ValueError(
                f"inputs has shape {tuple(inputs.shape)}; expected (..., {self.shape[0]}, "
                f"{self.shape[1]}, {self.n_inputs}) or (..., {size}, {self.n_inputs})"
            )
        maps = ((inputs - self.centre) / self.scale).reshape(-1, *self.shape, self.n_inputs)
        rewards: Tensor = self.body(maps.permute(0, 3, 1, 2))
        return rewards.reshape(inputs.shape[:-1])


def l2_penalty(net: nn.Module, l2: float) -> Tensor | float:
    r""":math:`\tfrac{\lambda}{2} \|W\|^2`, over a network's weights: biases have one axis only.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
        >>> round(l2_penalty(layer, 0.1).item(), 6)
        0.9
    """
    return 0.5 * l2 * sum((each**2).sum() for each in net.parameters() if each.ndim > 1)


def reward_table(mdp: MDP, reward_net: nn.Module, features: ArrayLike) -> Array:
    """``(S, A)``: what a network says of each state and action, for planning.

    Args:
        mdp: S states, A actions.
        reward_net: maps ``features`` to rewards, one for each vector.
        features: of states, ``(S, d)``, which is repeated for each action; or ``(S, A, d)``.

    Returns:
        ``(S, A)``; zero in absorbing states where episodes end there.

    Raises:
        ValueError: for features or rewards of another shape, or that are not finite; or when
            ``reward_net`` is no torch module.

    Example:
        >>> from irl_lib.worlds import objectworld
        >>> world = objectworld(8, seed=1)
        >>> net = RewardNet(4, seed=0)
        >>> reward_table(world.mdp, net, world.features).shape
        (64, 5)
    """
    check_type("reward_net", reward_net, nn.Module)
    kind = next((each.dtype for each in reward_net.parameters()), torch.float64)
    with torch.no_grad():
        table = reward_tensor(mdp, reward_net, input_tensor(mdp, features).to(kind))
    return check_array("reward_net(features)", table.double().numpy(), tuple(table.shape))


def input_tensor(mdp: MDP, features: ArrayLike) -> Tensor:
    """Features ``(S, d)`` or ``(S, A, d)``, checked, for a network."""
    check_mdp(mdp)
    array = check_numbers("features", features)
    if array.ndim not in (2, 3) or array.shape[-1] == 0:
        raise ValueError(
            f"features has shape {array.shape}; expected ({mdp.n_states}, d) or "
            f"({mdp.n_states}, {mdp.n_actions}, d), with d at least 1"
        )
    shape = (mdp.n_states, mdp.n_actions)[: array.ndim - 1]
    return torch.tensor(check_array("features", array, (*shape, array.shape[-1])))


def reward_tensor(mdp: MDP, reward_net: nn.Module, inputs: Tensor) -> Tensor:
    """``(S, A)``: the rewards of checked inputs, ready for ``backward()``.

    Raises:
        ValueError: when the network returns another shape, or no tensor.
    """
    check_mdp(mdp)
    check_type("inputs", inputs, Tensor)
    rewards: Tensor = check_type("reward_net", reward_net, nn.Module)(inputs)
    if not isinstance(rewards, Tensor):
        raise ValueError(f"reward_net returns {type(rewards).__name__}; expected a torch.Tensor")
    if rewards.shape != inputs.shape[:-1]:
        raise ValueError(
            f"reward_net returns {tuple(rewards.shape)} for features {tuple(inputs.shape)}; "
            f"expected {tuple(inputs.shape[:-1])}, one reward for each vector"
        )
    table = rewards[:, None].expand(-1, mdp.n_actions) if rewards.ndim == 1 else rewards
    if mdp.episodic:  # the episode is over there, whatever the network says
        table = table * torch.tensor(~mdp.absorbing)[:, None]
    return table


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread meanwhile, and on as many as before after that.

    Networks this small are done before a second thread has woken up; where other programs compete
    for the cores, waiting for it makes training tens of times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _vectors(name: str, inputs: Tensor, n_inputs: int) -> Tensor:
    """The vectors themselves, or one-hot ones of whole numbers."""
    check_type(name, inputs, Tensor)
    if inputs.is_floating_point() or inputs.dtype == torch.bool:
        _check_width(name, inputs, n_inputs)
        return inputs
    if inputs.numel() and not 0 <= int(inputs.min()) <= int(inputs.max()) < n_inputs:
        raise ValueError(
            f"{name} has whole numbers from {int(inputs.min())} to {int(inputs.max())}; expected "
            f"those of states, 0 to {n_inputs - 1}, or vectors of floats"
        )
    return nn.functional.one_hot(inputs.long(), n_inputs)


def _check_width(name: str, inputs: Tensor, n_inputs: int) -> None:
    check_type(name, inputs, Tensor)
    if inputs.ndim == 0 or inputs.shape[-1] != n_inputs:
        size = "none" if inputs.ndim == 0 else inputs.shape[-1]
        raise ValueError(
            f"{name} has shape {tuple(inputs.shape)}, whose last size is {size}; the network was "
            f"made for n_inputs={n_inputs}"
        )


def _check_space(name: str, space: Any, size: int) -> None:
    found = None if space is None else spaces.width(name, space) or space.n
    if found not in (None, size):
        raise ValueError(f"{name} is {space}, of size {found}; the network was made for {size}")


def _check_map_shape(shape: Any) -> tuple[int, int]:
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape is {shape!r}; expected (height, width)")
    return check_count("shape[0]", shape[0]), check_count("shape[1]", shape[1])


def _outputs(n_actions: int | None, action_size: int | None, sd: float | None) -> int:
    if (n_actions is None) == (action_size is None):
        raise ValueError(
            f"n_actions is {n_actions!r} and action_size is {action_size!r}; expected exactly one "
            "of them"
        )
    if n_actions is None:
        return check_count("action_size", action_size)
    if sd is not None:
        raise ValueError(f"sd is {sd!r}, but a softmax over actions has no standard deviation")
    return check_count("n_actions", n_actions)
