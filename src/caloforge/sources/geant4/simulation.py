"""A simulation from request to file: energies, blocks of events, workers, journal, HDF5.

Event i has the i-th energy of the spectrum and seeds derived from (seed, i), whichever worker simulates it and when, so
the arrays do not depend on the number of workers or on interruptions.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.documents import parse_json
from caloforge.energies import Incident
from caloforge.errors import CaloforgeError, option
from caloforge.files import prepare_parent
from caloforge.points import PointClouds, PointWriter
from caloforge.points.clouds import offsets_of
from caloforge.representation import is_made
from caloforge.showers import ShowerFile, ShowerWriter
from caloforge.showers.shard import Shard
from caloforge.sources.geant4.hit_cells import COLUMNS
from caloforge.sources.geant4.journal import Journal, check_same, decode, decode_hits, encode
from caloforge.sources.geant4.request import SimulationRequest, binding_version, provenance
from caloforge.sources.geant4.workers import Block, Finished, Setup, geant4_version, run_blocks

BLOCK_ENERGY = 40e3
"""MeV per block of events: about a second of work, the most that each worker can lose when killed."""
BLOCK_EVENTS = 64
CPU_COLUMN = "geant4_cpu_seconds"

Progress = Callable[[int, int], None]
"""Called with (events done, of n)."""


@dataclass(frozen=True)
class SimulationSummary:
    """Events and CPU seconds of the file; events simulated and wall-clock seconds of this call."""

    n: int
    cpu_seconds: float
    cpu_ms_per_gev: float
    simulated: int
    wall_seconds: float


def partial_path(output: Path) -> Path:
    """Path of the journal of `output`."""
    return output.with_name(output.name + ".partial")


def simulate(
    request: SimulationRequest,
    output: Path,
    workers: int = 1,
    overwrite: bool = False,
    append: bool = False,
    attributes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    shard: Shard | None = None,
) -> SimulationSummary:
    """Simulate and write CaloChallenge HDF5, or points, with the CPU time of each event; resume a partial file.

    Args:
        request: what to simulate.
        output: the file, written at the end; until then events go to `output`.partial.
        workers: number of processes, at least 1; the arrays do not depend on it.
        overwrite: replace an existing file and start again.
        append: keep the events of an existing `output`, from the same request with fewer events.
        attributes: additional attributes for the file.
        progress: called with (events done, of n) at the start and after each block.
        shard: simulate only the events of this shard.

    Raises:
        CaloforgeError: geant4-pybind is not installed; `output` exists; existing events are from another request;
            a worker died.
    """
    if workers < 1:
        raise CaloforgeError(f"the number of workers must be at least 1, not {workers}")
    if append and request.points:
        raise CaloforgeError("files of points cannot be extended: simulate the events anew, or in shards")
    prepare_parent(output)  # what cannot be written is said before hours are spent
    if output.exists() and not (overwrite or append):
        more = "" if request.points else f"{option('append', True)} to add events, or "
        raise CaloforgeError(f"{output} exists: use {more}{option('overwrite', True)} to start again")
    events = all_events(request, shard)
    with tempfile.TemporaryDirectory(prefix="caloforge-geant4-") as folder:
        setup = worker_setup(request, Path(folder))
        run = partial(run_blocks, setup, n_workers=workers, logs=Path(folder))
        return write_events(run, events, output, overwrite, append, attributes, progress)


@dataclass(frozen=True)
class Events:
    """The events of one file.

    Args:
        request: what to simulate.
        drawn: energies and conditions of the whole sample, from `SimulationRequest.draw_incident`.
        config: from `SimulationRequest.config`.
        shard: which of the events are meant; None for all.
    """

    request: SimulationRequest
    drawn: Incident
    config: dict[str, Any]
    shard: Shard | None = None

    @property
    def first(self) -> int:
        """Number of the first event."""
        return 0 if self.shard is None else self.shard.rows(len(self.drawn))[0]

    @property
    def incident(self) -> Incident:
        """Energies and conditions of these events."""
        return self.drawn if self.shard is None else self.drawn.take(slice(*self.shard.rows(len(self.drawn))))

    @property
    def energies(self) -> np.ndarray:
        """Incident energies of these events in MeV."""
        return self.incident.energies

    def facts(self) -> dict[str, Any]:
        """Attributes that say which events of which sample a file contains."""
        facts: dict[str, Any] = {"geant4_config": json.dumps(self.config)}
        return facts if self.shard is None else {**facts, "shard": self.shard.number, "shards": self.shard.of}

    def is_complete(self, path: Path) -> bool:
        """Whether `path` is the finished file of these events.

        Raises:
            CaloforgeError: it is another one.
        """
        return is_made(path, self.facts(), len(self.energies))

    def settle(self, path: Path) -> bool:
        """`is_complete`, and if so remove the journal of a process that was killed before it could.

        Raises:
            CaloforgeError: see `is_complete`.
        """
        complete = self.is_complete(path)
        if complete:
            partial_path(path).unlink(missing_ok=True)
        return complete


def all_events(request: SimulationRequest, shard: Shard | None = None) -> Events:
    """The events of a request, or of one shard of it.

    Raises:
        CaloforgeError: geant4-pybind is not installed, or does not start.
    """
    binding_version()
    incident = request.draw_incident()
    with tempfile.TemporaryDirectory(prefix="caloforge-geant4-") as folder:
        version = geant4_version(worker_setup(request, Path(folder)).environment)
    return Events(request, incident, request.config(incident, version), shard)


def write_events(
    run: Callable[[Iterator[Block]], Generator[Finished, None, None]],
    events: Events,
    output: Path,
    overwrite: bool = False,
    append: bool = False,
    attributes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> SimulationSummary:
    """Simulate events by way of a journal, and write their file; continue from a journal of the same events.

    Args:
        run: simulates blocks.
        events: what to simulate.
        output, overwrite, append, attributes, progress: see `simulate`.
    """
    incident, energies, first = events.incident, events.energies, events.first
    journalled = events.config if events.shard is None else {**events.config, "shard": str(events.shard)}
    journal_path = partial_path(output)
    with Journal(journal_path, journalled, len(energies), anew=overwrite) as journal:
        if append and not overwrite and output.exists() and not journal.done.any():
            _take_over(output, events.config, incident, journal)
        before, clock = int(journal.done.sum()), time.perf_counter()
        if progress is not None:
            progress(before, len(energies))
        with closing(run(_blocks(incident, journal.done, first))) as finished:
            for block in finished:
                journal.append(block.start - first, block.count, block.payload)
                if progress is not None:
                    progress(int(journal.done.sum()), len(energies))
        wall = time.perf_counter() - clock
        facts = {**provenance(events.request, events.config), **events.facts(), **(attributes or {})}
        cpu = _write(output, events.request, incident, journal, facts)
        journal.remove()
    return SimulationSummary(len(energies), cpu, 1e6 * cpu / float(energies.sum()), len(energies) - before, wall)


def worker_setup(request: SimulationRequest, scratch: Path) -> Setup:
    empty = scratch / "no-data"
    empty.mkdir()
    data = request.data
    return Setup(
        detector=request.detector,
        beam=request.beam(),
        seed=request.seed,
        environment=data.environment(str(empty)),
        commands=data.em_commands(),
        elements=data.elements,
        fast=request.fast,
        cells=request.cells,
    )


def _blocks(incident: Incident, done: np.ndarray, first: int) -> Iterator[Block]:
    """The events still to simulate, counted from `first`, in consecutive blocks of about BLOCK_ENERGY."""
    energies, columns = incident.energies, incident.conditions
    todo, start = np.flatnonzero(~done), 0
    while start < len(todo):
        stop, energy = start, 0.0
        while True:
            energy += energies[todo[stop]]
            stop += 1
            consecutive = stop < len(todo) and todo[stop] == todo[stop - 1] + 1
            if not consecutive or stop - start == BLOCK_EVENTS or energy >= BLOCK_ENERGY:
                break
        rows = todo[start:stop]
        yield Block(first + int(rows[0]), energies[rows], columns.take(rows) if columns else None)
        start = stop


def _take_over(output: Path, config: dict[str, Any], incident: Incident, journal: Journal) -> None:
    """Copy the events of a finished, shorter file into the journal."""
    energies = incident.energies
    with ShowerFile(output) as file:
        begun = parse_json(str(file.attributes.get("geant4_config", "{}")), f"{output}: attribute 'geant4_config'")
        check_same(
            begun, json.loads(json.dumps(config)), str(output), ignore=("n", "energies_sha256", "conditions_sha256")
        )
        n, cpu = len(file), file.column(CPU_COLUMN)
        same = n <= len(energies) and np.array_equal(file.energies(), energies[:n])
        columns = file.conditions()
        same = same and columns == incident.conditions.only(columns.names).take(slice(n))
        if cpu is None or not same:
            raise CaloforgeError(f"the {n} events in {output} are not the first of the {len(energies)} requested")
        start = 0
        for chunk in file.chunks(1024):
            stop = start + len(chunk)
            journal.append(start, len(chunk), encode(chunk.voxels, cpu[start:stop]))
            start = stop


def _write(
    output: Path, request: SimulationRequest, incident: Incident, journal: Journal, attributes: Mapping[str, Any]
) -> float:
    """Write the journal's events to `output`; return their total CPU seconds."""
    write = _write_voxels if request.cells is None else _write_hits
    total = 0.0
    with write(output, request, incident, attributes) as append:
        for start, found, cpu_seconds in journal.blocks(decode if request.cells is None else decode_hits):
            append(incident.take(slice(start, start + len(found))), found, cpu_seconds)
            total += float(cpu_seconds.sum())
    return total


