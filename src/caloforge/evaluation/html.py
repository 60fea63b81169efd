"""The report as one page: everything inlined, so that the file works offline and can be sent on.

`render` draws each figure once into a folder (`figures/*.png`, `*.pdf`), writes each table as CSV (`tables/*.csv`)
and puts all of it into `report.html`. Only one figure is in memory at a time.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caloforge.evaluation import formatting
from caloforge.evaluation.further_tables import report_tables
from caloforge.evaluation.metric_tables import auc_entry
from caloforge.evaluation.tables import Column, Row, Table, write_csv
from caloforge.files import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

    from caloforge.evaluation.old_report import Report
    from caloforge.evaluation.plots import Picture

DOTS_PER_INCH = 130

SECTIONS = (
    ("showers", "Average showers"),
    ("separation", "Separation powers"),
    ("histograms", "Histograms and profiles"),
    ("classifiers", "Classifiers"),
    ("single", "Single showers"),
    ("correlations", "Correlations"),
    ("distances", "Further distances"),
    ("further", "Everything else"),
)
"""Key and title of the page's parts, in order."""

SIGNS = {"good": "✓", "note": "!", "bad": "✗"}
WORDS = {"good": "good:", "note": "note:", "bad": "bad:"}
BAR_DECADES = 5
"""Bars of separation powers start at 10 to minus this."""


@dataclass(frozen=True)
class Cell:
    """A cell of a page's table: text, what it sorts by, and how it looks."""

    text: str
    sort: str = ""
    kind: str = "number"
    level: str = ""
    bar: float | None = None
    mark: float | None = None
    span: int = 0


