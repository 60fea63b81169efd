"""Voxel by voxel, and summed along depth and radius: voxels that are always zero, and mean profiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation.comparison import Comparison
from caloforge.evaluation.distances.one_dimensional import wasserstein_weighted
from caloforge.evaluation.resampling import estimate
from caloforge.evaluation.summary import Summary

CERTAIN = 10.0
"""Expected hits above which an always-empty voxel is no chance: its probability is below 5e-5."""

DRAWS = 8
"""Random subsets behind the error and the floor of a profile."""


def always_zero(c: Comparison) -> dict[str, Any]:
    """Voxels above the threshold in some shower of one sample and in none of the other.

    `only_generated` are those always zero in the generated sample alone, `only_reference` the other way round. Of
    each: `count`, `expected` by chance (Σ exp(−n q), q the voxel's occupancy in the other sample), `certain`, those
    expected to be hit at least ten times, by `layers`, whole layers without energy `empty_layers`, and the share
    of the other sample's energy in them.
    """
    return {
        "only_generated": _missing(c, c.generated, c.reference),
        "only_reference": _missing(c, c.reference, c.generated),
        "n_voxels": c.geometry.n_voxels,
    }


def _missing(c: Comparison, empty: Summary, full: Summary) -> dict[str, Any]:
    lost = (empty.voxel_occupancy == 0) & (full.voxel_occupancy > 0)
    expected = np.exp(-empty.n * full.voxel_occupancy[full.voxel_occupancy > 0]).sum()
    certain = lost & (empty.n * full.voxel_occupancy >= CERTAIN)
    index = c.geometry.layer_index
    layers = {str(layer.id): int(np.count_nonzero(certain & (index == k))) for k, layer in enumerate(c.geometry.layers)}
    empty_layers = [
        layer.id
        for layer, part in zip(c.geometry.layers, c.geometry.slices, strict=True)
        if certain[part].any() and not empty.voxel_occupancy[part].any()
    ]
    total = float(full.voxel_mean.sum())
    return {
        "count": int(np.count_nonzero(lost)),
        "expected": float(expected),
        "certain": int(np.count_nonzero(certain)),
        "layers": {name: count for name, count in layers.items() if count},
        "empty_layers": empty_layers,
        "energy_share": float(full.voxel_mean[certain].sum()) / total if total > 0 else 0.0,
    }


def profiles(c: Comparison) -> dict[str, Any]:
    """Mean energies by layer and by radius (MeV, with standard errors) and the W₁ distance of either profile.

    Where layers have alpha bins, also mean energies by sector of alpha, `flat` where nothing prefers a direction: the
    root mean square of the sectors' deviations from their mean, relative to it, beside what chance alone would give.
    """
    names = [f"e_layer_{i}" for i in c.geometry.layer_ids]

    def by_layer(summary: Summary) -> np.ndarray:
        return np.stack([summary.observables[name] for name in names], axis=1)

    def by_radius(summary: Summary) -> np.ndarray:
        return summary.radial

    depth = np.arange(len(names), dtype=np.float64)
    return {
        "longitudinal": {"layers": list(c.geometry.layer_ids), **_profile(c, by_layer, depth, "layers")},
        "radial": {"radii_mm": c.reference.radii.tolist(), **_profile(c, by_radius, c.reference.radii, "mm")},
        **({"azimuthal": _around(c)} if c.geometry.n_sectors > 1 else {}),
    }


def _around(c: Comparison) -> dict[str, Any]:
    result: dict[str, Any] = {"sectors": list(range(c.geometry.n_sectors))}
    flat: dict[str, float] = {}
    for label, summary in (("generated", c.generated), ("reference", c.reference)):
        mean, error = _mean_and_error(summary.azimuthal)
        result |= {label: mean.tolist(), f"{label}_error": error.tolist()}
        if (level := mean.mean()) > 0:
            # What all sectors of a shower have in common, its energy, does not make a profile uneven.
            _, chance = _mean_and_error(summary.azimuthal - summary.azimuthal.mean(axis=1, keepdims=True))
            flat[label] = float(np.std(mean) / level)
            flat[f"{label}_by_chance"] = float(np.sqrt(np.mean(chance**2)) / level)
    return {**result, "flat": flat}


def _mean_and_error(energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = energies.std(axis=0, dtype=np.float64)
    return energies.mean(axis=0, dtype=np.float64), spread / np.sqrt(len(energies))


def _profile(c: Comparison, get: Any, positions: np.ndarray, unit: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for label, summary in (("generated", c.generated), ("reference", c.reference)):
        mean, error = _mean_and_error(get(summary))
        result |= {label: mean.tolist(), f"{label}_error": error.tolist()}
    if c.refusal:
        return {**result, "wasserstein": c.refusal}
    sums = [np.sum(result[label]) for label in ("generated", "reference")]
    if min(sums) <= 0:
        return {**result, "wasserstein": {"unavailable": "no energy above the threshold"}}

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h, g = (part.sum(axis=0, dtype=np.float64)[None] for part in (a, b))
        return wasserstein_weighted(positions, h, g)

    [entry] = estimate(distance, get(c.generated), c.pool(get), c.plan.first(DRAWS))
    return {**result, "wasserstein": {**entry, "unit": unit}}
