"""A stand-in for Colab's runtime, as near as a test can get to it without a network.

The packages are Colab's versions, in an environment that is made once for each list of versions
and kept in ``.cache``.  Each run gets an environment of its own on top of it, so that what a
notebook's bootstrap installs lands where nothing else sees it, by the very command that runs on
Colab.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from environments import kept, run, says

HERE = Path(__file__).resolve().parent / "colab"
STAND_IN = HERE / "stand_in"
# Another list, Colab's current one for instance, can be named in the environment.
CONSTRAINTS = Path(os.environ.get("COLAB_CONSTRAINTS", HERE / "constraints.txt"))
PACKAGES = (
    "numpy",
    "scipy",
    "matplotlib",
    "networkx",
    "cvxpy",
    "clarabel",
    "gymnasium",
    "tqdm",
    "ipython",
    "ipykernel",
)
VERSION = "3.13"


def constraints(text: str) -> list[str]:
    """The lines ``name==version`` of a list of packages that concern ours; Colab's has hundreds."""
    pinned = (line.split("#")[0].strip() for line in text.splitlines())
    named = [(line.split("==")[0].strip().lower(), line) for line in pinned if "==" in line]
    return sorted(line for name, line in named if name in PACKAGES)


def find_python() -> Path:
    """An interpreter of Colab's Python version, or else the one that runs the tests."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*sorted(pyenv.glob(f"{VERSION}*/bin/python{VERSION}"), reverse=True)]
    on_path = shutil.which(f"python{VERSION}")
    for python in [*([Path(on_path)] if on_path else []), *found]:
        if says(python, "import sys; print('%d.%d' % sys.version_info[:2])") == VERSION:
            return python
    return Path(sys.executable)


def colab_environment(cache: Path, python: Path) -> Path:
    """The interpreter of an environment with Colab's versions; made if it is not there yet.

    Raises:
        NoEnvironmentError: if it is not there and its packages cannot be installed.
    """
    wanted = constraints(CONSTRAINTS.read_text(encoding="utf-8"))
    return kept(cache, "colab", python, PACKAGES, wanted)


def overlay(folder: Path, base: Path) -> Path:
    """The interpreter of a fresh environment that also sees all packages of another one."""
    packages = says(base, "import sysconfig; print(sysconfig.get_path('purelib'))")
    options = ["--without-pip"] if (Path(packages) / "pip").is_dir() else []
    run(base, "-m", "venv", *options, folder)
    python = folder / "bin" / "python"
    own = Path(says(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (own / "base.pth").write_text(f"{packages}\n", encoding="utf-8")
    return python


def kernel(folder: Path, python: Path, site: str) -> AsyncKernelManager:
    """A kernel of that interpreter in which, as on Colab, ``google.colab`` is loaded already."""
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": [*argv, "--IPKernelApp.exec_lines=import google.colab"],
        "display_name": "Colab",
        "language": "python",
        "env": {
            "PYTHONPATH": str(STAND_IN),
            "IRL_BOOK_SITE": site,
            "IPYTHONDIR": str(folder / "ipython"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        },
    }
    where = folder / "kernels" / "colab"
    where.mkdir(parents=True)
    (where / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
    return AsyncKernelManager(kernel_name="colab", kernel_spec_manager=specs)


class Quiet(SimpleHTTPRequestHandler):
    """A file server that does not print each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost while the block runs; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
