"""Sphinx extension: the book to take along, a page for lost readers, the footer's date.

* ``irl-book.zip`` has the whole site, to be read from a disk; the same pages make the same archive.
* ``{downloads}`` lists what there is to take along.  The PDF is made after the build, by
  ``make pdf``, which puts its line in the place that the directive leaves for it.
* ``404.html`` is shown under any address, so it has no relative address in it.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

LAST = 900
ARCHIVE = "irl-book.zip"
PDF = "irl-book.pdf"
NOT_PACKED = {ARCHIVE, PDF, "404.html", ".nojekyll"}
PACKED_ALREADY = {".png", ".woff", ".woff2", ".whl", ".jpg"}
EPOCH = (2020, 1, 1, 0, 0, 0)
PDF_PLACE = "<!-- the book as one PDF -->"
PDF_LINE = (
    '<li class="pdf"><p><a class="reference external" href="../{name}">One PDF of the book</a>,'
    " {size}, solutions at the end.</p></li>"
)
ARCHIVE_LINE = (
    f'<li><p><a class="reference external" href="../{ARCHIVE}">All pages in one archive</a>,'
    " to be unpacked and read without a connection.</p></li>"
)
LINK = re.compile(rf'href="(?:\.\./)*({re.escape(ARCHIVE)}|{re.escape(PDF)})"')
RELATIVE = re.compile(
    r'(?P<before>\b(?:href|src|action)=")(?!https?:|#|/|data:|mailto:)(?P<path>[^"]*")'
)


class download_place(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes in lower case
    """Where the list of what there is to take along stands."""


def size(path: Path) -> str:
    """A file's size, for a reader."""
    return f"{path.stat().st_size / 1e6:.0f} MB"


def pdf_line(out: Path) -> str:
    """The line of the PDF where it was made; else a mark of its place."""
    path = out / PDF
    return PDF_LINE.format(name=PDF, size=size(path)) if path.is_file() else PDF_PLACE


def visit_downloads(translator: Any, node: download_place) -> None:
    """Write the list."""
    lines = ARCHIVE_LINE + pdf_line(Path(translator.builder.outdir))
    translator.body.append(f'<ul class="simple downloads">{lines}</ul>')
    raise nodes.SkipNode


class Downloads(SphinxDirective):
    """``{downloads}``: the archive, and the PDF where there is one."""

    def run(self) -> list[nodes.Node]:
        """Leave a place; what there is is known when the page is written."""
        self.env.note_reread()
        return [download_place()]


# ---- the date of the sources


def last_change(root: Path) -> str:
    """The day of the last commit; nothing where there is no history."""
    command = ["git", "log", "-1", "--format=%cs"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def configure(app: Sphinx, config: Config) -> None:
    """Let the footer know the date."""
    config.html_context["last_change"] = last_change(Path(app.srcdir))


# ---- 404


def rooted(page: str, base: str) -> str:
    """A page with the whole address in the place of each relative one.

    Args:
        page: its HTML.
        base: where the site is; its path alone is used, so that a copy on another host works.
    """
    path = re.sub(r"^https?://[^/]*", "", base).rstrip("/") + "/"
    page = page.replace('data-content_root="./"', f'data-content_root="{path}"')
    return RELATIVE.sub(
        lambda match: f"{match['before']}{path}{match['path'].removeprefix('./')}", page
    )


def lost_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The page for addresses that lead nowhere."""
    yield "404", {"title": "No such page"}, "404.html"


def root_lost_page(app: Sphinx) -> None:
    """Give the page that is shown under any address whole addresses."""
    path = Path(app.outdir, "404.html")
    text = path.read_text(encoding="utf-8")
    path.write_text(rooted(text, app.config.html_baseurl), encoding="utf-8")


# ---- the archive


def packed(path: Path, address: str) -> bytes:
    """A file as the archive has it: what is not in the archive is on the site."""
    content = path.read_bytes()
    if path.name == "start.html":
        content = LINK.sub(rf'href="{address}/\1"', content.decode()).encode()
    return content


def pack(out: Path, address: str) -> Path:
    """Pack the site; equal sites make equal archives."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    chosen = [path for path in paths if path.relative_to(out).as_posix() not in NOT_PACKED]
    with zipfile.ZipFile(out / ARCHIVE, "w") as archive:
        for path in chosen:
            info = zipfile.ZipInfo(f"irl-book/{path.relative_to(out).as_posix()}", EPOCH)
            info.external_attr = 0o644 << 16
            kind = zipfile.ZIP_STORED if path.suffix in PACKED_ALREADY else zipfile.ZIP_DEFLATED
            archive.writestr(info, packed(path, address), kind, 6)
    return out / ARCHIVE


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Complete the folder: after everything else that is in it."""
    if exception is None and app.builder.name == "html":
        root_lost_page(app)
        pack(Path(app.outdir), app.config.html_baseurl.rstrip("/"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and the handlers."""
    app.add_node(download_place, html=(visit_downloads, None))
    app.add_directive("downloads", Downloads)
    app.connect("config-inited", configure, priority=900)
    app.connect("html-collect-pages", lost_page)
    app.connect("build-finished", finish, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
