"""Layers from depths, and depths from layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError, option
from caloforge.geometry import Geometry
from caloforge.points.clouds import PointClouds


def layers_of(clouds: PointClouds, geometry: Geometry | None, pitch: float | None) -> np.ndarray:
    """(P,) layer number of each point: the column `layer`, or from `z`; -1 where a depth is in no layer.

    Args:
        clouds: with a column `layer` or `z`.
        geometry: whose z_edges say where layers lie, where it has them.
        pitch: else, depth of a layer in mm; layer k begins at k times the pitch.

    Raises:
        CaloforgeError: there is neither column, or nothing says where layers lie.
    """
    if "layer" in clouds.names:
        return clouds["layer"].astype(np.int64)
    if "z" not in clouds.names:
        raise CaloforgeError(f"points need a column layer or z; they have {', '.join(clouds.names)}")
    z = clouds["z"].astype(np.float64)
    found = np.full(len(z), -1, dtype=np.int64)
    if geometry is not None and all(layer.z_edges is not None for layer in geometry.layers):
        for layer in geometry.layers:
            assert layer.z_edges is not None
            found[(z >= layer.z_edges[0]) & (z < layer.z_edges[1])] = layer.id
        return found
    if pitch is None:
        raise _nothing_known("points have a depth z, and a layer is needed")
    return np.where(z >= 0, np.floor(z / pitch), -1).astype(np.int64)


def depths_of(clouds: PointClouds, geometry: Geometry | None, pitch: float | None) -> np.ndarray:
    """(P,) depth of each point in mm: the column `z`, or the middle of its layer; arguments as of `layers_of`.

    Raises:
        CaloforgeError: there is neither column, a layer is not in the geometry, or nothing says where layers lie.
    """
    if "z" in clouds.names:
        return clouds["z"]
    layers = layers_of(clouds, geometry, pitch)
    if geometry is not None and all(layer.z_edges is not None for layer in geometry.layers):
        middles = np.array([np.mean(layer.z_edges) for layer in geometry.layers if layer.z_edges is not None])
        position = position_of(layers, geometry)
        if (position < 0).any():
            raise CaloforgeError(f"geometry '{geometry.name}' has no layer {layers[int(np.argmin(position))]}")
        return np.asarray(middles[position])
    if pitch is None:
        raise _nothing_known("points have a layer, and a depth z is needed")
    return np.asarray((layers + 0.5) * pitch)


def position_of(layers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """(P,) index in `geometry.layers` of layer numbers (P,); -1 for a number that it does not have."""
    ids = np.array(geometry.layer_ids)
    order = np.argsort(ids)
    at = np.minimum(np.searchsorted(ids[order], layers), len(ids) - 1)
    return np.where(ids[order][at] == layers, order[at], -1)


def stored_pitch(attributes: dict[str, Any], given: float | None) -> float | None:
    """Depth of a layer in mm: as given, else the file's attribute `layer_pitch_mm`, if there is one.

    Raises:
        CaloforgeError: the one that is given is not above zero.
    """
    if given is not None:
        if not 0 < given < float("inf"):
            raise CaloforgeError(f"{option('layer_pitch')} {given:g}: the depth of a layer in mm must be above 0")
        return given
    stored = attributes.get("layer_pitch_mm")
    return float(stored) if isinstance(stored, int | float) and stored > 0 else None


def _nothing_known(problem: str) -> CaloforgeError:
    return CaloforgeError(
        f"{problem}: say where layers lie with {option('geometry')} (with z_edges), or {option('layer_pitch')} in mm"
    )
