"""`onnx`: the generic graph, from `noise` (N, D) and `incident_energy` (N, 1) in MeV to `voxels` (N, V) in MeV.

Each further condition of the run is an input `incident_NAME` (N, 1), in the unit of shower files.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from caloforge.export.formats import GraphFormat, Target
from caloforge.export.layout import quantity
from caloforge.inference.onnx_engine import INPUTS, OUTPUT, PREFIX


class Onnx(GraphFormat):
    """Noise from N(0, 1) and energies in MeV to voxels in MeV in caloforge's order; any number of showers per call."""

    name = "onnx"
    axis_order = "layer slowest, then alpha (from -pi), r fastest; Cartesian layers: phi, then eta"
    summary = "generic: noise and incident energy in MeV to voxels in MeV"
    output_name = OUTPUT

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        noise, energy = INPUTS
        self.layout = {
            noise: [target.noise()],
            energy: [target.energy("incident energy")],
            **{PREFIX + name: [quantity(entry)] for name, entry in target.open_conditions.items()},
        }

    @property
    def takes(self) -> tuple[str, ...]:
        return tuple(self.target.open_conditions)

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.target.open_conditions, inputs[len(INPUTS) :], strict=True))

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, energies = inputs[: len(INPUTS)]
        return noise, energies

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return voxels

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return output
