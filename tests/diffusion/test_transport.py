"""Paths, pairing and solvers: endpoints, velocities, measured orders, and Gaussians whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from caloforge.diffusion.solvers import SOLVERS, solve, solve_on_grid
from caloforge.diffusion.transport import PATHS, between, optimally_paired, solve_with_divergence

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


@pytest.mark.parametrize("path", PATHS)
def test_path_joins_noise_and_data_with_its_velocity(path: str) -> None:
    generator = torch.Generator().manual_seed(1)
    noise, data = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    start, _ = between(path, noise, data, torch.zeros(7, dtype=torch.float64))
    end, _ = between(path, noise, data, torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(start, noise)
    torch.testing.assert_close(end, data)
    t = torch.linspace(0.1, 0.9, 7, dtype=torch.float64)
    h = 1e-6
    slope = (between(path, noise, data, t + h)[0] - between(path, noise, data, t - h)[0]) / (2 * h)
    torch.testing.assert_close(between(path, noise, data, t)[1], slope, atol=1e-8, rtol=1e-7)


def test_trigonometric_path_needs_no_velocity_between_equal_gaussians() -> None:
    """E[ẋ_t | x_t] = 0: the regression of the velocity on the place has no slope."""
    torch.manual_seed(1)
    t = torch.rand(200_000)
    x_t, velocity = between("trigonometric", torch.randn(200_000, 1), torch.randn(200_000, 1), t)
    assert x_t.var().item() == pytest.approx(1, abs=0.01)
    assert (x_t * velocity).mean().abs() < 5 * (math.pi / 2) / math.sqrt(200_000)


@pytest.mark.parametrize("solver", SOLVERS)
def test_order_of_convergence(solver: str) -> None:
    """dx/dt = x² cos t from x(0) = 1/2: x(t) = 1 / (2 − sin t)."""
    x = torch.full((1, 1), 0.5, dtype=torch.float64)
    truth = 1 / (2 - math.sin(1))
    errors = [abs(solve(lambda x, t: x**2 * torch.cos(t)[:, None], x, n, solver).item() - truth) for n in (32, 64)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[solver], abs=0.25)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_grid_may_have_unequal_steps(solver: str) -> None:
    x = torch.full((1, 1), 0.5, dtype=torch.float64)

    def v(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x**2 * torch.cos(t)

    even = torch.linspace(0, 1, 65, dtype=torch.float64)
    torch.testing.assert_close(solve_on_grid(v, x, even, solver), solve(v, x, 64, solver))
    uneven = solve_on_grid(v, x, torch.linspace(0, 1, 800, dtype=torch.float64) ** 2, solver)
    assert uneven.item() == pytest.approx(1 / (2 - math.sin(1)), abs=1e-3)


@pytest.mark.parametrize("probes", [0, 4])
def test_divergence_of_a_linear_field(probes: int) -> None:
    """dx/dt = A x with a diagonal A: the way back is exp(−A), and ∫ div = tr A exactly, for Rademacher vectors too."""
    diagonal = torch.tensor([0.3, -0.5, 0.9], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    vectors = 2.0 * torch.randint(0, 2, (probes, 5, 3), generator=generator).double() - 1 if probes else None
    noise, change = solve_with_divergence(lambda x, t: x * diagonal, x, 16, vectors)
    torch.testing.assert_close(noise, x * torch.exp(-diagonal), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(change, torch.full((5,), 0.7, dtype=torch.float64))


def test_exact_velocity_carries_noise_to_a_gaussian() -> None:
    """Data N(2, 0.5²): the mean velocity on the linear path is worked out by hand, and its flow gives the data."""

    def v(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a, s = t[:, None], 1 - t[:, None]
        variance = s**2 + (0.5 * a) ** 2
        return 2 + (0.25 * a - s) / variance * (x - 2 * a)

    torch.manual_seed(1)
    x = solve(v, torch.randn(40_000, 1), 40, "rk4")
    assert x.mean().item() == pytest.approx(2, abs=0.01)
    assert x.std().item() == pytest.approx(0.5, abs=0.01)


def test_optimal_pairs_are_a_permutation_and_nearer() -> None:
    torch.manual_seed(1)
    noise, data, c = torch.randn(64, 2), torch.randn(64, 2) + 1, torch.zeros(64, 1)
    paired = optimally_paired(noise, data, c, 1.0)
    assert torch.equal(paired.sort(dim=0)[0], noise.sort(dim=0)[0])
    assert (paired - data).square().sum() < 0.5 * (noise - data).square().sum()


def test_conditions_keep_pairs_apart() -> None:
    """Two conditions, far apart: noise stays within its condition's rows, so that no condition gets chosen noise."""
    torch.manual_seed(1)
    c = torch.tensor([[0.0], [1.0]]).repeat(16, 1)
    noise, data = torch.randn(32, 1), 3 * c
    paired = optimally_paired(noise, data, c, 1e4)
    for value in (0, 1):
        rows = c[:, 0] == value
        assert torch.equal(paired[rows].sort(dim=0)[0], noise[rows].sort(dim=0)[0])
