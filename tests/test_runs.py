"""Long runs: the same to the last bit, wherever they were stopped."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from irl_lib.support import checkpoints
from irl_lib.support.files import Arrays
from irl_lib.support.result import ConvergenceWarning
from irl_lib.support.runs import LongRun, digest, identity_of


class Walk:
    """A number that each iteration halves, with a little noise."""

    def __init__(self) -> None:
        self.place = np.array(1.0)

    def arrays(self) -> Arrays:
        """The place."""
        return {"place": self.place}

    def restore(self, arrays: Arrays) -> None:
        """To a place."""
        self.place = arrays["place"]


def walk(last: int, path: Path | None = None, fail_at: int = -1, **settings: Any) -> LongRun:
    """A run of so many iterations, which may fail amid one of them."""
    state = Walk()
    run = LongRun(
        "walk", ("place", "gap"), {"seed": 0}, {"walk": state}, path, ("gap",), **settings
    )
    for number in run.iterations(last):
        noise = np.random.default_rng([0, number]).normal()
        state.place = state.place / 2.0 + 0.01 * noise
        if number == fail_at:
            raise KeyboardInterrupt
        run.note({"place": float(state.place), "gap": abs(float(state.place))})
    return run


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("fail_at", range(5))
def test_a_run_that_was_interrupted_goes_on(tmp_path: Path, every: int, fail_at: int) -> None:
    path, whole = tmp_path / "c", walk(5)
    with pytest.raises(KeyboardInterrupt):
        walk(5, path, fail_at, every=every)
    assert path.exists() == (fail_at >= every)
    if path.exists():
        written = len(checkpoints.read(path, "irl_lib.walk/2", {"seed": 0})["history/gap"])
        assert written == fail_at - fail_at % every
    found = walk(5, path, every=every)
    assert found.done == 5
    for name, values in whole.history.items():
        np.testing.assert_array_equal(found.history[name], values)


def test_a_run_ends_at_its_tolerance_and_stays_ended(tmp_path: Path) -> None:
    whole = walk(20)
    assert not whole.converged
    first = int(np.flatnonzero(whole.history["gap"] <= 0.1)[0])
    for _ in range(2):
        run = walk(20, tmp_path / "c", tolerance=0.1, every=50)
        assert run.done == first + 1
        assert run.converged
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = run.outcome()
        assert outcome["certificate"] == {"gap": whole.history["gap"][first]}
    for _ in range(2):  # the second time there is nothing left to do
        with pytest.warns(ConvergenceWarning, match="after 20 iterations"):
            assert walk(20, tmp_path / "c", tolerance=1e-9).outcome()["history"]["gap"].size == 20


def test_an_early_end_is_warned_of_if_a_tolerance_was_asked_for() -> None:
    with pytest.warns(ConvergenceWarning, match=r"walk: not converged after 3 iterations: gap 0\."):
        outcome = walk(3, tolerance=1e-9).outcome()
    assert not outcome["converged"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = walk(3).outcome()
    assert not outcome["converged"]
    assert outcome["message"] == "3 iterations, and no tolerance was asked for"


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c"
    walk(4, path)
    with pytest.raises(ValueError, match="c' has 4 iterations behind it; max_iterations is 3"):
        walk(3, path)
    with pytest.raises(ValueError, match=r"is one of irl_lib\.walk/2; expected irl_lib\.run/2"):
        next(LongRun("run", ("gap",), {}, {}, path).iterations(9))
    with pytest.raises(ValueError, match="made with seed = 0; here it is 1"):
        next(LongRun("walk", ("gap",), {"seed": 1}, {}, path).iterations(9))
    with pytest.raises(ValueError, match="has an incomplete history"):
        next(LongRun("walk", ("gap", "more"), {"seed": 0}, {}, path).iterations(9))
    for wrong, message in (
        ({"checkpoint": 3}, "checkpoint is 3; expected a text or a pathlib.Path"),
        ({"checkpoint": tmp_path}, "is a folder; expected a file"),
        ({"checkpoint": tmp_path / "no" / "c"}, "c'; expected a file in a folder that exists"),
        ({"every": 0}, "every is 0"),
        ({"tolerance": -1.0}, "tolerance is -1.0; expected a finite number >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            LongRun("walk", ("gap",), {}, {}, **wrong)
    with pytest.raises(ValueError, match="max_iterations is 0"):
        walk(0)


def test_a_digest_is_of_all_bits() -> None:
    one = np.arange(6.0)
    others = one.reshape(2, 3), one.astype(np.float32), one + np.eye(6)[5] * 1e-15
    assert len({digest([each]) for each in (one, *others)}) == 4
    assert digest([one[::2]]) == digest([one[::2].copy()])
    assert digest([one, one]) != digest([one])


@dataclass
class Settings:
    """What decides the course of a run."""

    seed: int


def test_a_run_is_known_by_its_settings_environment_and_data() -> None:
    class Spec:
        id = "Here-v0"
        kwargs = {"gain": np.ones(2), "f": lambda: 1}  # noqa: RUF012
        additional_wrappers = ()

    class Env:
        spec: Any = Spec
        observation_space = action_space = "any"

    net = torch.nn.Linear(2, 1)
    known = identity_of(Settings(3), Env(), [np.zeros(2)], reward_net=net)
    assert known["seed"] == 3
    assert known["env"] == "Here-v0"
    assert re.search(r'"gain": \[1\.0, 1\.0\]', known["env.kwargs"])
    assert " at 0x" not in known["env.kwargs"]
    with torch.no_grad():
        net.bias.add_(1e-3)
    Env.spec = None
    other = identity_of(Settings(3), Env(), [np.ones(2)], reward_net=net)
    changed = {name for name in known if known[name] != other[name]}
    assert changed == {"env", "env.kwargs", "demos", "reward_net"}
