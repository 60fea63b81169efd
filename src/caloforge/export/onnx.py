"""`onnx`: the generic graph, from `noise` (N, D) and `incident_energy` (N, 1) in MeV to `voxels` (N, V) in MeV."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from caloforge.export.formats import GraphFormat
from caloforge.inference.onnx_engine import INPUTS, OUTPUT


class Onnx(GraphFormat):
    """Noise from N(0, 1) and energies in MeV to voxels in MeV in caloforge's order; any number of showers per call."""

    name = "onnx"
    summary = "generic: noise and incident energy in MeV to voxels in MeV"
    input_names = INPUTS
    output_name = OUTPUT

    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        return noise, energies

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, energies = inputs
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
            },
            "output": {"voxels": {"shape": ["N", self.target.geometry.n_voxels], "unit": "MeV"}},
            "axis_order": "layer slowest, then alpha (from -pi), r fastest; Cartesian layers: phi, then eta",
        }
