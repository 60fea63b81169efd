"""What a shower file looks like inside: the challenge's layout, LEMURS' and CaloGAN's.

The challenge's: `incident_energies` (N, 1) and `showers` (N, V), both MeV. CaloGAN's own: `energy` (N, 1) in GeV
and one image per layer, `layer_0` (N, 3, 96), `layer_1` (N, 12, 12), `layer_2` (N, 12, 6) in MeV. LEMURS'
(arXiv:2509.05108): `incident_energy` (N,) and `showers` (N, r, phi, z), both MeV; its `incident_theta` is the polar
angle from the beam axis of a barrel, so it is read as the condition `polar`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np

from caloforge.errors import either
from caloforge.showers.hdf5 import dataset, has, reject


def _chunk_rows(dataset: h5py.Dataset) -> int:
    return 1 if dataset.chunks is None else min(int(dataset.chunks[0]), len(dataset))


class _RowsInMev:
    """A dataset of energies and one of voxels, a row per shower, both in MeV."""

    _energies: h5py.Dataset
    _voxels: h5py.Dataset

    @property
    def chunk_rows(self) -> int:
        """Showers that are stored, and so decompressed, together."""
        return _chunk_rows(self._voxels)

    def energies(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._energies[start:stop], dtype=np.float64).reshape(-1)

    def voxels(self, start: int, stop: int) -> np.ndarray:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which the check then names
            return np.asarray(self._voxels[start:stop]).astype(np.float32, copy=False)


class ChallengeLayout(_RowsInMev):
    """Rows of `incident_energies` (MeV) and `showers` (MeV)."""

    name = "challenge"
    renamed: ClassVar[dict[str, str]] = {}

    def __init__(self, file: h5py.File, path: Path) -> None:
        for name in ("incident_energies", "showers"):
            if not has(file, name, path):
                found = ", ".join(sorted(file)) or "nothing"
                raise reject(path, f"has no dataset '{name}' (it has: {found})")
        self._energies = dataset(file, "incident_energies", path)
        self._voxels = dataset(file, "showers", path)
        if self._voxels.ndim != 2:
            raise reject(path, f"'showers' has the shape {self._voxels.shape}; expected (N, V)")
        shape = self._energies.shape
        if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise reject(path, f"'incident_energies' has the shape {shape}; expected (N, 1)")
        if shape[0] != self._voxels.shape[0]:
            raise reject(path, f"'incident_energies' has the length {shape[0]}, but 'showers' {self._voxels.shape[0]}")
        self.n_showers, self.n_voxels = self._voxels.shape
        if self.n_showers == 0:
            raise reject(path, "holds no showers")


class LemursLayout(_RowsInMev):
    """Rows of `incident_energy` (MeV) and of `showers` (MeV) on a mesh (r, phi, z), put into the challenge's order."""

    name = "lemurs"
    renamed: ClassVar[dict[str, str]] = {"theta": "polar"}
    """Names of conditions in the file → what caloforge calls them."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._energies = dataset(file, "incident_energy", path)
        self._voxels = dataset(file, "showers", path)
        if self._voxels.ndim != 4:
            raise reject(path, f"'showers' has the shape {self._voxels.shape}; expected (N, r, phi, z)")
        self.n_showers = self._voxels.shape[0]
        if self._energies.shape not in ((self.n_showers,), (self.n_showers, 1)):
            raise reject(path, f"'incident_energy' has the shape {self._energies.shape}; expected ({self.n_showers},)")
        self.n_voxels = math.prod(self._voxels.shape[1:])
        if self.n_showers == 0:
            raise reject(path, "holds no showers")

    def voxels(self, start: int, stop: int) -> np.ndarray:
        mesh = super().voxels(start, stop)
        return np.ascontiguousarray(mesh.transpose(0, 3, 2, 1)).reshape(len(mesh), -1)


class CaloganLayout:
    """Rows of `energy` (GeV, returned in MeV) and of `layer_k` images (MeV), flattened and concatenated."""

    name = "calogan"
    renamed: ClassVar[dict[str, str]] = {}

    def __init__(self, file: h5py.File, path: Path) -> None:
        if not has(file, "energy", path):
            raise reject(path, "has no dataset 'energy' (CaloGAN layout, GeV)")
        self._energies = dataset(file, "energy", path)
        names = [f"layer_{k}" for k in range(len(file)) if has(file, f"layer_{k}", path)]
        self._layers = [dataset(file, name, path) for name in names]
        for name, layer in zip(names, self._layers, strict=True):
            if layer.ndim != 3:
                raise reject(path, f"'{name}' has the shape {layer.shape}; expected (N, phi, eta)")
            if layer.shape[0] != self._energies.shape[0]:
                raise reject(path, f"'energy' has the length {self._energies.shape[0]}, but '{name}' {layer.shape[0]}")
        if self._energies.size != self._energies.shape[0]:
            raise reject(path, f"'energy' has the shape {self._energies.shape}; expected (N, 1)")
        self.n_showers = self._energies.shape[0]
        self.n_voxels = sum(layer.shape[1] * layer.shape[2] for layer in self._layers)
        if self.n_showers == 0:
            raise reject(path, "holds no showers")

    @property
    def chunk_rows(self) -> int:
        """Showers that are stored, and so decompressed, together."""
        return max(_chunk_rows(layer) for layer in self._layers)

    def energies(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._energies[start:stop], dtype=np.float64).reshape(-1) * 1e3

    def voxels(self, start: int, stop: int) -> np.ndarray:
        parts = [np.asarray(layer[start:stop], dtype=np.float32) for layer in self._layers]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


OF_POINTS = ("offsets", "events", "steps", "particle_features")
"""Datasets and groups of files of points (`caloforge.points.exchange`)."""

AnyLayout = ChallengeLayout | LemursLayout | CaloganLayout


def layout_of(file: h5py.File, path: Path) -> AnyLayout:
    """The layout that a file has.

    Raises:
        CaloforgeError: it lacks a dataset, or has one of another type or shape.
    """
    showers = has(file, "showers", path)
    if any(has(file, name, path) for name in OF_POINTS) or "showerdata_version" in file.attrs:
        remedy = either("caloforge convert", "caloforge.points.conversion.convert")
        raise reject(path, f"holds points, not voxels: {remedy} makes voxels of them")
    if has(file, "layer_0", path) and not showers:
        return CaloganLayout(file, path)
    if showers and has(file, "incident_energy", path) and not has(file, "incident_energies", path):
        return LemursLayout(file, path)
    return ChallengeLayout(file, path)
