"""BIB-AE: discrepancies and losses by hand, whose weights each step changes, the post-processor, and a Gaussian."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.models.bib_ae import BIBAE, PostProcessor, latent_discrepancy, sorted_discrepancy
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.training import TrainingSettings, fit

SMALL: dict[str, Any] = {"code_dim": 2, "noise_dim": 2, "hidden": [32, 32], "critic_hidden": [32, 32], "post_width": 8}


def _model(features: int = 3, **changes: Any) -> BIBAE:
    torch.manual_seed(0)
    return BIBAE(features, 1, **{**SMALL, **changes})


def test_discrepancy_of_codes_by_hand() -> None:
    """Two rows each: codes 0 and 1, normal numbers 0 and 2; k(r) = e^{−r²} + e^{−r²/100}."""

    def k(r: float) -> float:
        return math.exp(-(r**2)) + math.exp(-0.01 * r**2)

    found = latent_discrepancy(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])).mean()
    expected = (2 * k(0) + 2 * k(1)) / 4 + (2 * k(0) + 2 * k(2)) / 4 - 2 * (k(0) + k(2) + k(1) + k(1)) / 4
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_discrepancy_of_shifted_codes_is_that_of_two_gaussians() -> None:
    """⟨exp(−γ (a − b)²)⟩ of N(m, 1) and N(0, 1) is exp(−γ m² / (1 + 4γ)) / √(1 + 4γ)."""
    generator, m, n = torch.Generator().manual_seed(1), 1.5, 800
    codes, normal = torch.randn(2, n, 1, generator=generator, dtype=torch.float64)
    expected = sum(2 * (1 - math.exp(-g * m**2 / (1 + 4 * g))) / math.sqrt(1 + 4 * g) for g in (1.0, 0.01))
    assert latent_discrepancy(codes + m, normal).mean().item() == pytest.approx(expected, abs=0.12)
    assert latent_discrepancy(codes, codes).abs().max() < 1e-9
    assert latent_discrepancy(codes, normal).mean().item() < 0.01


def test_discrepancy_of_sorted_voxels_by_hand() -> None:
    """Windows of two: (0, 1) and (1, 4) of the first shower, (0, 2) and (2, 4) of the second."""
    a, b = torch.tensor([[4.0, 0.0, 1.0]]), torch.tensor([[2.0, 4.0, 0.0]])

    def mmd(p: tuple[float, float], q: tuple[float, float]) -> float:
        def mean(u: tuple[float, float], v: tuple[float, float]) -> float:
            return sum(math.exp(-0.5 * (x - y) ** 2) for x in u for y in v) / 4

        return mean(p, p) + mean(q, q) - 2 * mean(p, q)

    expected = 0.5 * (mmd((0, 1), (0, 2)) + mmd((1, 4), (2, 4)))
    assert sorted_discrepancy(a, b, 2, 0.5).item() == pytest.approx(expected, abs=1e-6)
    assert sorted_discrepancy(a, a[:, [2, 0, 1]], 2, 0.5).item() == pytest.approx(0, abs=1e-6)  # only the spectrum


def _by_hand(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> BIBAE:
    """C(x, x̂) = 2 x̂_0 + x_1, C_L(z) = 3 z_0."""
    model = _model(**changes)
    monkeypatch.setattr(model.critic, "forward", lambda x, other, c: 2 * other[:, 0] + x[:, 1])
    monkeypatch.setattr(model.critic, "of_code", lambda z: 3 * z[:, 0])
    return model


def test_losses_of_the_critics_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes √(2² + 1²) and 3 everywhere; the normal numbers that codes are compared with are seeded."""
    model = _by_hand(monkeypatch, penalty=10.0)
    x, other, z = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 2)
    generated = torch.cat([other, x, z, z, z], dim=1)
    torch.manual_seed(4)
    found = model.critic_losses(x, generated, torch.zeros(5, 1))
    torch.manual_seed(4)
    normal = torch.randn_like(z)
    torch.testing.assert_close(found["wasserstein"], 2 * (x - other)[:, 0])
    torch.testing.assert_close(found["latent_wasserstein"], 3 * (normal - z)[:, 0])
    penalties = 10 * ((math.sqrt(5) - 1) ** 2 + (3 - 1) ** 2)
    expected = penalties - found["wasserstein"] - found["latent_wasserstein"]
    torch.testing.assert_close(found["critic_loss"], expected)


