"""Histogram edges in the CaloChallenge's convention (arXiv:2410.21611), and counting into them.

| observable | ds1 | ds2, ds3 |
|---|---|---|
| e_tot_over_e_inc | 100 bins in [0.5, 1.5] | the same |
| e_layer | 39 logarithmic bins from the threshold to the reference's maximum | the same |
| ec_eta, ec_phi | 100 in ±100 mm, ±500 in layers 12, 13 | ±30 mm |
| width_eta, width_phi | 100 in [0, 100], [0, 400] in layers 12, 13 | [0, 30] |
| ec_r, width_r | 100 in [0, 500], [0, 1500] in layers 12–14 | [0, 42], [0, 20] |
| sparsity | 20 in [0, 1] | the same |
| voxel_energy | 49 logarithmic bins from the threshold to the reference's maximum | the same |

On other geometries, the lengths follow the layer's own half-width R (outermost r or |eta|, |phi| edge):
centres in ±R/2, widths in [0, R/2], ec_r in [0, R]. If less than half of the reference's E_dep/E_inc lies in
[0.5, 1.5], as for a calorimeter whose visible energy is not calibrated, 100 bins run from 0 to 1.05 times its
maximum. Observables that the challenge does not know get 100 bins over the reference's range (shares: over
[0, 1]).

Bins are half open, the last one closed, as numpy counts. What lies outside is not counted in them; `counts`
tells how much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.observables.axes import same_voxels as same_voxels
from caloforge.geometry import Geometry


def challenge_edges(
    geometry: Geometry, name: str, reference: np.ndarray, threshold: float | None = None
) -> np.ndarray | None:
    """Bin edges of an observable.

    Args:
        geometry: the voxels' description.
        name: an observable, or `voxel_energy`.
        reference: the reference's values of it (any shape), which set the upper end of logarithmic bins.
        threshold: readout threshold in MeV where logarithmic bins start; None takes the geometry's.

    Returns:
        (B + 1,) rising edges; None where the reference gives no histogram: a layer whose largest energy does
        not exceed the threshold, or an observable with one value only that the challenge does not know.
    """
    return observables.find(geometry, name).edges(reference, threshold)


DEFINITION = (
    "each histogram has so many (number) bins from low to high, of equal width (scale linear) or equal ratio (log); a "
    "bin holds its lower edge, the last one its upper edge too; what lies outside is dropped before normalising"
)
"""How to read `described`, for a report."""


def described(edges: np.ndarray) -> dict[str, Any]:
    """{"low", "high", "number", "scale"} of edges (B + 1,), from which numpy's linspace or geomspace gives them again.

    Raises:
        ValueError: the edges are neither equidistant nor in equal ratios.
    """
    low, high, number = float(edges[0]), float(edges[-1]), len(edges) - 1
    for scale, spaced in (("linear", np.linspace), ("log", np.geomspace)):
        if (scale == "linear" or low > 0) and np.allclose(spaced(low, high, number + 1), edges, rtol=1e-12, atol=0):
            return {"low": low, "high": high, "number": number, "scale": scale}
    raise ValueError("edges are neither linear nor logarithmic")


def bin_numbers(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(N,) bin of each value: 1 … B inside, 0 below, B + 1 above; the last edge belongs to bin B."""
    numbers = np.searchsorted(edges, values, side="right")
    numbers[values == edges[-1]] = len(edges) - 1
    return numbers.astype(np.uint16)


class SingleBins:
    """Counts float32 values, as voxel energies are, into fixed bins like `bin_numbers`, but faster.

    The leading 16 bits of a positive float32 (exponent and 7 bits of mantissa) look up the bin at which its
    neighbourhood of 0.8 % begins, and the one edge that may lie inside. Edges closer than that are searched for.

    Args:
        edges: (B + 1,) rising.
    """

    def __init__(self, edges: np.ndarray) -> None:
        # For float32 v, v >= e is v >= the smallest float32 not below e; beyond the last bin only what exceeds it.
        cuts = edges.astype(np.float32)
        short = cuts < edges
        short[-1] = cuts[-1] <= edges[-1]
        self._cuts = np.where(short, np.nextafter(cuts, np.float32(np.inf)), cuts)
        begins = (np.arange(2**15, dtype=np.uint32) << 16).view(np.float32)
        self._first = np.searchsorted(self._cuts, begins, side="right").astype(np.uint16)
        self._next = np.append(self._cuts, np.float32(np.inf))[self._first]
        self._crowded = bool((np.diff(self._first.astype(np.int64)) > 1).any())

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """(N,) uint16 bin of each value (float32, not negative), as `bin_numbers` has it."""
        if self._crowded:
            return np.searchsorted(self._cuts, values, side="right").astype(np.uint16)
        cells = values.view(np.uint32) >> 16
        return self._first[cells] + (values >= self._next[cells])


def counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(B + 2,) counts of `values`: below, the B bins, above."""
    return np.bincount(bin_numbers(values, edges), minlength=len(edges) + 1)
