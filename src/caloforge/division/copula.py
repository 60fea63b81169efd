"""Numbers z that the data leave open, drawn as a Gaussian copula expects them given all others.

A part without energy may have any u below its p₀, a number of hits n any u from P(< n) to P(≤ n)
(`caloforge.division.marginals`, `caloforge.division.hits`). Drawn independently, such u say nothing of their
neighbours: whether a voxel is hit then depends on others only through a step at p₀, which a smooth velocity blurs. So
they are drawn given the others, as if all z of a shower were jointly Gaussian:

    z_i ~ N(m_i + Σ_j w_ij z_j, s_i²), cut to its interval,    w_ij = −Λ_ij / Λ_ii,    s_i² = 1 / Λ_ii,

Λ being the inverse of the covariance of all z and of what the level is given. Which interval a number lies in is not
touched, so that whatever is drawn describes the same shower. The covariance is estimated from such draws, in rounds
(stochastic expectation–maximisation; Gibbs sampling as in P. D. Hoff, Ann. Appl. Stat. 1 (2007) 265).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge.division.marginals import TINY, drawn

ROUNDS = 10
"""Of estimating the covariance."""

SWEEPS = 2
"""Times that every number is drawn anew, from independent numbers."""

PARTS = 4
"""Every fourth number is drawn at a time; neighbours come after each other."""

RIDGE = 0.02
"""Added to the variances, which are about 1: of few showers some numbers are nearly the same."""

CONSTANT = 1e-4
"""What a level is given and varies less is left out."""


class GaussianCopula(nn.Module):
    """Draws numbers z from their intervals with the dependences of the training showers.

    Args:
        size: D, numbers z of a shower.
        given: C, numbers that the level is given.
    """

    weights: Tensor
    mean: Tensor
    spread: Tensor
    given_mean: Tensor
    given_scale: Tensor

    def __init__(self, size: int, given: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("weights", torch.zeros(size + given, size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("given_mean", torch.zeros(given))
        self.register_buffer("given_scale", torch.zeros(given))

    @torch.no_grad()
    def fit(self, intervals: Tensor, c: Tensor) -> None:
        """Estimate the dependences from intervals of u (2, N, D), and what the level is given, c (N, C)."""
        spread, self.given_mean = c.std(dim=0, correction=0), c.mean(dim=0)
        self.given_scale = torch.where(spread > CONSTANT, 1 / spread.clamp_min(CONSTANT), 0.0)
        z = drawn(intervals)
        for _ in range(ROUNDS):
            self._estimate(torch.cat([z, self._scaled(c)], dim=1))
            z = self._swept(z, intervals, c, 1)

    def forward(self, intervals: Tensor, c: Tensor) -> Tensor:
        """(2, N, D) ends of u, c (N, C) → (N, D) numbers z in their intervals; from the global random state."""
        return self._swept(drawn(intervals), intervals, c, SWEEPS)

    def _scaled(self, c: Tensor) -> Tensor:
        return (c - self.given_mean) * self.given_scale

    def _estimate(self, numbers: Tensor) -> None:
        """From z and what is given, (N, D + C)."""
        mean = numbers.mean(dim=0)
        covariance = (numbers - mean).T.double() @ (numbers - mean).double() / len(numbers)
        covariance.diagonal().add_(RIDGE)
        precision = torch.linalg.inv(covariance)
        own = precision.diagonal()[: self.size]
        weights = -precision[:, : self.size] / own
        weights.fill_diagonal_(0)
        self.weights, self.spread = weights.to(numbers), own.rsqrt().to(numbers)
        self.mean = mean[: self.size]

    def _swept(self, z: Tensor, intervals: Tensor, c: Tensor, sweeps: int) -> Tensor:
        low, high = torch.special.ndtri(intervals.clamp(TINY, 1 - TINY))
        numbers = torch.cat([z - self.mean, self._scaled(c)], dim=1)
        low, high = low - self.mean, high - self.mean
        for _ in range(sweeps):
            for first in range(min(PARTS, self.size)):
                part = slice(first, self.size, PARTS)
                spread, expected = self.spread[part], numbers @ self.weights[:, part]
                ends = torch.special.ndtr((torch.stack([low[:, part], high[:, part]]) - expected) / spread)
                new = expected + spread * drawn(ends)
                numbers[:, part] = torch.minimum(torch.maximum(new, low[:, part]), high[:, part])
        return numbers[:, : self.size] + self.mean