def test_loss_of_the_autoencoder_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _by_hand(monkeypatch, beta=0.5, latent_weight=7.0, mmd_weight=0.0)
    x, other, z = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 2)
    mean, log_variance = torch.ones(5, 2), torch.full((5, 2), math.log(4))
    found = model.generator_loss(torch.cat([other, x, z, mean, log_variance], dim=1), torch.zeros(5, 1))
    divergence = 2 * 0.5 * (1 + 4 - 1 - math.log(4))  # of N(1, 4) in each of two numbers
    torch.testing.assert_close(found, 0.5 * divergence - 21 * z[:, 0] - 2 * other[:, 0] - x[:, 1])


def test_each_stage_changes_its_own_weights() -> None:
    model = _model(critic_steps=2)
    x, c = torch.randn(40, 3), torch.rand(40, 1)
    settings = StageSettings(epochs=1, batch_size=40, learning_rate=1e-2)
    names = {"critic": model.critic, "autoencoder": model.generator, "post_processor": model.post_processor}

    def changed(number: int, stage: int) -> list[str]:
        before = {name: [p.clone() for p in part.parameters()] for name, part in names.items() if part is not None}
        part = model.stages()[stage]
        data = part.prepare(ShowerDataset.of(x, c)).take(slice(None))
        part.step(TrainingBatch(*data, number), part.optimizers(settings))
        return [
            name
            for name, part in names.items()
            if part is not None
            and not all(torch.equal(p, q) for p, q in zip(part.parameters(), before[name], strict=True))
        ]

    assert changed(0, 0) == ["critic", "autoencoder"]
    assert changed(1, 0) == ["critic"]
    assert changed(0, 1) == ["post_processor"]


def test_the_post_processor_is_the_same_for_all_voxels_and_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    network, x, c = PostProcessor(1, 8), torch.randn(4, 6), torch.rand(4, 1)
    assert torch.equal(network(x, c), x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    order = torch.randperm(6)
    torch.testing.assert_close(network(x[:, order], c), network(x, c)[:, order])
    assert (network(x, c) - x).abs().min() > 1e-3


def test_the_post_processor_mends_the_spectrum() -> None:
    """Voxels that are 0 or 1, reconstructed as 0 ± 0.15 and 1 ± 0.15: most of the blur goes."""
    torch.manual_seed(0)
    model = _model(40, post_width=16, post_window=10, post_kernel=20.0)
    stage = model.stages()[1]
    optimizer = torch.optim.Adam(stage.parameters, 1e-2)

    def pairs() -> Tensor:
        x = (torch.rand(64, 40) < 0.5).float()
        return torch.cat([x, x + 0.15 * torch.randn(64, 40)], dim=1)

    c = torch.zeros(64, 1)
    for _ in range(150):
        optimizer.zero_grad()
        stage.loss(pairs(), c).mean().backward()
        optimizer.step()
    x, blurred = pairs().chunk(2, dim=1)
    assert model.post_processor is not None
    with torch.no_grad():
        found = model.post_processor(blurred, c)
    assert (found - x).std().item() < 0.6 * 0.15


def test_finds_a_gaussian() -> None:
    """Mean (c, −c, 0), width 0.5, the first two with correlation 0.8."""
    generator = torch.Generator().manual_seed(1)

    def showers(n: int) -> tuple[Tensor, Tensor]:
        c = torch.randint(0, 2, (n, 1), generator=generator).float()
        normal = torch.randn(n, 3, generator=generator)
        x = torch.stack([normal[:, 0], 0.8 * normal[:, 0] + 0.6 * normal[:, 1], normal[:, 2]], dim=1)
        return 0.5 * x + torch.cat([c, -c, 0 * c], dim=1), c

    changes = {"critic_steps": 1, "latent_weight": 1.0, "mmd_weight": 10.0, "penalty": 1.0, "momentum": 0.5}
    model = _model(3, code_dim=3, post_width=0, standardise="each", **changes)
    settings = {"epochs": 12, "batch_size": 100, "learning_rate": 3e-3, "schedule": "cosine", "device": "cpu"}
    fit(model, showers(4000), showers(200), TrainingSettings(**settings, ema=0.98))  # type: ignore[arg-type]
    for value in (0.0, 1.0):
        with torch.no_grad():
            x = model.eval().sample(torch.full((5000, 1), value), torch.Generator().manual_seed(3))
        assert x.mean(dim=0).tolist() == pytest.approx([value, -value, 0], abs=0.2)
        assert x.std(dim=0).tolist() == pytest.approx([0.5] * 3, abs=0.2)
        assert torch.corrcoef(x.T)[0, 1].item() == pytest.approx(0.8, abs=0.2)
