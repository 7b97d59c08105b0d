"""The Colab flavour of each chapter: plain Markdown, the same code, and it runs as on Colab."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from email import message_from_string
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote as quote_url

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbformat import NotebookNode

import colab_runtime as runtime
import irl_book_common as common
from environments import NoEnvironmentError, environment, says
from irl_book_bootstrap import lacking
from irl_book_bootstrap import source as bootstrap_source
from irl_book_colab import flavour
from irl_book_plain import Book, Target
from irl_book_site import build_wheel, package_files, wheel_name, wheel_version
from test_plain import leftovers

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = common.chapters(ROOT) if (ROOT / "_toc.yml").is_file() else []
SITE = str(common.load_yaml(ROOT / "_config.yml")["html"]["baseurl"]).rstrip("/")
PYTHON = runtime.find_python()
PYTHON_NAME = "python" + says(PYTHON, "import sys; print('%d.%d' % sys.version_info[:2])")
BOOTSTRAP_SECONDS = 10
CELL_SECONDS = 300
TORCH = re.compile(  # imported by a chapter itself, or by what it calls
    r"^\s*(?:import|from) torch\b|\bnetworks\.\w+\(|\b(?:clone_network|deep_max_ent)\(",
    re.MULTILINE,
)
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


def written(site: Path, chapter: common.Chapter) -> NotebookNode:
    """The flavour of a chapter as it is published."""
    return nbformat.read(site / "colab" / f"{chapter.name}.ipynb", as_version=4)


def code_of(cells: list[Any]) -> list[str]:
    """The code of code cells."""
    return [common.source(cell) for cell in cells if cell["cell_type"] == "code"]


# ---- the files


def test_there_is_one_for_each_chapter(site: Path) -> None:
    assert CHAPTERS
    names = {path.stem for path in (site / "colab").glob("*.ipynb")}
    assert names == {chapter.name for chapter in CHAPTERS}


@every_chapter
def test_it_is_a_valid_notebook(site: Path, chapter: common.Chapter) -> None:
    made = written(site, chapter)
    assert (made.nbformat, made.nbformat_minor) == (4, 5)
    nbformat.validate(made)
    ids = [cell["id"] for cell in made.cells]
    assert len(ids) == len(set(ids))


@every_chapter
def test_nothing_is_left_that_only_myst_understands(site: Path, chapter: common.Chapter) -> None:
    texts = [cell.source for cell in written(site, chapter).cells if cell.cell_type == "markdown"]
    assert [(text, found) for text in texts if (found := leftovers(text))] == []


@every_chapter
def test_code_and_outputs_are_the_chapters_own(site: Path, chapter: common.Chapter) -> None:
    made = [cell for cell in written(site, chapter).cells if cell.cell_type == "code"]
    source = nbformat.read(chapter.path, as_version=4)
    own = [cell for cell in source.cells if cell.cell_type == "code"]
    assert code_of(made[1:]) == code_of(own)
    assert [cell.outputs for cell in made[1:]] == [cell.outputs for cell in own]


@every_chapter
def test_it_begins_with_its_place_and_the_bootstrap(site: Path, chapter: common.Chapter) -> None:
    first, second = written(site, chapter).cells[:2]
    assert first.cell_type == "markdown"
    assert f"{SITE}/{chapter.docname}.html" in first.source
    more = lacking(ROOT, common.read_notebook(chapter.path))
    assert second.source == bootstrap_source(SITE, wheel_name(ROOT), wheel_version(ROOT), more)


@every_chapter
def test_equations_have_the_numbers_of_the_page(site: Path, chapter: common.Chapter) -> None:
    page = BeautifulSoup((site / f"{chapter.docname}.html").read_text("utf-8"), "html.parser")
    numbers = [tag.get_text().strip("()#¶ \n") for tag in page.select("article .math .eqno")]
    text = "\n".join(cell.source for cell in written(site, chapter).cells)
    tags = re.findall(r"\\tag\{([^{}]*)\}", text)
    assert tags
    assert sorted(tags) == sorted(number.strip("()") for number in numbers)


@every_chapter
def test_every_link_into_the_site_is_alive(site: Path, chapter: common.Chapter) -> None:
    anchors: dict[Path, set[str]] = {}
    dead = []
    for cell in written(site, chapter).cells:
        if cell.cell_type != "markdown":
            continue
        for target in re.findall(rf"\]\({re.escape(SITE)}/([^)]*)\)", cell.source):
            name, _, anchor = target.partition("#")
            path = site / (name or "index.html")
            if path.suffix == ".html" and path not in anchors and path.is_file():
                tree = BeautifulSoup(path.read_text("utf-8"), "html.parser")
                anchors[path] = {str(tag["id"]) for tag in tree.find_all(id=True)}
            if not path.is_file() or (anchor and anchor not in anchors[path]):
                dead.append(target)
    assert dead == []


# ---- the wheel


def test_the_wheel_holds_the_package_and_nothing_else(site: Path) -> None:
    with zipfile.ZipFile(site / "wheels" / wheel_name(ROOT)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        files = {path.relative_to(ROOT).as_posix(): path for path in package_files(ROOT)}
        own = {name: path for name, path in files.items() if name.startswith("irl_lib/")}
        results = {name: path for name, path in files.items() if name.startswith("book/results/")}
        assert len(results) > 5
        own |= {f"irl_lib/data/results/{path.name}": path for path in results.values()}
        assert held == set(own)
        for name, path in own.items():
            if name != "irl_lib/__init__.py":
                assert wheel.read(name) == path.read_bytes()


def test_the_wheel_asks_for_numpy_and_scipy_alone(site: Path) -> None:
    with zipfile.ZipFile(site / "wheels" / wheel_name(ROOT)) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        stated = message_from_string(wheel.read(name).decode())
    needed = [text for text in stated.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert sorted(re.split(r"[^\w-]", text)[0] for text in needed) == ["numpy", "scipy"]
    assert stated["Version"] == wheel_version(ROOT)


def test_there_is_one_wheel(site: Path) -> None:
    assert [path.name for path in (site / "wheels").iterdir()] == [wheel_name(ROOT)]


def test_building_again_gives_the_same_bytes_and_leaves_no_trace(
    site: Path, tmp_path: Path
) -> None:
    before = {path.name for path in ROOT.iterdir()}
    again = build_wheel(ROOT, tmp_path)
    published = (site / "wheels" / again.name).read_bytes()
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(published).digest()
    assert {path.name for path in ROOT.iterdir()} == before


def test_the_version_changes_with_the_code(tmp_path: Path) -> None:
    (tmp_path / "irl_lib").mkdir()
    init = tmp_path / "irl_lib" / "__init__.py"
    init.write_text('__version__ = "0.1.0"\n')
    before = wheel_version(tmp_path)
    init.write_text('__version__ = "0.1.0"\nx = 1\n')
    changed = wheel_version(tmp_path)
    assert changed != before
    assert before.startswith("0.1.0+src.")
    (tmp_path / "book" / "results").mkdir(parents=True)
    (tmp_path / "book" / "results" / "notebooks.json").write_text("{}")
    assert wheel_version(tmp_path) == changed  # it changes with every run, and stays here
    (tmp_path / "book" / "results" / "study.json").write_text("{}")
    assert wheel_version(tmp_path) != changed


def test_the_published_folder_is_lean(site: Path) -> None:
    mathjax = site / "_static" / "mathjax"
    assert (mathjax / "tex-chtml-full.js").is_file()
    assert sum(p.stat().st_size for p in mathjax.rglob("*") if p.is_file()) < 2_000_000
    assert not list(site.rglob("*thebe*"))
    assert (site / ".nojekyll").is_file()


# ---- running it


def unavailable(reason: str) -> None:
    """Skip, or fail where the runtime must be there."""
    if os.environ.get("REQUIRE_COLAB") == "1":
        pytest.fail(f"REQUIRE_COLAB is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def colab() -> Path:
    """The interpreter of the environment with Colab's versions."""
    try:
        return runtime.colab_environment(ROOT / ".cache", PYTHON)
    except NoEnvironmentError as reason:
        unavailable(f"no environment with Colab's versions: {reason}")
        raise


