"""Each page in a real browser: nothing from other hosts, no error, every formula, a phone, axe.

The browser is Debian's Chromium, or what ``CHROMIUM`` names.  Without one these tests are skipped,
except where ``REQUIRE_BROWSER`` is set: there they fail.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from itertools import pairwise, product
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from pypdf import PdfReader

import irl_book_common as common
import make_pdf
from irl_lib import iq_learn, max_margin, metrics, planning, worlds
from irl_lib.iq_learn.tabular import Problem
from irl_lib.max_margin.program import Program, solve
from irl_lib.mdp import MDP

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
# Where several processes share the tests, one process has all those of a page.
EACH_PAGE = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in PAGES]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 640}
CHAPTER = "notebooks/04_maximum_entropy"
# Formulas far away wait until they come near; here all of them are asked for.
TYPESET = """async () => {
    if (!window.MathJax?.startup) return;
    await MathJax.startup.promise;
    await MathJax.startup.document.lazyTypesetAll?.(); }"""
READY = "async () => { await window.MathJax?.startup?.promise; }"

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


def patient(browser: Browser, **options: Any) -> Page:
    """A new page that waits also where the machine is busy with something else."""
    page = browser.new_page(**options)
    page.set_default_timeout(120_000)
    return page


@contextmanager
def visiting(browser: Browser, origin: str, name: str, ready: str = TYPESET) -> Iterator[Visit]:
    """Opens a page, waits for its formulas, and records errors and requests to other hosts."""
    page = patient(browser, viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
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
    page.evaluate(ready)
    page.wait_for_timeout(200)
    yield visit
    page.close()


@pytest.fixture(scope="module", params=EACH_PAGE)
def visit(request: pytest.FixtureRequest, browser: Browser, server: str) -> Iterator[Visit]:
    """Each page in turn, opened once from a server; the tests of this module share it."""
    with visiting(browser, server, request.param) as opened:
        yield opened


@pytest.fixture(params=EACH_PAGE)
def visit_from_disk(
    request: pytest.FixtureRequest, browser: Browser, site: Path
) -> Iterator[Visit]:
    """Each page in turn, opened as a file; its first formulas are typeset."""
    with visiting(browser, site.as_uri(), request.param, READY) as opened:
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


def cut_formulas(page: Page) -> list[str]:
    """Formulas that are wider than their box where the box does not scroll, or out of the page."""
    return list(
        page.evaluate("""() => [...document.querySelectorAll('span.math, div.math')]
            .filter(box => box.checkVisibility())
            .filter(box => {
                const inner = box.querySelector('mjx-container');
                const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
                const wide = box.scrollWidth > box.clientWidth + 1;
                return wide && !scrolls(box) && !(inner && scrolls(inner)); })
            .map(box => box.textContent.slice(0, 60))""")
    )


def needless_scrolling(page: Page) -> list[str]:
    """Formulas in the text that scroll although there is room for them."""
    return list(
        page.evaluate("""() => [...document.querySelectorAll('p > span.math')]
            .filter(box => box.checkVisibility())
            .filter(box => box.scrollWidth > box.clientWidth + 1
                && box.scrollWidth < box.closest('p').clientWidth)
            .map(box => `${box.textContent.slice(0, 60)} ${box.scrollWidth} ${box.clientWidth}`)""")
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
    formulas = visit_from_disk.page.locator("span.math, div.math")
    if formulas.count():
        assert formulas.first.locator("mjx-container").count() == 1


def test_page_is_accessible(visit: Visit) -> None:
    check_accessible(visit, "light")


def test_page_is_accessible_in_the_dark(visit: Visit) -> None:
    check_accessible(visit, "dark")


def check_accessible(visit: Visit, theme: str) -> None:
    """What axe-core finds in a theme, which is nothing."""
    visit.page.set_viewport_size(DESKTOP)
    visit.page.emulate_media(color_scheme=theme)
    visit.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
    visit.page.evaluate(SETTLED)  # colours fade from one theme to the other
    assert violations(visit.page) == []


SETTLED = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame(); await frame();
    await Promise.all(document.getAnimations().map(each => each.finished.catch(() => {})));
    await frame(); }"""


# Formulas are typeset, and their letters loaded, when they come near.
NEAR = """async () => {
    for (let y = 0; y < document.documentElement.scrollHeight; y += 800) {
        scrollTo(0, y);
        await new Promise(done => setTimeout(done, 30));
    }
    await new Promise(done => setTimeout(done, 1000));
    await document.fonts.ready; }"""


DISTORTED = """async () => {
    const all = [...document.querySelectorAll('.bd-article img')].filter(e => e.checkVisibility());
    for (const each of all) { each.loading = 'eager'; await each.decode(); }
    const length = (style, names) => names.reduce((sum, n) => sum + parseFloat(style[n]), 0);
    return all.filter(e => {
        const style = getComputedStyle(e);
        const width = e.clientWidth - length(style, ['paddingLeft', 'paddingRight']);
        const height = e.clientHeight - length(style, ['paddingTop', 'paddingBottom']);
        return Math.abs(width / height / (e.naturalWidth / e.naturalHeight) - 1) > 0.03;
    }).map(e => e.alt.slice(0, 60));
}"""


