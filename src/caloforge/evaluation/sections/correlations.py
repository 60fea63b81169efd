"""Pearson correlations between layer energies and between observables, and how far they differ.

`difference` is generated minus reference; `rms` its root mean square over the pairs, `floor_rms` that of N
reference showers against N independent ones, with its spread; `largest` is the pair that differs most. A correlation
with a constant observable does not exist: None, and `constant` names the observable.

Whether the layers of one shower lean to the same side is seen by the centres of energy in eta and phi alone. They are
taken of the (up to) `DIRECTED` layers that hold most of the reference's energy among those divided in alpha, or in eta
and phi: so the matrix stays small where a calorimeter has 45 layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation.comparison import Comparison
from caloforge.evaluation.observables import REGISTRY
from caloforge.evaluation.resampling import estimate
from caloforge.evaluation.summary import Summary

FEW_LAYERS = 10
"""Up to so many layers each has its radial centre, width and sparsity in the matrix."""

DIRECTED = 5
"""Layers whose centres of energy in eta and phi are in the matrix."""

DRAWS = 6
"""Random subsets behind an error and a floor."""


def correlations(c: Comparison) -> dict[str, Any]:
    """{"layers": …, "observables": …}, each with names, three matrices, rms, errors and floor."""
    layers = [f"e_layer_{i}" for i in c.geometry.layer_ids]
    return {"layers": _section(c, layers), "observables": _section(c, observable_names(c.reference))}


def observable_names(reference: Summary) -> list[str]:
    """Observables of whole showers, where layers are few each one's shape, and directions of the brightest layers."""
    geometry = reference.geometry
    names = [
        "e_tot_over_e_inc",
        "n_hits",
        "max_voxel_fraction",
        "s_d",
        "sigma_s_d",
        "mean_x",
        "mean_y",
        "mean_z",
    ]
    if geometry.n_layers <= FEW_LAYERS:
        names += [f"{family}_{i}" for family in ("ec_r", "width_r", "sparsity") for i in geometry.layer_ids]
    means = {
        layer.id: float(reference.observables[f"e_layer_{layer.id}"].mean())
        for layer in geometry.layers
        if REGISTRY["ec_eta"].applies(layer)
    }
    brightest = sorted(means, key=lambda i: -means[i])[:DIRECTED]
    return names + [f"{family}_{i}" for family in ("ec_eta", "ec_phi") for i in sorted(brightest)]


def _section(c: Comparison, names: list[str]) -> dict[str, Any]:
    if c.refusal:
        return c.refusal
    mine = np.stack([c.generated.observables[name] for name in names], axis=1)
    pool = c.pool(lambda s: np.stack([s.observables[name] for name in names], axis=1))
    first, second = pearson(mine), pearson(pool[: c.plan.n_reference])
    known = np.isfinite(first) & np.isfinite(second)
    constant = [n for k, n in enumerate(names) if not known[k, k]]

    # Once the columns are standardised their products do not cancel: subsets need no pass to centre them.
    centre, scale = pool.mean(axis=0), pool.std(axis=0)
    scale[scale == 0] = 1.0

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return _rms(_pearson_of(a) - _pearson_of(b))

    [entry] = estimate(distance, (mine - centre) / scale, (pool - centre) / scale, c.plan.first(DRAWS))
    renamed = {"rms": entry["value"], "floor_rms": entry["floor"], "floor_rms_error": entry["floor_error"]}
    return {
        "names": names,
        "generated": _plain(first),
        "reference": _plain(second),
        "difference": _plain(first - second),
        **entry,
        **renamed,
        "constant": constant,
        **_largest(names, first, second),
    }


def _largest(names: list[str], generated: np.ndarray, reference: np.ndarray) -> dict[str, dict[str, Any]]:
    """{"largest": the pair whose correlations (K, K) differ most}; nothing where no pair has them."""
    gap = np.triu(np.nan_to_num(np.abs(generated - reference)), 1)
    if not gap.any():
        return {}
    i, j = np.unravel_index(np.argmax(gap), gap.shape)
    found = {"generated": float(generated[i, j]), "reference": float(reference[i, j])}
    return {"largest": {"first": names[i], "second": names[j], **found}}


def pearson(x: np.ndarray) -> np.ndarray:
    """(K, K) Pearson correlations of the columns of x (N, K); NaN with a constant column."""
    centred = x - x.mean(axis=0)
    return _normed(centred.T @ centred / len(x), 1e-12 * np.abs(x).max(axis=0))


def _pearson_of(x: np.ndarray) -> np.ndarray:
    """The same of columns that are near mean 0 and variance 1."""
    mean = x.mean(axis=0)
    return _normed(x.T @ x / len(x) - np.outer(mean, mean), 1e-7 * (np.abs(mean) + 1e-3))


def _normed(covariance: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Correlations from covariances (K, K); a spread not above `rounding` (K,) is that of a constant column."""
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    spread = np.where(spread > rounding, spread, np.nan)
    return np.clip(covariance / np.outer(spread, spread), -1.0, 1.0)


def _rms(difference: np.ndarray) -> float:
    above = difference[np.triu_indices(len(difference), 1)]
    above = above[np.isfinite(above)]
    return float(np.sqrt((above**2).mean())) if len(above) else 0.0


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in matrix]
