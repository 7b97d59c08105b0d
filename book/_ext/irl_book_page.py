"""Sphinx extension: what a page loads, and when; what it says of itself to those who link to it.

Every page goes through `polish` when its template is filled in, text to text:

* The theme's icons come with 1.5 MB of script and 300 KB of fonts that hold up the first picture.
  The few that the pages show are put there as SVG, taken from that same script.
* Pictures are loaded when they come near, and have their size, so that nothing moves meanwhile.
* MathJax typesets what comes near; pages without a formula do not load it.
* What repeats in a page without being part of its text (the marks beside headings, the buttons that
  copy code) is left out of the order of tabs; folded code is called what it says.
* A description, for search engines and for those who share a link.

After the build, style sheets lose the fonts of the icons, and the folder what no page loads.
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from irl_book_search import plain_text

logger = logging.getLogger(__name__)

BEFORE_ARCHIVES = 300
ICONS = (
    Path(pydata_sphinx_theme.__file__).parent
    / "theme/pydata_sphinx_theme/static/scripts/fontawesome.js"
)
OTHER_NAMES = {"pencil-alt": "pencil"}
ICON = re.compile(
    r"<(?P<tag>i|span) class=\"(?P<classes>[^\"]*\bfa[bs]?\b[^\"]*|[^\"]*\bfa-[^\"]*)\""
    r"(?P<rest>[^>]*)>\s*</(?P=tag)>"
)
DRAWING = r'[{,]"?%s"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]'
ICON_SCRIPT = re.compile(
    r"\s*<!-- So that users can add custom icons -->\s*"
    r"<script src=\"[^\"]*fontawesome\.js[^>]*></script>"
)
FORMULA_SCRIPTS = re.compile(
    r"\s*<script>window\.MathJax = .*?</script>"
    r"|\s*<script defer=\"defer\" src=\"[^\"]*mathjax/[^>]*></script>"
)
VIEWPORT = re.compile(r"\s*<meta name=\"viewport\"[^>]*>")
ONE_VIEWPORT = '\n    <meta name="viewport" content="width=device-width, initial-scale=1" />'
ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
PICTURE = re.compile(r"<img (?P<attributes>[^>]*?)\s*/?>")
FIXED = re.compile(r"style=\"width: (\d+)px; height: (\d+)px;\"")
SOURCE = re.compile(r"\bsrc=\"(?P<path>[^\"]+)\"")
SPY = re.compile(r" data-bs-(?:spy|root-margin)=\"[^\"]*\"")
FONT_FACE = re.compile(r"@font-face\{[^{}]*fontawesome[^{}]*\}")
SOURCE_MAP = re.compile(r"\n?(?://# sourceMappingURL=\S+|/\*# sourceMappingURL=[^*]*\*/)")
UNUSED = (
    "scripts/fontawesome.js",
    "vendor/fontawesome",
    "webpack-macros.html",
    "sbt-webpack-macros.html",
)
PNG = b"\x89PNG\r\n\x1a\n"
DESCRIPTION = 160  # characters, about what a search engine shows


# ---- icons


@cache
def drawing(name: str) -> tuple[int, int, str]:
    """An icon's width, height and outline, as the theme's script has them.

    Raises:
        KeyError: for a name that the script does not have.
    """
    found = re.search(DRAWING % re.escape(OTHER_NAMES.get(name, name)), icon_script())
    if found is None:
        raise KeyError(name)
    return int(found[1]), int(found[2]), found[3]


@cache
def icon_script() -> str:
    """The theme's script of icons."""
    return ICONS.read_text(encoding="utf-8")


def icon(match: re.Match[str]) -> str:
    """An element that the theme's script would turn into an icon, as that icon."""
    classes = match["classes"].split()
    sizes = {"fa-lg"}
    names = [c for c in classes if c.startswith("fa-") and c not in sizes | STYLES]
    width, height, outline = drawing(names[0].removeprefix("fa-"))
    kept = [c for c in classes if not c.startswith("fa")]
    large = ["icon-large"] if sizes & set(classes) else []
    title = re.search(r"title=\"([^\"]*)\"", match["rest"])
    mode = re.search(r"data-mode=\"[^\"]*\"", match["rest"])
    return (
        f'<svg class="{" ".join(["icon", *large, *kept])}" {mode[0] + " " if mode else ""}'
        f'viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">'
        f"{f'<title>{title[1]}</title>' if title else ''}"
        f'<path fill="currentColor" d="{outline}"/></svg>'
    )


STYLES = {"fa-solid", "fa-regular", "fa-brands", "fa"}


# ---- pictures


