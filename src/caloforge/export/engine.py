"""The `onnx` engine: generation through onnxruntime, from the graph that `caloforge export --format onnx` ships."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.check import session
from caloforge.export.graph import export_graph
from caloforge.simulator import Simulator
from caloforge.simulator.engines import Batch, Made, rows_per_piece


class OnnxEngine:
    """onnxruntime on the CPU, in float32; safe to call from several threads.

    Energies outside the training range are moved to its ends, as everywhere in exported graphs.

    Args:
        simulator: what to run, float32 on the CPU.
        threads: of onnxruntime, for each call.

    Raises:
        CaloforgeError: what `export_graph` raises; the simulator is not float32 on the CPU.
    """

    def __init__(self, simulator: Simulator, threads: int = 1) -> None:
        self.name = "onnx"
        parameter = next(simulator.model.parameters())
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise CaloforgeError("the onnx engine runs in float32 on the CPU: --engine torch does the rest")
        with tempfile.TemporaryDirectory(prefix="caloforge-onnx-") as folder:
            path = Path(folder) / "graph.onnx"
            export_graph(simulator, "onnx", path)
            self._session = session(path.read_bytes(), threads)
        self._rows = rows_per_piece(simulator.geometry.n_voxels)
        self._noise_dim: int = simulator.model.noise_dim  # type: ignore[assignment]

    def make(self, batch: Batch) -> Made:
        begun = time.perf_counter()
        generator = torch.Generator().manual_seed(batch.seed)
        noise = torch.randn(len(batch.energies), self._noise_dim, generator=generator).numpy()
        energies = batch.energies.astype(np.float32)[:, None]
        pieces = (slice(k, k + self._rows) for k in range(0, len(noise), self._rows))
        parts = [
            self._session.run(None, {"noise": noise[rows], "incident_energy": energies[rows]})[0] for rows in pieces
        ]
        voxels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return Made(voxels, time.perf_counter() - begun, 0.0)
