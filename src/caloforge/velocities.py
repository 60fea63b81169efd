"""Networks for velocity fields: (x_t, t, c) → something like x_t.

Time enters as sines and cosines, and with the conditions makes one embedding, which every block sees. Last layers
begin at zero, so that an untrained network carries nothing anywhere.

`ResidualVelocity` is a plain residual network. `SectorVelocity` knows that a calorimeter is round: features come in S
equal sectors of the circle, each sector goes through the same network, and between layers the sectors are mixed by
circular convolutions that look the same to both sides,

    m_a = Σ_b w_{|a − b|} h_b,    |a − b| being the shorter way around,

with learned weights w for each group of channels. So the output turns and is mirrored with the input (where a sector
holds one bin of alpha), and the network does not spend weights on learning the same thing at every angle.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WAVES = 8
"""Frequencies of time that a network sees."""


class Embedding(nn.Module):
    """(t (B,), c (B, C)) → (B, width).

    Args:
        conditions: C. width: of the embedding.
    """

    frequencies: Tensor

    def __init__(self, conditions: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 0.5 * math.pi * torch.arange(1, WAVES + 1), persistent=False)
        self.time = nn.Linear(2 * WAVES, width)
        self.conditions = nn.Sequential(nn.Linear(conditions, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, c: Tensor) -> Tensor:
        angle = t[:, None] * self.frequencies
        waves = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
        return functional.silu(self.time(waves) + self.conditions(c))


class ResidualVelocity(nn.Module):
    """Residual blocks whose input is scaled and shifted by the embedding.

    Args:
        features: F. conditions: C.
        width: of the hidden layers.
        blocks: number of residual blocks.
    """

    def __init__(self, features: int, conditions: int, width: int, blocks: int) -> None:
        super().__init__()
        self.embedding = Embedding(conditions, width)
        self.first = nn.Linear(features, width)
        self.modulations = nn.ModuleList([nn.Linear(width, 2 * width) for _ in range(blocks)])
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(blocks)]
        )
        self.last = _zeroed(nn.Linear(width, features))

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, F), t (B,), c (B, C) → (B, F)."""
        seen = self.embedding(t, c)
        h = self.first(x_t)
        for modulation, block in zip(self.modulations, self.blocks, strict=True):
            shift, scale = modulation(seen).chunk(2, dim=1)
            h = h + block(h * (1 + scale) + shift)
        return self.last(functional.silu(h))


class SectorVelocity(nn.Module):
    """The same network for each sector, with circular mixing between them.

    Args:
        features: F, sector by sector. conditions: C.
        sectors: S, divides F.
        width: channels of a sector; a multiple of `groups`.
        hidden: channels inside a block.
        blocks: number of blocks.
        groups: of channels, each with mixing weights of its own.
    """

    def __init__(
        self, features: int, conditions: int, sectors: int, width: int, hidden: int, blocks: int, groups: int = 16
    ) -> None:
        super().__init__()
        self.sectors, self.groups = sectors, math.gcd(groups, width)
        self.embedding = Embedding(conditions, width)
        self.first = nn.Linear(features // sectors, width)
        self.blocks = nn.ModuleList([_SectorBlock(sectors, width, hidden, self.groups) for _ in range(blocks)])
        self.last = _zeroed(nn.Linear(width, features // sectors))

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, F), t (B,), c (B, C) → (B, F)."""
        seen = self.embedding(t, c)
        h = self.first(x_t.view(len(x_t), self.sectors, -1))
        for block in self.blocks:
            h = block(h, seen)
        return self.last(functional.silu(h)).flatten(1)


class _SectorBlock(nn.Module):
    distance: Tensor

    def __init__(self, sectors: int, width: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        places = torch.arange(sectors)
        apart = (places[:, None] - places).abs()
        self.register_buffer("distance", torch.minimum(apart, sectors - apart), persistent=False)
        self.mixing = nn.Parameter(0.5 * torch.randn(groups, sectors // 2 + 1))
        self.inward = nn.Linear(2 * width, hidden)
        self.seen = nn.Linear(width, hidden, bias=False)
        self.outward = _zeroed(nn.Linear(hidden, width))

    def forward(self, h: Tensor, seen: Tensor) -> Tensor:
        n, sectors, width = h.shape
        # One matrix per group of channels, for all showers at once.
        by_group = h.view(n, sectors, self.groups, -1).permute(2, 1, 0, 3).reshape(self.groups, sectors, -1)
        mixed = torch.bmm(self.mixing[:, self.distance], by_group).view(self.groups, sectors, n, -1)
        mixed = mixed.permute(2, 1, 0, 3).reshape(n, sectors, width)
        update = self.inward(torch.cat([h, mixed], dim=2)) + self.seen(seen)[:, None]
        return h + self.outward(functional.silu(update))


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
