"""Schedules: how a shower x_0 turns into noise, on t in [0, 1] (Song et al., arXiv:2011.13456).

A schedule is a linear stochastic differential equation and the Gaussian kernel that solves it:

    dx = a(t) x dt + g(t) dw,        p(x_t | x_0) = N(α(t) x_0, σ²(t)),

    α′ = a α,      (σ²)′ = 2 a σ² + g².                                                                   (1)

With B(t) = ∫₀ᵗ β, β(t) = β_min + (β_max − β_min) t, the three of CaloScore (arXiv:2206.11898) are

    VE      a = 0       g² = d s²/dt                  α = 1         σ² = s²(t) − s²(0),  s(t) = s_min (s_max/s_min)^t
    VP      a = −β/2    g² = β                        α = e^(−B/2)  σ² = 1 − e^(−B)
    subVP   a = −β/2    g² = β (1 − e^(−2B))          α = e^(−B/2)  σ  = 1 − e^(−B)

The noise-to-signal ratio ρ = σ/α rises from 0; the probability flow is simplest as a function of it
(`caloforge.diffusion.probability_flow`), so each schedule also gives the time at which ρ has a given value.

Times are tensors of any shape, and so are results. Sampling ends and training begins at `t_min`, because the score
diverges at 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from caloforge.configured import Configured
from caloforge.errors import CaloforgeError
from caloforge.registry import ConfiguredRegistry


@dataclass(frozen=True)
class Schedule(Configured, ABC):
    """A linear SDE on t in [0, 1] with its kernel in closed form.

    Args:
        t_min: smallest time, above 0.
    """

    t_min: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.t_min < 1:
            raise CaloforgeError(f"t_min must lie between 0 and 1, not {self.t_min}")

    @abstractmethod
    def drift(self, t: Tensor) -> Tensor:
        """a(t): the drift is a(t) x."""

    @abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """g(t)."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """α(t): factor of x_0."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """σ(t): standard deviation of the noise."""

    @abstractmethod
    def time(self, ratio: Tensor) -> Tensor:
        """t at which σ/α = ratio."""

    def ratio(self, t: Tensor) -> Tensor:
        """ρ(t) = σ/α."""
        return self.sigma(t) / self.alpha(t)

    def prior_sigma(self) -> float:
        """Standard deviation of the noise that sampling starts from: σ(1)."""
        return float(self.sigma(torch.ones((), dtype=torch.float64)))


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding: noise is added to an unchanged x_0.

    Args:
        sigma_min, sigma_max: s(0) and s(1), in units of the features.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sigma_min < self.sigma_max:
            raise CaloforgeError(f"0 < sigma_min < sigma_max is needed, not {self.sigma_min} and {self.sigma_max}")

    @property
    def _rate(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def drift(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def diffusion(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(self._rate * t) * math.sqrt(2 * self._rate)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.sqrt(torch.expm1(2 * self._rate * t))

    def time(self, ratio: Tensor) -> Tensor:
        return torch.log1p((ratio / self.sigma_min) ** 2) / (2 * self._rate)


@dataclass(frozen=True)
class _LinearBeta(Schedule):
    """Common part of VP and subVP: β(t) = β_min + (β_max − β_min) t.

    Args:
        beta_min, beta_max: β(0) and β(1).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_min < self.beta_max:
            raise CaloforgeError(f"0 < beta_min < beta_max is needed, not {self.beta_min} and {self.beta_max}")

    def beta(self, t: Tensor) -> Tensor:
        """β(t)."""
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def integral(self, t: Tensor) -> Tensor:
        """B(t)."""
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2

    def _time_of_integral(self, b: Tensor) -> Tensor:
        # The root of the quadratic in the form that does not cancel for small B.
        return 2 * b / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b))

    def drift(self, t: Tensor) -> Tensor:
        return -0.5 * self.beta(t)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-0.5 * self.integral(t))


@dataclass(frozen=True)
class VP(_LinearBeta):
    """Variance preserving: features of variance 1 keep it."""

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt(self.beta(t))

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.integral(t)))

    def time(self, ratio: Tensor) -> Tensor:
        return self._time_of_integral(torch.log1p(ratio**2))  # ρ² = e^B − 1


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    """Sub-variance preserving: VP's mean with less noise."""

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt(-self.beta(t) * torch.expm1(-2 * self.integral(t)))

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))

    def time(self, ratio: Tensor) -> Tensor:
        return self._time_of_integral(2 * torch.asinh(ratio / 2))  # ρ = 2 sinh(B/2)


SCHEDULES: ConfiguredRegistry[Schedule] = ConfiguredRegistry(
    "schedule",
    Schedule,
    {
        "ve": "caloforge.diffusion.schedules.VE",
        "vp": "caloforge.diffusion.schedules.VP",
        "subvp": "caloforge.diffusion.schedules.SubVP",
    },
)
"""By name, by default with the constants of the paper; a recipe may name a class of the user's own."""


def uniform_times(schedule: Schedule, steps: int) -> Tensor:
    """(steps + 1,) float64 times from 1 down to t_min, evenly spaced: the paper's."""
    return torch.linspace(1, schedule.t_min, _checked(steps) + 1, dtype=torch.float64)


def ratio_times(schedule: Schedule, steps: int, power: float = 7.0) -> Tensor:
    """(steps + 1,) float64 times from 1 down to t_min, evenly spaced in ρ^(1/power) (Karras et al., arXiv:2206.00364).

    Deterministic samplers need few steps on it: many are taken where the noise is small and the path is curved.
    """
    ends = schedule.ratio(torch.tensor([1.0, schedule.t_min], dtype=torch.float64)) ** (1 / power)
    times = schedule.time(
        torch.lerp(ends[0], ends[1], torch.linspace(0, 1, _checked(steps) + 1, dtype=torch.float64)) ** power
    )
    times[0], times[-1] = 1.0, schedule.t_min  # rounding must not leave [t_min, 1]
    return times


def _checked(steps: int) -> int:
    if steps < 1:
        raise CaloforgeError(f"a sampler needs at least 1 step, not {steps}")
    return steps
