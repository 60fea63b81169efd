"""MeanFlow: the identity of an exact average velocity, its times, and a Gaussian in one evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from caloforge.models.mean_flow import MeanFlow, both_sides

MEAN, WIDTH = 1.5, 0.3


def _spread(t: Tensor) -> Tensor:
    return ((1 - t) ** 2 + (WIDTH * t) ** 2).sqrt()


def _exact(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Of N(MEAN, WIDTH²) on the linear path: x_s = s MEAN + (x_t − t MEAN) σ(s)/σ(t)."""
    t, s = t[:, None], s[:, None]
    x_s = s * MEAN + (x_t - t * MEAN) * _spread(s) / _spread(t)
    return (x_s - x_t) / (s - t)


def _velocity(x_t: Tensor, t: Tensor) -> Tensor:
    t = t[:, None]
    return MEAN + (WIDTH**2 * t - (1 - t)) / _spread(t) ** 2 * (x_t - t * MEAN)  # the factor is σ̇/σ


def test_an_exact_average_velocity_satisfies_the_identity() -> None:
    generator = torch.Generator().manual_seed(1)
    x_t = torch.randn(200, 3, generator=generator).double()
    t = 0.7 * torch.rand(200, generator=generator).double()
    s = t + 0.05 + 0.2 * torch.rand(200, generator=generator).double()
    average, target = both_sides(_exact, x_t, _velocity(x_t, t), t, s)
    torch.testing.assert_close(target, average)
    torch.testing.assert_close(average, _exact(x_t, t, s))


def test_without_intervals_it_is_flow_matching() -> None:
    """t = s: the target is the velocity of the pair, whatever the network."""
    torch.manual_seed(0)
    model, v = MeanFlow(3, 1, width=8, blocks=1), torch.randn(5, 3)
    t, c = torch.rand(5), torch.rand(5, 1)
    _, target = both_sides(lambda x, t, s: model.average(x, t, s, c), torch.randn(5, 3), v, t, t)
    torch.testing.assert_close(target, v)


def test_times() -> None:
    torch.manual_seed(0)
    t, s = MeanFlow(3, 1, width=8, blocks=1)._times(torch.zeros(20_000, 3))
    assert (t <= s).all()
    assert (t < s).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.logit(1 - t[t == s]).mean().item() == pytest.approx(-0.4, abs=0.05)


def test_learns_an_exact_gaussian_in_one_evaluation() -> None:
    """With the exact velocity instead of those of pairs, so that seconds of training suffice."""
    torch.manual_seed(0)
    model = MeanFlow(1, 1, width=32, blocks=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    c = torch.zeros(256, 1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 300)
        t, s = torch.rand(2, 256).sort(dim=0).values
        x_t = t[:, None] * MEAN + _spread(t)[:, None] * torch.randn(256, 1)
        average, target = both_sides(lambda x, t, s: model.average(x, t, s, c), x_t, _velocity(x_t, t), t, s)
        loss = (average - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = model.sample(torch.zeros(5000, 1), torch.Generator().manual_seed(3))
    assert found.mean().item() == pytest.approx(MEAN, abs=0.15)
    assert found.std().item() == pytest.approx(WIDTH, abs=0.15)
