"""Where the layers of a geometry lie along the shower axis, for a drawing."""

from __future__ import annotations

import itertools

from caloforge.geometry import Geometry, Layer
from caloforge.sources.geant4.detector import load_detector, shipped_detectors

FLAT = 0.05
"""Thickness of a layer over the radius of the largest one, where depths are not known."""


def layer_depths(geometry: Geometry, detector: str = "") -> tuple[list[tuple[float, float]], bool]:
    """(front, back) of each layer in mm, and whether they are known.

    They are those of the geometry, or of the shipped detector that the showers were simulated in. Otherwise layers are
    drawn at equal distances.

    Args:
        geometry: the voxels.
        detector: name of the detector, as in a file's attributes.
    """
    own = [layer.z_edges for layer in geometry.layers]
    known = [edges for edges in own if edges is not None]
    if len(known) == len(own):
        return known, True
    if detector in shipped_detectors():
        found = load_detector(detector)
        if found.geometry.has_voxels_of(geometry):
            edges = [float(edge) for edge in found.layer_edges]
            return list(itertools.pairwise(edges)), True
    pitch = FLAT * max(extent_of(geometry))
    return [(2 * k * pitch, (2 * k + 1) * pitch) for k in range(geometry.n_layers)], False


def extent_of(geometry: Geometry) -> list[float]:
    """Largest transverse coordinate of each layer in mm."""
    found = []
    for layer in geometry.layers:
        edges = layer.r_edges if isinstance(layer, Layer) else (*layer.phi_edges, *layer.eta_edges)
        found.append(max(abs(edge) for edge in edges))
    return found
