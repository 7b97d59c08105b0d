"""Tests on the built pages: what a reader would stumble over without any script running.

Each guard is a function from a page to a list of complaints, so that it can be seen to complain
about a bad page too.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup, Tag

import irl_book_common as common
from irl_book_archive import PDF, pdf_line
from make_pdf import link_from_start

Pages = dict[Path, BeautifulSoup]
Guard = Callable[[BeautifulSoup], list[str]]

RAW = re.compile(r":::|`{3}|\{[a-z:]+\}`|\[\]\(|\$\$|%matplotlib|\\begin\{|<details|\]\(#")
FILE_NAME = re.compile(r"^(\S*/)?\S+\.(png|svg|jpe?g|gif)$")
LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
}
LOADING_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "modulepreload",
    "dns-prefetch",
    "manifest",
}
REMOTE = re.compile(r"^\s*(https?:)?//")
REMOTE_IN_CSS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])\s*(?:https?:)?//[^)'\"]+")
MATH_MARK = re.compile(r"\\\(|\\\[")
PAGE_BUDGET = 4_000_000
SITE_BUDGET = 60_000_000


def parse(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


@pytest.fixture(scope="module")
def pages(site: Path) -> Pages:
    """Every page, parsed; the one for lost readers has whole addresses, and a test of its own."""
    found = (path for path in sorted(site.rglob("*.html")) if path != site / "404.html")
    return {path: parse(path.read_text(encoding="utf-8")) for path in found}


def readable_text(page: BeautifulSoup) -> list[str]:
    """The text of the page's body outside code, formulas and scripts."""
    article = page.find("article") or page
    hidden = {"pre", "code", "script", "style"}
    strings = (s for s in article.find_all(string=True) if not hidden & {p.name for p in s.parents})
    return [str(s) for s in strings if not any("math" in (p.get("class") or []) for p in s.parents)]


def raw_markup(page: BeautifulSoup) -> list[str]:
    """Directives, roles and fences that were shown instead of rendered."""
    return [text.strip()[:80] for text in readable_text(page) if RAW.search(text)]


def unresolved(page: BeautifulSoup) -> list[str]:
    """What Sphinx could not resolve: its own error marks, and references that became no link."""
    marked = page.select(".problematic, .system-message")
    references = page.select("span.xref, em.xref.eq, .xref.std")
    dangling = [tag for tag in references if tag.find_parent("a") is None]
    return [str(tag)[:120] for tag in [*marked, *dangling]]


def poor_alternative_texts(page: BeautifulSoup) -> list[str]:
    """Pictures of the text without an alternative text, or with a file's name in its place."""
    article = page.find("article") or page
    texts = {str(tag.get("src"))[:80]: str(tag.get("alt") or "") for tag in article.find_all("img")}
    return [src for src, alt in texts.items() if len(alt) < 20 or FILE_NAME.match(alt)]


def remote_loads(page: BeautifulSoup) -> list[str]:
    """What the page asks another host for while it loads."""
    found = [
        str(tag.get(key, ""))
        for name, keys in LOADS.items()
        for tag in page.find_all(name)
        for key in keys
    ]
    for link in page.find_all("link"):
        if LOADING_LINKS & set(link.get("rel") or []):
            found.append(str(link.get("href", "")))
    styles = " ".join(tag.get_text() for tag in page.find_all("style"))
    return [address for address in found if REMOTE.match(address)] + REMOTE_IN_CSS.findall(styles)


def repeated_ids(page: BeautifulSoup) -> list[str]:
    """Identifiers that more than one element has, so that a link to them is ambiguous."""
    counted = Counter(str(tag["id"]) for tag in page.find_all(id=True))
    return [name for name, count in counted.items() if count > 1]


def nameless(page: BeautifulSoup) -> list[str]:
    """What a page must say about itself."""
    html = page.find("html")
    lacks_language = not (isinstance(html, Tag) and html.get("lang"))
    lacks_title = page.title is None or not page.title.get_text(strip=True)
    headings = len((page.find("article") or page).find_all("h1"))
    complaints = ["no language"] * lacks_language + ["no title"] * lacks_title
    return complaints + [f"{headings} first-level headings"] * (headings != 1)


