"""`Engine`: generates batches of showers, from incident energies to rows of voxels in MeV, or of points.

An engine processes a batch in pieces that fit the processor's cache, and reports the time spent in the model and in
postprocessing. All engines draw the noise of a batch at once from the batch's own generator, so that they generate the
same showers up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from caloforge.geometry import AnyGeometry
from caloforge.models.base import ShowerModel
from caloforge.transforms import Compose, TrainedConditions

VALUES = 920_000
"""Values of rows per piece on a CPU, 2 500 showers of data set 1: few for the cache, enough to hide call overhead."""


class Pipeline(Protocol):
    """What an engine runs; a `Simulator` is one."""

    @property
    def geometry(self) -> AnyGeometry: ...

    transforms: Compose
    model: ShowerModel
    conditions: TrainedConditions


@dataclass(frozen=True)
class Batch:
    """Showers to generate.

    Args:
        number: batch number, from 0.
        energies: (B,) incident energies in MeV.
        seed: random seed for the noise.
        conditions: (B, K) further conditions of a run that knows some (`TrainedConditions.values`).
    """

    number: int
    energies: np.ndarray
    seed: int
    conditions: np.ndarray | None = None


@dataclass(frozen=True)
class GeneratedBatch:
    """A finished batch.

    Args:
        rows: (B, W) float32 in physical units: voxels in MeV, or rows of point clouds (`caloforge.packed`).
        model: seconds in the model, including the noise.
        postprocessing: seconds in the inverse preprocessing, including the threshold; 0 if one graph does both.
    """

    rows: np.ndarray
    model: float
    postprocessing: float


class Engine(Protocol):
    """Generates batches; safe to call from several threads at once."""

    name: str

    energy_range: tuple[float, float] | None
    """Lowest and highest accepted incident energy in MeV; None for any."""

    def generate(self, batch: Batch) -> GeneratedBatch:
        """The batch's showers."""


def rows_per_piece(row_length: int) -> int:
    """Showers per piece on a CPU, each a row of so many values."""
    return max(1, VALUES // row_length)
