"""Inference engines by name: PyTorch, and onnxruntime with an exported graph."""

from __future__ import annotations

import torch

from caloforge.errors import CaloforgeError, either, option
from caloforge.export.graph import Precision, checked_graph
from caloforge.inference.onnx_engine import OnnxEngine
from caloforge.inference.torch_engine import TorchEngine
from caloforge.simulator import AnySimulator, Simulator

ENGINES = ("torch", "compile", "onnx", "onnx-int8")


def make_engine(name: str, simulator: AnySimulator, threads: int = 1) -> TorchEngine | OnnxEngine:
    """The engine called `name`, one of `ENGINES`.

    Args:
        name: one of `ENGINES`.
        simulator: the simulator to run.
        threads: threads for onnxruntime; PyTorch uses those of the process.

    Raises:
        CaloforgeError: the name is unknown, or the simulator does not suit the engine.
    """
    if name in ("torch", "compile"):
        return TorchEngine(simulator, compiled=name == "compile")
    if not isinstance(simulator, Simulator):
        raise CaloforgeError(
            f"the engine '{name}' is for voxels, and the run generates point clouds: use {option('engine', 'torch')}"
        )
    match name:
        case "onnx":
            return onnx_engine(simulator, threads)
        case "onnx-int8":
            return onnx_engine(simulator, threads, "int8")
    raise CaloforgeError(f"unknown engine '{name}': give one of {', '.join(ENGINES)}")


def onnx_engine(
    simulator: Simulator, threads: int = 1, precision: Precision = "float32", showers: int = 256
) -> OnnxEngine:
    """onnxruntime with the simulator's graph.

    Args:
        simulator: float32 on the CPU.
        threads: onnxruntime threads per call.
        precision: precision of large matrix multiplications: float32, or int8 for as many as the tolerance allows.
        showers: number of showers for the check of the graph.

    Raises:
        CaloforgeError: from `checked_graph`, or the simulator is not in float32 on the CPU.
    """
    name = "onnx" if precision == "float32" else f"onnx-{precision}"
    parameter = next(simulator.model.parameters())
    if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
        raise CaloforgeError(
            f"the engine {name} runs in float32 on the CPU: use {either('--engine torch', 'the engine torch')}"
        )
    graph = checked_graph(simulator, "onnx", precision=precision, showers=showers)
    return OnnxEngine(graph.content, threads, name)
