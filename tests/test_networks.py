"""Policy and reward networks: densities, actions, rewards, and the generators they leave alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

from irl_lib import worlds
from irl_lib.networks import (
    MapRewardNet,
    PolicyNet,
    RewardNet,
    l2_penalty,
    mlp,
    one_thread,
    reward_table,
    seeded,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_log_prob_is_the_log_of_the_probabilities() -> None:
    policy = PolicyNet(3, seed=0, n_actions=4)
    observations = torch.randn(5, 3, generator=generator(1))
    table = policy.probabilities(observations.numpy())
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)
    for action in range(4):
        found = policy.log_prob(observations, torch.full((5,), action)).detach().numpy()
        np.testing.assert_allclose(found, np.log(table[:, action]), atol=1e-6)


@pytest.mark.parametrize("sd", [0.3, None])
def test_log_prob_is_scipys_normal_density(sd: float | None) -> None:
    policy = PolicyNet(3, seed=0, action_size=2, sd=sd)
    if sd is None:
        with torch.no_grad():
            policy.log_sd.copy_(torch.tensor([-1.0, 0.7]))
    observations, actions = torch.randn(2, 6, 3, generator=generator(2)).split([3, 0], dim=2)
    observations, actions = observations[0], torch.randn(6, 2, generator=generator(3))
    mean = policy(observations).detach().numpy()
    scale = [0.3, 0.3] if sd else np.exp([-1.0, 0.7])
    expected = stats.norm(mean, scale).logpdf(actions.numpy()).sum(axis=1)
    np.testing.assert_allclose(
        policy.log_prob(observations, actions).detach().numpy(), expected, rtol=1e-5
    )
    assert policy.log_sd.requires_grad == (sd is None)


@pytest.mark.parametrize("kind", ["n_actions", "action_size"])
def test_the_gradient_is_that_of_the_log_likelihood(kind: str) -> None:
    """T1, in double precision, of every parameter."""
    policy = PolicyNet(3, seed=0, hidden=(5,), **{kind: 2}).double()
    observations = torch.randn(7, 3, generator=generator(4), dtype=torch.float64)
    actions: Any = torch.randint(2, (7,), generator=generator(5))
    if kind == "action_size":
        actions = torch.randn(7, 2, generator=generator(5), dtype=torch.float64)
    policy.log_prob(observations, actions).mean().backward()
    for parameter in policy.parameters():
        assert parameter.grad is not None
        for index in np.ndindex(tuple(parameter.shape)):
            values = []
            for step in (-1e-5, 1e-5):
                with torch.no_grad():
                    parameter[index] += step
                    values.append(float(policy.log_prob(observations, actions).mean()))
                    parameter[index] -= step
            slope = (values[1] - values[0]) / 2e-5
            assert abs(slope - float(parameter.grad[index])) < 1e-8


def test_observations_are_centred_and_scaled() -> None:
    plain = PolicyNet(2, seed=0, n_actions=3)
    scaled = PolicyNet(2, seed=0, n_actions=3, centre=[1.0, -2.0], scale=[0.5, 4.0])
    x = np.array([[0.3, 0.9], [-1.0, 2.0]])
    moved = x * [0.5, 4.0] + [1.0, -2.0]
    np.testing.assert_allclose(scaled.probabilities(moved), plain.probabilities(x), atol=1e-6)


def test_actions_are_drawn_from_the_policy() -> None:
    policy = PolicyNet(2, seed=3, n_actions=3, hidden=(8,))
    observation, rng = np.array([2.0, -3.0]), np.random.default_rng(0)
    table = policy.probabilities(observation[None])[0]
    drawn = np.bincount([policy.act(observation, rng) for _ in range(4000)], minlength=3) / 4000
    assert np.abs(drawn - table).max() < 4.0 * np.sqrt(0.25 / 4000)
    assert policy.act(observation) == table.argmax()

    gaussian = PolicyNet(2, seed=3, action_size=1, sd=0.5)
    sample = np.array([gaussian.act(observation, rng) for _ in range(4000)])[:, 0]
    assert abs(sample.mean() - gaussian.act(observation)[0]) < 4.0 * 0.5 / np.sqrt(4000)
    assert abs(sample.std() - 0.5) < 0.03


def test_states_that_are_numbers_are_one_hot_inside() -> None:
    policy, gaussian = (
        PolicyNet(5, seed=0, hidden=(8,), centre=np.arange(5.0), **kind)
        for kind in ({"n_actions": 3}, {"action_size": 2})
    )
    reward, numbers = RewardNet(5, seed=0, hidden=(8,)), torch.tensor([4, 0, 2])
    hot = torch.eye(5)[numbers]
    for net in (policy, gaussian, reward):
        torch.testing.assert_close(net(numbers), net(hot))
    actions = torch.tensor([0, 2, 1])
    torch.testing.assert_close(policy.log_prob(numbers, actions), policy.log_prob(hot, actions))
    table = policy.probabilities(np.array([4, 0, 2]))
    np.testing.assert_array_equal(table, policy.probabilities(hot.numpy()))
    for number, row in zip([4, 0, 2], hot.numpy(), strict=True):
        assert policy.act(number) == policy.act(row) == policy.act(row.astype(int))
        np.testing.assert_array_equal(gaussian.act(number), gaussian.act(row))
    torch.testing.assert_close(reward(numbers[:, None]), reward(hot)[:, None])
    torch.testing.assert_close(reward(torch.arange(5)), reward(torch.eye(5)))
    torch.testing.assert_close(reward(torch.tensor(3)), reward(torch.eye(5)[3]))


@pytest.mark.parametrize("number", [-1, 5])
def test_states_that_do_not_exist_are_named(number: int) -> None:
    policy, reward = PolicyNet(5, seed=0, n_actions=2), RewardNet(5, seed=0)
    message = f"numbers from {number} to {number}; expected those of states, 0 to 4"
    for net in (policy, reward):
        with pytest.raises(ValueError, match=message):
            net(torch.tensor([number]))
    for use in (policy.act, lambda number: policy.probabilities([number])):
        with pytest.raises(ValueError, match=f"observations? has the entry -1|{message}"):
            use(number)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([np.nan, 0.0], r"observation is nan at index \(0,\)"),
        ([0.0, np.inf], r"observation is inf at index \(1,\)"),
        ([0.0], r"observation has shape \(1,\); expected \(2,\)"),
        ([[0.0, 0.0]], r"observation has shape \(1, 2\)"),
        (0.5, "observation has entries of type float64"),
        (["a", "b"], "observation has entries of type <U1"),
        (None, "observation has entries of type object"),
    ],
)
def test_what_is_no_observation_is_named(observation: Any, message: str) -> None:
    box = spaces.Box(-9.0, 9.0, (2,))
    for kind in ({"n_actions": 2}, {"action_size": 2}):
        with pytest.raises(ValueError, match=message):
            PolicyNet(2, seed=0, **kind).act(observation)
        with pytest.raises(ValueError, match=r"observation "):
            PolicyNet(2, seed=0, **kind, observation_space=box).act(observation)


def test_tensors_of_another_length_are_refused() -> None:
    policy = PolicyNet(3, seed=0, n_actions=2)
    for wrong in (torch.zeros(3, 4), torch.zeros(3, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"the network was made for n_inputs=3"):
            policy(wrong)


def test_spaces_of_another_size_are_refused() -> None:
    box, many = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(4)
    for wrong in ({"observation_space": many}, {"action_space": many}):
        with pytest.raises(ValueError, match=r"_space is Discrete\(4\), of size 4; .* made for 2"):
            PolicyNet(2, seed=0, action_size=2, **wrong)
    policy = PolicyNet(4, seed=0, n_actions=2, observation_space=many)
    assert [policy.act(s) for s in range(4)] == [policy.act(row) for row in np.eye(4)]
    assert PolicyNet(2, seed=0, action_size=2, action_space=box).act([9.0, 9.0]).shape == (2,)


def test_global_randomness_is_neither_read_nor_moved() -> None:
    """The same seed gives the same network, whatever the global state."""
    before = torch.get_rng_state()
    first = PolicyNet(4, seed=7, n_actions=2)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        second = PolicyNet(4, seed=7, n_actions=2)
    other = PolicyNet(4, seed=8, n_actions=2)
    same, changed = [], []
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        same.append(torch.equal(a, b))
        changed.append(not torch.equal(a, c))
    assert all(same)
    assert all(changed)


def test_initial_weights_fill_their_range() -> None:
    layer: Any = mlp([100, 400], seed=0)[0]
    weights = layer.weight.detach().numpy()
    assert 0.099 < np.abs(weights).max() <= 0.1
    assert abs(weights.std() - 0.1 / np.sqrt(3.0)) < 1e-3
    assert 0.0 < np.abs(layer.bias.detach().numpy()).max() <= 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "n_actions is None and action_size is None"),
        ({"n_actions": 2, "action_size": 1}, "exactly one"),
        ({"n_actions": 0}, "n_actions is 0"),
        ({"action_size": 1.5}, "action_size is 1.5"),
        ({"n_actions": 2, "sd": 0.1}, "no standard deviation"),
        ({"action_size": 1, "sd": 0.0}, "sd is 0.0"),
        ({"n_actions": 2, "hidden": (4, 0)}, r"hidden\[1\] is 0"),
        ({"n_actions": 2, "scale": [1.0, 0.0]}, "scale has the entry 0"),
        ({"n_actions": 2, "centre": [1.0]}, r"centre has shape \(1,\)"),
        ({"n_actions": 2, "centre": [1.0, np.nan]}, "centre is nan"),
        (
            {"n_actions": 2, "seed": np.random.default_rng(0)},
            "seed is Generator.*; expected a whole",
        ),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolicyNet(**({"n_inputs": 2, "seed": 0} | arguments))


def test_a_gaussian_has_no_probabilities_and_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="densities"):
        PolicyNet(2, seed=0, action_size=1).probabilities(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="observations has shape"):
        PolicyNet(2, seed=0, n_actions=2).probabilities(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="at least inputs and outputs"):
        mlp([3], seed=0)


def test_the_package_imports_without_torch_and_says_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import irl_lib, irl_lib.behavior_cloning\n"
        "try:\n    import irl_lib.networks\n"
        "except ImportError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "irl_lib[torch]"' in ran.stdout


def test_torch_is_as_before_a_seed_even_after_an_error() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()

    def fail() -> None:
        with seeded(3):
            torch.rand(2)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.equal(before, torch.get_rng_state())


def test_a_seed_draws_what_its_generator_draws() -> None:
    """And a generator that is handed in goes on from there."""
    one, other = generator(3), generator(3)
    with seeded(3):
        first, second = torch.rand(2), torch.rand(2)
    with seeded(one):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(2, generator=one), second)
    bound = 1.0 / np.sqrt(5.0)
    drawn = torch.empty(3, 5).uniform_(-bound, bound, generator=other)
    assert torch.equal(next(mlp([5, 3], 3).parameters()), drawn)


def test_the_penalty_is_half_of_the_squares_without_biases() -> None:
    net: Any = MapRewardNet(2, (2, 3), hidden=(3,))
    squares = sum(float((net.body[i].weight.detach() ** 2).sum()) for i in (0, 2))
    penalty: Any = l2_penalty(net, 0.2)
    assert penalty.item() == pytest.approx(0.1 * squares)
    assert l2_penalty(net, 0.0) == 0.0
    assert l2_penalty(torch.nn.BatchNorm1d(3), 1.0) == 0.0


def test_threads_are_as_before_even_after_an_error() -> None:
    def fail() -> None:
        with one_thread():
            raise KeyError(torch.get_num_threads())

    before = torch.get_num_threads()
    with pytest.raises(KeyError, match="1"):
        fail()
    assert torch.get_num_threads() == before


def test_a_reward_net_keeps_every_leading_shape() -> None:
    net = RewardNet(3, seed=0, hidden=(8, 8))
    x = torch.randn(4, 5, 3, generator=generator(1))
    rewards = net(x)
    assert rewards.shape == (4, 5)
    torch.testing.assert_close(rewards[2], net(x[2]))
    torch.testing.assert_close(rewards[2, 3], net(x[2, 3]))
    assert net(x[2, 3]).shape == ()


def test_without_hidden_layers_a_reward_is_linear_with_a_constant() -> None:
    net = RewardNet(2, seed=0, hidden=(), centre=[1.0, -1.0], scale=[2.0, 0.5]).double()
    weight, bias = (p.detach() for p in net.parameters())
    x = torch.randn(6, 2, generator=generator(1), dtype=torch.float64)
    z = (x - torch.tensor([1.0, -1.0])) / torch.tensor([2.0, 0.5])
    torch.testing.assert_close(net(x), z @ weight[0] + bias, rtol=1e-12, atol=1e-12)


def _linear_layers(net: MapRewardNet, n_seen: int) -> Any:
    """The same weights as a perceptron of what one cell sees."""
    rows = mlp([n_seen, *net.hidden, 1])
    for mine, its in zip(rows.parameters(), net.body.parameters(), strict=True):
        mine.data = its.data.reshape(mine.shape)
    return rows


@pytest.mark.parametrize("window", [1, 3, 5])
def test_a_map_net_is_a_convolution(window: int) -> None:
    """Against torch's own, and cell by cell against the window written out."""
    net = MapRewardNet(2, (4, 5), seed=0, window=window, hidden=(7,), centre=[1.0, 2.0])
    rows = _linear_layers(net, 2 * window**2)
    maps = torch.randn(3, 4, 5, 2, generator=generator(1))
    first, last = rows[0], rows[2]
    edge = window // 2
    centred = (maps - torch.tensor([1.0, 2.0])).permute(0, 3, 1, 2)
    kernel = first.weight.reshape(7, 2, window, window)
    hidden = torch.tanh(torch.nn.functional.conv2d(centred, kernel, first.bias, padding=edge))
    expected = torch.nn.functional.conv2d(hidden, last.weight[:, :, None, None], last.bias)[:, 0]
    torch.testing.assert_close(net(maps), expected, rtol=1e-5, atol=1e-6)

    seen = torch.nn.functional.pad(maps - torch.tensor([1.0, 2.0]), (0, 0, *[edge] * 4))
    one = seen[1, 2 : 2 + window, 3 : 3 + window].permute(2, 0, 1).flatten()
    torch.testing.assert_close(net(maps)[1, 2, 3], rows(one)[0])


