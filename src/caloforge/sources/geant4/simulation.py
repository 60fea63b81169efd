"""A simulation from request to file: energies, blocks of events, workers, journal, HDF5.

Event i has the i-th energy of the spectrum and seeds derived from (seed, i), whichever worker simulates it and when, so
the arrays do not depend on the number of workers or on interruptions.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.documents import parse_json
from caloforge.energies import Incident
from caloforge.errors import CaloforgeError, missing_extra, option
from caloforge.files import prepare_parent
from caloforge.showers import ShowerFile, ShowerWriter
from caloforge.showers.shard import Shard, is_made
from caloforge.sources.geant4.datasets import FoundData, physics_list_for
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.incidence import FRAMES, Frame, drawn, incident_law
from caloforge.sources.geant4.journal import Journal, check_same, encode
from caloforge.sources.geant4.workers import Block, Finished, Setup, geant4_version, run_blocks

BLOCK_ENERGY = 40e3
"""MeV per block of events: about a second of work, the most that each worker can lose when killed."""
BLOCK_EVENTS = 64
CPU_COLUMN = "geant4_cpu_seconds"

Progress = Callable[[int, int], None]
"""Called with (events done, of n)."""


@dataclass(frozen=True)
class SimulationRequest:
    """What to simulate.

    Args:
        detector: from `load_detector`.
        particle: Geant4's name: e-, e+, gamma, or a hadron.
        energies: an incident-energy spectrum (`caloforge.energies`).
        n: number of events; None if the spectrum has a natural number.
        seed: random seed for energies and events, at least 0.
        data: from `find_data`.
        cut: production cut in mm.
        angle: angle of incidence from the shower axis towards +x, in rad, in [0, pi/2).
        position: (x, y) of the impact point on the front face, mm.
        conditions: laws of theta, phi, x and y, `NAME=LAW` each (`caloforge.conditions.laws`); they are drawn event by
            event and stored. Azimuths are uniform unless they have a law.
        frame: what the mesh is aligned with (`caloforge.sources.geant4.incidence`).

    Raises:
        CaloforgeError: a value is out of range, the particle is unknown, or a data set is missing.
    """

    detector: Detector
    particle: str
    energies: str
    n: int | None
    seed: int
    data: FoundData
    cut: float = 0.7
    angle: float = 0.0
    position: tuple[float, float] = (0.0, 0.0)
    conditions: tuple[str, ...] = ()
    frame: Frame = "detector"

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise CaloforgeError(f"the frame must be {' or '.join(FRAMES)}, not '{self.frame}'")
        drawn_names = [text.partition("=")[0].strip() for text in self.conditions]
        if (self.angle and "theta" in drawn_names) or (any(self.position) and {"x", "y"} & set(drawn_names)):
            raise CaloforgeError("an angle or a position is given twice, once for all events and once by a law")
        if self.frame == "particle" and (self.angle or any(self.position)):
            raise CaloforgeError("a mesh that follows the particle needs its angle and position as conditions")
        if self.seed < 0:
            raise CaloforgeError(f"the seed must be at least 0, not {self.seed}")
        if not (math.isfinite(self.cut) and self.cut > 0):
            raise CaloforgeError(f"the production cut must be above 0 mm, not {self.cut}")
        if not 0 <= self.angle < math.pi / 2:
            raise CaloforgeError(f"the angle of incidence must be from 0 to below pi/2 rad, not {self.angle}")
        if not all(abs(v) < self.detector.half_width for v in self.position):
            raise CaloforgeError(f"the position {self.position} mm is not on the detector's front face")
        self.data.require(self.physics_list)

    @property
    def physics_list(self) -> str:
        return physics_list_for(self.particle)

    def beam(self) -> dict[str, Any]:
        """The arguments of `application.Beam`."""
        return {
            "particle": self.particle,
            "physics_list": self.physics_list,
            "cut": self.cut,
            "angle": self.angle,
            "position": self.position,
            **({} if self.frame == "detector" else {"frame": self.frame}),
        }

    def draw(self) -> np.ndarray:
        """(n,) incident energies in MeV."""
        return self.draw_incident().energies

    def draw_incident(self) -> Incident:
        """Energies and conditions of the n events."""
        law = incident_law(self.energies, self.conditions)
        return drawn(law, self.n, self.seed, self.detector.half_width)

    def config(self, incident: Incident, version: str) -> dict[str, Any]:
        """All settings that the events depend on."""
        energies, columns = incident.energies, incident.conditions
        found = {
            "n": len(energies),
            "energies": self.energies,
            "seed": self.seed,
            **self.beam(),
            "position": list(self.position),
            "detector": self.detector.source,
            "geometry": self.detector.geometry.to_dict(),
            "geant4": version,
            "geant4_pybind": binding_version(),
            "data_sets": self.data.describe(),
            "energies_sha256": hashlib.sha256(energies.tobytes()).hexdigest(),
        }
        if columns:
            found["conditions"] = incident_law(self.energies, self.conditions).text
            found["conditions_sha256"] = hashlib.sha256(columns.table.tobytes()).hexdigest()
        return found


@dataclass(frozen=True)
class SimulationSummary:
    """Events and CPU seconds of the file; events simulated and wall-clock seconds of this call."""

    n: int
    cpu_seconds: float
    cpu_ms_per_gev: float
    simulated: int
    wall_seconds: float


def binding_version() -> str:
    """Version of geant4-pybind, without importing it.

    Raises:
        CaloforgeError: it is not installed.
    """
    if importlib.util.find_spec("geant4_pybind") is None:
        raise missing_extra("geant4-pybind", "geant4", "simulating with Geant4")
    return importlib.metadata.version("geant4-pybind")


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
    """Simulate and write CaloChallenge HDF5 with the CPU time of each event; resume a partial file.

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
    prepare_parent(output)  # what cannot be written is said before hours are spent
    if output.exists() and not (overwrite or append):
        raise CaloforgeError(
            f"{output} exists: use {option('append', True)} to add events, or "
            f"{option('overwrite', True)} to start again"
        )
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
        facts = {**_provenance(events.request, events.config), **events.facts(), **(attributes or {})}
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


