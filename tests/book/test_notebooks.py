"""Guards on the source notebooks: each is a function from a notebook to a list of complaints.

Every guard runs on every chapter, and on a notebook made up to break it: it can be seen to fail.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import irl_book_common as common

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "book" / "results" / "notebooks.json"
CHAPTERS = common.chapters(ROOT) if (ROOT / "_toc.yml").is_file() else []

MAX_CODE_LINES = 25
MAX_SHOWN_LINES = 15  # of a cell that isn't folded
MAX_IGNORED_SHARE = 0.15
MAX_BYTES = 3_000_000
MAX_HTML_BYTES = 500_000  # an animation's player, pictures included
MAX_SECONDS = 90
MAX_PEAK_MIB = 2048
MIN_ALT = 40  # fewer characters cannot tell somebody what a figure shows
LAST_SECTIONS = ("summary", "exercises", "references")

PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)\s*$", re.MULTILINE)
IMAGE_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
FORBIDDEN_CODE = {
    r"^\s*[%!]": "a magic or a shell command",
    r"\bfilterwarnings\(\s*[\"']ignore": "a warning filtered away",
    r"\bsimplefilter\(\s*[\"']ignore": "a warning filtered away",
    r"\bnp\.random\.(?:seed|rand|randn|randint|choice|normal|uniform)\(": "global random state",
    r"^\s*(?:import|from) random\b": "global random state",
    r"\bfrom \S+ import \*": "a star import",
}
PATH_LITERAL = re.compile(
    r"^(?:\.{1,2}/|~/|/(?:home|root|tmp|work|usr|opt|mnt|content|Users)\b|[A-Z]:\\"
    r"|(?:book|notebooks|irl_lib|tests|benchmarks|assignments|_build)/)"
)
MACHINE_TRACE = re.compile(
    r"(?<![\w:/.])/(?:home|root|tmp|work|usr|opt|mnt|content|Users)/"
    r"|site-packages|\bat 0x[0-9a-f]{6,}|[A-Z]:\\\\?Users"
)
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s)((?:[^$\\]|\\.)+?)\$", re.DOTALL)
COMMAND = re.compile(r"\\([A-Za-z]+)")
DEFINES_MACRO = {"newcommand", "renewcommand", "def", "let", "DeclareMathOperator", "require"}
# What MathJax knows on any host without a definition of ours; any other LaTeX command may be added.
STANDARD = set(Path(__file__).with_name("latex_commands.txt").read_text(encoding="utf-8").split())


def outputs(notebook: common.Notebook) -> list[tuple[int, common.Cell, dict[str, Any]]]:
    """Every stored output with its cell and the cell's position."""
    return [
        (index, cell, output)
        for index, cell in enumerate(notebook["cells"])
        for output in cell.get("outputs", [])
    ]


def joined(text: str | list[str]) -> str:
    """Text that the format allows to be a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def texts(output: dict[str, Any]) -> list[str]:
    """What an output says in words: streams and textual representations, no pictures."""
    if output["output_type"] == "stream":
        return [joined(output["text"])]
    data = output.get("data", {})
    return [joined(data[kind]) for kind in data if kind.startswith("text/")]


def prose(notebook: common.Notebook) -> list[str]:
    """The Markdown cells, without the code that is quoted in them."""
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return [common.without_code(common.source(cell)) for cell in cells]


def bad_format(notebook: common.Notebook) -> list[str]:
    """Cells need ids and the format's own rules hold."""
    if (notebook["nbformat"], notebook["nbformat_minor"]) != (4, 5):
        return [f"the format is {notebook['nbformat']}.{notebook['nbformat_minor']}, not 4.5"]
    ids = [cell.get("id") for cell in notebook["cells"]]
    if repeated := sorted({str(name) for name in ids if ids.count(name) > 1}):
        return [f"two cells have the id {name}" for name in repeated]
    try:
        nbformat.validate(nbformat.from_dict(notebook))
    except nbformat.ValidationError as error:
        return [str(error).splitlines()[0]]
    return []


def not_run_in_order(notebook: common.Notebook) -> list[str]:
    """Each code cell was run, from the first to the last, in one fresh kernel."""
    counts = [
        cell.get("execution_count") for cell in notebook["cells"] if cell["cell_type"] == "code"
    ]
    return [
        f"code cell {wanted} has the execution count {count}"
        for wanted, count in enumerate(counts, start=1)
        if count != wanted
    ]


def empty_cells(notebook: common.Notebook) -> list[str]:
    """No cell is empty."""
    return [
        f"cell {index} is empty"
        for index, cell in enumerate(notebook["cells"])
        if not common.source(cell).strip()
    ]


