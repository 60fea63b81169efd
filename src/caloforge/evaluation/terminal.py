"""Tables for the terminal, in the same words as on the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from caloforge.evaluation import formatting
from caloforge.evaluation.html import page_table
from caloforge.evaluation.tables import Table

COLOURS = {"good": "green", "note": "yellow", "bad": "red"}
SIGNS = {"good": "✓", "note": "!", "bad": "✗"}


def rich_table(table: Table, keys: Collection[str] | None = None) -> RichTable:
    """A table of the page for the terminal: the columns `keys`, or all that have a text."""
    columns = tuple(c for c in table.columns if c.kind != "bar" and (keys is None or c.key in keys))
    page = page_table(replace(table, columns=columns))
    drawn = RichTable(title=table.title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    for k, column in enumerate(page.columns):
        first = k == 0
        drawn.add_column(
            column.title,
            justify="left" if column.kind == "text" else "right",
            no_wrap=not first,
            min_width=24 if first else None,
        )
    for row in page.rows:
        drawn.add_row(*(Text(cell.text, style=COLOURS.get(cell.level, "")) for cell in row))
    return drawn


def verdict_table(data: Mapping[str, Any], names: Sequence[str]) -> RichTable:
    """Separation powers of `names` with their means, then the classifiers' AUCs: value, floor, shares outside.

    Observables carry the names that `report.json` gives them; the shares are those of generated | reference.
    """
    drawn = RichTable(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    for title in ("separation power", "value", "floor", "off it", "% outside"):
        drawn.add_column(title, justify="left" if title == "separation power" else "right", no_wrap=True)
    powers = data.get("separation_power") or {}
    for name in names:
        entry = powers.get(name, {})
        outside = entry.get("outside") or {}
        shares = [formatting.number(100 * outside.get(side, 0.0), 2) for side in ("generated", "reference")]
        _add(drawn, name, entry, " | ".join(shares) if outside else "")
    drawn.add_section()
    for key, words in (("table1", "mean of these"), ("all", "mean of all")):
        _add(drawn, words, (data.get("mean_separation_power") or {}).get(key, {}), "")
    tests = data.get("classifier") or {}
    if tests:
        drawn.add_section()
    for key, test in tests.items():
        entry = dict(test)
        if "auc" in test:
            renamed = {"value": "auc", "error": "auc_std", "floor": "floor_auc", "floor_error": "floor_auc_std"}
            entry = {name: test.get(source) for name, source in renamed.items()}
        _add(drawn, f"AUC, {key}", entry, "")
    return drawn


def _add(drawn: RichTable, words: str, entry: Mapping[str, Any], shares: str) -> None:
    if "unavailable" in entry or "value" not in entry:
        drawn.add_row(words, Text(str(entry.get("unavailable", "not in the report")), style="dim"), "", "", "")
        return
    level = COLOURS.get(formatting.pull_level(entry.get("pull")), "")
    drawn.add_row(
        words,
        formatting.with_error(entry["value"], entry.get("error")),
        formatting.with_error(entry.get("floor"), entry.get("floor_error")),
        Text(formatting.pull(entry.get("pull")), style=level),
        shares,
    )


def verdict_lines(data: Mapping[str, Any]) -> list[Text]:
    """The headline and its points, a line each."""
    verdict = data.get("verdict") or {}
    lines = [Text(verdict.get("headline", ""), style="bold")]
    for point in verdict.get("points", []):
        sign = Text(f" {SIGNS[point['level']]} ", style=COLOURS[point["level"]])
        lines.append(sign + Text(point["text"]))
    return lines
