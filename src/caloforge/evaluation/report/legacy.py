"""Reports of format 1 as records: `report.json` as caloforge wrote it before its results were records.

There a metric was a mapping with value, error, floor, floor_error, value_at_n and pull, or {"unavailable": reason}, in
a nesting of its own in each section. Every number is kept: what is not part of an estimate becomes an extra of its
metric, and arrays the data of a chart. Histograms were not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import REGISTRY, Chart, Metric, Section
from caloforge.evaluation.observables import REGISTRY as OBSERVABLES
from caloforge.evaluation.report.about import SPLIT, About, BaselineSample, Plain, Sample, Spectrum
from caloforge.evaluation.report.records import Records
from caloforge.geometry import BUILTIN, load_geometry

LEFT_OUT = {"unavailable": "left out by --quick"}
"""What stood for a section that was not asked for."""

ESTIMATE = ("value", "error", "value_at_n", "floor", "floor_error", "pull", "pull_word", "unavailable", "unit")

Entry = Mapping[str, Any]


def is_format_1(document: Entry) -> bool:
    """Whether `document` is a report of format 1."""
    return "format" not in document and {"geometry", "generated", "reference", "separation_power"} <= document.keys()


def records_from_format_1(document: Entry, origin: str) -> Records:
    """The records of a `report.json` of format 1.

    Raises:
        CaloforgeError: an entry is missing or has another type.
    """
    try:
        found = list(_everything(document))
        about = _about(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaloforgeError(f"{origin} is not a valid report of format 1 ({type(error).__name__}: {error})") from None
    metrics = [each for each in found if isinstance(each, Metric)]
    charts = [each for each in found if isinstance(each, Chart)]
    present = {metric.section for metric in metrics}
    sections = {section.name: section for section in _sections() if section.name in present}
    return Records(about, metrics, {}, charts, sections)


def _sections() -> list[Section]:
    """The sections of the built-in metrics, in the order in which reports list them."""
    from caloforge.evaluation.metrics import (
        correlations,
        duplicates,
        empty_voxels,
        fpd_kpd,
        prdc,
        profiles,
        response,
        separation,
        w1_subsamples,
        wasserstein,
    )
    from caloforge.evaluation.metrics.classifier import SECTIONS

    functions = (
        separation.separation,
        wasserstein.wasserstein,
        response.response,
        w1_subsamples.w1_subsamples,
        profiles.profiles,
        correlations.correlations,
        prdc.precision_recall,
        fpd_kpd.fpd_kpd,
        duplicates.duplicates,
        empty_voxels.empty_voxels,
    )
    registered = {entry.function: entry.sections for entry in REGISTRY.values()}
    return [section for function in functions for section in registered[function]] + list(SECTIONS)


def _about(document: Entry) -> About:
    name, spectrum, floor = str(document["geometry"]), document.get("spectrum") or {}, document.get("floor") or {}
    kept = {key.removesuffix("_kept"): n for key, n in spectrum.items() if key.endswith("_kept")}
    if "floor" in kept:
        kept["baseline"] = kept.pop("floor")

    def sample(entry: Entry) -> Sample:
        n, empty = int(entry.get("n", 0)), int(entry.get("without_energy", 0))
        return Sample(str(entry.get("path", "")), n, empty, _flat(entry.get("attributes") or {}))

    return About(
        generated=sample(document["generated"]),
        reference=sample(document["reference"]),
        geometry=load_geometry(name) if name in BUILTIN else None,
        geometry_name=name,
        threshold_mev=float(document["threshold_mev"]),
        baseline=BaselineSample(floor.get("source", SPLIT), int(floor.get("n", 0)), bool(floor.get("stratified"))),
        spectrum=Spectrum(bool(spectrum.get("matched")), spectrum.get("distance"), spectrum.get("probability"), kept),
        seed=int(document.get("seed", 1)),
        command=str(document.get("command", "")),
        created=str(document.get("created", "")),
        caloforge_version=str(document.get("caloforge_version", "")),
        remark=str(document.get("geometry_remark", "")),
        timing=dict(document.get("timing") or {}),
    )


def _everything(document: Entry) -> Iterator[Metric | Chart]:
    n = int((document.get("floor") or {}).get("n", 0))
    for section in ("separation_power", "kl", "wasserstein"):
        yield from _observables(section, document.get(section), n)
    for name, entry in (document.get("mean_separation_power") or {}).items():
        yield _metric("mean_separation_power", name, MEANS.get(name, name), entry, n)
    for section, convert in CONVERTERS.items():
        entry = document.get(section)
        if entry and entry != LEFT_OUT:
            yield from convert(entry, n)
    for label, entry in (document.get("per_energy") or {}).items():
        yield from _at_energy(label, entry)


def _metric(
    section: str,
    name: str,
    label: str,
    entry: Entry,
    n: int | None = None,
    *,
    at: str = "",
    extra: Entry | None = None,
    **known: Any,
) -> Metric:
    """A metric from its mapping; `known` replaces fields of the estimate."""
    rest = _flat({key: value for key, value in entry.items() if key not in ESTIMATE}) | _flat(extra or {})
    unit = str(entry.get("unit", ""))
    if "value" not in entry:
        return Metric(section, name, label, None, unit, str(entry.get("unavailable", "")), at, rest)
    numbers = {
        "value": math.nan if entry["value"] is None else entry["value"],
        "error": entry.get("error"),
        "baseline": entry.get("floor"),
        "baseline_error": entry.get("floor_error"),
        "value_at_n": entry.get("value_at_n"),
        "n": n,
    }
    return Metric(section, name, label, Estimate(**{**numbers, **known}), unit, "", at, rest)


def _flat(entry: Entry, prefix: str = "") -> dict[str, Plain]:
    """Nested mappings with their keys joined by underscores, lists as text; `floor` is called baseline."""
    found: dict[str, Plain] = {}
    for key, value in entry.items():
        name = prefix + str(key).replace("floor", "baseline")
        if isinstance(value, Mapping) and value.keys() == {"low", "high", "number", "scale"}:
            found[name] = f"{value['number']} {value['scale']} bins from {value['low']!r} to {value['high']!r}"
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{name}_")
        else:
            found[name] = ", ".join(map(str, value)) if isinstance(value, list) else _plain(value)
    return found


def _plain(value: Any) -> Plain:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _label(name: str) -> str:
    """An observable in words."""
    family, _, layer = name.rpartition("_")
    if name not in OBSERVABLES and family in OBSERVABLES:
        return f"{OBSERVABLES[family].label}, layer {layer}"
    return OBSERVABLES[name].label if name in OBSERVABLES else name.replace("_", " ")


def _title(name: str) -> str:
    """A classifier test in words."""
    from caloforge.evaluation.classifiers import TESTS

    return TESTS[name].title if name in TESTS else name.replace("_", " ")


def _observables(section: str, entries: Entry | None, n: int | None, **where: Any) -> Iterator[Metric]:
    for name, entry in (entries or {}).items():
        yield _metric(section, name, _label(name), entry, n, **where)


def _response(entry: Entry, n: int) -> Iterator[Metric]:
    words = {"mean": "mean of E_dep / E_inc", "spread": "spread of E_dep / E_inc"}
    if "by_energy" not in entry:
        yield from (_metric("response", key, label, entry, expected=0.0) for key, label in words.items())
        return
    for key, label in words.items():
        yield _metric("response", key, label, entry[key], entry.get("n", n), expected=0.0)
        for at, single in entry["by_energy"].items():
            if key in single:
                numbers = {"value": single[key], "error": single[f"{key}_error"]}
                extra = {each: single[each] for each in ("energy", "n_generated", "n_reference")}
                yield _metric("response", key, label, numbers, at=at, extra=extra, expected=0.0)


def _w1_subsamples(entry: Entry, n: int) -> Iterator[Metric]:
    if "rows" not in entry:
        yield _metric("w1_subsamples", "all", "all quantities", entry)
        return
    rows = entry["rows"]
    for name, found in rows["generated"].items():
        other = rows["reference"][name]
        extra: dict[str, Any] = {"samples": entry.get("samples")}
        if "mean" not in found or "mean" not in other:
            reason = {"unavailable": found.get("unavailable") or other.get("unavailable")}
            extra |= {"generated": found, "floor": other}
            yield _metric("w1_subsamples", name, name, reason, extra=extra)
            continue
        numbers = {"value": found["mean"], "error": found["std"], "floor": other["mean"], "floor_error": other["std"]}
        yield _metric("w1_subsamples", name, name, numbers | {"unit": entry["unit"]}, entry["n"], extra=extra)


PROFILES = {
    "longitudinal": ("longitudinal profile", "layers", "index of the layer", "MeV"),
    "radial": ("radial profile", "radii_mm", "r [mm]", "MeV"),
    "azimuthal": ("azimuthal profile", "sectors", "sector in alpha", "MeV"),
}


def _profiles(entry: Entry, n: int) -> Iterator[Metric | Chart]:
    for name, found in entry.items():
        title, key, axis, unit = PROFILES[name]
        curves = {k: v for k, v in found.items() if k not in (key, "wasserstein", "flat")}
        data = {"label": axis, "unit": unit, "positions": found[key], **curves}
        yield Chart(f"profile_{name}", "profile", "profiles", title.capitalize(), "", data)
        if "wasserstein" in found:
            yield _metric("profiles", name, title, found["wasserstein"], n)
        elif flat := found.get("flat"):
            numbers = {"value": flat.get("generated"), "error": flat.get("generated_by_chance")}
            numbers |= {"floor": flat.get("reference"), "floor_error": flat.get("reference_by_chance")}
            yield _metric("profiles", name, "unevenness of the azimuthal profile", numbers)


MATRICES = {"layers": "layer energies", "observables": "observables", "directions": "centres of energy of the layers"}


def _correlations(entry: Entry, n: int) -> Iterator[Metric | Chart]:
    for name, found in entry.items():
        title = f"correlations of {MATRICES.get(name, name)}"
        arrays = ("names", "generated", "reference", "difference")
        rest = {key: value for key, value in found.items() if key not in arrays and "rms" not in key}
        yield _metric("correlations", name, title, rest, n)
        if "names" in found:
            data = {"names": [_label(each) for each in found["names"]], **{key: found[key] for key in arrays[1:]}}
            yield Chart(f"correlations_{name}", "matrix", "correlations", title.capitalize(), "", data)


def _empty_voxels(entry: Entry, n: int) -> Iterator[Metric]:
    for name in ("only_generated", "only_reference"):
        found, label = dict(entry[name]), f"voxels empty in the {name.removeprefix('only_')} sample only"
        layers = found.pop("layers")
        numbers = {"value": found.pop("count"), **found, "n_voxels": entry["n_voxels"]}
        yield _metric("empty_voxels", name, label, numbers)
        for layer, certain in layers.items():
            yield _metric("empty_voxels", f"{name}_{layer}", f"{label}, layer {layer}", {"value": certain})


NEIGHBOURS = ("precision", "recall", "density", "coverage")


def _prdc(entry: Entry, n: int) -> Iterator[Metric]:
    for name in NEIGHBOURS:
        found = entry if "unavailable" in entry else entry[name]
        extra = {"k": entry["k"]} if "k" in entry else None
        metric = _metric("prdc", name, name, found, entry.get("n"), extra=extra)
        yield replace(metric, direction="nearer" if name == "density" else None)


COPIES = {
    "within": "copies within the sample",
    "of_reference": "copies of reference showers",
    "empty": "showers without energy",
    "near": "near-duplicates within the sample",
    "of_training": "copies of training showers",
    "near_training": "near-duplicates of training showers",
}


def _duplicates(entry: Entry, n: int) -> Iterator[Metric]:
    return (_metric("duplicates", name, COPIES.get(name, name), found) for name, found in entry.items())


ARRAYS = ("roc", "weights", "runs", "learning_curve")
OWN = (
    *("auc", "auc_std", "floor_auc", "floor_auc_std", "jsd", "jsd_std", "floor_jsd", "floor_jsd_std"),
    *("floor_n", "test", "error"),
)


def _classifiers(entries: Entry, n: int) -> Iterator[Metric | Chart]:
    for name, test in entries.items():
        title = _title(name)
        if "auc" not in test:
            yield _metric("auc", name, title, test)
            continue
        expected = 0.5 if test.get("floor_auc") is None else None
        size = test.get("floor_n")
        for key in ("auc", "jsd"):
            numbers = {"value": test[key], "error": test[f"{key}_std"]}
            numbers |= {"floor": test.get(f"floor_{key}"), "floor_error": test.get(f"floor_{key}_std")}
            if key == "jsd":
                yield _metric("jsd", name, title, numbers | {"unit": "bits"}, size)
                continue
            extra = {k: v for k, v in test.items() if k not in (*ARRAYS, *OWN)} | {"error_from": test.get("error", "")}
            extra |= {"weights": {k: v for k, v in (test.get("weights") or {}).items() if k != "histogram"}}
            for run in (test.get("runs") or ())[:1]:
                extra |= {k: run[k] for k in ("accuracy", "best_epoch", "epochs")}
            yield _metric("auc", name, title, numbers, size, extra=extra, smallest_error=0.001, expected=expected)
        yield from _curves(name, title, test)


def _curves(name: str, title: str, test: Entry) -> Iterator[Chart]:
    if "roc" in test:
        data = {"label": title, **test["roc"], "auc": test["auc"], "runs": test.get("runs", [])}
        yield Chart(f"roc_{name}", "roc", "auc", f"ROC curve, {title}", "", data)
    if histogram := (test.get("weights") or {}).get("histogram"):
        counts = {key: histogram[key] for key in ("generated", "reference")}
        data = {"label": title, "edges": histogram["log10_edges"], **counts}
        yield Chart(f"weights_{name}", "weights", "auc", f"Weights, {title}", "", data)
    if curve := test.get("learning_curve"):
        renamed = {"auc_std": "error", "jsd_std": "jsd_error"}
        data = {"label": title, **{renamed.get(key, key): values for key, values in curve.items()}}
        yield Chart(f"learning_curve_{name}", "learning_curve", "auc", f"AUC against sample size, {title}", "", data)


def _at_energy(label: str, entry: Entry) -> Iterator[Metric]:
    sizes = {key: entry[key] for key in ("energy", "n_generated", "n_reference")}
    if "unavailable" in entry:
        reason = {"unavailable": entry["unavailable"]}
        yield _metric("mean_separation_power", "table1", MEANS["table1"], reason, at=label, extra=sizes)
        return
    mean = entry["mean_separation_power"]
    yield _metric("mean_separation_power", "table1", MEANS["table1"], mean, entry["n"], at=label, extra=sizes)
    for section in ("separation_power", "wasserstein"):
        yield from _observables(section, entry[section], entry["n"], at=label)


MEANS = {"all": "mean over all observables", "table1": "mean over CaloMan's Table 1"}

CONVERTERS = {
    "response": _response,
    "lecture_w1": _w1_subsamples,
    "profiles": _profiles,
    "correlations": _correlations,
    "fpd": lambda entry, n: [_metric("fpd", "fpd", "Fréchet physics distance × 10³", entry, n)],
    "kpd": lambda entry, n: [_metric("kpd", "kpd", "kernel physics distance × 10³", entry, n)],
    "prdc": _prdc,
    "duplicates": _duplicates,
    "always_zero_voxels": _empty_voxels,
    "classifier": _classifiers,
}
