"""Does a shower hold the right share of the incident energy, on average and in its spread?"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.verdict.point import Point
from caloforge.formatting import pull, rounded

SMALLEST = {"mean": 1e-3, "spread": 1e-2}
"""Relative differences of the response that matter; smaller ones are not mentioned, however significant."""

CANCELLING = 4.0
"""Standard deviations from which the χ² over incident energies counts where the mean over them is right."""

WORDS = {"mean": ("Energy response", "E_dep/E_inc"), "spread": ("Energy resolution", "spread of E_dep/E_inc")}


def response(records: Records) -> Iterator[Point]:
    """Mean and spread of E_dep/E_inc, on all showers and energy by energy."""
    for each in records.judged("response"):
        name, value, extra = each.metric.name, each.estimate.value, each.metric.extra
        if name not in WORDS:
            continue
        place, what = WORDS[name]
        at, largest, error = (extra.get(f"largest_{key}") for key in ("at", "value", "error"))
        probability, energies = extra.get("probability"), extra.get("energies")
        most = ""
        if isinstance(largest, float) and isinstance(error, float):
            most = f"{rounded(100 * largest, 100 * error, '+')} % at {at}"
        if each.level != "good" and abs(value) >= SMALLEST[name]:
            size = rounded(100 * abs(value), 100 * (each.estimate.error or 0.0))
            text = f"{what} {size} % too {'high' if value > 0 else 'low'} ({pull(each.excess)})"
            many = most and isinstance(energies, (int, float)) and energies > 1
            findings = (text, *([f"most significant: {most}"] if many else []))
            yield Point(each.level, "response", place, findings, each.excess)
        elif isinstance(probability, float) and isinstance(largest, float) and abs(largest) >= SMALLEST[name]:
            sigma = normal_deviations(probability)
            if sigma > CANCELLING:
                yield Point(level_of(sigma), "response", place, (f"{what} off at single energies, {most}",), sigma)


def normal_deviations(probability: float) -> float:
    """Standard deviations of a normal distribution that are as improbable."""
    return -NormalDist().inv_cdf(max(probability, 1e-300) / 2)
