"""`Showers` in memory, and `ShowerFile`, which reads them from HDF5 by checked chunks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from caloforge.conditions import Columns, Condition
from caloforge.errors import CaloforgeError
from caloforge.files import as_path
from caloforge.geometry import Geometry, load_geometry
from caloforge.showers.attributes import read_attributes
from caloforge.showers.checks import as_numbers, check_energies, check_voxels, check_weights
from caloforge.showers.geometries import GivenGeometry, file_geometry
from caloforge.showers.hdf5 import dataset, has, open_hdf5, reading
from caloforge.showers.incident_columns import IncidentColumns
from caloforge.showers.layouts import layout_of
from caloforge.showers.selecting import Rows, selected_rows
from caloforge.showers.writing import ShowerWriter
from caloforge.units import count, format_energy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

CHUNK_VALUES = 16_000_000
"""Voxel values per chunk unless the caller wants another number (64 MB as float32)."""

WEIGHTS = "weights"
"""Dataset of one weight per shower (`caloforge.energies.weighted`)."""


@dataclass(frozen=True, eq=False, repr=False)
class Showers:
    """N showers in one geometry.

    Lists, tensors and arrays of other types are converted. `showers[k]`, a slice, an index array or a mask give
    `Showers` again, and iterating gives one shower at a time. Two are equal if their energies, conditions, voxels and
    geometries are; attributes are not compared.

    >>> from caloforge import Geometry, Layer, Showers
    >>> geometry = Geometry("toy", (Layer(0, (0, 10, 20), n_alpha=1), Layer(1, (0, 40), n_alpha=2)))
    >>> showers = Showers([100, 200], [[20, 10, 30, 0], [50, 30, 40, 60]], geometry)
    >>> showers
    Showers(2 showers, 100 MeV … 200 MeV, 4 voxels in 2 layers of 'toy')
    >>> showers.layer_energies
    array([[ 30.,  30.],
           [ 80., 100.]])

    Args:
        energies: (N,) incident energies in MeV, above zero; float64.
        voxels: (N, V) deposited energies in MeV, not negative; float32.
        geometry: of V voxels; a `Geometry`, or a name or file for `load_geometry`.
        attributes: provenance and other remarks, as in an HDF5 file's attributes.
        conditions: what showers depend on besides the energy: name → (N,) values, as in {"theta": angles}; angles in
            rad, lengths in mm (`caloforge.conditions`).

    Raises:
        CaloforgeError: shapes do not fit each other or the geometry, a value is NaN, infinite or out of range, or
            there is no such geometry.
    """

    energies: np.ndarray
    voxels: np.ndarray
    geometry: Geometry
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conditions: Columns = field(default_factory=lambda: Columns.none(0))

    def __init__(
        self,
        energies: ArrayLike,
        voxels: ArrayLike,
        geometry: Geometry | str | os.PathLike[str],
        attributes: Mapping[str, Any] | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        geometry = geometry if isinstance(geometry, Geometry) else load_geometry(geometry)
        incident = as_numbers(energies, np.float64, "incident energies")
        cells = as_numbers(voxels, np.float32, "voxels")
        if incident.ndim == 2 and incident.shape[1] == 1:
            incident = incident[:, 0]
        if incident.ndim != 1 or cells.ndim != 2 or len(incident) != len(cells):
            raise CaloforgeError(
                f"Showers(energies, voxels, geometry) takes the shapes (N,) and (N, V), "
                f"not {incident.shape} and {cells.shape}"
            )
        if cells.shape[1] != geometry.n_voxels:
            raise CaloforgeError(
                f"geometry '{geometry.name}' has {geometry.n_voxels} voxels, the showers have {cells.shape[1]}"
            )
        check_energies(incident)
        check_voxels(cells)
        self._set(incident, cells, geometry, attributes or {}, Columns.of(conditions, len(incident)))

    def _set(
        self,
        energies: np.ndarray,
        voxels: np.ndarray,
        geometry: Geometry,
        attributes: Mapping[str, Any],
        conditions: Columns,
    ) -> None:
        for name, value in zip(
            ("energies", "voxels", "geometry", "attributes", "conditions"),
            (energies, voxels, geometry, attributes, conditions),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def unchecked(
        cls,
        energies: np.ndarray,
        voxels: np.ndarray,
        geometry: Geometry,
        attributes: Mapping[str, Any] | None = None,
        conditions: Columns | None = None,
    ) -> Showers:
        """Showers whose values were checked before, or are not to be: energies (N,) float64, voxels (N, V) float32."""
        showers = cls.__new__(cls)
        showers._set(energies, voxels, geometry, attributes or {}, conditions or Columns.none(len(energies)))
        return showers

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, rows: Rows) -> Showers:
        """The showers at `rows`: one number, a slice, or a list or array of numbers or of a boolean for each shower.

        Raises:
            IndexError: there is no such shower.
            CaloforgeError: `rows` is something else.
        """
        chosen = selected_rows(rows, len(self), "for single voxels, index showers.voxels")
        energies, voxels = (np.ascontiguousarray(part[chosen]) for part in (self.energies, self.voxels))
        return Showers.unchecked(energies, voxels, self.geometry, self.attributes, self.conditions.take(chosen))

    def __iter__(self) -> Iterator[Showers]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Showers):
            return NotImplemented
        return (
            self.geometry == other.geometry
            and np.array_equal(self.energies, other.energies)
            and np.array_equal(self.voxels, other.voxels)
            and self.conditions == other.conditions
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        energies = self.energies
        between = (
            (format_energy(float(e)) for e in dict.fromkeys((energies.min(), energies.max()))) if len(self) else ()
        )
        facts = [count(len(self), "shower"), *filter(None, [" … ".join(between)])]
        facts += [f"{kind.name} {kind.span(self.conditions[kind.name])}" for kind in self.conditions.kinds]
        return f"Showers({', '.join(facts)}, {self.geometry.in_words})"

    @property
    def deposited(self) -> np.ndarray:
        """(N,) deposited energy E_dep in MeV, summed in float64."""
        return np.asarray(self.voxels.sum(axis=1, dtype=np.float64))

    @property
    def layer_energies(self) -> np.ndarray:
        """(N, L) energy in each layer in MeV, front to back, summed in float64."""
        return self.geometry.layer_sums(self.voxels)

    def layer(self, layer_id: int) -> np.ndarray:
        """(N, rows, columns) images of the layer with the detector's number `layer_id`, MeV."""
        position = self.geometry.layer_ids.index(self.geometry.layer(layer_id).id)
        part = self.voxels[:, self.geometry.slices[position]]
        return part.reshape(len(self), *self.geometry.layers[position].shape)

    def plot(self, index: int = 0, *, layers: Iterable[int] | None = None, ax: Axes | None = None) -> Axes:
        """Shower number `index` as images of its layers, by default of all or of six (see `caloforge.plots.shower`).

        Args:
            index: of the shower.
            layers: ids of the layers to draw.
            ax: axes of your own; None makes a figure, which a notebook shows.
        """
        from caloforge import plots

        one = self[index]
        return plots.shower(self.geometry, one.voxels[0], float(one.energies[0]), layers=layers, ax=ax)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        geometry: GivenGeometry | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Showers:
        """Read rows `start` … `stop` of a file into memory (see `ShowerFile` for the errors)."""
        with ShowerFile(path, geometry) as file:
            return file.read(start, stop)

    def write(
        self,
        path: str | os.PathLike[str],
        attributes: Mapping[str, Any] | None = None,
        compression: int = 1,
    ) -> None:
        """Write the challenge's HDF5 layout, complete or not at all (see `ShowerWriter`).

        Raises:
            CaloforgeError: there are no showers, the file cannot be written, or an untrained model has put a NaN or a
                negative voxel here.
        """
        if len(self) == 0:
            raise CaloforgeError(f"there are no showers to write to {path}")
        check_voxels(self.voxels)
        facts, kinds = {**self.attributes, **(attributes or {})}, self.conditions.kinds
        with ShowerWriter(path, self.geometry, facts, compression, conditions=kinds) as out:
            out.append(self.energies, self.voxels, self.conditions)


