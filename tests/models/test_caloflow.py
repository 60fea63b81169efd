"""CaloFlow: its published size, what its flows see, exact layer energies, its density, and student against teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.base import n_parameters
from caloforge.models.caloflow import CaloFlow
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.networks.made import AutoregressiveSpline
from caloforge.training import Callback, Trainer, TrainingSettings, fit, load_recipe

TINY: dict[str, Any] = {"energy_blocks": 2, "energy_width": 16, "shape_blocks": 2, "shape_width": 16}


def _tiny(layers: list[dict[str, Any]], **settings: Any) -> CaloFlow:
    torch.manual_seed(0)
    geometry = Geometry.from_dict({"name": "toy", "layers": layers})
    return CaloFlow(geometry.n_voxels, 1, geometry=geometry, **{**TINY, **settings})


def _ring(number: int, n_voxels: int) -> dict[str, Any]:
    return {"id": number, "r_edges": list(range(n_voxels + 1))}


def _shaken(model: CaloFlow, size: float) -> CaloFlow:
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += size * torch.randn_like(p)
    return model.eval()


def test_published_size() -> None:
    """37 914 414 numbers for CaloGAN's 504 voxels: 79 134 in flow I, 37 835 280 in flow II."""
    settings = {k: v for k, v in load_recipe("caloflow-calogan").model.items() if k != "kind"}
    model = CaloFlow(504, 1, geometry=load_geometry("calogan"), **settings)
    assert n_parameters([model.energies]) == 79_134
    assert n_parameters([model.shapes]) == 37_835_280
    assert n_parameters([model]) == 37_914_414


def test_the_papers_training() -> None:
    training = load_recipe("caloflow-calogan").training
    energies, shapes = training.for_stage("layer_energies"), training.for_stage("shapes")
    assert (energies.epochs, energies.batch_size, energies.learning_rate) == (75, 175, 1e-4)
    assert energies.halve_after == [5, 15, 40, 60]
    assert (shapes.epochs, shapes.batch_size, shapes.learning_rate, shapes.halve_after) == (100, 175, 1e-4, [50])
    assert shapes.select == "validation_loss"


def test_shape_features_by_hand() -> None:
    """Without noise: shares per layer in logit space, conditions from the layer energies."""
    model = _tiny([_ring(0, 2), _ring(1, 1)], noise=0.0, alpha=0.25)
    y, given = model._shape_features(torch.tensor([[30.0, 10.0, 60.0]]), torch.tensor([[1e4]]))
    p = torch.tensor([0.25 + 0.5 * 0.75, 0.25 + 0.5 * 0.25, 0.75])
    torch.testing.assert_close(y[0], torch.logit(p))
    expected = torch.tensor([0.0, *(torch.log10((torch.tensor([40.0, 60.0]) + 1e-3) / 1e5) + 2)])
    torch.testing.assert_close(given[0], expected)


def test_noise_is_drawn_anew_on_every_voxel_and_can_be_switched_off() -> None:
    x, c = torch.tensor([[30.0, 0.0, 60.0, 1.0]]), torch.tensor([[100.0]])
    layers = [_ring(0, 2), _ring(1, 2)]
    noisy = _tiny(layers, noise=1e-3)
    first, given = noisy._shape_features(x, c)
    second, again = noisy._shape_features(x, c)
    assert (first != second).all()
    assert torch.equal(given, again)  # conditions are those of the energies before the noise
    silent = _tiny(layers, noise=0.0)
    assert torch.equal(silent._shape_features(x, c)[0], silent._shape_features(x, c)[0])
    assert silent._shape_features(x, c)[0][0, 1] < -13.8  # the zero that the paper's Fig. 4 suffers from


def test_noise_on_empty_voxels_only() -> None:
    model = _tiny([_ring(0, 4)], noise=0.2, empty_below=1.0)
    x = torch.tensor([[30.0, 0.0, 0.9, 1.0]]).repeat(500, 1)
    emptied = model._emptied(x)
    assert emptied[0].tolist() == [30, 0, 0, 1]
    noisy = model._noisy(emptied)
    assert torch.equal(noisy[:, [0, 3]], x[:, [0, 3]])
    assert noisy[:, [1, 2]].max() <= 0.2
    assert noisy[:, [1, 2]].mean().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("settings", [{}, {"noise": 0.2, "empty_below": 1.0, "standardise": True, "marginals": True}])