def errors_and_stderr(notebook: common.Notebook) -> list[str]:
    """No stored output is a traceback or a word on stderr."""
    return [
        f"cell {index}: {output.get('ename') or joined(output['text'])[:80]}"
        for index, _, output in outputs(notebook)
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]


def unchecked_ignores(notebook: common.Notebook) -> list[str]:
    """Few outputs are exempt from comparison, and a cell that asserts follows each."""
    code = common.code_cells(notebook)
    ignored = [i for i, cell in enumerate(code) if "nbval-ignore-output" in common.tags(cell)]
    found = []
    if len(ignored) > MAX_IGNORED_SHARE * len(code):
        found.append(f"{len(ignored)} of {len(code)} code cells are exempt from comparison")
    for index in ignored:
        if index + 1 == len(code) or not common.is_check(code[index + 1]):
            found.append(f"code cell {index + 1} is exempt, and no cell that asserts follows it")
    return found


def long_cells(notebook: common.Notebook) -> list[str]:
    """A code cell fits on a screen; one that isn't folded is read at a glance."""
    found = []
    for index, cell in enumerate(common.code_cells(notebook), start=1):
        length = sum(bool(line.strip()) for line in common.source(cell).splitlines())
        folded = "hide-input" in common.tags(cell)
        if length > (MAX_CODE_LINES if folded else MAX_SHOWN_LINES):
            found.append(f"code cell {index} has {length} lines")
    return found


def figures_without_words(notebook: common.Notebook) -> list[str]:
    """Each figure has a caption, and an alternative text that says something else."""
    found = []
    for index, cell, output in outputs(notebook):
        if not set(output.get("data", {})).intersection(PICTURES):
            continue
        settings = cell["metadata"].get("mystnb", {})
        alt = settings.get("image", {}).get("alt", "").strip()
        caption = settings.get("figure", {}).get("caption", "").strip()
        if not caption:
            found.append(f"the figure of cell {index} has no caption")
        if len(alt) < MIN_ALT or alt == caption:
            found.append(f"the figure of cell {index} has no alternative text of its own: {alt!r}")
    return found


def html_without_words(notebook: common.Notebook) -> list[str]:
    """Pictures inside HTML outputs have alternative texts; players stay small."""
    found = []
    for index, _, output in outputs(notebook):
        html = joined(output.get("data", {}).get("text/html", ""))
        found += [
            f"cell {index}: an image without alternative text"
            for tag in IMAGE_TAG.findall(html)
            if not re.search(r"\balt=[\"'][^\"']", tag)
        ]
        if len(html.encode()) > MAX_HTML_BYTES:
            found.append(f"cell {index}: {len(html.encode())} bytes of HTML")
    return found


def wrong_ending(notebook: common.Notebook) -> list[str]:
    """A chapter ends with its summary, exercises and references."""
    headings = [match for text in prose(notebook) for match in HEADING.findall(text)]
    second = [title.lower() for level, title in headings if level == "##"]
    return [] if tuple(second[-3:]) == LAST_SECTIONS else [f"the chapter ends with {second[-3:]}"]


def wrong_title(notebook: common.Notebook) -> list[str]:
    """There is one title, in the first cell."""
    titles = [
        (index, title)
        for index, text in enumerate(prose(notebook))
        for level, title in HEADING.findall(text)
        if level == "#"
    ]
    is_first = notebook["cells"][0]["cell_type"] == "markdown"
    return [] if is_first and [i for i, _ in titles] == [0] else [f"the titles are {titles}"]


def forbidden_code(notebook: common.Notebook) -> list[str]:
    """Cells hold plain Python without global side effects."""
    return [
        f"code cell {index}: {what}"
        for index, cell in enumerate(common.code_cells(notebook), start=1)
        for pattern, what in FORBIDDEN_CODE.items()
        if re.search(pattern, common.source(cell), re.MULTILINE)
    ]


def path_literals(notebook: common.Notebook) -> list[str]:
    """No string is a path into the repository or the machine: chapters run in an empty folder."""
    found = []
    for index, cell in enumerate(common.code_cells(notebook), start=1):
        try:
            tree = ast.parse(common.source(cell))
        except SyntaxError as error:
            found.append(f"code cell {index} is not Python: {error.msg}")
            continue
        strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found += [
            f"code cell {index} names the path {value!r}"
            for value in strings
            if isinstance(value, str) and PATH_LITERAL.match(value)
        ]
    return found


