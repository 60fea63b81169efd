"""Noise drawn inside a graph: normal, independent from call to call and from session to session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

pytest.importorskip("onnx", reason="export needs the extra onnx")
pytest.importorskip("onnxruntime", reason="export needs the extra onnx")

import onnx

from caloforge.export.noise import normal_noise
from caloforge.inference.onnx_engine import onnx_session

CALLS, DIMENSION = 400, 101


def session(seed: int | None) -> Any:
    """Gives `noise` (1, 101) for `input` (1, 8)."""
    shapes = {"input": [1, 8], "noise": [1, DIMENSION], "same": [1, 8]}
    first, *rest = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    nodes = [*normal_noise(DIMENSION, "input", 8, seed), onnx.helper.make_node("Identity", ["input"], ["same"])]
    graph = onnx.helper.make_graph(nodes, "noise", [first], rest)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model)
    return onnx_session(model.SerializeToString())


def asked(energy: float) -> dict[str, np.ndarray]:
    return {"input": np.array([[energy, 0.1, 0.2, 0, 0, 0, 0, 1]], dtype=np.float32)}


def test_normal_and_independent() -> None:
    # Not seeded: that is the point. Limits of 6 standard errors in some hundred numbers fail once in a million runs.
    both = [session(None) for _ in range(2)]
    drawn = np.array([[each.run(["noise"], asked(2.0))[0][0] for each in both] for _ in range(CALLS)])
    first, second = drawn[:, 0], drawn[:, 1]
    assert kstest(drawn.ravel(), "norm").pvalue > 1e-6
    assert abs(drawn.var() - 1) < 6 * (2 / drawn.size) ** 0.5
    products = {
        "mean": drawn.reshape(-1, DIMENSION),
        "sessions": first * second,
        "calls": first[1:] * first[:-1],
        "pairs of Box and Muller": first[:, :50] * first[:, 51:],
        "neighbours": first[:, 1:] * first[:, :-1],
        "sessions, a call apart": first[1:] * second[:-1],
        "moduli of sessions": (first**2 - 1) * (second**2 - 1) / 2,
    }
    for name, values in products.items():
        largest = np.abs(values.mean(axis=0)).max() * len(values) ** 0.5
        assert largest < (9 if name.startswith("moduli") else 6), name  # products of squares have long tails


def test_seeded_noise_depends_on_inputs_and_call_alone() -> None:
    calls = [2.0, 2.0, 2.000001]
    one, other = ([each.run(["noise"], asked(e))[0] for e in calls] for each in (session(7), session(7)))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    near = session(7).run(["noise"], asked(2.000001))[0]
    assert abs(np.corrcoef(near[0], one[0][0])[0, 1]) < 6 / DIMENSION**0.5
    assert not np.array_equal(session(8).run(["noise"], asked(2.0))[0], one[0])


@pytest.mark.parametrize("seed", [None, 7])
def test_no_transposed_float64_is_multiplied(seed: int | None) -> None:
    operators = [node.op_type for node in normal_noise(6, "input", 8, seed)]
    assert "MatMul" in operators
    assert "Transpose" not in operators  # onnxruntime up to 1.23 would not load the graph
