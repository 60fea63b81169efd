"""`Simulator`: a trained generator with everything it needs to generate showers in MeV, saved and loaded as one unit.

`caloforge.simulator.trained` says how it is saved and loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, PointGeometry
from caloforge.inference import Batch, Engine, TorchEngine
from caloforge.showers import Showers
from caloforge.simulator.incoming import Incoming, check_integer, checked_energies
from caloforge.simulator.trained import TrainedGenerator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(repr=False)
class Simulator(TrainedGenerator):
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

    def stream(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 10_000,
        engine: Engine | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        angles: ArrayLike | None = None,
        n: int | None = None,
    ) -> Iterator[Showers]:
        """Showers for `energies`, batch by batch.

        Each batch has its own random stream, seeded by (seed, batch number): the same seed, batch size, engine and
        machine give the same showers.

        Args:
            energies: (N,) incident energies in MeV, finite and above 0; or a spectrum in words, as
                "uniform:1GeV:16GeV" (`caloforge.energies.spectra`).
            seed: at least 0.
            batch_size: showers per pass through the model, at least 1.
            engine: inference engine; by default PyTorch, with the current weights.
            conditions: further conditions by name, (N,) values or one for all showers, as in {"theta": 0.5}, angles in
                rad; or a law in words, as {"theta": "uniform:0:60deg"} (`caloforge.conditions.laws`).
            angles: of incidence; the same as the condition theta.
            n: number of showers drawn from a spectrum in words.

        Raises:
            CaloforgeError: an argument is out of range, or a condition is missing, unknown or outside the range of the
                training.
        """
        engine = TorchEngine(self) if engine is None else engine
        asked = Incoming.of(self.conditions, energies, conditions, angles).draw(n, seed)
        columns = asked.conditions
        todo = batches(asked.energies, seed, batch_size, conditions=self.conditions.values(columns))
        attributes, start = self.attributes(seed, batch_size, engine.name), 0
        for batch in todo:
            rows = slice(start, start + len(batch.energies))
            voxels = engine.generate(batch).voxels
            yield Showers.unchecked(batch.energies, voxels, self.geometry, attributes, columns.take(rows))
            start = rows.stop

    def generate(
        self,
        energies: ArrayLike,
        seed: int = 1,
        batch_size: int = 10_000,
        engine: Engine | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
        *,
        angles: ArrayLike | None = None,
        n: int | None = None,
    ) -> Showers:
        """(N,) incident energies in MeV, or a spectrum in words and N → N showers in memory (see `stream`)."""
        parts = list(self.stream(energies, seed, batch_size, engine, conditions, angles=angles, n=n))
        return Showers.unchecked(
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.voxels for part in parts]),
            self.geometry,
            parts[0].attributes,
            Columns.joined([part.conditions for part in parts]),
        )

    @classmethod
    def _geometry(cls, plain: Any) -> Geometry:
        if PointGeometry.is_in(plain):
            raise CaloforgeError("the run generates point clouds, not voxels: load it with PointSimulator.load")
        return Geometry.from_dict(plain)


def batches(
    energies: np.ndarray, seed: int, batch_size: int, shard: int | None = None, conditions: np.ndarray | None = None
) -> Iterator[Batch]:
    """Split `energies` into batches, each with its own seed (see `Simulator.stream`).

    Args:
        energies: (N,) incident energies in MeV.
        seed: at least 0.
        batch_size: at least 1.
        shard: number of the shard; its batches are seeded by (seed, shard, batch number).
        conditions: (N, K) further conditions.

    Raises:
        CaloforgeError: an argument is out of range.
    """
    energies = checked_energies(energies)
    check_integer("the batch size", batch_size, 1)
    check_integer("the seed", seed, 0)
    return _batches(energies, conditions, seed, batch_size, (1,) if shard is None else (2, shard, 1))


def _batches(
    energies: np.ndarray, conditions: np.ndarray | None, seed: int, batch_size: int, key: tuple[int, ...]
) -> Iterator[Batch]:
    for number, start in enumerate(range(0, len(energies), batch_size)):
        state = np.random.SeedSequence(seed, spawn_key=(*key, number)).generate_state(1, np.uint64)[0]
        rows = slice(start, start + batch_size)
        yield Batch(number, energies[rows], int(state) >> 1, None if conditions is None else conditions[rows])
