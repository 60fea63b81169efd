"""Deposited energies and their distribution in depth.

E_dep/E_inc, E_l, E_l/E_dep, and the depth variables of CaloFlow (arXiv:2106.05285), with layer index k = 0, 1, …:

    l_d = Σ k E_k        s_d = l_d / E_dep        σ_sd = sqrt(Σ k² E_k / E_dep − s_d²)
"""

from __future__ import annotations

import numpy as np

from caloforge.observables import axes
from caloforge.observables.base import observable
from caloforge.observables.view import SMALLEST, View

FEW_LAYERS = 10
"""Maximum number of layers for which reports contain per-layer observables beyond those of the CaloChallenge."""


@observable(
    "e_tot_over_e_inc",
    label="E_dep / E_inc",
    symbol=r"$E_{dep}\,/\,E_{inc}$",
    group="energies",
    axis=axes.response,
    log=False,
)
def response(view: View) -> np.ndarray:
    """(N,) deposited over incident energy."""
    return np.asarray(view.deposited / view.energies)


@observable("voxel_energy", per="voxel", label="voxel energy", unit="MeV", group="energies", axis=axes.logarithmic(49))
def voxel_energy(view: View) -> np.ndarray:
    """(N V,) energy of each voxel in MeV: not one number per shower, so samples keep only its histogram."""
    return view.voxels.ravel()


@observable("e_layer", per="layer", label="energy", symbol="E", unit="MeV", group="energies", axis=axes.logarithmic(39))
def layer_energy(view: View, position: int) -> np.ndarray:
    """(N,) E_l in MeV."""
    return view.layer_energy(position)


@observable(
    "fraction_layer",
    per="layer",
    label="energy fraction",
    symbol=r"$E\,/\,E_{dep}$",
    group="fractions",
    most_layers=FEW_LAYERS,
)
def layer_fraction(view: View, position: int) -> np.ndarray:
    """(N,) E_l / E_dep in [0, 1]."""
    return view.layer_energy(position) / (view.deposited + SMALLEST)


@observable("l_d", label="depth-weighted energy l_d", symbol="$l_d$", unit="MeV", group="shower")
def weighted_depth(view: View) -> np.ndarray:
    """(N,) l_d in MeV."""
    return np.asarray(np.sum([k * view.layer_energy(k) for k in range(view.geometry.n_layers)], axis=0))


@observable("s_d", label="shower depth s_d", symbol="$s_d$", group="shower", log=False)
def depth(view: View) -> np.ndarray:
    """(N,) s_d: the energy-weighted mean of the layer index."""
    return weighted_depth(view) / (view.deposited + SMALLEST)


@observable("sigma_s_d", label="shower depth width", symbol=r"$\sigma_{s_d}$", group="shower", log=False)
def depth_width(view: View) -> np.ndarray:
    """(N,) σ_sd: the energy-weighted standard deviation of the layer index."""
    second = np.sum([k**2 * view.layer_energy(k) for k in range(view.geometry.n_layers)], axis=0)
    return np.asarray(np.sqrt(np.maximum(0.0, second / (view.deposited + SMALLEST) - depth(view) ** 2)))
