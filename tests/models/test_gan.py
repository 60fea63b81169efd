"""GAN: losses by hand, the critic's optimum, a Gaussian it must find, and whose weights each step changes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from caloforge.geometry import Geometry
from caloforge.models.gan import GAN
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.networks.adversaries import MinibatchFeatures
from caloforge.training import TrainingSettings, fit

SMALL: dict[str, Any] = {"channels": [8, 16], "pooling": [[2]], "kernel": 3, "embedding": 8, "noise_dim": 4}


def _model(geometry: Geometry, features: int = 4, **changes: Any) -> GAN:
    torch.manual_seed(0)
    return GAN(features, 1, geometry=geometry, **{**SMALL, **changes})


def test_minibatch_features_by_hand() -> None:
    """One projection to two numbers: M = (0, 0), (1, 0), (1, 2); distances 1, 3 and 2."""
    features = MinibatchFeatures(2, 1, dimension=2)
    features.projections.weight.data[:] = torch.eye(2)
    features.projections.bias.data.zero_()
    found = features(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]))[:, 0]
    e1, e2, e3 = (math.exp(-k) for k in (1, 2, 3))
    torch.testing.assert_close(found, torch.tensor([1 + e1 + e3, 1 + e1 + e2, 1 + e3 + e2]) / 3)


def test_a_collapsed_batch_is_seen() -> None:
    torch.manual_seed(0)
    features, showers = MinibatchFeatures(5, 3), torch.randn(50, 5)
    assert (features(showers[:1].expand(50, 5)) == 1).all()
    assert features(showers).max() < 0.5


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("non_saturating", [math.log(2), math.log(1 + math.exp(-3))]),
        ("minimax", [-math.log(2), -math.log(1 + math.exp(3))]),
    ],
)
def test_losses_by_hand(small_geometry: Geometry, objective: str, expected: list[float]) -> None:
    """A critic D(x) = x_0. Minimax: log(1 − σ(D)) = −log(1 + e^D)."""
    model, x, generated = _model(small_geometry, objective=objective), torch.zeros(2, 4), torch.zeros(2, 4)
    generated[1, 0], x[1, 0] = 3.0, -1.0
    model.critic.forward = lambda x, c: x[:, 0]  # type: ignore[method-assign]
    c = torch.zeros(2, 1)
    torch.testing.assert_close(model.generator_loss(generated, c), torch.tensor(expected))
    both = [2 * math.log(2), math.log(1 + math.e) + math.log(1 + math.exp(3))]
    torch.testing.assert_close(model.critic_losses(x, generated, c)["critic_loss"], torch.tensor(both))


def test_the_best_critic_is_the_log_ratio_of_densities(small_geometry: Geometry) -> None:
    """N(+0.5, 1) against N(−0.5, 1) in x_0, the rest alike: D = x_0."""
    generator = torch.Generator().manual_seed(1)
    model = _model(small_geometry)
    optimizer = torch.optim.Adam(model.critic.parameters(), 1e-2)
    shift = torch.tensor([0.5, 0.0, 0.0, 0.0])
    for _ in range(100):
        x, generated = torch.randn(2, 200, 4, generator=generator)
        loss = model.critic_losses(x + shift, generated - shift, torch.zeros(200, 1))["critic_loss"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probe = torch.randn(2000, 4, generator=generator)
    with torch.no_grad():
        logit = model.critic(probe, torch.zeros(2000, 1))
    assert (logit - probe[:, 0]).square().mean().sqrt() < 0.4
    assert loss.item() == pytest.approx(1.16, abs=0.25)  # 2 (log 2 − Jensen–Shannon divergence)


def test_finds_a_gaussian(small_geometry: Geometry) -> None:
    generator = torch.Generator().manual_seed(1)
    mean = torch.tensor([1.0, -2.0])
    x, c = mean + 0.5 * torch.randn(4000, 2, generator=generator), torch.rand(4000, 1, generator=generator)
    model = _model(small_geometry, features=2, channels=[8, 8], standardise="none")
    settings = TrainingSettings(epochs=10, batch_size=250, learning_rate=3e-3, ema=0.98, device="cpu")
    history = fit(model, (x, c), (x[:200], c[:200]), settings)
    assert {"critic_loss", "generator_loss", "critic_accuracy"} <= history[-1].keys()
    with torch.no_grad():
        found = model.sample(torch.rand(5000, 1, generator=generator), torch.Generator().manual_seed(2))
    assert (found.mean(dim=0) - mean).abs().max() < 0.5
    assert ((found.std(dim=0) > 0.2) & (found.std(dim=0) < 1.0)).all()


def test_rates_and_turns(small_geometry: Geometry) -> None:
    model = _model(small_geometry, critic_steps=2, critic_rate=0.1, momentum=0.3)
    (stage,) = model.stages()
    of_critic, of_generator = stage.optimizers(StageSettings(epochs=1, batch_size=8, learning_rate=1e-3))
    assert [o.param_groups[0]["lr"] for o in (of_critic, of_generator)] == pytest.approx([1e-4, 1e-3])
    assert of_critic.param_groups[0]["betas"][0] == 0.3
    for number, halves in ((0, {"critic", "generator"}), (1, {"critic"}), (2, {"critic", "generator"})):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        stage.step(TrainingBatch(torch.randn(8, 4), torch.rand(8, 1), number), [of_critic, of_generator])
        moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved == halves


def test_the_generators_step_is_against_the_critic_before_it(small_geometry: Geometry) -> None:
    model, other = _model(small_geometry), _model(small_geometry)
    x, c = torch.randn(8, 4), torch.rand(8, 1)
    (stage,) = model.stages()
    torch.manual_seed(5)
    stage.step(TrainingBatch(x, c, 0), stage.optimizers(StageSettings(epochs=1, batch_size=8, learning_rate=1e-3)))
    torch.manual_seed(5)
    logit: Tensor = other.critic(other.generator(other.noise(x), c), c)
    functional.softplus(-logit).mean().backward()
    for one, two in zip(model.generator.parameters(), other.generator.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
