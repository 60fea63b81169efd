"""Running trained models: engines, and models rewritten so that they run fast.

    engine           `Engine`: what generates batches of showers, and what it is given and returns
    torch_engine     PyTorch, as is or compiled
    onnx_engine      onnxruntime, with a graph of the format `onnx`
    rewriting        `optimised(model)`: the rewritten form of a model, where one is registered
    model_rewrites   the rewritten forms of CaloMan, flow matching and cascades
    eager_flow, traced_flow, student, folded_flow   their parts

Training needs densities and gradients; sampling needs neither. A rewritten model gives the same samples, up to
rounding, in a fraction of the time. Two costs call for two forms:

- *eager*, for batches in PyTorch: each pass over memory costs, so operations are few and in place;
- *traced*, for one shower at a time in an exported or compiled graph: each operation costs, so there are few, and all
  of them exist in ONNX.

Models know nothing of this room. A model of your own can register its rewritten form (see
`caloforge.inference.rewriting`).
"""

from __future__ import annotations

from caloforge.inference.engine import Batch, Engine, GeneratedBatch
from caloforge.inference.rewriting import optimised, register_rewrite
from caloforge.inference.torch_engine import TorchEngine

__all__ = ["Batch", "Engine", "GeneratedBatch", "TorchEngine", "optimised", "register_rewrite"]
