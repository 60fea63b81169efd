"""Geant4 in this process: detector, particle gun and scoring; from incident energies to voxels or hits.

There can be only one `Application` per process (Geant4 consists of singletons), and its environment must be set
before the first import of geant4-pybind (see `datasets`).

Notes on the bindings:

- Geant4 takes ownership of the objects passed to it, but pybind11 does not always know: `_keep` keeps them alive.
- `HepRandom.setTheSeeds` expects a list that ends with 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import geant4_pybind as g4
import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.catching import Catcher
from caloforge.sources.geant4.detector import Detector, Slab
from caloforge.sources.geant4.fast import ShowerMaker, fast_seed, place
from caloforge.sources.geant4.gun import Primary, primaries
from caloforge.sources.geant4.hit_cells import HitCells
from caloforge.sources.geant4.incidence import Frame, Incidence
from caloforge.sources.geant4.light import Light
from caloforge.sources.geant4.scoring import Deposits, layer_scorer
from caloforge.sources.geant4.voxels import fill, fill_along, read_out

BEFORE = 0.01
"""mm before the front face where a particle starts."""


@dataclass(frozen=True)
class Beam:
    """The beam: particles, physics list, production cut, angle and position.

    Args:
        particle: its Geant4 name; of several, the names with commas between.
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
    """The slabs, with one logical volume per kind, and one sensitive detector per layer and light."""

    def __init__(self, detector: Detector, beam: Beam, deposits: list[Deposits]) -> None:
        super().__init__()
        self.detector, self._deposits, self.depth = detector, deposits, beam.frame == "particle"
        # Without hadrons, photons are the only neutral particles.
        electromagnetic = beam.physics_list == "G4EmStandardPhysics"
        self.photons_below = detector.score_photons_below if electromagnetic else math.inf
        self._keep: list[Any] = []
        self._volumes: dict[tuple[str, float, int | None, Light], Any] = {}

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
        key = slab.material, slab.thickness, slab.layer, Light(slab.birks, slab.time_gate)
        if key not in self._volumes:
            name = f"{slab.material}-{slab.thickness}-{slab.layer}-{len(self._volumes)}"
            half = self.detector.half_width
            box = g4.G4Box(name, half, half, slab.thickness / 2)
            material = g4.G4NistManager.Instance().FindOrBuildMaterial(slab.material)
            self._volumes[key] = g4.G4LogicalVolume(box, material, name)
            self._keep.append(box)
        return self._volumes[key]

    def ConstructSDandField(self) -> None:
        scorers: dict[tuple[int, Light], Any] = {}
        for (_, _, layer, light), volume in self._volumes.items():
            if layer is None:
                continue
            if (layer, light) not in scorers:
                deposits = self._deposits[self.detector.geometry.layer_ids.index(layer)]
                name = f"layer{layer}-{len(scorers)}"
                scorer, parts = layer_scorer(name, deposits, self.photons_below, self.depth, light)
                self._keep += [scorer, *parts]
                g4.G4SDManager.GetSDMpointer().AddNewDetector(scorer)
                scorers[layer, light] = scorer
            self.SetSensitiveDetector(volume, scorers[layer, light])


class _Gun(g4.G4VUserPrimaryGeneratorAction):
    """The particles of an event; `begin` is called before any random number is drawn."""

    def __init__(self, beam: Beam, begin: Callable[[], Sequence[Primary]]) -> None:
        super().__init__()
        self._begin = begin
        self._gun = g4.G4ParticleGun(1)
        table = g4.G4ParticleTable.GetParticleTable()
        self._definitions = {name: table.FindParticle(name) for name in beam.particle.split(",")}
        x, y = beam.position
        self._start = g4.G4ThreeVector(x, y, -BEFORE)
        self._direction = g4.G4ThreeVector(math.sin(beam.angle), 0.0, math.cos(beam.angle))

    def GeneratePrimaries(self, event: Any) -> None:
        for primary in self._begin():
            start, direction = self._start, self._direction
            if primary.incidence is not None:
                start = g4.G4ThreeVector(*primary.incidence.start(BEFORE))
                direction = g4.G4ThreeVector(*primary.incidence.direction)
            self._gun.SetParticleDefinition(self._definitions[primary.particle])
            self._gun.SetParticleEnergy(primary.energy)
            self._gun.SetParticlePosition(start)
            self._gun.SetParticleMomentumDirection(direction)
            self._gun.GeneratePrimaryVertex(event)


class _EventEnd(g4.G4UserEventAction):
    def __init__(self, finish: Callable[[], None]) -> None:
        super().__init__()
        self._finish = finish

    def EndOfEventAction(self, event: Any) -> None:
        self._finish()


