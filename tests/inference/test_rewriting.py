"""Registered rewritten forms: found by exact class, used by engines and graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from caloforge.export.graph import decoder_of
from caloforge.geometry import Geometry
from caloforge.inference import Batch, TorchEngine, optimised, register_rewrite
from caloforge.models.base import LatentModel
from caloforge.models.caloman import CaloMan
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms
from own_model import GaussianPerFeature


class Scaled(LatentModel):
    """x = s z."""

    def __init__(self, features: int, conditions: int) -> None:
        super().__init__()
        self.latent_dim = features
        self.scale = nn.Parameter(torch.tensor(2.0))

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        return (x / self.scale).square().sum(dim=1)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        return self.scale * z


class Times(nn.Module):
    """z → factor · z, recognisable by its factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.factor * z


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> type[LatentModel]:
    """A model whose rewritten form is visibly another."""
    monkeypatch.setattr("caloforge.inference.rewriting._registered", {})

    @register_rewrite(Scaled)
    def rewritten(model: Scaled, traced: bool) -> nn.Module:
        return Times(30.0 if traced else 20.0)

    return Scaled


def test_a_model_without_a_rewritten_form() -> None:
    assert optimised(Scaled(3, 1)) is None
    assert optimised(GaussianPerFeature(13, 1)) is None


def test_a_subclass_does_not_inherit_the_form() -> None:
    """It may decode differently."""

    class Changed(CaloMan):
        pass

    assert optimised(CaloMan(13, 1, latent_dim=3)) is not None
    assert optimised(Changed(13, 1, latent_dim=3)) is None


def test_engine_and_graph_use_a_registered_form(own: type[LatentModel], small_geometry: Geometry) -> None:
    simulator = Simulator(small_geometry, build_transforms([], small_geometry), own(13, 1))
    batch = Batch(0, np.full(4, 100.0), seed=1)
    noise = torch.randn(4, 13, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(TorchEngine(simulator).generate(batch).rows, 20 * noise.numpy(), rtol=1e-6)
    assert torch.equal(decoder_of(simulator.model)(noise, noise[:, :1]), 30 * noise)


def test_a_later_registration_replaces_an_earlier_one(own: type[LatentModel]) -> None:
    register_rewrite(own)(lambda model, traced: None)
    assert optimised(own(3, 1)) is None
