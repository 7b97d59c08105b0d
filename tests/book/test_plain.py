"""From MyST's Markdown to plain Markdown: the translation alone, with tables made up here."""

from __future__ import annotations

import re

import pytest

from irl_book_plain import Book, Target, Translator, UntranslatableError, Work, quote

LEFTOVERS = {
    "a target": r"^\s*\([\w-]+\)=\s*$",
    "a label": r"FORMULA[ \t]*\([\w:-]+\)|\(eq-[\w-]+\)",
    "a substitution": r"\{\{",
    "a comment or a break": r"^(?:%|\+\+\+)",
    "a link into the sources": r"\]\((?!https?://)",
}
DIRECTIVE = re.compile(r"^[\s>]*(?::{3,}|[`~]{3,}\s*\{)", re.MULTILINE)
CODE_BLOCK = re.compile(r"^(`{3,}|~{3,})[^{\n]*\n.*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"(\{[A-Za-z][\w:+.-]*\})?(?<!`)(`+)(?!`)(.+?)(?<!`)\2(?!`)", re.DOTALL)
FORMULA = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$(?!\s)(?:[^$\\]|\\.)+?\$", re.DOTALL)
SITE = "https://site"
BOOK = Book(
    page="notebooks/04_a",
    labels={
        **{
            name: Target(f"{SITE}/a.html#{name}", "(4.1)", "4.1")
            for name in ("x", "eq-x", "t", "ex")
        },
        "eq-elbo": Target(f"{SITE}/a.html#equation-eq-elbo", "(4.1)", "4.1"),
        "fig-a": Target(f"{SITE}/a.html#fig-a", "Fig. 4.2", "4.2"),
        "part-x": Target(f"{SITE}/a.html#part-x", "A part"),
        "label": Target(f"{SITE}/a.html#label", "Its title"),
    },
    pages={
        "notebooks/04_a": Target(f"{SITE}/notebooks/04_a.html", "A"),
        "book/errata": Target(f"{SITE}/book/errata.html", "Errata"),
    },
    objects={"irl_lib.f": Target(f"{SITE}/api.html#irl_lib.f", "irl_lib.f")},
    images={"notebooks/a.png": f"{SITE}/_images/a.png"},
    citations={
        "a": Work(f"{SITE}/references.html#a", "Ann and Bob", "2001"),
        "b": Work(f"{SITE}/references.html#b", "Cy et al.", "2002"),
    },
    works=["A. Author. A work."],
)


def leftovers(markdown: str) -> list[str]:
    """What in a piece of Markdown only MyST understands; quoted code may hold anything."""
    text = CODE_BLOCK.sub("", markdown)
    found = ["a directive"] if DIRECTIVE.search(text) else []
    found += ["a role"] if any(role for role, _, _ in CODE_SPAN.findall(text)) else []
    plain = FORMULA.sub("FORMULA", CODE_SPAN.sub("", text))
    patterns = LEFTOVERS.items()
    return found + [what for what, form in patterns if re.search(form, plain, re.MULTILINE)]


TRANSLATIONS = {
    "plain": ("Plain *text* with $x_1$.", "Plain *text* with $x_1$."),
    "role": ("See {eq}`eq-elbo`.", "See [(4.1)](https://site/a.html#equation-eq-elbo)."),
    "role with text": (
        "See {ref}`the $x$ part <part-x>`.",
        "See [the $x$ part](https://site/a.html#part-x).",
    ),
    "math role": ("{math}`x^2`", "$x^2$"),
    "code is left alone": ("`{eq}` and ``{eq}`x` ``", "`{eq}` and ``{eq}`x` ``"),
    "math is left alone": ("$[a](b) \\{x\\}`y`$", "$[a](b) \\{x\\}`y`$"),
    "code block is left alone": ("```python\n(x)=\n{eq}`x`\n```", "```python\n(x)=\n{eq}`x`\n```"),
    "link": ("[text](../book/errata.md#one)", "[text](https://site/book/errata.html#one)"),
    "link without text": ("[](#label)", "[Its title](https://site/a.html#label)"),
    "outer link": ("[text](https://x.org/a_(b))", "[text](https://x.org/a_(b))"),
    "image": ("![alt](a.png){width=50%}", "![alt](https://site/_images/a.png)"),
    "target": ("(here)=\n# Title", "# Title"),
    "comment": ("% no\nyes", "yes"),
    "block break": ("a\n+++\nb", "a\nb"),
    "attributes": ("{.lead}\nText", "Text"),
    "definition": ("Term\n: means this", "**Term**: means this"),
    "labelled formula": ("$$\nx\n$$ (eq-x)", "$$\nx \\tag{4.1}\n$$"),
    "labelled formula in a line": ("$$x$$ (eq-x)", "$$x \\tag{4.1} $$"),
    "formula": ("$$\nx\n$$", "$$\nx\n$$"),
    "math directive": ("```{math}\n:label: eq-x\nx\n```", "$$x \\tag{4.1} $$"),
    "note": (":::{note}\nText.\n:::", "> **Note**\n>\n> Text."),
    "admonition": (
        "```{admonition} A {eq}`x`\n:class: tip\nText.\n```",
        "> **A [(4.1)](https://site/a.html#x)**\n>\n> Text.",
    ),
    "folded": (
        ":::{dropdown} More\nText.\n:::",
        "<details>\n<summary>More</summary>\n\nText.\n\n</details>",
    ),
    "folded by class": (
        ":::{admonition} More\n:class: dropdown\nText.\n:::",
        "<details>\n<summary>More</summary>\n\nText.\n\n</details>",
    ),
    "formula in a quote": (":::{tip}\n$$\na\n$$\n:::", "> **Tip**\n>\n> $$ a $$"),
    "nested": (
        "::::{note}\n:::{tip}\nText.\n:::\n::::",
        "> **Note**\n>\n>\n> > **Tip**\n> >\n> > Text.",
    ),
    "theorem": (
        ":::{prf:theorem} Name\n:label: t\nText.\n:::",
        "**Theorem 4.1 (Name).**\n\nText.",
    ),
    "proof": (":::{prf:proof}\nClear.\n:::", "**Proof.** Clear. $\\square$"),
    "exercise": (
        "```{exercise} Hard\n:label: ex\nDo.\n```",
        "#### Exercise 4.1 (Hard)\n\nDo.",
    ),
    "solution": (
        "```{solution} ex\n:class: dropdown\nDone.\n```",
        "<details>\n<summary>Solution to Exercise 4.1</summary>\n\nDone.\n\n</details>",
    ),
    "solution over cells": (
        "```{solution-start} ex\n```\nSo.",
        "#### Solution to Exercise 4.1\n\nSo.",
    ),
    "end of a solution": ("```{solution-end}\n```", "*End of the solution.*"),
    "figure": (
        "```{figure} a.png\n:alt: An a\nThe a of {eq}`x`.\n```",
        "![An a](https://site/_images/a.png)\n\n*The a of [(4.1)](https://site/a.html#x).*",
    ),
    "table": ("```{table} Title\n| a |\n|---|\n```", "**Title**\n\n| a |\n|---|"),
    "references": ("```{bibliography}\n:filter: x\n```", "- A. Author. A work."),
    "in a list": ("- a\n\n  ```{tip}\n  b\n  ```", "- a\n\n\n  > **Tip**\n  >\n  > b"),
    "number alone": (
        "As in {numref}`picture %s <fig-a>`.",
        "As in [picture 4.2](https://site/a.html#fig-a).",
    ),
    "figure's name": ("{numref}`fig-a`", "[Fig. 4.2](https://site/a.html#fig-a)"),
    "upper case": ("{ref}`Part-X`", "[A part](https://site/a.html#part-x)"),
    "page": (
        "{doc}`04_a` and {doc}`so </book/errata>`",
        "[A](https://site/notebooks/04_a.html) and [so](https://site/book/errata.html)",
    ),
    "page without text": ("[](../book/errata.md)", "[Errata](https://site/book/errata.html)"),
    "code of the package": (
        "{func}`~irl_lib.f` or {py:func}`it <irl_lib.f>`",
        "[`f`](https://site/api.html#irl_lib.f) or [`it`](https://site/api.html#irl_lib.f)",
    ),
    "citation": ("{cite:t}`a`", "[Ann and Bob (2001)](https://site/references.html#a)"),
    "citations in brackets": (
        "{cite}`a, b`",
        "([Ann and Bob, 2001](https://site/references.html#a); [Cy et al., 2002](https://site/references.html#b))",
    ),
    "options as yaml": ("```{note}\n---\nclass: x\n---\nText.\n```", "> **Note**\n>\n> Text."),
}


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_translation(name: str) -> None:
    source, wanted = TRANSLATIONS[name]
    assert Translator(BOOK).cell(source) == wanted


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_no_translation_leaves_myst_behind(name: str) -> None:
    assert leftovers(Translator(BOOK).cell(TRANSLATIONS[name][0])) == []


@pytest.mark.parametrize(
    "text",
    [
        "```{mystery}\nx\n```",
        "{nonsense}`x`",
        ":::{note}\nno end",
        "```\nno end",
        "{eq}`absent`",
        "$$x$$ (absent)",
        "{cite}`a, absent`",
        "{doc}`absent`",
        "{func}`absent`",
        "[x](absent.md)",
        "![x](absent.png)",
    ],
)
def test_what_cannot_be_translated_is_an_error(text: str) -> None:
    with pytest.raises(UntranslatableError):
        Translator(BOOK).cell(text)


@pytest.mark.parametrize(
    "text",
    [
        ":::{note}\nx\n:::",
        "```{note}\nx\n```",
        "{eq}`x`",
        "(x)=",
        "$$x$$ (eq-x)",
        "{{ x }}",
        "+++",
        "[a](../b.md)",
        "[a](#b)",
    ],
)
def test_leftovers_are_found(text: str) -> None:
    assert leftovers(f"Before.\n\n{text}\n\nAfter.")


def test_display_formulas_in_quotes_stand_on_one_line() -> None:
    assert quote("a\n\n$$\nx\n= y\n$$\n\nb") == "> a\n>\n> $$ x = y $$\n>\n> b"


def test_a_solution_in_one_cell_is_folded() -> None:
    text = "```{solution-start} ex\n```\nText.\n\n```{solution-end}\n```"
    assert Translator(BOOK).cell(text).startswith("<details>")
    assert Translator(BOOK).cell(text).endswith("</details>")
