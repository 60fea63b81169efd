"""int8-quantised matrix multiplications: rounding by hand, its bound, and its effect on the showers of a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.export import parity as parity_module
from caloforge.export.card import card_path
from caloforge.export.engines import onnx_engine
from caloforge.export.graph import export_graph
from caloforge.export.int8 import (
    BLOCK,
    LEAST_WEIGHTS,
    large_products,
    quantise_weights,
    quantised,
    with_int8_products,
)
from caloforge.export.parity import TOLERANCE, Disagreement, Parity
from caloforge.geometry import Geometry
from caloforge.inference import Batch, TorchEngine
from caloforge.inference.onnx_engine import onnx_session
from caloforge.models.caloman import CaloMan
from caloforge.showers import ShowerFile
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

LOW, HIGH = 500.0, 8000.0


@pytest.fixture(autouse=True)
def _with_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")


def simulator(geometry: Geometry, width: int = 160, gain: float = 0.005) -> Simulator:
    """A CaloMan whose decoder has two large matrix multiplications; `gain` scales their effect on the voxels."""
    torch.manual_seed(3)
    chain = [
        {"kind": "readout_threshold", "value": 0.5},
        {"kind": "incident_energy_fraction", "maximum": 2.0},
        {"kind": "linear_condition"},
    ]
    ends = torch.tensor([[LOW], [HIGH]])
    transforms = build_transforms(chain, geometry).fit(torch.ones(2, geometry.n_voxels), ends)
    sizes = {"latent_dim": 4, "hidden": [width] * 3, "flow_layers": 2, "flow_width": 8, "flow_blocks": 1}
    model = CaloMan(geometry.n_voxels, 1, **sizes).eval()
    with torch.no_grad():
        model.autoencoder.decoder[-1].weight *= gain
        model.autoencoder.decoder[-1].bias += 0.4
    facts = {"energy_range_mev": [LOW, HIGH], "weights_sha256": "0" * 64, "recipe": "r", "particle": "e-"}
    return Simulator(geometry, transforms, model, facts)


def test_rounding_by_hand() -> None:
    """Two blocks of the one output: scales 1.27 / 127 = 0.01 and 0, whose weights are padding or nothing."""
    weight = np.zeros((1, BLOCK + 1), dtype=np.float32)
    weight[0, :4] = [1.27, -0.5, 0.0149, -0.0151]
    whole, scale = quantise_weights(weight)
    assert whole.shape == (1, 2, BLOCK)
    assert whole.dtype == np.uint8
    np.testing.assert_allclose(scale, [[0.01, 0.0]], rtol=1e-6)
    assert whole[0, 0, :5].tolist() == [128 + 127, 128 - 50, 128 + 1, 128 - 2, 128]
    assert (whole[0, 1] == 128).all()


def test_rounding_moves_a_weight_by_half_a_scale_at_most() -> None:
    weight = np.random.default_rng(1).standard_normal((7, 3 * BLOCK - 5)).astype(np.float32)
    whole, scale = quantise_weights(weight)
    back = ((whole.astype(np.float32) - 128) * scale[:, :, None]).reshape(7, -1)
    assert (back[:, weight.shape[1] :] == 0).all()
    moved = np.abs(back[:, : weight.shape[1]] - weight)
    assert (moved <= 0.5001 * np.repeat(scale, BLOCK, axis=1)[:, : weight.shape[1]]).all()
    assert moved.max() > 0.4 * scale.min()
    assert whole.min() >= 1  # -127 … 127: as far below zero as above


def products(n: int, rng: np.random.Generator) -> Any:
    """x (B, n) → in turn a large product with a bias, with given sums, with weights that lie transposed under another
    name, with nothing, then a small one, and last a large one."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {f"w{k}": (rng.standard_normal((n, n)) / n**0.5).astype(np.float32) for k in range(4)}
    weights |= {"bias": rng.standard_normal(n).astype(np.float32), "small": np.eye(n, 40, dtype=np.float32)}
    weights["last"] = rng.standard_normal((40, 500)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "bias"], ["y0"]),
        helper.make_node("Gemm", ["y0", "w1", "x"], ["y1"]),
        helper.make_node("Identity", ["w2"], ["w2_again"]),
        helper.make_node("Gemm", ["y1", "w2_again", "bias"], ["y2"], transB=1),
        helper.make_node("MatMul", ["y2", "w3"], ["y3"]),
        helper.make_node("MatMul", ["y3", "small"], ["y4"]),
        helper.make_node("MatMul", ["y4", "last"], ["y"]),
    ]
    sizes = {"x": n, "y3": n, "y": 500}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", size]) for name, size in sizes.items()}
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [values["x"]], [values["y3"], values["y"]], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_can_be_quantised() -> None:
    n = 130  # no multiple of the block
    assert n * n >= LEAST_WEIGHTS
    rng = np.random.default_rng(2)
    model = products(n, rng)
    before = model.SerializeToString()
    assert large_products(model) == ["y0", "y1", "y2", "y3", "y"]
    rounded = with_int8_products(model, ["y0", "y1", "y2", "y3"])
    assert model.SerializeToString() == before
    kinds = [node.op_type for node in rounded.graph.node]
    assert kinds == ["MatMulNBits", "MatMulNBits", "Add", "Identity", "MatMulNBits", "MatMulNBits", "MatMul", "MatMul"]
    x = rng.standard_normal((6, n)).astype(np.float32)
    wanted = onnx_session(before).run(None, {"x": x})
    made = onnx_session(rounded.SerializeToString()).run(None, {"x": x})
    for one, other in zip(made, wanted, strict=True):
        off = float(np.sqrt(((one - other) ** 2).mean() / (other**2).mean()))
        assert 1e-4 < off < 0.02  # four roundings in a row
    # What is left in float32 is exact.
    np.testing.assert_allclose(made[1], made[0][:, :40] @ model_constant(model, "last"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("allowed", "rounded"), [(1.0, 5), (0.6, 3), (0.35, 1)])
def test_the_last_products_stay_in_float32_until_the_check_passes(allowed: float, rounded: int) -> None:
    """A check that finds a difference of 0.2 for each quantised multiplication."""
    tried = []

    def check_of(graph: Any) -> Parity:
        outputs = [node.output[0] for node in graph.graph.node if node.op_type == "MatMulNBits"]
        tried.append(len(outputs))
        if 0.2 * len(outputs) > allowed + 1e-9:
            raise Disagreement("too far")
        return Parity(0.2 * len(outputs), 0.0, 1, 0)

    model = products(130, np.random.default_rng(2))
    graph, parity = quantised(model, check_of)
    inside = [
        node.output[0].removesuffix("_int8_product") for node in graph.graph.node if node.op_type == "MatMulNBits"
    ]
    assert inside == large_products(model)[:rounded]
    assert parity.largest == pytest.approx(0.2 * rounded)
    assert parity.precision.startswith(f"{rounded} of 5 ")
    assert len(tried) <= 4  # by halves, not one after the other


def model_constant(model: Any, name: str) -> np.ndarray:
    from onnx import numpy_helper

    return numpy_helper.to_array(next(value for value in model.graph.initializer if value.name == name))


def test_a_product_is_off_by_no_more_than_the_rounding_allows() -> None:
    """|Σ x w − Σ x̂ ŵ| ≤ Σ |x| s_w / 2 + Σ s_x / 2 |ŵ|, with the scales of weights and inputs in their blocks."""
    from onnx import TensorProto, helper, numpy_helper

    n, rng = 2 * 2 * BLOCK, np.random.default_rng(4)
    first, last = (rng.standard_normal((n, n)).astype(np.float32) for _ in range(2))
    x = rng.standard_normal((20, n)).astype(np.float32) * 10.0 ** rng.uniform(-3, 3, (20, 1)).astype(np.float32)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", n]) for name in ("x", "y", "z")]
    nodes = [helper.make_node("MatMul", ["x", "a"], ["y"]), helper.make_node("MatMul", ["y", "b"], ["z"])]
    constants = [numpy_helper.from_array(value, name) for name, value in (("a", first), ("b", last))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = onnx_session(with_int8_products(model, ["y"]).SerializeToString()).run(["y"], {"x": x})[0].astype(np.float64)

    whole, scale = quantise_weights(first.T)
    kept = ((whole.astype(np.float64) - 128) * scale[:, :, None]).reshape(n, n)  # (outputs, inputs)
    s_x = np.abs(x).reshape(20, -1, BLOCK).max(axis=2) / 127
    exact = x.astype(np.float64) @ first.astype(np.float64)
    allowed = np.abs(x) @ np.repeat(scale, BLOCK, axis=1).T / 2 + np.repeat(s_x, BLOCK, axis=1) / 2 @ np.abs(kept).T
    off = np.abs(made - exact)
    assert (off <= 1.001 * allowed).all()
    assert (off > 0).any()


def test_a_quantised_export_is_smaller_and_agrees(small_geometry: Geometry, tmp_path: Path) -> None:
    subject = simulator(small_geometry)
    plain = export_graph(subject, "onnx", tmp_path / "a.onnx", showers=40).parity
    parity = export_graph(subject, "onnx", tmp_path / "b.onnx", showers=40, precision="int8").parity
    assert plain.precision == "float32"
    assert parity.precision.startswith("2 of 2 ")
    assert plain.largest < parity.largest <= TOLERANCE
    assert (tmp_path / "b.onnx").stat().st_size < 0.6 * (tmp_path / "a.onnx").stat().st_size
    cards = [json.loads(card_path(tmp_path / name).read_text())["parity"] for name in ("a.onnx", "b.onnx")]
    assert [card["precision"] for card in cards] == [plain.precision, parity.precision]
    assert parity.precision in str(parity)


def test_other_formats_are_quantised_too(small_geometry: Geometry, tmp_path: Path) -> None:
    options = {"precision": "int8", "settings": {"limits": "trained"}}
    graph = export_graph(simulator(small_geometry), "atlas", tmp_path / "g.onnx", showers=20, **options)
    assert "int8" in graph.parity.precision


def test_the_quantised_engine_generates_nearly_the_same_showers(small_geometry: Geometry) -> None:
    subject = simulator(small_geometry)
    batch = Batch(0, np.resize([600.0, 2000.0, 7000.0], 50), seed=8)
    engine = onnx_engine(subject, precision="int8")
    assert engine.name == "onnx-int8"
    made, wanted = engine.generate(batch).rows, TorchEngine(subject).generate(batch).rows
    off = np.abs(made - wanted) / batch.energies[:, None]
    assert 1e-7 < off[(made == 0) == (wanted == 0)].max() < 3 * TOLERANCE


def test_the_commands(small_geometry: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the documentation: export, generate and benchmark with int8."""
    monkeypatch.setattr("caloforge.timing.generator.TURN_SECONDS", 0.02)
    simulator(small_geometry).save(tmp_path / "run")

    def done(*words: object) -> str:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, words)))
        assert result.exit_code == 0, result.output
        return result.output

    run = tmp_path / "run"
    said = done("export", run, "--format", "onnx", "--precision", "int8", "-o", tmp_path / "g.onnx")
    assert "(allowed 1e-04); 2 of 2 " in said
    made = tmp_path / "g.h5"
    done("generate", run, "--engine", "onnx-int8", "--energies", "uniform:1GeV:5GeV", "-n", 5, "-o", made)
    with ShowerFile(made) as file:
        assert (len(file), file.attributes["engine"]) == (5, "onnx-int8")
    found = tmp_path / "b.json"
    done("benchmark", run, "--engines", "onnx,onnx-int8", "--batches", 1, "-o", found)
    (row,) = json.loads(found.read_text())["generator"]
    assert set(row["ms"]) == {"torch", "model", "lower_bound", "onnx", "graph", "onnx-int8", "graph-int8"}


def test_mistakes(small_geometry: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g.onnx"
    with pytest.raises(CaloforgeError, match="no matrix multiplication with 16384"):
        export_graph(simulator(small_geometry, width=12), "onnx", path, showers=8, precision="int8")
    with pytest.raises(CaloforgeError, match="first of its 2 large"):
        export_graph(simulator(small_geometry, gain=100), "onnx", path, showers=8, precision="int8")
    whole = parity_module._run

    def old_runtime(model: bytes, *rest: Any) -> Any:
        if b"MatMulNBits" in model:
            raise RuntimeError("Only 4b quantization is supported")
        return whole(model, *rest)

    monkeypatch.setattr(parity_module, "_run", old_runtime)
    with pytest.raises(CaloforgeError, match=r"onnxruntime cannot run int8.* \(Only 4b"):
        export_graph(simulator(small_geometry), "onnx", path, showers=8, precision="int8")
    assert not list(tmp_path.iterdir())
