"""What other graders take: packages for Gradescope, and masters for otter-grader."""

from __future__ import annotations

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
            for path in sorted((ROOT / "book" / "results").glob("*.json")):
                package.write(path, f"irl_lib/data/results/{path.name}")  # as the wheel has them
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
    cells = [made["cells"][0], cell("code", "checks", strict)]
    for each in made["cells"][1:]:
        if source(each).startswith("# HIDDEN"):
            continue  # it calls check for what the solution answers, which is not there
        cells.append(each)
        called = [check for _, check in master.checks if calls(each, check) and not check.hidden]
        cells += [hidden(each, called)] if called else []
    made["cells"] = cells
    return made


def calls(each: Cell, check: Check) -> bool:
    """Whether a cell checks a function."""
    return each["cell_type"] == "code" and f"check({check.name}," in source(each)


def hidden(visible: Cell, called: list[Check]) -> Cell:
    """The same checks once more, on probes that students don't know."""
    first, known = secrets.randbelow(1 << 30), {}
    for check in called:
        right = check.expected(check.drawn([first + i for i in range(check.probes)]))
        known[check.name] = {"right": right if check.needs_expected else None}
        known[check.name] |= {"wrong": {}, "says": {}}
    words = json.dumps(known, ensure_ascii=False)
    check = f"check = visible_check(json.loads(r'''{words}'''), first={first}, strict=True)"
    return cell("code", f"hidden-{first}", f"# HIDDEN\n{check}\n\n{source(visible)}")
