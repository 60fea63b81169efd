"""The few sentences on top of a report: what tells the generated showers from the reference, by name.

A metric speaks when it lies above its floor by more than 3 (a note) or 5 (bad) of the errors of both; see `pull`
in `resampling`. Shares of voxels and of duplicates, and differences of the response, also have to matter. Where
either file has no energy there is nothing to judge, and where only metrics are missing, no praise for them.

Points stand by level; within one, causes (layers without energy, duplicates, the response) come before what follows
from them, and the rest by pull.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from caloforge.evaluation.comparison import is_available
from caloforge.evaluation.formatting import share, to_error
from caloforge.evaluation.metric_tables import auc_entry
from caloforge.units import count

NOTE, BAD = 3.0, 5.0
"""Pulls from which a metric is noted, and from which it counts as bad."""

MOST = 6
"""Layers spelled out before the rest is counted."""

SMALLEST = {"mean": 1e-3, "spread": 1e-2}
"""Relative differences of the response that matter; smaller ones stay unsaid, however many showers prove them."""

CANCELLING = 4.0
"""Standard deviations from which the χ² over incident energies speaks for itself."""

CAUSES = ("empty", "always_zero_voxels", "duplicates", "response")
"""Metrics that explain others, and so stand before them."""

LEVELS = ("bad", "note", "good")


@dataclass(frozen=True)
class Point:
    """One sentence of the verdict; `size` is the pull behind it."""

    level: str
    metric: str
    text: str
    size: float = 0.0

    @property
    def rank(self) -> tuple[int, int, float]:
        cause = CAUSES.index(self.metric) if self.metric in CAUSES else len(CAUSES)
        return LEVELS.index(self.level), cause, -self.size

    def plain(self) -> dict[str, str]:
        return {"level": self.level, "metric": self.metric, "text": self.text}


def verdict(data: dict[str, Any]) -> dict[str, Any]:
    """{"headline", "points": [{"level": good | note | bad, "metric", "text"}]} of a report's data."""
    if all(_is_dark(data, side) for side in ("generated", "reference")):
        return _nothing("neither file has a shower with energy above the readout threshold", data)
    if _is_dark(data, "reference"):
        return _nothing("no reference shower has energy above the readout threshold", data)
    points = sorted((point for find in _FINDERS for point in find(data)), key=lambda point: point.rank)
    return {"headline": _headline(data, points), "points": [point.plain() for point in points]}


def _is_dark(data: dict[str, Any], side: str) -> bool:
    sample = data.get(side, {})
    return "without_energy" in sample and sample["without_energy"] == sample["n"]


def _nothing(reason: str, data: dict[str, Any]) -> dict[str, Any]:
    words = f"{reason} ({data['threshold_mev']:g} MeV): there is nothing to judge"
    return {"headline": f"No verdict: {words}.", "points": [Point("bad", "empty", words).plain()]}


def _headline(data: dict[str, Any], points: list[Point]) -> str:
    mean = data.get("mean_separation_power", {}).get("all", {})
    size = data.get("floor", {}).get("n", 0)
    numbers = ""
    if is_available(mean) and "value_at_n" in mean:
        numbers = (
            f" Mean separation power {mean['value_at_n']:.4f} against a floor of {mean['floor']:.4f} "
            f"(N = {size} showers a side)."
        )
    named = {level: _named(points, level) for level in ("bad", "note")}
    if named["bad"]:
        return f"Told apart from the reference by {_listed(named['bad'])}.{numbers}"
    if not numbers:
        return "No verdict: there are too few showers to compare."
    if set(named["note"]) <= {_METRIC_WORDS[metric] for metric in _NO_FAULTS}:
        ending = f"; look at {_listed(named['note'])}" if named["note"] else ""
        if not any(is_available(test) for test in data.get("classifier", {}).values()):
            ending += "; no classifier could be had" if data.get("classifier") else "; no classifier was asked"
        return f"At the floor: no metric here tells the generated showers from the reference{ending}.{numbers}"
    return f"Close to the reference; look at {_listed(named['note'])}.{numbers}"


