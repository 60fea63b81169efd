"""Graphs against PyTorch, axis orders against each other, and cards that say what is in a file."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from caloforge.configured import wants_geometry
from caloforge.errors import CaloforgeError
from caloforge.export import GRAPHS
from caloforge.export.atlas import alpha_inner
from caloforge.export.card import card_path
from caloforge.export.engines import make_engine, onnx_engine
from caloforge.export.formats import GraphFormat, Mesh, Target
from caloforge.export.graph import GeneratorGraph, checked_graph, decoder_of, export_graph, target_of, traced
from caloforge.export.parity import TOLERANCE
from caloforge.export.tracing import to_onnx
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.inference import Batch, TorchEngine
from caloforge.inference.onnx_engine import OnnxEngine, onnx_session
from caloforge.models import MODELS
from caloforge.models.caloflow import CaloFlow
from caloforge.models.caloman import CaloMan
from caloforge.models.cascade import Cascade
from caloforge.models.dataset import ShowerDataset
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.transforms import Compose, build_transforms
from caloforge.transforms.logit import inverse_logit
from models.test_contract import SMALL
from own_model import GaussianPerFeature

LOW, HIGH = 500.0, 8000.0

BY_HAND = [0, 1, 2, 3, 5, 7, 9, 4, 6, 8, 10, 11, 12]
"""Layer 0 has 3 voxels of one alpha bin; layer 1 has r bins (0, 1) of four alpha bins, alpha now inner."""


@pytest.fixture(autouse=True)
def _with_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")


def chain(threshold: float = 0.5) -> list[dict[str, Any]]:
    return [
        {"kind": "readout_threshold", "value": threshold},
        {"kind": "incident_energy_fraction", "maximum": 2.0},
        {"kind": "append_deposited_energy", "rescale": True},
        {"kind": "linear_condition"},
    ]


def fitted(specification: list[dict[str, Any]], geometry: Geometry) -> Compose:
    c = torch.tensor([[LOW], [HIGH]])
    return build_transforms(specification, geometry).fit(torch.ones(2, geometry.n_voxels), c)


def simulator(geometry: Geometry, **settings: Any) -> Simulator:
    torch.manual_seed(3)
    sizes = {"latent_dim": 4, "hidden": [12, 12], "flow_layers": 2, "flow_width": 8, "flow_blocks": 1, **settings}
    model = CaloMan(geometry.n_voxels + 1, 1, **sizes).eval()
    model.scale.fill_(1.7)
    with torch.no_grad():
        model.autoencoder.decoder[-1].bias += 0.4  # so that every shower deposits some energy
    facts = {"energy_range_mev": [LOW, HIGH], "weights_sha256": "0" * 64, "recipe": "r", "particle": "e-"}
    return Simulator(geometry, fitted(chain(), geometry), model, facts)


def mesh_geometry() -> Geometry:
    return load_geometry("ds2")


def run(path: Path, *inputs: np.ndarray) -> np.ndarray:
    opened = onnx_session(path.read_bytes())
    return opened.run(None, {i.name: part for i, part in zip(opened.get_inputs(), inputs, strict=True)})[0]


def some_input(form: GraphFormat, energies: list[float]) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    e = torch.tensor(energies)[:, None]
    noise = torch.randn(len(e), form.noise_size, generator=torch.Generator().manual_seed(5))
    return noise, e, [part.numpy() for part in form.inputs(noise, e)]


def expected(subject: Simulator, noise: torch.Tensor, energies: torch.Tensor) -> np.ndarray:
    """Voxels in MeV by the model and transforms as they are trained."""
    with torch.no_grad():
        c = subject.transforms.condition(energies.clamp(LOW, HIGH))
        return subject.transforms.inverse(subject.model.decode(noise, c), c)[0].numpy()  # type: ignore[operator]


@pytest.mark.parametrize("exporter", [pytest.param("dynamo", marks=pytest.mark.slow), "legacy"])
def test_the_generic_graph_gives_what_pytorch_gives(exporter: Any, small_geometry: Geometry, tmp_path: Path) -> None:
    subject, path = simulator(small_geometry), tmp_path / "g.onnx"
    parity = export_graph(subject, "onnx", path, exporter=exporter, showers=40).parity
    assert parity.largest <= 1e-5
    assert parity.typical <= parity.largest
    noise, energies, fed = some_input(GRAPHS.resolve("onnx")(target_of(subject)), [400.0, 900.0, 5000.0, 9e4])
    made, wanted = run(path, *fed), expected(subject, noise, energies)
    same_side = (made == 0) == (wanted == 0)
    np.testing.assert_allclose(made[same_side], wanted[same_side], atol=0.05)
    assert same_side.mean() > 0.99
    assert ((made == 0) | (made >= 0.5)).all()
    # Any number of showers, and one at a time gives the same.
    alone = np.concatenate([run(path, *(part[k : k + 1] for part in fed)) for k in range(4)])
    np.testing.assert_allclose(alone, made, atol=0.01)


def test_energies_outside_the_training_range_are_moved_to_its_ends(small_geometry: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    export_graph(simulator(small_geometry), "onnx", path, exporter="legacy", showers=8)
    noise = np.ones((1, 4), dtype=np.float32)
    at = {e: run(path, noise, np.array([[e]], dtype=np.float32)) for e in (1.0, LOW, LOW * 1.5, HIGH, 1e7)}
    np.testing.assert_array_equal(at[1.0], at[LOW])
    np.testing.assert_array_equal(at[1e7], at[HIGH])
    assert not np.allclose(at[LOW], at[LOW * 1.5])


def test_atlas_names_noise_and_energy_as_documented(small_geometry: Geometry, tmp_path: Path) -> None:
    """FastCaloSim's names and limits: mycond is 0 at 64 MeV and 1 at 4096 MeV."""
    subject, path = simulator(small_geometry), tmp_path / "a.onnx"
    with pytest.raises(CaloforgeError, match=r"asks for 64 to 4096 MeV, but the run was trained on 500 to 8000 MeV"):
        export_graph(subject, "atlas", path)
    export_graph(subject, "atlas", path, showers=16, settings={"uncovered": True})
    opened = onnx_session(path.read_bytes())
    assert [i.name for i in opened.get_inputs()] == ["Noise", "mycond"]
    fed = torch.randn(1, 4, generator=torch.Generator().manual_seed(5))
    for asked in (2000.0, 600.0, 64.0):
        position = np.array([[(np.log2(asked) - 6) / 6]], dtype=np.float32)
        found = opened.run(None, {"Noise": (fed * 0.5 + 0.5).numpy(), "mycond": position})[0]
        inside = torch.tensor([[max(asked, LOW)]])
        np.testing.assert_allclose(found, expected(subject, fed, inside)[:, BY_HAND] / inside.numpy(), atol=1e-4)
    names = {"noise": "node_0", "condition": "node_1", "limits": "trained"}
    export_graph(subject, "atlas", path, exporter="legacy", showers=16, settings=names)
    opened = onnx_session(path.read_bytes())
    assert [i.name for i in opened.get_inputs()] == ["node_0", "node_1"]
    noise = torch.randn(5, 4, generator=torch.Generator().manual_seed(5))
    energy = torch.tensor([[2000.0]]).repeat(5, 1)
    node_0 = (noise * 0.5 + 0.5).numpy()
    node_1 = np.full((5, 1), np.log(2000 / LOW) / np.log(HIGH / LOW), dtype=np.float32)
    fractions = opened.run(None, {"node_0": node_0, "node_1": node_1})[0]
    wanted = expected(subject, noise, energy) / 2000
    np.testing.assert_allclose(fractions, wanted[:, BY_HAND], atol=1e-4)


