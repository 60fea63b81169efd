"""Geant4 in this process: detector, particle gun and scoring; from incident energies to rows of voxels.

There can be only one `Application` per process (Geant4 consists of singletons), and its environment must be set
before the first import of geant4-pybind (see `datasets`).

Notes on the bindings:

- Geant4 takes ownership of the objects passed to it, but pybind11 does not always know: `_keep` keeps them alive.
- `HepRandom.setTheSeeds` expects a list that ends with 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import geant4_pybind as g4
import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.detector import Detector, Slab
from caloforge.sources.geant4.incidence import Frame, Incidence, incidences
from caloforge.sources.geant4.scoring import Deposits, layer_scorer
from caloforge.sources.geant4.voxels import fill, fill_along

BEFORE = 0.01
"""mm before the front face where a particle starts."""


@dataclass(frozen=True)
class Beam:
    """The beam: particle, physics list, production cut, angle and position.

    Args:
        particle: its Geant4 name.
        physics_list: `G4EmStandardPhysics` or `FTFP_BERT`.
        cut: production cut in mm.
        angle: angle of incidence from the shower axis, in rad, in the x-z plane, 0 … pi/2.
        position: (x, y) in mm on the front face.
        frame: what the mesh is aligned with.
    """

    particle: str
    physics_list: str
    cut: float = 0.7
    angle: float = 0.0
    position: tuple[float, float] = (0.0, 0.0)
    frame: Frame = "detector"


def event_seeds(seed: int, event: int) -> list[int]:
    """Seeds of Geant4's random engine for one event; they depend only on the run's seed and the event number."""
    words = np.random.SeedSequence(seed, spawn_key=(1, event)).generate_state(2)
    # 0 terminates the list of seeds, so neither of the two may be 0.
    return [int(word) % (2**31 - 1) + 1 for word in words] + [0]


class _Construction(g4.G4VUserDetectorConstruction):
    """The slabs, with one logical volume per kind and one sensitive detector per layer."""

    def __init__(self, detector: Detector, beam: Beam, deposits: list[Deposits]) -> None:
        super().__init__()
        self.detector, self.deposits, self.depth = detector, deposits, beam.frame == "particle"
        # Without hadrons, photons are the only neutral particles.
        electromagnetic = beam.physics_list == "G4EmStandardPhysics"
        self.photons_below = detector.score_photons_below if electromagnetic else math.inf
        self._keep: list[Any] = []
        self._volumes: dict[tuple[str, float, int | None], Any] = {}

    def Construct(self) -> Any:
        half, depth = self.detector.half_width, self.detector.depth
        box = g4.G4Box("world", half + 10, half + 10, depth + 100)
        material = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_Galactic")
        logical = g4.G4LogicalVolume(box, material, "world")
        world = g4.G4PVPlacement(None, g4.G4ThreeVector(), logical, "world", None, False, 0, False)
        self._keep += [box, logical, world]
        for number, slab in enumerate(self.detector.slabs):
            place = g4.G4ThreeVector(0, 0, slab.z + slab.thickness / 2)
            volume = self._volume(slab)
            self._keep.append(g4.G4PVPlacement(None, place, volume, f"slab{number}", logical, False, number, False))
        return world

    def _volume(self, slab: Slab) -> Any:
        key = slab.material, slab.thickness, slab.layer
        if key not in self._volumes:
            name = f"{slab.material}-{slab.thickness}-{slab.layer}"
            half = self.detector.half_width
            box = g4.G4Box(name, half, half, slab.thickness / 2)
            material = g4.G4NistManager.Instance().FindOrBuildMaterial(slab.material)
            self._volumes[key] = g4.G4LogicalVolume(box, material, name)
            self._keep.append(box)
        return self._volumes[key]

    def ConstructSDandField(self) -> None:
        for position, layer in enumerate(self.detector.geometry.layer_ids):
            scorer, parts = layer_scorer(layer, self.deposits[position], self.photons_below, self.depth)
            self._keep += [scorer, *parts]
            g4.G4SDManager.GetSDMpointer().AddNewDetector(scorer)
            for (_, _, counted), volume in self._volumes.items():
                if counted == layer:
                    self.SetSensitiveDetector(volume, scorer)


class _Gun(g4.G4VUserPrimaryGeneratorAction):
    """One primary per event; `begin` is called before any random number is drawn."""

    def __init__(self, beam: Beam, begin: Callable[[], tuple[float, Incidence | None]]) -> None:
        super().__init__()
        self._begin = begin
        self._gun = g4.G4ParticleGun(1)
        self._gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(beam.particle))
        x, y = beam.position
        self._gun.SetParticlePosition(g4.G4ThreeVector(x, y, -BEFORE))
        direction = g4.G4ThreeVector(math.sin(beam.angle), 0.0, math.cos(beam.angle))
        self._gun.SetParticleMomentumDirection(direction)

    def GeneratePrimaries(self, event: Any) -> None:
        energy, incidence = self._begin()
        self._gun.SetParticleEnergy(energy)
        if incidence is not None:
            self._gun.SetParticlePosition(g4.G4ThreeVector(*incidence.start(BEFORE)))
            self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(*incidence.direction))
        self._gun.GeneratePrimaryVertex(event)


class _EventEnd(g4.G4UserEventAction):
    def __init__(self, finish: Callable[[], None]) -> None:
        super().__init__()
        self._finish = finish

    def EndOfEventAction(self, event: Any) -> None:
        self._finish()


class _Actions(g4.G4VUserActionInitialization):
    def __init__(
        self, beam: Beam, begin: Callable[[], tuple[float, Incidence | None]], finish: Callable[[], None]
    ) -> None:
        super().__init__()
        self._make = lambda: (_Gun(beam, begin), _EventEnd(finish))

    def Build(self) -> None:
        self._keep = self._make()
        for action in self._keep:
            self.SetUserAction(action)


class _Electromagnetic(g4.G4VModularPhysicsList):
    def __init__(self) -> None:
        super().__init__()
        self._keep = g4.G4EmStandardPhysics()
        self.RegisterPhysics(self._keep)


class Application:
    """Geant4 with a detector and a beam, ready for events.

    Args:
        detector: the detector.
        beam: the beam.
        commands: Geant4 UI commands, sent before initialisation.
        elements: atomic numbers with physics tables; empty if unknown.

    Raises:
        CaloforgeError: a material is not in Geant4's table, or contains an element without physics tables.
    """

    def __init__(self, detector: Detector, beam: Beam, commands: tuple[str, ...], elements: frozenset[int]) -> None:
        self.detector, self._frame = detector, beam.frame
        self._deposits: list[Deposits] = [[] for _ in detector.geometry.layers]
        self._block: tuple[int, int, np.ndarray] = (0, 0, np.empty(0))
        self._incidences: list[Incidence] = []
        self._rows = np.empty((0, detector.geometry.n_voxels), dtype=np.float32)
        self._cpu = np.empty(0)
        self._event = 0
        manager = g4.G4RunManager()
        _check_materials(detector, elements)
        construction = _Construction(detector, beam, self._deposits)
        physics = _Electromagnetic() if beam.physics_list == "G4EmStandardPhysics" else g4.FTFP_BERT()
        physics.SetDefaultCutValue(beam.cut)
        actions = _Actions(beam, self._begin, self._finish)
        for part in (construction, physics, actions):
            manager.SetUserInitialization(part)
        interface = g4.G4UImanager.GetUIpointer()
        for command in commands:
            interface.ApplyCommand(command)
        manager.Initialize()
        # A run without events builds the physics tables, so that this is not in the CPU time of any event.
        manager.BeamOn(0)
        self._keep = (manager, construction, physics, actions)

    def simulate(
        self, seed: int, start: int, energies: np.ndarray, conditions: Columns | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Voxels (n, V) float32 in MeV and CPU seconds (n,) of events start … start + n - 1.

        Args:
            seed: seed of the whole run.
            start: number of the first event.
            energies: (n,) incident energies in MeV.
            conditions: directions and entry points of the particles; None for those of the beam.
        """
        n = len(energies)
        self._incidences = [] if conditions is None else incidences(conditions, n)
        self._block = (seed, start, energies)
        self._rows, self._cpu, self._event = np.zeros((n, self._rows.shape[1]), np.float32), np.zeros(n), 0
        self._keep[0].BeamOn(n)
        return self._rows, self._cpu

    def _begin(self) -> tuple[float, Incidence | None]:
        self._clock = time.process_time()
        seed, start, energies = self._block
        g4.HepRandom.setTheSeeds(event_seeds(seed, start + self._event))
        return float(energies[self._event]), self._incidences[self._event] if self._incidences else None

    def _finish(self) -> None:
        geometry, row = self.detector.geometry, self._rows[self._event]
        if self._frame == "particle":
            incidence = self._incidences[self._event] if self._incidences else Incidence()
            row[:] = fill_along(self.detector, [np.array(d).reshape(-1, 4) for d in self._deposits], incidence)
            for deposits in self._deposits:
                deposits.clear()
        for position, (deposits, part) in enumerate(zip(self._deposits, geometry.slices, strict=True)):
            if deposits:
                row[part] = fill(self.detector, position, np.array(deposits).reshape(-1, 3))
                deposits.clear()
        self._cpu[self._event] = time.process_time() - self._clock
        self._event += 1


def _check_materials(detector: Detector, elements: frozenset[int]) -> None:
    for name in detector.materials:
        material = g4.G4NistManager.Instance().FindOrBuildMaterial(name)
        if material is None:
            raise CaloforgeError(f"detector '{detector.name}': Geant4's NIST table has no material '{name}'")
        for k in range(material.GetNumberOfElements()):
            element = material.GetElement(k)
            if elements and element.GetZasInt() not in elements:
                raise CaloforgeError(
                    f"detector '{detector.name}': {name} contains {element.GetName()} (Z = {element.GetZasInt()}), for "
                    "which the data set G4EMLOW has no tables: use the full data sets"
                )
