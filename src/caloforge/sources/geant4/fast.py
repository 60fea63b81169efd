"""Fast simulation: particles that enter the detector are taken out of Geant4, and a generator makes their showers.

Geant4 tracks everything else as usual. At the end of an event the generator makes the showers of its particles in one
batch, and their energies are added to the voxels. A shower in voxels of a mesh of its own, along the normal or along
the particle, is moved to where the particle enters: the energy of each voxel is divided into spots of at most `SPOT`,
which lie uniformly in the voxel, are moved and turned, and are then read out like deposits of Geant4.

The generator is known here only by what it does (`FastShowers`, `ShowerMaker`); `caloforge.simulator.within_geant4`
has one for trained runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from caloforge.geometry.bins import bin_index, points_in, voxel_index
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.gun import Primary
from caloforge.sources.geant4.incidence import Incidence

SPOT = 4.0
"""MeV: about what a minimum-ionising particle leaves in a gap, divided by the sampling fraction.

In `atlas-like` 0.9 MeV in 4.2 mm of argon / 0.2436, in `w-si` 0.12 MeV in 0.3 mm of silicon / 0.033. Larger spots hit
fewer voxels.
"""

MOST_SPOTS = 10_000
"""Spots per voxel, at most."""


class ShowerMaker(Protocol):
    """Makes showers in the process of Geant4."""

    def accepts(self, primary: Primary) -> bool:
        """Whether showers of such a particle can be made, and are to be."""

    def make(self, caught: Sequence[Primary], seed: int) -> np.ndarray:
        """(n, V) showers of n particles in one batch, MeV."""

    def mesh(self, primary: Primary) -> Incidence | None:
        """How the mesh of its shower lies in that of the detector; None if it is the same."""


class FastShowers(Protocol):
    """A generator to be used within Geant4: plain data until it is started."""

    def config(self) -> dict[str, Any]:
        """All settings that its showers depend on."""

    def facts(self) -> dict[str, Any]:
        """Attributes of a file with its showers."""

    def start(self) -> ShowerMaker:
        """Load it in this process."""


def fast_seed(seed: int, event: int) -> int:
    """Seed of the generator, and of spots, for one event; it depends only on the run's seed and the event number."""
    return int(np.random.SeedSequence(seed, spawn_key=(6, event)).generate_state(1)[0])


def entering(position: Sequence[float], direction: Sequence[float], half_width: float) -> Incidence | None:
    """How a particle in front of the detector enters it; None if it does not, or is not in front.

    Args:
        position: (3,) in mm; the front face is at z = 0, with vacuum before it.
        direction: (3,) unit vector.
        half_width: of the front face in mm.
    """
    (x, y, z), (u, v, w) = position, direction
    if z > 0 or w <= 0:
        return None
    x, y = x - z * u / w, y - z * v / w
    if max(abs(x), abs(y)) >= half_width:
        return None
    return Incidence(math.atan2(math.hypot(u, v), w), math.atan2(v, u), x, y)


def spots(detector: Detector, shower: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Energies (m,) in MeV of the spots of a shower, and their positions (m, 3) in mm in the shower's own mesh.

    Args:
        detector: of the voxels; its layers say where along the axis they are.
        shower: (V,) MeV.
        rng: random generator.
    """
    hit = np.flatnonzero(shower)
    number = np.clip(np.ceil(shower[hit] / SPOT), 1, MOST_SPOTS).astype(np.int64)
    voxel = np.repeat(hit, number)
    energies = np.repeat(shower[hit] / number, number)
    along, *across = rng.random((3, len(voxel)))
    u = np.column_stack(across)
    points, edges = np.empty((len(voxel), 3)), detector.layer_edges
    geometry = detector.geometry
    for position, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = (voxel >= part.start) & (voxel < part.stop)
        points[here, 0], points[here, 1] = points_in(layer, voxel[here] - part.start, u[here])
        points[here, 2] = edges[position] + along[here] * (edges[position + 1] - edges[position])
    return energies, points


def place(detector: Detector, shower: np.ndarray, mesh: Incidence | None, rng: np.random.Generator) -> np.ndarray:
    """(V,) energies in MeV that a shower leaves in the voxels of the detector; what falls outside of them is lost.

    Args:
        detector: of the voxels.
        shower: (V,) MeV, in its own mesh.
        mesh: how that lies in the detector's; None if it is the same.
        rng: random generator.
    """
    if mesh is None:
        return shower
    geometry, found = detector.geometry, np.zeros(detector.geometry.n_voxels)
    energies, own = spots(detector, shower, rng)
    points = mesh.from_frame(own)
    layer_of = bin_index(tuple(detector.layer_edges), points[:, 2])
    for position, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        here = layer_of == position
        index = voxel_index(layer, points[here, 0], points[here, 1])
        inside = index >= 0
        found[part] = np.bincount(index[inside], weights=energies[here][inside], minlength=layer.n_voxels)
    return found
