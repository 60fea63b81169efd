"""Voxels or points: how showers become rows of numbers for a model, and rows showers again; one class for each.

A model sees rows (B, W) with W = `geometry.row_length`, in physical units: the voxels of a shower in MeV, or the points
of a cloud with their number in front (`caloforge.packed`). A `Representation` also knows the files that hold its
showers. Training and generation go through it, so that neither asks which of the two it deals with.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from caloforge.conditions import Columns, Condition
from caloforge.errors import CaloforgeError, either
from caloforge.files import written_elsewhere
from caloforge.geometry import AnyGeometry, Geometry, PointGeometry
from caloforge.geometry.point_geometry import MOST
from caloforge.packed import Packed
from caloforge.points import PointClouds, PointFile, PointFiles, PointWriter, is_point_file
from caloforge.points.clouds import offsets_of
from caloforge.points.energy_unit import conversion_instead_of_unit
from caloforge.points.validity import point_doubts
from caloforge.showers import ShowerFile, ShowerFiles, Showers, ShowerWriter
from caloforge.showers.checks import doubts, warn_of_weights
from caloforge.showers.geometries import DifferentGeometry

AnyShowers = Showers | PointClouds
"""Showers in memory, as voxels or as points."""

S = TypeVar("S", Showers, PointClouds)
S_contra = TypeVar("S_contra", contravariant=True)


class Append(Protocol[S_contra]):
    """Adds showers to a file, and values (n,) of its further datasets."""

    def __call__(self, showers: S_contra, /, **columns: np.ndarray) -> None: ...


class OpenFiles(Protocol):
    """Files that are one sample, open for reading."""

    @property
    def path(self) -> str: ...
    @property
    def paths(self) -> list[Path]: ...
    @property
    def attributes(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def energies_by_file(self) -> list[np.ndarray]: ...
    def conditions(self) -> Columns: ...
    def chunks(self) -> Iterator[Any]: ...


class Representation(ABC, Generic[S]):
    """How showers of a geometry are kept, in memory and in files."""

    @abstractmethod
    def rows(self, showers: S) -> Tensor:
        """(N, W) float32 in physical units."""

    @abstractmethod
    def showers(
        self, rows: np.ndarray, energies: np.ndarray, attributes: Mapping[str, Any] | None, conditions: Columns
    ) -> S:
        """The inverse: rows (N, W) of generated or stored showers, unchecked, and what goes with them."""

    @abstractmethod
    def joined(self, parts: Sequence[S]) -> S:
        """One sample after another."""

    @abstractmethod
    def response(self, showers: S) -> np.ndarray:
        """(N,) E_dep / E_inc; of jets, the sum of ptrel."""

    @abstractmethod
    def doubts(self, energies: np.ndarray, deposited: np.ndarray) -> list[str]:
        """Probable mistakes in showers with these incident and deposited energies (N,) in MeV, a sentence each."""

    @abstractmethod
    def check(self, showers: AnyShowers, name: str) -> S:
        """Showers in memory, in the form that rows are made of.

        Raises:
            CaloforgeError: they are of another geometry.
        """

    @abstractmethod
    def opened(self, paths: Sequence[Path]) -> AbstractContextManager[OpenFiles]:
        """Files of a sample, checked to have this geometry.

        Raises:
            CaloforgeError: they have not, or cannot be read.
        """

    @abstractmethod
    def writer(
        self,
        path: str | os.PathLike[str],
        attributes: Mapping[str, Any],
        compression: int,
        kinds: Sequence[Condition],
        columns: Sequence[str] = (),
    ) -> AbstractContextManager[Append[S]]:
        """A new file of showers with conditions of these kinds; it appears once it is complete.

        Args:
            path: the file. attributes: of it.
            compression: gzip level 0 (none) … 9, of voxels.
            kinds: of conditions.
            columns: names of further datasets with one number per shower.

        Returns:
            A context manager that gives a function to append showers with, and each column by its name.
        """


class VoxelRepresentation(Representation[Showers]):
    """Showers in the voxels of a geometry."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def rows(self, showers: Showers) -> Tensor:
        return torch.from_numpy(np.require(showers.voxels, requirements="W"))

    def showers(
        self, rows: np.ndarray, energies: np.ndarray, attributes: Mapping[str, Any] | None, conditions: Columns
    ) -> Showers:
        return Showers.unchecked(energies, rows, self.geometry, attributes, conditions)

    def joined(self, parts: Sequence[Showers]) -> Showers:
        return Showers.unchecked(
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.voxels for part in parts]),
            self.geometry,
            parts[0].attributes,
            Columns.joined([part.conditions for part in parts]),
        )

    def response(self, showers: Showers) -> np.ndarray:
        return np.asarray(showers.deposited / showers.energies)

    def doubts(self, energies: np.ndarray, deposited: np.ndarray) -> list[str]:
        return doubts(energies, deposited)

    def check(self, showers: AnyShowers, name: str) -> Showers:
        if not isinstance(showers, Showers):
            raise _other_kind(name, "points", f"voxels of '{self.geometry.name}'")
        self._check_geometry(showers.geometry, name)
        return showers

    @contextmanager
    def opened(self, paths: Sequence[Path]) -> Iterator[OpenFiles]:
        if is_point_file(paths[0]):
            raise _other_kind(str(paths[0]), "points", f"voxels of '{self.geometry.name}'")
        try:
            files = ShowerFiles(paths, self.geometry)
        except DifferentGeometry as error:
            self._check_geometry(error.own, error.name)
            raise
        with files:
            for file in files.files:
                self._check_geometry(file.own_geometry or file.geometry, str(file.path))
            warn_of_weights(files.path, files.weights())
            yield files

    def _check_geometry(self, found: Geometry, name: str) -> None:
        if found != self.geometry:
            raise CaloforgeError(
                f"{name} has geometry '{found.name}', but the recipe is for '{self.geometry.name}'; choose another "
                f"recipe or {either(f'--set geometry={found.name}', f'set its geometry to {found.name}')}"
            )

    @contextmanager
    def writer(
        self,
        path: str | os.PathLike[str],
        attributes: Mapping[str, Any],
        compression: int,
        kinds: Sequence[Condition],
        columns: Sequence[str] = (),
    ) -> Iterator[Append[Showers]]:
        with ShowerWriter(path, self.geometry, attributes, compression, tuple(columns), kinds) as file:
            yield lambda showers, /, **more: file.append(showers.energies, showers.voxels, showers.conditions, **more)


