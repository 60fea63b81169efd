"""The discrete noising chain of denoising diffusion (Ho et al., arXiv:2006.11239), and steps back along it.

    q(x_t | x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t),    t = 1 … T,

has with α_t = 1 − β_t, ᾱ_t = α_1 … α_t and ᾱ_0 = 1 the marginals and posteriors

    q(x_t | x_0) = N(√ᾱ_t x_0, 1 − ᾱ_t),
    q(x_{t−1} | x_t, x_0) = N(√ᾱ_{t−1} β_t/(1 − ᾱ_t) x_0 + √α_t (1 − ᾱ_{t−1})/(1 − ᾱ_t) x_t, β̃_t),
    β̃_t = β_t (1 − ᾱ_{t−1})/(1 − ᾱ_t).

`linear`: β rises evenly from 10⁻⁴ to 0.02, times 1000/T, so that a shorter chain destroys as much (at most 0.999).
`cosine` (arXiv:2102.09672): ᾱ_t = f(t)/f(0), f(t) = cos²(π/2 (t/T + s)/(1 + s)), s = 0.008, and β at most 0.999.

Steps back, given the noise ε that is in x_t:

    ancestral   x_{t−1} = (x_t − β_t/√(1 − ᾱ_t) ε)/√α_t + σ_t z,    σ_t² = β̃_t (`small`) or β_t (`large`),
    DDIM        x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s − σ²) ε + σ z,           s < t, x̂_0 = (x_t − √(1 − ᾱ_t) ε)/√ᾱ_t,
                σ² = η² (1 − ᾱ_s)/(1 − ᾱ_t) (1 − ᾱ_t/ᾱ_s)           (arXiv:2010.02502).

DDIM with η = 1 along the whole chain is the ancestral step with the small variance; with η = 0 it has no randomness.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Betas = Literal["linear", "cosine"]
Variance = Literal["small", "large"]

LARGEST_BETA = 0.999


def beta_schedule(kind: Betas, length: int) -> Tensor:
    """(T,) β_1 … β_T, float64."""
    if kind == "linear":
        factor = 1000 / length
        return torch.linspace(1e-4 * factor, 0.02 * factor, length, dtype=torch.float64).clamp_max(LARGEST_BETA)
    t = torch.arange(length + 1, dtype=torch.float64) / length
    f = torch.cos(0.5 * math.pi * (t + 0.008) / 1.008) ** 2
    return (1 - f[1:] / f[:-1]).clamp_max(LARGEST_BETA)


class Chain(nn.Module):
    """A noising chain with its closed form; it has nothing to learn.

    Args:
        kind: of the schedule.
        length: T.
    """

    betas: Tensor
    alpha_bar: Tensor

    def __init__(self, kind: Betas, length: int) -> None:
        super().__init__()
        betas = beta_schedule(kind, length)
        self.length = length
        one = torch.ones(1, dtype=torch.float64)
        self.register_buffer("betas", torch.cat([0 * one, betas]), persistent=False)  # so that betas[t] is β_t
        self.register_buffer("alpha_bar", torch.cat([one, torch.cumprod(1 - betas, dim=0)]), persistent=False)

    def noised(self, x_0: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """x_t (B, F) from x_0 (B, F), integer t (B,) in 0 … T, and noise z (B, F)."""
        alpha_bar = self.alpha_bar[t][:, None]
        return alpha_bar.sqrt().to(x_0) * x_0 + (1 - alpha_bar).sqrt().to(x_0) * z

    def posterior(self, x_t: Tensor, x_0: Tensor, t: int) -> tuple[Tensor, float]:
        """Mean (B, F) and variance β̃_t of x_{t−1}, given x_t and x_0."""
        beta, here, before = (float(v) for v in (self.betas[t], self.alpha_bar[t], self.alpha_bar[t - 1]))
        of_x_0 = math.sqrt(before) * beta / (1 - here)
        of_x_t = math.sqrt(1 - beta) * (1 - before) / (1 - here)
        return of_x_0 * x_0 + of_x_t * x_t, beta * (1 - before) / (1 - here)

    def ancestral(self, x_t: Tensor, noise: Tensor, t: int, z: Tensor | None, variance: Variance) -> Tensor:
        """x_{t−1} (B, F) by Algorithm 2.

        Args:
            x_t: (B, F). noise: (B, F), predicted.
            t: 1 … T.
            z: (B, F) fresh noise; None for the last step, which adds none.
            variance: σ_t².
        """
        beta, here, before = (float(v) for v in (self.betas[t], self.alpha_bar[t], self.alpha_bar[t - 1]))
        x = (x_t - beta / math.sqrt(1 - here) * noise) / math.sqrt(1 - beta)
        if z is None:
            return x
        return x + math.sqrt(beta if variance == "large" else beta * (1 - before) / (1 - here)) * z

    def ddim(self, x_t: Tensor, noise: Tensor, t: int, s: int, eta: float, z: Tensor | None) -> Tensor:
        """x_s (B, F) for s < t; z (B, F) is fresh noise, None where η = 0."""
        here, there = float(self.alpha_bar[t]), float(self.alpha_bar[s])
        clean = (x_t - math.sqrt(1 - here) * noise) / math.sqrt(here)
        sigma = eta * math.sqrt((1 - there) / (1 - here) * (1 - here / there)) if z is not None else 0.0
        x = math.sqrt(there) * clean + math.sqrt(max(0.0, 1 - there - sigma**2)) * noise
        return x if z is None else x + sigma * z

    def subsequence(self, steps: int) -> list[int]:
        """About `steps` times from T down to 0, evenly spaced, without repetition; at most T steps."""
        spaced = torch.linspace(self.length, 0, min(steps, self.length) + 1, dtype=torch.float64)
        return [round(float(t)) for t in spaced]
