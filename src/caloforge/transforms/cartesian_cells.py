"""Polar layers on square cells and back, as CaloScore resamples data sets 2 and 3 (arXiv:2206.11898).

A voxel's energy is spread evenly over its piece of the ring, and each cell gets what falls into it: with A_cv the area
that cell c and voxel v share,

    cell_c = Σ_v A_cv / (Σ_c′ A_c′v) · voxel_v,        voxel_v = Σ_c A_cv / (Σ_v′ A_cv′) · cell_c.

Both ways keep the energy of a layer, and a constant density stays constant; but the way there and back blurs, so that
this is no inverse in the strict sense. Cells in the corners share no area with any voxel: no shower has energy there,
and what a model puts there is dropped. Networks on the cylinder itself (`grid: cylinder`) need none of this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.transforms.base import Transform

POINTS = 24
"""Areas are counted in k·k pieces of a voxel, of equal area."""


def shared_areas(layer: Layer, cells: int) -> np.ndarray:
    """(cells², voxels) area in mm² that each cell and each voxel share.

    Args:
        layer: polar.
        cells: along x and along y; together they just cover the layer. x is eta, and slowest.
    """
    edges = np.asarray(layer.r_edges)
    middle = (np.arange(POINTS) + 0.5) / POINTS
    r = np.sqrt(edges[:-1, None] ** 2 + middle * np.diff(edges**2)[:, None])[None, :, :, None]
    turn = (np.arange(layer.n_alpha)[:, None] + middle) / layer.n_alpha
    alpha = (2 * np.pi * turn - np.pi)[:, None, None, :]
    x, y = (np.broadcast_to(r * f(alpha), (layer.n_alpha, layer.n_r, POINTS, POINTS)) for f in (np.cos, np.sin))
    column, row = (np.clip((cells * (v / edges[-1] + 1) / 2).astype(int), 0, cells - 1).ravel() for v in (x, y))
    areas = np.zeros((cells * cells, layer.n_voxels))
    voxel = np.repeat(np.arange(layer.n_voxels), POINTS**2)
    np.add.at(areas, (column * cells + row, voxel), layer.areas[voxel] / POINTS**2)
    return areas


class CartesianCells(Transform):
    """Voxels (layer, alpha, r) ↔ cells (layer, x, y).

    Args:
        cells: along x and along y in each layer; the paper has 12 for data set 2 and 32 for data set 3.
        geometry: polar layers that are all alike.
    """

    to_cells: Tensor
    to_voxels: Tensor

    def __init__(self, *, cells: int = 12, geometry: Geometry) -> None:
        super().__init__()
        layer = geometry.layers[0]
        if not (isinstance(layer, Layer) and geometry.is_regular):
            raise CaloforgeError(f"cartesian_cells needs polar layers that are all alike, unlike '{geometry.name}'")
        if cells < 2:
            raise CaloforgeError(f"'cells' must be at least 2, not {cells}")
        self.cells, self.n_layers = cells, geometry.n_layers
        areas = shared_areas(layer, cells)
        # They follow from the geometry, so they are not saved with the weights.
        for name, matrix in (
            ("to_cells", areas / areas.sum(axis=0)),
            ("to_voxels", (areas / areas.sum(axis=1, keepdims=True).clip(1e-30)).T),
        ):
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)), persistent=False)

    @property
    def settings(self) -> dict[str, Any]:
        return {"cells": self.cells}

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._layer_by_layer(x, self.to_cells), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._layer_by_layer(x, self.to_voxels), c

    def _layer_by_layer(self, x: Tensor, matrix: Tensor) -> Tensor:
        return (x.reshape(-1, self.n_layers, matrix.shape[1]) @ matrix.T).flatten(1)
