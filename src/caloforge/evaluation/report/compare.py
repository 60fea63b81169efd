"""Several reports next to each other: a join of their metrics on (section, name, at).

Of each report the value, the baseline and the pull, all with as many showers per sample. Best is the report nearest to
a perfect generator, with those that are no farther from it within twice the errors of both. A perfect generator gives
the baseline: distances below it are as good as at it, while a precision or recall above it tells of showers that are
too alike or too scattered, and is as far off as one below.

A folder of reports is one generator that was trained several times (`trainings`): an entry with the mean of each number
and its spread over the trainings.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caloforge import formatting
from caloforge.errors import CaloforgeError
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.page import SHORT, PageFigure, environment, inlined
from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.saving import FORMAT, metric_to_plain
from caloforge.evaluation.report.tables import BASELINE, PULL, Cell, Column, Table, baseline_cell, label_of, write_csv
from caloforge.evaluation.report.trainings import (
    Ensemble,
    check_alike,
    ensemble,
    remark_on_seeds,
    reports_in,
    spread_in_words,
    spread_table,
    together,
)
from caloforge.evaluation.report.verdict import verdict
from caloforge.files import atomic_folder, printable, real, write_json, write_text

NOTE = (
    "Of each report the value with N showers per sample and the baseline (Geant4 vs Geant4) with as many. Best is the "
    "report nearest to a perfect generator, which gives the baseline: of precision, recall, density and coverage too, "
    "the value nearest to the baseline is best, not the highest. Several are named where they agree within twice the "
    "errors of both, none where all do. "
    "Numbers in brackets are errors in units of the last digits; of a generator that was trained several times, the "
    "value is the mean over the trainings and the error their standard deviation."
)

Key = tuple[str, str, str]


@dataclass(frozen=True)
class ComparedReport:
    """A report to compare, and the name of its columns; of several trainings their mean, and the report of each."""

    name: str
    records: Records
    trainings: tuple[Records, ...] = ()


@dataclass(frozen=True)
class Joined:
    """One metric of several reports.

    Args:
        key: (section, name, at).
        metrics: of each report, None where it does not have it.
        best: which reports are best; empty where all are alike, or only one has it.
    """

    key: Key
    metrics: tuple[Metric | None, ...]
    best: tuple[int, ...]

    @property
    def first(self) -> Metric:
        """The first report's that has it: for its label and unit."""
        return next(metric for metric in self.metrics if metric is not None)


def load_reports(paths: Sequence[str | os.PathLike[str]]) -> list[ComparedReport]:
    """Read reports of any format, given as folders or as `report.json` files; each gets a name of its own.

    A folder that holds reports, without being one, is one entry: several trainings of a generator.

    Raises:
        CaloforgeError: a path is not a report, none was given, or reports in one folder do not belong together.
    """
    if not paths:
        raise CaloforgeError("give at least one report: the folder of one, or its report.json")
    folders = [Path(path) if Path(path).is_dir() else Path(path).parent for path in paths]
    return [_entry(name, path) for name, path in zip(_names(folders), paths, strict=True)]


def _entry(name: str, path: str | os.PathLike[str]) -> ComparedReport:
    folder = Path(path)
    inside = [] if (folder / "report.json").exists() else reports_in(folder)
    if not inside:
        return ComparedReport(name, Report.load(path))
    trainings = [Report.load(each) for each in inside]
    check_alike(folder, [each.name for each in inside], trainings)
    return ComparedReport(name, together(name, trainings), tuple(trainings))


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart, then a number."""
    parts = [real(folder).parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [printable("/".join(p[-depth:])) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{printable(p[-1])} ({k + 1})" for k, p in enumerate(parts)]


def remarks(entries: Sequence[ComparedReport]) -> list[str]:
    """Why the columns may not be comparable, one line each."""
    found = [text for entry in entries if (text := remark_on_seeds(entry.name, entry.trainings))]
    abouts = [entry.records.about for entry in entries]
    thresholds = [f"{about.threshold_mev:g} MeV" for about in abouts]
    differ = {"geometries": [about.geometry_name for about in abouts], "readout thresholds": thresholds}
    for words, values in differ.items():
        if len(set(values)) > 1:
            found.append(f"The reports have different {words}: {', '.join(dict.fromkeys(values))}.")
    references = {(Path(about.reference.path).name, about.reference.n) for about in abouts}
    if len(references) > 1:
        listed = ", ".join(f"{name} ({n} showers)" for name, n in sorted(references))
        found.append(f"The reports have different references: {listed}.")
    if len({about.baseline.n for about in abouts}) > 1:
        sizes = ", ".join(f"{entry.name} {entry.records.about.baseline.n}" for entry in entries)
        found.append(f"The baselines have different numbers of showers: {sizes}. Compare each value with its own.")
    return found


def sections_of(entries: Sequence[ComparedReport]) -> dict[str, Section]:
    """The sections of all reports; where several have one, the first report's."""
    sections: dict[str, Section] = {}
    for entry in entries:
        sections |= {name: each for name, each in entry.records.sections.items() if name not in sections}
    return sections


