"""Solvers of ordinary differential equations dx/dt = v(x, t), and of the change of density along their solutions.

    euler                order 1, one evaluation per step
    midpoint, heun       order 2, two
    rk4                  order 4, four
    bogacki_shampine     order 3, three, with steps that adapt to the error: the difference between its answer and the
                         second-order one embedded in it (Appl. Math. Lett. 2 (1989) 321)

Along a solution the log density changes by d log p/dt = −∇·v. The divergence is exact, or its Hutchinson trace
estimate ∇·v = E[uᵀ (∂v/∂x) u], with random u of mean 0 and unit covariance, the same along a solution: unbiased, and
exact for a diagonal ∂v/∂x (FFJORD, arXiv:1810.01367).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError

Field = Callable[[Tensor, Tensor], Tensor]
"""(x (B, F), t (1,) or ()) → dx/dt (B, F)."""

Step = Callable[[Field, Tensor, Tensor, Tensor, Tensor | float], Tensor]
"""(v, x at t, t, t + h, h) → x at t + h."""

MOST_STEPS = 2_000
"""Steps after which an adaptive integration gives up."""


def euler(v: Field, x: Tensor, t: Tensor, t_next: Tensor, h: Tensor | float) -> Tensor:
    """One Euler step."""
    return x + h * v(x, t)


def midpoint(v: Field, x: Tensor, t: Tensor, t_next: Tensor, h: Tensor | float) -> Tensor:
    """One step of the midpoint method."""
    return x + h * v(x + 0.5 * h * v(x, t), t + 0.5 * h)


def heun(v: Field, x: Tensor, t: Tensor, t_next: Tensor, h: Tensor | float) -> Tensor:
    """One step of Heun's method."""
    slope = v(x, t)
    return x + 0.5 * h * (slope + v(x + h * slope, t_next))


def rk4(v: Field, x: Tensor, t: Tensor, t_next: Tensor, h: Tensor | float) -> Tensor:
    """One step of the classical Runge–Kutta method."""
    k1 = v(x, t)
    k2 = v(x + 0.5 * h * k1, t + 0.5 * h)
    k3 = v(x + 0.5 * h * k2, t + 0.5 * h)
    k4 = v(x + h * k3, t_next)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


SOLVERS: dict[str, Step] = {"euler": euler, "midpoint": midpoint, "heun": heun, "rk4": rk4}


def solve(v: Field, x: Tensor, steps: int, solver: str = "heun", start: float = 0.0, end: float = 1.0) -> Tensor:
    """x (B, F) at t = `end`, from x at t = `start`, in equal steps of one of `SOLVERS`."""
    step, h = SOLVERS[solver], (end - start) / steps
    for k in range(steps):
        t = x.new_full((1,), start + k * h)
        x = step(v, x, t, t + h, h)
    return x


def trajectory(v: Field, x: Tensor, strides: int, steps: int, solver: str = "heun") -> list[Tensor]:
    """x (B, F) at t = 0, 1/strides … 1, from x at t = 0, with so many steps of one of `SOLVERS` for each stride."""
    states = [x]
    for k in range(strides):
        states.append(solve(v, states[-1], steps, solver, k / strides, (k + 1) / strides))
    return states


def solve_on_grid(v: Field, x: Tensor, grid: Tensor, solver: str = "heun") -> Tensor:
    """x (B, F) at grid[-1], from x at grid[0], with one step of one of `SOLVERS` between values of grid (n,)."""
    step = SOLVERS[solver]
    for here, there in itertools.pairwise(grid):
        x = step(v, x, here, there, there - here)
    return x


def bogacki_shampine(v: Field, x: Tensor, start: Tensor, end: Tensor, tolerance: float) -> Tensor:
    """Adaptive third-order integration: three evaluations per step, rejected steps included.

    Args:
        v: the field.
        x: (B, F) at `start`.
        start, end: of t, float64, in either order.
        tolerance: of a step's error relative to x, both as root mean squares over all elements.

    Returns:
        (B, F) at `end`.

    Raises:
        CaloforgeError: the step became too small, or there were too many.
    """
    here, h = start, 0.05 * (end - start)
    slope = v(x, here)
    for _ in range(MOST_STEPS):
        h = torch.where((here + h - end) * h > 0, end - here, h)
        second = v(x + 0.5 * h * slope, here + 0.5 * h)
        third = v(x + 0.75 * h * second, here + 0.75 * h)
        tried = x + h * (2 * slope + 3 * second + 4 * third) / 9
        fourth = v(tried, here + h)
        error = h * (-5 * slope + 6 * second + 8 * third - 9 * fourth) / 72
        ratio = float(_rms(error) / (tolerance * torch.maximum(_rms(x), _rms(tried))).clamp_min(1e-30))
        if ratio <= 1:
            x, slope, here = tried, fourth, here + h
            if here == end:
                return x
        # A step's error is of third order; aim a little below the tolerance, and change by no more than a factor 5.
        h = h * (min(5.0, max(0.2, 0.9 * ratio ** (-1 / 3))) if ratio > 0 else 5.0)
        if not abs(float(h)) > 1e-12 * abs(float(here)):
            break
    raise CaloforgeError(
        f"the adaptive solver makes no progress at t = {float(here):.3g}: raise model.tolerance (now {tolerance:g}) "
        "or choose another sampler, as in model.sampler=heun"
    )


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def with_divergence(v: Field, probes: Sequence[Tensor] | None, differentiable: bool = False) -> Field:
    """The field of states (B, F + 1), x and one more element whose derivative is the divergence of v.

    Args:
        v: differentiable in x.
        probes: random vectors u (B, F) of the Hutchinson trace estimator; None takes the exact divergence, at the cost
            of F derivatives.
        differentiable: whether gradients go through the derivative, to the state and to the weights of v.
    """

    def extended(state: Tensor, t: Tensor) -> Tensor:
        n, f = len(state), state.shape[1] - 1
        with torch.enable_grad():
            x = state[:, :f] if differentiable and state.requires_grad else state[:, :f].detach().requires_grad_(True)
            slope = v(x, t)
            directions = torch.eye(f).to(x)[:, None, :].expand(f, n, f) if probes is None else probes
            total = torch.zeros_like(state[:, -1])
            for direction in directions:
                (pulled,) = torch.autograd.grad(slope, x, direction, retain_graph=True, create_graph=differentiable)
                total = total + (pulled * direction).sum(dim=1)
        divergence = total if probes is None else total / len(probes)
        return torch.cat([slope if differentiable else slope.detach(), divergence[:, None]], dim=1)

    return extended
