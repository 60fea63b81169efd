"""What every registered model of voxels must do: shapes, gradients, seeds, saving, and its optional methods.

For models of point clouds see `test_point_contract.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.configured import settings_schema, wants_geometry
from caloforge.geometry import Geometry
from caloforge.models import MODELS
from caloforge.models.base import LatentModel, ShowerModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.simulator import Simulator
from caloforge.simulator.absent import left_out
from caloforge.simulator.packing import save_packed
from caloforge.training import TrainingSettings, fit
from caloforge.transforms import build_transforms

FEATURES, CONDITIONS, BATCH = 14, 1, 32
SMALL: dict[str, dict[str, Any]] = {
    "bib_ae": {
        "code_dim": 3,
        "noise_dim": 2,
        "hidden": [96, 96],
        "critic_hidden": [16, 16],
        "critic_steps": 1,
        "post_width": 8,
        "post_window": 4,
        "latent_weight": 1.0,
    },
    "caloflow": {
        "energy_scale": 5000.0,
        "energy_blocks": 2,
        "energy_width": 16,
        "shape_blocks": 2,
        "shape_width": 24,
        "student": True,
    },
    "caloman": {"latent_dim": 3, "hidden": [16, 16], "flow_layers": 2, "flow_width": 8, "flow_blocks": 1},
    "cascade": {
        level: {"kind": "flow_matching", "width": 16, "blocks": 1, "steps": 2}
        for level in ("layers", "rings", "voxels")
    },
    "flow_matching": {"width": 16, "blocks": 1, "steps": 2, "student_strides": 2, "student_pairs": 1},
    "caloscore": {"channels": [4, 8, 8], "embedding": 8, "steps": 5, "log_prob_steps": 5},
    "calogan": {
        "unit": 10.0,
        "largest_energy": 10.0,
        "noise_dim": 8,
        "generator_channels": [4, 4, 2],
        "critic_channels": [4, 4, 4, 4],
        "minibatch_features": 2,
        "critic_rate": 1.0,
    },
    "gan": {"channels": [4, 8, 8], "embedding": 8, "noise_dim": 6, "minibatch_features": 2},
    "ddpm": {"network": "mlp", "width": 16, "blocks": 1, "embedding": 8, "timesteps": 5, "standardise": "each"},
    "consistency_training": {"width": 16, "blocks": 1, "first_times": 4, "last_times": 8},
    "ffjord": {"width": 16, "blocks": 1, "steps": 2},
    "l2lflows": {
        "energy_scale": 5000.0,
        "energy_blocks": 2,
        "energy_width": 16,
        "shape_blocks": 2,
        "shape_width": 24,
        "embedding": 4,
        "embedding_width": 16,
    },
    "mean_flow": {"width": 16, "blocks": 1, "steps": 2},
    "realnvp": {"layers": 3, "width": 16, "blocks": 1},
    "vae": {"code_dim": 3, "hidden": [16, 16]},
    "wgan_gp": {"channels": [4, 8, 8], "embedding": 8, "noise_numbers": 6},
}
"""Settings that make each model small; a registered model without an entry fails the first test."""

SETTINGS = StageSettings(epochs=1, batch_size=32, learning_rate=1e-3)

ON_VOXELS = {"caloflow", "calogan", "cascade", "l2lflows"}
"""Models whose features are the voxels in MeV, one per voxel of the geometry."""


@pytest.fixture(params=[kind for kind in MODELS if not MODELS.resolve(kind).takes_clouds])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def _make(kind: str, geometry: Geometry) -> ShowerModel:
    torch.manual_seed(0)
    cls = MODELS.resolve(kind)
    context = {"geometry": geometry} if wants_geometry(cls) else {}
    return cls(_features(kind, geometry), CONDITIONS, **SMALL[kind], **context)


def _features(kind: str, geometry: Geometry) -> int:
    return geometry.n_voxels if kind in ON_VOXELS else FEATURES


def _batch(features: int = FEATURES) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(BATCH, features, generator=generator), torch.rand(BATCH, CONDITIONS, generator=generator)


def test_has_small_settings_and_a_docstring(kind: str) -> None:
    assert kind in SMALL
    cls = MODELS.resolve(kind)
    assert cls.__doc__
    for name in settings_schema(cls).model_fields:
        assert f"{name}:" in cls.__doc__, f"the docstring of {kind} does not explain {name}"


def test_loss_is_one_finite_number_per_shower(kind: str, small_geometry: Geometry) -> None:
    loss = _make(kind, small_geometry).loss(*_batch(_features(kind, small_geometry)))
    assert loss.shape == (BATCH,)
    assert torch.isfinite(loss).all()


def test_gradient_reaches_every_parameter(kind: str, small_geometry: Geometry) -> None:
    model = _make(kind, small_geometry)
    with torch.no_grad():  # last layers may begin at zero, and would stop the gradient
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    x, c = _batch(_features(kind, small_geometry))
    reached: set[int] = set()
    for stage in model.stages():
        prepared = stage.prepare(ShowerDataset.of(x, c)).take(slice(None))
        model.zero_grad()
        stage.step(TrainingBatch(*prepared, 0), stage.optimizers(SETTINGS))
        reached |= {id(p) for p in stage.parameters if p.grad is not None and p.grad.abs().max() > 0}
    missed = [name for name, p in model.named_parameters() if id(p) not in reached]
    assert not missed


def test_sample_shape_seed_and_finiteness(kind: str, small_geometry: Geometry) -> None:
    model = _make(kind, small_geometry).eval()
    _, c = _batch()
    with torch.no_grad():
        first, again, other = (model.sample(c, torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert first.shape == (BATCH, _features(kind, small_geometry))
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_sample_leaves_the_global_random_state_alone(kind: str, small_geometry: Geometry) -> None:
    model = _make(kind, small_geometry).eval()
    before = torch.get_rng_state()
    with torch.no_grad():
        model.sample(_batch()[1], torch.Generator().manual_seed(1))
    assert torch.equal(before, torch.get_rng_state())


def test_saved_and_loaded_gives_the_same_showers(kind: str, small_geometry: Geometry, tmp_path: Path) -> None:
    model = _make(kind, small_geometry).eval()
    chain = [{"kind": "incident_energy_fraction", "maximum": 2.0}, {"kind": "append_deposited_energy"}]
    if kind in ON_VOXELS:
        chain = [{"kind": "readout_threshold"}]
    transforms = build_transforms(chain, small_geometry)
    saved = Simulator(small_geometry, transforms, model, {"recipe": "test"})
    saved.save(tmp_path / "run")
    loaded = Simulator.load(tmp_path / "run")
    energies = _batch()[1][:, 0].numpy() * 1000 + 1
    a, b = saved.generate(energies, seed=3), loaded.generate(energies, seed=3)
    assert (a.voxels == b.voxels).all()
    assert loaded.provenance["recipe"] == "test"


ADVERSARIAL = ("bib_ae", "gan", "calogan", "wgan_gp")
"""Models whose losses are those of a game: they rise again when the adversary learns."""


def test_training_lowers_the_loss(kind: str, small_geometry: Geometry) -> None:
    """Each stage ends its training better on held-out showers than it began; adversaries are better in between."""
    model = _make(kind, small_geometry)
    generator = torch.Generator().manual_seed(2)
    c = torch.rand(2048, CONDITIONS, generator=generator)
    features = _features(kind, small_geometry)
    together = torch.randn(2048, 1, generator=generator) * torch.linspace(-1, 1, features)  # something to learn
    x = 0.2 * c + 0.05 * (torch.randn(2048, features, generator=generator) + 2 * together)
    if kind in ON_VOXELS:
        x = c * 10 * torch.exp(4 * x)  # MeV
    settings = TrainingSettings(epochs=6, batch_size=64, learning_rate=3e-3, clip_norm=10, device="cpu")
    log = fit(model, (x[:1600], c[:1600]), (x[1600:], c[1600:]), settings)
    for stage in model.stages():
        losses = [record["validation_loss"] for record in log if record["stage"] == stage.name]
        assert (min(losses[1:]) if kind in ADVERSARIAL else losses[-1]) < losses[0]


def test_log_prob_and_decode_where_offered(kind: str, small_geometry: Geometry) -> None:
    model = _make(kind, small_geometry).eval()
    features = _features(kind, small_geometry)
    x, c = _batch(features)
    if callable(log_density := getattr(model, "log_prob", None)):
        log_prob = log_density(x, c)
        assert log_prob.shape == (BATCH,)
        assert torch.isfinite(log_prob).all()
    if isinstance(model, LatentModel):
        assert model.decode(torch.randn(BATCH, model.latent_dim), c).shape == (BATCH, features)
        z = torch.randn(BATCH, model.latent_dim, generator=torch.Generator().manual_seed(4))
        assert torch.equal(model.sample(c, torch.Generator().manual_seed(4)), model.decode(z, c))


def test_samples_without_the_parts_that_only_training_uses(kind: str, small_geometry: Geometry, tmp_path: Path) -> None:
    model = _make(kind, small_geometry).eval()
    simulator = Simulator(small_geometry, build_transforms([], small_geometry), model, {})
    c = torch.rand(4, CONDITIONS) + 1
    packed = save_packed(simulator, tmp_path, half=False).model
    assert set(left_out(packed)) == model.training_only()
    whole, without = (m.sample(c, torch.Generator().manual_seed(1)) for m in (model, packed))
    assert torch.equal(whole, without)
