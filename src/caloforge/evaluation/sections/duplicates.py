"""Duplicates and near-duplicates: inside the generated sample, of the reference, and of the training file.

Exact copies are counted over all showers, by fingerprints of their voxels; showers without energy are left out and
counted apart. Near-duplicates are showers of a sample of M whose nearest neighbour is closer than it is for 1 % of
the reference's own showers among as many; so the floor is about 1 %. The errors are the standard deviation of the
share, given its count, with a flat prior.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation.comparison import Comparison, Training, unavailable
from caloforge.evaluation.sections.neighbours import FEWEST, Kept

QUANTILE = 0.01
"""Share of the reference's own showers that counts as near."""

QUERIES = 1000
"""Showers a side whose nearest training shower is looked for."""


def duplicates(c: Comparison, near: Kept | dict[str, str]) -> dict[str, Any]:
    """The section `duplicates`: within, of_reference, of_training, near, near_training, empty."""
    mine, theirs = (s.fingerprints[s.fingerprints != 0] for s in (c.generated, c.reference))
    others = mine[:0] if c.floor is None else c.floor.fingerprints[c.floor.fingerprints != 0]
    result: dict[str, Any] = {
        "within": _share(_copies(mine), len(mine), _copies(theirs), len(theirs)),
        "of_reference": _share(
            _shared(mine, theirs),
            len(mine),
            _shared(others, theirs),
            len(others) if len(others) else len(theirs),
        ),
        "empty": _share(c.generated.empty, c.generated.n, c.reference.empty, c.reference.n),
        "near": _near(near),
    }
    if c.training is not None:
        known = c.training.fingerprints
        result["of_training"] = {
            **_share(_shared(mine, known), len(mine), _shared(theirs, known), len(theirs)),
            "path": c.training.path,
        }
        result["near_training"] = _near_training(c.training)
    return result


def _copies(prints: np.ndarray) -> int:
    return len(prints) - len(np.unique(prints))


def _shared(prints: np.ndarray, known: np.ndarray) -> int:
    return int(np.isin(prints, known).sum())


def _share(count: int, n: int, floor_count: int, floor_n: int) -> dict[str, Any]:
    """Entry of a count among n, beside the reference's."""
    if n == 0 or floor_n == 0:
        return unavailable("every shower is without energy")
    error, floor_error = _deviation(count, n), _deviation(floor_count, floor_n)
    return {
        "value": count / n,
        "error": error,
        "floor": floor_count / floor_n,
        "floor_error": floor_error,
        "pull": (count / n - floor_count / floor_n) / float(np.hypot(error, floor_error)),
        "count": count,
        "n": n,
    }


def _deviation(count: int, n: int) -> float:
    """Standard deviation of the Beta(count + 1, n − count + 1) distribution."""
    return float(np.sqrt((count + 1) * (n - count + 1) / ((n + 2) ** 2 * (n + 3))))


def _near(near: Kept | dict[str, str]) -> dict[str, Any]:
    if isinstance(near, dict):
        return near
    generated, reference, independent = (around.nearest for around in near.around)
    radius, m = float(np.quantile(reference, QUANTILE)), len(reference)
    counts = [int((distances < radius).sum()) for distances in (generated, independent)]
    return {**_share(counts[0], m, counts[1], m), "radius": radius, "median": _medians(generated, reference)}


def _near_training(training: Training) -> dict[str, Any]:
    generated, reference = training.from_generated, training.from_reference
    if min(len(generated), len(reference)) < FEWEST:
        return unavailable(f"needs at least {FEWEST} showers a side")
    radius = float(np.quantile(reference, QUANTILE))
    counts = [int((distances < radius).sum()) for distances in (generated, reference)]
    entry = _share(counts[0], len(generated), counts[1], len(reference))
    return {**entry, "radius": radius, "median": _medians(generated, reference)}


def _medians(generated: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    return {"generated": float(np.median(generated)), "reference": float(np.median(reference))}
