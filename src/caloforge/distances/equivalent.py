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
from scipy.sparse import csr_matrix

DISTANCES = ("kolmogorov_smirnov", "wasserstein")
"""What `Ordered.distances` returns, in order."""

SIZES, DRAWS = 4, 8
"""Subsets behind each constant: M/2, M/4, … showers, so many of each."""

FEWEST_IN_SUBSET = 20

Rows = np.ndarray

CELLS, TAIL = 1024, 128
"""Values at which distributions are compared: so many at equal steps of the rank, and every one of so many at each end.
A supremum over them is about 2 % below that over all values, in the distance as in its constant."""


@dataclass(frozen=True)
class Ordered:
    """An observable of a sample of n showers and a reference of M, sorted once for any number of distances.

    Args:
        order: (n + M,) rows of the sample, then of the reference, by rising value.
        ends: (C,) how many of them lie up to each of C values; `values` (C,) rise.
    """

    order: np.ndarray
    ends: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, sample: np.ndarray, reference: np.ndarray) -> Ordered:
        """From values (n,), (M,)."""
        values = np.concatenate([sample, reference])
        order = np.argsort(values).astype(np.int32)
        rising = values[order]
        ends = np.append(np.flatnonzero(rising[1:] > rising[:-1]), len(rising) - 1) + 1
        if len(ends) > CELLS + 2 * TAIL:
            equal_steps = np.searchsorted(ends, np.linspace(0, len(rising), CELLS + 1)[1:])
            ends = ends[np.unique(np.concatenate([np.arange(TAIL), equal_steps, np.arange(-TAIL, 0) % len(ends)]))]
        return cls(order, ends, rising[ends - 1])

    def distances(self, measures: np.ndarray) -> np.ndarray:
        """(J, 2) KS and W₁ distance of each of J pairs of sets of showers, given as `measures` (n + M, J)."""
        bounds = np.concatenate([[0], self.ends]).astype(np.int32)
        ones = np.ones(len(self.order), dtype=np.float32)
        inside = csr_matrix((ones, self.order, bounds), shape=(len(self.ends), len(self.order)))
        gap = np.abs(np.cumsum(inside @ measures, axis=0, dtype=np.float64)[:-1])
        return np.stack([gap.max(axis=0, initial=0.0), np.diff(self.values) @ gap], axis=1)


def constants(distances: np.ndarray, sizes: np.ndarray, m: int) -> np.ndarray:
    """(2,) c of both, from distances (J, 2) of subsets of `sizes` (J,) of m reference showers from all of these."""
    return np.asarray(np.median(distances / np.sqrt(1 / sizes - 1 / m)[:, None], axis=0))


def measure(n: int, m: int, pairs: Sequence[tuple[Rows | None, Rows]]) -> np.ndarray:
    """(n + m, J) float32 difference of the empirical measures of J pairs, whose integral up to x is F − G.

    Args:
        n, m: showers of the sample and of the reference.
        pairs: rows (a,) of the sample and (b,) of the reference; or None and (b,) for a subset of the reference
            against all of it.
    """
    found = np.zeros((n + m, len(pairs)), dtype=np.float32)
    for column, (a, b) in zip(found.T, pairs, strict=True):
        if a is None:
            column[n:] = -1 / m
            column[n + b] += 1 / len(b)
        else:
            column[a] = 1 / len(a)
            column[n + b] = -1 / len(b)
    return found


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