def test_pictures_keep_their_proportions(visit: Visit) -> None:
    visit.page.set_viewport_size(PHONE)
    assert visit.page.evaluate(DISTORTED) == []


@pytest.mark.parametrize("size", [PHONE, SMALL_PHONE], ids=["390", "320"])
def test_page_fits_a_phone(visit: Visit, size: Any) -> None:
    visit.page.set_viewport_size(size)
    visit.page.evaluate(NEAR)
    assert wide_elements(visit.page) == []
    assert cut_formulas(visit.page) == []
    assert needless_scrolling(visit.page) == []


CLIPPED = """() => [...document.querySelectorAll('.bd-article :is(pre, table, .output, figure)')]
    .filter(e => e.checkVisibility())
    .filter(e => {
        const end = e.closest('.bd-article').getBoundingClientRect().right;
        return e.scrollWidth > e.clientWidth + 2 || e.getBoundingClientRect().right > end + 2;
    }).map(e => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 60)}`)"""


def test_page_prints_whole(visit: Visit) -> None:
    """On A4 nothing is wider than the text, where a screen would let it scroll."""
    visit.page.set_viewport_size({"width": 673, "height": 990})
    visit.page.emulate_media(media="print")
    try:
        visit.page.evaluate(SETTLED)
        assert visit.page.evaluate(CLIPPED) == []
    finally:
        visit.page.emulate_media(media="screen")


def test_the_book_has_formulas_to_render(browser: Browser, server: str) -> None:
    with visiting(browser, server, "book/notation") as opened:
        assert opened.page.locator("mjx-container").count() > 20


# ---- what a page weighs


def test_a_chapter_is_light(browser: Browser, server: str) -> None:
    """What a reader waits for: compressed as a server would, without what is loaded later."""
    page = patient(browser, viewport=DESKTOP)
    weights: list[int] = []

    def weigh(request: Request) -> None:
        response = request.response()
        weights.append(len(gzip.compress(response.body(), 6)) if response else 0)

    page.on("requestfinished", weigh)
    page.goto(f"{server}/{CHAPTER}.html", wait_until="load")
    page.evaluate(READY)
    page.close()
    assert len(weights) <= 45
    assert sum(weights) <= 950_000


def test_the_rest_of_a_chapter_comes_when_it_is_near(browser: Browser, server: str) -> None:
    page = patient(browser, viewport=DESKTOP)
    page.goto(f"{server}/{CHAPTER}.html", wait_until="load")
    page.evaluate(READY)
    waiting = "() => document.querySelectorAll('mjx-lazy').length"
    assert page.evaluate(waiting) > 50
    last = "() => [...document.querySelectorAll('.bd-article img')].at(-1)"
    assert not page.evaluate(f"() => ({last})().complete && ({last})().naturalWidth > 0")
    page.evaluate(f"() => ({last})().scrollIntoView()")
    page.wait_for_function(f"() => ({last})().naturalWidth > 0")
    # Where a link leads is at the top although nothing above it is typeset.
    page.goto(f"{server}/{CHAPTER}.html#what-can-go-wrong", wait_until="load")
    page.evaluate(READY)
    page.wait_for_timeout(500)
    section = page.locator("#what-can-go-wrong")
    top = section.evaluate("e => e.getBoundingClientRect().top")
    assert -5 < top < 200
    page.close()


# ---- by keyboard


ARROWS = """() => {
    const press = key => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    let reached = 0;
    const all = [...document.querySelectorAll('.bd-article details > summary')]
        .filter(e => e.checkVisibility({visibilityProperty: true}));
    for (const section of new Set(all.map(e => e.closest('.bd-article > section > section')))) {
        const stops = all.filter(e => e.closest('.bd-article > section > section') === section);
        stops.find(e => e.tabIndex === 0)?.focus();
        for (let i = 0; i < stops.length; i++) press('ArrowUp');
        for (const stop of stops) {
            reached += document.activeElement === stop && stop.tabIndex === 0;
            press('ArrowDown');
        }
    }
    return [reached, all.length]; }"""


