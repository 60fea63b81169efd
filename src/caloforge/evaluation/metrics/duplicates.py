"""Duplicates and near-duplicates: inside the generated sample, of the reference, and of the training file.

Exact copies are counted over all showers, by fingerprints of their voxels; showers without energy are left out and
counted apart. Near-duplicates are showers of a sample of M whose nearest neighbour is closer than it is for 1 % of
the reference's own showers among as many; so the baseline is about 1 %. The errors are the standard deviation of the
fraction, given its count, with a flat prior.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Found, Metric, Section, metric
from caloforge.evaluation.metrics.precision_recall import FEWEST, neighbourhoods
from caloforge.evaluation.samples.pair import SamplePair

DUPLICATES = Section(
    "duplicates",
    "Duplicates and memorised showers",
    "Fractions of the generated showers; the baseline is that of reference showers. Near-duplicates are closer to "
    "their nearest neighbour than 1 % of the reference's showers are.",
    extra={"count": "showers", "n": "of"},
    page="further",
)

LABELS = {
    "within": "copies within the sample",
    "of_reference": "copies of reference showers",
    "empty": "showers without energy",
    "near": "near-duplicates within the sample",
    "of_training": "copies of training showers",
    "near_training": "near-duplicates of training showers",
}

QUANTILE = 0.01
"""Fraction of the reference's own showers that counts as near."""


@metric(DUPLICATES)
def duplicates(samples: SamplePair) -> Iterator[Found]:
    """Those of `LABELS`; the last two with a training file only."""
    generated, reference = (s.fingerprints[s.fingerprints != 0] for s in (samples.generated, samples.reference))
    n, n_reference = len(generated), len(reference)
    independent = generated[:0]
    if samples.independent is not None:
        independent = samples.independent.fingerprints[samples.independent.fingerprints != 0]
    yield _fraction("within", (_copies(generated), n), (_copies(reference), n_reference))
    shared = _shared(independent, reference), len(independent) or n_reference
    yield _fraction("of_reference", (_shared(generated, reference), n), shared)
    first, second = samples.generated, samples.reference
    yield _fraction("empty", (first.without_energy, first.n), (second.without_energy, second.n))
    near = samples.once(neighbourhoods)
    if isinstance(near, str):
        yield Metric(DUPLICATES.name, "near", LABELS["near"], None, reason=near)
    else:
        yield _near("near", *(around.nearest for around in near.around))
    if samples.training is None:
        return
    known, path = samples.training.fingerprints, {"path": samples.training.path}
    counts = (_shared(generated, known), n), (_shared(reference, known), n_reference)
    yield _fraction("of_training", *counts, extra=path)
    distances = samples.training.from_generated, samples.training.from_reference
    if min(map(len, distances)) < FEWEST:
        reason = f"needs at least {FEWEST} showers per sample"
        yield Metric(DUPLICATES.name, "near_training", LABELS["near_training"], None, reason=reason)
    else:
        yield _near("near_training", distances[0], distances[1], distances[1])


def _copies(prints: np.ndarray) -> int:
    return len(prints) - len(np.unique(prints))


def _shared(prints: np.ndarray, known: np.ndarray) -> int:
    return int(np.isin(prints, known).sum())


def _fraction(
    name: str, generated: tuple[int, int], baseline: tuple[int, int], extra: Mapping[str, float | str] | None = None
) -> Metric:
    """A fraction from (count, n) of the generated and of reference showers."""
    (count, n), (level, m) = generated, baseline
    if n == 0 or m == 0:
        return Metric(DUPLICATES.name, name, LABELS[name], None, reason="every shower is without energy")
    estimate = Estimate(count / n, _deviation(count, n), level / m, _deviation(level, m))
    return Metric(DUPLICATES.name, name, LABELS[name], estimate, extra={"count": count, "n": n, **(extra or {})})


def _deviation(count: int, n: int) -> float:
    """Standard deviation of the Beta(count + 1, n − count + 1) distribution."""
    return float(np.sqrt((count + 1) * (n - count + 1) / ((n + 2) ** 2 * (n + 3))))


def _near(name: str, generated: np.ndarray, reference: np.ndarray, baseline: np.ndarray) -> Metric:
    """Near-duplicates, from distances to nearest neighbours; the reference's set the radius."""
    radius = float(np.quantile(reference, QUANTILE))
    first, second = ((int((distances < radius).sum()), len(distances)) for distances in (generated, baseline))
    medians = {"median_generated": float(np.median(generated)), "median_reference": float(np.median(reference))}
    return _fraction(name, first, second, extra={"radius": radius, **medians})