class ShowerFile(AbstractContextManager["ShowerFile"]):
    """A shower file, read by chunks, checked as it is read.

    >>> from caloforge.sources.sample import sample_path
    >>> with ShowerFile(sample_path("test")) as file:
    ...     sum(len(chunk) for chunk in file.chunks(1000))
    4000

    Args:
        path: HDF5 file in the challenge's layout, LEMURS' or CaloGAN's.
        geometry: what the voxels are: a `Geometry`, or a name or file for `load_geometry`. Where the file names its own
            (`own_geometry`), it must have the same voxels, but may have another threshold or other depths. Without
            either, the voxel count decides.

    Raises:
        CaloforgeError: the file is absent, unreadable, not HDF5, truncated, lacks a dataset, has a group in its
            place, or a wrong type, rank, length or voxel count, no showers, or another geometry; on reading, also a
            NaN, an infinity, a negative voxel or a non-positive incident energy, with its row.
    """

    def __init__(self, path: str | os.PathLike[str], geometry: GivenGeometry | None = None) -> None:
        self.path, self._resting = as_path(path, "shower file"), False
        with ExitStack() as stack:
            self.attributes: dict[str, Any] = {}
            self._open(stack)
            found = file_geometry(self.path, self.attributes, self._layout.n_voxels, geometry)
            self.geometry, self.own_geometry = found
            self._stack = stack.pop_all()

    def _open(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(open_hdf5(self.path))
        with reading(self.path):
            self._layout = layout_of(self._file, self.path)
            self._chunk_rows = max(1, self._layout.chunk_rows)
        self.attributes = self.attributes or read_attributes(self._file, self.path)
        self._columns = IncidentColumns(self._file, self.path, len(self), self.attributes, self._layout.renamed)

    def rest(self) -> None:
        """Close the file until the next read: of thousands of files, few can be open at a time."""
        self._stack.close()
        self._resting = True

    def _wake(self) -> None:
        if self._resting:
            with ExitStack() as stack:
                self._open(stack)
                self._stack, self._resting = stack.pop_all(), False

    def __len__(self) -> int:
        return int(self._layout.n_showers)

    def __repr__(self) -> str:
        return f"ShowerFile('{self.path.name}', {count(len(self), 'shower')}, {self.geometry.in_words})"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; further reads fail."""
        self._stack.close()
        self._resting = False

    @property
    def layout(self) -> str:
        """`challenge`, `lemurs` or `calogan`."""
        return self._layout.name

    def energies(self) -> np.ndarray:
        """(N,) all incident energies in MeV (float64), checked."""
        self._wake()
        with reading(self.path):
            energies = self._layout.energies(0, len(self))
        check_energies(energies, 0, self.path)
        return energies

    @property
    def kinds(self) -> tuple[Condition, ...]:
        """The conditions that the file has beyond the energy."""
        return self._columns.kinds

    def conditions(self) -> Columns:
        """All conditions beyond the energy, checked."""
        self._wake()
        return self._columns.read(0, len(self))

    def column(self, name: str) -> np.ndarray | None:
        """(N,) a further dataset of one number per shower, such as `geant4_cpu_seconds`; None if absent."""
        self._wake()
        if not has(self._file, name, self.path):
            return None
        entry = dataset(self._file, name, self.path)
        if entry.shape[:1] != (len(self),):
            return None
        with reading(self.path):
            return np.asarray(entry[...]).reshape(len(self), -1)[:, 0]

    def weights(self) -> np.ndarray | None:
        """(N,) weights of the showers, the dataset `weights`, checked; None where the file has none."""
        found = self.column(WEIGHTS)
        if found is not None:
            found = as_numbers(found, np.float64, f"{self.path}: '{WEIGHTS}'")
            check_weights(found, self.path)
        return found

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Rows `start` … `stop` (all by default) as `Showers`: energies float64, voxels float32."""
        stop = len(self) if stop is None else min(stop, len(self))
        self._wake()
        with reading(self.path):
            energies = self._layout.energies(start, stop)
            voxels = self._layout.voxels(start, stop)
        check_energies(energies, start, self.path)
        check_voxels(voxels, start, self.path)
        columns = self._columns.read(start, stop)
        return Showers.unchecked(energies, voxels, self.geometry, self.attributes, columns)

    @property
    def chunk_rows(self) -> int:
        """Showers that are stored, and so decompressed, together."""
        return self._chunk_rows

    def take(self, rows: np.ndarray) -> Showers:
        """The showers at `rows` (n,), which rise; of the file only the stored chunks with any of them are read."""
        rows = np.asarray(rows, dtype=np.int64)
        energies, voxels = np.empty(len(rows)), np.empty((len(rows), self.geometry.n_voxels), dtype=np.float32)
        columns = Columns(self.kinds, np.empty((len(rows), len(self.kinds))))
        start = 0
        for group in self._neighbours(rows):
            first, stop = int(group[0]), start + len(group)
            found = self.read(first, int(group[-1]) + 1)
            energies[start:stop], voxels[start:stop] = found.energies[group - first], found.voxels[group - first]
            columns.table[start:stop] = found.conditions.table[group - first]
            start = stop
        return Showers.unchecked(energies, voxels, self.geometry, self.attributes, columns)

    def _neighbours(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rising rows in groups that are read at once: of one stored chunk, or of several in turn if they are small."""
        if len(rows) == 0:
            return []
        stored = self._chunk_rows
        chunk = rows // stored
        most = max(1, CHUNK_VALUES // self.geometry.n_voxels // stored)
        apart = np.diff(chunk) > 1
        number = np.concatenate([[0], np.cumsum(apart)])
        first = chunk[np.searchsorted(number, number)]
        group = np.stack([number, (chunk - first) // most])
        return np.split(rows, np.flatnonzero((np.diff(group) != 0).any(axis=0)) + 1)

    def chunks(self, size: int | None = None, values: int = CHUNK_VALUES) -> Iterator[Showers]:
        """All showers in file order, `size` at a time.

        By default as many as have so many voxel values together, or up to eight times that where the chunks of the HDF5
        file, which are decompressed as a whole, are so large.
        """
        if size is None:
            stored = self._chunk_rows
            size = max(1, values // self.geometry.n_voxels)
            if stored <= 8 * size:
                size = max(stored, size - size % stored)
        for start in range(0, len(self), size):
            yield self.read(start, start + size)
