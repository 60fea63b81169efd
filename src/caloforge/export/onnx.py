"""`onnx`: the generic graph, from `noise` (N, D) and `incident_energy` (N, 1) in MeV to `voxels` (N, V) in MeV.

Each further condition of the run is an input `incident_NAME` (N, 1), in the unit of shower files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from caloforge.export.formats import GraphFormat, Target
from caloforge.inference.onnx_engine import INPUTS, OUTPUT, PREFIX


class Onnx(GraphFormat):
    """Noise from N(0, 1) and energies in MeV to voxels in MeV in caloforge's order; any number of showers per call."""

    name = "onnx"
    summary = "generic: noise and incident energy in MeV to voxels in MeV"
    output_name = OUTPUT

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.input_names = (*INPUTS, *(PREFIX + name for name in target.open_conditions))

    @property
    def takes(self) -> tuple[str, ...]:
        return self.target.open_conditions

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.target.open_conditions, inputs[len(INPUTS) :], strict=True))

    def with_conditions(self, inputs: tuple[Tensor, ...], values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        return (*inputs[: len(INPUTS)], *(values[name] for name in self.target.open_conditions))

    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        return noise, energies

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, energies = inputs[: len(INPUTS)]
        return noise, energies

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return voxels

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return output

    def describe(self) -> dict[str, Any]:
        return {
            "inputs": {
                "noise": {"shape": ["N", self.target.latent_dim], "what": "independent numbers from N(0, 1)"},
                "incident_energy": {"shape": ["N", 1], "what": "incident energy", "unit": "MeV"},
                **{
                    PREFIX + entry.kind.name: {"shape": ["N", 1], "what": entry.kind.what, "unit": entry.kind.unit}
                    for entry in self.target.conditions.needed
                    if entry.kind.name in self.target.open_conditions
                },
            },
            "output": {"voxels": {"shape": ["N", self.target.geometry.n_voxels], "unit": "MeV"}},
            "axis_order": "layer slowest, then alpha (from -pi), r fastest; Cartesian layers: phi, then eta",
        }
