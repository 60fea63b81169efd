"""The tables of single metrics, built from the plain data of `report.json`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from caloforge.evaluation.labels import classifier_title, describe
from caloforge.evaluation.tables import ALL, AT_N, FLOOR, FLOOR_AT_N, PULL, Column, Row, Table, flatten


def _what_n_is(data: Mapping[str, Any]) -> str:
    n = (data.get("floor") or {}).get("n")
    size = f" = {n}" if n is not None else ""
    return (
        f"Distances shrink as showers are added, even between equals: compare the value at N{size} showers a side with "
        "the floor at N; what all showers give stands apart."
    )


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
        "threshold are the challenge's, which drops what lies outside the range; the shares outside stand beside. "
        + _what_n_is(data),
        (
            Column("description", "observable", "text"),
            Column("value_at_n", "", "bar", hint="value at N, 10⁻⁵ … 1, logarithmic; the mark is the floor"),
            AT_N,
            FLOOR_AT_N,
            PULL,
            ALL,
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
    columns = (Column("description", "observable", "text"), AT_N, FLOOR_AT_N, PULL, ALL, *extra)
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


JSD_NOTE = (
    "JSD in bits from the calibrated scores: 1 where the samples share nothing, about 0 where they are alike. It is "
    "an estimate on showers that the calibration has not seen, so it falls below 0 where the scores say less than a "
    "blind guess; cut at 0 it would be biased upwards."
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
    "correlations_directions": "rank correlations of directions, rms difference",
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
            if isinstance(entry, Mapping):  # taken on equally many showers a side only
                at_n = {"value_at_n": entry["value"]} if "value" in entry else {}
                entries[key] = {**at_n, **{k: v for k, v in entry.items() if k != "value"}, **common}
    for key, entry in (data.get("correlations") or {}).items():
        if isinstance(entry, Mapping):
            renamed = {"value": entry["rms"]} if "rms" in entry else {}
            renamed |= {"floor": entry["floor_rms"]} if "floor_rms" in entry else {}
            renamed |= {"floor_error": entry["floor_rms_error"]} if "floor_rms_error" in entry else {}
            entries[f"correlations_{key}"] = {**entry, **renamed}
    if not entries:
        return None
    if "value" in entries.get("kpd", {}):  # it has no bias that falls with the number of showers
        entries["kpd"] = {"value_at_n": entries["kpd"]["value"], **entries["kpd"]}

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
        f"FPD and KPD see the challenge's high-level features. {_what_n_is(data)}",
        (Column("description", "metric", "text"), AT_N, FLOOR_AT_N, PULL, ALL, Column("n", "showers a side")),
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
        f"{JSD_NOTE} The effective sample size is what weights w = C/(1 − C) leave.",
        (
            Column("description", "test", "text"),
            Column("auc", "AUC", error="auc_std"),
            Column("floor_auc", "floor", error="floor_auc_std", hint=FLOOR.hint),
            Column("pull", "off floor", "pull", hint="(AUC − floor) in errors of both, at least 0.001"),
            Column("jsd", "JSD", error="jsd_std"),
            Column("floor_jsd", "floor of JSD", error="floor_jsd_std", hint=FLOOR.hint),
            Column(
                "weights_ess_share", "eff. sample", "share", hint="effective sample size over the number of showers"
            ),
            Column("n", "n", hint="showers a side"),
            Column("floor_n", "floor's n", hint="showers a side at the floor"),
            Column("n_parameters", "parameters"),
            Column("repeats", "trainings"),
            Column("seconds", "seconds"),
        ),
        [{**row, **_pull_alone(entries[row["test"]])} for row in _named(entries, "test", classifier_title)],
    )


def auc_entry(test: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier test's AUC as an entry: value, error, floor, floor_error and pull; else why there is none.

    Without a floor the pull is the distance from 0.5. The errors count as at least 0.001 together.
    """
    if "auc" not in test:
        return {"unavailable": test.get("unavailable", "not in the report")}
    error = math.hypot(test.get("auc_std") or 0.0, test.get("floor_auc_std") or 0.0)
    entry = {"value": test["auc"], "error": test.get("auc_std")}
    if test.get("floor_auc") is not None:
        entry |= {"floor": test["floor_auc"], "floor_error": test.get("floor_auc_std")}
    return {**entry, "pull": (test["auc"] - entry.get("floor", 0.5)) / max(error, 1e-3)}


def _pull_alone(test: Mapping[str, Any]) -> Row:
    return {"pull": entry["pull"]} if "pull" in (entry := auc_entry(test)) else {}


def response_table(data: Mapping[str, Any]) -> Table | None:
    """Mean and spread of E_dep/E_inc: over all incident energies, then at each."""
    entries = data.get("response")
    if not isinstance(entries, Mapping) or "by_energy" not in entries:
        return None
    rows: list[Row] = []
    for key, words in (("mean", "mean"), ("spread", "spread")):
        rows.append({"quantity": f"{words}, all energies", **flatten(entries[key])})
        for label, entry in entries["by_energy"].items():
            if key in entry:
                pull = entry[key] / entry[f"{key}_error"] if entry[f"{key}_error"] > 0 else None
                numbers = {"value": entry[key], "error": entry[f"{key}_error"], "pull": pull}
                sizes = {name: entry[name] for name in ("energy", "n_generated", "n_reference")}
                rows.append({"quantity": f"{words}, {label}", **numbers, **sizes})
    return Table(
        "response",
        "distances",
        "Response: E_dep / E_inc, relative to the reference",
        "Generated over reference, minus 1, of all showers: means have no bias that falls with their number, so what "
        "counts is the distance from 0 in the difference's own errors. The energies are put together with weights "
        "1/error². The floor is the same between independent reference samples.",
        (
            Column("quantity", "quantity", "text"),
            Column("value", "difference", error="error"),
            Column("pull", "off 0", "pull", hint="the difference in its own errors"),
            Column("floor", "floor", error="floor_error", hint=FLOOR.hint),
            Column("probability", "p of χ²", hint="that single energies differ so much from 0 by chance"),
        ),
        rows,
    )
