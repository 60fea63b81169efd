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

from functools import cache
from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.geometry import BUILTIN, AnyLayer, Geometry

NO_THRESHOLD = 1e-2
"""MeV where logarithmic bins start on a geometry without a readout threshold (CaloFlow cuts at 10 keV)."""

SHARES = ("fraction_layer", "occupancy", "brightest", "second_brightest", "e_ratio", "max_voxel_fraction")


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
    cut = (geometry.threshold if threshold is None else threshold) or NO_THRESHOLD
    largest = float(np.max(reference, initial=-np.inf))
    if name == "voxel_energy":
        return _log_edges(cut, largest, 49)
    if name == "e_tot_over_e_inc":
        inside = np.count_nonzero((reference >= 0.5) & (reference <= 1.5))
        if 2 * inside >= np.size(reference) or largest <= 0:
            return np.linspace(0.5, 1.5, 101)
        return np.linspace(0.0, 1.05 * largest, 101)
    family, position = observables.find(geometry, name)
    if family.name == "e_layer":
        return _log_edges(cut, largest, 39)
    if family.name == "sparsity":
        return np.linspace(0.0, 1.0, 21)
    if position is not None and family.name in _LENGTHS:
        low, high = _length_range(geometry, geometry.layers[position], family.name)
        return np.linspace(low, high, 101)
    if family.name in SHARES:
        return np.linspace(0.0, 1.0, 101)
    lowest = float(np.min(reference, initial=np.inf))
    return np.linspace(lowest, largest, 101) if largest > lowest else None


def _log_edges(low: float, high: float, n_bins: int) -> np.ndarray | None:
    # geomspace ends exactly on the maximum; a power of its logarithm may fall short of it and lose the shower.
    return np.geomspace(low, high, n_bins + 1) if high > low else None


_LENGTHS = ("ec_eta", "ec_phi", "ec_r", "width_eta", "width_phi", "width_r")


@cache
def _challenge_kin(geometry: Geometry) -> str:
    """Name of the challenge's geometry that has the same voxels, empty if none."""
    for name in ("ds1-photons", "ds1-pions", "ds2", "ds3"):
        if same_voxels(BUILTIN[name](), geometry):
            return name
    return ""


def same_voxels(first: Geometry, second: Geometry) -> bool:
    """Whether two geometries have the same layers and edges, whatever their names, thresholds and depths."""
    return [_edges(layer) for layer in first.layers] == [_edges(layer) for layer in second.layers]


def _edges(layer: AnyLayer) -> dict[str, object]:
    return {key: value for key, value in layer.to_dict().items() if key != "z_edges"}


def _length_range(geometry: Geometry, layer: AnyLayer, family: str) -> tuple[float, float]:
    kin = _challenge_kin(geometry)
    if kin in ("ds2", "ds3"):
        ranges = {"ec_r": (0.0, 42.0), "width_r": (0.0, 20.0)}
        return ranges.get(family, (-30.0, 30.0) if family.startswith("ec") else (0.0, 30.0))
    if kin:
        if family.endswith("_r"):
            return (0.0, 1500.0) if layer.id in (12, 13, 14) else (0.0, 500.0)
        wide = layer.id in (12, 13)
        if family.startswith("ec"):
            return (-500.0, 500.0) if wide else (-100.0, 100.0)
        return (0.0, 400.0) if wide else (0.0, 100.0)
    half = _half_width(layer, family.rpartition("_")[2])
    if family == "ec_r":
        return 0.0, half
    return (-half / 2 if family.startswith("ec") else 0.0), half / 2


def _half_width(layer: AnyLayer, axis: str) -> float:
    """Extent of a layer from the shower axis along `axis` (eta, phi or r) in mm."""
    plain = layer.to_dict()
    if "r_edges" in plain:
        return float(plain["r_edges"][-1])
    eta, phi = (float(np.abs(plain[key]).max()) for key in ("eta_edges", "phi_edges"))
    return {"eta": eta, "phi": phi, "r": float(np.hypot(eta, phi))}[axis]


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
