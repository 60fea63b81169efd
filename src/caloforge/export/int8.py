"""8-bit products: a recorded graph with a quarter of the bytes.

A single shower's time is mostly that of reading weights, so large matrix products are handed to onnxruntime's
operator `MatMulNBits` (domain `com.microsoft`, on x86 since onnxruntime 1.22), which reads 8 bits per weight. An
output's weights come in blocks of `BLOCK` inputs; with s = max|w| / 127 of a block, w becomes round(w / s). The
operator rounds the inputs in the same way whenever it runs, and adds up whole numbers. Small products, nonlinearities
and splines stay in float32, and so does the last product: its rounding goes straight into the voxels and would be
nine tenths of CaloMan's.

The showers change by the rounding, and so do not agree with PyTorch shower by shower to the tolerance of float32:
`caloforge.export.check.check_rounding` measures by how much, and `caloforge evaluate` whether it matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from caloforge.errors import CaloforgeError

if TYPE_CHECKING:
    import onnx

PRODUCTS = ("Gemm", "MatMul")

BLOCK = 32
"""Inputs that share a scale, a power of two."""

LEAST_INPUTS, LEAST_WEIGHTS = 32, 16_384
"""Products with fewer stay as they are: there is little to read, and splines and conditions want all digits."""


def with_int8_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large products with constant weights are done in 8 bits, except the graph's last product.

    Args:
        model: in float32, as it was recorded.

    Raises:
        CaloforgeError: it has none.
    """
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = _constants(graph)
    products = [node for node in graph.node if node.op_type in PRODUCTS and node.input[1] in constants]
    large = {node.output[0] for node in products[:-1] if _weight(node, constants) is not None}
    if not large:
        raise CaloforgeError(
            f"8 bits would save nothing: before its last product this model has none of {LEAST_WEIGHTS} weights or "
            "more; export it in float32"
        )
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _in_8_bits(node, constants, graph) if node.output[0] in large else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    out.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return out


def round_to_int8(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (outputs, inputs) → whole numbers from 1 to 255, of which 128 is zero, (outputs, blocks, BLOCK), and
    the scale of each block (outputs, blocks)."""
    n_out, n_in = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -n_in % BLOCK))).reshape(n_out, -1, BLOCK)
    scale = np.abs(padded).max(axis=2) / np.float32(127)
    whole = np.rint(padded / np.where(scale > 0, scale, 1)[:, :, None])
    return (whole + 128).astype(np.uint8), scale.astype(np.float32)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Name → value of what stands in the graph, also under other names."""
    from onnx import numpy_helper

    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _weight(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """The weights (outputs, inputs) of a large product; None for anything else."""
    from onnx import helper

    if node.op_type not in PRODUCTS or node.input[1] not in constants:
        return None
    how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    weight = constants[node.input[1]]
    plain = not how.get("transA", 0) and how.get("alpha", 1) == 1 and how.get("beta", 1) == 1
    if not plain or weight.ndim != 2 or weight.dtype != np.float32 or weight.size < LEAST_WEIGHTS:
        return None
    weight = weight if how.get("transB", 0) else weight.T
    return weight if weight.shape[1] >= LEAST_INPUTS else None


def _in_8_bits(node: onnx.NodeProto, constants: dict[str, np.ndarray], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """What does this product in 8 bits; its rounded weights are added to the graph."""
    from onnx import helper, numpy_helper

    weight = _weight(node, constants)
    assert weight is not None
    n_out, n_in = weight.shape
    whole, scale = round_to_int8(weight)
    result = node.output[0]
    name = f"{result}_int8"
    graph.initializer.append(numpy_helper.from_array(whole, name))
    graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}_scale"))
    inputs, after = [node.input[0], name, f"{name}_scale"], []
    bias = node.input[2] if len(node.input) > 2 else ""
    if bias in constants and constants[bias].shape == (n_out,):
        inputs += ["", "", bias]
    elif bias:
        after = [helper.make_node("Add", [f"{name}_product", bias], [result])]
        result = f"{name}_product"
    settings = {"K": n_in, "N": n_out, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
    return [helper.make_node("MatMulNBits", inputs, [result], domain="com.microsoft", **settings), *after]