def test_mesh_formats_agree_with_pytorch_and_ship_what_was_asked(tmp_path: Path) -> None:
    subject = simulator(mesh_geometry())
    parity = export_graph(subject, "par04", tmp_path / "p.onnx", exporter="legacy", showers=12).parity
    assert parity.largest <= TOLERANCE
    form = GRAPHS.resolve("par04")(target_of(subject))
    noise, energies, (vectors,) = some_input(form, [1000.0])
    assert vectors.shape == (1, 4 + 4)
    assert vectors[0, 4] == pytest.approx(1000 / 1_024_000)
    (shape,) = [i.shape for i in onnx_session((tmp_path / "p.onnx").read_bytes()).get_inputs()]
    assert shape == [1, 8]
    made = run(tmp_path / "p.onnx", vectors).reshape(9, 16, 45)
    wanted = expected(subject, noise, energies).reshape(45, 16, 9) / 1000
    np.testing.assert_allclose(made, wanted.transpose(2, 1, 0), atol=1e-4)


def test_calodit2_draws_its_noise_inside(tmp_path: Path) -> None:
    subject, path = simulator(mesh_geometry()), tmp_path / "c.onnx"
    parity = export_graph(subject, "calodit2", path, exporter="legacy", showers=12).parity
    assert parity.largest <= TOLERANCE
    opened = onnx_session(path.read_bytes())
    assert [(i.name, i.shape) for i in opened.get_inputs()] == [("input", [1, 8])]
    assert [o.shape for o in opened.get_outputs()] == [[1, 6480]]
    # Two sessions of one process, as Par04's threads have: no two showers may be equal, apart from empty ones.
    sessions = opened, onnx_session(path.read_bytes())
    at_2_gev = np.array([[2.0, 0, 0, 0, 0, 0, 0, 1]], dtype=np.float32)
    made = np.concatenate([session.run(None, {"input": at_2_gev})[0] for _ in range(30) for session in sessions])
    lit = made[made.any(axis=1)]
    assert len(lit) >= 50
    assert len(np.unique(lit, axis=0)) == len(lit)
    energies = np.full(400, 2000.0)
    deposited = subject.generate(energies, seed=1).deposited / 1000  # GeV
    error = deposited.std() * (1 / 60 + 1 / 400) ** 0.5
    assert abs(made.sum(axis=1).mean() - deposited.mean()) < 5 * error


