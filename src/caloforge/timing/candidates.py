"""Candidates timed with the torch engine: other engines, their graphs alone, and reference implementations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caloforge.errors import CaloforgeError
from caloforge.export.engines import ENGINES, make_engine
from caloforge.inference import TorchEngine
from caloforge.simulator import Simulator
from caloforge.timing.scan import Call


def candidates(
    simulator: Simulator, engines: Sequence[str], references: Sequence[tuple[str, Call]] = ()
) -> Callable[[int], dict[str, Call]]:
    """Further candidates for `scan`.

    Args:
        simulator: the simulator they run.
        engines: names of engines other than torch, which is always timed; for onnxruntime, also the graph alone.
        references: names and calls of reference implementations.

    Returns:
        Number of threads → candidates, name → call.

    Raises:
        CaloforgeError: an engine is unknown; when called, errors from the engine.
    """
    known = ENGINES[1:]
    for name in engines:
        if name not in known:
            raise CaloforgeError(f"'{name}' is not an engine to compare with torch: give one of {', '.join(known)}")

    def calls(threads: int) -> dict[str, Call]:
        found: dict[str, Call] = {}
        for name in engines:
            engine = make_engine(name, simulator, threads)
            found[name] = engine.generate
            if not isinstance(engine, TorchEngine):
                found[name.replace("onnx", "graph")] = engine.run_graph
        return found | dict(references)

    return calls
