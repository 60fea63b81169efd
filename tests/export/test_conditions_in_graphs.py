"""Exported graphs of runs with further conditions: what each consumer passes, what it cannot, and the cards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.export import barrel
from caloforge.export.card import card_path
from caloforge.export.ddml import export_ddml
from caloforge.export.engines import onnx_engine
from caloforge.export.formats import Mesh
from caloforge.export.graph import checked_graph, export_graph, make_format, target_of
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.inference import Batch, TorchEngine
from caloforge.inference.onnx_engine import onnx_session
from caloforge.models.caloman import CaloMan
from caloforge.models.cascade import Cascade
from caloforge.models.vae import VAE
from caloforge.simulator import Simulator
from caloforge.transforms import TrainedConditions, build_transforms

LOW, HIGH = 500.0, 8000.0

THETA = {"theta": [0.0, math.radians(60)]}


@pytest.fixture(autouse=True)
def _with_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")


def mesh(n_alpha: int = 4) -> Geometry:
    layers = tuple(Layer(k, (0, 5, 10, 15), n_alpha, z_edges=(3 * k, 3 * k + 3)) for k in range(3))
    return Geometry("mesh", layers, threshold=0.5)


def a_run(geometry: Geometry, columns: dict[str, Any], n: int = 2) -> Simulator:
    """CaloMan with random weights that knows conditions."""
    torch.manual_seed(1)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction", "maximum": 2.0}]
    transforms = build_transforms([*chain, {"kind": "linear_condition"}], geometry)
    ends = torch.tensor([[LOW], [HIGH]])
    transforms.fit(torch.ones(2, geometry.n_voxels), ends)
    known = TrainedConditions.of(Columns.of(columns, n))
    model = CaloMan(geometry.n_voxels, 1 + known.n_inputs, latent_dim=4, hidden=[16], flow_layers=2, flow_width=8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return Simulator(geometry, transforms, model.eval(), {"recipe": "tiny"}, (LOW, HIGH), known)


def a_run_with_noise(geometry: Geometry, columns: dict[str, Any], dimension: int) -> Simulator:
    """The same with a variational autoencoder, which takes any number of noise."""
    run = a_run(geometry, columns)
    n_conditions = 1 + run.conditions.n_inputs
    run.model = VAE(geometry.n_voxels, n_conditions, code_dim=dimension, hidden=[16], decoding="mean").eval()
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return run


def by_run(run: Simulator, noise: np.ndarray, energy: float, **conditions: float) -> np.ndarray:
    """(1, V) voxels of the run for given noise."""
    columns = run.conditions.checked(Columns.of(conditions, 1))
    given = run.conditions.inputs(torch.full((1, 1), energy), torch.from_numpy(run.conditions.values(columns)).float())
    with torch.no_grad():
        c = run.transforms.condition(given)
        return np.asarray(run.transforms.inverse(run.model.decode(torch.from_numpy(noise), c), c)[0])


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_the_generic_graph_has_an_input_for_each_condition(exporter: str, tmp_path: Path) -> None:
    columns = {"theta": [0.0, 1.0], "phi": [-3.1, 3.1], "pdg": [11, 22], "depth": [5.0, 5.0]}
    run = a_run(mesh(), columns)
    graph = export_graph(run, "onnx", tmp_path / "g.onnx", exporter=exporter)
    assert graph.parity.largest < 1e-5
    session = onnx_session(graph.content)
    assert [value.name for value in session.get_inputs()][2:] == ["incident_theta", "incident_phi", "incident_pdg"]
    card = json.loads(card_path(tmp_path / "g.onnx").read_text())
    assert [entry["name"] for entry in card["conditions"]] == ["theta", "phi", "pdg", "depth"]
    assert card["conditions"][3]["fixed"] == 5.0
    assert card["inputs"]["incident_theta"]["columns"][0]["unit"] == "rad"
    assert card["incidence"] == "theta 0 deg … 57.3 deg, phi -180 deg … 180 deg"


def test_onnxruntime_and_pytorch_generate_the_same(tmp_path: Path) -> None:
    run = a_run(mesh(), {"theta": [0.0, 1.0], "depth": [5.0, 5.0], "phi": [-3.1, 3.1]})
    energies, given = np.linspace(LOW, HIGH, 9), {"theta": np.linspace(0, 1, 9), "phi": np.linspace(-3, 3, 9)}
    first = run.generate(energies, 1, conditions=given)
    second = run.generate(energies, 1, engine=onnx_engine(run), conditions=given)
    assert first.voxels == pytest.approx(second.voxels, rel=1e-3, abs=1e-3 * HIGH)
    assert not np.allclose(first.voxels, run.generate(energies, 1, conditions={"theta": 0.0, "phi": 0.0}).voxels)
    values = run.conditions.values(run.conditions.checked(Columns.of(given, 9)))
    compiled = TorchEngine(run).generate(Batch(0, energies, 1, values))
    assert compiled.rows.shape == first.voxels.shape


def test_conditions_outside_their_range_are_clamped_in_a_graph(tmp_path: Path) -> None:
    run = a_run(mesh(), THETA)
    session = onnx_session(checked_graph(run, "onnx").content)
    noise, energy = np.random.default_rng(1).normal(size=(1, 4)).astype("f4"), np.full((1, 1), 1000.0, "f4")

    def voxels(theta: float) -> np.ndarray:
        return session.run(None, {"noise": noise, "incident_energy": energy, "incident_theta": [[np.float32(theta)]]})[
            0
        ]

    assert np.array_equal(voxels(math.radians(60)), voxels(1.5))


def test_a_fixed_condition_is_no_input(tmp_path: Path) -> None:
    run = a_run(mesh(), {**THETA, "depth": [1.0, 2.0]})
    graph = checked_graph(run, "onnx", fixed={"theta": 0.5})
    assert [value.name for value in onnx_session(graph.content).get_inputs()][2:] == ["incident_depth"]
    assert graph.card["conditions"][0]["fixed"] == 0.5
    with pytest.raises(CaloforgeError, match="does not know the condition warmth"):
        checked_graph(run, "onnx", fixed={"warmth": 0.5})
    with pytest.raises(CaloforgeError, match="theta of row 0 is 80"):
        checked_graph(run, "onnx", fixed={"theta": math.radians(80)})


# ---- Par04 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 30.0, 60.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_par04_passes_the_polar_angle(theta: float, side: int) -> None:
    """90 degrees from the beam is normal to the barrel; below, x' points the other way."""
    run = a_run(mesh(), THETA)
    graph = checked_graph(run, "par04")
    assert graph.form.ignored() == "geometry"
    noise = np.random.default_rng(1).normal(size=(1, 4)).astype("f4")
    row = np.concatenate([noise, [[2000 / 1_024_000, 1 + side * theta / 90, 0, 1]]], axis=1).astype("f4")
    (output,) = onnx_session(graph.content).run(None, {"input": row})
    found = Mesh.of(mesh(), "par04").from_consumer(output) * 2000
    expected = by_run(run, noise, 2000.0, theta=math.radians(theta))
    if side < 0 and theta > 0:
        expected = np.roll(expected.reshape(3, 4, 3), 2, axis=1).reshape(1, -1)
    assert found == pytest.approx(expected, abs=0.3)
    assert np.ptp(expected) > 3


