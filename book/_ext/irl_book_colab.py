"""Sphinx extension: each chapter once more, in a flavour that Colab and GitHub can render.

Colab and GitHub show MyST directives and roles as raw text.  After the build, `flavour` turns
each notebook into plain Markdown with the same code cells and the same stored outputs: directives
become quotes, bold headings and folded blocks, references become links into the site, equations
carry the number that they have there.  Two cells come first: where the page is, and a bootstrap
that installs the package on Colab and wherever else it is missing.  What has no translation is a
warning, and with ``-W`` a failed build, rather than raw text for a reader.
"""

from __future__ import annotations

import ast
import copy
import json
import posixpath
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote as quote_url

from docutils import nodes
from pybtex.plugin import find_plugin
from sphinx.application import Sphinx
from sphinx.util import logging

import irl_book_common as common
from irl_book_site import build_wheel, wheel_version

logger = logging.getLogger(__name__)

BOOTSTRAP = Template("""\
# On Colab, and wherever irl_lib is missing: install the package that this notebook was tested with.
import importlib.util
import sys

if "google.colab" in sys.modules or importlib.util.find_spec("irl_lib") is None:
    import os
    import subprocess

    site = os.environ.get("IRL_BOOK_SITE", "$site")
    wheel = f"{site}/wheels/$wheel"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"irl_lib could not be installed from {wheel}:\\n{done.stderr}\\n"
            f"In a terminal: {' '.join(pip)}"
        )
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split(".")[0] == "irl_lib"]:
        del sys.modules[name]  # what an older notebook left in this session
    import irl_lib

    if irl_lib.__version__ != "$version":
        raise RuntimeError(
            f"irl_lib is {irl_lib.__version__} from {irl_lib.__file__}, not $version:"
            " restart the kernel (on Colab: Runtime > Disconnect and delete runtime), and try again"
        )
    print(f"irl_lib {irl_lib.__version__}, from {site}")
""")
# Of what Colab lacks: the modules that need it, and what is installed, as the environment pins it.
LACKING = {
    "stable-baselines3": ("stable_baselines3", "irl_lib.guided_cost", "irl_lib.soft_actor"),
}
MORE = Template("""
    if importlib.util.find_spec("$module") is None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "$pin"]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"$pin could not be installed:\\n{done.stderr}")
        importlib.invalidate_caches()
        print("$pin")
""")
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
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


class UntranslatableError(Exception):
    """A directive, a role or a reference that has no counterpart in plain Markdown."""


class Resolver(Protocol):
    """What the translation must know about the rest of the book."""

    def reference(self, role: str, target: str, text: str) -> str:
        """A cross reference as Markdown; an empty text means the book's own."""

    def number(self, label: str) -> str:
        """The number that a labelled thing has on the site, or nothing."""

    def link(self, target: str) -> tuple[str, str]:
        """The address, and the text to use where there is none, of a Markdown link's target."""

    def image(self, path: str) -> str:
        """The address of an image."""

    def bibliography(self) -> str:
        """The works that the page cites, as a Markdown list."""


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

    def __init__(self, resolver: Resolver) -> None:
        """Keep what knows the rest of the book."""
        self.resolver = resolver

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
        number = self.resolver.number(item.options["label"]) if "label" in item.options else ""
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
        title = f"Solution to Exercise {self.resolver.number(item.argument)}".rstrip()
        if item.name == "solution":
            return details(title, body)
        head = f"<details>\n<summary>{title}</summary>\n" if self.folds else f"#### {title}\n"
        return f"{head}\n{body}".rstrip()

    def _math(self, item: Directive) -> str:
        label = item.options.get("label", "")
        return self.formula("\n".join(part for part in (item.argument, item.body) if part), label)

    def _figure(self, item: Directive) -> str:
        picture = f"![{item.options.get('alt', '')}]({self.resolver.image(item.argument)})"
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
        return self.resolver.bibliography()

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
            return f"![{text}]({self.resolver.image(target)})"
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        address, fallback = self.resolver.link(target)
        return f"[{text or fallback}]({address})"

    def formula(self, body: str, label: str) -> str:
        """A display formula with the number that it has on the site."""
        number = self.resolver.number(label) if label else ""
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
            return self.resolver.reference(name, match["target"], self.prose(match["text"]))
        return self.resolver.reference(name, content.strip(), "")


