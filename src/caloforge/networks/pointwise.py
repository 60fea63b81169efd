"""Networks that see one point at a time: points are independent, given what is known of their cloud.

CaloClouds' network (arXiv:2305.04847, 2309.05704): linear layers whose outputs are scaled and shifted by an embedding e
of time and conditions,

    h ← leaky ReLU of W h ⊙ sigmoid(G e) + B e,

at a cost that grows with the number of points and with nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.velocities import Embedding
from caloforge.packed import Packed


class GatedLinear(nn.Module):
    """A linear layer of points with a gate and a shift for each cloud.

    Args:
        inputs, outputs: of a point. seen: of the embedding.
    """

    def __init__(self, inputs: int, outputs: int, seen: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(seen, outputs)
        self.shift = nn.Linear(seen, outputs, bias=False)

    def forward(self, clouds: Packed, h: Tensor, e: Tensor) -> Tensor:
        """h (P, inputs), e (B, seen) → (P, outputs)."""
        gate, shift = clouds.spread(torch.sigmoid(self.gate(e))), clouds.spread(self.shift(e))
        return self.linear(h) * gate + shift


class PointwiseVelocity(nn.Module):
    """The velocity of each point, from itself, time and conditions; zero for an untrained network.

    Args:
        features: F of the points. conditions: C.
        widths: of the layers.
        embedding: width of the embedding of time and conditions.
    """

    def __init__(self, features: int, conditions: int, widths: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.embedding = Embedding(conditions, embedding)
        self.layers = nn.ModuleList([GatedLinear(*pair, embedding) for pair in itertools.pairwise([features, *widths])])
        self.last = nn.Linear(widths[-1], features)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, clouds: Packed, t: Tensor, c: Tensor) -> Tensor:
        """Clouds with points (P, F) at times t (B,) or (1,), conditions c (B, C) → velocities (P, F)."""
        e, h = self.embedding(t, c), clouds.points
        for layer in self.layers:
            h = functional.leaky_relu(layer(clouds, h, e))
        return self.last(h)
