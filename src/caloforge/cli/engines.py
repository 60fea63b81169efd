"""The engines that commands know by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caloforge.export.engine import OnnxEngine
    from caloforge.simulator import Simulator
    from caloforge.simulator.engines import TorchEngine

ENGINES = ("torch", "compile", "onnx", "onnx-int8")


def make_engine(name: str, simulator: Simulator, threads: int = 1) -> TorchEngine | OnnxEngine:
    """The engine of that name, one of `ENGINES`.

    Args:
        name: of it.
        simulator: what it runs.
        threads: of onnxruntime; PyTorch's are the process's.

    Raises:
        CaloforgeError: what the engine raises.
    """
    if name in ("torch", "compile"):
        from caloforge.simulator.engines import TorchEngine

        return TorchEngine(simulator, compiled=name == "compile")
    from caloforge.export.engine import OnnxEngine

    return OnnxEngine(simulator, threads, "int8" if name == "onnx-int8" else "float32")
