"""`PointWriter`: point clouds into a file of any format that is written, by chunks, complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from caloforge.conditions import Condition
from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path, check_suffix
from caloforge.points.clouds import HITS, PointClouds
from caloforge.points.energy_unit import parse_unit
from caloforge.points.exchange import OUTPUTS
from caloforge.points.exchange.base import extend
from caloforge.points.validity import check_points
from caloforge.showers.attributes import write_attributes
from caloforge.showers.hdf5 import created


class PointWriter(AbstractContextManager["PointWriter"]):
    """Append point clouds to a file that appears under its name only when complete.

    Args:
        path: the file to write; an existing one is replaced at the end.
        names: columns of the points.
        conditions: what showers depend on besides the energy.
        layout: name of the format (`caloforge.points.exchange.OUTPUTS`).
        unit: of energies in the file, for formats that do not store it: `MeV`, `GeV` or both (`parse_unit`).
        attributes: provenance to store: numbers, text or lists of them; others are stored as text.
        columns: names of further datasets with one float64 per shower, given to `append`.

    Raises:
        CaloforgeError: there is no such format, it needs a column that points do not have, or the file cannot be
            written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        names: Sequence[str] = HITS,
        conditions: Sequence[Condition] = (),
        *,
        layout: str = "points",
        unit: str = "MeV",
        attributes: Mapping[str, Any] | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        from caloforge import __version__

        if layout not in OUTPUTS:
            raise CaloforgeError(f"'{layout}' is not a format of points that is written; use {', '.join(OUTPUTS)}")
        self.path, self._n = Path(path), 0
        check_suffix(self.path, ".h5", ".hdf5")
        facts = dict(attributes or {})
        self._stack = ExitStack()
        with ExitStack() as stack:
            partial = stack.enter_context(atomic_path(self.path))
            file, self._check = stack.enter_context(created(partial))
            own = {"caloforge_version": __version__, "energy_unit": "MeV", "length_unit": "mm", "time_unit": "ns"}
            write_attributes(file, {**facts, **(own if layout == "points" else {"caloforge_version": __version__})})
            self._output = OUTPUTS[layout](file, names, conditions, parse_unit(unit), facts)
            self._columns = {name: self._output.create(name, (), "f8") for name in columns}
            self._stack = stack.pop_all()

    def append(self, clouds: PointClouds, /, **columns: np.ndarray) -> None:
        """Add showers, and each further column (n,) of them.

        Raises:
            CaloforgeError: their columns or conditions are not those announced, a value is not finite or out of range,
                or the disk is full.
        """
        for what, wanted, given in (
            ("columns", self._output.names, clouds.names),
            ("conditions", tuple(kind.name for kind in self._output.kinds), clouds.conditions.names),
        ):
            if sorted(wanted) != sorted(given):
                raise CaloforgeError(
                    f"{self.path}: the {what} {', '.join(given) or 'none'} do not fit those of the file, "
                    f"{', '.join(wanted) or 'none'}"
                )
        check_points(clouds.points, clouds.names, clouds.offsets, self._n)
        self._output.append(clouds)
        for name, values in columns.items():
            extend(self._columns[name], np.asarray(values))
        self._n += len(clouds)
        self._check()

    def __len__(self) -> int:
        return self._n

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._output.finish()
        self._stack.__exit__(kind, value, traceback)


def write_points(
    clouds: PointClouds,
    path: str | os.PathLike[str],
    *,
    layout: str = "points",
    unit: str = "MeV",
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write point clouds to a file, complete or not at all.

    >>> import tempfile
    >>> from caloforge import read_points
    >>> clouds = PointClouds([100], [[0, 5, 0, 3]], [0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_points(clouds, f"{folder}/points.h5")
    ...     read_points(f"{folder}/points.h5") == clouds
    True

    Args:
        clouds: what to write. path: an existing file is replaced.
        layout, unit, attributes: see `PointWriter`, also for the errors.
    """
    facts = {**clouds.attributes, **(attributes or {})}
    with PointWriter(path, clouds.names, clouds.conditions.kinds, layout=layout, unit=unit, attributes=facts) as out:
        out.append(clouds)
