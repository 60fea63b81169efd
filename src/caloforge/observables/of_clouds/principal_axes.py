"""Principal axes of a shower: the energy-weighted covariance of x, y and depth, its eigenvalues, and the first axis.

With eigenvalues λ₁ ≥ λ₂ ≥ λ₃ of the covariance, the sphericity is 3/2 (λ₂ + λ₃) / (λ₁ + λ₂ + λ₃): 0 for a line, 1 for a
ball. Depth is z in mm; where points have a layer alone, it is the layer times the pitch that the sample's attribute
`layer_pitch_mm` gives, or the layer itself where there is none.
"""

from __future__ import annotations

import numpy as np

from caloforge.observables.of_clouds.base import cloud_observable, mean_of
from caloforge.points import PointClouds


def _positions(clouds: PointClouds) -> np.ndarray:
    """(P, 3)."""
    pitch = clouds.attributes.get("layer_pitch_mm")
    if "z" in clouds.names:
        z = clouds["z"]
    else:
        z = clouds["layer"] * (float(pitch) if isinstance(pitch, int | float) else 1.0)
    return np.column_stack([clouds["x"], clouds["y"], z]).astype(np.float64)


def covariance(clouds: PointClouds) -> np.ndarray:
    """(N, 3, 3) energy-weighted covariance of x, y and depth; zero without energy."""
    positions, rows = _positions(clouds), clouds.rows
    away = positions - np.stack([mean_of(clouds, column) for column in positions.T], axis=1)[rows]
    entries = {(a, b): mean_of(clouds, away[:, a] * away[:, b]) for a in range(3) for b in range(a, 3)}
    return np.stack([np.stack([entries[min(a, b), max(a, b)] for b in range(3)], axis=1) for a in range(3)], axis=1)


@cloud_observable("sphericity", "sphericity")
def sphericity(clouds: PointClouds) -> np.ndarray:
    """(N,) 0 … 1; 0 for a shower of fewer than two points."""
    values = np.linalg.eigvalsh(covariance(clouds))
    total = values.sum(axis=1)
    return np.asarray(1.5 * np.divide(values[:, 0] + values[:, 1], total, out=np.zeros(len(total)), where=total > 0))


@cloud_observable("elongation", "length over width of the principal axes")
def elongation(clouds: PointClouds) -> np.ndarray:
    """(N,) √(λ₁ / λ₂); 0 where λ₂ is 0."""
    values = np.linalg.eigvalsh(covariance(clouds)).clip(0)
    defined = values[:, 1] > 1e-9 * values[:, 2]
    return np.asarray(np.sqrt(np.divide(values[:, 2], values[:, 1], out=np.zeros(len(values)), where=defined)))


@cloud_observable("axis_angle", "angle of the first principal axis from the normal", "rad")
def axis_angle(clouds: PointClouds) -> np.ndarray:
    """(N,) 0 … π/2; 0 for a shower of fewer than two points."""
    matrix = covariance(clouds)
    axis = np.linalg.eigh(matrix)[1][:, :, 2]
    angle = np.arccos(np.clip(np.abs(axis[:, 2]), 0, 1))
    return np.where(np.trace(matrix, axis1=1, axis2=2) > 0, angle, 0.0)
