"""Makes one PDF of the built pages: ``make pdf``, after ``make book``.

The pages of the table of contents become one document, in order, with links between them that stay
inside it; Chromium prints it, with an outline of all headings and a number on each page.  Solutions
and the answers of the questions come last.  The pages of the package are left out: who looks up a
function is at a computer.

The browser is Debian's Chromium, or what ``CHROMIUM`` names.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import irl_book_archive as archive  # noqa: E402 - its folder is known from here on
import irl_book_common as common  # noqa: E402

LEFT_OUT = ("book/api", "book/status")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SHEETS = re.compile(r'<link [^>]*rel="stylesheet"[^>]*>')
NUMBER = (
    '<div style="width: 100%; font: 8pt sans-serif; text-align: center; color: #444">'
    '<span class="pageNumber"></span></div>'
)
MARGINS = {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}
HIDDEN = "a.headerlink, .copybtn, #searchbox, script, button, nav"
DOCUMENT = Template("""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head>
<meta charset="utf-8">
<title>$title</title>
$sheets
<style>
body { background: #fff; }
.bd-article { display: block !important; padding: 0 !important; }
section.page, .contents { break-before: page; }
section.page h1 { font-size: 22pt; margin-top: 0; padding-top: 1px; }
.cover { padding-top: 60mm; text-align: center; }
.cover .title { font-size: 26pt; }
.contents li { list-style: none; margin: .2em 0; }
</style>
<script>window.MathJax = {options: {enableMenu: false, processHtmlClass: "math"}}</script>
<script defer src="$mathjax"></script>
</head>
<body><main class="bd-content">
<section class="cover">
<p class="title">$title</p><p>$date</p><p><a href="$address">$address</a></p>
</section>
$pages
</main></body></html>
""")


class Book:
    """The pages, and where each is in the one document."""

    def __init__(self, site: Path, names: Iterable[str]) -> None:
        """Note the pages' places."""
        self.site = site
        self.places = {name: f"page-{i}" for i, name in enumerate(names)}
        self.titles: dict[str, str] = {}
        self.solutions: list[str] = []
        config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        self.title, self.address = str(config["title"]), str(config["html"]["baseurl"])

    def article(self, name: str) -> Tag:
        """The text of a page, with what it refers to where that is in the one document."""
        text = (self.site / f"{name}.html").read_text(encoding="utf-8")
        article = re.search(r"<article\b.*?</article>", text, re.DOTALL)
        if article is None:
            raise ValueError(f"{name}.html has no article")
        found = BeautifulSoup(article[0], "html.parser").article
        for each in found.select(HIDDEN):
            each.decompose()
        for each in found.find_all(id=True):
            each["id"] = f"{self.places[name]}-{each['id']}"
        for each in found.find_all("a", href=True):
            each["href"] = self.link(name, str(each["href"]))
        for each in found.find_all("img", src=True):
            each["src"] = self.file(name, str(each["src"]))
            each["loading"] = "eager"
        heading = found.find("h1")
        self.titles[name] = heading.get_text() if heading else name
        self.put_solutions_last(name, found)
        return found

    def file(self, name: str, path: str) -> str:
        """A picture's address."""
        here = (self.site / name).parent / unquote(path)
        return path if urlsplit(path).scheme else here.resolve().as_uri()

    def link(self, name: str, address: str) -> str:
        """Where a link of a page leads: in the one document, or on the site where it leads out."""
        parts = urlsplit(address)
        if parts.scheme:
            return address
        path = (
            posixpath.normpath(posixpath.join(posixpath.dirname(name), parts.path))
            if parts.path
            else f"{name}.html"
        )
        place = self.places.get(path.removesuffix(".html"))
        if place is None:
            anchor = f"#{parts.fragment}" if parts.fragment else ""
            return f"{self.address}/{path}{anchor}"
        return f"#{place}-{parts.fragment}" if parts.fragment else f"#{place}"

    def put_solutions_last(self, name: str, article: Tag) -> None:
        """Take the solutions and the answers out of a page, and leave a link to each."""
        taken = article.select("div.solution, details.quiz-answer")
        if taken:
            self.solutions.append(f"<h2>{self.titles[name]}</h2>")
        number = 0
        for each in taken:
            identifier = f"{self.places[name]}-solution-{len(self.solutions)}"
            link = BeautifulSoup(f'<p><a href="#{identifier}">Solution</a></p>', "html.parser")
            each.replace_with(link)
            if each.name == "details":
                number += 1
                each.summary.decompose()
                head = f"<p><em>Check your understanding, {number}</em></p>"
                inside = each.decode_contents()
            else:
                head, inside = "", str(each)
            self.solutions.append(f'<div id="{identifier}">{head}{inside}</div>')

    def sheets(self) -> str:
        """The site's style sheets."""
        start = (self.site / "book" / "start.html").read_text(encoding="utf-8")
        found = "\n".join(SHEETS.findall(start))
        return found.replace('"../', f'"{self.site.resolve().as_uri()}/')

    def contents(self) -> str:
        """The list of the pages, each a link."""
        titles = {self.places[name]: title for name, title in self.titles.items()}
        titles["solutions"] = "Solutions"
        entries = (f'<li><a href="#{place}">{title}</a></li>' for place, title in titles.items())
        return f'<section class="contents"><h1>Contents</h1><ul>{"".join(entries)}</ul></section>'

    def pages(self) -> str:
        """All pages in order, the list of them first and the solutions last."""
        articles = {self.places[name]: self.article(name) for name in self.places}
        last = f'<article class="bd-article"><h1>Solutions</h1>{"".join(self.solutions)}</article>'
        parts = [*articles.items(), ("solutions", last)]
        whole = (f'<section class="page" id="{place}">{part}</section>' for place, part in parts)
        return self.contents() + "".join(whole)

    def document(self) -> str:
        """The whole, as HTML."""
        return DOCUMENT.substitute(
            title=self.title,
            sheets=self.sheets(),
            mathjax=(self.site / "_static/mathjax/tex-chtml-full.js").resolve().as_uri(),
            date=archive.last_change(ROOT),
            address=self.address,
            pages=self.pages(),
        )


def print_pdf(page: Path, pdf: Path) -> None:
    """Print a document when its formulas are typeset and its pictures are there.

    Raises:
        RuntimeError: where there is no browser, or a picture is missing.
    """
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise RuntimeError("there is no Chromium: install it, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        opened = browser.new_page()
        opened.set_default_timeout(0)
        opened.goto(page.resolve().as_uri(), wait_until="load")
        opened.evaluate(
            "async () => { await MathJax.startup.promise; await document.fonts.ready; }"
        )
        headings = opened.evaluate(
            "() => [...document.querySelectorAll('h1, h2, h3, h4')].map(each => each.textContent)"
        )
        missing = opened.evaluate(
            "() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
        )
        if missing:
            raise RuntimeError(f"pictures are missing: {missing[:3]}")
        opened.pdf(
            path=pdf,
            format="A4",
            margin=MARGINS,
            outline=True,
            tagged=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=NUMBER,
        )
        browser.close()
    mend_outline(pdf, headings)


def mend_outline(pdf: Path, headings: Iterable[str]) -> None:
    """Put back the spaces that Chromium drops where a heading goes over two lines."""
    right = {"".join(each.split()): " ".join(each.split()) for each in headings}
    writer = PdfWriter(clone_from=pdf)
    for item in below(writer.root_object["/Outlines"].get_object()):
        title = str(item["/Title"])
        mended = right.get("".join(title.split()), title)
        item[NameObject("/Title")] = TextStringObject(mended)
    writer.write(pdf)


def below(item: DictionaryObject) -> Iterator[DictionaryObject]:
    """The entries of an outline that are below another, at any depth."""
    entry = item.get("/First")
    while entry is not None:
        found = entry.get_object()
        yield found
        yield from below(found)
        entry = found.get("/Next")


def make(site: Path, names: Iterable[str], pdf: Path) -> None:
    """One PDF of some pages of the site."""
    whole = site.parent / "print.html"
    whole.write_text(Book(site, names).document(), encoding="utf-8")
    print_pdf(whole, pdf)


def link_from_start(site: Path) -> None:
    """Put the line of the PDF into the list on the first page, unless it is there."""
    start = site / "book" / "start.html"
    text = start.read_text(encoding="utf-8")
    line = archive.pdf_line(site)
    start.write_text(
        re.sub(r'<li class="pdf">.*?</li>', line, text.replace(archive.PDF_PLACE, line)),
        encoding="utf-8",
    )


def main() -> None:
    """The PDF of the whole book, into the folder that is published."""
    site = ROOT / "_build" / "html"
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    names = [name for name in common.toc_files(contents) if not name.startswith(LEFT_OUT)]
    make(site, names, site / archive.PDF)
    link_from_start(site)
    print(f"The PDF: {site / archive.PDF} ({archive.size(site / archive.PDF)})")


if __name__ == "__main__":
    main()