def test_an_angle_that_is_ignored_is_said(tmp_path: Path) -> None:
    run = a_run(mesh(), {})
    run.provenance["training_angle_rad"] = 0.2
    run.save(tmp_path / "run")
    words = ["export", str(tmp_path / "run"), "--format", "par04", "-o", str(tmp_path / "g.onnx")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    note = "note: the graph ignores theta and geometry; incidence in training: 0.2 rad from the shower axis"
    assert note in " ".join(done.output.split())
    card = json.loads(card_path(tmp_path / "g.onnx").read_text())
    assert (card["ignored"], card["incidence"]) == ("theta and geometry", "0.2 rad from the shower axis")


def test_calodit2_passes_angles_from_the_normal_and_from_the_beam() -> None:
    geometry = load_geometry("ds2")
    graph = checked_graph(a_run(geometry, THETA), "calodit2", showers=4)
    assert graph.form.ignored() == "phi and geometry"
    polar = checked_graph(a_run(geometry, {"polar": [0.9, 2.2], "phi": [-3.1, 3.1]}), "calodit2", showers=4)
    assert polar.form.ignored() == "geometry"
    without = checked_graph(a_run(geometry, {}), "calodit2", showers=4)
    assert without.form.ignored() == "angles and geometry"
    assert "conditions" not in without.card


def test_half_a_circle_twice_is_nothing() -> None:
    run = a_run(mesh(), THETA)
    form = make_format("par04", target_of(run), {})
    voxels, polar = torch.rand(2, 36), torch.tensor([[1.0], [2.0]])
    once = barrel.turned(form.mesh, voxels, polar, form.target)  # type: ignore[attr-defined]
    assert torch.equal(once[1], voxels[1])
    assert not torch.equal(once[0], voxels[0])
    assert torch.equal(barrel.turned(form.mesh, once, polar, form.target), voxels)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("atlas", THETA, r"depend on theta, which the consumer of atlas does not pass: fix it .* or export onnx"),
        ("par04", {**THETA, "x": [0.0, 1.0]}, r"depend on x, which the consumer of par04"),
        ("par04", {**THETA, "phi": [-3.1, 3.1]}, r"azimuths \(phi\) around the normal"),
        ("par04", {"polar": [0.9, 2.2], "phi": [-3.1, 3.1]}, r"depend on phi, which the consumer of par04"),
    ],
)
def test_what_a_consumer_does_not_pass_is_one_line(name: str, columns: dict[str, Any], message: str) -> None:
    run, settings = a_run(mesh(), columns), {"limits": "trained"} if name == "atlas" else {}
    with pytest.raises(CaloforgeError, match=message) as caught:
        checked_graph(run, name, settings=settings)
    assert "\n" not in str(caught.value)
    fixed = {k: (v[0] + v[1]) / 2 for k, v in columns.items()}
    assert checked_graph(run, name, settings=settings, fixed=fixed).parity.showers == 256