class BookResolver:
    """Answers from the environment of a finished build, as addresses on the published site."""

    def __init__(self, app: Sphinx, docname: str, site: str) -> None:
        """Take the point of view of one page."""
        self.app, self.env, self.docname, self.site = app, app.env, docname, site

    def domain(self, name: str) -> Any:
        """A Sphinx domain, whose stores differ in kind."""
        return self.env.get_domain(name)

    def address(self, docname: str, anchor: str = "") -> str:
        """The address of a place on the site."""
        return f"{self.site}/{docname}.html" + (f"#{anchor}" if anchor else "")

    def place(self, label: str) -> tuple[str, str, str]:
        """Page, anchor and title of a label of any kind.

        Raises:
            UntranslatableError: when the book has no such label.
        """
        math, std = self.domain("math"), self.domain("std")
        if label in math.equations:
            return math.equations[label][0], nodes.make_id(f"equation-{label}"), ""
        if label in std.labels:
            return tuple(std.labels[label])
        if label.lower() in std.labels:
            return tuple(std.labels[label.lower()])
        for store in ("sphinx_exercise_registry", "proof_list"):
            entry = getattr(self.env, store, {}).get(label)
            if entry is not None:
                return entry["docname"], label, ""
        if label in std.anonlabels:
            return (*std.anonlabels[label], "")
        raise UntranslatableError(f"the label {label}")

    def numbered(self, label: str) -> tuple[str, str]:
        """What kind of numbered thing a label names, and its number; two empty strings if none."""
        docname, anchor, _ = self.place(label)
        for kind, numbers in self.env.toc_fignumbers.get(docname, {}).items():
            if anchor in numbers:
                return kind, ".".join(map(str, numbers[anchor]))
        if label in self.domain("math").equations:
            return "displaymath", str(self.domain("math").equations[label][1])
        return "", ""

    def number(self, label: str) -> str:
        """The number that a labelled thing has on the site, or nothing."""
        return self.numbered(label)[1]

    def named(self, label: str) -> str:
        """How the site names a labelled thing in a reference: ``(4.1)``, ``Fig. 2``, a heading."""
        kind, number = self.numbered(label)
        if kind == "displaymath":
            return f"({number})"
        if not number:
            return self.place(label)[2] or label
        pattern = str(self.app.config.numfig_format.get(kind, f"{kind.capitalize()} %s"))
        named = pattern.replace("%s", number) if "%s" in pattern else f"{pattern} {number}"
        return named[:1].upper() + named[1:]

    def reference(self, role: str, target: str, text: str) -> str:
        """A cross reference as Markdown."""
        if role.startswith("cite"):
            return self.citation(role, target)
        if role == "doc":
            docname = self.document(target)
            return f"[{text or self.env.titles[docname].astext()}]({self.address(docname)})"
        if role in ("eq", "math:numref", "ref", "numref", "prf:ref", "any"):
            docname, anchor, _ = self.place(target)
            shown = text.replace("%s", self.number(target)) or self.named(target)
            return f"[{shown}]({self.address(docname, anchor)})"
        if role.removeprefix("py:") in (
            "func",
            "class",
            "mod",
            "meth",
            "obj",
            "attr",
            "data",
            "exc",
        ):
            return self.api(target, text)
        raise UntranslatableError(f"the role {{{role}}}")

    def api(self, target: str, text: str) -> str:
        """A link to an object on the API page."""
        name = target.lstrip("~!.")
        entry = self.domain("py").objects.get(name)
        if entry is None:
            raise UntranslatableError(f"the Python object {name}")
        shown = text or (name.rpartition(".")[2] if target.startswith("~") else name)
        return f"[`{shown}`]({self.address(entry.docname, entry.node_id)})"

    def document(self, target: str) -> str:
        """The page that a path from this page means."""
        folder = "" if target.startswith("/") else posixpath.dirname(self.docname)
        path = posixpath.normpath(posixpath.join(folder, target.lstrip("/")))
        docname = re.sub(r"\.(md|ipynb|rst)$", "", path)
        if docname not in self.env.titles:
            raise UntranslatableError(f"the page {target}")
        return docname

    def link(self, target: str) -> tuple[str, str]:
        """The address and the default text of a Markdown link's target."""
        path, _, anchor = target.partition("#")
        if path and (re.search(r"\.(md|ipynb|rst)$", path) or "/" in path):
            docname = self.document(path)
            return self.address(docname, anchor), self.env.titles[docname].astext()
        docname, place, _ = self.place(anchor or path)
        return self.address(docname, place), self.named(anchor or path)

    def image(self, path: str) -> str:
        """The address of an image, which the site keeps in one folder."""
        if re.match(r"https?:", path):
            return path
        folder = "" if path.startswith("/") else posixpath.dirname(self.docname)
        found = posixpath.normpath(posixpath.join(folder, path.lstrip("/")))
        if found not in self.env.images:
            raise UntranslatableError(f"the image {path}")
        return f"{self.site}/_images/{self.env.images[found][1]}"

    def citation(self, role: str, target: str) -> str:
        """Citations as ``Author (year)``, each a link to its entry in the list of references."""
        made = [self.cited(key.strip(), role) for key in target.split(",")]
        return f"({'; '.join(made)})" if role in ("cite", "cite:p", "cite:ps") else ", ".join(made)

    def cited(self, key: str, role: str) -> str:
        """One citation."""
        found = [one for one in self.domain("cite").citations if one.key == key]
        if not found:
            raise UntranslatableError(f"the citation {key}")
        entry = found[0].entry
        names = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
        authors = names[0] if len(names) == 1 else " and ".join(names)
        if len(names) > 2:
            authors = f"{names[0]} et al."
        year = entry.fields.get("year", "n.d.")
        text = (
            f"{authors}, {year}" if role in ("cite", "cite:p", "cite:ps") else f"{authors} ({year})"
        )
        place = found[0].bibliography_key.docname
        shown = text.replace("{", "").replace("}", "")
        return f"[{shown}]({self.address(place, found[0].citation_id)})"

    def bibliography(self) -> str:
        """The works that the page cites, as a Markdown list."""
        domain = self.domain("cite")
        keys = {
            key
            for ref in domain.citation_refs
            if ref.docname == self.docname
            for key in keys_of(ref)
        }
        backend = find_plugin("pybtex.backends", "markdown")()
        entries = {one.key: one for one in domain.citations if one.key in keys}
        ordered = sorted(entries.values(), key=lambda one: str(one.formatted_entry.label))
        return "\n".join(f"- {one.formatted_entry.text.render(backend)}" for one in ordered)


