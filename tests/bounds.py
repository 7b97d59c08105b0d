"""The package's tests with the oldest versions of its dependencies that ``pyproject.toml`` allows.

torch is the exception: old builds of it for the processor alone are on another index, so its own
bound is tested where ``TORCH_INDEX`` names that index, and the book's version serves elsewhere.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import environments
import run

# What the tests themselves need, as the book's environment has it.
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "dask", "distributed", "joblib", "psutil")
# What the oldest of these packages need of others: matplotlib 3.8 warns with a newer pyparsing.
OLDER = ("pyparsing==3.1.4",)
# What networkx 3.2 says where pandas, which nothing here needs, is not installed.
UNHEARD = "-Wignore:pandas not found:ImportWarning"
# Tests of the book's own machinery, which run in the book's environment.
NOT_THE_PACKAGE = ("tests/test_stored_results.py", "tests/test_sweep.py")


def lowest(root: Path) -> list[str]:
    """Every dependency, those of all extras included, at its lower bound."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    texts = [text for text in [*project["dependencies"], *extras] if not text.startswith("irl-lib")]
    return sorted({text.replace(">=", "==") for text in texts})


def pinned(root: Path, names: Iterable[str]) -> list[str]:
    """These packages as the book's environment pins them."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {name.lower() for name in names}
    return [line for line in lines if line.partition("==")[0].lower() in wanted]


def packages(root: Path, torch_index: str) -> list[str]:
    """What is installed."""
    found = [*lowest(root), *pinned(root, TOOLS), *OLDER]
    if not torch_index:
        found = [text for text in found if not re.match(r"torch\b", text)]
        found += pinned(root, ["torch"])
    return found


def interpreter(root: Path) -> Path:
    """The interpreter of that environment; made if it is not there yet.

    Raises:
        NoEnvironmentError: if it is not there and its packages cannot be installed.
    """
    index = os.environ.get("TORCH_INDEX", "")
    options = ["--extra-index-url", index] if index else []
    wanted = packages(root, index)
    python = Path(sys.executable).resolve()
    return environments.kept(root / ".cache", "bounds", python, wanted, options=options)


def outcomes() -> list[run.Outcome]:
    """Runs the package's tests at the bounds; a failure if the environment cannot be made."""
    print("\n##### the oldest packages that pyproject.toml allows", flush=True)
    print("  " + ", ".join(packages(run.ROOT, os.environ.get("TORCH_INDEX", ""))), flush=True)
    try:
        python = interpreter(run.ROOT)
    except environments.NoEnvironmentError as reason:
        print(f"  {reason}")
        return [run.Outcome("bounds: environment", 0, 1, 0, 0.0, [str(reason)])]
    left_out = [f"--ignore={name}" for name in NOT_THE_PACKAGE]
    command = [str(python), *run.PACKAGE.command[1:], UNHEARD, *left_out]
    part = run.Part("bounds: package", command, is_pytest=True, alone=True)
    return [run.run(part)]
