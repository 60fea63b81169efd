"""The directive `command-reference`: every command with its arguments and options, from the program itself.

```{command-reference}
```
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from command_options import Option, commands, options


def plain(text: str) -> str:
    """Help without rich's markup, as Markdown in which nothing is special outside backticks."""
    text = re.sub(r"(?<!\\)\[/?(bold|dim|italic|cyan|green|red|yellow)\]", "", text).replace("\\[", "[")
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else re.sub(r"([\[\]<>*_|$\\])", r"\\\1", part) for part in parts)


def _term(option: Option) -> str:
    if not option.flags:
        return f"`{option.metavar}`" if option.required else f"`[{option.metavar}]`"
    names = ", ".join(f"`{flag}`" for flag in sorted(option.flags, key=len, reverse=True))
    return f"{names} `{option.metavar}`" if option.metavar else names


def entry(path: tuple[str, ...], function: Callable[..., Any]) -> list[str]:
    """Markdown of one command."""
    known = options(function)
    usage = [_term(option).strip("`") for option in known if not option.flags]
    lines = [f"## `{' '.join(path)}`", "", "```text", " ".join([*path, *usage, "[OPTIONS]"]), "```", ""]
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(function.__doc__ or "")):
        if paragraph.startswith("Example: "):
            example = " ".join(paragraph.removeprefix("Example: ").split())
            lines += ["```sh", example.replace("\\[", "["), "```", ""]
        else:
            lines += [plain(paragraph), ""]
    for option in sorted(known, key=lambda option: bool(option.flags)):
        needed = " *Required.*" if option.required and option.flags else ""
        default = "" if option.default is None else f" Default: `{option.default}`."
        lines += [_term(option), f": {plain(option.help)}{needed}{default}", ""]
    return lines


class CommandReference(SphinxDirective):
    """One section per command."""

    def run(self) -> list[nodes.Node]:
        lines = [line for path, function in commands() for line in entry(path, function)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