GUARDS: list[Guard] = [
    raw_markup,
    unresolved,
    poor_alternative_texts,
    remote_loads,
    repeated_ids,
    nameless,
]
BAD = {
    raw_markup: "<article><p>:::{note}</p></article>",
    unresolved: '<article><span class="xref std std-ref">nowhere</span></article>',
    poor_alternative_texts: '<article><img src="a.png" alt="_images/0123456789ab.png"></article>',
    remote_loads: '<script src="https://example.org/a.js"></script>',
    repeated_ids: '<p id="a"></p><p id="a"></p>',
    nameless: "<html><body><h1>one</h1></body></html>",
}


def is_redirect(page: BeautifulSoup) -> bool:
    """Whether this is the page that leads from the folder to the book's first page."""
    return page.find("meta", attrs={"http-equiv": "Refresh"}) is not None


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_guard_passes_on_every_page(guard: Guard, pages: Pages, site: Path) -> None:
    complaints = {
        str(path.relative_to(site)): found
        for path, page in pages.items()
        if not is_redirect(page) and (found := guard(page))
    }
    assert complaints == {}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_guard_complains_about_a_bad_page(guard: Guard) -> None:
    assert guard(parse(BAD[guard])) != []


def test_every_page_of_the_contents_is_built(root: Path, site: Path) -> None:
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    names = list(common.toc_files(contents))
    assert [name for name in names if not (site / f"{name}.html").exists()] == []


def test_the_sidebar_of_every_page_has_the_whole_contents(
    root: Path, site: Path, pages: Pages
) -> None:
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    wanted = [site / f"{name}.html" for name in common.toc_files(contents)]
    for path, page in pages.items():
        if is_redirect(page):
            continue
        links = [str(tag["href"]) for tag in page.select(".bd-links li[class*=toctree] > a")]
        found = [path if link == "#" else (path.parent / link).resolve() for link in links]
        assert found == wanted, path


def anchors(page: BeautifulSoup) -> set[str]:
    """What a link may name after its #."""
    named = {str(tag["name"]) for tag in page.find_all("a", attrs={"name": True})}
    return named | {str(tag["id"]) for tag in page.find_all(id=True)}


def dead_links(path: Path, pages: Pages, known: dict[Path, set[str]]) -> list[str]:
    """Links of one page that lead to no file of the site, or to no anchor of it."""
    dead = []
    for tag in pages[path].find_all("a", href=True):
        link = urlsplit(str(tag["href"]))
        if link.scheme or link.netloc:
            continue
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        if not target.exists():
            dead.append(f"{tag['href']} (no such file)")
        elif link.fragment and target in known and unquote(link.fragment) not in known[target]:
            dead.append(f"{tag['href']} (no such anchor)")
    return dead


def test_every_link_inside_the_book_leads_somewhere(pages: Pages, site: Path) -> None:
    known = {path: anchors(page) for path, page in pages.items()}
    dead = {
        str(path.relative_to(site)): found
        for path in pages
        if (found := dead_links(path, pages, known))
    }
    assert dead == {}


def test_dead_links_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        "<a href='b.html'>b</a> <a href='#c'>c</a> <a href='#d'>d</a> <p id='d'>", encoding="utf-8"
    )
    page = parse(path.read_text(encoding="utf-8"))
    dead = dead_links(path, {path: page}, {path: anchors(page)})
    assert dead == ["b.html (no such file)", "#c (no such anchor)"]


def test_style_sheets_load_nothing_from_other_hosts(site: Path) -> None:
    sheets = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    remote = {
        str(path): found for path, text in sheets.items() if (found := REMOTE_IN_CSS.findall(text))
    }
    assert sheets
    assert remote == {}


def test_every_formula_reaches_the_renderer_whole(pages: Pages) -> None:
    """A formula is an element of class math whose text begins with the renderer's mark."""
    formulas = [tag for page in pages.values() for tag in page.select("span.math, div.math")]
    assert len(formulas) > 50
    broken = [tag.get_text()[:60] for tag in formulas if not MATH_MARK.search(tag.get_text())]
    assert broken == []


def test_the_folder_leads_to_the_first_page(root: Path, site: Path) -> None:
    first = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["root"]
    refresh = parse((site / "index.html").read_text(encoding="utf-8")).find("meta")
    assert isinstance(refresh, Tag)
    assert str(refresh["content"]).endswith(f"url={first}.html")


def test_pages_and_the_site_stay_light(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.is_file() and path != site / PDF]
    sizes = {path: path.stat().st_size for path in files}  # without what `make pdf` adds
    heavy = {
        str(path): size
        for path, size in sizes.items()
        if path.suffix == ".html" and size > PAGE_BUDGET
    }
    assert heavy == {}
    assert sum(sizes.values()) < SITE_BUDGET


