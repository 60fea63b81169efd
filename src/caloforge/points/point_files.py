"""`PointFiles`: files of points that are one sample, such as shards, with the reading methods of one `PointFile`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions import Columns, Condition
from caloforge.conditions.columns import difference
from caloforge.errors import CaloforgeError
from caloforge.points.clouds import PointClouds
from caloforge.points.point_file import CHUNK_POINTS, PointFile
from caloforge.units import count


@dataclass(frozen=True)
class PointFacts:
    """What one pass over files leaves in memory.

    Args:
        energies: (n,) incident energies in MeV of each file.
        conditions: beyond the energy, of all showers.
    """

    energies: list[np.ndarray]
    conditions: Columns


class PointFiles:
    """Several files of points, read as one; none stays open between two reads.

    Args:
        paths: of the files, in order.
        unit: of energies in files that do not state it (see `PointFile`).
        if_needed: whether files that state another unit are read in their own, since they may differ in format.

    Raises:
        CaloforgeError: what `PointFile` raises; or a file has other columns than the first.

    Attributes:
        most: points of the largest shower, or where files do not store it the largest possible number.
    """

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], unit: str | None = None, *, if_needed: bool = False
    ) -> None:
        if not paths:
            raise CaloforgeError("no file of points is given")
        self._unit, self._if_needed = unit, if_needed
        self.paths = [Path(os.fsdecode(path)) for path in paths]
        self.names: tuple[str, ...] = ()
        self.kinds: tuple[Condition, ...] = ()
        self.attributes: dict[str, Any] = {}
        self.most = 0
        self._ends: list[int] = []
        for path in self.paths:
            with self._open(path) as file:
                self._check_in(file)

    def _open(self, path: Path) -> PointFile:
        return PointFile(path, self._unit, if_needed=self._if_needed)

    def _check_in(self, file: PointFile) -> None:
        """Take note of a file, and compare it with the first."""
        if not self._ends:
            self.names, self.kinds, self.attributes = file.names, file.kinds, dict(file.attributes)
        if file.names != self.names:
            columns = f"{', '.join(file.names)}, not {', '.join(self.names)} as {self.paths[0]}"
            raise CaloforgeError(f"{file.path} has points with the columns {columns}")
        self.attributes = {key: value for key, value in self.attributes.items() if file.attributes.get(key) == value}
        self.most = max(self.most, int(file.sizes().max(initial=0)))
        self._ends.append(len(self) + len(file))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __repr__(self) -> str:
        return f"PointFiles({count(len(self.paths), 'file')}, {count(len(self), 'shower')})"

    @property
    def path(self) -> str:
        """The file, or the folder of the files, for messages."""
        return str(self.paths[0]) if len(self.paths) == 1 else f"{self.paths[0].parent} ({len(self.paths)} files)"

    def energies_by_file(self) -> list[np.ndarray]:
        """(n,) incident energies in MeV of each file."""
        return self.facts.energies

    def conditions(self) -> Columns:
        """All conditions beyond the energy."""
        return self.facts.conditions

    def chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointClouds]:
        """All showers in order, by chunks of one file each (see `PointFile.chunks`)."""
        for path in self.paths:
            with self._open(path) as file:
                yield from file.chunks(points)

    def one(self, row: int) -> PointClouds:
        """One of the showers."""
        k = int(np.searchsorted(self._ends, row, side="right"))
        first = row - (self._ends[k - 1] if k else 0)
        with self._open(self.paths[k]) as file:
            return file.read(first, first + 1)

    @cached_property
    def facts(self) -> PointFacts:
        """Energies and conditions of all showers, from a pass over the files.

        Raises:
            CaloforgeError: files have different conditions.
        """
        energies: list[np.ndarray] = []
        columns: list[Columns] = []
        for path in self.paths:
            with self._open(path) as file:
                if differs := difference(self.kinds, file.kinds):
                    raise CaloforgeError(f"{self.paths[0]} and {path} differ in conditions: {differs}")
                parts = [(chunk.energies, chunk.conditions) for chunk in file.chunks()]
            energies.append(np.concatenate([part[0] for part in parts]))
            columns += [part[1].only([kind.name for kind in self.kinds]) for part in parts]
        return PointFacts(energies, Columns.joined(columns))
