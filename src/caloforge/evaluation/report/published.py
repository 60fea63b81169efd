"""What the submissions of the Fast Calorimeter Simulation Challenge 2022 reached (arXiv:2410.21611)."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from caloforge import formatting
from caloforge.errors import CaloforgeError
from caloforge.evaluation.report.tables import Cell, Column, Table
from caloforge.formatting import listed

DATA_SETS = {"ds1-photons": "1-photons", "ds1-pions": "1-pions", "ds2": "2", "ds3": "3"}
"""Geometry → the challenge's name of the data set."""

FILE = Path(__file__).parent / "calochallenge" / "calochallenge_2022.csv"

NOTE = (
    "Published numbers of the Fast Calorimeter Simulation Challenge 2022 (arXiv:2410.21611): official data sets, "
    "official training and test files, times on the challenge's own machines. Not measured here, and not comparable "
    "with the reports above unless these used the official files; never compare times across machines."
)

COLUMNS = {
    "mean_separation": "mean separation power",
    "auc_low": "AUC, voxels",
    "auc_high": "AUC, high-level",
    "fpd_e3": "FPD × 10³",
    "auc_resnet": "AUC, ResNet",
    "kpd_e3": "KPD × 10³",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "parameters": "parameters",
    "cpu_ms_b1": "CPU ms, batch 1",
    "cpu_ms_b100": "CPU ms, batch 100",
    "cpu_ms_b10000": "CPU ms, batch 10 000",
    "gpu_ms_b1": "GPU ms, batch 1",
    "gpu_ms_b100": "GPU ms, batch 100",
    "gpu_ms_b10000": "GPU ms, batch 10 000",
}
"""Column of the file → its title; the columns called `…_std` are their errors."""


def published_table(geometry: str) -> Table:
    """The submissions' numbers on the data set of `geometry`.

    Raises:
        CaloforgeError: the challenge has no such data set.
    """
    if geometry not in DATA_SETS:
        known = ", ".join(DATA_SETS)
        raise CaloforgeError(f"no published numbers for '{geometry}'; there are some for {known}, or say none")
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.pop("dataset") == DATA_SETS[geometry]]
    shown = {key: title for key, title in COLUMNS.items() if any(row[key] for row in rows)}
    cells = [(Cell(row["submission"]), *(_cell(row, key) for key in shown)) for row in rows]
    columns = (Column("submission", kind="text"), *(Column(title) for title in shown.values()))
    data = [{key: _number(text) if key != "submission" else text for key, text in row.items()} for row in rows]
    return Table("published", f"CaloChallenge 2022, {geometry}", NOTE, columns, cells, data)


def _cell(row: dict[str, str], key: str) -> Cell:
    value, error = _number(row[key]), _number(row.get(f"{key}_std", ""))
    if isinstance(value, int):
        return Cell(text := formatting.number(value), text, value)
    return Cell(formatting.with_error(value, error), formatting.compact(value, error), value)


def _number(text: str) -> float | int | None:
    if not text:
        return None
    value = float(text)
    return int(value) if value.is_integer() and abs(value) > 1000 else value


def choose_published(geometries: set[str], wanted: str | None) -> Table | None:
    """The numbers to show next to reports: of the geometry that is asked for, else of their common one, else none.

    Where the reports have another geometry, the note says so.

    Raises:
        CaloforgeError: there are none for the geometry that is asked for.
    """
    if wanted == "none":
        return None
    if wanted is not None:
        table = published_table(wanted)
        others = sorted(geometries - {wanted})
        if not others:
            return table
        return replace(table, note=f"Reports of {listed(others)} cannot be compared with numbers of {wanted}. {NOTE}")
    only = next(iter(geometries)) if len(geometries) == 1 else ""
    return published_table(only) if only in DATA_SETS else None
