"""Formulas as MathML, which browsers draw themselves: no script, no fonts, no network.

LaTeX becomes MathML when the site is built (latex2mathml). Registered as Sphinx's HTML math renderer `mathml`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

ALPHABETS = {"script": "SCRIPT", "double-struck": "DOUBLE-STRUCK", "sans-serif": "SANS-SERIF"}
"""Values of `mathvariant`, which MathML Core no longer has, and the names of their letters in Unicode."""


def _letter(match: re.Match[str]) -> str:
    """The capital letter of another alphabet as a character of its own."""
    name = f"{ALPHABETS[match[1]]} CAPITAL {match[2]}"
    for prefix in ("MATHEMATICAL ", ""):  # some are older than the block of mathematical letters
        try:
            return f"<mi>{unicodedata.lookup(prefix + name)}</mi>"
        except KeyError:
            continue
    return match[0]


def _mathml(latex: str, display: str) -> str:
    try:
        text = convert(latex, display=display)
        return re.sub(rf'<mi mathvariant="({"|".join(ALPHABETS)})">([A-Z])</mi>', _letter, text)
    except Exception as error:  # latex2mathml raises errors of many kinds
        raise ExtensionError(f"not a formula that latex2mathml understands: {latex!r} ({error})") from error


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