def join(entries: Sequence[ComparedReport]) -> list[Joined]:
    """Every metric of every report, in the order of the reports."""
    found = [{metric.key: metric for metric in entry.records.metrics} for entry in entries]
    sections = sections_of(entries)
    joined = []
    for key in dict.fromkeys(key for metrics in found for key in metrics):
        metrics = tuple(each.get(key) for each in found)
        own = next((metric.direction for metric in metrics if metric is not None), None)
        section = sections.get(key[0])
        joined.append(_joined(key, metrics, own or ("lower" if section is None else section.direction)))
    return joined


def _joined(key: Key, metrics: tuple[Metric | None, ...], direction: str) -> Joined:
    away: dict[int, tuple[float, float]] = {}
    for k, metric in enumerate(metrics):
        if metric is not None and (distance := _away(metric, direction)) is not None:
            away[k] = distance, (metric.estimate.error or 0.0) if metric.estimate else 0.0
    if len(away) < 2:
        return Joined(key, metrics, ())
    least, error = min(away.values())
    best = tuple(k for k, (distance, own) in away.items() if distance - least <= 2 * math.hypot(own, error))
    return Joined(key, metrics, best if len(best) < len(away) else ())


def _away(metric: Metric, direction: str) -> float | None:
    """How far a value is from that of a perfect generator, the baseline or expected value; None where there is none.

    Distances (`lower`) cannot be better than their baseline, except by accident.
    """
    estimate = metric.estimate
    if estimate is None or math.isnan(estimate.compared):
        return None
    if estimate.target is None:
        return None
    difference = (estimate.value if estimate.expected is not None else estimate.compared) - estimate.target
    return max(0.0, difference) if direction == "lower" else abs(difference)


def comparison_tables(entries: Sequence[ComparedReport]) -> list[Table]:
    """First the numbers of all sections that have only a few, then a table for each other section; all showers only."""
    sections = sections_of(entries)
    by_section: dict[str, list[Joined]] = {}
    for each in join(entries):
        by_section.setdefault(each.key[0], []).append(each)
    short: list[Joined] = []
    tables = []
    key_sections = sections_of_key_numbers(entries)
    for name, section in sections.items():
        whole = [each for each in by_section.get(name, []) if not each.key[2]]
        if name in key_sections:
            short += whole
        elif whole:
            tables.append(_table(entries, whole, section))
    key = Section("key_numbers", "Key numbers", NOTE)
    return [*([_table(entries, short, key, sections)] if short else []), *tables]


def sections_of_key_numbers(entries: Sequence[ComparedReport]) -> set[str]:
    """The sections whose numbers make up the table of key numbers."""
    sections = sections_of(entries)
    sizes = Counter(each.key[0] for each in join(entries) if not each.key[2])
    return {name for name, section in sections.items() if sizes[name] <= SHORT and section.page != "further"}


def spread_tables(entries: Sequence[ComparedReport], sections: Collection[str] | None = None) -> list[Table]:
    """For each generator that was trained several times, its spread (see `trainings.spread_table`)."""
    return [spread_table(entry.name, entry.records, sections) for entry in entries if entry.trainings]


def ensembles(entries: Sequence[ComparedReport]) -> list[Ensemble]:
    """Pulls against Geant4 of the generators that were trained several times; none where reports lack histograms."""
    found = [ensemble(entry.name, entry.trainings) for entry in entries if entry.trainings]
    return [each for each in found if each is not None]


