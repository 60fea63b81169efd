"""Counting into histogram bins.

Bins are half open, except for the last one, which is closed, as in numpy and the CaloChallenge. Values outside are not
counted in them; `histogram` keeps them in the flow bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hist import Hist
from hist.axis import StrCategory, Variable
from hist.storage import Int64


def bin_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(N,) bin of each value: 1 … B inside, 0 below, B + 1 above; the last edge belongs to bin B."""
    numbers = np.searchsorted(edges, values, side="right")
    numbers[values == edges[-1]] = len(edges) - 1
    return numbers.astype(np.uint16)


class SingleBins:
    """Counts float32 values, such as voxel energies, into fixed bins like `bin_numbers`, but faster.

    The leading 16 bits of a positive float32 (exponent and 7 bits of mantissa) define an interval of 0.8 %. They index
    tables of the bin at the start of the interval and of the edge that may be inside it. If edges are closer than this,
    bins are found by search.

    Args:
        edges: (B + 1,) increasing edges.
    """

    def __init__(self, edges: np.ndarray) -> None:
        # For float32 v, v >= e is v >= the smallest float32 not below e; the last edge itself belongs to the last bin.
        cuts = edges.astype(np.float32)
        short = cuts < edges
        short[-1] = cuts[-1] <= edges[-1]
        self._cuts = np.where(short, np.nextafter(cuts, np.float32(np.inf)), cuts)
        begins = (np.arange(2**15, dtype=np.uint32) << 16).view(np.float32)
        self._first = np.searchsorted(self._cuts, begins, side="right").astype(np.uint16)
        self._next = np.append(self._cuts, np.float32(np.inf))[self._first]
        self._crowded = bool((np.diff(self._first.astype(np.int64)) > 1).any())

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """(N,) uint16 bin of each value (float32, non-negative), as in `bin_numbers`."""
        if self._crowded:
            return np.searchsorted(self._cuts, values, side="right").astype(np.uint16)
        cells = values.view(np.uint32) >> 16
        return np.asarray(self._first[cells] + (values >= self._next[cells]))


def counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(B + 2,) counts of `values`: underflow, B bins, overflow."""
    return np.bincount(bin_numbers(values, edges), minlength=len(edges) + 1)


def single(edges: np.ndarray, filled: np.ndarray, *, name: str, label: str, axis_label: str) -> Hist[Any]:
    """The counts (B + 2,) of one sample (see `counts`) as a `Hist`."""
    found = Hist(Variable(edges, name=name, label=axis_label), storage=Int64(), name=name, label=label)
    found.view(flow=True)[...] = filled
    return found


def histogram(
    edges: np.ndarray,
    generated: np.ndarray,
    reference: np.ndarray,
    *,
    name: str,
    label: str,
    axis_label: str,
    metadata: Mapping[str, Any],
) -> Hist[Any]:
    """The counts (B + 2,) of both samples (see `counts`) in one `Hist` (see `caloforge.plots.charts`)."""
    samples = StrCategory(["generated", "reference"], flow=False)
    found = Hist(samples, Variable(edges, name=name, label=axis_label), storage=Int64(), name=name, label=label)
    found.view(flow=True)[...] = np.stack([generated, reference])
    found.metadata = dict(metadata)
    return found


def described(edges: np.ndarray) -> dict[str, float | str]:
    """Number of bins, limits and scale (linear, log or variable) of edges (B + 1,)."""
    low, high, number = float(edges[0]), float(edges[-1]), len(edges) - 1
    scale = "variable"
    for word, spaced in (("log", np.geomspace), ("linear", np.linspace)):
        if (word == "linear" or low > 0) and np.allclose(spaced(low, high, number + 1), edges, rtol=1e-12, atol=0):
            scale = word
    return {"bins_number": number, "bins_low": low, "bins_high": high, "bins_scale": scale}
