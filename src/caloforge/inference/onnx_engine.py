"""`OnnxEngine`: onnxruntime on the CPU, with a graph of the format `onnx` (`caloforge export --format onnx`).

For single showers, drawing noise and passing arrays would take a fifth of the time. Inputs and outputs are therefore
bound to fixed memory, and noise is drawn in place.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.inference.engine import Batch, GeneratedBatch, rows_per_piece

INPUTS, OUTPUT, PREFIX = ("noise", "incident_energy"), "voxels", "incident_"
"""Names in the graph: noise (N, D) from N(0, 1) and energies (N, 1) in MeV to voxels (N, V) in MeV, all float32; a
further condition is an input (N, 1) with the prefix before its name."""

CONDITIONS = "caloforge.conditions"
"""Key of the graph's metadata: the further conditions of the run, in order, as JSON."""

ENERGY_RANGE = "caloforge.energy_range_mev"
"""Key of the graph's metadata: lowest and highest incident energy in MeV, as JSON."""


def onnx_session(graph: bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU with `threads` threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class OnnxEngine:
    """onnxruntime on the CPU, noise and voxels in float32; safe to call from several threads.

    Like all exported graphs it clips energies to the training range; generation to files rejects energies outside it.

    Args:
        graph: content of an ONNX file of the format `onnx`.
        threads: onnxruntime threads per call.
        name: name of the engine.

    Raises:
        CaloforgeError: the graph has other inputs or outputs.
    """

    def __init__(self, graph: bytes, threads: int = 1, name: str = "onnx") -> None:
        self.name = name
        self._session = onnx_session(graph, threads)
        shapes = {value.name: value.shape for value in (*self._session.get_inputs(), *self._session.get_outputs())}
        facts = self._session.get_modelmeta().custom_metadata_map
        known = [str(entry["name"]) for entry in json.loads(facts.get(CONDITIONS, "[]"))]
        self._names = (*INPUTS, *(PREFIX + name for name in known if PREFIX + name in shapes))
        self._columns = [k for k, name in enumerate(known) if PREFIX + name in shapes]
        if set(shapes) != {*self._names, OUTPUT}:
            raise CaloforgeError(
                f"the engine {name} runs graphs with the inputs {' and '.join(INPUTS)} and the output {OUTPUT}, but "
                f"this one has {', '.join(sorted(shapes))}: export it in the format onnx"
            )
        low, high = json.loads(facts[ENERGY_RANGE])
        self.energy_range: tuple[float, float] | None = (float(low), float(high))
        self._latent_dim, self._n_voxels = int(shapes[INPUTS[0]][1]), _n_voxels(shapes[OUTPUT], facts)
        self._of_thread = threading.local()

    def generate(self, batch: Batch) -> GeneratedBatch:
        """The batch's showers."""
        begun = time.perf_counter()
        arrays = self._arrays(len(batch.energies))
        arrays.noise.normal_(generator=arrays.generator.manual_seed(batch.seed))
        np.copyto(arrays.energies, batch.energies)
        for array, column in zip(arrays.conditions, self._columns, strict=True):
            assert batch.conditions is not None
            np.copyto(array, batch.conditions[:, column])
        parts = []
        for binding, voxels in arrays.pieces:
            self._session.run_with_iobinding(binding)
            parts.append(voxels.copy())
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return GeneratedBatch(whole, time.perf_counter() - begun, 0.0)

    def run_graph(self, batch: Batch) -> None:
        """Run only the graph, with noise and energies already in place, as timed for a C++ program."""
        for binding, _ in self._arrays(len(batch.energies)).pieces:
            self._session.run_with_iobinding(binding)

    def _arrays(self, n: int) -> _BoundArrays:
        """This thread's arrays for batches of n; those of another size are released."""
        arrays: _BoundArrays | None = getattr(self._of_thread, "arrays", None)
        if arrays is None or arrays.n != n:
            sizes = n, self._latent_dim, self._n_voxels
            arrays = self._of_thread.arrays = _BoundArrays(self._session, self._names, *sizes)
        return arrays


def _n_voxels(shape: list[int | str | None], facts: dict[str, str]) -> int:
    """V from the shape of the output, or from the card if the graph leaves it open."""
    if isinstance(shape[1], int):
        return shape[1]
    return int(json.loads(facts["caloforge.output"])[OUTPUT]["shape"][1])


class _BoundArrays:
    """Memory for noise and energies of n showers and for the voxels of a piece of them, bound to onnxruntime.

    Args:
        session: an onnxruntime session.
        names: of its inputs: noise, energy, and further conditions.
        n: showers per batch.
        latent_dim, n_voxels: D and V.
    """

    def __init__(self, session: Any, names: tuple[str, ...], n: int, latent_dim: int, n_voxels: int) -> None:
        if n < 1:
            raise CaloforgeError("a batch needs at least one shower")
        self.n = n
        self.generator = torch.Generator()
        self.noise = torch.zeros(n, latent_dim)
        self.energies = np.zeros(n, np.float32)
        self.conditions = [np.zeros(n, np.float32) for _ in names[len(INPUTS) :]]
        rows = min(n, rows_per_piece(n_voxels))
        voxels = np.empty((rows, n_voxels), np.float32)
        inputs = self.noise.numpy(), *(array[:, None] for array in (self.energies, *self.conditions))
        self.pieces: list[tuple[Any, np.ndarray]] = []
        """Bindings, each with the array that receives its voxels."""
        for start in range(0, n, rows):
            piece = slice(start, start + rows)
            binding, output = session.io_binding(), voxels[: len(inputs[0][piece])]
            for name, array in zip(names, (each[piece] for each in inputs), strict=True):
                binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            binding.bind_output(OUTPUT, "cpu", 0, np.float32, output.shape, output.ctypes.data)
            self.pieces.append((binding, output))
