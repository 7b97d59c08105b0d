"""The first code cell of a chapter on Colab: it installs the package, and what Colab lacks.

What Colab lacks is found in the imports: a chapter needs a package when it imports it, or a module
of ``irl_lib`` that does, or one that imports such a module, wherever in its file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import quote as quote_url

import irl_book_common as common

PACKAGE = "irl_lib"
BOOTSTRAP = Template("""\
# On Colab, and wherever irl_lib is missing: install the package that this notebook was tested with.
import importlib.util
import sys

if "google.colab" in sys.modules or importlib.util.find_spec("irl_lib") is None:
    import os
    import subprocess

    site = os.environ.get("IRL_BOOK_SITE", "$site")
    wheel = f"{site}/wheels/$wheel"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"irl_lib could not be installed from {wheel}:\\n{done.stderr}\\n"
            f"In a terminal: {' '.join(pip)}"
        )
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split(".")[0] == "irl_lib"]:
        del sys.modules[name]  # what an older notebook left in this session
    import irl_lib

    if irl_lib.__version__ != "$version":
        raise RuntimeError(
            f"irl_lib is {irl_lib.__version__} from {irl_lib.__file__}, not $version:"
            " restart the kernel (on Colab: Runtime > Disconnect and delete runtime), and try again"
        )
    print(f"irl_lib {irl_lib.__version__}, from {site}")
""")
LACKING = {"stable-baselines3": "stable_baselines3"}  # on Colab: packages and their modules
MORE = Template("""
    if importlib.util.find_spec("$module") is None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "$pin"]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"$pin could not be installed:\\n{done.stderr}")
        importlib.invalidate_caches()
        print("$pin")
""")


def source(site: str, wheel: str, version: str, more: Iterable[str] = ()) -> str:
    """The code of the cell; ``more`` are pins of packages to install where they lack."""
    code = BOOTSTRAP.substitute(site=site, wheel=quote_url(wheel), version=version)
    for pin in more:
        module = LACKING[pin.partition("==")[0]]
        code += MORE.substitute(pin=pin, module=module).lstrip("\n")
    return code.rstrip("\n")


def imported(code: str) -> set[str]:
    """The dotted names that code imports, those of packages among them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{each.name}" for each in node.names]
        else:
            continue
        parts = (name.split(".") for name in names)
        found.update(".".join(each[:i]) for each in parts for i in range(1, len(each) + 1))
    return found


def modules(root: Path) -> Iterator[tuple[str, set[str]]]:
    """The modules of the package, and what each imports; its face hands on all, and is left out."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != PACKAGE:
            yield name, imported(path.read_text(encoding="utf-8")) - {PACKAGE}


@cache
def needing(root: Path, module: str) -> set[str]:
    """A module that Colab lacks, and the modules of the package that need it."""
    imports, found = dict(modules(root)), {module}
    while more := {name for name, names in imports.items() if names & found} - found:
        found |= more
    return found


def lacking(root: Path, notebook: common.Notebook) -> list[str]:
    """The pins of what a notebook needs and Colab does not have."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0].replace("_", "-"): line.replace("_", "-") for line in lines}
    names = set().union(*(imported(common.source(cell)) for cell in common.code_cells(notebook)))
    return [pins[package] for package, module in LACKING.items() if names & needing(root, module)]
