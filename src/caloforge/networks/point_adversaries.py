"""Generator and critic of point clouds by EPiC layers (Buhmann, Kasieczka and Thaler, arXiv:2301.08128).

The generator turns noise of each point, and noise of the whole cloud, into points: permuting the first permutes the
points. The critic is a function of the set. Both are told the conditions by an embedding; the paper has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.point_networks import EPiCLayer, pooled
from caloforge.packed import Packed


class EPiCStack(nn.Module):
    """EPiC layers that begin with an embedding of each point and of the whole cloud.

    Args:
        features: F of the points. told: C, numbers that each cloud comes with.
        width: of the points inside. global_width: of the global vector.
        layers: number of EPiC layers.
    """

    def __init__(self, features: int, told: int, width: int, global_width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Linear(told, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first = nn.Linear(features, width)
        self.first_seen = nn.Linear(width, width, bias=False)
        self.first_global = nn.Linear(3 * width, global_width)
        self.layers = nn.ModuleList([EPiCLayer(width, global_width, width) for _ in range(layers)])

    def forward(self, clouds: Packed, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Clouds with points (P, F), told (B, C) → points (P, W), global vectors (B, G), embeddings (B, W)."""
        e = self.embedding(told)
        h = functional.silu(self.first(clouds.points) + clouds.spread(self.first_seen(e)))
        g = self.first_global(torch.cat([pooled(clouds, h), e], dim=1))
        for layer in self.layers:
            h, g = layer(clouds, h, g, e)
        return functional.silu(h), g, e


class EPiCGenerator(nn.Module):
    """(noise of points and clouds, conditions) → points.

    Args:
        features: F of the points. conditions: C.
        point_noise, cloud_noise: numbers of noise for each point, and for each cloud.
        width, global_width, layers: of the EPiC layers.
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        point_noise: int,
        cloud_noise: int,
        width: int,
        global_width: int,
        layers: int,
    ) -> None:
        super().__init__()
        self.stack = EPiCStack(point_noise, cloud_noise + conditions, width, global_width, layers)
        self.last = nn.Linear(width, features)

    def forward(self, noise: Packed, z: Tensor, c: Tensor) -> Tensor:
        """Clouds of noise with points (P, L), z (B, D), c (B, C) → points (P, F)."""
        h, _, _ = self.stack(noise, torch.cat([z, c], dim=1))
        return self.last(h)


class EPiCCritic(nn.Module):
    """(points, conditions) → a number: high where clouds look real.

    Args:
        features: F of the points. conditions: C.
        width, global_width, layers: of the EPiC layers.
    """

    def __init__(self, features: int, conditions: int, width: int, global_width: int, layers: int) -> None:
        super().__init__()
        self.stack = EPiCStack(features, conditions, width, global_width, layers)
        self.judge = nn.Sequential(
            nn.Linear(3 * width + global_width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.last = nn.Linear(width, 1)

    def forward(self, clouds: Packed, c: Tensor) -> Tensor:
        """Clouds with points (P, F), c (B, C) → (B,)."""
        h, g, e = self.stack(clouds, c)
        return self.last(self.judge(torch.cat([pooled(clouds, h), g, e], dim=1)))[:, 0]
