"""Time against batch size: a generator, its parts, a lower bound and reference implementations, in one run.

For each number of threads and each batch size the candidates take turns, with one long call or several short ones per
turn, so that drifts of the machine affect all of them alike; compare ratios. One thread is timed in CPU time, several
in wall-clock time.

| candidate | a call |
|---|---|
| `torch` | energies to voxels in MeV, with the torch engine |
| `model` | the same without the inverse preprocessing |
| `lower_bound` | the matrix products of the network alone (`caloforge.timing.lower_bound`) |
| `onnx`, `onnx-int8`, `compile` | as `torch`, with the other engines |
| `graph`, `graph-int8` | the onnxruntime call alone, with noise and energies in place, as a C++ program would see it |
| `nflows` | as `torch`, with the flow from nflows (`caloforge.timing.reference_implementations`) |
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.inference import Batch, TorchEngine
from caloforge.simulator import Simulator
from caloforge.timing.generator import Spread, batch_for_timing, timed, torch_threads
from caloforge.timing.lower_bound import bare_products, matrix_products

Call = Callable[[Batch], object]


@dataclass(frozen=True)
class Scan:
    """Times at one batch size and number of threads.

    Args:
        batch, threads, calls: showers per call, number of threads, number of rounds measured.
        clock: `cpu` or `wall`.
        ms: candidate → ms per shower.
        postprocessing: fraction of a torch call spent in the inverse preprocessing and the threshold, as measured by
            the engine; the difference between `torch` and `model` would be lost in the noise.
    """

    batch: int
    threads: int
    calls: int
    clock: str
    ms: dict[str, Spread]
    postprocessing: float

    def ratio(self, over: str, under: str) -> float | None:
        """Median time of `over` divided by that of `under`; None if one was not timed."""
        if over not in self.ms or under not in self.ms:
            return None
        return self.ms[over].median / self.ms[under].median


def scan(
    simulator: Simulator,
    energies: np.ndarray,
    batches: Sequence[int],
    threads: Sequence[int],
    others: Callable[[int], Mapping[str, Call]] | None = None,
    *,
    repeats: int = 7,
    seconds: float = 1.0,
    seed: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Scan]:
    """Time a simulator for several batch sizes and numbers of threads.

    Args:
        simulator: a simulator in float32 on the CPU.
        energies: (n,) incident energies in MeV, repeated to fill a batch.
        batches: showers per call.
        threads: numbers of threads.
        others: number of threads → further candidates, name → call.
        repeats, seconds: minimum number of rounds, and minimum duration.
        seed: random seed.
        progress: called with 1 after each measurement.

    Raises:
        CaloforgeError: a number is below 1, the weights are not on the CPU, or a call is too short for the clock.
    """
    for what, value in (("a batch", min(batches)), ("the number of threads", min(threads))):
        if value < 1:
            raise CaloforgeError(f"{what} must be at least 1, not {value}")
    parameter = next(simulator.model.parameters())
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        raise CaloforgeError("benchmarks run in float32 on the CPU: call simulator.to('cpu')")
    for n_threads in threads:
        with torch_threads(n_threads):
            engine = TorchEngine(simulator)
            more = others(n_threads) if others is not None else {}
            for size in batches:
                batch = batch_for_timing(simulator, energies, size, seed)
                c = simulator.transforms.condition(engine.given(batch))
                account = _Account(engine)
                calls: dict[str, Call] = {"torch": account.generate, "model": engine.sample, **more}
                bound = {name: _bound(call, batch) for name, call in calls.items()}
                bound["lower_bound"] = bare_products(matrix_products(simulator.model, c))
                times = timed(list(bound.values()), n_threads, repeats, seconds)
                clock = 0 if n_threads == 1 else 1
                ms = {name: Spread.of(1e3 / size * times[:, k, clock]) for k, name in enumerate(bound)}
                yield Scan(size, n_threads, len(times), ("cpu", "wall")[clock], ms, account.fraction)
                if progress is not None:
                    progress(1)


class _Account:
    """Records the fraction of time that an engine spends in postprocessing."""

    def __init__(self, engine: TorchEngine) -> None:
        self.engine = engine
        self._fractions: list[float] = []

    def generate(self, batch: Batch) -> None:
        done = self.engine.generate(batch)
        self._fractions.append(done.postprocessing / (done.model + done.postprocessing))

    @property
    def fraction(self) -> float:
        """The median fraction."""
        return float(np.median(self._fractions))


def _bound(call: Call, batch: Batch) -> Callable[[], object]:
    return lambda: call(batch)


def peak_memory_mb(run: Path, batch: int, trusted: Collection[str] = ()) -> tuple[float, float]:
    """Peak memory in MB of a separate process: after loading a run, and after generating one batch.

    Args:
        run: folder of the run.
        batch: number of showers.
        trusted: as for `Simulator.load`.

    Raises:
        CaloforgeError: the process failed; the message gives the reason.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = [sys.executable, "-m", "caloforge.timing.memory", str(run), str(batch), *trusted]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise CaloforgeError(f"peak memory could not be measured: {done.stderr.strip().splitlines()[-1]}")
    loaded, after_batch = json.loads(done.stdout)
    return loaded, after_batch
