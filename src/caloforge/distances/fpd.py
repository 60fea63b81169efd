"""Fréchet and kernel physics distance (FPD, KPD; arXiv:2211.10295) of two samples of features.

The features are the challenge's (`observables.high_level`), each divided by its largest absolute value in the
reference.

    FPD_N = |μ_1 − μ_2|² + tr(Σ_1 + Σ_2 − 2 (Σ_1 Σ_2)^½)           of N showers per sample
    FPD   = intercept of a line in 1/N through FPD_n, FPD_{n/2}, FPD_{n/3}, FPD_{n/4}
    KPD   = median over batches of the unbiased MMD² with the kernel (x·y/d + 1)⁴

Means and covariances follow single showers far from all others. The trimmed FPD leaves out of both samples what lies
farther from the reference than TRIMMED of its showers by their Mahalanobis distance

    d² = (x − μ)ᵀ Σ⁺ (x − μ)                     μ, Σ of the reference without its own outermost showers

so it compares the bulk, and says nothing of tails; the fraction of each sample beyond the cut does.

FPD_N is biased upwards by a term in 1/N, which the extrapolation removes. The parts of size n/k are the k disjoint
parts of a shuffled sample, so the intercept is free of that bias; it can come out slightly negative. (The jetnet
package draws with repetition, which leaves the bias of the whole sample in.) Both are reported times 10³.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PARTS = (1, 2, 3, 4)
"""FPD is taken of n/k showers for these k."""

BLOCKS = 12
"""The least common multiple of `PARTS`: moments are summed per block, and blocks put together."""

TRIMMED = 0.01
"""Fraction of the reference that the trimmed FPD leaves out."""

SMALLEST_VARIANCE = 1e-9
"""Directions with less of the largest variance are sums of other features and carry no distance."""

BATCHES, BATCH_SIZE = 10, 5000
"""Batches of the KPD and their largest size."""


def minimum_showers(n_features: int) -> int:
    """Fewest showers per sample for which the smallest part has two showers per feature, and at least 1 000."""
    return max(1000, 2 * PARTS[-1] * n_features)


def normalise(reference: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """`others` divided by each feature's largest absolute value in `reference` (1 where that is zero)."""
    largest = np.abs(reference).max(axis=0)
    largest[largest == 0] = 1.0
    return [other / largest for other in others]


def frechet(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians, means (d,) and covariances (d, d)."""
    return float(
        np.sum((mean - other_mean) ** 2)
        + np.trace(covariance)
        + np.trace(other_covariance)
        # The eigenvalues of Σ1 Σ2 are the squared singular values of L1ᵀ L2 with Σ = L Lᵀ.
        - 2 * np.linalg.svd(_root(covariance).T @ _root(other_covariance), compute_uv=False).sum()
    )


def _root(covariance: np.ndarray) -> np.ndarray:
    """L with L Lᵀ = covariance, for semidefinite matrices too (a constant feature)."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


class _Moments:
    """Means and covariances of unions of blocks of a sample."""

    def __init__(self, x: np.ndarray) -> None:
        self.centre = x.mean(axis=0)  # second moments about it do not cancel
        blocks = np.array_split(x - self.centre, BLOCKS)
        self.n = np.array([len(block) for block in blocks])
        self.first = np.array([block.sum(axis=0) for block in blocks])
        self.second = np.array([block.T @ block for block in blocks])

    def of(self, blocks: slice) -> tuple[int, np.ndarray, np.ndarray]:
        n = int(self.n[blocks].sum())
        mean = self.first[blocks].sum(axis=0) / n
        covariance = (self.second[blocks].sum(axis=0) - n * np.outer(mean, mean)) / (n - 1)
        return n, self.centre + mean, covariance


def fpd(x: np.ndarray, y: np.ndarray, seed: int = 1) -> float:
    """FPD × 10³ of two samples of features (n, d), (m, d), extrapolated to infinitely many showers.

    `seed` shuffles both before they are cut into parts.
    """
    rng = np.random.default_rng(seed)
    moments = _Moments(rng.permutation(x)), _Moments(rng.permutation(y))
    inverse, values = [], []
    for parts in PARTS:
        width = BLOCKS // parts
        found = []
        for start in range(0, BLOCKS, width):
            (n, *first), (m, *second) = (moment.of(slice(start, start + width)) for moment in moments)
            found.append(frechet(first[0], first[1], second[0], second[1]))
        inverse.append((1 / n + 1 / m) / 2)
        values.append(np.mean(found))
    return 1e3 * float(np.polyfit(inverse, values, 1)[1])


@dataclass(frozen=True)
class Trim:
    """The part of feature space that holds all but TRIMMED of the reference.

    Args:
        centre: (d,). root: (d, r) with d² = |(x − centre) root|².
        cut: largest d² inside.
    """

    centre: np.ndarray
    root: np.ndarray
    cut: float

    @classmethod
    def of(cls, reference: np.ndarray) -> Trim:
        """From the reference's features (m, d); its outermost showers do not decide what is far."""
        found = cls._about(reference)
        return cls._about(reference, reference[found.inside(reference)])

    @classmethod
    def _about(cls, reference: np.ndarray, bulk: np.ndarray | None = None) -> Trim:
        bulk = reference if bulk is None else bulk
        centre = bulk.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(bulk, rowvar=False))
        kept = values > SMALLEST_VARIANCE * values[-1]
        root = vectors[:, kept] / np.sqrt(values[kept])
        squares = np.square((reference - centre) @ root).sum(axis=1)
        return cls(centre, root, float(np.quantile(squares, 1 - TRIMMED)))

    def inside(self, x: np.ndarray) -> np.ndarray:
        """(n,) whether each of the features x (n, d) is."""
        return np.asarray(np.square((x - self.centre) @ self.root).sum(axis=1) <= self.cut)


