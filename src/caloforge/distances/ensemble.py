"""Does the spread over k trainings cover their difference to the reference? Pulls of histograms, bin by bin.

Trainings i = 1 … k give the fractions p_i of showers in a bin, with mean p̄ and standard deviation s; the reference
gives r. If r was one more draw of the law that the p_i are drawn from, then

    pull = (p̄ − r) / √V,    V = s² (1 + 1/k) + max(0, σ_r² − σ_g²)

s² holds the statistical error σ_g of a generated sample, so that of the reference, σ_r, only adds what it has beyond;
for samples of equal size nothing. As s comes from k numbers, the ratio follows Student's t (with the degrees of freedom
of Welch and Satterthwaite); a pull is the normal deviate of the same probability, so pulls are N(0, 1) for any k ≥ 2.
Trainings that scatter independently about the reference itself are nearer: their pulls have a width of 1/√(k + 1).
Where all share a bias, the width is larger than 1.

The same with each training in place of the reference, and the others in place of all, tells what widths there are by
chance: pulls of neighbouring bins are correlated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST = 25
"""Showers that the smallest sample has in a bin on average; bins with fewer are merged with the next."""

LARGEST = 37.0
"""Largest pull: double precision has no smaller probabilities."""


@dataclass(frozen=True)
class EnsemblePulls:
    """The pulls of one histogram in B merged bins.

    Args:
        pulls: (B,) of the reference from the trainings.
        of_trainings: (k, B) of each training from the others; (0, B) for fewer than three.
        ratio: spread over the trainings in units of the statistical error, as the root mean square over the bins; 1
            where they differ by chance alone. ratio_error: its error by chance.
        spread, difference: root mean square over the showers of the relative standard deviation over the trainings, and
            of the relative difference of their mean to the reference, both with the statistical part subtracted.
    """

    pulls: np.ndarray
    of_trainings: np.ndarray
    ratio: float
    ratio_error: float
    spread: float
    difference: float

    @property
    def width(self) -> float:
        """Root mean square of the pulls."""
        return width(self.pulls)


def width(pulls: np.ndarray) -> float:
    """Root mean square about 0."""
    return float(np.sqrt(np.mean(np.square(pulls))))


def ensemble_pulls(trainings: np.ndarray, reference: np.ndarray) -> EnsemblePulls | None:
    """Pulls of a histogram; None where fewer than two bins have enough showers.

    >>> rng = np.random.default_rng(1)
    >>> same = rng.multinomial(5000, np.full(50, 0.02), size=6)
    >>> ensemble_pulls(same[:5], same[5]).width < 1.5
    True

    Args:
        trainings: (k, B) counts of the showers generated after each training, k ≥ 2, what lies outside included.
        reference: (B,) counts.
    """
    counts = merged(np.vstack([trainings, reference]).astype(np.float64))
    if counts.shape[1] < 2:
        return None
    n = counts.sum(axis=1, keepdims=True)
    fractions, k = counts / n, len(trainings)
    share = counts.sum(axis=0) / n.sum()
    statistical = share * (1 - share) / n  # (k + 1, B) variances
    spread = fractions[:-1].var(axis=0, ddof=1)
    own = statistical[:-1].mean(axis=0)
    excess = float(np.mean(spread / own))
    bias = (fractions[:-1].mean(axis=0) - fractions[-1]) ** 2 - own / k - statistical[-1]
    others = [_pulls(fractions, statistical, n, [*range(i), *range(i + 1, k)], i) for i in range(k)] if k > 2 else []
    return EnsemblePulls(
        pulls=_pulls(fractions, statistical, n, list(range(k)), k),
        of_trainings=np.array(others).reshape(len(others), counts.shape[1]),
        ratio=float(np.sqrt(excess)),
        ratio_error=float(np.sqrt(excess / (2 * (k - 1) * counts.shape[1]))),
        spread=_relative(spread - own, share),
        difference=_relative(bias, share),
    )


def _relative(variances: np.ndarray, share: np.ndarray) -> float:
    return float(np.sqrt(max(0.0, np.sum(variances / share))))


def _pulls(fractions: np.ndarray, statistical: np.ndarray, n: np.ndarray, members: list[int], one: int) -> np.ndarray:
    """(B,) pulls of sample number `one` from `members`."""
    k = len(members)
    # Counts are whole numbers: equal ones differ by up to a half, 1/12 in the mean square.
    spread = fractions[members].var(axis=0, ddof=1) + np.mean(1 / (12 * n[members] ** 2))
    of_ensemble = (1 + 1 / k) * spread
    variance = of_ensemble + np.maximum(0.0, statistical[one] - statistical[members].mean(axis=0))
    degrees = (k - 1) * (variance / of_ensemble) ** 2
    t = (fractions[members].mean(axis=0) - fractions[one]) / np.sqrt(variance)
    return np.asarray(np.sign(t) * np.minimum(stats.norm.isf(stats.t.sf(np.abs(t), degrees)), LARGEST))


def merged(counts: np.ndarray) -> np.ndarray:
    """(K, B') counts (K, B) with neighbouring bins merged until the smallest sample has `FEWEST` in each on average."""
    smallest = counts.sum(axis=1).min()
    expected = counts.sum(axis=0) / max(1.0, counts.sum()) * smallest
    starts, filled = [0], 0.0
    for k, more in enumerate(expected):
        if filled >= FEWEST:
            starts.append(k)
            filled = 0.0
        filled += more
    if filled < FEWEST and len(starts) > 1:
        starts.pop()
    return np.asarray(np.add.reduceat(counts, starts, axis=1))
