"""The sampling path of trained networks, rewritten as matrix products with as little between them as there can be.

Training needs densities and gradients; sampling needs neither. What stands here gives the same samples, up to
rounding, at a fraction of the time. There are two ways, because two things cost time:

- `eager`, for batches in PyTorch: each pass over memory costs, so work is done in place and in few passes;
- `graph`, for one sample at a time in a recorded graph (ONNX, torch.compile): each operation costs, so there are few,
  all of which ONNX knows.

Weights are copied: a trained model is left as it is, and is to be lowered anew when its weights have changed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge.lowering.eager import EagerFlow, EagerLayers
from caloforge.lowering.graph import GraphFlow, GraphLayers
from caloforge.networks.flows import Flow

__all__ = ["EagerFlow", "EagerLayers", "FlowThenLayers", "GraphFlow", "GraphLayers"]


class FlowThenLayers(nn.Module):
    """A flow makes codes of noise, linear layers with ReLU between them make features of codes.

    Args:
        flow: from data to noise, as trained.
        weights, biases: (outputs, inputs) and (outputs,) of each layer.
        conditional: whether the layers see the conditions too, behind the codes.
        graph: for a recorder instead of batches in PyTorch.
    """

    def __init__(
        self, flow: Flow, weights: list[Tensor], biases: list[Tensor], *, conditional: bool, graph: bool
    ) -> None:
        super().__init__()
        self.conditional = conditional
        with torch.no_grad():
            self.flow = GraphFlow(flow) if graph else EagerFlow(flow)
            self.layers = (GraphLayers if graph else EagerLayers)(weights, biases)

    def forward(self, noise: Tensor, c: Tensor) -> Tensor:
        """noise (B, d) from N(0, 1), c (B, C) → (B, F)."""
        codes = self.flow(noise, c)
        return self.layers(torch.cat([codes, c], dim=1) if self.conditional else codes)
