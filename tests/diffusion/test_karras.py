"""EDM as a way along the trigonometric path: its denoiser, times and sampler, for Gaussians whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from caloforge.diffusion.karras import denoised_by_heun, noise_levels, random_times, time_of
from caloforge.diffusion.transport import PATHS

MEAN, SPREAD = 0.7, 0.4


def _velocity(x_t: Tensor, t: Tensor) -> Tensor:
    """Of data from N(0.7, 0.4²): the mean of σ̇ ε + α̇ x, given σ ε + α x."""
    sigma, alpha, sigma_dot, alpha_dot = PATHS["trigonometric"](t)
    slope = (sigma * sigma_dot + SPREAD**2 * alpha * alpha_dot) / (sigma**2 + SPREAD**2 * alpha**2)
    return alpha_dot * MEAN + slope * (x_t - alpha * MEAN)


def test_times_are_those_of_the_path() -> None:
    sigma = torch.tensor([0.0, 0.1, 1.0, 80.0]).double()
    noise, data, *_ = PATHS["trigonometric"](time_of(sigma))
    torch.testing.assert_close(noise, sigma * data, rtol=1e-12, atol=1e-12)


def test_noise_levels_of_the_paper() -> None:
    """σ_i = (σ_max^{1/ρ} + i/(N − 1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ with ρ = 7, and 0 (eq. 5)."""
    levels = noise_levels(18, 0.002, 80.0)
    assert len(levels) == 19
    assert levels[[0, 17, 18]].tolist() == pytest.approx([80, 0.002, 0])
    assert levels[5].item() == pytest.approx((80 ** (1 / 7) + 5 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7)


def test_noise_in_training() -> None:
    """Log σ is normal: its mean within 4 standard errors."""
    torch.manual_seed(1)
    logs = torch.log(1 / torch.tan(0.5 * math.pi * random_times(torch.zeros(4000, 1).double())))
    assert logs.mean().item() == pytest.approx(-1.2 + math.log(2), abs=0.08)
    assert logs.std().item() == pytest.approx(1.2, rel=0.05)


def test_a_gaussian_is_sampled_exactly_in_the_limit_of_many_steps() -> None:
    """From 80 z to m + (80 z − m) s / √(s² + 80²); Heun's error falls at least threefold in twice as many steps."""
    z = torch.linspace(-2, 2, 9).double()[:, None]
    end = MEAN + (80 * z - MEAN) * SPREAD / math.hypot(SPREAD, 80)
    wrong = [(denoised_by_heun(_velocity, z, noise_levels(n, 0.002, 80.0)) - end).abs().max() for n in (20, 40, 80)]
    assert wrong[1] < wrong[0] / 3
    assert wrong[2] < wrong[1] / 3
    assert wrong[2] < 0.003


def test_it_takes_two_evaluations_per_step_and_one_in_the_last() -> None:
    seen: list[float] = []

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(t.item())
        return _velocity(x_t, t)

    denoised_by_heun(velocity, torch.zeros(1, 1), noise_levels(13, 0.002, 80.0))
    assert len(seen) == 25
