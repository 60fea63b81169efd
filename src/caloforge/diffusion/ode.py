"""The probability-flow ODE, and what integrates it (Song et al., arXiv:2011.13456; Karras et al., arXiv:2206.00364).

Each schedule's noise can be taken away without randomness: with the score s = ∇ log p_t,

    dx/dt = a(t) x − ½ g²(t) s(x, t)

moves the density p_1 through every p_t. With x̄ = x/α, the ratio ρ = σ/α as time, and the predicted noise ε = −σ s,
equation (1) of `caloforge.diffusion.schedules` turns this, for every schedule, into

    dx̄/dρ = ε(α x̄, t(ρ)).                                                                                (2)

`heun` integrates on a grid, with error O(steps⁻²); `bogacki_shampine` chooses its steps by the difference between its
third-order answer and the second-order one inside it (Appl. Math. Lett. 2 (1989) 321).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from caloforge.diffusion.schedules import Schedule
from caloforge.errors import CaloforgeError

Score = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, F), t ()) → ∇ log p_t (B, F)."""

Field = Callable[[Tensor, Tensor], Tensor]
"""(state (B, D), ρ ()) → its derivative by ρ (B, D)."""

MOST_STEPS = 2_000
"""What an adaptive integration may take before it gives up."""


def noise_field(score: Score, schedule: Schedule) -> Field:
    """The right-hand side of (2)."""

    def field(x_bar: Tensor, ratio: Tensor) -> Tensor:
        t = schedule.time(ratio)
        return -schedule.sigma(t) * score(schedule.alpha(t) * x_bar, t)

    return field


def heun(field: Field, state: Tensor, grid: Tensor) -> Tensor:
    """Heun's method: two evaluations per step.

    Args:
        field: the right-hand side.
        state: (B, D) at grid[0].
        grid: (steps + 1,) values of ρ.

    Returns:
        (B, D) at grid[-1].
    """
    for here, there in itertools.pairwise(grid):
        h = there - here
        slope = field(state, here)
        state = state + 0.5 * h * (slope + field(state + h * slope, there))
    return state


def bogacki_shampine(field: Field, state: Tensor, start: Tensor, end: Tensor, tolerance: float) -> Tensor:
    """Adaptive third-order integration: three evaluations per step, tried steps included.

    Args:
        field: the right-hand side.
        state: (B, D) at `start`.
        start, end: values of ρ, float64, in either order.
        tolerance: of a step's error relative to the state, both as root mean squares over all numbers.

    Returns:
        (B, D) at `end`.

    Raises:
        CaloforgeError: the step became too small, or there were too many.
    """
    here, h = start, 0.05 * (end - start)
    slope = field(state, here)
    for _ in range(MOST_STEPS):
        h = torch.where((here + h - end) * h > 0, end - here, h)
        second = field(state + 0.5 * h * slope, here + 0.5 * h)
        third = field(state + 0.75 * h * second, here + 0.75 * h)
        tried = state + h * (2 * slope + 3 * second + 4 * third) / 9
        fourth = field(tried, here + h)
        error = h * (-5 * slope + 6 * second + 8 * third - 9 * fourth) / 72
        ratio = float(_size(error) / (tolerance * torch.maximum(_size(state), _size(tried))).clamp_min(1e-30))
        if ratio <= 1:
            state, slope, here = tried, fourth, here + h
            if here == end:
                return state
        # A step's error is of third order; aim a little below the tolerance, and change by no more than a factor 5.
        h = h * (min(5.0, max(0.2, 0.9 * ratio ** (-1 / 3))) if ratio > 0 else 5.0)
        if not abs(float(h)) > 1e-12 * abs(float(here)):
            break
    raise CaloforgeError(
        f"the adaptive solver stands still at a noise of {float(here):.3g}: raise model.tolerance (now {tolerance:g}) "
        "or choose another sampler, as in model.sampler=heun"
    )


def _size(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()
