"""What to simulate with Geant4, the settings that its events depend on, and what a file says of its origin."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.energies import Incident, IncidentLaw
from caloforge.errors import CaloforgeError, missing_extra, option
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.fast import FastShowers
from caloforge.sources.geant4.gun import GunEntry, draw_primaries, parse_gun, physics_list_of
from caloforge.sources.geant4.hit_cells import HitCells, layer_pitch
from caloforge.sources.geant4.incidence import FRAMES, Frame, drawn, incident_law


@dataclass(frozen=True)
class SimulationRequest:
    """What to simulate.

    Args:
        detector: from `load_detector`.
        particle: Geant4's name: e-, e+, gamma, or a hadron; empty if there is a gun.
        energies: an incident-energy spectrum (`caloforge.energies`); empty if there is a gun.
        n: number of events; None if the spectrum has a natural number.
        seed: random seed for energies and events, at least 0.
        data: from `find_data`.
        cut: production cut in mm.
        angle: angle of incidence from the shower axis towards +x, in rad, in [0, pi/2).
        position: (x, y) of the impact point on the front face, mm.
        conditions: laws of theta, phi, x and y, `NAME=LAW` each (`caloforge.conditions.laws`); they are drawn event by
            event and stored. Azimuths are uniform unless they have a law.
        frame: what the mesh is aligned with (`caloforge.sources.geant4.incidence`).
        gun: events of several particles, in words (`caloforge.sources.geant4.gun`).
        fast: makes the showers of some particles (`caloforge.sources.geant4.fast`); None if Geant4 tracks all.
        points: cells whose hits are written in place of voxels, as `cell:5mm` (`caloforge.sources.geant4.hit_cells`).
        threshold: least energy of a hit, as `0.1MIP` or `20keV`.

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
    gun: str = ""
    fast: FastShowers | None = None
    points: str = ""
    threshold: str = ""

    def __post_init__(self) -> None:
        if bool(self.gun) == bool(self.particle) or bool(self.gun) == bool(self.energies):
            either_or = f"{option('particle')} and {option('energies')}, or {option('gun')}"
            raise CaloforgeError(f"what to shoot is said either by {either_or}: give one of the two")
        if self.gun and self.frame == "particle":
            raise CaloforgeError("the mesh can follow one particle only, not those of a gun")
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
            given = f"{math.degrees(self.angle):.6g} deg ({self.angle:.6g} rad)"
            raise CaloforgeError(f"the angle of incidence must be from 0 to below 90 deg (pi/2 rad), not {given}")
        if not all(abs(v) < self.detector.half_width for v in self.position):
            raise CaloforgeError(f"the position {self.position} mm is not on the detector's front face")
        if self.threshold and not self.points:
            raise CaloforgeError(f"a threshold is for hits of cells: give {option('points')} cell:5mm too")
        if self.points and (self.frame == "particle" or self.fast is not None):
            raise CaloforgeError("hits are those of cells of the detector: leave out the particle's frame and the run")
        if self.points:
            HitCells.parse(self.points, self.threshold, self.detector)
        self.data.require(self.physics_list)

    @property
    def cells(self) -> HitCells | None:
        """Cells whose hits are read out; None for voxels."""
        return HitCells.parse(self.points, self.threshold, self.detector) if self.points else None

    @property
    def entries(self) -> tuple[GunEntry, ...]:
        """The particles of every event."""
        return parse_gun(self.gun) if self.gun else (GunEntry(self.particle, self.energies),)

    @property
    def particles(self) -> str:
        """Their names in one word, as in `gamma,gamma,pi+`."""
        return ",".join(entry.particle for entry in self.entries)

    @property
    def physics_list(self) -> str:
        return physics_list_of(self.entries)

    @property
    def law(self) -> IncidentLaw:
        """How the energies and conditions of the first particle are drawn."""
        return incident_law(self.entries[0].spectrum, self.conditions)

    def beam(self) -> dict[str, Any]:
        """The arguments of `application.Beam`."""
        return {
            "particle": self.particles,
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
        if self.gun:
            return draw_primaries(self.entries, self.conditions, self.n, self.seed, self.detector.half_width)
        return drawn(self.law, self.n, self.seed, self.detector.half_width)

    def config(self, incident: Incident, version: str) -> dict[str, Any]:
        """All settings that the events depend on."""
        energies, columns = incident.energies, incident.conditions
        found = {
            "n": len(energies),
            "energies": self.gun or self.energies,
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
        if self.fast is not None:
            found["fast"] = self.fast.config()
        if self.cells is not None:
            found["cells"] = self.cells.facts()
        if columns:
            found["conditions"] = self.law.text
            found["conditions_sha256"] = hashlib.sha256(columns.table.tobytes()).hexdigest()
        return found


def binding_version() -> str:
    """Version of geant4-pybind, without importing it.

    Raises:
        CaloforgeError: it is not installed.
    """
    if importlib.util.find_spec("geant4_pybind") is None:
        raise missing_extra("geant4-pybind", "geant4", "simulating with Geant4")
    return importlib.metadata.version("geant4-pybind")


def provenance(request: SimulationRequest, config: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a file with events of a request, with its `config`."""
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
        "particle": request.particles,
        **({"gun": request.gun} if request.gun else {"energies": request.energies}),
        "seed": request.seed,
        **_incidence(request),
        **({} if request.fast is None else request.fast.facts()),
        **({} if request.cells is None else {**request.cells.facts(), **layer_pitch(request.detector)}),
    }


def _incidence(request: SimulationRequest) -> dict[str, Any]:
    """Attributes that say how particles enter, as far as it is the same for all, and how the mesh lies."""
    law = request.law
    names = {each.kind.name for each in law.laws} | set(law.spectrum.conditions or ())
    if not names and request.frame == "detector":
        return {"angle_rad": request.angle, "position_mm": list(request.position)}
    return {"frame": FRAMES[request.frame], **({"condition_laws": law.text} if law.laws else {})}
