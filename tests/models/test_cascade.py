"""Cascade: exact energies at all levels, an energy law it must learn, and settings of its levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from caloforge.division.scaling import ConditionScaling
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.cascade import Cascade
from caloforge.models.dataset import ShowerDataset
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import TrainingSettings, check_stages, fit
from caloforge.transforms import build_transforms

LEVEL: dict[str, Any] = {"kind": "flow_matching", "width": 32, "blocks": 2, "steps": 6}


def _small(geometry: Geometry, **settings: Any) -> Cascade:
    torch.manual_seed(1)
    return Cascade(
        geometry.n_voxels, 1, geometry=geometry, **{"layers": LEVEL, "rings": LEVEL, "voxels": LEVEL, **settings}
    )


def _tensors(showers: Showers) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]


MULTIPOLES: dict[str, Any] = {"hits": True, "multipoles": {**LEVEL, "network": "sectors"}, "order": 1}


COPULA: dict[str, Any] = {**MULTIPOLES, "copula": True}


@pytest.fixture(params=[{}, {"hits": True}, MULTIPOLES, COPULA], ids=["", "hits", "multipoles", "copula"])
def fitted(small_geometry: Geometry, small_showers: Showers, request: pytest.FixtureRequest) -> Cascade:
    """Its tables are those of 500 of the small showers; the networks have hardly learnt anything."""
    model = _small(small_geometry, **request.param)
    x, c = _tensors(small_showers)
    settings = TrainingSettings(epochs=1, batch_size=100, learning_rate=1e-3, device="cpu")
    fit(model, (x[:500], c[:500]), (x[500:], c[500:]), settings)
    return model


def _law(geometry: Geometry, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Layers 1 and 7 share 90 MeV, and where the first gets more, its energy lies on one side of the circle."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 13), dtype=np.float32)
    share = rng.uniform(0.2, 0.8, n)
    x[:, 11] = 90 * (1 - share)
    side = np.where(share > 0.5, 0, 2)
    x[np.arange(n), 3 + 2 * side] = 90 * share
    return torch.from_numpy(x), torch.full((n, 1), 100.0)


@pytest.mark.parametrize(("hits", "epochs", "least"), [(False, 12, 0.93), (True, 20, 0.9)])
def test_learns_what_depends_on_what(small_geometry: Geometry, hits: bool, epochs: int, least: float) -> None:
    model = _small(small_geometry, hits=hits)
    settings = TrainingSettings(
        epochs=epochs, batch_size=256, learning_rate=3e-3, schedule="cosine", device="cpu", ema=0.99
    )
    fit(model, _law(small_geometry, 4000, 1), _law(small_geometry, 500, 2), settings)
    with torch.no_grad():
        x = model.sample(torch.full((4000, 1), 100.0), torch.Generator().manual_seed(1))
    assert x.sum(dim=1).mean().item() == pytest.approx(90, abs=0.5)
    share = x[:, 3:11].sum(dim=1) / x.sum(dim=1)
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.std().item() == pytest.approx(0.6 / np.sqrt(12), abs=0.02)
    right = torch.where(share > 0.5, x[:, 3] > 0, x[:, 7] > 0)
    assert right.double().mean() > least
    assert (x[:, [0, 1, 2, 12]] == 0).all()


def test_generated_showers_have_no_voxel_below_the_least(fitted: Cascade, small_showers: Showers) -> None:
    _, c = _tensors(small_showers)
    with torch.no_grad():
        made = fitted.sample(c, torch.Generator().manual_seed(1))
    assert torch.isfinite(made).all()
    assert (made > 0).any(dim=1).all()
    positive = made[made > 0]
    assert (positive > 0.5 * (1 - 1e-4)).double().mean() > 0.999


def test_tables_alone_give_the_deposited_energy(fitted: Cascade, small_showers: Showers) -> None:
    x, c = _tensors(small_showers)
    with torch.no_grad():
        made = fitted.sample(c.repeat(10, 1), torch.Generator().manual_seed(1))
    for energy in (100.0, 200.0, 400.0):
        true, new = (part.sum(dim=1) / energy for part in (x[c[:, 0] == energy], made[c.repeat(10, 1)[:, 0] == energy]))
        assert new.mean().item() == pytest.approx(true.mean().item(), abs=0.015)
        assert new.std().item() == pytest.approx(true.std().item(), rel=0.2)


def _log_normal(
    incident: list[float], mean: Callable[[np.ndarray], np.ndarray], width: Callable[[np.ndarray], np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 1) incident energies and (N, 1) others, 401 at each, whose log(1 + E/e₀) has that mean and width at e₀ = 0.5.

    The deviations at each energy are evenly spread quantiles: no luck of the draw in the truth.
    """
    z = scipy.stats.norm.ppf((np.arange(401) + 0.5) / 401)
    log_incident = np.repeat(np.log1p(np.array(incident) / 0.5), len(z))
    logs = mean(log_incident) + width(log_incident) * np.tile(z / z.std(), len(incident))
    energies = (0.5 * np.expm1(e) for e in (log_incident, logs))
    first, second = (torch.from_numpy(e).float()[:, None] for e in energies)
    return first, second


