"""The tables of a report, built from the plain data of `report.json`: for the page, the terminal and CSV files.

A row is a mapping from column keys to values. A metric that cannot be had has the key `unavailable` with the
reason. CSV files carry every key in full precision; the page shows the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caloforge.evaluation.labels import classifier_title, describe

Row = dict[str, Any]

SHORT = 12
"""Lists up to this length are written out in a cell."""


@dataclass(frozen=True)
class Column:
    """A column of the page: `kind` is text, number, share, pull or bar (value on a logarithmic line with its floor).

    `error` names the key that stands behind the value as ±.
    """

    key: str
    title: str
    kind: str = "number"
    error: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table: `name` is the CSV file's stem, `section` where it stands, `columns` what the page shows."""

    name: str
    section: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)

    def keys(self) -> list[str]:
        """All keys of all rows, in order of appearance: the CSV file's header."""
        return list(dict.fromkeys(key for row in self.rows for key in row))


_VALUE = Column("value", "value", error="error", hint="on the full samples, with its error")
_ALL = Column("value", "all showers", error="error", hint=_VALUE.hint)
_AT_N = Column("value_at_n", "value at N", hint="with as many showers a side as the floor")
_FLOOR = Column("floor", "floor", error="floor_error", hint="reference against an independent reference sample")
_PULL = Column("pull", "off floor", "pull", hint="(value at N − floor) in standard errors")


def flatten(entry: Mapping[str, Any], prefix: str = "") -> Row:
    """Nested mappings as one row, keys joined by underscores; short lists become text, long ones are left out."""
    row: Row = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            row.update(flatten(value, f"{prefix}{key}_"))
        elif not isinstance(value, (list, tuple)):
            row[f"{prefix}{key}"] = value
        elif _fits(value):
            row[f"{prefix}{key}"] = ", ".join(map(str, value))
    return row


def _named(entries: Mapping[str, Any], first: str, words: Callable[[str], str] = describe) -> list[Row]:
    return [
        {first: name, "description": words(name), **flatten(entry)}
        for name, entry in entries.items()
        if isinstance(entry, Mapping)
    ]


def separation_table(data: Mapping[str, Any]) -> Table | None:
    """Separation powers, one row per observable."""
    entries = data.get("separation_power")
    if not entries:
        return None
    return Table(
        "separation_power",
        "separation",
        "Separation powers",
        "S = ½ Σ (h − g)² / (h + g) of two normalised histograms: 0 is equal, 1 is disjoint. Binning and readout "
        "threshold are the challenge's, which drops what lies outside the range; the shares outside stand beside.",
        (
            Column("description", "observable", "text"),
            Column("value_at_n", "", "bar", hint="value at N, 10⁻⁵ … 1, logarithmic; the mark is the floor"),
            _AT_N,
            _FLOOR,
            _PULL,
            _ALL,
            Column("outside_generated", "outside gen.", "share", hint="share of generated showers out of range"),
            Column("outside_reference", "outside ref.", "share", hint="share of reference showers out of range"),
            Column("value_with_overflow", "with overflow", hint="what lies outside counted in a bin on each side"),
        ),
        _named(entries, "observable"),
    )


def _plain_distance(data: Mapping[str, Any], name: str, title: str, note: str, *extra: Column) -> Table | None:
    entries = data.get(name)
    if not isinstance(entries, Mapping) or not entries or "unavailable" in entries:
        return None
    columns = (Column("description", "observable", "text"), _AT_N, _FLOOR, _PULL, _ALL, *extra)
    return Table(name, "distances", title, note, columns, _named(entries, "observable"))


def wasserstein_table(data: Mapping[str, Any]) -> Table | None:
    """1-Wasserstein distances of every observable."""
    return _plain_distance(
        data,
        "wasserstein",
        "1-Wasserstein distances",
        "The earth mover's distance, in the observable's own unit. Spread: the reference's standard deviation.",
        Column("unit", "unit", "text"),
        Column("spread", "spread"),
    )


def kl_table(data: Mapping[str, Any]) -> Table | None:
    """Kullback–Leibler divergences of the histograms."""
    return _plain_distance(
        data,
        "kl",
        "Kullback–Leibler divergences",
        "Of the same histograms, in nats, with what lies outside in a bin on each side.",
    )


def lecture_table(data: Mapping[str, Any]) -> Table | None:
    """Mean ± standard deviation of W₁ over ten samples, reference first."""
    entry = data.get("lecture_w1", {})
    samples = entry.get("rows") if isinstance(entry, Mapping) else None
    if not samples:
        return None
    quantities = list(dict.fromkeys(name for row in samples.values() for name in row))
    rows: list[Row] = []
    for quantity in quantities:
        row: Row = {"quantity": quantity}
        for label, found in samples.items():
            row.update(flatten(found.get(quantity, {}), f"{label}_"))
        rows.append(row)
    columns = [Column("quantity", "quantity", "text")]
    columns += [Column(f"{label}_mean", label, error=f"{label}_std") for label in samples]
    unit = f", in {entry['unit']}" if "unit" in entry else ""
    return Table(
        "lecture_w1",
        "distances",
        "1-Wasserstein distances over ten samples",
        f"Mean ± standard deviation over {entry.get('samples', 10)} independent samples of "
        f"{entry.get('n', '?')} showers{unit}. The reference against itself is the first column.",
        tuple(columns),
        rows,
    )


