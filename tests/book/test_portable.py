"""Tests of the runs on other processors, at the lower bounds, and with new examples."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

import bounds
import explore
import portable
import run

BY_NAME = {processor.name: processor for processor in portable.PROCESSORS}


@pytest.fixture(autouse=True)
def own_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here is not of the run that these tests are part of."""
    monkeypatch.delenv("TOTAL", raising=False)


def test_the_processors_are_the_four() -> None:
    assert list(BY_NAME) == ["native", "haswell", "nehalem", "one-thread"]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_libraries_run_the_kernels_that_were_asked_for(name: str) -> None:
    processor, native = BY_NAME[name], portable.asked({})
    if portable.can_run(processor, native):
        found = portable.asked(portable.environment_of(processor, native))
        assert portable.differences(processor, found) == []


def test_a_kernel_that_is_not_the_one_asked_for_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    native = portable.asked({})
    ignored = {**native, "kernels": ["Prescott"], "numpy": ["X86_V9"], "torch": "?", "threads": 7}
    wrong = [portable.differences(processor, ignored) for processor in portable.PROCESSORS]
    assert [len(each) for each in wrong] == [0, 3, 3, 1]
    monkeypatch.setattr(portable, "asked", lambda environment: ignored)
    (outcome,) = portable.on_processor(BY_NAME["one-thread"], native)
    assert outcome.failed == 1
    assert "there are 7 threads, not 1" in capsys.readouterr().out


def test_a_processor_that_this_one_cannot_be_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portable, "can_run", lambda processor, native: False)
    assert portable.main(["haswell"]) == 0
    shown = capsys.readouterr().out
    assert "this machine cannot do what haswell can" in shown
    assert shown.splitlines()[-1] == "0 passed, 0 failed, 1 skipped"


def test_each_processor_gets_the_package_and_every_chapter() -> None:
    parts = portable.parts_for(BY_NAME["nehalem"], {"OPENBLAS_CORETYPE": "Nehalem"})
    assert [part.name for part in parts] == [
        f"nehalem: {part.name}" for part in [run.PACKAGE, *run.chapter_parts()]
    ]
    assert set(run.PACKAGE.command) < set(parts[0].command)
    assert {part.environment["OPENBLAS_CORETYPE"] for part in parts} == {"Nehalem"}


def test_tests_that_are_left_out_exist(root: Path) -> None:
    for name in portable.WITHOUT_DIGITS:
        assert (root / f"tests/test_{name}.py").exists()


@pytest.mark.parametrize("failed", [0, 1])
def test_what_make_test_has_just_run_is_not_run_again(
    failed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where all of it passed, and where nobody asked for it by name."""
    monkeypatch.setenv("TOTAL", str(tmp_path / "total"))
    run.finish([run.Outcome("package", 7, failed, 0, 1.0)])
    ran: list[str] = []

    def note(parts: list[run.Part]) -> list[run.Outcome]:
        names = [part.name for part in parts]
        ran.append(names[0].partition(":")[0])
        whole = run.PACKAGE.name in names[0]
        assert whole == (ran[-1] != "native" or bool(failed))
        assert len(names) == whole + len(run.chapter_parts())
        return []

    monkeypatch.setattr(portable, "asked", machine)
    monkeypatch.setattr(run, "run_all", note)
    monkeypatch.setattr(portable.bounds, "outcomes", list)
    assert portable.main([]) == failed
    likewise = [] if failed else ["haswell", "one-thread"]
    assert ran == [each for each in BY_NAME if each not in likewise]
    assert portable.main(["one-thread"]) == failed
    assert ran[-1] == "one-thread"
    assert capsys.readouterr().out.splitlines()[-1].startswith("1")


def machine(environment: Mapping[str, str]) -> dict[str, object]:
    """One of Haswell's time with two cores, as the libraries see it."""
    old = environment.get("OPENBLAS_CORETYPE") == "Nehalem"
    return {
        "kernels": ["Nehalem" if old else "Haswell"],
        "threads": int(environment.get("OMP_NUM_THREADS", 1)),
        "numpy": ["X86_V2"] if old else ["X86_V2", "X86_V3"],
        "torch": "DEFAULT" if old else "AVX2",
    }


def test_an_unknown_processor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert portable.main(["pentium"]) == 2
    assert "pentium" in capsys.readouterr().err


def test_every_bound_is_tested_at_the_bound(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = {text for texts in [project["dependencies"], *extras.values()] for text in texts}
    asked = {text.replace(">=", "==") for text in asked if not text.startswith("irl-lib")}
    assert asked <= set(bounds.packages(root, "https://index"))
    here = set(bounds.packages(root, ""))
    assert {text.partition("==")[0] for text in asked - here} == {"torch"}
    assert sum(text.startswith("torch==") for text in here) == 1


def test_exploring_reports_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = iter([(3, {}), (3, {"a": "why"}), (3, {"a": "why"})])
    times = iter([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 61.0, 61.0])
    monkeypatch.setattr(explore, "explore", lambda report: next(rounds))
    monkeypatch.setattr(explore.time, "monotonic", lambda: next(times))
    assert explore.main(1.0) == 1
    shown = capsys.readouterr().out
    assert shown.count("why") == 1
    assert "1 property tests failed in 3 rounds" in shown