def test_the_environment_has_colabs_versions(colab: Path) -> None:
    wanted = runtime.constraints(runtime.CONSTRAINTS.read_text(encoding="utf-8"))
    assert len(wanted) >= 6
    for line in wanted:
        name, version = line.split("==")
        ask = f"import importlib.metadata as m; print(m.version({name!r}))"
        assert says(colab, ask) == version


def test_constraints_are_picked_from_a_longer_list() -> None:
    listed = "absl-py==2.0\ntorch @ https://x/y.whl\nNumPy==2.1.3  # why\n-e git+x\nnumpy-ext==1\n"
    assert runtime.constraints(listed) == ["NumPy==2.1.3"]


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The site, served from localhost."""
    with runtime.served(site) as where:
        yield where


AFTERWARDS = """
import importlib.metadata, sysconfig, irl_lib
print(irl_lib.__file__)
for found in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")]):
    print(found.metadata["Name"])
"""


def execute(made: NotebookNode, folder: Path, python: Path, address: str) -> list[float]:
    """Run a notebook from the first cell to the last in an empty folder; seconds of each cell."""
    (folder / "content").mkdir()
    client = NotebookClient(
        made,
        km=runtime.kernel(folder, python, address),
        timeout=CELL_SECONDS,
        startup_timeout=120,
        resources={"metadata": {"path": str(folder / "content")}},
    )
    seconds = []
    with client.setup_kernel(cleanup_kc=True):
        for index, cell in enumerate(made.cells):
            start = time.perf_counter()
            client.execute_cell(cell, index)
            seconds.append(time.perf_counter() - start)
    return seconds


def printed(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def needs_torch(chapter: common.Chapter) -> bool:
    """Whether a chapter runs only where torch is."""
    notebook = nbformat.read(chapter.path, as_version=4)
    return any(TORCH.search(text) for text in code_of(notebook.cells))


def quickest() -> list[common.Chapter]:
    """The chapter without torch and the one with it that took least when they were stored."""
    records = json.loads((ROOT / "book/results/notebooks.json").read_text(encoding="utf-8"))
    by_time = sorted(CHAPTERS, key=lambda chapter: float(records[chapter.name]["seconds"]))
    return [next(c for c in by_time if needs_torch(c) is torch) for torch in (False, True)]


def imports_alone(made: NotebookNode) -> None:
    """Leaves the two cells in front, and one with all that the chapter imports."""
    statements = [
        ast.unparse(node)
        for text in code_of(made.cells[2:])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(statements) > 2
    made.cells[2:] = [nbformat.v4.new_code_cell("\n".join(statements))]


FULL = os.environ.get("FULL") == "1"
TO_THE_END = CHAPTERS if FULL else quickest() if CHAPTERS else []
RUNS = [(chapter, True) for chapter in TO_THE_END]
RUNS += [(chapter, False) for chapter in CHAPTERS if chapter not in TO_THE_END]


@pytest.mark.parametrize(
    ("chapter", "to_the_end"),
    RUNS,
    ids=[f"{c.name}-{PYTHON_NAME}-{'whole' if whole else 'imports'}" for c, whole in RUNS],
)
def test_it_runs_as_on_colab(
    site: Path,
    chapter: common.Chapter,
    to_the_end: bool,
    address: str,
    tmp_path: Path,
    request: Any,
) -> None:
    made = written(site, chapter)
    base = Path(sys.executable) if needs_torch(chapter) else request.getfixturevalue("colab")
    interpreter = runtime.overlay(tmp_path / "overlay", base)
    if not to_the_end:
        imports_alone(made)
    made.cells.append(nbformat.v4.new_code_cell(AFTERWARDS))
    seconds = execute(made, tmp_path, interpreter, address)
    assert seconds[1] < BOOTSTRAP_SECONDS
    assert printed(made.cells[1]).startswith(f"irl_lib {wheel_version(ROOT)}, from {address}")
    where, *installed = printed(made.cells[-1]).split()
    assert Path(where).is_relative_to(tmp_path / "overlay"), "it was not the wheel that ran"
    pins = [] if needs_torch(chapter) else lacking(ROOT, common.read_notebook(chapter.path))
    expected = {"irl_lib", *(pin.partition("==")[0] for pin in pins)}
    assert {name.replace("_", "-") for name in installed} - {"pip"} == {
        name.replace("_", "-") for name in expected
    }


# ---- the bootstrap alone


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that can install the wheel without touching another."""
    return runtime.overlay(tmp_path_factory.mktemp("bootstrap") / "overlay", Path(sys.executable))


