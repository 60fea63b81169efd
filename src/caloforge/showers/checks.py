"""The checks that every incident energy and every voxel passes, from a file or from Python."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError, CaloforgeWarning, either
from caloforge.units import count

LOW_ENERGY = 50.0
"""MeV; a median incident energy below this suggests GeV."""

PLAUSIBLE_RESPONSE = (0.02, 3.0)
"""Range of the mean E_dep / E_inc; outside it the units are probably wrong."""


ENERGIES = (1e-30, 1e30)
"""Range of incident energies in MeV: well within float32, in which networks see them."""

LARGEST_VOXEL = 1e18
"""Most energy of a voxel in MeV: its square still fits into float32."""


def as_numbers(values: Any, dtype: type[np.floating[Any]], name: str) -> np.ndarray:
    """`values` as a contiguous array of `dtype`, copied only if need be.

    Args:
        values: array, list or tensor of numbers.
        dtype: `np.float32` or `np.float64`; a value beyond its range becomes infinite.
        name: what the values are, for the error.

    Raises:
        CaloforgeError: `values` are not numbers, or rows of different lengths.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(values)
            if array.dtype.kind in "fiub":
                return np.ascontiguousarray(array, dtype=dtype).reshape(array.shape)
        reason = f"their type is {array.dtype}"
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
    raise CaloforgeError(f"{name} must be an array of numbers ({reason})")


def check_energies(energies: np.ndarray, start: int = 0, path: Path | None = None) -> None:
    """Require incident energies (N,) in MeV to be finite and within `ENERGIES`.

    Args:
        energies: the values.
        start: row of the first one, for the error.
        path: the file that they come from, for the error.

    Raises:
        CaloforgeError: one is not; names its row.
    """
    bad = ~((energies >= ENERGIES[0]) & (energies <= ENERGIES[1]))
    if bad.any():
        row = int(np.argmax(bad))
        value = energies[row]
        limits = " … ".join(f"{limit:g}" for limit in ENERGIES)
        word = "not finite" if not np.isfinite(value) else "not above zero" if value <= 0 else f"not within {limits}"
        raise _error(path, f"incident energy of row {start + row} is {value:g} MeV, {word}")


def check_voxels(voxels: np.ndarray, start: int = 0, path: Path | None = None) -> None:
    """Require voxels (N, V) in MeV to be from 0 to `LARGEST_VOXEL`; arguments as of `check_energies`.

    Raises:
        CaloforgeError: one is not; names its row.
    """
    # The minimum is NaN if any value is, and the maximum catches +inf: two passes instead of a mask per test.
    low, high = voxels.min(initial=0.0), voxels.max(initial=0.0)
    if low >= 0 and high <= LARGEST_VOXEL:
        return
    bad = ~((voxels >= 0) & (voxels <= LARGEST_VOXEL))
    row, voxel = (int(k) for k in np.unravel_index(np.argmax(bad), bad.shape))
    value = voxels[row, voxel]
    word = "not finite" if not np.isfinite(value) else "negative" if value < 0 else f"above {LARGEST_VOXEL:g} MeV"
    raise _error(path, f"voxel {voxel} of row {start + row} is {value:g} MeV, {word}")


def check_weights(weights: np.ndarray, path: Path | None = None) -> None:
    """Require weights (N,) to be finite, not negative, and not all zero; `path` as of `check_energies`.

    Raises:
        CaloforgeError: one is not; names its row.
    """
    bad = ~((weights >= 0) & (weights < np.inf))
    if bad.any():
        row = int(np.argmax(bad))
        word = "negative" if weights[row] < 0 else "not finite"
        raise _error(path, f"the weight of row {row} is {weights[row]:g}, {word}")
    if not weights.any():
        raise _error(path, "all weights are zero")


def warn_of_weights(origin: object, weights: np.ndarray | None) -> None:
    """Warn (`CaloforgeWarning`) that the weights of showers, if they have any, play no part in what follows."""
    if weights is not None:
        remedy = either("caloforge reweight --unweight makes showers without", "Reweighted.unweighted has none")
        warnings.warn(f"{origin} has weights, which are not used here: {remedy}", CaloforgeWarning, stacklevel=3)


def doubts(energies: np.ndarray, deposited: np.ndarray | None = None) -> list[str]:
    """Probable mistakes in showers that can be read, one sentence each.

    Args:
        energies: (N,) incident energies in MeV.
        deposited: (N,) deposited energies in MeV, where known.
    """
    if len(energies) == 0:
        return ["there are no showers"]
    typical = float(np.median(energies))
    low_energies = []
    if typical < LOW_ENERGY:
        low_energies = [
            f"half of the incident energies are below {typical:.3g} MeV: are they in GeV? They must be in MeV"
        ]
    if deposited is None:
        return low_energies
    empty = int(np.count_nonzero(deposited == 0))
    if empty == len(deposited):
        return ["no shower deposits any energy"]
    found = [f"{empty} of {count(len(deposited), 'shower')} deposit no energy"] if empty else []
    found += low_energies
    mean = float((deposited / energies).mean())
    low, high = PLAUSIBLE_RESPONSE
    if not low <= mean <= high:
        found.append(
            f"the mean E_dep / E_inc is {mean:.3g}: are showers and incident energies in the same unit, and the "
            "voxels divided by the sampling fraction?"
        )
    return found


def warn_of_doubts(origin: str | Path, energies: np.ndarray, deposited: np.ndarray | None = None) -> None:
    """Warn (`CaloforgeWarning`) of each of the `doubts` about showers that a command goes on to use."""
    for doubt in doubts(energies, deposited):
        warnings.warn(f"{origin}: {doubt}", CaloforgeWarning, stacklevel=2)


def _error(path: Path | None, reason: str) -> CaloforgeError:
    return CaloforgeError(reason if path is None else f"{path}: {reason}")