def test_a_map_of_states_is_the_map_row_by_row() -> None:
    net = MapRewardNet(2, (4, 5), seed=0)
    maps = torch.randn(3, 4, 5, 2, generator=generator(1))
    flat = net(maps.reshape(3, 20, 2))
    torch.testing.assert_close(flat.reshape(3, 4, 5), net(maps))
    assert net(maps[0].reshape(20, 2)).shape == (20,)


def test_a_window_of_one_cell_is_a_reward_net() -> None:
    cell = MapRewardNet(3, (2, 6), seed=5, window=1, hidden=(4,), scale=[1.0, 2.0, 3.0])
    plain = RewardNet(3, seed=5, hidden=(4,), scale=[1.0, 2.0, 3.0])
    x = torch.randn(12, 3, generator=generator(1))
    torch.testing.assert_close(cell(x), plain(x))


def test_a_cell_sees_its_window_and_nothing_else() -> None:
    net = MapRewardNet(1, (5, 6), seed=0, window=3)
    maps = torch.zeros(5, 6, 1, requires_grad=True)
    (slope,) = torch.autograd.grad(net(maps)[1, 4], maps)
    touched = slope[..., 0] != 0.0
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[0:3, 3:6] = True
    assert torch.equal(touched, expected)


@pytest.mark.parametrize("kind", ["plain", "map"])
def test_the_gradient_of_a_reward_is_that_of_finite_differences(kind: str) -> None:
    """T1, in double precision, of every parameter."""
    made: dict[str, torch.nn.Module] = {
        "plain": RewardNet(2, seed=0, hidden=(3, 3)),
        "map": MapRewardNet(2, (2, 3), seed=0, hidden=(3,)),
    }
    net = made[kind].double()
    x = torch.randn(6, 2, generator=generator(1), dtype=torch.float64)
    weights = torch.randn(6, generator=generator(2), dtype=torch.float64)
    (weights @ net(x)).backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        for index in np.ndindex(tuple(parameter.shape)):
            values = []
            for step in (-1e-5, 1e-5):
                with torch.no_grad():
                    parameter[index] += step
                    values.append(float(weights @ net(x)))
                    parameter[index] -= step
            slope = (values[1] - values[0]) / 2e-5
            assert abs(slope - float(parameter.grad[index])) < 1e-8


