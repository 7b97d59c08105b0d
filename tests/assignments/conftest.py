"""Where the tests of the assignments find things; and one run for each master."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "book")]

from handed_in import MASTERS  # noqa: E402


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the argument ``master`` runs for each of them."""
    if "master" in metafunc.fixturenames:
        metafunc.parametrize("master", list(MASTERS.values()), ids=list(MASTERS))