def keys_of(reference: Any) -> list[str]:
    """The keys that one citation in the text names."""
    return [target.key for target in reference.targets]


def new_cell(kind: str, name: str, text: str) -> common.Cell:
    """A cell that the source does not have."""
    cell: common.Cell = {"cell_type": kind, "id": name[:64], "metadata": {}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def caption_cell(cell: common.Cell, translator: Translator) -> list[common.Cell]:
    """The caption of a figure that a code cell draws, which the site takes from the metadata."""
    caption = cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
    text = f"*{translator.cell(caption).strip()}*"
    return [new_cell("markdown", f"{cell['id']}-caption", text)] if caption.strip() else []


def flavour(
    notebook: common.Notebook, resolver: Resolver, header: str, bootstrap: str
) -> common.Notebook:
    """A notebook's plain counterpart: the same code and outputs, Markdown that renders anywhere."""
    result = copy.deepcopy(notebook)
    translator = Translator(resolver)
    cells = [
        new_cell("markdown", "irl-book-site", header),
        new_cell("code", "irl-book-setup", bootstrap),
    ]
    for cell in result["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "markdown":
            cell["source"] = translator.cell(common.source(cell))
        elif cell["cell_type"] == "code":
            if HIDDEN.intersection(common.tags(cell)):
                cell["metadata"]["cellView"] = "form"
            cells += caption_cell(cell, translator)
    result["cells"] = cells
    result["metadata"].setdefault("colab", {"provenance": [], "toc_visible": True})
    return result


def bootstrap_source(site: str, wheel: str, version: str, more: Iterable[str] = ()) -> str:
    """The code of the bootstrap cell; ``more`` are pins of packages to install where they lack."""
    code = BOOTSTRAP.substitute(site=site, wheel=quote_url(wheel), version=version)
    for pin in more:
        module = LACKING[pin.partition("==")[0]][0]
        code += MORE.substitute(pin=pin, module=module).lstrip("\n")
    return code.rstrip("\n")


def imported(notebook: common.Notebook) -> set[str]:
    """The dotted names that a notebook imports, those of packages among them."""
    found: set[str] = set()
    for cell in common.code_cells(notebook):
        for node in ast.walk(ast.parse(common.source(cell))):
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{each.name}" for each in node.names]
            else:
                continue
            parts = (name.split(".") for name in names)
            found.update(".".join(each[:i]) for each in parts for i in range(1, len(each) + 1))
    return found


def lacking(root: Path, notebook: common.Notebook) -> list[str]:
    """The pins of what a notebook needs and Colab does not have."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0].replace("_", "-"): line.replace("_", "-") for line in lines}
    names = imported(notebook)
    return [pins[package] for package, modules in LACKING.items() if names & set(modules)]


def header_source(app: Sphinx, docname: str, site: str) -> str:
    """The first cell: where this page is on the site."""
    title = app.env.titles[docname].astext()
    book = f"[{app.config.html_title or app.config.project}]({site}/)"
    page = f"[{title}]({site}/{docname}.html)"
    return f"*This notebook is the page {page} of the book {book}; its references lead there.*"


def write_flavours(app: Sphinx, exception: Exception | None) -> None:
    """Write ``colab/<notebook>.ipynb`` for each chapter."""
    if exception is not None or app.builder.name != "html":
        return
    root, out = Path(app.srcdir), Path(app.outdir)
    site = app.config.html_baseurl.rstrip("/")
    wheel = build_wheel(root, out / "wheels")
    (out / "colab").mkdir(exist_ok=True)
    for chapter in common.chapters(root):
        resolver = BookResolver(app, chapter.docname, site)
        try:
            header = header_source(app, chapter.docname, site)
            source = common.read_notebook(chapter.path)
            more = lacking(root, source)
            setup_code = bootstrap_source(site, wheel.name, wheel_version(root), more)
            made = flavour(source, resolver, header, setup_code)
        except UntranslatableError as reason:
            logger.warning("Colab flavour: no translation for %s", reason, location=chapter.docname)
            continue
        text = json.dumps(made, indent=1, ensure_ascii=False)
        (out / "colab" / f"{chapter.name}.ipynb").write_text(text + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler; the wheel that the notebooks name is built before."""
    app.connect("build-finished", write_flavours, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
