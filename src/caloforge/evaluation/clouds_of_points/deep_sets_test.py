"""`deep_sets`: a permutation-invariant classifier of point clouds (arXiv:1703.06114).

    logit = ρ( Σ_i φ(p_i) / 100, mean_i φ(p_i), c )

with two-layer networks φ (of each point) and ρ, and c = log10 E_inc of a shower (nothing of a jet, whose particles are
relative to it). Coordinates are standardised with the reference's means and spreads, energies by their logarithms. Of a
cloud with more than `MOST` points, those with the largest energy are seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caloforge.classifiers import ClassifierSettings, NetworkTest
from caloforge.points import PointClouds

MOST = 512
MOST_CLOUDS = 10_000
"""Clouds of each kind that are used, at most."""

WIDTH = 64
SUM = 100.0
"""What the sum over points is divided by, so that it is of order one."""

SETTINGS = ClassifierSettings(learning_rate=1e-3, batch_size=128, epochs=30, patience=6)


class InvariantClassifier(nn.Module):
    """Logits (B, K) of flattened clouds (B, C + M (F + 1)): conditions, then M points with a mask as last column.

    Args:
        n_conditions: C. n_columns: F. n_logits: K.
    """

    def __init__(self, n_conditions: int, n_columns: int, n_logits: int) -> None:
        super().__init__()
        self.n_conditions, self.n_columns = n_conditions, n_columns
        self.phi = nn.Sequential(nn.Linear(n_columns, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU())
        self.rho = nn.Sequential(
            nn.Linear(2 * WIDTH + n_conditions, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU()
        )
        self.last = nn.Linear(WIDTH, n_logits)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K)."""
        conditions, flat = x[:, : self.n_conditions], x[:, self.n_conditions :]
        points = flat.reshape(len(x), -1, self.n_columns + 1)
        mask = points[:, :, -1:]
        total = (self.phi(points[:, :, :-1]) * mask).sum(dim=1)
        mean = total / mask.sum(dim=1).clamp(min=1)
        logits: Tensor = self.last(self.rho(torch.cat([total / SUM, mean, conditions], dim=1)))
        return logits


def deep_sets_test(reference: PointClouds, most: int) -> NetworkTest:
    """The test, with the constants of the reference.

    Args:
        reference: its clouds.
        most: largest number of points of a cloud in any sample.
    """
    most = max(1, min(most, MOST))
    columns = _columns(reference)
    mean, spread = columns.mean(axis=0, dtype=np.float64), columns.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1.0
    is_shower = reference.noun == "shower"

    def features(table: Any) -> np.ndarray:
        clouds: PointClouds = table.clouds
        scaled = (_columns(clouds) - mean) / spread
        table_of_points = np.column_stack([scaled, clouds.weights]).astype(np.float32)
        names = (*(f"column_{k}" for k in range(len(mean))), "energy")  # the last decides which points are seen
        padded, mask = PointClouds.unchecked(clouds.energies, table_of_points, clouds.offsets, names).padded(most)
        padded[:, :, -1] = mask
        flat = padded.reshape(len(clouds), -1)
        incident = np.log10(clouds.energies)[:, None].astype(np.float32) - 4
        return np.concatenate([incident, flat], axis=1) if is_shower else flat

    return NetworkTest(
        name="deep_sets",
        title="deep sets, points",
        summary="log10 E_inc of showers, points; deep sets 2 x 64",
        features=features,
        network=lambda geometry, n_features, n_logits: InvariantClassifier(int(is_shower), len(mean), n_logits),
        settings=SETTINGS,
        max_showers=MOST_CLOUDS,
    )


def _columns(clouds: PointClouds) -> np.ndarray:
    """(P, F) columns of the points, energies as logarithms."""
    weights = ("energy", "ptrel")
    parts = [np.log10(np.maximum(clouds[n], 1e-8)) if n in weights else clouds[n] for n in clouds.names]
    return np.column_stack(parts)
