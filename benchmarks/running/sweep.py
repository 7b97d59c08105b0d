"""Runs the missing cells of a study at a place, and stores what all of them come to.

Joblib hands the cells out to threads, and each thread waits for one cell at a time.  Every
finished cell is written at once; what is written is never run again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
from tqdm.auto import tqdm

from benchmarks.running import finished, harness, identity, study, table
from benchmarks.running.places import LostError, Place
from benchmarks.running.study import Cell, Record, Study


def attempt(place: Place, name: str, source: str, cell: Cell) -> tuple[Cell, Record]:
    """A cell and what came of it; one that is lost is run again, a few times."""
    reason = ""
    for _ in range(place.attempts):
        try:
            return cell, json.loads(place(name, source, cell))
        except LostError as error:
            reason = f"lost {place.attempts} times, the last time because: {error}\n"
        except Exception as error:  # of the way there: what the cell itself raises comes as text
            return cell, {"failed": f"{type(error).__name__}: {error}"}
    return cell, {"failed": reason}


def outcomes(place: Place, wanted: Study, cells: list[Cell]) -> Iterator[tuple[Cell, Record]]:
    """What comes of the cells, in the order in which they finish."""
    calls = (joblib.delayed(attempt)(place, wanted.name, wanted.source, cell) for cell in cells)
    slots = min(place.slots, len(cells))
    yield from joblib.Parallel(slots, backend="threading", return_as="generator_unordered")(calls)


def run_missing(
    wanted: Study, make_place: Callable[[int], Place], folder: Path
) -> list[tuple[Cell, str]]:
    """Run the cells that are not there yet and keep what they come to; the failed, with reasons."""
    done = finished.kept(wanted, folder)
    missing = [cell for cell in wanted.cells if wanted.key(cell) not in done]
    failed: list[tuple[Cell, str]] = []
    if not missing:
        return failed
    with (
        make_place(len(missing)) as place,
        tqdm(total=len(wanted.cells), initial=len(done), desc=wanted.name, unit=" cells") as bar,
    ):
        for cell, record in outcomes(place, wanted, missing):
            if "failed" in record:
                failed.append((cell, record["failed"]))
                bar.set_postfix(failed=len(failed))
            else:
                finished.keep(wanted, record, folder)
                bar.update()
    return sorted(failed, key=lambda each: wanted.cells.index(each[0]))


def report(wanted: Study, failed: list[tuple[Cell, str]]) -> str:
    """The failed cells by name, those with the same reason together."""
    reasons: dict[str, list[Cell]] = {}
    for cell, reason in failed:
        reasons.setdefault(reason.rstrip(), []).append(cell)
    lines = ["", f"{len(failed)} of {len(wanted.cells)} cells of {wanted.name} failed:"]
    for reason, cells in reasons.items():
        lines += ["", *(f"--- {study.label(cell)}" for cell in cells), reason]
    return "\n".join(lines)


def store(wanted: Study, folder: Path, results: Path, partial: bool) -> Path | None:
    """Write the study's result if all cells are there, or some and that is enough."""
    records = list(finished.kept(wanted, folder).values())
    if not records or (len(records) < len(wanted.cells) and not partial):
        return None
    versions = {each["made"]["versions"]["irl_lib"] for each in records}
    if versions != {identity.package_version()}:
        print(
            f"{wanted.name}: cells were run with other states of irl_lib than the present one, as"
            " the stored versions say; --fresh runs them anew",
            file=sys.stderr,
        )
    content = table.describe(wanted, records)
    return harness.write_json(results / f"{wanted.name}.json", content)


def sweep(
    name: str,
    make_place: Callable[[int], Place],
    *,
    fresh: bool = False,
    partial: bool = False,
    folder: Path = finished.FOLDER,
    results: Path = harness.RESULTS,
) -> int:
    """Run what is missing of a study and store its result; the exit status.

    Raises:
        StudyError: for a module that is no study.
        NoSchedulerError: when there is nothing to run it on.
    """
    wanted = study.load(name)
    if fresh:
        finished.forget(wanted, folder)
    try:
        failed, status = run_missing(wanted, make_place, folder), 0
    except KeyboardInterrupt:
        failed, status = [], 130
        print("\nstopped; the same command goes on with what is missing", file=sys.stderr)
    if failed:
        print(report(wanted, failed), file=sys.stderr)
        status = 1
    stored = store(wanted, folder, results, partial)
    done = len(finished.kept(wanted, folder))
    print(f"{done} of {len(wanted.cells)} cells of {name} are in {folder / name}")
    print(stored or f"{name}.json is not written: cells are missing")
    return status
