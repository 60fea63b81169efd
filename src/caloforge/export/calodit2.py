"""`calodit2`: for the newer model slot of the Geant4 example Par04 (11.4).

One float input (1, 8): E in GeV, phi, theta, and a one-hot of five geometries; noise is drawn inside the graph
(`caloforge.export.noise`). The geometry is ignored, and angles are unless the run knows them
(`caloforge.export.barrel`). The output is energies in GeV on the mesh 9 x 16 x 45,
flat: r outer, phi, z inner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export import barrel
from caloforge.export.formats import GraphFormat, Mesh, Target
from caloforge.export.layout import GEV, Constant
from caloforge.export.macros import par04_macro
from caloforge.export.noise import normal_noise

if TYPE_CHECKING:
    import onnx

MESH = Mesh(n_z=45, n_alpha=16, n_r=9)


class CaloDiT2(GraphFormat):
    """One shower per call, on the mesh of ds2. For the parity check, noise is a second input.

    Args:
        target: see `GraphFormat`.
        seed: makes the noise depend on the inputs and the number of the call alone; None draws it anew in each process.
    """

    name = "calodit2"
    summary = "Geant4 example Par04 (11.4): (1, 8) to GeV, noise inside"
    axis_order = "r slowest, then phi (from -pi), z fastest"
    output_name = "output"
    unit = GEV
    batch = 1
    beside = (".mac",)

    def __init__(self, target: Target, seed: int | None = None) -> None:
        super().__init__(target)
        if seed is not None and not (isinstance(seed, int) and 0 <= seed < 2**24):
            raise CaloforgeError(f"the setting seed={seed}: give a whole number from 0 to 2^24 - 1")
        self.seed = seed
        mesh = Mesh.of(target.geometry, self.name, uniform=True)
        if mesh != MESH:
            raise CaloforgeError(
                f"calodit2 needs 9 x 16 x 45 voxels (r, phi, z), not {mesh.n_r} x {mesh.n_alpha} x {mesh.n_z}: "
                "export par04 or onnx"
            )
        angles = [barrel.azimuth_column(target), barrel.polar_column(target, "theta")]
        geometry = Constant([0.0, 0.0, 0.0, 0.0, 1.0], "one-hot of 5 geometries")
        self.layout = {"input": [target.energy("E in GeV", 1e-3), *angles, geometry], "noise": [target.noise()]}

    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs[1], inputs[0][:, :1] * 1000

    @property
    def takes(self) -> tuple[str, ...]:
        return barrel.taken(self.target)

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        return barrel.conditions(inputs[0][:, 2:3], inputs[0][:, 1:2])

    def passed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return barrel.passed(values)

    def turned(self, voxels: Tensor, *inputs: Tensor) -> Tensor:
        return barrel.turned(MESH, voxels, inputs[0][:, 2:3], self.target)

    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        return MESH.to_consumer(voxels) * (asked / (1000 * energies))

    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.asarray(MESH.from_consumer(output) * (1000 * energies / asked))

    def noise_nodes(self) -> list[onnx.NodeProto]:
        return normal_noise(self.target.latent_dim, "input", 8, self.seed)

    def ignored(self) -> str:
        known = self.target.open_conditions
        if not known:
            return "angles and geometry"
        return "geometry" if "phi" in known else "phi and geometry"

    def outside(self) -> str:
        return "the shower is that of the nearer end of the range, scaled to the energy asked for"

    def companions(self, path: Path) -> dict[Path, bytes]:
        return {path.with_suffix(".mac"): par04_macro(self.target, "CaloDiT-2", path).encode()}

    def describe(self) -> dict[str, Any]:
        card = super().describe()
        del card["inputs"]["noise"]
        return {
            **card,
            "noise": f"{self.target.latent_dim} numbers from N(0, 1), drawn inside the graph in each call",
            "noise_seed": "of the process" if self.seed is None else self.seed,
            "mesh": MESH.to_dict(),
        }