def test_layers_without_energy_and_layers_of_one_voxel(settings: dict[str, Any]) -> None:
    """Losses stay finite and samples sum up exactly, whatever is empty."""
    model = _shaken(_tiny([_ring(0, 1), _ring(1, 5), _ring(2, 1)], student=True, **settings), 0.1)
    x = torch.zeros(40, 7)
    x[10:, 1:6] = 3 * torch.rand(30, 5, generator=torch.Generator().manual_seed(2))
    x[20:, 0], x[30:, 6] = 5.0, 2.0
    c = torch.full((40, 1), 50.0)
    for stage in model.stages():
        data = ShowerDataset.of(x, c)
        stage.fit(data)
        assert torch.isfinite(stage.loss(*stage.prepare(data).take(slice(None)))).all()
    with torch.no_grad():
        sample = model.sample(c, torch.Generator().manual_seed(0))
    assert torch.isfinite(sample).all()
    assert (sample >= 0).all()


@pytest.mark.parametrize("settings", [{}, {"noise": 0.2, "empty_below": 1.0}])
def test_samples_have_the_layer_energies_of_flow_one(settings: dict[str, Any]) -> None:
    model = _shaken(_tiny([_ring(0, 3), _ring(1, 1), _ring(2, 20)], **settings), 0.05)
    c = torch.full((300, 1), 4000.0)
    noise = torch.randn(300, model.latent_dim, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        voxels = model.decode(noise, c)
        other = noise.clone()
        other[:, model.n_layers :] = torch.randn(300, model.n_voxels, generator=torch.Generator().manual_seed(5))
        others = model.decode(other, c)
    # Other shapes, the same layer energies.
    assert not torch.allclose(voxels, others)
    torch.testing.assert_close(model.layers.sums(voxels), model.layers.sums(others), rtol=1e-4, atol=1e-4)
    if settings:
        assert voxels[voxels > 0].min() >= 1.0 - 1e-5  # so the readout threshold takes nothing more away


def test_wild_weights_never_give_nan() -> None:
    model = _shaken(_tiny([_ring(0, 3), _ring(1, 4)], student=True, standardise=True, marginals=True), 30.0)
    c = torch.logspace(1, 7, 200)[:, None]
    for by_student in (True, False):
        model.by_student = by_student
        with torch.no_grad():
            assert torch.isfinite(model.sample(c, torch.Generator().manual_seed(0))).all()


@pytest.mark.parametrize("layers", [[_ring(0, 2)], [_ring(0, 1), _ring(1, 1)]])
def test_density_in_mev_integrates_to_one(layers: list[dict[str, Any]]) -> None:
    """Two voxels, in one layer or in two: the sum of the density over a fine grid of v_1, v_2."""
    model = _shaken(_tiny(layers, energy_scale=1.5, bound=3.0).double(), 0.1)
    t = torch.linspace(-9, 9, 61, dtype=torch.float64)
    share = torch.sigmoid(t)
    weight = share * (1 - share) * (t[1] - t[0])
    total, part = torch.cartesian_prod(share, share).T  # v = 150 MeV total (part, 1 − part)
    x = 150 * total[:, None] * torch.stack([part, 1 - part], dim=1)
    volume = 150**2 * total * torch.cartesian_prod(weight, weight).prod(dim=1)
    with torch.no_grad():
        density = model.log_prob(x, torch.full((len(x), 1), 100.0, dtype=torch.float64), draws=16).exp()
    assert (density * volume).sum().item() == pytest.approx(1, abs=0.04)


def test_density_is_that_of_the_samples() -> None:
    """Two voxels of one layer: the density predicts how many samples have v_1 above v_2 and less than 60 MeV in all."""
    model = _shaken(_tiny([_ring(0, 2)], energy_scale=1.5, bound=3.0).double(), 0.2)
    c = torch.full((40_000, 1), 100.0, dtype=torch.float64)
    with torch.no_grad():
        sample = model.sample(c, torch.Generator().manual_seed(0))
    hit = (sample[:, 0] > sample[:, 1]) & (sample.sum(dim=1) < 60)
    total = torch.linspace(0.5, 59.5, 60, dtype=torch.float64)
    part = torch.linspace(0.5, 1, 51, dtype=torch.float64)[:-1] + 0.005
    grid_total, grid_part = torch.cartesian_prod(total, part).T
    x = grid_total[:, None] * torch.stack([grid_part, 1 - grid_part], dim=1)
    with torch.no_grad():
        density = model.log_prob(x, c[: len(x)], draws=16).exp()
    expected = (density * grid_total).sum().item() * (total[1] - total[0]).item() * 0.01
    assert hit.double().mean().item() == pytest.approx(expected, abs=0.015)


def test_no_density_without_energy_or_above_the_scale() -> None:
    model = _tiny([_ring(0, 1), _ring(1, 1)]).eval()
    x = torch.tensor([[0.0, 5.0], [80.0, 30.0], [30.0, 30.0]])
    log_prob = model.log_prob(x, torch.full((3, 1), 100.0))
    assert torch.isneginf(log_prob).tolist() == [True, True, False]


def test_student_with_the_perfect_weights_has_no_loss() -> None:
    """Where teacher and student do not look at features at all, the same weights are the same map."""
    model = _tiny([_ring(0, 6)], student=True, dropout=0.0)
    assert model.student is not None
    with torch.no_grad():
        for step in model.shapes.steps:
            if isinstance(step, AutoregressiveSpline):
                step.network.first.weight.zero_()
                step.network.last.bias += torch.randn_like(step.network.last.bias)
    x, c = 10 * torch.rand(32, 6), torch.full((32, 1), 100.0)
    stage = model.stages()[2]
    before = stage.loss(x, c)
    assert before.shape == (32,)
    stage.fit(ShowerDataset.of(x, c))
    assert stage.loss(x, c).max() < 1e-5 < before.min()


def test_the_students_training_leaves_the_teacher_alone() -> None:
    model = _tiny([_ring(0, 6)], student=True)
    stage = model.stages()[2]
    batch = TrainingBatch(10 * torch.rand(32, 6), torch.full((32, 1), 100.0), 0)
    losses = stage.step(batch, stage.optimizers(StageSettings(epochs=1, batch_size=32, learning_rate=1e-3)))
    torch.testing.assert_close(losses["loss"], (losses["x_loss"] + losses["z_loss"]) / 2)
    assert all(p.grad is None for p in [*model.shapes.parameters(), *model.outer.parameters()])
    assert all(p.requires_grad for p in model.shapes.parameters())
    assert model.shapes.training


def test_sampler_chooses_who_makes_the_shapes() -> None:
    c = torch.full((5, 1), 100.0)
    made = {}
    for name in ("auto", "student", "teacher"):
        model = _shaken(_tiny([_ring(0, 6)], student=True, sampler=name), 0.3)
        with torch.no_grad():
            made[name] = model.sample(c, torch.Generator().manual_seed(0))
    assert torch.equal(made["auto"], made["student"])
    assert not torch.equal(made["auto"], made["teacher"])


def test_energy_scale_from_the_training_set() -> None:
    x, c = torch.tensor([[30.0, 10.0], [100.0, 50.0]]), torch.tensor([[100.0], [100.0]])
    data, geometry = ShowerDataset.of(x, c), load_geometry("ds1-photons")
    assert CaloFlow.settings_from_data({"energy_scale": "auto"}, data, geometry)["energy_scale"] == pytest.approx(1.5)
    assert CaloFlow.settings_from_data({"energy_scale": 1.0}, data, geometry)["energy_scale"] == 1.0
    with pytest.raises(CaloforgeError, match="no training shower deposits any energy"):
        CaloFlow.settings_from_data({"energy_scale": "auto"}, ShowerDataset.of(0 * x, c), geometry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"energy_scale": "auto"}, "needs the training set"),
        ({"sampler": "student"}, "needs a student"),
        ({"noise": -1.0}, "must not be negative"),
        ({"energy_scale": 0.0}, "must not be negative, its energy_scale not zero"),
        ({"noise": 1.0, "empty_below": 0.5}, "must stay below empty_below"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        _tiny([_ring(0, 2)], **settings)


def test_other_features_than_the_voxels() -> None:
    with pytest.raises(CaloforgeError, match="leave only readout_threshold"):
        CaloFlow(369, 1, geometry=load_geometry("ds1-photons"))


def test_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in each of the three stages."""
    monkeypatch.setattr("caloforge.training.stage_run.CHECKPOINT_SECONDS", 0.0)
    x, c = 40 * torch.rand(32, 3), torch.full((32, 1), 100.0)
    chosen = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "device": "cpu", "select": "validation_loss"}
    settings = TrainingSettings(**chosen)  # type: ignore[arg-type]

    class Stop(Callback):
        def __init__(self, after: int) -> None:
            self.left = after

        def epoch_done(self, trainer: Trainer) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def model() -> CaloFlow:
        return _tiny([_ring(0, 2), _ring(1, 1)], student=True, standardise=True, marginals=True)

    whole = model()
    fit(whole, (x, c), (x, c), settings)
    for after in (2, 4, 6):
        with pytest.raises(KeyboardInterrupt):
            fit(model(), (x, c), (x, c), settings, checkpoint=tmp_path / "c.pt", callbacks=[Stop(after)])
        resumed = model()
        fit(resumed, (x, c), (x, c), settings, checkpoint=tmp_path / "c.pt", resume=True)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_learning_rate_is_halved_after_the_epochs_named() -> None:
    model = _tiny([_ring(0, 2)])
    x, c = 40 * torch.rand(32, 2), torch.full((32, 1), 100.0)
    settings = TrainingSettings(epochs=4, batch_size=16, learning_rate=1e-3, halve_after=[1, 3], device="cpu")
    log = fit(model, (x, c), (x, c), settings)
    rates = [record["learning_rate"] for record in log if record["stage"] == "shapes"]
    assert rates == [1e-3, 5e-4, 5e-4, 2.5e-4]
