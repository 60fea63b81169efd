"""Recipes of a reconstruction: small YAML files (energies in MeV, lengths in mm).

    name: my-calorimeter
    noise_mev: {0: 10, 1: 5}      # standard deviation of the noise of every voxel; one number, or {layer: number}
    seed_sigma: 4                 # a cluster starts at voxels of more than so many standard deviations …
    growth_sigma: 2               # … grows over neighbours of more than so many …
    boundary_sigma: 0             # … and takes in the neighbours of these of more than so many
    suppression_sigma: 0          # voxels of fewer standard deviations are set to zero before; optional
    calibration: response         # response, power, linear or none, fitted to Geant4
    front: [1]                    # layers with fine segmentation: width, two highest maxima
    middle: [2]                   # layers around the maximum of the shower: R_eta, R_phi, width
    back: [3]                     # last layers of the electromagnetic calorimeter
    hadronic: [12, 13, 14]        # layers behind it: leakage
    cell_mm: 37.5                 # R_eta and R_phi are taken in windows of 3, 5 and 7 cells of this size
    separation_mm: 25             # distance of two overlaid showers

The four groups of layers may name layers that a geometry does not have.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from caloforge.configured import Configured
from caloforge.documents import read_document
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.geometry.entries import Number

SHIPPED = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with caloforge."""

Noise = Annotated[Number, Field(ge=0)]
Sigma = Annotated[Number, Field(ge=0)]
Length = Annotated[Number, Field(gt=0)]
CalibrationKind = Literal["response", "power", "linear", "none"]


class Reconstruction(Configured):
    """The settings of a reconstruction (see the module).

    >>> Reconstruction(name="mine", noise_mev=5, seed_sigma=2, growth_sigma=3)
    Traceback (most recent call last):
    ...
    caloforge.errors.CaloforgeError: reconstruction 'mine': growth_sigma is 3, above seed_sigma 2; ...

    Args:
        name: its name in reports.
        noise_mev: standard deviation of the Gaussian noise of every voxel in MeV; one number, or by layer id.
        seed_sigma, growth_sigma, boundary_sigma: thresholds on |E| in standard deviations of the noise.
        suppression_sigma: voxels with a smaller |E| are set to zero before clusters are made.
        calibration: function from summed cluster energy to incident energy (see `energy_scale`).
        front, middle, back, hadronic: ids of the layers of the identification variables.
        cell_mm: size of the cells in whose windows R_eta and R_phi are taken.
        separation_mm: distance of two overlaid showers.
        description: for the reader of the file.
    """

    def __init__(
        self,
        *,
        name: str,
        noise_mev: Noise | dict[int, Noise],
        seed_sigma: Sigma = 4.0,
        growth_sigma: Sigma = 2.0,
        boundary_sigma: Sigma = 0.0,
        suppression_sigma: Sigma = 0.0,
        calibration: CalibrationKind = "response",
        front: list[int] = [],  # noqa: B006
        middle: list[int] = [],  # noqa: B006
        back: list[int] = [],  # noqa: B006
        hadronic: list[int] = [],  # noqa: B006
        cell_mm: Length = 37.5,
        separation_mm: Length = 25.0,
        description: str = "",
    ) -> None:
        self.name, self.description = name, description
        self.noise_mev = noise_mev
        self.seed_sigma, self.growth_sigma, self.boundary_sigma = seed_sigma, growth_sigma, boundary_sigma
        self.suppression_sigma = suppression_sigma
        self.calibration: CalibrationKind = calibration
        self.roles = {"front": front, "middle": middle, "back": back, "hadronic": hadronic}
        self.cell_mm, self.separation_mm = cell_mm, separation_mm
        for lower, upper in (("growth_sigma", "seed_sigma"), ("boundary_sigma", "growth_sigma")):
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high:
                raise CaloforgeError(
                    f"reconstruction '{name}': {lower} is {low:g}, above {upper} {high:g}; a cluster starts at the "
                    "highest threshold and grows at lower ones"
                )
        twice = [k for k in {*front, *middle, *back, *hadronic} if sum(k in ids for ids in self.roles.values()) > 1]
        if twice:
            raise CaloforgeError(
                f"reconstruction '{name}': layer {twice[0]} is in two of front, middle, back and hadronic: keep one"
            )

    def __repr__(self) -> str:
        return f"Reconstruction('{self.name}')"

    def noise_of(self, geometry: Geometry) -> np.ndarray:
        """(V,) standard deviation of the noise of each voxel in MeV.

        Raises:
            CaloforgeError: there is no noise for a layer of the geometry.
        """
        if not isinstance(self.noise_mev, Mapping):
            return np.full(geometry.n_voxels, float(self.noise_mev))
        lacking = [layer for layer in geometry.layer_ids if layer not in self.noise_mev]
        if lacking:
            raise CaloforgeError(
                f"reconstruction '{self.name}' has no noise_mev for layer {lacking[0]} of '{geometry.name}'; it has "
                f"{', '.join(map(str, self.noise_mev))}: add the layer, or give one number for all"
            )
        of_layer = np.array([float(self.noise_mev[layer]) for layer in geometry.layer_ids])
        return np.asarray(of_layer[geometry.layer_index])

    def voxels_of(self, geometry: Geometry, role: str, directed: bool = False) -> np.ndarray:
        """(V,) which voxels belong to the layers of a role; with `directed` only of layers with eta and phi."""
        ids = self.roles[role]
        inside = [layer.id in ids and (layer.has_directions or not directed) for layer in geometry.layers]
        return np.asarray(np.array(inside)[geometry.layer_index])


def shipped_reconstructions() -> tuple[str, ...]:
    """Names of the recipes that come with caloforge."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_reconstruction(given: str | os.PathLike[str] | Mapping[str, Any] | Reconstruction) -> Reconstruction:
    """The shipped recipe of that name, or the one in a file, or from a mapping of settings.

    >>> load_reconstruction("toy-atlas-like").seed_sigma
    4.0

    Raises:
        CaloforgeError: there is none of this name, or the file cannot be read or has a key or value that is not valid.
    """
    if isinstance(given, Reconstruction):
        return given
    if isinstance(given, Mapping):
        return Reconstruction.from_config(given, origin="reconstruction")
    known = shipped_reconstructions()
    path = SHIPPED / f"{given}.yaml" if str(given) in known else Path(given)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise CaloforgeError(f"unknown reconstruction '{given}': give one of {', '.join(known)}, or a .yaml file")
    plain = read_document(path, "reconstruction file")
    if not isinstance(plain, Mapping):
        raise CaloforgeError(f"{given} must hold settings, as 'noise_mev: 5', not a {type(plain).__name__}")
    return Reconstruction.from_config(plain, origin=str(given))
