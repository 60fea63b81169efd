"""The showers that a run is trained on: read, checked against the recipe, and split for validation."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.conditions import Columns
from caloforge.energies.agreement import check_parts
from caloforge.errors import CaloforgeError, CaloforgeWarning, option
from caloforge.files import atomic_path, printable, real, write_text
from caloforge.geometry import AnyGeometry
from caloforge.models.dataset import MemoryRows, Pair, Rows, ShowerDataset
from caloforge.representation import AnyShowers, OpenFiles, representation_of
from caloforge.training.given_conditions import GivenConditions, Wanted, chosen_conditions, required_conditions
from caloforge.training.machine import derived_seed
from caloforge.training.scratch import ScratchRows
from caloforge.training.store import Store
from caloforge.transforms import TrainedConditions
from caloforge.units import count

MOST_EMPTY = 0.5
"""A larger fraction of showers without any energy is refused: it is a broken file, not a sample to learn from."""

Source = AnyShowers | Sequence[Path]
"""Showers in memory, or files of them."""

ROWS, FACTS = "showers.rows", "showers"
"""Scratch files of the showers, and of what is known of them (`.json` and `.npy`)."""


def name_of(source: Source) -> str:
    """What to call a source in an error."""
    return "the sample in memory" if isinstance(source, AnyShowers) else ", ".join(map(str, source))


def file_names(source: Source) -> list[str]:
    """The source's files in a run's provenance."""
    return ["in memory"] if isinstance(source, AnyShowers) else [printable(path.name) for path in source]


@dataclass(frozen=True)
class TrainingShowers:
    """Some of the showers of a source, wherever they are kept.

    Args:
        name: of the source, for errors.
        geometry: of the showers. attributes: of the source.
        rows: voxels (n, V) in MeV, or rows of points (n, W), and what a model gets of the conditions (n, C), the
            incident energy in MeV first, float32, of all showers of the source.
        all_energies, all_deposited: (n,) incident and deposited energies in MeV of all showers of the source, float64.
        all_conditions: those of them that the model is told of.
        trained: what the run knows of these.
        selection: (N,) which of them are meant; None: all.
    """

    name: str
    geometry: AnyGeometry
    attributes: Mapping[str, Any]
    rows: Rows
    all_energies: np.ndarray
    all_deposited: np.ndarray
    all_conditions: Columns
    trained: TrainedConditions
    selection: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def energies(self) -> np.ndarray:
        """(N,) incident energies in MeV."""
        return self.all_energies if self.selection is None else self.all_energies[self.selection]

    @property
    def conditions(self) -> Columns:
        """The further conditions of the N showers."""
        return self.all_conditions if self.selection is None else self.all_conditions.take(self.selection)

    def __getitem__(self, selection: np.ndarray) -> TrainingShowers:
        rows = np.arange(len(self)) if self.selection is None else self.selection
        return replace(self, selection=rows[selection])

    def dataset(self) -> ShowerDataset:
        """Rows (B, W) in physical units and conditions (B, C), the incident energy in MeV first, float32."""
        return ShowerDataset(
            self.rows, selection=None if self.selection is None else torch.from_numpy(np.asarray(self.selection))
        )

    def pieces(self) -> Iterator[Any]:
        """The showers, some at a time: `Showers` or `PointClouds`."""
        energies, columns, start = self.energies, self.conditions, 0
        representation = representation_of(self.geometry)
        for x, _ in self.dataset().pieces():
            rows = slice(start, start + len(x))
            yield representation.showers(x.numpy(), energies[rows], self.attributes, columns.take(rows))
            start += len(x)

    def given_up(self, store: Store) -> TrainingShowers:
        """The same without rows in memory, which are not needed any more; scratch files stay, for a resumption."""
        if isinstance(self.rows, MemoryRows):
            store.forget(self.rows)
        return replace(self, rows=MemoryRows(torch.empty(0, self.geometry.row_length), torch.empty(0, 1)))

    def fingerprint(self) -> str:
        """A short hash that distinguishes training sets: of all energies, conditions and deposited energies."""
        chosen = slice(None) if self.selection is None else self.selection
        digest = hashlib.sha256(self.energies.tobytes())
        digest.update(np.ascontiguousarray(self.all_deposited[chosen]).tobytes())
        if self.all_conditions:
            digest.update(self.conditions.table.tobytes())
        return digest.hexdigest()[:16]


def training_and_validation(
    training: Source,
    validation: Source | None,
    geometry: AnyGeometry,
    *,
    exclude: Sequence[float],
    fraction: float,
    seed: int,
    conditions: Wanted = "auto",
    store: Store | None = None,
    resume: bool = False,
) -> tuple[TrainingShowers, TrainingShowers]:
    """Read the showers, and set a part of the training data aside where there are no separate validation data.

    Args:
        training, validation: what to read.
        geometry: the recipe's.
        exclude: incident energies (MeV) to leave out.
        fraction: share of the training data that is set aside, chosen at random.
        seed: of that choice.
        conditions: which further conditions the model is told of (see `Recipe`).
        store: where the showers of files are kept.
        resume: whether scratch files of an interrupted run may be used.

    Raises:
        CaloforgeError: a file is invalid, has another geometry or lacks a condition, files differ, or nothing is left.
    """
    store = store or Store()
    reader = _Reader(geometry, store, resume)
    showers = _without(_checked(reader.read(training, lambda found: chosen_conditions(found, conditions))), exclude)
    if validation is not None:

        def same(found: GivenConditions) -> TrainedConditions:
            return required_conditions(found, showers.trained)

        return showers, _without(_checked(reader.read(validation, same, "validation-")), exclude)
    n_valid = round(fraction * len(showers))
    if not 1 <= n_valid < len(showers):
        raise CaloforgeError(
            f"{name_of(training)}: {count(len(showers), 'shower')}, too few to set {fraction:g} of them aside for "
            "validation"
        )
    order = np.random.default_rng(derived_seed(seed, "split")).permutation(len(showers))
    return showers[np.sort(order[n_valid:])], showers[np.sort(order[:n_valid])]


def check_finite(x: Tensor, source: str) -> None:
    """Check the features that the transforms yield.

    Raises:
        CaloforgeError: one is not finite; says which.
    """
    finite = x.isfinite()
    if not finite.all():
        row, feature = (int(k) for k in (~finite).nonzero()[0])
        raise CaloforgeError(
            f"{source}: the transforms yield {x[row, feature].item()} for feature {feature} of a shower; "
            "check their order and settings"
        )


Choice = Callable[[GivenConditions], TrainedConditions]
"""What is known of a source's conditions → those that a model is told of."""


