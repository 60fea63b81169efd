"""1-Wasserstein distances over ten independent samples: mean ± standard deviation.

Distances are in units of the reference's standard deviation, so that quantities compare: number of hits, E_vis/E_inc,
log10 of the voxel energy, the longitudinal and radial energy profile (energy-weighted distributions over the layer's
index and over the radius), first moments in x, y and z. The baseline is the same of ten reference samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from caloforge.distances.one_dimensional import wasserstein, wasserstein_weighted
from caloforge.evaluation.estimates import Estimate, Plan
from caloforge.evaluation.metrics.base import Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.summary import Summary

SUBSAMPLES = Section(
    "w1_subsamples",
    "1-Wasserstein distances over ten samples",
    "Mean ± standard deviation over ten independent samples, in standard deviations of the reference; the baseline is "
    "the same of reference samples.",
)

SAMPLES = 10
FEWEST_PER_SAMPLE = 20

SCALARS = {
    "number of hits": "n_hits",
    "E_vis / E_inc": "e_tot_over_e_inc",
    "first moment x": "mean_x",
    "first moment y": "mean_y",
    "first moment z": "mean_z",
}


Parts = Sequence[np.ndarray]
"""Row numbers of each of the `SAMPLES` parts of a sample."""


@metric(SUBSAMPLES)
def w1_subsamples(samples: SamplePair) -> Iterator[Found]:
    """One number per quantity."""
    independent = samples.independent or samples.reference
    of = {"generated": samples.generated, "reference": samples.reference, "independent": independent}

    def distances(which: str, parts: Parts, reference: Parts) -> dict[str, np.ndarray]:
        rows = [_row(of[which], a, samples.reference, b) for a, b in zip(parts, reference, strict=True)]
        return {quantity: np.array([row[quantity] for row in rows]) for quantity in rows[0]}

    n_independent = None if samples.independent is None else independent.n
    yield from over_samples(samples.plan, n_independent, samples.seed, samples.empty_reference, distances)


def over_samples(
    plan: Plan,
    n_independent: int | None,
    seed: int,
    unavailable: str,
    distances: Callable[[str, Parts, Parts], dict[str, np.ndarray]],
) -> Iterator[Metric]:
    """One number per quantity: mean ± standard deviation over independent samples, and the baseline's.

    Args:
        plan: sizes of the samples.
        n_independent: showers of the independent reference; None without one.
        seed: of the division into samples.
        unavailable: why there is nothing to compare; else empty.
        distances: (`generated`, `reference` or `independent`, parts of it, parts of the reference) → quantity →
            (`SAMPLES`,) distances in standard deviations of the reference, NaN where it has no spread.
    """
    smaller = min(plan.n_generated, plan.n_reference)
    n = smaller // SAMPLES
    reason = unavailable
    if n < FEWEST_PER_SAMPLE:
        reason = reason or f"needs at least {SAMPLES * FEWEST_PER_SAMPLE} showers per sample, there are {smaller}"
    if reason:
        yield Metric(SUBSAMPLES.name, "all", "all quantities", None, reason=reason)
        return
    rng = np.random.default_rng([seed, 11])
    generated = np.array_split(rng.permutation(plan.n_generated)[: n * SAMPLES], SAMPLES)
    reference = np.array_split(rng.permutation(plan.n_reference)[: n * SAMPLES], SAMPLES)
    other, others = "reference", reference[1:] + reference[:1]
    if n_independent is not None:
        other, m = "independent", min(n, n_independent // SAMPLES)
        others = np.array_split(rng.permutation(n_independent)[: m * SAMPLES], SAMPLES)
    found, baseline = distances("generated", generated, reference), distances(other, others, reference)
    for quantity, values in found.items():
        both = [(float(each.mean()), float(each.std(ddof=1))) for each in (values, baseline[quantity])]
        if np.isfinite(both).all():
            estimate = Estimate(*both[0], *both[1], n=n)
            yield Metric(SUBSAMPLES.name, quantity, quantity, estimate, extra={"samples": SAMPLES})
        else:
            reason = "constant, or without any energy, in the reference or in a sample"
            yield Metric(SUBSAMPLES.name, quantity, quantity, None, reason=reason, extra={"samples": SAMPLES})


def _row(first: Summary, a: np.ndarray, second: Summary, b: np.ndarray) -> dict[str, float]:
    row = {}
    for label, name in SCALARS.items():
        spread = second.observables[name].std()
        distance = wasserstein(first.observables[name][a], second.observables[name][b])
        row[label] = distance / spread if spread > 0 else float("nan")
    edges = second.voxel_edges
    middle = (np.log10(edges[:-1]) + np.log10(edges[1:])) / 2 if edges[-1] > 0 else np.zeros(1)
    layers = [f"e_layer_{layer.id}" for layer in second.geometry.layers]

    def by_layer(summary: Summary, rows: np.ndarray) -> np.ndarray:
        return np.array([summary.observables[name][rows].sum() for name in layers])

    def by_radius(summary: Summary, rows: np.ndarray) -> np.ndarray:
        return np.asarray(summary.radial[rows].sum(axis=0, dtype=np.float64))

    def by_energy(summary: Summary, rows: np.ndarray) -> np.ndarray:
        return np.asarray(summary.voxel_rows[rows, 1:-1].sum(axis=0))

    profiles = {
        "voxel energy": (middle, by_energy),
        "longitudinal profile": (np.arange(len(layers)), by_layer),
        "radial profile": (second.radii, by_radius),
    }
    for label, (positions, get) in profiles.items():
        h, g = get(first, a), get(second, b)
        row[label] = float(wasserstein_weighted(positions, h[None], g[None])[0]) / spread_of_weights(positions, g)
    return row


def spread_of_weights(positions: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation of a weighted distribution, NaN if it has none."""
    total = weights.sum()
    if total <= 0:
        return float("nan")
    mean = weights @ positions / total
    spread = float(np.sqrt(weights @ (positions - mean) ** 2 / total))
    return spread if spread > 0 else float("nan")
