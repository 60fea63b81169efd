"""The format of JetNet (arXiv:2106.11535): jets as padded lists of particles relative to their jet.

`particle_features` (N, P, 4): etarel, phirel, ptrel and a mask that is 1 for a particle; `jet_features` (N, 4): pT in
GeV, eta, mass in GeV, and the number of particles. The pT is read as the incident energy, eta and mass as the
conditions `jet_eta` and `jet_mass` (MeV).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.conditions import Columns
from caloforge.conditions.kinds import condition
from caloforge.points.clouds import JET, PointClouds, offsets_of
from caloforge.points.energy_unit import GEV, Unit
from caloforge.points.exchange.base import PointLayout, PointOutput, extend, needed, rows_of
from caloforge.showers.hdf5 import dataset, has, reject

KINDS = (condition("jet_eta"), condition("jet_mass", "MeV"))
"""Conditions that jets have."""


class JetnetLayout(PointLayout):
    """Reads padded jets; a particle is where the mask is above one half."""

    name = "jetnet"
    names = JET

    def __init__(self, file: h5py.File, path: Path, attributes: Mapping[str, Any], unit: Unit | None) -> None:
        needed(file, ("particle_features", "jet_features"), path)
        self._path = path
        self._particles, self._jets = (dataset(file, name, path) for name in ("particle_features", "jet_features"))
        shape = self._particles.shape
        if len(shape) != 3 or shape[2] != 4:
            raise reject(path, f"'particle_features' has the shape {shape}; expected (N, P, 4)")
        if self._jets.ndim != 2 or self._jets.shape[0] != shape[0] or self._jets.shape[1] < 3:
            raise reject(path, f"'jet_features' has the shape {self._jets.shape}; expected ({shape[0]}, 4)")
        self._most = shape[1]
        self.kinds = KINDS

    @classmethod
    def stated_unit(cls, attributes: Mapping[str, Any]) -> Unit | None:
        return GEV

    @classmethod
    def is_of(cls, file: h5py.File, path: Path) -> bool:
        return has(file, "particle_features", path)

    def __len__(self) -> int:
        return int(self._particles.shape[0])

    def sizes(self) -> np.ndarray:
        return np.full(len(self), self._most)

    def read(self, start: int, stop: int) -> PointClouds:
        padded = rows_of(self._particles, start, stop, self._path).astype(np.float32, copy=False)
        jets = rows_of(self._jets, start, stop, self._path).astype(np.float64)
        real = ~(padded[:, :, 3] <= 0.5)
        table = np.column_stack([jets[:, 1], jets[:, 2] * GEV.incident])
        for k, kind in enumerate(KINDS):
            kind.check(table[:, k], f"{self._path}: ", start)
        return PointClouds.unchecked(
            jets[:, 0] * GEV.incident,
            padded[real][:, :3],
            offsets_of(real.sum(axis=1)),
            self.names,
            conditions=Columns(KINDS, table),
        )


class JetnetOutput(PointOutput):
    """Writes (N, P, 4), P growing to the largest jet; without conditions eta is 0, the mass that of the particles."""

    name = "jetnet"
    required = JET
    held = tuple(kind.name for kind in KINDS)

    def begin(self) -> None:
        self._particles = self.file.create_dataset(
            "particle_features",
            (0, 1, 4),
            "f4",
            maxshape=(None, None, 4),
            chunks=(256, 32, 4),
            compression="gzip",
            compression_opts=1,
        )
        self._jets = self.create("jet_features", (4,), "f4", gzip=True)

    def append(self, clouds: PointClouds) -> None:
        table = np.column_stack([*(clouds[name] for name in JET), np.ones(len(clouds.points), dtype=np.float32)])
        padded, _ = PointClouds.unchecked(clouds.energies, table, clouds.offsets, (*JET, "mask")).padded()
        start, most = len(self._particles), max(self._particles.shape[1], padded.shape[1])
        self._particles.resize((start + len(clouds), most, 4))
        self._particles[start:, : padded.shape[1]] = padded
        given = clouds.conditions
        eta = given.get("jet_eta", np.zeros(len(clouds)))
        mass = given["jet_mass"] if "jet_mass" in given else relative_mass(clouds) * clouds.energies
        extend(self._jets, np.column_stack([clouds.energies / GEV.incident, eta, mass / GEV.incident, clouds.counts]))


def relative_mass(jets: PointClouds) -> np.ndarray:
    """(N,) mass of each jet over its p_T, from massless particles (`JET`): JetNet's jet mass."""
    eta, phi, pt = (jets[name].astype(np.float64) for name in JET)
    energy, x, y, z = (
        jets.sums(part) for part in (pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    )
    return np.asarray(np.sqrt(np.maximum(energy**2 - x**2 - y**2 - z**2, 0.0)))
