"""The training files of CaloClouds (arXiv:2305.04847): showers padded to the largest one.

`events` (N, 4, M) or (N, M, 4): x, layer, z, energy, in mm and GeV, zero where there is no point; `energy` (N, 1), the
incident energy in GeV. The calorimeter's depth is along its y there, so that z is the second transverse coordinate: it
is read as y, without a change of sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.points.clouds import HITS, PointClouds, offsets_of
from caloforge.points.energy_unit import GEV, Unit
from caloforge.points.exchange.base import (
    PointLayout,
    PointOutput,
    as_layers,
    extend,
    needed,
    one_per_shower,
    rows_of,
)
from caloforge.showers.hdf5 import dataset, has, reject

ORDER = [0, 2, 1, 3]
"""x, layer, z, energy ↔ x, y, layer, energy."""

STORED_WIDTH = 1024
"""Points of one shower in a stored chunk."""


class CalocloudsLayout(PointLayout):
    """Reads padded rows, whichever of the two last axes is the longer."""

    name = "caloclouds"
    names = HITS

    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None:
        needed(file, ("events", "energy"), path)
        self._path, self._unit = path, unit or GEV
        self._events = dataset(file, "events", path)
        shape = self._events.shape
        if len(shape) != 3 or 4 not in shape[1:]:
            raise reject(path, f"'events' has the shape {shape}; expected (N, 4, M) or (N, M, 4)")
        self._columns_first = shape[1] == 4
        self._most = shape[2] if self._columns_first else shape[1]
        self._energies = one_per_shower(file, "energy", path, shape[0])

    @classmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        return has(file, "events", path)

    def __len__(self) -> int:
        return int(self._events.shape[0])

    def sizes(self) -> np.ndarray:
        return np.full(len(self), self._most)

    def read(self, start: int, stop: int) -> PointClouds:
        padded = rows_of(self._events, start, stop, self._path).astype(np.float32, copy=False)
        padded = padded.transpose(0, 2, 1) if self._columns_first else padded
        real = padded[:, :, 3] != 0  # a NaN or a negative energy is a point, which the check then names
        points = padded[real][:, ORDER]
        points[:, 2] = as_layers(points[:, 2])
        points[:, 3] *= np.float32(self._unit.points)
        energies = rows_of(self._energies, start, stop, self._path).astype(np.float64) * self._unit.incident
        return PointClouds.unchecked(energies, points, offsets_of(real.sum(axis=1)), self.names)


class CalocloudsOutput(PointOutput):
    """Writes (N, 4, M), M growing to the largest shower; points come first, padding last."""

    name = "caloclouds"
    required = HITS

    def begin(self) -> None:
        self._events = self.file.create_dataset(
            "events",
            (0, 4, 1),
            "f4",
            maxshape=(None, 4, None),
            chunks=(16, 4, STORED_WIDTH),
            compression="gzip",
            compression_opts=1,
        )
        self._energies = self.create("energy", (1,), "f4")

    def append(self, clouds: PointClouds) -> None:
        table = np.column_stack([clouds[name] for name in HITS])[:, ORDER]
        table[:, 3] = clouds["energy"] / np.float64(GEV.points)
        padded, _ = PointClouds.unchecked(clouds.energies, table, clouds.offsets, HITS).padded()
        start, most = len(self._events), max(self._events.shape[2], padded.shape[1])
        self._events.resize((start + len(clouds), 4, most))
        self._events[start:, :, : padded.shape[1]] = padded.transpose(0, 2, 1)
        extend(self._energies, clouds.energies[:, None] / GEV.incident)
