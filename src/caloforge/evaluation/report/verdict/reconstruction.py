"""What a toy reconstruction leaves of the differences: energy, variables of identification, identification itself."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.verdict.observables import against_baseline
from caloforge.evaluation.report.verdict.point import Point
from caloforge.evaluation.report.verdict.response import SMALLEST
from caloforge.formatting import number, pull, rounded

SECTIONS = ("reconstructed_response", "reconstructed_power", "class_swap")
"""Sections that are told of here."""

PLACE = "After reconstruction"

NAMED = 3
"""Variables that are named, the worst ones."""

ENERGY = {"mean": ("energy", "high", "low"), "spread": ("energy resolution", "large", "small")}


def reconstruction(records: Records) -> Iterator[Point]:
    """One finding each of the energy, of the variables, and of identification."""
    for each in records.worse("reconstructed_response"):
        name, value, error = each.metric.name, each.estimate.value, each.estimate.error or 0.0
        if name in ENERGY and abs(value) < SMALLEST[name]:
            continue
        if name in ENERGY:
            what, above, below = ENERGY[name]
            words = f"{what} {rounded(100 * abs(value), 100 * error)} % too {above if value > 0 else below}"
        elif name == "efficiency":
            words = (
                f"{rounded(100 * abs(value), 100 * error)} % {'more' if value > 0 else 'fewer'} showers with a cluster"
            )
        else:
            words = f"response changes by {rounded(100 * value, 100 * error, '+')} % per octave of E_inc"
        yield Point(each.level, "reconstruction", PLACE, (f"{words} ({pull(each.excess)})",), each.excess)
    worse = records.worse("reconstructed_power")
    if worse:
        named = [f"{each.metric.label} {against_baseline(each.metric)}" for each in worse[:NAMED]]
        more = [f"and {len(worse) - NAMED} more"] if len(worse) > NAMED else []
        yield Point(worse[0].level, "reconstruction", PLACE, (f"separation power of {named[0]}", *named[1:], *more))
    for each in records.worse("class_swap"):
        estimate = each.estimate
        words = f"{each.metric.label}: AUC {number(estimate.value, 3)} instead of {number(estimate.baseline, 3)}"
        yield Point(level_of(each.excess), "reconstruction", PLACE, (f"{words} ({pull(estimate.pull)})",), each.excess)