def test_a_chapter_has_few_stops_and_each_is_seen(browser: Browser, server: str) -> None:
    page = patient(browser, viewport=DESKTOP)
    page.goto(f"{server}/{CHAPTER}.html", wait_until="load")
    page.evaluate(READY)
    page.keyboard.press("Tab")
    assert "Skip to main content" in page.evaluate("() => document.activeElement.textContent")
    page.keyboard.press("Enter")
    seen, unseen = 1, []
    for _ in range(80):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => {
            const e = document.activeElement, style = getComputedStyle(e);
            return {done: Boolean(e.closest('.solution')), page: e === document.body,
                    outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
                    name: e.outerHTML.slice(0, 90)}; }""")
        if stop["done"] or stop["page"]:
            break
        seen += 1
        unseen += [] if stop["outline"] else [stop["name"]]
    assert unseen == []
    assert seen <= 60, "stops before the first solution"
    # What is said of the arrows moves nothing, or a click would miss what it was aimed at.
    page.keyboard.press("Tab")
    tall = """() => [...document.querySelectorAll('summary.has-others')]
        .filter(e => e.checkVisibility({visibilityProperty: true})).map(e => {
        const before = e.getBoundingClientRect().height;
        e.focus({focusVisible: true});
        return [e.matches(':focus-visible'), e.getBoundingClientRect().height - before]; })"""
    assert {tuple(each) for each in page.evaluate(tall)} == {(True, 0)}
    # The arrows lead from a section's folded code to the next, and none is out of reach.
    reached, folded = page.evaluate(ARROWS)
    assert reached == folded > 60
    page.close()


# ---- where the reader is


def test_the_contents_always_say_where_the_reader_is(browser: Browser, server: str) -> None:
    page = patient(browser, viewport={"width": 1440, "height": 900})
    page.goto(f"{server}/{CHAPTER}.html", wait_until="load")
    height = page.evaluate("() => document.documentElement.scrollHeight")
    for y in range(0, height, height // 25):
        page.evaluate(
            f"async () => {{ scrollTo(0, {y}); await new Promise(requestAnimationFrame);"
            " await new Promise(requestAnimationFrame); }"
        )
        here = page.evaluate("""() => {
            const marked = [...document.querySelectorAll('#pst-page-toc-nav [aria-current]')];
            const hidden = marked.filter(e => !e.checkVisibility());
            return [marked.length, hidden.length]; }""")
        assert here == [1, 0], f"at {y} of {height}"
    page.close()


def test_the_drawers_of_a_phone_close(browser: Browser, server: str) -> None:
    page = patient(browser, viewport=PHONE)
    page.goto(f"{server}/{CHAPTER}.html", wait_until="load")
    page.wait_for_timeout(300)
    for toggle, drawer in (
        (".secondary-toggle", "#pst-secondary-sidebar-modal"),
        (".primary-toggle", "#pst-primary-sidebar-modal"),
    ):
        for close in (".drawer-close", "nav a[href^='#']"):
            page.locator(toggle).first.click()
            assert page.evaluate(f"() => document.querySelector('{drawer}').open")
            page.locator(f"{drawer} {close}").first.click()
            assert not page.evaluate(f"() => document.querySelector('{drawer}').open")
    page.close()


# ---- search


QUERIES = {
    "occupancy": "notebooks/",
    "max margin": "notebooks/03",
    "partition function": "notebooks/04",
    "importance sampling": "notebooks/06",
    "effective sample size": "notebooks/06",
    "behaviour cloning": "notebooks/01",
    "covariate shift": "notebooks/01",
    "feature expectations": "notebooks/02",
    "reward shaping": "notebooks/02",
    "EPIC": "notebooks/02",
    "slack": "notebooks/03",
    "projection method": "notebooks/03",
    "causal form": "notebooks/04",
    "causal entropy": "notebooks/0",
    "objectworld": "notebooks/05",
    "multipliers": "notebooks/05",
    "guided cost learning": "notebooks/06",
    "GAIL": "notebooks/07",
    "discriminator": "notebooks/07",
    "inverse soft Bellman operator": "notebooks/08",
    "acrobot": "notebooks/08",
    "padding": "notebooks/09",
    "temperature sampling tokens": "notebooks/09",
    "side by side": "notebooks/10",
    "compounding errors": "notebooks/01",
    "road_network": "book/api/",
}


def test_search_finds_the_section_first_from_disk(browser: Browser, site: Path) -> None:
    with visiting(browser, site.as_uri(), "search") as opened:
        found = opened.page.evaluate(
            """queries => queries.map(query => irlSearch(query)
                .map(hit => window.irlIndex.pages[hit.page][0] + '#' + hit.anchor))""",
            list(QUERIES),
        )
        assert (opened.elsewhere, opened.errors) == ([], [])
    first = {query: hits[:1] for query, hits in zip(QUERIES, found, strict=True)}
    assert {q: hit for q, hit in first.items() if not "".join(hit).startswith(QUERIES[q])} == {}
    # What is found are sections, and objects of the package come after the text.
    assert sum("#" in hit[0] and not hit[0].endswith("#") for hit in first.values()) > 12
    hits = found[list(QUERIES).index("occupancy")]
    kinds = [hit.startswith("book/api/") for hit in hits]
    assert not any(kinds[:7])


def test_the_search_page_shows_what_it_found(browser: Browser, site: Path) -> None:
    page = patient(browser, viewport=DESKTOP)
    page.goto(f"{site.as_uri()}/search.html?q=partition+function", wait_until="load")
    page.locator("#search-hits li").first.wait_for()
    piece = page.locator("#search-hits li").first
    assert "partition function" in piece.inner_text().lower()
    assert "\\" not in page.locator("#search-hits").inner_text()
    piece.locator("a").click()
    page.wait_for_load_state("load")
    assert "#" in page.url
    assert "/notebooks/04" in page.url
    page.goto(f"{site.as_uri()}/search.html?q=zebrafinch", wait_until="load")
    assert "Nothing in the book" in page.locator("#search-status").inner_text()
    page.close()


# ---- what a reference leads to


@pytest.mark.parametrize(
    "link",
    ["a[href*='references.html#']", "a[href^='#equation-']", "a[href*='errata.html#']"],
    ids=["citation", "equation", "erratum"],
)
def test_a_reference_shows_what_it_leads_to(browser: Browser, site: Path, link: str) -> None:
    page = patient(browser, viewport=DESKTOP)
    page.goto(f"{site.as_uri()}/{CHAPTER}.html", wait_until="load")
    page.evaluate(READY)
    chosen = page.locator(f".bd-article p {link}:not(.headerlink)").first
    chosen.scroll_into_view_if_needed()
    chosen.focus()
    note = page.locator(".hover-note")
    note.wait_for()
    page.wait_for_function("() => document.querySelector('.hover-note').innerText.length > 10")
    assert chosen.get_attribute("aria-describedby") == "hover-note"
    page.keyboard.press("Escape")
    assert note.count() == 0
    page.close()


# ---- figures that a reader moves


def moved(site: Path, browser: Browser, model: str, settings: list[dict[str, Any]]) -> list[Any]:
    """What a figure's model computes from each of some settings."""
    page = patient(browser)
    page.goto(f"{site.as_uri()}/{CHAPTER}.html", wait_until="load")
    found = page.evaluate(
        "([model, settings]) => settings.map(each => irlPlay[model](each))", [model, settings]
    )
    page.close()
    return list(found)


