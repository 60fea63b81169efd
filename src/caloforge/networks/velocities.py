"""Networks for velocity fields: (x_t, t, c) → velocity, with the shape of x_t.

Time enters through sines and cosines and, together with the conditions, gives one embedding for all blocks. Last layers
are initially zero, so that the velocity of an untrained network is zero.

`ResidualVelocity` is a plain residual network. `SectorVelocity` uses the rotational symmetry of a calorimeter: the
features are grouped in S equal sectors of the circle, each sector goes through the same network, and between layers the
sectors are mixed by symmetric circular convolutions,

    m_a = Σ_b w_{|a − b|} h_b,    where |a − b| is the shorter distance around the circle,

with learned weights w for each group of channels. The output thus rotates and reflects with the input, and the network
does not have to learn the same at every angle. A reflection permutes sectors and keeps the order within each: it is a
symmetry of showers if a sector has one alpha bin per ring, as in all CaloChallenge data sets; with several, use a
residual network.

`LayerVelocity` goes through the calorimeter layer by layer: each layer's features and conditions make one vector, all
vectors go through the same blocks, and between them the layers are mixed by learned matrices (as in the MLP-Mixer,
arXiv:2105.01601). With many layers that are much alike, it needs fewer weights than a residual network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError

WAVES = 8
"""Frequencies in the embedding of time."""


class Embedding(nn.Module):
    """(t (B,) or (1,), c (B, C)) → (B, width).

    Args:
        conditions: C. width: width of the embedding.
    """

    frequencies: Tensor

    def __init__(self, conditions: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 0.5 * math.pi * torch.arange(1, WAVES + 1), persistent=False)
        self.time = nn.Linear(2 * WAVES, width)
        self.conditions = nn.Sequential(nn.Linear(conditions, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, c: Tensor) -> Tensor:
        return functional.silu(self.time(self.waves(t)) + self.conditions(c))

    def waves(self, t: Tensor) -> Tensor:
        """t (B,) → (B, 2 WAVES)."""
        angle = t[:, None] * self.frequencies
        return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


class ResidualVelocity(nn.Module):
    """Residual blocks whose input is scaled and shifted by the embedding.

    Args:
        features: F. conditions: C.
        width: width of the hidden layers.
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
        """x_t (B, F), t (B,) or (1,), c (B, C) → (B, F)."""
        seen = self.embedding(t, c)
        h = self.first(x_t)
        for modulation, block in zip(self.modulations, self.blocks, strict=True):
            shift, scale = modulation(seen).chunk(2, dim=1)
            h = h + block(h * (1 + scale) + shift)
        return self.last(functional.silu(h))