_SAMPLE_WORDS = {
    "fpd": "Fréchet physics distance × 10³",
    "kpd": "kernel physics distance × 10³",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "correlations_layers": "correlations of layer energies, rms difference",
    "correlations_observables": "correlations of observables, rms difference",
}


def sample_table(data: Mapping[str, Any]) -> Table | None:
    """Metrics of whole samples: FPD, KPD, precision … coverage, correlations; and means of separation powers."""
    entries: dict[str, Any] = {}
    for key, entry in (data.get("mean_separation_power") or {}).items():
        entries[f"mean_separation_power_{key}"] = entry
    entries |= {key: data[key] for key in ("fpd", "kpd") if key in data}
    neighbours = data.get("prdc", {})
    if "unavailable" in neighbours:
        entries["precision"] = neighbours
    else:
        common = {key: neighbours[key] for key in ("n", "k") if key in neighbours}
        for key, entry in neighbours.items():
            if isinstance(entry, Mapping):
                entries[key] = {**entry, **common}
    for key, entry in (data.get("correlations") or {}).items():
        if isinstance(entry, Mapping):
            renamed = {"value": entry["rms"]} if "rms" in entry else {}
            renamed |= {"floor": entry["floor_rms"]} if "floor_rms" in entry else {}
            renamed |= {"floor_error": entry["floor_rms_error"]} if "floor_rms_error" in entry else {}
            entries[f"correlations_{key}"] = {**entry, **renamed}
    if not entries:
        return None
    # What is taken on equally many showers a side anyway has one value.
    for key, entry in entries.items():
        if "value" in entry:
            entries[key] = {"value_at_n": entry["value"], **entry}

    def words(name: str) -> str:
        mean = name.removeprefix("mean_separation_power_")
        if mean != name:
            return "mean separation power, " + {"all": "all", "table1": "CaloMan's Table 1"}.get(mean, mean)
        return _SAMPLE_WORDS.get(name, name)

    return Table(
        "samples",
        "distances",
        "Distances of whole samples",
        "Precision, recall, density and coverage are best near their floors, the other distances near zero. "
        "FPD and KPD see the challenge's high-level features.",
        (Column("description", "metric", "text"), _AT_N, _FLOOR, _PULL, _ALL, Column("n", "showers a side")),
        _named(entries, "metric", words),
    )


def classifier_table(data: Mapping[str, Any]) -> Table | None:
    """Classifier tests: AUC, JSD, their floors, weights."""
    entries = data.get("classifier")
    if not isinstance(entries, Mapping) or not entries:
        return None
    return Table(
        "classifiers",
        "classifiers",
        "Classifier tests",
        "A network is trained to tell generated showers from the reference's. AUC 0.5: it cannot; 1: it always can. "
        "JSD in bits from the calibrated scores, 0 … 1. The effective sample size is what weights w = C/(1 − C) leave.",
        (
            Column("description", "test", "text"),
            Column("auc", "AUC", error="auc_std"),
            Column("floor_auc", "floor", error="floor_auc_std", hint=_FLOOR.hint),
            Column("jsd", "JSD", error="jsd_std"),
            Column("weights_ess_share", "effective sample", "share"),
            Column("n", "showers a side"),
            Column("n_parameters", "parameters"),
            Column("repeats", "trainings"),
            Column("seconds", "seconds"),
        ),
        _named(entries, "test", classifier_title),
    )


def correlation_tables(data: Mapping[str, Any]) -> list[Table]:
    """Every pair of every correlation matrix, for CSV files; the page shows them as figures."""
    tables = []
    for kind, entry in (data.get("correlations") or {}).items():
        if not isinstance(entry, Mapping) or "names" not in entry:
            continue
        names = [str(name) for name in entry["names"]]
        rows: list[Row] = [
            {"first": a, "second": b, **{k: entry[k][i][j] for k in ("generated", "reference", "difference")}}
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if j > i
        ]
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
    "correlations",
    "verdict",
    "generated",
    "reference",
    "command",
    "errors",
}

_TITLES = {
    "floor": "Floor",
    "profiles": "Profiles",
    "duplicates": "Duplicates and memorised showers",
    "always_zero_voxels": "Voxels that are always zero",
    "per_energy": "Per incident energy",
    "timing": "Time of this evaluation, seconds",
    "response": "Response: E_dep / E_inc, relative to the reference",
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
        _has_lists(value) if isinstance(value, Mapping) else isinstance(value, list) and not _fits(value)
        for value in entry.values()
    )


def _fits(value: list[Any] | tuple[Any, ...]) -> bool:
    return len(value) <= SHORT and not any(isinstance(item, (list, tuple, Mapping)) for item in value)


def _free(name: str, title: str, rows: list[Row]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    known = (_VALUE, _FLOOR, _PULL) if {"value", "floor"} <= set(keys) else ()
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
        classifier_table,
        lecture_table,
        wasserstein_table,
        kl_table,
        files_table,
    )
    found = [table for make in own if (table := make(data)) is not None]
    return [*found, *correlation_tables(data), *further_tables(data)]


def write_csv(table: Table, path: Path) -> None:
    """Write all of a table, every number in full precision."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, table.keys(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)
