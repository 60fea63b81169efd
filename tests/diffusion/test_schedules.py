"""Schedules: kernels against their SDEs, simulated and differentiated, and the inverse of the noise-to-signal ratio."""

from __future__ import annotations

import math

import pytest
import torch

from caloforge.diffusion import SCHEDULES, VE, VP, Schedule, SubVP
from caloforge.diffusion.schedules import ratio_times, uniform_times
from caloforge.errors import CaloforgeError


@pytest.fixture(params=list(SCHEDULES))
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return SCHEDULES.resolve(request.param)()


@pytest.mark.parametrize("end", [0.3, 0.7, 1.0])
def test_the_kernel_is_what_the_sde_makes(schedule: Schedule, end: float) -> None:
    """dx = a x dt + g dw from x_0 = 1.5, 300 steps at the steps' middles, 10 000 paths: mean and width within 4 σ."""
    n, steps = 10_000, 300
    generator = torch.Generator().manual_seed(4)
    x, dt = torch.full((n,), 1.5, dtype=torch.float64), end / steps
    for k in range(steps):
        t = torch.tensor((k + 0.5) * dt, dtype=torch.float64)
        noise = torch.randn(n, generator=generator, dtype=torch.float64)
        x = x * torch.exp(schedule.drift(t) * dt) + schedule.diffusion(t) * math.sqrt(dt) * noise
    t = torch.tensor(end, dtype=torch.float64)
    sigma_t = float(schedule.sigma(t))
    assert float(x.mean()) == pytest.approx(1.5 * float(schedule.alpha(t)), abs=4 * sigma_t / math.sqrt(n))
    assert float(x.std()) == pytest.approx(sigma_t, rel=4 / math.sqrt(2 * n))


def test_the_kernel_satisfies_its_equations(schedule: Schedule) -> None:
    """α′ = a α and (σ²)′ = 2 a σ² + g², by automatic differentiation."""
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64, requires_grad=True)
    alpha, variance = schedule.alpha(t), schedule.sigma(t) ** 2
    alpha_slope = torch.autograd.grad(alpha.sum(), t)[0] if alpha.requires_grad else torch.zeros_like(t)
    (variance_slope,) = torch.autograd.grad(variance.sum(), t)
    torch.testing.assert_close(alpha_slope, schedule.drift(t) * alpha)
    torch.testing.assert_close(variance_slope, 2 * schedule.drift(t) * variance + schedule.diffusion(t) ** 2)


def test_time_inverts_the_ratio(schedule: Schedule) -> None:
    t = torch.cat([torch.logspace(-4, -1, 20, dtype=torch.float64), torch.linspace(0.2, 1, 9, dtype=torch.float64)])
    torch.testing.assert_close(schedule.time(schedule.ratio(t)), t)


def test_published_constants() -> None:
    """CaloScore: s from 0.01 to 50, β from 0.1 to 20; ∫₀¹ β = 10.05."""
    one = torch.ones((), dtype=torch.float64)
    assert VE().prior_sigma() == pytest.approx(math.sqrt(50**2 - 0.01**2))
    assert float(VP().alpha(one)) == float(SubVP().alpha(one)) == pytest.approx(math.exp(-10.05 / 2))
    assert VP().prior_sigma() == pytest.approx(math.sqrt(1 - math.exp(-10.05)))
    assert SubVP().prior_sigma() == pytest.approx(1 - math.exp(-10.05))


@pytest.mark.parametrize("times", [uniform_times, ratio_times])
def test_grids_run_from_noise_to_the_end(schedule: Schedule, times: object) -> None:
    grid = times(schedule, 12)  # type: ignore[operator]
    assert grid.shape == (13,)
    assert (grid[0], grid[-1]) == (1.0, schedule.t_min)
    assert (grid.diff() < 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VE(sigma_min=0), "0 < sigma_min < sigma_max is needed, not 0 and 50"),
        (lambda: VP(beta_min=3, beta_max=2), "0 < beta_min < beta_max is needed, not 3 and 2"),
        (lambda: SubVP(t_min=0), "t_min must lie between 0 and 1, not 0"),
        (lambda: uniform_times(VP(), 0), "at least 1 step, not 0"),
    ],
)
def test_bad_input(make: object, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        make()  # type: ignore[operator]
