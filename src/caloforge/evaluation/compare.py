"""Several reports side by side, and beside them, apart, what the challenge's submissions reached.

The published numbers (arXiv:2410.21611) were taken on the official data sets, and the times on the challenge's own
machines; they are company for numbers of the same name, not a race run together, and the page says so.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.evaluation.html import PageTable, environment, page_table
from caloforge.evaluation.labels import classifier_title, describe
from caloforge.evaluation.metric_tables import JSD_NOTE, auc_entry, sample_table
from caloforge.evaluation.tables import Column, Row, Table, write_csv
from caloforge.files import atomic_folder, write_json, write_text

PUBLISHED = {"ds1-photons": "1-photons", "ds1-pions": "1-pions", "ds2": "2", "ds3": "3"}
"""Geometry → the challenge's name of the data set."""

PUBLISHED_FILE = Path(__file__).parent / "published" / "calochallenge_2022.csv"

PUBLISHED_NOTE = (
    "Published numbers of the Fast Calorimeter Simulation Challenge 2022 (arXiv:2410.21611): official data sets, "
    "official training and test files, times on the challenge's own machines. Not measured here, and not comparable "
    "with the reports above unless these used the official files; never compare times across machines."
)


@dataclass(frozen=True)
class Entry:
    """A report to compare: the name of its column, and its data."""

    name: str
    data: dict[str, Any]


def load_reports(paths: Sequence[str | os.PathLike[str]]) -> list[Entry]:
    """Read reports, given as folders or as `report.json` files; each gets a name of its own.

    Raises:
        CaloforgeError: a path is no report, or fewer than one was given.
    """
    if not paths:
        raise CaloforgeError("give at least one report: a folder that `caloforge evaluate` wrote, or its report.json")
    files = [_file_of(Path(path)) for path in paths]
    return [Entry(name, _read(file)) for name, file in zip(_names(files), files, strict=True)]


def _file_of(path: Path) -> Path:
    file = path / "report.json" if path.is_dir() else path
    if not file.exists():
        raise CaloforgeError(f"{file}: no such report; make one with caloforge evaluate")
    return file


def _read(file: Path) -> dict[str, Any]:
    wanted = "give folders that `caloforge evaluate` wrote, or their report.json"
    try:
        with file.open("rb") as raw:
            if raw.read(4) == b"\x89HDF":
                raise CaloforgeError(
                    f"{file} holds showers, not a report: judge it first (caloforge evaluate {file.name} "
                    "--reference REFERENCE -o FOLDER), then compare FOLDER"
                )
        data = json.loads(file.read_text(encoding="utf-8"))
    except CaloforgeError:
        raise
    except OSError as error:
        raise CaloforgeError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        reason = "not JSON" if isinstance(error, json.JSONDecodeError) else "not text"
        raise CaloforgeError(f"{file} is no report of caloforge ({reason}): {wanted}") from None
    if not isinstance(data, dict) or not {"geometry", "generated", "reference", "separation_power"} <= data.keys():
        raise CaloforgeError(f"{file} is no report of caloforge (it lacks separation powers or samples): {wanted}")
    return data


