"""Voxel energies from the energy deposits of an event.

Deposits outside the edges are lost, as outside the readout window of a real calorimeter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caloforge.geometry.bins import bin_index, voxel_index
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.incidence import Incidence


def fill(detector: Detector, position: int, deposits: np.ndarray) -> np.ndarray:
    """(n_voxels of the layer,) energies of one layer in MeV, calibrated.

    Args:
        detector: whose sampling fraction applies.
        position: index of the layer in the geometry, 0 … n_layers - 1.
        deposits: (n, 3) energy (MeV) and *twice* the x and y of the middle of the step (mm): the sum of its two ends.
    """
    layer = detector.geometry.layers[position]
    index = voxel_index(layer, deposits[:, 1] / 2, deposits[:, 2] / 2)
    inside = index >= 0
    sums = np.bincount(index[inside], weights=deposits[inside, 0], minlength=layer.n_voxels)
    return sums / detector.sampling_fraction[position]


def fill_along(detector: Detector, deposits: Sequence[np.ndarray], incidence: Incidence) -> np.ndarray:
    """(V,) energies of all voxels in MeV in the frame of the particle, calibrated.

    Args:
        detector: of the layers and sampling fractions; a deposit is divided by that of its slab.
        deposits: for each layer of slabs (n, 4): energy (MeV) and *twice* the x, y and z of the middle of the step.
        incidence: of the particle.
    """
    geometry, found = detector.geometry, np.zeros(detector.geometry.n_voxels)
    shares = zip(deposits, detector.sampling_fraction, strict=True)
    energies = np.concatenate([part[:, 0] / fraction for part, fraction in shares])
    points = incidence.in_frame(np.concatenate([part[:, 1:] for part in deposits]) / 2)
    layer_of = bin_index(tuple(detector.layer_edges), points[:, 2])
    for position, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = layer_of == position
        index = voxel_index(layer, points[here, 0], points[here, 1])
        inside = index >= 0
        found[part] = np.bincount(index[inside], weights=energies[here][inside], minlength=layer.n_voxels)
    return found


def read_out(detector: Detector, energies: np.ndarray) -> np.ndarray:
    """(V,) energies in MeV with those below the detector's threshold set to zero."""
    return np.where(energies < detector.threshold, 0.0, energies)