def bootstrapped(
    python: Path, address: str, before: str, more: tuple[str, ...] = (), **paths: Path
) -> tuple[int, str]:
    """Run the bootstrap in a new process, after some other code; its status and all it said."""
    code = bootstrap_source(SITE, wheel_name(ROOT), wheel_version(ROOT), more)
    search = os.pathsep.join(str(path) for path in [runtime.STAND_IN, *paths.values()])
    done = subprocess.run(
        [python, "-c", f"{before}\n{code}"],
        env={**environment(), "PYTHONPATH": search, "IRL_BOOK_SITE": address},
        cwd=python.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_elsewhere_the_bootstrap_leaves_a_package_that_is_there(
    fresh: Path, tmp_path: Path
) -> None:
    (tmp_path / "irl_lib.py").write_text("__version__ = '0.0.1'\n")
    assert bootstrapped(fresh, "http://127.0.0.1:9", "", own=tmp_path) == (0, "")


def test_elsewhere_it_installs_a_package_that_is_missing(fresh: Path, address: str) -> None:
    status, said = bootstrapped(fresh, address, "")
    assert (status, said) == (0, f"irl_lib {wheel_version(ROOT)}, from {address}\n")
    assert bootstrapped(fresh, "http://127.0.0.1:9", "") == (0, "")


def test_it_replaces_what_an_older_notebook_left_in_the_session(fresh: Path, address: str) -> None:
    before = "import google.colab, sys, types\nsys.modules['irl_lib'] = types.ModuleType('irl_lib')"
    status, said = bootstrapped(fresh, address, before)
    assert (status, said) == (0, f"irl_lib {wheel_version(ROOT)}, from {address}\n")


def test_it_refuses_to_go_on_with_another_version(
    fresh: Path, address: str, tmp_path: Path
) -> None:
    (tmp_path / "irl_lib.py").write_text("__version__ = '0.0.1'\n")
    status, said = bootstrapped(fresh, address, "import google.colab", stale=tmp_path)
    assert status == 1
    assert f"irl_lib is 0.0.1 from {tmp_path}" in said
    assert f"not {wheel_version(ROOT)}" in said
    assert "Disconnect and delete runtime" in said


def test_it_says_which_wheel_it_could_not_get(fresh: Path, address: str) -> None:
    status, said = bootstrapped(fresh, f"{address}/nowhere", "import google.colab")
    assert status == 1
    assert f"could not be installed from {address}/nowhere/wheels/irl_lib-" in said
    assert re.search(r"In a terminal: \S+ -m pip install -q --no-deps .*/irl_lib-\S+\.whl", said)


PINNED = "stable-baselines3==2.9.2"
PACKAGE = {
    "__init__.py": "from irl_lib import game, tables",
    "tables.py": "import numpy",
    "training/__init__.py": "",
    "training/steps.py": "from stable_baselines3 import PPO",
    "training/climb.py": "import scipy",
    "game/__init__.py": "if TYPE_CHECKING:\n    from irl_lib.game.learning import play",
    "game/learning.py": "def play():\n    from irl_lib.training import steps",
}
IMPORTS = {
    "import stable_baselines3": [PINNED],
    "import stable_baselines3.common.vec_env as v": [PINNED],
    "from stable_baselines3 import PPO": [PINNED],
    "if True:\n    from irl_lib import game as g": [PINNED],
    "from irl_lib.game import play": [PINNED],
    "import irl_lib.game": [PINNED],
    "from irl_lib.training.steps import Step": [PINNED],
    "from irl_lib.training import climb": [],
    "import irl_lib\nfrom irl_lib import tables": [],
    "from irl_lib.tables import *\nfrom . import game": [],
    "game = 'import stable_baselines3'": [],
}


@pytest.mark.parametrize("code", IMPORTS)
def test_what_colab_lacks_is_found_in_the_imports(code: str, tmp_path: Path) -> None:
    listed = "numpy==2.4.6\nstable_baselines3==2.9.2\ntorch==2.13.0\n"
    (tmp_path / "requirements.txt").write_text(listed)
    for name, text in PACKAGE.items():
        (tmp_path / "irl_lib" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "irl_lib" / name).write_text(text)
    cells = [nbformat.v4.new_markdown_cell("import stable_baselines3")]
    cells.append(nbformat.v4.new_code_cell(code))
    assert lacking(tmp_path, nbformat.v4.new_notebook(cells=cells)) == IMPORTS[code]


@pytest.mark.parametrize(
    ("code", "lacks"),
    [
        ("from irl_lib import guided_cost", True),
        ("from irl_lib import max_ent, worlds", False),
        ("from irl_lib import behavior_cloning, networks, rollouts", False),
    ],
)
def test_guided_cost_learning_needs_it_and_others_do_not(code: str, lacks: bool) -> None:
    cells = [nbformat.v4.new_code_cell(code)]
    assert bool(lacking(ROOT, nbformat.v4.new_notebook(cells=cells))) == lacks


def test_the_environment_pins_what_colab_lacks() -> None:
    cells = [nbformat.v4.new_code_cell("import stable_baselines3")]
    (pin,) = lacking(ROOT, nbformat.v4.new_notebook(cells=cells))
    assert pin == f"stable-baselines3=={version('stable_baselines3')}"


# In place of pip: it notes what it is asked for, makes the package, or fails.
PIP = """
import os, pathlib, sys
here = pathlib.Path(__file__).parents[1]
with (here / "asked.txt").open("a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
if "stable-baselines3" in sys.argv[-1]:
    if (here / "unreachable").exists():
        sys.exit("no such package")
    (here / "stable_baselines3.py").write_text("")
else:
    name = sys.argv[-1].rpartition("/")[2].split("-")[1].replace("%2B", "+")
    (here / "irl_lib.py").write_text(f"__version__ = {name!r}")
"""
WITHOUT = """
import google.colab, sys
sys.path[:] = [each for each in sys.path if not each.endswith("site-packages")]
"""


@pytest.fixture
def without_baselines(tmp_path: Path) -> Path:
    """A folder with a pip of its own, for a process that sees no other package."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text(PIP)
    return tmp_path


def test_it_installs_what_colab_lacks_after_the_package(
    fresh: Path, without_baselines: Path
) -> None:
    first, second = (
        bootstrapped(fresh, "http://site", WITHOUT, (PINNED,), pip=without_baselines)
        for _ in range(2)  # the second time it is there
    )
    asked = (without_baselines / "asked.txt").read_text().splitlines()
    wheel = f"http://site/wheels/{quote_url(wheel_name(ROOT))}"
    package = f"install -q --no-deps --force-reinstall {wheel}"
    assert asked == [package, f"install -q --no-deps {PINNED}", package]
    line = f"irl_lib {wheel_version(ROOT)}, from http://site\n"
    assert (first, second) == ((0, f"{line}{PINNED}\n"), (0, line))


def test_it_says_what_it_could_not_install(fresh: Path, without_baselines: Path) -> None:
    (without_baselines / "unreachable").touch()
    status, said = bootstrapped(fresh, "http://site", WITHOUT, (PINNED,), pip=without_baselines)
    assert status == 1
    assert f"{PINNED} could not be installed:\nno such package" in said


def test_what_is_there_is_not_installed_again(fresh: Path, address: str) -> None:
    status, said = bootstrapped(fresh, address, "import google.colab", (PINNED,))
    assert (status, said) == (0, f"irl_lib {wheel_version(ROOT)}, from {address}\n")


# ---- the notebook around the text


def test_hidden_cells_stay_and_captions_are_told() -> None:
    figure = {
        "mystnb": {
            "figure": {"caption": "Two curves, see {eq}`x`.", "name": "fig-x"},
            "image": {"alt": "One curve rises."},
        }
    }
    cells = [
        nbformat.v4.new_code_cell("a = 1", id="a", metadata={"tags": ["remove-cell"]}),
        nbformat.v4.new_code_cell("plot(a)", id="b", metadata=figure),
    ]
    source = nbformat.v4.new_notebook(cells=cells)
    made = flavour(
        source,
        Book(
            labels={
                "x": Target("https://site/a.html#x", "(4.1)"),
                "fig-x": Target("https://site/a.html#fig-x", "Fig. 4.2", "4.2"),
            }
        ),
        "where it is",
        "bootstrap()",
    )
    assert code_of(made["cells"]) == ["bootstrap()", "a = 1", "plot(a)"]
    assert made["cells"][2]["metadata"]["cellView"] == "form"
    caption, words = made["cells"][4]["source"].split("\n\n", 1)
    assert caption == "**Fig. 4.2.** *Two curves, see [(4.1)](https://site/a.html#x).*"
    assert "One curve rises." in words
    assert words.startswith("<details>")
    assert "cellView" not in source["cells"][0]["metadata"], "the source was changed"


def test_solutions_with_cells_are_folded_outside_the_site() -> None:
    cells = [
        nbformat.v4.new_markdown_cell(
            "Before.\n\n:::{solution-start} ex\n:::\n\nLook first.", id="a"
        ),
        nbformat.v4.new_code_cell("a = 1", id="b"),
        nbformat.v4.new_markdown_cell("Then this.", id="c"),
        nbformat.v4.new_markdown_cell("At last.\n\n:::{solution-end}\n:::", id="d"),
        nbformat.v4.new_code_cell("b = 1", id="e"),
    ]
    labels = {"ex": Target("https://site/a.html#ex", "Exercise 4.1", "4.1")}
    made = flavour(nbformat.v4.new_notebook(cells=cells), Book(labels=labels), "", "")["cells"][2:]
    start, solving, between, end, after = made
    assert start["source"].startswith("Before.\n\n#### Solution to Exercise 4.1\n\n<details>")
    assert [cell["source"].count("Open it") for cell in (start, between, end)] == [1, 1, 1]
    assert end["source"].endswith("</details>\n\n*End of the solution.*")
    assert solving["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
    assert "jupyter" not in after["metadata"]


@every_chapter
def test_figures_outside_the_site_have_numbers_and_words(
    site: Path, chapter: common.Chapter
) -> None:
    own = common.read_notebook(chapter.path)["cells"]
    figures = [c for c in own if c["metadata"].get("mystnb", {}).get("figure", {}).get("caption")]
    made = [c.source for c in written(site, chapter).cells if c["id"].endswith("-caption")]
    assert len(made) == len(figures)
    assert [text for text in made if not re.match(r"\*\*Fig\. \d+\.\d+\.\*\* ", text)] == []
    words = [cell["metadata"]["mystnb"]["image"]["alt"] for cell in figures]
    assert [alt for alt, text in zip(words, made, strict=True) if alt not in text] == []
