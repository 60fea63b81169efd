"""Formats of consumers: inputs from noise and energy, output from voxels, and the inverses of both.

A format is independent of the model. It defines what the consumer passes (`inputs`, inverted by `read`) and what it
expects (`write`, inverted by `restore`); the same code builds the graph and checks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry


@dataclass(frozen=True)
class Target:
    """Properties of the exported generator.

    Args:
        geometry: the voxels.
        latent_dim: D, dimension of the noise of a shower.
        low, high: training range of the incident energy in MeV, to which energies are clipped.
    """

    geometry: Geometry
    latent_dim: int
    low: float
    high: float


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
    input_names: ClassVar[tuple[str, ...]]
    output_name: ClassVar[str]
    batch: ClassVar[int | None] = None
    """Showers per call; None for any number."""
    draws_noise: ClassVar[bool] = False
    """Whether the graph draws its noise itself; `noise` is then not an input of the exported file."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @abstractmethod
    def inputs(self, noise: Tensor, energies: Tensor) -> tuple[Tensor, ...]:
        """The consumer's inputs for noise (B, D) from N(0, 1) and energies (B, 1) in MeV."""

    @abstractmethod
    def read(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `inputs`, inside the graph: noise (B, D) and energies (B, 1) in MeV, not yet clamped."""

    @abstractmethod
    def write(self, voxels: Tensor, energies: Tensor) -> Tensor:
        """Inside the graph: the consumer's output for voxels (B, V) in MeV and clamped energies (B, 1)."""

    @abstractmethod
    def restore(self, output: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """The inverse of `write`, for checks and readers: (B, V) in MeV."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Inputs, output, units and axis order, for the card."""


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
    def of(cls, geometry: Geometry, consumer: str) -> Mesh:
        """The mesh of a geometry whose layers all have the same r and alpha bins.

        Raises:
            CaloforgeError: they do not.
        """
        layer = geometry.polar_mesh
        if layer is None:
            raise CaloforgeError(
                f"{consumer} needs a regular mesh, the same r and alpha bins in every layer, as in ds2 or ds3; "
                f"'{geometry.name}' has none: export onnx or atlas"
            )
        return cls(geometry.n_layers, layer.n_alpha, layer.n_r)

    def to_consumer(self, voxels: Tensor) -> Tensor:
        """(B, V) in caloforge's order → (B, V) in (r, phi, z)."""
        shaped = voxels.reshape(-1, self.n_z, self.n_alpha, self.n_r)
        return shaped.permute(0, 3, 2, 1).reshape(-1, self.n_z * self.n_alpha * self.n_r)

    def from_consumer(self, output: np.ndarray) -> np.ndarray:
        """(B, V) in (r, phi, z) → (B, V) in caloforge's order."""
        voxels = np.empty_like(output)
        voxels[:, list(self.order)] = output
        return voxels


def permute_columns(voxels: Tensor, order: np.ndarray) -> Tensor:
    """Columns of voxels (B, V) in the given order (V,)."""
    return voxels.index_select(1, torch.as_tensor(order, device=voxels.device))
