"""Comparison of a trained generator with Geant4, at the same energies on the same core.

Geant4: CPU seconds per event as measured by `caloforge simulate geant4` (tracking, scoring and voxels, without
initialisation), in one worker process; mean over events with its standard error. Where the run knows angles or
positions, both have them at random, evenly over the trained ranges. For the generator see `caloforge.timing.generator`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions import KNOWN, Columns
from caloforge.errors import CaloforgeError
from caloforge.simulator import Simulator
from caloforge.sources.geant4.incidence import NAMES
from caloforge.sources.geant4.journal import decode
from caloforge.sources.geant4.request import SimulationRequest, binding_version
from caloforge.sources.geant4.simulation import BLOCK_ENERGY, BLOCK_EVENTS, worker_setup
from caloforge.sources.geant4.workers import Block, geant4_version, run_blocks
from caloforge.timing.generator import GeneratorTiming, time_simulator

WARM_UP_EVENTS = 5
"""Geant4 events simulated first and not counted, at the lowest energy."""


@dataclass(frozen=True)
class Geant4Timing:
    """CPU time of Geant4 in ms per shower: mean over `showers` events and its standard error."""

    showers: int
    cpu: float
    error: float


@dataclass(frozen=True)
class EnergyTiming:
    """Times of Geant4 and the generator at one incident energy (MeV)."""

    energy: float
    geant4: Geant4Timing
    generator: tuple[GeneratorTiming, ...]

    @property
    def speed_up(self) -> dict[int, float]:
        """Batch size → Geant4's CPU time per shower over the generator's."""
        return {timing.batch: self.geant4.cpu / timing.cpu.median for timing in self.generator}


@dataclass(frozen=True)
class Geant4Comparison:
    """Times of generator and Geant4; facts about Geant4 as plain data; whether both were bound to the same core."""

    geant4: dict[str, Any]
    pinned: bool
    rows: list[EnergyTiming]

    def model_fraction(self, batch: int) -> float:
        """Fraction of the generator's time spent in the model, in calls of `batch` showers, over all energies."""
        timings = [timing for row in self.rows for timing in row.generator if timing.batch == batch]
        return sum(t.model_cpu.median for t in timings) / sum(t.cpu.median for t in timings)


def against_geant4(
    simulator: Simulator,
    request: SimulationRequest,
    showers: int,
    batches: Sequence[int],
    *,
    repeats: int = 7,
    seconds: float = 0.5,
    progress: Callable[[int], None] | None = None,
) -> Geant4Comparison:
    """Time Geant4 and the generator at the same energies, in turn, each with one thread, on one core.

    For each energy, Geant4 simulates `showers` events and then waits while the generator is timed. If the system allows
    it, both are bound to the same core.

    Args:
        simulator: a simulator with its weights on the CPU.
        request: what Geant4 simulates; each distinct energy is used once.
        showers: Geant4 events per energy, at least 2.
        batches: showers per call of the generator.
        repeats, seconds: as for `time_simulator`.
        progress: called with the number of Geant4 events of each finished block.

    Raises:
        CaloforgeError: geant4-pybind is not installed; the detector of `request` has other voxels than the simulator;
            the run needs a condition that Geant4 does not simulate; too few showers; or from `time_simulator` and
            `run_blocks`.
    """
    binding_version()
    if request.detector.geometry.layers != simulator.geometry.layers:
        raise CaloforgeError(
            f"the detector '{request.detector.name}' has the voxels of {request.detector.geometry.name}, the run those "
            f"of {simulator.geometry.name}: the two times would not refer to the same showers"
        )
    if showers < 2:
        raise CaloforgeError(f"the number of Geant4 showers per energy must be at least 2, not {showers}")
    energies = np.unique(request.draw())
    n_events = showers * len(energies)
    columns = _conditions(simulator, max(n_events, WARM_UP_EVENTS), request.seed)
    cpu_ms = np.zeros(n_events + WARM_UP_EVENTS)
    generator: list[tuple[GeneratorTiming, ...]] = []

    def blocks() -> Iterator[Block]:
        # The worker is idle whenever a block is requested, so code that runs here has the core to itself.
        yield Block(n_events, np.full(WARM_UP_EVENTS, energies[0]), _rows(columns, 0, WARM_UP_EVENTS))
        for k, energy in enumerate(energies):
            size = int(np.clip(BLOCK_ENERGY / energy, 1, BLOCK_EVENTS))
            for start in range(0, showers, size):
                first, n = k * showers + start, min(size, showers - start)
                yield Block(first, np.full(n, energy), _rows(columns, first, n))
            at_this = energies[k : k + 1]
            timings = time_simulator(simulator, at_this, batches, repeats=repeats, seconds=seconds, seed=request.seed)
            generator.append(tuple(timings))

    with tempfile.TemporaryDirectory(prefix="caloforge-benchmark-") as folder, _one_core() as pinned:
        setup = worker_setup(request, Path(folder))
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
        **({"conditions": {kind.name: kind.span(columns[kind.name]) for kind in columns.kinds}} if columns else {}),
    }
    return Geant4Comparison(facts, pinned, rows)


def _conditions(simulator: Simulator, n: int, seed: int) -> Columns | None:
    """Conditions of n events, as the generator is timed at; slanted particles come from all sides.

    Raises:
        CaloforgeError: Geant4 does not simulate one.
    """
    known = simulator.conditions
    if unknown := [entry.kind.name for entry in known.needed if entry.kind.name not in NAMES]:
        raise CaloforgeError(
            f"the run needs the condition {unknown[0]}, which is not simulated; Geant4 takes {', '.join(NAMES)}"
        )
    columns = known.examples(n, seed).only([name for name in known.names if name in NAMES])
    if "theta" in columns and "phi" not in columns:
        columns = columns.with_column(KNOWN["phi"], np.random.default_rng(seed).uniform(-np.pi, np.pi, n))
    return columns or None


def _rows(columns: Columns | None, start: int, n: int) -> Columns | None:
    return None if columns is None else columns.take(np.arange(start, start + n))


@contextmanager
def _one_core() -> Iterator[bool]:
    """Bind this thread, and processes that it starts, to one core; yields whether the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)
