"""`Showers`: the value that flows through everything, and the HDF5 files it lives in.

Two layouts are read. The challenge's: `incident_energies` (N, 1) and `showers` (N, V), both MeV. CaloGAN's own:
`energy` (N, 1) in GeV and one image per layer, `layer_0` (N, 3, 96), `layer_1` (N, 12, 12), `layer_2` (N, 12, 6)
in MeV. The challenge's is written, gzip-compressed, with attributes that say where the showers came from.

`ShowerFile` reads by chunks and checks every value it hands out, `ShowerWriter` appends by chunks, so neither
needs memory for the whole file.
"""

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
from caloforge.files import atomic_path
from caloforge.geometry import BUILTIN, Geometry, geometry_of_voxel_count, load_geometry

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


def _reject(path: Path, reason: str) -> CaloforgeError:
    return CaloforgeError(f"{path}: {reason}")


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    entry = file[name]
    if not isinstance(entry, h5py.Dataset):
        raise _reject(path, f"'{name}' is a group; expected a dataset")
    if entry.dtype.kind not in "fiu":
        raise _reject(path, f"'{name}' has the type {entry.dtype}; expected numbers")
    return entry


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
            self._layout: _ChallengeLayout | _CaloganLayout
            if "layer_0" in self._file and "showers" not in self._file:
                self._layout = _CaloganLayout(self._file, self.path)
            else:
                self._layout = _ChallengeLayout(self._file, self.path)
            self.attributes: dict[str, Any] = {key: _plain(value) for key, value in self._file.attrs.items()}
            self.geometry = self._choose_geometry(geometry)
            if self._layout.n_voxels != self.geometry.n_voxels:
                raise _reject(
                    self.path,
                    f"showers have {self._layout.n_voxels} voxels, but geometry '{self.geometry.name}' has "
                    f"{self.geometry.n_voxels}",
                )
            self._stack = stack.pop_all()

    def _open(self) -> h5py.File:
        if self.path.is_dir():
            raise _reject(self.path, "is a folder; expected an HDF5 file")
        if not self.path.exists():
            raise _reject(self.path, "no such file")
        try:
            with self.path.open("rb") as raw:
                raw.read(1)
        except OSError as error:
            raise _reject(self.path, f"cannot be read: {error.strerror}") from None
        if not h5py.is_hdf5(self.path):
            raise _reject(self.path, "is not an HDF5 file")
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            reason = "is truncated" if "truncated" in str(error) else f"is a damaged HDF5 file ({error})"
            raise _reject(self.path, f"{reason}; fetch or make it again") from None

    def _choose_geometry(self, given: Geometry | str | None) -> Geometry:
        own = self.attributes.get("geometry")
        if own is not None:
            try:
                if str(own).lstrip().startswith("{"):
                    return Geometry.from_dict(json.loads(str(own)), origin=f"{self.path}: attribute 'geometry'")
                return load_geometry(str(own))
            except json.JSONDecodeError as error:
                raise _reject(self.path, f"attribute 'geometry' is no valid JSON: {error}") from None
            except CaloforgeError:
                if given is None:
                    raise
        if given is not None:
            return given if isinstance(given, Geometry) else load_geometry(given)
        guess = geometry_of_voxel_count(self._layout.n_voxels)
        if guess is None:
            raise _reject(
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
        _check_energies(energies, 0, self.path)
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
        _check_energies(energies, start, self.path)
        _check_voxels(voxels, start, self.path)
        return Showers(energies, voxels, self.geometry, self.attributes)

    def chunks(self, size: int | None = None) -> Iterator[Showers]:
        """All showers in file order, `size` at a time (by default so many that a chunk takes 64 MB)."""
        size = size or max(1, CHUNK_VALUES // self.geometry.n_voxels)
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def _damaged(self, error: OSError) -> CaloforgeError:
        return _reject(self.path, f"data cannot be read, the file is damaged ({error}); fetch or make it again")


class _ChallengeLayout:
    name = "challenge"

    def __init__(self, file: h5py.File, path: Path) -> None:
        for name in ("incident_energies", "showers"):
            if name not in file:
                found = ", ".join(sorted(file)) or "nothing"
                raise _reject(path, f"has no dataset '{name}' (it has: {found})")
        self._energies = _dataset(file, "incident_energies", path)
        self._voxels = _dataset(file, "showers", path)
        if self._voxels.ndim != 2:
            raise _reject(path, f"'showers' has the shape {self._voxels.shape}; expected (N, V)")
        shape = self._energies.shape
        if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise _reject(path, f"'incident_energies' has the shape {shape}; expected (N, 1)")
        if shape[0] != self._voxels.shape[0]:
            raise _reject(path, f"{shape[0]} incident energies, but {self._voxels.shape[0]} showers")
        self.n_showers, self.n_voxels = self._voxels.shape
        if self.n_showers == 0:
            raise _reject(path, "holds no showers")

    def energies(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._energies[start:stop], dtype=np.float64).reshape(-1)

    def voxels(self, start: int, stop: int) -> np.ndarray:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which the check then names
            return np.asarray(self._voxels[start:stop]).astype(np.float32, copy=False)


class _CaloganLayout:
    name = "calogan"

    def __init__(self, file: h5py.File, path: Path) -> None:
        if "energy" not in file:
            raise _reject(path, "has no dataset 'energy' (CaloGAN layout, GeV)")
        self._energies = _dataset(file, "energy", path)
        names = [f"layer_{k}" for k in range(len(file)) if f"layer_{k}" in file]
        self._layers = [_dataset(file, name, path) for name in names]
        for name, layer in zip(names, self._layers, strict=True):
            if layer.ndim != 3:
                raise _reject(path, f"'{name}' has the shape {layer.shape}; expected (N, phi, eta)")
            if layer.shape[0] != self._energies.shape[0]:
                raise _reject(path, f"{self._energies.shape[0]} energies, but {layer.shape[0]} showers in '{name}'")
        if self._energies.size != self._energies.shape[0]:
            raise _reject(path, f"'energy' has the shape {self._energies.shape}; expected (N, 1)")
        self.n_showers = self._energies.shape[0]
        self.n_voxels = sum(layer.shape[1] * layer.shape[2] for layer in self._layers)
        if self.n_showers == 0:
            raise _reject(path, "holds no showers")

    def energies(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._energies[start:stop], dtype=np.float64).reshape(-1) * 1e3

    def voxels(self, start: int, stop: int) -> np.ndarray:
        parts = [np.asarray(layer[start:stop], dtype=np.float32) for layer in self._layers]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _check_energies(energies: np.ndarray, start: int, path: Path) -> None:
    bad = ~(np.isfinite(energies) & (energies > 0))
    if bad.any():
        row = int(np.argmax(bad))
        value = energies[row]
        word = "not above zero" if np.isfinite(value) else "not finite"
        raise _reject(path, f"incident energy of row {start + row} is {value:g} MeV, {word}")


def _check_voxels(voxels: np.ndarray, start: int, path: Path) -> None:
    # The minimum is NaN if any value is, and the maximum catches +inf: two passes instead of a mask per test.
    low, high = voxels.min(initial=0.0), voxels.max(initial=0.0)
    if low >= 0 and np.isfinite(high):
        return
    bad = ~(np.isfinite(voxels) & (voxels >= 0))
    row, voxel = (int(k) for k in np.unravel_index(np.argmax(bad), bad.shape))
    value = voxels[row, voxel]
    word = "negative" if np.isfinite(value) else "not finite"
    raise _reject(path, f"voxel {voxel} of row {start + row} is {value:g} MeV, {word}")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


class ShowerWriter(AbstractContextManager["ShowerWriter"]):
    """Append showers to a challenge HDF5 file that appears under its name only when complete.

    Args:
        path: the file to write; an existing one is replaced at the end.
        geometry: description of the voxels, stored as attribute `geometry` (its name, or JSON for a user's own).
        attributes: provenance to store; values must be numbers, text or lists of them.
        compression: gzip level 0 (none) … 9.
        columns: names of further datasets with one float64 per shower, given to `append`.

    Raises:
        CaloforgeError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        attributes: Mapping[str, Any] | None = None,
        compression: int = 1,
        columns: tuple[str, ...] = (),
    ) -> None:
        from caloforge import __version__

        self.path = Path(path)
        self.geometry = geometry
        if not 0 <= compression <= 9:
            raise CaloforgeError(f"the gzip level must be 0 … 9, not {compression}")
        self._stack = ExitStack()
        with ExitStack() as stack:
            partial = stack.enter_context(atomic_path(self.path))
            try:
                self._file = stack.enter_context(h5py.File(partial, "w"))
            except OSError as error:
                raise CaloforgeError(f"cannot write {self.path}: {error}") from None
            options = {"compression": "gzip", "compression_opts": compression} if compression else {}
            rows = max(1, min(1024, 1_000_000 // geometry.n_voxels))

            def create(name: str, width: tuple[int, ...], dtype: str) -> h5py.Dataset:
                shape, chunks = (0, *width), (rows, *width)
                return self._file.create_dataset(name, shape, dtype, maxshape=(None, *width), chunks=chunks, **options)

            self._energies = create("incident_energies", (1,), "f8")
            self._voxels = create("showers", (geometry.n_voxels,), "f4")
            self._columns = {name: create(name, (), "f8") for name in columns}
            self._file.attrs.update(
                {
                    **(attributes or {}),
                    "caloforge_version": __version__,
                    "geometry": geometry_attribute(geometry),
                    "units": "MeV",
                }
            )
            self._stack = stack.pop_all()

    def append(self, energies: np.ndarray, voxels: np.ndarray, **columns: np.ndarray) -> None:
        """Add showers: energies (n,) and voxels (n, V) in MeV, and each further column (n,)."""
        start, stop = len(self._energies), len(self._energies) + len(energies)
        for dataset, values in [
            (self._energies, np.asarray(energies, dtype=np.float64).reshape(-1, 1)),
            (self._voxels, np.asarray(voxels, dtype=np.float32)),
            *((self._columns[name], np.asarray(values)) for name, values in columns.items()),
        ]:
            dataset.resize(stop, axis=0)
            dataset[start:stop] = values

    def __len__(self) -> int:
        return len(self._energies)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, value, traceback)


def geometry_attribute(geometry: Geometry) -> str:
    """What stands for `geometry` in a file: its name if it is the built-in one, else its JSON."""
    if geometry.name in BUILTIN and BUILTIN[geometry.name]() == geometry:
        return geometry.name
    return json.dumps(geometry.to_dict())