def test_chapters_have_a_button_that_opens_them_on_colab(
    root: Path, site: Path, pages: Pages
) -> None:
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    repository = urlsplit(config["repository"]["url"]).path.strip("/")
    branch = config["sphinx"]["config"]["published_branch"]
    chapters = sorted((root / "notebooks").glob("*.ipynb"))
    assert chapters
    for chapter in chapters:
        address = f"https://colab.research.google.com/github/{repository}/blob/{branch}/colab/{chapter.name}"
        page = pages[site / "notebooks" / f"{chapter.stem}.html"]
        assert page.find("a", href=address) is not None
        assert (site / "colab" / chapter.name).exists()


# ---- what a page loads


def idle_scripts(page: BeautifulSoup) -> list[str]:
    """Scripts that a page has no use for, and icons that are left to a script."""
    scripts = [str(tag.get("src", "")) for tag in page.find_all("script")]
    has_formula = page.select_one(".math") is not None
    found = [
        src for src in scripts if "fontawesome" in src or ("mathjax" in src and not has_formula)
    ]
    return found + [str(tag)[:80] for tag in page.select("i[class*=fa-], span[class*=fa-]")]


def eager_pictures(page: BeautifulSoup) -> list[str]:
    """Pictures of the text that are loaded at once, or whose size is not known before."""
    article = page.find("article")
    pictures = article.find_all("img") if isinstance(article, Tag) else []
    lacking = [
        tag
        for tag in pictures
        if tag.get("loading") != "lazy"
        or (str(tag["src"]).endswith(".png") and not (tag.get("width") or tag.get("style")))
    ]
    return [str(tag)[:120] for tag in lacking]


def silent(page: BeautifulSoup) -> list[str]:
    """What a page should say to search engines, and to those with whom it is shared."""
    wanted = ["og:title", "og:url", "og:site_name", "og:image", "og:description"]
    found = {str(tag.get("property")): tag.get("content") for tag in page.find_all("meta")}
    description = page.find("meta", attrs={"name": "description"})
    text = str(description.get("content", "")) if isinstance(description, Tag) else ""
    viewports = len(page.find_all("meta", attrs={"name": "viewport"}))
    complaints = [name for name in wanted if not found.get(name)]
    complaints += ["description"] * (len(text) < 40) + ["viewport"] * (viewports != 1)
    return complaints


def of_the_contents(root: Path, site: Path) -> list[Path]:
    """The files of the pages that the table of contents names."""
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [site / f"{name}.html" for name in common.toc_files(contents)]


@pytest.mark.parametrize("guard", [idle_scripts, eager_pictures], ids=lambda guard: guard.__name__)
def test_pages_load_nothing_idle(guard: Guard, pages: Pages, site: Path) -> None:
    chosen = {path: page for path, page in pages.items() if not is_redirect(page)}
    complaints = {str(path): found for path, page in chosen.items() if (found := guard(page))}
    assert complaints == {}


def test_pages_describe_themselves(root: Path, site: Path, pages: Pages) -> None:
    found = {path.name: silent(pages[path]) for path in of_the_contents(root, site)}
    texts = {path: None for path in found if found[path]}
    assert texts == {}, found


def test_idle_eager_and_silent_pages_are_noticed() -> None:
    bad = parse(
        "<script src='a/mathjax/b.js'></script><i class='fa-solid fa-bars'></i>"
        "<article><img src='a.png' loading='lazy'></article>"
    )
    assert len(idle_scripts(bad)) == 2
    assert len(eager_pictures(bad)) == 1
    assert "description" in silent(bad)


def test_the_folder_holds_nothing_that_no_page_loads(site: Path) -> None:
    left = [*site.rglob("*.map"), *site.rglob("fontawesome*.js"), *site.rglob("fa-*")]
    assert left == []
    texts = (path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not any("fontawesome/webfonts" in text for text in texts)


# ---- what there is to take along


def test_the_footer_says_whose_and_of_when(root: Path, site: Path, pages: Pages) -> None:
    for path in of_the_contents(root, site):
        footer = pages[path].select_one("footer.bd-footer-content")
        assert footer is not None
        text = footer.get_text()
        assert "CC BY 4.0" in text
        assert "BSD 3-Clause" in text
    if (root / ".git").exists():
        time = pages[site / "book" / "start.html"].select_one("footer time")
        assert time is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(time["datetime"]))


