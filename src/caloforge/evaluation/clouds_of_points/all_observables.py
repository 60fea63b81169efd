"""Distances of all observables together: Fréchet and kernel physics distance (arXiv:2211.10295), sliced Wasserstein.

The features are the observables of whole showers, or of jets with the five energy-flow polynomials; those of single
layers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.distances import fpd
from caloforge.distances.sliced import sliced_wasserstein
from caloforge.evaluation.clouds_of_points.cloud_samples import CloudPair, CloudSummary
from caloforge.evaluation.estimates import Estimate, estimate
from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.observables.of_clouds import CLOUD_OBSERVABLES, energy_flow

TOGETHER = Section(
    "together",
    "All observables together",
    "Fréchet and kernel physics distance times 10³ (arXiv:2211.10295), and the sliced Wasserstein distance in standard "
    "deviations of the reference, of the observables of whole showers, or of jets with their energy-flow polynomials.",
)

DRAWS, DIRECTIONS = 6, 100

LABELS = {
    "fpd": "Fréchet physics distance × 10³",
    "kpd": "kernel physics distance × 10³",
    "sliced": "sliced Wasserstein distance",
}


def features(summary: CloudSummary) -> np.ndarray:
    """(N, F) observables of whole showers, or of jets and their energy-flow polynomials."""
    columns = [values for name, values in summary.observables.items() if name in CLOUD_OBSERVABLES]
    is_jet = summary.clouds is not None and summary.clouds.noun == "jet"
    flow = [energy_flow(summary.clouds)] if is_jet and summary.clouds is not None else []
    return np.column_stack([*columns, *flow])


def together(pair: CloudPair) -> Iterator[Metric]:
    """The three distances."""
    generated, pool = features(pair.generated), pair.pool(features)
    reference = pool[: pair.plan.n_reference]
    fewest = fpd.minimum_showers(pool.shape[1])
    reason = pair.unavailable
    if pair.plan.n < fewest:
        reason = reason or f"needs at least {fewest} {pair.shape.noun}s per sample, there are {pair.plan.n}"
    if reason:
        yield from (Metric(TOGETHER.name, key, label, None, reason=reason) for key, label in LABELS.items())
        return
    plan, done, total = pair.plan.first(DRAWS), 0, 8 * DRAWS + 1
    scaled, scaled_pool = fpd.normalise(reference, generated, pool)

    def frechet(a: np.ndarray, b: np.ndarray) -> float:
        nonlocal done
        done += 1
        pair.tell(TOGETHER.title, min(done, total - 1), total)
        return fpd.fpd(a, b, pair.seed)

    def sliced(a: np.ndarray, b: np.ndarray) -> float:
        nonlocal done
        done += 1
        pair.tell(TOGETHER.title, min(done, total - 1), total)
        return sliced_wasserstein(a, b, DIRECTIONS, pair.seed)

    [found] = estimate(frechet, scaled, scaled_pool, plan)
    yield Metric(TOGETHER.name, "fpd", LABELS["fpd"], found, extra={"features": pool.shape[1]})
    rng = np.random.default_rng([pair.seed, 12])
    first, second = pair.plan.baseline[0]
    value = fpd.kpd(scaled, scaled_pool[: pair.plan.n_reference], rng)
    kernel = Estimate(*value, *fpd.kpd(scaled_pool[first], scaled_pool[second], rng), n=pair.plan.n)
    yield Metric(TOGETHER.name, "kpd", LABELS["kpd"], kernel, extra={"features": pool.shape[1]})
    [found] = estimate(sliced, generated, pool, plan)
    yield Metric(TOGETHER.name, "sliced", LABELS["sliced"], found, extra={"features": pool.shape[1]})
    pair.tell(TOGETHER.title, total, total)
