"""Jets: number of particles, and mass, p_T and pseudorapidity of their sum, relative to the jet; massless particles.

With z_i = ptrel, the sum of the particles has p_T, mass and pseudorapidity as JetNet's `jet_features` computes them.
"""

from __future__ import annotations

import numpy as np

from caloforge.observables.of_clouds.base import cloud_observable, largest_of
from caloforge.points import PointClouds
from caloforge.points.exchange.jetnet import relative_mass


@cloud_observable("n_particles", "number of particles", of="jet")
def n_particles(jets: PointClouds) -> np.ndarray:
    """(N,)."""
    return jets.counts


@cloud_observable("mass", "mass over p_T", of="jet")
def mass(jets: PointClouds) -> np.ndarray:
    """(N,)."""
    return relative_mass(jets)


@cloud_observable("ptrel_sum", "p_T of the particles' sum", of="jet")
def ptrel_sum(jets: PointClouds) -> np.ndarray:
    """(N,) over the jet's p_T."""
    x, y, _ = _sum(jets)
    return np.asarray(np.hypot(x, y))


@cloud_observable("eta_of_sum", "pseudorapidity of the particles' sum", of="jet")
def eta_of_sum(jets: PointClouds) -> np.ndarray:
    """(N,) relative to the jet; 0 for a jet without particles."""
    x, y, z = _sum(jets)
    transverse = np.hypot(x, y)
    return np.asarray(np.arcsinh(np.divide(z, transverse, out=np.zeros_like(z), where=transverse > 0)))


@cloud_observable("leading_ptrel", "largest ptrel", of="jet")
def leading_ptrel(jets: PointClouds) -> np.ndarray:
    """(N,)."""
    return largest_of(jets, jets["ptrel"])


@cloud_observable("girth", "mean distance from the jet's axis", of="jet")
def girth(jets: PointClouds) -> np.ndarray:
    """(N,) Σ ptrel √(etarel² + phirel²)."""
    return jets.sums(jets["ptrel"].astype(np.float64) * np.hypot(jets["etarel"], jets["phirel"]))


def _sum(jets: PointClouds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    eta, phi, pt = (jets[name].astype(np.float64) for name in ("etarel", "phirel", "ptrel"))
    return jets.sums(pt * np.cos(phi)), jets.sums(pt * np.sin(phi)), jets.sums(pt * np.sinh(eta))
