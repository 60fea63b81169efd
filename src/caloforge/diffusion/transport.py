"""Flow matching: transport from noise to data along the solution of an ordinary differential equation.

A path connects noise ε and data x by x_t = σ_t ε + α_t x, 0 ≤ t ≤ 1, with α_0 = σ_1 = 0 and σ_0 = α_1 = 1. Its velocity
σ̇_t ε + α̇_t x, averaged over all pairs (ε, x) that pass through the same point, is the velocity field whose flow
turns the distribution of noise into that of the data (arXiv:2210.02747, arXiv:2303.08797); regression finds that
average.

    linear          σ_t = 1 − t,        α_t = t
    trigonometric   σ_t = cos(π t/2),   α_t = sin(π t/2)

Where noise and data have the same variance, the trigonometric path keeps it, and where the data are Gaussian its
velocity field is zero: only the deviation from a Gaussian has to be transported, for which a few steps suffice.

Pairs are independent, or matched within a batch by optimal transport (arXiv:2302.00482), which straightens the paths.
With conditions, transport alone would correlate them with the noise, so their distance is part of the cost
(arXiv:2503.10636).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from caloforge.diffusion.solvers import Field, solve, with_divergence

PATHS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]] = {
    "linear": lambda t: (1 - t, t, -torch.ones_like(t), torch.ones_like(t)),
    "trigonometric": lambda t: (
        torch.cos(0.5 * math.pi * t),
        torch.sin(0.5 * math.pi * t),
        -0.5 * math.pi * torch.sin(0.5 * math.pi * t),
        0.5 * math.pi * torch.cos(0.5 * math.pi * t),
    ),
}
"""t → σ_t, α_t and their derivatives."""


def between(path: str, noise: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Position on the path from noise (B, F) to data (B, F) at t (B,), and the velocity: (B, F) each."""
    sigma_t, alpha_t, sigma_dot, alpha_dot = (part[:, None] for part in PATHS[path](t))
    return sigma_t * noise + alpha_t * data, sigma_dot * noise + alpha_dot * data


def optimally_paired(noise: Tensor, data: Tensor, c: Tensor, condition_weight: float) -> Tensor:
    """The rows of noise (B, F) in the order that minimises the sum of squared distances to data (B, F).

    Args:
        noise, data: (B, F).
        c: (B, C) the data's conditions. Each row of noise is assigned the row of conditions with the same index.
        condition_weight: of the squared distance between two rows of conditions, relative to that of noise and data.
    """
    cost = torch.cdist(data, noise).square() + condition_weight * torch.cdist(c, c).square()
    _, columns = linear_sum_assignment(cost.detach().cpu().numpy())
    return noise[torch.as_tensor(columns, device=noise.device)]


def solve_with_divergence(
    v: Field, x: Tensor, steps: int, probes: Tensor | None, *, solver: str = "rk4", differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """Integrate backwards from data x (B, F) to noise, with the divergence along the trajectory.

    Args:
        v: velocity. x: (B, F) at t = 1.
        steps: from t = 1 to t = 0.
        probes: (K, B, F) vectors of the Hutchinson trace estimator (`caloforge.diffusion.solvers`), or None.
        solver: one of `SOLVERS`.
        differentiable: whether gradients go through the steps of the solver.

    Returns:
        Noise (B, F), and ∫ ∇·v dt from noise to data (B,), so that log p(x) = log p(noise) − it.
    """
    extended = with_divergence(v, None if probes is None else list(probes), differentiable)
    state = solve(extended, torch.cat([x, torch.zeros_like(x[:, :1])], dim=1), steps, solver, 1.0, 0.0)
    return state[:, :-1], -state[:, -1]
