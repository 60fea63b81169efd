"""U-Nets on showers, conditioned through random Fourier features (CaloScore, arXiv:2206.11898).

A shower of F features is arranged on a grid: a line (1D), or layers × alpha × r or layers × x × y (3D). At each level
the contracting half convolves twice and pools; the expanding half unpools, concatenates the output of the contracting
half at that level, and convolves twice:

    h ← swish(W ∗ h + V e),

where e is an embedding of time and conditions and V e is a bias per channel. On a cylinder the convolutions are
periodic in alpha, so that rotating a shower by a multiple of the pooled bins rotates the output. If pooling leaves a
remainder, the last bin is smaller. A GAN uses the halves separately.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry

_ALPHA = 3
"""Axis of alpha in (B, channels, layers, alpha, r)."""


def _convolution(axes: int, n_in: int, n_out: int, kernel: int, circular: bool = False) -> nn.Conv2d | nn.Conv3d:
    """A convolution with an odd kernel that preserves the size, except in alpha if it is periodic.

    Lines are images of one row, and channels are last in memory, which halves the time on a CPU.
    """
    around = kernel // 2
    convolution: nn.Conv2d | nn.Conv3d
    if axes == 1:
        convolution, last = nn.Conv2d(n_in, n_out, (1, kernel), padding=(0, around)), torch.channels_last
    else:
        convolution = nn.Conv3d(n_in, n_out, kernel, padding=(around, 0 if circular else around, around))
        last = torch.channels_last_3d
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=last)
    return convolution


class FourierFeatures(nn.Module):
    """x → sin and cos of 2π x W, with W fixed and random (arXiv:2006.10739), then two dense layers with swish.

    Each column of W has its own scale, log-uniform from 1 to `scale`: low frequencies describe trends over [0, 1], high
    ones resolve close values.

    Args:
        inputs: C.
        width: E, width of the features and of both layers.
        scale: largest standard deviation among the columns of W.
    """

    frequencies: Tensor

    def __init__(self, inputs: int, width: int, scale: float = 16.0) -> None:
        super().__init__()
        scales = torch.logspace(0, math.log10(scale), width // 2)
        self.register_buffer("frequencies", 2 * math.pi * scales * torch.randn(inputs, width // 2))
        self.first = nn.Linear(2 * (width // 2), width)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) → (B, E)."""
        phases = x @ self.frequencies
        waves = torch.cat([phases.sin(), phases.cos()], dim=1)
        return self.second(functional.silu(self.first(waves)))


