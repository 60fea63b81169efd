"""FFJORD: a continuous flow trained by its likelihood (Grathwohl et al., arXiv:1810.01367).

A network gives the velocity v(x, t, c) that carries noise at t = 0 to data at t = 1. Along a trajectory the density
changes by the divergence of the velocity (arXiv:1806.07366), so that

    log p(x | c) = log N(x_0; 0, 1) − ∫_0^1 tr ∂v/∂x dt,    dx_t/dt = v(x_t, t, c),  x_1 = x.

The trace is Hutchinson's estimate εᵀ (∂v/∂x) ε, with the same vector ε of random signs along a trajectory, or exact,
for a few features. The loss is −log p, and its gradient goes back through the steps of a fixed-step solver: what is
differentiated is what is computed, at the cost of memory for all steps. (The paper solves with adaptive steps, and
integrates the adjoint equation backwards instead.)

Networks are those of `caloforge.models.flow_matching`, which learns a velocity by regression, with one evaluation of
the network in a training step instead of one, with its derivative, at each stage of each of the solver's steps.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from caloforge.diffusion.solvers import Field, solve
from caloforge.diffusion.transport import solve_with_divergence
from caloforge.models.base import LatentModel
from caloforge.models.stages import Stage
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.velocities import residual_or_sectors


class FFJORD(LatentModel):
    """Continuous normalizing flow by maximum likelihood.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions.
        network: `residual`, a plain residual network, or `sectors`, alike in each sector of the circle.
        sectors: equal sectors in which the features come, for a network of sectors.
        width: hidden channels.
        hidden: channels inside the blocks of a network of sectors; 0 is twice the width.
        blocks: number of blocks.
        solver: `euler`, `midpoint`, `heun` or `rk4`, for training and samples.
        steps: of the solver.
        probes: vectors ε per shower in training; 0: the exact trace, at F times the cost of one.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> model = FFJORD(20, 1, width=16, blocks=2)
        >>> model.sample(torch.zeros(3, 1)).shape
        torch.Size([3, 20])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        network: Literal["residual", "sectors"] = "residual",
        sectors: PositiveInt = 1,
        width: PositiveInt = 256,
        hidden: NonNegativeInt = 0,
        blocks: PositiveInt = 4,
        solver: Literal["euler", "midpoint", "heun", "rk4"] = "rk4",
        steps: PositiveInt = 4,
        probes: NonNegativeInt = 1,
        standardise: By = "each",
    ) -> None:
        super().__init__()
        self.velocity = residual_or_sectors(network, features, conditions, sectors, width, hidden, blocks)
        self.latent_dim = features
        self.solver, self.steps, self.probes = solver, steps, probes
        self.standardise = Standardise(features, standardise)

    def _field(self, c: Tensor) -> Field:
        return lambda x_t, t: self.velocity(x_t, t, c)

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """One, `model`."""
        return [Stage("model", self.loss, self.parameters(), fit=lambda data: self.standardise.fit(data.sample()[0]))]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) −log p(x | c) of standardised features per feature, in nats."""
        x = self.standardise(x)
        probes = torch.stack([_signs(torch.rand_like(x)) for _ in range(self.probes)]) if self.probes else None
        noise, change = solve_with_divergence(
            self._field(c), x, self.steps, probes, solver=self.solver, differentiable=True
        )
        return (change - _log_normal(noise)) / x.shape[1]

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F) from N(0, 1), c (B, C) → features (B, F)."""
        return self.standardise.inverse(solve(self._field(c), z, self.steps, self.solver))

    def log_prob(self, x: Tensor, c: Tensor, steps: int = 16, probes: int = 0, seed: int = 0) -> Tensor:
        """(B,) log density of x (B, F).

        Args:
            x: features. c: conditions.
            steps: of the RK4 solver.
            probes: random vectors for Hutchinson's estimate; 0 computes the trace exactly, at F times the cost of one.
            seed: of the vectors.
        """
        generator = torch.Generator(x.device).manual_seed(seed)
        shape = (probes, *x.shape)
        vectors = _signs(torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)) if probes else None
        noise, change = solve_with_divergence(self._field(c), self.standardise(x), steps, vectors)
        return _log_normal(noise) - change + self.standardise.log_slope()


def _signs(uniform: Tensor) -> Tensor:
    """−1 or 1, from numbers that are uniform in [0, 1)."""
    return torch.where(uniform < 0.5, -1.0, 1.0).to(uniform)


def _log_normal(z: Tensor) -> Tensor:
    """(B,) log N(z; 0, 1) of z (B, F)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)
