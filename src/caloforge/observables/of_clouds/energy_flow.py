"""Energy-flow polynomials of jets (arXiv:1712.07124): the five connected graphs of four vertices and four edges.

    EFP_G = Σ_{i₁ … i₄} z_{i₁} z_{i₂} z_{i₃} z_{i₄} Π_{edges (k, l) of G} θ_{i_k i_l},   θ_ij = √(Δη² + Δφ²)

with z = ptrel, not normalised: JetNet's choice (`energyflow.EFPSet(("n==", 4), ("d==", 4), ("p==", 1), measure="hadr",
beta=1, normed=None)`), of which it reports W1EFP. Each is a product of matrices of M × M, with M particles in a jet.
"""

from __future__ import annotations

import numpy as np

from caloforge.points import PointClouds

VALUES = 4_000_000
"""Entries of the matrices θ in memory at once."""

GRAPHS = (
    "path, end edge doubled",
    "path, middle edge doubled",
    "star, one edge doubled",
    "square",
    "triangle with tail",
)
"""The columns of `energy_flow`."""


def energy_flow(jets: PointClouds) -> np.ndarray:
    """(N, 5) energy-flow polynomials, in the order of `GRAPHS`."""
    most = max(1, int(jets.counts.max(initial=0)))
    size = max(1, VALUES // most**2)
    parts = [_of_padded(*jets[start : start + size].padded(most)) for start in range(0, len(jets), size)]
    return np.concatenate([*parts, np.empty((0, len(GRAPHS)))])


def _of_padded(padded: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same of padded jets (N, M, 3) with their mask (N, M)."""
    eta, phi, z = np.moveaxis(padded.astype(np.float64), -1, 0)
    z = np.where(mask, z, 0.0)
    turn = phi[:, :, None] - phi[:, None, :]
    turn -= 2 * np.pi * np.rint(turn / (2 * np.pi))
    theta = np.hypot(eta[:, :, None] - eta[:, None, :], turn)
    one = np.einsum("nij,nj->ni", theta, z)  # Σ_j θ_ij z_j
    two = np.einsum("nij,nj->ni", theta**2, z)
    pair = np.matmul(theta * z[:, None, :], theta)  # Σ_k θ_ik z_k θ_kj
    zz = z[:, :, None] * z[:, None, :]
    return np.stack(
        [
            np.einsum("ni,nij,nj->n", z * two, theta, z * one, optimize=True),
            np.einsum("ni,nij,nj->n", z * one, theta**2, z * one, optimize=True),
            (z * two * one**2).sum(axis=1),
            (zz * pair**2).sum(axis=(1, 2)),
            (zz * one[:, :, None] * theta * pair).sum(axis=(1, 2)),
        ],
        axis=1,
    )
