"""Correlations between layer energies, between observables and between directions, and how far they differ.

`difference` is generated minus reference; `rms` its root mean square over the pairs, `floor_rms` that of N
reference showers against N independent ones, with its spread. `largest` is the pair whose difference is the largest in
units of its error. A correlation with a constant observable does not exist: None, and `constant` names the observable.

Coefficients are Pearson's, of which the variance over N showers is, with standardised x and y,

    var(r) = ⟨(x y − r (x² + y²) / 2)²⟩ / N

(from the linear terms of r in the moments). Only between directions are they Spearman's: Pearson's of the ranks. Layers
with little energy put the centres of energy of a few showers far out, and these alone would decide Pearson's. The
directions are the centres of energy in eta and phi of up to `DIRECTED` layers, those that hold most of the reference's
energy among the layers that have directions: so the matrix stays small where a calorimeter has 45 layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from caloforge.evaluation.comparison import Comparison
from caloforge.evaluation.observables import REGISTRY
from caloforge.evaluation.resampling import estimate
from caloforge.evaluation.summary import Summary
from caloforge.geometry import Geometry

FEW_LAYERS = 10

DIRECTED = 5
"""Layers whose centres of energy in eta and phi are correlated."""

DRAWS = 6
"""Random subsets behind an error and a floor."""


def correlations(c: Comparison) -> dict[str, Any]:
    """{"layers": …, "observables": …, "directions": …}, each with names, three matrices, rms, errors and floor.

    "directions" is left out where no layer has any.
    """
    found = {
        "layers": _section(c, [f"e_layer_{i}" for i in c.geometry.layer_ids]),
        "observables": _section(c, observable_names(c.geometry)),
    }
    directions = direction_names(c.reference)
    return found | ({"directions": _section(c, directions, ranked=True)} if directions else {})


def observable_names(geometry: Geometry) -> list[str]:
    """Observables of whole showers, and where layers are few the radial centre, width and sparsity of each."""
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
    return names


def direction_names(reference: Summary) -> list[str]:
    """Centres of energy in eta, then in phi, of the layers with directions that hold most energy."""
    means = {
        layer.id: float(reference.observables[f"e_layer_{layer.id}"].mean())
        for layer in reference.geometry.layers
        if REGISTRY["ec_eta"].where(layer)
    }
    brightest = sorted(sorted(means, key=lambda i: -means[i])[:DIRECTED])
    return [f"{family}_{i}" for family in ("ec_eta", "ec_phi") for i in brightest]


def _section(c: Comparison, names: list[str], ranked: bool = False) -> dict[str, Any]:
    if c.refusal:
        return c.refusal

    def columns(sample: Summary) -> np.ndarray:
        values = np.stack([sample.observables[name] for name in names], axis=1)
        return rankdata(values, axis=0) / len(values) if ranked else values

    mine, pool = columns(c.generated), c.pool(columns)
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
        **_largest(names, (first, mine), (second, pool[: c.plan.n_reference])),
    }


def _largest(
    names: list[str], generated: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """{"largest": the pair that differs most}, from (correlations (K, K), columns (N, K)); {} where none differs."""
    (first, _), (second, _) = generated, reference
    variance = variances(*generated) + variances(*reference)
    # Twins (y = x) have no error but that of rounding, and a difference of rounding tells nothing.
    gap = np.abs(first - second) / np.sqrt(np.maximum(variance, 1e-12))
    gap = np.triu(np.nan_to_num(gap), 1)
    if not gap.any():
        return {}
    i, j = np.unravel_index(np.argmax(gap), gap.shape)
    values = {"generated": float(first[i, j]), "reference": float(second[i, j]), "error": float(variance[i, j] ** 0.5)}
    return {"largest": {"first": names[i], "second": names[j], **values}}


def variances(r: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(K, K) variances of the correlations `r` (K, K) of the columns of x (N, K); NaN with a constant column."""
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    squares = z * z
    cubes = squares * z
    both, odd = squares.T @ squares / len(z), cubes.T @ z / len(z)  # ⟨x²y²⟩, ⟨x³y⟩
    fourth = np.diag(both)
    whole = both - r * (odd + odd.T) + r**2 / 4 * (fourth[:, None] + 2 * both + fourth)
    return np.maximum(whole, 0.0) / len(z)


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
