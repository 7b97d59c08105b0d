"""Tests on the repository: one address, honest instructions, an environment that is all there."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from irl_book_site import build_wheel

TEXT = {
    ".md",
    ".py",
    ".toml",
    ".yml",
    ".txt",
    ".cfg",
    ".cff",
    ".css",
    ".svg",
    ".bib",
    ".ipynb",
    ".json",
    ".html",
    "",
}
INSTRUCTIONS = (
    "README.md",
    "CONTRIBUTING.md",
    "book/start.md",
    "book/how_to_read.md",
    "book/results.md",
)
# Folders that exist on somebody's machine and nowhere else, and anything outside the repository.
ELSEWHERE = re.compile(r"(?<![\w.:/-])/(?:root|home|work|opt|tmp|Users)/\w|\.\./shared")
BLOCKED = (
    "matplotlib",
    "networkx",
    "torch",
    "tqdm",
    "cvxpy",
    "gymnasium",
    "minari",
    "stable_baselines3",
    "transformers",
    "accelerate",
    "joblib",
    "dask",
)
# No chapter may need Minari; those that need Stable-Baselines3 install it there.
NOT_ON_COLAB = {"minari", "stable-baselines3"}
# Wheels for GPUs, which torch brings along on some machines and pins itself.
FOR_GPUS = ("nvidia-", "cuda-", "triton")


def sources(root: Path) -> Iterator[tuple[str, str]]:
    """The name and the text of each file that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        path = root / name
        if path.suffix in TEXT and path.is_file():
            yield name, path.read_text(encoding="utf-8")


def addresses(root: Path) -> tuple[str, str]:
    """The repository's address and the site's, without what both begin with."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return tuple(
        address.split("://")[1]
        for address in (config["repository"]["url"], config["html"]["baseurl"])
    )


def test_each_address_stands_once(root: Path) -> None:
    for address in addresses(root):
        found = [name for name, text in sources(root) for _ in range(text.count(address))]
        assert found == ["_config.yml"], address


def test_nothing_names_a_place_outside_the_repository(root: Path) -> None:
    # Tests of guards against such places must name some.
    texts = {name: text for name, text in sources(root) if not name.startswith("tests/")}
    places = ((name, ELSEWHERE.search(text)) for name, text in texts.items())
    found = {name: match.group() for name, match in places if match}
    assert found == {}


def test_a_place_outside_the_repository_is_noticed() -> None:
    place = "/".join(["", "home", "someone", "book"])
    assert ELSEWHERE.search(f"saved in {place}") is not None
    assert ELSEWHERE.search("see https://example.org/home/page and a/tmp/b") is None


# ---- instructions


def make_targets(root: Path) -> set[str]:
    """What `make help` lists."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))


def test_the_instructions_name_commands_that_exist(root: Path) -> None:
    pattern = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)
    named = {
        name for page in INSTRUCTIONS for name in pattern.findall((root / page).read_text("utf-8"))
    }
    assert {"book", "test", "notebooks"} <= named
    assert named <= make_targets(root)


def test_make_help_lists_every_target(root: Path) -> None:
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == make_targets(root)


