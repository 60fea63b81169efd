"""A trained run that makes the showers of particles within a Geant4 simulation (`caloforge.sources.geant4.fast`).

These are particles that the run was trained on, of energies, angles and entry points of its training, and above a
least energy. `within_geant4` refuses what the run cannot do before anything is simulated, and says what is
approximated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions import KNOWN, Columns
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.energies import outside_range
from caloforge.errors import CaloforgeError, option
from caloforge.inference import Batch, TorchEngine
from caloforge.simulator.core import Simulator
from caloforge.sources.geant4.fast import SPOT
from caloforge.sources.geant4.gun import Primary, primaries
from caloforge.sources.geant4.incidence import NAMES, Frame, Incidence
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.transforms import ReadoutThreshold
from caloforge.units import format_energy

CODES: Mapping[int, str] = {
    22: "gamma",
    11: "e-",
    -11: "e+",
    211: "pi+",
    -211: "pi-",
    321: "kaon+",
    -321: "kaon-",
    2212: "proton",
    -2212: "anti_proton",
    2112: "neutron",
}
"""PDG's code → Geant4's name."""

SAME_ANGLE = 1e-6
"""rad: directions that differ by less are the same."""


@dataclass(frozen=True)
class RunWithinGeant4:
    """A run within a simulation: plain data for the processes of Geant4. Make one with `within_geant4`.

    Args:
        folder: of the run.
        above: least kinetic energy in MeV of particles whose showers it makes.
        frame: what the mesh of the simulation is aligned with.
        weights: hash of the run's weights.
        trusted: dotted paths of the user's own classes that the run may import.
        approximations: what differs from a full simulation, in words.
    """

    folder: Path
    above: float
    frame: Frame
    weights: str
    trusted: tuple[str, ...] = ()
    approximations: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """See `FastShowers.config`."""
        return {"above": self.above, "weights_sha256": self.weights}

    def facts(self) -> dict[str, Any]:
        """See `FastShowers.facts`."""
        return {
            "fast_run": self.folder.name,
            "fast_above_mev": self.above,
            "fast_weights_sha256": self.weights,
            "fast_approximations": "; ".join(self.approximations),
        }

    def start(self) -> RunMaker:
        """See `FastShowers.start`."""
        import torch

        torch.set_num_threads(1)  # as Geant4: one process, one core
        return RunMaker(Simulator.load(self.folder, self.trusted), self.above, self.frame)


class RunMaker:
    """A loaded run that makes showers of particles: see `ShowerMaker`.

    Args:
        simulator: the run.
        above: least kinetic energy in MeV; None for the lowest of the training.
        frame: what the mesh of the simulation is aligned with.

    Raises:
        CaloforgeError: the run does not record its particle or its energies, needs a condition that Geant4 does not
            have, or has a mesh that stays with the detector where that of the simulation turns with the particle.
    """

    def __init__(self, simulator: Simulator, above: float | None, frame: Frame) -> None:
        self.simulator, self.frame = simulator, frame
        self._engine = TorchEngine(simulator)
        known = simulator.conditions
        if unknown := [entry.kind.name for entry in known.needed if entry.kind.name not in (*NAMES, "pdg")]:
            raise CaloforgeError(
                f"the run needs the condition {unknown[0]}, which particles in Geant4 do not have; they have "
                f"{', '.join(NAMES)} and pdg"
            )
        if simulator.energy_range is None:
            raise CaloforgeError("the run does not record the energies of its training: train it again")
        self.low, self.high = simulator.energy_range
        self.above = self.low if above is None else above
        codes = next((entry.values for entry in known.entries if entry.kind.name == "pdg"), None) or ()
        named = str(simulator.provenance.get("particle", "unknown"))
        self.particles = tuple(CODES[int(code)] for code in codes if int(code) in CODES) or (named,)
        if "unknown" in self.particles:
            raise CaloforgeError("the run does not record the particle of its training: train it again")
        self.turning = str(simulator.provenance.get("frame", "")).startswith(TURNING_FRAME)
        if frame == "particle" and not self.turning:
            raise CaloforgeError(
                "the mesh of the run stays with the detector, that of the simulation turns with the particle: leave "
                f"out {option('frame', 'particle')}"
            )
        self._angle = float(simulator.provenance.get("training_angle_rad", 0.0))
        self._names = (*known.names, *known.superfluous)

    def accepts(self, primary: Primary) -> bool:
        """See `ShowerMaker.accepts`."""
        return primary.particle in self.particles and primary.energy >= self.above and not self.reason(primary)

    def reason(self, primary: Primary) -> str:
        """Why the run cannot make the shower of one of its particles; empty if it can."""
        if outside_range(np.array([primary.energy]), self.low, self.high)[0]:
            trained = f"{format_energy(self.low)} … {format_energy(self.high)}"
            remedy = f"; {option('fast_above', format_energy(self.low).replace(' ', ''))} leaves lower ones to Geant4"
            return (
                f"the run makes showers of {trained}, not of {format_energy(primary.energy)}"
                f"{remedy if primary.energy < self.low else ': shoot lower energies, or train it on higher ones'}"
            )
        way = primary.incidence or Incidence()
        slanted = abs(way.theta - self._angle) > SAME_ANGLE or (
            self._angle > 0 and abs(math.remainder(way.phi, 2 * math.pi)) > SAME_ANGLE
        )
        if "theta" not in self._names and slanted:
            known = f"{math.degrees(self._angle):.4g} deg" if self._angle else "normal incidence"
            return (
                f"the run was trained at {known} alone, not at theta = {math.degrees(way.theta):.4g} deg: shoot at "
                "that, or train it with angles"
            )
        columns = self._columns([primary])
        for entry in self.simulator.conditions.entries:
            name = entry.kind.name
            try:
                entry.check(columns[name])
            except CaloforgeError:
                value = entry.kind.format(float(columns[name][0]))
                return f"the run was trained at {name} {entry.span}, not at {value}"
        return ""

    def make(self, caught: Sequence[Primary], seed: int) -> np.ndarray:
        """See `ShowerMaker.make`."""
        conditions = self.simulator.conditions
        values = conditions.values(conditions.checked(self._columns(caught)))
        return self._engine.generate(Batch(0, np.array([p.energy for p in caught]), seed, values)).rows

    def mesh(self, primary: Primary) -> Incidence | None:
        """See `ShowerMaker.mesh`."""
        way = primary.incidence or Incidence()
        if self.frame == "particle":
            return None
        moved = Incidence(x=0.0 if "x" in self._names else way.x, y=0.0 if "y" in self._names else way.y)
        if self.turning:
            moved = Incidence(way.theta, way.phi, moved.x, moved.y)
        return None if moved.theta == moved.x == moved.y == 0 else moved

    def _columns(self, some: Sequence[Primary]) -> Columns:
        """The conditions of particles that the run knows."""
        columns = Columns.none(len(some))
        ways = [primary.incidence or Incidence() for primary in some]
        codes = {name: code for code, name in CODES.items()}
        for name in self._names:
            if name == "pdg":
                columns = columns.with_column(KNOWN[name], np.array([float(codes[p.particle]) for p in some]))
            elif name in NAMES:
                columns = columns.with_column(KNOWN[name], np.array([float(getattr(way, name)) for way in ways]))
        return columns


def within_geant4(
    folder: Path, request: SimulationRequest, above: float | None = None, trusted: Collection[str] = ()
) -> RunWithinGeant4:
    """A run that makes the showers of a simulation, once it is known to be able to.

    Args:
        folder: of the run.
        request: the simulation.
        above: least kinetic energy in MeV; None for the lowest of the training.
        trusted: dotted paths of the user's own classes that the run may import.

    Raises:
        CaloforgeError: the run has other voxels, another detector or none of the particles; or it cannot make the
            shower of one that is shot, since its energy, angle or entry point is not of the training.
    """
    simulator = Simulator.load(folder, trusted)
    maker, detector = RunMaker(simulator, above, request.frame), request.detector
    if not 0 < maker.above <= maker.high:
        raise CaloforgeError(
            f"{option('fast_above')} must be above 0 and at most {format_energy(maker.high)}, the highest energy of "
            f"the run, not {maker.above:g} MeV"
        )
    if not detector.geometry.has_voxels_of(simulator.geometry):
        raise CaloforgeError(
            f"the detector '{detector.name}' has the voxels of {detector.geometry.name}, the run those of "
            f"{simulator.geometry.name}: use a run that was trained on this detector"
        )
    trained_in = simulator.provenance.get("detector", "unknown")
    if trained_in not in ("unknown", detector.name):
        raise CaloforgeError(
            f"the run was trained in the detector '{trained_in}', not in '{detector.name}': use one that was trained "
            "on it"
        )
    shot = list(dict.fromkeys(request.particles.split(",")))
    if not set(shot) & set(maker.particles):
        raise CaloforgeError(
            f"the run was trained on {', '.join(maker.particles)}, and none is shot ({', '.join(shot)}): use another "
            "run"
        )
    for primary in _shot(request):
        if primary.particle in maker.particles and primary.energy >= maker.above and (why := maker.reason(primary)):
            raise CaloforgeError(why)
    notes = _approximations(maker, request)
    return RunWithinGeant4(folder, maker.above, request.frame, simulator.weights_sha256(), tuple(trusted), notes)


def _shot(request: SimulationRequest) -> Iterator[Primary]:
    """Every particle of a simulation, with its direction and entry point."""
    incident, (x, y) = request.draw_incident(), request.position
    beam = Incidence(request.angle, 0.0, x, y)
    events = primaries(request.particles.split(","), incident.energies, incident.conditions or None)
    for primary in itertools.chain.from_iterable(events):
        yield Primary(primary.particle, primary.energy, primary.incidence or beam)


def _approximations(maker: RunMaker, request: SimulationRequest) -> tuple[str, ...]:
    """What differs from a full simulation, besides the run's own showers."""
    simulator, found = maker.simulator, []
    threshold = max((each.value for each in simulator.transforms if isinstance(each, ReadoutThreshold)), default=0)
    if threshold:
        found.append(f"voxels of a single shower below {threshold:g} MeV are empty")
    meshes = [maker.mesh(primary) for primary in _shot(request) if maker.accepts(primary)]
    if any(mesh is not None for mesh in meshes):
        found.append(f"showers are moved to their entry points in spots of up to {SPOT:g} MeV, uniform in each voxel")
    if any(mesh is not None and mesh.theta for mesh in meshes):
        found.append("turned showers keep the depth of their layers along the direction")
    trained = str(simulator.provenance.get("training_source", ""))
    if trained and request.physics_list not in trained:
        found.append(f"the run was trained with other physics ({trained}) than {request.physics_list}")
    return tuple(found)
