"""Transforms by name, and compositions from a recipe's list and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.registry import Registry, checked_settings, wants_geometry
from caloforge.transforms.base import Compose, Transform

TRANSFORMS = Registry(
    "transform",
    Transform,  # type: ignore[type-abstract]
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
    built = []
    for number, entry in enumerate(specification):
        where = f"{origin}[{number}]"
        settings = dict(entry)
        if "kind" not in settings:
            raise CaloforgeError(f"{where}: missing key 'kind'")
        try:
            cls = TRANSFORMS.resolve(str(settings.pop("kind")), trusted)
            context = {"geometry": geometry} if wants_geometry(cls) else {}
            built.append(cls(**checked_settings(cls, settings, where), **context))
        except CaloforgeError as error:
            message = str(error)
            raise CaloforgeError(message if message.startswith(where) else f"{where}: {message}") from None
    return Compose(built)


def specification_of(transforms: Compose) -> list[dict[str, Any]]:
    """The list that `build_transforms` makes this composition from."""
    return [{"kind": TRANSFORMS.name_of(type(t)), **t.settings} for t in transforms]
