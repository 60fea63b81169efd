"""Which observables differ: gathered by layer, or over all layers where many differ."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from caloforge import formatting
from caloforge.evaluation.metrics.base import Metric
from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.verdict.energies import energies_of
from caloforge.evaluation.report.verdict.point import MOST, Point
from caloforge.evaluation.report.verdict.words import MomentPair, difference, moments
from caloforge.formatting import share

SECTIONS = {"separation_power": "separation power", "wasserstein": "Wasserstein distance"}
"""Sections whose metrics are observables, and whose findings are told in words of physics."""

KINDS = {
    "width": "Shower widths",
    "ec": "Centres of energy",
    "e": "Layer energies",
    "fraction": "Layer energies",
    "sparsity": "Numbers of hit voxels",
    "occupancy": "Numbers of hit voxels",
    "pairs": "Neighbouring hits",
    "isolated": "Neighbouring hits",
    "clusters": "Neighbouring hits",
}
"""First part of a family's name → what it is about; of each kind a layer's finding names the worst one."""

OUTSIDE = 0.05
"""Excess of generated showers outside a histogram, as a fraction, that is worth a note."""

_LAYERED = re.compile(r"(.+)_(-?\d+)")


@dataclass(frozen=True)
class Deviation:
    """An observable that differs: its worst pull, and the size of the effect in standard deviations, roughly."""

    metric: Metric
    family: str
    layer: str
    pull: float
    effect: float

    @property
    def kind(self) -> str:
        """Observables of one kind mostly differ for one reason."""
        if not self.layer:
            return self.family
        label = self.metric.label.removesuffix(f", layer {self.layer}")
        return KINDS.get(self.family.partition("_")[0], label[:1].upper() + label[1:])


def observables(records: Records) -> Iterator[Point]:
    """What differs, layer by layer; the whole shower apart."""
    every = deviations(records)
    found = [each for each in every if level_of(each.pull) != "good"]
    has_response = bool(records.judged("response"))
    whole = [each for each in found if not each.layer and not (has_response and each.family == "e_tot_over_e_inc")]
    if whole:
        yield _point(records, "Whole shower", whole)
    of_layers = _by(found, "layer")
    if len(of_layers) <= MOST:
        for layer, members in of_layers.items():
            yield _point(records, f"Layer {layer}", members)
        return
    total = len(_by(every, "layer"))
    for kind, members in _by(found, "kind").items():
        layers = len(_by(members, "layer"))
        worst = f"in {layers} of {total} layers, most in layer {members[0].layer}: {in_words(records, members[0])}"
        size = max(each.pull for each in members)
        yield Point(level_of(size), "observables", kind, (worst,), members[0].effect)


def _by(found: list[Deviation], key: str) -> dict[str, list[Deviation]]:
    """Those of layers, by `layer` or by `kind`, in order."""
    groups: dict[str, list[Deviation]] = {}
    for each in found:
        if each.layer:
            groups.setdefault(getattr(each, key), []).append(each)
    return groups


def outside(records: Records) -> Iterator[Point]:
    """Observables of which many more generated than reference showers lie outside the histogram."""
    found: list[tuple[float, str]] = []
    for metric in records.section("separation_power", at=""):
        generated, reference = (metric.extra.get(f"outside_{sample}") for sample in ("generated", "reference"))
        if isinstance(generated, float) and isinstance(reference, float) and generated - reference > OUTSIDE:
            label = metric.label.replace(", layer ", " of layer ")
            text = f"{label} for {share(generated)} of generated showers (reference {share(reference)})"
            found.append((generated - reference, text))
    found.sort(key=lambda each: -each[0])
    if found:
        words = tuple(text for _, text in found)
        words = words if len(words) <= 4 else (*words[:3], f"and {len(words) - 3} more")
        yield Point("note", "outside", "Outside the histogram's range", words, found[0][0])


def deviations(records: Records) -> list[Deviation]:
    """Every observable with a baseline, the largest effect first."""
    worst: dict[str, Deviation] = {}
    for section in SECTIONS:
        for each in records.judged(section):
            metric, above = each.metric, max(0.0, each.estimate.compared - (each.estimate.baseline or 0.0))
            # A shift by d standard deviations gives a separation power of about d² / 4.
            effect, spread = 2 * math.sqrt(above), metric.extra.get("spread")
            if section == "wasserstein":
                effect = above / spread if isinstance(spread, (int, float)) and spread > 0 else 0.0
            new = Deviation(metric, *_split(metric.name), each.excess, effect)
            known = worst.setdefault(metric.name, new)
            pull, effect = max(new.pull, known.pull), max(new.effect, known.effect)
            worst[metric.name] = replace(known, pull=pull, effect=effect)
    return sorted(worst.values(), key=lambda each: -each.effect)


def _point(records: Records, place: str, members: list[Deviation]) -> Point:
    kinds: dict[str, Deviation] = {}
    for each in members:
        kinds.setdefault(each.kind, each)
    chosen = list(kinds.values())[:3]
    findings = [in_words(records, each) for each in chosen]
    rest = [each for each in members if each not in chosen]
    if rest:
        findings.append(f"and {in_words(records, rest[0]) if len(rest) == 1 else f'{len(rest)} more observables'}")
    return Point(level_of(max(each.pull for each in members)), "observables", place, tuple(findings), members[0].effect)


def in_words(records: Records, each: Deviation) -> str:
    """As `14 % too narrow in phi`; the metric's numbers where the samples' means are not known."""
    label = each.metric.label.removesuffix(f", layer {each.layer}")
    found = energies_of(records, each.metric.name)
    known = moments(records, each.metric.name) if found is None else found.moments
    if known is not None:
        # Only the Wasserstein distance of an observable is in its unit.
        units = [m.unit for m in records.section("wasserstein", at="") if m.name == each.metric.name]
        words = difference(each.family, label, each.metric.unit or next(iter(units), ""), known)
        return words if found is None else f"{words} at {found.words}{_voxels(records, each, known)}"
    return f"{label} ({SECTIONS[each.metric.section]} {against_baseline(each.metric).replace(' (', ', ')}"


def _voxels(records: Records, each: Deviation, known: MomentPair) -> str:
    """As ` (12 voxels instead of 9)`, for the fraction of a layer's voxels that are hit or empty."""
    geometry = records.about.geometry
    if geometry is None or each.family not in ("sparsity", "occupancy") or not each.layer:
        return ""
    n = geometry.layer(int(each.layer)).n_voxels
    hit = [1 - mean if each.family == "sparsity" else mean for mean in (known.mean_g, known.mean_r)]
    return f" ({formatting.number(n * hit[0], 2)} voxels instead of {formatting.number(n * hit[1], 2)})"


def against_baseline(metric: Metric) -> str:
    """`0.214 (baseline 0.745)`."""
    estimate = metric.estimate
    if estimate is None:
        return metric.reason
    unit = f" {metric.unit}" if metric.unit else ""
    target, words = estimate.target, "baseline" if estimate.expected is None else "expected"

    def text(number: float) -> str:
        return f"{number:.3f}" if metric.section == "auc" else formatting.number(number, 3)

    value = f"{text(estimate.compared)}{unit}"
    return value if target is None else f"{value} ({words} {text(target)})"


def _split(name: str) -> tuple[str, str]:
    """(family, layer) of an observable's name; the layer is empty for one of the whole shower."""
    match = _LAYERED.fullmatch(name)
    return (match.group(1), match.group(2)) if match else (name, "")
