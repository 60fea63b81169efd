"""What a shower costs: the time of a trained generator and, at the same energies on the same core, of Geant4.

Generator: a call makes one batch as `Simulator.stream` does, from incident energies to voxels in MeV in memory:
noise, networks, preprocessing undone, threshold applied. Beside it stands the model alone (`ShowerModel.sample`),
timed in turn with the whole. After a warm-up the calls are repeated; what is given is the median over calls, with
quartiles, divided by the batch.

Geant4: CPU seconds of each event as `caloforge simulate geant4` takes them (tracking, scoring and voxels;
initialisation not), in one worker process; mean over events with its standard error.

Both have CPU times, which other work on the machine lengthens little, and the generator those of the wall clock too.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.simulator import Simulator
from caloforge.sources.geant4.journal import decode
from caloforge.sources.geant4.run import BLOCK_ENERGY, BLOCK_EVENTS, Request, binding_version
from caloforge.sources.geant4.workers import Block, Setup, geant4_version, run_blocks

WARM_UP_SECONDS = 0.1
"""Calls of the generator before any counts (at least one)."""
WARM_UP_EVENTS = 5
"""Geant4 events before any counts, at the lowest energy."""


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
    """Time of the generator in ms per shower, by CPU and by the wall clock.

    Args:
        batch: showers per call.
        threads: that torch might use.
        calls: measured.
        cpu, wall: of the whole, from incident energies to voxels in MeV.
        model_cpu, model_wall: of the model alone.
    """

    batch: int
    threads: int
    calls: int
    cpu: Spread
    wall: Spread
    model_cpu: Spread
    model_wall: Spread


@dataclass(frozen=True)
class Geant4Timing:
    """CPU time of Geant4 in ms per shower: mean over `showers` events and its standard error."""

    showers: int
    cpu: float
    error: float


@dataclass(frozen=True)
class EnergyTiming:
    """Both at one incident energy (MeV)."""

    energy: float
    geant4: Geant4Timing
    generator: tuple[GeneratorTiming, ...]

    @property
    def speed_up(self) -> dict[int, float]:
        """Batch → Geant4's CPU time per shower over the generator's."""
        return {timing.batch: self.geant4.cpu / timing.cpu.median for timing in self.generator}


@dataclass(frozen=True)
class Comparison:
    """Generator and Geant4: what Geant4 was (plain data), whether both had one and the same core, the times."""

    geant4: dict[str, Any]
    pinned: bool
    rows: list[EnergyTiming]


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
        simulator: with its weights on the CPU.
        energies: (n,) incident energies in MeV; a batch takes them in turn.
        batches: showers per call.
        threads: that torch may use meanwhile.
        repeats: calls that are measured at least …
        seconds: … and for how long at least, by the wall clock.
        seed: of the showers.

    Raises:
        CaloforgeError: a batch, the number of threads or that of repeats is below 1, or the weights are elsewhere.
    """
    for what, value in (("a batch", min(batches)), ("the number of threads", threads), ("that of repeats", repeats)):
        if value < 1:
            raise CaloforgeError(f"{what} must be at least 1, not {value}")
    device = next(simulator.model.parameters()).device
    if device.type != "cpu":
        raise CaloforgeError(f"times are taken on the CPU, and the simulator is on {device}: simulator.to('cpu')")
    with _torch_threads(threads):
        return [_time_batch(simulator, np.resize(energies, n), threads, repeats, seconds, seed) for n in batches]


def _time_batch(
    simulator: Simulator, energies: np.ndarray, threads: int, repeats: int, seconds: float, seed: int
) -> GeneratorTiming:
    batch = len(energies)
    dtype = next(simulator.model.parameters()).dtype
    conditions = simulator.transforms.condition(torch.as_tensor(energies, dtype=dtype)[:, None])
    generator = torch.Generator().manual_seed(seed)

    def whole() -> None:
        next(simulator.stream(energies, seed, batch))

    def model() -> None:
        with torch.no_grad():
            simulator.model.sample(conditions, generator)

    # One thread does all the work itself: its own clock leaves out a progress bar's.
    clock = time.thread_time if threads == 1 else time.process_time
    _repeat((whole, model), clock, 1, WARM_UP_SECONDS)
    taken = 1e3 / batch * _repeat((whole, model), clock, repeats, seconds)
    whole_cpu, whole_wall, model_cpu, model_wall = (Spread.of(taken[:, k, m]) for k in (0, 1) for m in (0, 1))
    return GeneratorTiming(batch, threads, len(taken), whole_cpu, whole_wall, model_cpu, model_wall)