class SectorVelocity(nn.Module):
    """The same network for each sector, with circular mixing between sectors.

    Args:
        features: F, sector by sector. conditions: C.
        sectors: S, divides F.
        width: channels per sector.
        hidden: channels inside a block.
        blocks: number of blocks.
        groups: number of channel groups, each with its own mixing weights; reduced to a divisor of the width.
        sector_conditions: K, number of conditions per sector; the last S · K conditions, sector by sector.
    """

    waves: Tensor

    def __init__(
        self,
        features: int,
        conditions: int,
        sectors: int,
        width: int,
        hidden: int,
        blocks: int,
        groups: int = 16,
        sector_conditions: int = 0,
    ) -> None:
        super().__init__()
        self.sectors, self.groups, self.sector_conditions = sectors, math.gcd(groups, width), sector_conditions
        waves, spectrum = _circular_modes(sectors)
        self.register_buffer("waves", waves, persistent=False)
        self.embedding = Embedding(conditions - sectors * sector_conditions, width)
        self.first = nn.Linear(features // sectors + sector_conditions, width)
        sector_blocks = [SectorBlock(waves, spectrum, width, hidden, self.groups) for _ in range(blocks)]
        self.blocks = nn.ModuleList(sector_blocks)
        self.last = _zeroed(nn.Linear(width, features // sectors))

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, F), t (B,) or (1,), c (B, C) → (B, F)."""
        by_sector, c = per_sector(x_t, c, self.sectors, self.first.in_features, self.sector_conditions)
        seen = self.embedding(t, c)
        h = _turned(self.waves, self.first(by_sector.transpose(0, 1)))
        for block in self.blocks:
            h = block(h, seen)
        return self.last(functional.silu(_turned(self.waves.T, h))).transpose(0, 1).flatten(1)


class SectorBlock(nn.Module):
    """A residual block of `SectorVelocity`.

    Its input and output are Fourier modes around the circle, in which a circular convolution is a factor for each mode
    and channel. The factor is folded into the weights: each mode has its own matrix, W + W' diag(factors of the mode).
    """

    waves: Tensor
    spectrum: Tensor

    def __init__(self, waves: Tensor, spectrum: Tensor, width: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("waves", waves, persistent=False)
        self.register_buffer("spectrum", spectrum, persistent=False)
        self.mixing = nn.Parameter(0.5 * torch.randn(groups, spectrum.shape[1]))
        self.inward = nn.Linear(2 * width, hidden)
        self.seen = nn.Linear(width, hidden, bias=False)
        self.outward = _zeroed(nn.Linear(hidden, width))

    def forward(self, h: Tensor, seen: Tensor) -> Tensor:
        """h (S, B, width), seen (B, width) → (S, B, width)."""
        direct, mixed = self.inward.weight.chunk(2, dim=1)
        matrices = direct + mixed * self.factors()[:, None]
        update = _turned(self.waves.T, torch.bmm(h, matrices.transpose(1, 2))) + self.inward.bias + self.seen(seen)
        return h + _turned(self.waves, self.outward(functional.silu(update)))

    def factors(self) -> Tensor:
        """(S, width) mixing factor of each channel of each mode."""
        width = self.outward.out_features
        return (self.spectrum @ self.mixing.T).repeat_interleave(width // len(self.mixing), dim=1)


class LayerVelocity(nn.Module):
    """The same blocks for each layer of the calorimeter, with learned mixing between layers.

    Args:
        layer_of_feature: (F,) layer of each feature, counted from 0.
        layer_of_condition: (C,) layer of each condition; -1 for those of the whole shower, -2 for those of the whole
            shower that each layer's own weights see too.
        width: channels per layer.
        hidden: channels inside a block.
        blocks: number of blocks.
        groups: number of channel groups, each with its own mixing matrix; reduced to a divisor of the width.
    """

    columns: Tensor
    place: Tensor
    common: Tensor

    def __init__(
        self,
        layer_of_feature: Sequence[int],
        layer_of_condition: Sequence[int],
        width: int,
        hidden: int,
        blocks: int,
        groups: int = 8,
    ) -> None:
        super().__init__()
        n = len(layer_of_feature)
        layer = torch.tensor([*layer_of_feature, *layer_of_condition])
        layers = int(layer.max()) + 1
        members = [torch.nonzero((layer == k) | (layer == -2))[:, 0] for k in range(layers)]
        own = [int((member < n).sum()) for member in members]
        inputs, self.outputs = max(map(len, members)), max(own)
        columns = torch.full((layers, inputs), len(layer))  # beyond the last column: a zero
        place = torch.zeros(n, dtype=torch.long)
        for k, (member, count) in enumerate(zip(members, own, strict=True)):
            columns[k, : len(member)] = member
            place[member[:count]] = k * self.outputs + torch.arange(count)
        self.register_buffer("columns", columns.flatten(), persistent=False)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("common", torch.nonzero(layer[n:] < 0)[:, 0], persistent=False)
        self.layers = layers
        self.embedding = Embedding(len(self.common), width)
        self.first = nn.Parameter(torch.randn(layers, inputs, width) / math.sqrt(inputs))
        self.blocks = nn.ModuleList([LayerBlock(layers, width, hidden, math.gcd(groups, width)) for _ in range(blocks)])
        self.last = nn.Parameter(torch.zeros(layers, width, self.outputs))
        self.bias = nn.Parameter(torch.zeros(n))

    def forward(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """x_t (B, F), t (B,) or (1,), c (B, C) → (B, F)."""
        seen = self.embedding(t, c.index_select(1, self.common))
        columns = functional.pad(torch.cat([x_t, c], dim=1), (0, 1)).index_select(1, self.columns)
        h = torch.bmm(columns.view(-1, self.layers, self.first.shape[1]).transpose(0, 1), self.first)
        for block in self.blocks:
            h = block(h, seen)
        velocity = torch.bmm(functional.silu(h), self.last).transpose(0, 1).flatten(1)
        return velocity.index_select(1, self.place) + self.bias


class LayerBlock(nn.Module):
    """A residual block of `LayerVelocity`."""

    def __init__(self, layers: int, width: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(groups, layers, layers) / math.sqrt(layers))
        self.inward = nn.Linear(2 * width, hidden)
        self.seen = nn.Linear(width, hidden, bias=False)
        self.of_layer = nn.Parameter(torch.zeros(layers, 1, hidden))
        self.outward = _zeroed(nn.Linear(hidden, width))

    def forward(self, h: Tensor, seen: Tensor) -> Tensor:
        """h (L, B, width), seen (B, width) → (L, B, width)."""
        groups, layers, _ = self.mixing.shape
        channels = self.outward.out_features // groups
        grouped = h.view(layers, -1, groups, channels).permute(2, 0, 1, 3).reshape(groups, layers, -1)
        mixed = torch.bmm(self.mixing, grouped).view(groups, layers, -1, channels).permute(1, 2, 0, 3)
        both = torch.cat([h, mixed.reshape(layers, -1, groups * channels)], dim=2)
        update = self.inward(both) + self.seen(seen) + self.of_layer
        return h + self.outward(functional.silu(update))


def per_sector(x: Tensor, c: Tensor, sectors: int, inputs: int, own: int) -> tuple[Tensor, Tensor]:
    """The inputs of each sector, and the common conditions.

    Args:
        x: (B, F) features, sector by sector. c: (B, C) conditions.
        sectors: S. inputs: F / S + K, per sector.
        own: K, number of conditions per sector; the last S · K conditions, sector by sector.

    Returns:
        (B, S, F / S + K) and (B, C − S · K).
    """
    x = x.reshape(-1, sectors, inputs - own)
    if own == 0:
        return x, c
    of_sectors = c[:, -sectors * own :].reshape(-1, sectors, own)
    return torch.cat([x, of_sectors], dim=2), c[:, : -sectors * own]


def _turned(matrix: Tensor, x: Tensor) -> Tensor:
    """matrix (S, S) applied to the sectors or modes of x (S, B, ·)."""
    return (matrix @ x.flatten(1)).view(x.shape)


def _circular_modes(sectors: int) -> tuple[Tensor, Tensor]:
    """The real Fourier modes around S sectors, and the eigenvalues of a mixing that depends on distance.

    Returns:
        (S, S) orthonormal rows: a constant, then cosines and sines with m = 1, 2 … periods. (S, S // 2 + 1): the factor
        of mode j is row j times the weights, Σ_d w_d cos(2π m d / S) over the distances d on both sides.
    """
    index = torch.arange(sectors)
    rows, periods = [torch.ones(sectors)], [0]
    for m in range(1, sectors // 2 + 1):
        angle = 2 * math.pi * m * index / sectors
        rows.append(torch.cos(angle))
        periods.append(m)
        if 2 * m < sectors:
            rows.append(torch.sin(angle))
            periods.append(m)
    waves = torch.stack([row / row.norm() for row in rows])
    distance = torch.arange(sectors // 2 + 1)
    both_sides = torch.where((distance == 0) | (2 * distance == sectors), 1.0, 2.0)
    spectrum = both_sides * torch.cos(2 * math.pi * torch.tensor(periods)[:, None] * distance / sectors)
    return waves, spectrum


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def residual_or_sectors(
    network: str, features: int, conditions: int, sectors: int, width: int, hidden: int, blocks: int
) -> ResidualVelocity | SectorVelocity:
    """The network that a model's settings name.

    Args:
        network: `residual` or `sectors`.
        features: F. conditions: C.
        sectors: equal sectors in which the features come, for a network of sectors.
        width: hidden channels. hidden: channels inside the blocks of a network of sectors; 0 is twice the width.
        blocks: number of blocks.

    Raises:
        CaloforgeError: the features do not divide into sectors.
    """
    if network != "sectors":
        return ResidualVelocity(features, conditions, width, blocks)
    if features % sectors:
        raise CaloforgeError(f"{features} features do not come in {sectors} equal sectors: use network 'residual'")
    return SectorVelocity(features, conditions, sectors, width, hidden or 2 * width, blocks)
