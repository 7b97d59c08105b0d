"""Each page in a real browser: nothing from other hosts, no error, every formula, a phone, axe.

The browser is Debian's Chromium, or what ``CHROMIUM`` names.  Without one these tests are skipped,
except where ``REQUIRE_BROWSER`` is set: there they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

import irl_book_common as common

NAMES = ("chromium", "chromium-browser", "google-chrome")
EXECUTABLE = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONTENTS = yaml.safe_load(
    Path(__file__).parents[2].joinpath("_toc.yml").read_text(encoding="utf-8")
)
# Pages of rooms are made alike: one with formulas and the longest stand for all, but with FULL=1.
ROOMS = {name for name in common.toc_files(CONTENTS) if name.startswith("book/api/")}
LEFT_OUT = set() if os.environ.get("FULL") else ROOMS - {"book/api/planning", "book/api/worlds"}
PAGES = [each for each in common.toc_files(CONTENTS) if each not in LEFT_OUT]
PAGES += ["genindex", "search"]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
TYPESET = "async () => { if (window.MathJax?.startup) await MathJax.startup.promise; }"

pytestmark = pytest.mark.skipif(
    EXECUTABLE is None and not os.environ.get("REQUIRE_BROWSER"),
    reason="there is no Chromium: install it, or name one in CHROMIUM",
)


@dataclass
class Visit:
    """A page that was opened, and what happened meanwhile."""

    page: Page
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line in the log for each."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    """The address of a local server of the built pages."""
    handler = partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert EXECUTABLE is not None, "REQUIRE_BROWSER is set and there is no Chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        yield running
        running.close()


@contextmanager
def visiting(browser: Browser, origin: str, name: str) -> Iterator[Visit]:
    """Opens a page, waits for its formulas, and records errors and requests to other hosts."""
    page = browser.new_page(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
    visit = Visit(page)

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.errors.append(message.text)

    def see(address: str) -> None:
        if not address.startswith((origin, "data:", "blob:")):
            visit.elsewhere.append(address)

    page.on("console", hear)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda request: see(request.url))
    page.goto(f"{origin}/{name}.html", wait_until="load")
    page.evaluate(TYPESET)
    page.wait_for_timeout(200)
    yield visit
    page.close()


@pytest.fixture(scope="module", params=PAGES)
def visit(request: pytest.FixtureRequest, browser: Browser, server: str) -> Iterator[Visit]:
    """Each page in turn, opened once from a server; the tests of this module share it."""
    with visiting(browser, server, request.param) as opened:
        yield opened


@pytest.fixture(params=PAGES)
def visit_from_disk(
    request: pytest.FixtureRequest, browser: Browser, site: Path
) -> Iterator[Visit]:
    """Each page in turn, opened as a file."""
    with visiting(browser, site.as_uri(), request.param) as opened:
        yield opened


def formula_complaints(page: Page) -> list[str]:
    """Formulas that were not rendered, or rendered as an error."""
    return list(
        page.evaluate("""() => [...document.querySelectorAll('span.math, div.math')]
            .filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))
            .map(e => e.textContent.slice(0, 80))""")
    )


def wide_elements(page: Page) -> list[str]:
    """What makes a page scroll sideways; nothing when it does not."""
    return list(
        page.evaluate("""() => {
            const width = document.documentElement.clientWidth;
            if (document.scrollingElement.scrollWidth <= width) return [];
            const scrolls = e => e && (['auto', 'scroll', 'hidden'].includes(
                getComputedStyle(e).overflowX) || scrolls(e.parentElement));
            return [...document.body.querySelectorAll('*')]
                .filter(e => e.getBoundingClientRect().right > width && !scrolls(e.parentElement))
                .map(e => `${e.tagName}.${e.className} ${e.getBoundingClientRect().right}`)
                .concat('the page scrolls sideways').slice(0, 8); }""")
    )


# A chapter has ten thousand words of code and formulas, in a dozen looks.  The first of each look
# stays, the others are taken out of the page while axe looks at it, and put back.
LOOK = """async every => {
    const seen = new Set(), rest = [], gaps = [];
    const alike = document.querySelectorAll('div.highlight pre span, mjx-container');
    for (const element of every ? [] : alike) {
        const look = [element.tagName, getComputedStyle(element).color].join();
        if (seen.has(look)) rest.push(element);
        seen.add(look);
    }
    for (const element of rest) {
        gaps.push(document.createComment(''));
        element.replaceWith(gaps.at(-1));
    }
    const found = (await axe.run({resultTypes: ['violations']})).violations;
    rest.reverse().forEach(element => gaps.pop().replaceWith(element));
    return found; }"""


def violations(page: Page) -> list[str]:
    """What axe-core finds, one line for each rule and element; of words alike, in the first."""
    if not page.evaluate("() => Boolean(window.axe)"):
        source = files("axe_playwright_python").joinpath("axe.min.js")
        page.evaluate(source.read_text(encoding="utf-8"))
    found = page.evaluate(LOOK, bool(os.environ.get("FULL")))
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def test_page_loads_alone_from_a_server(visit: Visit) -> None:
    assert (visit.elsewhere, visit.errors) == ([], [])
    assert formula_complaints(visit.page) == []


def test_page_loads_alone_from_disk(visit_from_disk: Visit) -> None:
    assert (visit_from_disk.elsewhere, visit_from_disk.errors) == ([], [])
    assert formula_complaints(visit_from_disk.page) == []


def test_page_is_accessible(visit: Visit) -> None:
    check_accessible(visit, "light")


def test_page_is_accessible_in_the_dark(visit: Visit) -> None:
    check_accessible(visit, "dark")


def check_accessible(visit: Visit, theme: str) -> None:
    """What axe-core finds in a theme, which is nothing."""
    visit.page.set_viewport_size(DESKTOP)
    visit.page.emulate_media(color_scheme=theme)
    visit.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
    visit.page.wait_for_timeout(300)  # colours fade from one theme to the other
    assert violations(visit.page) == []


def test_page_fits_a_phone(visit: Visit) -> None:
    visit.page.set_viewport_size(PHONE)
    assert wide_elements(visit.page) == []


def test_the_book_has_formulas_to_render(browser: Browser, server: str) -> None:
    with visiting(browser, server, "book/notation") as opened:
        assert opened.page.locator("mjx-container").count() > 20


BAD_PAGE = """<html lang="en"><body><main style="width: 900px"><h1>A page</h1>
<span class="math">x</span><img src="http://127.0.0.1:9/a.png">
<div class="highlight"><pre><b>if</b> <span>if</span> <span style="color: #eee">pale</span></pre>
</div></main>
<script>undefinedFunction()</script></body></html>"""


def test_the_checks_notice_a_bad_page(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD_PAGE, encoding="utf-8")
    with visiting(browser, tmp_path.as_uri(), "bad") as opened:
        assert opened.elsewhere == ["http://127.0.0.1:9/a.png"]
        assert any("undefinedFunction" in error for error in opened.errors)
        assert formula_complaints(opened.page) == ["x"]
        before = opened.page.inner_text("main")
        found = violations(opened.page)
        assert any(line.startswith("image-alt") for line in found)
        assert any(line.startswith("color-contrast") and "#eee" in line for line in found)
        assert opened.page.inner_text("main") == before, "the page was changed"
        opened.page.set_viewport_size(PHONE)
        assert wide_elements(opened.page) != []
