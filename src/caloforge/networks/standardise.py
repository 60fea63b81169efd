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
        names: of μ and s among the saved weights.
    """

    def __init__(self, features: int, by: By, names: tuple[str, str] = ("shift", "scale")) -> None:
        super().__init__()
        self.by, self.names = by, names
        self.register_buffer(names[0], torch.zeros(features))
        self.register_buffer(names[1], torch.ones(features))

    def constants(self) -> tuple[Tensor, Tensor]:
        """μ and s, (F,) each."""
        mean, std = (self.get_buffer(name) for name in self.names)
        return mean, std

    def fit(self, x: Tensor) -> None:
        """Take the constants from x (N, F); constant features keep their scale."""
        if self.by == "none":
            return
        mean, std = (x.mean(dim=0), x.std(dim=0)) if self.by == "each" else (x.mean(), x.std())
        mu, s = self.constants()
        mu.copy_(mean.expand_as(mu))
        s.copy_(torch.where(std > 0, std, torch.ones_like(std)).expand_as(s))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) → (B, F)."""
        mu, s = self.constants()
        return (x - mu) / s

    def inverse(self, x: Tensor) -> Tensor:
        """(B, F) → (B, F)."""
        mu, s = self.constants()
        return x * s + mu

    def log_slope(self) -> Tensor:
        """() sum of log |dx̂/dx| over features."""
        return -self.constants()[1].log().sum()
