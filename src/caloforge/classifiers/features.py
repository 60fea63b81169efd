"""What each classifier test looks at: one row of numbers per shower.

Every function takes `Showers` and gives (N, F) float32. Voxels below the geometry's readout threshold are set
to zero first, unless a function says otherwise. With E_inc the incident energy, e a voxel and E_l the sum
over layer l, in MeV:

    relative      log10 E_inc, e / E_inc                                       F = 1 + V
    normalised    log10 E_inc, e / (E_l + 1e-16), log10(E_l + 1e-8)            F = 1 + V + L, no threshold
    high_level    log10 E_inc, log10(E_l + 1e-8), EC/100, widths/100,
                  log10(E_tot + 1e-8), sparsity, EC_r/100, width_r/100 (mm)    F = 2 + 4 L + 4 D
    caloflow_*    e, log10(E_inc / 10 GeV), log10((E_l + 1 keV) / 100 GeV) + 2  F = V + 1 + L
    compressed    log10 E_inc, log10(1 + 1e5 e / E_inc), log10(E_l + 1 MeV)    F = 1 + V + L
    everything    high_level, and compressed without E_inc

L is the number of layers, D of those with directions (more than one alpha bin).
The first three are the CaloChallenge's (arXiv:2410.21611), `caloflow_*` those of arXiv:2106.05285 with e in
units of 100 GeV (`caloflow_raw`), over E_l (`caloflow_normalised`), or as logit(a + (1 - 2a) e / E_l) / 10
with a = 1e-6 (`caloflow_logit`, the space in which CaloFlow's density lives).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from caloforge import observables
from caloforge.geometry import Geometry
from caloforge.observables.high_level import features, observable_names
from caloforge.showers import Showers

FeatureFunction = Callable[[Showers], np.ndarray]

LOGIT_ALPHA = 1e-6
CHUNK_VALUES = 16_000_000
"""Voxels per chunk while features are made: temporary arrays stay near 64 MB each."""


def thresholded(showers: Showers) -> np.ndarray:
    """(N, V) voxels in MeV (float32) with those below the geometry's threshold set to zero."""
    return observables.above_threshold(showers.voxels.astype(np.float32, copy=False), showers.geometry.threshold)


def _stack(*columns: np.ndarray) -> np.ndarray:
    blocks = [np.asarray(c, dtype=np.float32) for c in columns]
    return np.concatenate([b[:, None] if b.ndim == 1 else b for b in blocks], axis=1)


def _per_layer(voxels: np.ndarray, energies: np.ndarray, geometry: Geometry) -> np.ndarray:
    scale = (1.0 / (energies + 1e-16)).astype(np.float32)
    return voxels * scale[:, geometry.layer_index]


def relative(showers: Showers) -> np.ndarray:
    """(N, 1 + V): log10 of E_inc, and voxels over E_inc."""
    scale = (1.0 / showers.energies).astype(np.float32)
    return _stack(np.log10(showers.energies), thresholded(showers) * scale[:, None])


def normalised(showers: Showers) -> np.ndarray:
    """(N, 1 + V + L): log10 of E_inc, voxels (no threshold) over their layer's energy, log10 of that."""
    voxels = showers.voxels.astype(np.float32, copy=False)
    energies = showers.geometry.layer_sums(voxels)
    shares = _per_layer(voxels, energies, showers.geometry)
    return _stack(np.log10(showers.energies), shares, np.log10(energies + 1e-8))


def compressed(showers: Showers) -> np.ndarray:
    """(N, 1 + V + L): logarithms that give faint voxels as much say as bright ones."""
    voxels = thresholded(showers)
    energies = showers.geometry.layer_sums(voxels)
    scale = (1e5 / showers.energies).astype(np.float32)
    logs = np.log1p(voxels * scale[:, None]) * np.float32(1 / np.log(10))
    return _stack(np.log10(showers.energies), logs, np.log10(energies + 1))


