"""Fine-tune a causal language model on pairs of a prompt and a response.

Each line of the data is an object: {"prompt": "...", "response": "..."}.  What is minimised is
-log pi + WEIGHT (V + log pi - DISCOUNT V')^2, on average over the tokens of the responses, the end
token included; WEIGHT 0 is maximum likelihood.

DIR appears when all is done, with the model, its tokenizer and the history of the run.  Until then
checkpoints are kept in DIR.part: the same command goes on from the last of them.  Several processes
or machines: torchrun or accelerate launch in the place of python.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 2 when something in it can't be used, which is said."""
    parser = make_parser()
    options = vars(parser.parse_args(arguments))
    output = options.pop("output")
    try:
        from irl_lib.language import fine_tuning
    except ModuleNotFoundError as error:
        parser.error(f'{error.name} is missing: pip install "irl_lib[language]"')
    try:
        fine_tuning.fine_tune(fine_tuning.Settings(**options), output)
    except ValueError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m irl_lib.language",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="NAME_OR_PATH", help="what transformers can load")
    add("--data", required=True, metavar="FILE", help="JSON lines")
    add("--output", required=True, type=Path, metavar="DIR", help="a folder that is not there yet")
    add("--weight", type=float, default=0.1, help="lambda >= 0 (%(default)s)")
    add("--discount", type=float, default=1.0, help="gamma, from 0 to 1 (%(default)s)")
    add("--epochs", type=int, default=3, help="(%(default)s)")
    add("--batch", type=int, default=8, help="examples at a time in a process (%(default)s)")
    add("--accumulation", type=int, default=1, help="batches to a step (%(default)s)")
    add("--learning-rate", type=float, default=2e-5, help="falls linearly to 0 (%(default)s)")
    add("--max-length", type=int, help="tokens, after which an example is cut; default: none is")
    add("--seed", type=int, default=0, help="(%(default)s)")
    add("--checkpoint-every", type=int, default=500, help="steps (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
