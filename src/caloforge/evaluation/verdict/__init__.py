"""The few sentences on top of a report: what tells the generated showers from the reference, by name.

A metric speaks when it lies above its floor by more than 3 (a note) or 5 (bad) of the errors of both; see `pull`
in `resampling`. Shares of voxels and of duplicates, and differences of the response, also have to matter. Where
either file has no energy there is nothing to judge, and where only metrics are missing, no praise for them.

Points stand by level; within one, causes (layers without energy, duplicates, the response) come before what follows
from them, and the rest by pull.
"""

from __future__ import annotations

from typing import Any

from caloforge.evaluation.comparison import is_available
from caloforge.evaluation.verdict.distributions import classifiers, multivariate, separations, wasserstein
from caloforge.evaluation.verdict.faults import always_zero, duplicates, unavailable
from caloforge.evaluation.verdict.point import Point, is_dark
from caloforge.evaluation.verdict.response import response

__all__ = ["FINDERS", "Point", "verdict"]

FINDERS = (
    response,
    separations,
    always_zero,
    duplicates,
    classifiers,
    multivariate,
    wasserstein,
    unavailable,
)
"""What looks for something to say; each is given the report's data and yields points."""


def verdict(data: dict[str, Any]) -> dict[str, Any]:
    """{"headline", "points": [{"level": good | note | bad, "metric", "text"}]} of a report's data."""
    if all(is_dark(data, side) for side in ("generated", "reference")):
        return _nothing("neither file has a shower with energy above the readout threshold", data)
    if is_dark(data, "reference"):
        return _nothing("no reference shower has energy above the readout threshold", data)
    points = sorted((point for find in FINDERS for point in find(data)), key=lambda point: point.rank)
    return {"headline": _headline(data, points), "points": [point.plain() for point in points]}


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
