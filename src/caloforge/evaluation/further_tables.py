"""All tables of a report: those of single metrics, and whatever else `report.json` holds.

No number of the report is missing from them, so that a section that is new needs no table of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from caloforge.evaluation.metric_tables import (
    classifier_table,
    kl_table,
    lecture_table,
    response_table,
    sample_table,
    separation_table,
    wasserstein_table,
)
from caloforge.evaluation.tables import FLOOR, PULL, VALUE, Column, Row, Table, fits, flatten


def correlation_tables(data: Mapping[str, Any]) -> list[Table]:
    """Every pair of every correlation matrix, for CSV files; the page shows them as figures."""
    tables = []
    for kind, entry in (data.get("correlations") or {}).items():
        if not isinstance(entry, Mapping) or "names" not in entry:
            continue
        names = [str(name) for name in entry["names"]]
        rows: list[Row] = []
        for i, a in enumerate(names):
            for j, b in list(enumerate(names))[i + 1 :]:
                row = {"first": a, "second": b, **{k: entry[k][i][j] for k in ("generated", "reference", "difference")}}
                constant = [name for name in (a, b) if name in entry.get("constant", ())]
                if row["difference"] is None and constant:
                    row["unavailable"] = f"constant in a sample: {', '.join(constant)}"
                rows.append(row)
        tables.append(Table(f"correlations_{kind}", "correlations", f"Correlations, {kind}", "", (), rows))
    return tables


_OWN = {
    "separation_power",
    "wasserstein",
    "kl",
    "lecture_w1",
    "mean_separation_power",
    "fpd",
    "kpd",
    "prdc",
    "classifier",
    "response",
    "correlations",
    "verdict",
    "generated",
    "reference",
    "command",
    "errors",
    "binning",
}

_TITLES = {
    "floor": "Floor",
    "profiles": "Profiles",
    "duplicates": "Duplicates and memorised showers",
    "always_zero_voxels": "Voxels that are always zero",
    "per_energy": "Per incident energy",
    "timing": "Time of this evaluation, seconds",
    "spectrum": "Incident energies",
}


def files_table(data: Mapping[str, Any]) -> Table | None:
    """What was compared: path, number of showers and the files' own attributes."""
    sides = {side: data[side] for side in ("generated", "reference") if isinstance(data.get(side), Mapping)}
    flat = {side: flatten(entry) for side, entry in sides.items()}
    quantities = dict.fromkeys(key for row in flat.values() for key in row)
    rows = [
        {"quantity": key.removeprefix("attributes_"), **{side: row.get(key) for side, row in flat.items()}}
        for key in quantities
    ]
    if not rows:
        return None
    columns = (Column("quantity", "quantity", "text"), *(Column(side, side, "text") for side in flat))
    return Table("files", "further", "Files", "", columns, rows)


def further_tables(data: Mapping[str, Any]) -> list[Table]:
    """Whatever else the report holds, so that no number of it is missing from the page."""
    tables = []
    loose: list[Row] = []
    for key, entry in data.items():
        if key in _OWN:
            continue
        if not isinstance(entry, (Mapping, list)):
            loose.append({"quantity": key, "value": entry})
            continue
        for table in _generic(key, entry):
            tables.append(table)
    if loose:
        tables.append(_quantities("settings", "Settings", loose))
    return tables


def _generic(key: str, entry: Mapping[str, Any] | list[Any]) -> Iterable[Table]:
    title = _TITLES.get(key, key.replace("_", " ").capitalize())
    if isinstance(entry, list):
        rows = [flatten(item) if isinstance(item, Mapping) else {"value": item} for item in entry]
        if rows:
            yield _free(key, title, rows)
        return
    lists = {name: value for name, value in entry.items() if isinstance(value, list) and value}
    if lists and len({len(value) for value in lists.values()}) == 1:
        rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        if all(not isinstance(v, (list, Mapping)) for v in rows[0].values()):
            yield _free(f"{key}_list", title, rows)
    inner = {name: value for name, value in entry.items() if isinstance(value, Mapping)}
    scalars = {name: value for name, value in entry.items() if not isinstance(value, (Mapping, list))}
    if inner and all(not _has_lists(value) for value in inner.values()):
        yield _free(key, title, [{"name": str(name), **flatten(value)} for name, value in inner.items()])
    else:
        for name, value in inner.items():
            for table in _generic(f"{key}_{name}", value):
                yield Table(
                    table.name, table.section, f"{title}: {name.replace('_', ' ')}", "", table.columns, table.rows
                )
    if scalars:
        name = f"{key}_values" if inner else key
        yield _quantities(name, title, [{"quantity": k, "value": v} for k, v in scalars.items()])


def _has_lists(entry: Mapping[str, Any]) -> bool:
    """Whether there are lists in `entry` that do not fit into a cell."""
    return any(
        _has_lists(value) if isinstance(value, Mapping) else isinstance(value, list) and not fits(value)
        for value in entry.values()
    )


def _free(name: str, title: str, rows: list[Row]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    known = (VALUE, FLOOR, PULL) if {"value", "floor"} <= set(keys) else ()
    taken = {"value", "error", "floor", "floor_error", "pull"} if known else set()
    rest = [key for key in keys if key not in taken and key != "unavailable"]
    columns = [Column(key, key.replace("_", " "), "text" if k == 0 else "number") for k, key in enumerate(rest)]
    return Table(name, "further", title, "", (*columns[:1], *known, *columns[1:]), rows)


def _quantities(name: str, title: str, rows: list[Row]) -> Table:
    columns = (Column("quantity", "quantity", "text"), Column("value", "value"))
    return Table(name, "further", title, "", columns, rows)


def report_tables(data: Mapping[str, Any]) -> list[Table]:
    """All tables of a report; those without columns are for CSV files only."""
    own = (
        separation_table,
        sample_table,
        response_table,
        classifier_table,
        lecture_table,
        wasserstein_table,
        kl_table,
        files_table,
    )
    found = [table for make in own if (table := make(data)) is not None]
    return [*found, *correlation_tables(data), *further_tables(data)]
