"""Transforms by name, and conversion between compositions and the lists of recipes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.geometry import AnyGeometry, PointGeometry
from caloforge.registry import ConfiguredRegistry
from caloforge.transforms.base import Compose, Transform

TRANSFORMS: ConfiguredRegistry[Transform] = ConfiguredRegistry(
    "transform",
    Transform,
    {
        "append_deposited_energy": "caloforge.transforms.deposited_energy.AppendDepositedEnergy",
        "cartesian_cells": "caloforge.transforms.cartesian_cells.CartesianCells",
        "deposited_energy_shares": "caloforge.transforms.deposited_energy.DepositedEnergyShares",
        "incident_energy_fraction": "caloforge.transforms.incident_energy.IncidentEnergyFraction",
        "linear_condition": "caloforge.transforms.incident_energy.LinearCondition",
        "logit": "caloforge.transforms.logit.Logit",
        "point_centre": "caloforge.transforms.point_calibration.PointCentre",
        "point_cells": "caloforge.transforms.point_transforms.PointCells",
        "point_deposit": "caloforge.transforms.point_transforms.PointDeposit",
        "point_layers": "caloforge.transforms.point_calibration.PointLayers",
        "point_log": "caloforge.transforms.point_transforms.PointLog",
        "readout_threshold": "caloforge.transforms.readout_threshold.ReadoutThreshold",
    },
)


def build_transforms(
    specification: Sequence[Mapping[str, Any]],
    geometry: AnyGeometry,
    trusted: Collection[str] = (),
    origin: str = "transforms",
) -> Compose:
    """Build a composition from the list of a recipe.

    Args:
        specification: mappings with `kind` (registered name or trusted dotted path) and the settings of the transform.
        geometry: passed to the transforms that take it.
        trusted: dotted paths of classes named by the user.
        origin: name of the list in error messages.

    Raises:
        CaloforgeError: a kind is unknown, a key is invalid, or a transform of voxels is to act on points.
    """
    built = []
    for number, entry in enumerate(specification):
        where, kind = f"{origin}[{number}]", entry.get("kind")
        of_points = isinstance(geometry, PointGeometry) and isinstance(kind, str)
        if of_points and TRANSFORMS.resolve(str(kind), trusted).takes_clouds is False:
            raise CaloforgeError(f"{where}: {kind} is for voxels, not for point clouds: leave it out")
        built.append(TRANSFORMS.build(entry, origin=where, trusted=trusted, geometry=geometry))
    return Compose(built)


def specification_of(transforms: Compose) -> list[dict[str, Any]]:
    """The list from which `build_transforms` rebuilds this composition.

    Raises:
        CaloforgeError: an argument of a transform cannot be written as plain data.
    """
    return [TRANSFORMS.to_config(transform) for transform in transforms]
