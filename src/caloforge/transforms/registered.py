"""Transforms by name, and compositions from a recipe's list and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from caloforge.geometry import Geometry
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
        "readout_threshold": "caloforge.transforms.readout_threshold.ReadoutThreshold",
    },
)


def build_transforms(
    specification: Sequence[Mapping[str, Any]],
    geometry: Geometry,
    trusted: Collection[str] = (),
    origin: str = "transforms",
) -> Compose:
    """A composition from a recipe's list.

    Args:
        specification: mappings with `kind` (registered name or trusted dotted path) and that transform's settings.
        geometry: given to the transforms that ask for it.
        trusted: dotted paths of classes that the user named.
        origin: what to call the list in an error.

    Raises:
        CaloforgeError: a kind is unknown or a key is wrong.
    """
    return Compose(
        [
            TRANSFORMS.build(entry, origin=f"{origin}[{number}]", trusted=trusted, geometry=geometry)
            for number, entry in enumerate(specification)
        ]
    )


def specification_of(transforms: Compose) -> list[dict[str, Any]]:
    """The list from which `build_transforms` builds this composition.

    Raises:
        CaloforgeError: an argument of a transform cannot be written as plain data.
    """
    return [TRANSFORMS.to_config(transform) for transform in transforms]
