"""The verdict: how good the generated showers are in one sentence, where they fail in another, then finding by finding.

A metric counts where it is worse than its baseline by more than 3 (a note) or 5 (bad) standard errors of both.
Fractions of voxels and differences of the response must also be large enough to matter. Where a sample has no energy
there is nothing to compare, and where only metrics are missing, nothing to praise.

Findings are sorted by level, causes (showers without energy, duplicates, the response) before their consequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caloforge.evaluation.report.records import Judged, Records, level_of
from caloforge.evaluation.report.verdict import samples
from caloforge.evaluation.report.verdict.observables import against_baseline, deviations, in_words, observables, outside
from caloforge.evaluation.report.verdict.point import LEVELS, Point
from caloforge.evaluation.report.verdict.reconstruction import reconstruction
from caloforge.evaluation.report.verdict.response import response
from caloforge.evaluation.report.verdict.two_sample import two_sample
from caloforge.evaluation.report.verdict.weight_tails import weights
from caloforge.evaluation.report.verdict.worst_cell import worst_cell
from caloforge.evaluation.report.verdict.worth import worth
from caloforge.formatting import listed

__all__ = ["FINDERS", "Point", "Verdict", "telling", "verdict"]

FINDERS = (
    response,
    observables,
    outside,
    samples.duplicates,
    samples.empty_voxels,
    samples.correlations,
    samples.neighbours,
    samples.classifiers,
    reconstruction,
    two_sample,
    weights,
    worst_cell,
    worth,
    samples.others,
    samples.too_close,
    samples.missing,
)
"""What looks for findings: functions of the records."""

MOST_COPIES = 0.5
"""Fraction of the generated showers that are showers of the reference too; above it there is no verdict."""

NO_FAULTS = ("missing", "spectrum", "outside", "worth")
"""Topics of notes that are not faults of the showers on their own."""


@dataclass(frozen=True)
class Verdict:
    """How good the generated showers are.

    Args:
        level: bad, note or good.
        headline: how good, in one sentence.
        where: where they fail, in one sentence; empty where they do not.
        points: the findings.
    """

    level: str
    headline: str
    where: str
    points: tuple[Point, ...]

    def __repr__(self) -> str:
        return f"Verdict({self.level}: {self.headline})"

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        points = [{"level": p.level, "topic": p.topic, "text": p.text} for p in self.points]
        return {"level": self.level, "headline": self.headline, "where": self.where, "points": points}


def verdict(records: Records) -> Verdict:
    """The verdict on an evaluation."""
    about = records.about
    empty = [label for label in ("generated", "reference") if getattr(about, label).is_empty]
    if "reference" in empty:
        which = "neither sample has" if len(empty) == 2 else "the reference does not have"
        text = f"{which} a shower with energy above the readout threshold ({about.threshold_mev:g} MeV)"
        return Verdict("bad", f"Nothing to compare: {text}.", "", (Point("bad", "empty", "No verdict", (text,)),))
    points = sorted((point for find in FINDERS for point in find(records)), key=lambda point: point.rank)
    if empty:
        text = "no generated shower has energy above the readout threshold"
        points.insert(0, Point("bad", "empty", "Showers without energy", (text,)))
    points += _agreement(records)
    faults = [point for point in points if point.level != "good" and point.topic not in NO_FAULTS]
    if not faults and not _is_decided(records):
        return Verdict("note", "No verdict: too few showers to compare.", "", tuple(points))
    copies, n = about.generated.copies, about.generated.n
    if copies > MOST_COPIES * n:
        text = f"{copies:,} of {n:,} generated showers are showers of the reference: give independent samples"
        return Verdict("bad", f"No verdict: {text}.", "", tuple(points))
    level = min((point.level for point in faults), key=LEVELS.index, default="good")
    return Verdict(level, _headline(records, level), _where(records, faults), tuple(points))


def _is_decided(records: Records) -> bool:
    """Whether there is a distance or an AUC to go by; counts of duplicates alone say nothing of quality."""
    distances = [metric for name in ("separation_power", "auc") for metric in records.section(name)]
    return any(metric.pull is not None for metric in distances or records.metrics)


def _headline(records: Records, level: str) -> str:
    words = {
        "bad": "Distinguishable from the reference",
        "note": "Close to the reference, with small deviations",
        "good": "Indistinguishable from the reference within errors",
    }
    keys = _key_metrics(records)
    if not keys:
        return f"{words[level]}."
    numbers = listed([_in_words(each) for each in keys])
    if level != "good" and all(each.level == "good" for each in keys):  # what differs is elsewhere
        return f"{words[level]}, although {numbers} agree{'s' if len(keys) == 1 else ''} with the baseline."
    return f"{words[level]}: {numbers}."


def _key_metrics(records: Records) -> list[Judged]:
    """The highest AUC and the mean separation power."""
    highest = sorted(records.judged("auc"), key=lambda each: -each.estimate.value)[:1]
    return highest + [each for each in records.judged("mean_separation_power") if each.metric.name == "all"]


def _in_words(key: Judged) -> str:
    """With its baseline."""
    if key.metric.section != "auc":
        return f"mean separation power {against_baseline(key.metric)}"
    value, _, rest = against_baseline(key.metric).partition(" (")
    return f"AUC {value} ({key.metric.label}; {rest}"


def _where(records: Records, faults: list[Point]) -> str:
    """The first finding of the first three topics."""
    first: dict[str, Point] = {}
    for fault in faults:
        first.setdefault(fault.topic, fault)
    if first:
        return f"Main deviations: {'; '.join(fault.short for fault in list(first.values())[:3])}."
    return "" if records.judged("auc") else "No classifier was trained."


def _agreement(records: Records) -> list[Point]:
    """How many metrics agree with their baselines, by section."""
    if records.about.generated.is_empty:
        return []
    judged = {section.title: records.judged(name) for name, section in records.sections.items()}
    words = [
        f"{title} ({len(found)})"
        for title, found in judged.items()
        if found and all(each.level == "good" for each in found)
    ]
    return [Point("good", "agreement", "Within 3 σ of the baseline", tuple(words))] if words else []


def telling(records: Records, n: int = 3) -> dict[str, str]:
    """Up to `n` observables with a histogram that tell most: name → what differs, in words.

    They are of different kinds, and of different layers as far as there are any.
    """
    shown = [each for each in deviations(records) if each.metric.name in records.hists]
    shown.sort(key=lambda each: level_of(each.pull) == "good")
    found: dict[str, str] = {}
    kinds: set[str] = set()
    layers: set[str] = set()
    for known in (layers, set[str]()):
        for each in shown:
            if len(found) < n and each.kind not in kinds and each.layer not in known:
                kinds.add(each.kind)
                layers.add(each.layer)
                agrees = level_of(each.pull) == "good"
                words = f"{each.metric.label} agrees" if agrees else in_words(records, each)
                found[each.metric.name] = f"Layer {each.layer}: {words}" if each.layer and not agrees else words
    return found
