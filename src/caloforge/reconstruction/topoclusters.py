"""Topological clusters of voxels by three thresholds on |E|/σ, as in ATLAS (arXiv:1603.02934), for many showers.

With t_seed ≥ t_growth ≥ t_boundary (4, 2, 0):

    proto-cluster    voxels with |E| > t_growth σ that are connected through neighbours (`geometry.adjacency.in_space`)
    cluster          a proto-cluster with at least one voxel of |E| > t_seed σ, and the voxels next to it with
                     |E| > t_boundary σ; one next to two clusters belongs to the neighbour with the largest |E|/σ

Clusters whose energies sum to zero or less are dropped. Unlike ATLAS's, clusters are not split at local maxima.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from caloforge.geometry.adjacency import Adjacency


@dataclass(frozen=True)
class TopoClusters:
    """K clusters of n showers of V voxels.

    Args:
        of_voxel: (n, V) cluster of each voxel, 0 … K − 1, −1 outside.
        shower: (K,) shower of each cluster.
        energy: (K,) sum of its voxels in MeV, above zero.
    """

    of_voxel: np.ndarray
    shower: np.ndarray
    energy: np.ndarray

    def count(self) -> np.ndarray:
        """(n,) clusters of each shower."""
        return np.bincount(self.shower, minlength=len(self.of_voxel))

    def summed(self) -> np.ndarray:
        """(n,) energy of all clusters of each shower in MeV."""
        return np.bincount(self.shower, weights=self.energy, minlength=len(self.of_voxel))

    def largest(self) -> np.ndarray:
        """(n,) energy of the cluster with the most energy in MeV, 0 without clusters."""
        found = np.zeros(len(self.of_voxel))
        np.maximum.at(found, self.shower, self.energy)
        return found


def significance(voxels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(n, V) |E|/σ; without noise (σ = 0) infinite where there is energy, else 0.

    Args:
        voxels: (n, V) in MeV.
        noise: (V,) σ in MeV.
    """
    size = np.abs(voxels)
    if (noise > 0).all():
        return np.asarray(size / noise.astype(voxels.dtype))
    found = np.divide(size, noise.astype(voxels.dtype), out=np.zeros_like(size), where=noise > 0)
    return np.asarray(np.where((noise == 0) & (size > 0), np.inf, found))


def topoclusters(
    voxels: np.ndarray, noise: np.ndarray, adjacency: Adjacency, seed: float, growth: float, boundary: float
) -> TopoClusters:
    """Clusters of each shower.

    Args:
        voxels: (n, V) energies in MeV, noise included.
        noise: (V,) σ in MeV.
        adjacency: neighbours of the V voxels.
        seed, growth, boundary: thresholds on |E|/σ, from high to low.
    """
    n, v = voxels.shape
    energy, strength = voxels.ravel(), significance(voxels, noise).ravel()
    cells = np.flatnonzero(strength > growth)
    cells = cells[np.argsort(strength[cells], kind="stable")].astype(np.int32)
    owner, neighbour = adjacency.around(cells % v)
    neighbour += (cells - cells % v)[owner]
    number = np.full(n * v, -1, dtype=np.int32)
    number[cells] = np.arange(len(cells), dtype=np.int32)
    linked = number[neighbour] >= 0
    ends = owner[linked], number[neighbour[linked]]
    once = ends[0] < ends[1]
    ends = ends[0][once], ends[1][once]
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(cells), len(cells)))
    k, proto = connected_components(graph, directed=False)
    seeded = np.bincount(proto, weights=strength[cells] > seed, minlength=k) > 0

    of_voxel = np.full(n * v, -1, dtype=np.int32)
    inside = seeded[proto]
    of_voxel[cells[inside]] = proto[inside]
    edge = inside[owner] & ~linked & (strength[neighbour] > boundary)
    # Of repeated targets the last assignment counts: that of the most significant neighbour, as `cells` are sorted.
    of_voxel[neighbour[edge]] = proto[owner[edge]]

    taken = np.flatnonzero(of_voxel >= 0)
    total = np.bincount(of_voxel[taken], weights=energy[taken], minlength=k)
    kept = seeded & (total > 0)
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
    of_voxel[taken] = renumbered[of_voxel[taken]]
    shower = np.zeros(k, dtype=np.int64)
    shower[proto] = cells // v
    return TopoClusters(of_voxel.reshape(n, v), shower[kept], total[kept])


def local_maxima(voxels: np.ndarray, chosen: np.ndarray, adjacency: Adjacency) -> np.ndarray:
    """(n, V) which of the `chosen` voxels (n, V) have more energy than each of their neighbours.

    Args:
        voxels: (n, V) in MeV.
        chosen: candidates.
        adjacency: neighbours of the V voxels.
    """
    v = voxels.shape[1]
    cells = np.flatnonzero(chosen).astype(np.int32)
    energy = voxels.ravel()
    owner, neighbour = adjacency.around(cells % v)
    exceeded = energy[(cells - cells % v)[owner] + neighbour] >= energy[cells][owner]
    highest = np.bincount(owner, weights=exceeded, minlength=len(cells)) == 0
    found = np.zeros(voxels.size, dtype=bool)
    found[cells[highest]] = True
    return found.reshape(voxels.shape)