def test_reward_nets_leave_global_randomness_alone() -> None:
    before = torch.get_rng_state()
    nets = [RewardNet(4, seed=7), RewardNet(4, seed=7), RewardNet(4, seed=8)]
    MapRewardNet(2, (3, 3), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.ones(4)
    assert torch.equal(nets[0](x), nets[1](x))
    assert not torch.equal(nets[0](x), nets[2](x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_inputs": 0}, "n_inputs is 0"),
        ({"hidden": (4, 0)}, r"hidden\[1\] is 0"),
        ({"hidden": 4}, "hidden is 4; expected a sequence of whole numbers"),
        ({"scale": [1.0, -1.0]}, "scale has the entry -1"),
        ({"centre": [1.0]}, r"centre has shape \(1,\); expected \(2,\)"),
        ({"seed": -1}, "seed is -1; expected a whole number, at least 0"),
        ({"seed": "x"}, "seed is 'x'; expected a whole number"),
    ],
)
def test_bad_arguments_of_a_reward_are_named(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"n_inputs": 2, "seed": 0} | arguments
    with pytest.raises(ValueError, match=message):
        RewardNet(**given)
    with pytest.raises(ValueError, match=message):
        MapRewardNet(shape=(3, 3), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (3,)}, r"shape is \(3,\); expected \(height, width\)"),
        ({"shape": (3, 0)}, r"shape\[1\] is 0"),
        ({"window": 2}, "window is 2; expected an odd number"),
        ({"window": 0}, "window is 0"),
    ],
)
def test_bad_maps_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MapRewardNet(**({"n_inputs": 2, "shape": (3, 3), "seed": 0} | arguments))


