"""The report as one page: everything inlined, so that the file works offline and can be passed on.

The first screen says how good the showers are, where they fail, and shows the three histograms that tell most. Below
come the findings, the key numbers and, by part, every figure and table.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.evaluation.metrics.figure_data import showers_of
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.tables import Cell, Column, Table, metric_table, section_tables
from caloforge.evaluation.report.verdict import telling, verdict
from caloforge.files import write_text
from caloforge.geometry import Geometry
from caloforge.viewer import Gallery3D, Widget, widget

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.axes import Axes

DOTS_PER_INCH = 130

PARTS = {
    "separation": "Separation powers",
    "worth": "Worth in Geant4 showers",
    "histograms": "Histograms",
    "showers": "Showers",
    "single": "Single showers",
    "reconstruction": "After reconstruction",
    "classifiers": "Classifiers",
    "correlations": "Correlations",
    "distances": "Distances",
    "further": "Further",
}
"""Parts of the page: key (`Section.page`) → title. Another key makes another part."""

SHORT = 4
"""Sections of up to so many metrics are part of the key numbers."""

FIRST = 6
"""Findings shown at once; the others unfold."""

LONGEST = 300
"""Characters of an attribute on the page; the rest is in report.json."""


@dataclass(frozen=True)
class PageFigure:
    """A figure ready for the template.

    Args:
        name, title, caption: of the figure.
        png: the picture in base64.
        width, height: in pixels.
        least: narrowest readable width in pixels; on a narrower screen it scrolls in its frame.
        widget: shows the same showers in 3-D, or others like them.
    """

    name: str
    title: str
    caption: str
    png: str
    width: int
    height: int
    least: int
    widget: Widget | None = None


def render(records: Records, folder: Path) -> Path:
    """Draw the figures into `folder/figures` (PNG and PDF), and write `folder/report.html`.

    Returns:
        the page's path.
    """
    from caloforge import plots
    from caloforge.evaluation.report.figures import figures

    first = [
        inlined(plots.histogram(records.hists[name]), f"observable_{name}", words)
        for name, words in telling(records).items()
    ]
    drawn: dict[str, list[PageFigure]] = {}
    into, page = folder / "figures", folder / "report.html"
    into.mkdir()
    for each in figures(records):
        shown = inlined(each.draw(), each.name, each.title, each.caption, into)
        drawn.setdefault(each.page, []).append(replace(shown, widget=_widget(records, each.name)))
    write_text(page, environment().get_template("report.html.j2").render(**_content(records, first, drawn)))
    return page


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


def key_metrics(records: Records) -> list[Metric]:
    """The numbers of all sections that have only a few, a user's own included.

    Further ones are left out, and descriptive ones, of which none is better than another.
    """
    chosen = []
    for name, section in records.sections.items():
        found = [metric for metric in records.section(name, at="") if metric.estimate is not None]
        if section.direction == "nearer":
            found = [metric for metric in found if metric.pull is not None]
        chosen += found if len(found) <= SHORT and section.page != "further" else []
    return chosen


def key_table(records: Records) -> Table:
    """`key_metrics` as a table."""
    return metric_table(records, key_metrics(records), Section("key_numbers", "Key numbers"), titled=True)


def notebook(records: Records) -> str:
    """Verdict and key numbers as HTML for a notebook."""
    content = {"verdict": verdict(records), "table": key_table(records)}
    return environment().get_template("notebook.html.j2").render(**content)


def inlined(drawn: Axes, name: str, title: str, caption: str = "", folder: Path | None = None) -> PageFigure:
    """A figure for the page, from its axes; with a folder also as PNG and PDF files there."""
    from caloforge.plots.style import figure_of

    figure, raw = figure_of(drawn), io.BytesIO()
    figure.savefig(raw, format="png", dpi=DOTS_PER_INCH)
    if folder is not None:
        (folder / f"{name}.png").write_bytes(raw.getvalue())
        # Without the date, the same report gives the same bytes.
        figure.savefig(folder / f"{name}.pdf", dpi=200, metadata={"CreationDate": None})
    width, height = figure.get_size_inches()
    pixels = round(width * DOTS_PER_INCH), round(height * DOTS_PER_INCH)
    png = base64.b64encode(raw.getvalue()).decode("ascii")
    return PageFigure(name, title, caption, png, *pixels, round(width * 75))


def _widget(records: Records, name: str) -> Widget | None:
    """The widget of a chart that holds whole showers."""
    found = [chart.data["whole"] for chart in records.charts if chart.name == name and "whole" in chart.data]
    if not found:
        return None
    whole = found[0]
    geometry = Geometry.from_dict(whole["geometry"], f"chart {name}")
    generated, reference = (showers_of(whole[key], geometry) for key in ("generated", "reference"))
    gallery = Gallery3D("generated", generated, reference, "nearest reference shower")
    return widget([gallery], str(whole["detector"]), heading="h4", embedded=True)


def _content(records: Records, first: list[PageFigure], drawn: Mapping[str, list[PageFigure]]) -> dict[str, Any]:
    tables: dict[str, list[Table]] = {}
    for section in records.sections.values():
        tables.setdefault(section.page, []).extend(section_tables(records, section))
    tables.setdefault("further", []).extend(about_tables(records))
    keys = [key for key in dict.fromkeys([*PARTS, *drawn, *tables]) if drawn.get(key) or tables.get(key)]
    parts = [
        {
            "key": key,
            "title": PARTS.get(key, key.replace("_", " ").capitalize()),
            "figures": drawn.get(key, []),
            "tables": tables.get(key, []),
        }
        for key in keys
    ]
    found = verdict(records)
    return {
        "about": records.about,
        "created": records.about.created.replace("T", " ")[:16],
        "verdict": found,
        "first": first,
        "points": found.points[:FIRST],
        "more": found.points[FIRST:],
        "key": key_table(records),
        "parts": parts,
        "widget": next((each.widget for shown in drawn.values() for each in shown if each.widget is not None), None),
    }


def about_tables(records: Records) -> list[Table]:
    """What was compared: the attributes of both files next to each other, and the settings."""
    about = records.about
    samples = {name: _flat(asdict(getattr(about, name))) for name in ("generated", "reference")}
    keys = dict.fromkeys(key for sample in samples.values() for key in sample)
    rows: list[tuple[Cell, ...]] = [
        (Cell(key), *(Cell(sample.get(key, "")) for sample in samples.values())) for key in keys
    ]
    titles = (Column("", kind="text"), *(Column(name, kind="text") for name in samples))
    rest = {f.name: getattr(about, f.name) for f in fields(about) if f.name not in (*samples, "geometry")}
    plain = {key: asdict(value) if key in ("baseline", "spectrum") else value for key, value in rest.items()}
    settings: list[tuple[Cell, ...]] = [(Cell(key), Cell(value)) for key, value in _flat(plain).items()]
    return [
        Table("samples", "Samples", "", titles, rows),
        Table("settings", "Settings and times", "", (titles[0], Column("value", kind="text")), settings),
    ]


def _flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            found |= _flat(value, "" if key == "attributes" else f"{prefix}{key} ")
        else:
            text = "" if value is None else str(value)
            found[prefix + key] = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return found