def _names(files: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart, then a number."""
    parts = [file.resolve().parent.parts for file in files]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{p[-1]} ({k + 1})" for k, p in enumerate(parts)]


def remarks(entries: Sequence[Entry]) -> list[str]:
    """Why the columns may not be comparable, one line each."""
    found = []
    for key, words in (("geometry", "geometries"), ("threshold_mev", "readout thresholds")):
        values = list(dict.fromkeys(str(entry.data.get(key)) for entry in entries))
        if len(values) > 1:
            found.append(f"The reports have different {words}: {', '.join(values)}.")
    references = {(Path(str(e.data["reference"].get("path"))).name, e.data["reference"].get("n")) for e in entries}
    if len(references) > 1:
        listed = ", ".join(f"{name} ({n} showers)" for name, n in sorted(references, key=str))
        found.append(f"The reports were made against different references: {listed}.")
    sizes = {(entry.data.get("floor") or {}).get("n") for entry in entries}
    if len(sizes) > 1:
        found.append(
            "The floors were taken with different numbers of showers: "
            + ", ".join(f"{e.name} {(e.data.get('floor') or {}).get('n')}" for e in entries)
            + ". Compare each value with its own floor."
        )
    return found


def _metrics(data: dict[str, Any]) -> dict[str, Row]:
    """Headline metrics by name: entries, and how far each is from a perfect generator's (`away`)."""
    found: dict[str, Row] = {}
    samples = sample_table(data)
    for row in samples.rows if samples else []:
        found[row["metric"]] = {**row, "away": _excess(row)}
        if row["metric"] in ("precision", "recall", "density", "coverage") and found[row["metric"]]["away"] is not None:
            found[row["metric"]]["away"] = abs(found[row["metric"]]["away"])
    for key, test in (data.get("classifier") or {}).items():
        if not isinstance(test, dict):
            continue
        auc = auc_entry(test)
        words = classifier_title(key)
        away = abs(auc["value"] - 0.5) if "value" in auc else None
        found[f"auc_{key}"] = {**auc, "description": f"AUC, {words}", "away": away}
        jsd = {"value": test.get("jsd"), "error": test.get("jsd_std")}
        jsd |= {"floor": test.get("floor_jsd"), "floor_error": test.get("floor_jsd_std")}
        found[f"jsd_{key}"] = {**jsd, "description": f"JSD, {words}", "away": jsd["value"]}
    return found


def _observables(data: dict[str, Any], section: str) -> dict[str, Row]:
    entries = data.get(section) or {}
    return {
        name: {**entry, "description": describe(name), "away": _excess(entry)}
        for name, entry in entries.items()
        if isinstance(entry, dict)
    }


def _excess(entry: Row) -> float | None:
    """How far a value lies above its floor, both at the same number of showers."""
    value = entry.get("value_at_n", entry.get("value"))
    return value - (entry.get("floor") or 0.0) if isinstance(value, (int, float)) else None


def _side_by_side(entries: Sequence[Entry], found: list[dict[str, Row]], name: str, title: str, note: str) -> Table:
    """A row per metric; of each report the value at N, its floor, the pull, and the value of all showers.

    `best` names the report that is nearest to a perfect generator, with those that are no farther within twice the
    errors of both; `NAME best` marks them one by one, none where all are alike.
    """
    metrics = dict.fromkeys(metric for report in found for metric in report)
    rows: list[Row] = []
    for metric in metrics:
        row: Row = {"metric": metric}
        away: dict[str, tuple[float, float]] = {}
        for entry, report in zip(entries, found, strict=True):
            one = report.get(metric, {})
            row["description"] = row.get("description") or one.get("description")
            row[entry.name], row[f"{entry.name} error"] = one.get("value"), one.get("error")
            row[f"{entry.name} at N"] = one.get("value_at_n")
            row[f"{entry.name} floor"] = one.get("floor")
            row[f"{entry.name} floor error"] = one.get("floor_error")
            row[f"{entry.name} pull"] = one.get("pull")
            if "pull_word" in one:
                row[f"{entry.name} pull_word"] = one["pull_word"]
            if isinstance(one.get("away"), (int, float)):
                away[entry.name] = one["away"], one.get("error") or 0.0
        best = _best(away)
        row["best"] = ("all alike" if len(best) == len(away) else ", ".join(best)) if len(away) > 1 else None
        for each in best if len(best) < len(away) else []:
            row[f"{each} best"] = True
        if away:
            rows.append(row)
    columns = [Column("description", "metric", "text")]
    if len(entries) > 1:
        columns.append(Column("best", "best", "text", hint="nearest to perfect; several: alike within errors"))
    for entry in entries:
        hint = "with as many showers as its floor"
        columns.append(Column(f"{entry.name} at N", f"{entry.name} at N", hint=hint, digits=f"{entry.name} error"))
        columns.append(Column(f"{entry.name} floor", "floor at N", error=f"{entry.name} floor error"))
        columns.append(Column(f"{entry.name} pull", "off floor", "pull", hint="in standard errors of both"))
        columns.append(Column(entry.name, "all showers", error=f"{entry.name} error"))
    if len(entries) > 1:
        columns.append(
            Column("best", "best", "text", hint="nearest to a perfect generator; several: alike within errors")
        )
    return Table(name, "compare", title, note, tuple(columns), rows)


def _best(away: dict[str, tuple[float, float]]) -> list[str]:
    """The names that lie nearest to a perfect generator, from (distance, error) of each."""
    if not away:
        return []
    least, error = min(away.values())
    return [name for name, (distance, own) in away.items() if distance - least <= 2 * math.hypot(own, error)]


def comparison_tables(entries: Sequence[Entry]) -> list[Table]:
    """The headline metrics, the separation powers and the Wasserstein distances of all reports."""
    note = (
        "Of each report the value at N showers a side, beside the floor at the same N: the same metric between "
        "independent reference samples. All showers may be more than N, and give smaller distances. Best is what lies "
        f"least above its floor, by more than twice the errors. {JSD_NOTE}"
    )
    tables = [_side_by_side(entries, [_metrics(entry.data) for entry in entries], "compare", "Side by side", note)]
    for section, title in (("separation_power", "Separation powers"), ("wasserstein", "1-Wasserstein distances")):
        found = [_observables(entry.data, section) for entry in entries]
        tables.append(_side_by_side(entries, found, f"compare_{section}", title, ""))
    return [table for table in tables if table.rows]


_PUBLISHED_COLUMNS = (
    Column("submission", "submission", "text"),
    Column("mean_separation", "mean sep.", hint="mean separation power"),
    Column("auc_low", "AUC, voxels", error="auc_low_std"),
    Column("auc_high", "AUC, high-level", error="auc_high_std"),
    Column("auc_resnet", "AUC, ResNet", error="auc_resnet_std"),
    Column("fpd_e3", "FPD × 10³", error="fpd_e3_std"),
    Column("kpd_e3", "KPD × 10³", error="kpd_e3_std"),
    Column("precision", "precision"),
    Column("recall", "recall"),
    Column("density", "density"),
    Column("coverage", "coverage"),
    Column("parameters", "parameters"),
    Column("cpu_ms_b1", "CPU ms, batch 1"),
    Column("cpu_ms_b100", "CPU ms, 100"),
    Column("cpu_ms_b10000", "CPU ms, 10 000"),
    Column("gpu_ms_b1", "GPU ms, batch 1"),
    Column("gpu_ms_b100", "GPU ms, 100"),
    Column("gpu_ms_b10000", "GPU ms, 10 000"),
)


def published_table(geometry: str) -> Table:
    """What the challenge's submissions reached on the data set of `geometry`.

    Raises:
        CaloforgeError: the challenge has no such data set.
    """
    if geometry not in PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise CaloforgeError(f"no published numbers for '{geometry}'; there are some for {known}, or say none")
    with PUBLISHED_FILE.open(newline="", encoding="utf-8") as file:
        rows = [
            {key: _number(value) for key, value in row.items() if key != "dataset"}
            for row in csv.DictReader(file)
            if row["dataset"] == PUBLISHED[geometry]
        ]
    columns = tuple(c for c in _PUBLISHED_COLUMNS if any(row[c.key] is not None for row in rows))
    return Table("published", "published", f"CaloChallenge 2022, {geometry}", PUBLISHED_NOTE, columns, rows)


def _number(text: str) -> float | int | str | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() and abs(value) > 1000 else value


def choose_published(entries: Sequence[Entry], wanted: str | None) -> Table | None:
    """The published numbers that go with the reports: those asked for, else their geometry's, else none."""
    if wanted == "none":
        return None
    if wanted is not None:
        return published_table(wanted)
    geometries = {str(entry.data["geometry"]) for entry in entries}
    only = geometries.pop() if len(geometries) == 1 else ""
    return published_table(only) if only in PUBLISHED else None


def write_comparison(entries: Sequence[Entry], published: Table | None, folder: Path) -> Path:
    """Write `compare.html`, `compare.json` and CSV tables into `folder`, replacing it as a whole.

    Returns:
        The page's path.
    """
    from caloforge import __version__

    tables = comparison_tables(entries)
    pages = [_marked(table, entries) for table in tables]
    text = (
        environment()
        .get_template("compare.html.j2")
        .render(
            title="caloforge comparison",
            names=[entry.name for entry in entries],
            headlines=[(entry.name, (entry.data.get("verdict") or {}).get("headline", "")) for entry in entries],
            remarks=remarks(entries),
            tables=pages,
            published=page_table(published) if published else None,
            version=__version__,
        )
    )
    with atomic_folder(folder) as partial:
        (partial / "tables").mkdir()
        for table in [*tables, *([published] if published else [])]:
            write_csv(table, partial / "tables" / f"{table.name}.csv")
        plain = {table.name: table.rows for table in tables}
        write_json(partial / "compare.json", {"caloforge_version": __version__, "remarks": remarks(entries), **plain})
        write_text(partial / "compare.html", text)
    return folder / "compare.html"


def _marked(table: Table, entries: Sequence[Entry]) -> PageTable:
    """`table` for the page, the best reports of each row in bold."""
    page = page_table(table)
    places = {column.key: k for k, column in enumerate(table.columns)}
    for row, cells in zip(table.rows, page.rows, strict=True):
        for entry in entries:
            if row.get(f"{entry.name} best"):
                keys = f"{entry.name} at N", entry.name
                place = places[keys[row.get(keys[0]) is None]]
                cells[place] = replace(cells[place], level="best")
    return page
