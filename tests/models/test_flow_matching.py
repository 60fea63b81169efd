"""Flow matching: a Gaussian it must learn, the density it must give, and a student that does as its teacher."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.models.dataset import ShowerDataset
from caloforge.models.flow_matching import FlowMatching
from caloforge.training import TrainingSettings, fit

SETTINGS: dict[str, Any] = {
    "batch_size": 256,
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "device": "cpu",
    "ema": 0.99,
}


def _gaussian(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (c, 0), covariance [[1, 0.8], [0.8, 1]]."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randint(0, 2, (n, 1), generator=generator).float()
    first = torch.randn(n, 1, generator=generator)
    second = 0.8 * first + 0.6 * torch.randn(n, 1, generator=generator)
    return torch.cat([first + 2 * c, second], dim=1), c


def _trained(**settings: Any) -> FlowMatching:
    torch.manual_seed(1)
    model = FlowMatching(2, 1, width=32, blocks=2, **settings)
    fit(model, _gaussian(8000, 1), _gaussian(500, 2), TrainingSettings(epochs=12, **SETTINGS))
    return model


@pytest.fixture(scope="module")
def distilled() -> FlowMatching:
    return _trained(student_strides=1, student_pairs=2, steps=6)


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_learns_a_conditional_gaussian(distilled: FlowMatching, c: float) -> None:
    distilled.by_student = False
    with torch.no_grad():
        x = distilled.sample(torch.full((20_000, 1), c), torch.Generator().manual_seed(3))
    assert x[:, 0].mean().item() == pytest.approx(2 * c, abs=0.15)
    assert x.T.cov()[0, 1].item() == pytest.approx(0.8, abs=0.12)
    assert x.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.1)


def test_student_takes_the_teachers_way(distilled: FlowMatching) -> None:
    noise, c = torch.randn(500, 2, generator=torch.Generator().manual_seed(1)), torch.ones(500, 1)
    with torch.no_grad():
        distilled.by_student = False
        teacher = distilled.decode(noise, c)
        distilled.by_student = True
        student = distilled.decode(noise, c)
    assert (student - teacher).square().mean().sqrt() < 0.1


@pytest.mark.parametrize("settings", [{"path": "linear"}, {"pairing": "optimal"}])
def test_other_paths_and_pairings_learn_it_too(settings: dict[str, Any]) -> None:
    model = _trained(steps=12, **settings)
    with torch.no_grad():
        x = model.sample(torch.ones(20_000, 1), torch.Generator().manual_seed(3))
    assert x[:, 0].mean().item() == pytest.approx(2, abs=0.2)
    assert x.T.cov()[0, 1].item() == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize("probes", [0, 8])
def test_density_of_a_model_that_moves_nothing(probes: int) -> None:
    """Without training the velocity is zero: log p is that of the scaled normal distribution, exactly."""
    model = FlowMatching(3, 1, width=8, blocks=1)
    model.shift.copy_(torch.tensor([1.0, 2.0, 3.0]))
    model.scale.copy_(torch.tensor([1.0, 2.0, 0.5]))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    normal = torch.distributions.Normal(model.shift, model.scale)
    torch.testing.assert_close(model.log_prob(x, torch.zeros(5, 1), probes=probes), normal.log_prob(x).sum(dim=1))


def test_density_integrates_to_one_and_agrees_with_the_truth(distilled: FlowMatching) -> None:
    axis = torch.linspace(-5, 7, 49)
    grid = torch.cartesian_prod(axis, axis)
    log_p = distilled.log_prob(grid, torch.ones(len(grid), 1))
    assert (log_p.exp().sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=0.02)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    truth = torch.distributions.MultivariateNormal(torch.tensor([2.0, 0.0]), covariance)
    p = truth.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
    assert (p * (truth.log_prob(grid) - log_p)).sum().abs() < 0.1  # Kullback and Leibler's distance, in nats


def test_strides_of_the_student_join_up() -> None:
    """An untrained student of an untrained teacher leaves the noise where it is, for any number of strides."""
    for strides in (1, 2, 4):
        model = FlowMatching(4, 1, width=8, blocks=1, student_strides=strides, steps=4)
        noise = torch.randn(3, 4)
        torch.testing.assert_close(model.decode(noise, torch.zeros(3, 1)), noise)
        trajectories, c = model._trajectories(noise, torch.zeros(3, 1))
        assert trajectories.shape == (3, model.pairs, strides + 1, 4)
        torch.testing.assert_close(trajectories[:, :, 0], trajectories[:, :, -1])
        assert math.isclose(model._student_loss(trajectories, c).sum().item(), 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "sectors", "sectors": 4}, "5 features do not come in 4 equal sectors"),
        ({"sampler": "student"}, "needs a student"),
        ({"steps": 0}, "steps .0. "),
        ({"hidden": -1}, "hidden .-1."),
    ],
)
def test_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        FlowMatching(5, 1, **settings)


def test_constants_are_the_same_in_all_sectors() -> None:
    """Two sectors of two features by hand; a network without sectors has constants for each feature."""
    x = torch.tensor([[0.0, 1.0, 4.0, 1.0], [2.0, 1.0, 6.0, 3.0]])
    data = ShowerDataset.of(x, torch.zeros(2, 1))
    settings = {"sectors": 2, "width": 8, "blocks": 1}
    model = FlowMatching(4, 1, network="sectors", **settings)  # type: ignore[arg-type]
    model._fit(data)
    torch.testing.assert_close(model.shift, torch.tensor([3.0, 1.5, 3.0, 1.5]))
    torch.testing.assert_close(model.scale.square(), torch.tensor([5.0, 0.75, 5.0, 0.75]))
    plain = FlowMatching(4, 1, **settings)  # type: ignore[arg-type]
    plain._fit(data)
    torch.testing.assert_close(plain.shift, torch.tensor([1.0, 1.0, 5.0, 2.0]))
    torch.testing.assert_close(plain.scale, torch.tensor([1.0, 1.0, 1.0, 1.0]))
