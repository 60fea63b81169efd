"""What models of point clouds do to points before networks see them: noise on whole numbers, asinh, standardisation.

Columns that are whole numbers, such as cells and layers, get uniform noise within ±½ whenever a batch is drawn, so that
there is a density to learn; transforms round what is generated. Columns with a narrow core and long tails, such as
distances from a shower's axis, are learned as asinh of themselves, so that the core is not narrow for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from caloforge.geometry import PointGeometry
from caloforge.networks.standardise import Standardise
from caloforge.packed import Packed, taken


class PointScaling(Standardise):
    """Points (P, F) ↔ what networks see of them, each column with mean 0 and width 1.

    Args:
        geometry: columns F of the points, and room M for them.
        whole: columns that are whole numbers. peaked: columns with a narrow core around 0.
    """

    def __init__(self, geometry: PointGeometry, whole: Sequence[str], peaked: Sequence[str]) -> None:
        super().__init__(len(geometry.columns), "each")
        self.most = geometry.most
        self.whole, self.peaked = ([geometry.index(name) for name in names] for names in (whole, peaked))

    def fit(self, x: Tensor) -> None:
        super().fit(self._with_peaked(x, torch.asinh))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self._with_peaked(x, torch.asinh))

    def inverse(self, x: Tensor) -> Tensor:
        return self._with_peaked(super().inverse(x), torch.sinh)

    def dequantised(self, clouds: Packed) -> Tensor:
        """(P, F) the points of clouds, with uniform noise on what are whole numbers."""
        points = clouds.points
        if not self.whole:
            return points
        u = torch.rand(len(clouds), self.most, len(self.whole), device=points.device, dtype=points.dtype)
        points = points.clone()
        points[:, self.whole] += u[taken(clouds.counts, self.most)] - 0.5
        return points

    def _with_peaked(self, points: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        if not self.peaked:
            return points
        points = points.clone()
        points[:, self.peaked] = function(points[:, self.peaked])
        return points
