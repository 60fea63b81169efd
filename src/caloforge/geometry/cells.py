"""Square cells over a polar layer, and their overlap with the voxels.

A voxel is a piece of a ring. It is divided into k·k pieces of equal area, evenly in r² and in alpha, and each piece is
assigned to the cell that contains its centre, so the overlaps of a voxel sum to its area.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from caloforge.geometry.layers import Layer

POINTS = 24
"""k: a voxel is divided into k·k pieces of equal area."""


def cell_edges(layer: Layer, size: float | None = None) -> np.ndarray:
    """(n + 1,) edges in mm of square cells that cover the layer, centred on its axis.

    Args:
        layer: a polar layer.
        size: cell size in mm; by default the width of the narrowest radial bin.
    """
    size = float(np.diff(layer.r_edges).min()) if size is None else size
    half = int(np.ceil(layer.r_edges[-1] / size - 1e-9))
    return size * np.arange(-half, half + 1)


def shared_areas(layer: Layer, edges: np.ndarray) -> sparse.csr_array:
    """(n·n, voxels) overlap of each cell with each voxel, in mm².

    Args:
        layer: a polar layer.
        edges: (n + 1,) cell edges in mm, the same along x and y; they must enclose the layer.

    Returns:
        Sparse array; rows are cells, x slow, y fast; columns are voxels in caloforge's order.
    """
    n = len(edges) - 1
    r_edges = np.asarray(layer.r_edges)
    middle = (np.arange(POINTS) + 0.5) / POINTS
    r = np.sqrt(r_edges[:-1, None] ** 2 + middle * np.diff(r_edges**2)[:, None])  # (n_r, k)
    alpha = -np.pi + (np.arange(layer.n_alpha)[:, None] + middle) * (2 * np.pi / layer.n_alpha)  # (n_alpha, k)
    radius, angle = r[None, :, :, None], alpha[:, None, None, :]
    x, y = radius * np.cos(angle), radius * np.sin(angle)  # (n_alpha, n_r, k, k)
    cell = [np.clip(np.searchsorted(edges, part.ravel(), side="right") - 1, 0, n - 1) for part in (x, y)]
    voxel = np.repeat(np.arange(layer.n_voxels), POINTS**2)
    area = layer.areas[voxel] / POINTS**2
    return sparse.csr_array((area, (cell[0] * n + cell[1], voxel)), shape=(n * n, layer.n_voxels))
