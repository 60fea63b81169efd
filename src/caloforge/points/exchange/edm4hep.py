"""EDM4hep files of Key4hep (ROOT), read by uproot (the extra `root`).

Tree `events`, one entry per event: `MCParticles.{PDG, generatorStatus, mass, momentum.x, …, vertex.x, …}`, and for
each collection of hits `<Collection>Contributions.{energy, time, stepPosition.x, …}`; GeV, mm, ns. A point is a
contribution. All collections of contributions are read. The incident particle is the first with generator status 1; its
incident energy is its total energy, mass included.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np

from caloforge.conditions import KNOWN, Condition
from caloforge.errors import missing_extra
from caloforge.points.clouds import PointClouds, offsets_of
from caloforge.points.energy_unit import GEV
from caloforge.points.exchange.base import angles_of, known_columns
from caloforge.showers.hdf5 import reading, reject

CONTRIBUTIONS = "Contributions"


def is_root(path: Path) -> bool:
    """Whether a file begins as ROOT files do."""
    try:
        with path.open("rb") as raw:
            return raw.read(4) == b"root"
    except OSError:
        return False


class Edm4hepLayout:
    """Reads contributions to hits; it has the attributes and methods of a `PointLayout`, without an HDF5 file.

    Args:
        path: of the file.
        stack: that closes the file.

    Raises:
        CaloforgeError: uproot is not installed, something is missing, or the simulation did not keep the positions of
            steps.
    """

    name: ClassVar[str] = "edm4hep"
    names = ("x", "y", "z", "energy", "time")
    kinds: tuple[Condition, ...] = tuple(KNOWN[name] for name in ("theta", "phi", "x", "y", "pdg"))

    def __init__(self, path: Path, stack: ExitStack) -> None:
        try:
            import uproot
        except ImportError:
            raise missing_extra("uproot", "root", "reading ROOT files") from None
        self._path = path
        with reading(path):
            file = stack.enter_context(uproot.open(path))
            if "events" not in {key.split(";")[0] for key in file}:
                raise reject(path, "has no tree 'events', as EDM4hep files have")
            self._tree = file["events"]
            ends = (f"{CONTRIBUTIONS}.energy",)
            found = {key.split("/")[-1] for key in self._tree.keys(recursive=True)}
        self._collections = sorted(key.removesuffix(".energy") for key in found if key.endswith(ends))
        if not self._collections:
            raise reject(path, f"has no collection of contributions to hits (…{CONTRIBUTIONS}.energy)")
        wanted = ["PDG", "generatorStatus", "mass", *(f"{v}.{c}" for v in ("momentum", "vertex") for c in "xyz")]
        for key in [f"MCParticles.{each}" for each in wanted]:
            if key not in found:
                raise reject(path, f"has no branch '{key}'")
        self._has_time = {name: f"{name}.time" in found for name in self._collections}
        for name in self._collections:
            if f"{name}.stepPosition.x" not in found:
                raise reject(path, f"has no branch '{name}.stepPosition.x'")

    def __len__(self) -> int:
        return int(self._tree.num_entries)

    def sizes(self) -> np.ndarray:
        """(N,) number of contributions of each event."""
        total = np.zeros(len(self), dtype=np.int64)
        for name in self._collections:
            total += [len(row) for row in self._branch(f"{name}.energy", 0, len(self))]
        return total

    def _branch(self, key: str, start: int, stop: int) -> list[np.ndarray]:
        with reading(self._path):
            rows = self._tree[key].array(entry_start=start, entry_stop=stop, library="np")
            return [np.asarray(row, dtype=np.float64) for row in rows]

    def read(self, start: int, stop: int) -> PointClouds:
        """Events `start` … `stop` as they are stored, unchecked.

        Raises:
            CaloforgeError: an event has no incident particle, or all steps lie at the origin.
        """
        parts, counts = [], np.zeros(stop - start, dtype=np.int64)
        owners = []
        for name in self._collections:
            rows = {key: self._branch(f"{name}.{key}", start, stop) for key in self._keys(name)}
            sizes = np.array([len(row) for row in rows["energy"]], dtype=np.int64)
            flat = {key: np.concatenate([*values, np.empty(0)]) for key, values in rows.items()}
            flat.setdefault("time", np.zeros(int(sizes.sum())))
            position = np.column_stack([flat[f"stepPosition.{c}"] for c in "xyz"])
            if len(position) and not position.any():
                raise reject(
                    self._path,
                    f"all steps of {name} lie at the origin: the simulation did not keep their positions (in ddsim, "
                    "SIM.enableDetailedShowerMode = True)",
                )
            parts.append(np.column_stack([position, flat["energy"] * GEV.points, flat["time"]]))
            owners.append(np.repeat(np.arange(stop - start), sizes))
            counts += sizes
        order = np.argsort(np.concatenate(owners), kind="stable")
        points = np.concatenate(parts)[order].astype(np.float32)
        energies, values = self._primaries(start, stop)
        return PointClouds.unchecked(energies, points, offsets_of(counts), self.names, conditions=known_columns(values))

    def _keys(self, name: str) -> list[str]:
        return ["energy", *(f"stepPosition.{c}" for c in "xyz"), *(["time"] if self._has_time[name] else [])]

    def _primaries(self, start: int, stop: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Energies (n,) in MeV and conditions of the incident particles."""
        status = self._branch("MCParticles.generatorStatus", start, stop)
        first = []
        for k, row in enumerate(status):
            found = np.flatnonzero(row == 1)
            if not len(found):
                raise reject(self._path, f"event {start + k} has no particle of generator status 1")
            first.append(int(found[0]))

        def value(key: str) -> np.ndarray:
            rows = self._branch(f"MCParticles.{key}", start, stop)
            return np.array([row[k] for row, k in zip(rows, first, strict=True)])

        momentum = np.column_stack([value(f"momentum.{c}") for c in "xyz"])
        energies = np.hypot(np.linalg.norm(momentum, axis=1), value("mass")) * GEV.incident
        return energies, {**angles_of(momentum), "x": value("vertex.x"), "y": value("vertex.y"), "pdg": value("PDG")}
