"""The exact likelihood, against Gaussians whose density is known."""

from __future__ import annotations

import pytest
import torch
from exact_scores import Mixture, gaussian_score

from caloforge.diffusion import SCHEDULES, log_likelihood
from caloforge.diffusion.schedules import Schedule


@pytest.fixture(params=list(SCHEDULES))
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return SCHEDULES.resolve(request.param)()


def _noised(covariance: torch.Tensor, schedule: Schedule) -> torch.distributions.MultivariateNormal:
    t = torch.tensor(schedule.t_min, dtype=torch.float64)
    variance = schedule.alpha(t) ** 2 * covariance + schedule.sigma(t) ** 2 * torch.eye(len(covariance)).double()
    return torch.distributions.MultivariateNormal(torch.zeros(len(covariance)).double(), variance)


def test_independent_features_are_exact_with_one_probe(schedule: Schedule) -> None:
    covariance = torch.diag(torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64))
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double()
    found = log_likelihood(gaussian_score(covariance, schedule), schedule, x, steps=120)
    torch.testing.assert_close(found, _noised(covariance, schedule).log_prob(x), atol=0.03, rtol=0)


def test_correlated_features_by_the_mean_of_many_probes(schedule: Schedule) -> None:
    """Each row has signs of its own: the mean over 1 000 copies of a row is that over 1 000 probes."""
    covariance = torch.tensor([[1.0, 0.7, 0.2], [0.7, 1.5, -0.3], [0.2, -0.3, 0.4]], dtype=torch.float64)
    x = torch.tensor([[0.3, -0.5, 0.8], [-1.2, 0.1, 0.4]], dtype=torch.float64)
    score = gaussian_score(covariance, schedule)

    def estimated(probes: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(3)
        copies = x[:, None].expand(2, 1000, 3).reshape(2000, 3)
        return log_likelihood(score, schedule, copies, steps=60, probes=probes, generator=generator).view(2, 1000)

    one, four = estimated(1), estimated(4)
    error = one.std(dim=1) / 1000**0.5
    assert ((one.mean(dim=1) - _noised(covariance, schedule).log_prob(x)).abs() < 3 * error + 0.08).all()
    torch.testing.assert_close(four.std(dim=1), one.std(dim=1) / 2, rtol=0.15, atol=0)


def test_the_error_falls_as_the_square_of_the_steps(schedule: Schedule) -> None:
    covariance = torch.diag(torch.tensor([0.3, 2.5], dtype=torch.float64))
    x = torch.tensor([[0.2, -1.0]], dtype=torch.float64)
    score = gaussian_score(covariance, schedule)
    # Differences of successive doublings: what the prior at t = 1 neglects drops out.
    values = [float(log_likelihood(score, schedule, x, steps=k)) for k in (25, 50, 100)]
    assert abs(values[1] - values[0]) / abs(values[2] - values[1]) == pytest.approx(4, abs=0.8)


def test_a_mixture(schedule: Schedule) -> None:
    """Two well-separated Gaussians along one axis: the answer is the density of the noised mixture."""
    mixture = Mixture([0.25, 0.75], [[-1.5], [1.0]], [0.4, 0.3])
    x = torch.linspace(-2.2, 1.8, 9, dtype=torch.float64)[:, None]
    found = log_likelihood(mixture.score(schedule), schedule, x, steps=200)
    t = torch.tensor(schedule.t_min, dtype=torch.float64)
    torch.testing.assert_close(found, mixture.log_density(x, t, schedule), atol=0.03, rtol=0)
