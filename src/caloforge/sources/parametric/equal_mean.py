"""Groups of voxels with equal mean energy, for showers that are symmetric about their axis.

All voxels of a ring (one layer, one radial bin, all alpha) have the same mean energy, so a ring needs one
integral and one draw; its energy or its spots are then distributed over its voxels. A Cartesian layer has no
such symmetry: each voxel is its own cell.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.geometry import AnyLayer, Geometry, Layer
from caloforge.sources.parametric.shower_shape import circle_containment, rectangle_containment


def component_shares(layer: AnyLayer, radius: np.ndarray) -> np.ndarray:
    """(B, cells) fraction of one radial component in each cell of a layer, for B values of its radius in mm.

    The cells of a polar layer are its rings (all alpha); those of a Cartesian layer are its voxels.
    """
    if isinstance(layer, Layer):
        return np.diff(circle_containment(np.array(layer.r_edges), radius[:, None]), axis=1)
    x, y = np.array(layer.phi_edges)[:, None], np.array(layer.eta_edges)
    corners = rectangle_containment(x, y, radius[:, None, None])
    return np.diff(np.diff(corners, axis=1), axis=2).reshape(len(radius), -1)


class Cells:
    """The voxels of a geometry in groups (cells) of equal mean: rings in polar layers, otherwise single voxels.

    Cell c consists of the voxels first[c] + k step[c] of a shower's row, k = 0 … copies[c] - 1.
    """

    def __init__(self, geometry: Geometry) -> None:
        first: list[int] = []
        step: list[int] = []
        copies: list[int] = []
        self.slices: list[slice] = []
        for layer, part in zip(geometry.layers, geometry.slices, strict=True):
            n, n_alpha = (layer.n_r, layer.n_alpha) if isinstance(layer, Layer) else (layer.n_voxels, 1)
            self.slices.append(slice(len(first), len(first) + n))
            first += range(part.start, part.start + n)
            step += [n] * n
            copies += [n_alpha] * n
        self.first, self.step, self.copies = np.array(first), np.array(step), np.array(copies)
        self.n_voxels = geometry.n_voxels

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(B, V) with the value of each cell (B, C) divided equally among its voxels."""
        out = np.empty((len(values), self.n_voxels))
        for copies, cells in self._by_copies(np.arange(len(self.first))):
            out[:, self._voxels(cells, copies)] = (values[:, cells] / copies)[:, :, None]
        return out

    def share(self, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B, V) with the spots of each cell (B, C) distributed over its voxels at random."""
        row, cell = np.nonzero(counts)
        n = counts[row, cell]
        # A few spots are placed one by one, many by multinomial draws: same distribution, bounded cost.
        few = n < 2 * self.copies[cell]
        owner = np.repeat(np.flatnonzero(few), n[few])
        at = cell[owner]
        turn = (rng.random(len(owner)) * self.copies[at]).astype(np.int64)
        where = row[owner] * self.n_voxels + self.first[at] + turn * self.step[at]
        out = np.bincount(where, minlength=len(counts) * self.n_voxels).reshape(len(counts), self.n_voxels)
        row, cell, n = row[~few], cell[~few], n[~few]
        for copies, chosen in self._by_copies(cell):
            dealt = rng.multinomial(n[chosen], np.full(copies, 1 / copies))
            out[row[chosen, None], self._voxels(cell[chosen], copies)] = dealt
        return out

    def _by_copies(self, cells: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for copies in np.unique(self.copies[cells]):
            yield int(copies), np.flatnonzero(self.copies[cells] == copies)

    def _voxels(self, cells: np.ndarray, copies: int) -> np.ndarray:
        return np.asarray(self.first[cells, None] + np.arange(copies) * self.step[cells, None])
