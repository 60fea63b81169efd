"""What a level's model is given of the energies above it, scaled to mean 0 and width 1 at each incident energy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 8
"""Values of E_inc between which the scaling of conditions is interpolated."""

SMOOTHNESS = 1e-5
"""Penalty on differences of the scaling between knots, beside the mean squared deviation."""


class ConditionScaling(nn.Module):
    """log(1 + E/e₀) of energies, E_inc first, each less its mean at such an E_inc and scaled to width 1.

    Mean and width are linear in log E_inc between a few knots; the mean is found by least squares with a slight penalty
    on bends, the width by averages near each knot.

    Args:
        energies: how many, E_inc included.
        least: e₀ in MeV.
    """

    positions: Tensor
    start: Tensor
    step: Tensor
    mean: Tensor
    width: Tensor

    def __init__(self, energies: int, least: float) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("positions", torch.arange(KNOTS, dtype=torch.float32), persistent=False)
        self.register_buffer("start", torch.zeros(()))
        self.register_buffer("step", torch.ones(()))
        self.register_buffer("mean", torch.zeros(KNOTS, energies))
        self.register_buffer("width", torch.ones(KNOTS, energies))

    def fit(self, incident: Tensor, energies: Tensor) -> None:
        """Take the constants from incident (N, 1) and other energies (N, W) in MeV."""
        logs = self._logs(incident, energies)
        low, high = logs[:, 0].min(), logs[:, 0].max()
        self.start.copy_(low)
        self.step.copy_(((high - low) / (KNOTS - 1)).clamp_min(1e-3))
        weights = self._weights(logs[:, :1]).double()
        # Knots without showers near them, as between a few incident energies, continue their neighbours' line.
        bend = torch.eye(KNOTS, dtype=weights.dtype, device=weights.device).diff(n=2, dim=0)
        gram = weights.T @ weights + SMOOTHNESS * len(weights) * bend.T @ bend
        mean = torch.linalg.solve(gram, weights.T @ logs.double())
        # Averages near each knot, and straight lines between them where there are none: never negative.
        slope = torch.eye(KNOTS, dtype=weights.dtype, device=weights.device).diff(dim=0)
        gram = weights.sum(dim=0).diag() + SMOOTHNESS * len(weights) * slope.T @ slope
        variance = torch.linalg.solve(gram, weights.T @ (logs - weights @ mean).square())
        # E_inc itself: the same constants at all knots, for it tells the energies apart.
        mean[:, 0], variance[:, 0] = logs[:, 0].mean(), logs[:, 0].var()
        self.mean.copy_(mean)
        self.width.copy_(torch.where(variance > 1e-6, variance.clamp_min(1e-6).sqrt(), torch.ones_like(variance)))

    def forward(self, incident: Tensor, energies: Tensor) -> Tensor:
        """incident (N, 1), energies (N, W) in MeV → (N, 1 + W)."""
        logs = self._logs(incident, energies)
        weights = self._weights(logs[:, :1])
        return (logs - weights @ self.mean) / (weights @ self.width)

    def _logs(self, incident: Tensor, energies: Tensor) -> Tensor:
        return torch.log1p(torch.cat([incident, energies], dim=1) / self.least)

    def _weights(self, log_incident: Tensor) -> Tensor:
        """(N, knots) weights of linear interpolation, those of the nearest end outside the range."""
        place = ((log_incident - self.start) / self.step).clamp(0, KNOTS - 1)
        return (1 - (place - self.positions).abs()).clamp_min(0)
