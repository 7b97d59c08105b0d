"""A master notebook: its questions, its solutions as functions, and the starter made from it."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import inspect
import io
import json
import os
import re
import runpy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from assignments import checks, slices

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "assignments"
Cell = dict[str, Any]
SOLUTION = re.compile(
    r"^(?P<indent>[ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION$", re.DOTALL | re.MULTILINE
)
ONE_AT_A_TIME = threading.Lock()  # what solutions print, draw or set is the whole process's
HEADING = re.compile(r"^### .*\((\d+) points?, (\d+) minutes\)$", re.MULTILINE)


def source(cell: Cell) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


@dataclass(frozen=True)
class Check:
    """One call of ``check``: a graded function and how it is probed."""

    function: Callable[..., Any]
    draw: Callable[..., Any]
    run: Callable[..., Any] | None = None
    judge: Callable[..., str] | None = None
    probes: int = 3
    rtol: float = 1e-6
    atol: float = 1e-8
    library: bool = False
    hidden: bool = False

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.__name__

    @property
    def needs_expected(self) -> bool:
        """Whether the solution's answer decides."""
        return self.judge is None or "expected" in inspect.signature(self.judge).parameters

    def drawn(self, seeds: list[Any]) -> list[Any]:
        """A probe for each seed, in the words of JSON."""
        return [checks.plain(self.draw(np.random.default_rng(seed))) for seed in seeds]

    def outcomes(self, probes: list[Any], function: Callable[..., Any]) -> list[dict[str, Any]]:
        """What comes of a trusted function."""
        call = checks.through(self.run, function)
        with ONE_AT_A_TIME, contextlib.redirect_stdout(io.StringIO()):
            return [
                checks.outcome(functools.partial(call, **checks.restored(probe)))
                for probe in probes
            ]

    def expected(self, probes: list[Any]) -> list[dict[str, Any] | None]:
        """What comes of the solution, where it decides.

        Raises:
            RuntimeError: if the solution fails.
        """
        if not self.needs_expected:
            return [None] * len(probes)
        found = self.outcomes(probes, self.function)
        if failed := [each["error"] for each in found if "error" in each]:
            raise RuntimeError(f"the solution of {self.name} raises {failed[0]}")
        return list(found)

    def faults(
        self,
        found: list[dict[str, Any]],
        probes: list[Any],
        expected: list[dict[str, Any] | None],
        reveal: bool = False,
    ) -> list[str]:
        """What is wrong with each outcome; nothing where it is right."""
        how = self.judge, self.rtol, self.atol, reveal
        rows = zip(found, expected, probes, strict=True)
        return [checks.fault(one, right, checks.restored(p), *how) for one, right, p in rows]