@pytest.mark.parametrize(("asked", "shower_at"), [(0.01, LOW), (2.0, 2000.0), (1000.0, HIGH)])
def test_calodit2_scales_showers_outside_the_training_range(asked: float, shower_at: float) -> None:
    form = GRAPHS.resolve("calodit2")(Target(mesh_geometry(), 6, LOW, HIGH))
    voxels = torch.rand(1, 6480)
    written = form.write(voxels, torch.tensor([[shower_at]]), torch.tensor([[1000 * asked]]))
    assert float(written.sum()) == pytest.approx(float(voxels.sum()) / shower_at * asked, rel=1e-5)


@pytest.mark.parametrize("name", ["par04", "calodit2"])
def test_macros_set_what_the_graph_needs(name: str, tmp_path: Path) -> None:
    export_graph(simulator(mesh_geometry()), name, tmp_path / "g.onnx", showers=4)
    lines = [line.split() for line in (tmp_path / "g.mac").read_text().splitlines() if line.startswith("/")]
    commands = {line[0]: " ".join(line[1:]) for line in lines}
    for room in ("mesh", "inference"):
        cells = {key: commands[f"/Par04/{room}/setNbOf{key}Cells"] for key in ("Rho", "Phi", "Z")}
        assert cells == {"Rho": "9", "Phi": "16", "Z": "45"}
        assert commands[f"/Par04/{room}/setSizeOfRhoCells"] == "4.65 mm"
        assert commands[f"/Par04/{room}/setSizeOfZCells"] == "3.4 mm"
    assert commands["/Par04/inference/setModelPathName"] == "g.onnx"
    assert commands["/Par04/inference/setModelType"] == {"par04": "VAE", "calodit2": "CaloDiT-2"}[name]
    assert commands.get("/Par04/inference/setSizeLatentVector") == {"par04": "4", "calodit2": None}[name]
    assert LOW < 1000 * float(commands["/gun/energy"].split()[0]) < HIGH
    models = [line[1] for line in lines if line[0] == "/param/ActivateModel"]
    assert models == ["defineMesh", "inferenceModel"]
    assert json.loads(card_path(tmp_path / "g.onnx").read_text())["other_files"] == ["g.mac"]


def uneven(r_edges: tuple[float, ...], depths: tuple[float, ...] = (3.0, 3.0)) -> Geometry:
    ends = [float(sum(depths[:k])) for k in range(len(depths) + 1)]
    layers = (Layer(k, r_edges, 4, z_edges=(ends[k], ends[k + 1])) for k in range(len(depths)))
    return Geometry("uneven", tuple(layers), threshold=0.1)


