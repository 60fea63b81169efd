"""Networks of point clouds: what they do to a point depends on all points, but not on their order.

Deep sets (Zaheer et al., arXiv:1703.06114): a function of a set is ρ(Σ_i φ(x_i)), here with sum and mean.

EPiC layers (Buhmann, Kasieczka and Thaler, arXiv:2301.08128) pass a global vector g between the points h_i of a cloud,

    g ← g + G(mean_i h_i, s Σ_i h_i, g, e),        h_i ← h_i + H(h_i, g, e),

with multilayer perceptrons G and H and an embedding e of time and conditions: the cost grows with the number of points,
not with its square. Permuting points permutes the h_i and leaves g as it is. The paper applies a leaky ReLU to each
sum; here G and H end with a linear layer, initially zero for H, and the activation is SiLU.

All take packed points (`caloforge.packed`), so that the clouds of a batch may differ in size and be empty.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.velocities import Embedding
from caloforge.packed import Packed

SUM_SCALE = 0.01
"""s, the factor on sums over points; as in the EPiC-GAN's code."""


def pooled(clouds: Packed, h: Tensor) -> Tensor:
    """(B, 2W) mean and scaled sum over each cloud of values (P, W)."""
    total = clouds.sums(h)
    return torch.cat([total / clouds.counts.clamp_min(1)[:, None], SUM_SCALE * total], dim=1)


class DeepSet(nn.Module):
    """A number, or several, of each cloud: ρ(mean φ, sum φ, conditions).

    Args:
        features: F of the points. conditions: C.
        width: of the hidden layers. outputs: numbers per cloud.
    """

    def __init__(self, features: int, conditions: int, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.of_points = nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.of_clouds = nn.Sequential(
            nn.Linear(2 * width + conditions, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, clouds: Packed, c: Tensor) -> Tensor:
        """Clouds with points (P, F), conditions c (B, C) → (B, outputs)."""
        h = pooled(clouds, self.of_points(clouds.points))
        return self.last(self.of_clouds(torch.cat([h, c], dim=1)))


class EPiCLayer(nn.Module):
    """One layer: the global vector from the points, then each point from the global vector.

    Args:
        width: of the points. global_width: of the global vector. seen: of the embedding.
    """

    def __init__(self, width: int, global_width: int, seen: int) -> None:
        super().__init__()
        self.gather = nn.Linear(2 * width + global_width + seen, width)
        self.to_global = nn.Linear(width, global_width)
        self.own = nn.Linear(width, width)
        self.common = nn.Linear(global_width + seen, width, bias=False)
        self.to_points = nn.Linear(width, width)
        nn.init.zeros_(self.to_points.weight)
        nn.init.zeros_(self.to_points.bias)

    def forward(self, clouds: Packed, h: Tensor, g: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """h (P, W), g (B, G), e (B, E) → h, g."""
        g = g + self.to_global(functional.silu(self.gather(torch.cat([pooled(clouds, h), g, e], dim=1))))
        common = clouds.spread(self.common(torch.cat([g, e], dim=1)))
        return h + self.to_points(functional.silu(self.own(h) + common)), g


class EPiCVelocity(nn.Module):
    """The velocity of each point, by EPiC layers; zero for an untrained network.

    Args:
        features: F of the points. conditions: C.
        width: of the points inside. global_width: of the global vector.
        layers: number of EPiC layers.
    """

    def __init__(self, features: int, conditions: int, width: int, global_width: int, layers: int) -> None:
        super().__init__()
        self.embedding = Embedding(conditions, width)
        self.first = nn.Linear(features, width)
        self.first_seen = nn.Linear(width, width, bias=False)
        self.first_global = nn.Linear(3 * width, global_width)
        self.layers = nn.ModuleList([EPiCLayer(width, global_width, width) for _ in range(layers)])
        self.last = nn.Linear(width, features)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, clouds: Packed, t: Tensor, c: Tensor) -> Tensor:
        """Clouds with points (P, F) at times t (B,) or (1,), conditions c (B, C) → velocities (P, F)."""
        e = self.embedding(t, c)
        h = functional.silu(self.first(clouds.points) + clouds.spread(self.first_seen(e)))
        g = self.first_global(torch.cat([pooled(clouds, h), e], dim=1))
        for layer in self.layers:
            h, g = layer(clouds, h, g, e)
        return self.last(functional.silu(h))
