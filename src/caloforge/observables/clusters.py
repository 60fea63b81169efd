"""How the hits of a layer lie together: pairs of neighbouring hits, isolated hits, clusters.

Two voxels are neighbours where they share an edge in the layer's image: in a polar layer those of one ring next to each
other in alpha, around the circle, and those of one alpha bin in neighbouring rings; in a Cartesian one those next to
each other in a row or a column. A hit is a voxel with energy, an isolated one has no hit among its neighbours, and a
cluster is a set of hits connected through neighbours.

Numbers of hits and radial widths do not fix these: with the voxels of each ring in another order, both stay the same.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from caloforge.geometry import AnyLayer
from caloforge.observables.base import observable
from caloforge.observables.deposits import FEW_LAYERS
from caloforge.observables.view import View


def with_neighbours(layer: AnyLayer) -> bool:
    """Whether voxels of the layer have neighbours in both directions of its image."""
    return min(layer.shape) > 1


_of_neighbours = partial(
    observable, per="layer", group="neighbours", log=False, where=with_neighbours, most_layers=FEW_LAYERS
)


def _image(view: View, position: int) -> np.ndarray:
    """(N, n_alpha, n_r), or (N, rows, columns): which voxels are hit."""
    return view.part(position).reshape(-1, *view.geometry.layers[position].shape) > 0


def _pairs(view: View, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether a voxel is hit together with the next in alpha (or the next row), and with the next in r (or column).

    Both have the shape of `_image`, without the last column in the second; around the circle, the next after the last
    is the first, unless there are only two.
    """
    hit, layer = _image(view, position), view.geometry.layers[position]
    around = layer.kind == "polar" and layer.shape[0] > 2
    first = hit & np.roll(hit, -1, axis=1)
    if not around:
        first[:, -1] = False
    return first, hit[:, :, :-1] & hit[:, :, 1:]


@_of_neighbours("pairs_around", label="neighbouring hits around the axis")
def pairs_around(view: View, position: int) -> np.ndarray:
    """(N,) pairs of hits next to each other in alpha (Cartesian: in a column)."""
    return np.asarray(_pairs(view, position)[0].sum(axis=(1, 2)))


@_of_neighbours("pairs_outwards", label="neighbouring hits in r")
def pairs_outwards(view: View, position: int) -> np.ndarray:
    """(N,) pairs of hits next to each other in r (Cartesian: in a row)."""
    return np.asarray(_pairs(view, position)[1].sum(axis=(1, 2)))


@_of_neighbours("isolated", label="isolated hits")
def isolated(view: View, position: int) -> np.ndarray:
    """(N,) hits without a hit next to them."""
    first, second = _pairs(view, position)
    near = first | np.roll(first, 1, axis=1)
    near[:, :, :-1] |= second
    near[:, :, 1:] |= second
    return np.asarray((_image(view, position) & ~near).sum(axis=(1, 2)))


@_of_neighbours("clusters", label="clusters of hits")
def clusters(view: View, position: int) -> np.ndarray:
    """(N,) clusters of hits."""
    hit, (first, second) = _image(view, position), _pairs(view, position)
    number = np.full(hit.shape, -1)
    number[hit] = np.arange(np.count_nonzero(hit))
    ends = [(number[first], np.roll(number, -1, axis=1)[first]), (number[:, :, :-1][second], number[:, :, 1:][second])]
    one, other = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    n = np.count_nonzero(hit)
    found, label = connected_components(coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(n, n)), False)
    shower = np.empty(found, dtype=np.int64)
    shower[label] = np.nonzero(hit)[0]
    return np.bincount(shower, minlength=len(hit))