@dataclass(frozen=True)
class PageTable:
    """A table ready for the template."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    is_table: bool = True


@dataclass(frozen=True)
class PageFigure:
    """A figure ready for the template: `png` in base64, `least` the narrowest readable width in pixels."""

    name: str
    title: str
    caption: str
    png: str
    width: int
    height: int
    least: int
    is_table: bool = False


def environment() -> Environment:
    """The templates, with everything from a report escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(report: Report, folder: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Write figures, CSV tables and `report.html` of `report` into `folder`.

    Args:
        report: numbers (`data`) and the two summaries.
        folder: an existing folder.
        progress: told the name of each figure before it is saved.

    Returns:
        The page's path.
    """
    items: dict[str, list[PageTable | PageFigure]] = {key: [] for key, _ in SECTIONS}
    (folder / "tables").mkdir(exist_ok=True)
    for table in report_tables(report.data):
        write_csv(table, folder / "tables" / f"{table.name}.csv")
        if table.columns:
            items[table.section].append(page_table(table))
    for key, figure in _draw(report, folder / "figures", progress):
        items[key].append(figure)
    page = folder / "report.html"
    sections = [{"key": key, "title": title, "items": items[key]} for key, title in SECTIONS if items[key]]
    text = environment().get_template("report.html.j2").render(sections=sections, **summary(report.data))
    write_text(page, text)
    return page


def _draw(report: Report, folder: Path, progress: Callable[[str], None] | None) -> list[tuple[str, PageFigure]]:
    from caloforge.evaluation.plots import pictures, report_style

    folder.mkdir(exist_ok=True)
    drawn = []
    with report_style():
        for picture in pictures(report):
            if progress is not None:
                progress(picture.name)
            drawn.append((picture.section, _save(picture, folder)))
    return drawn


def _save(picture: Picture, folder: Path) -> PageFigure:
    path = folder / f"{picture.name}.png"
    picture.figure.savefig(path, dpi=DOTS_PER_INCH)
    # Without the date, the same report gives the same bytes.
    picture.figure.savefig(path.with_suffix(".pdf"), dpi=200, metadata={"CreationDate": None})
    width, height = picture.figure.get_size_inches()
    return PageFigure(
        picture.name,
        picture.title,
        picture.caption,
        base64.b64encode(path.read_bytes()).decode("ascii"),
        round(width * DOTS_PER_INCH),
        round(height * DOTS_PER_INCH),
        round(width * 75),
    )


def page_table(table: Table) -> PageTable:
    """`table` with its numbers as text."""
    rows = []
    for row in table.rows:
        cells: list[Cell] = []
        for column in table.columns:
            if cells and row.get("unavailable") and row.get(column.key) is None:
                cells.append(Cell(str(row["unavailable"]), span=len(table.columns) - len(cells)))
                break
            cells.append(_cell(column, row))
        rows.append(cells)
    return PageTable(table.name, table.title, table.note, table.columns, rows)


def _cell(column: Column, row: Row) -> Cell:
    value = row.get(column.key)
    sort = "" if value is None else repr(value) if isinstance(value, (int, float)) else str(value)
    if column.kind == "text":
        return Cell(formatting.number(value), sort, "text")
    if column.kind == "share":
        return Cell(formatting.share(value), sort)
    if column.kind == "pull":
        text, level = formatting.pull_of({"pull": value, "pull_word": row.get(f"{column.key}_word")})
        return Cell(text, sort or ("inf" if text else ""), "pull", level)
    if column.kind == "bar":
        level = formatting.pull_of(row)[1]
        return Cell("", sort, "bar", level, _position(value), _position(row.get("floor"), None))
    if column.error is not None:
        return Cell(formatting.with_error(value, row.get(column.error)), sort)
    if column.digits is not None:
        return Cell(formatting.like(value, row.get(column.digits)), sort)
    return Cell(formatting.number(value), sort)


def _position(value: Any, nothing: float | None = 0.0) -> float | None:
    """Place of a separation power on the bar's logarithmic line, in per cent."""
    if not isinstance(value, (int, float)):
        return nothing
    if value <= 0:
        return 0.0
    return round(100 * min(1.0, max(0.0, 1 + math.log10(value) / BAR_DECADES)), 1)


def summary(data: Mapping[str, Any]) -> dict[str, Any]:
    """What stands on top of the page: names, verdict, key numbers."""
    points = data.get("verdict", {}).get("points", [])
    levels = {point["level"] for point in points}
    floor = data.get("floor") or {}
    return {
        "title": f"caloforge report: {_name(data['generated'])} against {_name(data['reference'])}",
        "geometry": data["geometry"],
        "created": str(data.get("created", "")).replace("T", " ")[:16],
        "generated": {"name": _name(data["generated"]), "n": formatting.number(data["generated"]["n"])},
        "reference": {"name": _name(data["reference"]), "n": formatting.number(data["reference"]["n"])},
        "floor_n": formatting.number(floor.get("n")),
        "floor_source": _floor_words(floor.get("source")),
        "headline": data.get("verdict", {}).get("headline", ""),
        "points": points,
        "level": next((level for level in ("bad", "note", "good") if level in levels), "note"),
        "signs": SIGNS,
        "words": WORDS,
        "tiles": tiles(data),
        "command": data.get("command", ""),
        "errors": data.get("errors", ""),
        "binning": data.get("binning", ""),
        "version": data.get("caloforge_version", ""),
    }


def _name(entry: Mapping[str, Any]) -> str:
    """A file's name, with its folder where that helps to tell `train.h5` from another."""
    return "/".join(Path(str(entry.get("path", "showers"))).parts[-2:]).lstrip("/")


def _floor_words(source: Any) -> str:
    return "the reference split in two" if source == "split" else f"the reference against {Path(str(source)).name}"


def tiles(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The key numbers: mean separation powers, the response, AUCs, FPD, precision and recall, each with its floor."""
    found = []
    means = data.get("mean_separation_power") or {}
    for key, words in (("table1", "mean separation power, Table 1"), ("all", "mean separation power, all")):
        found.append(_tile(words, means.get(key), digits=3))
    found.append(_response_tile((data.get("response") or {}).get("mean")))
    for key, entry in (data.get("classifier") or {}).items():
        found.append(_tile(f"AUC, {key}", auc_entry(entry), decimals=3))
    found.append(_tile("FPD × 10³", data.get("fpd"), digits=3))
    for key in ("precision", "recall"):
        found.append(_tile(key, (data.get("prdc") or {}).get(key), decimals=3))
    return [tile for tile in found if tile is not None]


def _response_tile(entry: Any) -> dict[str, str] | None:
    """The mean response, which is judged on all showers, against 0."""
    if not isinstance(entry, Mapping) or "value" not in entry:
        return None
    off, level = formatting.pull_of(entry)
    numbers = {"value": f"{100 * entry['value']:+.2f} %", "floor": f"± {100 * entry['error']:.2g} %, {off} off 0"}
    return {"what": "mean E_dep / E_inc, all showers", **numbers, "full": "", "level": level}


def _tile(what: str, entry: Any, digits: int = 3, decimals: int | None = None) -> dict[str, str] | None:
    """A key number beside its floor, both with as many showers a side where the report has it so."""
    if not isinstance(entry, Mapping) or "value" not in entry:
        return None
    # Against the floor stands the value at the floor's own N: with more showers it would look better than it is.
    value = entry.get("value_at_n", entry["value"])
    floor = formatting.with_error(entry.get("floor"), entry.get("floor_error"))
    return {
        "what": what,
        "value": formatting.number(value, digits) if decimals is None else f"{value:.{decimals}f}",
        "floor": f"floor {floor}" if floor else "no floor",
        "full": f"all showers {formatting.number(entry['value'], digits)}" if "value_at_n" in entry else "",
        "level": formatting.pull_of(entry)[1],
    }
