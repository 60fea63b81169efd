"""Where showers are read from: files, or showers in memory with the same methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, ShowerFiles, Showers, matching_files
from caloforge.showers.geometries import GivenGeometry, agreed_geometry

CHUNK_VALUES = 4_000_000
"""Voxel values read at once."""

AnyPath = str | os.PathLike[str]

AnySource = AnyPath | Sequence[AnyPath] | Showers
"""Showers in memory, a file, or several files of one sample: a folder, a glob pattern, or a list of these."""

ChunkProgress = Callable[[int], None]
"""Told the number of showers of each chunk that was read."""


class InMemory(AbstractContextManager["InMemory"]):
    """Showers in memory with the reading methods of a `ShowerFile`; `geometry` as there."""

    def __init__(self, showers: Showers, path: str | None = None, geometry: GivenGeometry | None = None) -> None:
        self.own_geometry: Geometry | None = showers.geometry
        chosen = agreed_geometry(self.own_geometry, geometry, "the sample in memory") or showers.geometry
        self._showers = Showers.unchecked(
            showers.energies, showers.voxels, chosen, showers.attributes, showers.conditions
        )
        self.path = str(showers.attributes.get("path", "memory")) if path is None else path
        self.geometry = chosen
        self.attributes = dict(showers.attributes)

    def __len__(self) -> int:
        return len(self._showers)

    def __exit__(self, *exception: object) -> None:
        return None

    def energies(self) -> np.ndarray:
        """(N,) incident energies in MeV."""
        return np.asarray(self._showers.energies, dtype=np.float64)

    def conditions(self) -> Columns:
        """All conditions beyond the energy."""
        return self._showers.conditions

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Rows `start` … `stop`."""
        return self._showers[start:stop]

    def chunks(self, size: int | None = None, values: int = CHUNK_VALUES) -> Iterator[Showers]:
        """All showers, `size` at a time; by default as many as have so many voxel values together."""
        size = max(1, values // self.geometry.n_voxels) if size is None else size
        for start in range(0, len(self), size):
            yield self._showers[start : start + size]


Source = ShowerFile | ShowerFiles | InMemory


def open_source(source: AnySource, geometry: GivenGeometry | None = None) -> Source:
    """Files or showers in memory, to be read by chunks (see `ShowerFiles` for the errors)."""
    if isinstance(source, Showers):
        return InMemory(source, geometry=geometry)
    given = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(given, list | tuple) or not all(isinstance(path, str | os.PathLike) for path in given):
        raise CaloforgeError(
            f"showers must be `Showers`, a shower file or a list of files, not of type {type(source).__name__}; from "
            "arrays: Showers(incident_energies, voxels, geometry)"
        )
    files = matching_files(given)
    return ShowerFile(files[0], geometry) if len(files) == 1 else ShowerFiles(files, geometry)


def chunks_of(
    source: Source, rows: np.ndarray | None = None, progress: ChunkProgress | None = None
) -> Iterator[tuple[int, Showers]]:
    """(position of the first shower among the wanted ones, showers) for each chunk that holds wanted rows.

    Args:
        source: where to read.
        rows: wanted rows, rising; None for all.
        progress: see `ChunkProgress`.
    """
    start, done = 0, 0
    for chunk in source.chunks(values=CHUNK_VALUES):
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


def largest_voxel(source: Source, rows: np.ndarray | None = None, progress: ChunkProgress | None = None) -> float:
    """Largest voxel energy in MeV of a source, or of its rows (rising)."""
    largest = 0.0
    for _, chunk in chunks_of(source, rows, progress):
        largest = max(largest, float(chunk.voxels.max(initial=0.0)))
    return largest