@pytest.mark.parametrize(
    ("mean", "width", "off"),
    [
        # A straight line bends nowhere, so it is found again everywhere, not only at the three energies.
        (lambda log: 0.5 + 0.7 * log, lambda log: 0.2 + 0 * log, 2e-3),
        (lambda log: 9 - 0.4 * log, lambda log: 0.1 + 0.05 * (log - 7), 0.08),
        # A parabola nearly: its curvature is 0.2, that of cubics through its three points (the way that bends least)
        # 0.3 in the middle and 0 at the ends, so that they are off by up to 0.05 · 4 log(8)² / 27 = 0.03 in 0.3.
        (lambda log: 1 + 0.1 * (log - 7) ** 2, lambda log: 0.3 + 0 * log, 0.11),
    ],
)
def test_scaling_between_three_incident_energies(
    mean: Callable[[np.ndarray], np.ndarray], width: Callable[[np.ndarray], np.ndarray], off: float
) -> None:
    """Eight knots, five of them without a shower near: known means come out as 0, a width above them as 1."""
    scaling = ConditionScaling(2, 0.5)
    seen = [1e3, 8e3, 64e3]
    scaling.fit(*_log_normal(seen, mean, width))
    log = np.log1p(np.geomspace(1e3, 64e3, 25) / 0.5)
    incident = torch.from_numpy(0.5 * np.expm1(log)).float()[:, None]
    for deviations in (-1, 0, 1):
        energies = torch.from_numpy(0.5 * np.expm1(mean(log) + deviations * width(log))).float()[:, None]
        scaled = scaling(incident, energies)
        torch.testing.assert_close(scaled[:, 1], torch.full((25,), float(deviations)), atol=off, rtol=0)
    # E_inc itself keeps the scale of all showers, by which it tells the energies apart.
    places = np.log1p(np.array(seen) / 0.5)
    expected = torch.from_numpy((log - places.mean()) / places.std()).float()
    torch.testing.assert_close(scaled[:, 0], expected, atol=2e-3, rtol=0)


def test_scaling_keeps_to_the_widths_it_has_seen() -> None:
    """A width that falls from 1 to 0.1 at once stays between the two on the way, and is itself at the energies seen."""

    def width(log: np.ndarray) -> np.ndarray:
        return np.where(log < 8, 1.0, 0.1)

    scaling = ConditionScaling(2, 0.5)
    scaling.fit(*_log_normal([1e3, 8e3, 64e3], lambda log: 5 + 0 * log, width))
    assert (scaling.width[:, 1] > 0.099).all()
    assert (scaling.width[:, 1] < 1.001).all()
    place = scaling._weights(torch.tensor([1e3, 8e3, 64e3])[:, None].div(0.5).log1p())
    torch.testing.assert_close((place @ scaling.width)[:, 1], torch.tensor([1.0, 0.1, 0.1]), rtol=0.02, atol=0)


