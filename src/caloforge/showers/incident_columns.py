"""The conditions in a shower file: datasets `incident_NAME` of one number per shower, beside the incident energy.

Their attribute `unit` is checked, or for angles the file's `angle_unit`. Directions (N, 3) and positions (N, 2) are
read as theta, phi, x and y where the file does not have these themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import KNOWN, Columns, Condition
from caloforge.conditions.kinds import NAME, condition
from caloforge.errors import CaloforgeError
from caloforge.showers.attributes import read_attribute
from caloforge.showers.hdf5 import dataset, reading, reject

PREFIX = "incident_"
ENERGIES = ("incident_energies", "incident_energy")
"""Datasets that are the incident energy itself."""

VECTORS = {
    "incident_directions": ("theta", "phi"),
    "incident_direction": ("theta", "phi"),
    "incident_positions": ("x", "y"),
    "incident_position": ("x", "y"),
}
"""Datasets of vectors → the conditions that they are read as."""


class IncidentColumns:
    """The conditions of an open file.

    Args:
        file: open HDF5 file. path: of it, for errors.
        n: number of showers.
        attributes: of the file.
        renamed: names in the file → names of conditions, where the layout gives them another meaning.

    Raises:
        CaloforgeError: a known condition has another shape than one number per shower, or another unit.
    """

    def __init__(
        self,
        file: h5py.File,
        path: Path,
        n: int,
        attributes: Mapping[str, Any],
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self._path, self._n = path, n
        self._sets: dict[str, h5py.Dataset] = {}
        self._vectors: dict[str, tuple[h5py.Dataset, int]] = {}
        kinds: list[Condition] = []
        with reading(path):
            present = sorted(name for name in file if str(name).startswith(PREFIX) and name not in ENERGIES)
        for entry in [name for name in present if name not in VECTORS]:
            name = (renamed or {}).get(entry.removeprefix(PREFIX), entry.removeprefix(PREFIX))
            if name not in KNOWN and not (NAME.fullmatch(name) and self._is_column(file, entry)):
                continue  # something else of a file of unknown origin
            found = dataset(file, entry, path)
            if found.shape not in ((n,), (n, 1)):
                raise reject(path, f"'{entry}' has the shape {found.shape}; expected ({n},) or ({n}, 1)")
            kinds.append(_kind(name, entry, found, attributes, path))
            self._sets[name] = found
        for entry in [name for name in present if name in VECTORS]:
            names = VECTORS[entry]
            found = dataset(file, entry, path)
            width = 3 if names[0] == "theta" else 2
            if found.ndim != 2 or found.shape[0] != n or not width <= found.shape[1] <= 3:
                raise reject(path, f"'{entry}' has the shape {found.shape}; expected ({n}, {width})")
            for component, name in enumerate(names):
                if name not in self._sets and name not in self._vectors:
                    self._vectors[name] = found, component
                    kinds.append(KNOWN[name])
        self.kinds = tuple(kinds)

    @staticmethod
    def _is_column(file: h5py.File, entry: str) -> bool:
        try:
            found = file.get(entry)
            return isinstance(found, h5py.Dataset) and found.dtype.kind in "fiu" and found.size == found.shape[0]
        except Exception:  # whatever h5py raises for a damaged entry that nothing needs
            return False

    def read(self, start: int, stop: int) -> Columns:
        """The conditions of showers `start` … `stop`, checked.

        Raises:
            CaloforgeError: a value is not finite or impossible; names its row.
        """
        if not self.kinds:
            return Columns.none(max(0, stop - start))
        parts = []
        for kind in self.kinds:
            with reading(self._path):
                if kind.name in self._sets:
                    values = np.asarray(self._sets[kind.name][start:stop], dtype=np.float64).reshape(-1)
                else:
                    found, component = self._vectors[kind.name]
                    values = _component(np.asarray(found[start:stop], dtype=np.float64), kind.name, component)
            kind.check(values, f"{self._path}: ", start)
            parts.append(values)
        return Columns(self.kinds, np.stack(parts, axis=1))


def _kind(name: str, entry: str, found: h5py.Dataset, attributes: Mapping[str, Any], path: Path) -> Condition:
    own: dict[str, Any] = {}
    with reading(path):
        for key in ("unit", "period", "label"):
            if key in found.attrs:
                own[key] = read_attribute(found, key)
    unit = str(own.get("unit", ""))
    if not unit and name in KNOWN and KNOWN[name].unit == "rad":
        unit = str(attributes.get("angle_unit", ""))
    try:
        period = float(own["period"]) if "period" in own else None
        return condition(name, unit, period, bool(own.get("label", False)))
    except (CaloforgeError, TypeError, ValueError) as error:
        raise reject(path, f"'{entry}': {error}") from None


def _component(vectors: np.ndarray, name: str, component: int) -> np.ndarray:
    """(n,) a condition of vectors (n, 2 or 3): the angles of a direction, or a coordinate."""
    if name == "theta":
        length = np.linalg.norm(vectors, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.arccos(np.clip(vectors[:, 2] / length, -1, 1)))
    if name == "phi":
        return np.asarray(np.arctan2(vectors[:, 1], vectors[:, 0]))
    return vectors[:, component]


def write_kind(entry: h5py.Dataset, kind: Condition) -> None:
    """Store what a column is as attributes of its dataset."""
    if kind.unit:
        entry.attrs["unit"] = kind.unit
    if kind.name not in KNOWN:
        if kind.period is not None:
            entry.attrs["period"] = kind.period
        if kind.label:
            entry.attrs["label"] = True
