"""Tables and verdict for the terminal, from the same records as the page, narrow enough for 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from caloforge.evaluation.report.compare import ComparedReport
from caloforge.evaluation.report.tables import Table
from caloforge.evaluation.report.verdict import Verdict

COLOURS = {"good": "green", "note": "yellow", "bad": "red", "best": "bold green"}
SIGNS = {"good": "✓", "note": "!", "bad": "✗"}

LABEL = 30
"""Columns of a terminal for the labels of a table at most."""

POINTS = 8
"""Findings listed in the terminal."""


def rich_table(table: Table, width: int) -> RichTable:
    """A table of the page, as many of its columns from the left as `width` has room for; bars are left out."""
    drawn = empty_table(table.title)
    kept = [k for k, column in enumerate(table.columns) if column.kind != "bar"]
    taken = 0
    for position, k in enumerate(kept):
        column = table.columns[k]
        title = column.title.replace(" (", "\n(")
        cells = [row[k].short or row[k].text for row in table.rows if len(row) == len(table.columns)]
        longest = max(map(len, [*cells, *title.split("\n")]))
        taken += (min(longest, LABEL) if position == 0 else longest) + 2
        if taken > width and position > 1:
            kept = kept[:position]
            break
        left = column.kind == "text"
        drawn.add_column(title, justify="left" if left else "right", no_wrap=position > 0, overflow="fold")
    for row in table.rows:
        if len(row) < len(table.columns):
            drawn.add_row(Text(row[0].text), "–")
            continue
        cells_of_row = [row[k] for k in kept]
        drawn.add_row(*(Text(cell.short or cell.text, style=COLOURS.get(cell.level, "")) for cell in cells_of_row))
    _give_reasons(drawn, table)
    return drawn


def _give_reasons(drawn: RichTable, table: Table) -> None:
    """Below the table, why there are rows without numbers."""
    reasons: dict[str, list[str]] = {}
    for row in table.rows:
        if len(row) < len(table.columns):
            reasons.setdefault(row[1].text, []).append(row[0].text)
    if reasons:
        drawn.caption = Text("\n".join(f"– {', '.join(names)}: {reason}" for reason, names in reasons.items()))
        drawn.caption_justify = "left"


def empty_table(title: str | None = None) -> RichTable:
    """A table in the style of all of them."""
    return RichTable(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def comparison_table(table: Table, entries: Sequence[ComparedReport]) -> RichTable:
    """Reports one below the other for each metric, so that any number of them fits; `*` marks the best."""
    drawn = empty_table(table.title)
    drawn.add_column("metric, report", overflow="fold", width=LABEL)
    for title in ("value", "baseline", "pull", "best")[: 4 if len(entries) > 1 else 3]:
        drawn.add_column(title, justify="right", no_wrap=True)
    for row in table.rows:
        if len(row) < len(table.columns):  # no report has it: the reason is given below
            continue
        drawn.add_row(Text(row[0].text, style="bold"))
        for k, entry in enumerate(entries):
            value, baseline, pull = row[1 + 3 * k : 4 + 3 * k]
            cells = [Text(cell.short, style=COLOURS.get(cell.level, "")) for cell in (value, baseline, pull)]
            mark = [Text("*" if value.level == "best" else "")] if len(entries) > 1 else []
            drawn.add_row(Text(f"  {entry.name}"), *cells, *mark)
    _give_reasons(drawn, table)
    return drawn


def verdict_lines(verdict: Verdict) -> list[Text]:
    """The headline, where the showers fail, then the first findings, a line each, and how many more there are."""
    lines = [Text(verdict.headline, style="bold")]
    for point in verdict.points[:POINTS]:
        sign = Text(f" {SIGNS[point.level]} ", style=COLOURS[point.level])
        lines.append(sign + Text(point.text))
    if len(verdict.points) > POINTS:
        lines.append(Text(f"   and {len(verdict.points) - POINTS} more in the report", style="dim"))
    return lines