def test_scaling_of_one_incident_energy_is_finite_at_others() -> None:
    scaling = ConditionScaling(2, 0.5)
    incident, energies = _log_normal([8e3], lambda log: log - 1, lambda log: 0.2 + 0 * log)
    scaling.fit(incident, energies)
    at = scaling(incident, energies)
    assert at[:, 1].mean().item() == pytest.approx(0, abs=2e-3)
    assert at[:, 1].std().item() == pytest.approx(1, abs=5e-3)
    assert torch.isfinite(scaling(torch.tensor([[1.0], [8e4]]), torch.tensor([[0.0], [1e5]]))).all()


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
    for wrong, message in (
        ({"voxels": {"width": 5}}, "model.voxels.width is fixed"),
        ({"least": 1e-3}, "model.least is fixed"),
        ({"steps": 3}, "unknown key 'steps'.*: layers.solver, layers.steps, .*voxels.steps"),
    ):
        with pytest.raises(CaloforgeError, match=message):
            Simulator.load(tmp_path, settings=wrong)


def test_sectors_come_from_the_geometry() -> None:
    model = _small(load_geometry("ds2"), voxels={**LEVEL, "network": "sectors"})
    assert model.models["voxels"].velocity.sectors == 16


def test_a_cartesian_geometry_has_no_moments() -> None:
    model = _small(load_geometry("calogan"), least=0.1, **{**MULTIPOLES, "order": 2})
    assert model.moments is None
    assert [name for name, _ in model.level_models()] == ["layers", "rings", "voxels"]
    assert {"multipoles_velocity", "deposited_velocity"} <= model.absent_stages()
    check_stages(
        model,
        TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-3, stages={"multipoles_velocity": {"epochs": 1}}),
    )
    with pytest.raises(CaloforgeError, match="unknown key 'moments_velocity'"):
        check_stages(
            model,
            TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-3, stages={"moments_velocity": {"epochs": 1}}),
        )


