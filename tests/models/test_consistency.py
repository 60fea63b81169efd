"""Consistency functions: of an exact Gaussian teacher in one evaluation, and as students of flow matching."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from caloforge.diffusion.consistency import consistency_loss, end_of_trajectory, sample_by_consistency
from caloforge.diffusion.solvers import heun
from caloforge.diffusion.transport import between
from caloforge.inference.model_rewrites import optimised
from caloforge.models.flow_matching import FlowMatching
from caloforge.training import TrainingSettings, fit

MEAN, WIDTH = 1.0, 0.5
"""Of Gaussian data, on the linear path: x_t has mean t MEAN and width s_t, s_t² = (1 − t)² + (t WIDTH)²."""


def width(t: Tensor) -> Tensor:
    return ((1 - t) ** 2 + (WIDTH * t) ** 2).sqrt()


def exact_end(x: Tensor, t: Tensor) -> Tensor:
    """f(x, t) = MEAN + WIDTH (x − t MEAN) / s_t: trajectories keep their distance from the mean in widths."""
    return MEAN + WIDTH * (x - MEAN * t[:, None]) / width(t)[:, None]


def exact_velocity(x: Tensor, t: Tensor) -> Tensor:
    rate = (WIDTH**2 * t - (1 - t)) / width(t) ** 2
    return MEAN + rate[:, None] * (x - MEAN * t[:, None])


def exact_network(x: Tensor, t: Tensor) -> Tensor:
    return (exact_end(x, t) - x) / (1 - t).clamp(min=1e-9)[:, None]


def pair(n: int, seed: int) -> tuple[Tensor, Tensor]:
    noise, data = torch.randn(2, n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise, MEAN + WIDTH * data


def test_the_exact_function_has_no_loss() -> None:
    (noise, data), t = pair(500, 1), torch.linspace(0, 0.8, 500, dtype=torch.float64)
    x_t, _ = between("linear", noise, data, t)
    later_t = t + 0.1
    later = MEAN * later_t[:, None] + (x_t - MEAN * t[:, None]) * (width(later_t) / width(t))[:, None]
    assert consistency_loss(exact_network, x_t, t, later, later_t).max() < 1e-9
    assert consistency_loss(lambda x, t: 0.9 * exact_network(x, t), x_t, t, later, later_t).mean() > 1e-4


def test_the_end_of_data_is_data() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(end_of_trajectory(lambda x, t: x**3, x, torch.ones(5)), x)


class Network(nn.Module):
    """(x, t) → s: one number of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        found: Tensor = self.layers(torch.cat([x, t.expand(len(x))[:, None]], dim=1))
        return found


def test_one_evaluation_reproduces_a_gaussian_teacher() -> None:
    torch.manual_seed(1)
    network, steps, updates = Network(), 8, 400
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for update in range(updates):
        noise, data = (part.float() for part in pair(256, update))
        t = torch.randint(steps, (256,)) / steps
        x_t, _ = between("linear", noise, data, t)
        later = heun(exact_velocity, x_t, t, t + 1 / steps, 1 / steps)
        optimiser.zero_grad()
        consistency_loss(network, x_t, t, later, t + 1 / steps).mean().backward()
        optimiser.step()
        schedule.step()
    noise = pair(2000, 9999)[0].float()
    with torch.no_grad():
        found = sample_by_consistency(network, "linear", [noise])
    assert (found - exact_end(noise, torch.zeros(1))).square().mean().sqrt() < 0.15 * WIDTH


def test_further_evaluations_with_new_noise_keep_the_distribution() -> None:
    noises = torch.randn(3, 40_000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64).unbind()
    x = sample_by_consistency(exact_network, "linear", noises)
    assert x.mean().item() == pytest.approx(MEAN, abs=4 * WIDTH / math.sqrt(len(x)))
    assert x.std().item() == pytest.approx(WIDTH, abs=4 * WIDTH / math.sqrt(2 * len(x)))


def correlated(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two features with correlation 0.8, their mean at the condition."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randint(0, 2, (n, 1), generator=generator).float()
    first, second = torch.randn(2, n, 1, generator=generator)
    return torch.cat([first + 2 * c, 0.8 * first + 0.6 * second], dim=1), c


def test_a_student_of_flow_matching() -> None:
    torch.manual_seed(1)
    model = FlowMatching(2, 1, width=32, blocks=2, steps=4, student_strides=1, student_kind="consistency")
    settings: dict[str, Any] = {"batch_size": 256, "learning_rate": 3e-3, "schedule": "cosine", "device": "cpu"}
    fit(model, correlated(5000, 1), correlated(300, 2), TrainingSettings(epochs=8, ema=0.99, **settings))
    c = torch.ones(5000, 1)
    with torch.no_grad():
        x = model.sample(c, torch.Generator().manual_seed(3))
        model.by_student = False
        teacher = model.sample(c, torch.Generator().manual_seed(3))
        model.by_student = True
    assert (x - teacher).square().mean().sqrt() < 0.25
    fast = optimised(model, traced=False)
    assert fast is not None
    z = torch.randn(5, 2)
    assert torch.allclose(fast(z, c[:5]), model.decode(z, c[:5]), atol=1e-5)


def test_several_evaluations_take_noise_for_each() -> None:
    model = FlowMatching(4, 1, width=8, blocks=1, student_strides=3, student_kind="consistency")
    assert model.latent_dim == 12
    assert model.sample(torch.zeros(5, 1)).shape == (5, 4)
    assert optimised(model, traced=False) is None
    by_teacher = FlowMatching(4, 1, width=8, blocks=1, student_strides=3, student_kind="consistency", sampler="teacher")
    assert by_teacher.latent_dim == 4
    assert by_teacher.sample(torch.zeros(5, 1)).shape == (5, 4)


def test_the_loss_reaches_every_weight_of_the_student_and_none_of_the_teacher() -> None:
    model = FlowMatching(4, 1, width=8, blocks=1, student_strides=1, student_kind="consistency")
    for weights in model.parameters():
        nn.init.normal_(weights, std=0.3)
    model._student_loss(torch.randn(64, 4), torch.zeros(64, 1) + 0.5).mean().backward()
    assert model.student is not None
    assert all(weights.grad is not None and weights.grad.any() for weights in model.student.parameters())
    assert all(weights.grad is None for weights in model.velocity.parameters())
