"""`Summary`: what one pass over a shower file leaves in memory.

A file is read chunk by chunk; of each shower its observables stay, a histogram of its voxels, its energy by
radius and a fingerprint of its bytes, of the voxels their mean, root mean square and occupancy. Single showers
are kept where asked for: a sample for nearest neighbours, and a few for pictures. So memory grows with the number
of showers times the number of observables, not with the number of voxels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.binning import SingleBins
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, Showers

CHUNK_VALUES = 4_000_000
"""Voxel values read at once."""

RADII = 64
"""Up to so many distinct voxel radii are kept apart in radial profiles; more are put into 40 equal bins."""

Progress = Callable[[int], None]


class InMemory(AbstractContextManager["InMemory"]):
    """Showers in memory with the reading methods of a `ShowerFile`."""

    def __init__(self, showers: Showers) -> None:
        self._showers = showers
        self.path = str(showers.attributes.get("path", "memory"))
        self.geometry = showers.geometry
        self.attributes = dict(showers.attributes)

    def __len__(self) -> int:
        return len(self._showers)

    def __exit__(self, *exception: object) -> None:
        return None

    def energies(self) -> np.ndarray:
        """(N,) incident energies in MeV."""
        return np.asarray(self._showers.energies, dtype=np.float64)

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Rows `start` … `stop`."""
        return self._showers[start:stop]

    def chunks(self, size: int) -> Iterator[Showers]:
        """All showers, `size` at a time."""
        for start in range(0, len(self), size):
            yield self._showers[start : start + size]


Source = ShowerFile | InMemory


def open_source(source: str | os.PathLike[str] | Showers, geometry: Geometry | str | None = None) -> Source:
    """A file or showers in memory, to be read by chunks (see `ShowerFile` for the errors)."""
    return InMemory(source) if isinstance(source, Showers) else ShowerFile(source, geometry)


@dataclass(frozen=True)
class Summary:
    """A shower file in short; V voxels, N showers.

    Args:
        geometry: the voxels' description.
        n: N.
        path: the file, or "memory".
        attributes: of the file.
        energies: (N,) incident energies in MeV.
        observables: name → (N,) float64, voxels below the threshold counting as zero (as everywhere below).
        voxel_mean, voxel_rms: (V,) mean and root mean square of each voxel's energy in MeV.
        voxel_occupancy: (V,) share of showers in which the voxel is above the threshold.
        voxel_edges: (B + 1,) edges of the voxel-energy histogram in MeV; two zeros where there is none.
        voxel_rows: (N, B + 2) each shower's voxels above the threshold: below, in the bins, above.
        radii: (P,) radii in mm, rising; `radial` (N, P): each shower's energy at them in MeV.
        azimuthal: (N, A) each shower's energy in the sectors of alpha, in MeV; A is 0 without sectors.
        fingerprints: (N,) uint64 hash of each shower's voxels, 0 for a shower without any energy.
        sample: showers kept for nearest neighbours, raw; `sample_rows` their rows.
        examples: a few showers for pictures, raw.
    """

    geometry: Geometry
    n: int
    path: str
    attributes: dict[str, Any]
    energies: np.ndarray
    observables: dict[str, np.ndarray]
    voxel_mean: np.ndarray
    voxel_rms: np.ndarray
    voxel_occupancy: np.ndarray
    voxel_edges: np.ndarray
    voxel_rows: np.ndarray
    radii: np.ndarray
    radial: np.ndarray
    azimuthal: np.ndarray
    fingerprints: np.ndarray
    sample: Showers
    sample_rows: np.ndarray
    examples: Showers

    @property
    def voxel_counts(self) -> np.ndarray:
        """(B,) voxels of the whole sample in each bin of energy."""
        return self.voxel_rows[:, 1:-1].sum(axis=0, dtype=np.int64)

    @property
    def voxel_under(self) -> int:
        """Voxels above zero, but below the histogram."""
        return int(self.voxel_rows[:, 0].sum(dtype=np.int64))

    @property
    def voxel_over(self) -> int:
        """Voxels above the histogram."""
        return int(self.voxel_rows[:, -1].sum(dtype=np.int64))

    @property
    def empty(self) -> int:
        """Number of showers without any energy."""
        return int(np.count_nonzero(self.fingerprints == 0))

    @property
    def dark(self) -> int:
        """Number of showers without energy above the readout threshold."""
        return int(np.count_nonzero(self.observables["e_tot_over_e_inc"] == 0))


def largest_voxel(source: Source, rows: np.ndarray | None = None, progress: Progress | None = None) -> float:
    """Largest voxel energy in MeV of a source, or of its rows (rising)."""
    largest = 0.0
    for _, chunk in _chunks(source, rows, progress):
        largest = max(largest, float(chunk.voxels.max(initial=0.0)))
    return largest


