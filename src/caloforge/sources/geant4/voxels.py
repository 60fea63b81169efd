"""Voxel of a point in a layer, and voxel energies from the energy deposits of an event.

Polar layers: r = hypot(x, y), alpha = atan2(y, x), equal alpha bins from -pi. Cartesian layers: phi = x,
eta = y. A bin includes its lower edge but not its upper one; alpha = pi belongs to the last bin. Deposits outside
the edges are lost, as outside the readout window of a real calorimeter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caloforge.geometry import AnyLayer, Layer
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.incidence import Incidence


def voxel_index(layer: AnyLayer, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) index of the voxel of each point within the layer, -1 outside; x, y (n,) in mm."""
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
    """(n_voxels of the layer,) energies of one layer in MeV, calibrated and with the threshold applied.

    Args:
        detector: whose sampling fraction and threshold apply.
        position: index of the layer in the geometry, 0 … n_layers - 1.
        deposits: (n, 3) energy (MeV) and *twice* the x and y of the middle of the step (mm): the sum of its two ends.
    """
    layer = detector.geometry.layers[position]
    index = voxel_index(layer, deposits[:, 1] / 2, deposits[:, 2] / 2)
    inside = index >= 0
    sums = np.bincount(index[inside], weights=deposits[inside, 0], minlength=layer.n_voxels)
    energies = sums / detector.sampling_fraction[position]
    energies[energies < detector.threshold] = 0.0
    return energies


def fill_along(detector: Detector, deposits: Sequence[np.ndarray], incidence: Incidence) -> np.ndarray:
    """(V,) energies of all voxels in MeV in the frame of the particle, calibrated and with the threshold applied.

    Args:
        detector: of the layers, threshold and sampling fractions; a deposit is divided by that of its slab.
        deposits: for each layer of slabs (n, 4): energy (MeV) and *twice* the x, y and z of the middle of the step.
        incidence: of the particle.
    """
    geometry, found = detector.geometry, np.zeros(detector.geometry.n_voxels)
    shares = zip(deposits, detector.sampling_fraction, strict=True)
    energies = np.concatenate([part[:, 0] / fraction for part, fraction in shares])
    points = incidence.in_frame(np.concatenate([part[:, 1:] for part in deposits]) / 2)
    layer_of = _bin(tuple(detector.layer_edges), points[:, 2])
    for position, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = layer_of == position
        index = voxel_index(layer, points[here, 0], points[here, 1])
        inside = index >= 0
        found[part] = np.bincount(index[inside], weights=energies[here][inside], minlength=layer.n_voxels)
    found[found < detector.threshold] = 0.0
    return found
