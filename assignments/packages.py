"""What other graders take: packages for Gradescope, and masters for otter-grader."""

from __future__ import annotations

import ast
import copy
import json
import secrets
import zipfile
from pathlib import Path
from typing import Any

from assignments.master import HERE, Cell, Check, Master, masters, source
from assignments.starter import ROOT, cell

NEEDED = [
    "clarabel",
    "cvxpy",
    "gymnasium",
    "matplotlib",
    "networkx",
    "numpy",
    "pyyaml",
    "scipy",
    "torch",
    "tqdm",
]
SETUP = """\
#!/usr/bin/env bash
# Runs once, when the package is uploaded: Python 3.11 and the packages of the book's environment.
set -e
apt-get update
apt-get install -y python3.11 python3.11-venv
python3.11 -m venv /autograder/venv
/autograder/venv/bin/pip install --extra-index-url https://download.pytorch.org/whl/cpu \\
    -r /autograder/source/requirements.txt
"""
RUN = """\
#!/usr/bin/env bash
# Runs for each submission.  Nobody but this user may read the solutions.
BASE="${AUTOGRADER:-/autograder}"
cd "$BASE/source" && chmod -R go= . || exit 1
exec "${PYTHON:-$BASE/venv/bin/python}" -m assignments.gradescope "$BASE"
"""
MODULES = ("__init__", "checks", "child", "gradescope", "grading", "master", "sandbox", "slices")


def pins() -> str:
    """The pins of what grading needs."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.partition("==")[0].lower() in NEEDED) + "\n"


def write_gradescope(out: Path, secret: str = "") -> list[Path]:
    """A zip for each assignment, with a secret of its own unless one is given."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, master in masters().items():
        texts = {"setup.sh": SETUP, "run_autograder": RUN, "requirements.txt": pins()}
        texts["assignments/secret"] = secret or secrets.token_hex(16)
        files = [HERE / f"{module}.py" for module in MODULES]
        files += [master.path, master.path.with_name("answers.py")]
        files += [path for path in (ROOT / "irl_lib").rglob("*") if path.is_file()]
        files = [path for path in files if "__pycache__" not in path.parts]
        paths.append(out / f"{name}-gradescope.zip")
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED) as package:
            for path in files:
                package.write(path, path.relative_to(ROOT).as_posix())
            for place, text in texts.items():
                package.writestr(place, text)
    return paths


# ---- otter


def write_otter(out: Path) -> list[Path]:
    """A master for ``otter assign`` for each assignment, in which the checks are filled in."""
    paths = []
    for name, master in masters().items():
        paths.append(out / name / f"{name}.ipynb")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(otter_master(master), indent=1, ensure_ascii=False)
        paths[-1].write_text(text + "\n", encoding="utf-8")
    return paths


def otter_master(master: Master) -> dict[str, Any]:
    """The master with the checks' own cell, and a hidden test for each visible one."""
    made = copy.deepcopy(master.notebook)
    strict = master.checks_source().rstrip().removesuffix(")") + ", strict=True)\n"
    made["cells"].insert(1, cell("code", "checks", strict))
    found = {check.name: check for _, check in master.checks if not check.hidden}
    cells: list[Cell] = []
    for each in made["cells"]:
        if source(each).startswith("# HIDDEN"):
            continue  # they call check for what the solution answers, which is not there
        cells.append(each)
        calls = calls_of(each) if each["cell_type"] == "code" else []
        for call in calls:
            check = found.get(ast.unparse(call.args[0]))
            cells += [hidden(master, check, call)] if check else []
    made["cells"] = cells
    return made


def calls_of(each: Cell) -> list[ast.Call]:
    """The calls of ``check`` in a cell."""
    nodes = [node for node in ast.walk(ast.parse(source(each))) if isinstance(node, ast.Call)]
    return [node for node in nodes if ast.unparse(node.func) == "check"]


def hidden(master: Master, check: Check, call: ast.Call) -> Cell:
    """The same check once more, on probes that students don't know."""
    first = secrets.randbelow(1 << 30)
    probes = check.drawn([first + i for i in range(check.probes)])
    right = check.expected(probes) if check.needs_expected else None
    known = json.dumps({check.name: {"right": right, "wrong": {}, "says": {}}}, ensure_ascii=False)
    rest = ast.unparse(call).removeprefix("check")
    text = (
        f"# HIDDEN\nvisible_check(json.loads(r'''{known}'''), first={first}, strict=True){rest}\n"
    )
    return cell("code", f"hidden-{check.name}", text)
