"""The VAE as a generator: principal components it must find, what its mean leaves out, and the warm-up."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.models.vae import VAE
from caloforge.training import TrainingSettings, fit
from models.two_modes import SETTINGS, check_two_modes, trained

LOADINGS, NOISE = torch.tensor([[1.0, 0.5, -0.8]]), 0.4


def test_a_linear_vae_finds_principal_components() -> None:
    """x = W z + σ n: the best linear VAE has this covariance (arXiv:1911.02469); its mean has W Wᵀ alone."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6000, 1, generator=generator) @ LOADINGS + NOISE * torch.randn(6000, 3, generator=generator)
    c = torch.zeros(6000, 1)
    torch.manual_seed(0)
    settings: dict[str, Any] = {"code_dim": 1, "hidden": [], "variance": "one", "standardise": "none"}
    model = VAE(3, 1, **settings)
    rates = {"learning_rate": 5e-2, "schedule": "cosine", "ema": 0.98}
    fit(model, (x, c), (x[:500], c[:500]), TrainingSettings(epochs=20, batch_size=200, device="cpu", **rates))
    mean = VAE(3, 1, decoding="mean", **settings).eval()
    mean.load_state_dict(model.state_dict())
    common = LOADINGS.T @ LOADINGS
    with torch.no_grad():
        sampled, smooth = (m.sample(torch.zeros(20_000, 1), torch.Generator().manual_seed(2)) for m in (model, mean))
    torch.testing.assert_close(smooth.T.cov(), common, atol=0.1, rtol=0)
    torch.testing.assert_close(sampled.T.cov(), common + NOISE**2 * torch.eye(3), atol=0.1, rtol=0)


def test_finds_both_modes() -> None:
    torch.manual_seed(0)
    model = VAE(2, 1, code_dim=2, hidden=[48, 48], warmup_steps=50)
    trained(model, SETTINGS.model_copy(update={"epochs": 24}))
    check_two_modes(model.eval(), mean=0.3)


def test_the_divergence_gets_its_weight_little_by_little() -> None:
    """The loss is reconstruction + β w divergence, w = 1/4 in the first of four steps and 1 from the fourth on."""
    torch.manual_seed(0)
    model = VAE(3, 1, code_dim=2, hidden=[4], beta=3.0, warmup_steps=4)
    (stage,) = model.stages()
    optimizers = stage.optimizers(StageSettings(epochs=1, batch_size=8, learning_rate=1e-3))
    for number, weight in ((0, 0.25), (3, 1.0), (10, 1.0)):
        losses = stage.step(TrainingBatch(torch.randn(8, 3), torch.rand(8, 1), number), optimizers)
        expected = losses["reconstruction"] + 3 * weight * losses["divergence"]
        torch.testing.assert_close(losses["loss"], expected)


@pytest.mark.parametrize(("decoding", "latent_dim"), [("mean", 2), ("sampled", 7)])
def test_noise_of_the_decoder(decoding: Any, latent_dim: int) -> None:
    assert VAE(5, 1, code_dim=2, hidden=[4], decoding=decoding).latent_dim == latent_dim
