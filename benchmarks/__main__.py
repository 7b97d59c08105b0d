"""`python -m benchmarks [NAME ...]`: run the named benchmarks and studies, or all, and store them.

A benchmark runs as a whole.  A study runs cell by cell, on processes of this machine or on a Dask
cluster.  Each finished cell is kept in a file under `.sweeps/NAME/`, which git ignores, and a
second call runs only what is missing; a cell is known by its parameters and by the code of the
study that runs it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import joblib

from benchmarks.running import cluster, harness, places, study, sweep


def main(arguments: list[str]) -> int:
    """Run what the command line names."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    known = harness.names()
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.list:
        width = max(map(len, known))
        for name in known:
            print(f"{name:{width}}  {'study' if harness.is_study(name) else 'benchmark'}")
        return 0
    if options.scheduler and options.jobs:
        parser.error("--jobs is of processes of this machine; a cluster has as many as it has")
    chosen = options.names or known
    if has_study_options(options) and not any(map(harness.is_study, chosen)):
        parser.error(f"{', '.join(chosen)} has no cells: it takes no option but --folder")
    try:
        return max([run(name, options) for name in chosen])
    except (study.StudyError, cluster.NoSchedulerError) as reason:
        parser.error(str(reason))


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help=", ".join(harness.names()))
    add("--list", action="store_true", help="show what there is and stop")
    add("--folder", type=Path, default=harness.RESULTS, help="where to store")
    cells = parser.add_argument_group("for studies")
    add = cells.add_argument
    add("--jobs", type=positive, metavar="N", help="processes at a time; all cores by default")
    add("--scheduler", type=address, metavar="tcp://HOST:PORT", help="run on this Dask cluster")
    add("--fresh", action="store_true", help="forget the finished cells and run all anew")
    add("--partial", action="store_true", help="store what is there; the file says what is missing")
    return parser


def positive(text: str) -> int:
    """A whole number, at least 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number, at least 1")
    return number


def address(text: str) -> str:
    """Where a Dask scheduler may listen."""
    found = re.fullmatch(r"(tcp|tls)://[^/\s]+:(\d+)", text)
    if not found or int(found[2]) >= 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is no address like tcp://HOST:PORT")
    return text


def has_study_options(options: argparse.Namespace) -> bool:
    """Whether the command line has anything that concerns studies alone."""
    return bool(options.jobs or options.scheduler or options.fresh or options.partial)


def run(name: str, options: argparse.Namespace) -> int:
    """Run one of them, and store what it comes to; the exit status."""
    print(f"== {name}", flush=True)
    start = time.perf_counter()
    if harness.is_study(name):
        status = sweep.sweep(
            name,
            place_maker(options),
            fresh=options.fresh,
            partial=options.partial,
            results=options.folder,
        )
    else:
        print(harness.store(name, harness.load(name).run(), options.folder))
        status = 0
    print(f"{time.perf_counter() - start:.1f} s", flush=True)
    return status


def place_maker(options: argparse.Namespace) -> Callable[[int], places.Place]:
    """What makes the place for so many cells."""
    if options.scheduler:
        return lambda n_cells: cluster.Cluster(options.scheduler)
    jobs = options.jobs or joblib.cpu_count()
    return lambda n_cells: places.Processes(min(jobs, n_cells))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
