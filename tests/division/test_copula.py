"""Numbers drawn from their intervals given the others: exact ones stay, dependences of thresholded Gaussians return."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.division.copula import GaussianCopula
from caloforge.division.marginals import TINY


def _chain(n: int, size: int, r: float) -> Tensor:
    """(n, size) a stationary Gaussian chain with correlation r between neighbours."""
    z = torch.randn(n, size)
    for k in range(1, size):
        z[:, k] = r * z[:, k - 1] + (1 - r**2) ** 0.5 * z[:, k]
    return z


def _intervals(z: Tensor, p_zero: float) -> Tensor:
    """(2, …) what is known of z where everything below p₀ looks alike."""
    u = torch.special.ndtr(z)
    nothing = u < p_zero
    return torch.stack([torch.where(nothing, 0.0, u), torch.where(nothing, p_zero, u)])


def _correlation(z: Tensor, apart: int) -> float:
    pairs = torch.stack([z[:, apart:].flatten(), z[:, :-apart].flatten()])
    return float(torch.corrcoef(pairs)[0, 1])


def test_dependences_of_a_thresholded_gaussian_return() -> None:
    torch.manual_seed(1)
    z = _chain(20_000, 12, 0.8)
    intervals, c = _intervals(z, 0.6), torch.zeros(len(z), 1)
    copula = GaussianCopula(12, 1)
    independent = copula(intervals, c)
    copula.fit(intervals, c)
    drawn = copula(intervals, c)
    for apart in (1, 2):
        truth = 0.8**apart
        assert _correlation(independent, apart) < truth - 0.15
        # The ridge and few rounds leave the estimate a little below the truth.
        assert abs(_correlation(drawn, apart) - truth) < 0.06
    assert abs(float(drawn.mean())) < 0.05
    assert abs(float(drawn.std()) - 1) < 0.06


def test_every_number_stays_in_its_interval() -> None:
    torch.manual_seed(2)
    z = _chain(4_000, 9, 0.5)
    intervals, c = _intervals(z, 0.4), torch.randn(len(z), 3)
    copula = GaussianCopula(9, 3)
    copula.fit(intervals, c)
    u = torch.special.ndtr(copula(intervals, c))
    assert (u >= intervals[0] - 1e-5).all()
    assert (u <= intervals[1] + 1e-5).all()
    exact = intervals[0] == intervals[1]
    torch.testing.assert_close(u[exact], intervals[0][exact].clamp(TINY, 1 - TINY), atol=1e-5, rtol=0)


def test_what_the_level_is_given_counts() -> None:
    torch.manual_seed(3)
    c = torch.randn(20_000, 2)
    z = 0.9 * c[:, :1] + (1 - 0.81) ** 0.5 * torch.randn(20_000, 4)
    intervals = _intervals(z, 0.7)
    copula = GaussianCopula(4, 2)
    copula.fit(intervals, c)
    drawn = copula(intervals, c)
    found = torch.corrcoef(torch.stack([drawn[:, 0], c[:, 0]]))[0, 1]
    assert abs(float(found) - 0.9) < 0.03


def test_constants_and_certain_numbers_do_no_harm() -> None:
    torch.manual_seed(4)
    intervals = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 500, 3).clone()
    intervals[:, :, 1] = 0.25
    copula = GaussianCopula(3, 1)
    copula.fit(intervals, torch.ones(500, 1))
    drawn = copula(intervals, torch.ones(500, 1))
    assert torch.isfinite(drawn).all()
    torch.testing.assert_close(drawn[:, 1], torch.full((500,), -0.6744898), atol=1e-5, rtol=0)
