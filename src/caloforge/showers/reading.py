"""`Showers` in memory, and `ShowerFile`, which reads them from HDF5 by checked chunks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, geometry_of_voxel_count, load_geometry
from caloforge.showers.layouts import CaloganLayout, ChallengeLayout, check_energies, check_voxels, reject
from caloforge.showers.writing import ShowerWriter

CHUNK_VALUES = 16_000_000
"""Voxel values per chunk when the caller names no chunk size (64 MB as float32)."""


@dataclass(frozen=True)
class Showers:
    """N showers in one geometry.

    Args:
        energies: (N,) incident energies in MeV, above zero.
        voxels: (N, V) deposited energies in MeV, not negative.
        geometry: the voxels' description, with V voxels.
        attributes: provenance and other remarks, as in an HDF5 file's attributes.

    Raises:
        CaloforgeError: shapes do not fit each other or the geometry.
    """

    energies: np.ndarray
    voxels: np.ndarray
    geometry: Geometry
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.energies.ndim != 1 or self.voxels.ndim != 2 or len(self.energies) != len(self.voxels):
            raise CaloforgeError(
                f"showers need energies (N,) and voxels (N, V), not {self.energies.shape} and {self.voxels.shape}"
            )
        if self.voxels.shape[1] != self.geometry.n_voxels:
            raise CaloforgeError(
                f"geometry '{self.geometry.name}' has {self.geometry.n_voxels} voxels, the showers have "
                f"{self.voxels.shape[1]}"
            )

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, rows: slice | np.ndarray) -> Showers:
        """The showers at `rows` (slice, index array or boolean mask)."""
        return Showers(self.energies[rows], self.voxels[rows], self.geometry, self.attributes)

    @property
    def deposited(self) -> np.ndarray:
        """(N,) deposited energy E_dep in MeV, summed in float64."""
        return self.voxels.sum(axis=1, dtype=np.float64)

    def layer(self, layer_id: int) -> np.ndarray:
        """(N, rows, columns) images of the layer with the detector's number `layer_id`, MeV."""
        position = self.geometry.layer_ids.index(self.geometry.layer(layer_id).id)
        part = self.voxels[:, self.geometry.slices[position]]
        return part.reshape(len(self), *self.geometry.layers[position].shape)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        geometry: Geometry | str | None = None,
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
        """Write the challenge's HDF5 layout, whole or not at all (see `ShowerWriter`)."""
        with ShowerWriter(path, self.geometry, {**self.attributes, **(attributes or {})}, compression) as out:
            out.append(self.energies, self.voxels)


class ShowerFile(AbstractContextManager["ShowerFile"]):
    """A shower file, read by chunks, checked as it is read.

    Args:
        path: HDF5 file in the challenge's layout or in CaloGAN's.
        geometry: what the voxels are, where the file itself does not say: a `Geometry`, or a name or file for
            `load_geometry`. A `geometry` attribute in the file takes precedence; without either, the voxel count
            decides.

    Raises:
        CaloforgeError: the file is absent, unreadable, not HDF5, truncated, lacks a dataset, has a group in its
            place, or a wrong type, rank, length or voxel count, or no showers; on reading, also a NaN, an
            infinity, a negative voxel or a non-positive incident energy, with its row.
    """

    def __init__(self, path: str | os.PathLike[str], geometry: Geometry | str | None = None) -> None:
        self.path = Path(path)
        with ExitStack() as stack:
            self._file = stack.enter_context(self._open())
            self._layout: ChallengeLayout | CaloganLayout
            if "layer_0" in self._file and "showers" not in self._file:
                self._layout = CaloganLayout(self._file, self.path)
            else:
                self._layout = ChallengeLayout(self._file, self.path)
            self.attributes: dict[str, Any] = {key: _plain(value) for key, value in self._file.attrs.items()}
            self.geometry = self._choose_geometry(geometry)
            if self._layout.n_voxels != self.geometry.n_voxels:
                from_file = "geometry" in self.attributes
                remedy = "mend that attribute" if from_file else "give another --geometry"
                raise reject(
                    self.path,
                    f"showers have {self._layout.n_voxels} voxels, but geometry '{self.geometry.name}'"
                    f"{' (the attribute of the file)' if from_file else ''} has {self.geometry.n_voxels}; {remedy}",
                )
            self._stack = stack.pop_all()

    def _open(self) -> h5py.File:
        if self.path.is_dir():
            raise reject(self.path, "is a folder; expected an HDF5 file")
        if not self.path.exists():
            raise reject(self.path, "no such file")
        try:
            with self.path.open("rb") as raw:
                raw.read(1)
        except OSError as error:
            raise reject(self.path, f"cannot be read: {error.strerror}") from None
        if not h5py.is_hdf5(self.path):
            raise reject(self.path, "is not an HDF5 file")
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            reason = "is truncated" if "truncated" in str(error) else f"is a damaged HDF5 file ({error})"
            raise reject(self.path, f"{reason}; delete it, and fetch or make it again") from None

    def _choose_geometry(self, given: Geometry | str | None) -> Geometry:
        own = self.attributes.get("geometry")
        if own is not None:
            try:
                if str(own).lstrip().startswith("{"):
                    return Geometry.from_dict(json.loads(str(own)), origin="its JSON")
                return load_geometry(str(own))
            except json.JSONDecodeError as error:
                raise reject(self.path, f"attribute 'geometry' is no valid JSON: {error}") from None
            except CaloforgeError as error:
                if given is None:
                    raise reject(self.path, f"attribute 'geometry': {error}") from None
        if given is not None:
            return given if isinstance(given, Geometry) else load_geometry(given)
        guess = geometry_of_voxel_count(self._layout.n_voxels)
        if guess is None:
            raise reject(
                self.path,
                f"no built-in geometry has {self._layout.n_voxels} voxels; name one with --geometry",
            )
        return guess

    def __len__(self) -> int:
        return self._layout.n_showers

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

    @property
    def layout(self) -> str:
        """`challenge` or `calogan`."""
        return self._layout.name

    def energies(self) -> np.ndarray:
        """(N,) all incident energies in MeV (float64), checked."""
        try:
            energies = self._layout.energies(0, len(self))
        except OSError as error:
            raise self._damaged(error) from None
        check_energies(energies, 0, self.path)
        return energies

    def column(self, name: str) -> np.ndarray | None:
        """(N,) a further dataset of one number per shower, such as `geant4_cpu_seconds`; None if absent."""
        entry = self._file.get(name)
        if not isinstance(entry, h5py.Dataset) or entry.shape[:1] != (len(self),):
            return None
        return np.asarray(entry[...]).reshape(len(self), -1)[:, 0]

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Rows `start` … `stop` (all by default) as `Showers`: energies float64, voxels float32."""
        stop = len(self) if stop is None else min(stop, len(self))
        try:
            energies = self._layout.energies(start, stop)
            voxels = self._layout.voxels(start, stop)
        except OSError as error:
            raise self._damaged(error) from None
        check_energies(energies, start, self.path)
        check_voxels(voxels, start, self.path)
        return Showers(energies, voxels, self.geometry, self.attributes)

    def chunks(self, size: int | None = None) -> Iterator[Showers]:
        """All showers in file order, `size` at a time (by default so many that a chunk takes 64 MB)."""
        size = size or max(1, CHUNK_VALUES // self.geometry.n_voxels)
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def _damaged(self, error: OSError) -> CaloforgeError:
        return reject(self.path, f"data cannot be read, the file is damaged ({error}); fetch or make it again")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value
