"""Where and in which direction the particles of a simulation enter, and what the mesh of voxels is aligned with.

A particle has the angle theta from the normal of the slabs (the z axis), the azimuth phi, and enters the front face at
(x, y, 0). The mesh either stays with the detector, or follows the particle as in Geant4's example Par04: its axis is
the direction of incidence from the entry point, and x' lies in the plane of the direction and the normal,

    delta' = R_y(-theta) R_z(-phi) delta.

Then a deposit belongs to the layer in which its z' lies, whichever slab it is in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from caloforge.conditions import Columns
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.energies import Incident, IncidentLaw
from caloforge.errors import CaloforgeError

Frame = Literal["detector", "particle"]

FRAMES: dict[Frame, str] = {
    "detector": "mesh axis along the normal of the layers through the origin, whatever the direction of incidence",
    "particle": f"{TURNING_FRAME} from the entry point, x' in the plane of direction and normal: "
    "delta' = Ry(-theta) Rz(-phi) delta (as Par04)",
}
"""Frame → attribute `frame` of a file."""

NAMES = ("theta", "phi", "x", "y")
"""Conditions of a particle that Geant4 takes."""

ALL_AZIMUTHS = "phi=uniform:-180:180deg"


def incident_law(energies: str, conditions: tuple[str, ...]) -> IncidentLaw:
    """How energies and conditions are drawn; azimuths are uniform unless they have a law.

    Raises:
        CaloforgeError: one is invalid, or a condition is none of `NAMES`.
    """
    law = IncidentLaw.parse(energies, conditions)
    names = [each.kind.name for each in law.laws]
    for name in names:
        if name not in NAMES:
            raise CaloforgeError(f"Geant4 does not simulate the condition {name}; it takes {', '.join(NAMES)}")
    if "theta" in names and "phi" not in names:
        law = IncidentLaw.parse(energies, [*conditions, ALL_AZIMUTHS])
    return law


def drawn(law: IncidentLaw, n: int | None, seed: int, half_width: float) -> Incident:
    """Energies and conditions of n events; of conditions those that Geant4 takes.

    Args:
        law: of the events.
        n: number of events; None uses the law's own.
        seed: of all random numbers.
        half_width: of the front face in mm.

    Raises:
        CaloforgeError: an angle is 90 degrees, or a position is not on the front face.
    """
    found = law.draw(n, seed)
    columns = found.conditions.only([name for name in found.conditions if name in NAMES])
    if "theta" in columns and columns["theta"].max() >= math.pi / 2:
        raise CaloforgeError("the angle of incidence must be below 90 deg: the particle would not enter the detector")
    for name in ("x", "y"):
        if name in columns and np.abs(columns[name]).max() >= half_width:
            far = np.abs(columns[name]).max()
            raise CaloforgeError(f"the entry point reaches {name} = {far:g} mm, beyond the detector's front face")
    return Incident(found.energies, columns)


@dataclass(frozen=True)
class Incidence:
    """How one particle enters.

    Args:
        theta, phi: direction, in rad.
        x, y: entry point on the front face, in mm.
    """

    theta: float = 0.0
    phi: float = 0.0
    x: float = 0.0
    y: float = 0.0

    @property
    def direction(self) -> tuple[float, float, float]:
        """Unit vector."""
        transverse = math.sin(self.theta)
        return transverse * math.cos(self.phi), transverse * math.sin(self.phi), math.cos(self.theta)

    def start(self, before: float) -> tuple[float, float, float]:
        """The point in mm on the particle's way that lies `before` mm in front of the face."""
        u, v, w = self.direction
        return self.x - before * u / w, self.y - before * v / w, -before

    def in_frame(self, points: np.ndarray) -> np.ndarray:
        """points (n, 3) in mm, of the detector → (n, 3) in the frame of the particle."""
        dx, dy, dz = points[:, 0] - self.x, points[:, 1] - self.y, points[:, 2]
        along, across = math.cos(self.phi), math.sin(self.phi)
        inward = along * dx + across * dy
        c, s = math.cos(self.theta), math.sin(self.theta)
        return np.stack([c * inward - s * dz, along * dy - across * dx, s * inward + c * dz], axis=1)

    def from_frame(self, points: np.ndarray) -> np.ndarray:
        """points (n, 3) in mm, in the frame of the particle → (n, 3) of the detector: the inverse of `in_frame`."""
        u, v, w = points[:, 0], points[:, 1], points[:, 2]
        along, across = math.cos(self.phi), math.sin(self.phi)
        c, s = math.cos(self.theta), math.sin(self.theta)
        inward = c * u + s * w
        x, y = along * inward - across * v, across * inward + along * v
        return np.stack([x + self.x, y + self.y, c * w - s * u], axis=1)


def incidences(columns: Columns | None, n: int) -> list[Incidence]:
    """How n particles with these conditions enter."""
    if columns is None:
        return [Incidence()] * n
    return [Incidence(**dict(zip(columns.names, map(float, row), strict=True))) for row in columns.table]
