"""Distances between one-dimensional distributions.

    separation power   S = ½ Σ (h_i − g_i)² / (h_i + g_i)       eq. 15 of arXiv:2009.03796; 0 same, 1 disjoint
    1-Wasserstein      W₁ = ∫ |H(x) − G(x)| dx                  H, G cumulative distributions
    Kullback–Leibler   KL(g ‖ h) = Σ g_i ln(g_i / h_i)          nats, g the reference

All are pure functions of counts or values; errors come from evaluating them on random subsets (`estimates`).
"""

from __future__ import annotations

import numpy as np

PSEUDO_COUNT = 0.5
"""Added to each bin before a Kullback–Leibler divergence, or an empty bin would make it infinite."""


def separation_power(h: np.ndarray, g: np.ndarray) -> float:
    """Separation power of two histograms over the same bins.

    Args:
        h, g: (B,) counts, not negative; each is normalised to sum 1 here.

    Returns:
        0 (same) … 1 (disjoint). If one histogram is empty and the other is not they share nothing: 1; two
        empty ones are the same: 0.
    """
    return float(separation_powers(np.asarray(h)[None], np.asarray(g)[None])[0])


def separation_powers(h: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(K,) separation powers of K pairs of histograms, (K, B) each (see `separation_power`)."""
    h, g = np.asarray(h, dtype=np.float64), np.asarray(g, dtype=np.float64)
    sum_h, sum_g = h.sum(axis=1), g.sum(axis=1)
    p = h / np.where(sum_h > 0, sum_h, 1.0)[:, None]
    q = g / np.where(sum_g > 0, sum_g, 1.0)[:, None]
    total = p + q
    terms = np.divide((p - q) ** 2, total, out=np.zeros_like(total), where=total > 0)
    result = 0.5 * terms.sum(axis=1)
    one_empty = (sum_h > 0) != (sum_g > 0)
    return np.where(one_empty, 1.0, result)


def kullback_leibler(h: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(K,) KL(g ‖ h) in nats of K pairs of histograms of counts (K, B), with half a count added to each bin.

    Bins that are empty in both carry nothing and are left out.
    """
    h, g = np.asarray(h, dtype=np.float64), np.asarray(g, dtype=np.float64)
    used = (h + g) > 0
    h, g = np.where(used, h + PSEUDO_COUNT, 0.0), np.where(used, g + PSEUDO_COUNT, 0.0)
    p = h / np.maximum(h.sum(axis=1, keepdims=True), PSEUDO_COUNT)
    q = g / np.maximum(g.sum(axis=1, keepdims=True), PSEUDO_COUNT)
    ratio = np.divide(q, p, out=np.ones_like(q), where=used)
    return np.asarray((q * np.log(ratio)).sum(axis=1))


def wasserstein(u: np.ndarray, v: np.ndarray) -> float:
    """1-Wasserstein distance of two samples (n,), (m,), in their unit."""
    values = np.concatenate([u, v])
    order = np.argsort(values)
    in_u = np.concatenate([np.full(len(u), 1 / len(u)), np.zeros(len(v))])[order]
    in_v = np.concatenate([np.zeros(len(u)), np.full(len(v), 1 / len(v))])[order]
    gap = np.cumsum(in_u - in_v)[:-1]
    return float(np.abs(gap) @ np.diff(values[order]))


def wasserstein_weighted(positions: np.ndarray, h: np.ndarray, g: np.ndarray) -> np.ndarray:
    """(K,) 1-Wasserstein distances of K pairs of weights (K, P) on rising positions (P,); NaN if one is empty."""
    sum_h, sum_g = h.sum(axis=1, keepdims=True), g.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.cumsum(h / sum_h - g / sum_g, axis=1)[:, :-1]
    return np.asarray(np.abs(gap) @ np.diff(positions))
