"""Tables for the terminal, in the same words as on the page, and narrow enough for 80 columns.

Like stands beside like: the value at N showers a side, its floor at the same N, and how far they are apart. What all
showers give has a column of its own, since distances shrink with the number of showers even between equals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from caloforge.evaluation import formatting
from caloforge.evaluation.metric_tables import auc_entry
from caloforge.evaluation.tables import Table

COLOURS = {"good": "green", "note": "yellow", "bad": "red"}
SIGNS = {"good": "✓", "note": "!", "bad": "✗"}

NUMBERS = 62
"""Columns of a terminal that all the numbers of a row take, the shares outside the histograms among them."""


def rich_table(table: Table, keys: Sequence[str], width: int) -> RichTable:
    """The columns `keys` of a table of the page, as many from the left as `width` has room for."""
    columns = [column for key in keys for column in table.columns if column.key == key]
    drawn = _empty(table.title)
    taken = 0
    chosen: list[list[str]] = []
    for column in columns:
        cells = [formatting.compact(row.get(column.key), row.get(column.error or "")) for row in table.rows]
        taken += max(map(len, [column.title, *cells])) + 2
        if taken > width and chosen:
            break
        chosen.append(cells)
        drawn.add_column(column.title, justify="left" if column.kind == "text" else "right", no_wrap=True)
    for row in zip(*chosen, strict=True):
        drawn.add_row(*row)
    return drawn


def _empty(title: str | None = None) -> RichTable:
    return RichTable(
        title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False
    )


def verdict_table(data: Mapping[str, Any], names: Sequence[str], width: int) -> RichTable:
    """Separation powers of `names` with their means, then the classifiers' AUCs.

    Observables carry the names that `report.json` gives them. Numbers in brackets are errors in units of the last
    digits. The shares outside the histograms, those of generated | reference, are shown where `width` leaves room.
    """
    n = (data.get("floor") or {}).get("n")
    drawn = _empty(f"N = {n} showers a side; all: every shower of both files")
    titles = ["separation power", "at N", "floor at N", "off floor", "all"]
    tests = {f"AUC {key}": auc_entry(test) for key, test in (data.get("classifier") or {}).items()}
    titles += ["% outside"] if width >= NUMBERS + max(map(len, [titles[0], *names, *tests])) else []
    for title in titles:
        drawn.add_column(title, justify="left" if title == titles[0] else "right", no_wrap=True)
    powers, means = data.get("separation_power") or {}, data.get("mean_separation_power") or {}
    blocks = [
        {name: powers.get(name, {}) for name in names},
        {"mean of these": means.get("table1", {}), "mean of all": means.get("all", {})},
        tests,
    ]
    reasons: dict[str, list[str]] = {}
    for block in blocks:
        for words, entry in block.items():
            _add(drawn, words, entry)
            if "value" not in entry:
                reasons.setdefault(entry.get("unavailable", "not in the report"), []).append(words)
        drawn.add_section()
    missing = {why: "" if len(found) >= len(names) else f"{', '.join(found)}: " for why, found in reasons.items()}
    drawn.caption = "\n".join(f"— {words}{why}" for why, words in missing.items()) or None
    drawn.caption_justify = "left"
    return drawn


def _add(drawn: RichTable, words: str, entry: Mapping[str, Any]) -> None:
    if "value" not in entry:
        drawn.add_row(words, "—")
        return
    off, level = formatting.pull_of(entry)
    outside = entry.get("outside") or {}
    shares = [formatting.number(100 * outside.get(side, 0.0), 2) for side in ("generated", "reference")]
    cells: list[str | Text] = [
        words,
        formatting.like(entry.get("value_at_n"), entry.get("error")),
        formatting.compact(entry.get("floor"), entry.get("floor_error")),
        Text(off, style=COLOURS.get(level, "")),
        formatting.compact(entry["value"], entry.get("error")),
        " | ".join(shares) if outside else "",
    ]
    drawn.add_row(*cells[: len(drawn.columns)])


def comparison_table(table: Table, names: Sequence[str]) -> RichTable:
    """Reports side by side, below each metric a row for each report, so that any number fits; `*` marks the best."""
    drawn = _empty(table.title)
    drawn.add_column("metric, report", overflow="fold", width=24)
    for title in ("at N", "floor at N", "off floor", "all", "best")[: 5 if len(names) > 1 else 4]:
        drawn.add_column(title, justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(Text(row["description"], style="bold"))
        for name in names:
            value, at_n, error = row.get(name), row.get(f"{name} at N"), row.get(f"{name} error")
            if value is None and at_n is None:
                drawn.add_row(f"  {name}", "—")
                continue
            off, level = formatting.pull_of({key: row.get(f"{name} {key}") for key in ("pull", "pull_word")})
            cells: list[str | Text] = [
                f"  {name}",
                formatting.like(at_n, error),
                formatting.compact(row.get(f"{name} floor"), row.get(f"{name} floor error")),
                Text(off, style=COLOURS.get(level, "")),
                formatting.compact(value, error),
                "*" if row.get(f"{name} best") else "",
            ]
            drawn.add_row(*cells[: len(drawn.columns)])
    return drawn


def verdict_lines(data: Mapping[str, Any]) -> list[Text]:
    """The headline, then of each metric the point that tells most, a line each, and how many more there are."""
    verdict = data.get("verdict") or {}
    lines = [Text(verdict.get("headline", ""), style="bold")]
    points = verdict.get("points", [])
    shown: dict[str, Mapping[str, str]] = {}
    for point in points:  # the worst of a metric stands first
        shown.setdefault(point["metric"], point)
    for point in shown.values():
        sign = Text(f" {SIGNS[point['level']]} ", style=COLOURS[point["level"]])
        lines.append(sign + Text(point["text"]))
    if len(points) > len(shown):
        lines.append(Text(f"   and {len(points) - len(shown)} more in the report", style="dim"))
    return lines
