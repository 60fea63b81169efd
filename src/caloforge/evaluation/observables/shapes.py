"""Widths of layers, and how the energy is spread over their voxels.

    width_x = sqrt(max(0, Σ x_i² e_i / (E_l + 1e-16) − EC_x²))          x = eta, phi, r
    sparsity = share of the layer's voxels that are zero                 occupancy = 1 − sparsity
    E_ratio = (I_1 − I_2) / (I_1 + I_2)                                  I_1, I_2: brightest and second voxel

Sparsity as in the CaloChallenge (arXiv:2410.21611), which is the opposite of CaloFlow's word; E_ratio and the
brightest voxels as in CaloFlow (arXiv:2106.05285); hits and largest voxel as in CaloScore.
"""

from __future__ import annotations

import numpy as np

from caloforge.evaluation.observables.base import FLOOR, View, per_layer, per_shower, with_directions
from caloforge.evaluation.observables.centres import centre

ROUNDING = 1e-13
"""A variance below this share of its two terms is what rounding leaves of zero."""


def _width(view: View, position: int, axis: str) -> np.ndarray:
    second = view.sums(position, axis + "2") / (view.layer_energy(position) + FLOOR)
    variance = second - centre(view, position, axis) ** 2
    return np.sqrt(np.where(variance > ROUNDING * second, variance, 0.0))


@per_layer("width_eta", unit="mm", applies=with_directions)
def width_eta(view: View, position: int) -> np.ndarray:
    """(N,) width in eta, mm."""
    return _width(view, position, "eta")


@per_layer("width_phi", unit="mm", applies=with_directions)
def width_phi(view: View, position: int) -> np.ndarray:
    """(N,) width in phi, mm."""
    return _width(view, position, "phi")


@per_layer("width_r", unit="mm")
def width_r(view: View, position: int) -> np.ndarray:
    """(N,) width in r, mm."""
    return _width(view, position, "r")


@per_layer("sparsity")
def sparsity(view: View, position: int) -> np.ndarray:
    """(N,) share of the layer's voxels that are zero, in [0, 1]."""
    part = view.part(position)
    return (part.shape[1] - np.count_nonzero(part, axis=1)) / part.shape[1]


@per_layer("occupancy")
def occupancy(view: View, position: int) -> np.ndarray:
    """(N,) share of the layer's voxels above zero, in [0, 1]."""
    part = view.part(position)
    return np.count_nonzero(part, axis=1) / part.shape[1]


@per_layer("brightest")
def brightest(view: View, position: int) -> np.ndarray:
    """(N,) brightest voxel over E_l, in [0, 1]."""
    return view.brightest(position)[0] / (view.layer_energy(position) + FLOOR)


@per_layer("second_brightest")
def second_brightest(view: View, position: int) -> np.ndarray:
    """(N,) second-brightest voxel over E_l, in [0, 1/2]."""
    return view.brightest(position)[1] / (view.layer_energy(position) + FLOOR)


@per_layer("e_ratio")
def e_ratio(view: View, position: int) -> np.ndarray:
    """(N,) (I_1 − I_2)/(I_1 + I_2), in [0, 1]; 0 where the layer is empty."""
    first, second = view.brightest(position)
    return (first - second) / (first + second + FLOOR)


@per_shower("n_hits")
def n_hits(view: View) -> np.ndarray:
    """(N,) number of voxels above the threshold that the view was made with."""
    return np.count_nonzero(view.voxels, axis=1).astype(np.float64)


@per_shower("max_voxel_fraction")
def max_voxel_fraction(view: View) -> np.ndarray:
    """(N,) largest voxel over E_dep, in [0, 1]."""
    return view.voxels.max(axis=1).astype(np.float64) / (view.deposited + FLOOR)
