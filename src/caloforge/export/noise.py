"""Standard normal noise drawn inside an ONNX graph, different in each session and each call.

onnxruntime seeds a `RandomUniform` node once per process and node, so that all sessions of a process (Geant4's Par04
has one per thread) draw the same numbers. `Dropout` in training mode takes its seed from a counter of the process
instead: for each call or, in older versions, for each session. Its mask alone is of poor quality. So, for D numbers:

    u_j = frac(U_j + frac(43758.5453 sin(φ_j))),   φ_j = Σ_k A_kj r_k + b_j

U_j from `RandomUniform`, independent from call to call, r_k four numbers of 24 bits from the mask (each bit the parity
of four mask bits), A and b fixed. u_j is uniform and independent from call to call whatever r is; r makes sessions
differ. Pairs (u, u') give normal numbers by Box and Muller: sqrt(−2 ln(1 − u)) times cos 2πu' and sin 2πu'.

With a seed, `RandomUniform` gets it and r is a hash of the consumer's inputs: a session then repeats its showers if it
is asked for the same ones in the same order, and two sessions differ only where their inputs do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

NUMBERS, BITS, PARITY = 4, 24, 4
"""r_k, bits in each, and mask bits whose parity is a bit."""


class _Nodes:
    """Nodes under construction; every value has a unique name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        import onnx

        name = output or f"noise_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray | np.generic | float) -> str:
        import onnx

        return self.add("Constant", [], value=onnx.numpy_helper.from_array(np.asarray(value)))

    def fraction(self, x: str) -> str:
        """x − ⌊x⌋."""
        return self.add("Sub", [x, self.add("Floor", [x])])


def normal_noise(dimension: int, inputs: str, features: int, seed: int | None = None) -> list[onnx.NodeProto]:
    """Nodes that define `noise` (1, D) from N(0, 1).

    Args:
        dimension: D.
        inputs, features: name of the graph's input (1, F), which is hashed where a seed is given, and F.
        seed: makes the noise a function of the inputs and of the number of the call; None takes the process's.
    """
    import onnx

    nodes, pairs = _Nodes(), (dimension + 1) // 2
    rng = np.random.default_rng(20_261)  # any fixed number: it decides A, b and the hash
    r = _of_mask(nodes) if seed is None else _of_inputs(nodes, inputs, features, rng)
    angles = nodes.add("MatMul", [r, nodes.constant(rng.uniform(-200, 200, (NUMBERS, 2 * pairs)))])
    angles = nodes.add("Add", [angles, nodes.constant(rng.uniform(0, 2 * math.pi, (1, 2 * pairs)))])
    hashed = nodes.fraction(nodes.add("Mul", [nodes.add("Sin", [angles]), nodes.constant(43758.5453)]))
    hashed = nodes.add("Cast", [hashed], to=onnx.TensorProto.FLOAT)
    # onnxruntime takes a seed as a 32-bit float
    own: dict[str, Any] = {} if seed is None else {"seed": float(seed)}
    drawn = nodes.add("RandomUniform", [], dtype=onnx.TensorProto.FLOAT, shape=[1, 2 * pairs], **own)
    uniform = nodes.fraction(nodes.add("Add", [drawn, hashed]))
    first, second = (
        nodes.add("Slice", [uniform, *(nodes.constant(np.array([k])) for k in (start, start + pairs, 1))])
        for start in (0, pairs)
    )
    one = nodes.constant(np.float32(1.0))
    logarithm = nodes.add("Log", [nodes.add("Sub", [one, first])])
    radius = nodes.add("Sqrt", [nodes.add("Mul", [logarithm, nodes.constant(np.float32(-2.0))])])
    angle = nodes.add("Mul", [second, nodes.constant(np.float32(2 * math.pi))])
    parts = [nodes.add("Mul", [radius, nodes.add(wave, [angle])]) for wave in ("Cos", "Sin")]
    both = nodes.add("Concat", parts, axis=1)
    ends = [nodes.constant(np.array([k])) for k in (0, dimension, 1)]
    nodes.add("Slice", [both, *ends], "noise")
    return nodes.nodes


def _of_mask(nodes: _Nodes) -> str:
    """(1, NUMBERS) float64 in [0, 1) from the mask of a Dropout."""
    import onnx

    ones = nodes.constant(np.ones((PARITY, NUMBERS, BITS), dtype=np.float32))
    ratio, training = nodes.constant(np.float32(0.5)), nodes.constant(np.array(True))
    name, mask = f"noise_{len(nodes.nodes)}_dropped", f"noise_{len(nodes.nodes)}_mask"
    nodes.nodes.append(onnx.helper.make_node("Dropout", [ones, ratio, training], [name, mask]))
    whole = nodes.add("Cast", [mask], to=onnx.TensorProto.INT64)
    counted = nodes.add("ReduceSum", [whole, nodes.constant(np.array([0]))])
    bits = nodes.add("Mod", [counted, nodes.constant(np.array(2))])
    bits = nodes.add("Cast", [bits], to=onnx.TensorProto.DOUBLE)
    weights = nodes.constant(0.5 ** np.arange(1, BITS + 1)[:, None])
    r = nodes.add("MatMul", [nodes.add("Squeeze", [bits, nodes.constant(np.array([0]))]), weights])
    # Not Transpose: onnxruntime up to 1.23 fuses that with MatMul, for float64 too, which its fused operator lacks.
    return nodes.add("Reshape", [r, nodes.constant(np.array([1, NUMBERS]))])


def _of_inputs(nodes: _Nodes, inputs: str, features: int, rng: np.random.Generator) -> str:
    """(1, NUMBERS) float64 in [0, 1): a hash of the inputs (1, F)."""
    import onnx

    value = nodes.add("Cast", [inputs], to=onnx.TensorProto.DOUBLE)
    mixed = nodes.add("MatMul", [value, nodes.constant(rng.uniform(50, 150, (features, NUMBERS)))])
    return nodes.fraction(nodes.add("Mul", [nodes.add("Sin", [mixed]), nodes.constant(43758.5453)]))
