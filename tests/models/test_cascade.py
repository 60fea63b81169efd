"""Cascade: exact energies at all levels, an energy law it must learn, and settings of its levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.cascade import Cascade
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import TrainingSettings, fit
from caloforge.transforms import build_transforms

LEVEL: dict[str, Any] = {"kind": "flow_matching", "width": 32, "blocks": 2, "steps": 6}


def _small(geometry: Geometry, **settings: Any) -> Cascade:
    torch.manual_seed(1)
    return Cascade(
        geometry.n_voxels, 1, geometry=geometry, **{"layers": LEVEL, "rings": LEVEL, "voxels": LEVEL, **settings}
    )


def _tensors(showers: Showers) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]


def _law(geometry: Geometry, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Layers 1 and 7 share 90 MeV, and where the first gets more, its energy lies on one side of the circle."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 13), dtype=np.float32)
    share = rng.uniform(0.2, 0.8, n)
    x[:, 11] = 90 * (1 - share)
    side = np.where(share > 0.5, 0, 2)
    x[np.arange(n), 3 + 2 * side] = 90 * share
    return torch.from_numpy(x), torch.full((n, 1), 100.0)


def test_learns_what_depends_on_what(small_geometry: Geometry) -> None:
    model = _small(small_geometry)
    settings = TrainingSettings(
        epochs=12, batch_size=256, learning_rate=3e-3, schedule="cosine", device="cpu", ema=0.99
    )
    fit(model, *_law(small_geometry, 4000, 1), *_law(small_geometry, 500, 2), settings)
    with torch.no_grad():
        x = model.sample(torch.full((4000, 1), 100.0), torch.Generator().manual_seed(1))
    assert x.sum(dim=1).mean().item() == pytest.approx(90, abs=0.5)
    share = x[:, 3:11].sum(dim=1) / x.sum(dim=1)
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.std().item() == pytest.approx(0.6 / np.sqrt(12), abs=0.02)
    right = torch.where(share > 0.5, x[:, 3] > 0, x[:, 7] > 0)
    assert right.double().mean() > 0.93
    assert (x[:, [0, 1, 2, 12]] == 0).all()


def test_generated_showers_have_no_voxel_below_the_least(small_geometry: Geometry, small_showers: Showers) -> None:
    model = _small(small_geometry)
    x, c = _tensors(small_showers)
    fit(
        model,
        x[:500],
        c[:500],
        x[500:],
        c[500:],
        TrainingSettings(epochs=1, batch_size=100, learning_rate=1e-3, device="cpu"),
    )
    with torch.no_grad():
        made = model.sample(c, torch.Generator().manual_seed(1))
    assert torch.isfinite(made).all()
    assert (made > 0).any(dim=1).all()
    positive = made[made > 0]
    assert (positive > 0.5 * (1 - 1e-4)).double().mean() > 0.999


def test_tables_alone_give_the_deposited_energy(small_geometry: Geometry, small_showers: Showers) -> None:
    model = _small(small_geometry)
    x, c = _tensors(small_showers)
    fit(
        model,
        x[:500],
        c[:500],
        x[500:],
        c[500:],
        TrainingSettings(epochs=1, batch_size=100, learning_rate=1e-3, device="cpu"),
    )
    with torch.no_grad():
        made = model.sample(c.repeat(10, 1), torch.Generator().manual_seed(1))
    for energy in (100.0, 200.0, 400.0):
        true, new = (part.sum(dim=1) / energy for part in (x[c[:, 0] == energy], made[c.repeat(10, 1)[:, 0] == energy]))
        assert new.mean().item() == pytest.approx(true.mean().item(), abs=0.015)
        assert new.std().item() == pytest.approx(true.std().item(), rel=0.2)


def test_each_level_may_be_another_model(small_geometry: Geometry) -> None:
    caloman = {"kind": "caloman", "latent_dim": 2, "hidden": [8], "flow_layers": 2, "flow_width": 8, "flow_blocks": 1}
    model = _small(small_geometry, rings=caloman)
    assert [stage.name for stage in model.stages()] == [
        "layers_velocity",
        "rings_autoencoder",
        "rings_density",
        "voxels_velocity",
    ]
    x = model.sample(torch.full((5, 1), 100.0), torch.Generator().manual_seed(1))
    assert torch.isfinite(x).all()


def test_a_level_of_a_saved_run_may_take_other_settings(small_geometry: Geometry, tmp_path: Path) -> None:
    transforms = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    Simulator(small_geometry, transforms, _small(small_geometry)).save(tmp_path)
    loaded = Simulator.load(tmp_path, settings={"voxels": {"steps": 3, "solver": "euler"}})
    levels = loaded.model.models
    assert (levels["voxels"].steps, levels["voxels"].solver) == (3, "euler")
    assert (levels["rings"].steps, levels["rings"].solver) == (6, "heun")
    with pytest.raises(CaloforgeError, match="do not fit another voxels"):
        Simulator.load(tmp_path, settings={"voxels": {"width": 5}})


def test_sectors_come_from_the_geometry() -> None:
    model = _small(load_geometry("ds2"), voxels={**LEVEL, "network": "sectors"})
    assert model.models["voxels"].velocity.sectors == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rings": {"width": 3}}, "model.rings: missing key 'kind'"),
        ({"rings": {**LEVEL, "widht": 3}}, "model.rings: unknown key 'widht' .did you mean 'width'"),
        ({"layers": {"kind": "caloflow"}}, "cannot be a level of a cascade"),
        ({"layers": {"kind": "nothing"}}, "unknown model 'nothing'"),
        ({"knots": 1}, "knots .1."),
        ({"least": -1.0}, "least .-1 MeV."),
    ],
)
def test_refuses(small_geometry: Geometry, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        _small(small_geometry, **settings)


def test_refuses_transformed_features(small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match="leave only readout_threshold"):
        Cascade(14, 1, geometry=small_geometry)