def test_the_painted_grid_is_planned_as_the_package_plans(browser: Browser, site: Path) -> None:
    cells = np.random.default_rng(0).choice([0.0, 1.0, -1.0], 64, p=[0.8, 0.1, 0.1])
    kinds = [(0.05, 0.96, 0.0), (0.2, 0.9, 0.3), (1.0, 0.5, 0.6), (0.0, 0.9, 0.2)]
    keys = ("temperature", "discount", "slip")
    asked = [
        {"size": 8, "cells": cells.tolist(), **dict(zip(keys, kind, strict=True))} for kind in kinds
    ]
    found = moved(site, browser, "paint", asked)
    for (temperature, discount, slip), got in zip(kinds, found, strict=True):
        mdp = worlds.gridworld(8, slip=slip, discount=discount).mdp
        reward = np.repeat(cells[:, None], 4, axis=1)
        plan = (
            planning.soft_value_iteration(mdp, reward, temperature)
            if temperature
            else planning.value_iteration(mdp, reward)
        )
        np.testing.assert_allclose(got["v"], plan.v, rtol=1e-9, atol=1e-9)
        if temperature:  # the hard maximum has several policies
            visits = planning.occupancy(mdp, plan.policy).sum(axis=1)
            np.testing.assert_allclose(got["visits"], visits, rtol=1e-9, atol=1e-9)
        else:
            worth = planning.policy_value(mdp, np.array(got["policy"]), reward)
            np.testing.assert_allclose(worth, plan.v, rtol=1e-9, atol=1e-9)


def test_the_moved_gamble_is_the_packages(browser: Browser, site: Path) -> None:
    kinds = [(0.5, 2.0, 4.0, 1.0), (0.1, 6.0, 0.5, 0.5), (0.9, 0.0, 6.0, 4.0)]
    keys = ("chance", "win", "lose", "temperature")
    asked = [dict(zip(keys, kind, strict=True)) for kind in kinds]
    found = moved(site, browser, "gamble", asked)
    for (chance, win, lose, temperature), got in zip(kinds, found, strict=True):
        bet = worlds.gamble(win=win, lose=-lose, chance=chance)
        reward = bet.reward / temperature
        plans = planning.trajectory_posterior, planning.soft_value_iteration
        posterior, causal = (plan(bet.mdp, reward).policy[0, 0, 1] for plan in plans)
        np.testing.assert_allclose([got["posterior"], got["causal"]], [posterior, causal], 1e-9)
        won, lost = chance * np.exp(win / temperature), (1 - chance) * np.exp(-lose / temperature)
        np.testing.assert_allclose(got["lucky"], won / (won + lost), rtol=1e-9)


