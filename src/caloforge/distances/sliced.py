"""Sliced Wasserstein distance: the mean 1-Wasserstein distance of two samples over random directions.

    SW = ⟨W₁(θ·x, θ·y)⟩ over unit vectors θ                   Bonneel et al., J. Math. Imaging Vis. 51 (2015) 22

Unlike distances feature by feature it sees correlations, and unlike a classifier it has nothing to train. Features are
divided by their spread in the reference. Two finite samples of one distribution have a distance above zero, too, which
falls with the square root of their sizes: quote it as a baseline.
"""

from __future__ import annotations

import numpy as np

from caloforge.distances.one_dimensional import wasserstein


def sliced_wasserstein(x: np.ndarray, reference: np.ndarray, directions: int = 200, seed: int = 0) -> float:
    """Sliced Wasserstein distance of standardised features.

    Args:
        x: (N, F). reference: (M, F); its means and standard deviations standardise both samples.
        directions: how many.
        seed: of the directions.

    Returns:
        In units of the standard deviation; 0 for equal samples. Features that are constant in the reference are left
        out.
    """
    mean, spread = reference.mean(axis=0, dtype=np.float64), reference.std(axis=0, dtype=np.float64)
    varying = spread > 1e-9 * np.maximum(1.0, np.abs(mean))
    u, v = ((sample[:, varying] - mean[varying]) / spread[varying] for sample in (x, reference))
    towards = np.random.default_rng(seed).normal(size=(int(varying.sum()), directions))
    towards /= np.linalg.norm(towards, axis=0)
    return float(np.mean([wasserstein(a, b) for a, b in zip((u @ towards).T, (v @ towards).T, strict=True)]))