@dataclass
class Question:
    """A question: its cells by the part in which they stand, and its checks."""

    name: str
    points: float
    manual: bool = False
    prompt: list[Cell] = field(default_factory=list)
    solution: list[Cell] = field(default_factory=list)
    tests: list[Cell] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Its heading, without points and time."""
        return re.sub(r"^#+ | \([^()]*\)$", "", source(self.prompt[0]).splitlines()[0])

    @property
    def minutes(self) -> int:
        """The estimated time."""
        found = HEADING.search(source(self.prompt[0]))
        return int(found.group(2)) if found else 0


class Master:
    """A master notebook, run once: the namespace of its solutions and the calls of its checks."""

    def __init__(self, path: Path) -> None:
        """Read it; it runs when its namespace is first needed."""
        self.path, self.name = path, path.stem
        self.notebook = json.loads(path.read_text(encoding="utf-8"))
        self.parts = list(parse(self.notebook["cells"]))
        self.questions = [part for part in self.parts if isinstance(part, Question)]

    @property
    def title(self) -> str:
        """The notebook's heading."""
        texts = (source(p) for p in self.parts if not isinstance(p, Question))
        return next(t.splitlines()[0].lstrip("# ") for t in texts if t.startswith("# "))

    @functools.cached_property
    def digest(self) -> str:
        """Of the master, its answers, and what compares them."""
        paths = self.path, self.path.with_name("answers.py"), Path(checks.__file__)
        texts = b"".join(path.read_bytes() for path in paths)
        return hashlib.sha256(texts).hexdigest()

    @functools.cached_property
    def namespace(self) -> dict[str, Any]:
        """What the whole master defines; running it fills the questions' checks."""
        names: dict[str, Any] = {"__name__": self.name}
        with contextlib.redirect_stdout(io.StringIO()):
            for part in self.parts:
                cells = part.solution + part.tests if isinstance(part, Question) else [part]
                for cell in cells:
                    if cell["cell_type"] == "code":
                        names["check"] = functools.partial(record, part, cell)
                        exec(compile(source(cell), f"<{self.name}>", "exec"), names)
        return names

    @functools.cached_property
    def checks(self) -> list[tuple[Question, Check]]:
        """Each check with its question."""
        assert self.namespace
        return [(question, each) for question in self.questions for each in question.checks]

    @functools.cached_property
    def answers(self) -> dict[str, Any]:
        """``WRONG`` and ``RIGHT`` of ``answers.py``."""
        return runpy.run_path(str(self.path.parent / "answers.py"))

    def solution_of(self, function: str) -> str:
        """The source of the cell that defines a solution."""
        cells = [source(cell) for question in self.questions for cell in question.solution]
        return next(text for text in cells if re.search(rf"^def {function}\(", text, re.MULTILINE))

    def wrong_source(self, function: str, name: str) -> str:
        """The cell of a wrong answer.

        Raises:
            ValueError: if the text that it replaces isn't there exactly once.
        """
        _, *change = self.answers["WRONG"][function][name]
        if len(change) == 1:
            return str(change[0])
        text = self.solution_of(function)
        if text.count(change[0]) != 1:
            raise ValueError(f"{function}, {name}: {change[0]!r} is not there exactly once")
        return text.replace(*change)

    def defined(self, text: str, function: str) -> Callable[..., Any]:
        """The function that a source defines among everything that the master defines."""
        names = dict(self.namespace)
        exec(compile(text, f"<{function}>", "exec"), names)
        found: Callable[..., Any] = names[function]
        return found

    def wrong(self, function: str) -> dict[str, Callable[..., Any]]:
        """The wrong answers by class."""
        return {
            name: self.defined(self.wrong_source(function, name), function)
            for name in self.answers["WRONG"].get(function, {})
        }

    def classify(self, check: Check, probes: list[Any], found: list[dict[str, Any]]) -> str:
        """The class of an error, or nothing."""
        for name, function in self.wrong(check.name).items():
            theirs = {name: check.outcomes(probes, function)}
            if checks.class_of(found, theirs, check.rtol, check.atol):
                return name
        return ""

    def sentence(self, function: str, name: str) -> str:
        """What students are told about a class of errors; nothing for some."""
        return str(self.answers["WRONG"].get(function, {}).get(name, ("",))[0])

    # ---- what is handed out

    @functools.cached_property
    def starter_cells(self) -> list[Cell]:
        """The cells of the starter, without the bootstrap and the checks' own cell."""
        cells = []
        for part in self.parts:
            cells += starter_of(part) if isinstance(part, Question) else [copy.deepcopy(part)]
        for i, cell in enumerate(cells):
            cell["id"] = f"{self.name}-{i}"
        return cells

    @property
    def given_code(self) -> str:
        """All code that students receive as it is, outside of questions."""
        cells = [part for part in self.parts if not isinstance(part, Question)]
        return "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")

    def given(self, name: str) -> str:
        """The source of what a function of the starter needs."""
        return slices.needed(self.statements, name)

    @functools.cached_property
    def statements(self) -> list[slices.Statement]:
        """The starter's."""
        cells = self.starter_cells
        return slices.statements(source(cell) for cell in cells if cell["cell_type"] == "code")

    def visible_answers(self) -> dict[str, Any]:
        """What :func:`assignments.checks.visible_check` has to know; computed once."""
        kept = CACHE / f"{self.digest}.json"
        if not kept.exists():
            visible = (check for _, check in self.checks if not check.hidden)
            known = {check.name: self.visible_answer(check) for check in visible}
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
            part.replace(kept)
        read: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return read

    def visible_answer(self, check: Check) -> dict[str, Any]:
        """The same of one function."""
        probes = check.drawn(list(range(check.probes)))
        listed = self.answers["WRONG"].get(check.name, {})
        says = {name: entry[0] for name, entry in listed.items() if entry[0]}
        wrong = {name: check.outcomes(probes, self.wrong(check.name)[name]) for name in says}
        right = check.expected(probes)
        return {
            "right": [short(each) for each in right] if check.needs_expected else None,
            "wrong": {name: [short(each) for each in found] for name, found in wrong.items()},
            "says": says,
        }

    def checks_source(self) -> str:
        """The cell with which a starter checks: the module, and what it has to know."""
        module = inspect.getsource(checks)
        known = json.dumps(self.visible_answers(), ensure_ascii=False)
        return (
            "# Run this cell. It holds what the checks compare your answers with; there is nothing "
            f"in it to change.\n{module}\n\nimport json\n\n"
            f"check = visible_check(json.loads(r'''{known}'''))\n"
        )


