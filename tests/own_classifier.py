"""A user's own classifier test, in one file outside the package: shown in CONTRIBUTING, and run by the tests."""

from __future__ import annotations

import numpy as np
from torch import nn

from caloforge import Geometry, Showers
from caloforge.classifiers import ClassifierSettings, NetworkTest, register


def layers(showers: Showers) -> np.ndarray:
    """(N, 1 + L) float32: logarithms of the incident energy and of the layer energies."""
    energies = np.column_stack([showers.energies, showers.layer_energies])
    return np.log10(energies + 1e-3).astype(np.float32)


def network(geometry: Geometry, n_features: int, n_logits: int) -> nn.Module:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, n_logits))


register(
    NetworkTest(
        name="layers",
        title="layer energies",
        summary="log E_layer; MLP 32 (mine)",
        features=layers,
        network=network,
        settings=ClassifierSettings(learning_rate=1e-3, batch_size=200, epochs=20, patience=5),
        standardise=True,
    )
)
