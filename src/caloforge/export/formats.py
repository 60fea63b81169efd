"""Formats of consumers: inputs from noise and energy, output from voxels, and the inverses of both.

A format is independent of the model. It defines what the consumer passes (`layout`, inverted by `read`) and what it
expects (`write`, inverted by `restore`); the same code builds the graph, checks it and describes it on the card.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.export.layout import MEV, Energy, Given, InputPart, Noise, OutputUnit
from caloforge.geometry import Geometry, Layer
from caloforge.transforms import TrainedConditions
from caloforge.transforms.trained_conditions import TrainedCondition

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Target:
    """Properties of the exported generator.

    Args:
        geometry: the voxels.
        latent_dim: D, dimension of a shower's noise.
        low, high: training range of the incident energy in MeV; energies outside are moved to its ends.
        scale: the output is multiplied by this, as where the consumer sums raw active energy.
        conditions: what the run knows of further conditions.
        fixed: values of those that have one for good, whatever the consumer passes, in the condition's unit.
    """

    geometry: Geometry
    latent_dim: int
    low: float
    high: float
    scale: float = 1.0
    conditions: TrainedConditions = field(default_factory=TrainedConditions)
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def open_conditions(self) -> dict[str, TrainedCondition]:
        """The conditions that the consumer must pass, by name."""
        return {entry.kind.name: entry for entry in self.conditions.needed if entry.kind.name not in self.fixed}

    def values(self, passed: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """(B, K) all conditions of the run, inside the trained ranges.

        Args:
            passed: name → (B, 1) of the open ones.
            like: (B, 1) a tensor of the size and type of a column.
        """
        columns = []
        for entry in self.conditions.entries:
            name = entry.kind.name
            value = self.fixed.get(name, entry.low)
            columns.append(passed[name] if name in self.open_conditions else torch.ones_like(like) * value)
        return self.conditions.clamped(torch.cat(columns, dim=1)) if columns else like[:, :0]

    def noise(self, mean: float = 0.0, deviation: float = 1.0) -> Noise:
        """Columns for the noise of a shower."""
        what = f"{self.latent_dim} independent numbers from N({mean:g}, {deviation:g})"
        return Noise(self.latent_dim, mean, deviation, what)

    def energy(self, what: str, factor: float = 1.0, offset: float = 0.0, logarithm: bool = False) -> Energy:
        """The column for the incident energy: see `Energy`."""
        return Energy(self.low, self.high, factor, offset, logarithm, what)


def example_conditions(target: Target, n: int, seed: int = 0) -> dict[str, Tensor]:
    """Name → (n, 1) of the open conditions, drawn evenly from their trained ranges."""
    columns = target.conditions.examples(n, seed)
    return {name: torch.from_numpy(columns[name].astype(np.float32))[:, None] for name in target.open_conditions}


class GraphFormat(ABC):
    """A consumer's view of a generator.

    Args:
        target: the exported generator.

    Raises:
        CaloforgeError: the geometry does not suit the consumer.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for the card."""
    axis_order: ClassVar[str]
    """Order of the voxels in the output, for the card."""
    layout: Mapping[str, Sequence[InputPart]]
    """Name of each input, in the graph's order, and its columns."""
    output_name: ClassVar[str]
    unit: ClassVar[OutputUnit] = MEV
    """Of the output."""
    batch: ClassVar[int | None] = None
    """Showers per call; None for any number."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Suffixes of the files written by `companions`, which replace that of the graph."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def noise_size(self) -> int:
        """Numbers from N(0, 1) that a shower takes from the consumer; by default those of the model, D."""
        return self.target.latent_dim

    def latent(self, noise: Tensor) -> Tensor:
        """In the graph: the model's noise (B, D) for the consumer's (B, noise_size); they are the same by default."""
        return noise

    @property
    def takes(self) -> tuple[str, ...]:
        """Further conditions that the consumer passes; none by default."""
        return ()

    def conditions(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Name → (B, 1), in the graph: the conditions of `takes`, from the consumer's inputs."""
        return {}

    def passed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What the consumer passes, name → (B, 1), for conditions that a run knows; inverted by `conditions`."""
        return values

    def turned(self, voxels: Tensor, *inputs: Tensor) -> Tensor:
        """In the graph: voxels (B, V) in the consumer's frame from the run's, or back; they are the same by default."""
        return voxels

    def inputs(
        self, noise: Tensor, energies: Tensor, conditions: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """The consumer's inputs for noise (B, noise_size) from N(0, 1), energies (B, 1) in MeV and conditions."""
        given = Given(noise, energies, self.passed(conditions or {}))
        return tuple(torch.cat([part.columns(given) for part in parts], dim=1) for parts in self.layout.values())

    @abstractmethod
    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `inputs`, inside the graph: noise (B, noise_size) and energies (B, 1) in MeV, not clamped."""

    @abstractmethod
    def write(self, voxels: Tensor, energies: Tensor, asked: Tensor) -> Tensor:
        """Inside the graph: voxels (B, V) in MeV to what the consumer expects.

        Args:
            voxels: of showers at `energies`.
            energies: (B, 1) in MeV, clamped to the training range.
            asked: (B, 1) in MeV, as the consumer gave them.
        """

    @abstractmethod
    def restore(self, output: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The inverse of `write`, for checks and readers: (B, V) in MeV."""

    def describe(self) -> dict[str, Any]:
        """Inputs, output, units and axis order, for the card."""
        rows = self.batch or "N"
        return {
            "inputs": {
                name: {
                    "shape": [rows, sum(part.size for part in parts)],
                    "what": ", ".join(part.what for part in parts),
                    "columns": [part.to_dict() for part in parts],
                }
                for name, parts in self.layout.items()
            },
            "output": {
                self.output_name: {"shape": [rows, self.target.geometry.n_voxels], **self.unit.to_dict()},
            },
            "axis_order": self.axis_order,
        }

    def ignored(self) -> str:
        """Inputs of the consumer that the graph ignores; empty if there are none."""
        return ""

    def outside(self) -> str:
        """What happens to energies outside the training range, for the card."""
        return "the energy is moved to the nearer end of the range"

    def noise_nodes(self) -> list[onnx.NodeProto]:
        """Nodes that draw `noise` (batch, D) in place of that input of the file; by default the consumer passes it."""
        return []

    def companions(self, path: Path) -> dict[Path, bytes]:
        """Files that make the export at `path` ready to use, such as macros: path → content."""
        return {}


