"""Summary of a shower file, with probable mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile
from caloforge.showers.checks import doubts


@dataclass(frozen=True)
class Contents:
    """Summary of the showers in a file.

    Args:
        geometry: of the showers.
        energies: (N,) incident energies in MeV.
        deposited: (N,) deposited energies in MeV.
        layer_means: (L,) mean layer energies in MeV.
        largest_voxel: MeV.
        zero_fraction: fraction of the voxel values that are zero.
        above_threshold: fraction of the voxel values above the geometry's readout threshold.
    """

    geometry: Geometry
    energies: np.ndarray
    deposited: np.ndarray
    layer_means: np.ndarray
    largest_voxel: float
    zero_fraction: float
    above_threshold: float

    @property
    def response(self) -> np.ndarray:
        """(N,) E_dep / E_inc."""
        return np.asarray(self.deposited / self.energies)

    @property
    def doubts(self) -> list[str]:
        """Probable mistakes in a readable file, one sentence each."""
        return doubts(self.energies, self.deposited)


def contents(file: ShowerFile) -> Contents:
    """Read a file once, chunk by chunk, check all values, and summarise it.

    Raises:
        CaloforgeError: the file cannot be read, or a value is invalid.
    """
    geometry = file.geometry
    energies = file.energies()
    deposited = np.empty(len(file))
    layer_sums = np.zeros(geometry.n_layers)
    zeros, above, largest, start = 0, 0, 0.0, 0
    for chunk in file.chunks():
        stop = start + len(chunk)
        deposited[start:stop] = chunk.deposited
        layer_sums += [chunk.voxels[:, part].sum(dtype=np.float64) for part in geometry.slices]
        zeros += int(np.count_nonzero(chunk.voxels == 0))
        above += int(np.count_nonzero(chunk.voxels > geometry.threshold))
        largest = max(largest, float(chunk.voxels.max()))
        start = stop
    n_values = len(file) * geometry.n_voxels
    return Contents(geometry, energies, deposited, layer_sums / len(file), largest, zeros / n_values, above / n_values)
