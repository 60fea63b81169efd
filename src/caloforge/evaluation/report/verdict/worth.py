"""How many Geant4 showers the generated sample is worth, and for which observable and energy least."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.verdict.point import Point
from caloforge.formatting import number, rounded

UNLIKELY = 10.0
"""A perfect generator has a squared KS distance of so many times its median in one of 10⁶ cases (Kolmogorov's law)."""


def worth(records: Records) -> Iterator[Point]:
    """By the Kolmogorov–Smirnov distance: the median over the observables, and the smallest number at an energy."""
    name = "kolmogorov_smirnov"
    for metric in records.section("worth", at=""):
        n, estimate = metric.extra.get("n_generated"), metric.estimate
        if metric.name != name or estimate is None or not isinstance(n, int):
            continue
        limited, low = metric.extra.get("high") is None, metric.extra.get("low")
        short = f"{number(n)} generated showers are worth {rounded(estimate.value, estimate.error)} Geant4 showers"
        if limited and isinstance(low, float):
            short = f"{number(n)} generated showers are worth more than {number(round(low))} Geant4 showers"
        found = [short]
        gain = metric.extra.get("amplification")
        if isinstance(gain, float):
            found.append(f"{number(gain, 2)} per training shower")
        least = _least(records, name)
        if least:
            found.append(least)
        full = limited or estimate.value + 2 * (estimate.error or 0.0) >= n
        yield Point("good" if full and not least else "note", "worth", "Worth", tuple(found))


def _least(records: Records, name: str) -> str:
    """As `least for energy of layer 3 at 8.192 GeV (12 for 4286)`; empty where chance may have made it."""
    cells = []
    for metric in records.section("worth"):
        observable, *numbers = (metric.extra.get(k) for k in ("least", "least_value", "n_generated", "n_reference"))
        value, n, m = (float(number) if isinstance(number, (int, float)) else 0.0 for number in numbers)
        if metric.name == name and metric.at and min(value, n, m) > 0:
            where = f"{records.observable_in_words(str(observable))} at {metric.at}"
            cells.append(((1 / value + 1 / m) / (1 / n + 1 / m), where, round(value), round(n)))
    if not cells:
        return ""
    ratio, where, showers, generated = max(cells)
    return f"least for {where} ({number(showers)} for {number(generated)})" if ratio > UNLIKELY else ""
