"""int8 quantisation of matrix multiplications: as many as the agreement with PyTorch allows, for speed.

The time for a single shower is dominated by reading weights, so large matrix multiplications are replaced by
onnxruntime's operator `MatMulNBits` (domain `com.microsoft`, on x86 since onnxruntime 1.22), which reads 8 bits per
weight. The weights of an output are grouped in blocks of `BLOCK` inputs; with s = max|w| / 127 in a block, w becomes
round(w / s). The operator quantises its inputs in the same way at run time and accumulates integers. Small
multiplications, nonlinearities and splines stay in float32.

Rounding near the output directly affects the voxels; early rounding, such as of the codes of CaloMan's flow, affects
them much less. The last large multiplications therefore stay in float32, as few as needed to keep the showers within
the tolerance for float32 graphs (`caloforge.export.parity`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.export.parity import TOLERANCE, Disagreement, Parity

if TYPE_CHECKING:
    import onnx

BLOCK = 32
"""Number of inputs that share a scale; a power of two."""

LEAST_INPUTS, LEAST_WEIGHTS = 32, 16_384
"""Smaller multiplications stay in float32: there is little to gain, and splines and conditions need precision."""


def quantised(model: onnx.ModelProto, check: Callable[[onnx.ModelProto], Parity]) -> tuple[onnx.ModelProto, Parity]:
    """A copy with all large matrix multiplications quantised but the last ones, as few as the check allows.

    Args:
        model: the traced graph, in float32.
        check: returns the parity of a graph with PyTorch; raises `Disagreement` if a difference is too large.

    Returns:
        The copy, and its parity.

    Raises:
        CaloforgeError: there is no large multiplication, none can be quantised, or onnxruntime cannot run the copy.
    """
    large = large_products(model)
    if not large:
        raise CaloforgeError(
            f"int8 would gain nothing: this model has no matrix multiplication with {LEAST_WEIGHTS} constant weights "
            "or more; use float32"
        )

    agreed: dict[int, tuple[onnx.ModelProto, Parity]] = {}

    def agrees(kept: int) -> bool:
        copy = with_int8_products(model, large[: len(large) - kept])
        try:
            agreed[kept] = copy, check(copy)
        except Disagreement:
            return False
        except Exception as error:  # onnxruntime's exceptions have no specific class
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise CaloforgeError(
                f"onnxruntime cannot run int8-quantised matrix multiplications ({said[0][:160]}): use version 1.22 or "
                "later on x86, or float32"
            ) from None
        return True

    kept = bisect_left(range(len(large)), True, key=agrees)
    if kept not in agreed:
        raise CaloforgeError(
            f"int8 is too coarse for this model: with only the first of its {len(large)} large matrix multiplications "
            f"quantised it disagrees with PyTorch by more than {TOLERANCE:.0e} E_inc; use float32"
        )
    copy, parity = agreed[kept]
    words = f"{len(large) - kept} of {len(large)} large matrix multiplications in int8, everything else in float32"
    return copy, replace(parity, precision=words)


def large_products(model: onnx.ModelProto) -> list[str]:
    """Outputs, in order, of matrix multiplications with `LEAST_INPUTS` inputs and `LEAST_WEIGHTS` weights or more."""
    constants = _constants(model.graph)
    return [node.output[0] for node in model.graph.node if _weight(node, constants) is not None]


def with_int8_products(model: onnx.ModelProto, outputs: Collection[str]) -> onnx.ModelProto:
    """A copy in which the matrix multiplications with these outputs are int8-quantised.

    Args:
        model: graph in float32.
        outputs: a subset of `large_products`.
    """
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = _constants(graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _int8_node(node, constants, graph) if node.output[0] in outputs else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    out.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return out


def quantise_weights(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (outputs, inputs) → integers from 1 to 255 (128 means zero), of shape (outputs, blocks, BLOCK), and the
    scale of each block (outputs, blocks)."""
    n_out, n_in = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -n_in % BLOCK))).reshape(n_out, -1, BLOCK)
    scale = np.abs(padded).max(axis=2) / np.float32(127)
    whole = np.rint(padded / np.where(scale > 0, scale, 1)[:, :, None])
    return (whole + 128).astype(np.uint8), scale.astype(np.float32)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Name → value of the constants in the graph, including aliases."""
    from onnx import numpy_helper

    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _weight(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """The weights (outputs, inputs) of a large matrix multiplication; None for any other node."""
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


def _int8_node(node: onnx.NodeProto, constants: dict[str, np.ndarray], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The int8-quantised form of a matrix multiplication; its weights are added to the graph."""
    from onnx import helper, numpy_helper

    weight = _weight(node, constants)
    assert weight is not None
    n_out, n_in = weight.shape
    whole, scale = quantise_weights(weight)
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