def _repeat(
    calls: Sequence[Callable[[], None]], clock: Callable[[], float], repeats: int, seconds: float
) -> np.ndarray:
    """(rounds, calls, 2): CPU and wall seconds of each call, all of them in turn in each round."""
    rounds: list[list[tuple[float, float]]] = []
    begun = time.perf_counter()
    while len(rounds) < repeats or time.perf_counter() - begun < seconds:
        taken = []
        for call in calls:
            wall, cpu = time.perf_counter(), clock()
            call()
            taken.append((clock() - cpu, time.perf_counter() - wall))
        rounds.append(taken)
    return np.array(rounds)


def against_geant4(
    simulator: Simulator,
    request: Request,
    showers: int,
    batches: Sequence[int],
    *,
    repeats: int = 7,
    seconds: float = 0.5,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Time Geant4 and the generator at the same energies, in turn, each with one thread, on one core.

    Energy after energy, Geant4 makes `showers` events and then waits while the generator is timed. Where the system
    lets a process choose its core, both are bound to the same one.

    Args:
        simulator: with its weights on the CPU.
        request: what Geant4 shall do; of its energies each is taken once.
        showers: Geant4 events per energy, at least 2.
        batches: showers per call of the generator.
        repeats, seconds: as for `time_simulator`.
        progress: called with the number of Geant4 events of each block done.

    Raises:
        CaloforgeError: geant4-pybind is not installed; `request`'s detector has other voxels than the simulator;
            too few showers; what `time_simulator` and `run_blocks` raise.
    """
    binding_version()
    if request.detector.geometry.layers != simulator.geometry.layers:
        raise CaloforgeError(
            f"the detector '{request.detector.name}' has the voxels of {request.detector.geometry.name}, the run those "
            f"of {simulator.geometry.name}: the two times would not be of the same showers"
        )
    if showers < 2:
        raise CaloforgeError(f"the number of Geant4 showers per energy must be at least 2, not {showers}")
    energies = np.unique(request.draw())
    n_events = showers * len(energies)
    cpu_ms = np.zeros(n_events + WARM_UP_EVENTS)
    generator: list[tuple[GeneratorTiming, ...]] = []

    def blocks() -> Iterator[Block]:
        # The one worker is idle whenever a block is asked for: what happens here between two has the core for itself.
        yield Block(n_events, np.full(WARM_UP_EVENTS, energies[0]))
        for k, energy in enumerate(energies):
            size = int(np.clip(BLOCK_ENERGY / energy, 1, BLOCK_EVENTS))
            for start in range(0, showers, size):
                yield Block(k * showers + start, np.full(min(size, showers - start), energy))
            at_this = energies[k : k + 1]
            timings = time_simulator(simulator, at_this, batches, repeats=repeats, seconds=seconds, seed=request.seed)
            generator.append(tuple(timings))

    with tempfile.TemporaryDirectory(prefix="caloforge-benchmark-") as folder, _one_core() as pinned:
        setup = _setup(request, Path(folder))
        version = geant4_version(setup.environment)
        with closing(run_blocks(setup, blocks(), 1, Path(folder))) as finished:
            for block in finished:
                cpu_ms[block.start : block.start + block.count] = 1e3 * decode(block.payload, block.count)[1]
                if progress is not None and block.start < n_events:
                    progress(block.count)
    rows = []
    for energy, times, timings in zip(energies, cpu_ms[:n_events].reshape(-1, showers), generator, strict=True):
        geant4 = Geant4Timing(showers, float(times.mean()), float(times.std(ddof=1) / showers**0.5))
        rows.append(EnergyTiming(float(energy), geant4, timings))
    facts = {
        "version": version,
        "detector": request.detector.name,
        **request.beam(),
        "data_sets": request.data.describe(),
    }
    return Comparison(facts, pinned, rows)


def _setup(request: Request, scratch: Path) -> Setup:
    (empty := scratch / "no-data").mkdir()
    data = request.data
    environment, commands = data.environment(str(empty)), data.em_commands()
    return Setup(request.detector, request.beam(), request.seed, environment, commands, data.elements)


@contextmanager
def _torch_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _one_core() -> Iterator[bool]:
    """Bind this thread, and processes that it starts, to one core; gives whether the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def machine() -> dict[str, Any]:
    """What the times depend on: processor, cores, vector instructions, system, versions, the load at this moment."""
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
