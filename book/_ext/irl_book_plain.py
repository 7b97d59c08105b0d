"""From the Markdown of this book, which is MyST's, to plain Markdown that renders anywhere.

Colab and GitHub show MyST's directives and roles as raw text.  Here directives become quotes, bold
headings and folded blocks, references become links into the site, and equations carry the number
that they have there.  What a page may refer to stands in tables (:class:`Book`), so that nothing
here has to know how the site was made.  What has no translation is an
:class:`UntranslatableError`, rather than raw text for a reader.
"""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

QUOTED = {
    name: name.capitalize()
    for name in (
        "note",
        "tip",
        "warning",
        "important",
        "caution",
        "attention",
        "hint",
        "danger",
        "error",
    )
} | {"seealso": "See also", "margin": "", "epigraph": "", "pull-quote": "", "todo": ""}
TITLED = ("admonition", "sidebar", "topic", "card", "tab-item", "grid-item-card")
TRANSPARENT = ("div", "container", "tab-set", "grid", "grid-item", "card-carousel", "only")
DROPPED = ("contents", "tableofcontents", "raw", "index", "meta")

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})\s*(?:\{(?P<name>[^}\s]+)\})?(?P<rest>.*)$"
)
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
LABEL_LINE = re.compile(r"^ *\([^()\s]+\)=[ \t]*$\n?", re.MULTILINE)
COMMENT_LINE = re.compile(r"^%.*$\n?", re.MULTILINE)
BREAK_LINE = re.compile(r"^\+\+\+.*$\n?", re.MULTILINE)
ATTRIBUTE_LINE = re.compile(r"^ *\{[.#][^{}\n]*\}[ \t]*$\n?", re.MULTILINE)
DEFINITION = re.compile(r"^(?P<term>[^\s:|>#-][^\n]*)\n: +(?P<text>\S)", re.MULTILINE)
TARGETED = re.compile(r"^(?P<text>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
DISPLAY = re.compile(r"\$\$.+?\$\$", re.DOTALL)
INLINE = re.compile(
    r"""
    \{(?P<role>[A-Za-z][\w:+.-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)
    | (?P<code>(?P<open>`+)(?!`).+?(?<!`)(?P=open)(?!`))
    | (?P<display>\$\$(?P<body>.+?)\$\$(?:[ \t]*\((?P<label>[^()\s]+)\))?)
    | (?P<math>(?<![\\$])\$(?![\s$])(?:[^$\\]|\\.)+?\$)
    | (?P<bang>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]
      \((?P<target>[^()\s]*(?:\([^()]*\)[^()\s]*)*)\)(?:\{[^{}\n]*\})?
    """,
    re.VERBOSE | re.DOTALL,
)


PYTHON_ROLES = {"func", "class", "mod", "meth", "obj", "attr", "data", "exc"}
IN_BRACKETS = {"cite", "cite:p", "cite:ps"}
T = TypeVar("T")


class UntranslatableError(Exception):
    """A directive, a role or a reference that has no counterpart in plain Markdown."""


class Target(NamedTuple):
    """What a reference leads to."""

    address: str
    """On the site."""
    name: str
    """What a reference without words of its own says: ``(4.12)``, ``Fig. 4.5``, a heading."""
    number: str = ""
    """``4.12``; nothing where it has none."""


class Work(NamedTuple):
    """What a citation leads to."""

    address: str
    authors: str
    year: str


@dataclass(frozen=True)
class Book:
    """What one page may refer to, in tables."""

    page: str = ""
    """The page's own name, from which paths are meant."""
    labels: Mapping[str, Target] = field(default_factory=dict)
    pages: Mapping[str, Target] = field(default_factory=dict)
    objects: Mapping[str, Target] = field(default_factory=dict)
    """Of Python, by dotted names."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Their addresses, by their paths from the book's root."""
    citations: Mapping[str, Work] = field(default_factory=dict)
    works: Sequence[str] = ()
    """The works that the page cites, in Markdown."""

    def number(self, label: str) -> str:
        """The number that a labelled thing has on the site, or nothing."""
        return self.label(label).number

    def label(self, name: str) -> Target:
        """A labelled thing of any kind."""
        return found(self.labels, name if name in self.labels else name.lower(), "label")

    def reference(self, role: str, target: str, text: str) -> str:
        """A cross reference as Markdown; an empty text means the book's own."""
        if role.startswith("cite"):
            return self.citation(role, target)
        if role == "doc":
            address, name, _ = self.document(target)
            return f"[{text or name}]({address})"
        if role in ("eq", "math:numref", "ref", "numref", "prf:ref", "any"):
            address, name, number = self.label(target)
            return f"[{text.replace('%s', number) or name}]({address})"
        if role.removeprefix("py:") in PYTHON_ROLES:
            name = target.lstrip("~!.")
            short = name.rpartition(".")[2] if target.startswith("~") else name
            address = found(self.objects, name, "Python object").address
            return f"[`{text or short}`]({address})"
        raise UntranslatableError(f"the role {{{role}}}")

    def path(self, target: str) -> str:
        """A path from the book's root, of one from this page."""
        folder = "" if target.startswith("/") else posixpath.dirname(self.page)
        return posixpath.normpath(posixpath.join(folder, target.lstrip("/")))

    def document(self, target: str) -> Target:
        """The page that a path from this page means."""
        return found(self.pages, re.sub(r"\.(md|ipynb|rst)$", "", self.path(target)), "page")

    def link(self, target: str) -> tuple[str, str]:
        """The address of a Markdown link's target, and the text where the link has none."""
        path, _, anchor = target.partition("#")
        if path and (re.search(r"\.(md|ipynb|rst)$", path) or "/" in path):
            address, name, _ = self.document(path)
            return (f"{address}#{anchor}" if anchor else address), name
        return self.label(anchor or path)[:2]

    def image(self, path: str) -> str:
        """The address of an image."""
        if re.match(r"https?:", path):
            return path
        return found(self.images, self.path(path), "image")

    def citation(self, role: str, target: str) -> str:
        """Citations as ``Author (year)``, each a link to its entry in the list of references."""
        works = [found(self.citations, key.strip(), "citation") for key in target.split(",")]
        if role in IN_BRACKETS:
            made = [f"[{work.authors}, {work.year}]({work.address})" for work in works]
            return f"({'; '.join(made)})"
        return ", ".join(f"[{work.authors} ({work.year})]({work.address})" for work in works)


def found(table: Mapping[str, T], key: str, kind: str) -> T:
    """An entry of a table.

    Raises:
        UntranslatableError: where there is none.
    """
    if key not in table:
        raise UntranslatableError(f"the {kind} {key}")
    return table[key]


class Directive(NamedTuple):
    """A directive as it stands in the source, its body without options."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def quote(text: str) -> str:
    """A Markdown quote; display formulas on one line, since a ``>`` inside one would be shown."""
    flat = DISPLAY.sub(lambda match: " ".join(match[0].split()), text.strip())
    return "\n".join(f"> {line}".rstrip() for line in flat.split("\n"))


def details(summary: str, text: str) -> str:
    """A folded block."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text.strip()}\n\n</details>"


def options_of(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split a directive's lines into options and body."""
    found: dict[str, str] = {}
    if lines and lines[0].strip() == "---":
        end = lines.index("---", 1)
        pairs = (line.partition(":") for line in lines[1:end] if line.strip())
        return {key.strip(): value.strip() for key, _, value in pairs}, lines[end + 1 :]
    for position, line in enumerate(lines):
        match = OPTION.match(line)
        if match is None:
            return found, lines[position:]
        found[match[1]] = match[2].strip()
    return found, []


class Translator:
    """Turns the MyST Markdown of one cell into plain Markdown."""

    def __init__(self, book: Book) -> None:
        """Keep what is known of the rest of the book."""
        self.book = book

    def cell(self, text: str) -> str:
        """Translate a whole cell."""
        self.folds = "{solution-start}" in text and "{solution-end}" in text
        return self.blocks(text).strip("\n")

    def blocks(self, text: str) -> str:
        """Translate a piece of Markdown: fences one by one, and what is between them."""
        lines, result, plain = text.split("\n"), [], []
        position = 0
        while position < len(lines):
            match = FENCE.match(lines[position])
            if match is None:
                plain.append(lines[position])
                position += 1
                continue
            result.append(self.prose("\n".join(plain)))
            plain = []
            end = self.closing(lines, position, match)
            result.append(self.fenced(match, lines[position:end], lines[position + 1 : end - 1]))
            position = end
        result.append(self.prose("\n".join(plain)))
        return "\n".join(part for part in result if part)

    def closing(self, lines: list[str], start: int, match: re.Match[str]) -> int:
        """The index after the line that closes a fence."""
        mark = match["fence"]
        for position in range(start + 1, len(lines)):
            line = lines[position].strip()
            if len(line) >= len(mark) and set(line) == {mark[0]}:
                return position + 1
        raise UntranslatableError(f"a fence that nothing closes: {lines[start].strip()}")

    def fenced(self, match: re.Match[str], whole: list[str], inside: list[str]) -> str:
        """Translate one fence; a code block without a directive stays as it is."""
        indent = match["indent"]
        if match["name"] is None and match["fence"][0] != ":":
            return "\n".join(whole)
        lines = textwrap.dedent("\n".join(inside)).split("\n") if inside else []
        options, body = options_of(lines)
        directive = Directive(
            match["name"] or "div", match["rest"].strip(), options, "\n".join(body)
        )
        return textwrap.indent(self.directive(directive), indent)

    def directive(self, item: Directive) -> str:
        """Translate one directive; blank lines keep it apart from what is around it."""
        made = self.made_of(item)
        return f"\n{made}\n" if made else ""

    def made_of(self, item: Directive) -> str:
        """Find the translation of a directive by its name."""
        if item.name in QUOTED or item.name in TITLED or item.name == "dropdown":
            return self.box(item)
        if item.name in TRANSPARENT:
            return self.blocks(item.body)
        if item.name in DROPPED:
            return ""
        if item.name.startswith("prf:"):
            return self.statement(item)
        if item.name.partition("-")[0] in ("exercise", "solution"):
            return self.exercise(item)
        handler: Callable[[Directive], str] | None = getattr(
            self, f"_{item.name.replace('-', '_')}", None
        )
        if handler is None:
            raise UntranslatableError(f"the directive {{{item.name}}}")
        return handler(item)

    def box(self, item: Directive) -> str:
        """Admonitions, margin notes, cards: a quote with a bold title, or a folded block."""
        titled = item.name in TITLED or item.name == "dropdown"
        own_words = self.prose(item.argument)
        title = own_words if titled else QUOTED[item.name]
        body = self.blocks(item.body)
        if own_words and not titled:
            body = f"{own_words}\n{body}"
        if item.name == "dropdown" or "dropdown" in item.options.get("class", "").split():
            return details(title, body)
        return quote(f"**{title}**\n\n{body}" if title else body)

    def statement(self, item: Directive) -> str:
        """Theorems, definitions and proofs: a bold beginning, then the text."""
        kind = item.name.removeprefix("prf:").capitalize()
        body = self.blocks(item.body).strip("\n")
        if kind == "Proof":
            text = f"**Proof.** {body} $\\square$"
            folded = "dropdown" in item.options.get("class", "").split()
            return details("Proof", f"{body} $\\square$") if folded else text
        return f"**{self.headed(kind, item)}.**\n\n{body}"

    def headed(self, kind: str, item: Directive) -> str:
        """``Theorem 4.1 (Title)``, as much of it as there is."""
        number = self.book.number(item.options["label"]) if "label" in item.options else ""
        title = f"({self.prose(item.argument)})" if item.argument else ""
        return " ".join(part for part in (kind, number, title) if part)

    def exercise(self, item: Directive) -> str:
        """Exercises get a heading, solutions a fold, or a heading where cells lie within."""
        body = self.blocks(item.body).strip("\n")
        if item.name in ("exercise", "exercise-start"):
            return f"#### {self.headed('Exercise', item)}\n\n{body}".rstrip()
        if item.name == "exercise-end":
            return ""
        if item.name == "solution-end":
            return "</details>" if self.folds else "*End of the solution.*"
        title = f"Solution to Exercise {self.book.number(item.argument)}".rstrip()
        if item.name == "solution":
            return details(title, body)
        head = f"<details>\n<summary>{title}</summary>\n" if self.folds else f"#### {title}\n"
        return f"{head}\n{body}".rstrip()

    def _math(self, item: Directive) -> str:
        label = item.options.get("label", "")
        return self.formula("\n".join(part for part in (item.argument, item.body) if part), label)

    def _figure(self, item: Directive) -> str:
        picture = f"![{item.options.get('alt', '')}]({self.book.image(item.argument)})"
        caption = self.blocks(item.body).strip()
        return f"{picture}\n\n*{caption}*" if caption else picture

    def _image(self, item: Directive) -> str:
        return self._figure(item._replace(body=""))

    def _table(self, item: Directive) -> str:
        return f"**{self.prose(item.argument)}**\n\n{self.blocks(item.body)}"

    def _rubric(self, item: Directive) -> str:
        return f"**{self.prose(item.argument)}**"

    def _code_block(self, item: Directive) -> str:
        return f"```{item.argument}\n{item.body}\n```"

    def _code(self, item: Directive) -> str:
        return self._code_block(item)

    def _bibliography(self, item: Directive) -> str:
        return "\n".join(f"- {work}" for work in self.book.works)

    def prose(self, text: str) -> str:
        """Translate text that has no fences."""
        for pattern in (LABEL_LINE, COMMENT_LINE, BREAK_LINE, ATTRIBUTE_LINE):
            text = pattern.sub("", text)
        text = DEFINITION.sub(lambda match: f"**{match['term']}**: {match['text']}", text)
        return INLINE.sub(self.inline, text)

    def inline(self, match: re.Match[str]) -> str:
        """Translate a role, a labelled formula or a link; code and plain formulas stay."""
        if match["role"]:
            return self.role(match["role"], match["content"])
        if match["display"]:
            return self.formula(match["body"], match["label"] or "") if match["label"] else match[0]
        if match["code"] or match["math"]:
            return match[0]
        return self.linked(match)

    def linked(self, match: re.Match[str]) -> str:
        """Translate a Markdown link or image."""
        target, text = match["target"], self.prose(match["text"])
        if match["bang"]:
            return f"![{text}]({self.book.image(target)})"
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        address, fallback = self.book.link(target)
        return f"[{text or fallback}]({address})"

    def formula(self, body: str, label: str) -> str:
        """A display formula with the number that it has on the site."""
        number = self.book.number(label) if label else ""
        tag = f" \\tag{{{number}}}" if number else ""
        return f"$${body.rstrip()}{tag}\n$$" if "\n" in body else f"$${body.rstrip()}{tag} $$"

    def role(self, name: str, content: str) -> str:
        """Translate a role."""
        simple = {
            "math": "${}$", "code": "`{}`", "kbd": "`{}`", "file": "`{}`", "command": "`{}`",
            "sub": "<sub>{}</sub>", "sup": "<sup>{}</sup>", "subscript": "<sub>{}</sub>",
            "superscript": "<sup>{}</sup>", "strong": "**{}**", "emphasis": "*{}*",
            "abbr": "{}", "term": "{}",
        }  # fmt: skip
        if name in simple:
            return simple[name].format(content)
        match = TARGETED.match(content)
        if match:
            return self.book.reference(name, match["target"], self.prose(match["text"]))
        return self.book.reference(name, content.strip(), "")
