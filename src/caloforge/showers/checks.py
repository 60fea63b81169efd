"""The checks that every incident energy and every voxel passes, from a file or from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError


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
    """Require incident energies (N,) in MeV to be finite and above zero.

    Args:
        energies: the values.
        start: row of the first one, for the error.
        path: the file that they come from, for the error.

    Raises:
        CaloforgeError: one is not; names its row.
    """
    bad = ~(np.isfinite(energies) & (energies > 0))
    if bad.any():
        row = int(np.argmax(bad))
        value = energies[row]
        word = "not above zero" if np.isfinite(value) else "not finite"
        raise _error(path, f"incident energy of row {start + row} is {value:g} MeV, {word}")


def check_voxels(voxels: np.ndarray, start: int = 0, path: Path | None = None) -> None:
    """Require voxels (N, V) in MeV to be finite and not negative; arguments as of `check_energies`.

    Raises:
        CaloforgeError: one is not; names its row.
    """
    # The minimum is NaN if any value is, and the maximum catches +inf: two passes instead of a mask per test.
    low, high = voxels.min(initial=0.0), voxels.max(initial=0.0)
    if low >= 0 and np.isfinite(high):
        return
    bad = ~(np.isfinite(voxels) & (voxels >= 0))
    row, voxel = (int(k) for k in np.unravel_index(np.argmax(bad), bad.shape))
    value = voxels[row, voxel]
    word = "negative" if np.isfinite(value) else "not finite"
    raise _error(path, f"voxel {voxel} of row {start + row} is {value:g} MeV, {word}")


def _error(path: Path | None, reason: str) -> CaloforgeError:
    return CaloforgeError(reason if path is None else f"{path}: {reason}")
