"""A user's own sampler, in one file outside the package: chosen by its dotted path, saved and loaded by the tests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from caloforge.diffusion import Sampler, Schedule, Score, noise_field, ratio_times


@dataclass(frozen=True)
class Euler(Sampler):
    """The probability-flow ODE by Euler's method; one evaluation per step.

    Args:
        steps: at least 1.
        power: steps are evenly spaced in the noise-to-signal ratio to the power 1/power.
    """

    steps: int
    power: float = 7.0

    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        times = ratio_times(schedule, self.steps, self.power)
        grid, alpha = schedule.ratio(times), schedule.alpha(times)
        field, x_bar = noise_field(score, schedule), x_1 / alpha[0]
        for here, there in itertools.pairwise(grid):
            x_bar = x_bar + (there - here) * field(x_bar, here)
        return alpha[-1] * x_bar
