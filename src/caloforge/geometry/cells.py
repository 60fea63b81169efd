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


def shared_areas(layer: Layer, x_edges: np.ndarray, y_edges: np.ndarray | None = None) -> sparse.csr_array:
    """(n_x n_y, voxels) area in mm² that each cell and each voxel share.

    Args:
        layer: polar.
        x_edges, y_edges: (n_x + 1,), (n_y + 1,) of the cells in mm; they must enclose the layer.
            Without y_edges they are those of x.

    Returns:
        Sparse array; rows are cells, x slow, y fast; columns are voxels in caloforge's order.
    """
    y_edges = x_edges if y_edges is None else y_edges
    n_x, n_y = len(x_edges) - 1, len(y_edges) - 1
    r_edges = np.asarray(layer.r_edges)
    middle = (np.arange(POINTS) + 0.5) / POINTS
    r = np.sqrt(r_edges[:-1, None] ** 2 + middle * np.diff(r_edges**2)[:, None])  # (n_r, k)
    alpha = -np.pi + (np.arange(layer.n_alpha)[:, None] + middle) * (2 * np.pi / layer.n_alpha)  # (n_alpha, k)
    radius, angle = r[None, :, :, None], alpha[:, None, None, :]
    x, y = radius * np.cos(angle), radius * np.sin(angle)  # (n_alpha, n_r, k, k)
    column, row = (
        np.clip(np.searchsorted(edges, part.ravel(), side="right") - 1, 0, len(edges) - 2)
        for edges, part in ((x_edges, x), (y_edges, y))
    )
    voxel = np.repeat(np.arange(layer.n_voxels), POINTS**2)
    area = layer.areas[voxel] / POINTS**2
    return sparse.csr_array((area, (column * n_y + row, voxel)), shape=(n_x * n_y, layer.n_voxels))
