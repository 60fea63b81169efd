"""Widths of layers, and the distribution of energy over their voxels.

    width_x = sqrt(max(0, Σ x_i² e_i / (E_l + 1e-16) − EC_x²))          x = eta, phi, r
    sparsity = 1 − (fraction of the layer's voxels above zero)          occupancy = 1 − sparsity
    E_ratio = (I_1 − I_2) / (I_1 + I_2)                                 I_1, I_2: brightest and second voxel

Sparsity as in the CaloChallenge (arXiv:2410.21611), which is the opposite of CaloFlow's word; E_ratio and the
brightest voxels as in CaloFlow (arXiv:2106.05285); hits and largest voxel as in CaloScore.
"""

from __future__ import annotations

import numpy as np

from caloforge.observables.axes import equal, length
from caloforge.observables.base import observable, with_directions
from caloforge.observables.centres import centre
from caloforge.observables.deposits import FEW_LAYERS
from caloforge.observables.view import SMALLEST, View

ROUNDING = 1e-13
"""A variance below this fraction of its two terms is zero up to rounding."""


def _width(view: View, position: int, axis: str) -> np.ndarray:
    second = view.sums(position, axis + "2") / (view.layer_energy(position) + SMALLEST)
    variance = second - centre(view, position, axis) ** 2
    return np.sqrt(np.where(variance > ROUNDING * second, variance, 0.0))


@observable(
    "width_eta",
    per="layer",
    label="width in eta",
    symbol="width in η",
    unit="mm",
    group="widths",
    axis=length("width", "eta"),
    where=with_directions,
)
def width_eta(view: View, position: int) -> np.ndarray:
    """(N,) width in eta, mm."""
    return _width(view, position, "eta")


@observable(
    "width_phi",
    per="layer",
    label="width in phi",
    symbol="width in φ",
    unit="mm",
    group="widths",
    axis=length("width", "phi"),
    where=with_directions,
)
def width_phi(view: View, position: int) -> np.ndarray:
    """(N,) width in phi, mm."""
    return _width(view, position, "phi")


@observable("width_r", per="layer", label="width in r", unit="mm", group="widths", axis=length("width_r", "r"))
def width_r(view: View, position: int) -> np.ndarray:
    """(N,) width in r, mm."""
    return _width(view, position, "r")


@observable("sparsity", per="layer", label="sparsity", group="sparsity", axis=equal(20, 0.0, 1.0), log=False)
def sparsity(view: View, position: int) -> np.ndarray:
    """(N,) fraction of the layer's voxels that are zero, in [0, 1].

    One minus a rounded mean, as computed by the CaloChallenge script: 3 of 10 voxels give 0.30000000000000004, which is
    a histogram edge, whereas 3/10 is below it.
    """
    return 1.0 - occupancy(view, position)


@observable("occupancy", per="layer", label="occupancy", most_layers=0)
def occupancy(view: View, position: int) -> np.ndarray:
    """(N,) fraction of the layer's voxels above zero, in [0, 1]."""
    part = view.part(position)
    return np.asarray(np.count_nonzero(part, axis=1) / part.shape[1])


@observable("brightest", per="layer", label="brightest voxel / E", group="brightest", most_layers=FEW_LAYERS)
def brightest(view: View, position: int) -> np.ndarray:
    """(N,) brightest voxel over E_l, in [0, 1]."""
    return view.brightest(position)[0] / (view.layer_energy(position) + SMALLEST)


@observable(
    "second_brightest", per="layer", label="second-brightest voxel / E", group="brightest", most_layers=FEW_LAYERS
)
def second_brightest(view: View, position: int) -> np.ndarray:
    """(N,) second-brightest voxel over E_l, in [0, 1/2]."""
    return view.brightest(position)[1] / (view.layer_energy(position) + SMALLEST)


@observable("e_ratio", per="layer", label="E_ratio", symbol="$E_{ratio}$", group="brightest", most_layers=FEW_LAYERS)
def e_ratio(view: View, position: int) -> np.ndarray:
    """(N,) (I_1 − I_2)/(I_1 + I_2), in [0, 1]; 0 where the layer is empty."""
    first, second = view.brightest(position)
    return np.asarray((first - second) / (first + second + SMALLEST))


@observable("n_hits", label="number of hits", group="shower", log=False)
def n_hits(view: View) -> np.ndarray:
    """(N,) number of voxels above the threshold of the view."""
    return np.asarray(np.count_nonzero(view.voxels, axis=1).astype(np.float64))


@observable("max_voxel_fraction", label="largest voxel / E_dep", symbol=r"largest voxel $/\,E_{dep}$", group="shower")
def max_voxel_fraction(view: View) -> np.ndarray:
    """(N,) largest voxel over E_dep, in [0, 1]."""
    return np.asarray(view.voxels.max(axis=1).astype(np.float64) / (view.deposited + SMALLEST))
