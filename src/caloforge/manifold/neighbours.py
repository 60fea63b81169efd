"""Nearest neighbours of all points among themselves, exact, in bounded memory.

Squared distances come block by block from |a|² + |b|² - 2 a·b, which is one matrix product but cancels where
points are close. It therefore runs in float64 on centred points and only chooses the neighbours; the chosen
distances are computed again from the differences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from caloforge.errors import CaloforgeError

Points = torch.Tensor | np.ndarray

BLOCK_BYTES = 32 * 2**20
"""Size of the largest temporary of `nearest_neighbours`; about three of them live at once."""


def as_points(x: Points) -> torch.Tensor:
    """`x` as a float64 tensor (n, F) without gradient, on its own device.

    Raises:
        CaloforgeError: `x` is not a table with at least one column, or holds NaN or infinity.
    """
    points = torch.as_tensor(x).detach().to(torch.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise CaloforgeError(f"points must have the shape (n, F), not {tuple(points.shape)}")
    bad = ~torch.isfinite(points).all(dim=1)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise CaloforgeError(f"point {row} has a value that is NaN or infinite; remove it first")
    return points


def distinct_points(x: Points) -> tuple[torch.Tensor, int]:
    """Each different row of `x` once, in order of first appearance.

    Repeated rows have a nearest neighbour at distance zero, whose logarithm no estimator can use.

    Args:
        x: (n, F) points.

    Returns:
        the distinct points (m, F) in float64, and how many rows were repetitions, n - m.

    Raises:
        CaloforgeError: as `as_points`.
    """
    points = as_points(x)
    rows = np.ascontiguousarray(points.cpu().numpy() + 0.0)  # adding zero makes -0.0 the same bytes as 0.0
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).reshape(-1)
    _, first = np.unique(keys, return_index=True)
    if len(first) == len(points):
        return points, 0
    return points[torch.as_tensor(np.sort(first), device=points.device)], len(points) - len(first)


def nearest_neighbours(
    x: Points, k: int, progress: Callable[[int], None] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k nearest other points of every point, Euclidean, nearest first.

    A point is not its own neighbour, but an equal point is: take `distinct_points` first where that matters.
    Time goes as n² F (plus n² for the choice); memory stays near three times `BLOCK_BYTES` beside the points
    in float64, twice.

    Args:
        x: (n, F) points; a CUDA tensor is searched on its device.
        k: number of neighbours, 1 … n - 1.
        progress: called with the number of points done since the last call.

    Returns:
        distances (n, k), float64, rising along each row, and indices (n, k) of the neighbours, int64.

    Raises:
        CaloforgeError: k is below 1 or not below the number of points; or as `as_points`.
    """
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
        # |a|² is the same along a row and changes no order, so it is left out.
        closeness = torch.addmm(squares, centred[block], centred.T, alpha=-2.0)
        closeness.diagonal(start).fill_(torch.inf)
        chosen = closeness.topk(k, dim=1, largest=False, sorted=False).indices
        differences = points[chosen].sub_(points[block, None, :])
        distances[block], order = torch.linalg.vector_norm(differences, dim=2).sort(dim=1)
        indices[block] = chosen.gather(1, order)
        if progress is not None:
            progress(block.stop - block.start)
    return distances, indices
