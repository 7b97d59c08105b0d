"""What takes too long for a notebook: peers, scale, seeds.  `python -m benchmarks NAME` runs one.

Each module here that has a function `run() -> list[dict]` is a benchmark; what it returns is stored
in `book/results/NAME.json`, from which the book makes its table.  One that has `cells()`,
`run_cell(**cell)` and `summary(finished)` is a study: its cells run side by side, on this machine
or on a Dask cluster, each is kept as soon as it is finished, and what is stored is their summary
(see `benchmarks.running`, which is the machinery).
"""