def test_least_without_a_threshold_is_a_quantile_of_the_training_set(small_geometry: Geometry) -> None:
    """Voxels of 1 … 1000 MeV: all but 0.1 % of them exceed 1 + 0.001 · 999 MeV."""
    geometry, x = load_geometry("calogan"), torch.zeros(4, 504)
    x.view(-1)[:2000:2] = torch.arange(1.0, 1001.0)
    data = ShowerDataset.of(x, torch.full((4, 1), 1e5))
    assert Cascade.settings_from_data({"least": 0.0}, data, geometry)["least"] == pytest.approx(1.999)
    assert Cascade.settings_from_data({"least": 0.5}, data, geometry)["least"] == 0.5
    assert Cascade.settings_from_data({"least": 0.0}, data, small_geometry)["least"] == 0
    with pytest.raises(CaloforgeError, match="no training shower deposits any energy"):
        Cascade.settings_from_data({"least": 0.0}, ShowerDataset.of(0 * x, torch.ones(4, 1)), geometry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rings": {"width": 3}}, "model.rings: missing key 'kind'"),
        ({"rings": {**LEVEL, "widht": 3}}, "model.rings: unknown key 'widht' .did you mean 'width'"),
        ({"layers": {"kind": "caloflow"}}, "cannot be a part of another model"),
        ({"layers": {"kind": "nothing"}}, "unknown model 'nothing'"),
        ({"knots": 1}, "knots .1."),
        ({"least": -1.0}, "least .-1 MeV."),
        ({**MULTIPOLES, "hits": False}, "set hits to true"),
        ({**MULTIPOLES, "corrections": -1}, "corrections .-1."),
        ({**MULTIPOLES, "order": 2}, "order 2.*'small'"),
    ],
)
def test_refuses(small_geometry: Geometry, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        _small(small_geometry, **settings)


def test_numbers_of_hits_belong_to_the_level_above() -> None:
    """ds1-photons: 5 layers and 53 rings to draw, 5 + 35 numbers of hits, 350 voxels, and the deposited energy."""
    geometry = load_geometry("ds1-photons")
    sizes = {name: model.latent_dim for name, model in _small(geometry, hits=True).level_models()}
    assert sizes == {"layers": 5 + 5, "rings": 53 + 35, "voxels": 350}
    assert _small(geometry, hits=True).latent_dim == 1 + 10 + 88 + 350
    assert _small(geometry).latent_dim == 1 + 5 + 53 + 350


def test_a_network_of_layers_knows_which_layer_each_number_is_of(small_geometry: Geometry) -> None:
    """Layer by layer in ds1-photons: 8, 16, 19, 5 and 5 rings, of which layers 1 and 2 have voxels to count."""
    network = {**LEVEL, "network": "layers"}
    model = _small(load_geometry("ds1-photons"), layers=network, rings=network, hits=True)
    layers = model._layers_of([*model.hierarchy][1])
    assert layers == {"layer_of_feature": [*range(5), *range(5)], "layer_of_condition": [-1, -1]}
    rings = model._layers_of([*model.hierarchy][2])
    by_layer = [rings["layer_of_feature"].count(k) for k in range(5)]
    assert by_layer == [8, 16 + 16, 19 + 19, 5, 5]
    assert rings["layer_of_condition"] == [-1, *range(5), *range(5)]
    assert model.sample(torch.full((3, 1), 4096.0)).shape == (3, 368)
    with pytest.raises(CaloforgeError, match=r"network 'layers' is for the levels layers and rings"):
        _small(small_geometry, voxels=network)


def test_moments_are_a_level_before_the_voxels() -> None:
    """Two layers of 35 rings in ten sectors: a field of 20 numbers, and 2 + 35 conditions of each sector of voxels."""
    model = _small(load_geometry("ds1-photons"), **{**MULTIPOLES, "voxels": {**LEVEL, "network": "sectors"}})
    sizes = {name: level.latent_dim for name, level in model.level_models()}
    assert [*sizes] == ["layers", "rings", "multipoles", "voxels"]
    assert sizes["multipoles"] == 20
    assert model.models["voxels"].velocity.first.in_features == 35 + 2 + 35
    assert model.latent_dim == 1 + 10 + 88 + 20 + 350
    names = [stage.name for stage in model.stages()]
    assert names == ["layers_velocity", "rings_velocity", "multipoles_velocity", "voxels_velocity"]


@pytest.mark.parametrize("change", ["turned", "mirrored"])
def test_showers_turn_and_are_mirrored_with_the_noise(change: str) -> None:
    """That of the moments and that of the voxels, which come sector by sector."""
    geometry = load_geometry("ds1-photons")
    level = {**LEVEL, "network": "sectors"}
    model = _small(geometry, hits=True, multipoles=level, voxels=level)
    with torch.no_grad():
        for parameter in model.models.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    z, c = torch.randn(50, model.latent_dim), torch.full((50, 1), 4096.0)

    def changed(sectors: torch.Tensor) -> torch.Tensor:
        return sectors.roll(3, dims=1) if change == "turned" else sectors.flip(1)

    above, field, voxels = z.split([99, 20, 350], dim=1)
    new = torch.cat([above, *(changed(part.view(50, 10, -1)).flatten(1) for part in (field, voxels))], dim=1)
    with torch.no_grad():
        x, y = model.decode(z, c), model.decode(new, c)
    for position in (1, 2):
        part = geometry.slices[position]
        x[:, part] = changed(x[:, part].view(50, 10, -1)).flatten(1)
    # Rounding may turn the order of two voxels, one of which is hit; rarely.
    assert ((x - y).abs().amax(dim=1) < 1e-3 * 4096).double().mean() > 0.9


def test_corrections_bring_the_moments_drawn() -> None:
    """Before any training networks move nothing, so that voxels know of the moments by the corrections alone."""
    geometry = load_geometry("ds1-photons")
    level = {**LEVEL, "network": "sectors"}
    agreement = []
    z, c = torch.randn(500, 469, generator=torch.Generator().manual_seed(1)), torch.full((500, 1), 4096.0)
    for corrections in (0, 1, 2):
        model = _small(geometry, hits=True, multipoles=level, voxels=level, corrections=corrections)
        moments = model.moments
        assert moments is not None
        assert "corrections" in model.sampling_settings()
        with torch.no_grad():
            energies = model.hierarchy.energies(model.decode(z, c), c)
        wanted = moments.modes(z[:, 99:119])
        found, present = moments.moments(*model.for_moments(energies))
        agreement.append(torch.corrcoef(torch.stack([wanted[present].flatten(), found[present].flatten()]))[0, 1])
    assert abs(agreement[0]) < 0.1
    assert agreement[1] > 0.4
    assert agreement[2] > agreement[1] + 0.03


def test_refuses_transformed_features(small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match="leave only readout_threshold"):
        Cascade(14, 1, geometry=small_geometry)
