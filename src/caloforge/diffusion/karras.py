"""Diffusion after Karras et al. (EDM, arXiv:2206.00364), for data of width 1, as a way to take the trigonometric path.

There, noisy data are x̄ = x + σ ε, and a network F predicts, of x̄ / √(1 + σ²), what the denoised data lack,

    D(x̄; σ) = x̄ / (1 + σ²) + σ / √(1 + σ²) F(x̄ / √(1 + σ²), σ).

With σ = cot(π t/2), x̄ / √(1 + σ²) is the state x_t of the trigonometric path (`caloforge.diffusion.transport`), and
π/2 F its velocity, so that the paper's loss is that of flow matching with times for which

    log σ is normal, with mean −1.2 + log 2 and width 1.2

(the paper has −1.2 for data of width ½). Samples follow dx̄/dσ = (x̄ − D)/σ, the noise that the network finds, from σ_max
to 0 by Heun's method with an Euler step at the end: 2 N − 1 evaluations at σ_1 = σ_max … σ_N = σ_min, evenly spaced
in σ^{1/ρ}, ρ = 7.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from caloforge.diffusion.solvers import Field, solve_on_grid

MEAN, WIDTH = -1.2 + math.log(2), 1.2
"""Of log σ in training."""

RHO = 7.0


def time_of(sigma: Tensor) -> Tensor:
    """t in (0, 1] of the trigonometric path, for σ ≥ 0."""
    return 2 / math.pi * torch.atan2(torch.ones_like(sigma), sigma)


def random_times(like: Tensor) -> Tensor:
    """(B,) times t of a training step, for as many clouds as `like` has rows."""
    return time_of(torch.exp(MEAN + WIDTH * torch.randn(len(like), device=like.device, dtype=like.dtype)))


def noise_levels(steps: int, lowest: float, highest: float) -> Tensor:
    """(N + 1,) σ from `highest` to `lowest`, and 0; float64."""
    top, bottom = highest ** (1 / RHO), lowest ** (1 / RHO)
    levels = torch.linspace(top, bottom, steps, dtype=torch.float64) ** RHO
    return torch.cat([levels, levels.new_zeros(1)])


def denoised_by_heun(velocity: Field, noise: Tensor, levels: Tensor) -> Tensor:
    """(P, F) samples from noise (P, F) of N(0, 1).

    Args:
        velocity: of the trigonometric path, (x_t (P, F), t (1,)) → (P, F).
        noise: the start.
        levels: from `noise_levels`.
    """

    def found_noise(x_bar: Tensor, sigma: Tensor) -> Tensor:
        inward = 1 / torch.sqrt(1 + sigma.square())
        x_t = inward * x_bar
        return sigma * inward * x_t - inward * (2 / math.pi) * velocity(x_t, time_of(sigma).view(1))

    levels = levels.to(noise)
    x_bar = solve_on_grid(found_noise, levels[0] * noise, levels[:-1], "heun")
    return solve_on_grid(found_noise, x_bar, levels[-2:], "euler")
