"""Standardisation and its inverse: x → (x − μ) / s, with mean μ and standard deviation s of the training set.

`each`: every feature has its own constants; `all`: all features share one pair, which preserves their relative sizes
and keeps rarely hit voxels small; `none`: the identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

By = Literal["none", "all", "each"]


class Standardise(nn.Module):
    """Standardisation and its inverse; the constants are buffers, 0 and 1 until they are fitted.

    Args:
        features: F.
        by: see the module docstring.
        names: names of μ and s in the saved weights.
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
        self._set(mean, std)

    def fit_chunks(self, chunks: Iterable[Tensor]) -> None:
        """`fit` to x (N, F) that comes some rows at a time, in one pass."""
        if self.by == "none":
            return
        parts = iter(chunks)
        first, second = next(parts), next(parts, None)
        if second is None:
            self.fit(first)
            return
        moments = _merged(_merged((0, first.new_zeros(()), first.new_zeros(())), first, self.by), second, self.by)
        del first, second
        for part in parts:
            moments = _merged(moments, part, self.by)
        n, mean, squares = moments
        self._set(mean, (squares / (n - 1)).sqrt())

    def _set(self, mean: Tensor, std: Tensor) -> None:
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


_Moments = tuple[int, Tensor, Tensor]
"""Number of values, their mean, and the sum of squared deviations from it, in double precision."""


def _merged(before: _Moments, x: Tensor, by: By) -> _Moments:
    """The moments of what was seen before together with x (M, F) (Chan, Golub and LeVeque 1983)."""
    n, mean, squares = before
    dims = (0,) if by == "each" else (0, 1)
    m = len(x) if by == "each" else x.numel()
    about = x.mean(dim=dims)  # in single precision: near enough to take deviations from
    rest = x - about
    shift = rest.sum(dim=dims, dtype=torch.float64) / m
    own_squares = rest.square_().sum(dim=dims, dtype=torch.float64) - m * shift**2
    step = about.double() + shift - mean
    return n + m, mean + step * m / (n + m), squares + own_squares + step**2 * n * m / (n + m)
