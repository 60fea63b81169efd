"""`Summary`: what one pass over a shower file leaves in memory.

A file is read chunk by chunk. Of each shower its observables are kept, a histogram of its voxels, its energy by radius
and by direction, and a fingerprint of its bytes; of each voxel its mean energy and occupancy. Single showers are kept
where asked for: a sample for nearest neighbours, and a few for pictures. So memory grows with the number of showers
times the number of observables, not with the number of voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from caloforge.conditions import Columns
from caloforge.geometry import Geometry
from caloforge.observables import BoundObservable, View, above_threshold, select
from caloforge.observables.binning import SingleBins
from caloforge.showers import Showers
from caloforge.showers.inputs import ChunkProgress, Source, chunks_of

RADII = 64
"""Up to so many distinct voxel radii are kept apart in radial profiles; more are put into 40 equal bins."""


@dataclass(frozen=True)
class VoxelMeans:
    """Means over a full sample; V voxels.

    Args:
        energy: (V,) mean energy in MeV.
        occupancy: (V,) fraction of showers in which the voxel is above the threshold.
    """

    energy: np.ndarray
    occupancy: np.ndarray


@dataclass(frozen=True)
class Kept:
    """Single showers, raw: `showers`, and their rows in the sample (n,), rising."""

    showers: Showers
    rows: np.ndarray

    def take(self, rows: np.ndarray) -> Kept:
        """Those among `rows` (rising), with their positions there."""
        inside = np.isin(self.rows, rows)
        return Kept(self.showers[np.flatnonzero(inside)], np.searchsorted(rows, self.rows[inside]))


@dataclass(frozen=True)
class Summary:
    """A sample of N showers in short.

    Args:
        geometry: the voxels' description.
        path: the file, or "memory".
        attributes: of the file.
        energies: (N,) incident energies in MeV.
        observables: name → (N,) float64, voxels below the threshold counting as zero (as everywhere below).
        voxel_edges: (B + 1,) edges of the voxel-energy histogram in MeV; two zeros where there is none.
        voxel_rows: (N, B + 2) each shower's voxels above the threshold: below, in the bins, above.
        radii: (P,) radii in mm, rising; `radial` (N, P): each shower's energy at them in MeV.
        azimuthal: (N, A) each shower's energy in the sectors of alpha, in MeV; A is 0 without sectors.
        fingerprints: (N,) uint64 hash of each shower's voxels, 0 for a shower without any energy.
        sample: showers kept for nearest neighbours.
        examples: a few showers for pictures.
        means: of the voxels; None in a part of a sample.
        conditions: further ones that are compared by.
    """

    geometry: Geometry
    path: str
    attributes: Mapping[str, Any]
    energies: np.ndarray
    observables: Mapping[str, np.ndarray]
    voxel_edges: np.ndarray
    voxel_rows: np.ndarray
    radii: np.ndarray
    radial: np.ndarray
    azimuthal: np.ndarray
    fingerprints: np.ndarray
    sample: Kept
    examples: Kept
    means: VoxelMeans | None
    conditions: Columns = field(default_factory=lambda: Columns.none(0))

    @property
    def n(self) -> int:
        """Number of showers."""
        return len(self.energies)

    @property
    def voxels(self) -> VoxelMeans:
        """Means of the voxels.

        Raises:
            ValueError: this is a part of a sample, for which they are not kept.
        """
        if self.means is None:
            raise ValueError("voxel means are kept for full samples only")
        return self.means

    @property
    def voxel_counts(self) -> np.ndarray:
        """(B + 2,) voxels above the threshold: below the histogram, in its bins, above it."""
        return np.asarray(self.voxel_rows.sum(axis=0, dtype=np.int64))

    @property
    def without_energy(self) -> int:
        """Number of showers without any energy."""
        return int(np.count_nonzero(self.fingerprints == 0))

    @property
    def below_threshold(self) -> int:
        """Number of showers without energy above the readout threshold."""
        return int(np.count_nonzero(self.observables["e_tot_over_e_inc"] == 0))

    def take(self, rows: np.ndarray) -> Summary:
        """The summary of some of the showers: `rows` (n,), rising. It has no means of voxels."""
        return replace(
            self,
            energies=self.energies[rows],
            observables={name: values[rows] for name, values in self.observables.items()},
            voxel_rows=self.voxel_rows[rows],
            radial=self.radial[rows],
            azimuthal=self.azimuthal[rows],
            fingerprints=self.fingerprints[rows],
            sample=self.sample.take(rows),
            examples=self.examples.take(rows),
            means=None,
            conditions=self.conditions.take(rows) if self.conditions else Columns.none(len(rows)),
        )


def fingerprint(voxels: np.ndarray) -> np.ndarray:
    """(N,) uint64 hash of each row's float32 values; 0 for a row of zeros.

    Multilinear: Σ_j a_j m(bits_j) mod 2^64 with fixed random odd a_j, m a mixing that carries differences of the high
    bits (exponents) down to the low ones. Two different showers agree with a probability near 2^-64.
    """
    bits = np.ascontiguousarray(voxels, dtype=np.float32).view(np.uint32)
    factors = np.random.default_rng(0).integers(0, 2**63, bits.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = bits * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    return np.asarray(np.einsum("ij,j->i", mixed, factors))


def radial_bins(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """(P,) radii in mm and (V,) to which of them each voxel belongs."""
    radii, index = np.unique(np.round(geometry.r, 6), return_inverse=True)
    if len(radii) <= RADII:
        return radii, index
    edges = np.linspace(0, radii[-1] * (1 + 1e-9), 41)
    return (edges[:-1] + edges[1:]) / 2, np.digitize(geometry.r, edges) - 1


def onto_sectors(geometry: Geometry) -> np.ndarray:
    """(V, A) 1 where a voxel lies in a sector; layers without alpha bins lie in none. A is 0 without sectors."""
    sectors = geometry.n_sectors if geometry.n_sectors > 1 else 0
    matrix = np.zeros((geometry.n_voxels, sectors), dtype=np.float32)
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        n_alpha, n_r = layer.shape
        if sectors and n_alpha > 1:
            sector = np.repeat(np.arange(n_alpha) * sectors // n_alpha, n_r)
            matrix[np.arange(part.start, part.stop), sector] = 1
    return matrix


REQUIRED = ("e_tot_over_e_inc",)
"""Observables that a `Summary` itself needs."""


def summarise(
    source: Source,
    rows: np.ndarray | None = None,
    *,
    observables: Sequence[BoundObservable] = (),
    geometry: Geometry | None = None,
    voxel_edges: np.ndarray | None = None,
    sample_rows: np.ndarray | None = None,
    example_rows: np.ndarray | None = None,
    threshold: float | None = None,
    progress: ChunkProgress | None = None,
) -> Summary:
    """Read a source once and keep its `Summary`.

    Args:
        source: showers in a file or in memory (`open_source`).
        rows: which showers, rising; None takes all.
        observables: what to compute, on top of E_dep/E_inc.
        geometry: what to take the voxels for instead of the source's own description.
        voxel_edges: edges of the voxel-energy histogram in MeV, None for no histogram.
        sample_rows, example_rows: positions among `rows` of the single showers to keep.
        threshold: readout threshold in MeV; None takes the geometry's.
        progress: told the number of showers after each chunk.

    Raises:
        CaloforgeError: what reading the source raises.
    """
    geometry = geometry or source.geometry
    cut = geometry.threshold if threshold is None else threshold
    n = len(source) if rows is None else len(rows)
    wanted = {each.name: each for each in (*select(geometry, REQUIRED), *observables) if each.observable.per != "voxel"}
    edges = np.zeros(2) if voxel_edges is None else voxel_edges
    bins = SingleBins(edges)
    radii, radius_of = radial_bins(geometry)
    onto_radii = np.zeros((geometry.n_voxels, len(radii)), dtype=np.float32)
    onto_radii[np.arange(geometry.n_voxels), radius_of] = 1
    sectors = onto_sectors(geometry)
    azimuthal = np.empty((n, sectors.shape[1]), dtype=np.float32)
    values = {name: np.empty(n) for name in wanted}
    wide = np.uint16 if geometry.n_voxels < 2**16 else np.uint32
    voxel_rows = np.zeros((n, len(edges) + 1), dtype=wide)
    radial = np.empty((n, len(radii)), dtype=np.float32)
    energies, prints = np.empty(n), np.empty(n, dtype=np.uint64)
    total, hits = np.zeros((2, geometry.n_voxels))
    kept = [_Keeper(sample_rows, geometry), _Keeper(example_rows, geometry)]
    for start, chunk in chunks_of(source, rows, progress):
        part = slice(start, start + len(chunk))
        chunk = Showers(chunk.energies, chunk.voxels, geometry, {})
        voxels = above_threshold(chunk.voxels, cut)
        energies[part], prints[part] = chunk.energies, fingerprint(chunk.voxels)
        view = View(Showers(chunk.energies, voxels, geometry, {}), threshold=0.0)
        for name, each in wanted.items():
            values[name][part] = each.values(view)
        total += voxels.sum(axis=0, dtype=np.float64)
        hits += np.count_nonzero(voxels, axis=0)
        radial[part] = voxels @ onto_radii
        azimuthal[part] = voxels @ sectors
        if voxel_edges is not None:
            voxel_rows[part] = _count_rows(voxels, bins, len(edges) + 1)
        for keeper in kept:
            keeper.take(start, chunk)
    return Summary(
        geometry=geometry,
        path=str(source.path),
        attributes=source.attributes,
        energies=energies,
        observables=values,
        voxel_edges=edges,
        voxel_rows=voxel_rows,
        radii=radii,
        radial=radial,
        azimuthal=azimuthal,
        fingerprints=prints,
        sample=kept[0].kept(),
        examples=kept[1].kept(),
        means=VoxelMeans(total / n, hits / n),
    )


def _count_rows(voxels: np.ndarray, bins: SingleBins, width: int) -> np.ndarray:
    """(n, B + 2 = `width`) histogram of each row's values above zero."""
    values = voxels.ravel()
    hits = np.flatnonzero(values > 0)
    flat = hits // voxels.shape[1] * width + bins.numbers(values[hits])
    return np.bincount(flat, minlength=len(voxels) * width).reshape(-1, width)


class _Keeper:
    """Collects the showers at given positions while chunks go by."""

    def __init__(self, rows: np.ndarray | None, geometry: Geometry) -> None:
        self.rows = np.sort(rows) if rows is not None else np.zeros(0, dtype=int)
        self._geometry = geometry
        self._energies = np.empty(len(self.rows))
        self._voxels = np.empty((len(self.rows), geometry.n_voxels), dtype=np.float32)

    def take(self, start: int, chunk: Showers) -> None:
        low, high = np.searchsorted(self.rows, [start, start + len(chunk)])
        wanted = self.rows[low:high] - start
        self._energies[low:high], self._voxels[low:high] = chunk.energies[wanted], chunk.voxels[wanted]

    def kept(self) -> Kept:
        return Kept(Showers(self._energies, self._voxels, self._geometry), self.rows)
