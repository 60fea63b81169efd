"""MeanFlow: showers in one evaluation, trained without a teacher (Geng et al., arXiv:2505.13447).

On the linear path x_t = (1 − t) ε + t x from noise to data (`caloforge.diffusion.transport`), the network learns the
average velocity from t to s,

    u(x_t, t, s) = 1/(s − t) ∫_t^s v(x_τ, τ) dτ,    so that x_s = x_t + (s − t) u(x_t, t, s).

Differentiating (s − t) u with respect to t, along the trajectory and with s fixed, gives the identity to be learned,

    u = v + (s − t) du/dt,    du/dt = (v · ∇_x) u + ∂u/∂t,

a Jacobian-vector product. With v replaced by the velocity x − ε of a pair, and no gradient through the right-hand side,

    loss = E w ‖u(x_t, t, s) − [x − ε + (s − t) du/dt]‖²,    w = 1/(‖…‖² + 10⁻³)^p without gradient;

for s = t this is flow matching. A sample is x = ε + u(ε, 0, 1), or several such strides. The paper's time runs from
data to noise; here it runs as in `caloforge.models.flow_matching`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from caloforge.models.base import LatentModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Losses, Stage, TrainingBatch
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.velocities import residual_or_sectors
from caloforge.sharing import part_of

AverageVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t (B, F), t (B,), s (B,)) → u (B, F)."""

WAVES = 8
"""Frequencies in the embedding of s − t."""


def both_sides(u: AverageVelocity, x_t: Tensor, v: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """u(x_t, t, s), and v + (s − t) du/dt without gradient: (B, F) each.

    Args:
        u: average velocity. x_t: (B, F). v: (B, F) velocity at x_t and t. t, s: (B,), t ≤ s.
    """
    found = torch.func.jvp(lambda x, time: u(x, time, s), (x_t, t), (v, torch.ones_like(t)))
    average, slope = found[0], found[1]
    return average, (v + (s - t)[:, None] * slope).detach()


class MeanFlow(LatentModel):
    """Average velocities from noise to data, for samples in one evaluation of the network or a few.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions.
        network: `residual`, a plain residual network, or `sectors`, alike in each sector of the circle.
        sectors: equal sectors in which the features come, for a network of sectors.
        width: hidden channels.
        hidden: channels inside the blocks of a network of sectors; 0 is twice the width.
        blocks: number of blocks.
        intervals: fraction of showers in a batch with s > t; the others have s = t.
        time_mean: of the logit of 1 − t, whose distribution is normal; −0.4 as published.
        time_width: its standard deviation; 1 as published.
        power: p of the weight; 0 for plain squares.
        steps: strides of a sample, of equal length.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> model = MeanFlow(20, 1, width=16, blocks=2)
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
        intervals: Annotated[float, Field(ge=0, le=1)] = 0.25,
        time_mean: float = -0.4,
        time_width: NonNegativeFloat = 1.0,
        power: NonNegativeFloat = 1.0,
        steps: PositiveInt = 1,
        standardise: By = "each",
    ) -> None:
        super().__init__()
        given = conditions + 2 * WAVES
        self.velocity = residual_or_sectors(network, features, given, sectors, width, hidden, blocks)
        self.intervals, self.time_mean, self.time_width, self.power = intervals, time_mean, time_width, power
        self.latent_dim, self.steps = features, steps
        self.standardise = Standardise(features, standardise)

    def average(self, x_t: Tensor, t: Tensor, s: Tensor, c: Tensor) -> Tensor:
        """u (B, F) of x_t (B, F), from t (B,) to s (B,), given c (B, C)."""
        angle = 0.5 * math.pi * (s - t)[:, None] * torch.arange(1, WAVES + 1, device=t.device)
        return self.velocity(x_t, t, torch.cat([c, torch.sin(angle), torch.cos(angle)], dim=1))

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """One, `model`."""
        return [_WeightedStage(self)]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) mean squared difference of both sides of the identity, without weights."""
        x = self.standardise(x)
        noise = torch.randn_like(x)
        t, s = self._times(x)
        x_t = torch.lerp(noise, x, t[:, None])
        average, target = both_sides(lambda x, t, s: self.average(x, t, s, c), x_t, x - noise, t, s)
        return (average - target).square().mean(dim=1)

    def _times(self, like: Tensor) -> tuple[Tensor, Tensor]:
        part = part_of(like)
        normal = torch.randn(2, part.total, device=like.device, dtype=like.dtype)[:, part.rows]
        logits = self.time_mean + self.time_width * normal
        times = torch.sigmoid(-logits)
        t, s = times.amin(dim=0), times.amax(dim=0)
        apart = torch.rand(len(like), device=like.device) < self.intervals
        return torch.where(apart, t, times[0]), torch.where(apart, s, times[0])

    # ---- sampling --------------------------------------------------------------------------------------------

    def sampling_settings(self) -> frozenset[str]:
        """`steps`."""
        return frozenset({"steps"})

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F) from N(0, 1), c (B, C) → features (B, F)."""
        for k in range(self.steps):
            t, s = (torch.full_like(z[:, 0], end / self.steps) for end in (k, k + 1))
            z = z + self.average(z, t, s, c) / self.steps
        return self.standardise.inverse(z)


class _WeightedStage(Stage):
    """Descends the weighted loss; logs and validates the plain one."""

    def __init__(self, model: MeanFlow) -> None:
        super().__init__("model", model.loss, model.parameters())
        self.model = model

    def fit(self, data: ShowerDataset) -> None:
        self.model.standardise.fit(data.sample()[0])

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        (optimizer,) = optimizers
        losses = self.model.loss(batch.x, batch.c)
        squared = losses.detach() * batch.x.shape[1]
        self.descend(losses / (squared + 1e-3) ** self.model.power, len(batch.x), optimizer)
        return {"loss": losses.detach().mean()}
