"""Logit: from features in [0, 1] to the whole line, where densities have room."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.transforms.base import Transform


class Logit(Transform):
    """u → logit(α + (1 − 2α) u) for features u in [0, 1] (CaloFlow, arXiv:2106.05285; CaloScore uses it too).

    Args:
        alpha: α, above 0 and below 1/2: keeps 0 and 1 finite.
    """

    def __init__(self, *, alpha: float = 1e-6) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise CaloforgeError(f"'alpha' of a logit must lie between 0 and 0.5, not {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.logit(self.alpha + (1 - 2 * self.alpha) * x.clamp(0, 1)), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return (torch.sigmoid(x) - self.alpha) / (1 - 2 * self.alpha), c