def test_the_archive_has_the_site(site: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(site / "irl-book.zip") as archive:
        names = {name.removeprefix("irl-book/") for name in archive.namelist()}
        start = archive.read("irl-book/book/start.html").decode("utf-8")
        copy = archive.read("irl-book/notebooks/04_maximum_entropy.html")
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert files - names <= {"irl-book.zip", "irl-book.pdf", "404.html", ".nojekyll"}
    assert names <= files
    assert copy == (site / "notebooks" / "04_maximum_entropy.html").read_bytes()
    link = parse(start).find("a", href=re.compile(r"irl-book\.zip$"))
    assert isinstance(link, Tag)
    assert str(link["href"]).startswith("https://")


def test_the_first_page_links_what_there_is_to_take_along(site: Path, pages: Pages) -> None:
    start = pages[site / "book" / "start.html"]
    assert start.find("a", href="../irl-book.zip") is not None
    has_pdf = (site / "irl-book.pdf").exists()
    assert (start.find("a", href="../irl-book.pdf") is not None) == has_pdf


def test_the_line_of_the_pdf_comes_and_stays_once(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    start = tmp_path / "book" / "start.html"
    start.write_text(f"<ul>{pdf_line(tmp_path)}</ul>", encoding="utf-8")
    assert "irl-book.pdf" not in start.read_text("utf-8")
    (tmp_path / "irl-book.pdf").write_bytes(b"0" * 2_000_000)
    for _ in range(2):
        link_from_start(tmp_path)
    assert start.read_text("utf-8").count("irl-book.pdf") == 1
    assert "2 MB" in start.read_text("utf-8")


def test_the_page_of_lost_readers_works_under_any_address(root: Path, site: Path) -> None:
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    path = urlsplit(config["html"]["baseurl"]).path
    page = parse((site / "404.html").read_text(encoding="utf-8"))
    tags = page.find_all(["link", "script", "a", "img", "form"])
    addresses = [
        str(tag.get(key)) for tag in tags for key in ("href", "src", "action") if tag.get(key)
    ]
    inside = [a for a in addresses if not re.match(r"https?:|#|data:", a)]
    assert len(inside) > 20
    assert [address for address in inside if not address.startswith(f"{path}/")] == []
    targets = [site / urlsplit(address).path.removeprefix(f"{path}/") for address in inside]
    assert [str(target) for target in targets if not target.exists()] == []


# ---- chapters


def test_chapters_offer_their_plain_notebook(root: Path, site: Path, pages: Pages) -> None:
    for chapter in sorted((root / "notebooks").glob("*.ipynb")):
        page = pages[site / "notebooks" / f"{chapter.stem}.html"]
        button = page.select_one("a.btn-download-source-button")
        assert button is not None
        assert button["href"] == f"../colab/{chapter.name}"
    assert not (site / "_sources").exists()


def test_every_chapter_asks_five_questions_before_its_exercises(
    root: Path, pages: Pages, site: Path
) -> None:
    asked = yaml.safe_load((root / "book" / "quiz.yml").read_text(encoding="utf-8"))
    for name, questions in asked.items():
        page = pages[site / "notebooks" / f"{name}.html"]
        section = page.select_one("section#check-your-understanding")
        assert section is not None, name
        assert len(section.select("ol.quiz-choices")) == len(questions) == 5
        answers = section.select("details.quiz-answer")
        assert len(answers) == 5
        assert not any(answer.has_attr("open") for answer in answers)
        letters = [answer.find("strong").get_text().strip(". ") for answer in answers]
        assert letters == ["ABCDEFGH"[question["right"] - 1] for question in questions]
        following = section.find_next_sibling("section")
        assert isinstance(following, Tag)
        assert following["id"] in ("exercises", "references")


def test_every_chapter_of_the_lecture_has_questions(root: Path) -> None:
    asked = yaml.safe_load((root / "book" / "quiz.yml").read_text(encoding="utf-8"))
    chapters = {chapter.name for chapter in common.chapters(root)}
    assert set(asked) <= chapters
    assert {name for name in chapters if not name.startswith("10")} <= set(asked)
    for name, questions in asked.items():
        for question in questions:
            assert set(question) == {"ask", "choices", "right", "because"}, name
            assert 1 <= question["right"] <= len(question["choices"])
            assert len(set(question["choices"])) == len(question["choices"]) >= 3
