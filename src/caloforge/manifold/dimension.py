"""Estimators of the intrinsic dimension of a set of points, such as showers.

Let T_j(x_i) be the distance from point x_i to its j-th nearest neighbour, j = 1 … k, among n points.

*Levina and Bickel* (NIPS 2004): the number of points within a distance t of x_i is a Poisson process with a rate
that grows as t^d; its maximum likelihood gives the inverse of the mean of log(T_k/T_j). MacKay and Ghahramani
(2005) showed that the inverses must not be averaged: the logarithms are averaged over all points first, and the
mean is inverted once. This is the estimator of CaloMan (arXiv:2211.15380):

    d_k = [ 1/(n (k-1)) Σ_i Σ_{j<k} log(T_k(x_i)/T_j(x_i)) ]^-1

It assumes a density that is constant across the k neighbours. This fails near the edge of the sample, more so at
higher d: with 8 000 points of a Gaussian it gives about 17 for d = 20 at k = 10. For the same reason the estimate
for showers, which fluctuate in every voxel, increases with the number of points.

*TwoNN* (Facco et al., arXiv:1803.06992): the ratio μ = T_2/T_1 has the cumulative distribution F(μ) = 1 - μ^-d,
so that -log(1 - F) against log μ is a line through the origin with slope d; the fit excludes the largest ratios.

*Local PCA* (Fukunaga and Olsen, 1971): the number of eigenvalues of the covariance of a neighbourhood that are not
small compared with the largest, averaged over neighbourhoods.

The latter two are cross-checks: TwoNN uses the smallest distances in the sample; local PCA uses larger
neighbourhoods, where curvature adds directions, unequal variances hide some, and the number of neighbours is an
upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.neighbours import as_points, distinct_points, nearest_neighbours

if TYPE_CHECKING:
    from caloforge.neighbours import Points

N_BOOTSTRAP = 200


@dataclass(frozen=True)
class DimensionEstimate:
    """The Levina-Bickel estimate for one number of neighbours.

    Args:
        k: number of neighbours.
        value: the estimated dimension d_k, above zero.
        error: its standard deviation over bootstrap samples of the points: statistical, without the bias; NaN if
            the sample is so small that a bootstrap sample may have no spread of distances.
        n_points: number of distinct points used.
        n_duplicates: number of points excluded as duplicates.
    """

    k: int
    value: float
    error: float
    n_points: int
    n_duplicates: int = 0


@overload
def intrinsic_dimension(
    x: Points,
    k: int = 10,
    *,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_points: int | None = ...,
    progress: Callable[[int], None] | None = ...,
) -> DimensionEstimate: ...


@overload
def intrinsic_dimension(
    x: Points,
    k: Sequence[int],
    *,
    n_bootstrap: int = ...,
    seed: int = ...,
    max_points: int | None = ...,
    progress: Callable[[int], None] | None = ...,
) -> list[DimensionEstimate]: ...


def intrinsic_dimension(
    x: Points,
    k: int | Sequence[int] = 10,
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    max_points: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> DimensionEstimate | list[DimensionEstimate]:
    """Intrinsic dimension d_k of the points `x` (see the module docstring for the estimator and its bias).

    Exact duplicates of a point are excluded and counted in the result.

    Args:
        x: (n, F) points, in any unit; constant columns are harmless.
        k: number of neighbours, at least 2 and below the number of distinct points; or several, which share one
            neighbour search.
        n_bootstrap: number of bootstrap samples for the error, at least 2.
        seed: random seed for the subsample and the bootstrap.
        max_points: maximum number of points, chosen at random without replacement; None uses all.
        progress: called with the number of points done since the last call.

    Returns:
        one estimate for a single `k`, a list in the given order for a sequence.

    Raises:
        CaloforgeError: an argument is invalid, points are not finite, or there are too few distinct points.
    """
    ks = [k] if isinstance(k, int) else list(k)
    _check_ks(ks)
    points = as_points(x)
    if max_points is not None and len(points) > max_points:
        rows = np.random.default_rng(seed).choice(len(points), max_points, replace=False)
        points = points[torch.as_tensor(np.sort(rows), device=points.device)]
    points, n_duplicates = distinct_points(points)
    distances, _ = nearest_neighbours(points, max(ks), progress)
    estimates = dimension_from_distances(distances, ks, n_bootstrap=n_bootstrap, seed=seed, n_duplicates=n_duplicates)
    return estimates[0] if isinstance(k, int) else estimates


def dimension_from_distances(
    distances: torch.Tensor,
    k: Sequence[int],
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    n_duplicates: int = 0,
) -> list[DimensionEstimate]:
    """The estimates of `intrinsic_dimension` from given distances.

    Args:
        distances: (n, K) from `nearest_neighbours`, all above zero.
        k: numbers of neighbours, each 2 … K.
        n_bootstrap: number of bootstrap samples for the error, at least 2; shared by all k.
        seed: random seed for the bootstrap.
        n_duplicates: passed on to the estimates.

    Raises:
        CaloforgeError: an argument is invalid, a distance is zero, or all distances are equal.
    """
    _check_ks(k)
    if n_bootstrap < 2:
        raise CaloforgeError(f"the number of bootstrap samples must be at least 2, not {n_bootstrap}")
    logs = np.stack([_mean_log_ratios(distances, each).cpu().numpy() for each in k], axis=1)
    n = len(logs)
    rng = np.random.default_rng(seed)
    resampled = np.stack([logs[rng.integers(n, size=n)].mean(axis=0) for _ in range(n_bootstrap)])
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = (1.0 / resampled).std(axis=0, ddof=1)
    return [
        DimensionEstimate(
            k=each,
            value=_invert(float(mean)),
            error=float(error) if math.isfinite(error) else math.nan,
            n_points=n,
            n_duplicates=n_duplicates,
        )
        for each, mean, error in zip(k, logs.mean(axis=0), errors, strict=True)
    ]


def levina_bickel(distances: torch.Tensor, k: int) -> float:
    """d_k from `distances` (n, K ≥ k), from `nearest_neighbours`, all above zero.

    Raises:
        CaloforgeError: k is below 2 or above K, a distance is zero, or all distances are equal.
    """
    _check_ks([k])
    return _invert(float(_mean_log_ratios(distances, k).mean()))


def two_nn(distances: torch.Tensor, kept: float = 0.9) -> float:
    """TwoNN estimate of the dimension.

    Args:
        distances: (n, K ≥ 2) from `nearest_neighbours`, all above zero.
        kept: fraction of the points, those with the smallest ratios T_2/T_1, used in the fit; in (0, 1).

    Raises:
        CaloforgeError: `kept` is out of range, there are fewer than two neighbours, a distance is zero, or all are
            equal.
    """
    if not 0 < kept < 1:
        raise CaloforgeError(f"the kept fraction must be between 0 and 1, not {kept}")
    log_mu = _mean_log_ratios(distances, 2).sort().values
    n = len(log_mu)
    n_kept = max(1, math.floor(kept * n))
    cumulative = torch.arange(1, n_kept + 1, dtype=torch.float64, device=log_mu.device) / n
    u, v = log_mu[:n_kept], -torch.log1p(-cumulative)
    return float(u @ v) * _invert(float(u @ u))


def local_pca_dimension(
    x: Points, indices: torch.Tensor, *, threshold: float = 0.05, max_points: int = 200, seed: int = 0
) -> float:
    """Mean number of directions in which neighbourhoods are extended (Fukunaga and Olsen).

    Args:
        x: (n, F) points.
        indices: (n, K) neighbours from `nearest_neighbours`; K limits the result, so choose it well above the
            expected dimension.
        threshold: eigenvalues below this fraction of the largest in the neighbourhood are not counted.
        max_points: number of randomly chosen neighbourhoods in the mean.
        seed: random seed for this choice.

    Raises:
        CaloforgeError: the neighbourhoods have no extent, or from `as_points`.
    """
    points = as_points(x)
    n = len(points)
    rows = np.sort(np.random.default_rng(seed).choice(n, min(n, max_points), replace=False))
    total = 0
    for row in rows:
        around = points[torch.cat([indices.new_tensor([row]), indices[row]])]
        around = around - around.mean(dim=0)
        # The Gram matrix has the eigenvalues of the covariance up to a factor; use the smaller of the two.
        product = around @ around.T if len(around) < points.shape[1] else around.T @ around
        eigenvalues = torch.linalg.eigvalsh(product)
        if eigenvalues[-1] <= 0:
            raise CaloforgeError("all neighbours of a point are equal to it; call distinct_points first")
        total += int((eigenvalues >= threshold * eigenvalues[-1]).sum())
    return total / len(rows)


def _check_ks(ks: Sequence[int]) -> None:
    if not ks:
        raise CaloforgeError("give at least one number of neighbours k")
    for k in ks:
        if k < 2:
            raise CaloforgeError(f"the number of neighbours k must be at least 2, not {k}")


def _mean_log_ratios(distances: torch.Tensor, k: int) -> torch.Tensor:
    """(n,) mean of log(T_k/T_j) over j < k for every point."""
    if distances.ndim != 2 or distances.shape[1] < k:
        raise CaloforgeError(f"k = {k} needs distances of shape (n, {k}), not {tuple(distances.shape)}")
    nearest = distances[:, :k]
    if not (torch.isfinite(nearest) & (nearest > 0)).all():
        raise CaloforgeError("a distance is zero or not finite; call distinct_points first")
    logs = nearest.log()
    return logs[:, -1] - logs[:, :-1].mean(dim=1)


def _invert(mean_log_ratio: float) -> float:
    if not mean_log_ratio > 0:
        raise CaloforgeError("all neighbours of every point are at the same distance: there is no finite dimension")
    return 1.0 / mean_log_ratio
