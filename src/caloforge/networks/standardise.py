"""Standardisation and its inverse: x → (x − μ) / s, with mean μ and standard deviation s of the training set.

`each`: every feature has its own constants; `all`: features share one pair, which keeps their relative sizes and leaves
rarely hit voxels small; `none`: the identity.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

By = Literal["none", "all", "each"]


class Standardise(nn.Module):
    """The map and its inverse; constants are buffers, 0 and 1 until they are fitted.

    Args:
        features: F.
        by: see the module's opening.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, features: int, by: By) -> None:
        super().__init__()
        self.by = by
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def fit(self, x: Tensor) -> None:
        """Take the constants from x (N, F); constant features keep their scale."""
        if self.by == "none":
            return
        mean, std = (x.mean(dim=0), x.std(dim=0)) if self.by == "each" else (x.mean(), x.std())
        self.shift.copy_(mean.expand_as(self.shift))
        self.scale.copy_(torch.where(std > 0, std, torch.ones_like(std)).expand_as(self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) → (B, F)."""
        return (x - self.shift) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """(B, F) → (B, F)."""
        return x * self.scale + self.shift

    def log_slope(self) -> Tensor:
        """() sum of log |dx̂/dx| over features."""
        return -self.scale.log().sum()
