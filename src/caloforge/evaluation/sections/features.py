"""FPD and KPD of a comparison, with errors and floors."""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation import fpd
from caloforge.evaluation.comparison import Comparison, unavailable
from caloforge.evaluation.resampling import estimate, with_pull

DRAWS, FEW_DRAWS, MANY_FEATURES = 6, 4, 100
"""Subsets behind an error of the FPD; fewer with many features, where each takes long."""


def physics_distances(c: Comparison) -> tuple[dict[str, Any], dict[str, Any]]:
    """(FPD entry, KPD entry), times 10³."""
    least = fpd.minimum_showers(c.geometry)
    if c.plan.n < least:
        reason = unavailable(f"needs at least {least} showers a side, there are {c.plan.n}")
        return reason, reason
    if c.darkness:
        return c.darkness, c.darkness
    theirs = fpd.features(c.reference)
    mine, pool = fpd.normalise(theirs, fpd.features(c.generated), c.pool(fpd.features))
    draws = DRAWS if mine.shape[1] < MANY_FEATURES else FEW_DRAWS
    done, total = 0, 4 * draws + 3

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        nonlocal done
        done += 1
        c.tell("FPD and KPD", min(done, total - 2), total)
        return fpd.fpd(a, b, c.seed)

    [entry] = estimate(distance, mine, pool, c.plan.first(draws))
    n = min(c.plan.n_generated, c.plan.n_reference)
    frechet = {**entry, "n": n, "parts": [n // k for k in fpd.PARTS], "features": mine.shape[1]}

    rng = np.random.default_rng([c.seed, 12])
    value, error = fpd.kpd(mine, pool[: c.plan.n_reference], rng)
    first, second = c.plan.floor[0]
    floor, floor_error = fpd.kpd(pool[first], pool[second], rng)
    c.tell("FPD and KPD", total, total)
    kernel = {
        **with_pull({"value": value, "error": error, "floor": floor, "floor_error": floor_error}),
        "n": n,
        "batches": fpd.BATCHES,
        "batch_size": fpd.batch_size(n, n),
    }
    return frechet, kernel
