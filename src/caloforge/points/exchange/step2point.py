"""The format of step2point: steps of all events in one list, each with the number of its event.

Group `steps`: `event_id` (M,), `energy` (M,) in GeV, `position` (M, 3) in mm, and `time` (M,) in ns where it is
known. Group `primary`: `event_id`, `pdg` (N,), `vertex` (N, 3) in mm and `momentum` (N, 3) in GeV. The incident energy
is taken to be the size of the momentum, as the mass is not stored. Steps of an event lie together, in the order of the
primaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import KNOWN
from caloforge.points.clouds import PointClouds, offsets_of
from caloforge.points.energy_unit import GEV, Unit
from caloforge.points.exchange.base import (
    STORED_POINTS,
    PointLayout,
    PointOutput,
    angles_of,
    directions_of,
    extend,
    known_columns,
    needed,
    particle_codes,
    rows_of,
)
from caloforge.showers.hdf5 import dataset, has, reading, reject

CHUNK = 8_000_000
"""Numbers of events that are read at once."""


class Step2pointLayout(PointLayout):
    """Reads steps; an event without any has a primary only."""

    name = "step2point"

    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None:
        parts = ("steps/event_id", "steps/energy", "steps/position", "primary/event_id", "primary/momentum")
        needed(file, parts, path)
        self._path, self._unit = path, unit or GEV
        events, self._energy, self._position, primaries, self._momentum = (dataset(file, part, path) for part in parts)
        self._time = dataset(file, "steps/time", path) if has(file, "steps/time", path) else None
        n_steps = len(events)
        for name, entry, width in (
            ("energy", self._energy, ()),
            ("position", self._position, (3,)),
            ("time", self._time, ()),
        ):
            if entry is not None and entry.shape != (n_steps, *width):
                expected = (n_steps, *width)
                raise reject(path, f"'steps/{name}' has the shape {entry.shape}; expected {expected}, as of event_id")
        with reading(path):
            ids = np.asarray(primaries[...]).ravel()
        for name, width in (("momentum", (3,)), ("vertex", (3,)), ("pdg", ())):
            if has(file, f"primary/{name}", path) and file[f"primary/{name}"].shape != (len(ids), *width):
                shape = file[f"primary/{name}"].shape
                raise reject(path, f"'primary/{name}' has the shape {shape}; expected {(len(ids), *width)}")
        self._pdg = dataset(file, "primary/pdg", path) if has(file, "primary/pdg", path) else None
        self._vertex = dataset(file, "primary/vertex", path) if has(file, "primary/vertex", path) else None
        self.names = ("x", "y", "z", "energy", *(["time"] if self._time is not None else []))
        names = ["theta", "phi", *(["x", "y"] if self._vertex is not None else [])]
        self.kinds = tuple(KNOWN[name] for name in [*names, *(["pdg"] if self._pdg is not None else [])])
        self._offsets = self._find_offsets(events, ids)

    def _find_offsets(self, events: h5py.Dataset, ids: np.ndarray) -> np.ndarray:
        """(N + 1,) first step of each event."""
        if (falling := np.flatnonzero(np.diff(ids) <= 0)).size:
            k = int(falling[0])
            raise reject(self._path, f"primary event {ids[k + 1]} follows {ids[k]}: numbers of events must rise")
        counts, last = np.zeros(len(ids), dtype=np.int64), None
        for start in range(0, len(events), CHUNK):
            part = rows_of(events, start, start + CHUNK, self._path)
            first = np.concatenate([part[:1] if last is None else [last], part[:-1]])
            if (falling := np.flatnonzero(part < first)).size:
                k = int(falling[0])
                raise reject(
                    self._path, f"step {start + k} is of event {part[k]}, after one of event {first[k]}: sort the steps"
                )
            row = np.searchsorted(ids, part)
            unknown = (row >= len(ids)) | (ids[np.minimum(row, len(ids) - 1)] != part) if len(ids) else part == part
            if unknown.any():
                raise reject(self._path, f"event {part[int(np.argmax(unknown))]} has steps, but no primary particle")
            counts += np.bincount(row, minlength=len(ids))
            last = part[-1]
        return offsets_of(counts)

    @classmethod
    def stated_unit(cls, attributes: Mapping[str, Any]) -> Unit | None:
        return GEV

    @classmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        return has(file, "steps", path)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def sizes(self) -> np.ndarray:
        return np.diff(self._offsets)

    def read(self, start: int, stop: int) -> PointClouds:
        offsets = self._offsets[start : stop + 1]
        low, high = int(offsets[0]), int(offsets[-1])
        energy = rows_of(self._energy, low, high, self._path).reshape(-1, 1) * self._unit.points
        parts = [rows_of(self._position, low, high, self._path), energy]
        if self._time is not None:
            parts.append(rows_of(self._time, low, high, self._path).reshape(-1, 1))
        with np.errstate(over="ignore"):
            points = np.concatenate(parts, axis=1).astype(np.float32)
        momentum = rows_of(self._momentum, start, stop, self._path).astype(np.float64)
        values = angles_of(momentum)
        if self._vertex is not None:
            vertex = rows_of(self._vertex, start, stop, self._path).astype(np.float64)
            values |= {"x": vertex[:, 0], "y": vertex[:, 1]}
        if self._pdg is not None:
            values["pdg"] = rows_of(self._pdg, start, stop, self._path).astype(np.float64)
        energies = np.linalg.norm(momentum, axis=1) * self._unit.incident
        return PointClouds.unchecked(energies, points, offsets - low, self.names, conditions=known_columns(values))


class Step2pointOutput(PointOutput):
    """Writes what step2point's HDF5 reader reads; the vertex lies at z = 0."""

    name = "step2point"
    required = ("x", "y", "z", "energy")
    optional = ("time",)
    held = ("theta", "phi", "x", "y", "pdg")

    def begin(self) -> None:
        self._event, self._energy, self._position = (
            self.create(f"steps/{name}", width, dtype, STORED_POINTS)
            for name, width, dtype in (("event_id", (), "i4"), ("energy", (), "f4"), ("position", (3,), "f4"))
        )
        self._time = self.create("steps/time", (), "f4", STORED_POINTS) if "time" in self.names else None
        self._primary, self._pdg, self._vertex, self._momentum = (
            self.create(f"primary/{name}", width, dtype)
            for name, width, dtype in (
                ("event_id", (), "i4"),
                ("pdg", (), "i4"),
                ("vertex", (3,), "f4"),
                ("momentum", (3,), "f4"),
            )
        )

    def append(self, clouds: PointClouds) -> None:
        start = len(self._primary)
        extend(self._event, start + clouds.rows)
        extend(self._energy, clouds["energy"] / np.float64(GEV.points))
        extend(self._position, np.column_stack([clouds[name] for name in ("x", "y", "z")]))
        if self._time is not None:
            extend(self._time, clouds["time"])
        zero = np.zeros(len(clouds))
        vertex = [clouds.conditions.get(name, zero) for name in ("x", "y")]
        extend(self._primary, np.arange(start, start + len(clouds)))
        extend(self._pdg, particle_codes(clouds.conditions, self.facts))
        extend(self._vertex, np.column_stack([*vertex, zero]))
        extend(self._momentum, directions_of(clouds.conditions) * clouds.energies[:, None] / GEV.incident)
