"""The directive `schematic`: a row of boxes and arrows per line, as an inline SVG that follows the page's colours.

    ```{schematic} How a shower is generated
    training:   x → [encoder] → z
    generation: noise → [flow] → z → [decoder] → x
    ```

`[name]` is a network with weights, `(name)` a fixed map, anything else data. The text is readable as it is, so that the
page makes sense where Markdown is not rendered by Sphinx.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CHARACTER, HEIGHT, PAD, ARROW, ROW = 7.6, 30, 12, 34, 48
"""Pixels: width of a character, height of a box, its horizontal padding, length of an arrow, distance of rows."""


def _box(text: str, x: float, y: float) -> tuple[str, float]:
    """(SVG, width) of one box whose left edge is at x and middle at y."""
    kind = {"[": "network", "(": "map"}.get(text[0], "data")
    words = text[1:-1] if kind != "data" else text
    width = len(words) * CHARACTER + 2 * PAD
    radius = 4 if kind == "network" else HEIGHT / 2
    rect = (
        ""
        if kind == "data"
        else f'<rect class="{kind}" x="{x}" y="{y - HEIGHT / 2}" width="{width:.0f}" height="{HEIGHT}" rx="{radius}"/>'
    )
    label = f'<text class="{kind}" x="{x + width / 2:.0f}" y="{y + 5}" text-anchor="middle">{escape(words)}</text>'
    return rect + label, width


def drawing(lines: list[str]) -> str:
    """The SVG of rows of boxes."""
    rows = [(name.strip(), [word.strip() for word in rest.split("→")]) for name, _, rest in map(_split, lines)]
    margin = max((len(name) for name, _ in rows), default=0) * CHARACTER * 0.95 + (14 if any(n for n, _ in rows) else 0)
    parts: list[str] = []
    widest = 0.0
    for number, (name, boxes) in enumerate(rows):
        y = ROW * number + ROW / 2
        x = margin
        if name:
            parts.append(f'<text class="name" x="0" y="{y + 5}">{escape(name)}</text>')
        for position, words in enumerate(boxes):
            if position:
                parts.append(f'<line x1="{x + 3:.0f}" y1="{y}" x2="{x + ARROW - 8:.0f}" y2="{y}"/>')
                tip = x + ARROW - 3
                parts.append(f'<path d="M {tip:.0f} {y} l -8 -4 v 8 z"/>')
                x += ARROW
            svg, width = _box(words, x, y)
            parts.append(svg)
            x += width
        widest = max(widest, x)
    width, height = f"{widest + 2:.0f}", ROW * len(rows)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{"".join(parts)}</svg>'


def _split(line: str) -> tuple[str, str, str]:
    """(name, ":", rest) of a row; the name may be absent."""
    name, colon, rest = line.partition(": ")
    return (name, colon, rest) if colon and "→" not in name else ("", "", line)


class Schematic(SphinxDirective):
    """Boxes and arrows."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines = [line for line in self.content if line.strip()]
        caption = f"<figcaption>{escape(self.arguments[0])}</figcaption>" if self.arguments else ""
        label = escape("; ".join(lines), quote=True)
        svg = drawing(lines).replace("<svg ", f'<svg aria-label="{label}" ', 1)
        return [nodes.raw("", f'<figure class="schematic"><div>{svg}</div>{caption}</figure>', format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("schematic", Schematic)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
