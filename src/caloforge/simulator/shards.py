"""Shower files concatenated by `merge`, such as the shards of a sample (`caloforge.energies.incident`)."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions import Condition
from caloforge.conditions.columns import difference
from caloforge.errors import CaloforgeError, CaloforgeWarning, option
from caloforge.geometry import AnyGeometry, PointGeometry
from caloforge.points import PointFile
from caloforge.representation import open_file, representation_of
from caloforge.showers.reading import WEIGHTS
from caloforge.simulator.trained import CHANGED

SAME = ("weights_sha256", CHANGED, "recipe", "energies", "condition_laws", "seed", "batch_size", "engine", "shards")
"""Attributes that are equal in all shards of a sample."""


def merge(
    files: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    compression: int = 1,
    incomplete: bool = False,
    columns: Sequence[str] = ("geant4_cpu_seconds", WEIGHTS),
    progress: Callable[[int], None] | None = None,
) -> int:
    """Concatenate files of voxels or points in bounded memory; shards of one sample are sorted by their number.

    Attributes that are equal in all files are kept.

    Args:
        files: files to merge, of one geometry; points are written in caloforge's own format.
        path: file to write, atomically.
        compression: gzip level, 0 (none) … 9.
        incomplete: whether shards may be missing.
        columns: further datasets to keep if all files have them.
        progress: called with the number of showers of each chunk.

    Returns:
        The number of showers.

    Raises:
        CaloforgeError: no files, different geometries or conditions, or foreign, repeated or missing shards.
    """
    parts = [MergedFile.look(Path(file), columns) for file in files]
    if not parts:
        raise CaloforgeError("no files to merge")
    first = parts[0]
    for other in parts[1:]:
        if other.geometry != first.geometry:
            raise CaloforgeError(
                f"{other.path} has geometry '{other.geometry.name}', but {first.path} has '{first.geometry.name}'"
            )
        if differs := difference(first.kinds, other.kinds):
            raise CaloforgeError(f"{first.path} and {other.path} differ in conditions: {differs}")
    parts = _in_shard_order(parts, incomplete)
    shared = {k: v for k, v in first.attributes.items() if all(_same(p.attributes.get(k), v) for p in parts)}
    shared = {k: v for k, v in shared.items() if k not in ("shard", "shards")} | {"merged_files": len(parts)}
    kept = tuple(name for name in columns if all(name in part.columns for part in parts))
    energies, deposited = [], []
    representation = representation_of(first.geometry)
    with representation.writer(path, shared, compression, first.kinds, kept) as append:
        for part in parts:
            with open_file(part.path) as file:
                further = {name: file.column(name) for name in kept}
                start = 0
                for chunk in file.chunks():
                    stop = start + len(chunk)
                    values = {name: column[start:stop] for name, column in further.items() if column is not None}
                    append(chunk, **values)
                    start = stop
                    energies.append(chunk.energies)
                    deposited.append(chunk.deposited)
                    if progress is not None:
                        progress(len(chunk))
    for doubt in representation.doubts(np.concatenate(energies), np.concatenate(deposited)):
        warnings.warn(f"{path}: {doubt}", CaloforgeWarning, stacklevel=2)
    return sum(map(len, energies))


@dataclass(frozen=True)
class MergedFile:
    """What is known of a file to merge while it is closed: thousands at a time could not be open."""

    path: Path
    geometry: AnyGeometry
    attributes: Mapping[str, Any]
    columns: frozenset[str]
    kinds: tuple[Condition, ...]
    n: int

    @classmethod
    def look(cls, path: Path, columns: Sequence[str] = ()) -> MergedFile:
        """Open a file for a moment; `columns` are looked for in it.

        Raises:
            CaloforgeError: it cannot be read.
        """
        with open_file(path) as file:
            found = frozenset(name for name in columns if file.column(name) is not None)
            geometry = PointGeometry(file.names, 1) if isinstance(file, PointFile) else file.geometry
            return cls(path, geometry, file.attributes, found, file.kinds, len(file))


def _in_shard_order(files: list[MergedFile], incomplete: bool) -> list[MergedFile]:
    with_shard = [file for file in files if "shard" in file.attributes]
    if not with_shard:
        return files
    if len(with_shard) < len(files):
        plain = next(file for file in files if "shard" not in file.attributes)
        raise CaloforgeError(f"{with_shard[0].path} is a shard and {plain.path} is not: merge them separately")
    shards: dict[int, MergedFile] = {}
    for file in files:
        for key in SAME:
            if file.attributes.get(key) != files[0].attributes.get(key):
                raise CaloforgeError(f"{file.path} and {files[0].path} are shards of different samples: {key} differs")
        number = _whole(file, "shard")
        if number in shards:
            raise CaloforgeError(f"{file.path} and {shards[number].path} are the same shard")
        shards[number] = file
    of = _whole(files[0], "shards")
    missing = list(islice((number for number in range(of) if number not in shards), 6))
    if missing and not incomplete:
        which = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise CaloforgeError(f"shards missing: {which} of {of}; generate them, or use {option('incomplete', True)}")
    return [shards[number] for number in sorted(shards)]


def _whole(file: MergedFile, name: str) -> int:
    value = file.attributes.get(name)
    if not isinstance(value, int) or value < 0:
        raise CaloforgeError(f"{file.path}: the attribute '{name}' of a shard is {value!r}; generate it again")
    return value


def _same(a: Any, b: Any) -> bool:
    return json.dumps(a, default=str) == json.dumps(b, default=str)
