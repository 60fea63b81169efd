"""`atlas`: for ATLAS fast simulation.

`node_0` is noise with mean and standard deviation 1/2, as used by the ATLAS GANs; `node_1` is
ln(E/E_min)/ln(E_max/E_min), with the limits of the training range. The output `out_0` contains voxel energies as
fractions of E, layer by layer, with r outer and alpha inner in each layer (the reverse of caloforge's order).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.formats import GraphFormat, Target, permute_columns
from caloforge.geometry import Geometry, Layer


class Atlas(GraphFormat):
    """Two named inputs to fractions of E; any geometry of polar layers, any number of showers per call."""

    name = "atlas"
    summary = "ATLAS: node_0 and node_1 to fractions of E"
    input_names = ("node_0", "node_1")
    output_name = "out_0"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.order = alpha_inner(target.geometry)
        if not target.low < target.high:
            raise CaloforgeError(
                f"atlas needs a range of incident energies, but the run was trained only at {target.low:g} MeV"
            )

    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        low, high = self.target.low, self.target.high
        return 0.5 + 0.5 * noise, torch.log(energies / low) / math.log(high / low)

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, position = inputs
        low, high = self.target.low, self.target.high
        # Clamp before the exponential, which could overflow.
        return 2 * noise - 1, low * torch.exp(position.clamp(0, 1) * math.log(high / low))

    def write(self, voxels: Tensor, energies: Tensor) -> Tensor:
        return permute_columns(voxels, self.order) / energies

    def restore(self, output: np.ndarray, energies: np.ndarray) -> np.ndarray:
        voxels = np.empty_like(output)
        voxels[:, self.order] = output * energies
        return voxels

    def describe(self) -> dict[str, Any]:
        return {
            "inputs": {
                "node_0": {"shape": ["N", self.target.latent_dim], "what": "independent numbers from N(0.5, 0.5)"},
                "node_1": {
                    "shape": ["N", 1],
                    "what": "ln(E/E_min)/ln(E_max/E_min)",
                    "E_min_mev": self.target.low,
                    "E_max_mev": self.target.high,
                },
            },
            "output": {"out_0": {"shape": ["N", self.target.geometry.n_voxels], "unit": "fraction of E"}},
            "axis_order": "layer slowest, then r, alpha (from -pi) fastest",
        }


def alpha_inner(geometry: Geometry) -> np.ndarray:
    """(V,) caloforge's voxel indices in the order layer, r, alpha.

    Raises:
        CaloforgeError: a layer is Cartesian.
    """
    order = []
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        if not isinstance(layer, Layer):
            raise CaloforgeError(
                f"atlas needs layers with r and alpha bins, but layer {layer.id} is Cartesian: export onnx"
            )
        order.append(part.start + np.arange(layer.n_voxels).reshape(layer.shape).T.ravel())
    return np.concatenate(order)