def _chunks(source: Source, rows: np.ndarray | None, progress: Progress | None) -> Iterator[tuple[int, Showers]]:
    """(position of the first shower among the wanted ones, showers) for each chunk that holds wanted rows."""
    size = max(1, CHUNK_VALUES // source.geometry.n_voxels)
    start, done = 0, 0
    for chunk in source.chunks(size):
        stop = start + len(chunk)
        if rows is not None:
            low, high = np.searchsorted(rows, [start, stop])
            chunk = chunk[rows[low:high] - start] if high - low < len(chunk) else chunk
        if len(chunk):
            yield done, chunk
            done += len(chunk)
        if progress is not None:
            progress(stop - start)
        start = stop


def fingerprint(voxels: np.ndarray) -> np.ndarray:
    """(N,) uint64 hash of each row's float32 values; 0 for a row of zeros.

    Multilinear: Σ_j a_j m(bits_j) mod 2^64 with fixed random odd a_j, m a mixing that carries differences of the high
    bits (exponents) down to the low ones. Two different showers agree with a probability near 2^-64.
    """
    bits = np.ascontiguousarray(voxels, dtype=np.float32).view(np.uint32)
    factors = np.random.default_rng(0).integers(0, 2**63, bits.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = bits * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    return np.einsum("ij,j->i", mixed, factors)


def fingerprints_of(source: Source, progress: Progress | None = None) -> np.ndarray:
    """(N,) fingerprints of all showers of a source."""
    return np.concatenate([fingerprint(chunk.voxels) for _, chunk in _chunks(source, None, progress)])


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


def summarise(
    source: Source,
    rows: np.ndarray | None = None,
    *,
    geometry: Geometry | None = None,
    voxel_edges: np.ndarray | None = None,
    sample_rows: np.ndarray | None = None,
    example_rows: np.ndarray | None = None,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Read a source once and keep its `Summary`.

    Args:
        source: showers in a file or in memory (`open_source`).
        rows: which showers, rising; None takes all.
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
    names = [o.name for o in observables.default(geometry) if o.name != "voxel_energy"]
    edges = np.zeros(2) if voxel_edges is None else voxel_edges
    bins = SingleBins(edges)
    radii, radius_of = radial_bins(geometry)
    onto_radii = np.zeros((geometry.n_voxels, len(radii)), dtype=np.float32)
    onto_radii[np.arange(geometry.n_voxels), radius_of] = 1
    sectors = onto_sectors(geometry)
    azimuthal = np.empty((n, sectors.shape[1]), dtype=np.float32)
    values = {name: np.empty(n) for name in names}
    wide = np.uint16 if geometry.n_voxels < 2**16 else np.uint32
    voxel_rows = np.zeros((n, len(edges) + 1), dtype=wide)
    radial = np.empty((n, len(radii)), dtype=np.float32)
    energies, prints = np.empty(n), np.empty(n, dtype=np.uint64)
    total, square, hits = np.zeros((3, geometry.n_voxels))
    kept = [_Keeper(sample_rows, geometry), _Keeper(example_rows, geometry)]
    for start, chunk in _chunks(source, rows, progress):
        part = slice(start, start + len(chunk))
        chunk = Showers(chunk.energies, chunk.voxels, geometry, {})
        voxels = observables.above_threshold(chunk.voxels, cut)
        energies[part], prints[part] = chunk.energies, fingerprint(chunk.voxels)
        clean = Showers(chunk.energies, voxels, geometry, {})
        for name, found in observables.compute(clean, names, threshold=0.0).items():
            values[name][part] = found
        total += voxels.sum(axis=0, dtype=np.float64)
        square += np.einsum("ij,ij->j", voxels, voxels, dtype=np.float64)
        hits += np.count_nonzero(voxels, axis=0)
        radial[part] = voxels @ onto_radii
        azimuthal[part] = voxels @ sectors
        if voxel_edges is not None:
            voxel_rows[part] = _count_rows(voxels, bins, len(edges) + 1)
        for keeper in kept:
            keeper.take(start, chunk)
    return Summary(
        geometry=geometry,
        n=n,
        path=str(source.path),
        attributes=source.attributes,
        energies=energies,
        observables=values,
        voxel_mean=total / n,
        voxel_rms=np.sqrt(square / n),
        voxel_occupancy=hits / n,
        voxel_edges=edges,
        voxel_rows=voxel_rows,
        radii=radii,
        radial=radial,
        azimuthal=azimuthal,
        fingerprints=prints,
        sample=kept[0].showers(),
        sample_rows=kept[0].rows,
        examples=kept[1].showers(),
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

    def showers(self) -> Showers:
        return Showers(self._energies, self._voxels, self._geometry)