def test_the_moved_copy_pays_as_the_package_says(browser: Browser, site: Path) -> None:
    kinds = [(0.01, 0.0), (0.1, 0.3), (0.002, 1.0)]
    asked = [{"error": error, "back": back, "longest": 60} for error, back in kinds]
    for (error, back), got in zip(kinds, moved(site, browser, "ditch", asked), strict=True):
        chain = np.array([[[1 - error, error]], [[back, 1 - back]]])
        mdp = MDP(chain, [1.0, 0.0], horizon=60)
        value = planning.policy_value(mdp, np.ones((2, 1)), np.array([[0.0], [1.0]]))
        np.testing.assert_allclose(got["costs"], value[::-1, 0], rtol=1e-9, atol=1e-12)


def test_the_turned_weights_choose_as_the_package_does(browser: Browser, site: Path) -> None:
    asked = [
        {"angle": angle, "discount": 0.5 + 0.09 * i} for i, angle in enumerate((0, 95, 180, 310))
    ]
    features = np.array(
        [[[0.2, 0.8], [0.9, -0.3]], [[-0.5, 0.4], [0.1, -0.9]], [[0.7, 0.5], [-0.8, -0.1]]]
    )
    chances = np.stack([np.eye(3), np.roll(np.eye(3), 1, axis=1)], axis=1)
    for each, got in zip(asked, moved(site, browser, "cone", asked), strict=True):
        mdp = MDP(chances, np.full(3, 1 / 3), each["discount"])
        tables = np.eye(2)[np.array(got["policies"])]
        means = [planning.feature_expectations(mdp, table, features) for table in tables]
        means = (1 - each["discount"]) * np.array(means)
        np.testing.assert_allclose(got["means"], means, rtol=1e-9, atol=1e-12)

        def best(degrees: float, means: Any = means) -> int:
            turned = np.deg2rad(degrees)
            return int(np.argmax(means @ [np.cos(turned), np.sin(turned)]))

        inside, outside = (
            (got["from"] + 1e-7, got["to"] - 1e-7),
            (got["from"] - 1e-7, got["to"] + 1e-7),
        )
        assert {best(angle) for angle in (each["angle"], *inside)} == {got["best"]}
        assert got["best"] not in {best(angle) for angle in outside}


def test_the_moved_weights_are_those_of_all_sequences(browser: Browser, site: Path) -> None:
    (got,) = moved(site, browser, "weights", [{"steps": 10, "heads": 0.7}])
    heads = np.array(list(product((0, 1), repeat=10))).sum(axis=1)
    log_weights = heads * np.log(1.4) + (10 - heads) * np.log(0.6)
    share = metrics.effective_sample_size(log_weights) / len(heads)
    np.testing.assert_allclose(got["share"], share, rtol=1e-9)
    counted = np.bincount(heads) / len(heads)
    np.testing.assert_allclose(got["sampled"], counted, rtol=1e-9)
    weighted = np.bincount(heads, np.exp(log_weights)) / len(heads)
    np.testing.assert_allclose(got["weighted"], weighted, rtol=1e-9)


def test_the_moved_logits_imply_the_packages_rewards(browser: Browser, site: Path) -> None:
    kinds = [(0.0, 0.0, 0.9), (2.0, -1.5, 0.5), (-3.0, 3.0, 0.95)]
    asked = [dict(zip(("start", "after", "discount"), kind, strict=True)) for kind in kinds]
    chances = np.zeros((4, 2, 4))  # the start, after an a, after a b, the end
    chances[0, [0, 1], [1, 2]] = chances[1:, :, 3] = 1.0
    for (start, after, discount), got in zip(
        kinds, moved(site, browser, "tokens", asked), strict=True
    ):
        mdp = MDP(chances, np.eye(4)[0], discount)
        q = np.array([[1.2, 0.2], [0.4, -0.6], [-0.2, 0.9], [-np.log(2)] * 2])
        q[:2] += np.array([start, after])[:, None]
        reward, policy = iq_learn.inverse_bellman(mdp, q), iq_learn.policy_of(mdp, q)
        two = [(one, other) for one in (0, 1) for other in (0, 1)]
        rewards = [[reward[0, one], reward[1 + one, other]] for one, other in two]
        likely = [policy[0, one] * policy[1 + one, other] for one, other in two]
        np.testing.assert_allclose([t["rewards"] for t in got["texts"]], rewards, 1e-9, 1e-12)
        np.testing.assert_allclose([t["chance"] for t in got["texts"]], likely, 1e-9)
        np.testing.assert_allclose(got["value"], iq_learn.soft_value(mdp, q)[0], 1e-9)