@pytest.mark.parametrize(
    ("geometry", "named"),
    [
        (uneven((0, 1, 5, 20, 60)), "r edge 1 mm .* 15 mm"),
        (uneven((10, 20, 30)), "r edge 10 mm .* 0 mm"),
        (uneven((0, 10, 20), (3.0, 7.0, 40.0)), "layer 1 .* 7 mm deep, layer 0 3 mm"),
    ],
)
def test_meshes_that_are_not_uniform_are_refused(geometry: Geometry, named: str) -> None:
    with pytest.raises(CaloforgeError, match=named):
        GRAPHS.resolve("par04")(Target(geometry, 3, LOW, HIGH))
    Mesh.of(geometry, "ddml-hdf5")


def test_operator_set_scale_and_shapes(small_geometry: Geometry, tmp_path: Path) -> None:
    subject = simulator(small_geometry)
    plain = export_graph(subject, "onnx", tmp_path / "g.onnx", showers=8)
    assert plain.card["opset"] == 16
    assert plain.card["onnxruntime"]["oldest"] == "1.11"
    assert plain.card["ignored"] == ""
    assert [o.shape[1] for o in onnx_session(plain.content).get_outputs()] == [13]
    assert checked_graph(subject, "onnx", opset=17, showers=8).card["opset"] == 17
    with pytest.raises(CaloforgeError, match="opset=9: the legacy exporter writes 13 to 20"):
        checked_graph(subject, "onnx", opset=9)
    with pytest.raises(CaloforgeError, match="colour is not a setting of the format onnx; it has none"):
        checked_graph(subject, "onnx", settings={"colour": "red"})
    scaled = checked_graph(subject, "onnx", scale=0.033, showers=8)
    assert scaled.card["scale"] == 0.033
    fed = {"noise": np.ones((1, 4), np.float32), "incident_energy": np.array([[1000.0]], np.float32)}
    first, second = (onnx_session(each.content).run(None, fed)[0] for each in (plain, scaled))
    np.testing.assert_allclose(second, 0.033 * first, rtol=1e-5)


@pytest.mark.parametrize(("n_z", "n_alpha", "n_r"), [(2, 3, 4), (45, 16, 9), (1, 1, 5)])
def test_axis_orders_round_trip(n_z: int, n_alpha: int, n_r: int) -> None:
    mesh = Mesh(n_z, n_alpha, n_r)
    voxels = np.random.default_rng(1).random((3, n_z * n_alpha * n_r))
    out = mesh.to_consumer(torch.from_numpy(voxels)).numpy()
    np.testing.assert_array_equal(mesh.from_consumer(out), voxels)
    z, alpha, r = n_z - 1, n_alpha // 2, n_r - 2
    assert out[1, (r * n_alpha + alpha) * n_z + z] == voxels[1, (z * n_alpha + alpha) * n_r + r]


@pytest.mark.parametrize("name", list(GRAPHS))
def test_inputs_and_outputs_of_each_format_are_undone(name: str) -> None:
    """`read` undoes `inputs`, and `restore` undoes `write`."""
    settings = {"limits": [LOW / 2, HIGH], "uncovered": True} if name == "atlas" else {}
    form = GRAPHS.resolve(name)(Target(mesh_geometry(), 6, LOW, HIGH), **settings)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(7, form.noise_size, generator=generator, dtype=torch.float64)
    energies = torch.logspace(np.log10(LOW), np.log10(HIGH), 7, dtype=torch.float64)[:, None]
    read_noise, read_energies = form.read(*form.inputs(noise, energies))
    torch.testing.assert_close(read_noise, noise)
    torch.testing.assert_close(read_energies, energies)
    voxels = torch.rand(7, 6480, generator=generator, dtype=torch.float64)
    asked = 3 * energies
    back = form.restore(form.write(voxels, energies, asked).numpy(), energies.numpy(), asked.numpy())
    np.testing.assert_allclose(back, voxels.numpy())


def test_alpha_inner_is_a_permutation_within_layers() -> None:
    geometry = load_geometry("ds1-photons")
    order = alpha_inner(geometry)
    for part in geometry.slices:
        assert sorted(order[part]) == list(range(part.start, part.stop))


