"""1-Wasserstein distances of point clouds: of every observable in its unit, and over ten independent samples.

The second is the table of CaloClouds (arXiv:2305.04847): number of hits, E_vis / E_inc, energy of a hit, longitudinal
and radial profile (distributions of the energy), and first moments, in standard deviations of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hist import Hist

from caloforge.distances.one_dimensional import wasserstein, wasserstein_weighted
from caloforge.evaluation.clouds_of_points.cloud_samples import HIT_EDGES, PER_LAYER, CloudPair, CloudSummary
from caloforge.evaluation.estimates import estimate
from caloforge.evaluation.metrics.base import Metric
from caloforge.evaluation.metrics.w1_subsamples import Parts, over_samples, spread_of_weights
from caloforge.evaluation.metrics.wasserstein import DISTANCES, DRAWS, quantile_cells
from caloforge.observables.binning import counts, histogram

SCALARS = {
    "number of hits": "n_hits",
    "E_vis / E_inc": "e_vis_over_e_inc",
    "first moment x": "mean_x",
    "first moment y": "mean_y",
    "first moment in depth": "mean_depth",
    "shower start": "start",
}
"""Quantities of the table over ten samples that are one number per shower."""

BINS = 50

GROUP = {"hits_layer": "hits_per_layer", "e_layer": "energies"}
"""Figures of histograms; of everything else, `shower`."""


def distances(pair: CloudPair) -> Iterator[Metric | Hist[Any]]:
    """W₁ and histogram of every observable."""
    names = list(pair.reference.observables)
    for done, name in enumerate(names):
        yield from _of_observable(pair, name)
        pair.tell("Wasserstein distances", done + 1, len(names))


def _of_observable(pair: CloudPair, name: str) -> Iterator[Metric | Hist[Any]]:
    label, unit = pair.label(name)
    if pair.unavailable:
        yield Metric(DISTANCES.name, name, label, None, unit, pair.unavailable)
        return
    generated, pool = pair.generated.observables[name], pair.pool(lambda s: s.observables[name])
    n, n_reference = len(generated), pair.plan.n_reference
    values = np.concatenate([generated, pool])
    positions, cells = quantile_cells(values, np.argsort(values))
    steps = np.diff(positions)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        first, second = (np.bincount(rows, minlength=len(positions)) / len(rows) for rows in (a, b))
        return float(np.abs(np.cumsum(first - second)[:-1]) @ steps)

    [found] = estimate(distance, cells[:n], cells[n:], pair.plan.first(DRAWS))
    reference = pool[:n_reference]
    exact = replace(found, value=wasserstein(generated, reference))
    extra: dict[str, float | str | None] = {"spread": float(reference.std()), "mean_reference": float(reference.mean())}
    extra |= {"mean_generated": float(generated.mean()), "std_generated": float(generated.std())}
    yield Metric(DISTANCES.name, name, label, exact, unit, extra=extra)
    low, high = (float(each) for each in np.quantile(reference, [0.001, 0.999]))
    room = 0.1 * (high - low) or max(abs(low), 1.0) * 0.5
    edges = np.linspace(low - room, high + room, BINS + 1)
    family, _, number = name.rpartition("_")
    layered = family in PER_LAYER
    group = GROUP.get(family, "shower")
    yield histogram(
        edges,
        counts(generated, edges),
        counts(reference, edges),
        name=name,
        label=label,
        axis_label=f"{label} [{unit}]" if unit else label,
        metadata={
            "group": group,
            "family": family if layered else name,
            "layer": int(number) if layered else None,
            "log": True,
        },
    )


def over_ten_samples(pair: CloudPair) -> Iterator[Metric]:
    """One number per quantity (see `w1_subsamples`)."""
    independent = pair.independent or pair.reference
    of = {"generated": pair.generated, "reference": pair.reference, "independent": independent}
    n_independent = None if pair.independent is None else independent.n
    return over_samples(
        pair.plan,
        n_independent,
        pair.seed,
        pair.unavailable,
        lambda which, parts, reference: _table(pair, of[which], parts, reference),
    )


def _table(pair: CloudPair, first: CloudSummary, parts: Parts, reference: Parts) -> dict[str, np.ndarray]:
    """Quantity → (SAMPLES,) distances of parts of a sample from parts of the reference; NaN where it has no spread."""
    second = pair.reference
    radii = pair.shape.radii
    positions = {
        "hit energy": (np.log10(HIT_EDGES[:-1]) + np.log10(HIT_EDGES[1:])) / 2,
        "energy by depth": pair.shape.depths,
        "energy by radius": (radii[:-1] + radii[1:]) / 2,
    }
    words = {"energy by depth": "longitudinal profile", "energy by radius": "radial profile"}
    found: dict[str, list[float]] = {}
    for a, b in zip(parts, reference, strict=True):
        for label, name in SCALARS.items():
            spread = second.observables[name].std()
            distance = wasserstein(first.observables[name][a], second.observables[name][b])
            found.setdefault(label, []).append(distance / spread if spread > 0 else float("nan"))
        for name, at in positions.items():
            h, g = (s.profiles[name][rows].sum(axis=0, dtype=np.float64) for s, rows in ((first, a), (second, b)))
            distance = float(wasserstein_weighted(at, h[None], g[None])[0])
            found.setdefault(words.get(name, name), []).append(distance / spread_of_weights(at, g))
    return {quantity: np.array(values) for quantity, values in found.items()}
