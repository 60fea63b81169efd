"""Two showers of a file in one event: shifted apart on their voxels, and summed.

A voxel is divided into pieces of equal area (`geometry.adjacency.pieces`), which are moved by (x, y) and put into the
voxels of the same layer that they then lie in; pieces that leave the layer go to the voxel next to its edge. So the
energy is conserved, and it is taken as evenly spread over a voxel, which makes a shifted shower a little wider: a
single shower to compare with has to be shifted too.

Pairs are of (nearly) equal energy, as the photons of a symmetric decay, and go with single showers of their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from caloforge.geometry import Geometry
from caloforge.geometry.adjacency import pieces
from caloforge.geometry.bins import voxel_index
from caloforge.geometry.layers import AnyLayer, CartesianLayer, Layer

INSIDE = 1e-9
"""A point beyond a layer is moved inside by so much of the layer's size."""

STEP = 0.05
"""Width of the bins of log E in which pairs and single showers are matched."""


def shift(geometry: Geometry, x: float, y: float) -> csr_array:
    """(V, V) fraction of the energy of each voxel (row) that the shift by (x, y) mm puts into each other (column)."""
    rows, columns, weights = [], [], []
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        voxel, at_x, at_y = pieces(layer)
        rows.append(part.start + voxel)
        columns.append(part.start + voxel_index(layer, *_into(layer, at_x + x, at_y + y)))
        weights.append(np.full(len(voxel), layer.n_voxels / len(voxel)))
    entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
    return csr_array(entries, shape=(geometry.n_voxels, geometry.n_voxels))


def _into(layer: AnyLayer, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n,) in mm, those outside moved to the nearest edge of the layer."""
    if isinstance(layer, Layer):
        low, high = _limits(layer.r_edges)
        r, alpha = np.clip(np.hypot(x, y), low, high), np.arctan2(y, x)
        return r * np.cos(alpha), r * np.sin(alpha)
    assert isinstance(layer, CartesianLayer)
    return np.clip(x, *_limits(layer.phi_edges)), np.clip(y, *_limits(layer.eta_edges))


def _limits(edges: tuple[float, ...]) -> tuple[float, float]:
    margin = INSIDE * (edges[-1] - edges[0])
    return edges[0] + margin, edges[-1] - margin


class Overlay:
    """Showers shifted by half of `separation` (mm) to either side along the geometry's eta.

    Args:
        geometry: of the showers.
        separation: distance of two overlaid showers in mm.
    """

    def __init__(self, geometry: Geometry, separation: float) -> None:
        cartesian = any(isinstance(layer, CartesianLayer) for layer in geometry.layers)
        # In polar layers eta is x, in Cartesian ones y.
        half = (0.0, separation / 2) if cartesian else (separation / 2, 0.0)
        self._sides = [shift(geometry, sign * half[0], sign * half[1]).T.tocsr() for sign in (1, -1)]

    def moved(self, voxels: np.ndarray, side: int) -> np.ndarray:
        """(n, V) float32 voxels of showers shifted to side 0 or 1."""
        return np.asarray((self._sides[side] @ voxels.T).T, dtype=np.float32)

    def single(self, voxels: np.ndarray) -> np.ndarray:
        """(n, V) showers shifted, every second one to the other side."""
        found = np.empty(voxels.shape, dtype=np.float32)
        for side in (0, 1):
            found[side::2] = self.moved(voxels[side::2], side)
        return found

    def double(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n, V) sums of two showers, shifted to either side."""
        return np.asarray(self.moved(first, 0) + self.moved(second, 1))


@dataclass(frozen=True)
class Pairing:
    """Rows of a sample: (m,) single showers, and (m,) twice those of pairs with the same summed energies."""

    single: np.ndarray
    first: np.ndarray
    second: np.ndarray


def pairing(energies: np.ndarray, rng: np.random.Generator) -> Pairing:
    """Pairs of showers of nearly equal energy, and as many single ones with the spectrum of their sums.

    Args:
        energies: (N,) incident energies in MeV.
        rng: source of randomness.
    """
    order = np.lexsort([rng.random(len(energies)), energies])
    first, second = order[: len(order) // 2 * 2].reshape(-1, 2).T
    together = energies[first] / energies[second] > np.exp(-STEP)
    first, second = first[together], second[together]
    of_pair, of_single = (np.round(np.log(e) / STEP) for e in (energies[first] + energies[second], energies))
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for label in np.intersect1d(of_pair, of_single):
        pairs, singles = np.flatnonzero(of_pair == label), np.flatnonzero(of_single == label)
        n = min(len(pairs), len(singles))
        kept.append((rng.permutation(pairs)[:n], rng.permutation(singles)[:n]))
    if not kept:
        none = np.zeros(0, dtype=np.int64)
        return Pairing(none, none, none)
    pairs, singles = (np.concatenate(each) for each in zip(*kept, strict=True))
    return Pairing(singles, first[pairs], second[pairs])