def findings(entries: Sequence[ComparedReport], pulls: Sequence[Ensemble]) -> list[str]:
    """What the trainings of each generator say, a line each."""
    lines = [spread_in_words(entry.name, entry.records) for entry in entries if entry.trainings]
    return [line for line in [*lines, *map(str, pulls)] if line]


def _table(
    entries: Sequence[ComparedReport],
    joined: Sequence[Joined],
    section: Section,
    titles: dict[str, Section] | None = None,
) -> Table:
    columns = [Column("", kind="text")]
    for entry in entries:
        columns += [Column(entry.name, "value with as many showers per sample as its baseline", "report")]
        columns += [Column(*BASELINE), Column(*PULL, "pull")]
    several = len(entries) > 1
    if several:
        columns.append(Column("best", "nearest to a perfect generator", "text"))
    rows: list[tuple[Cell, ...]] = []
    for each in joined:
        cells = [Cell(label_of(each.first, None if titles is None else titles[each.key[0]]))]
        if all(metric is None or metric.estimate is None for metric in each.metrics):
            reasons = dict.fromkeys(metric.reason for metric in each.metrics if metric is not None)
            rows.append((cells[0], Cell("; ".join(reasons))))
            continue
        for k, (entry, metric) in enumerate(zip(entries, each.metrics, strict=True)):
            cells += _cells(entry.records, metric, k in each.best)
        best = ", ".join(entries[k].name for k in each.best)
        rows.append(tuple([*cells, Cell(best, best, best)] if several else cells))
    data = [row for each in joined for row in _data(entries, each)]
    return Table(section.name, section.title, section.note, tuple(columns), rows, data)


def _cells(records: Records, metric: Metric | None, best: bool) -> list[Cell]:
    if metric is None or metric.estimate is None:
        return [Cell("–", "–"), Cell(""), Cell("")]
    estimate = metric.estimate
    value, error = estimate.compared, estimate.error
    return [
        Cell(text := formatting.compact(value, error), text, value, "best" if best else ""),
        baseline_cell(estimate, formatting.compact),
        Cell(text := formatting.pull(estimate.pull), text, estimate.pull, level_of(records.excess(metric))),
    ]


def _data(entries: Sequence[ComparedReport], each: Joined) -> list[dict[str, Any]]:
    """One flat mapping per report that has the metric."""
    rows = []
    for k, (entry, metric) in enumerate(zip(entries, each.metrics, strict=True)):
        if metric is not None:
            plain = metric_to_plain(metric)
            extra = plain.pop("extra", {})
            rows.append({"report": entry.name, **plain, "best": k in each.best} | (extra if entry.trainings else {}))
    return rows


def write_comparison(entries: Sequence[ComparedReport], published: Table | None, folder: Path) -> Path:
    """Write `compare.html`, `compare.json`, CSV tables and, of several trainings, figures of their pulls.

    `folder` is replaced as a whole.

    Returns:
        the page's path.
    """
    from caloforge import __version__

    pulls = ensembles(entries)
    tables = [*comparison_tables(entries), *spread_tables(entries), *(each.table() for each in pulls)]
    metrics = [row for each in join(entries) for row in _data(entries, each)]
    content = {
        "names": [entry.name for entry in entries],
        "verdicts": [(entry.name, verdict(entry.records)) for entry in entries],
        "findings": findings(entries, pulls),
        "remarks": remarks(entries),
        "tables": tables,
        "published": published,
        "version": __version__,
    }
    words = {key: content[key] for key in ("findings", "remarks")}
    document = {"format": FORMAT, "caloforge_version": __version__, **words, "metrics": metrics}
    with atomic_folder(folder) as partial:
        (partial / "tables").mkdir()
        figures = _figures([each.chart() for each in pulls], partial / "figures")
        text = environment().get_template("compare.html.j2").render(**content, figures=figures)
        for table in [*tables, *([published] if published else [])]:
            write_csv(table.data, partial / "tables" / f"{table.name}.csv")
        write_json(partial / "compare.json", document)
        write_text(partial / "compare.html", text)
    return folder / "compare.html"


def _figures(charts: Sequence[Chart], folder: Path) -> list[PageFigure]:
    """Charts for the page, and as files in `folder`, which is created if there are any."""
    if not charts:
        return []
    from caloforge import plots

    folder.mkdir()
    return [inlined(plots.draw(c.kind, c.data), c.name, c.title, c.caption, folder) for c in charts]
