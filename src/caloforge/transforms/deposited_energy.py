"""The deposited energy as a separate feature, together with the voxels or their fractions of it."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.transforms.base import Transform


class AppendDepositedEnergy(Transform):
    """Appends the sum of the voxels as a feature (CaloMan, arXiv:2211.15380, appendix).

    After `IncidentEnergyFraction` this is E_dep / (r_max E_inc), in [0, 1] like the voxels; the paper does not state
    its scale.

    Args:
        rescale: in `inverse`, scale the voxels so that they sum to the feature; otherwise drop the feature. The paper
            does not state which.
    """

    def __init__(self, *, rescale: bool = False) -> None:
        super().__init__()
        self.rescale = rescale

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([x, x.sum(dim=1, keepdim=True)], dim=1), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        voxels, total = x[:, :-1], x[:, -1:]
        if self.rescale:
            voxels = voxels.clamp_min(0)
            voxels = voxels * (total.clamp_min(0) / voxels.sum(dim=1, keepdim=True).clamp_min(1e-16))
        return voxels, c


class DepositedEnergyShares(Transform):
    """Voxels as fractions of their sum, with the sum as a feature (CaloScore on data set 1, arXiv:2206.11898).

    After `IncidentEnergyFraction` this feature is E_dep / (f E_inc). The fractions of an empty shower are 0. `inverse`
    normalises the fractions, so that E_dep is given by the feature; the paper does not say whether it does so.
    """

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        total = x.sum(dim=1, keepdim=True)
        return torch.cat([x / total.clamp_min(1e-16), total], dim=1), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        shares, total = x[:, :-1].clamp_min(0), x[:, -1:].clamp_min(0)
        return shares * (total / shares.sum(dim=1, keepdim=True).clamp_min(1e-16)), c
