"""`ShowerWriter`: showers into an HDF5 file of the challenge's layout, by chunks, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import Condition
from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path, check_suffix
from caloforge.geometry import BUILTIN, Geometry
from caloforge.showers.attributes import write_attributes
from caloforge.showers.hdf5 import created
from caloforge.showers.incident_columns import PREFIX, write_kind


class ShowerWriter(AbstractContextManager["ShowerWriter"]):
    """Append showers to a challenge HDF5 file that appears under its name only when complete.

    Args:
        path: the file to write; an existing one is replaced at the end.
        geometry: description of the voxels, stored as attribute `geometry` (its name, or JSON for a user's own).
        attributes: provenance to store: numbers, text or lists of them; others are stored as text.
        compression: gzip level 0 (none) … 9.
        columns: names of further datasets with one float64 per shower, given to `append`.
        conditions: what showers depend on besides the energy; stored as `incident_NAME`.

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
        conditions: Sequence[Condition] = (),
    ) -> None:
        from caloforge import __version__

        self.path = Path(path)
        check_suffix(self.path, ".h5", ".hdf5")
        self.geometry = geometry
        if not 0 <= compression <= 9:
            raise CaloforgeError(f"the gzip level must be 0 … 9, not {compression}")
        self._stack = ExitStack()
        with ExitStack() as stack:
            partial = stack.enter_context(atomic_path(self.path))
            self._file, self._check = stack.enter_context(created(partial))
            options = {"compression": "gzip", "compression_opts": compression} if compression else {}
            rows = max(1, min(1024, 1_000_000 // geometry.n_voxels))

            def create(name: str, width: tuple[int, ...], dtype: str) -> h5py.Dataset:
                shape, chunks = (0, *width), (rows, *width)
                return self._file.create_dataset(name, shape, dtype, maxshape=(None, *width), chunks=chunks, **options)

            self._energies = create("incident_energies", (1,), "f8")
            self._voxels = create("showers", (geometry.n_voxels,), "f4")
            self._columns = {name: create(name, (), "f8") for name in columns}
            self._conditions = {kind.name: create(PREFIX + kind.name, (1,), "f8") for kind in conditions}
            for kind in conditions:
                write_kind(self._conditions[kind.name], kind)
            own = {"caloforge_version": __version__, "geometry": geometry_attribute(geometry), "units": "MeV"}
            write_attributes(self._file, {**(attributes or {}), **own})
            self._stack = stack.pop_all()

    def append(
        self,
        energies: np.ndarray,
        voxels: np.ndarray,
        conditions: Mapping[str, np.ndarray] | None = None,
        /,
        **columns: np.ndarray,
    ) -> None:
        """Add showers: energies (n,) and voxels (n, V) in MeV, and each condition and each further column (n,).

        Raises:
            CaloforgeError: a condition is missing, or the file has none of that name; or the disk is full.
        """
        given = conditions or {}
        if set(given) != set(self._conditions):
            name = min(set(given) ^ set(self._conditions))
            raise CaloforgeError(f"{self.path}: the condition {name} must be given for all showers of a file, or none")
        start, stop = len(self._energies), len(self._energies) + len(energies)
        for dataset, values in [
            (self._energies, np.asarray(energies, dtype=np.float64).reshape(-1, 1)),
            (self._voxels, np.asarray(voxels, dtype=np.float32)),
            *((self._columns[name], np.asarray(values)) for name, values in columns.items()),
            *((entry, np.asarray(given[name]).reshape(-1, 1)) for name, entry in self._conditions.items()),
        ]:
            dataset.resize(stop, axis=0)
            dataset[start:stop] = values
        self._check()

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
