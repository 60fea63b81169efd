"""Affine coupling (RealNVP; Dinh et al., arXiv:1605.08803): the simplest flow step that couples features.

Half of the features, x_a, are unchanged and determine how the others are scaled and shifted:

    z_a = x_a,    z_b = x_b ⊙ exp(s) + t,    (s, t) = network(x_a, c),    log |det ∂z/∂x| = Σ s.

The inverse is x_b = (z_b − t) ⊙ exp(−s), with the same evaluation of the network. As in the paper, s is bounded by a
hyperbolic tangent times a limit; successive steps alternate between the features of even and odd index.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge.networks.flows import Flow, FlowStep, Permutation
from caloforge.networks.residual import ConditionalResidualNet


class AffineCoupling(FlowStep):
    """Scales and shifts half of the features, depending on the other half and on c; initially the identity.

    Args:
        features: F.
        conditions: C.
        even: whether the features with even indices are transformed; a single feature always is.
        limit: limit of |s|.
        width, blocks: size of the residual network.
    """

    transformed: Tensor
    unchanged: Tensor
    order: Tensor

    def __init__(self, features: int, conditions: int, even: bool, limit: float, width: int, blocks: int) -> None:
        super().__init__()
        index = torch.arange(features)
        chosen = index % 2 == (0 if even or features == 1 else 1)
        transformed, unchanged = index[chosen], index[~chosen]
        self.register_buffer("transformed", transformed, persistent=False)
        self.register_buffer("unchanged", unchanged, persistent=False)
        self.register_buffer("order", torch.argsort(torch.cat([transformed, unchanged])), persistent=False)
        self.limit = limit
        self.network = ConditionalResidualNet(len(unchanged), 2 * len(transformed), conditions, width, blocks)
        nn.init.zeros_(self.network.last.weight)
        nn.init.zeros_(self.network.last.bias)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        x_a, x_b = x.index_select(1, self.unchanged), x.index_select(1, self.transformed)
        s, t = self._scale_and_shift(x_a, c)
        return self._joined(x_b * s.exp() + t, x_a), s.sum(dim=1)

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z_a, z_b = z.index_select(1, self.unchanged), z.index_select(1, self.transformed)
        s, t = self._scale_and_shift(z_a, c)
        return self._joined((z_b - t) * torch.exp(-s), z_a), -s.sum(dim=1)

    def _scale_and_shift(self, unchanged: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.network(unchanged, c).chunk(2, dim=1)
        return self.limit * torch.tanh(s / self.limit), t

    def _joined(self, transformed: Tensor, unchanged: Tensor) -> Tensor:
        return torch.cat([transformed, unchanged], dim=1).index_select(1, self.order)


def affine_coupling_flow(
    features: int, conditions: int, *, layers: int, limit: float, width: int, blocks: int, permute: bool
) -> Flow:
    """Affine couplings with alternating masks and, if `permute`, a random permutation after each pair of them.

    Without permutations, a feature is conditioned only on those of the other parity.
    """
    steps: list[FlowStep] = []
    for k in range(layers):
        if permute and k and k % 2 == 0:
            steps.append(Permutation(features))
        steps.append(AffineCoupling(features, conditions, k % 2 == 0, limit, width, blocks))
    return Flow(steps)
