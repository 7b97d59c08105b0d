"""Runs notebooks anew, in order, each in a fresh kernel and an empty folder; stores them in place.

    python book/run_notebooks.py            all of them, two at a time
    python book/run_notebooks.py 04 07      those whose names begin like this

A notebook is replaced only when all of its cells ran without an error and without a word on stderr;
otherwise the old file stays whole and the exit status is 1.  What differs from run to run without
meaning anything (times, the interpreter's version) is not stored in the notebook, so that a second
run leaves no diff.  Seconds and memory go to ``book/results/notebooks.json``, which the status
page shows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from irl_lib.support.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "book" / "results" / "notebooks.json"
CELL_TIMEOUT = 300
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# Metadata that the book uses; anything else is an editor's and changes from machine to machine.
CELL_METADATA = ("tags", "mystnb")


@dataclass(frozen=True)
class Record:
    """One run of one notebook: ``seconds`` of wall clock, ``peak_mib`` of its kernel's memory."""

    sha256: str
    seconds: float
    peak_mib: int
    python: str
    machine: str


class NotebookError(Exception):
    """A cell raised an error or wrote to stderr; the text says which and what."""


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Keeps of the metadata what the book uses, and gives each cell an id that stays the same."""
    notebook.metadata = NotebookNode(kernelspec=KERNEL, language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{index:03d}")
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in CELL_METADATA})
    return notebook


def complaints(notebook: NotebookNode) -> list[str]:
    """What the cells wrote to stderr, one entry for each cell that did."""
    return [
        f"cell {index} wrote to stderr: {output.text.strip()}"
        for index, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]


PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def peak_memory(client: NotebookClient) -> int:
    """The largest resident size of the client's kernel so far, in MiB, asked in a passing cell."""
    cells = client.nb.cells
    cells.append(new_code_cell(PEAK))
    client.execute_cell(cells[-1], len(cells) - 1)
    value = int(cells.pop().outputs[0].text)
    return value // (1024 * 1024 if sys.platform == "darwin" else 1024)


def execute(notebook: NotebookNode) -> int:
    """Runs all cells in a fresh kernel in an empty folder; returns the kernel's peak memory in MiB.

    Raises:
        NotebookError: when a cell raises, takes too long, kills its kernel or writes to stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        with client.setup_kernel():
            try:
                for index, cell in enumerate(notebook.cells):
                    client.execute_cell(cell, index)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise NotebookError(str(error)) from None
            peak = peak_memory(client)
    if found := complaints(notebook):
        raise NotebookError("\n".join(found))
    return peak


def run_notebook(path: Path) -> Record:
    """Runs one notebook, stores it in place and returns what the run was like."""
    notebook = normalise(nbformat.read(path, as_version=4))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    start = time.perf_counter()
    peak = execute(notebook)
    seconds = round(time.perf_counter() - start, 1)
    nbformat.validate(notebook := normalise(notebook))
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    write_whole(path, text.encode())
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Record(digest, seconds, peak, platform.python_version(), describe_machine())


def describe_machine() -> str:
    """What a reader needs to judge a time: the number of cores and the architecture."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"


def store_records(records: dict[str, Record], existing: Iterable[str]) -> None:
    """Merges new records into the stored ones, and forgets notebooks that are gone."""
    old = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    merged = {**old, **{name: asdict(record) for name, record in records.items()}}
    kept = {name: merged[name] for name in sorted(existing) if name in merged}
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RECORDS, (json.dumps(kept, indent=2) + "\n").encode())


def run_all(paths: list[Path], jobs: int) -> tuple[dict[str, Record], int]:
    """Runs notebooks side by side and reports each as it ends; returns records and failures."""
    records: dict[str, Record] = {}
    failures = 0
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        waiting = {pool.submit(run_notebook, path): path for path in paths}
        for done, future in enumerate(as_completed(waiting), start=1):
            name = waiting[future].stem
            try:
                record = records[name] = future.result()
            except NotebookError as error:
                failures += 1
                print(f"[{done}/{len(paths)}] {name}  FAILED, file left as it was\n{error}")
            else:
                print(
                    f"[{done}/{len(paths)}] {name}  {record.seconds} s, {record.peak_mib} MiB",
                    flush=True,
                )
    return records, failures


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks anew, in place.")
    parser.add_argument("names", nargs="*", help="beginnings of notebooks' names (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    arguments = parser.parse_args()
    everything = sorted((ROOT / "notebooks").glob("*.ipynb"))
    chosen = [
        p for p in everything if not arguments.names or p.name.startswith(tuple(arguments.names))
    ]
    if not chosen:
        print(
            f"no notebook begins with {' or '.join(arguments.names) or 'anything'}", file=sys.stderr
        )
        return 2
    print(
        f"running {len(chosen)} of {len(everything)} notebooks, {arguments.jobs} at a time",
        flush=True,
    )
    # Kernels that run side by side share the cores.
    threads = str(max(1, (os.cpu_count() or 1) // arguments.jobs))
    for name in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{name}_NUM_THREADS", threads)
    records, failures = run_all(chosen, arguments.jobs)
    store_records(records, (path.stem for path in everything))
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
