"""Which class a trained generator has: `Simulator` for voxels, `PointSimulator` for point clouds."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from caloforge.files import as_path
from caloforge.geometry import AnyGeometry, PointGeometry
from caloforge.simulator.core import Simulator
from caloforge.simulator.point_simulator import PointSimulator
from caloforge.simulator.stored import read_description

AnySimulator = Simulator | PointSimulator
"""A trained generator of voxels, or of point clouds."""


def simulator_of(geometry: AnyGeometry, *parts: Any) -> AnySimulator:
    """A simulator for a geometry, of the other arguments of `TrainedGenerator`."""
    if isinstance(geometry, PointGeometry):
        return PointSimulator(geometry, *parts)
    return Simulator(geometry, *parts)


def load_simulator(
    folder: str | os.PathLike[str], trusted: Collection[str] = (), settings: Mapping[str, Any] | None = None
) -> AnySimulator:
    """Read a saved simulator of either class (see `TrainedGenerator.load` for the arguments and errors)."""
    of_points = PointGeometry.is_in(read_description(as_path(folder, "folder of a run")).get("geometry"))
    return (PointSimulator if of_points else Simulator).load(folder, trusted, settings)