class PointRepresentation(Representation[PointClouds]):
    """Point clouds in rows with room for a number of points."""

    def __init__(self, geometry: PointGeometry) -> None:
        self.geometry = geometry

    def rows(self, showers: PointClouds) -> Tensor:
        chosen = [showers.names.index(name) for name in self.geometry.columns]
        points = torch.from_numpy(np.ascontiguousarray(showers.points[:, chosen]))
        return Packed.of(points, torch.from_numpy(showers.counts)).rows(self.geometry.most)

    def showers(
        self, rows: np.ndarray, energies: np.ndarray, attributes: Mapping[str, Any] | None, conditions: Columns
    ) -> PointClouds:
        packed = Packed.of_rows(torch.from_numpy(rows), len(self.geometry.columns), self.geometry.most)
        offsets, points = offsets_of(packed.counts.numpy()), packed.points.numpy()
        return PointClouds.unchecked(energies, points, offsets, self.geometry.columns, attributes, conditions)

    def joined(self, parts: Sequence[PointClouds]) -> PointClouds:
        return PointClouds.joined(parts)

    def response(self, showers: PointClouds) -> np.ndarray:
        return showers.response

    def doubts(self, energies: np.ndarray, deposited: np.ndarray) -> list[str]:
        return point_doubts("jet" if "ptrel" in self.geometry.columns else "shower", energies, deposited)

    def check(self, showers: AnyShowers, name: str) -> PointClouds:
        if not isinstance(showers, PointClouds):
            raise _other_kind(name, "voxels", self.geometry.name)
        self._check(name, showers.names, int(showers.counts.max(initial=0)))
        return showers

    def opened(self, paths: Sequence[Path]) -> AbstractContextManager[PointFiles]:
        for path in paths:
            if not is_point_file(path):
                raise _other_kind(str(path), "voxels", self.geometry.name)
        with conversion_instead_of_unit():
            files = PointFiles(paths)
        self._check(files.path, files.names, files.most)
        return nullcontext(files)

    def _check(self, name: str, columns: Sequence[str], most: int) -> None:
        if lacking := [column for column in self.geometry.columns if column not in columns]:
            raise CaloforgeError(
                f"{name} has no column {lacking[0]} of its points (it has {', '.join(columns)}), which the recipe needs"
            )
        if most > self.geometry.most:
            raise CaloforgeError(
                f"{name} has up to {most} points per shower, but the recipe has room for {self.geometry.most}: leave "
                f"geometry.{MOST} out, or set it to {most}"
            )

    @contextmanager
    def writer(
        self,
        path: str | os.PathLike[str],
        attributes: Mapping[str, Any],
        compression: int,
        kinds: Sequence[Condition],
        columns: Sequence[str] = (),
    ) -> Iterator[Append[PointClouds]]:
        with PointWriter(path, self.geometry.columns, kinds, attributes=attributes, columns=columns) as file:
            yield file.append


def _other_kind(name: str, has: str, wanted: str) -> CaloforgeError:
    return CaloforgeError(f"{name} holds {has}, but the recipe is for {wanted}: choose another recipe, or convert it")


def representation_of(geometry: AnyGeometry) -> Representation[Any]:
    """That of a geometry."""
    return PointRepresentation(geometry) if isinstance(geometry, PointGeometry) else VoxelRepresentation(geometry)


def open_file(path: Path) -> ShowerFile | PointFile:
    """A file of showers, whichever it holds."""
    return PointFile(path) if is_point_file(path) else ShowerFile(path)


def is_made(path: Path, wanted: Mapping[str, Any], n: int) -> bool:
    """Whether `path` is a complete file of n showers with the attributes `wanted`.

    Raises:
        CaloforgeError: the file exists but differs.
    """
    if not path.exists():
        return False
    with open_file(path) as file:
        for key, value in wanted.items():
            if file.attributes.get(key) != value:
                raise CaloforgeError(
                    f"{path} is a different sample ({key} is {file.attributes.get(key)!r}, not {value!r}): "
                    f"{written_elsewhere()}"
                )
        if len(file) != n:
            raise CaloforgeError(f"{path} has {len(file)} showers, not {n}: {written_elsewhere()}")
    return True
