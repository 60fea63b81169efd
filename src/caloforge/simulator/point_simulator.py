"""`PointSimulator`: a trained generator of point clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caloforge.errors import CaloforgeError, either
from caloforge.geometry import PointGeometry
from caloforge.points import PointClouds
from caloforge.simulator.trained import TrainedGenerator


@dataclass(repr=False)
class PointSimulator(TrainedGenerator[PointClouds]):
    """Transforms and model of point clouds, with their provenance; arguments as of `TrainedGenerator`.

    The incident energies of jets are their transverse momenta.
    """

    geometry: PointGeometry

    @classmethod
    def _geometry(cls, plain: Any) -> PointGeometry:
        if not PointGeometry.is_in(plain):
            remedy = either("this is for runs of points", "load it with Simulator.load")
            raise CaloforgeError(f"the run generates voxels, not point clouds: {remedy}")
        return PointGeometry.from_dict(plain)
