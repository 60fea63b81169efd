"""Where showers are read from: files, or showers in memory with the same methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from numbers import Integral

import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, ShowerFiles, Showers, matching_files
from caloforge.showers.checks import warn_of_weights
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

    def weights(self) -> None:
        """None: `Showers` have no weights."""

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
            "arrays: Showers(energies, voxels, geometry)"
        )
    files = matching_files(given)
    return ShowerFile(files[0], geometry) if len(files) == 1 else ShowerFiles(files, geometry)


def read(
    source: AnySource, geometry: GivenGeometry | None = None, *, start: int = 0, stop: int | None = None
) -> Showers:
    """Read showers into memory.

    >>> import tempfile
    >>> from caloforge import sample
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "test"):
    ...         sample(part, stop=3).write(f"{folder}/{part}.h5")
    ...     showers = read(f"{folder}/*.h5")
    >>> showers[showers.energies > 500]
    Showers(4 showers, 512 MeV … 1.024 GeV, 368 voxels in 5 layers of 'ds1-photons')

    Args:
        source: a shower file, a folder or a glob pattern (such as the shards of a production), or a list of these.
        geometry: what the voxels are, where the file does not say so (see `ShowerFile`).
        start, stop: first shower to read, and the one to stop before; by default all.

    Raises:
        CaloforgeError: there is no such file or shower, files are no parts of one sample, they do not fit into memory,
            or one is bad (see `ShowerFile`).

    Warns:
        CaloforgeWarning: a file has weights, which are left out.
    """
    for what, value in (("start", start), ("stop", stop)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < 0):
            raise CaloforgeError(f"{what} must be the number of a shower, from 0, not {value!r}")
    with open_source(source, geometry) as opened:
        end = len(opened) if stop is None else min(stop, len(opened))
        if start >= end:
            raise CaloforgeError(f"there are no showers {start} … {end - 1} in {opened.path}: it has {len(opened):,}")
        warn_of_weights(opened.path, opened.weights())
        try:
            return opened.read(start, end)
        except MemoryError:
            size = (end - start) * opened.geometry.n_voxels * 4 / 1e9
            raise CaloforgeError(
                f"{end - start:,} showers of {opened.path} need {size:.1f} GB of memory: read some with stop=…, read "
                "by chunks with ShowerFile, or give train and evaluate the name of the file"
            ) from None


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
