"""Tests of the two programs that run the rest: all checks with a summary, and the notebooks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import run
import run_notebooks

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="no"/></testcase>
<testcase name="d"><skipped message="no browser"/></testcase><testcase name="e"/>
</testsuite></testsuites>"""


def test_a_report_is_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT, encoding="utf-8")
    outcome = run.tally("part", report, 1, 2.0)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (2, 2, 1)
    assert outcome.reasons == ["no browser"]


def test_no_tests_at_all_is_a_failure(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text("<testsuites><testsuite/></testsuites>", encoding="utf-8")
    assert run.tally("part", report, 5, 0.1).failed == 1


def test_the_summary_ends_with_the_totals_alone() -> None:
    outcomes = [run.Outcome("a", 3, 0, 1, 1.0, ["why"]), run.Outcome("b", 0, 1, 0, 1.0)]
    lines = run.summary(outcomes).splitlines()
    assert lines[-1] == "3 passed, 1 failed, 1 skipped"
    assert run.summary([run.Outcome("a", 2, 0, 0, 1.0)]).splitlines()[-1] == "2 passed, 0 failed"


def test_the_slowest_checks_are_named(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    cases = "".join(f'<testcase name="t{k}" time="{k}"/>' for k in range(15))
    report.write_text(f"<testsuite>{cases}</testsuite>", encoding="utf-8")
    outcomes = [run.tally("part", report, 0, 60.0), run.Outcome("types", 1, 0, 0, 9.5)]
    shown = run.slowest(outcomes)
    assert len(shown) == 10
    assert [line.split()[0] for line in shown[:3]] == ["14.0", "13.0", "12.0"]
    assert shown[5] == "     9.5 s   types: the whole"


def test_two_runs_end_with_one_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOTAL", str(tmp_path / "total"))
    assert run.finish([run.Outcome("a", 3, 1, 0, 1.0, ["why"], [(1.0, "test")])]) == 1
    assert run.finish([run.Outcome("b", 5, 0, 2, 1.0)]) == 1, "the first run failed"
    assert capsys.readouterr().out.splitlines()[-1] == "8 passed, 1 failed, 2 skipped"


def test_parts_run_side_by_side_and_are_listed_in_their_order(
    capfd: pytest.CaptureFixture[str],
) -> None:
    wait = "import sys, time; time.sleep(float(sys.argv[1])); print('after', sys.argv[1])"
    seconds = {"a": "0.6", "b": "0.1", "c": "0.1"}
    parts = [run.Part(name, [sys.executable, "-c", wait, s]) for name, s in seconds.items()]
    parts.append(run.Part("d", [sys.executable, "-c", "print('first')"], alone=True))
    outcomes = run.run_all(parts)
    assert [outcome.name for outcome in outcomes] == ["a", "b", "c", "d"]
    said = capfd.readouterr().out
    assert said.index("first") < said.index("after 0.1") < said.index("after 0.6")


def test_every_chapter_is_a_part_and_the_longest_comes_first(root: Path) -> None:
    names = [part.name for part in run.chapter_parts()]
    assert len(names) == len(set(names)) == len(list((root / "notebooks").glob("*.ipynb")))
    records = json.loads((root / "book/results/notebooks.json").read_text(encoding="utf-8"))
    longest = max(records, key=lambda name: records[name]["seconds"])
    assert names[0] == f"chapter {longest[:2]}"


def test_parts_are_chosen_by_how_their_names_begin() -> None:
    parts = run.all_parts()
    assert [p.name for p in run.chosen(parts, ["chapter 04", "lint"])] == ["chapter 04", "lint"]
    assert run.chosen(parts, []) == parts


def test_a_part_that_fails_is_counted_and_does_not_raise(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run.run(run.Part("part", ["false"]))
    assert (outcome.passed, outcome.failed) == (0, 1)
    assert "part" in capfd.readouterr().out


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["no-such-part"]) == 2
    assert "no-such-part" in capsys.readouterr().err


def store(path: Path, *codes: str) -> bytes:
    """Writes an unexecuted notebook with an editor's metadata; returns its bytes."""
    cells = [new_markdown_cell("# Title"), *(new_code_cell(code) for code in codes)]
    for cell in cells:
        cell.metadata["editor"] = {"collapsed": True}
    nbformat.write(new_notebook(cells=cells, metadata={"colab": {"provenance": []}}), path)
    return path.read_bytes()


def test_a_run_stores_outputs_and_leaves_no_diff_when_repeated(tmp_path: Path) -> None:
    path = tmp_path / "01_chapter.ipynb"
    store(path, "x = 1", "import os; print(x, os.listdir())", "x + 1")
    record = run_notebooks.run_notebook(path)
    once = path.read_bytes()
    assert run_notebooks.run_notebook(path).sha256 == record.sha256
    assert path.read_bytes() == once
    stored = nbformat.reads(once.decode(), as_version=4)
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2, 3]
    assert stored.cells[2].outputs[0].text == "1 []\n"
    assert [dict(cell.metadata) for cell in stored.cells] == [{}] * 4
    assert set(stored.metadata) == {"kernelspec", "language_info"}
    assert record.peak_mib > 10


@pytest.mark.parametrize(
    ("code", "message"),
    [("1 / 0", "ZeroDivisionError"), ("import sys; print('careful', file=sys.stderr)", "careful")],
)
def test_a_notebook_that_fails_is_left_as_it_was(tmp_path: Path, code: str, message: str) -> None:
    path = tmp_path / "01_chapter.ipynb"
    before = store(path, "x = 1", code)
    with pytest.raises(run_notebooks.NotebookError, match=message):
        run_notebooks.run_notebook(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_records_of_notebooks_that_are_gone_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_notebooks, "RECORDS", tmp_path / "notebooks.json")
    record = run_notebooks.Record("0", 1.0, 10, "3.11", "a machine")
    run_notebooks.store_records({"01_a": record, "02_b": record}, ["01_a", "02_b"])
    run_notebooks.store_records({"02_b": record}, ["02_b"])
    assert list(json.loads((tmp_path / "notebooks.json").read_text(encoding="utf-8"))) == ["02_b"]
