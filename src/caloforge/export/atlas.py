"""`atlas`: for ATLAS fast simulation, in the slot of its GANs (FastCaloSim's ONNX handler).

`Noise` has mean and standard deviation 1/2; `mycond` is ln(E/E_min)/ln(E_max/E_min), where FastCaloSim knows two pairs
of limits for e and gamma: 2⁶ to 2¹² MeV (`low`) and 2¹² to 2²² MeV (`high`). The output `out_0` is voxel energies as
fractions of E, layer by layer, in a layer r outer and alpha inner (caloforge's own order is the other way round).

FastCaloSim reads the bins from XML, in the order of the layers' numbers; it leaves out layers of one radial bin, and
takes 32 alpha bins as a sign to work out their number from the radius.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError, either
from caloforge.export.formats import GraphFormat, Target, permute_columns
from caloforge.export.layout import FRACTION
from caloforge.export.macros import GAN_ENDINGS, gan_binning, gan_shower
from caloforge.geometry import Geometry, Layer

LIMITS = dict(zip(("low", "high"), GAN_ENDINGS, strict=True))
"""FastCaloSim's pairs of limits in MeV."""

COVERED = 1.001
"""Factor by which the training range may fall short of the limits."""


class Atlas(GraphFormat):
    """Two named inputs to fractions of E; any geometry of polar layers, any number of showers per call.

    Args:
        target: see `GraphFormat`.
        noise, condition: names of the inputs; older readers by way of lwtnn call them node_0 and node_1.
        limits: E_min and E_max: `low` or `high` (see above), `trained` for the training range, or a pair in MeV.
        uncovered: whether the limits may reach beyond the training range.

    Raises:
        CaloforgeError: FastCaloSim would misplace the layers, or the limits are not accepted.
    """

    name = "atlas"
    summary = "ATLAS: FastCaloSim's slot of GANs, noise and energy to fractions of E"
    axis_order = "layer slowest, then r, alpha (from -pi) fastest"
    output_name = "out_0"
    unit = FRACTION
    beside = (".binning.xml", ".C")

    def __init__(
        self,
        target: Target,
        noise: str = "Noise",
        condition: str = "mycond",
        limits: str | Sequence[float] = "",
        uncovered: bool = False,
    ) -> None:
        super().__init__(target)
        self.order = alpha_inner(target.geometry)
        self.layers = tuple(layer for layer in target.geometry.layers if isinstance(layer, Layer))
        _check_layers(self.layers)
        if not target.low < target.high:
            raise CaloforgeError(
                f"atlas needs a range of incident energies, but the run was trained only at {target.low:g} MeV"
            )
        self.limits = _limits(limits or _nearer(target), target)
        low, high = self.limits
        if not uncovered and (low * COVERED < target.low or high > COVERED * target.high):
            accepted = either("--set uncovered=true", "uncovered=True")
            raise CaloforgeError(
                f"FastCaloSim asks for {low:g} to {high:g} MeV, but the run was trained on {target.low:g} to "
                f"{target.high:g} MeV: train on that range, give the consumer's limits ("
                f"{either('--set ', '')}limits=trained or limits=[LOW,HIGH]), or accept it ({accepted})"
            )
        factor = 1 / math.log(high / low)
        energy = target.energy("ln(E/E_min)/ln(E_max/E_min)", factor, -factor * math.log(low), logarithm=True)
        self.layout = {noise: [target.noise(0.5, 0.5)], condition: [energy]}

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise, position = inputs
        low, high = self.limits
        # Clamp to the training range before the exponential, which could overflow.
        ends = (math.log(edge / low) / math.log(high / low) for edge in (self.target.low, self.target.high))
        return 2 * noise - 1, low * torch.exp(position.clamp(*ends) * math.log(high / low))

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return permute_columns(voxels, self.order) / energies

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        voxels = np.empty_like(output)
        voxels[:, self.order] = output * energies
        return voxels

    def companions(self, path: Path) -> dict[Path, bytes]:
        xml, snippet = (path.with_suffix(suffix) for suffix in self.beside)
        return {
            xml: gan_binning(self.layers, self.target.latent_dim).encode(),
            snippet: gan_shower(self.layers, path, xml, self.limits).encode(),
        }

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "limits_mev": list(self.limits)}


def _nearer(target: Target) -> str:
    """`low` or `high`: the limits that contain the middle of the training range."""
    return "low" if math.sqrt(target.low * target.high) < LIMITS["low"][1] else "high"


def _limits(limits: str | Sequence[float], target: Target) -> tuple[float, float]:
    if limits == "trained":
        return target.low, target.high
    if isinstance(limits, str):
        if limits in LIMITS:
            return LIMITS[limits]
    elif len(limits) == 2 and 0 < limits[0] < limits[1] < math.inf:
        return float(limits[0]), float(limits[1])
    raise CaloforgeError(
        f"the setting limits={limits}: give low, high, trained, or two energies in MeV, e.g. [64,4096]"
    )


def _check_layers(layers: Sequence[Layer]) -> None:
    """Raise for layers that FastCaloSim would leave out or misplace; name the first."""
    for before, layer in zip((None, *layers), layers, strict=False):
        if before is not None and layer.id <= before.id:
            problem = f"takes layers in the order of their numbers, but layer {layer.id} follows {before.id}"
        elif layer.n_r == 1:
            problem = f"leaves out layers of one r bin, such as layer {layer.id}"
        elif layer.n_alpha == 32:
            problem = f"takes 32 alpha bins for a number that depends on r, as in layer {layer.id}"
        else:
            continue
        raise CaloforgeError(f"the slot of atlas {problem}: export atlas-binned or onnx")


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
