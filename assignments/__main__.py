"""The commands of the assignments."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assignments.grading import grade
from assignments.master import masters
from assignments.packages import write_gradescope, write_otter
from assignments.starter import write_starters
from assignments.trial import problems


def parser() -> argparse.ArgumentParser:
    """Commands and their options."""
    top = argparse.ArgumentParser(prog="python -m assignments", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("grade", help="grade a folder of notebooks")
    one.add_argument("submissions", type=Path, help="NAME.ipynb or NAME/*.ipynb for each student")
    one.add_argument("--out", type=Path, default=Path("grades.csv"), help="the table of points")
    one.add_argument("--assignment", choices=sorted(masters()), help="default: what they say")
    one.add_argument("--secret", type=Path, help="a file; probes are drawn from its text")
    one.add_argument("--jobs", type=int, help="submissions at a time; default: one for each core")
    for name, about in (
        ("starter", "write the notebooks for students"),
        ("gradescope", "write Gradescope's packages"),
        ("otter", "write masters for otter-grader"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("out", type=Path, help="the folder to write to")
    command = commands.add_parser("try", help="run a master and its listed answers")
    command.add_argument("names", nargs="*", help="assignments; default: all")
    return top


def main(arguments: list[str]) -> int:
    """Run a command; the exit status."""
    asked = parser().parse_args(arguments)
    if asked.command == "grade":
        master = masters()[asked.assignment] if asked.assignment else None
        try:
            results = grade(asked.submissions, asked.out, master, asked.secret, asked.jobs)
        except (ValueError, OSError) as reason:
            print(reason, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 130
        print(f"{len(results)} graded: {asked.out}; reports in {asked.out.with_suffix('')}")
    elif asked.command == "try":
        found = [line for name in asked.names or masters() for line in problems(masters()[name])]
        print("\n".join(found) or "all as it should be")
        return int(bool(found))
    else:
        write = {
            "starter": write_starters,
            "gradescope": write_gradescope,
            "otter": write_otter,
        }[asked.command]
        for path in write(asked.out):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
