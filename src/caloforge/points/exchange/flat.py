"""caloforge's own format of points: flat and ragged.

`offsets` (N + 1,) says which points belong to which shower, one dataset per column (`x`, `y`, `layer`, `energy`,
`time`, …) has a number per point, `incident_energies` (N, 1) and `incident_NAME` (N, 1) have one per shower, as in
shower files. mm, MeV, ns. Everything is chunked and gzip-compressed, so that any part can be read without the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import Condition
from caloforge.points.clouds import JET, UNITS, PointClouds, checked_names
from caloforge.points.energy_unit import Unit, of_attribute
from caloforge.points.exchange.base import (
    STORED_POINTS,
    PointLayout,
    PointOutput,
    extend,
    needed,
    one_per_shower,
    rows_of,
)
from caloforge.points.validity import check_offsets
from caloforge.showers.hdf5 import dataset, has, reading, reject
from caloforge.showers.incident_columns import PREFIX, IncidentColumns, write_kind

COLUMNS = ("x", "y", "z", "layer", "energy", "time", *JET)
"""Datasets that are read as columns of points where the attribute `columns` names none."""


class FlatLayout(PointLayout):
    """Reads `offsets` and a dataset per column; the attribute `energy_unit` may be GeV."""

    name = "points"

    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None:
        needed(file, ("offsets", "incident_energies"), path)
        self._path = path
        stored = dataset(file, "offsets", path)
        if stored.ndim != 1 or len(stored) < 1:
            raise reject(path, f"'offsets' has the shape {stored.shape}; expected (N + 1,)")
        with reading(path):
            offsets = np.asarray(stored[...])
        self._energies = one_per_shower(file, "incident_energies", path, len(offsets) - 1)
        listed = attributes.get("columns")
        names = listed if isinstance(listed, list) else [name for name in COLUMNS if has(file, name, path)]
        try:
            self.names = checked_names([str(name) for name in names])
        except ValueError as error:
            raise reject(path, str(error)) from None
        self._columns = [dataset(file, name, path) for name in self.names]
        for name, column in zip(self.names, self._columns, strict=True):
            if column.shape != self._columns[0].shape or column.ndim != 1:
                first = f"'{self.names[0]}' has {self._columns[0].shape}"
                raise reject(path, f"'{name}' has the shape {column.shape}, but {first}; expected (P,)")
        self._offsets = check_offsets(offsets, len(self._columns[0]), len(offsets) - 1, path)
        self._conditions = IncidentColumns(file, path, len(self), attributes)
        self.kinds = self._conditions.kinds
        self._unit = unit or Unit(1.0, 1.0)

    @classmethod
    def stated_unit(cls, attributes: Mapping[str, Any]) -> Unit | None:
        return of_attribute(attributes) or Unit(1.0, 1.0)

    @classmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        return has(file, "offsets", path)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def sizes(self) -> np.ndarray:
        return np.diff(self._offsets)

    def read(self, start: int, stop: int) -> PointClouds:
        offsets = self._offsets[start : stop + 1]
        points = np.empty((int(offsets[-1] - offsets[0]), len(self.names)), dtype=np.float32)
        for k, (name, column) in enumerate(zip(self.names, self._columns, strict=True)):
            values = rows_of(column, int(offsets[0]), int(offsets[-1]), self._path)
            with np.errstate(over="ignore"):  # the check names what is beyond float32
                points[:, k] = values * self._unit.points if name == "energy" and self._unit.points != 1 else values
        energies = rows_of(self._energies, start, stop, self._path).astype(np.float64) * self._unit.incident
        columns = self._conditions.read(start, stop)
        return PointClouds.unchecked(energies, points, offsets - offsets[0], self.names, conditions=columns)


class FlatOutput(PointOutput):
    """Writes any columns and conditions; layers as int32, everything else of a point as float32."""

    name = "points"

    def begin(self) -> None:
        self._offsets = self.create("offsets", (), "i8", gzip=True)
        extend(self._offsets, np.zeros(1, dtype=np.int64))
        self._energies = self.create("incident_energies", (1,), "f8", gzip=True)
        types = {name: "i4" if name == "layer" else "f4" for name in self.names}
        self._columns = {name: self.create(name, (), types[name], STORED_POINTS, gzip=True) for name in self.names}
        for name, column in self._columns.items():
            if name in UNITS:
                column.attrs["unit"] = UNITS[name]
        self._conditions = {kind.name: self.create(PREFIX + kind.name, (1,), "f8", gzip=True) for kind in self.kinds}
        for kind in self.kinds:
            write_kind(self._conditions[kind.name], kind)
        self.file.attrs["columns"] = list(self.names)
        self.file.attrs["layout"] = "flat ragged: points of shower i are [offsets[i], offsets[i+1])"
        self._last = 0

    @classmethod
    def losses(cls, names: Sequence[str], kinds: Sequence[Condition]) -> list[str]:
        return []

    def append(self, clouds: PointClouds) -> None:
        extend(self._offsets, self._last + clouds.offsets[1:])
        self._last += len(clouds.points)
        extend(self._energies, clouds.energies[:, None])
        for name, column in self._columns.items():
            extend(column, clouds[name])
        for name, column in self._conditions.items():
            extend(column, clouds.conditions[name][:, None])
