"""The checks that offsets and points pass, from a file or from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.showers.checks import LARGEST_VOXEL, LOW_ENERGY
from caloforge.units import format_energy

MOST_LAYER = 1_000_000
"""A column `layer` holds whole numbers from 0 to this."""


PLAUSIBLE_SUMS = {"shower": (0.002, 3.0), "jet": (0.3, 1.5)}
"""Range of the mean E_dep / E_inc (hits may be of the active material alone), and of the mean sum of ptrel of jets."""


def point_doubts(noun: str, energies: np.ndarray, deposited: np.ndarray) -> list[str]:
    """Probable mistakes in the units of point clouds, a sentence each.

    Args:
        noun: what they are, shower or jet.
        energies: (N,) incident energies in MeV.
        deposited: (N,) sums of the energies of points in MeV, or of ptrel.
    """
    found, typical = [], float(np.median(energies))
    if typical < LOW_ENERGY:
        found.append(
            f"half of the incident energies are below {format_energy(typical)}: is the unit right? Energies must be in "
            "MeV, or their unit be given"
        )
    low, high = PLAUSIBLE_SUMS[noun]
    mean = float((deposited if noun == "jet" else deposited / energies).mean())
    if not low <= mean <= high:
        what = "sum of ptrel" if noun == "jet" else "E_dep / E_inc"
        found.append(f"the mean {what} is {mean:.3g}: are points and incident energies in the same unit?")
    return found


def check_offsets(offsets: Any, n_points: int, n: int, path: Path | None = None) -> np.ndarray:
    """Offsets (N + 1,) as int64: from 0 to the number of points, never falling.

    Args:
        offsets: first point of each shower, and the number of points at the end.
        n_points: P. n: number of showers.
        path: the file that they come from, for the error.

    Raises:
        CaloforgeError: they are not; names the value.
    """
    try:
        given = np.asarray(offsets)
    except ValueError:
        given = np.array("")
    if given.dtype.kind not in "iu" and not (given.dtype.kind == "f" and np.array_equal(given, np.rint(given))):
        raise _error(path, f"offsets must be whole numbers, not of type {given.dtype}")
    if given.shape != (n + 1,):
        raise _error(path, f"offsets have the shape {given.shape}; expected ({n + 1},), one more than showers")
    bounds = given.astype(np.int64)
    falling = np.flatnonzero(bounds[1:] < bounds[:-1])
    if len(falling):
        row = int(falling[0])
        raise _error(path, f"offset {row + 1} is {bounds[row + 1]}, below offset {row}, which is {bounds[row]}")
    if bounds[0] != 0:
        raise _error(path, f"the first offset is {bounds[0]}, must be 0")
    if bounds[-1] != n_points:
        raise _error(path, f"the last offset is {bounds[-1]}, but there are {n_points} points")
    return bounds


def check_points(
    points: np.ndarray, names: tuple[str, ...], offsets: np.ndarray, start: int = 0, path: Path | None = None
) -> None:
    """Require points (P, F) to be finite, weights to be at least 0, and layers to be whole numbers from 0.

    Args:
        points: the values. names: of their columns.
        offsets: (N + 1,) of the showers, for the error.
        start: number of the first shower, for the error.
        path: the file that they come from, for the error.

    Raises:
        CaloforgeError: a value is not allowed; names its shower, point and column.
    """
    for k, name in enumerate(names):
        values = points[:, k]
        low, high = (0.0, LARGEST_VOXEL) if name in ("energy", "ptrel") else (-LARGEST_VOXEL, LARGEST_VOXEL)
        if name == "layer":
            low, high = 0.0, MOST_LAYER
        within = values.min(initial=high) >= low and values.max(initial=low) <= high  # False for a NaN
        if within and not (name == "layer" and (values != np.rint(values)).any()):
            continue
        bad = ~((values >= low) & (values <= high))
        if name == "layer":
            bad |= values != np.rint(values)
        index = int(np.argmax(bad))
        value = values[index]
        row = int(np.searchsorted(offsets, index, side="right")) - 1
        where = f"{name} of point {index - int(offsets[row])} of shower {start + row} is {value:g}"
        if not np.isfinite(value):
            word = "not finite"
        elif value < low:
            word = "negative" if low == 0 else f"below {low:g}"
        else:
            word = "not a whole number" if value <= high else f"above {high:g}"
        raise _error(path, f"{where}, {word}")


def _error(path: Path | None, reason: str) -> CaloforgeError:
    return CaloforgeError(reason if path is None else f"{path}: {reason}")
