"""The networks of the classifier tests, each from a flat row of features to logits.

- `CaloflowCNN`: CaloFlow's second classifier (arXiv:2106.05285): convolutions per layer image to (64, 2, 2),
  joined with the conditions, then dense. 1 262 913 parameters on CaloGAN's voxels.
- `ResNet3d`: an 18-layer residual network in three dimensions (arXiv:1512.03385; 3D form and stem of
  arXiv:1711.09577), zero padding everywhere: alpha is not treated as circular, as in the published test.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from caloforge.geometry import Geometry
from caloforge.networks.residual import mlp


def channels_last(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out convolutions channels fastest: on a CPU three quarters (2D) or half (3D) of the time."""
    network.to(memory_format=layout)  # type: ignore[call-overload]


WIDE_IMAGE = (3, 96)
"""CaloGAN's first layer: too few rows for 3 × 3 kernels and pooling to 6 × 6, hence kernels of its own."""


def caloflow_cnn_accepts(shape: tuple[int, int]) -> bool:
    """Whether a layer image of `shape` pools to 6 × 6: multiples of 6, or CaloGAN's 3 × 96."""
    return shape == WIDE_IMAGE or (shape[0] % 6 == 0 and shape[1] % 6 == 0)


def _image_branch(shape: tuple[int, int]) -> nn.Sequential:
    if shape == WIDE_IMAGE:  # 3 × 96 → 5 × 90 → 6 × 84 → 6 × 6
        first, second = nn.Conv2d(1, 128, (3, 7), padding=(2, 0)), nn.Conv2d(128, 64, (4, 7), padding=(2, 0))
        pool = (1, 14)
    else:
        first, second = nn.Conv2d(1, 128, 3, padding=1), nn.Conv2d(128, 64, 3, padding=1)
        pool = (shape[0] // 6, shape[1] // 6)
    steps: list[nn.Module] = [first, nn.LeakyReLU(), second, nn.LeakyReLU(), nn.MaxPool2d(pool)]
    for _ in range(2):
        steps += [nn.Conv2d(64, 64, 3, padding=1), nn.LeakyReLU()]
    return nn.Sequential(*steps, nn.MaxPool2d(3), nn.Flatten())


class CaloflowCNN(nn.Module):
    """CaloFlow's convolutional classifier.

    Args:
        geometry: layers whose images pool to 6 × 6 (see `caloflow_cnn_accepts`).
        n_conditions: numbers that follow the voxels in a row of features.
        n_out: number of logits.

    Shapes: (N, V + n_conditions) → (N, n_out).
    """

    def __init__(self, geometry: Geometry, n_conditions: int, n_out: int = 1) -> None:
        super().__init__()
        self.shapes = [layer.shape for layer in geometry.layers]
        self.widths = [layer.n_voxels for layer in geometry.layers] + [n_conditions]
        self.branches = nn.ModuleList(_image_branch(shape) for shape in self.shapes)
        self.head = mlp([256 * len(self.shapes) + n_conditions, 512, 512, n_out], nn.LeakyReLU)
        channels_last(self, torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        *images, conditions = x.split(self.widths, dim=1)
        codes = [
            branch(image.reshape(-1, 1, *shape))
            for branch, image, shape in zip(self.branches, images, self.shapes, strict=True)
        ]
        logits: Tensor = self.head(torch.cat([*codes, conditions], dim=1))
        return logits


class ResidualBlock(nn.Module):
    """Two 3 × 3 × 3 convolutions with batch norm around a shortcut (projected where the shape changes)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm3d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv3d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm3d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv3d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm3d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet3d(nn.Module):
    """3D ResNet-18 on showers as images (layer, alpha, r).

    The published test does not say how E_inc joins an image; here it is a second, constant channel, so that
    every convolution sees it. Both channels are standardised over the batch, since log10(E_inc) is a thousand
    times larger than a voxel over E_inc.

    Args:
        image: (layers, alpha bins, r bins).
        n_out: number of logits.

    Shapes: (N, 1 + V), log10(E_inc) first → (N, n_out).
    """

    def __init__(self, image: tuple[int, int, int], n_out: int = 1) -> None:
        super().__init__()
        self.image = image
        self.scale = nn.BatchNorm3d(2, affine=False)
        self.stem = nn.Sequential(
            nn.Conv3d(2, 64, 7, stride=(1, 2, 2), padding=3, bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        widths = (64, 64, 128, 256, 512)
        blocks: list[nn.Module] = []
        for number, (a, b) in enumerate(itertools.pairwise(widths)):
            blocks += [ResidualBlock(a, b, stride=1 if number == 0 else 2), ResidualBlock(b, b, stride=1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(512, n_out)
        channels_last(self, torch.channels_last_3d)

    def forward(self, x: Tensor) -> Tensor:
        voxels = x[:, 1:].reshape(-1, 1, *self.image)
        energy = x[:, :1, None, None, None].expand_as(voxels)
        both = torch.cat([voxels, energy], dim=1).contiguous(memory_format=torch.channels_last_3d)
        logits: Tensor = self.head(self.blocks(self.stem(self.scale(both))).mean(dim=(2, 3, 4)))
        return logits


def n_parameters(network: nn.Module) -> int:
    """Number of trainable numbers in `network`."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
