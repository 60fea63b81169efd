"""RealNVP: a flow of affine couplings (Dinh et al., arXiv:1605.08803), the first example of a normalizing flow.

x = f⁻¹(z; c) with z ~ N(0, 1), f a chain of affine couplings (`caloforge.networks.affine_coupling`), trained by maximum
likelihood,

    log p(x | c) = log N(f(x; c); 0, 1) + Σ s,

the sum of all log scales. Density and sampling cost one pass each, and both are exact inverses of each other. A map
that is continuous and one-to-one cannot cut noise into separate pieces, so well separated modes stay connected by thin
bridges. As a part of another model it is a density of plain features: `layers: {kind: realnvp}` in a cascade.
"""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.models.base import LatentModel
from caloforge.models.stages import Stage
from caloforge.networks.affine_coupling import affine_coupling_flow
from caloforge.networks.standardise import By, Standardise


class RealNVP(LatentModel):
    """Normalizing flow of affine couplings.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions.
        layers: number of couplings.
        width: hidden features of a coupling's residual network.
        blocks: residual blocks of a coupling's network.
        limit: of the absolute value of a log scale.
        permute: a random permutation of the features after each pair of couplings.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> import torch
        >>> model = RealNVP(369, 1, layers=2, width=16)
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        layers: PositiveInt = 8,
        width: PositiveInt = 128,
        blocks: NonNegativeInt = 2,
        limit: PositiveFloat = 2.0,
        permute: bool = True,
        standardise: By = "each",
    ) -> None:
        super().__init__()
        self.latent_dim = features
        self.standardise = Standardise(features, standardise)
        self.flow = affine_coupling_flow(
            features, conditions, layers=layers, limit=limit, width=width, blocks=blocks, permute=permute
        )

    def stages(self) -> list[Stage]:
        """One, `model`."""
        return [Stage("model", self.loss, self.parameters(), fit=lambda data: self.standardise.fit(data.sample()[0]))]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) −log p(x | c) of standardised features, in nats."""
        return -self.flow.log_prob(self.standardise(x), c)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F) from N(0, 1), c (B, C) → (B, F)."""
        return self.standardise.inverse(self.flow.inverse(z, c)[0])

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) log density of x (B, F)."""
        return self.flow.log_prob(self.standardise(x), c) + self.standardise.log_slope()
