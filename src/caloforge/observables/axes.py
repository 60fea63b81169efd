"""Histogram axes of observables: rules that give bin edges, in the CaloChallenge's convention (arXiv:2410.21611).

| observable | ds1 | ds2, ds3 |
|---|---|---|
| e_tot_over_e_inc | 100 bins in [0.5, 1.5] | the same |
| e_layer | 39 logarithmic bins from the threshold to the reference's maximum | the same |
| ec_eta, ec_phi | 100 in ±100 mm, ±500 in layers 12, 13 | ±30 mm |
| width_eta, width_phi | 100 in [0, 100], [0, 400] in layers 12, 13 | [0, 30] |
| ec_r, width_r | 100 in [0, 500], [0, 1500] in layers 12–14 | [0, 42], [0, 20] |
| sparsity | 20 in [0, 1] | the same |
| voxel_energy | 49 logarithmic bins from the threshold to the reference's maximum | the same |

In other geometries, ranges of lengths are given by the half-width R of the layer (outermost r or |eta|, |phi| edge):
centres in ±R/2, widths in [0, R/2], ec_r in [0, R]. If less than half of the reference's E_dep/E_inc is in [0.5, 1.5],
as for a calorimeter whose visible energy is not calibrated, there are 100 bins from 0 to 1.05 times its maximum.
Observables that are not in the CaloChallenge are binned over the range of the reference (`of_reference`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from caloforge.geometry import BUILTIN, AnyLayer, Geometry

NO_THRESHOLD = 1e-2
"""Lower end of logarithmic bins, in MeV, for geometries without a readout threshold (CaloFlow cuts at 10 keV)."""

Range = tuple[float, float]

_DS1: dict[str, Range] = {"centre": (-100, 100), "width": (0, 100), "ec_r": (0, 500), "width_r": (0, 500)}
_DS1_DEEP: dict[str, Range] = {"centre": (-500, 500), "width": (0, 400), "ec_r": (0, 1500), "width_r": (0, 1500)}
_DS2: dict[str, Range] = {"centre": (-30, 30), "width": (0, 30), "ec_r": (0, 42), "width_r": (0, 20)}

CHALLENGE: dict[str, tuple[dict[str, Range], dict[int, dict[str, Range]]]] = {
    "ds1-photons": (_DS1, {12: _DS1_DEEP}),
    "ds1-pions": (_DS1, {12: _DS1_DEEP, 13: _DS1_DEEP, 14: _DS1_DEEP}),
    "ds2": (_DS2, {}),
    "ds3": (_DS2, {}),
}
"""Built-in geometry → ranges of lengths in mm, and those of individual layers that differ."""


@dataclass(frozen=True)
class AxisRequest:
    """The quantities that an axis may depend on.

    Args:
        geometry: the voxels.
        layer: the layer of a per-layer observable, otherwise None.
        reference: values of the observable in the reference, of any shape.
        threshold: readout threshold in MeV.
    """

    geometry: Geometry
    layer: AnyLayer | None
    reference: np.ndarray
    threshold: float


Axis = Callable[[AxisRequest], np.ndarray | None]
"""Returns (B + 1,) increasing edges, or None if the reference allows no histogram."""


def equal(bins: int, low: float, high: float) -> Axis:
    """`bins` bins of equal width from `low` to `high`."""
    return lambda request: np.linspace(low, high, bins + 1)


def logarithmic(bins: int) -> Axis:
    """`bins` bins of equal ratio from the threshold to the reference's maximum; None if the maximum is not above it."""

    def edges(request: AxisRequest) -> np.ndarray | None:
        low, high = request.threshold or NO_THRESHOLD, float(np.max(request.reference, initial=-np.inf))
        # geomspace ends exactly at the maximum. The challenge's script exponentiates its logarithm, which falls short
        # of it in 45 of 100 cases (in double precision) and then drops the reference's most energetic shower.
        return np.geomspace(low, high, bins + 1) if high > low else None

    return edges


def response(request: AxisRequest) -> np.ndarray:
    """100 bins of E_dep/E_inc: from 0.5 to 1.5, or from 0 to 1.05 times the reference's maximum (see above)."""
    values = request.reference
    largest = float(np.max(values, initial=-np.inf))
    inside = np.count_nonzero((values >= 0.5) & (values <= 1.5))
    if 2 * inside >= np.size(values) or largest <= 0:
        return np.linspace(0.5, 1.5, 101)
    return np.linspace(0.0, 1.05 * largest, 101)


def length(quantity: str, along: str) -> Axis:
    """100 bins over the layer's range of `quantity` (centre, width, ec_r, width_r) along eta, phi or r, in mm."""

    def edges(request: AxisRequest) -> np.ndarray:
        assert request.layer is not None
        ranges, single = CHALLENGE.get(_challenge_name(request.geometry), ({}, {}))
        known = single.get(request.layer.id, ranges).get(quantity)
        low, high = known or _range_of_layer(request.layer, quantity, along)
        return np.linspace(low, high, 101)

    return edges


def of_reference(request: AxisRequest, bins: int = 50) -> np.ndarray | None:
    """`bins` bins from the 0.05 to the 99.95 percentile of the reference.

    Integers get bins of integer width, a constant gets a single bin around it.
    """
    values = request.reference
    if not np.size(values) or not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.0005, 0.9995])
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        width = max(abs(low) * 0.05, 0.5)
        return np.array([low - width, low + width])
    if np.all(values == np.round(values)):
        step = max(1.0, np.ceil((high - low + 1) / bins))
        return np.arange(np.floor(low) - 0.5, high + step, step)
    return np.linspace(low, high, bins + 1)


@cache
def _challenge_name(geometry: Geometry) -> str:
    """Name of the CaloChallenge geometry with the same voxels, empty if there is none."""
    return next((name for name in CHALLENGE if BUILTIN[name]().has_voxels_of(geometry)), "")


def _range_of_layer(layer: AnyLayer, quantity: str, along: str) -> Range:
    half = _half_width(layer, along)
    if quantity == "ec_r":
        return 0.0, half
    return (-half / 2 if quantity == "centre" else 0.0), half / 2


def _half_width(layer: AnyLayer, along: str) -> float:
    """Extent of a layer from the shower axis along eta, phi or r, in mm."""
    plain = layer.to_dict()
    if "r_edges" in plain:
        return float(plain["r_edges"][-1])
    eta, phi = (float(np.abs(plain[key]).max()) for key in ("eta_edges", "phi_edges"))
    return {"eta": eta, "phi": phi, "r": float(np.hypot(eta, phi))}[along]
