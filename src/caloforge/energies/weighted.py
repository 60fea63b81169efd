"""Weights of showers: effective sample size, weights at given incident energy, and showers drawn by their weights.

Weights that correct what a shower looks like at its incident energy must leave the spectrum of energies as it is, so
they have mean 1 at each energy (`strata_of`). Showers are drawn by systematic sampling (Madow, Ann. Math. Stat. 20
(1949) 333): each is accepted with probability w / w_max exactly, and the number accepted at an energy differs by less
than 1 from its expectation, where independent draws would let the spectrum fluctuate.
"""

from __future__ import annotations

import numpy as np

from caloforge.energies.agreement import strata_of
from caloforge.errors import CaloforgeError


def effective_size(weights: np.ndarray) -> float:
    """(Σw)² / Σw²: the number of unweighted showers with the statistical precision of those with weights (N,)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def at_energy(weights: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """(N,) weights divided by their mean at each incident energy (N,) MeV."""
    index = strata_of(energies)
    return np.asarray(weights / (np.bincount(index, weights) / np.maximum(np.bincount(index), 1))[index])


def accepted(weights: np.ndarray, energies: np.ndarray, seed: int) -> np.ndarray:
    """Rising rows of the showers that are accepted, each with probability w / w_max.

    Args:
        weights: (N,) not negative.
        energies: (N,) incident energies in MeV.
        seed: of the draw.

    Raises:
        CaloforgeError: no weight is above zero.
    """
    largest = weights.max(initial=0.0)
    if largest <= 0:
        raise CaloforgeError("no weight is above zero, so that no shower can be drawn: weight the showers again")
    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(len(weights))
    index = strata_of(energies)
    order = order[np.argsort(index[order], kind="stable")]
    parts = np.split(order, np.cumsum(np.bincount(index))[:-1])
    return np.sort(np.concatenate([part[_times(weights[part] / largest, rng) > 0] for part in parts]))


def resampled(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) rising rows, each n w / Σw times, rounded up or down at random: of equal weights n different ones."""
    order = rng.permutation(len(weights))
    times = np.empty(len(weights), dtype=int)
    times[order] = _times(weights[order] * (n / weights.sum()), rng)
    return np.repeat(np.arange(len(weights)), times)


def _times(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) whole numbers with these expectations: points at unit distance along their sum, with a random offset."""
    sums = np.concatenate([[0.0], np.cumsum(expected)])
    whole = np.round(sums[-1])
    sums[-1] = whole if abs(sums[-1] - whole) < 1e-6 else sums[-1]
    return np.diff(np.floor(sums + rng.random())).astype(int)
