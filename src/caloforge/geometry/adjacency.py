"""Neighbours of voxels: within a layer those that share an edge or a corner, between layers those that overlap.

Within a polar layer a voxel has up to eight neighbours, in alpha around the circle; where the innermost ring starts at
the axis, all its voxels share the corner there. Voxels of adjacent layers are neighbours where their transverse areas
overlap, whatever the binning of either layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import numpy as np

from caloforge.geometry.bins import points_in, voxel_index
from caloforge.geometry.description import Geometry
from caloforge.geometry.layers import AnyLayer, CartesianLayer, Layer

PIECES = 8
"""A voxel is divided into so many pieces in r and, at least, in alpha (Cartesian: in phi and eta)."""

AROUND = 64
"""Pieces in alpha around the whole circle, at least."""


@dataclass(frozen=True)
class Adjacency:
    """Neighbours of V voxels.

    Args:
        n_voxels: V.
        pairs: (P, 2) voxels that are neighbours, each pair once.
    """

    n_voxels: int
    pairs: np.ndarray

    @cached_property
    def _sorted(self) -> np.ndarray:
        """(2 P, 2) both directions of each pair, by the first voxel."""
        both = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        return np.asarray(both[np.lexsort(both.T[::-1])])

    @cached_property
    def starts(self) -> np.ndarray:
        """(V + 1,) where the neighbours of each voxel start in `neighbours`."""
        counts = np.bincount(self._sorted[:, 0], minlength=self.n_voxels)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

    @cached_property
    def neighbours(self) -> np.ndarray:
        """(2 P,) neighbours of voxel 0, of voxel 1, …"""
        return np.ascontiguousarray(self._sorted[:, 1], dtype=np.int32)

    def around(self, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All neighbours of some voxels.

        Args:
            voxels: (n,) voxels, which may repeat.

        Returns:
            (m,) position in `voxels`, and (m,) the neighbour.
        """
        first, n = self.starts[voxels], np.diff(self.starts)[voxels]
        owner = np.repeat(np.arange(len(voxels), dtype=np.int32), n)
        skipped = (first - (np.cumsum(n) - n)).astype(np.int32)
        return owner, self.neighbours[skipped[owner] + np.arange(len(owner), dtype=np.int32)]


@cache
def within_layers(geometry: Geometry) -> Adjacency:
    """Neighbours in the same layer."""
    found = [_in_layer(layer) + part.start for layer, part in zip(geometry.layers, geometry.slices, strict=True)]
    return Adjacency(geometry.n_voxels, np.concatenate(found))


@cache
def in_space(geometry: Geometry) -> Adjacency:
    """Neighbours in the same layer and in the layers in front and behind."""
    found = [within_layers(geometry).pairs]
    layers = list(zip(geometry.layers, geometry.slices, strict=True))
    for (front, ahead), (back, behind) in pairwise(layers):
        found.append(overlapping(front, back) + np.array([ahead.start, behind.start]))
    return Adjacency(geometry.n_voxels, np.concatenate(found))


def _in_layer(layer: AnyLayer) -> np.ndarray:
    """(P, 2) pairs of voxels of a layer that share an edge or a corner."""
    index = np.arange(layer.n_voxels).reshape(layer.shape)
    around = layer.kind == "polar" and layer.shape[0] > 2  # with two bins the first and the last are a pair already
    rows = np.concatenate([index, index[:1]]) if around else index
    found = [(index[:, :-1], index[:, 1:]), (rows[:-1], rows[1:])]
    found += [(rows[:-1, :-1], rows[1:, 1:]), (rows[:-1, 1:], rows[1:, :-1])]
    if isinstance(layer, Layer) and layer.r_edges[0] == 0:
        first, second = np.triu_indices(layer.n_alpha, 1)
        found.append((index[first, 0], index[second, 0]))
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in found])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def overlapping(front: AnyLayer, back: AnyLayer) -> np.ndarray:
    """(P, 2) voxels of two layers whose transverse areas overlap."""
    if isinstance(front, Layer) and isinstance(back, Layer):
        r = _middles(front.r_edges, back.r_edges)
        alpha = _middles(*(np.linspace(-np.pi, np.pi, layer.n_alpha + 1) for layer in (front, back)))
        x, y = (np.outer(r, turned(alpha)).ravel() for turned in (np.cos, np.sin))
    elif isinstance(front, CartesianLayer) and isinstance(back, CartesianLayer):
        edges = [(layer.phi_edges, layer.eta_edges) for layer in (front, back)]
        x, y = (both.ravel() for both in np.meshgrid(*(_middles(*pair) for pair in zip(*edges, strict=True))))
    else:
        x, y = np.concatenate([np.stack(pieces(layer)[1:]) for layer in (front, back)], axis=1)
    pairs = np.stack([voxel_index(front, x, y), voxel_index(back, x, y)], axis=1)
    return np.unique(pairs[(pairs >= 0).all(axis=1)], axis=0)


def _middles(*edges: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """Middles of the intervals between all edges of several binnings."""
    every = np.unique(np.round(np.concatenate([np.asarray(each, dtype=float) for each in edges]), 9))
    return np.asarray((every[1:] + every[:-1]) / 2)


def pieces(layer: AnyLayer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every voxel of a layer in pieces of equal area.

    Returns:
        (n,) voxel of each piece, and x and y (n,) of its centre in mm; every voxel has the same number of pieces.
    """
    around = max(PIECES, -(-AROUND // layer.shape[0])) if layer.kind == "polar" else PIECES
    u = np.stack(np.meshgrid((np.arange(PIECES) + 0.5) / PIECES, (np.arange(around) + 0.5) / around), axis=-1)
    of_voxel = u.reshape(-1, 2)
    voxel = np.repeat(np.arange(layer.n_voxels), len(of_voxel))
    return voxel, *points_in(layer, voxel, np.tile(of_voxel, (layer.n_voxels, 1)))
