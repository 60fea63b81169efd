"""`atlas-binned`: for FastCaloSim's newer slot, `TFCSBinnedShowerONNX` with its `TFCSMLCalorimeterSimulator`.

Four inputs of one shower: `inn_eta_in` = 10 |eta|, `inn_einc_in` the kinetic energy in MeV, `cfm_z_shape` (V) and
`inn_z_energy` (L) from N(0, 1), for V voxels in L layers. The output is V energies in MeV, layer by layer; where the
voxels of a layer are, FastCaloSim reads from an HDF5 file with four datasets per layer (`binning`). Within a layer it
takes any order, so that ours stays.

The two inputs of noise are named for a model with as many numbers. Another one takes the first of them, or all and more
that are derived from them (`caloforge.export.derived_noise`).

FastCaloSim passes the pseudorapidity in the middle layer of the calorimeter. In a barrel, a particle from the origin
meets the layers at the angle theta to their normal, with tan theta = sinh |eta|, and alpha = 0 points to larger |eta|,
as it points away from the normal in a run that was trained at such angles. Without them, eta is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.derived_noise import enough_noise
from caloforge.export.formats import GraphFormat, Target
from caloforge.export.layout import Constant, InputPart, Noise, Quantity
from caloforge.export.macros import binned_shower
from caloforge.geometry import Geometry, Layer

ETA_FACTOR = 10.0
"""FastCaloSim passes |eta| times this."""

STEEPEST = math.pi / 2 - 1e-4
"""Largest angle to the normal, in rad, for which eta is worked out."""


class AtlasBinned(GraphFormat):
    """One shower per call, for any geometry of polar layers.

    Raises:
        CaloforgeError: a layer is Cartesian.
    """

    name = "atlas-binned"
    summary = "ATLAS: FastCaloSim's slot of binned showers, noise, energy and eta to MeV"
    axis_order = "layer slowest, then alpha (from -pi), r fastest"
    output_name = "voxels"
    batch = 1
    beside = (".binning.h5", ".C")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.layers = polar_layers(target.geometry)
        v, n = target.geometry.n_voxels, target.geometry.n_layers
        self.layout = {
            "inn_eta_in": [_eta_column(target)],
            "inn_einc_in": [target.energy("kinetic energy in MeV")],
            "cfm_z_shape": [Noise(v, what=f"{v} independent numbers from N(0, 1)")],
            "inn_z_energy": [Noise(n, start=v, what=f"{n} independent numbers from N(0, 1)")],
        }

    @property
    def noise_size(self) -> int:
        return self.target.geometry.n_voxels + self.target.geometry.n_layers

    def latent(self, noise: Tensor) -> Tensor:
        return enough_noise(noise, self.target.latent_dim)

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        _, energy, shape, layers = inputs
        return torch.cat([shape, layers], dim=1), energy

    @property
    def takes(self) -> tuple[str, ...]:
        return ("theta",)

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return {"theta": math.pi / 2 - 2 * torch.atan(torch.exp(-inputs[0].abs() / ETA_FACTOR))}

    def passed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"eta": torch.asinh(torch.tan(values["theta"].clamp(max=STEEPEST)))} if "theta" in values else values

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return voxels * (asked / energies)

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.asarray(output * (energies / asked))

    def ignored(self) -> str:
        return "" if "theta" in self.target.open_conditions else "eta"

    def outside(self) -> str:
        return "the shower is that of the nearer end of the range, scaled to the energy asked for"

    def companions(self, path: Path) -> dict[Path, bytes]:
        beside, snippet = (path.with_suffix(suffix) for suffix in self.beside)
        return {beside: binning(self.layers), snippet: binned_shower(self.layers, path, beside).encode()}

    def describe(self) -> dict[str, Any]:
        derived = self.target.latent_dim - self.noise_size
        taken = f"all {self.noise_size} numbers given, and {derived} derived from them inside the graph"
        return {
            **super().describe(),
            "noise": taken if derived > 0 else f"the first {self.target.latent_dim} of {self.noise_size} numbers given",
            "layers": [layer.id for layer in self.layers],
            "layer_boundaries": boundaries(self.layers),
        }


def polar_layers(geometry: Geometry) -> tuple[Layer, ...]:
    """The layers of a geometry.

    Raises:
        CaloforgeError: one is Cartesian.
    """
    layers = tuple(layer for layer in geometry.layers if isinstance(layer, Layer))
    if len(layers) < geometry.n_layers:
        number = next(layer.id for layer in geometry.layers if not isinstance(layer, Layer))
        raise CaloforgeError(
            f"atlas-binned needs layers with r and alpha bins, but layer {number} is Cartesian: export onnx"
        )
    return layers


def boundaries(layers: tuple[Layer, ...]) -> list[int]:
    """Voxel at which each layer starts, and the number of all voxels."""
    return [0, *np.cumsum([layer.n_voxels for layer in layers]).tolist()]


def binning(layers: tuple[Layer, ...]) -> bytes:
    """FastCaloSim's HDF5 file of the bins of each voxel: start and size in r (mm) and alpha (rad), float32."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer in layers:
            alpha, r = np.linspace(-np.pi, np.pi, layer.n_alpha + 1), np.array(layer.r_edges)
            for what, alphas, radii in (("start", alpha[:-1], r[:-1]), ("size", np.diff(alpha), np.diff(r))):
                grids = np.meshgrid(alphas, radii, indexing="ij")
                for axis, bins in zip(("alpha", "radius"), grids, strict=True):
                    file[f"bin{what}_{axis}_layer_{layer.id}"] = bins.ravel().astype(np.float32)
    return buffer.getvalue()


def _eta_column(target: Target) -> InputPart:
    """10 |eta|, with the intervals that a run's angles to the normal correspond to."""
    if "theta" not in target.open_conditions:
        return Constant([0.0], "10 |eta| (ignored)")
    spans = target.open_conditions["theta"].accepted
    accepted = tuple((_eta(low), _eta(high)) for low, high in spans)
    return Quantity("eta", "", accepted, ETA_FACTOR, what="10 |eta|")


def _eta(theta: float) -> float:
    """Pseudorapidity in a barrel at an angle to its normal, in rad."""
    return math.asinh(math.tan(max(-STEEPEST, min(theta, STEEPEST))))
