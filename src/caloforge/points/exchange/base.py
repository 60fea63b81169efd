"""What a format of point files has: a `PointLayout` that reads it by chunks, and a `PointOutput` that appends to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from caloforge.conditions import KNOWN, Columns, Condition
from caloforge.errors import CaloforgeError
from caloforge.points.clouds import PointClouds
from caloforge.points.energy_unit import Unit
from caloforge.showers.hdf5 import dataset, has, reading, reject

ROWS = 1024
"""Rows of a stored chunk of one number per shower."""

STORED_POINTS = 65_536
"""Points of a stored chunk."""


class PointLayout(ABC):
    """An open file of one format.

    Args:
        file: open HDF5 file. path: of it, for errors.
        attributes: of the file, as plain data.
        unit: of the energies, as the file states or the user says; None where neither does.

    Raises:
        CaloforgeError: something is missing or has another shape; or the unit has to be given.
    """

    name: ClassVar[str]
    """Of the format, as in `--to NAME`."""

    names: tuple[str, ...]
    """Columns of the points."""

    kinds: tuple[Condition, ...] = ()
    """Conditions beyond the energy."""

    @abstractmethod
    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None: ...

    @classmethod
    def stated_unit(cls, attributes: Mapping[str, Any]) -> Unit | None:
        """The unit of energies that the format has, or the file states; None where it has to be given."""
        return None

    @classmethod
    @abstractmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        """Whether a file has this format, from the names of what is in it."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of showers."""

    @abstractmethod
    def sizes(self) -> np.ndarray:
        """(N,) the number of points of each shower, or where it is not stored the largest possible."""

    @abstractmethod
    def read(self, start: int, stop: int) -> PointClouds:
        """Showers `start` … `stop` as they are stored, unchecked; in MeV, mm and ns."""


class PointOutput(ABC):
    """A new file of one format, to which showers are appended.

    Args:
        file: an empty HDF5 file.
        names: columns of the points that come. kinds: conditions that come.
        unit: of the energies in the file; ignored by formats that have a fixed unit.
        facts: attributes of the sample.

    Raises:
        CaloforgeError: the format needs a column that does not come.
    """

    name: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    """Columns that the format needs."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Further columns that it can hold."""
    held: ClassVar[tuple[str, ...]] = ()
    """Conditions that it can hold."""
    needs_unit: ClassVar[bool] = False
    """Whether energies may be in MeV or GeV, and the file does not say in which."""

    def __init__(
        self,
        file: h5py.File,
        names: Sequence[str],
        kinds: Sequence[Condition],
        unit: Unit,
        facts: Mapping[str, Any],
    ) -> None:
        self.file, self.names, self.kinds, self.unit, self.facts = file, tuple(names), tuple(kinds), unit, facts
        for name in self.required:
            if name not in names:
                raise CaloforgeError(
                    f"the format {self.name} needs a column {name} of the points; they have {', '.join(names)}"
                )
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Create the datasets."""

    @classmethod
    def losses(cls, names: Sequence[str], kinds: Sequence[Condition]) -> list[str]:
        """What of such points the format cannot hold, a sentence each."""
        columns = [name for name in names if name not in (*cls.required, *cls.optional)]
        conditions = [kind.name for kind in kinds if kind.name not in cls.held]
        given = ((f"columns of points that {cls.name} cannot hold", columns), ("conditions", conditions))
        return [f"{what} are lost: {', '.join(lost)}" for what, lost in given if lost]

    def create(
        self, name: str, width: tuple[int, ...], dtype: str, rows: int = ROWS, gzip: bool = False
    ) -> h5py.Dataset:
        """A dataset (0, *width) to be appended to."""
        options = {"compression": "gzip", "compression_opts": 1} if gzip else {}
        return self.file.create_dataset(
            name, (0, *width), dtype, maxshape=(None, *width), chunks=(rows, *width), **options
        )

    @abstractmethod
    def append(self, clouds: PointClouds) -> None:
        """Add showers, checked, with the columns and conditions that were announced."""

    def finish(self) -> None:  # noqa: B027 - most formats have nothing to add
        """Write what is only known at the end."""


def extend(entry: h5py.Dataset, values: np.ndarray) -> None:
    """Append rows to a dataset."""
    start = len(entry)
    entry.resize(start + len(values), axis=0)
    if len(values):
        entry[start:] = values


def one_per_shower(file: h5py.File, name: str, path: Path, n: int) -> h5py.Dataset:
    """A dataset (N,) or (N, 1).

    Raises:
        CaloforgeError: it is missing, or has another shape.
    """
    found = dataset(file, name, path)
    if found.shape not in ((n,), (n, 1)):
        raise reject(path, f"'{name}' has the shape {found.shape}; expected ({n},) or ({n}, 1)")
    return found


def needed(file: h5py.File, names: Sequence[str], path: Path) -> None:
    """Require entries of these names.

    Raises:
        CaloforgeError: one is missing; says what there is.
    """
    for name in names:
        if not has(file, name, path):
            with reading(path):
                found = ", ".join(sorted(map(str, file))) or "nothing"
            raise reject(path, f"has no dataset '{name}' (it has: {found})")


def rows_of(entry: h5py.Dataset, start: int, stop: int, path: Path) -> np.ndarray:
    """Rows of a dataset; one number per row as (n,)."""
    with reading(path):
        values = np.asarray(entry[start:stop])
    return values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values


def as_layers(values: np.ndarray) -> np.ndarray:
    """Layer numbers that are stored as real numbers: the whole number below, as showerdata has it (int(z + 0.1))."""
    return np.trunc(values + np.float32(0.1))


def angles_of(directions: np.ndarray) -> dict[str, np.ndarray]:
    """theta and phi (n,) in rad of directions (n, 3), which need not be unit vectors."""
    x, y, z = np.asarray(directions, dtype=np.float64).T
    return {"theta": np.arctan2(np.hypot(x, y), z), "phi": np.arctan2(y, x)}


def directions_of(conditions: Columns) -> np.ndarray:
    """(n, 3) unit vectors from the conditions theta and phi; along z without them."""
    theta, phi = (conditions[name] if name in conditions else np.zeros(conditions.n) for name in ("theta", "phi"))
    return np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])


def particle_codes(conditions: Columns, facts: Mapping[str, Any]) -> np.ndarray:
    """(n,) the particle's PDG code, int32: the condition `pdg`, else the sample's attribute `pdg_id`, else 0."""
    if "pdg" in conditions:
        return conditions["pdg"].astype(np.int32)
    code = facts.get("pdg_id", 0)
    return np.full(conditions.n, code if isinstance(code, int) else 0, dtype=np.int32)


def known_columns(values: Mapping[str, np.ndarray]) -> Columns:
    """Columns of conditions that `KNOWN` has."""
    return Columns([KNOWN[name] for name in values], np.column_stack([*values.values()]))
