"""Observables of single showers, by name.

`e_tot_over_e_inc`, `e_layer_<id>` (MeV), `ec_eta_<id>`, `ec_phi_<id>`, `ec_r_<id>`, `width_eta_<id>`, …
(mm), `sparsity_<id>` are the CaloChallenge's; further ones stand in `energies`, `centres` and `shapes`. Voxels
below the threshold are set to zero first. `voxel_energy` is no observable of a shower but a histogram over its
voxels.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.evaluation.observables import centres, energies, shapes
from caloforge.evaluation.observables.base import REGISTRY, Observable, View, above_threshold
from caloforge.geometry import Geometry
from caloforge.showers import Showers

__all__ = [
    "REGISTRY",
    "View",
    "above_threshold",
    "all_names",
    "centres",
    "challenge_names",
    "compute",
    "energies",
    "find",
    "shapes",
    "summary_names",
    "table1_names",
    "unit_of",
]

FEW_LAYERS = 10
"""Up to so many layers a report also keeps the observables of single layers beyond the challenge's."""


def find(geometry: Geometry, name: str) -> tuple[Observable, int | None]:
    """The family behind `name` and the position of its layer, None for an observable of whole showers.

    Raises:
        CaloforgeError: there is no such observable in this geometry.
    """
    if name in REGISTRY and not REGISTRY[name].of_layers:
        return REGISTRY[name], None
    prefix, _, number = name.rpartition("_")
    family = REGISTRY.get(prefix)
    if family is not None and family.of_layers:
        for position, layer in enumerate(geometry.layers):
            if str(layer.id) == number and family.applies(layer):
                return family, position
    known = ", ".join(f"{n}_<layer>" if o.of_layers else n for n, o in REGISTRY.items())
    raise CaloforgeError(f"no observable '{name}' in geometry '{geometry.name}' (known: {known})")


def compute(
    showers: Showers, names: Collection[str] | None = None, threshold: float | None = None
) -> dict[str, np.ndarray]:
    """Observables of each shower.

    Args:
        showers: N showers.
        names: which ones; None takes `challenge_names`.
        threshold: voxels below it (MeV) count as zero; None takes the geometry's readout threshold.

    Returns:
        name → (N,) float64.

    Raises:
        CaloforgeError: a name is unknown in this geometry.
    """
    wanted = challenge_names(showers.geometry) if names is None else names
    found = {name: find(showers.geometry, name) for name in wanted}
    view = View(showers, threshold)
    return {
        name: family.compute(view) if position is None else family.compute(view, position)
        for name, (family, position) in found.items()
    }


def _of_layers(geometry: Geometry, families: Collection[str]) -> list[str]:
    return [
        f"{family}_{layer.id}" for family in families for layer in geometry.layers if REGISTRY[family].applies(layer)
    ]


def challenge_names(geometry: Geometry) -> list[str]:
    """The CaloChallenge's observables of a shower; `voxel_energy` comes on top as a histogram of voxels."""
    families = ["e_layer", "ec_eta", "ec_phi", "ec_r", "width_eta", "width_phi", "width_r", "sparsity"]
    return ["e_tot_over_e_inc", *_of_layers(geometry, families)]


def table1_names(geometry: Geometry) -> list[str]:
    """CaloMan's Table 1 (arXiv:2211.15380): response, layer energies, centres and widths in eta and phi."""
    families = ["e_layer", "ec_eta", "ec_phi", "width_eta", "width_phi"]
    return ["e_tot_over_e_inc", *_of_layers(geometry, families)]


def all_names(geometry: Geometry) -> list[str]:
    """Every registered observable that the geometry has."""
    families = [name for name, family in REGISTRY.items() if family.of_layers]
    return [name for name, family in REGISTRY.items() if not family.of_layers] + _of_layers(geometry, families)


def summary_names(geometry: Geometry) -> list[str]:
    """What a report keeps: the challenge's and whole-shower observables, and all others where layers are few.

    Occupancies are left out, being 1 − sparsity.
    """
    names = challenge_names(geometry)
    names += [n for n in all_names(geometry) if n not in names and REGISTRY.get(n) is not None]
    if geometry.n_layers <= FEW_LAYERS:
        names += _of_layers(geometry, ["fraction_layer", "brightest", "second_brightest", "e_ratio"])
    return names


def unit_of(name: str) -> str:
    """Unit of an observable, empty for pure numbers and unknown names."""
    if name == "voxel_energy":
        return "MeV"
    family = REGISTRY.get(name) or REGISTRY.get(name.rpartition("_")[0])
    return family.unit if family is not None else ""