def png_size(path: Path) -> tuple[int, int] | None:
    """The width and height of a PNG file; none of any other."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or not head.startswith(PNG):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def picture(match: re.Match[str], files: Mapping[str, Path]) -> str:
    """A picture that is loaded when it comes near; with its size, where it or its file has one.

    As attributes and not as a style, which a narrow page could not make smaller.
    """
    attributes = FIXED.sub(r'width="\1" height="\2"', match["attributes"])
    if "loading=" not in attributes:
        attributes += ' loading="lazy" decoding="async"'
    source = SOURCE.search(attributes)
    path = files.get(source["path"].rpartition("/")[2]) if source else None
    size = png_size(path) if path and not re.search(r"\b(?:width|style)=", attributes) else None
    if size:
        attributes += f' width="{size[0]}" height="{size[1]}"'
    return f"<img {attributes} />"


# ---- the page


def polish(page: str, files: Mapping[str, Path] | None = None) -> str:
    """A page as it is published.

    Args:
        page: its HTML, as the theme's templates make it.
        files: the pictures of the site, by the names that they have there.
    """
    page = ICON.sub(icon, ICON_SCRIPT.sub("", page))
    page = VIEWPORT.sub("", page).replace(
        '<meta charset="utf-8" />', '<meta charset="utf-8" />' + ONE_VIEWPORT, 1
    )
    page = SPY.sub("", page)
    if 'class="math' not in page:
        page = FORMULA_SCRIPTS.sub("", page)
    page = page.replace('<a class="headerlink" ', '<a class="headerlink" tabindex="-1" ')
    page = page.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    lazily = partial(picture, files=files or {})
    return ARTICLE.sub(lambda article: PICTURE.sub(lazily, article[0]), page)


def polish_all(app: Sphinx) -> None:
    """Let every page of the builder go through `polish`."""
    if app.builder.name != "html":
        return
    render: Callable[[str, dict[str, Any]], str] = app.builder.templates.render
    files: dict[str, Path] = {}

    def rendered(template: str, context: dict[str, Any]) -> str:
        if not files:
            named = app.env.images.items()
            files.update({file: Path(app.srcdir, path) for path, (_, file) in named})
        made = render(template, context)
        return polish(made, files) if made.lstrip().startswith("<!DOCTYPE html>") else made

    app.builder.templates.render = rendered


# ---- what it says of itself


def described(doctree: nodes.document) -> str:
    """The first sentences of a page, as many as a search engine shows; at least one."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join("".join(plain_text(paragraph)).split())
            sentences = re.split(r"(?<=[.?!:]) ", text)
            chosen = sentences[0]
            for sentence in sentences[1:]:
                if len(chosen) + len(sentence) >= DESCRIPTION:
                    break
                chosen += f" {sentence}"
            if len(chosen) > 40:
                return chosen
    return ""


def add_description(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Put the description of a page into its head, for search engines and for shared links."""
    text = described(doctree) if doctree is not None else ""
    url = f"{app.config.html_baseurl.rstrip('/')}"
    title = re.sub(r"<[^>]*>", "", str(context.get("title", "")))
    properties = {
        "og:title": html.unescape(title),
        "og:type": "article" if pagename.startswith("notebooks/") else "website",
        "og:url": f"{url}/{pagename}.html",
        "og:site_name": app.config.html_title or app.config.project,
        "og:description": text,
        "og:image": f"{url}/_static/page.png",
    }
    if doctree is None:
        return
    lines = [f'<meta name="description" content="{html.escape(text)}" />'] if text else []
    lines += [
        f'<meta property="{name}" content="{html.escape(value)}" />'
        for name, value in properties.items()
        if value
    ]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


# ---- the folder


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Take from the folder what no page loads, and from style sheets and scripts what names it."""
    if exception is not None or app.builder.name != "html":
        return
    static = Path(app.outdir, "_static")
    for path in [*static.rglob("*.map"), *(static / name for name in UNUSED)]:
        if path.is_dir():
            for each in sorted(path.rglob("*"), reverse=True):
                each.rmdir() if each.is_dir() else each.unlink()
            path.rmdir()
        elif path.exists():
            path.unlink()
    for path in [*static.rglob("*.css"), *static.glob("scripts/*.js")]:
        text = path.read_text(encoding="utf-8")
        lighter = SOURCE_MAP.sub("", FONT_FACE.sub("", text))
        if lighter != text:
            path.write_text(lighter, encoding="utf-8")


def configure(app: Sphinx, config: Any) -> None:
    """Show the headings of two levels in a page's contents."""
    config.html_theme_options["show_toc_level"] = 2


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handlers."""
    app.connect("config-inited", configure, priority=900)
    app.connect("builder-inited", polish_all)
    app.connect("html-page-context", add_description, priority=800)
    app.connect("build-finished", lighten, priority=BEFORE_ARCHIVES)
    app.add_js_file("irl-book.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
