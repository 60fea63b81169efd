"""High-level features of the CaloChallenge (arXiv:2410.21611), for classifiers, FPD and KPD.

    log10 E_inc, log10(E_l + 1e-8), EC/100, widths/100, log10(E_tot + 1e-8), sparsity, EC_r/100, width_r/100

in MeV and mm; EC and widths in eta and phi only on layers with directions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from caloforge.geometry import Geometry
from caloforge.observables.base import names_of, select

ENERGY, DEPOSITED = "log10_e_inc", "log10_e_tot"
"""Names of the two features that are not observables."""

_BLOCKS: tuple[tuple[str, ...], ...] = (
    ("e_layer",),
    ("ec_eta", "ec_phi"),
    ("width_eta", "width_phi"),
    ("sparsity",),
    ("ec_r",),
    ("width_r",),
)


def observable_names(geometry: Geometry) -> list[str]:
    """The observables behind the features."""
    return [name for block in _BLOCKS for name in names_of(select(geometry, block))]


def feature_names(geometry: Geometry) -> list[str]:
    """(F,) names of the features: those of the observables, with `ENERGY` first and `DEPOSITED` after the widths."""
    names = [ENERGY, *observable_names(geometry)]
    names.insert(names.index(f"sparsity_{geometry.layer_ids[0]}"), DEPOSITED)
    return names


def features(geometry: Geometry, energies: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, F) float64 features.

    Args:
        geometry: the voxels.
        energies: (N,) incident energies in MeV.
        values: observable → (N,), at least those of `observable_names`.
    """
    deposited = np.stack([values[f"e_layer_{i}"] for i in geometry.layer_ids], axis=1).sum(axis=1)
    columns = []
    for name in feature_names(geometry):
        if name == ENERGY:
            columns.append(np.log10(energies))
        elif name == DEPOSITED:
            columns.append(np.log10(deposited + 1e-8))
        elif name.startswith("e_layer"):
            columns.append(np.log10(values[name] + 1e-8))
        else:
            columns.append(values[name] if name.startswith("sparsity") else values[name] / 100)
    return np.stack(columns, axis=1)