def test_the_moved_discriminator_rewards_as_the_package_does(browser: Browser, site: Path) -> None:
    kinds = [(x, *two) for x in (-2.0, 0.0, 0.75) for two in product((True, False), repeat=2)]
    keys = ("logit", "survival", "treated")
    asked = [dict(zip(keys, kind, strict=True)) for kind in kinds]
    alive = np.repeat(np.arange(8)[:, None] < 7, 2, axis=1).astype(float)
    start, wanted = np.eye(8)[3], 1 - 0.3 * np.abs(np.arange(8) - 3)[:, None]

    def lasts(p: Any, policy: Any) -> float:
        return float(planning.occupancy(MDP(p, start, 1.0, 200), policy)[:7].sum())

    for (logit, survival, treated), got in zip(
        kinds, moved(site, browser, "sign", asked), strict=True
    ):
        p = np.zeros((8, 2, 8))
        for s in range(7):
            left = s - 1 if s else (7 if survival else 0)
            p[s, 0, [left, s + 1]] += [0.9, 0.1]
            p[s, 1, [left, s + 1]] += [0.1, 0.9]
        p[7, :, 7] = 1.0
        land = MDP(p, start, 0.99)
        chance = 1 / (1 + np.exp(-logit))
        pays = [np.log(chance), -np.log(1 - chance), logit, -logit * np.exp(logit)]
        np.testing.assert_allclose(list(got["pays"].values()), pays, rtol=1e-9, atol=1e-12)
        for pay, length in zip(pays, got["lengths"].values(), strict=True):
            nothing = treated or abs(pay) < 1e-12  # all policies are as good: the uniform one
            policy = np.full((8, 2), 0.5)
            if not nothing:
                policy = planning.value_iteration(land, pay * alive).policy
            np.testing.assert_allclose(length, lasts(p, policy), rtol=1e-9)
        expert = planning.soft_value_iteration(
            land, alive * wanted if survival else -alive, temperature=0.5
        )
        np.testing.assert_allclose(got["expert"], lasts(p, expert.policy), rtol=1e-9)


def exactly(program: Program) -> tuple[Any, float, Any]:
    """Weights, slack and duals of a program with one slack: what its solver finds, polished.

    The constraints that bind, by the solver's duals, are solved as equations; that of the slack
    itself is one, without a lead or a margin.
    """
    found, price = solve(program), program.price
    duals = np.append(found.duals, price - found.duals.sum())
    leads = np.vstack([program.leads, np.zeros(2)])
    active = np.flatnonzero(duals > 1e-6 * price)
    ones, known = np.ones((len(active), 1)), leads[active]
    system = np.block([[known @ known.T, ones], [ones.T, np.zeros((1, 1))]])
    solution = np.linalg.solve(system, np.append(np.append(program.margins, 0.0)[active], price))
    np.testing.assert_allclose(solution[:-1], duals[active], rtol=1e-4, atol=1e-6)
    duals[:] = 0.0
    duals[active] = solution[:-1]
    weights = duals @ leads
    np.testing.assert_allclose(weights, found.weights, rtol=1e-6, atol=1e-6)
    return weights, float(solution[-1]), duals[:-1]


CORNERS = [(3.4, 2.6, 2.0), (3.4, 2.6, 0.5), (2.4, 2.0, 2.0), (3.0, 3.1, 6.0), (3.7, 0.9, 8.0)]
MARGINS = [
    {"x": x, "y": y, "price": price, "constraints": n, "structured": structured}
    for structured in (False, True)
    for x, y, price in CORNERS
    for n in range(1, 7)
]