class Grid:
    """The grids of the levels of a U-Net.

    Args:
        shape: shape of the first level, one or three numbers.
        pooling: factors along the axes, for each step down.
        circular: whether the second of three axes is periodic.

    Raises:
        CaloforgeError: a factor is missing.
    """

    def __init__(self, shape: Sequence[int], pooling: Sequence[Sequence[int]], circular: bool = False) -> None:
        if len(shape) not in (1, 3):
            raise CaloforgeError(f"the grid of a U-Net must have 1 or 3 axes, not {len(shape)}: {list(shape)}")
        for factors in pooling:
            if len(factors) != len(shape):
                raise CaloforgeError(f"pooling needs {len(shape)} factors per step here, not {list(factors)}")
        self.axes, self.circular = len(shape), circular
        row = (1,) if self.axes == 1 else ()
        self.shapes: list[tuple[int, ...]] = [(*row, *shape)]
        self.pooling = [(*row, *factors) for factors in pooling]
        for factors in self.pooling:
            self.shapes.append(tuple(-(-n // f) for n, f in zip(self.shapes[-1], factors, strict=True)))

    @property
    def sizes(self) -> list[int]:
        """Number of points of each level."""
        return [math.prod(shape) for shape in self.shapes]

    def pooled(self, h: Tensor, level: int) -> Tensor:
        """From `level` to the next: the mean of each bin."""
        pool = functional.avg_pool2d if self.axes == 1 else functional.avg_pool3d
        return pool(h, self.pooling[level], ceil_mode=True)

    def unpooled(self, h: Tensor, level: int) -> Tensor:
        """From the next level to `level`: the value of each bin at all its points."""
        h = functional.interpolate(h, scale_factor=[float(f) for f in self.pooling[level]], mode="nearest")
        for axis, n in enumerate(self.shapes[level], start=2):
            h = h.narrow(axis, 0, n)
        return h


class Convolution(nn.Module):
    """swish(W ∗ h + V e) on a grid, with the size of h.

    Args:
        grid: gives the number of axes, and whether alpha is periodic.
        n_in, n_out: numbers of channels.
        kernel: kernel size, odd.
        embedding: E.
    """

    def __init__(self, grid: Grid, n_in: int, n_out: int, kernel: int, embedding: int) -> None:
        super().__init__()
        self.around = kernel // 2 if grid.circular else 0
        self.convolution = _convolution(grid.axes, n_in, n_out, kernel, grid.circular)
        self.bias = nn.Linear(embedding, n_out, bias=False)

    def forward(self, h: Tensor, e: Tensor, positional_bias: Tensor | None = None) -> Tensor:
        """(B, n_in, …), (B or 1, E) → (B, n_out, …); the positional bias is added before swish."""
        if self.around:
            h = torch.cat([h[..., -self.around :, :], h, h[..., : self.around, :]], dim=_ALPHA)
        h = self.convolution(h)
        bias = self.bias(e)
        h = h + bias.view(*bias.shape, *[1] * (h.dim() - 2))
        return functional.silu(h if positional_bias is None else h + positional_bias)


class Contracting(nn.Module):
    """From a grid of one number per point down to the last level.

    Args:
        grid: the levels.
        channels: number of channels of each level.
        kernel: kernel size, odd. embedding: E.
        positional_bias: learn a bias for each point of the first level (the same for all alpha if it is periodic),
            so that convolutions can depend on the position. Not in the paper.
    """

    def __init__(
        self, grid: Grid, channels: Sequence[int], kernel: int, embedding: int, positional_bias: bool = False
    ) -> None:
        super().__init__()
        self.grid = grid
        widths = [1, *channels]
        self.first = nn.ModuleList(Convolution(grid, a, b, kernel, embedding) for a, b in itertools.pairwise(widths))
        self.second = nn.ModuleList(Convolution(grid, c, c, kernel, embedding) for c in channels)
        self.place: nn.Parameter | None = None  # named as in saved weights
        if positional_bias:
            shape = list(grid.shapes[0])
            if grid.circular:
                shape[_ALPHA - 2] = 1
            self.place = nn.Parameter(0.1 * torch.randn(1, channels[0], *shape))

    def forward(self, x: Tensor, e: Tensor) -> list[Tensor]:
        """(B, F), (B or 1, E) → (B, channels, …) of each level, starting with the first."""
        h = x.reshape(len(x), 1, *self.grid.shapes[0])
        levels: list[Tensor] = []
        for level, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            if level > 0:
                h = self.grid.pooled(h, level - 1)
            h = second(first(h, e, self.place if level == 0 else None), e)
            levels.append(h)
        return levels


class Expanding(nn.Module):
    """From the last level up to a grid of one number per point.

    Args:
        grid, channels, kernel, embedding: as in `Contracting`.
        joined: whether outputs of the contracting half are concatenated.
    """

    def __init__(self, grid: Grid, channels: Sequence[int], kernel: int, embedding: int, joined: bool = True) -> None:
        super().__init__()
        self.grid = grid
        self.first, self.second = nn.ModuleList(), nn.ModuleList()
        for above, below in itertools.pairwise(channels):
            self.first.append(Convolution(grid, below + (above if joined else 0), above, kernel, embedding))
            self.second.append(Convolution(grid, above, above, kernel, embedding))
        self.last = _convolution(grid.axes, channels[0], 1, 1)

    def forward(self, bottom: Tensor, e: Tensor, levels: Sequence[Tensor] | None = None) -> Tensor:
        """(B, channels, …) of the last level, (B or 1, E), and the outputs of the other levels if joined → (B, F)."""
        h = bottom
        for level in reversed(range(len(self.first))):
            h = self.grid.unpooled(h, level)
            if levels is not None:
                h = torch.cat([levels[level], h], dim=1)
            h = self.second[level](self.first[level](h, e), e)
        return self.last(h).flatten(1)


class UNet(nn.Module):
    """Both halves together.

    Args:
        grid, channels, kernel, embedding, positional_bias: as in `Contracting`.

    Raises:
        CaloforgeError: channels, pooling and kernel do not fit.
    """

    def __init__(
        self, grid: Grid, channels: Sequence[int], kernel: int, embedding: int, positional_bias: bool = False
    ) -> None:
        super().__init__()
        check_unet(grid, channels, kernel)
        self.grid, self.channels = grid, list(channels)
        self.down = Contracting(grid, channels, kernel, embedding, positional_bias)
        self.up = Expanding(grid, channels, kernel, embedding)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """(B, F), (B or 1, E) → (B, F)."""
        *levels, bottom = self.down(x, e)
        return self.up(bottom, e, levels)

    def elements_per_shower(self, training: bool) -> int:
        """Elements in memory for one shower: everything the gradient needs, or the peak without a gradient."""
        pairs = zip(self.grid.sizes, self.channels, [*self.channels[1:], 0], strict=True)
        if training:
            return sum(n * (15 * here + 3 * below) for n, here, below in pairs)
        return max(n * (6 * here + 3 * below) for n, here, below in pairs)


def check_unet(grid: Grid, channels: Sequence[int], kernel: int) -> None:
    """Check that channels, pooling and kernel fit.

    Raises:
        CaloforgeError: they do not fit.
    """
    if len(channels) != len(grid.shapes):
        raise CaloforgeError(
            f"a U-Net with {len(channels)} levels (channels) needs {len(channels) - 1} pooling steps, "
            f"not {len(grid.pooling)}"
        )
    if kernel % 2 == 0:
        raise CaloforgeError(f"the kernel of a U-Net must be odd, not {kernel}")
    for shape, factors in zip(grid.shapes, grid.pooling, strict=False):
        if any(factor > n for factor, n in zip(factors, shape, strict=True)):
            raise CaloforgeError(f"pooling {list(factors)} needs more points than a level with {list(shape)} has")
    if grid.circular and (ring := min(shape[1] for shape in grid.shapes)) < kernel // 2:
        raise CaloforgeError(f"a kernel of {kernel} is too wide for a ring of {ring} alpha bins: pool less")
    if kernel // 2 > (longest := max(grid.shapes[0])):
        raise CaloforgeError(f"a U-Net's kernel of {kernel} is wider than a grid of {longest} points can use")


def grid_of_showers(grid: str | Sequence[int], features: int, geometry: Geometry) -> tuple[int, ...]:
    """The shape of a grid: `line`, `cylinder`, or the shape itself.

    Args:
        grid: setting of a recipe.
        features: F.
        geometry: the voxels.

    Raises:
        CaloforgeError: the features do not fit the grid, or the geometry has no cylinder of equal layers.
    """
    shape: tuple[int, ...]
    if grid == "line":
        return (features,)
    if grid == "cylinder":
        layer = geometry.polar_mesh
        if layer is None:
            raise CaloforgeError(
                f"grid 'cylinder' needs the same r and alpha bins in all layers, unlike geometry '{geometry.name}': "
                "use line"
            )
        shape = (geometry.n_layers, *layer.shape)
    else:
        shape = tuple(int(n) for n in grid)
    if math.prod(shape) != features:
        raise CaloforgeError(f"the grid {' × '.join(map(str, shape))} does not fit the {features} features")
    return shape
