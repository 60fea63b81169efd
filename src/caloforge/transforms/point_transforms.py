"""Transforms of point clouds, whose rows are those of `caloforge.packed`: cells, logarithms, the deposited energy.

Standardisation is left to the models, which do it point by point.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.packed import Packed
from caloforge.transforms.base import Transform
from caloforge.transforms.distinct_cells import distinct_cells

TINY = 1e-6
"""Least argument of a logarithm, relative to 1 or to the threshold: values at the threshold itself."""


class PointTransform(Transform):
    """A transform of packed points; a subclass overrides `towards_model` and `towards_physics`.

    Args:
        geometry: columns of the points, and the room in a row.
    """

    takes_clouds = True

    def __init__(self, geometry: PointGeometry) -> None:
        super().__init__()
        if not isinstance(geometry, PointGeometry):
            raise CaloforgeError(f"{type(self).__name__} is for point clouds, not for voxels: leave it out")
        self.geometry = geometry

    @abstractmethod
    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        """The clouds, transformed; c (B, C) begins with the incident energies in MeV."""

    @abstractmethod
    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        """The inverse."""

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.towards_model(self._packed(x), c).rows(self.geometry.most), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.towards_physics(self._packed(x), c).rows(self.geometry.most), c

    def _packed(self, x: Tensor) -> Packed:
        return Packed.of_rows(x, len(self.geometry.columns), self.geometry.most)


class PointLog(PointTransform):
    """A column e → log(e − e_min).

    Args:
        geometry: of the points.
        column: which one.
        least: e_min, the threshold of the column, in its unit; generated values are above it.
    """

    def __init__(self, *, geometry: PointGeometry, column: str, least: NonNegativeFloat = 0.0) -> None:
        super().__init__(geometry)
        self.number, self.least = geometry.index(column), least

    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        above = clouds.points[:, self.number] - self.least
        return _with_column(clouds, self.number, above.clamp_min(TINY * (self.least or 1.0)).log())

    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        return _with_column(clouds, self.number, self.least + clouds.points[:, self.number].exp())


class PointCells(PointTransform):
    """Transverse positions in units of cells, as whole numbers, and whole layers.

    `inverse` gives each point a cell of its own near its position (`caloforge.transforms.distinct_cells`), so that a
    shower keeps its number of hits; points for which there is none are added to those of their cell.

    Args:
        geometry: of the points; with the columns x, y, layer and energy.
        pitch: of the cells, in mm; centres are at multiples of it.
        layers: number of layers.
    """

    def __init__(self, *, geometry: PointGeometry, pitch: PositiveFloat, layers: PositiveInt) -> None:
        super().__init__(geometry)
        self.cells = [geometry.index(name) for name in ("x", "y")]
        self.layer, self.energy = geometry.index("layer"), geometry.index("energy")
        self.pitch, self.layers = pitch, layers

    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        points = clouds.points.clone()
        points[:, self.cells] = (points[:, self.cells] / self.pitch).round()
        return clouds.with_points(points)

    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        points = clouds.points.clone()
        if len(points) == 0:
            return clouds
        found = distinct_cells(points[:, [self.layer, *self.cells]], points[:, self.energy], clouds.cloud, self.layers)
        points[:, self.layer] = found[:, 0].to(points)
        points[:, self.cells] = (found[:, 1:] * self.pitch).to(points)
        where = torch.cat([clouds.cloud[:, None].double(), found], dim=1)
        cells, cell_of = torch.unique(where, dim=0, return_inverse=True)
        energy = points.new_zeros(len(cells)).index_add_(0, cell_of, points[:, self.energy])
        first = torch.full((len(cells),), len(points), device=points.device)
        first = first.scatter_reduce_(0, cell_of, torch.arange(len(points), device=points.device), "amin")
        merged = points[first]
        merged[:, self.energy] = energy
        counts = torch.bincount(cells[:, 0].long(), minlength=len(clouds))
        return Packed.of(merged, counts, clouds.others)


class PointDeposit(PointTransform):
    """The deposited energy over the incident one, as a number of the whole cloud: its logarithm.

    `inverse` scales what the points have above the threshold, so that they sum to it and stay above.

    Args:
        geometry: of the points.
        column: which one is the energy in MeV.
        least: the threshold of the column, in MeV.
    """

    def __init__(self, *, geometry: PointGeometry, column: str = "energy", least: NonNegativeFloat = 0.0) -> None:
        super().__init__(geometry)
        self.number, self.least = geometry.index(column), least

    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        fraction = clouds.sums(clouds.points[:, self.number : self.number + 1]) / c[:, :1]
        others = torch.cat([clouds.others, fraction.clamp_min(TINY).log()], dim=1)
        return Packed(clouds.points, clouds.cloud, clouds.counts, others)

    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        deposited = clouds.others[:, -1].exp() * c[:, 0]
        above = (clouds.points[:, self.number] - self.least).clamp_min(0)
        wanted = (deposited - self.least * clouds.counts).clamp_min(0)
        factor = wanted / clouds.sums(above[:, None])[:, 0].clamp_min(1e-12)
        energy = self.least + above * clouds.spread(factor)
        return _with_column(
            Packed(clouds.points, clouds.cloud, clouds.counts, clouds.others[:, :-1]), self.number, energy
        )


def _with_column(clouds: Packed, number: int, values: Tensor) -> Packed:
    points = clouds.points.clone()
    points[:, number] = values
    return clouds.with_points(points)
