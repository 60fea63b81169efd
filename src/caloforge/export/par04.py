"""`par04`: for the VAE slot of the Geant4 example Par04.

One float input (1, D + 4): noise from N(0, 1), E/1 024 000 MeV, theta/90°, and a one-hot code of two geometries. The
geometry is ignored, since a run has only one, and so is the angle unless the run knows one (`caloforge.export.barrel`).
The output is fractions of E, flat: r outer, phi, z inner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from caloforge.export import barrel
from caloforge.export.formats import GraphFormat, Mesh, Target
from caloforge.export.layout import FRACTION, Constant
from caloforge.export.macros import par04_macro

ENERGY_UNIT = 1_024_000.0
"""MeV per unit of energy in Par04's input."""


class Par04(GraphFormat):
    """One shower per call, on a regular polar mesh."""

    name = "par04"
    summary = "Geant4 example Par04, slot of the VAE: one vector to fractions of E"
    axis_order = "r slowest, then phi (from -pi), z fastest"
    output_name = "output"
    unit = FRACTION
    batch = 1
    beside = (".mac",)

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.mesh = Mesh.of(target.geometry, self.name, uniform=True)
        energy = target.energy(f"E/{ENERGY_UNIT:.0f} MeV", 1 / ENERGY_UNIT)
        angle = barrel.polar_column(target, "theta/90 degrees", 1 / barrel.NORMAL)
        self.layout = {"input": [target.noise(), energy, angle, Constant([0.0, 1.0], "one-hot of 2 geometries")]}

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        d = self.target.latent_dim
        return inputs[0][:, :d], inputs[0][:, d : d + 1] * ENERGY_UNIT

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(name for name in barrel.taken(self.target) if name != "phi")

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return barrel.conditions(self._polar(inputs[0]))

    def passed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return barrel.passed(values)

    def turned(self, voxels: Tensor, *inputs: Tensor) -> Tensor:
        return barrel.turned(self.mesh, voxels, self._polar(inputs[0]), self.target)

    def _polar(self, row: Tensor) -> Tensor:
        d = self.target.latent_dim
        return row[:, d + 1 : d + 2] * barrel.NORMAL

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return self.mesh.to_consumer(voxels / energies)

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return self.mesh.from_consumer(output * energies)

    def ignored(self) -> str:
        return "geometry" if self.target.open_conditions else "theta and geometry"

    def outside(self) -> str:
        return "the shower is that of the nearer end of the range, scaled to the energy asked for"

    def companions(self, path: Path) -> dict[Path, bytes]:
        return {path.with_suffix(".mac"): par04_macro(self.target, "VAE", path).encode()}

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "latent_size": self.target.latent_dim, "mesh": self.mesh.to_dict()}
