"""Spaces of every kind: what trajectories hold of them, as Gymnasium flattens them, and back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import utils
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from irl_lib.demonstrations import spaces as ours

PLACE = spaces.Box(-9.0, 9.0, (2,), np.float32)
PAIR = spaces.MultiDiscrete([3, 2])
ROOM = spaces.Dict({"place": PLACE, "key": spaces.Discrete(2), "doors": spaces.MultiBinary(3)})


def drawn(rng: np.random.Generator, depth: int = 2) -> Any:
    """A space of any kind that is taken, but not Discrete itself."""
    kind = int(rng.integers(3 if depth == 0 else 6))
    shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(3)))
    if kind == 0:
        dtype = [np.float32, np.float64, np.int32, np.uint8][rng.integers(4)]
        return spaces.Box(0, 200, shape, dtype)
    if kind == 1:
        return spaces.MultiBinary(shape or 2)
    if kind == 2:
        sizes = rng.integers(1, 5, shape or (2,))
        return spaces.MultiDiscrete(sizes, start=rng.integers(-2, 3, sizes.shape))
    parts = [drawn(rng, depth - 1) for _ in range(rng.integers(1, 4))]
    parts.append(spaces.Discrete(int(rng.integers(1, 5)), start=int(rng.integers(-2, 3))))
    order = rng.permutation(len(parts))
    if kind == 3:
        return spaces.Tuple([parts[i] for i in order])
    return spaces.Dict({f"{'zyxwv'[n]}": parts[i] for n, i in enumerate(order)})


def test_any_space_is_flattened_as_gymnasium_does_it_and_back() -> None:
    rng = np.random.default_rng(0)
    for case in range(100):
        space = drawn(rng)
        space.seed(case)
        members = [space.sample() for _ in range(4)]
        expected = np.array([utils.flatten(space, each) for each in members])
        batch = concatenate(space, members, create_empty_array(space, n=4))
        found = ours.entries("states", space, batch)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)
        assert ours.width("space", space) == utils.flatdim(space) == found.shape[1]
        assert not ours.outside(ours.flat("space", space), found).any()
        for each, row in zip(members, found, strict=True):
            np.testing.assert_array_equal(ours.entry("state", space, each), row)
        again = ours.members("states", space, found)
        for back in iterate(batch_space(space, 4), again):
            np.testing.assert_array_equal(utils.flatten(space, back), expected[0])
            expected = expected[1:]
        np.testing.assert_array_equal(ours.entries("states", space, again), found)


BAD_MEMBERS: list[tuple[Any, Any, str]] = [
    (PAIR, [3, 0], r"\[3 0\] is not in MultiDiscrete"),
    (PAIR, [3, -3], "is not in"),
    (PAIR, [0.0, 0.0], "entries of type float64"),
    (PAIR, [0], r"shape \(1,\) instead of \(2,\)"),
    (ROOM, {"place": [0.0, 0.0], "key": 0}, "doors"),
    (ROOM, {"place": [0.0, 0.0], "key": 2, "doors": [0, 1, 1]}, r"2 is not in Discrete\(2\)"),
    (ROOM, {"place": [[0.0, 0.0]], "key": 1, "doors": [0, 1, 1]}, "instead of"),
    (ROOM, {"place": ["a", "b"], "key": 1, "doors": [0, 1, 1]}, "entries of type <U1"),
    (ROOM, {"place": [0.0, np.nan], "key": 1, "doors": [0, 1, 1]}, "every entry has to be finite"),
    (ROOM, None, "no member of Dict"),
    (spaces.Tuple([PLACE, PAIR]), ([0.0, 0.0],), "no member of Tuple"),
    (PLACE, [0.0, np.inf], "every entry has to be finite"),
    (spaces.Box(0, 2**62, (1,), np.int64), [2**53 + 1], r"from 2\*\*53"),
    (spaces.Discrete(3), 3, r"state is 3, no member of Discrete\(3\): expected whole .* 0 to 2"),
    (spaces.Discrete(3), 1.0, "expected whole numbers"),
    (spaces.Discrete(3, start=-1), 2, "expected whole numbers from -1 to 1"),
]


@pytest.mark.parametrize(("space", "member", "message"), BAD_MEMBERS)
def test_what_is_no_member_is_named(space: Any, member: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours.entry("state", space, member)


@pytest.mark.parametrize("numbers", [[0, 3], [0.0], [[0]], 0, ["0"]])
def test_whole_numbers_of_a_space_are_kept_and_others_named(numbers: Any) -> None:
    np.testing.assert_array_equal(ours.entries("states", spaces.Discrete(3), [0, 2]), [0, 2])
    with pytest.raises(ValueError, match=r"states are no members of Discrete.*: expected whole"):
        ours.entries("states", spaces.Discrete(3), numbers)


def test_a_box_may_be_left_by_observations_even_inside_a_dict() -> None:
    seen = {"place": np.array([10.0, -0.1]), "key": 1, "doors": np.array([0, 1, 1])}
    row = ours.entry("state", ROOM, seen)
    assert row.tolist() == [0, 1, 1, 0, 1, 10, -0.1]  # in double precision, keys sorted
    assert ours.outside(ours.flat("space", ROOM), row[None]).all()


@pytest.mark.parametrize(
    ("space", "row"),
    [
        (PAIR, [1, 1, 0, 0, 1]),
        (PAIR, [0, 0, 0, 0, 1]),
        (PAIR, [0, 0.5, 0, 0, 1]),
        (ROOM, [0, 1, 1, 1, 1, 0, 0]),
        (ROOM, [0, 1, 0.5, 0, 1, 0, 0]),
        (spaces.Box(0, 255, (1,), np.uint8), [0.5]),
        (spaces.Box(0, 255, (1,), np.uint8), [256]),
        (spaces.Box(-9, 9, (1,), np.float32), [1e300]),
    ],
)
def test_vectors_that_come_of_no_member_are_named(space: Any, row: list[float]) -> None:
    with pytest.raises(ValueError, match=r"states hold what is no|states are no members"):
        ours.members("states", space, np.array([row], dtype=np.float64))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Sequence(PLACE),
        spaces.OneOf([PLACE, PAIR]),
        spaces.Dict({}),
        spaces.Tuple([]),
        spaces.Dict({"a": PLACE, "b": spaces.Tuple([spaces.Text(5)])}),
        None,
        3,
    ],
)
def test_other_kinds_are_named(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"room is .*; expected a Discrete space, a Box"):
        ours.width("room", space)
    monkeypatch.delitem(sys.modules, "gymnasium")  # of which nothing can be a space then
    with pytest.raises(ValueError, match=r"room is .*; expected a Discrete space, a Box"):
        ours.width("room", space)


def test_the_nearest_member_has_the_shape_of_its_box() -> None:
    square = spaces.Box(-0.7, 0.7, (2, 2), np.float32)
    clipped = ours.clip(square, np.array([0.1, -9.0, 9.0, 0.0]))
    bound = float(np.float32(0.7))
    assert clipped.tolist() == [[0.1, -bound], [bound, 0.0]]
    whole = spaces.Box(0, 3, (3,), np.int64)
    assert ours.clip(whole, np.array([-0.6, 1.6, 3.9])).tolist() == [0.0, 2.0, 3.0]
