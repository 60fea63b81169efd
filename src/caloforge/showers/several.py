"""`ShowerFiles`: several files of one sample, read as one, as the challenge ships data set 3 in parts."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from caloforge.conditions import Columns, Condition
from caloforge.conditions.columns import difference
from caloforge.errors import CaloforgeError, CaloforgeWarning
from caloforge.files import as_path, real
from caloforge.geometry import Geometry
from caloforge.showers.geometries import GivenGeometry
from caloforge.showers.reading import CHUNK_VALUES, ShowerFile, Showers
from caloforge.units import count

SAME = (
    "particle",
    "pdg_id",
    "detector",
    "calibration",
    "energy_unit",
    "units",
    "threshold_MeV",
    "frame",
    "source",
    "engine",
    "weights_sha256",
)
"""Attributes in which the files of one sample do not differ, as far as they have them."""


MOST_OPEN = 32
"""Of more files than these, none stays open between two reads."""


SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
"""Extensions of shower files in a folder."""

OF_ONE_SAMPLE = (
    "shards",
    "seed",
    "energies",
    "condition_laws",
    "batch_size",
    "geant4_config",
    "recipe",
    "model_settings_changed",
)
"""Attributes that are equal in all shards of a sample."""

NAMED = 3
"""Of more files than these, a message names the first and the last."""


def matching_files(patterns: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files, folders and glob patterns as files: those of a folder or pattern sorted by name, otherwise in order.

    Of a folder with shards (`shard-*.h5`), these are taken; otherwise all shower files in it.

    Raises:
        CaloforgeError: nothing matches a pattern, a folder has no shower file, or a file is named twice.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = as_path(pattern, "shower file")
        if path.is_dir():
            found += _in_folder(path)
            continue
        if path.exists() or not glob.has_magic(str(path)):
            found.append(path)
            continue
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        if not matches:
            raise CaloforgeError(f"no file matches '{path}'")
        found += matches
    seen: dict[Path, Path] = {}
    for path in found:
        resolved = real(path)
        if resolved in seen:
            raise CaloforgeError(f"{path} is named twice; give each file once")
        seen[resolved] = path
    return found


def _in_folder(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    shards = [path for path in files if path.name.startswith("shard-")]
    if not files:
        raise CaloforgeError(f"{folder} contains no shower files ({', '.join(SUFFIXES)})")
    return shards or files


class ShowerFiles(AbstractContextManager["ShowerFiles"]):
    """Shower files with the reading methods of one `ShowerFile`, rows counted through all of them.

    >>> from caloforge.sources.sample import sample_path
    >>> with ShowerFiles([sample_path("train"), sample_path("test")]) as files:
    ...     len(files)
    12000

    Args:
        paths: of the files, in order.
        geometry: what the voxels are (see `ShowerFile`).

    Raises:
        CaloforgeError: what `ShowerFile` raises; or geometries, or attributes that describe the sample, differ, or two
            files are the same shard: says which files.

    Warns:
        CaloforgeWarning: shards are missing.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], geometry: GivenGeometry | None = None) -> None:
        if not paths:
            raise CaloforgeError("no shower file is given")
        with ExitStack() as stack:
            self.files: list[ShowerFile] = []
            self._many = len(paths) > MOST_OPEN
            for path in paths:
                self.files.append(stack.enter_context(ShowerFile(path, geometry)))
                self._done(self.files[-1])
            first = self.files[0]
            for other in self.files[1:]:
                _check_agreement(first, other)
            _check_shards(self.files)
            self._stack = stack.pop_all()
        self.geometry, self.own_geometry = first.geometry, first.own_geometry
        self.attributes: dict[str, Any] = {
            key: value
            for key, value in first.attributes.items()
            if all(_equal(file.attributes.get(key), value) for file in self.files)
        }
        self._starts = np.cumsum([0, *(len(file) for file in self.files)])

    @property
    def path(self) -> str:
        """The file, or the files, for messages."""
        if len(self.files) <= NAMED:
            return ", ".join(str(file.path) for file in self.files)
        return f"{self.files[0].path} … {self.files[-1].path.name} ({len(self.files)} files)"

    @property
    def paths(self) -> list[Path]:
        return [file.path for file in self.files]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        files, showers = count(len(self.files), "file"), count(len(self), "shower")
        return f"ShowerFiles({files}, {showers}, {self.geometry.in_words})"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def energies_by_file(self) -> list[np.ndarray]:
        """(n,) incident energies in MeV of each file."""
        found = []
        for file in self.files:
            found.append(file.energies())
            self._done(file)
        return found

    @property
    def kinds(self) -> tuple[Condition, ...]:
        """The conditions that the files have beyond the energy."""
        return self.files[0].kinds

    def conditions(self) -> Columns:
        """All conditions beyond the energy, checked."""
        found = []
        for file in self.files:
            found.append(file.conditions().only([kind.name for kind in self.kinds]))
            self._done(file)
        return Columns.joined(found)

    def _done(self, file: ShowerFile) -> None:
        if self._many:
            file.rest()

    def energies(self) -> np.ndarray:
        """(N,) incident energies in MeV."""
        return np.concatenate(self.energies_by_file())

    def weights(self) -> np.ndarray | None:
        """(N,) weights of the showers; None where no file has any.

        Raises:
            CaloforgeError: some files have weights and others do not.
        """
        found = []
        for file in self.files:
            found.append(file.weights())
            self._done(file)
        have = [values is not None for values in found]
        if not any(have):
            return None
        if not all(have):
            lacking = self.files[have.index(False)].path
            raise CaloforgeError(
                f"{self.files[have.index(True)].path} has weights and {lacking} has none; files that are read together "
                "must be parts of one sample"
            )
        return np.concatenate([values for values in found if values is not None])

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Rows `start` … `stop` of all files together."""
        stop = len(self) if stop is None else min(stop, len(self))
        parts = []
        for file, (first, last) in zip(self.files, pairwise(self._starts.tolist()), strict=True):
            low, high = max(start, first), min(stop, last)
            if low < high:
                parts.append(file.read(low - first, high - first))
                self._done(file)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self.files[0].read(0, 0)
        return _joined(parts, self.geometry, self.attributes)

    @property
    def chunk_rows(self) -> int:
        """Showers that are stored, and so decompressed, together."""
        return max(file.chunk_rows for file in self.files)

    def take(self, rows: np.ndarray) -> Showers:
        """The showers at rising `rows` (see `ShowerFile.take`)."""
        parts = []
        for file, (first, last) in zip(self.files, pairwise(self._starts.tolist()), strict=True):
            low, high = np.searchsorted(rows, [first, last])
            parts.append(file.take(rows[low:high] - first))
            self._done(file)
        return _joined(parts, self.geometry, self.attributes)

    def chunks(self, size: int | None = None, values: int = CHUNK_VALUES) -> Iterator[Showers]:
        """All showers in order, by chunks of one file each (see `ShowerFile.chunks`)."""
        for file in self.files:
            yield from file.chunks(size, values)
            self._done(file)


def _check_agreement(first: ShowerFile, other: ShowerFile) -> None:
    """Check that two files can be parts of one sample; the first difference is named."""
    if first.geometry != other.geometry:
        names = first.geometry.name, other.geometry.name
        different = f"{names[0]} and {names[1]}" if names[0] != names[1] else f"two that are both called {names[0]}"
        raise CaloforgeError(
            f"{first.path} and {other.path} differ in geometry: {different}; give files of one geometry"
        )
    if differs := difference(first.kinds, other.kinds):
        raise CaloforgeError(
            f"{first.path} and {other.path} differ in conditions: {differs}; files that are read together must be "
            "parts of one sample"
        )
    for key in SAME:
        a, b = first.attributes.get(key), other.attributes.get(key)
        if a is not None and b is not None and not _equal(a, b):
            raise CaloforgeError(
                f"{first.path} and {other.path} differ in the attribute '{key}': {a} and {b}; files that are read "
                "together must be parts of one sample"
            )


def _check_shards(files: Sequence[ShowerFile]) -> None:
    """Check that shards are of one sample and each is there once; warn if some are missing."""
    known: dict[Any, Path] = {}
    of = files[0].attributes.get("shards")
    for file in files:
        number = file.attributes.get("shard")
        if of is None or number is None or len(files) == 1:
            return  # not shards, or one of them, given as it is
        for key in OF_ONE_SAMPLE:
            if not _equal(file.attributes.get(key), files[0].attributes.get(key)):
                raise CaloforgeError(f"{file.path} and {files[0].path} are shards of different samples: {key} differs")
        if number in known:
            raise CaloforgeError(f"{file.path} and {known[number]} are the same shard ({number} of {of})")
        known[number] = file.path
    if isinstance(of, int) and len(known) < of:
        warnings.warn(
            f"{files[0].path.parent}: {of - len(known)} of {of} shards are missing", CaloforgeWarning, stacklevel=3
        )


def _joined(parts: Sequence[Showers], geometry: Geometry, attributes: Mapping[str, Any]) -> Showers:
    return Showers.unchecked(
        np.concatenate([part.energies for part in parts]),
        np.concatenate([part.voxels for part in parts]),
        geometry,
        attributes,
        Columns.joined([part.conditions.only(parts[0].conditions.names) for part in parts]),
    )


def _equal(a: Any, b: Any) -> bool:
    """Whether two attributes are, which may be lists."""
    return type(a) is type(b) and bool(a == b)