def six_policies(each: dict[str, Any], got: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The expert's point, its leads over six policies, and the margins that are asked for."""
    expert = np.array([each["x"], each["y"]])
    leads = expert - got["policies"]
    return expert, leads, np.array(got["losses"]) if each["structured"] else 1.0 * leads.any(axis=1)


def test_the_moved_margin_is_the_packages_program(browser: Browser, site: Path) -> None:
    upper = np.inf
    for each, got in zip(MARGINS, moved(site, browser, "margin", MARGINS), strict=True):
        _, leads, margins = six_policies(each, got)
        known, which, bound = got["known"], np.zeros(6, dtype=int), np.full(2, np.inf)
        whole = Program(leads, margins, which, 1, each["price"], bound)
        part = Program(leads[known], margins[known], which[known], 1, each["price"], bound)
        weights, slack, duals = exactly(part)
        for name, exact in (("weights", weights), ("slack", slack), ("lower", part.dual(duals))):
            np.testing.assert_allclose(got[name], exact, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(np.array(got["duals"])[known], duals, rtol=1e-9, atol=1e-9)
        assert not np.delete(got["duals"], known).any()
        value = whole.objective(weights, whole.slacks(weights))
        upper = value if each["constraints"] == 1 else min(upper, value)
        np.testing.assert_allclose(got["upper"], upper, rtol=1e-9, atol=1e-9)
        assert (got["next"] < 0) == (got["upper"] - got["lower"] < 1e-8)


def test_constraints_are_added_as_the_package_adds_them(browser: Browser, site: Path) -> None:
    found = moved(site, browser, "margin", MARGINS)
    for each, got, rounds in zip(
        MARGINS[::6], found[5::6], np.reshape(found, (-1, 6)), strict=True
    ):
        expert, _, margins = six_policies(each, got)
        one_step = MDP(np.ones((1, 7, 1)), [1.0], horizon=1)  # an action is a policy
        features = np.vstack([got["policies"], expert])[None]
        fit = max_margin.max_margin(
            one_step,
            features,
            np.eye(7)[None, 6],
            margin=np.append(margins, 0.0)[None] if each["structured"] else "unit",
            slack=each["price"],
        )
        np.testing.assert_allclose(fit.weights, got["weights"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(fit.slacks, [got["slack"]], rtol=1e-6, atol=1e-6)
        assert [int(known.actions.item()) for known in fit.working_set] == got["known"]
        for name, bound in (("lower_bound", "lower"), ("upper_bound", "upper")):
            bounds = [one[bound] for one in rounds[: len(got["known"])]]
            np.testing.assert_allclose(fit.history[name], bounds, rtol=1e-6, atol=1e-6)


def test_the_moved_action_values_imply_the_packages_rewards(browser: Browser, site: Path) -> None:
    kinds = [
        (2, 0.0, 0.9, 0.0, 0, False),
        (2, 2.5, 0.9, 0.0, 0, False),
        (0, 3.0, 0.9, 0.5, 500, True),
        (3, -3.0, 0.5, 1.0, 40, False),
        (1, -0.5, 0.75, 0.05, 120, True),
    ]
    keys = ("cell", "added", "discount", "price", "updates", "narrow")
    asked = [dict(zip(keys, kind, strict=True)) for kind in kinds]
    paid = 2.0 * (np.arange(4)[:, None] == [3, 3])
    found = moved(site, browser, "inverse", asked)
    for (cell, added, discount, weight, updates, narrow), got in zip(kinds, found, strict=True):
        p = np.zeros((4, 2, 4))
        for s in range(4):
            p[s, [[0], [1]], [max(s - 1, 0), min(s + 1, 3)]] = [[0.9, 0.1], [0.1, 0.9]]
        mdp = MDP(p, np.eye(4)[1], discount)
        q = iq_learn.soft_bellman(mdp, paid)
        expert = iq_learn.policy_of(mdp, q)
        shown = planning.occupancy(mdp, expert)
        cost = iq_learn.price(mdp, weight, shown if narrow else np.full((4, 2), mdp.mass / 8))
        q[cell] += added
        for _ in range(updates):
            problem = Problem(mdp, shown, weight, "expert" if narrow else "uniform", "dual")
            point = problem.evaluate(q.ravel())
            assert point is not None
            q = q + 0.1 * point.gradient.reshape(4, 2)
        reward = iq_learn.inverse_bellman(mdp, q)
        exact: dict[str, Any] = {
            "reward": reward,
            "policy": iq_learn.policy_of(mdp, q),
            "expert": expert,
            "v": iq_learn.soft_value(mdp, q),
            "cost": cost.of(reward),
            "objective": iq_learn.iq_objective(mdp, shown, q, cost),
        }
        for name, table in exact.items():
            np.testing.assert_allclose(got[name], table, rtol=1e-9, atol=1e-9, err_msg=name)
    # What was added goes unnoticed without a price.
    np.testing.assert_allclose(found[0]["objective"], found[1]["objective"], rtol=1e-9)


PLAYED = yaml.safe_load(
    Path(__file__).parents[2].joinpath("book", "play.yml").read_text(encoding="utf-8")
)
MOVED_BY = {"range": "ArrowRight", "checkbox": " ", None: "ArrowLeft"}


@pytest.mark.parametrize("chapter", PLAYED)
def test_a_figure_is_moved_by_keyboard_and_says_what_it_shows(
    browser: Browser, site: Path, chapter: str
) -> None:
    page = patient(browser, viewport=PHONE)
    page.goto(f"{site.as_uri()}/notebooks/{chapter}.html", wait_until="load")
    page.evaluate(READY)
    for box in page.locator("[data-play]").all():
        assert box.locator("svg").count() == 0  # first the question
        box.locator("summary").focus()
        page.keyboard.press("Enter")
        said = box.locator("[aria-live]")
        before = said.inner_text()
        for control in box.locator("input, [role=application]").all():
            assert control.evaluate("e => e.labels?.length !== 0"), "a control without a label"
            control.focus()
            at_end = control.evaluate("e => e.type === 'range' && e.value === e.max")
            page.keyboard.press("ArrowLeft" if at_end else MOVED_BY[control.get_attribute("type")])
            assert said.inner_text() != before, control.evaluate("e => e.outerHTML.slice(0, 200)")
            before = said.inner_text()
        if box.get_attribute("data-play") == "paint":
            box.locator("[role=application]").focus()
            page.keyboard.press(" ")
            assert "pays 1" in said.inner_text()
            box.locator("[data-cell='0']").click()
            assert "Cell (0, 0) pays 1" in said.inner_text()
    assert wide_elements(page) == []
    assert violations(page) == []
    page.close()


def test_what_moves_weighs_little_and_only_where_it_is(site: Path) -> None:
    assert (site / "_static" / "irl-play.js").stat().st_size < 40_000
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert ("irl-play.js" in text) == ('data-play="' in text), path.name


# ---- on paper


def letters(text: str) -> str:
    """A text without what a line's end or a font may change; ligatures as the letters they are."""
    return re.sub(r"[^A-Za-z0-9]", "", unicodedata.normalize("NFKC", text))


def is_in(line: str, pages: list[str]) -> bool:
    """Whether one page has a line, or one has its begin and the next begins with the rest."""
    if any(line in page for page in pages):
        return True
    return any(
        line[:cut] in page and after.startswith(line[cut:])
        for page, after in pairwise(pages)
        for cut in range(1, len(line))
    )


def test_a_line_on_paper_may_go_on_where_the_next_page_begins() -> None:
    pages = ["onetwothree4", "fourfive", "six"]
    assert is_in("three4", pages)
    assert is_in("threefour", pages)
    assert is_in("fivesix", pages)
    assert not is_in("threefive", pages)
    assert not is_in("twofour5", pages)
    assert not is_in("onesix", pages)


def test_a_printed_chapter_has_all_its_text_on_white(
    browser: Browser, site: Path, tmp_path: Path
) -> None:
    page = patient(browser, viewport=DESKTOP, color_scheme="dark")
    page.goto(f"{site.as_uri()}/notebooks/05_neural_rewards.html", wait_until="load")
    page.evaluate(TYPESET)
    lines = page.evaluate("""() => [...document.querySelectorAll('.bd-article :is(pre, p, li, h2)')]
        .filter(e => e.checkVisibility() && !e.querySelector('.math, a'))
        .filter(e => !e.closest('details:not([open]) > summary'))
        .flatMap(e => e.innerText.split('\\n'))""")
    page.pdf(path=tmp_path / "chapter.pdf", format="A4", print_background=True)
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    page.close()
    printed = PdfReader(tmp_path / "chapter.pdf")
    pages = [letters(each.extract_text()) for each in printed.pages]
    wanted = [line for line in map(letters, lines) if len(line) > 3]
    assert len(wanted) > 200
    assert [line for line in wanted if not is_in(line, pages)] == []
    assert len(printed.pages) < 45


def test_pages_become_one_pdf(site: Path, tmp_path: Path) -> None:
    names = ["book/how_to_read", "book/notation", "notebooks/09_language_models"]
    whole = tmp_path / "html"
    whole.symlink_to(site)
    with ThreadPoolExecutor(1) as beside:  # Playwright allows one browser in a thread
        beside.submit(make_pdf.make, whole, names, tmp_path / "book.pdf").result()
    made = PdfReader(tmp_path / "book.pdf")
    headings = [str(each.title) for each in made.outline if not isinstance(each, list)]
    assert any("How to read" in title for title in headings)
    assert headings[-1].endswith("Solutions")
    assert "9. Language models: the same objective on tokens" in headings
    links = [
        annotation.get_object()
        for each in made.pages
        for annotation in each.get("/Annots") or []
        if annotation.get_object().get("/Subtype") == "/Link"
    ]
    document = (tmp_path / "print.html").read_text(encoding="utf-8")
    inside = re.findall(r'href="#([^"]+)"', document)
    assert len(inside) > len(names) + 5
    assert set(inside) <= set(re.findall(r'\bid="([^"]+)"', document))
    assert sum("/Dest" in link or "/D" in link.get("/A", {}) for link in links) >= len(inside)
    outside = [str(link["/A"]["/URI"]) for link in links if "/URI" in link.get("/A", {})]
    assert [address for address in outside if not address.startswith("http")] == []
    last = made.pages[-1].extract_text()
    assert str(len(made.pages)) in last.split()
    answers = sum("Check your understanding" in each.extract_text() for each in made.pages)
    assert answers >= 2


BAD_PAGE = """<html lang="en"><body><main style="width: 900px"><h1>A page</h1>
<p><span class="math">x</span></p><p style="width: 90px"><span class="math"
style="display: inline-block; width: 30px; overflow: hidden">a formula that is long</span></p><img src="http://127.0.0.1:9/a.png">
<div class="highlight"><pre><b>if</b> <span>if</span> <span style="color: #eee">pale</span></pre>
</div></main>
<script>undefinedFunction()</script></body></html>"""


def test_the_checks_notice_a_bad_page(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD_PAGE, encoding="utf-8")
    with visiting(browser, tmp_path.as_uri(), "bad") as opened:
        assert opened.elsewhere == ["http://127.0.0.1:9/a.png"]
        assert any("undefinedFunction" in error for error in opened.errors)
        assert formula_complaints(opened.page) == ["x", "a formula that is long"]
        assert cut_formulas(opened.page) == ["a formula that is long"]
        before = opened.page.inner_text("main")
        found = violations(opened.page)
        assert any(line.startswith("image-alt") for line in found)
        assert any(line.startswith("color-contrast") and "#eee" in line for line in found)
        assert opened.page.inner_text("main") == before, "the page was changed"
        opened.page.set_viewport_size(PHONE)
        assert wide_elements(opened.page) != []