def machine_traces(notebook: common.Notebook) -> list[str]:
    """No output holds a path of the machine or an object's address."""
    return [
        f"cell {index}: {match[0]!r}"
        for index, _, output in outputs(notebook)
        for text in texts(output)
        if len(text) <= MAX_HTML_BYTES and (match := MACHINE_TRACE.search(text))
    ]


def private_macros(notebook: common.Notebook) -> list[str]:
    """Formulas use LaTeX's own commands: they render where the book's settings are unknown."""
    used = {
        command
        for text in prose(notebook)
        for display, inline in MATH.findall(text)
        for command in COMMAND.findall(display or inline)
    }
    return [f"\\{name}" for name in sorted(used & DEFINES_MACRO | used - STANDARD - DEFINES_MACRO)]


GUARDS: list[Callable[[common.Notebook], list[str]]] = [
    bad_format,
    not_run_in_order,
    empty_cells,
    errors_and_stderr,
    unchecked_ignores,
    long_cells,
    figures_without_words,
    html_without_words,
    wrong_ending,
    wrong_title,
    forbidden_code,
    path_literals,
    machine_traces,
    private_macros,
]


def over_budget(run: dict[str, Any] | None, sha256: str) -> list[str]:
    """A run of this very file is on record, and it was short and small."""
    if run is None:
        return ["no run is on record: run `make notebooks`"]
    found = []
    if run["sha256"] != sha256:
        found.append("the file has changed since its run on record: run `make notebooks`")
    if not 0 < run["seconds"] < MAX_SECONDS:
        found.append(f"its run took {run['seconds']} s")
    if not 0 < run["peak_mib"] < MAX_PEAK_MIB:
        found.append(f"its run took {run['peak_mib']} MiB")
    return found


def test_there_are_chapters() -> None:
    assert CHAPTERS, "the table of contents names no notebook that exists"