def _provenance(request: SimulationRequest, config: dict[str, Any]) -> dict[str, Any]:
    version = config["geant4"]
    source = f"Geant4 {version} via geant4-pybind {config['geant4_pybind']}, {request.physics_list}"
    return {
        "source": f"{source}, production cuts {request.cut:g} mm",
        "geant4_version": version,
        "physics_list": request.physics_list,
        "production_cut_mm": request.cut,
        "data_sets": request.data.describe(),
        "detector": request.detector.name,
        "detector_file": json.dumps(request.detector.source),
        "particle": request.particle,
        "energies": request.energies,
        "seed": request.seed,
        **_incidence(request),
    }


def _incidence(request: SimulationRequest) -> dict[str, Any]:
    """Attributes that say how particles enter, as far as it is the same for all, and how the mesh lies."""
    law = incident_law(request.energies, request.conditions)
    names = {each.kind.name for each in law.laws} | set(law.spectrum.conditions or ())
    if not names and request.frame == "detector":
        return {"angle_rad": request.angle, "position_mm": list(request.position)}
    return {"frame": FRAMES[request.frame], **({"condition_laws": law.text} if law.laws else {})}


def _write(
    output: Path, request: SimulationRequest, incident: Incident, journal: Journal, attributes: Mapping[str, Any]
) -> float:
    """Write the journal's events to `output`; return their total CPU seconds."""
    total, geometry, kinds = 0.0, request.detector.geometry, incident.conditions.kinds
    with ShowerWriter(output, geometry, attributes, columns=(CPU_COLUMN,), conditions=kinds) as writer:
        for start, voxels, cpu_seconds in journal.blocks():
            part = incident.take(slice(start, start + len(voxels)))
            writer.append(part.energies, voxels, part.conditions, **{CPU_COLUMN: cpu_seconds})
            total += float(cpu_seconds.sum())
    return total