def high_level(showers: Showers) -> np.ndarray:
    """(N, 2 + 4 L + 4 D): the challenge's observables, D = number of layers with directions."""
    geometry = showers.geometry
    values = observables.compute(showers, observable_names(geometry))
    return features(geometry, showers.energies, values).astype(np.float32)


def everything(showers: Showers) -> np.ndarray:
    """(N, 2 + 4 L + 4 D + V + L): the challenge's observables, and the logarithms of `compressed`."""
    return np.concatenate([high_level(showers), compressed(showers)[:, 1:]], axis=1)


def _caloflow(showers: Showers, voxels: np.ndarray, energies: np.ndarray) -> np.ndarray:
    return _stack(voxels, np.log10(showers.energies / 1e4), np.log10((energies + 1e-3) / 1e5) + 2)


def caloflow_raw(showers: Showers) -> np.ndarray:
    """(N, V + 1 + L): voxels in units of 100 GeV, and CaloFlow's conditions."""
    voxels = thresholded(showers)
    return _caloflow(showers, voxels * np.float32(1e-5), showers.geometry.layer_sums(voxels))


def caloflow_normalised(showers: Showers) -> np.ndarray:
    """(N, V + 1 + L): voxels with each layer summing to 1, and CaloFlow's conditions."""
    voxels = thresholded(showers)
    energies = showers.geometry.layer_sums(voxels)
    return _caloflow(showers, _per_layer(voxels, energies, showers.geometry), energies)


def caloflow_logit(showers: Showers) -> np.ndarray:
    """(N, V + 1 + L): normalised voxels in logit space over 10, and CaloFlow's conditions."""
    voxels = thresholded(showers)
    energies = showers.geometry.layer_sums(voxels)
    # In float32, 1 - a + rounding may reach 1: the logit is taken in float64.
    shares = np.minimum(_per_layer(voxels, energies, showers.geometry).astype(np.float64), 1.0)
    shares = LOGIT_ALPHA + (1 - 2 * LOGIT_ALPHA) * shares
    return _caloflow(showers, np.log(shares / (1 - shares)) / 10, energies)


@dataclass(frozen=True)
class Scaling:
    """Shift and scale of each feature to mean 0 and variance 1; a constant feature is only shifted.

    Args:
        mean: (F,) float32.
        spread: (F,) float32, above zero.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray) -> Scaling:
        """From (N, F) features of all samples together, which tells nothing of their labels."""
        mean = rows.mean(axis=0, dtype=np.float64)
        variance = np.zeros_like(mean)
        for part in np.array_split(rows, max(1, rows.size // CHUNK_VALUES)):
            variance += ((part - mean) ** 2).sum(axis=0) / len(rows)
        spread = np.sqrt(variance)
        constant = spread <= 1e-6 * np.abs(mean) + 1e-30
        return cls(mean.astype(np.float32), np.where(constant, 1.0, spread).astype(np.float32))

    def apply(self, rows: np.ndarray) -> None:
        """Standardise (N, F) float32 features in place."""
        rows -= self.mean
        rows /= self.spread


def feature_matrix(function: FeatureFunction, samples: Sequence[Showers], scaling: Scaling | None = None) -> np.ndarray:
    """(sum of N, F) float32 features of all samples one below the other, made chunk by chunk.

    Args:
        function: one of this module, or the user's own.
        samples: showers of one geometry.
        scaling: applied to the features, where given.
    """
    total = sum(len(sample) for sample in samples)
    rows = max(1, CHUNK_VALUES // samples[0].geometry.n_voxels)
    chunks = (sample[at : at + rows] for sample in samples for at in range(0, len(sample), rows))
    first = function(next(chunks))
    out = np.empty((total, first.shape[1]), dtype=np.float32)
    end = 0
    for part in itertools.chain([first], map(function, chunks)):
        out[end : end + len(part)] = part
        end += len(part)
    if scaling is not None:
        scaling.apply(out)
    return out
