"""Networks of diffusion models: (noisy showers, embedding of time and conditions) → one number per feature.

`unet` arranges showers on a grid (`caloforge.networks.unet`); `mlp` is a residual network on the plain features, much
faster for a few hundred features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from caloforge.geometry import Geometry
from caloforge.networks.residual import ConditionalResidualNet
from caloforge.networks.unet import Grid, UNet, grid_of_showers

CPU_ROWS = 250
"""Showers sampled at a time on a CPU; with more, memory allocation for each layer takes longer than the computation."""


def denoising_network(
    kind: Literal["unet", "mlp"],
    features: int,
    embedding: int,
    geometry: Geometry,
    *,
    grid: Literal["line", "cylinder"] | Sequence[int],
    channels: Sequence[int],
    kernel: int,
    pooling: Sequence[Sequence[int]],
    positional_bias: bool,
    width: int,
    blocks: int,
) -> tuple[nn.Module, tuple[int, int]]:
    """A network (x (B, F), e (B or 1, E)) → (B, F), and the elements of memory per shower in sampling and in training.

    Args:
        kind: `unet` or `mlp`.
        features: F. embedding: E.
        geometry: gives the grid of a cylinder.
        grid, channels, kernel, pooling, positional_bias: settings of the U-Net.
        width, blocks: settings of the `mlp`.

    Raises:
        CaloforgeError: grid, channels, pooling and kernel do not fit.
    """
    if kind == "mlp":
        elements = 4 * features + 6 * width * (blocks + 1)
        return ConditionalResidualNet(features, features, embedding, width, blocks), (elements, elements)
    levels = Grid(grid_of_showers(grid, features, geometry), pooling, circular=grid == "cylinder")
    unet = UNet(levels, channels, kernel, embedding, positional_bias)
    return unet, (unet.elements_per_shower(training=False), unet.elements_per_shower(training=True))