def made(folder: Path, *goals: str, **variables: str) -> str:
    """What make would do in a folder, or does where a goal is one of the rules added here."""
    rules = "show: ; @env\nversion: ; @$(PYTHON) --version"
    done = subprocess.run(
        ["make", "--no-print-directory", f"--eval={rules}", *goals],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_shell_holds_for_other_projects_stays_out(root: Path) -> None:
    other = {"PYTHONPATH": "/elsewhere", "PIP_USER": "1", "PIP_TARGET": "/t", "PIP_PREFIX": "/p"}
    names = {line.partition("=")[0] for line in made(root, "show", **other).splitlines()}
    assert "PATH" in names
    assert names & set(other) == set()


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile and an environment that looks complete, of this Python."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(root / name, folder)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / ".installed").write_text(f"{folder}\n", encoding="utf-8")
    return folder


def test_an_environment_is_kept_where_it_was_made(clone: Path) -> None:
    assert "anew" not in made(clone, "-n", "book")
    assert "anew" not in made(clone, "-n", "book", PYTHON=sys.executable)


def test_a_build_that_has_nothing_to_do_does_nothing(clone: Path) -> None:
    for name in ("_config.yml", "_toc.yml", "README.md", "LICENSE", "_build/html/index.html"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    for name in ("book/_ext", "notebooks", "irl_lib"):
        (clone / name).mkdir(parents=True)
    (clone / "_build" / ".built").touch()
    assert "jupyter-book" not in made(clone, "-n", "book")
    assert "jupyter-book" in made(clone, "-n", "book", FRESH="yes")
    (clone / "irl_lib" / "mdp.py").touch()
    assert "jupyter-book" in made(clone, "-n", "book")
    (clone / "_build" / ".built").touch()
    (clone / "_build" / "html" / "index.html").unlink()
    assert "jupyter-book" in made(clone, "-n", "book")


def test_an_environment_that_came_from_elsewhere_is_made_anew(clone: Path) -> None:
    moved = clone.rename(clone.with_name("renamed"))
    planned = made(moved, "-n", "book")
    assert "Making .venv anew: it was made in another folder" in planned
    assert planned.index("rm -rf .venv") < planned.index("-m venv") < planned.index("-r req")


def test_an_environment_of_another_python_is_made_anew(clone: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.write_text("#!/bin/sh\nexit 1\n")
    older.chmod(0o755)
    assert "it has another Python" in made(clone, "-n", "book", PYTHON=str(older))
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to(older)
    assert "its Python is older than 3.11, or gone" in made(clone, "-n", "book")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_the_instructions_link_to_exist(root: Path, page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (root / page).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (root / link).exists()] == []


def test_the_example_in_the_readme_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(
        r"```python\n(.*?)```", (root / "README.md").read_text("utf-8"), re.DOTALL
    )
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_script_of_the_continuous_integration_can_be_run(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_workflows_call_targets_that_exist(root: Path) -> None:
    workflows = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        commands = [step.get("run", "") for job in jobs for step in job["steps"]]
        called = {name for command in commands for name in re.findall(r"^make ([a-z]+)", command)}
        assert called <= make_targets(root)


def test_the_names_on_the_notation_page_are_those_of_the_code(root: Path) -> None:
    page = (root / "book" / "notation.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text("utf-8") for path in (root / "irl_lib").rglob("*.py"))
    rows = [line.rsplit("|", 2)[1] for line in page.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 10
    assert named - set(re.findall(r"\w+", code)) == set()


GREEK = (
    r"\\(alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma"
    r"|tau|(?:var)?phi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell)(?![a-z])"
)


def meanings(page: str) -> list[tuple[str, str]]:
    """The letter, or the letter with its argument, of each row of the tables; and the row."""
    rows = [line for line in page.splitlines() if line.startswith("| $")]
    named = [re.match(r"\| \$(?P<name>.+?)(?=\$|,| =| \\(?:in|ge))", row) for row in rows]
    return [(match["name"], row) for match, row in zip(named, rows, strict=True) if match]


def test_a_letter_is_one_thing_or_says_in_which_chapter_it_is_another(root: Path) -> None:
    page = (root / "book" / "notation.md").read_text(encoding="utf-8")
    found = meanings(page)
    assert len(found) == page.count("\n| $")
    for name in {name for name, _ in found}:
        rows = [row for each, row in found if each == name]
        silent = [row for row in rows if not re.search(r"chapters? \d", row)]
        assert len(silent) <= 1, silent


def test_the_letters_of_chapters_are_on_the_notation_page(root: Path) -> None:
    page = (root / "book" / "notation.md").read_text(encoding="utf-8")
    listed = set(re.findall(GREEK, page))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        formulas = "\n".join(re.findall(r"\$\$.*?\$\$|\$[^$]+\$", text, re.DOTALL))
        assert set(re.findall(GREEK, formulas)) <= listed, path.name


# ---- one version


def test_the_version_is_the_same_everywhere(root: Path) -> None:
    version = metadata.version("irl-lib")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"Version {version}" in (root / "book" / "start.md").read_text(encoding="utf-8")
    assert f'__version__ = "{version}"' in (root / "irl_lib" / "__init__.py").read_text("utf-8")


# ---- the environment


def pins(root: Path) -> dict[str, str]:
    """The pinned version of each package; every line must be a pin, and no package stands twice."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in kept if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pairs = [
        (canonicalize_name(name), version) for name, version in (line.split("==") for line in kept)
    ]
    assert len(dict(pairs)) == len(pairs), "a package is pinned twice"
    return dict(pairs)


def needs(name: str) -> set[str]:
    """What an installed package requires on this machine, extras aside."""
    requirements = map(Requirement, metadata.distribution(name).requires or [])
    asked = (r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""}))
    return {canonicalize_name(r.name) for r in asked if not r.name.startswith(FOR_GPUS)}


def test_the_environment_is_the_pinned_one(root: Path) -> None:
    installed = {name: Version(metadata.version(name)).public for name in pins(root)}
    assert installed == pins(root)


def test_the_pins_install_on_any_python_that_the_package_admits(root: Path) -> None:
    first = {f"3.{minor}.0" for minor in (11, 12, 13)}
    refused = {
        name: asked
        for name in pins(root)
        if (asked := metadata.metadata(name)["Requires-Python"])
        and not all(SpecifierSet(asked).contains(version) for version in first)
    }
    assert refused == {}


def test_everything_that_the_pinned_packages_need_is_pinned(root: Path) -> None:
    pinned = set(pins(root))
    missing = {name: lacking for name in pinned if (lacking := needs(name) - pinned)}
    assert missing == {}


def bounds(root: Path) -> dict[str, Requirement]:
    """The package's own requirements, those of its extras included."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [
        *project["dependencies"],
        *(t for ts in project["optional-dependencies"].values() for t in ts),
    ]
    found = {canonicalize_name(r.name): r for r in map(Requirement, texts)}
    return {name: requirement for name, requirement in found.items() if name != "irl-lib"}


def test_the_package_has_lower_bounds_only(root: Path) -> None:
    specifiers = {name: [s.operator for s in r.specifier] for name, r in bounds(root).items()}
    assert set(specifiers) >= {"numpy", "scipy", "matplotlib", "networkx"}
    assert {name: found for name, found in specifiers.items() if found != [">="]} == {}


def test_the_bounds_admit_the_pins_and_what_colab_ships(root: Path) -> None:
    shipped = (root / "tests" / "book" / "colab" / "constraints.txt").read_text(encoding="utf-8")
    colab = dict(line.split("==") for line in shipped.splitlines() if "==" in line)
    for name, requirement in bounds(root).items():
        assert pins(root)[name] in requirement.specifier
        assert name in NOT_ON_COLAB or colab[name] in requirement.specifier


# ---- the package


def run_python(code: str, *path: Path) -> str:
    """What a fresh interpreter prints, with ``path`` in front of everything installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


BLOCKING = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's wheel, which Python can import from as it is."""
    return build_wheel(root, tmp_path_factory.mktemp("wheels"))


def test_the_wheel_needs_numpy_and_scipy_alone(wheel: Path) -> None:
    code = f"{BLOCKING}\nimport irl_lib, irl_lib.worlds\nprint(irl_lib.__file__)"
    assert run_python(code, wheel).startswith(str(wheel))


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("plotting", "plot"),
        ("networks", "torch"),
        ("max_ent.deep_max_ent", "torch"),
        ("behavior_cloning.clone_network", "torch"),
        ("guided_cost.guided_cost_learning", "torch"),
        ("adversarial.gail", "torch"),
        ("language.iq_language_loss", "torch"),
        ("worlds.cartpole", "gym"),
    ],
)
def test_a_missing_extra_is_named(wheel: Path, name: str, extra: str) -> None:
    code = (
        f"{BLOCKING}\nimport irl_lib\n"
        f"try: irl_lib.{name}\n"
        "except ImportError as error: print(error)"
    )
    assert f"irl_lib[{extra}]" in run_python(code, wheel)


@pytest.mark.parametrize("name", ["guided_cost.guided_cost_learning", "adversarial.airl"])
def test_a_missing_optimiser_of_policies_is_named(wheel: Path, name: str) -> None:
    code = (
        f"{BLOCKING.replace(str(BLOCKED), str(('stable_baselines3',)))}\nimport irl_lib\n"
        f"try: irl_lib.{name}\n"
        "except ImportError as error: print(error)"
    )
    assert "irl_lib[rl]" in run_python(code, wheel)


def test_a_missing_library_of_language_models_is_named(wheel: Path) -> None:
    blocking = BLOCKING.replace(str(BLOCKED), str(("transformers", "accelerate")))
    code = (
        f"{blocking}\nimport irl_lib\nirl_lib.language.iq_language_loss\n"
        "try: irl_lib.language.IQTrainer\n"
        "except ImportError as error: print(error)"
    )
    assert "irl_lib[language]" in run_python(code, wheel)


def test_the_page_of_a_player_is_in_the_wheel(root: Path, wheel: Path) -> None:
    code = "from irl_lib import plotting; print(plotting.__file__); print(plotting.TEMPLATE)"
    where, page = run_python(code, wheel).split("\n", 1)
    assert where.startswith(str(wheel))
    template = root / "irl_lib" / "plotting" / "player.html"
    assert page.strip() == template.read_text(encoding="utf-8").strip()
    assert "@IMAGES@" in page


def test_importing_the_package_is_light() -> None:
    """What it brings along decides how long it takes, on any machine: scipy is most of that."""
    loaded = set(run_python("import irl_lib, sys; print(*sys.modules)").split())
    assert {"numpy", "scipy.sparse"} <= loaded
    assert loaded & {*BLOCKED, "scipy.stats", "scipy.interpolate", "scipy.signal"} == set()
