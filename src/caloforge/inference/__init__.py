"""Inference: engines, and models rewritten for speed.

    engine           `Engine`: generates batches of showers
    torch_engine     PyTorch, eager or compiled
    onnx_engine      onnxruntime, with a graph of the format `onnx`
    rewriting        `optimised(model)`: the rewritten form of a model, if one is registered
    model_rewrites   the rewritten forms of CaloMan, flow matching and cascades
    eager_flow, traced_flow, student, folded_flow   their parts

Training needs densities and gradients; sampling needs neither. A rewritten model gives the same samples, up to
rounding, in a fraction of the time. There are two forms:

- *eager*, for batches in PyTorch: passes over memory dominate, so operations are few and in place;
- *traced*, for one shower at a time in an exported or compiled graph: the number of operations dominates, so there are
  few, all of them available in ONNX.

Models do not depend on this package. Your own model can register its rewritten form (see
`caloforge.inference.rewriting`).
"""

from __future__ import annotations

from caloforge.inference.engine import Batch, Engine, GeneratedBatch
from caloforge.inference.rewriting import optimised, register_rewrite
from caloforge.inference.torch_engine import TorchEngine

__all__ = ["Batch", "Engine", "GeneratedBatch", "TorchEngine", "optimised", "register_rewrite"]
