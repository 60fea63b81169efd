"""Consistency training: showers in one evaluation, without a teacher (Song et al., arXiv:2303.01469, algorithm 3).

A consistency function f(x_t, t) = x_t + (1 − t) s(x_t, t, c) maps every state of a trajectory from noise to data to its
end (`caloforge.diffusion.consistency`). Distillation finds the next state of a trajectory by a teacher's velocity. Here
two states of one straight line from noise ε to a shower x take their place, x_t = (1 − t) ε + t x at t and t + 1/N;
the line's velocity x − ε is that of the trajectory on average, so that the gradients agree for small steps,

    loss = N [√(|f(x_t, t) − f(x_t', t')|² + k²) − k] / √F,    t' = t + 1/N,  k = 0.00054 √F,

without gradient through the later state. As in the improved techniques (arXiv:2310.14189), N doubles as the training
goes on, distances are pseudo-Huber ones, there is no average of weights in the target, and the logit of 1 − t is
normal: there, log σ has mean −1.1 and width 2 for data of width 0.5, which is a mean of −0.4 for data of width 1 and
σ = (1 − t)/t. Grids are uniform in t.

A sample is f(ε, 0), or several evaluations with renewed noise. `caloforge.models.flow_matching` has the distillation
(`student_kind: consistency`), `caloforge.models.mean_flow` another way without a teacher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from caloforge.diffusion.consistency import end_of_trajectory, sample_by_consistency
from caloforge.diffusion.solvers import Field
from caloforge.errors import CaloforgeError
from caloforge.models.base import LatentModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Losses, Stage, TrainingBatch
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.velocities import residual_or_sectors

HUBER = 0.00054
"""k/√F: below it distances are squared ones."""


def pair_loss(s: Field, noise: Tensor, x: Tensor, t: Tensor, n: int) -> Tensor:
    """(B,) loss of neighbouring states on the line from noise (B, F) to x (B, F).

    Args:
        s: network. noise, x: ends of the line. t: (B,) from 0 to 1 − 1/n. n: N, steps of the grid.
    """
    later = t + 1 / n
    with torch.no_grad():
        target = end_of_trajectory(s, torch.lerp(noise, x, later[:, None]), later)
    difference = end_of_trajectory(s, torch.lerp(noise, x, t[:, None]), t) - target
    k = HUBER * math.sqrt(x.shape[1])
    return n * ((difference.square().sum(dim=1) + k**2).sqrt() - k) / math.sqrt(x.shape[1])


class ConsistencyTraining(LatentModel):
    """A consistency function that learns from showers alone.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions.
        network: `residual`, a plain residual network, or `sectors`, alike in each sector of the circle.
        sectors: equal sectors in which the features come, for a network of sectors.
        width: hidden channels.
        hidden: channels inside the blocks of a network of sectors; 0 is twice the width.
        blocks: number of blocks.
        first_times: N at the start; 10 as published.
        last_times: largest N; 1280 as published.
        doubling_steps: steps of the training after which N doubles.
        time_mean: of the logit of 1 − t, which is normal.
        time_width: its standard deviation.
        evaluations: of a sample.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> model = ConsistencyTraining(20, 1, width=16, blocks=2)
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
        first_times: PositiveInt = 10,
        last_times: PositiveInt = 1280,
        doubling_steps: PositiveInt = 500,
        time_mean: float = -0.4,
        time_width: NonNegativeFloat = 2.0,
        evaluations: PositiveInt = 1,
        standardise: By = "each",
    ) -> None:
        super().__init__()
        if last_times < first_times:
            raise CaloforgeError(f"last_times ({last_times}) must not be below first_times ({first_times})")
        self.network = residual_or_sectors(network, features, conditions, sectors, width, hidden, blocks)
        self.first_times, self.last_times, self.doubling_steps = first_times, last_times, doubling_steps
        self.time_mean, self.time_width = time_mean, time_width
        self.evaluations, self.latent_dim = evaluations, evaluations * features
        self.standardise = Standardise(features, standardise)

    def _of(self, c: Tensor) -> Field:
        return lambda x_t, t: self.network(x_t, t, c)

    # ---- training --------------------------------------------------------------------------------------------

    def times_at(self, step: int) -> int:
        """N at a step of the training."""
        doublings = min(step // self.doubling_steps, 64)
        return min(self.first_times * 2**doublings, self.last_times)

    def stages(self) -> Sequence[Stage]:
        """One, `model`."""
        return [_FinerAndFiner(self)]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) loss of standardised features on the finest grid."""
        return self.loss_on_grid(x, c, self.last_times)

    def loss_on_grid(self, x: Tensor, c: Tensor, n: int) -> Tensor:
        """(B,) loss of features x (B, F) on a grid of n steps."""
        x = self.standardise(x)
        noise = torch.randn_like(x)
        normal = torch.randn(len(x), device=x.device, dtype=x.dtype)
        t = torch.sigmoid(-self.time_mean - self.time_width * normal)
        return pair_loss(self._of(c), noise, x, (t * n).floor().clamp(max=n - 1) / n, n)

    # ---- sampling --------------------------------------------------------------------------------------------

    def sampling_settings(self) -> frozenset[str]:
        """`evaluations`."""
        return frozenset({"evaluations"})

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F) for each evaluation from N(0, 1), c (B, C) → features (B, F)."""
        noises = z.split(z.shape[1] // self.evaluations, dim=1)
        return self.standardise.inverse(sample_by_consistency(self._of(c), "linear", noises))


class _FinerAndFiner(Stage):
    """The stage whose grid gets finer; logs its number of steps, and validates on the finest."""

    def __init__(self, model: ConsistencyTraining) -> None:
        super().__init__("model", model.loss, model.parameters())
        self.model = model

    def fit(self, data: ShowerDataset) -> None:
        self.model.standardise.fit(data.sample()[0])

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        (optimizer,) = optimizers
        n = self.model.times_at(batch.number)
        loss = self.descend(self.model.loss_on_grid(batch.x, batch.c, n), len(batch.x), optimizer)
        return {"loss": loss, "times": torch.tensor(float(n))}