def test_bins_of_alpha_that_cannot_be_turned() -> None:
    with pytest.raises(CaloforgeError, match="3 bins of alpha"):
        checked_graph(a_run(mesh(3), THETA), "par04")


def test_a_cascade_of_students_with_an_angle() -> None:
    """The rewritten forms of its levels, with sectors that are told where they are."""
    torch.manual_seed(2)
    small = {"kind": "flow_matching", "width": 16, "blocks": 1, "student_strides": 1, "student_pairs": 1}
    sectors = {**small, "network": "sectors"}
    geometry = mesh(8)
    model = Cascade(72, 2, geometry=geometry, layers=small, rings=small, voxels=sectors, hits=True, multipoles=sectors)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    known = TrainedConditions.of(Columns.of(THETA, 2))
    transforms = build_transforms([{"kind": "readout_threshold"}], geometry)
    run = Simulator(geometry, transforms, model.eval(), {"recipe": "tiny"}, (LOW, HIGH), known)
    given = {"theta": np.linspace(0, 1, 20)}
    voxels = run.generate(np.full(20, 2000.0), 1, conditions=given).voxels
    c = run.transforms.condition(torch.tensor([[2000.0, -0.5]]))
    assert torch.isfinite(model.decode(torch.randn(1, model.latent_dim), c)).all()
    assert np.isfinite(voxels).all()
    assert checked_graph(run, "onnx", showers=32).parity.typical < 1e-4


# ---- the command -----------------------------------------------------------------------------------------------------


def test_playback_takes_conditions(tmp_path: Path) -> None:
    run = a_run(mesh(), THETA)
    card = export_ddml(run, np.full(3, 1000.0), tmp_path / "s.h5", seed=1, grid="own", conditions={"theta": 0.5})
    assert card["incidence"] == "theta 0 deg … 60 deg"
    with pytest.raises(CaloforgeError, match="needs the condition theta"):
        export_ddml(run, np.full(3, 1000.0), tmp_path / "s.h5", seed=1, grid="own")


def test_the_command_fixes_conditions(tmp_path: Path) -> None:
    a_run(mesh(), THETA).save(tmp_path / "run")

    def invoke(*words: object) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", str(tmp_path / "run"), *map(str, words)])

    done = invoke("-f", "atlas", "--condition", "theta=30deg", "--set", "limits=trained", "-o", tmp_path / "a.onnx")
    assert done.exit_code == 0, (done.output, done.exception)
    card = json.loads(card_path(tmp_path / "a.onnx").read_text())
    assert card["conditions"][0]["fixed"] == pytest.approx(math.radians(30))
    for words, message in (
        (("-f", "atlas", "--set", "limits=trained"), "does not pass: fix it with --condition theta=VALUE"),
        (("-f", "onnx", "--condition", "theta=uniform:0:1"), "takes one value, as in theta=VALUE, not a law"),
        (("-f", "onnx", "--condition", "theta=30"), "degrees"),
        (("-f", "onnx", "--condition", "warm=1"), "does not know the condition warm"),
    ):
        failed = invoke(*words, "-o", tmp_path / "b.onnx")
        assert isinstance(failed.exception, CaloforgeError), failed.output
        assert message in str(failed.exception)
    words = ("-f", "ddml-hdf5", "--energies", "list:1GeV", "-n", 4, "--set", "grid=own")
    assert invoke(*words, "--condition", "theta=uniform:0:60deg", "-o", tmp_path / "s.h5").exit_code == 0
