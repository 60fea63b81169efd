"""Consistency training: its target is right to second order for a Gaussian, the grid's schedule, what it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.models.consistency_training import HUBER, ConsistencyTraining, pair_loss
from caloforge.training import TrainingSettings, fit

MEAN, WIDTH = 1.0, 0.5
"""Of Gaussian data: x_t has mean t MEAN and width s_t, s_t² = (1 − t)² + (t WIDTH)²."""


def _spread(t: Tensor) -> Tensor:
    return ((1 - t) ** 2 + (WIDTH * t) ** 2).sqrt()


def _end(x: Tensor, t: Tensor) -> Tensor:
    """The exact consistency function: a trajectory keeps its distance from the mean, in widths."""
    return MEAN + WIDTH * (x - t * MEAN) / _spread(t)


def test_the_loss_by_hand() -> None:
    """s = 0: f(x, t) = x, so that the difference is (x − ε)/N."""
    noise, x, t = torch.zeros(2, 4), torch.tensor([[2.0] * 4, [0.0] * 4]), torch.tensor([0.0, 0.5])
    found = pair_loss(lambda x, t: torch.zeros_like(x), noise, x, t, 8)
    k = HUBER * 2
    expected = 8 * (math.sqrt((4 / 8) ** 2 + k**2) - k) / 2
    torch.testing.assert_close(found, torch.tensor([expected, 0.0]))


def test_lines_lead_on_average_where_trajectories_do() -> None:
    """⟨f(x_t', t') | x_t⟩ = f(x_t, t) + O(1/N²) for the exact f: given x_t, the line's velocity is normal."""
    t, x_t = torch.full((9,), 0.4, dtype=torch.float64), torch.linspace(-3, 3, 9, dtype=torch.float64)
    slope = (WIDTH**2 * t - (1 - t)) / _spread(t) ** 2
    velocity = MEAN + slope * (x_t - t * MEAN)  # the mean of x − ε given x_t
    errors = [(_end(x_t + velocity / n, t + 1 / n) - _end(x_t, t)).abs().max().item() for n in (20, 40, 80)]
    assert errors[0] < 0.02
    assert errors[1] / errors[0] == pytest.approx(1 / 4, abs=0.03)
    assert errors[2] / errors[1] == pytest.approx(1 / 4, abs=0.02)


def test_no_gradient_through_the_later_state() -> None:
    """s = w x: the derivative is that of the earlier state's f, x_t (1 + (1 − t) w), alone."""
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    noise, x = torch.randn(2, 5, 1, dtype=torch.float64).unbind()
    t = torch.full((5,), 0.25, dtype=torch.float64)
    loss = pair_loss(lambda x, t: weight * x, noise, x, t, 4)
    (found,) = torch.autograd.grad(loss.sum(), weight)
    earlier, later = torch.lerp(noise, x, 0.25), torch.lerp(noise, x, 0.5)
    difference = (earlier * (1 + 0.75 * 0.3) - later * (1 + 0.5 * 0.3)).detach()
    expected = 4 * (difference / (difference**2 + HUBER**2).sqrt() * 0.75 * earlier).sum()
    torch.testing.assert_close(found, expected)


def test_the_grid_doubles_up_to_the_last() -> None:
    model = ConsistencyTraining(2, 1, width=8, blocks=1, first_times=10, last_times=60, doubling_steps=100)
    assert [model.times_at(step) for step in (0, 99, 100, 200, 300, 10**9)] == [10, 10, 20, 40, 60, 60]
    with pytest.raises(CaloforgeError, match="must not be below first_times"):
        ConsistencyTraining(2, 1, first_times=10, last_times=5)


def _showers(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Mean (2c, 0), width 1, correlation 0.8."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randint(0, 2, (n, 1), generator=generator).float()
    first, second = torch.randn(2, n, 1, generator=generator)
    return torch.cat([first + 2 * c, 0.8 * first + 0.6 * second], dim=1), c


@pytest.fixture(scope="module")
def learned() -> ConsistencyTraining:
    torch.manual_seed(1)
    grid: dict[str, Any] = {"first_times": 5, "last_times": 20, "doubling_steps": 600}
    model = ConsistencyTraining(2, 1, width=32, blocks=2, **grid)
    settings: dict[str, Any] = {"epochs": 60, "batch_size": 200, "learning_rate": 5e-3, "schedule": "cosine"}
    fit(model, _showers(8000, 1), _showers(200, 2), TrainingSettings(**settings, ema=0.98, device="cpu"))
    return model


@pytest.mark.parametrize("evaluations", [1, 3])
def test_learns_a_gaussian(learned: ConsistencyTraining, evaluations: int) -> None:
    """In one evaluation, and in three with renewed noise."""
    learned.evaluations, learned.latent_dim = evaluations, 2 * evaluations
    for value in (0.0, 1.0):
        with torch.no_grad():
            x = learned.eval().sample(torch.full((5000, 1), value), torch.Generator().manual_seed(3))
        assert x.mean(dim=0).tolist() == pytest.approx([2 * value, 0], abs=0.2)
        assert x.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.25)
        assert torch.corrcoef(x.T)[0, 1].item() == pytest.approx(0.8, abs=0.15)
