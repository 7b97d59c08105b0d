"""What takes too long for a notebook: peers, scale.  `python -m benchmarks NAME` runs one.

Each module here that has a function `run() -> list[dict]` is a benchmark; what it returns is stored
in `book/results/NAME.json`, from which the book makes its table.
"""
