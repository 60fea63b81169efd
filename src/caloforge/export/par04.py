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
import torch
from torch import Tensor

from caloforge.export import barrel
from caloforge.export.formats import GraphFormat, Mesh, Target
from caloforge.export.macros import par04_macro

ENERGY_UNIT = 1_024_000.0
"""MeV per unit of energy in Par04's input."""


class Par04(GraphFormat):
    """One shower per call, on a regular polar mesh."""

    name = "par04"
    summary = "Geant4 example Par04, slot of the VAE: one vector to fractions of E"
    input_names = ("input",)
    output_name = "output"
    batch = 1
    beside = (".mac",)

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.mesh = Mesh.of(target.geometry, self.name, uniform=True)

    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        rest = torch.zeros_like(noise[:, :1]).repeat(1, 2), torch.ones_like(noise[:, :1])  # theta 0, geometry 2 of 2
        return (torch.cat([noise, energies / ENERGY_UNIT, *rest], dim=1),)

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        d = self.target.latent_dim
        return inputs[0][:, :d], inputs[0][:, d : d + 1] * ENERGY_UNIT

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(name for name in barrel.taken(self.target) if name != "phi")

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return barrel.conditions(self._polar(inputs[0]))

    def with_conditions(self, inputs: tuple[Tensor, ...], values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        polar, (row,), d = barrel.polar_angle(values), inputs, self.target.latent_dim
        if polar is None:
            return inputs
        return (torch.cat([row[:, : d + 1], polar / barrel.NORMAL, row[:, d + 2 :]], dim=1),)

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

    def companions(self, path: Path) -> dict[Path, str]:
        return {path.with_suffix(".mac"): par04_macro(self.target, "VAE", path)}

    def describe(self) -> dict[str, Any]:
        d, mesh = self.target.latent_dim, self.mesh
        return {
            "inputs": {
                "input": {
                    "shape": [1, d + 4],
                    "what": f"{d} numbers from N(0, 1), E/{ENERGY_UNIT:.0f} MeV, theta/90 degrees, 2 geometries",
                    "latent_size": d,
                }
            },
            "output": {"output": {"shape": [1, mesh.n_r * mesh.n_alpha * mesh.n_z], "unit": "fraction of E"}},
            "axis_order": "r slowest, then phi (from -pi), z fastest",
            "mesh": {"rho": mesh.n_r, "phi": mesh.n_alpha, "z": mesh.n_z},
        }
