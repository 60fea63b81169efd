"""What a toy reconstruction leaves of the differences: energy, variables of identification, identification itself."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import Judged, Records, level_of
from caloforge.evaluation.report.verdict.observables import against_baseline
from caloforge.evaluation.report.verdict.point import Point
from caloforge.evaluation.report.verdict.response import CANCELLING, SMALLEST, normal_deviations
from caloforge.formatting import number, pull, rounded

SECTIONS = ("reconstructed_response", "reconstructed_power", "class_swap")
"""Sections that are told of here."""

PLACE = "After reconstruction"

NAMED = 3
"""Variables that are named, the worst ones."""

ENERGY = {"mean": ("energy", "high", "low"), "spread": ("energy resolution", "large", "small")}

LARGEST = ("at", "value", "error")


def reconstruction(records: Records) -> Iterator[Point]:
    """One finding each of the energy, of the variables, and of identification."""
    for each in records.judged("reconstructed_response"):
        yield from _of_energy(each)
    worse = records.worse("reconstructed_power")
    if worse:
        named = [f"{each.metric.label} {against_baseline(each.metric)}" for each in worse[:NAMED]]
        more = [f"and {len(worse) - NAMED} more"] if len(worse) > NAMED else []
        yield Point(worse[0].level, "reconstruction", PLACE, (f"separation power of {named[0]}", *named[1:], *more))
    for each in records.worse("class_swap"):
        estimate = each.estimate
        words = f"{each.metric.label}: AUC {number(estimate.value, 3)} instead of {number(estimate.baseline, 3)}"
        yield Point(level_of(each.excess), "reconstruction", PLACE, (f"{words} ({pull(estimate.pull)})",), each.excess)


def _of_energy(each: Judged) -> Iterator[Point]:
    """Response, resolution, linearity or efficiency; the first two also where they are off at single energies."""
    name, value, error, extra = each.metric.name, each.estimate.value, each.estimate.error or 0.0, each.metric.extra
    size, level = each.excess, each.level
    words = ""
    if name in ENERGY:
        what, above, below = ENERGY[name]
        at, largest, of_largest, p = (extra.get(k) for k in (*(f"largest_{k}" for k in LARGEST), "probability"))
        if level != "good" and abs(value) >= SMALLEST[name]:
            words = f"{what} {rounded(100 * abs(value), 100 * error)} % too {above if value > 0 else below}"
        elif isinstance(p, float) and isinstance(largest, float) and isinstance(of_largest, float):
            size = normal_deviations(p)
            level = level_of(size)
            if size > CANCELLING and abs(largest) >= SMALLEST[name]:
                words = f"{what} off at single energies, {rounded(100 * largest, 100 * of_largest, '+')} % at {at}"
    elif level != "good" and name == "efficiency":
        words = f"{rounded(100 * abs(value), 100 * error)} % {'more' if value > 0 else 'fewer'} showers with a cluster"
    elif level != "good":
        words = f"response changes by {rounded(100 * value, 100 * error, '+')} % per octave of E_inc"
    if words:
        yield Point(level, "reconstruction", PLACE, (f"{words} ({pull(size)})",), size)