def kernel_sum(x: np.ndarray, y: np.ndarray, tile: tuple[int, int] = (128, 1024)) -> float:
    """Σ_ij (x_i·y_j/d + 1)⁴ in pieces that fit the cache; where y is x itself, half of the matrix is computed.

    Products are taken in float32, whose rounding (1e-7 each) averages out, sums over more than a tile's row in float64.
    """
    rows, columns = tile
    ones = np.ones((len(x), 1))
    scaled = np.hstack([x / x.shape[1], ones]).astype(np.float32)
    other = np.hstack([y, np.ones((len(y), 1))]).astype(np.float32)
    total = 0.0
    for start in range(0, len(x), rows):
        stop = start + rows
        part = scaled[start:stop]
        if y is x:
            total += _block_sum(part, other[start:stop])
        factor, first = (2, stop) if y is x else (1, 0)
        for at in range(first, len(y), columns):
            total += factor * _block_sum(part, other[at : at + columns])
    return total


def _block_sum(scaled: np.ndarray, y: np.ndarray) -> float:
    block = scaled @ y.T
    block *= block
    return float(np.einsum("ij,ij->i", block, block).sum(dtype=np.float64))


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased MMD² of two samples of features (n, d), (m, d) with the quartic kernel."""
    n, m, d = len(x), len(y), x.shape[1]
    diagonal_x = float((((x**2).sum(axis=1) / d + 1) ** 4).sum())
    diagonal_y = float((((y**2).sum(axis=1) / d + 1) ** 4).sum())
    within_x = (kernel_sum(x, x) - diagonal_x) / (n * (n - 1))
    within_y = (kernel_sum(y, y) - diagonal_y) / (m * (m - 1))
    return within_x + within_y - 2 * kernel_sum(x, y) / (n * m)


def batch_size(n: int, m: int) -> int:
    """Showers of a KPD batch: at most half of either sample, or all batches would be the same."""
    return min(BATCH_SIZE, n // 2, m // 2)


def kpd(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """(KPD, error) × 10³ of two samples of features: median and half the 16–84 % range over the batches.

    Batches hold `batch_size` showers per sample.
    """
    size = batch_size(len(x), len(y))
    values = [
        mmd(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(BATCHES)
    ]
    low, high = np.quantile(values, [0.16275, 0.83725])
    return 1e3 * float(np.median(values)), 1e3 * float(high - low) / 2
