"""A learned likelihood-ratio test: kernel logistic regression, with its null distribution from permutations.

The New Physics Learning Machine (Letizia et al., arXiv:2204.02317; applied to generators in arXiv:2511.09118) models
the log ratio of the densities as f(x) = Σ_m β_m k(x, c_m), k(x, c) = exp(−|x − c|² / 2σ²), with some of the showers as
(Nyström) centres, trains it to tell the samples apart, and takes the likelihood ratio of the showers that it was
trained on as its statistic:

    t = 2 [ Σ_generated f(x) − (n_generated / n_reference) Σ_reference (exp f(x) − 1) ]

The more flexible f, the larger t between equal samples, so t means something only next to its null distribution: the
same training with the labels exchanged. All labels are trained together here. Logistic regression has at no point more
curvature than ¼ ΦᵀΦ, Φ = k(x, c) (K_cc)^{−½} (Böhning and Lindsay, 1988), so that one inverse matrix gives descending
steps for every set of labels,

    β ← β + (¼ ΦᵀΦ/N + λ)⁻¹ [ Φᵀ w (y − p) / N − λ β ],      p = 1 / (1 + exp(−Φβ)), w balances the samples

and a step is two matrix products. The number of steps is fixed and equal for all labels: the p-value is exact whether
or not they have converged, and between nearly equal samples, where p is near ½, they converge as fast as Newton's.
"""

from __future__ import annotations

import numpy as np

from caloforge.distances.permutation_tests import Labels

CENTRES = 200
STEPS = 6
RIDGE = 1e-4
"""λ, of losses averaged over the showers."""

WIDTH = 1.0
"""σ in units of the median distance √(2F) of independent normal scores."""

ROWS = 2048


def likelihood_ratio(scores: np.ndarray, labels: Labels, centres: int = CENTRES) -> np.ndarray:
    """(1 + B,) t of the truth and of every permutation, of normal scores (N, F); the first showers are the centres.

    The order of the showers must not depend on the labels, or p is wrong.
    """
    features = _features(scores, scores[: min(centres, len(scores))])
    n, m = features.shape
    generated = labels.columns.sum(axis=0, dtype=np.int64)  # of a part of the showers not the same in all permutations
    up, down = ((n / (2 * count)).astype(np.float32) for count in (generated, n - generated))
    curvature = 0.25 * max(up.max(), down.max()) * (features.T @ features).astype(np.float64) / n
    inverse = np.linalg.inv(curvature + RIDGE * np.eye(m)).astype(np.float32)
    beta = np.zeros((m, len(generated)), dtype=np.float32)
    for _ in range(STEPS):
        gradient = -np.float32(RIDGE * n) * beta
        for part in _parts(n):
            y, p = labels.columns[part].astype(np.float32), _logistic(features[part] @ beta)
            gradient += features[part].T @ (y * (up + (down - up) * p) - down * p)
        beta += inverse @ gradient / np.float32(n)
    of_generated, of_reference = np.zeros(len(generated)), np.zeros(len(generated))
    for part in _parts(n):
        y, f = labels.columns[part].astype(np.float32), features[part] @ beta
        of_generated += (y * f).sum(axis=0, dtype=np.float64)
        of_reference += ((1 - y) * np.expm1(np.minimum(f, np.float32(30)))).sum(axis=0, dtype=np.float64)
    return np.asarray(2 * (of_generated - generated / (n - generated) * of_reference))


def _features(scores: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, M) Φ = k(x, c) K_cc^{−½}, float32."""
    k_cc = _kernel(centres, centres).astype(np.float64)
    values, vectors = np.linalg.eigh(k_cc)
    kept = values > 1e-6 * values[-1]
    root = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    return np.concatenate([_kernel(scores[part], centres) @ root for part in _parts(len(scores))])


def _kernel(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = np.square(x).sum(axis=1)[:, None] + np.square(centres).sum(axis=1) - 2 * x @ centres.T
    return np.asarray(np.exp(squares * np.float32(-1 / (2 * WIDTH**2 * 2 * x.shape[1]))))


def _logistic(f: np.ndarray) -> np.ndarray:
    f *= np.float32(0.5)
    np.tanh(f, out=f)
    f += 1
    f *= np.float32(0.5)
    return f


def _parts(n: int) -> list[slice]:
    return [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]
