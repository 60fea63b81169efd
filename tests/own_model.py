"""A user's own model, in one file outside the package: shown in CONTRIBUTING and trained by the tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge import ShowerModel


class GaussianPerFeature(ShowerModel):
    """Independent Gaussians whose means and log standard deviations are linear in the conditions.

    Args:
        features: F. conditions: C.
        start: initial standard deviation.
    """

    def __init__(self, features: int, conditions: int, *, start: float = 0.1) -> None:
        super().__init__()
        self.mean = nn.Linear(conditions, features)
        self.log_std = nn.Linear(conditions, features)
        nn.init.constant_(self.log_std.bias, torch.tensor(start).log().item())

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        log_std = self.log_std(c)
        return (0.5 * ((x - self.mean(c)) / log_std.exp()) ** 2 + log_std).sum(dim=1)

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean = self.mean(c)
        noise = torch.randn(mean.shape, generator=generator, device=c.device, dtype=c.dtype)
        return mean + self.log_std(c).exp() * noise
