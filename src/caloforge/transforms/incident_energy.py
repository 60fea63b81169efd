"""The incident energy as the scale of the voxels and as the condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.transforms.base import Transform


class IncidentEnergyFraction(Transform):
    """Voxels as fractions of r_max · E_inc, where r_max is the largest E_dep / E_inc in the training set.

    CaloMan, arXiv:2211.15380, appendix; CaloScore calls it f. All features and their sum lie in
    [0, 1] on the training set.

    Args:
        maximum: r_max; `auto` takes it from the training data.
    """

    maximum: Tensor

    def __init__(self, *, maximum: float | str = "auto") -> None:
        super().__init__()
        if isinstance(maximum, str) and maximum != "auto":
            raise CaloforgeError(f"'maximum' must be a number or 'auto', not '{maximum}'")
        self._auto = maximum == "auto"
        self.register_buffer("maximum", torch.tensor(1.0 if isinstance(maximum, str) else float(maximum)))

    def fit(self, x: Tensor, c: Tensor) -> Self:
        self.fit_chunks([(x, c)])
        return self

    def fit_chunks(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> bool:
        if self._auto:
            largest = max((x.sum(dim=1, dtype=torch.float64) / c[:, 0]).max() for x, c in chunks)
            if not largest > 0:
                raise CaloforgeError("no training shower deposits any energy")
            self.maximum.copy_(largest)
        return True

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x / (self.maximum * c[:, :1]), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x * (self.maximum * c[:, :1]), c


class LinearCondition(Transform):
    """The incident energy, mapped linearly from the training range to [0, 1] (CaloMan, CaloScore).

    Further conditions are left as they are.
    """

    takes_clouds = None

    low: Tensor
    span: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("span", torch.tensor(1.0))

    def fit(self, x: Tensor, c: Tensor) -> Self:
        self.fit_chunks([(x, c)])
        return self

    def fit_chunks(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> bool:
        ends = [(c[:, 0].min(), c[:, 0].max()) for _, c in chunks]
        low = min(low for low, _ in ends)
        span = max(high for _, high in ends) - low
        self.low.copy_(low)
        self.span.copy_(span if span > 0 else torch.ones(()))  # one single energy maps to 0
        return True

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.condition(c)

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, self._of_energy(c, lambda energy: energy * self.span + self.low)

    def condition(self, c: Tensor) -> Tensor:
        return self._of_energy(c, lambda energy: (energy - self.low) / self.span)

    @staticmethod
    def _of_energy(c: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """c (B, C) with its first column mapped."""
        return function(c) if c.shape[1] == 1 else torch.cat([function(c[:, :1]), c[:, 1:]], dim=1)
