"""What every registered model of point clouds must do: shapes, seeds, gradients, empty clouds, training, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.configured import settings_schema
from caloforge.geometry import PointGeometry
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.training import TrainingSettings, fit
from caloforge.training.callbacks import Callback, Trainer

GEOMETRY = PointGeometry(("x", "y", "energy"), 6)
CONDITIONS, BATCH = 1, 24
FEATURES = GEOMETRY.row_length + 1

NUMBERS = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 2}
SMALL: dict[str, dict[str, Any]] = {
    "caloclouds": {
        "numbers": NUMBERS,
        "whole": ["x"],
        "peaked": ["x", "y"],
        "widths": [16, 16],
        "embedding": 8,
        "steps": 3,
        "student_strides": 2,
        "student_times": 4,
    },
    "epic_flow": {
        "numbers": NUMBERS,
        "whole": ["x"],
        "peaked": ["x", "y"],
        "width": 16,
        "global_width": 4,
        "layers": 2,
        "steps": 2,
        "student_strides": 1,
        "student_pairs": 1,
    },
    "epic_gan": {
        "numbers": NUMBERS,
        "whole": ["x"],
        "peaked": ["x", "y"],
        "point_noise": 2,
        "cloud_noise": 3,
        "width": 16,
        "global_width": 4,
        "generator_layers": 2,
        "critic_layers": 1,
    },
}
"""Settings that make each model small; a registered model without an entry fails the first test."""


@pytest.fixture(params=[kind for kind in MODELS if MODELS.resolve(kind).takes_clouds])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def _make(kind: str) -> ShowerModel:
    torch.manual_seed(0)
    return MODELS.resolve(kind)(FEATURES, CONDITIONS, geometry=GEOMETRY, **SMALL[kind])


def _batch(n: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with 0 … 6 points whose coordinates go with the conditions, and those."""
    generator = torch.Generator().manual_seed(1)
    c = torch.rand(n, CONDITIONS, generator=generator)
    counts = torch.randint(0, GEOMETRY.most + 1, (n, 1), generator=generator)
    points = 2 * c[:, :, None] + 0.3 * torch.randn(n, GEOMETRY.most, 3, generator=generator)
    there = torch.arange(GEOMETRY.most) < counts
    return torch.cat([counts, c + 0.1 * counts, (points * there[:, :, None]).flatten(1)], dim=1), c


def test_has_small_settings_and_a_docstring(kind: str) -> None:
    assert kind in SMALL
    cls = MODELS.resolve(kind)
    assert cls.__doc__
    for name in settings_schema(cls).model_fields:
        assert f"{name}:" in cls.__doc__, f"the docstring of {kind} does not explain {name}"


def test_loss_is_one_finite_number_per_cloud(kind: str) -> None:
    x, c = _batch()
    assert (x[:, 0] == 0).any()
    loss = _make(kind).loss(x, c)
    assert loss.shape == (BATCH,)
    assert torch.isfinite(loss).all()


def test_gradient_reaches_every_parameter(kind: str) -> None:
    model = _make(kind)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    settings = StageSettings(epochs=1, batch_size=BATCH, learning_rate=1e-3)
    reached: set[int] = set()
    for stage in model.stages():
        prepared = stage.prepare(ShowerDataset.of(*_batch())).take(slice(None))
        model.zero_grad()
        stage.step(TrainingBatch(*prepared, 0), stage.optimizers(settings))
        reached |= {id(p) for p in stage.parameters if p.grad is not None and p.grad.abs().max() > 0}
    assert [name for name, p in model.named_parameters() if id(p) not in reached] == []


def test_sample_shape_seed_and_finiteness(kind: str) -> None:
    model = _make(kind).eval()
    c, before = torch.rand(50, CONDITIONS), torch.get_rng_state()
    with torch.no_grad():
        first, again, other = (model.sample(c, torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == (50, FEATURES)
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    counts = first[:, 0]
    assert (counts == counts.round()).all()
    beyond = torch.arange(GEOMETRY.most) >= counts[:, None]
    assert (first[:, 2:].view(50, GEOMETRY.most, 3)[beyond] == 0).all()


SETTINGS = TrainingSettings(epochs=4, batch_size=64, learning_rate=3e-3, clip_norm=10, ema=0.9, device="cpu")


def test_training_lowers_the_loss(kind: str) -> None:
    model, (x, c) = _make(kind), _batch(1000)
    log = fit(model, (x[:800], c[:800]), (x[800:], c[800:]), SETTINGS)
    for stage in model.stages():
        losses = [record["validation_loss"] for record in log if record["stage"] == stage.name]
        # The loss of a critic rises again when its adversary learns.
        assert (min(losses[1:]) if kind == "epic_gan" else losses[-1]) < losses[0]


class _StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch_done(self, trainer: Trainer) -> None:
        self.left -= 1
        if self.left == 0:
            trainer.stop()


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    x, c = _batch(300)
    sets = (x[:240], c[:240]), (x[240:], c[240:])
    whole, stopped, resumed = (_make(kind) for _ in range(3))
    fit(whole, *sets, SETTINGS)
    fit(stopped, *sets, SETTINGS, checkpoint=tmp_path / "c.pt", callbacks=[_StopAfter(6)])
    log = fit(resumed, *sets, SETTINGS, checkpoint=tmp_path / "c.pt", resume=True)
    assert len(log) == 4 * len(whole.stages())
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_leaves_out_what_only_training_uses(kind: str) -> None:
    model = _make(kind).eval()
    for path in model.training_only():
        for parameter in model.get_submodule(path).parameters():
            parameter.data.fill_(float("nan"))
    with torch.no_grad():
        assert torch.isfinite(model.sample(torch.rand(4, CONDITIONS), torch.Generator().manual_seed(1))).all()
