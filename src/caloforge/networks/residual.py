"""Basic networks, building blocks of models.

`mlp` is a multilayer perceptron. `ConditionalResidualNet` is the residual network of neural spline flows
(arXiv:1906.04032): each block is h ← h + W₂ φ(W₁ φ(h)) ⊙ σ(V c), where the last factor is a gate through which the
conditions c enter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError


def mlp(widths: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given widths (input first, output last) with activations in between.

    Raises:
        CaloforgeError: a width is below 1.
    """
    if min(widths) < 1:
        raise CaloforgeError(f"the widths of network layers must be at least 1, not {list(widths)}")
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


class GatedResidualBlock(nn.Module):
    """One residual block whose update is gated by the conditions.

    Args:
        width: number of hidden features.
        conditions: number of conditions.
    """

    def __init__(self, width: int, conditions: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.gate = nn.Linear(conditions, width)
        # A small last layer makes the block initially close to the identity, as needed in deep stacks of splines.
        nn.init.uniform_(self.second.weight, -1e-3, 1e-3)
        nn.init.uniform_(self.second.bias, -1e-3, 1e-3)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """(B, width), (B, conditions) → (B, width)."""
        update = self.second(functional.relu(self.first(functional.relu(h))))
        return h + update * torch.sigmoid(self.gate(c))


class ConditionalResidualNet(nn.Module):
    """Residual network with gated conditions.

    Args:
        features: number of inputs.
        outputs: number of outputs.
        conditions: number of conditions; they are also inputs of the first layer.
        width: number of hidden features.
        blocks: number of residual blocks.
    """

    def __init__(self, features: int, outputs: int, conditions: int, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(features + conditions, width)
        self.blocks = nn.ModuleList([GatedResidualBlock(width, conditions) for _ in range(blocks)])
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, features), (B, conditions) → (B, outputs)."""
        h = self.first(torch.cat([x, c], dim=1))
        for block in self.blocks:
            h = block(h, c)
        return self.last(h)
