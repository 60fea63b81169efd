"""A user's own transform, in one file outside the package: shown in CONTRIBUTING, saved and loaded by the tests."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from caloforge import Transform


class LogScale(Transform):
    """x → log(1 + factor · x) / s, with s the largest value in the training set.

    Args:
        factor: in 1/MeV.
    """

    largest: Tensor

    def __init__(self, *, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("largest", torch.ones(()))  # buffers are saved with the weights

    def fit(self, x: Tensor, c: Tensor) -> Self:
        self.largest.copy_(torch.log1p(self.factor * x).max())
        return self

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log1p(self.factor * x) / self.largest, c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.expm1(x * self.largest) / self.factor, c
