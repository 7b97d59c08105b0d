"""Each master: its own answers against its checks, its times, and its starter."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from assignments.checks import fault, outcome, plain, restored, through, visible_check
from assignments.grading import packages, seeds
from assignments.master import SOLUTION, Check, Master, source
from assignments.sandbox import Sandbox, request
from assignments.slices import needed, statements
from assignments.starter import starter
from assignments.trial import problems

SEEDS = 50
QUICK = 0.1  # seconds of a probe; of what takes longer, fewer seeds are tried


def test_its_answers_are_told_apart(master: Master) -> None:
    assert list(problems(master)) == []


def test_it_takes_six_to_ten_hours(master: Master) -> None:
    hours = sum(question.minutes for question in master.questions) / 60
    assert 6 <= hours <= 10
    assert any(question.manual for question in master.questions)


def test_it_is_stored_without_outputs(master: Master) -> None:
    code = [cell for cell in master.notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_the_solutions_have_full_marks_on_fresh_seeds(master: Master) -> None:
    with Sandbox(packages(master)) as box:
        for _, check in master.checks:
            first = check.drawn(seeds("0", "somebody", check, 0))
            seconds = timed(check, first) / len(first)
            rounds = range(SEEDS if seconds < QUICK else 3)
            drawn = [check.drawn(seeds(str(i), "somebody", check, 0)) for i in rounds]
            probes = [probe for each in drawn for probe in each]
            cells = [master.given_code, master.solution_of(check.name)]
            text = needed(statements(cells), check.name)
            run = check.run.__name__ if check.run else ""
            given = master.given(run) if run else ""
            words = request(text, check.name, probes, given, run, check.library)
            found = box.call(words, 300.0)
            assert not any(check.faults(found, probes, check.expected(probes)))


def timed(check: Check, probes: list[object]) -> float:
    """Seconds of the solution on some probes."""
    start = time.perf_counter()
    check.outcomes(probes, check.function)
    return time.perf_counter() - start


# ---- the starter


def test_no_solution_and_no_hidden_test_is_in_the_starter(master: Master) -> None:
    text = json.dumps(starter(master), ensure_ascii=False)
    assert "BEGIN SOLUTION" not in text
    assert "# HIDDEN" not in text
    own = [source(cell) for cell in master.starter_cells]
    for question in master.questions:
        for cell in question.solution:
            if cell["cell_type"] == "markdown":
                assert source(cell)[:60] not in "\n".join(own)
                continue
            for block in SOLUTION.finditer(source(cell)):
                lines = [line.strip() for line in block.group().splitlines()]
                for line in lines:
                    distinctive = len(line) > 20 and not line.startswith("#")
                    assert not distinctive or line not in "\n".join(own), line


def test_the_starter_keeps_names_and_docstrings(master: Master) -> None:
    code = "\n".join(source(c) for c in master.starter_cells if c["cell_type"] == "code")
    for _, check in master.checks:
        shape = rf'^def {check.name}\(.*?\):\n    """.*?"""\n'
        assert re.search(shape, code, re.MULTILINE | re.DOTALL)


# ---- what a check says


def say(answer: object, right: object = None, **options: object) -> str:
    """What is wrong with an answer."""
    found = outcome(lambda: answer)
    return str(fault(found, outcome(lambda: right), {}, **options))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "not attempted yet"),
        ([1.0, 2.0, 4.0], "for instance at [2] it is 4, expected 3"),
        ([[1.0], [2.0], [3.0]], "has shape (3, 1); expected (3,)"),
        ([1.0, 2.0, float("nan")], "not finite"),
        ("text", "is a str; expected numbers"),
        (object(), "an object of type object"),
        ({"a": 1}, "is a dict; expected numbers"),
    ],
)
def test_it_says_what_is_wrong(answer: object, expected: str) -> None:
    assert expected in say(answer, [1.0, 2.0, 3.0])


def test_one_number_is_not_several_values() -> None:
    assert "doesn't return 2 values" in say(1.0, (1.0, np.arange(3)))


def test_hidden_values_are_not_revealed() -> None:
    said = say([1.0, 2.0, 4.0], [1.0, 2.0, 3.125], reveal=False)
    assert "wrong values (1 of 3)" in said
    assert "3.125" not in said


def test_words_and_values_go_both_ways() -> None:
    value = {"a": np.arange(6).reshape(2, 3), "b": [True, None, "x"], "c": np.float64(0.5)}
    back = restored(json.loads(json.dumps(plain(value))))
    assert back["a"].dtype == np.int64
    assert (back["a"] == value["a"]).all()
    assert back["b"] == value["b"]
    assert back["c"] == 0.5
    assert restored(json.loads(json.dumps(plain(np.empty((0, 3)))))).shape == (0, 3)


def test_a_long_double_is_a_number() -> None:
    for value in (np.longdouble(0.5), np.full(2, 0.5, dtype=np.longdouble)):
        assert np.all(restored(json.loads(json.dumps(plain(value)))) == 0.5)


def test_solutions_print_nothing_and_leave_the_output_as_it_is() -> None:
    output = sys.stdout
    check = Check(time.sleep, lambda rng: {}, run=lambda function: function(0.2))
    words = [{"dict": {}}], time.sleep
    threads = [threading.Thread(target=check.outcomes, args=words) for _ in range(2)]
    for each in threads:
        each.start()
        time.sleep(0.1)
    for each in threads:
        each.join()
    assert sys.stdout is output


def test_a_visible_check_names_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"double": {"right": [{"result": 2}], "wrong": {"square": [{"result": 1}]}}}
    known["double"]["says"] = {"square": "it squares."}
    check = visible_check(known)

    answers = []

    def double(x: int) -> object:
        return answers[-1](x)

    for answer, said in (
        (lambda x: 2 * x, "passes the visible check"),
        (lambda x: x**2, "it squares."),
        (lambda x: None, "not attempted yet"),
        (lambda x: x + 4, "expected 2"),
        (lambda x: 1 / 0, "raises ZeroDivisionError"),
    ):
        answers.append(answer)
        check(double, lambda rng: {"x": 1}, probes=1)
        assert said in capsys.readouterr().out


def test_a_run_that_fails_on_none_is_not_an_attempt() -> None:
    def run(function: Callable[[int], object], x: int) -> object:
        return [float(each) for each in function(x)]  # type: ignore[attr-defined]

    assert through(None, len) is len
    assert outcome(lambda: through(run, lambda x: None)(x=1)) == {"result": None}
    assert outcome(lambda: through(run, lambda x: [x, x])(x=1)) == {"result": [1.0, 1.0]}
    assert "TypeError" in outcome(lambda: through(run, lambda x: 3)(x=1))["error"]


# ---- what is taken from a notebook


def test_a_function_comes_with_what_it_uses_and_nothing_else() -> None:
    cells = [
        "import math\nimport os\n%matplotlib inline\n!pip install x",
        "def helper(x):\n    return math.sqrt(x) + OFFSET",
        "this is no python",
        "OFFSET = 1\nresult = slow()\nhelper(3)\nmath.pi = 3",
        "TABLE = {}\nTABLE['a'] = 1",
        "def f(x):\n    result = helper(x)\n    return result + TABLE['a']",
    ]
    text = needed(statements(cells), "f")
    names: dict[str, object] = {}
    exec(text, names)
    assert names["f"](4) == 4.0  # type: ignore[operator]
    for absent in ("slow", "import os", "math.pi", "helper(3)"):
        assert absent not in text
    assert needed(statements(cells), "missing") == ""


@pytest.mark.parametrize(
    "cells",
    [
        ["x = (9\n     % 7)", "def f():\n    return x"],
        ["%%time\nx = 2", "def f():\n    return x"],
        ["x = [0, 0]\nfor i in range(2):\n    x[i] = 2 * i", "def f():\n    return x[1]"],
        ["from math import *", "def f():\n    return sqrt(4)"],
        ["from absent import *", "def f():\n    return len('ab')"],
        ["from absent import x", "def f():\n    return x()", "def x():\n    return 2"],
        ["x = 1\nx = x + 1", "def f():\n    return x"],
        ["def x():\n    return 2", "y = x()\nx = 1", "def f():\n    return y"],
        ["def f():\n    return 1", "g = f\ndef f():\n    return g() + 1"],
        ["x = 1", "def f():\n    global x\n    x += 1\n    return 2"],
        ["x = 2\ntry:\n    from absent import x\nexcept ImportError:\n    pass\nf = lambda: x"],
    ],
)
def test_a_function_sees_what_it_sees_in_the_notebook(cells: list[str]) -> None:
    names: dict[str, object] = {}
    exec(needed(statements(cells), "f"), names)
    assert names["f"]() == 2  # type: ignore[operator]
