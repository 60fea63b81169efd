"""`calodit2`: for the newer model slot of the Geant4 example Par04 (11.4).

One float input (1, 8): E in GeV, phi, theta, and a one-hot code of five geometries; noise is drawn inside the graph.
Angles and geometry are ignored. The output is the energies in GeV on the 9 x 16 x 45 mesh, flat: r outer, phi, z inner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.formats import GraphFormat, Mesh, Target

MESH = Mesh(n_z=45, n_alpha=16, n_r=9)


class CaloDiT2(GraphFormat):
    """One shower per call, on the mesh of ds2. For the parity check, noise is a second input."""

    name = "calodit2"
    summary = "Geant4 example Par04 (11.4): (1, 8) to GeV, noise inside"
    input_names = ("input", "noise")
    output_name = "output"
    batch = 1
    draws_noise = True

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        mesh = Mesh.of(target.geometry, self.name)
        if mesh != MESH:
            raise CaloforgeError(
                f"calodit2 needs 9 x 16 x 45 voxels (r, phi, z), not {mesh.n_r} x {mesh.n_alpha} x {mesh.n_z}: "
                "export par04 or onnx"
            )

    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        rest = torch.zeros_like(energies).repeat(1, 6), torch.ones_like(energies)
        return torch.cat([energies / 1000, *rest], dim=1), noise

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs[1], inputs[0][:, :1] * 1000

    def write(self, voxels: Tensor, energies: Tensor) -> Tensor:
        return MESH.to_consumer(voxels) / 1000

    def restore(self, output: np.ndarray, energies: np.ndarray) -> np.ndarray:
        return MESH.from_consumer(output) * 1000

    def describe(self) -> dict[str, Any]:
        return {
            "inputs": {
                "input": {
                    "shape": [1, 8],
                    "what": "E in GeV, phi, theta, one-hot of 5 geometries",
                    "ignored": "angles and geometry",
                }
            },
            "noise": f"{self.target.latent_dim} numbers from N(0, 1), drawn inside the graph in each call",
            "output": {"output": {"shape": [1, MESH.n_r * MESH.n_alpha * MESH.n_z], "unit": "GeV"}},
            "axis_order": "r slowest, then phi (from -pi), z fastest",
            "mesh": {"rho": MESH.n_r, "phi": MESH.n_alpha, "z": MESH.n_z},
        }