def short(words: Any) -> Any:
    """The same words with numbers of ten digits."""
    if isinstance(words, float):
        return float(f"{words:.10g}")
    if isinstance(words, dict):
        return {key: short(each) for key, each in words.items()}
    if isinstance(words, (list, tuple)):
        return [short(each) for each in words]
    return words


def record(question: Question, cell: Cell, *arguments: Any, **options: Any) -> None:
    """In a master, ``check`` notes that it was called."""
    hidden = source(cell).startswith("# HIDDEN")
    question.checks.append(Check(*arguments, **options, hidden=hidden))


def parse(cells: list[Cell]) -> Iterator[Cell | Question]:
    """Given cells and questions, in their order.

    Raises:
        ValueError: for a raw cell out of place.
    """
    question, part = None, ""
    for cell in cells:
        text = source(cell).strip()
        if cell["cell_type"] != "raw":
            if question is None:
                yield cell
            else:
                getattr(question, part).append(cell)
        elif text.startswith("# BEGIN QUESTION"):
            settings = yaml.safe_load(text)
            question, part = Question(**settings), "prompt"
        elif text in ("# BEGIN SOLUTION", "# BEGIN TESTS"):
            part = text.split()[-1].lower()
        elif text == "# END QUESTION" and question is not None:
            yield question
            question = None
        elif not text.startswith(("# ASSIGNMENT CONFIG", "# END SOLUTION", "# END TESTS")):
            raise ValueError(f"a raw cell says {text!r}")


def starter_of(question: Question) -> list[Cell]:
    """What students see of a question."""
    cells = copy.deepcopy(question.prompt)
    for cell in copy.deepcopy(question.solution):
        if cell["cell_type"] == "code":
            cell["source"] = SOLUTION.sub(r"\g<indent>...", source(cell))
            cells.append(cell)
    if question.manual:
        cells.append({"cell_type": "markdown", "metadata": {}, "source": "*Your answer*"})
    visible = [cell for cell in question.tests if not source(cell).startswith("# HIDDEN")]
    cells += [copy.deepcopy(cell) for cell in visible]
    for cell in cells[-len(visible) :] if visible else []:
        cell["metadata"]["cellView"] = "form"
    return cells


def masters() -> dict[str, Master]:
    """All of them, by name."""
    paths = sorted(HERE.glob("hw*/hw*.ipynb"))
    return {path.stem: Master(path) for path in paths if path.stem == path.parent.name}
