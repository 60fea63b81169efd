"""Separation powers and Kullback–Leibler divergences of every observable's histogram.

`value` follows the challenge's convention: what falls outside the range is dropped before the histograms are
normalised; `outside` tells which share that was. `value_with_overflow` counts it in a bin on either side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.binning import bin_numbers, challenge_edges
from caloforge.evaluation.comparison import Comparison, is_available, unavailable
from caloforge.evaluation.distances import kullback_leibler, separation_powers
from caloforge.evaluation.resampling import estimate


def separations(c: Comparison) -> tuple[dict[str, Any], dict[str, Any]]:
    """({observable: separation power}, {observable: KL in nats}) of the challenge's observables and voxel energies."""
    names = [*observables.challenge_names(c.geometry), "voxel_energy"]
    powers, divergences = {}, {}
    for done, name in enumerate(names):
        powers[name], divergences[name] = separation_of(c, name)
        c.tell("separation powers", done + 1, len(names))
    return powers, divergences


def separation_of(c: Comparison, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two entries of one observable."""
    if c.too_few:
        return c.too_few, c.too_few
    if name == "voxel_energy":
        n_bins = len(c.reference.voxel_edges) - 1
        if not c.reference.voxel_counts.any():
            return (
                reason := unavailable(f"no voxel of the reference exceeds the threshold ({c.threshold:g} MeV)")
            ), reason
        x, pool = c.generated.voxel_rows, c.pool(lambda s: s.voxel_rows)

        def count(part: np.ndarray) -> np.ndarray:
            return part.sum(axis=0, dtype=np.int64)
    else:
        values = c.pool(lambda s: s.observables[name])
        edges = challenge_edges(c.geometry, name, c.reference.observables[name], c.threshold)
        if edges is None:
            largest = float(c.reference.observables[name].max())
            words = f"the reference's maximum ({largest:g} MeV) does not exceed the threshold ({c.threshold:g} MeV)"
            return (reason := unavailable(words)), reason
        n_bins = len(edges) - 1
        x, pool = bin_numbers(c.generated.observables[name], edges), bin_numbers(values, edges)

        def count(part: np.ndarray) -> np.ndarray:
            return np.bincount(part, minlength=n_bins + 2)

    inside = slice(1, n_bins + 1)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h, g = count(a)[None], count(b)[None]
        parts = separation_powers(h[:, inside], g[:, inside]), separation_powers(h, g), kullback_leibler(h, g)
        return np.concatenate(parts)

    challenge, whole, divergence = estimate(distance, x, pool, c.plan)
    histograms = count(x), count(pool[: c.plan.n_reference])
    outside = [1 - float(h[inside].sum()) / max(1.0, float(h.sum())) for h in histograms]
    if not histograms[1][inside].any():
        reason = unavailable("no reference shower lies inside the histogram's range")
        return reason, divergence
    entry = {
        **challenge,
        "outside": {"generated": outside[0], "reference": outside[1]},
        "value_with_overflow": whole["value"],
        "with_overflow": whole,
    }
    return entry, divergence


def mean_separation(powers: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Mean over the available observables among `names`; errors are those of a mean of independent entries."""
    found = [powers[name] for name in names if is_available(powers.get(name))]
    if not found:
        return unavailable("no separation power is available")
    means = {key: float(np.mean([entry[key] for entry in found])) for key in ("value", "value_at_n", "floor")}
    errors = {
        key: float(np.sqrt(np.sum([entry[key] ** 2 for entry in found])) / len(found))
        for key in ("error", "floor_error")
    }
    return {**means, **errors, "observables": len(found)}
