"""Exact nearest neighbours, in bounded memory.

Squared distances are computed as |a|² + |b|² − 2 a·b of centred points: one matrix product, which is fast but suffers
from cancellation for close points. They are therefore used only to find the neighbours; the distances are then computed
from the differences, in float64.

    nearest_neighbours   the k nearest other points of each point of one sample; chosen in float64, on any device
    nearest_distances    the distance from each point to the nearest point of another sample; chosen in float32
    squared_distances    (n, m) between two samples, float32, accurate to about 1e-6 of |a|² + |b|²
    paired_distances     (n,) between two equally long lists of points, exact

The first takes tensors or arrays and returns tensors, for estimates that are sensitive to wrong neighbours. The others
take and return arrays in single precision, with half the memory and time, for samples of thousands of showers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from caloforge.errors import CaloforgeError

if TYPE_CHECKING:
    import torch

    Points = torch.Tensor | np.ndarray

BLOCK_BYTES = 32 * 2**20
"""Size of the largest temporary array of `nearest_neighbours`; about three of them exist at once."""


def as_points(x: Points) -> torch.Tensor:
    """`x` as a float64 tensor (n, F) without gradient, on its own device.

    Raises:
        CaloforgeError: `x` is not a table with at least one column, or contains NaN or infinity.
    """
    import torch

    points = torch.as_tensor(x).detach().to(torch.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise CaloforgeError(f"points must have shape (n, F), not {tuple(points.shape)}")
    bad = ~torch.isfinite(points).all(dim=1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise CaloforgeError(f"point {row} has a value that is NaN or infinite; remove it first")
    return points


def distinct_points(x: Points) -> tuple[torch.Tensor, int]:
    """Each distinct row of `x` once, in order of first appearance.

    Repeated rows have a nearest neighbour at distance zero, whose logarithm diverges.

    Args:
        x: (n, F) points.

    Returns:
        the distinct points (m, F) in float64, and the number of repeated rows, n - m.

    Raises:
        CaloforgeError: from `as_points`.
    """
    import torch

    points = as_points(x)
    rows = np.ascontiguousarray(points.cpu().numpy() + 0.0)  # adding zero gives -0.0 the same bytes as 0.0
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).reshape(-1)
    _, first = np.unique(keys, return_index=True)
    if len(first) == len(points):
        return points, 0
    return points[torch.as_tensor(np.sort(first), device=points.device)], len(points) - len(first)


def nearest_neighbours(
    x: Points, k: int, progress: Callable[[int], None] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest other points of each point, Euclidean, nearest first.

    A point is not its own neighbour, but an equal point is: call `distinct_points` first if this matters.
    The time grows as n² F (plus n² for the selection); memory stays near three times `BLOCK_BYTES`, plus twice the
    points in float64.

    Args:
        x: (n, F) points; a CUDA tensor is searched on its device.
        k: number of neighbours, 1 … n - 1.
        progress: called with the number of points done since the last call.

    Returns:
        distances (n, k), float64, ascending along each row, and indices (n, k) of the neighbours, int64.

    Raises:
        CaloforgeError: k is below 1 or not below the number of points; or from `as_points`.
    """
    import torch

    points = as_points(x)
    n, n_features = points.shape
    if k < 1:
        raise CaloforgeError(f"the number of neighbours k must be at least 1, not {k}")
    if k >= n:
        raise CaloforgeError(
            f"k = {k} neighbours need at least {k + 1} distinct points, there are {n}: give a smaller k or more points"
        )
    centred = points - points.mean(dim=0)
    squares = centred.square().sum(dim=1)
    distances = torch.empty(n, k, dtype=torch.float64, device=points.device)
    indices = torch.empty(n, k, dtype=torch.int64, device=points.device)
    n_rows = max(1, BLOCK_BYTES // (8 * max(n, k * n_features)))
    for start in range(0, n, n_rows):
        block = slice(start, min(start + n_rows, n))
        # |a|² is constant along a row and does not affect the order, so it is omitted.
        closeness = torch.addmm(squares, centred[block], centred.T, alpha=-2.0)
        closeness.diagonal(start).fill_(torch.inf)
        chosen = closeness.topk(k, dim=1, largest=False, sorted=False).indices
        differences = points[chosen].sub_(points[block, None, :])
        distances[block], order = torch.linalg.vector_norm(differences, dim=2).sort(dim=1)
        indices[block] = chosen.gather(1, order)
        if progress is not None:
            progress(block.stop - block.start)
    return distances, indices


def squared_distances(x: np.ndarray, y: np.ndarray, rows: int = 1000) -> np.ndarray:
    """(n, m) squared Euclidean distances of points x (n, F) and y (m, F), float32.

    They are accurate to about 1e-6 of |a|² + |b|² about the mean of y, which is enough to order neighbours but not to
    distinguish near-copies from copies: use `paired_distances` for these.

    Args:
        x, y: float32 points.
        rows: number of rows of x multiplied at a time.
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


def nearest_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) Euclidean distance, float64, from each point of x (n, F) to the nearest point of y (m, F)."""
    return paired_distances(x, y[np.argmin(squared_distances(x, y), axis=1)])


def paired_distances(x: np.ndarray, y: np.ndarray, rows: int = 256) -> np.ndarray:
    """(n,) Euclidean distances between x_i and y_i, (n, F) each, from differences in float64: exact for near-copies."""
    parts = [slice(start, start + rows) for start in range(0, len(x), rows)]
    return np.concatenate([np.linalg.norm(x[part].astype(np.float64) - y[part], axis=1) for part in parts])
