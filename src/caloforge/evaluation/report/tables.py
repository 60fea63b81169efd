"""One kind of table for page, terminal and CSV files: rows are metrics, columns what is known of any metric.

Columns: label, value with as many showers per sample as the baseline, baseline, pull, value on the full samples, and
the extras that the section names. Metrics at single incident energies make a second table, a column per energy.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from caloforge import formatting
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.saving import metric_to_plain

BAR_DECADES = 5
"""Bars of separation powers start at 10 to minus this."""

FULL = ("value (full samples)", "on all showers of both samples, with its error")
BASELINE = (
    "baseline",
    "the same between independent reference samples (Geant4 vs Geant4), with its spread; or the value that a perfect "
    "generator is expected to have, where it is known exactly",
)
PULL = ("pull", "value minus baseline in standard errors of both, or minus the expected value in its own")


@dataclass(frozen=True)
class Cell:
    """A cell: text, a shorter one for terminals, what it sorts by, and how it looks.

    Args:
        text, short: the content.
        sort: number or text by which rows are sorted.
        level: good, note or bad, best where reports are compared, or empty.
        bar, mark: value and baseline on a logarithmic line, in per cent of its length.
    """

    text: str
    short: str = ""
    sort: float | str | None = None
    level: str = ""
    bar: float | None = None
    mark: float | None = None


@dataclass(frozen=True)
class Column:
    """A column: its title, a hint, and its kind.

    Kinds are text, number, pull, bar, report (the first column of a report) and, after these, extra (not shown on
    narrow screens).
    """

    title: str
    hint: str = ""
    kind: str = "number"


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: file stem of the CSV file, and anchor on the page.
        title, note: above it.
        columns: of the page and the terminal.
        rows: a cell for each column; a row of two cells is a label and the reason why there is no number.
        data: what the CSV file holds, every number in full precision.
    """

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)


def section_tables(records: Records, section: Section) -> list[Table]:
    """The tables of a section: all showers, and where there are any, single incident energies, bins and cells."""
    found = records.section(section.name)
    whole = [metric for metric in found if not metric.at]
    by: dict[str, list[Metric]] = {}
    for metric in found:
        if metric.at:
            by.setdefault(str(metric.extra.get("by", "")), []).append(metric)
    tables = []
    if whole:
        tables.append(metric_table(records, whole, section))
    return [*tables, *(energy_table(records, metrics, section, name) for name, metrics in by.items())]


def metric_table(records: Records, metrics: Sequence[Metric], section: Section, titled: bool = False) -> Table:
    """The table of `metrics` (of any sections), with title, note and extra columns of `section`.

    With `titled`, labels begin with the titles of the metrics' own sections.
    """
    known = [metric.estimate for metric in metrics if metric.estimate is not None]
    sizes = {estimate.n for estimate in known if estimate.n}
    at_n = any(estimate.value_at_n is not None for estimate in known)
    several = len(sizes) > 1
    size = formatting.number(sizes.pop()) if len(sizes) == 1 else "N"
    columns = [Column("", kind="text")]
    columns += [Column("size", f"value on a logarithmic line, 10⁻{BAR_DECADES} to 1; the mark is the baseline", "bar")]
    columns += [Column(f"value ({size} per sample)" if at_n else "value", f"with {size} showers per sample")]
    columns += [Column(*BASELINE), Column(*PULL, "pull"), Column(*FULL), Column("N", "showers per sample")]
    columns += [Column(title, kind=f"{_kind(metrics, key)} extra") for key, title in section.extra.items()]
    kept = [True, section.page == "separation", True]
    kept += [any(e.target is not None for e in known), any(e.pull is not None for e in known), at_n, several]
    kept += [any(key in metric.extra for metric in metrics) for key in section.extra]
    rows = []
    for metric in metrics:
        label, *cells = _cells(records, metric, section)
        if titled:
            label = Cell(label_of(metric, records.sections[metric.section]))
        chosen = [cell for cell, keep in zip((label, *cells), kept, strict=True) if keep]
        rows.append(tuple(chosen) if metric.estimate is not None else (label, Cell(metric.reason)))
    titles = tuple(column for column, keep in zip(columns, kept, strict=True) if keep)
    data = flat(metrics)
    return Table(section.name, section.title, section.note, titles if known else titles[:2], rows, data)


def label_of(metric: Metric, section: Section | None = None) -> str:
    """The label with its unit; among metrics of several sections after its section's title, if that adds anything."""
    words = f"{metric.label} [{metric.unit}]" if metric.unit else metric.label
    if section is None:
        return words
    title, label = section.title.lower(), metric.label.lower()
    # "precision" is one of "Precision, recall, density and coverage"; "number of hits" is less than its mean.
    says_enough = title in label or label in re.split(r", | and ", title)
    return words if says_enough else f"{section.title}: {words}"


