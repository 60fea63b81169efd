"""What happens to a stage's weights: their moving average, and the best epoch's."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from caloforge.models.stages import Stage


class Average:
    """Exponential moving average of a stage's weights; the first steps count less, so that the start is forgotten."""

    def __init__(self, stage: Stage, decay: float) -> None:
        self.weights: list[Tensor] = list(stage.parameters)
        self.decay, self.steps = decay, 0
        self.averages = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        torch._foreach_lerp_(
            self.averages, tuple(self.weights), 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their averages."""
        for weight, average in zip(self.weights, self.averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "averages": self.averages}

    def load(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for average, stored in zip(self.averages, state["averages"], strict=True):
            average.copy_(stored)


class Best:
    """The best epoch of a stage so far."""

    def __init__(self, value: float = math.inf, epoch: int = -1, weights: dict[str, Tensor] | None = None) -> None:
        self.value, self.epoch, self.weights = value, epoch, weights


def copied(model: torch.nn.Module) -> dict[str, Tensor]:
    """The state of a model, safe from what happens to it."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
