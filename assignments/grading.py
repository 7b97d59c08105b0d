"""Submissions in, grades and reports out.

A submission is one notebook, ``NAME.ipynb`` or ``NAME/....ipynb``; the name is the student's.  Each
graded function is called with probes that are drawn for this student, and its answers are compared
here with those of the solution.  What was graded is kept beside the grades, so that an interrupted
run goes on where it stopped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
import stat
import sys
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from assignments import slices
from assignments.checks import LONGEST
from assignments.master import Check, Master, masters, source
from assignments.sandbox import SECONDS, SECONDS_IN_ALL, Sandbox, request

BLANK = "not attempted"
LEAST = 0.1  # seconds in which a function can be called at all
MOST_BYTES = 256 << 20  # of a notebook with its pictures
MOST_CODE = 1 << 20  # characters, for the parser
MOST_STATEMENTS = 2_000  # in whose order what a function needs is looked for
BESIDE = (".", "__MACOSX")  # how the names begin that Jupyter and macOS leave beside notebooks


@dataclass(frozen=True)
class Part:
    """What a check came to: the class of the error for the instructor, a sentence for all."""

    question: str
    function: str
    points: float
    earned: float
    error: str = ""
    said: str = ""


@dataclass(frozen=True)
class Submission:
    """One student's notebook."""

    student: str
    path: Path

    @property
    def data(self) -> bytes:
        """Its bytes; none where it is a link or no file at all, or larger than notebooks are."""
        try:
            about = self.path.lstat()
            plain = stat.S_ISREG(about.st_mode) and about.st_size <= MOST_BYTES
            return self.path.read_bytes() if plain else b""
        except OSError:
            return b""

    @property
    def digest(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def notebook(self) -> dict[str, Any]:
        """What it holds.

        Raises:
            ValueError: if it is no notebook.
        """
        if self.path.is_dir():
            raise ValueError("there is no notebook in this folder")
        try:
            read: dict[str, Any] = json.loads(self.data)
            assert isinstance(read["cells"], list)
        except Exception as reason:
            raise ValueError("this file can't be read as a notebook") from reason
        return read

    def statements(self) -> list[slices.Statement]:
        """Its code; what is no cell is passed over.

        Raises:
            ValueError: if it is no notebook, or has too much code.
        """
        texts = []
        for cell in self.notebook()["cells"]:
            with suppress(TypeError, KeyError):
                texts += [source(cell)] if cell["cell_type"] == "code" else []
        found = slices.statements(texts) if sum(map(len, texts)) <= MOST_CODE else None
        if found is None or len(found) > MOST_STATEMENTS:
            raise ValueError("this notebook has more code than can be graded")
        return found


def notebooks(folder: Path) -> list[Path]:
    """Those of a folder and of the ones in it."""
    found = [each for each in folder.rglob("*") if each.suffix.lower() == ".ipynb"]
    return sorted(
        each
        for each in found
        if not any(part.startswith(BESIDE) for part in each.relative_to(folder).parts)
        and not (each.is_dir() and not each.is_symlink())
    )


def printable(name: str) -> str:
    """A file's name, also where it isn't text."""
    return os.fsencode(name).decode(errors="backslashreplace")


def found_in(folder: Path) -> list[Submission]:
    """The submissions of a folder, by name; a student's folder without a notebook is one, too.

    Raises:
        ValueError: if there are none, or a student has two.
    """
    everything: dict[str, list[Path]] = {}
    for path in notebooks(folder):
        first, *inside = path.relative_to(folder).parts
        everything.setdefault(printable(first if inside else path.stem), []).append(path)
    if twice := [name for name, paths in everything.items() if len(paths) > 1]:
        raise ValueError(f"more than one notebook of {', '.join(sorted(twice))}")
    if not everything:
        raise ValueError(f"there is no notebook in {folder}")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(BESIDE):
            everything.setdefault(printable(path.name), [path])
    return [Submission(name, paths[0]) for name, paths in sorted(everything.items())]


def assignment_of(submissions: list[Submission]) -> Master:
    """The assignment that most of the notebooks say they answer.

    Raises:
        ValueError: if none says.
    """
    known, said = masters(), Counter[str]()
    for each in submissions:
        try:
            said[str(each.notebook()["metadata"]["assignment"])] += 1
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    named = [name for name, _ in said.most_common() if name in known]
    if not named:
        raise ValueError("no notebook says which assignment it answers; use --assignment")
    return known[named[0]]


# ---- one submission


def seeds(secret: str, student: str, check: Check, number: int) -> list[list[int]]:
    """The seeds of a check's probes, for one student."""
    texts = [f"{secret}/{student}/{check.name}/{number}/{i}" for i in range(check.probes)]
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    return [[int.from_bytes(each[i : i + 4]) for i in range(0, 32, 4)] for each in digests]


def asked(master: Master, check: Check, code: list[slices.Statement], probes: list[Any]) -> Any:
    """The request for a check; nothing where the function isn't there."""
    text = slices.needed(code, check.name)
    if not any(check.name in each.binds for each in code):
        return None
    run = check.run.__name__ if check.run else ""
    given = master.given(run) if run else ""
    return request(text, check.name, probes, given, run, check.library)


def untouched(master: Master, check: Check, code: list[slices.Statement]) -> bool:
    """Whether a function is what the starter has."""
    own, theirs = (
        [each.source for each in found if check.name in each.binds]
        for found in (master.statements, code)
    )
    return own == theirs


class Clock:
    """The seconds that a submission has left: for a question, and in all."""

    def __init__(self) -> None:
        """A new submission."""
        self.in_all, self.question = SECONDS_IN_ALL, 0.0

    def next_question(self) -> None:
        """A question begins."""
        self.question = min(SECONDS, self.in_all)

    def call(self, box: Sandbox, words: dict[str, Any]) -> list[dict[str, Any]]:
        """What a sandbox answers within the time that is left."""
        start = time.monotonic()
        found = box.call(words, self.question)
        spent = time.monotonic() - start
        self.question, self.in_all = self.question - spent, self.in_all - spent
        return found


def graded(master: Master, submission: Submission, box: Sandbox, secret: str) -> list[Part]:
    """What each check of a submission came to."""
    code, unread = [], ""
    try:
        code = submission.statements()
    except ValueError as reason:
        unread = str(reason)
    clock, parts = Clock(), []
    for question in master.questions:
        clock.next_question()
        for number, check in enumerate(question.checks):
            probes = check.drawn(seeds(secret, submission.student, check, number))
            found = verdict(master, check, code, probes, box, clock)
            error, said = ("unreadable", unread) if unread else found
            points = question.points / len(question.checks)
            earned = 0.0 if said else points
            parts.append(Part(question.name, check.name, points, earned, error, said))
    return parts


def verdict(
    master: Master,
    check: Check,
    code: list[slices.Statement],
    probes: list[Any],
    box: Sandbox,
    clock: Clock,
) -> tuple[str, str]:
    """The class of an error and a sentence; nothing where all is right."""
    words = asked(master, check, code, probes)
    if words is None:
        return "missing", f"no function {check.name} is there, or its cell has a syntax error"
    if untouched(master, check, code):
        return BLANK, BLANK
    if clock.question <= LEAST:
        return "time", "not graded: the time was used up before"
    found = clock.call(box, words)
    expected = check.expected(probes)
    said = next((each for each in check.faults(found, probes, expected) if each), "")
    if not said:
        return "", ""
    if any(each.get("result", "") is None for each in found):
        return BLANK, BLANK
    name = master.classify(check, probes, found)
    failed = next((each["error"].partition(":")[0] for each in found if "error" in each), "other")
    failed = failed[:LONGEST] if failed.isidentifier() else "other"
    return name or failed, master.sentence(check.name, name) or told(said)


def told(text: str) -> str:
    """What is said of a submission, as one line; it may have put anything into it."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(line.split())[: 2 * LONGEST]


# ---- all submissions


@dataclass(frozen=True)
class Place:
    """Where grades go, and beside them what belongs to them."""

    grades: Path

    @property
    def folder(self) -> Path:
        """For reports and what was graded so far."""
        return self.grades.with_suffix("")

    def secret(self, given: Path | None) -> str:
        """The secret that probes are drawn from; made at the first run."""
        path = given or self.folder / "secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16), encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()

    def kept(self, submission: Submission) -> Path:
        """What a submission came to."""
        return self.folder / "graded" / f"{submission.student}.json"


def grade(
    folder: Path,
    out: Path,
    master: Master | None = None,
    secret: Path | None = None,
    jobs: int | None = None,
    quiet: bool = False,
) -> dict[str, list[Part]]:
    """Grade a folder of submissions; the parts of each, by student.

    Writes ``out``, a table; and beside it, in a folder of its name, a report for each student,
    ``summary.md``, and what makes an interrupted run go on.

    Raises:
        ExceptionGroup: after all others are graded, if the grader fails on some submissions.
    """
    place = Place(out)
    own = place.folder.resolve()  # it may be among the submissions
    submissions = [each for each in found_in(folder) if each.path.resolve() != own]
    master = master or assignment_of(submissions)
    for name in ("graded", "reports"):
        (place.folder / name).mkdir(parents=True, exist_ok=True)
    key = place.secret(secret)
    results, todo, failures = {}, [], []
    for each in submissions:
        known = again(place.kept(each), stamp(master, each, key))
        results[each.student] = known
        todo += [] if known else [each]
    assert master.checks
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(todo)))
    bar = tqdm(total=len(submissions), initial=len(submissions) - len(todo), disable=quiet)
    with bar, closing(worked(master, todo, key, jobs)) as pairs:
        for each, parts in pairs:
            bar.update()
            if isinstance(parts, Exception):
                failures.append(parts)
                del results[each.student]
                continue
            text = json.dumps({"of": stamp(master, each, key), "parts": [*map(asdict, parts)]})
            whole(place.kept(each), text)
            results[each.student] = parts
    for student, parts in results.items():
        whole(place.folder / "reports" / f"{student}.md", report(master, student, parts))
    whole(place.folder / "summary.md", summary(master, results))
    write_table(out, master, results)
    if failures:
        raise ExceptionGroup(f"not graded: {len(failures)} of {len(submissions)}", failures)
    return results


def worked(
    master: Master, todo: list[Submission], secret: str, jobs: int
) -> Generator[tuple[Submission, list[Part] | Exception]]:
    """Each submission with what it came to, or why that is not known; several at a time."""
    if not todo:
        return
    boxes: SimpleQueue[Sandbox] = SimpleQueue()

    def one(submission: Submission) -> tuple[Submission, list[Part] | Exception]:
        box = boxes.get()
        try:
            return submission, graded(master, submission, box, secret)
        except Exception as reason:
            reason.add_note(f"This is about {submission.path}.")
            return submission, reason
        finally:
            boxes.put(box)

    with ThreadPoolExecutor(jobs) as pool, ExitStack() as stack:  # first the boxes are closed
        made = [stack.enter_context(closing(Sandbox(packages(master)))) for _ in range(jobs)]
        list(pool.map(lambda box: box.open(), made))
        if not all(box.apart for box in made):
            print("no namespaces here: submissions are shut in by limits alone", file=sys.stderr)
        for box in made:
            boxes.put(box)
        yield from pool.map(one, todo)


def packages(master: Master) -> list[str]:
    """What the given code imports, but the book's own package."""
    lines = [
        each.source for each in master.statements if each.source.startswith(("import", "from"))
    ]
    return sorted({line.split()[1] for line in lines if "irl_lib" not in line})


def stamp(master: Master, submission: Submission, secret: str) -> str:
    """What a result depends on."""
    parts = [master.digest, submission.digest, hashlib.sha256(secret.encode()).hexdigest()]
    return " ".join(each[:16] for each in parts)


def again(path: Path, of: str) -> list[Part]:
    """What was graded before, if it was the same; else nothing."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [Part(**each) for each in kept["parts"]] if kept["of"] == of else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    part = path.with_name(f".{path.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


# ---- what is written


def of_question(parts: list[Part], name: str) -> tuple[float, float]:
    """The points earned in a question, and those that there are."""
    own = [part for part in parts if part.question == name]
    return sum(part.earned for part in own), sum(part.points for part in own)


def number(points: float) -> str:
    """Points without a needless fraction."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def write_table(out: Path, master: Master, results: dict[str, list[Part]]) -> None:
    """A line for each student: the points of each question; empty where people grade."""
    names = [question.name for question in master.questions]
    manual = {question.name for question in master.questions if question.manual}
    part = out.with_name(f".{out.name}")
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", *names, "total"])
        for student, parts in results.items():
            row = ["" if n in manual else number(of_question(parts, n)[0]) for n in names]
            total = sum(each.earned for each in parts)
            table.writerow([student, *row, number(total)])
    part.replace(out)


def report(master: Master, student: str, parts: list[Part]) -> str:
    """What a student may see."""
    earned, most = (sum(getattr(p, key) for p in parts) for key in ("earned", "points"))
    lines = [f"# {master.title}: {student}", "", f"{number(earned)} of {number(most)} points", ""]
    for question in master.questions:
        if question.manual:
            lines += [f"- **{question.title}**: {number(question.points)} points, graded by people"]
            continue
        mine, all_points = of_question(parts, question.name)
        lines += [f"- **{question.title}**: {number(mine)} of {number(all_points)}"]
        own = [part for part in parts if part.question == question.name and part.said]
        lines += [f"  - `{part.function}`: {part.said}" for part in own]
    return "\n".join(lines) + "\n"


def summary(master: Master, results: dict[str, list[Part]]) -> str:
    """What most students got wrong, by the class of the error."""
    n = len(results)
    lines = [f"# {master.title}", "", f"{n} submissions", ""]
    for question in master.questions:
        if question.manual:
            continue
        rows = [part for parts in results.values() for part in parts]
        rows = [part for part in rows if part.question == question.name]
        points = [of_question(parts, question.name)[0] for parts in results.values()]
        mean = f"{number(sum(points) / n)} of {number(question.points)}"
        lines += [f"## {question.title}: mean {mean}", ""]
        counted = Counter((part.function, part.error) for part in rows if part.said)
        for (function, error), count in counted.most_common():
            said = master.sentence(function, error)
            lines += [f"- {count} of {n}: `{function}`, {error}" + (f": {said}" if said else "")]
        lines += [] if counted else ["Nobody lost a point."]
        lines += [""]
    return "\n".join(lines)