Append = Callable[[Incident, Any, np.ndarray], None]
"""Adds events: what entered, voxels or hits, CPU seconds."""


@contextmanager
def _write_voxels(
    output: Path, request: SimulationRequest, incident: Incident, attributes: Mapping[str, Any]
) -> Iterator[Append]:
    geometry, kinds = request.detector.geometry, incident.conditions.kinds
    with ShowerWriter(output, geometry, attributes, columns=(CPU_COLUMN,), conditions=kinds) as writer:
        yield lambda part, voxels, cpu: writer.append(part.energies, voxels, part.conditions, **{CPU_COLUMN: cpu})


@contextmanager
def _write_hits(
    output: Path, request: SimulationRequest, incident: Incident, attributes: Mapping[str, Any]
) -> Iterator[Append]:
    kinds = incident.conditions.kinds
    with PointWriter(output, COLUMNS, kinds, attributes=attributes, columns=(CPU_COLUMN,)) as writer:

        def append(part: Incident, hits: Sequence[np.ndarray], cpu: np.ndarray) -> None:
            offsets = offsets_of(np.array([len(each) for each in hits]))
            clouds = PointClouds.unchecked(part.energies, np.concatenate(hits), offsets, COLUMNS, None, part.conditions)
            writer.append(clouds, **{CPU_COLUMN: cpu})

        yield append
