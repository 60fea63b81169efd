"""`PointSimulator`: a trained generator of point clouds, saved and loaded as `Simulator` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.inference import Batch
from caloforge.packed import Packed
from caloforge.points import PointClouds
from caloforge.points.clouds import offsets_of
from caloforge.simulator.core import batches
from caloforge.simulator.incoming import Incoming
from caloforge.simulator.trained import TrainedGenerator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(repr=False)
class PointSimulator(TrainedGenerator):
    """Transforms and model of point clouds, with their provenance; arguments as of `TrainedGenerator`."""

    geometry: PointGeometry

    @torch.inference_mode()
    def _clouds(self, batch: Batch) -> Packed:
        """The clouds of a batch, in physical units."""
        self.model.eval()
        parameter = next(self.model.parameters())
        energies, values = (
            None if part is None else torch.as_tensor(part, dtype=parameter.dtype, device=parameter.device)
            for part in (batch.energies, batch.conditions)
        )
        assert energies is not None
        c = self.transforms.condition(self.conditions.inputs(energies[:, None], values))
        generator = torch.Generator(parameter.device).manual_seed(batch.seed)
        rows, _ = self.transforms.inverse(self.model.sample(c, generator), c)
        return Packed.of_rows(rows.cpu().float(), len(self.geometry.columns), self.geometry.most)

    def stream(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 1000,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        n: int | None = None,
    ) -> Iterator[PointClouds]:
        """Point clouds for `energies`, batch by batch; each batch has its own random stream.

        Args:
            energies: (N,) incident energies in MeV, finite and above 0; or a spectrum in words. Of jets, their p_T.
            seed: at least 0.
            batch_size: clouds per pass through the model, at least 1.
            conditions: further conditions by name (see `Simulator.stream`).
            n: number of clouds drawn from a spectrum in words.

        Raises:
            CaloforgeError: an argument is out of range, or a condition is missing or unknown.
        """
        asked = Incoming.of(self.conditions, energies, conditions).draw(n, seed)
        columns, start = asked.conditions, 0
        attributes = self.attributes(seed, batch_size, "torch")
        for batch in batches(asked.energies, seed, batch_size, conditions=self.conditions.values(columns)):
            clouds, rows = self._clouds(batch), slice(start, start + len(batch.energies))
            offsets, points = offsets_of(clouds.counts.numpy()), clouds.points.numpy()
            names = self.geometry.columns
            yield PointClouds.unchecked(batch.energies, points, offsets, names, attributes, columns.take(rows))
            start = rows.stop

    def generate(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 1000,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        n: int | None = None,
    ) -> PointClouds:
        """(N,) incident energies in MeV → N point clouds in memory (see `stream`)."""
        return PointClouds.joined(list(self.stream(energies, seed, batch_size, conditions, n=n)))

    @classmethod
    def _geometry(cls, plain: Any) -> PointGeometry:
        if not PointGeometry.is_in(plain):
            raise CaloforgeError("the run generates voxels, not point clouds: load it with Simulator.load")
        return PointGeometry.from_dict(plain)
