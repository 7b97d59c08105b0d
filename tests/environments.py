"""Environments with other versions than the book's, made once and kept in ``.cache``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 900
TIED = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PYTHONWARNINGS",
    "MPLBACKEND",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
)


class NoEnvironmentError(Exception):
    """An environment could not be made; the text says why."""


def says(python: str | Path, code: str) -> str:
    """What an interpreter prints, or nothing if it does not run."""
    try:
        done = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """This process's environment without what ties it to the book's own."""
    return {name: value for name, value in os.environ.items() if name not in TIED}


def run(*command: str | Path) -> None:
    """Run a command.

    Raises:
        NoEnvironmentError: with the end of what it said, if it fails or takes too long.
    """
    try:
        subprocess.run(
            command,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise NoEnvironmentError(f"{command[0]} failed: {error.stderr[-600:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoEnvironmentError(str(error)) from None


def kept(
    cache: Path,
    name: str,
    python: Path,
    packages: Sequence[str],
    constraints: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Path:
    """The interpreter of an environment with these packages; made if it is not there yet.

    Raises:
        NoEnvironmentError: if it is not there and its packages cannot be installed.
    """
    version = says(python, "import sys; print(sys.version)")
    wanted = repr((sorted(constraints), sorted(packages), version))
    folder = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    complete = folder / "complete"
    if not complete.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        run(python, "-m", "venv", folder)
        (folder / "constraints.txt").write_text("\n".join(constraints) + "\n", encoding="utf-8")
        pip = [folder / "bin" / "python", "-m", "pip", "install", "-q", *options]
        run(*pip, "-c", folder / "constraints.txt", *packages)
        complete.touch()
    return folder / "bin" / "python"
