"""`PointFile`: a file of points in any of the formats, read by chunks, checked as it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from caloforge.conditions import Condition
from caloforge.errors import option
from caloforge.files import as_path
from caloforge.points.clouds import PointClouds
from caloforge.points.energy_unit import GEV, Unit, parse_unit, unit_text
from caloforge.points.exchange import LAYOUTS
from caloforge.points.exchange.base import PointLayout
from caloforge.points.exchange.edm4hep import Edm4hepLayout, is_root
from caloforge.points.validity import check_points
from caloforge.showers.attributes import read_attributes
from caloforge.showers.checks import check_energies
from caloforge.showers.hdf5 import dataset, has, open_hdf5, reading, reject
from caloforge.units import count

CHUNK_POINTS = 2_000_000
"""Points that are read at once."""


class PointFile(AbstractContextManager["PointFile"]):
    """A file of points; what is inside decides which format it has.

    Args:
        path: of the file: caloforge's own format, showerdata's, CaloClouds', step2point's, JetNet's, or EDM4hep (ROOT).
        unit: of its energies, where it does not store it: `GeV`, or `MeV,GeV` for points and incident energies.
        if_needed: whether a file that states another unit is read in its own, instead of an error.

    Raises:
        CaloforgeError: the file is absent, unreadable, truncated, lacks a dataset, has one of another shape, or falling
            offsets, no showers, needs a unit, or states another; on reading, also a value that is not finite or out of
            range, with its shower.
    """

    def __init__(self, path: str | os.PathLike[str], unit: str | None = None, *, if_needed: bool = False) -> None:
        self.path, self._if_needed = as_path(path, "file of points"), if_needed
        given = parse_unit(unit) if unit is not None else None
        with ExitStack() as stack:
            self._file: Any = None
            self.attributes: dict[str, Any] = {}
            self._layout = self._open(stack, given)
            if len(self) == 0:
                raise reject(self.path, "holds no showers")
            self._stack = stack.pop_all()

    def _open(self, stack: ExitStack, unit: Unit | None) -> PointLayout | Edm4hepLayout:
        if is_root(self.path):
            self._agreed(GEV, unit)
            return Edm4hepLayout(self.path, stack)
        self._file = stack.enter_context(open_hdf5(self.path))
        self.attributes = read_attributes(self._file, self.path)
        with reading(self.path):
            for layout in LAYOUTS:
                if layout.is_of(self._file, self.path):
                    agreed = self._agreed(layout.stated_unit(self.attributes), unit)
                    return layout(self._file, self.path, self.attributes, agreed)
            found = ", ".join(sorted(map(str, self._file))) or "nothing"
        raise reject(self.path, f"is not in a format of points that is known (it has: {found})")

    def _agreed(self, stated: Unit | None, given: Unit | None) -> Unit | None:
        """The unit that the file states, else the one that is given."""
        if stated is not None and given not in (None, stated) and not self._if_needed:
            assert given is not None
            words = unit_text(stated), option("unit", unit_text(given))
            raise reject(self.path, f"its energies are in {words[0]}: leave out {words[1]}")
        return stated or given

    def __len__(self) -> int:
        return len(self._layout)

    def __repr__(self) -> str:
        return f"PointFile('{self.path.name}', {count(len(self), 'shower')}, {self.layout})"

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
        """Name of the format."""
        return self._layout.name

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the points."""
        return self._layout.names

    @property
    def kinds(self) -> tuple[Condition, ...]:
        """The conditions that the file has beyond the energy."""
        return self._layout.kinds

    def sizes(self) -> np.ndarray:
        """(N,) numbers of points; where the file does not store them, the largest possible."""
        return self._layout.sizes()

    def column(self, name: str) -> np.ndarray | None:
        """(N,) a further dataset of one number per shower, such as `geant4_cpu_seconds`; None if absent."""
        if self._file is None or not has(self._file, name, self.path):
            return None
        entry = dataset(self._file, name, self.path)
        if entry.shape not in ((len(self),), (len(self), 1)):
            return None
        with reading(self.path):
            return np.asarray(entry[...]).reshape(-1)

    def read(self, start: int = 0, stop: int | None = None) -> PointClouds:
        """Showers `start` … `stop` (all by default)."""
        stop = len(self) if stop is None else min(stop, len(self))
        found = self._layout.read(start, max(start, stop))
        check_energies(found.energies, start, self.path)
        check_points(found.points, found.names, found.offsets, start, self.path)
        for kind in found.conditions.kinds:
            kind.check(found.conditions[kind.name], f"{self.path}: ", start)
        return PointClouds.unchecked(
            found.energies, found.points, found.offsets, found.names, self.attributes, found.conditions
        )

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointClouds]:
        """All showers in file order, as many at a time as have at most so many points together, and at least one."""
        ends = np.cumsum(self.sizes(), dtype=np.int64)
        start = 0
        while start < len(self):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + points, side="right")))
            yield self.read(start, stop)
            start = stop


def read_points(
    path: str | os.PathLike[str], unit: str | None = None, *, start: int = 0, stop: int | None = None
) -> PointClouds:
    """Read point clouds into memory.

    >>> import tempfile
    >>> from caloforge import write_points
    >>> clouds = PointClouds([100, 200], [[0, 5, 0, 3], [5, 5, 1, 4], [0, 0, 2, 8]], [0, 2, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_points(clouds, f"{folder}/points.h5", layout="showerdata", unit="GeV")
    ...     read_points(f"{folder}/points.h5")["energy"]
    array([3., 4., 8.], dtype=float32)

    Args:
        path: a file of points in any of the formats (see `PointFile`, also for the errors).
        unit: of its energies, where the file does not say: `GeV`, or `MeV,GeV` for points and incident energies.
        start, stop: first shower to read, and the one to stop before; by default all.
    """
    with PointFile(path, unit) as file:
        return file.read(start, stop)


def is_point_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is in a format of points, from what is inside; False if it cannot be read at all."""
    given = Path(os.fsdecode(path))
    if given.is_dir():
        return False
    if is_root(given):
        return True
    with open_hdf5(given) as file, reading(given):
        return any(layout.is_of(file, given) for layout in LAYOUTS)
