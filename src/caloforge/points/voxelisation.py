"""Points into voxels of any geometry, and voxels into points.

A voxel gets the sum of the energies of the points in it, taken in float64; what lies outside all voxels is counted. The
way back puts one point into each voxel with energy, at its centre or anywhere in it with equal probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caloforge.errors import CaloforgeError, option
from caloforge.geometry import Geometry, Layer
from caloforge.geometry.bins import points_in, voxel_index
from caloforge.points.clouds import HITS, PointClouds, offsets_of
from caloforge.points.layer_depths import layers_of, position_of
from caloforge.showers import Showers


@dataclass(frozen=True)
class Outside:
    """What of a sample lies outside the voxels.

    Args:
        points: number of points outside. of_points: all.
        energy: of those outside, MeV. of_energy: of all.
    """

    points: int = 0
    of_points: int = 0
    energy: float = 0.0
    of_energy: float = 0.0

    def __add__(self, other: Outside) -> Outside:
        return Outside(
            self.points + other.points,
            self.of_points + other.of_points,
            self.energy + other.energy,
            self.of_energy + other.of_energy,
        )

    def __str__(self) -> str:
        share = self.energy / self.of_energy if self.of_energy else 0.0
        which = f"{self.points:,} of {self.of_points:,} points, with {100 * share:.3g} % of the energy"
        return f"{which}, lie outside the voxels"


def voxelised(
    clouds: PointClouds, geometry: Geometry, *, sampling_fraction: float = 1.0, pitch: float | None = None
) -> tuple[Showers, Outside]:
    """Showers in the voxels of a geometry, and what lies outside of it.

    >>> from caloforge import Geometry, Layer
    >>> geometry = Geometry("toy", (Layer(0, (0, 10, 20), n_alpha=1), Layer(1, (0, 40), n_alpha=2)))
    >>> clouds = PointClouds([100], [[3, 0, 0, 4], [0, 15, 0, 2], [0, 5, 1, 1], [5, 5, 1, 3], [90, 0, 1, 9]], [0, 5])
    >>> showers, outside = voxelised(clouds, geometry)
    >>> showers.voxels, outside.points, outside.energy
    (array([[4., 2., 0., 4.]], dtype=float32), 1, 9.0)

    Args:
        clouds: points with x, y, layer or z, and energy. A layer is matched by its number (`Layer.id`).
        geometry: the voxels.
        sampling_fraction: energies are divided by it.
        pitch: depth of a layer in mm, for points with z, where the geometry has no z_edges.

    Raises:
        CaloforgeError: points have no such columns, or nothing says where layers lie.
    """
    if not 0 < sampling_fraction < math.inf:
        raise CaloforgeError(f"{option('sampling_fraction')} {sampling_fraction:g}: it must be above 0")
    x, y = (clouds.column(name).astype(np.float64) for name in ("x", "y"))
    energy = clouds["energy"].astype(np.float64)
    position = position_of(layers_of(clouds, geometry, pitch), geometry)
    voxel = np.full(len(energy), -1, dtype=np.int64)
    for k, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = np.flatnonzero(position == k)
        index = voxel_index(layer, x[here], y[here])
        voxel[here] = np.where(index >= 0, index + part.start, -1)
    inside = voxel >= 0
    size = geometry.n_voxels
    cells = clouds.rows[inside] * size + voxel[inside]
    sums = np.bincount(cells, weights=energy[inside] / sampling_fraction, minlength=len(clouds) * size)
    outside = Outside(int(np.count_nonzero(~inside)), len(energy), float(energy[~inside].sum()), float(energy.sum()))
    voxels = sums.reshape(len(clouds), size).astype(np.float32)
    return Showers.unchecked(clouds.energies, voxels, geometry, clouds.attributes, clouds.conditions), outside


def points_of(showers: Showers, rng: np.random.Generator | None = None) -> PointClouds:
    """One point in each voxel with energy: x, y, layer, energy, in the order of voxels.

    >>> from caloforge import Geometry, Layer
    >>> geometry = Geometry("toy", (Layer(0, (0, 10, 20), n_alpha=1), Layer(1, (0, 40), n_alpha=2)))
    >>> points_of(Showers([100], [[4, 2, 0, 4]], geometry)).points.round(3) + 0.0
    array([[ 5.,  0.,  0.,  4.],
           [15.,  0.,  0.,  2.],
           [ 0., 20.,  1.,  4.]], dtype=float32)

    Args:
        showers: voxel energies.
        rng: to draw positions from, evenly over the area of a voxel; two numbers per point, in order, so that parts of
            a sample may be converted one after another. Without it, points lie at the centres of voxels.
    """
    geometry = showers.geometry
    row, voxel = np.nonzero(showers.voxels)
    layer = geometry.layer_index[voxel]
    if rng is None:
        x, y = _centres(geometry, voxel)
    else:
        x, y = _drawn(geometry, voxel, layer, rng.random((len(voxel), 2)))
    points = np.column_stack([x, y, np.array(geometry.layer_ids)[layer], showers.voxels[row, voxel]])
    return PointClouds.unchecked(
        showers.energies,
        points.astype(np.float32),
        offsets_of(np.bincount(row, minlength=len(showers))),
        HITS,
        showers.attributes,
        showers.conditions,
    )


def _centres(geometry: Geometry, voxel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the centres: of a polar layer x = r cos alpha, of a Cartesian one x = phi and y = eta."""
    parts = [
        (layer.eta, layer.phi) if isinstance(layer, Layer) else (layer.phi, layer.eta) for layer in geometry.layers
    ]
    x, y = (np.concatenate(each)[voxel] for each in zip(*parts, strict=True))
    return x, y


def _drawn(geometry: Geometry, voxel: np.ndarray, layer: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y drawn evenly over the areas of voxels, from u (n, 2) in [0, 1)."""
    x, y = np.empty(len(voxel)), np.empty(len(voxel))
    for k, (each, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = layer == k
        x[here], y[here] = points_in(each, voxel[here] - part.start, u[here])
    return x, y
