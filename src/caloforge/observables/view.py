"""`View`: showers as observables see them, with voxels below the readout threshold set to zero.

Sums use float64 copies of the float32 voxels, one layer at a time: E[x²] − E[x]² suffers from cancellation, and in
single precision the widths of a layer 2 m wide would be wrong by a histogram bin.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from caloforge.geometry import Geometry
from caloforge.showers import Showers

SMALLEST = 1e-16
"""MeV added to every denominator (CaloChallenge convention)."""

COLUMNS = ("one", "eta", "phi", "r", "eta2", "phi2", "r2")


class View:
    """Showers as observables see them.

    Args:
        showers: N showers; they are not modified.
        threshold: readout threshold in MeV; None uses that of the geometry.
    """

    def __init__(self, showers: Showers, threshold: float | None = None) -> None:
        cut = showers.geometry.threshold if threshold is None else threshold
        self.geometry: Geometry = showers.geometry
        self.energies: np.ndarray = np.asarray(showers.energies, dtype=np.float64)
        self.voxels: np.ndarray = above_threshold(showers.voxels, cut)
        self._sums: dict[int, np.ndarray] = {}
        self._brightest: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def part(self, position: int) -> np.ndarray:
        """(N, v) voxels, in MeV, of the layer with index `position` (0 … n_layers − 1)."""
        return self.voxels[:, self.geometry.slices[position]]

    def sums(self, position: int, column: str) -> np.ndarray:
        """(N,) Σ w_i e_i over a layer, where w is the quantity called `column` (see `COLUMNS`), in MeV mm^k."""
        if position not in self._sums:
            layer = self.geometry.layers[position]
            x = np.stack([np.ones(layer.n_voxels), layer.eta, layer.phi, layer.r])
            weights = np.concatenate([x, x[1:] ** 2]).T
            self._sums[position] = self.part(position).astype(np.float64) @ weights
        return self._sums[position][:, COLUMNS.index(column)]

    def layer_energy(self, position: int) -> np.ndarray:
        """(N,) E_l in MeV."""
        return self.sums(position, "one")

    def brightest(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) brightest and (N,) second-brightest voxel of a layer in MeV, float64; 0 if there is only one voxel."""
        if position not in self._brightest:
            part = self.part(position).copy()
            rows, where = np.arange(len(part)), part.argmax(axis=1)
            first = part[rows, where].astype(np.float64)
            part[rows, where] = 0
            self._brightest[position] = first, part.max(axis=1).astype(np.float64)
        return self._brightest[position]

    @cached_property
    def deposited(self) -> np.ndarray:
        """(N,) E_dep in MeV."""
        return np.asarray(np.sum([self.layer_energy(k) for k in range(self.geometry.n_layers)], axis=0))


def above_threshold(voxels: np.ndarray, threshold: float) -> np.ndarray:
    """(N, V) `voxels` with those below `threshold` (MeV) set to zero; the same array if there are none."""
    return np.where(voxels < threshold, voxels.dtype.type(0), voxels) if threshold > 0 else voxels
