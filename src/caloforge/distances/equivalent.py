"""How many reference showers have the distance of a generated sample: an equivalent number of showers.

The distance D of n independent showers from a reference of M, both from one distribution, has the law of a Brownian
bridge for large n and M, whatever the observable:

    D ~ c (1/n + 1/M)^½         for the Kolmogorov–Smirnov distance (KS) and the 1-Wasserstein distance (W₁)

n showers drawn from the reference without repetition, compared with the reference itself, differ from it by the same
bridge with 1/n − 1/M in place of 1/n + 1/M (the finite-population correction). So the constant c of an observable comes
from subsets of the reference alone, and a distance D is turned into a number of showers by

    n = 1 / (D²/c² − 1/M)

c is the median over the subsets, so that n is as often too large as too small. A reference of M showers resolves n up
to about M: beyond, D hardly differs from what it is for infinitely many, c / M^½.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DISTANCES = ("kolmogorov_smirnov", "wasserstein")
"""What `Ordered.distances` returns, in order."""

SIZES, DRAWS = 4, 8
"""Subsets behind each constant: M/2, M/4, … showers, so many of each."""

FEWEST_IN_SUBSET = 20

Rows = np.ndarray


@dataclass(frozen=True)
class Ordered:
    """An observable of a sample of n showers and a reference of M, sorted once for any number of distances.

    Args:
        positions: (P,) rising values.
        sample, reference: (n,), (M,) the position of each value.
    """

    positions: np.ndarray
    sample: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, sample: np.ndarray, reference: np.ndarray) -> Ordered:
        """From values (n,), (M,)."""
        values = np.concatenate([sample, reference])
        order = np.argsort(values)
        rising = values[order]
        new = np.concatenate([[True], rising[1:] > rising[:-1]])
        index = np.empty(len(values), dtype=np.int64)
        index[order] = np.cumsum(new) - 1
        return cls(rising[new], index[: len(sample)], index[len(sample) :])

    def distances(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(2,) KS and W₁ distance of two sets of positions (k,), (l,)."""
        return self._of_shares(self._shares(a), self._shares(b))

    def _shares(self, a: np.ndarray) -> np.ndarray:
        return np.bincount(a, minlength=len(self.positions)) / len(a)

    def _of_shares(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        gap = np.cumsum(a - b)[:-1]
        gap = np.abs(gap, out=gap)
        return np.array([gap.max(initial=0.0), gap @ np.diff(self.positions)])

    def constants(self, subsets: Sequence[Rows]) -> np.ndarray:
        """(2,) c of both distances, from subsets of the reference's rows."""
        m, whole = len(self.reference), self._shares(self.reference)
        found = [
            self._of_shares(self._shares(self.reference[rows]), whole) / np.sqrt(1 / len(rows) - 1 / m)
            for rows in subsets
        ]
        return np.asarray(np.median(found, axis=0))


def subset_sizes(m: int) -> list[int]:
    """Sizes of the subsets of m reference showers; none of a reference that is too small."""
    sizes = [m // 2 ** (k + 1) for k in range(SIZES)]
    return [size for size in sizes if size >= FEWEST_IN_SUBSET]


def equivalent(distance: float | np.ndarray, constant: float | np.ndarray, m: int) -> np.ndarray:
    """The number of showers with this distance to a reference of m showers, at most m, the largest resolved.

    >>> float(equivalent(0.04, 0.8, 10_000).round())  # 0.04² / 0.8² = 1/400
    417.0
    """
    inverse = np.square(np.asarray(distance, dtype=float) / constant) - 1 / m
    return np.asarray(1 / np.maximum(inverse, 1 / m))