def _named(points: list[Point], level: str) -> list[str]:
    """The metrics that speak at a level, in words."""
    return list(dict.fromkeys(_METRIC_WORDS.get(p.metric, p.metric) for p in points if p.level == level))


_METRIC_WORDS = {
    "separation_power": "separation powers",
    "wasserstein": "Wasserstein distances",
    "response": "the energy response",
    "duplicates": "duplicates",
    "always_zero_voxels": "voxels that are always empty",
    "fpd": "FPD",
    "kpd": "KPD",
    "prdc": "precision and recall",
    "correlations": "correlations",
    "classifier": "a classifier",
    "unavailable": "metrics that could not be had",
    "spectrum": "the incident energies",
    "empty": "showers without energy",
}


_NO_FAULTS = ("unavailable", "spectrum")
"""What a note may say without any fault of the showers."""


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _level(pull: float) -> str | None:
    return "bad" if pull > BAD else "note" if pull > NOTE else None


def _separations(data: dict[str, Any]) -> Iterator[Point]:
    powers = {k: v for k, v in data.get("separation_power", {}).items() if is_available(v)}
    if not powers:
        return
    groups: dict[str, list[str]] = {}
    for name, entry in powers.items():
        if _level(entry["pull"]):
            last = name.rpartition("_")[2]
            groups.setdefault(f"layer {last}" if last.lstrip("-").isdigit() else name, []).append(name)
    ranked = sorted(groups.items(), key=lambda item: -max(powers[n]["pull"] for n in item[1]))
    for where, names in ranked[:MOST]:
        names.sort(key=lambda n: -powers[n]["pull"])
        level = _level(powers[names[0]]["pull"]) or "note"
        shown = ", ".join(f"{n} {powers[n]['value_at_n']:.4f} (floor {powers[n]['floor']:.4f})" for n in names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        words = f"{where}: separation powers" if where.startswith("layer ") else "separation power"
        yield Point(level, "separation_power", f"{words} {shown}{more}", powers[names[0]]["pull"])
    if len(ranked) > MOST:
        largest = max(powers[name]["pull"] for name in ranked[MOST][1])
        n = len(ranked) - MOST
        text = f"separation powers above the floor in {n} more layer{'s or observables' if n > 1 else ' or observable'}"
        yield Point(_level(largest) or "note", "separation_power", text, largest)
    if not ranked:
        yield Point("good", "separation_power", f"all {len(powers)} separation powers lie at the floor")
    for name, entry in powers.items():
        lost = entry["outside"]["generated"] - entry["outside"]["reference"]
        if lost > 0.05:
            yield Point(
                "note",
                "separation_power",
                f"{name}: {100 * entry['outside']['generated']:.1f} % of the generated lie outside the histogram "
                f"({100 * entry['outside']['reference']:.1f} % of the reference)",
            )


def _response(data: dict[str, Any]) -> Iterator[Point]:
    entries = data.get("response", {})
    if _is_dark(data, "generated"):
        yield Point("bad", "empty", "no generated shower has energy above the readout threshold")
        return
    if not is_available(entries):
        return
    for key, smallest in SMALLEST.items():
        entry = entries.get(key)
        if not is_available(entry):
            continue
        what = f"{key} of E_dep/E_inc"
        level, largest = _level(abs(entry["pull"])), entry.get("largest")
        if level and abs(entry["value"]) >= smallest:
            value, _, error = to_error(100 * abs(entry["value"]), 100 * entry["error"]).partition(" ± ")
            shift = f"{value} % too {'high' if entry['value'] > 0 else 'low'}"
            numbers = f"{f'± {error} %, ' if error else ''}{_sigma(entry['pull'])} on all showers"
            most = f"; most at {_at(largest)}" if largest and entry["energies"] > 1 else ""
            yield Point(level, "response", f"{what} is {shift} ({numbers}){most}", abs(entry["pull"]))
        elif largest and (level := _from_chi2(entry["probability"])) and abs(largest["value"]) >= smallest:
            where = f"at single energies (χ² {entry['chi2']:.0f} for {entry['energies']})"
            sigma = _deviations(entry["probability"])
            yield Point(level, "response", f"{what} is off {where}; most at {_at(largest)}", sigma)


def _sigma(pull: float) -> str:
    return f"{abs(pull):.1f} σ" if abs(pull) < 1000 else "> 999 σ"


def _at(largest: dict[str, Any]) -> str:
    return f"{largest['at']}: {to_error(100 * largest['value'], 100 * largest['error'], '+')} %"


def _deviations(probability: float) -> float:
    """Standard deviations of a normal distribution that are as improbable."""
    return -NormalDist().inv_cdf(max(probability, 1e-300) / 2)


def _from_chi2(probability: float) -> str | None:
    sigma = _deviations(probability)
    return _level(sigma) if sigma > CANCELLING else None


def _duplicates(data: dict[str, Any]) -> Iterator[Point]:
    entries = data.get("duplicates", {})
    if not is_available(entries):
        return
    texts = {
        "within": "of the generated showers repeat another generated one exactly",
        "of_reference": "of the generated showers are exact copies of reference showers",
        "of_training": "of the generated showers are exact copies of training showers: the generator memorised",
        "near": "of the generated showers have a near-duplicate among the generated",
        "near_training": "of the generated showers come suspiciously near a training shower",
    }
    found = [(key, entry) for key in texts if is_available(entry := entries.get(key)) and _level(entry["pull"])]
    for key, entry in sorted(found, key=lambda item: -item[1]["pull"]):
        floor = f"(reference: {100 * entry['floor']:.2f} %)"
        text = f"{100 * entry['value']:.2f} % {texts[key]} {floor}"
        yield Point(_level(entry["pull"]) or "note", "duplicates", text, entry["pull"])
    empty = entries.get("empty")
    if is_available(empty) and _level(abs(empty["pull"])):
        shares = f"{100 * empty['value']:.2f} % of the generated, {100 * empty['floor']:.2f} % of the reference"
        yield Point("bad" if empty["value"] > 0.01 else "note", "empty", f"showers without any energy: {shares}")
    if not found and is_available(entries.get("within")):
        yield Point("good", "duplicates", "no more duplicates or near-duplicates than in the reference")


def _always_zero(data: dict[str, Any]) -> Iterator[Point]:
    entry = data.get("always_zero_voxels", {})
    if not is_available(entry):
        return
    for key, words, other in (
        ("only_generated", "are always empty in the generated showers", "reference"),
        ("only_reference", "are always empty in the reference, not in the generated showers", "generated"),
    ):
        found = entry.get(key, {})
        if not found.get("certain"):
            continue
        for layer in found["empty_layers"]:
            sample = "generated" if key == "only_generated" else "reference"
            yield Point("bad", "always_zero_voxels", f"layer {layer} has no energy in any {sample} shower")
        layers = ", ".join(f"{n} in layer {name}" for name, n in list(found["layers"].items())[:MOST])
        held = f"{share(found['energy_share'])} of the {other} energy lies there"
        bad = found["empty_layers"] or found["energy_share"] > 1e-3
        yield Point(
            "bad" if bad else "note",
            "always_zero_voxels",
            f"{count(found['certain'], 'voxel')} {words if found['certain'] != 1 else words.replace('are', 'is', 1)} "
            f"({layers}); {held}",
        )


def _multivariate(data: dict[str, Any]) -> Iterator[Point]:
    for key, name in (("fpd", "FPD"), ("kpd", "KPD")):
        entry = data.get(key)
        if not is_available(entry):
            continue
        level = _level(entry["pull"])
        value, floor = entry.get("value_at_n", entry["value"]), entry["floor"]
        numbers = f"{value:.2f} ± {entry['error']:.2f}, floor {floor:.2f} ± {entry['floor_error']:.2f}"
        words = f"{name} × 10³ {numbers}" if level else f"{name} × 10³ lies at the floor: {numbers}"
        yield Point(level or "good", key, words, entry["pull"])
    prdc = data.get("prdc", {})
    if is_available(prdc):
        for name in ("precision", "recall", "coverage"):
            entry = prdc.get(name)
            if is_available(entry) and (level := _level(-entry["pull"])):
                yield Point(level, "prdc", f"{name} {entry['value']:.3f}, floor {entry['floor']:.3f}", -entry["pull"])
    for key, entry in data.get("correlations", {}).items():
        if is_available(entry) and (level := _level(entry["pull"])):
            text = f"correlations between {_MATRICES.get(key, key)} differ"
            numbers = f"root mean square {entry['value_at_n']:.4f}, floor {entry['floor']:.4f}"
            yield Point(level, "correlations", f"{_pair(entry)}{text}: {numbers}", entry["pull"])


_MATRICES = {"layers": "layer energies", "directions": "the layers' centres of energy"}


def _pair(entry: dict[str, Any]) -> str:
    """The pair whose correlation differs most, in words that go before others."""
    if "largest" not in entry:
        return ""
    pair = entry["largest"]
    numbers = f"is {pair['generated']:.2f}, reference {pair['reference']:.2f}"
    return f"correlation of {pair['first']} and {pair['second']} {numbers}; "


def _wasserstein(data: dict[str, Any]) -> Iterator[Point]:
    entries = {k: v for k, v in data.get("wasserstein", {}).items() if is_available(v)}
    above = sorted((k for k, v in entries.items() if _level(v["pull"])), key=lambda k: -entries[k]["pull"])
    if above:
        level = _level(entries[above[0]]["pull"]) or "note"
        numbers = ", ".join(f"{k} {entries[k]['value_at_n']:.4g} (floor {entries[k]['floor']:.2g})" for k in above[:4])
        more = f" and {len(above) - 4} more" if len(above) > 4 else ""
        text = f"1-Wasserstein distances above the floor: {numbers}{more}"
        yield Point(level, "wasserstein", text, entries[above[0]]["pull"])
    elif entries:
        yield Point("good", "wasserstein", f"all {len(entries)} 1-Wasserstein distances lie at the floor")


def _classifiers(data: dict[str, Any]) -> Iterator[Point]:
    tests = {name: entry for name, entry in data.get("classifier", {}).items() if is_available(entry)}
    for name, test in sorted(tests.items(), key=lambda item: -item[1]["auc"]):
        entry = auc_entry(test)
        level = _level(entry["pull"])
        floor = f"floor {entry['floor']:.3f}" if "floor" in entry else "no floor, 0.5 for equal samples"
        numbers = f"AUC {entry['value']:.3f}, {floor}"
        said = f"the classifier {name} tells them apart" if level else f"classifier {name} at the floor"
        yield Point(level or "good", "classifier", f"{said}: {numbers}", entry["pull"])


def _unavailable(data: dict[str, Any]) -> Iterator[Point]:
    for key in ("fpd", "prdc", "response"):
        entry = data.get(key)
        if isinstance(entry, dict) and "unavailable" in entry and "left out" not in entry["unavailable"]:
            yield Point("note", "unavailable", f"{key}: {entry['unavailable']}")
    missing = [k for k, v in data.get("separation_power", {}).items() if not is_available(v)]
    if missing:
        reason = data["separation_power"][missing[0]]["unavailable"]
        yield Point("note", "unavailable", f"no separation power for {', '.join(missing[:MOST])}: {reason}")
    spectrum = data.get("spectrum", {})
    if spectrum.get("matched"):
        kept = f"{spectrum['generated_kept']} generated and {spectrum['reference_kept']} reference showers"
        yield Point("note", "spectrum", f"incident-energy spectra were matched, which left {kept}")


_FINDERS = (
    _response,
    _separations,
    _always_zero,
    _duplicates,
    _classifiers,
    _multivariate,
    _wasserstein,
    _unavailable,
)