def test_the_card_and_the_file_say_the_same(small_geometry: Geometry, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "g.onnx"
    export_graph(simulator(small_geometry), "onnx", path, exporter="legacy", showers=8)
    card = json.loads(card_path(path).read_text())
    assert card["format"] == "onnx"
    assert card["energy_range_mev"] == [LOW, HIGH]
    assert card["readout_threshold_mev"] == 0.5
    assert card["training"] == {"recipe": "r", "particle": "e-"}
    assert card["parity"]["largest"] <= card["parity"]["tolerance"] == TOLERANCE
    assert Geometry.from_dict(card["geometry"]) == small_geometry
    model = onnx.load(path)
    inside = {entry.key: entry.value for entry in model.metadata_props}
    for key in ("format", "axis_order", "caloforge_version", "weights_sha256"):
        assert inside[f"caloforge.{key}"] == card[key]
    assert json.loads(inside["caloforge.geometry"]) == card["geometry"]
    assert [o.name for o in model.graph.output] == ["voxels"]


def test_a_graph_that_disagrees_is_not_written(
    small_geometry: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = GeneratorGraph.forward

    def off(self: GeneratorGraph, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        voxels, raw = honest(self, *inputs)
        return voxels, raw * 1.01

    monkeypatch.setattr(GeneratorGraph, "forward", off)
    with pytest.raises(CaloforgeError, match=r"disagrees with PyTorch by .* E_inc .*nothing was written"):
        export_graph(simulator(small_geometry), "onnx", tmp_path / "g.onnx", exporter="legacy", showers=8)
    assert not list(tmp_path.iterdir())


def test_a_threshold_before_other_transforms_is_kept_in_its_place(small_geometry: Geometry, tmp_path: Path) -> None:
    """A chain whose threshold is not next to physics: both outputs are worked out in full."""
    subject = simulator(small_geometry)
    moved = [chain()[1], {"kind": "readout_threshold", "value": 0.1}, *chain()[2:]]
    subject.transforms = fitted(moved, small_geometry)
    form = GRAPHS.resolve("onnx")(target_of(subject))
    graph = GeneratorGraph(form, decoder_of(subject.model), subject.transforms)
    noise, energies, _ = some_input(form, [1000.0, 3000.0])
    with torch.no_grad():
        voxels, raw = graph(noise, energies)
    np.testing.assert_allclose(voxels.numpy(), expected(subject, noise, energies), atol=0.01)
    assert (raw != voxels).any()


def test_what_cannot_be_exported_says_why(small_geometry: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    subject = simulator(small_geometry)
    with pytest.raises(CaloforgeError, match=r"par04 needs a regular mesh.*'small' has none: export onnx"):
        export_graph(subject, "par04", path)
    layers = tuple(Layer(k, (0, 1, 2), 3) for k in range(4))
    regular = simulator(Geometry("four", layers, threshold=0.1))
    with pytest.raises(CaloforgeError, match=r"calodit2 needs 9 x 16 x 45 .*, not 2 x 3 x 4"):
        export_graph(regular, "calodit2", path)
    square = Geometry("square", (CartesianLayer(0, (0, 1, 2), (0, 1, 2)),), threshold=0.1)
    with pytest.raises(CaloforgeError, match="layer 0 is Cartesian"):
        export_graph(simulator(square), "atlas", path)
    own = Simulator(small_geometry, subject.transforms, GaussianPerFeature(14, 1), subject.provenance)
    with pytest.raises(CaloforgeError, match="LatentModel"):
        export_graph(own, "onnx", path)
    subject.model.export_obstacle = "it has a loop over all voxels"
    with pytest.raises(CaloforgeError, match="'caloman' cannot be exported: it has a loop over all voxels"):
        export_graph(subject, "onnx", path)
    del subject.model.export_obstacle
    subject.energy_range = None
    with pytest.raises(CaloforgeError, match="its energy range"):
        export_graph(subject, "onnx", path)
    subject.energy_range = (512.0, 512.0)
    with pytest.raises(CaloforgeError, match="trained only at 512 MeV"):
        export_graph(subject, "atlas", path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in MODELS if not wants_geometry(MODELS.resolve(kind))])
def test_every_model_of_plain_features_exports(kind: str, small_geometry: Geometry, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS.resolve(kind)(13, 1, **SMALL[kind]).eval()
    transforms = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    subject = Simulator(small_geometry, transforms, model, {"energy_range_mev": [0.5, 1.0]})
    parity = export_graph(subject, "onnx", tmp_path / "g.onnx", exporter="legacy", showers=8).parity
    assert parity.largest <= TOLERANCE


@pytest.mark.parametrize(
    ("student_strides", "hits", "order", "network"),
    [
        (0, False, 0, "residual"),
        (2, False, 0, "residual"),
        (2, True, 0, "residual"),
        (2, True, 1, "residual"),
        (2, True, 0, "layers"),
    ],
)
def test_a_cascade_exports(
    student_strides: int,
    hits: bool,
    order: int,
    network: str,
    small_geometry: Geometry,
    small_showers: Showers,
    tmp_path: Path,
) -> None:
    """Tables measured on showers, and networks that do something."""
    level = {"kind": "flow_matching", "width": 16, "blocks": 1, "steps": 2, "student_strides": student_strides}
    upper = {**level, "network": network}
    levels = {"layers": upper, "rings": upper, "voxels": {**level, "network": "sectors"}}
    settings = {"hits": hits, "multipoles": levels["voxels"], "order": order} if order else {"hits": hits}
    torch.manual_seed(0)
    model = Cascade(small_geometry.n_voxels, 1, geometry=small_geometry, **levels, **settings).eval()
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    for stage in model.stages():
        stage.fit(ShowerDataset.of(x, c))
    with torch.no_grad():
        for parameter in model.models.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    transforms = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    subject = Simulator(small_geometry, transforms, model, {"energy_range_mev": [100.0, 400.0]})
    assert export_graph(subject, "onnx", tmp_path / "g.onnx", showers=40).parity.largest <= TOLERANCE


class _InverseLogit(nn.Module):
    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor]:
        return (inverse_logit(inputs[0], 0.0),)


@pytest.mark.parametrize("exporter", [pytest.param("dynamo", marks=pytest.mark.slow), "legacy"])
def test_faint_shares_keep_their_digits_in_a_graph(exporter: Any) -> None:
    """onnxruntime's own Sigmoid is wrong by 6e-8 of 1: 7 % of a share of 8e-7, and their sum is divided out."""
    y = torch.linspace(-80, 20, 5001)[:, None]
    graph = to_onnx(_InverseLogit(), (y[:3],), ["y"], ["u"], exporter, None)
    (found,) = onnx_session(graph.SerializeToString()).run(None, {"y": y.numpy()})
    np.testing.assert_allclose(found, inverse_logit(y, 0.0).numpy(), rtol=1e-6)


def test_caloflows_student_exports_and_its_teacher_says_why(small_geometry: Geometry, tmp_path: Path) -> None:
    """Flow I's loop over the layers is unrolled; flow II's over the voxels would be too long a graph."""
    transforms = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    facts = {"energy_range_mev": [LOW, HIGH]}

    def subject(**settings: Any) -> Simulator:
        torch.manual_seed(0)
        sizes = {
            **SMALL["caloflow"],
            "energy_scale": 1.0,
            "empty_below": 0.1,
            "standardise": True,
            "marginals": True,
            **settings,
        }
        model = CaloFlow(small_geometry.n_voxels, 1, geometry=small_geometry, **sizes).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        return Simulator(small_geometry, transforms, model, facts)

    student, path = subject(), tmp_path / "g.onnx"
    assert export_graph(student, "onnx", path, showers=40).parity.largest <= 1e-5
    noise, energies, fed = some_input(GRAPHS.resolve("onnx")(target_of(student)), [600.0, 5000.0])
    made, wanted = run(path, *fed), expected(student, noise, energies)
    np.testing.assert_allclose(made, wanted, atol=0.05)
    assert (wanted > 0).any()
    # Faint shares in all layers, whose ratios need a logistic function with a small relative error.
    student.model.outer.steps[0].offset.fill_(-10.0)  # type: ignore[union-attr,operator]
    assert export_graph(student, "onnx", path, showers=2000).parity.largest <= 1e-5
    with pytest.raises(CaloforgeError, match=r"'caloflow' cannot be exported: .* train a student and export that"):
        export_graph(subject(sampler="teacher"), "onnx", tmp_path / "t.onnx")


@pytest.mark.parametrize("instead", [0.0, -1.5])
def test_thresholds_and_shrinking_are_traced(instead: float, small_geometry: Geometry, tmp_path: Path) -> None:
    """Operations that the legacy exporter does not know: what is at the limit counts as below, as in PyTorch."""

    class Cut(nn.Module):
        def forward(self, noise: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            cut = nn.functional.threshold(noise, 0.25, instead)
            return (cut + nn.functional.softshrink(noise, 0.5)) * torch.ones_like(c)

    example = torch.tensor([[0.0, 0.25, 0.5], [-0.5, 0.75, -3.0]])
    form = GRAPHS.resolve("onnx")(Target(small_geometry, 3, LOW, HIGH))
    graph = traced(GeneratorGraph(form, Cut(), build_transforms([], small_geometry)).eval(), "legacy")
    energies = torch.full((2, 1), LOW)
    fed = {"noise": example.numpy(), "incident_energy": energies.numpy()}
    made = onnx_session(graph.SerializeToString()).run(None, fed)[0]
    np.testing.assert_array_equal(made, Cut()(example, energies).numpy())


def test_the_onnx_engine_generates_the_same_showers(small_geometry: Geometry) -> None:
    subject = simulator(small_geometry)
    batch = Batch(0, np.resize([600.0, 2000.0, 7000.0], 50), seed=8)
    by_onnx = onnx_engine(subject, showers=8).generate(batch).rows
    by_torch = TorchEngine(subject).generate(batch).rows
    same_side = (by_onnx == 0) == (by_torch == 0)
    assert same_side.mean() > 0.99
    np.testing.assert_allclose(by_onnx[same_side], by_torch[same_side], atol=0.05)
    with pytest.raises(CaloforgeError, match="float32"):
        onnx_engine(subject.to(torch.float64))


def test_an_exported_file_is_an_engine(small_geometry: Geometry, tmp_path: Path) -> None:
    """Sizes and range of energies are those of the file."""
    export_graph(simulator(small_geometry), "onnx", tmp_path / "g.onnx", showers=8)
    engine = OnnxEngine((tmp_path / "g.onnx").read_bytes())
    assert (engine.name, engine.energy_range) == ("onnx", (LOW, HIGH))
    assert engine.generate(Batch(0, np.array([600.0, 700.0]), seed=1)).rows.shape == (2, 13)
    export_graph(simulator(small_geometry), "atlas", tmp_path / "a.onnx", showers=8, settings={"limits": "trained"})
    with pytest.raises(CaloforgeError, match="Noise"):
        OnnxEngine((tmp_path / "a.onnx").read_bytes())


def test_engines_have_names(small_geometry: Geometry) -> None:
    assert make_engine("torch", simulator(small_geometry)).name == "torch"
    with pytest.raises(CaloforgeError, match="'jax'"):
        make_engine("jax", simulator(small_geometry))


def test_the_onnx_engine_keeps_batches_apart(small_geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, batches of other sizes and pieces of batches share nothing; earlier results do not change."""
    engine = onnx_engine(simulator(small_geometry), showers=8)
    batches = [Batch(k, np.resize([600.0, 2000.0, 7000.0], n), seed=k) for k, n in enumerate((50, 1, 50, 7) * 5)]
    alone = [engine.generate(batch).rows for batch in batches]
    copies = [voxels.copy() for voxels in alone]
    assert not np.array_equal(alone[0], alone[2])
    with ThreadPoolExecutor(3) as pool:
        together = [generated.rows for generated in pool.map(engine.generate, batches)]
    for one, copy, other in zip(alone, copies, together, strict=True):
        np.testing.assert_array_equal(one, copy)
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr("caloforge.inference.onnx_engine.rows_per_piece", lambda n_voxels: 20)
    pieces = engine.generate(batches[1]).rows, engine.generate(batches[0]).rows  # 20 + 20 + 10 showers
    assert pieces[1].shape == alone[0].shape
    same_side = (pieces[1] == 0) == (alone[0] == 0)
    assert same_side.mean() > 0.99
    np.testing.assert_allclose(pieces[1][same_side], alone[0][same_side], atol=0.01)
    engine.run_graph(batches[0])
    np.testing.assert_array_equal(engine.generate(batches[0]).rows, pieces[1])