class _Actions(g4.G4VUserActionInitialization):
    def __init__(
        self,
        beam: Beam,
        begin: Callable[[], Sequence[Primary]],
        finish: Callable[[], None],
        more: Sequence[Callable[[], Any]],
    ) -> None:
        super().__init__()
        # Geant4 wants its actions made after the physics list.
        self._make = lambda: (_Gun(beam, begin), _EventEnd(finish), *(make() for make in more))

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
        fast: makes the showers of some particles; None if Geant4 tracks all.
        cells: read out hits of cells in place of voxels.

    Raises:
        CaloforgeError: a material is not in Geant4's table, or contains an element without physics tables.
    """

    def __init__(
        self,
        detector: Detector,
        beam: Beam,
        commands: tuple[str, ...],
        elements: frozenset[int],
        fast: ShowerMaker | None = None,
        cells: HitCells | None = None,
    ) -> None:
        self.detector, self._beam = detector, beam
        self._deposits: list[Deposits] = [[] for _ in detector.geometry.layers]
        self._block = (0, 0)
        self._primaries: list[tuple[Primary, ...]] = []
        self._rows: list[np.ndarray] = []
        self._cpu = np.empty(0)
        self._event = 0
        manager = g4.G4RunManager()
        _check_materials(detector, elements)
        construction = _Construction(detector, beam, self._deposits)
        physics = _Electromagnetic() if beam.physics_list == "G4EmStandardPhysics" else g4.FTFP_BERT()
        physics.SetDefaultCutValue(beam.cut)
        self._maker, self._cells = fast, cells
        self._caught: list[Primary] = []
        more = [] if fast is None else [partial(Catcher, self._caught, fast.accepts, detector.half_width)]
        actions = _Actions(beam, self._begin, self._finish, more)
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
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Voxels (V,) in MeV, or hits (h, 4), float32, of each event start … start + n - 1; CPU seconds (n,).

        Args:
            seed: seed of the whole run.
            start: number of the first event.
            energies: (n,) incident energies in MeV; of several particles, their sum.
            conditions: directions and entry points of the particles, None for those of the beam; the energies of
                several particles (`caloforge.sources.geant4.gun`).
        """
        n = len(energies)
        self._primaries = primaries(self._beam.particle.split(","), energies, conditions)
        self._block = (seed, start)
        self._rows, self._cpu, self._event = [], np.zeros(n), 0
        self._keep[0].BeamOn(n)
        return self._rows, self._cpu

    def _begin(self) -> tuple[Primary, ...]:
        self._clock = time.process_time()
        seed, start = self._block
        g4.HepRandom.setTheSeeds(event_seeds(seed, start + self._event))
        return self._primaries[self._event]

    def _finish(self) -> None:
        self._rows.append(self._voxels() if self._cells is None else self._hits(self._cells))
        for deposits in self._deposits:
            deposits.clear()
        self._cpu[self._event] = time.process_time() - self._clock
        self._event += 1

    def _hits(self, cells: HitCells) -> np.ndarray:
        """(h, 4) of this event."""
        return cells.hits([np.array(deposits).reshape(-1, 3) for deposits in self._deposits])

    def _voxels(self) -> np.ndarray:
        """(V,) float32 of this event, MeV."""
        energies = self._tracked()
        if self._maker is not None and self._caught:
            energies += self._made(self._maker)
            self._caught.clear()
        return read_out(self.detector, energies).astype(np.float32)

    def _tracked(self) -> np.ndarray:
        """(V,) what Geant4 deposited in this event, MeV."""
        geometry, found = self.detector.geometry, np.zeros(self.detector.geometry.n_voxels)
        if self._beam.frame == "particle":
            incidence = self._primaries[self._event][0].incidence or Incidence()
            found = fill_along(self.detector, [np.array(d).reshape(-1, 4) for d in self._deposits], incidence)
        else:
            for position, (deposits, part) in enumerate(zip(self._deposits, geometry.slices, strict=True)):
                if deposits:
                    found[part] = fill(self.detector, position, np.array(deposits).reshape(-1, 3))
        return found

    def _made(self, maker: ShowerMaker) -> np.ndarray:
        """(V,) showers of the particles that were taken out of this event, MeV."""
        seed, start = self._block
        own = fast_seed(seed, start + self._event)
        rng, found = np.random.default_rng(own), np.zeros(self.detector.geometry.n_voxels)
        for primary, shower in zip(self._caught, maker.make(self._caught, own), strict=True):
            found += place(self.detector, shower.astype(np.float64), maker.mesh(primary), rng)
        return found


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
