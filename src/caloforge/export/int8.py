"""8-bit products: as many of a graph's as agreement with PyTorch allows, for speed.

A single shower's time is mostly that of reading weights, so large matrix products are handed to onnxruntime's
operator `MatMulNBits` (domain `com.microsoft`, on x86 since onnxruntime 1.22), which reads 8 bits per weight. An
output's weights come in blocks of `BLOCK` inputs; with s = max|w| / 127 of a block, w becomes round(w / s). The
operator rounds the inputs in the same way whenever it runs, and adds up whole numbers. Small products, nonlinearities
and splines stay in float32.

Rounding near the output goes straight into the voxels; what is rounded early, such as the codes of CaloMan's flow,
moves them much less. So the last large products stay in float32, as few as bring the showers to the tolerance that
graphs in float32 keep to (`caloforge.export.check`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.export.check import TOLERANCE, Disagreement, Parity

if TYPE_CHECKING:
    import onnx

BLOCK = 32
"""Inputs that share a scale, a power of two."""

LEAST_INPUTS, LEAST_WEIGHTS = 32, 16_384
"""Products with fewer stay as they are: there is little to read, and splines and conditions want all digits."""


def in_8_bits(model: onnx.ModelProto, check: Callable[[onnx.ModelProto], Parity]) -> tuple[onnx.ModelProto, Parity]:
    """A copy with all large products in 8 bits except the last ones, as few as the check asks for.

    Args:
        model: in float32, as it was recorded.
        check: a graph → how far it is from PyTorch; raises `Disagreement` if that is too far.

    Returns:
        The copy, and what the check says of it.

    Raises:
        CaloforgeError: there is no large product, none may be rounded, or onnxruntime cannot run the copy.
    """
    large = large_products(model)
    if not large:
        raise CaloforgeError(
            f"8 bits would save nothing: this model has no product with {LEAST_WEIGHTS} constant weights or more; "
            "leave it in float32"
        )

    agreed: dict[int, tuple[onnx.ModelProto, Parity]] = {}

    def agrees(kept: int) -> bool:
        rounded = with_int8_products(model, large[: len(large) - kept])
        try:
            agreed[kept] = rounded, check(rounded)
        except Disagreement:
            return False
        except Exception as error:  # onnxruntime's have no class of their own
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise CaloforgeError(
                f"onnxruntime cannot do products in 8 bits here ({said[0][:160]}): version 1.22 and later can on "
                "x86; leave the graph in float32"
            ) from None
        return True

    kept = bisect_left(range(len(large)), True, key=agrees)
    if kept not in agreed:
        raise CaloforgeError(
            f"8 bits are too few for this model: with only the first of its {len(large)} large products rounded it "
            f"disagrees with PyTorch by more than {TOLERANCE:.0e} E_inc; leave it in float32"
        )
    rounded, parity = agreed[kept]
    words = f"{len(large) - kept} of {len(large)} large products in 8 bits, all else in float32"
    return rounded, replace(parity, precision=words)


def large_products(model: onnx.ModelProto) -> list[str]:
    """Outputs of products with at least `LEAST_INPUTS` inputs and `LEAST_WEIGHTS` constant weights, in their order."""
    constants = _constants(model.graph)
    return [node.output[0] for node in model.graph.node if _weight(node, constants) is not None]


def with_int8_products(model: onnx.ModelProto, outputs: Collection[str]) -> onnx.ModelProto:
    """A copy in which the products with these outputs are done in 8 bits.

    Args:
        model: in float32.
        outputs: some of `large_products`.
    """
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = _constants(graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _rounded(node, constants, graph) if node.output[0] in outputs else [node]
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

    if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in constants:
        return None
    how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    weight = constants[node.input[1]]
    plain = not how.get("transA", 0) and how.get("alpha", 1) == 1 and how.get("beta", 1) == 1
    if not plain or weight.ndim != 2 or weight.dtype != np.float32 or weight.size < LEAST_WEIGHTS:
        return None
    weight = weight if how.get("transB", 0) else weight.T
    return weight if weight.shape[1] >= LEAST_INPUTS else None


def _rounded(node: onnx.NodeProto, constants: dict[str, np.ndarray], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
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
