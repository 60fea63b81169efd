"""Precision, recall, density and coverage of a comparison.

Taken on M showers a side (`n` in the entry): up to 5 000, fewer where a shower has so many voxels that they would
not fit into memory. The errors are the spread over ten disjoint batches of M/10, over sqrt(10): a standard
error over showers would forget that the balls are drawn from the sample as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.evaluation.comparison import Comparison, unavailable
from caloforge.evaluation.neighbours import K, Surroundings, logarithms, prdc, surroundings
from caloforge.evaluation.resampling import with_pull
from caloforge.geometry import Geometry

LARGEST = 5000
"""Showers a side, at most."""

VALUES = 32_000_000
"""Voxel values a side, at most."""

BATCHES = 10

FEWEST = 2 * BATCHES * K


def sample_size(n: int, geometry: Geometry) -> int:
    """M, showers a side whose voxels are kept, out of n."""
    return max(1, min(n, LARGEST, VALUES // geometry.n_voxels))


def kept(c: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(generated, reference, independent reference): raw voxels (M, V) of the kept showers, float32.

    The reference keeps twice M showers where it gives the independent sample as well.
    """
    m = len(c.generated.sample)
    if c.floor is not None:
        return c.generated.sample.voxels, c.reference.sample.voxels, c.floor.sample.voxels
    # Kept rows are in file order: every second one, so that the halves see the same of the file.
    voxels = c.reference.sample.voxels
    return c.generated.sample.voxels, voxels[0::2][:m], voxels[1::2][:m]


def cut(voxels: np.ndarray, threshold: float) -> np.ndarray:
    """Logarithms of voxels, those below the threshold counting as zero."""
    return logarithms(np.where(voxels < threshold, np.float32(0), voxels))


@dataclass(frozen=True)
class Kept:
    """Points (M, V) of the kept showers and their surroundings: generated, reference, independent reference."""

    points: tuple[np.ndarray, np.ndarray, np.ndarray]
    around: tuple[Surroundings, Surroundings, Surroundings]


def kept_points(c: Comparison) -> Kept | dict[str, str]:
    """What `precision_recall` and `duplicates` both look at, or why it cannot be had."""
    if c.darkness:
        return c.darkness
    samples = kept(c)
    m = min(map(len, samples))
    if m < FEWEST:
        return unavailable(f"needs at least {FEWEST} showers a side, there are {m}")
    points, around = [], []
    for step, voxels in enumerate(samples):
        c.tell("nearest neighbours", step, len(samples))
        points.append(cut(voxels[:m], c.threshold))
        around.append(surroundings(points[-1]))
    c.tell("nearest neighbours", len(samples), len(samples))
    return Kept((points[0], points[1], points[2]), (around[0], around[1], around[2]))


def precision_recall(c: Comparison, near: Kept | dict[str, str]) -> dict[str, Any]:
    """{"precision": entry, "recall": …, "density": …, "coverage": …, "n", "k"}."""
    if isinstance(near, dict):
        return near
    m = len(near.points[1])
    found = []
    for step, which in enumerate((0, 2)):
        c.tell("precision and recall", step, 2)
        found.append(_with_errors(near, which, np.random.default_rng([c.seed, 14])))
    c.tell("precision and recall", 2, 2)
    result: dict[str, Any] = {"n": m, "k": K}
    for name, (value, error) in found[0].items():
        level, level_error = found[1][name]
        result[name] = with_pull({"value": value, "error": error, "floor": level, "floor_error": level_error})
    return result


def _with_errors(near: Kept, which: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """{metric: (value, error)} of one sample of points against the reference's, equally many."""
    x, real = near.points[which], near.points[1]
    terms = prdc(x, real, around=(near.around[which], near.around[1]))
    values = {name: float(each.mean()) for name, each in terms.items()}
    parts = [np.array_split(rng.permutation(len(x)), BATCHES) for _ in range(2)]
    batches = [prdc(x[a], real[b]) for a, b in zip(*parts, strict=True)]
    errors = {name: np.std([batch[name].mean() for batch in batches], ddof=1) / np.sqrt(BATCHES) for name in values}
    # Ten batches may agree by chance, and do where a metric is 0 or 1.
    return {name: (value, max(float(errors[name]), 0.5 / len(x))) for name, value in values.items()}
