"""Sphinx extension: what the published folder needs beyond its pages.

* the wheel of ``irl_lib``, built from these very sources, in ``wheels/``: its version carries a
  digest of the package's files (``0.1.0+src.<digest>``), so two different states never share a
  version or a file name;
* MathJax from the site itself: one script and its fonts out of sphinx-mathjax-offline (1.7 MB,
  not 24);
* no trace of sphinx-thebe, which Jupyter Book loads always, and which puts a script on every page
  twice;
* ``.nojekyll``, so that a host that runs Jekyll serves folders beginning with an underscore.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

PACKAGE = "irl_lib"
METADATA = ("pyproject.toml", "README.md", "LICENSE")
RESULTS, RUNS = (
    Path("book", "results"),
    "notebooks.json",
)  # what the wheel carries of them: not runs
VERSION_LINE = re.compile(r'^__version__ = "([^"+]+)"$', re.MULTILINE)
DIGITS = 12
EPOCH = "1577836800"  # a fixed date, 2020-01-01, in the archive: equal sources, equal wheels
MATHJAX = "sphinx-mathjax-offline"
MATHJAX_SCRIPT = "tex-chtml-full.js"
MATHJAX_LAZY = Path("ui", "lazy.js")  # typesets what comes near
MATHJAX_FONTS = Path("output", "chtml", "fonts", "woff-v2")


def package_files(root: Path) -> list[Path]:
    """The files that the wheel is made of, in a fixed order."""
    files = (path for path in (root / PACKAGE).rglob("*") if path.is_file())
    code = [path for path in files if "__pycache__" not in path.parts]
    results = (path for path in (root / RESULTS).glob("*.json") if path.name != RUNS)
    metadata = (root / name for name in METADATA if (root / name).is_file())
    return sorted([*code, *results, *metadata])


def wheel_version(root: Path) -> str:
    """The version of the package with the digest of its files as local part (PEP 440)."""
    digest = hashlib.sha256()
    for path in package_files(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    found = VERSION_LINE.search((root / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise ExtensionError(f'{PACKAGE}/__init__.py has no line __version__ = "..."')
    return f"{found[1]}+src.{digest.hexdigest()[:DIGITS]}"


def wheel_name(root: Path) -> str:
    """The file name of the wheel."""
    return f"{PACKAGE}-{wheel_version(root)}-py3-none-any.whl"


def stage(root: Path, target: Path) -> None:
    """Copy the package's sources to ``target``, with the version that names their digest."""
    for path in package_files(root):
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    init = target / PACKAGE / "__init__.py"
    line = f'__version__ = "{wheel_version(root)}"'
    init.write_text(VERSION_LINE.sub(line, init.read_text(encoding="utf-8")), encoding="utf-8")


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel into ``folder`` without network and without a trace in the source tree.

    A wheel that is there already is the wheel of the same sources, because its name says so.
    Wheels of other states are removed.

    Raises:
        ExtensionError: with the builder's output, when it fails or makes another file.
    """
    wheel = folder / wheel_name(root)
    folder.mkdir(parents=True, exist_ok=True)
    for other in set(folder.glob("*.whl")) - {wheel}:
        other.unlink()
    if wheel.is_file():
        return wheel
    with tempfile.TemporaryDirectory(prefix="irl-book-wheel-") as scratch:
        stage(root, Path(scratch, "src"))
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "-o",
            f"{scratch}/out",
        ]
        done = subprocess.run(
            [*command, f"{scratch}/src"],
            capture_output=True,
            text=True,
            check=False,
            env={**_environment(), "SOURCE_DATE_EPOCH": EPOCH},
        )
        made = Path(scratch, "out", wheel.name)
        if done.returncode or not made.is_file():
            raise ExtensionError(f"building {wheel.name} failed:\n{done.stdout}\n{done.stderr}")
        shutil.copyfile(made, wheel)
    return wheel


def _environment() -> dict[str, str]:
    """The environment without what would let another tree's modules into the builder."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def mathjax_folder() -> Path:
    """Where sphinx-mathjax-offline keeps MathJax."""
    spec = find_spec(MATHJAX)
    if spec is None or spec.origin is None:
        raise ExtensionError(f"{MATHJAX} is not installed: the pages could not show a formula")
    return Path(spec.origin).parent / "static" / "mathjax"


def copy_mathjax(static: Path) -> None:
    """Copy the scripts and the fonts that the pages load, unless they are there."""
    origin, target = mathjax_folder(), static / "mathjax"
    names = [
        Path(MATHJAX_SCRIPT),
        MATHJAX_LAZY,
        *(p.relative_to(origin) for p in (origin / MATHJAX_FONTS).iterdir()),
    ]
    for name in names:
        copy = target / name
        if not copy.is_file() or copy.stat().st_size != (origin / name).stat().st_size:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin / name, copy)


def silence(app: Sphinx, module: str) -> None:
    """Take back every handler and style sheet that an extension has registered."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != module]
    assets = app.registry.css_files
    assets[:] = [item for item in assets if module.replace("_", "-") not in item[0]]


def configure(app: Sphinx, config: Config) -> None:
    """Load MathJax from the site; drop what Jupyter Book loads and the book does not use."""
    silence(app, "sphinx_thebe")
    silence(app, MATHJAX)
    config["mathjax_path"] = f"mathjax/{MATHJAX_SCRIPT}"


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Complete the folder that is published."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    copy_mathjax(out / "_static")
    build_wheel(Path(app.srcdir), out / "wheels")
    (out / ".nojekyll").touch()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handlers; the wheel comes before the Colab notebooks, which name it."""
    app.connect("config-inited", configure, priority=900)
    app.connect("build-finished", finish, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
