"""Time per shower of a trained generator.

A call generates one batch as `Simulator.stream` does, from incident energies to voxels in MeV in memory: noise,
networks, inverse preprocessing and threshold. The model alone, including the noise, is timed too. After a warm-up the
two take turns, with several short calls in a row. The result is the median over turns, with quartiles, divided by the
batch size, for the CPU time, which other work on the machine hardly affects, and the wall-clock time.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.inference import Batch, TorchEngine
from caloforge.simulator import Simulator

WARM_UP_SECONDS = 0.1
"""Duration of the calls that are not counted (at least one)."""

TURN_SECONDS = 0.2
"""A turn consists of as many calls as fit into this time, and at least one. Showers generated one at a time thus follow
each other, so that the weights stay in the processor's cache, if they fit; after another candidate's call they would
not."""


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of ms per shower: median and quartiles."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Median and quartiles of `values` (n,)."""
        lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(lower), float(upper))


@dataclass(frozen=True)
class GeneratorTiming:
    """Time of the generator in ms per shower: CPU time and wall-clock time.

    Args:
        batch: showers per call.
        threads: number of PyTorch threads.
        calls: number of rounds measured.
        cpu, wall: total time, from incident energies to voxels in MeV.
        model_cpu, model_wall: time of the model alone.
    """

    batch: int
    threads: int
    calls: int
    cpu: Spread
    wall: Spread
    model_cpu: Spread
    model_wall: Spread


def time_simulator(
    simulator: Simulator,
    energies: np.ndarray,
    batches: Sequence[int],
    *,
    threads: int = 1,
    repeats: int = 7,
    seconds: float = 0.5,
    seed: int = 1,
) -> list[GeneratorTiming]:
    """Time a simulator on the CPU, one batch size after another.

    Args:
        simulator: a simulator with its weights on the CPU.
        energies: (n,) incident energies in MeV, repeated to fill a batch.
        batches: showers per call.
        threads: number of PyTorch threads.
        repeats: minimum number of measured rounds.
        seconds: minimum duration, in wall-clock time.
        seed: random seed.

    Raises:
        CaloforgeError: a batch size or the number of threads or repeats is below 1, or the weights are not on the CPU.
    """
    for what, value in (
        ("a batch", min(batches)),
        ("the number of threads", threads),
        ("the number of repeats", repeats),
    ):
        if value < 1:
            raise CaloforgeError(f"{what} must be at least 1, not {value}")
    device = next(simulator.model.parameters()).device
    if device.type != "cpu":
        raise CaloforgeError(
            f"times are measured on the CPU, but the simulator is on {device}: call simulator.to('cpu')"
        )
    with torch_threads(threads):
        engine = TorchEngine(simulator)
        return [
            _time_batch(engine, batch_for_timing(simulator, energies, n, seed), threads, repeats, seconds)
            for n in batches
        ]


def batch_for_timing(simulator: Simulator, energies: np.ndarray, n: int, seed: int) -> Batch:
    """A batch of n showers at these energies (MeV), and at conditions drawn from their trained ranges."""
    conditions = simulator.conditions.examples(n, seed).table if simulator.conditions.entries else None
    return Batch(0, np.resize(energies, n).astype(np.float64), seed, conditions)


def _time_batch(engine: TorchEngine, batch: Batch, threads: int, repeats: int, seconds: float) -> GeneratorTiming:
    n = len(batch.energies)
    calls = (lambda: engine.generate(batch), lambda: engine.sample(batch))
    times = timed(calls, threads, repeats, seconds)
    taken = 1e3 / n * times
    whole_cpu, whole_wall, model_cpu, model_wall = (Spread.of(taken[:, k, m]) for k in (0, 1) for m in (0, 1))
    return GeneratorTiming(n, threads, len(taken), whole_cpu, whole_wall, model_cpu, model_wall)


def timed(calls: Sequence[Callable[[], object]], threads: int, repeats: int, seconds: float) -> np.ndarray:
    """(rounds, calls, 2): CPU and wall-clock seconds of each call; in each round all take turns, after a warm-up.

    In its turn, a short call is repeated for `TURN_SECONDS`, and the mean is taken.

    Args:
        calls: what to time.
        threads: with one thread, the CPU time is that of this thread; with more, that of the process.
        repeats: minimum number of rounds.
        seconds: minimum duration.

    Raises:
        CaloforgeError: a call is too short for the clock.
    """
    # With one thread, its own clock excludes the time of a progress bar.
    clock = time.thread_time if threads == 1 else time.process_time
    once = _repeat([(call, 1) for call in calls], clock, 1, WARM_UP_SECONDS)
    in_a_row = np.clip(TURN_SECONDS / np.median(once[:, :, 1], axis=0), 1, 1000).astype(int)
    times = _repeat(list(zip(calls, in_a_row, strict=True)), clock, repeats, seconds)
    if not (np.median(times, axis=0) > 0).all():
        raise CaloforgeError("a call is too short for this machine's clock: time larger batches")
    return times


def _repeat(
    calls: Sequence[tuple[Callable[[], object], int]], clock: Callable[[], float], repeats: int, seconds: float
) -> np.ndarray:
    """(rounds, calls, 2): CPU and wall-clock seconds per call, the mean over the given number in a row, in turn."""
    rounds: list[list[tuple[float, float]]] = []
    begun = time.perf_counter()
    while len(rounds) < repeats or time.perf_counter() - begun < seconds:
        taken = []
        for call, n in calls:
            wall, cpu = time.perf_counter(), clock()
            for _ in range(n):
                call()
            taken.append(((clock() - cpu) / n, (time.perf_counter() - wall) / n))
        rounds.append(taken)
    return np.array(rounds)


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use n threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, Any]:
    """Facts that times depend on: processor, cores, vector instructions, system, versions and current load."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "caloforge": __version__,
        "load_average": load,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
