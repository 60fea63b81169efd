"""Correlations between layer energies, between observables and between directions, and how far they differ.

The value is the root mean square, over the pairs, of generated minus reference coefficients. `largest_…` is the pair
whose difference is the largest in units of its error. A correlation with a constant observable does not exist:
`constant` names the observable.

Coefficients are Pearson's, of which the variance over N showers is, with standardised x and y,

    var(r) = ⟨(x y − r (x² + y²) / 2)²⟩ / N

(from the linear terms of r in the moments). Only between directions are they Spearman's: Pearson's of the ranks. Layers
with little energy put the centres of energy of a few showers far out, and these alone would decide Pearson's. The
directions are the centres of energy in eta and phi of up to `DIRECTED` layers, those that hold most of the reference's
energy among the layers that have directions: so the matrix stays small where a calorimeter has 45 layers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from caloforge.evaluation.estimates import estimate
from caloforge.evaluation.metrics.base import Chart, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.summary import Summary
from caloforge.geometry import Geometry
from caloforge.observables import find, names_of, select, with_directions

CORRELATIONS = Section(
    "correlations",
    "Correlations",
    "Root mean square difference of the coefficients, and the pair that differs most in units of its error.",
    extra={
        "largest_first": "largest: first",
        "largest_second": "second",
        "largest_generated": "gen.",
        "largest_reference": "ref.",
    },
    page="correlations",
)

TITLES = {"layers": "layer energies", "observables": "observables", "directions": "centres of energy of the layers"}

FEW_LAYERS = 10
"""Up to so many layers radial centres, widths and sparsities are among the observables."""

DIRECTED = 5
"""Layers whose centres of energy in eta and phi are correlated."""

DRAWS = 6
"""Random subsets behind an error and a baseline."""


@metric(CORRELATIONS)
def correlations(samples: SamplePair) -> Iterator[Found]:
    """Those of `TITLES`; directions only where a layer has any."""
    geometry = samples.geometry
    yield from _matrix(samples, "layers", names_of(select(geometry, ["e_layer"])))
    yield from _matrix(samples, "observables", observable_names(geometry))
    if directions := direction_names(samples.reference):
        yield from _matrix(samples, "directions", directions, ranked=True)


def observable_names(geometry: Geometry) -> list[str]:
    """Observables of whole showers, and where layers are few the radial centre, width and sparsity of each."""
    names = ["e_tot_over_e_inc", "n_hits", "max_voxel_fraction", "s_d", "sigma_s_d", "mean_x", "mean_y", "mean_z"]
    if geometry.n_layers <= FEW_LAYERS:
        names += names_of(select(geometry, ["ec_r", "width_r", "sparsity"]))
    return names


def direction_names(reference: Summary) -> list[str]:
    """Centres of energy in eta, then in phi, of the layers with directions that hold most energy."""
    means = {
        layer.id: float(reference.observables[f"e_layer_{layer.id}"].mean())
        for layer in reference.geometry.layers
        if with_directions(layer)
    }
    brightest = sorted(sorted(means, key=lambda i: -means[i])[:DIRECTED])
    return [f"{name}_{i}" for name in ("ec_eta", "ec_phi") for i in brightest]


def _matrix(samples: SamplePair, which: str, names: list[str], ranked: bool = False) -> Iterator[Found]:
    label = f"correlations of {TITLES[which]}"
    if samples.unavailable:
        yield Metric(CORRELATIONS.name, which, label, None, reason=samples.unavailable)
        return

    def columns(sample: Summary) -> np.ndarray:
        values = np.stack([sample.observables[name] for name in names], axis=1)
        return rankdata(values, axis=0) / len(values) if ranked else values

    generated, pool = columns(samples.generated), samples.pool(columns)
    reference = pool[: samples.plan.n_reference]
    first, second = pearson(generated), pearson(reference)
    known = np.isfinite(first) & np.isfinite(second)
    constant = [n for k, n in enumerate(names) if not known[k, k]]

    # Once the columns are standardised their products do not cancel: subsets need no pass to centre them.
    centre, scale = pool.mean(axis=0), pool.std(axis=0)
    scale[scale == 0] = 1.0

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return _rms(_pearson_of(a) - _pearson_of(b))

    plan = samples.plan.first(DRAWS)
    [found] = estimate(distance, (generated - centre) / scale, (pool - centre) / scale, plan)
    extra = {"constant": ", ".join(constant), **_largest(names, (first, generated), (second, reference))}
    yield Metric(CORRELATIONS.name, which, label, found, extra=extra)
    words = [find(samples.geometry, name).label for name in names]
    data = {"names": words, "generated": first, "reference": second, "difference": first - second}
    caption = (
        f"{'Spearman' if ranked else 'Pearson'} coefficients; the difference has a scale of its own. Blocks of one "
        "colour in it are observables whose correlation the generator gets wrong."
    )
    yield Chart(f"correlations_{which}", "matrix", CORRELATIONS.name, label.capitalize(), caption, data)


def _largest(
    names: list[str], generated: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]
) -> dict[str, str | float]:
    """The pair that differs most, from (correlations (K, K), columns (N, K)); empty where none differs."""
    (first, _), (second, _) = generated, reference
    variance = variances(*generated) + variances(*reference)
    # Twins (y = x) have no error but that of rounding, and a difference of rounding tells nothing.
    gap = np.abs(first - second) / np.sqrt(np.maximum(variance, 1e-12))
    gap = np.triu(np.nan_to_num(gap), 1)
    if not gap.any():
        return {}
    i, j = np.unravel_index(np.argmax(gap), gap.shape)
    return {
        "largest_first": names[i],
        "largest_second": names[j],
        "largest_generated": float(first[i, j]),
        "largest_reference": float(second[i, j]),
        "largest_error": float(variance[i, j] ** 0.5),
    }


def variances(r: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(K, K) variances of the correlations `r` (K, K) of the columns of x (N, K); NaN with a constant column."""
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    squares = z * z
    cubes = squares * z
    both, odd = squares.T @ squares / len(z), cubes.T @ z / len(z)  # ⟨x²y²⟩, ⟨x³y⟩
    fourth = np.diag(both)
    whole = both - r * (odd + odd.T) + r**2 / 4 * (fourth[:, None] + 2 * both + fourth)
    return np.asarray(np.maximum(whole, 0.0) / len(z))


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
    return np.asarray(np.clip(covariance / np.outer(spread, spread), -1.0, 1.0))


def _rms(difference: np.ndarray) -> float:
    above = difference[np.triu_indices(len(difference), 1)]
    above = above[np.isfinite(above)]
    return float(np.sqrt((above**2).mean())) if len(above) else 0.0
