"""Voxel of a point in a layer, and points in a voxel.

Polar layers: r = hypot(x, y), alpha = atan2(y, x), equal alpha bins from -pi. Cartesian layers: phi = x,
eta = y. A bin includes its lower edge but not its upper one; alpha = pi belongs to the last bin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caloforge.geometry.layers import AnyLayer, Layer


def voxel_index(layer: AnyLayer, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) index of the voxel of each point within the layer, -1 outside; x, y (n,) in mm."""
    if isinstance(layer, Layer):
        turns = (np.arctan2(y, x) + math.pi) / (2 * math.pi)
        row = np.minimum((turns * layer.n_alpha).astype(np.int64), layer.n_alpha - 1)
        column = bin_index(layer.r_edges, np.hypot(x, y))
    else:
        row, column = bin_index(layer.phi_edges, x), bin_index(layer.eta_edges, y)
    return np.where((row >= 0) & (column >= 0), row * layer.shape[1] + column, -1)


def points_in(layer: AnyLayer, index: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y (n,) in mm of points in voxels of a layer, each evenly over the voxel's area.

    Args:
        layer: of the voxels.
        index: (n,) of the voxel within the layer.
        u: (n, 2) uniform in [0, 1).
    """
    row, column = np.divmod(index, layer.shape[1])
    if isinstance(layer, Layer):
        squares = np.asarray(layer.r_edges) ** 2
        r = np.sqrt(squares[column] + u[:, 0] * np.diff(squares)[column])
        alpha = 2 * math.pi * (row + u[:, 1]) / layer.n_alpha - math.pi
        return r * np.cos(alpha), r * np.sin(alpha)
    x, y = (
        np.asarray(edges)[k] + u[:, axis] * np.diff(edges)[k]
        for axis, (edges, k) in enumerate(((layer.phi_edges, row), (layer.eta_edges, column)))
    )
    return x, y


def bin_index(edges: Sequence[float] | np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) index of the bin between `edges` of each value, -1 outside."""
    index = np.searchsorted(edges, values, side="right") - 1
    return np.where(index < len(edges) - 1, index, -1)
