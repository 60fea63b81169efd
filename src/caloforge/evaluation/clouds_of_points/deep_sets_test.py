"""`deep_sets`: a permutation-invariant classifier of point clouds (arXiv:1703.06114).

    logit = ρ( mean_i φ(p_i), Σ_i φ(p_i) / 100, c )

with networks φ (of each point) and ρ (`caloforge.networks.point_networks.DeepSet`), and c = log10 E_inc of a shower
(nothing of a jet, whose particles are relative to it). Coordinates are standardised with the reference's means and
spreads, energies by their logarithms. Of a cloud with more than `MOST` points, those with the largest energy are seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from caloforge.classifiers import ClassifierSettings, NetworkTest
from caloforge.networks.point_networks import DeepSet
from caloforge.packed import Packed
from caloforge.points import PointClouds

MOST = 512
MOST_CLOUDS = 10_000
"""Clouds of each kind that are used, at most."""

WIDTH = 64
SETTINGS = ClassifierSettings(learning_rate=1e-3, batch_size=128, epochs=30, patience=6)


class DeepSetsClassifier(nn.Module):
    """Logits (B, K) of rows of clouds (`caloforge.packed`), whose numbers of the whole cloud are the conditions.

    Args:
        n_conditions: C. n_columns: F. n_logits: K. most: room for points in a row.
    """

    def __init__(self, n_conditions: int, n_columns: int, n_logits: int, most: int) -> None:
        super().__init__()
        self.n_columns, self.most = n_columns, most
        self.network = DeepSet(n_columns, n_conditions, WIDTH, n_logits)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K)."""
        clouds = Packed.of_rows(x, self.n_columns, self.most)
        logits: Tensor = self.network(clouds, clouds.others)
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
        points = padded[:, :, :-1].reshape(len(clouds), -1)
        incident = [np.log10(clouds.energies)[:, None] - 4] if is_shower else []
        return np.concatenate([mask.sum(axis=1, keepdims=True), *incident, points], axis=1, dtype=np.float32)

    return NetworkTest(
        name="deep_sets",
        title="deep sets, points",
        summary="log10 E_inc of showers, points; deep sets 2 x 64",
        features=features,
        network=lambda geometry, n_features, n_logits: DeepSetsClassifier(int(is_shower), len(mean), n_logits, most),
        settings=SETTINGS,
        max_showers=MOST_CLOUDS,
    )


def _columns(clouds: PointClouds) -> np.ndarray:
    """(P, F) columns of the points, energies as logarithms."""
    weights = ("energy", "ptrel")
    parts = [np.log10(np.maximum(clouds[n], 1e-8)) if n in weights else clouds[n] for n in clouds.names]
    return np.column_stack(parts)
