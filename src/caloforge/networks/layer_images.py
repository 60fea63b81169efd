"""Networks on the images of calorimeter layers (CaloGAN; Paganini et al., arXiv:1712.10321).

A layer of a × b voxels is an image (B, channels, a, b). A locally connected map is a convolution whose kernel is
different at every position, for detectors that are not alike everywhere,

    y_o(p) = Σ_{k, i} W_{p, o, i, k} x_i(p + k) + b_{p, o}.

Attention from layer to layer combines what a generator proposes for a layer, x, with the layer before, resampled to its
size, x′: weights from a convolution of both, softmax over the two at each position,

    (w, w′) = softmax(V ∗ [x, x′]),    y = w x + w′ x′.

Resampling averages over the part of each source voxel that a target voxel covers, along both axes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = tuple[int, int]


class LocallyConnected(nn.Module):
    """A convolution with weights of its own at every position.

    Args:
        inputs, outputs: channels.
        size: (a, b) of the images.
        kernel: along both axes.
        stride: along both axes.
        padding: with zeros, on all sides.
        bias: for each position and channel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Size,
        kernel: Size,
        stride: Size = (1, 1),
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding
        a, b = ((n + 2 * padding - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True))
        self.size = (a, b)
        bound = 1 / math.sqrt(inputs * math.prod(kernel))
        self.weight = nn.Parameter(torch.empty(a * b, inputs, math.prod(kernel), outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(a * b, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, a, b) → (B, outputs, a′, b′)."""
        x = functional.pad(x, [self.padding] * 4)
        (down, right), (a, b) = self.stride, self.size
        shifts = itertools.product(range(self.kernel[0]), range(self.kernel[1]))
        seen = [x[..., i : i + down * a : down, j : j + right * b : right] for i, j in shifts]
        by_position = torch.stack(seen, dim=2).flatten(3).flatten(1, 2).permute(2, 0, 1)
        y = torch.bmm(by_position, self.weight.flatten(1, 2))  # (positions, B, outputs)
        if self.bias is not None:
            y = y + self.bias[:, None]
        return y.permute(1, 2, 0).unflatten(2, self.size)


def resampling(source: int, target: int) -> Tensor:
    """(target, source) rows that average over what each target bin covers of the source bins; rows sum to 1."""
    low = torch.arange(target)[:, None] * source
    first = torch.arange(source)[None, :] * target
    covered = torch.minimum(low + source, first + target) - torch.maximum(low, first)  # in units of 1/(source target)
    return covered.clamp_min(0) / source


class LayerAttention(nn.Module):
    """A layer's image combined with that of the layer before it.

    Args:
        before, size: (a, b) of the two images.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, before: Size, size: Size) -> None:
        super().__init__()
        self.register_buffer("rows", resampling(before[0], size[0]), persistent=False)
        self.register_buffer("columns", resampling(before[1], size[1]).T.contiguous(), persistent=False)
        self.scores = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """(B, 1, a, b), (B, 1, a₀, b₀) → (B, 1, a, b)."""
        both = torch.cat([x, self.rows @ before @ self.columns], dim=1)
        return (both * torch.softmax(self.scores(both), dim=1)).sum(dim=1, keepdim=True)


class ImageGenerator(nn.Module):
    """Noise to the image of one layer: dense, convolution, and two locally connected maps.

    Args:
        noise_dim: D. size: (a, b).
        channels: after the dense map, the convolution and the first locally connected map.
    """

    def __init__(self, noise_dim: int, size: Size, channels: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = channels
        a, b = size
        self.around = (first, a + 2, b + 2)
        self.dense = nn.Linear(noise_dim, math.prod(self.around))
        self.convolution = nn.Conv2d(first, second, 2)
        self.norm = nn.BatchNorm2d(second)
        self.local = LocallyConnected(second, third, (a + 2, b + 2), (2, 2))
        self.last = LocallyConnected(third, 1, (a + 1, b + 1), (2, 2), bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """(B, D) → (B, 1, a, b)."""
        h = self.norm(_leaky(self.convolution(_one_more(self.dense(h).unflatten(1, self.around)))))
        return self.last(_leaky(self.local(h)))


class ImageFeatures(nn.Module):
    """The image of one layer to what a critic decides on: a convolution and three locally connected maps.

    Args:
        size: (a, b).
        channels: after the convolution and the three maps.
    """

    def __init__(self, size: Size, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.convolution = nn.Conv2d(1, first, 2)
        self.maps, self.norms = nn.ModuleList(), nn.ModuleList()
        widths = ((first, second, (3, 3), (1, 2)), (second, third, (2, 2), (1, 1)), (third, fourth, (2, 2), (1, 2)))
        for n_in, n_out, kernel, stride in widths:
            local = LocallyConnected(n_in, n_out, size, kernel, stride, padding=1)
            self.maps.append(local)
            self.norms.append(nn.BatchNorm2d(n_out))
            size = (local.size[0], local.size[1])
        self.n_features = fourth * math.prod(size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, a, b) → (B, n_features)."""
        h = _leaky(self.convolution(_one_more(x)))
        for local, norm in zip(self.maps, self.norms, strict=True):
            h = norm(_leaky(local(h)))
        return h.flatten(1)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.3)


def _one_more(x: Tensor) -> Tensor:
    """With a row and a column of zeros at the end, so that a kernel of 2 keeps the size."""
    return functional.pad(x, [0, 1, 0, 1])
