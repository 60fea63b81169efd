"""Parts of generative adversarial networks: critics, generators and what critics look at.

`Critic` and `Generator` are the halves of a U-Net (`caloforge.networks.unet`). `MinibatchFeatures` let a critic see
whether showers of a batch are alike (Salimans et al., arXiv:1606.03498): with M = reshape(W h) for each shower,

    o_k(i) = ⟨exp(−‖M_ik − M_jk‖₁)⟩_j,

near 1 where the other showers j look like shower i: by that a generator is recognised that gives few different showers.
The average is over the whole batch, shower i included. (The paper has the sum, CaloGAN its hyperbolic tangent, which is
1 to rounding as soon as ten showers are alike and then has no gradient.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.unet import Contracting, Expanding, FourierFeatures, Grid
from caloforge.sharing import part_of


class MinibatchFeatures(nn.Module):
    """Closeness of each shower to the others of its batch, in learned projections.

    Args:
        inputs: n. features: number of projections. dimension: of each.
    """

    def __init__(self, inputs: int, features: int, dimension: int = 10) -> None:
        super().__init__()
        self.features = features
        self.projections = nn.Linear(inputs, features * dimension)

    def forward(self, h: Tensor) -> Tensor:
        """(B, n) → (B, features), each in (0, 1]."""
        rows = self.projections(h).view(len(h), self.features, -1)
        m, others = rows.transpose(0, 1), part_of(h).whole(rows).transpose(0, 1)
        # Broadcast: cdist with p = 1 has a gradient that takes many times longer.
        distances = (m[:, :, None] - others[:, None]).abs().sum(dim=3)
        return torch.exp(-distances).mean(dim=2).T


class Critic(nn.Module):
    """(shower, conditions) → a number: high where showers look real.

    Args:
        grid, channels, kernel, embedding, positional_bias: of the U-Net's contracting half.
        conditions: C.
        bias: whether the number has a constant; a Wasserstein critic needs none, since only differences count.
        minibatch_features: appended to the last level's output; 0 for none.
    """

    def __init__(
        self,
        grid: Grid,
        channels: Sequence[int],
        kernel: int,
        embedding: int,
        positional_bias: bool,
        conditions: int,
        bias: bool = False,
        minibatch_features: int = 0,
    ) -> None:
        super().__init__()
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.down = Contracting(grid, channels, kernel, embedding, positional_bias)
        n = channels[-1] * grid.sizes[-1]
        self.last = nn.Linear(n + minibatch_features, 1, bias=bias)
        self.minibatch = MinibatchFeatures(n, minibatch_features) if minibatch_features else None

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, F), (B, C) → (B,)."""
        e = functional.silu(self.of_conditions(c))
        h = self.down(x, e)[-1].flatten(1)
        if self.minibatch is not None:
            h = torch.cat([h, self.minibatch(h)], dim=1)
        return self.last(h)[:, 0]


class Generator(nn.Module):
    """(noise, conditions) → a shower.

    Args:
        grid, channels, kernel, embedding: of the U-Net's expanding half.
        conditions: C.
        latent_dim: dimension of the noise.
    """

    def __init__(
        self, grid: Grid, channels: Sequence[int], kernel: int, embedding: int, conditions: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.bottom = (channels[-1], *grid.shapes[-1])
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.first = nn.Linear(latent_dim + embedding, math.prod(self.bottom))
        self.up = Expanding(grid, channels, kernel, embedding, joined=False)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """(B, latent_dim), (B, C) → (B, F)."""
        e = functional.silu(self.of_conditions(c))
        h = functional.silu(self.first(torch.cat([z, e], dim=1)))
        return self.up(h.view(-1, *self.bottom), e)
