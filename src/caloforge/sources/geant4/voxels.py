"""From a point in a layer to its voxel, and from an event's energy deposits to a row of voxels.

Polar layers: r = hypot(x, y), alpha = atan2(y, x), equal alpha bins from -pi. Cartesian layers: phi = x,
eta = y. A bin holds its lower edge and not its upper one; alpha = pi belongs to the last bin. What lies outside
the edges is in no voxel and is lost, as in a real calorimeter's readout window.
"""

from __future__ import annotations

import math

import numpy as np

from caloforge.geometry import AnyLayer, Layer
from caloforge.sources.geant4.detector import Detector


def voxel_index(layer: AnyLayer, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) position of each point's voxel in the layer's own row, -1 outside; x, y (n,) in mm."""
    if isinstance(layer, Layer):
        turns = (np.arctan2(y, x) + math.pi) / (2 * math.pi)
        row = np.minimum((turns * layer.n_alpha).astype(np.int64), layer.n_alpha - 1)
        column = _bin(layer.r_edges, np.hypot(x, y))
    else:
        row, column = _bin(layer.phi_edges, x), _bin(layer.eta_edges, y)
    return np.where((row >= 0) & (column >= 0), row * layer.shape[1] + column, -1)


def _bin(edges: tuple[float, ...], values: np.ndarray) -> np.ndarray:
    index = np.searchsorted(edges, values, side="right") - 1
    return np.where(index < len(edges) - 1, index, -1)


def fill(detector: Detector, position: int, deposits: np.ndarray) -> np.ndarray:
    """(n_voxels of the layer,) energies in MeV of one layer, calibrated and above the threshold.

    Args:
        detector: whose sampling fraction and threshold apply.
        position: of the layer in the geometry, 0 … n_layers - 1.
        deposits: (n, 3) of energy (MeV) and *twice* the step's middle x and y (mm): the sum of its two ends.
    """
    layer = detector.geometry.layers[position]
    index = voxel_index(layer, deposits[:, 1] / 2, deposits[:, 2] / 2)
    inside = index >= 0
    sums = np.bincount(index[inside], weights=deposits[inside, 0], minlength=layer.n_voxels)
    energies = sums / detector.sampling_fraction[position]
    energies[energies < detector.threshold] = 0.0
    return energies
