"""Exact log-likelihood of a diffusion model (Song et al., arXiv:2011.13456, after FFJORD, arXiv:1810.01367).

Along the probability-flow ODE dx̄/dρ = ε the density changes by the divergence,

    log p_0(x) = log N(x_1; 0, σ²(1)) + F log α(1) + ∫ tr(∂ε/∂x̄) dρ      from ρ(t_min) to ρ(1),

with x_1 where the trajectory from x ends. The trace is a Hutchinson estimate (`caloforge.diffusion.solvers`) with
vectors of independent signs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from caloforge.diffusion.probability_flow import Score, noise_field
from caloforge.diffusion.schedules import Schedule, ratio_times
from caloforge.diffusion.solvers import solve_on_grid, with_divergence


def log_likelihood(
    score: Score,
    schedule: Schedule,
    x: Tensor,
    *,
    steps: int = 100,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(B,) log density of x (B, F), taken at t_min.

    Args:
        score: the score, exact or learned; differentiable in x.
        schedule: of the score.
        x: samples.
        steps: of Heun's method; the error falls with their square.
        probes: random vectors per sample; the variance of the estimate falls with their number.
        generator: of the signs.
    """
    times = ratio_times(schedule, steps).flip(0)
    grid, alpha = schedule.ratio(times), schedule.alpha(times)
    signs = [
        torch.randint(0, 2, x.shape, generator=generator, device=x.device).to(x.dtype) * 2 - 1 for _ in range(probes)
    ]
    field = with_divergence(noise_field(score, schedule), signs)
    with torch.no_grad():
        start = torch.cat([x / alpha[0], torch.zeros_like(x[:, :1])], dim=1)
        end = solve_on_grid(field, start, grid)
        x_1, change = alpha[-1] * end[:, :-1], end[:, -1]
        sigma = schedule.prior_sigma()
        log_prior = -0.5 * ((x_1 / sigma) ** 2 + 2 * math.log(sigma) + math.log(2 * math.pi)).sum(dim=1)
        # p_0 is a density of x = α(t_min) x̄, hence a factor at both ends.
        return log_prior + change + x.shape[1] * float(torch.log(alpha[-1] / alpha[0]))
