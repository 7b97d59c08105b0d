"""The entry of a Gradescope package: grades the one submission that is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from assignments.grading import Part, Submission, graded, notebooks, number, packages
from assignments.master import Master, masters
from assignments.sandbox import Sandbox


def student_of(base: Path) -> str:
    """Who handed in: the same name for each of a student's submissions."""
    told = json.loads((base / "submission_metadata.json").read_text(encoding="utf-8"))
    users = sorted(str(user.get("email") or user.get("id")) for user in told.get("users", []))
    return " ".join(users) or "nobody"


def results(master: Master, parts: list[Part]) -> dict[str, Any]:
    """What Gradescope reads."""
    titles = {question.name: question.title for question in master.questions}
    tests = [
        {
            "name": f"{titles[part.question]}: {part.function}",
            "score": float(number(part.earned)),
            "max_score": float(number(part.points)),
            "output": part.said or "right",
            "visibility": "visible",
        }
        for part in parts
    ]
    return {"score": float(number(sum(part.earned for part in parts))), "tests": tests}


def main(base: Path) -> None:
    """Read the submission below a folder, write the results there."""
    (master,) = masters().values()
    assert master.checks
    secret = Path(__file__).with_name("secret").read_text(encoding="utf-8").strip()
    found = notebooks(base / "submission")
    if len(found) == 1:
        with Sandbox(packages(master)) as box:
            parts = graded(master, Submission(student_of(base), found[0]), box, secret)
        said = results(master, parts)
    else:
        said = {"score": 0.0, "output": f"{len(found)} notebooks were handed in; expected one"}
    (base / "results").mkdir(exist_ok=True)
    (base / "results" / "results.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
