"""Precision, recall, density and coverage (arXiv:1904.06991, arXiv:2002.09797) of the showers kept for it.

The errors are the spread over ten disjoint batches, over sqrt(10): a standard error over showers would forget that the
balls are drawn from the sample as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from caloforge.distances.prdc import K, Surroundings, logarithms, prdc, surroundings
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Direction, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair

NEIGHBOURS = Section(
    "prdc",
    "Precision, recall, density and coverage",
    "Of nearest neighbours among the logarithms of the voxels: the fraction of generated showers near the reference's, "
    "and of reference showers near the generated ones. Density is best near its baseline.",
    direction="higher",
    extra={"k": "neighbours"},
)

NAMES = ("precision", "recall", "density", "coverage")

BATCHES = 10

FEWEST = 2 * BATCHES * K
"""Fewest kept showers per sample."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Points (M, V) of the kept showers and their surroundings: generated, reference, independent reference."""

    points: tuple[np.ndarray, np.ndarray, np.ndarray]
    around: tuple[Surroundings, Surroundings, Surroundings]


def kept_voxels(samples: SamplePair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(generated, reference, independent reference): raw voxels (M, V) of the kept showers, float32.

    The reference keeps twice M showers where it gives the independent sample as well.
    """
    generated, voxels = samples.generated.sample.showers.voxels, samples.reference.sample.showers.voxels
    if samples.independent is not None:
        return generated, voxels, samples.independent.sample.showers.voxels
    # Kept rows are in file order: every second one, so that the halves see the same of the file.
    m = len(generated)
    return generated, voxels[0::2][:m], voxels[1::2][:m]


def neighbourhoods(samples: SamplePair) -> Neighbourhoods | str:
    """What this metric and `duplicates` both look at (by `samples.once`), or why it is unavailable."""
    if samples.empty_reference:
        return samples.empty_reference
    kept = kept_voxels(samples)
    m = min(map(len, kept))
    if m < FEWEST:
        return f"needs at least {FEWEST} showers per sample, there are {m}"
    points, around = [], []
    for step, voxels in enumerate(kept):
        samples.tell("nearest neighbours", step, len(kept))
        points.append(logarithms(voxels[:m], samples.threshold))
        around.append(surroundings(points[-1]))
    samples.tell("nearest neighbours", len(kept), len(kept))
    return Neighbourhoods((points[0], points[1], points[2]), (around[0], around[1], around[2]))


@metric(NEIGHBOURS)
def precision_recall(samples: SamplePair) -> Iterator[Found]:
    """Those of `NAMES`."""
    near = samples.once(neighbourhoods)
    if isinstance(near, str):
        yield from (Metric(NEIGHBOURS.name, name, name, None, reason=near) for name in NAMES)
        return
    found = []
    for step, which in enumerate((0, 2)):
        samples.tell("precision and recall", step, 2)
        found.append(_with_errors(near, which, np.random.default_rng([samples.seed, 14])))
    samples.tell("precision and recall", 2, 2)
    for name in NAMES:
        estimate = Estimate(*found[0][name], *found[1][name], n=len(near.points[1]))
        direction: Direction | None = "nearer" if name == "density" else None
        yield Metric(NEIGHBOURS.name, name, name, estimate, extra={"k": K}, direction=direction)


def _with_errors(near: Neighbourhoods, which: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """{metric: (value, error)} of one sample of points against the reference's, equally many."""
    x, real = near.points[which], near.points[1]
    terms = prdc(x, real, around=(near.around[which], near.around[1]))
    parts = [np.array_split(rng.permutation(len(x)), BATCHES) for _ in range(2)]
    batches = [prdc(x[a], real[b]) for a, b in zip(*parts, strict=True)]
    errors = {name: np.std([batch[name].mean() for batch in batches], ddof=1) / np.sqrt(BATCHES) for name in NAMES}
    # Ten batches may agree by accident, and do where a metric is 0 or 1.
    return {name: (float(terms[name].mean()), max(float(errors[name]), 0.5 / len(x))) for name in NAMES}