def test_inputs_of_another_size_are_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match=r"\(5, 4\), whose last size is 4; .*n_inputs=3"):
        RewardNet(3, seed=0)(torch.zeros(5, 4))
    with pytest.raises(ValueError, match="last size is none"):
        RewardNet(3, seed=0)(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"last size is 4; .*n_inputs=3"):
        MapRewardNet(3, (2, 2), seed=0)(torch.zeros(4, 4))
    with pytest.raises(ValueError, match=r"\(5, 3\); expected \(..., 2, 2, 3\) or \(..., 4, 3\)"):
        MapRewardNet(3, (2, 2), seed=0)(torch.zeros(5, 3))


@pytest.mark.parametrize("per_action", [False, True])
def test_a_reward_table_is_what_the_network_says(per_action: bool) -> None:
    world = worlds.gridworld(3, goals=[(2, 2)], discount=1.0, features=np.eye(9))
    net = RewardNet(9, seed=0)
    features = world.features if per_action else np.eye(9)
    table = reward_table(world.mdp, net, features)
    assert table.shape == (9, 4)
    for s in range(8):
        said = net(torch.eye(9)[s]).item()
        np.testing.assert_allclose(table[s], said, rtol=1e-6)
    assert (table[8] == 0.0).all()  # the episode is over
    later = worlds.gridworld(3, goals=[(2, 2)], discount=0.9)
    assert (reward_table(later.mdp, net, features)[8] != 0.0).all()
    np.testing.assert_array_equal(reward_table(world.mdp, net.double(), features)[8], 0.0)