def test_no_notebook_is_left_out_of_the_table_of_contents() -> None:
    assert {c.path for c in CHAPTERS} == set((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_chapter(guard: Callable[[common.Notebook], list[str]], chapter: common.Chapter) -> None:
    assert guard(common.read_notebook(chapter.path)) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter_is_within_its_budget(chapter: common.Chapter) -> None:
    assert chapter.path.stat().st_size < MAX_BYTES
    runs = json.loads(RECORD.read_text(encoding="utf-8"))
    assert over_budget(runs.get(chapter.name), common.digest(chapter.path)) == []


# ---- the guards themselves, each against a notebook that breaks it


def markdown(text: str) -> common.Cell:
    """A Markdown cell."""
    return {"cell_type": "markdown", "id": "m", "metadata": {}, "source": text}


def code(text: str, *results: dict[str, Any], count: int | None = 1, **extra: Any) -> common.Cell:
    """A code cell that was run."""
    cell = {"cell_type": "code", "id": "c", "source": text, "execution_count": count}
    return cell | {"outputs": list(results), "metadata": extra}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    """Something printed."""
    return {"output_type": "stream", "name": name, "text": text}


def display(**data: str) -> dict[str, Any]:
    """Something displayed; ``image_png`` stands for ``image/png``."""
    kinds = {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "display_data", "data": kinds, "metadata": {}}


def notebook(*cells: common.Cell) -> common.Notebook:
    """A notebook of these cells, with ids that differ."""
    numbered = [cell | {"id": f"cell-{index}"} for index, cell in enumerate(cells)]
    return {"cells": numbered, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


ENDING = markdown("## Summary\nx\n\n## Exercises\nx\n\n## References\nx")
ALT = "Two curves that start together; the orange one stays below the blue one."
GOOD = notebook(
    markdown("# Title\n\nWith $\\mathbb{E}[x] = \\tfrac12$.\n\n```python\n# no title\n```"),
    code("print(1)", stream("1\n")),
    code(
        "plot()",
        display(image_png="aGVsbG8="),
        count=2,
        mystnb={"image": {"alt": ALT}, "figure": {"caption": "Two curves."}},
    ),
    code("value = sample()", count=3),
    code("assert value > 0", count=4),
    code("a, b = 1, 2", count=5),
    code("a + b", count=6),
    ENDING,
)
FIGURE = display(image_png="aGVsbG8=")
SAME = {"image": {"alt": ALT}, "figure": {"caption": ALT}}
SHORT = {"image": {"alt": "A plot"}, "figure": {"caption": "Two curves."}}
UNCAPTIONED = {"image": {"alt": ALT}}
IGNORE = ["nbval-ignore-output"]
FILLER = [code(f"x = {n}", count=n) for n in range(2, 9)]

BROKEN = [
    (bad_format, GOOD | {"nbformat_minor": 4}),
    (bad_format, GOOD | {"cells": [*GOOD["cells"], GOOD["cells"][0]]}),
    (bad_format, GOOD | {"cells": [{"cell_type": "code", "id": "a"}]}),
    (not_run_in_order, notebook(code("x", count=None))),
    (not_run_in_order, notebook(code("x", count=2), code("y", count=1))),
    (not_run_in_order, notebook(code("x", count=3))),
    (empty_cells, notebook(markdown("  \n"))),
    (errors_and_stderr, notebook(code("x", {"output_type": "error", "ename": "NameError"}))),
    (errors_and_stderr, notebook(code("x", stream("a warning", "stderr")))),
    (unchecked_ignores, notebook(code("x", tags=IGNORE), *FILLER)),
    (unchecked_ignores, notebook(*FILLER, code("x", tags=IGNORE))),
    (unchecked_ignores, notebook(code("x", tags=IGNORE), code("assert x"))),
    (long_cells, notebook(code("x = 1\n\n" * 26, tags=["hide-input"]))),
    (long_cells, notebook(code("x = 1\n\n" * 16))),
    (figures_without_words, notebook(code("x", FIGURE))),
    (figures_without_words, notebook(code("x", FIGURE, mystnb=SAME))),
    (figures_without_words, notebook(code("x", FIGURE, mystnb=SHORT))),
    (figures_without_words, notebook(code("x", FIGURE, mystnb=UNCAPTIONED))),
    (html_without_words, notebook(code("x", display(text_html='<img src="data:,">')))),
    (html_without_words, notebook(code("x", display(text_html='<img alt="">')))),
    (html_without_words, notebook(code("x", display(text_html="x" * 500_001)))),
    (wrong_ending, notebook(markdown("# A"), markdown("## Summary\n\n## References"))),
    (wrong_ending, notebook(markdown("# A"), ENDING, markdown("## One more"))),
    (wrong_title, notebook(markdown("# A\n\n# B"))),
    (wrong_title, notebook(markdown("text"), markdown("# A"))),
    (forbidden_code, notebook(code("%pip install x"))),
    (forbidden_code, notebook(code("x = 1\n!ls"))),
    (forbidden_code, notebook(code("warnings.filterwarnings('ignore')"))),
    (forbidden_code, notebook(code("np.random.seed(0)"))),
    (forbidden_code, notebook(code("from irl_lib.planning import *"))),
    (path_literals, notebook(code("open('../book/equations.yml')"))),
    (path_literals, notebook(code("open('book/results/a.json')"))),
    (path_literals, notebook(code("open('/home/me/data.npz')"))),
    (path_literals, notebook(code("%%bash\nls"))),
    (machine_traces, notebook(code("x", stream("saved to /tmp/abc/x.npz")))),
    (machine_traces, notebook(code("x", display(text_plain="<A object at 0x7f3a2b4c5d6e>")))),
    (private_macros, notebook(markdown("We write $\\E[x]$."))),
    (private_macros, notebook(markdown("$$\n\\newcommand{\\KL}{D}\n$$"))),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_guard_accepts_a_good_notebook(guard: Callable[[common.Notebook], list[str]]) -> None:
    assert guard(GOOD) == []


@pytest.mark.parametrize(
    ("guard", "broken"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_guard_finds_what_it_is_for(
    guard: Callable[[common.Notebook], list[str]], broken: common.Notebook
) -> None:
    assert guard(broken)


def test_every_guard_is_seen_to_fail() -> None:
    assert {guard for guard, _ in BROKEN} == set(GUARDS)


def test_a_folded_cell_may_be_longer() -> None:
    assert long_cells(notebook(code("x = 1\n" * 25, tags=["hide-input"]))) == []


def test_an_ignored_cell_may_be_followed_by_a_check() -> None:
    checked = [code("x = draw()", tags=IGNORE), code("assert x > 0"), *FILLER]
    assert unchecked_ignores(notebook(*checked)) == []


@pytest.mark.parametrize(
    "run",
    [
        None,
        {"sha256": "other", "seconds": 3.0, "peak_mib": 100},
        {"sha256": "this", "seconds": 90.0, "peak_mib": 100},
        {"sha256": "this", "seconds": 3.0, "peak_mib": 2048},
    ],
)
def test_budget_is_enforced(run: dict[str, Any] | None) -> None:
    assert over_budget(run, "this")


def test_budget_accepts_a_run_within_it() -> None:
    assert over_budget({"sha256": "this", "seconds": 3.0, "peak_mib": 100}, "this") == []
