"""What the tests share: hypothesis' settings, and where things stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Nothing is asked of a hub of models; transformers reads this once, when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

# The same examples at every run, and no deadline: a machine's pauses say nothing of the code.
settings.register_profile("book", derandomize=True, deadline=None, print_blob=True)
# New examples at every run; what failed once is kept and tried again first.
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("EXAMPLES", "book"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def site(root: Path) -> Path:
    """The folder of the built pages."""
    folder = root / "_build" / "html"
    assert (folder / "index.html").exists(), "the book is not built: run `make book` first"
    return folder
