"""How much energy, and where along the shower's depth.

E_dep/E_inc, E_l, E_l/E_dep, and CaloFlow's depth variables (arXiv:2106.05285), k = 0, 1, … the layer's index:

    l_d = Σ k E_k        s_d = l_d / E_dep        σ_sd = sqrt(Σ k² E_k / E_dep − s_d²)
"""

from __future__ import annotations

import numpy as np

from caloforge.evaluation.observables.base import FLOOR, View, per_layer, per_shower


@per_shower("e_tot_over_e_inc")
def response(view: View) -> np.ndarray:
    """(N,) deposited over incident energy."""
    return view.deposited / view.energies


@per_layer("e_layer", unit="MeV")
def layer_energy(view: View, position: int) -> np.ndarray:
    """(N,) E_l in MeV."""
    return view.layer_energy(position)


@per_layer("fraction_layer")
def layer_fraction(view: View, position: int) -> np.ndarray:
    """(N,) E_l / E_dep in [0, 1]."""
    return view.layer_energy(position) / (view.deposited + FLOOR)


@per_shower("l_d", unit="MeV")
def weighted_depth(view: View) -> np.ndarray:
    """(N,) l_d in MeV."""
    return np.sum([k * view.layer_energy(k) for k in range(view.geometry.n_layers)], axis=0)


@per_shower("s_d")
def depth(view: View) -> np.ndarray:
    """(N,) s_d: the mean layer index, weighted by energy."""
    return weighted_depth(view) / (view.deposited + FLOOR)


@per_shower("sigma_s_d")
def depth_width(view: View) -> np.ndarray:
    """(N,) σ_sd: the spread of the layer index, weighted by energy."""
    second = np.sum([k**2 * view.layer_energy(k) for k in range(view.geometry.n_layers)], axis=0)
    return np.sqrt(np.maximum(0.0, second / (view.deposited + FLOOR) - depth(view) ** 2))
