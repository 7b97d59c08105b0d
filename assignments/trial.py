"""Tries a master on its own answers, and says what does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from assignments import checks
from assignments.grading import seeds
from assignments.master import Check, Master, Question

LEAST_WRONG, LEAST_NAMED, LEAST_RIGHT = 10, 5, 3
SECRETS = ("one", "two")
VISIBLE_SECONDS = 5.0


def problems(master: Master) -> Iterator[str]:
    """A line for each thing that does not hold."""
    assert master.checks
    for question in master.questions:
        yield from of_question(question)
        visible = [check for check in question.checks if not check.hidden]
        for check in visible:
            same = [each for each in question.checks if each.name == check.name]
            found = [*of_visible(master, check), *of_answers(master, same)]
            yield from (f"{master.name}, {check.name}: {line}" for line in found)


def of_question(question: Question) -> Iterator[str]:
    """Its heading, and that it is graded by somebody."""
    first = question.prompt[0]["source"]
    if f"({question.points:g} point" not in "".join(first) or not question.minutes:
        yield f"{question.name}: its heading does not say '({question.points:g} points, N minutes)'"
    if bool(question.checks) == question.manual:
        yield f"{question.name}: it needs checks, or 'manual: true', and not both"


def of_visible(master: Master, check: Check) -> Iterator[str]:
    """What students see: the solution passes, each listed error is named."""
    start = time.perf_counter()
    probes = check.drawn(list(range(check.probes)))
    expected = check.expected(probes)
    if said := faults_of(check, check.function, probes, expected):
        yield f"the solution fails its visible check: {said}"
    if (seconds := time.perf_counter() - start) > 2 * VISIBLE_SECONDS:
        yield f"the visible check takes {seconds / 2:.1f} s"
    wrong = master.visible_answer(check)["wrong"]
    for name, found in wrong.items():
        if not any(check.faults(found, probes, expected)):
            yield f"the visible check does not notice '{name}'"
        elif (called := checks.class_of(found, wrong, check.rtol, check.atol)) != name:
            yield f"'{name}' is called '{called}'"


def of_answers(master: Master, same: list[Check]) -> Iterator[str]:
    """The lists of answers: long enough, the right ones right and the wrong ones wrong."""
    name = same[0].name
    wrong, right = master.answers["WRONG"].get(name, {}), master.answers["RIGHT"].get(name, {})
    named = sum(bool(entry[0]) for entry in wrong.values())
    for what, there, least in (
        ("wrong answers", len(wrong), LEAST_WRONG),
        ("errors with a sentence", named, LEAST_NAMED),
        ("right answers", len(right), LEAST_RIGHT),
    ):
        if there < least:
            yield f"{there} {what}; at least {least} are wanted"
    for secret in SECRETS:
        drawn = [
            check.drawn(seeds(secret, "nobody", check, number)) for number, check in enumerate(same)
        ]
        expected = [check.expected(probes) for check, probes in zip(same, drawn, strict=True)]
        for style, text in right.items():
            if said := any_fault(same, master.defined(text, name), drawn, expected):
                yield f"the right answer '{style}' fails: {said}"
        for error, function in master.wrong(name).items():
            if not any_fault(same, function, drawn, expected):
                yield f"the wrong answer '{error}' passes for the secret '{secret}'"


def any_fault(
    same: list[Check], function: Callable[..., Any], drawn: list[Any], expected: list[Any]
) -> str:
    """The first fault that any of a function's checks finds."""
    rows = zip(same, drawn, expected, strict=True)
    found = (faults_of(check, function, probes, right) for check, probes, right in rows)
    return next((said for said in found if said), "")


def faults_of(
    check: Check, function: Callable[..., Any], probes: list[Any], expected: list[Any]
) -> str:
    """The first fault on these probes."""
    found = check.faults(check.outcomes(probes, function), probes, expected, reveal=True)
    return next((said for said in found if said), "")
