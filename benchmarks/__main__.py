"""`python -m benchmarks [--list] [NAME ...]`: run the named benchmarks, or all, and store them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks import harness


def main(arguments: list[str]) -> int:
    """Run what the command line names."""
    known = harness.names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--list", action="store_true", help="show what there is and stop")
    parser.add_argument("--folder", type=Path, default=harness.RESULTS, help="where to store")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.list:
        print("\n".join(known))
        return 0
    for name in options.names or known:
        print(f"== {name}", flush=True)
        start = time.perf_counter()
        path = harness.store(name, harness.load(name).run(), options.folder)
        print(f"{path}, {time.perf_counter() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