@dataclass(frozen=True)
class _Reader:
    """Reads sources for a recipe's geometry into a store; `resume`: from scratch files of an interrupted run."""

    geometry: AnyGeometry
    store: Store
    resume: bool

    def read(self, source: Source, choice: Choice, prefix: str = "") -> TrainingShowers:
        """The showers of a source; `prefix` is that of its scratch files."""
        if isinstance(source, AnyShowers):
            return self._in_memory(source, choice)
        name = name_of(source)
        with representation_of(self.geometry).opened(source) as files:
            by_file = files.energies_by_file()
            check_parts(by_file, files.paths)
            energies, columns = np.concatenate(by_file), files.conditions()
            trained = choice(GivenConditions(name, columns, files.attributes))
            chosen = columns.only(trained.names)
            given = _given(energies, chosen, trained)
            found = self._earlier(source, given, prefix) if self.resume else None
            rows, deposited = self._load(files, given, prefix) if found is None else found
            return TrainingShowers(name, self.geometry, files.attributes, rows, energies, deposited, chosen, trained)

    def _in_memory(self, source: AnyShowers, choice: Choice) -> TrainingShowers:
        name, representation = name_of(source), representation_of(self.geometry)
        if len(source) == 0:
            raise CaloforgeError(f"{name} holds no showers")
        showers = representation.check(source, name)
        trained = choice(GivenConditions(name, showers.conditions, showers.attributes))
        chosen = showers.conditions.only(trained.names)
        rows = MemoryRows(representation.rows(showers), _given(showers.energies, chosen, trained))
        return TrainingShowers(
            name, self.geometry, showers.attributes, rows, showers.energies, showers.deposited, chosen, trained
        )

    def _load(self, files: OpenFiles, given: Tensor, prefix: str) -> tuple[Rows, np.ndarray]:
        """The showers of files, in memory or as scratch files, and their deposited energies."""
        store, deposited = self.store, list[np.ndarray]()
        representation = representation_of(self.geometry)

        def pieces() -> Iterator[Pair]:
            start = 0
            for showers in files.chunks():
                deposited.append(showers.deposited)
                yield representation.rows(showers), given[start : start + len(showers)]
                start += len(showers)

        rows = store.filled(len(files), pieces(), f"the showers of {files.path}", name=f"{prefix}{ROWS}")
        total = store.team.from_first(lambda: np.concatenate(deposited))
        if isinstance(rows, ScratchRows) and store.team.first:
            with atomic_path(store.folder / f"{prefix}{FACTS}.npy") as partial, partial.open("wb") as stream:
                np.save(stream, total)
            write_text(store.folder / f"{prefix}{FACTS}.json", _state_of(files.paths))
        return rows, total

    def _earlier(self, source: Sequence[Path], given: Tensor, prefix: str) -> tuple[Rows, np.ndarray] | None:
        """What `_load` wrote for the same files before the run was interrupted, if it was complete."""
        facts = self.store.folder / f"{prefix}{FACTS}.json"
        if not facts.exists() or facts.read_text(encoding="utf-8") != _state_of(source):
            return None
        try:
            deposited = np.load(facts.with_suffix(".npy"))
            x = torch.empty(0, self.geometry.row_length)
            rows = self.store.reopened(len(deposited), x, given[:0], f"{prefix}{ROWS}")
        except (OSError, ValueError, CaloforgeError):
            return None
        return None if rows is None else (rows, deposited)


