"""Reports of format 1 as records: `report.json` as caloforge wrote it before its results were records.

There a metric was a mapping with value, error, floor, floor_error, value_at_n and pull, or {"unavailable": reason}, in
a nesting of its own in each section. Every number is kept: what is not part of an estimate becomes an extra of its
metric, and arrays the data of a chart. Histograms were not stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics import correlations, duplicates, fpd_kpd, profiles, response, separation
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.metrics.classifier import AUC, JSD
from caloforge.evaluation.metrics.empty_voxels import EMPTY_VOXELS
from caloforge.evaluation.metrics.precision_recall import NAMES, NEIGHBOURS
from caloforge.evaluation.metrics.w1_subsamples import SUBSAMPLES
from caloforge.evaluation.metrics.wasserstein import DISTANCES
from caloforge.evaluation.report.about import SPLIT, About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.records import Records
from caloforge.formatting import Plain
from caloforge.geometry import BUILTIN, load_geometry
from caloforge.observables import REGISTRY

Entry = Mapping[str, Any]
Found = Iterable[Metric | Chart]

LEFT_OUT = {"unavailable": "left out by --quick"}
"""What stood for a section that was not asked for."""

ESTIMATE = ("value", "error", "value_at_n", "floor", "floor_error", "pull", "pull_word", "unavailable", "unit")

SIZES = ("energy", "n_generated", "n_reference")


def is_format_1(document: Entry) -> bool:
    """Whether `document` is a report of format 1."""
    return "format" not in document and {"geometry", "generated", "reference", "separation_power"} <= document.keys()


def records_from_format_1(document: Entry, origin: str) -> Records:
    """The records of a `report.json` of format 1.

    Raises:
        CaloforgeError: an entry is missing or has another type.
    """
    try:
        found, about = list(_everything(document)), _about(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaloforgeError(f"{origin} is not a valid report of format 1 ({type(error).__name__}: {error})") from None
    metrics = [each for each in found if isinstance(each, Metric)]
    present = {metric.section for metric in metrics}
    sections = {
        each.name: each
        for each in (*OBSERVABLES, separation.MEANS, *(section for section, _, _ in CONVERT))
        if each.name in present
    }
    return Records(about, metrics, {}, [each for each in found if isinstance(each, Chart)], sections)


def _about(document: Entry) -> About:
    name, spectrum, floor = str(document["geometry"]), document.get("spectrum") or {}, document.get("floor") or {}
    kept = {k.removesuffix("_kept").replace("floor", "baseline"): n for k, n in spectrum.items() if k.endswith("_kept")}

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
        remark=str(document.get("geometry_remark", "")),
        timing=dict(document.get("timing") or {}),
        **{key: str(document.get(key, "")) for key in ("command", "created", "caloforge_version")},
    )


def _everything(document: Entry) -> Iterator[Metric | Chart]:
    n = int((document.get("floor") or {}).get("n", 0))
    for section in OBSERVABLES:
        yield from _observables(section, document.get(section.name) or {}, n)
    for name, entry in (document.get("mean_separation_power") or {}).items():
        yield _metric(separation.MEANS, name, separation.LABELS[name], entry, n)
    for section, key, convert in CONVERT:
        entry = document.get(key)
        if entry and entry != LEFT_OUT:
            yield from convert(section, entry, n)
    for at, entry in (document.get("per_energy") or {}).items():
        mean = entry.get("mean_separation_power", entry)
        sizes = {key: entry[key] for key in SIZES}
        label, size = separation.LABELS["table1"], entry.get("n")
        yield _metric(separation.MEANS, "table1", label, {**_kept(mean, "n"), **sizes}, size, at)
        for section in OBSERVABLES:
            yield from _observables(section, entry.get(section.name) or {}, size, at)


def _metric(
    section: Section, name: str, label: str, entry: Entry, n: int | None = None, at: str = "", **known: Any
) -> Metric:
    """A metric from its mapping; `known` are further fields of the estimate."""
    extra, unit = _flat(_kept(entry, *ESTIMATE)), str(entry.get("unit", ""))
    if "value" not in entry:
        return Metric(section.name, name, label, None, unit, str(entry.get("unavailable", "")), at, extra)
    value = math.nan if entry["value"] is None else entry["value"]
    numbers: dict[str, Any] = {key.replace("floor", "baseline"): entry.get(key) for key in ESTIMATE[1:5]}
    return Metric(section.name, name, label, Estimate(value, n=n, **numbers, **known), unit, "", at, extra)


def _kept(entry: Entry, *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in left_out}


def _flat(entry: Entry, prefix: str = "") -> dict[str, Plain]:
    """Nested mappings with their keys joined by underscores, lists as text; `floor` is called baseline."""
    found: dict[str, Plain] = {}
    for key, value in entry.items():
        name = prefix + str(key).replace("floor", "baseline")
        if isinstance(value, Mapping) and value.keys() == {"low", "high", "number", "scale"}:
            found[name] = f"{value['number']} {value['scale']} bins from {value['low']!r} to {value['high']!r}"
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{name}_")
        elif isinstance(value, list):
            found[name] = ", ".join(map(str, value))
        else:
            found[name] = value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
    return found


def _observables(section: Section, entries: Entry, n: int | None, at: str = "") -> Found:
    return [_metric(section, name, _label(name), entry, n, at) for name, entry in entries.items()]


def _label(name: str) -> str:
    """An observable in words."""
    family, _, layer = name.rpartition("_")
    if name not in REGISTRY and family in REGISTRY:
        return f"{REGISTRY[family].label}, layer {layer}"
    return REGISTRY[name].label if name in REGISTRY else name.replace("_", " ")


def _response(section: Section, entry: Entry, n: int) -> Found:
    for key, label in response.QUANTITIES.items():
        yield _metric(section, key, label, entry.get(key, entry), entry.get("n", n), expected=0.0)
        for at, found in entry.get("by_energy", {}).items():
            if key in found:
                numbers = {"value": found[key], "error": found[f"{key}_error"], **{k: found[k] for k in SIZES}}
                yield _metric(section, key, label, numbers, at=at, expected=0.0)


def _w1_subsamples(section: Section, entry: Entry, n: int) -> Found:
    if "rows" not in entry:
        yield _metric(section, "all", "all quantities", entry)
        return
    for name, found in entry["rows"]["generated"].items():
        other, samples = entry["rows"]["reference"][name], {"samples": entry.get("samples")}
        if "mean" in found and "mean" in other:
            numbers = {"value": found["mean"], "error": found["std"], "unit": entry["unit"]}
            numbers |= {"floor": other["mean"], "floor_error": other["std"], **samples}
            yield _metric(section, name, name, numbers, entry["n"])
        else:
            reason = found.get("unavailable") or other.get("unavailable")
            yield _metric(section, name, name, {"unavailable": reason, "generated": found, "floor": other, **samples})


POSITIONS = {"longitudinal": "layers", "radial": "radii_mm", "azimuthal": "sectors"}
AXES = {"longitudinal": "index of the layer", "radial": "r [mm]", "azimuthal": "sector in alpha"}


def _profiles(section: Section, entry: Entry, n: int) -> Found:
    for name, found in entry.items():
        curves = _kept(found, POSITIONS[name], "wasserstein", "flat")
        data = {"label": AXES[name], "unit": "MeV", "positions": found[POSITIONS[name]], **curves}
        yield Chart(f"profile_{name}", "profile", section.name, f"{name.capitalize()} profile", "", data)
        numbers = found.get("wasserstein")
        if flat := found.get("flat"):
            keys = {"value": "generated", "error": "generated_by_chance"}
            keys |= {"floor": "reference", "floor_error": "reference_by_chance"}
            numbers = {key: flat.get(old) for key, old in keys.items()}
        if numbers:
            yield _metric(section, name, profiles.TITLES[name], numbers, None if flat else n)


def _correlations(section: Section, entry: Entry, n: int) -> Found:
    arrays = ("generated", "reference", "difference")
    for name, found in entry.items():
        title = f"correlations of {correlations.TITLES[name]}"
        rest = _kept(found, *arrays, "names", "rms", "floor_rms", "floor_rms_error")
        yield _metric(section, name, title, rest, n)
        if "names" in found:
            data = {"names": [_label(each) for each in found["names"]], **{key: found[key] for key in arrays}}
            yield Chart(f"correlations_{name}", "matrix", section.name, title.capitalize(), "", data)


def _empty_voxels(section: Section, entry: Entry, n: int) -> Found:
    for sample in ("generated", "reference"):
        name, label = f"only_{sample}", f"voxels empty in the {sample} sample only"
        numbers = {"value": entry[name]["count"], **_kept(entry[name], "count", "layers")}
        yield _metric(section, name, label, {**numbers, "n_voxels": entry["n_voxels"]})
        for layer, certain in entry[name]["layers"].items():
            yield _metric(section, f"{name}_{layer}", f"{label}, layer {layer}", {"value": certain})


def _neighbours(section: Section, entry: Entry, n: int) -> Found:
    for name in NAMES:
        found = {**entry[name], "k": entry["k"]} if name in entry else entry
        metric = _metric(section, name, name, found, entry.get("n"))
        yield replace(metric, direction="nearer" if name == "density" else None)


def _duplicates(section: Section, entry: Entry, n: int) -> Found:
    return (_metric(section, name, duplicates.LABELS[name], found) for name, found in entry.items())


def _distance(section: Section, entry: Entry, n: int) -> Found:
    yield _metric(section, section.name, fpd_kpd.LABELS[section.name], entry, n)


def _areas(section: Section, entries: Entry, n: int) -> Found:
    numbers = ("auc", "auc_std", "floor_auc", "floor_auc_std", "jsd", "jsd_std", "floor_jsd", "floor_jsd_std")
    for name, test in entries.items():
        title, weights = _title(name), dict(test.get("weights") or {})
        if "auc" not in test:
            yield _metric(section, name, title, test)
            continue
        histogram, runs = weights.pop("histogram", None), test.get("runs") or []
        extra = _kept(test, *numbers, "floor_n", "test", "error", "roc", "runs", "learning_curve")
        extra |= {"error_from": test.get("error", ""), "weights": weights}
        extra |= {key: run[key] for run in runs[:1] for key in ("accuracy", "best_epoch", "epochs")}
        known = {"smallest_error": 0.001, "expected": 0.5 if test.get("floor_auc") is None else None}
        yield _metric(section, name, title, {**extra, **_scores(test, "auc")}, test.get("floor_n"), "", **known)
        if "roc" in test:
            data = {"label": title, **test["roc"], "auc": test["auc"], "runs": runs}
            yield Chart(f"roc_{name}", "roc", section.name, f"ROC curve, {title}", "", data)
        if histogram:
            data = {"label": title, "edges": histogram["log10_edges"], **_kept(histogram, "log10_edges")}
            yield Chart(f"weights_{name}", "weights", section.name, f"Weights, {title}", "", data)
        if curve := test.get("learning_curve"):
            renamed = {"auc_std": "error", "jsd_std": "jsd_error"}
            data = {"label": title, **{renamed.get(key, key): values for key, values in curve.items()}}
            title = f"AUC against sample size, {title}"
            yield Chart(f"learning_curve_{name}", "learning_curve", section.name, title, "", data)


def _divergences(section: Section, entries: Entry, n: int) -> Found:
    found = {name: test for name, test in entries.items() if "jsd" in test}
    for name, test in found.items():
        yield _metric(section, name, _title(name), {**_scores(test, "jsd"), "unit": "bits"}, test.get("floor_n"))


def _scores(test: Entry, key: str) -> dict[str, Any]:
    numbers = {"value": test[key], "error": test[f"{key}_std"]}
    return numbers | {"floor": test.get(f"floor_{key}"), "floor_error": test.get(f"floor_{key}_std")}


def _title(name: str) -> str:
    """A classifier test in words."""
    from caloforge.classifiers import TESTS

    return TESTS[name].title if name in TESTS else name.replace("_", " ")


OBSERVABLES = (separation.POWERS, separation.DIVERGENCES, DISTANCES)
"""Sections whose metrics are observables."""

CONVERT = (
    (response.RESPONSE, "response", _response),
    (SUBSAMPLES, "lecture_w1", _w1_subsamples),
    (profiles.PROFILES, "profiles", _profiles),
    (correlations.CORRELATIONS, "correlations", _correlations),
    (NEIGHBOURS, "prdc", _neighbours),
    (fpd_kpd.FRECHET, "fpd", _distance),
    (fpd_kpd.KERNEL, "kpd", _distance),
    (duplicates.DUPLICATES, "duplicates", _duplicates),
    (EMPTY_VOXELS, "always_zero_voxels", _empty_voxels),
    (AUC, "classifier", _areas),
    (JSD, "classifier", _divergences),
)
"""Section, its name in format 1, and what converts it."""
