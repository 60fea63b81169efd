"""`Simulator`: a trained generator with everything it needs to generate showers in MeV, saved and loaded as one unit.

`caloforge.simulator.trained` says how it is saved and loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from caloforge.errors import CaloforgeError, either
from caloforge.geometry import Geometry, PointGeometry
from caloforge.showers import Showers
from caloforge.simulator.trained import TrainedGenerator


@dataclass(repr=False)
class Simulator(TrainedGenerator[Showers]):
    """Transforms, model and geometry, with their provenance.

    >>> from caloforge import sample, train
    >>> settings = {"epochs": 1, "stages": {"density": {"select": "last", "patience": None}}}
    >>> run = train("caloman-demo", sample("train", stop=100), training=settings)
    >>> run.generate([256.0, 512.0], seed=1)
    Showers(2 showers, 256 MeV … 512 MeV, 368 voxels in 5 layers of 'ds1-photons')

    Args:
        geometry: the voxels.
        transforms: fitted preprocessing.
        model: the generator in transformed space.
        provenance: plain data (recipe, seeds, training file, …), stored and passed on to outputs.
        energy_range: lowest and highest incident energy of the training set, in MeV; None if unknown.
        conditions: what the run knows of further conditions, such as angles.
    """

    geometry: Geometry

    @torch.no_grad()
    def voxels(
        self,
        energies: torch.Tensor,
        generator: torch.Generator | None = None,
        conditions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, V) voxel energies in MeV for incident energies (B,) in MeV, on the energies' device.

        Args:
            energies: see above.
            generator: of the random numbers.
            conditions: (B, K) further conditions, of a run that knows some.
        """
        c = self.transforms.condition(self.conditions.inputs(energies[:, None], conditions))
        voxels, _ = self.transforms.inverse(self.model.sample(c, generator), c)
        return voxels

    @classmethod
    def _geometry(cls, plain: Any) -> Geometry:
        if PointGeometry.is_in(plain):
            remedy = either("this is for runs of voxels", "load it with caloforge.simulator.PointSimulator.load")
            raise CaloforgeError(f"the run generates point clouds, not voxels: {remedy}")
        return Geometry.from_dict(plain)