def _kind(metrics: Iterable[Metric], key: str) -> str:
    return "text" if any(isinstance(metric.extra.get(key), str) for metric in metrics) else "number"


def _cells(records: Records, metric: Metric, section: Section) -> tuple[Cell, ...]:
    words, estimate = label_of(metric), metric.estimate
    if estimate is None:
        return (Cell(words), *(Cell("") for _ in range(6 + len(section.extra))))
    level = level_of(records.excess(metric))
    value, error = estimate.compared, estimate.error
    full = estimate.value if estimate.value_at_n is not None else None
    extras = [_extra(records, metric.extra.get(key), title) for key, title in section.extra.items()]
    shown = Cell(formatting.with_error(value, error), formatting.compact(value, error), value)
    if estimate.value_at_n is not None:
        shown = Cell(text := formatting.like(value, error), text, value)
    return (
        Cell(words),
        Cell("", "", value, level, _position(value), _position(estimate.baseline)),
        shown,
        baseline_cell(estimate, formatting.with_error),
        Cell(text := formatting.pull(estimate.pull), text, estimate.pull, level),
        Cell(formatting.with_error(full, error), formatting.compact(full, error), full),
        Cell(text := formatting.number(estimate.n), text, estimate.n),
        *extras,
    )


def baseline_cell(estimate: Estimate, form: Callable[[float | None, float | None], str]) -> Cell:
    """What the pull is taken from: `0 (expected)`, or the baseline, on the page in the given form."""
    if estimate.expected is not None:
        return Cell(text := f"{formatting.number(estimate.expected)} (expected)", text, estimate.expected)
    short = formatting.compact(estimate.baseline, estimate.baseline_error)
    return Cell(form(estimate.baseline, estimate.baseline_error), short, estimate.baseline)


def _extra(records: Records, value: Any, title: str) -> Cell:
    if isinstance(value, str):
        return Cell(text := records.observable_in_words(value), text, value)
    text = formatting.number(100 * value, 2) if "%" in title and isinstance(value, float) else formatting.number(value)
    return Cell(text, text, value)


def _position(value: float | None) -> float | None:
    """Place of a separation power on the bar's logarithmic line, in per cent."""
    if value is None:
        return None
    return round(100 * min(1.0, max(0.0, 1 + math.log10(value) / BAR_DECADES)), 1) if value > 0 else 0.0


def energy_table(records: Records, metrics: Sequence[Metric], section: Section, by: str = "") -> Table:
    """Rows are quantities, columns incident energies, or bins of a condition or cells: values, coloured by pulls."""
    labels = list(dict.fromkeys(metric.at for metric in metrics))
    by_key = {(metric.name, metric.at): metric for metric in metrics}
    rows = []
    for name in dict.fromkeys(metric.name for metric in metrics):
        found = [by_key.get((name, label)) for label in labels]
        first = next(metric for metric in found if metric is not None)
        rows.append((Cell(label_of(first)), *(_at(records, metric) for metric in found)))
    columns = (Column("", kind="text"), *(Column(label, kind="pull") for label in labels))
    name, title, what = f"{section.name}_per_energy", f"{section.title}, at each incident energy", "incident energy"
    if by:
        name, title, what = f"{section.name}_by_{_word(by)}", f"{section.title}, by {by}", "bin"
    note = f"Values at each {what}; colours tell how far they lie above their own baselines."
    return Table(name, title, note, columns, rows, flat(metrics))


def _word(by: str) -> str:
    return "_".join(re.findall(r"\w+", by))


def _at(records: Records, metric: Metric | None) -> Cell:
    if metric is None:
        return Cell("")
    if metric.estimate is None:
        return Cell("–", sort=metric.reason)
    value = metric.estimate.compared
    text = formatting.compact(value, metric.estimate.error)
    return Cell(text, text, value, level_of(records.excess(metric)))


def flat(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """The metrics as flat mappings, extras among the other keys."""
    rows = []
    for metric in metrics:
        entry = metric_to_plain(metric)
        rows.append({**{key: value for key, value in entry.items() if key != "extra"}, **entry.get("extra", {})})
    return rows


def pairs(chart: Chart) -> list[dict[str, Any]]:
    """The pairs of a matrix chart as flat mappings: first, second, generated, reference, difference."""
    names, keys = chart.data["names"], ("generated", "reference", "difference")
    found = combinations(range(len(names)), 2)
    return [{"first": names[i], "second": names[j], **{k: chart.data[k][i][j] for k in keys}} for i, j in found]


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write flat mappings, every number in full precision, every key as a column."""
    keys = dict.fromkeys(key for row in rows for key in row)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        writer = csv.DictWriter(out, list(keys), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
