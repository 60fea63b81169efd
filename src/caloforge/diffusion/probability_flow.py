"""The probability-flow ODE (Song et al., arXiv:2011.13456; Karras et al., arXiv:2206.00364).

The noise of each schedule can be removed without randomness: with the score s = ∇ log p_t,

    dx/dt = a(t) x − ½ g²(t) s(x, t)

moves the density p_1 through every p_t. With x̄ = x/α, the ratio ρ = σ/α as time, and the predicted noise ε = −σ s,
equation (1) of `caloforge.diffusion.schedules` turns this, for every schedule, into

    dx̄/dρ = ε(α x̄, t(ρ)).                                                                                (2)
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from caloforge.diffusion.schedules import Schedule
from caloforge.diffusion.solvers import Field

Score = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, F), t ()) → ∇ log p_t (B, F)."""


def noise_field(score: Score, schedule: Schedule) -> Field:
    """The right-hand side of (2): (x̄ (B, F), ρ ()) → ε (B, F)."""

    def field(x_bar: Tensor, ratio: Tensor) -> Tensor:
        t = schedule.time(ratio)
        return -schedule.sigma(t) * score(schedule.alpha(t) * x_bar, t)

    return field
