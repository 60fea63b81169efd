"""Resampling of polar layers to square cells and back, as in CaloScore for data sets 2 and 3 (arXiv:2206.11898).

The energy of a voxel is assumed to be uniform over its area. With A_cv the overlap area of cell c and voxel v,

    cell_c = Σ_v A_cv / (Σ_c′ A_c′v) · voxel_v,        voxel_v = Σ_c A_cv / (Σ_v′ A_cv′) · cell_c.

Both maps conserve the energy of a layer and map a constant density to a constant density. Together they blur, so that
`inverse` is not an exact inverse. Cells in the corners do not overlap with any voxel: showers have no energy there, and
energy generated there by a model is dropped. Networks on the cylinder itself (`grid: cylinder`) need no resampling.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.geometry.cells import shared_areas
from caloforge.transforms.base import Transform


class CartesianCells(Transform):
    """Voxels (layer, alpha, r) ↔ cells (layer, x, y).

    Args:
        cells: number of cells along x and y in each layer; in the paper 12 for data set 2 and 32 for data set 3.
        geometry: a geometry with the same r and alpha bins in all layers.
    """

    to_cells: Tensor
    to_voxels: Tensor

    def __init__(self, *, cells: int = 12, geometry: Geometry) -> None:
        super().__init__()
        layer = geometry.polar_mesh
        if layer is None:
            raise CaloforgeError(
                f"cartesian_cells needs the same r and alpha bins in all layers, unlike geometry '{geometry.name}'"
            )
        if cells < 2:
            raise CaloforgeError(f"'cells' must be at least 2, not {cells}")
        self.cells, self.n_layers = cells, geometry.n_layers
        edge = layer.r_edges[-1]
        areas = shared_areas(layer, np.linspace(-edge, edge, cells + 1)).toarray()
        # The matrices are determined by the geometry, so they are not saved with the weights.
        for name, matrix in (
            ("to_cells", areas / areas.sum(axis=0)),
            ("to_voxels", (areas / areas.sum(axis=1, keepdims=True).clip(1e-30)).T),
        ):
            self.register_buffer(name, torch.from_numpy(matrix.astype(np.float32)), persistent=False)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._layer_by_layer(x, self.to_cells), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self._layer_by_layer(x, self.to_voxels), c

    def _layer_by_layer(self, x: Tensor, matrix: Tensor) -> Tensor:
        return (x.reshape(-1, self.n_layers, matrix.shape[1]) @ matrix.T).flatten(1)
