"""Checkpoints: to the last bit, whole or not at all, and for the computation they belong to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from irl_lib.support import checkpoints
from irl_lib.support.checkpoints import Training


def trained(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network after some steps of Adam on fixed data."""
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.fill_(0.3)
        net.bias.fill_(-0.1)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    go_on(net, optimiser, steps)
    return net, optimiser


def go_on(net: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    data = torch.arange(12.0).reshape(4, 3)
    for _ in range(steps):
        optimiser.zero_grad()
        (net(data) ** 2).sum().backward()
        optimiser.step()


def test_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    net, optimiser = trained(7)
    path = tmp_path / "state.npz"
    checkpoints.write(path, "kind", {}, Training(net, optimiser).arrays())
    go_on(net, optimiser, 5)
    other, its_optimiser = trained(2)
    Training(other, its_optimiser).restore(checkpoints.read(path, "kind", {}))
    go_on(other, its_optimiser, 5)
    for mine, its in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_a_state_from_before_the_first_step(tmp_path: Path) -> None:
    net, optimiser = trained(0)
    other, its_optimiser = trained(0)
    Training(other, its_optimiser).restore(Training(net, optimiser).arrays())
    go_on(net, optimiser, 3)
    go_on(other, its_optimiser, 3)
    assert torch.equal(net.weight, other.weight)


def test_arrays_come_back_to_the_last_bit(tmp_path: Path) -> None:
    arrays = {"a/x": np.array([0.1, -0.0, np.inf]), "b": np.arange(3, dtype=np.uint8)}
    checkpoints.write(tmp_path / "c", "kind", {"rate": 0.1, "sizes": (1, 2)}, arrays)
    found = checkpoints.read(tmp_path / "c", "kind", {"rate": 0.1, "sizes": (1, 2)})
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        assert found[name].tobytes() == values.tobytes()
        assert found[name].dtype == values.dtype
    assert checkpoints.named("a", checkpoints.part(found, "a")).keys() == {"a/x"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.2}, "made with rate = 0.1; here it is 0.2"),
        ({}, "made with rate = 0.1; here it is None"),
        ({"rate": 0.1, "more": 3}, "made with more = None; here it is 3"),
    ],
)
def test_another_setting_is_named(tmp_path: Path, settings: dict[str, float], message: str) -> None:
    checkpoints.write(tmp_path / "c", "kind", {"rate": 0.1}, {})
    with pytest.raises(ValueError, match=message):
        checkpoints.read(tmp_path / "c", "kind", settings)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoints.write(path, "kind", {}, {"x": np.arange(100.0)})
    with pytest.raises(ValueError, match="is one of kind; expected another"):
        checkpoints.read(path, "another", {})
    content = path.read_bytes()
    for wrong in (b"", b"no zip", content[: len(content) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="can't be read"):
            checkpoints.read(path, "kind", {})
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    with pytest.raises(ValueError, match="can't be read"):
        checkpoints.read(tmp_path / "other.npz", "kind", {})
    with pytest.raises(FileNotFoundError):
        checkpoints.read(tmp_path / "none", "kind", {})
    with pytest.raises(ValueError, match="is a folder; expected a file"):
        checkpoints.read(tmp_path, "kind", {})


def test_every_changed_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoints.write(path, "kind", {"rate": 0.1}, {"x": np.arange(3.0)})
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 31):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        with pytest.raises(ValueError, match="can't be read: it"):
            checkpoints.read(path, "kind", {"rate": 0.1})


def test_a_checkpoint_from_before_there_were_digests_is_read(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "c", "kind", {"rate": 0.1}, {"x": np.arange(3.0)})
    with np.load(tmp_path / "c") as file:
        np.savez(tmp_path / "old.npz", **file)
    found = checkpoints.read(tmp_path / "old.npz", "kind", {"rate": 0.1})
    assert found["x"].tolist() == [0.0, 1.0, 2.0]
    assert found.keys() == {"x"}


def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "c", "kind", {}, {"x": np.zeros(1), "y": np.ones(1)})
    with np.load(tmp_path / "c") as file:
        rest = {name: file[name] for name in file.files if name != "y"}
    np.savez(tmp_path / "d.npz", **rest)
    with pytest.raises(ValueError, match="is not what was written; it differs in y"):
        checkpoints.read(tmp_path / "d.npz", "kind", {})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoints.write(path, "kind", {}, {"x": np.zeros(1)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="array 'x' holds objects; expected numbers"):
        checkpoints.write(path, "kind", {}, {"x": np.array([object()])})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["c"]
