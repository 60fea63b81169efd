"""Docstrings are plain text with names in backticks; here they become what Sphinx's reStructuredText expects.

Formulas in indented blocks stay as they are laid out, plural forms may follow a name in backticks, and characters that
mean something in reStructuredText mean themselves.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SECTIONS = re.compile(r"(Args|Arguments|Attributes|Returns|Raises|Yields|Example|Examples):$")


def _escaped(line: str) -> str:
    """Outside backticks, |, * and a trailing underscore mean themselves; a plural s may follow a name in backticks."""
    parts = re.split(r"(`[^`]*`)", line)
    for number in range(0, len(parts), 2):
        plural = number > 0 and re.match(r"\w", parts[number])
        text = re.sub(r"([|*])", r"\\\1", parts[number])
        parts[number] = ("\\ " if plural else "") + re.sub(r"(\w)_(?!\w)", r"\1\\_", text)
    return "".join(parts)


def prepared(lines: list[str]) -> list[str]:
    """The lines of a docstring for Sphinx."""
    found: list[str] = []
    section, block, example = False, False, False
    for line in lines:
        indented = line.startswith("    ")
        if line and not indented:
            section, block = bool(SECTIONS.match(line)), False
        if line.lstrip().startswith(">>>"):
            example = True
        elif not line.strip():
            example = False
        if indented and not section and not block and found and not found[-1].strip() and not example:
            found += ["::", ""]
            block = True
        found.append(line if block or example else _escaped(line))
    return found


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = prepared(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
