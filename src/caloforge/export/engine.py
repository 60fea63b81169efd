"""The engines `onnx` and `onnx-int8`: generation through onnxruntime, from what `caloforge export --format onnx` ships.

For one shower at a time, drawing noise and handing arrays to and fro took a fifth of the time. So inputs and outputs
lie in places that are told to onnxruntime once, and noise is drawn where it is read.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.check import session
from caloforge.export.graph import Precision, export_graph
from caloforge.export.onnx import Onnx
from caloforge.models.base import LatentModel
from caloforge.simulator import Simulator
from caloforge.simulator.engines import Batch, Made, rows_per_piece


class OnnxEngine:
    """onnxruntime on the CPU, noise and voxels in float32; safe to call from several threads.

    Like all exported graphs it moves energies outside the training range to its ends; `generate` refuses them.

    Args:
        simulator: what to run, float32 on the CPU.
        threads: of onnxruntime, for each call.
        precision: of large matrix products: float32, or int8 for as many as may be (`caloforge.export.int8`).

    Raises:
        CaloforgeError: what `export_graph` raises; the simulator is not float32 on the CPU.
    """

    def __init__(self, simulator: Simulator, threads: int = 1, precision: Precision = "float32") -> None:
        self.name = "onnx" if precision == "float32" else f"onnx-{precision}"
        low, high = simulator.provenance.get("energy_range_mev", (0.0, float("inf")))
        self.energy_range: tuple[float, float] | None = (float(low), float(high))
        parameter = next(simulator.model.parameters())
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise CaloforgeError(f"the engine {self.name} runs in float32 on the CPU: --engine torch does the rest")
        with tempfile.TemporaryDirectory(prefix="caloforge-onnx-") as folder:
            path = Path(folder) / "graph.onnx"
            export_graph(simulator, "onnx", path, precision=precision)
            self._session = session(path.read_bytes(), threads)
        assert isinstance(simulator.model, LatentModel)  # `export_graph` takes no other
        self._latent_dim = simulator.model.latent_dim
        self._n_voxels = simulator.geometry.n_voxels
        self._mine = threading.local()

    def make(self, batch: Batch) -> Made:
        begun = time.perf_counter()
        places = self._places(len(batch.energies))
        places.noise.normal_(generator=places.generator.manual_seed(batch.seed))
        np.copyto(places.energies, batch.energies)
        parts = []
        for binding, voxels in places.pieces:
            self._session.run_with_iobinding(binding)
            parts.append(voxels.copy())
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return Made(whole, time.perf_counter() - begun, 0.0)

    def run_graph(self, batch: Batch) -> None:
        """Only the graph, on noise and energies that lie ready: to time what a C++ program waits for."""
        for binding, _ in self._places(len(batch.energies)).pieces:
            self._session.run_with_iobinding(binding)

    def _places(self, n: int) -> _Places:
        """This thread's, for batches of n; those for the size before are given up."""
        places: _Places | None = getattr(self._mine, "places", None)
        if places is None or places.n != n:
            places = self._mine.places = _Places(self._session, n, self._latent_dim, self._n_voxels)
        return places


class _Places:
    """Where noise and energies of n showers and voxels of a piece of them lie, told to onnxruntime.

    Args:
        session: onnxruntime's.
        n: showers of a batch.
        noise_dim, n_voxels: numbers per shower.
    """

    def __init__(self, session: Any, n: int, noise_dim: int, n_voxels: int) -> None:
        if n < 1:
            raise CaloforgeError("a batch needs at least one shower")
        self.n = n
        self.generator = torch.Generator()
        self.noise = torch.zeros(n, noise_dim)
        self.energies = np.zeros(n, np.float32)
        rows = min(n, rows_per_piece(n_voxels))
        voxels = np.empty((rows, n_voxels), np.float32)
        noise, energies = self.noise.numpy(), self.energies[:, None]
        self.pieces: list[tuple[Any, np.ndarray]] = []  # a binding, and where its voxels appear
        for start in range(0, n, rows):
            piece = slice(start, start + rows)
            binding, made = session.io_binding(), voxels[: len(noise[piece])]
            for name, array in zip(Onnx.input_names, (noise[piece], energies[piece]), strict=True):
                binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            binding.bind_output(Onnx.output_name, "cpu", 0, np.float32, made.shape, made.ctypes.data)
            self.pieces.append((binding, made))
