"""Does a shower hold the right share of the incident energy, on average and in its spread?"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from caloforge.evaluation.comparison import is_available
from caloforge.evaluation.formatting import to_error
from caloforge.evaluation.verdict.point import Point, is_dark, level_of

SMALLEST = {"mean": 1e-3, "spread": 1e-2}
"""Relative differences of the response that matter; smaller ones stay unsaid, however many showers prove them."""

CANCELLING = 4.0
"""Standard deviations from which the χ² over incident energies speaks for itself."""


def response(data: dict[str, Any]) -> Iterator[Point]:
    """Mean and spread of E_dep/E_inc, on all showers and energy by energy."""
    entries = data.get("response", {})
    if is_dark(data, "generated"):
        yield Point("bad", "empty", "no generated shower has energy above the readout threshold")
        return
    if not is_available(entries):
        return
    for key, smallest in SMALLEST.items():
        entry = entries.get(key)
        if not is_available(entry):
            continue
        what = f"{key} of E_dep/E_inc"
        level, largest = level_of(abs(entry["pull"])), entry.get("largest")
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
    return level_of(sigma) if sigma > CANCELLING else None