@dataclass(frozen=True)
class Mesh:
    """A regular polar mesh and its two voxel orders.

    caloforge's order is (z, alpha, r) with r fastest; Par04's is (r, phi, z) with z fastest. In both
    alpha (phi) starts at -pi.

    Args:
        n_z, n_alpha, n_r: number of bins along each axis.
    """

    n_z: int
    n_alpha: int
    n_r: int
    order: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = (self.n_z, self.n_alpha, self.n_r)
        order = np.arange(np.prod(shape)).reshape(shape).transpose(2, 1, 0).ravel()
        object.__setattr__(self, "order", tuple(int(k) for k in order))

    @classmethod
    def of(cls, geometry: Geometry, consumer: str, uniform: bool = False) -> Mesh:
        """The mesh of a geometry whose layers all have the same r and alpha bins.

        Args:
            geometry: the voxels.
            consumer: to name in an error.
            uniform: whether the consumer knows one radial size and one depth for all cells, and starts at r = 0.

        Raises:
            CaloforgeError: the layers differ, or the mesh is not uniform.
        """
        layer = geometry.polar_mesh
        if layer is None:
            raise CaloforgeError(
                f"{consumer} needs a regular mesh, the same r and alpha bins in every layer, as in ds2 or ds3; "
                f"'{geometry.name}' has none: export onnx or atlas"
            )
        if uniform:
            _check_uniform(geometry, layer, consumer)
        return cls(geometry.n_layers, layer.n_alpha, layer.n_r)

    def to_dict(self) -> dict[str, int]:
        """Number of bins by Par04's names, for the card."""
        return {"rho": self.n_r, "phi": self.n_alpha, "z": self.n_z}

    def to_consumer(self, voxels: Tensor) -> Tensor:
        """(B, V) in caloforge's order → (B, V) in (r, phi, z)."""
        shaped = voxels.reshape(-1, self.n_z, self.n_alpha, self.n_r)
        return shaped.permute(0, 3, 2, 1).reshape(-1, self.n_z * self.n_alpha * self.n_r)

    def from_consumer(self, output: np.ndarray) -> np.ndarray:
        """(B, V) in (r, phi, z) → (B, V) in caloforge's order."""
        voxels = np.empty_like(output)
        voxels[:, list(self.order)] = output
        return voxels


UNEVEN = 1e-3
"""Cells whose sizes differ by less than this fraction count as equal."""


def _check_uniform(geometry: Geometry, layer: Layer, consumer: str) -> None:
    """Raise for radial bins or layers of unequal sizes, which the consumer would misplace; name the first."""
    remedy = f"{consumer} has a single cell size: export it as onnx or atlas"
    size = layer.r_edges[-1] / layer.n_r
    for k, edge in enumerate(layer.r_edges):
        if abs(edge - k * size) > UNEVEN * size:
            raise CaloforgeError(
                f"the r edge {edge:g} mm of '{geometry.name}' would have to be {k * size:g} mm in a uniform mesh from "
                f"0 to {layer.r_edges[-1]:g} mm; {remedy}"
            )
    depths = [(each.id, each.z_edges[1] - each.z_edges[0]) for each in geometry.layers if each.z_edges is not None]
    for number, depth in depths:
        if abs(depth - depths[0][1]) > UNEVEN * depths[0][1]:
            raise CaloforgeError(
                f"layer {number} of '{geometry.name}' is {depth:g} mm deep, layer {depths[0][0]} {depths[0][1]:g} mm; "
                f"{remedy}"
            )


def permute_columns(voxels: Tensor, order: np.ndarray) -> Tensor:
    """Columns of voxels (B, V) in the given order (V,)."""
    return voxels.index_select(1, torch.as_tensor(order, device=voxels.device))
