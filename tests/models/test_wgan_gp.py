"""WGAN-GP: whose weights each step changes, the penalty, resuming in turn, and a density that it must find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.models.wgan_gp import WGANGP
from caloforge.networks.unet import UNet
from caloforge.training import Callback, Trainer, TrainingSettings, fit, stage_run

SMALL: dict[str, Any] = {"channels": [4, 8], "pooling": [[4]], "kernel": 3, "embedding": 8, "noise_numbers": 4}


def _model(geometry: Geometry, features: int = 8, **changes: Any) -> WGANGP:
    torch.manual_seed(0)
    return WGANGP(features, 1, geometry=geometry, **{**SMALL, **changes})


def _data(n: int = 64, features: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    c = torch.rand(n, 1, generator=generator)
    return c + 0.3 * torch.randn(n, features, generator=generator), c


def _settings(optimizer: str) -> StageSettings:
    return StageSettings(epochs=1, batch_size=64, learning_rate=1e-3, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_the_generator_moves_once_in_critic_steps(optimizer: str, small_geometry: Geometry) -> None:
    model = _model(small_geometry, critic_steps=3)
    (stage,) = model.stages()
    optimizers, moved, logged = stage.optimizers(_settings(optimizer)), [], []
    for number in range(7):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        logged.append(set(stage.step(TrainingBatch(*_data(), number), optimizers)))
        moved.append({name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])})
    assert moved == [{"critic", "generator"} if k % 3 == 0 else {"critic"} for k in range(7)]
    critics = {"loss", "critic_loss", "wasserstein"}
    assert logged == [{*critics, "generator_loss"} if k % 3 == 0 else critics for k in range(7)]


def test_each_half_gets_its_own_gradient_only(small_geometry: Geometry) -> None:
    """The critic's gradient is that of its loss alone, the generator's that of −D(G(z)) alone, at the same weights."""
    model, (x, c) = _model(small_geometry), _data()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    (stage,) = model.stages()
    torch.manual_seed(5)
    stage.step(TrainingBatch(x, c, 0), stage.optimizers(_settings("adam")))
    of_step = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.load_state_dict(start)
    model.zero_grad()
    torch.manual_seed(5)
    generated = model.generator(model.noise(x), c)
    model.critic_losses(x, generated.detach(), c)["critic_loss"].mean().backward()
    for name, p in model.critic.named_parameters():
        torch.testing.assert_close(p.grad, of_step[f"critic.{name}"])
    (-model.critic(generated, c)).mean().backward()
    for name, p in model.generator.named_parameters():
        torch.testing.assert_close(p.grad, of_step[f"generator.{name}"])


def test_weights_that_counted_steps_still_load(small_geometry: Geometry) -> None:
    model, other = _model(small_geometry), _model(small_geometry, positional_bias=False)
    model.load_state_dict({**other.state_dict(), "step": torch.tensor(3)})


def test_the_penalty_by_hand(small_geometry: Geometry) -> None:
    """A critic D(x) = 3 x_0 has slope 3 everywhere: D(x̃) − D(x) + 10 (3 − 1)²."""
    model, (x, c) = _model(small_geometry), _data()
    made = torch.randn_like(x)
    model.critic.forward = lambda x, c: 3 * x[:, 0]  # type: ignore[method-assign]
    torch.testing.assert_close(model.critic_losses(x, made, c)["critic_loss"], 3 * made[:, 0] - 3 * x[:, 0] + 40)


def test_the_validation_loss_is_the_critics(small_geometry: Geometry) -> None:
    model, (x, c) = _model(small_geometry).eval(), _data()
    torch.manual_seed(3)
    with torch.no_grad():
        loss = model.loss(x, c)
        torch.manual_seed(3)
        generated = model.generator(model.noise(x), c)
        torch.testing.assert_close(loss, model.critic_losses(x, generated, c)["critic_loss"])


class _Interrupt(Callback):
    def __init__(self) -> None:
        self.left = 2

    def epoch_done(self, trainer: Trainer) -> None:
        self.left -= 1

    def batch_done(self, trainer: Trainer) -> None:
        if self.left == 0:
            raise KeyboardInterrupt


def test_resumed_equals_uninterrupted(
    small_geometry: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of a round of critic steps."""
    monkeypatch.setattr(stage_run, "CHECKPOINT_SECONDS", 0.0)
    x, c = _data(80)
    settings = TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-3, device="cpu")
    whole, first, second = (_model(small_geometry, critic_steps=3) for _ in range(3))
    fit(whole, (x, c), (x[:16], c[:16]), settings)
    with pytest.raises(KeyboardInterrupt):
        fit(first, (x, c), (x[:16], c[:16]), settings, checkpoint=tmp_path / "c.pt", callbacks=[_Interrupt()])
    fit(second, (x, c), (x[:16], c[:16]), settings, checkpoint=tmp_path / "c.pt", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_the_critic_measures_the_wasserstein_distance(small_geometry: Geometry) -> None:
    """Two copies of a distribution, one shifted by d: the distance is ‖d‖, and the way to the data is along d."""
    generator = torch.Generator().manual_seed(1)
    model = _model(small_geometry, features=4, pooling=[[2]], channels=[8, 8])
    shift = torch.tensor([1.5, 0.0, -1.0, 0.5])

    def batch() -> tuple[Tensor, Tensor, Tensor]:
        x, made = (0.3 * torch.randn(64, 4, generator=generator) for _ in range(2))
        return x + shift, made, torch.zeros(64, 1)

    optimizer = torch.optim.Adam(model.critic.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model.critic_losses(*batch())["critic_loss"].mean().backward()
        optimizer.step()
    x, made, c = batch()
    with torch.no_grad():
        distance = float((model.critic(x, c) - model.critic(made, c)).mean())
    assert distance == pytest.approx(float(shift.norm()), rel=0.15)
    made.requires_grad_(True)
    model.critic(made, c).mean().backward()
    assert made.grad is not None
    assert float(torch.cosine_similarity(made.grad.mean(dim=0), shift, dim=0)) > 0.95


def test_the_halves_are_those_of_the_unet(small_geometry: Geometry) -> None:
    model = WGANGP(368, 1, geometry=load_geometry("ds1-photons"))
    unet = UNet(model.critic.down.grid, [80, 320, 1280], 5, 256)
    assert [p.shape for p in model.critic.down.parameters()] == [p.shape for p in unet.down.parameters()]
    # The generator has no levels of the other half to join.
    assert [p.shape for p in model.generator.up.second.parameters()] == [p.shape for p in unet.up.second.parameters()]


def test_refuses_channels_that_do_not_fit(small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match="3 levels"):
        _model(small_geometry, channels=[4, 8, 8])
