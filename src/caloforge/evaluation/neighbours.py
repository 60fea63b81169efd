"""Distances to nearest neighbours, and what they tell: precision, recall, density and coverage.

Showers are points log10(e), voxels that are zero set to 0.1 MeV. With r_k(x) the distance from a real shower x to
its k-th neighbour among the real ones (and likewise among the generated), k = 5:

    precision  share of generated showers inside at least one real ball of radius r_k     (arXiv:1904.06991)
    recall     share of real showers inside at least one generated ball
    density    mean number of real balls around a generated shower, over k                (arXiv:2002.09797)
    coverage   share of real showers whose ball holds at least one generated shower
"""

from __future__ import annotations

import numpy as np

K = 5
"""Neighbours behind a ball's radius."""

ZERO = 0.1
"""MeV that stands for a voxel without energy."""


def logarithms(voxels: np.ndarray) -> np.ndarray:
    """(N, V) float32 log10 of voxel energies in MeV, zeros taken as 0.1 MeV."""
    out = np.where(voxels == 0, np.float32(ZERO), voxels).astype(np.float32, copy=False)
    return np.log10(out, out=out)


def squared_distances(x: np.ndarray, y: np.ndarray, rows: int = 1000) -> np.ndarray:
    """(n, m) squared Euclidean distances of points x (n, V) and y (m, V), float32.

    |a|² + |b|² − 2ab cancels for near neighbours: it is right to about 1e-6 of |a|² + |b|² once the common mean is
    taken out, which orders neighbours, but does not tell near-copies from copies (see `nearest`).
    """
    mean = y.mean(axis=0)
    x, y = x - mean, y - mean
    norm_x, norm_y = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    out = np.empty((len(x), len(y)), dtype=np.float32)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        np.matmul(x[part], y.T, out=out[part])
        out[part] *= -2
        out[part] += norm_x[part, None]
        out[part] += norm_y
    return np.maximum(out, 0, out=out)


def radii(d2: np.ndarray, k: int = K) -> np.ndarray:
    """(n,) squared distance of each point to its k-th neighbour, from its sample's own (n, n) `d2`."""
    # The point itself comes first, at distance zero.
    return np.partition(d2, k, axis=1)[:, k]


def prdc(generated: np.ndarray, real: np.ndarray, k: int = K) -> dict[str, np.ndarray]:
    """Per-shower terms whose means are precision, recall, density and coverage.

    Args:
        generated, real: points (n, V), (m, V), more than k of each.
        k: neighbours behind a radius.

    Returns:
        precision and density over the generated (n,), recall and coverage over the real showers (m,), float64.
    """
    radius_real = radii(squared_distances(real, real), k)
    radius_generated = radii(squared_distances(generated, generated), k)
    across = squared_distances(generated, real)
    within_real = across <= radius_real
    return {
        "precision": within_real.any(axis=1).astype(np.float64),
        "recall": (across <= radius_generated[:, None]).any(axis=0).astype(np.float64),
        "density": within_real.sum(axis=1, dtype=np.float64) / k,
        "coverage": within_real.any(axis=0).astype(np.float64),
    }


def nearest(x: np.ndarray, y: np.ndarray, same: bool = False) -> np.ndarray:
    """(n,) Euclidean distance from each point of x (n, V) to its nearest in y (m, V).

    Args:
        same: y is x itself, and a point is no neighbour of itself.
    """
    d2 = squared_distances(x, y)
    if same:
        np.fill_diagonal(d2, np.inf)
    closest = np.argmin(d2, axis=1)
    return np.array([np.linalg.norm(a.astype(np.float64) - y[j]) for a, j in zip(x, closest, strict=True)])


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
        self.distances = np.minimum(self.distances, nearest(self.points, others))
