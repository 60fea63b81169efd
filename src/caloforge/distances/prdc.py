"""Precision, recall, density and coverage, and other things that distances to nearest neighbours tell.

Showers are points log10(e), voxels that are zero set to 0.1 MeV. With r_k(x) the distance from a real shower x to
its k-th neighbour among the real ones (and likewise among the generated), k = 5:

    precision  fraction of generated showers inside at least one real ball of radius r_k     (arXiv:1904.06991)
    recall     fraction of real showers inside at least one generated ball
    density    mean number of real balls around a generated shower, over k                   (arXiv:2002.09797)
    coverage   fraction of real showers whose ball holds at least one generated shower
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caloforge.neighbours import nearest_distances, paired_distances, squared_distances

K = 5
"""Neighbours behind a ball's radius."""

ZERO = 0.1
"""MeV that is put for a voxel without energy."""


def logarithms(voxels: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """(N, V) float32 log10 of voxel energies in MeV; zeros, and what lies below `threshold`, taken as 0.1 MeV."""
    empty = voxels < threshold if threshold > 0 else voxels == 0
    if threshold > 0:
        empty |= voxels == 0
    out = np.where(empty, np.float32(ZERO), voxels).astype(np.float32, copy=False)
    return np.log10(out, out=out)


@dataclass(frozen=True)
class Surroundings:
    """Each shower's neighbours within its own sample, n showers.

    Args:
        radii: (n,) squared distance to the k-th neighbour.
        nearest: (n,) Euclidean distance to the nearest.
    """

    radii: np.ndarray
    nearest: np.ndarray


def surroundings(x: np.ndarray, k: int = K) -> Surroundings:
    """`Surroundings` of points x (n, V), n > k."""
    d2 = squared_distances(x, x)
    np.fill_diagonal(d2, np.inf)
    closest = np.argmin(d2, axis=1)
    return Surroundings(np.partition(d2, k - 1, axis=1)[:, k - 1], paired_distances(x, x[closest]))


def prdc(
    generated: np.ndarray, real: np.ndarray, k: int = K, around: tuple[Surroundings, Surroundings] | None = None
) -> dict[str, np.ndarray]:
    """Per-shower terms whose means are precision, recall, density and coverage.

    Args:
        generated, real: points (n, V), (m, V), more than k of each.
        k: neighbours behind a radius.
        around: the surroundings of the generated and of the real showers, where they are known already.

    Returns:
        precision and density over the generated (n,), recall and coverage over the real showers (m,), float64.
    """
    of_generated, of_real = around or (surroundings(generated, k), surroundings(real, k))
    across = squared_distances(generated, real)
    within_real = across <= of_real.radii
    return {
        "precision": within_real.any(axis=1).astype(np.float64),
        "recall": (across <= of_generated.radii[:, None]).any(axis=0).astype(np.float64),
        "density": within_real.sum(axis=1, dtype=np.float64) / k,
        "coverage": within_real.any(axis=0).astype(np.float64),
    }


class NearestSoFar:
    """Distance from fixed points to their nearest among points that come by chunk after chunk.

    Args:
        points: (n, V).
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self.distances = np.full(len(points), np.inf)

    def update(self, others: np.ndarray) -> None:
        """Look at `others` (m, V) too."""
        self.distances = np.minimum(self.distances, nearest_distances(self.points, others))
