"""Variables that tell particles apart, from the voxels of clusters; the definitions follow ATLAS's (arXiv:1810.05087).

In the layers of the roles `front`, `middle`, `back` and `hadronic` of a recipe, with energies e of voxels in clusters,
distances from the energy-weighted centre of the middle layers, and windows in units of the recipe's cell:

    R_eta          E(3 × 7) / E(7 × 7) in eta × phi, middle layers
    R_phi          E(3 × 3) / E(3 × 7)
    w_eta2         sqrt(Σ e η² / Σ e − (Σ e η / Σ e)²) in 3 × 5, middle layers
    w_front        the same in eta and phi together, √(w_eta² + w_phi²), all voxels of the front layers
    E_ratio        (E_1 − E_2) / (E_1 + E_2) of the two highest local maxima of the front layers; 1 with one maximum
    f_front        E(front) / E; f_back and leakage the same of the back and the hadronic layers
    depth          mean index of the layer, weighted with energy

and the numbers of clusters, of voxels in clusters and of local maxima, and the fraction of E in the largest cluster.
Only layers with several bins of alpha have an eta and a phi. A ratio without energy in its denominator is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from caloforge.geometry import Geometry
from caloforge.reconstruction.recipe_file import Reconstruction
from caloforge.reconstruction.topoclusters import TopoClusters

COUNTS = {
    "n_clusters": "clusters",
    "n_cells": "voxels in clusters",
    "n_maxima": "local maxima",
}
SHAPES = {
    "leading_fraction": "fraction of the energy in the largest cluster",
    "depth": "mean layer",
    "f_front": "fraction of the energy in the front layers",
    "f_back": "fraction of the energy in the back layers",
    "leakage": "fraction of the energy in the hadronic layers",
    "r_eta": "R_eta",
    "r_phi": "R_phi",
    "w_eta2": "width w_eta2",
    "w_front": "width in the front layers",
    "e_ratio": "E_ratio",
}
LABELS: Mapping[str, str] = COUNTS | SHAPES
"""Name of a variable → what it is."""

UNITS: Mapping[str, str] = {"w_eta2": "mm", "w_front": "mm"}
"""Of those that have one."""


@dataclass(frozen=True)
class ClusteredCells:
    """Voxels of n showers in clusters.

    Args:
        recipe, geometry: of the voxels.
        voxels: (n, V) energies in MeV, 0 outside clusters.
        maxima: (n, V) which of them are local maxima.
    """

    recipe: Reconstruction
    geometry: Geometry
    voxels: np.ndarray
    maxima: np.ndarray

    def role(self, name: str, directed: bool = False) -> np.ndarray:
        """(v,) indices of the voxels of a role."""
        return np.flatnonzero(self.recipe.voxels_of(self.geometry, name, directed))

    @cached_property
    def total(self) -> np.ndarray:
        """(n,) energy in MeV."""
        return np.asarray(self.voxels.sum(axis=1, dtype=np.float64))

    def fraction(self, name: str) -> np.ndarray:
        """(n,) fraction of the energy in the layers of a role."""
        return ratio(self.voxels[:, self.role(name)].sum(axis=1, dtype=np.float64), self.total)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(n,) quotient, 0 where the denominator is not positive."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0))


def variables(cells: ClusteredCells, clusters: TopoClusters) -> dict[str, np.ndarray]:
    """Name → (n,) of every variable for which the geometry has layers."""
    found: dict[str, np.ndarray] = {
        "n_clusters": clusters.count().astype(float),
        "n_cells": np.count_nonzero(clusters.of_voxel >= 0, axis=1).astype(float),
        "n_maxima": np.count_nonzero(cells.maxima, axis=1).astype(float),
        "leading_fraction": ratio(clusters.largest(), clusters.summed()),
        "depth": ratio(cells.voxels.astype(np.float64) @ cells.geometry.layer_index, cells.total),
    }
    for name, role in (("f_front", "front"), ("f_back", "back"), ("leakage", "hadronic")):
        if len(cells.role(role)):
            found[name] = cells.fraction(role)
    if len(cells.role("middle", directed=True)):
        found |= _middle(cells)
    if len(cells.role("front", directed=True)):
        found |= _front(cells)
    return {name: found[name] for name in LABELS if name in found}


def _centred(energies: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(n, v) distance of each voxel in mm from the centre of the positive energies (n, v), along one direction."""
    positive = np.maximum(energies, 0)
    return np.asarray(positions - ratio(positive @ positions, positive.sum(axis=1))[:, None])


def _spread(energies: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,) variance of x (n, v) with weights; negative ones, which noise may give, are 0."""
    weights = energies.sum(axis=1)
    mean = ratio((energies * x).sum(axis=1), weights)
    return np.asarray(np.maximum(ratio((energies * x**2).sum(axis=1), weights) - mean**2, 0.0))


def _middle(cells: ClusteredCells) -> dict[str, np.ndarray]:
    inside = cells.role("middle", directed=True)
    energies = cells.voxels[:, inside].astype(np.float64)
    eta, phi = (_centred(energies, of[inside]) for of in (cells.geometry.eta, cells.geometry.phi))
    near = {
        (axis, k): np.abs(x) <= k / 2 * cells.recipe.cell_mm
        for axis, x in (("eta", eta), ("phi", phi))
        for k in (3, 5, 7)
    }

    def window(k_eta: int, k_phi: int) -> np.ndarray:
        return np.asarray((energies * (near["eta", k_eta] & near["phi", k_phi])).sum(axis=1))

    narrow = energies * (near["eta", 3] & near["phi", 5])
    return {
        "r_eta": ratio(window(3, 7), window(7, 7)),
        "r_phi": ratio(window(3, 3), window(3, 7)),
        "w_eta2": np.sqrt(_spread(narrow, eta)),
    }


def _front(cells: ClusteredCells) -> dict[str, np.ndarray]:
    inside = cells.role("front", directed=True)
    energies = cells.voxels[:, inside].astype(np.float64)
    eta, phi = (_centred(energies, of[inside]) for of in (cells.geometry.eta, cells.geometry.phi))
    peaks = np.where(cells.maxima[:, inside], energies, 0.0)
    first = peaks.max(axis=1)
    peaks[np.arange(len(peaks)), peaks.argmax(axis=1)] = 0
    second = peaks.max(axis=1)
    return {
        "w_front": np.sqrt(_spread(energies, eta) + _spread(energies, phi)),
        "e_ratio": ratio(first - second, first + second),
    }
