"""Which rows of a sample an index means: a number, a slice, a list of numbers, or a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.units import count

Rows = int | slice | Sequence[int] | np.ndarray
"""What `Showers` and `PointClouds` are indexed by."""


def selected_rows(rows: Rows, n: int, single: str) -> slice | np.ndarray:
    """`rows` as a slice, an array of numbers or a mask, checked.

    Args:
        rows: as given to `[…]`.
        n: number of showers.
        single: how to reach what a second index would mean, for the error, as in "for single voxels, index …".

    Raises:
        IndexError: there is no such shower.
        CaloforgeError: `rows` is something else.
    """
    if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
        number = int(rows)
        if not -n <= number < n:
            raise IndexError(f"there is no shower {number}; there are {n}")
        return slice(number, number + 1 or None)
    if isinstance(rows, slice):
        return rows
    several = isinstance(rows, tuple)  # as in showers[0, 3]
    chosen = np.asarray(rows) if len(np.atleast_1d(np.asarray(rows))) else np.empty(0, dtype=int)
    if several or chosen.ndim != 1 or chosen.dtype.kind not in "iub":
        raise CaloforgeError(
            f"showers are chosen by a number, a slice, a list of numbers or a mask of one boolean per shower; {single}"
        )
    if chosen.dtype.kind == "b" and len(chosen) != n:
        raise IndexError(f"the mask has {len(chosen):,} values, but there are {count(n, 'shower')}")
    if chosen.dtype.kind != "b" and len(out := chosen[(chosen < -n) | (chosen >= n)]):
        raise IndexError(f"there is no shower {out[0]}; there are {n}")
    return chosen
