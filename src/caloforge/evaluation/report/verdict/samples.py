"""What concerns the samples as wholes: copies, empty voxels and showers, correlations, classifiers, everything else."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import BAD, Records, level_of
from caloforge.evaluation.report.verdict.observables import SECTIONS, against_baseline
from caloforge.evaluation.report.verdict.point import MOST, Point
from caloforge.evaluation.report.verdict.reconstruction import SECTIONS as AFTER_RECONSTRUCTION
from caloforge.formatting import listed, share
from caloforge.units import count

COPIES = {
    "within": ("Duplicates", "{} of generated showers repeat another one exactly"),
    "of_reference": ("Copies", "{} of generated showers are copies of reference showers"),
    "of_training": ("Memorisation", "{} of generated showers are copies of training showers"),
    "near": ("Mode collapse", "{} of generated showers have a near-duplicate in their sample"),
    "near_training": ("Memorisation", "{} of generated showers are suspiciously close to a training shower"),
}

MEANINGS = {
    "precision": "generated showers lie where the reference has none",
    "recall": "parts of the reference are never generated",
    "coverage": "reference showers have no generated neighbour",
}

TOLD = (
    *SECTIONS,
    *AFTER_RECONSTRUCTION,
    "response",
    "duplicates",
    "empty_voxels",
    "correlations",
    "prdc",
    "auc",
    "two_sample",
)
"""Sections with words of their own."""

SILENT = (
    "kl",
    "mean_separation_power",
    "w1_subsamples",
    "jsd",
    "importance",
    "importance_pairs",
    "weights",
    "mean_reconstructed_power",
)
"""Sections that repeat what others find."""


def duplicates(records: Records) -> Iterator[Point]:
    """Showers that repeat others, of the sample or of the training set, and showers without energy."""
    for each in records.judged("duplicates"):
        name, value = each.metric.name, each.estimate.value
        reference = f"(reference {share(each.estimate.baseline)})"
        if name == "empty" and level_of(abs(each.excess)) != "good":
            level = "bad" if value > 0.01 else "note"
            yield Point(level, "empty", "Showers without energy", (f"{share(value)} {reference}",), abs(each.excess))
        elif name in COPIES and each.level != "good":
            place, words = COPIES[name]
            yield Point(each.level, "duplicates", place, (f"{words.format(share(value))} {reference}",), each.excess)


def empty_voxels(records: Records) -> Iterator[Point]:
    """Voxels that only one sample ever fills."""
    for sample, other in (("generated", "reference"), ("reference", "generated")):
        entries = [m for m in records.section("empty_voxels", at="") if m.name.startswith(f"only_{sample}")]
        extra = next((m.extra for m in entries if m.name == f"only_{sample}"), {})
        certain, energy, layers = extra.get("certain"), extra.get("energy_share"), str(extra.get("empty_layers") or "")
        if layers:
            text = f"no energy in any {sample} shower"
            yield Point("bad", "empty_voxels", f"Layer{'s' if ',' in layers else ''} {layers}", (text,), 1.0)
        if isinstance(certain, (int, float)) and certain and isinstance(energy, (int, float)):
            found = [(m.name.rpartition("_")[2], m.estimate.value) for m in entries[1:] if m.estimate is not None]
            where = ", ".join(f"{n:.0f} in layer {layer}" for layer, n in found[:MOST])
            text = f"{count(int(certain), 'voxel')} empty in all {sample} showers, with {share(energy)} of the energy"
            level = "bad" if layers or energy > 1e-3 else "note"
            yield Point(level, "empty_voxels", "Empty voxels", (f"{text} of {other} showers ({where})",), energy)


def correlations(records: Records) -> Iterator[Point]:
    """Matrices of correlations, each with the pair that differs most."""
    for each in records.worse("correlations"):
        keys = ("first", "second", "generated", "reference")
        first, second, here, there = (each.metric.extra.get(f"largest_{key}") for key in keys)
        findings = [f"rms difference {against_baseline(each.metric)}"]
        if isinstance(here, float) and isinstance(there, float):
            pair = listed([records.observable_in_words(str(name)) for name in (first, second)])
            findings.append(f"most for {pair}: {here:.2f}, reference {there:.2f}")
        place = each.metric.label[:1].upper() + each.metric.label[1:]
        yield Point(each.level, "correlations", place, tuple(findings), each.excess)


def neighbours(records: Records) -> Iterator[Point]:
    """Precision, recall and coverage."""
    for each in records.worse("prdc"):
        if meaning := MEANINGS.get(each.metric.name):
            words = (against_baseline(each.metric), meaning)
            yield Point(each.level, "prdc", each.metric.label.capitalize(), words, each.excess)


def classifiers(records: Records) -> Iterator[Point]:
    """Classifiers that separate the samples, the best one first."""
    found = sorted(records.worse("auc"), key=lambda each: -each.estimate.value)
    if found:
        words = tuple(f"AUC of {each.metric.label} {against_baseline(each.metric)}" for each in found)
        yield Point(level_of(max(each.excess for each in found)), "auc", "Classifiers", words, found[0].estimate.value)


def others(records: Records) -> Iterator[Point]:
    """Every section without words of its own, a user's included: its three worst numbers."""
    for name, section in records.sections.items():
        worse = records.worse(name)
        if worse and name not in (*TOLD, *SILENT):
            alone = len(records.section(name, at="")) == 1
            words = [f"{'' if alone else f'{e.metric.label} '}{against_baseline(e.metric)}" for e in worse[:3]]
            more = [f"and {len(worse) - 3} more"] if len(worse) > 3 else []
            yield Point(worse[0].level, name, section.title, (*words, *more), worse[0].excess)


def too_close(records: Records) -> Iterator[Point]:
    """Samples closer than independent ones can be: do they share showers?"""
    below = [each for name in SECTIONS for each in records.judged(name) if each.excess < -BAD]
    if len(below) > 2:
        text = f"{len(below)} distances are more than {BAD:g} σ below the baseline: do the samples share showers?"
        yield Point("note", "too_close", "Closer than independent samples", (text,), float(len(below)))


def missing(records: Records) -> Iterator[Point]:
    """Metrics that are not available, by reason; and showers left out to match the spectra."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for metric in records.metrics:
        if metric.estimate is None and not metric.at:
            reasons.setdefault(metric.reason, {}).setdefault(metric.section, []).append(metric.label)
    for reason, sections in reasons.items():
        words = []
        for name, labels in sections.items():
            title = records.sections[name].title if name in records.sections else name
            everything = len(labels) == len(records.section(name, at=""))
            some = labels[:MOST] + ([f"{len(labels) - MOST} more"] if len(labels) > MOST else [])
            words.append(title if everything else f"{title} of {listed(some)}")
        yield Point("note", "missing", "Not available", (f"{listed(words)} ({reason})",))
    spectrum = records.about.spectrum
    if spectrum.matched:
        kept = listed([f"{n} {sample} showers" for sample, n in spectrum.kept.items()])
        yield Point("note", "spectrum", "Incident energies", (f"spectra were matched, which left {kept}",))
