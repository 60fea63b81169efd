"""Models that are told of conditions beyond the energy: every one of them, and runs trained with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from test_contract import BATCH, FEATURES, ON_VOXELS, SMALL

from caloforge.conditions import KNOWN, Columns, Condition
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.configured import wants_geometry
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.models import MODELS
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import StageSettings, TrainingBatch
from caloforge.showers import Showers
from caloforge.simulator import Simulator, generate
from caloforge.training import train
from caloforge.transforms import LinearCondition, TrainedConditions
from caloforge.transforms.trained_conditions import TrainedCondition

SETTINGS = StageSettings(epochs=1, batch_size=BATCH, learning_rate=1e-3)

RECIPE: dict[str, Any] = {
    "name": "angles",
    "transforms": [{"kind": "readout_threshold"}],
    "model": {"kind": "cascade", **SMALL["cascade"]},
    "training": {"epochs": 1, "batch_size": 64, "learning_rate": 1e-2, "device": "cpu"},
}


@pytest.mark.parametrize("kind", [kind for kind in MODELS if not MODELS.resolve(kind).takes_clouds])
def test_every_model_takes_further_conditions(kind: str, small_geometry: Geometry) -> None:
    """Gradients reach all parameters, and showers depend on the last condition."""
    torch.manual_seed(0)
    cls, features = MODELS.resolve(kind), small_geometry.n_voxels if kind in ON_VOXELS else FEATURES
    context = {"geometry": small_geometry} if wants_geometry(cls) else {}
    model = cls(features, 3, **SMALL[kind], **context)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    generator = torch.Generator().manual_seed(1)
    x, c = torch.rand(BATCH, features, generator=generator), torch.rand(BATCH, 3, generator=generator)
    reached: set[int] = set()
    for stage in model.stages():
        prepared = stage.prepare(ShowerDataset.of(x, c)).take(slice(None))
        stage.step(TrainingBatch(*prepared, 0), stage.optimizers(SETTINGS))
        reached |= {id(p) for p in stage.parameters if p.grad is not None and p.grad.abs().max() > 0}
    assert not [name for name, p in model.named_parameters() if id(p) not in reached]
    model.eval()
    with torch.no_grad():
        c[:, 0] += 1
        other = torch.cat([c[:, :2], c[:, 2:] + 1], dim=1)
        first, second = (model.sample(given, torch.Generator().manual_seed(2)) for given in (c, other))
    assert torch.isfinite(first).all()
    assert first.shape == (BATCH, features)
    assert not torch.equal(first, second)


def test_a_cascade_with_moments_is_told_where_its_sectors_are() -> None:
    geometry = Geometry("rings", tuple(Layer(k, (0, 10, 20), 8, z_edges=(k, k + 1.0)) for k in range(3)), threshold=0.1)
    small = {"kind": "flow_matching", "width": 16, "blocks": 1, "steps": 2}
    sectors = {**small, "network": "sectors", "student_strides": 1, "student_pairs": 1}
    settings = {"layers": small, "rings": small, "voxels": sectors, "multipoles": sectors, "hits": True}
    model = MODELS.resolve("cascade")(48, 2, geometry=geometry, **settings)
    x, c = 5 * torch.rand(40, 48), torch.cat([torch.full((40, 1), 200.0), torch.rand(40, 1)], dim=1)
    for stage in model.stages():
        stage.fit(ShowerDataset.of(x, c))
        with torch.no_grad():  # last layers begin at zero
            for parameter in stage.parameters:
                parameter += 0.1 * torch.randn_like(parameter)
        assert torch.isfinite(stage.loss(*stage.prepare(ShowerDataset.of(x, c)).take(slice(None)))).all()
    assert model.stages()[0].name == "deposited_velocity"
    model.eval()
    z = torch.randn(1, model.latent_dim).expand(2, -1)
    with torch.no_grad():
        a, b = model.decode(z, torch.tensor([[200.0, 0.0], [200.0, 1.0]]))
    assert torch.isfinite(a).all()
    assert not torch.equal(a, b)


# ---- what a run remembers --------------------------------------------------------------------------------------------


def test_inputs_of_a_model() -> None:
    columns = Columns(
        [KNOWN["theta"], KNOWN["phi"], KNOWN["pdg"], Condition("depth", "mm")],
        np.array([[0.0, -3.0, 11, 2.0], [1.0, 3.0, 22, 2.0], [0.5, 0.0, 11, 2.0]]),
    )
    known = TrainedConditions.of(columns)
    assert known.n_inputs == 1 + 2 + 2 + 0  # the depth is always the same
    found = known.inputs(torch.full((3, 1), 100.0), torch.from_numpy(columns.table).float())
    assert found[:, 0].tolist() == [100.0] * 3
    assert found[:, 1].tolist() == [-1, 1, 0]
    assert found[:, 2].numpy() == pytest.approx(np.sin(columns["phi"]), abs=1e-6)
    assert found[:, 3].numpy() == pytest.approx(np.cos(columns["phi"]), abs=1e-6)
    assert found[:, 4:].tolist() == [[1, 0], [0, 1], [1, 0]]
    again = TrainedConditions(tuple(TrainedCondition.from_dict(json.loads(json.dumps(p))) for p in known.to_list()))
    assert torch.equal(again.inputs(torch.ones(3, 1), torch.from_numpy(columns.table)[:, :4]).float(), _ones(found))
    assert known.examples(5).names == known.names


def _ones(found: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.ones(3, 1), found[:, 1:]], dim=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"needs the condition theta .* trained at 0 deg … 57.3 deg"),
        ({"theta": 1.2}, r"theta of row 0 is 68.75 deg, but the run was trained at 0 deg … 57.3 deg"),
        ({"theta": 0.5, "warmth": 1.0}, r"does not know the condition warmth; it knows theta, depth"),
        ({"theta": 0.5, "depth": 3.0}, r"depth of row 0 is 3, but the run was trained at 2"),
        ({"theta": 45}, r"theta of row 0 is 45, .* is it in degrees"),
    ],
)
def test_conditions_that_a_run_does_not_take(given: dict[str, Any], message: str) -> None:
    columns = Columns.of({"theta": [0.0, 1.0], "depth": 2.0}, 2)
    known = TrainedConditions.of(columns, ["phi"])
    assert known.checked(Columns.of({"theta": 1.01, "phi": 2.0}, 3)).names == ("theta", "depth", "phi")
    with pytest.raises(CaloforgeError, match=message) as caught:
        known.checked(Columns.of(given, 2))
    assert "--" not in str(caught.value)


def test_labels_have_known_values() -> None:
    known = TrainedConditions.of(Columns.of({"pdg": [11, 22, 11]}, 3))
    with pytest.raises(CaloforgeError, match="pdg of row 0 is 211, but the run was trained at 11, 22"):
        known.checked(Columns.of({"pdg": 211}, 1))
    with pytest.raises(CaloforgeError, match="pdg has 100 different values; a label has 64 at most"):
        TrainedConditions.of(Columns.of({"pdg": np.arange(100)}, 100))


def test_only_the_energy_is_scaled_linearly() -> None:
    c = torch.tensor([[100.0, 0.3], [300.0, -0.5]])
    scaling = LinearCondition().fit(torch.zeros(2, 1), c)
    assert scaling.condition(c).tolist() == [[0.0, pytest.approx(0.3)], [1.0, -0.5]]
    _, back = scaling.inverse(torch.zeros(2, 1), scaling.condition(c))
    assert torch.allclose(back, c)


# ---- runs ------------------------------------------------------------------------------------------------------------


def tilted(geometry: Geometry, n: int = 400, **attributes: Any) -> Showers:
    """Showers whose energy falls with the angle, and that do not depend on the azimuth."""
    rng = np.random.default_rng(3)
    energies, theta = rng.uniform(100, 400, n), rng.uniform(0, 1, n)
    response = (1 - 0.6 * theta) * rng.normal(1, 0.02, n)
    voxels = rng.dirichlet(np.full(geometry.n_voxels, 5.0), n) * (energies * response)[:, None]
    conditions = {"theta": theta, "phi": rng.uniform(-math.pi, math.pi, n)}
    return Showers(energies, voxels, geometry, attributes, conditions)


def test_a_run_learns_the_condition(small_geometry: Geometry, tmp_path: Path) -> None:
    showers = tilted(small_geometry, 2000, frame=f"{TURNING_FRAME} from the entry point", particle="e-")
    level = {"kind": "flow_matching", "width": 32, "blocks": 2, "steps": 4}
    model = {"kind": "cascade", "layers": level, "rings": level, "voxels": level}
    training = {**RECIPE["training"], "epochs": 15}
    recipe = {**RECIPE, "geometry": small_geometry.to_dict(), "model": model, "training": training}
    run = train(recipe, showers, tmp_path / "run")
    assert run.conditions.names == ("theta",)
    assert run.conditions.superfluous == ("phi",)
    loaded = Simulator.load(tmp_path / "run")
    assert loaded.conditions == run.conditions
    assert loaded.provenance["frame"].startswith(TURNING_FRAME)
    energies = np.full(500, 200.0)
    flat, steep = (loaded.generate(energies, 1, conditions={"theta": angle}) for angle in (0.05, 0.95))
    assert flat.deposited.mean() / 200 == pytest.approx(0.97, abs=0.05)
    assert steep.deposited.mean() / 200 == pytest.approx(0.43, abs=0.05)
    assert "theta 0.0" in repr(loaded)
    out = tmp_path / "g.h5"
    generate(loaded, energies[:50], out, seed=1, conditions={"theta": 0.5, "phi": np.linspace(-3, 3, 50)})
    written = Showers.read(out)
    assert written.conditions["theta"].tolist() == [0.5] * 50
    assert written.conditions["phi"] == pytest.approx(np.linspace(-3, 3, 50))
    with h5py.File(out) as file:
        assert file.attrs["frame"].startswith(TURNING_FRAME)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [("auto", ("theta", "phi")), ("none", ()), ("theta", ("theta",)), (["phi", "theta"], ("phi", "theta"))],
)
def test_recipes_choose_the_conditions(wanted: Any, names: tuple[str, ...], small_geometry: Geometry) -> None:
    """The mesh of these showers does not turn with the particle."""
    showers = tilted(small_geometry, 100)
    run = train({**RECIPE, "geometry": small_geometry.to_dict(), "conditions": wanted}, showers)
    assert run.conditions.names == names
    assert run.conditions.superfluous == ()


def test_runs_without_conditions_are_stored_as_before(small_showers: Showers, tmp_path: Path) -> None:
    train({**RECIPE, "geometry": small_showers.geometry.to_dict()}, small_showers, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "simulator.json").read_text())
    assert "conditions" not in stored
    assert "conditions" not in stored["provenance"]["recipe_yaml"]


def test_training_with_conditions_that_are_not_there(small_showers: Showers, tmp_path: Path) -> None:
    recipe = {**RECIPE, "geometry": small_showers.geometry.to_dict()}
    with pytest.raises(CaloforgeError, match=r"memory: the showers have no condition theta; .* none beyond the energy"):
        train({**recipe, "conditions": ["theta"]}, small_showers)
    showers = tilted(small_showers.geometry, 100)
    with pytest.raises(CaloforgeError, match=r"the showers have no condition theta"):
        train(recipe, showers, validation=small_showers)
    wrong = Columns([Condition("warmth", "K")], np.ones((100, 1)))
    mixed = Showers.unchecked(showers.energies, showers.voxels, showers.geometry, {}, wrong)
    other = Showers(showers.energies, showers.voxels, showers.geometry, {}, {"warmth": 1.0})
    with pytest.raises(CaloforgeError, match=r"warmth is in no unit, but in K in the training showers"):
        train(recipe, mixed, validation=other)


def test_conditions_change_the_fingerprint(small_geometry: Geometry) -> None:
    showers = tilted(small_geometry, 100)
    recipe = {**RECIPE, "geometry": small_geometry.to_dict()}
    prints = {
        train({**recipe, "conditions": wanted}, showers).provenance["training_fingerprint"]
        for wanted in ("none", "theta", "auto")
    }
    assert len(prints) == 3


def test_streams_select_and_resume_with_conditions(small_geometry: Geometry, tmp_path: Path) -> None:
    """Selection by separation power generates at the validation showers' conditions; scratch files hold them too."""
    tilted(small_geometry, 200).write(tmp_path / "train.h5")
    training = {**RECIPE["training"], "select": "separation_power", "select_showers": 30, "memory_gb": 0}
    recipe = {**RECIPE, "geometry": small_geometry.to_dict()}
    on_disk = train({**recipe, "training": training}, tmp_path / "train.h5", tmp_path / "run")
    in_memory = train({**recipe, "training": {**training, "memory_gb": None}}, tmp_path / "train.h5")
    energies, theta = np.full(20, 200.0), np.linspace(0, 1, 20)
    a, b = (r.generate(energies, 1, conditions={"theta": theta, "phi": 0.0}) for r in (on_disk, in_memory))
    assert a == b


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 2.0}, "is not a valid range"),
        ({"name": "a b"}, "not a valid name"),
        ({"unit": "deg"}, "theta is in deg"),
        ({"high": "x"}, "damaged"),
    ],
)
def test_damaged_runs_are_one_line(
    change: dict[str, Any], message: str, small_geometry: Geometry, tmp_path: Path
) -> None:
    showers = tilted(small_geometry, 100)
    train({**RECIPE, "geometry": small_geometry.to_dict(), "conditions": "theta"}, showers, tmp_path / "run")
    path = tmp_path / "run" / "simulator.json"
    stored = json.loads(path.read_text())
    stored["conditions"][0] |= change
    path.write_text(json.dumps(stored))
    with pytest.raises(CaloforgeError, match=message) as caught:
        Simulator.load(tmp_path / "run")
    assert "\n" not in str(caught.value)
