"""First and second moments: centre of energy, widths, and shares of the energy in rings around the centre.

All are weighted with the energies of the points; depths are in layers (or in mm, for points with z alone).
"""

from __future__ import annotations

import numpy as np

from caloforge.observables.of_clouds.base import cloud_observable, mean_of, spread_of
from caloforge.points import PointClouds

RINGS = (10.0, 20.0, 50.0)
"""Radii in mm within which the share of the energy is taken."""


def depth(clouds: PointClouds) -> np.ndarray:
    """(P,) layer of each point, or its z in mm."""
    return clouds.column("layer" if "layer" in clouds.names else "z").astype(np.float64)


def distance_from_axis(clouds: PointClouds) -> np.ndarray:
    """(P,) transverse distance in mm of each point from its shower's centre of energy."""
    x, y = clouds["x"].astype(np.float64), clouds["y"].astype(np.float64)
    rows = clouds.rows
    return np.asarray(np.hypot(x - mean_of(clouds, x)[rows], y - mean_of(clouds, y)[rows]))


@cloud_observable("mean_x", "first moment x", "mm")
def mean_x(clouds: PointClouds) -> np.ndarray:
    """(N,) centre of energy."""
    return mean_of(clouds, clouds["x"])


@cloud_observable("mean_y", "first moment y", "mm")
def mean_y(clouds: PointClouds) -> np.ndarray:
    """(N,) centre of energy."""
    return mean_of(clouds, clouds["y"])


@cloud_observable("mean_depth", "first moment in depth", "layers")
def mean_depth(clouds: PointClouds) -> np.ndarray:
    """(N,) centre of energy."""
    return mean_of(clouds, depth(clouds))


@cloud_observable("width_x", "width in x", "mm")
def width_x(clouds: PointClouds) -> np.ndarray:
    """(N,) standard deviation."""
    return spread_of(clouds, clouds["x"])


@cloud_observable("width_y", "width in y", "mm")
def width_y(clouds: PointClouds) -> np.ndarray:
    """(N,) standard deviation."""
    return spread_of(clouds, clouds["y"])


@cloud_observable("width_depth", "width in depth", "layers")
def width_depth(clouds: PointClouds) -> np.ndarray:
    """(N,) standard deviation."""
    return spread_of(clouds, depth(clouds))


@cloud_observable("mean_radius", "mean distance from the axis", "mm")
def mean_radius(clouds: PointClouds) -> np.ndarray:
    """(N,) of the energy, from the centre of energy in x and y."""
    return mean_of(clouds, distance_from_axis(clouds))


def _ring(radius: float) -> None:
    @cloud_observable(f"share_within_{radius:.0f}mm", f"share of the energy within {radius:.0f} mm of the axis")
    def share(clouds: PointClouds) -> np.ndarray:
        return mean_of(clouds, distance_from_axis(clouds) < radius)


for _radius in RINGS:
    _ring(_radius)
