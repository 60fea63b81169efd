"""The format of the package showerdata 0.7: one variable-length row of float32 per shower.

`showers` (N,): each (n, F) flattened row by row, F = 4 or 5: x and y in mm, layer, energy, and time in ns. `energies`
(N, 1), `directions` (N, 3) unit vectors, `pdg`, `shower_ids`, `num_points` (N,), `shape` (3,) = (N, most points, F),
and the attribute `showerdata_version`. The unit of energies is stored nowhere by the package: caloforge adds the
attribute `energy_unit` to what it writes, and asks where there is none. Points without energy are padding, and are not
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import KNOWN, Columns
from caloforge.points.clouds import HITS, PointClouds, offsets_of
from caloforge.points.energy_unit import Unit, of_attribute, unit_needed, unit_text
from caloforge.points.exchange.base import (
    PointLayout,
    PointOutput,
    angles_of,
    as_layers,
    directions_of,
    extend,
    known_columns,
    needed,
    one_per_shower,
    particle_codes,
    rows_of,
)
from caloforge.showers.hdf5 import dataset, has, reading, reject

VERSION = "0.7.0"
"""Of the package whose layout is written."""


class ShowerdataLayout(PointLayout):
    """Reads variable-length rows."""

    name = "showerdata"

    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None:
        if not has(file, "showers", path):
            raise reject(path, "has no dataset 'showers': it holds incident particles only, and no points")
        needed(file, ("energies", "shape"), path)
        self._path = path
        with reading(path):
            self._showers = file["showers"]
            shape = [int(k) for k in dataset(file, "shape", path)[...].ravel()]
        if self._showers.ndim != 1:
            raise reject(path, f"'showers' has the shape {self._showers.shape}; expected (N,)")
        if len(shape) != 3 or shape[2] not in (4, 5):
            raise reject(path, f"'shape' is {shape}; expected (N, most points, 4 or 5)")
        self._width = shape[2]
        self.names = (*HITS, "time")[: self._width]
        self._energies = one_per_shower(file, "energies", path, len(self))
        self._directions = dataset(file, "directions", path) if has(file, "directions", path) else None
        if self._directions is not None and self._directions.shape != (len(self), 3):
            raise reject(path, f"'directions' has the shape {self._directions.shape}; expected ({len(self)}, 3)")
        self._pdg = one_per_shower(file, "pdg", path, len(self)) if has(file, "pdg", path) else None
        self._numbers = one_per_shower(file, "num_points", path, len(self)) if has(file, "num_points", path) else None
        self._most = max(0, shape[1])
        kinds = [KNOWN["theta"], KNOWN["phi"]] if self._directions is not None else []
        self.kinds = (*kinds, *([KNOWN["pdg"]] if self._pdg is not None else []))
        self._unit = unit or unit_needed(path, self.name)

    @classmethod
    def stated_unit(cls, attributes: Mapping[str, Any]) -> Unit | None:
        return of_attribute(attributes)

    @classmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        if "showerdata_version" in file.attrs:
            return True
        if not (has(file, "showers", path) and has(file, "energies", path)):
            return False
        with reading(path):
            found = file["showers"]
            return isinstance(found, h5py.Dataset) and h5py.check_vlen_dtype(found.dtype) is not None

    def __len__(self) -> int:
        return len(self._showers)

    def sizes(self) -> np.ndarray:
        if self._numbers is None:
            return np.full(len(self), self._most)
        return np.maximum(rows_of(self._numbers, 0, len(self), self._path).astype(np.int64), 0)

    def read(self, start: int, stop: int) -> PointClouds:
        with reading(self._path):
            rows = [np.asarray(row, dtype=np.float32).ravel() for row in self._showers[start:stop]]
        for k, row in enumerate(rows):
            if len(row) % self._width:
                raise reject(
                    self._path, f"shower {start + k} has {len(row)} numbers, not a multiple of {self._width} per point"
                )
        points = np.concatenate([*rows, np.empty(0, dtype=np.float32)]).reshape(-1, self._width)
        counts = np.array([len(row) // self._width for row in rows], dtype=np.int64)
        points[:, 2] = as_layers(points[:, 2])
        points[:, 3] *= np.float32(self._unit.points)
        energies = rows_of(self._energies, start, stop, self._path).astype(np.float64) * self._unit.incident
        found = PointClouds.unchecked(
            energies, points, offsets_of(counts), self.names, conditions=self._read_conditions(start, stop)
        )
        padding = points[:, 3] == 0
        return found.with_points(~padding) if padding.any() else found

    def _read_conditions(self, start: int, stop: int) -> Columns:
        values: dict[str, np.ndarray] = {}
        if self._directions is not None:
            values |= angles_of(rows_of(self._directions, start, stop, self._path))
        if self._pdg is not None:
            values["pdg"] = rows_of(self._pdg, start, stop, self._path).astype(np.float64)
        return known_columns(values) if values else Columns.none(min(stop, len(self)) - start)


class ShowerdataOutput(PointOutput):
    """Writes what showerdata's `load` reads; showers are numbered from 0."""

    name = "showerdata"
    required = HITS
    optional = ("time",)
    held = ("theta", "phi", "pdg")
    needs_unit = True

    def begin(self) -> None:
        self._order = [*HITS, *(["time"] if "time" in self.names else [])]
        self._showers = self.file.create_dataset(
            "showers", (0,), h5py.vlen_dtype(np.dtype("float32")), maxshape=(None,), chunks=(1024,)
        )
        self._energies = self.create("energies", (1,), "f4")
        self._directions = self.create("directions", (3,), "f4")
        self._pdg, self._ids, self._numbers = (
            self.create(name, (), "i4") for name in ("pdg", "shower_ids", "num_points")
        )
        self.file.attrs["showerdata_version"] = VERSION
        self.file.attrs["energy_unit"] = unit_text(self.unit)
        self._most = 0

    def append(self, clouds: PointClouds) -> None:
        start, n = len(self._showers), len(clouds)
        table = np.column_stack([clouds[name] for name in self._order]).astype(np.float32)
        table[:, 3] = clouds["energy"] / np.float64(self.unit.points)
        if n and (clouds.counts == clouds.counts[0]).all():  # h5py takes rows of one length as a rectangular array only
            extend(self._showers, table.reshape(n, -1))
        else:
            rows = np.empty(n, dtype=object)
            rows[:] = [part.ravel() for part in np.split(table, clouds.offsets[1:-1])]
            extend(self._showers, rows)
        extend(self._energies, clouds.energies[:, None] / self.unit.incident)
        extend(self._directions, directions_of(clouds.conditions))
        extend(self._pdg, particle_codes(clouds.conditions, self.facts))
        extend(self._ids, np.arange(start, start + n))
        extend(self._numbers, clouds.counts)
        self._most = max(self._most, int(clouds.counts.max(initial=0)))

    def finish(self) -> None:
        self.file["shape"] = np.array([len(self._showers), self._most, len(self._order)], dtype=np.int64)
