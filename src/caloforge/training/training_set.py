"""The showers that a run is trained on: read, checked against the recipe, and split for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.files import printable
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.training.machine import derived_seed
from caloforge.units import count

Source = Showers | Path
"""Showers in memory, or a file of them."""


def name_of(source: Source) -> str:
    """What to call a source in an error and in a run's provenance."""
    return "the showers in memory" if isinstance(source, Showers) else str(source)


def file_name(source: Source) -> str:
    """The source's name in a run's provenance."""
    return "in memory" if isinstance(source, Showers) else printable(source.name)


def training_and_validation(
    training: Source,
    validation: Source | None,
    geometry: Geometry,
    *,
    exclude: Sequence[float],
    fraction: float,
    seed: int,
) -> tuple[Showers, Showers]:
    """Read the showers, and set a part of the training data aside where there are no separate validation data.

    Args:
        training, validation: what to read.
        geometry: the recipe's.
        exclude: incident energies (MeV) to leave out.
        fraction: share of the training data that is set aside, chosen at random.
        seed: of that choice.

    Raises:
        CaloforgeError: a file is invalid or has another geometry, or nothing is left.
    """
    showers = _read(training, geometry, exclude)
    if validation is not None:
        return showers, _read(validation, geometry, exclude)
    n_valid = round(fraction * len(showers))
    if not 1 <= n_valid < len(showers):
        raise CaloforgeError(
            f"{name_of(training)}: {count(len(showers), 'shower')}, too few to set {fraction:g} of them aside for "
            "validation"
        )
    order = np.random.default_rng(derived_seed(seed, "split")).permutation(len(showers))
    return showers[np.sort(order[n_valid:])], showers[np.sort(order[:n_valid])]


def tensors(showers: Showers) -> tuple[Tensor, Tensor]:
    """Voxels (N, V) and incident energies (N, 1), both MeV, float32."""
    return torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies.astype(np.float32))[:, None]


def fingerprint(showers: Showers) -> str:
    """A short hash that distinguishes training sets: of all energies and every voxel sum."""
    digest = hashlib.sha256(showers.energies.tobytes())
    digest.update(showers.deposited.tobytes())
    return digest.hexdigest()[:16]


def check_finite(x: Tensor, source: Source) -> None:
    """Check the features that the transforms yield.

    Raises:
        CaloforgeError: one is not finite; says which.
    """
    finite = x.isfinite()
    if not finite.all():
        row, feature = (int(k) for k in (~finite).nonzero()[0])
        raise CaloforgeError(
            f"{name_of(source)}: the transforms yield {x[row, feature].item()} for feature {feature} of a shower; "
            "check their order and settings"
        )


def _read(source: Source, geometry: Geometry, exclude: Sequence[float]) -> Showers:
    if isinstance(source, Showers):
        _check_geometry(source.geometry, geometry, name_of(source))
        showers = source
    else:
        with ShowerFile(source, geometry) as file:
            _check_geometry(file.geometry, geometry, str(source))
            showers = file.read()
    if len(exclude) == 0:
        return showers
    excluded = np.isclose(showers.energies[:, None], np.asarray(exclude)[None, :], rtol=1e-3).any(axis=1)
    missing = [e for e in exclude if not np.isclose(showers.energies, e, rtol=1e-3).any()]
    if missing:
        raise CaloforgeError(f"{name_of(source)} has no showers of {missing[0]:g} MeV to exclude")
    if excluded.all():
        raise CaloforgeError(f"{name_of(source)}: --exclude-energies leaves no showers to train on")
    return showers[~excluded]


def _check_geometry(found: Geometry, wanted: Geometry, name: str) -> None:
    if found != wanted:
        raise CaloforgeError(
            f"{name} has geometry '{found.name}', but the recipe is for '{wanted.name}'; choose another recipe or "
            f"--set geometry={found.name}"
        )
