"""Flow matching: carrying noise to data along the solution of an ordinary differential equation.

A path joins noise ε and data x by x_t = σ_t ε + α_t x, 0 ≤ t ≤ 1, with α_0 = σ_1 = 0 and σ_0 = α_1 = 1. Its velocity
σ̇_t ε + α̇_t x, averaged over all pairs (ε, x) that pass through the same point, is the velocity field whose flow
turns the distribution of noise into that of the data (arXiv:2210.02747, arXiv:2303.08797); regression finds that
average.

    linear          σ_t = 1 − t,        α_t = t
    trigonometric   σ_t = cos(π t/2),   α_t = sin(π t/2)

Where noise and data have the same variance, the trigonometric path keeps it, and where the data is Gaussian its
velocity field is zero: only what differs from a Gaussian has to be carried, and a few steps are enough for it.

Pairs are independent, or matched within a batch by optimal transport (arXiv:2302.00482), which straightens the paths.
With conditions, transport alone would let them choose among the noise; their distance is part of the cost
(arXiv:2503.10636).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, F), t (B,) or (1,)) → dx/dt (B, F)."""

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
    """Where the path from noise (B, F) to data (B, F) is at t (B,), and its velocity there: (B, F) each."""
    sigma_t, alpha_t, sigma_dot, alpha_dot = (part[:, None] for part in PATHS[path](t))
    return sigma_t * noise + alpha_t * data, sigma_dot * noise + alpha_dot * data


def optimally_paired(noise: Tensor, data: Tensor, c: Tensor, condition_weight: float) -> Tensor:
    """The rows of noise (B, F) in the order that makes the sum of squared distances to data (B, F) smallest.

    Args:
        noise, data: (B, F).
        c: (B, C) the data's conditions. Each row of noise is thought to belong to the row of conditions at its place.
        condition_weight: of the squared distance between two rows of conditions, beside that of noise and data.
    """
    cost = torch.cdist(data, noise).square() + condition_weight * torch.cdist(c, c).square()
    _, columns = linear_sum_assignment(cost.detach().cpu().numpy())
    return noise[torch.as_tensor(columns, device=noise.device)]


# ---- solving ---------------------------------------------------------------------------------------------------


def _euler(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    return x + h * v(x, t)


def _midpoint(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    return x + h * v(x + 0.5 * h * v(x, t), t + 0.5 * h)


def _heun(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    slope = v(x, t)
    return x + 0.5 * h * (slope + v(x + h * slope, t + h))


def _rk4(v: Velocity, x: Tensor, t: Tensor, h: float) -> Tensor:
    k1 = v(x, t)
    k2 = v(x + 0.5 * h * k1, t + 0.5 * h)
    k3 = v(x + 0.5 * h * k2, t + 0.5 * h)
    k4 = v(x + h * k3, t + h)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


SOLVERS: dict[str, Callable[[Velocity, Tensor, Tensor, float], Tensor]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "heun": _heun,
    "rk4": _rk4,
}
"""One step of h from t: Euler (order 1, one evaluation), midpoint and Heun (2, two), Runge and Kutta's (4, four)."""


def solve(v: Velocity, x: Tensor, steps: int, solver: str = "heun", start: float = 0.0, end: float = 1.0) -> Tensor:
    """Follow dx/dt = v(x, t) from x (B, F) at t = `start` to t = `end` in even steps."""
    step, h = SOLVERS[solver], (end - start) / steps
    for k in range(steps):
        x = step(v, x, x.new_full((1,), start + k * h), h)
    return x


def solve_with_divergence(v: Velocity, x: Tensor, steps: int, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Follow the equation backwards from data x (B, F) to noise, by `rk4`, and sum up the divergence on the way.

    Args:
        v: velocity. x: (B, F) at t = 1.
        steps: from t = 1 to t = 0.
        probes: (K, B, F) random vectors of mean 0 and unit covariance for Hutchinson's estimate of the divergence
            (arXiv:1810.01367); None takes the exact one, at the cost of F times as many derivatives.

    Returns:
        Noise (B, F), and ∫ ∇·v dt over the way from noise to data (B,), so that log p(x) = log p(noise) − it.
    """
    n, f = x.shape

    def extended(state: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            point = state[:, :f].detach().requires_grad_(True)
            slope = v(point, t)
            directions = torch.eye(f).to(x)[:, None, :].expand(f, n, f) if probes is None else probes
            divergence = x.new_zeros(n)
            for direction in directions:
                (pulled,) = torch.autograd.grad(slope, point, direction, retain_graph=True)
                divergence = divergence + (pulled * direction).sum(dim=1)
        if probes is not None:
            divergence = divergence / len(probes)
        return torch.cat([slope, divergence[:, None]], dim=1).detach()

    state = solve(extended, torch.cat([x, torch.zeros_like(x[:, :1])], dim=1), steps, "rk4", 1.0, 0.0)
    return state[:, :f], -state[:, f]