def _state_of(paths: Sequence[Path]) -> str:
    """What changes when a file does."""
    states = [(str(real(path)), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths]
    return json.dumps(states)


def _given(energies: np.ndarray, columns: Columns, trained: TrainedConditions) -> Tensor:
    """(n, C) what a model gets: energies (n,) in MeV, and further conditions."""
    values = torch.from_numpy(columns.table.astype(np.float32))
    return trained.inputs(torch.from_numpy(energies.astype(np.float32))[:, None], values)


def _without(showers: TrainingShowers, exclude: Sequence[float]) -> TrainingShowers:
    """The showers less those of the incident energies `exclude` (MeV)."""
    if len(exclude) == 0:
        return showers
    excluded = np.isclose(showers.energies[:, None], np.asarray(exclude)[None, :], rtol=1e-3)
    missing = [e for e, column in zip(exclude, excluded.T, strict=True) if not column.any()]
    if missing:
        raise CaloforgeError(f"there are no showers of {missing[0]:g} MeV to exclude in {showers.name}")
    kept = ~excluded.any(axis=1)
    if not kept.any():
        raise CaloforgeError(f"{showers.name}: {option('exclude_energies')} leaves no showers to train on")
    return showers[np.flatnonzero(kept)]


def _checked(showers: TrainingShowers) -> TrainingShowers:
    empty = float(np.mean(showers.all_deposited == 0))
    if empty > MOST_EMPTY:
        which = "no shower deposits" if empty == 1 else f"{100 * empty:.0f} % of the showers do not deposit"
        raise CaloforgeError(f"{showers.name}: {which} any energy; train on a file of showers with deposits")
    for doubt in representation_of(showers.geometry).doubts(showers.all_energies, showers.all_deposited):
        warnings.warn(f"{showers.name}: {doubt}", CaloforgeWarning, stacklevel=2)
    return showers