class Numbers(torch.nn.Module):
    """Returns an array."""

    def forward(self, inputs: torch.Tensor) -> Any:
        """Zeros."""
        return np.zeros(inputs.shape[:-1])


def test_bad_reward_tables_are_named() -> None:
    mdp, net = worlds.gridworld(3).mdp, RewardNet(2, seed=0)
    wrong: Any = None
    with pytest.raises(
        ValueError, match=r"reward_net is None; expected an instance of torch\.nn\."
    ):
        reward_table(mdp, wrong, np.zeros((9, 2)))
    with pytest.raises(ValueError, match=r"returns ndarray; expected a torch\.Tensor"):
        reward_table(mdp, Numbers(), np.zeros((9, 2)))
    flat = reward_table(mdp, torch.nn.Flatten(0), np.ones((9, 1)))  # without parameters
    np.testing.assert_array_equal(flat, 1.0)
    with pytest.raises(ValueError, match=r"features has shape \(8, 2\); expected \(9, 2\)"):
        reward_table(mdp, net, np.zeros((8, 2)))
    with pytest.raises(ValueError, match=r"features has shape \(9,\)"):
        reward_table(mdp, net, np.zeros(9))
    with pytest.raises(ValueError, match=r"last size is 3; .*n_inputs=2"):
        reward_table(mdp, net, np.zeros((9, 3)))
    with pytest.raises(ValueError, match=r"returns \(9, 1\) for features \(9, 2\)"):
        reward_table(mdp, mlp([2, 1], seed=0), np.zeros((9, 2)))
    with torch.no_grad():
        next(net.parameters()).fill_(np.inf)
    with pytest.raises(ValueError, match=r"reward_net\(features\) is nan"):
        reward_table(mdp, net, np.zeros((9, 2)))
