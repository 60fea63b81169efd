"""Two-sample tests that share their permutations, so that every p-value, and their combination, is calibrated.

Under the hypothesis that generated and reference showers have one distribution at each incident energy, the labels of
the showers can be exchanged within strata of equal energy. A test with the statistic T (larger: more different) has

    p = (1 + number of permutations with T at least as large) / (1 + number of permutations)

which is at most α with probability α, whatever the distribution and however the features are correlated (Phipson and
Smyth, arXiv:1603.05766). Several tests on the same permutations are combined by the largest significance, whose own
distribution the same permutations give (Westfall and Young, 1993): the correlation of the tests is taken into account.

Statistics, of features x (N, F) turned into normal scores within the strata (`normal_scores`):

    worst KS              largest √n_eff · KS of one feature at one energy, 1/n_eff = 1/n_generated + 1/n_reference
    mean KS               mean over the features of the Kolmogorov–Smirnov distance
    sliced KS             largest Kolmogorov–Smirnov distance over fixed random directions
    sliced Wasserstein    mean 1-Wasserstein distance over the same directions
    MMD                   |⟨φ⟩_generated − ⟨φ⟩_reference|², φ random Fourier features of three Gaussian kernels
    rank sum              AUC of given scores, such as those of a classifier on showers that it was not trained on

Sorting is done once per direction; permutations are then sums of labels over cells of equal content. Ties are broken at
random, in the same way for all permutations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

CELLS = 250
"""Cells of equal content of a direction: within one, F fluctuates by 1/√250 of what it does overall."""

MOST_IN_CELL = 255
"""Showers of a cell, whose number fits into a byte."""

DIRECTIONS = 64
FREQUENCIES = 256
WIDTHS = (0.5, 1.0, 2.0)
"""Widths of the kernels in units of the median distance √(2F) of independent normal scores."""


@dataclass(frozen=True)
class Labels:
    """Which showers are generated, in truth and in every permutation.

    Args:
        columns: (N, 1 + B) uint8, 1 where generated; column 0 is the truth.
    """

    columns: np.ndarray

    @classmethod
    def of(cls, generated: np.ndarray, strata: np.ndarray, permutations: int, rng: np.random.Generator) -> Labels:
        """From the truth (N,) and integers (N,) within which labels are exchanged."""
        columns = np.empty((len(generated), 1 + permutations), dtype=np.uint8)
        columns[:, 0] = generated
        for stratum in np.unique(strata):
            rows = np.flatnonzero(strata == stratum)
            own = generated[rows].astype(np.uint8)
            for k in range(1, permutations + 1):
                columns[rows, k] = rng.permutation(own)
        return cls(columns)

    @property
    def weights(self) -> tuple[float, float]:
        """1/n of the generated and of the reference showers."""
        n = int(self.columns[:, 0].sum(dtype=np.int64))
        return 1 / n, 1 / (len(self.columns) - n)

    def gaps(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F_generated − F_reference of `values` (N,) at the ends of K cells, (K, 1 + B), and the cells' means (K,)."""
        order = np.argsort(values)
        size = min(MOST_IN_CELL, max(1, len(values) // CELLS))
        whole = len(values) // size * size
        drawn = self.columns.take(order, axis=0)
        inside = drawn[:whole].reshape(-1, size, drawn.shape[1]).sum(axis=1, dtype=np.uint8)
        middles = values[order[:whole]].reshape(-1, size).mean(axis=1)
        sizes = np.full(len(inside), size)
        if whole < len(values):
            inside = np.vstack([inside, drawn[whole:].sum(axis=0, dtype=np.uint8)])
            middles = np.append(middles, values[order[whole:]].mean())
            sizes = np.append(sizes, len(values) - whole)
        first, second = self.weights
        total = np.cumsum(inside, axis=0, dtype=np.int32).astype(np.float32)
        gap = total * np.float32(first + second) - (np.cumsum(sizes) * second).astype(np.float32)[:, None]
        return gap, middles


def normal_scores(features: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """(N, F) float32: the rank of each feature within its stratum as a normal deviate, Φ⁻¹((rank − ½)/n).

    Equal values share their mean rank. What is left of the features does not depend on units, tails or the energy.
    """
    scores = np.empty(features.shape, dtype=np.float32)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        scores[rows] = ndtri((rankdata(features[rows], axis=0) - 0.5) / len(rows))
    return scores


def directions(n_features: int, n: int = DIRECTIONS) -> np.ndarray:
    """(F, n) unit vectors, always the same."""
    drawn = np.random.default_rng(2511).normal(size=(n_features, n))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0), dtype=np.float32)


def mean_ks(scores: np.ndarray, labels: Labels) -> np.ndarray:
    """(1 + B,) of the truth and of every permutation."""
    return np.asarray(np.mean([_ks(labels.gaps(column)[0]) for column in scores.T], axis=0))


@dataclass(frozen=True)
class WorstCell:
    """The largest √n_eff · KS over features and groups: (1 + B,) statistic, and where it is for the truth."""

    statistic: np.ndarray
    feature: int
    group: int


def worst_ks(scores: np.ndarray, labels: Labels, groups: np.ndarray) -> WorstCell:
    """Over the features, and over `groups` of equal energy (N,) integers, if they have both kinds of shower."""
    found = WorstCell(np.zeros(labels.columns.shape[1]), 0, 0)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        own = Labels(labels.columns[rows])
        if 0 < own.columns[:, 0].sum(dtype=np.int64) < len(rows):
            scale = np.sqrt(1 / sum(own.weights))
            for feature in range(scores.shape[1]):
                here = scale * _ks(own.gaps(scores[rows, feature])[0])
                where = (feature, int(group)) if here[0] > found.statistic[0] else (found.feature, found.group)
                found = WorstCell(np.maximum(found.statistic, here), *where)
    return found


def sliced(scores: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """(1 + B,) largest KS and mean W₁ over the directions."""
    largest = np.zeros(labels.columns.shape[1])
    total = np.zeros(labels.columns.shape[1])
    along = directions(scores.shape[1])
    for direction in along.T:
        gap, middles = labels.gaps(scores @ direction)
        largest = np.maximum(largest, _ks(gap))
        total += np.diff(middles) @ np.abs(gap[:-1])
    return largest, total / along.shape[1]


def _ks(gap: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(gap.max(axis=0), -gap.min(axis=0)))


def mmd(scores: np.ndarray, labels: Labels, rows: int = 8192) -> np.ndarray:
    """(1 + B,) squared distance of the means of random Fourier features (Rahimi and Recht, 2007)."""
    rng = np.random.default_rng(59)
    f = scores.shape[1]
    scale = np.repeat(WIDTHS, -(-FREQUENCIES // len(WIDTHS)))[:FREQUENCIES] * np.sqrt(2 * f)
    frequencies = (rng.normal(size=(f, FREQUENCIES)) / scale).astype(np.float32)
    of_generated = np.zeros((labels.columns.shape[1], 2 * FREQUENCIES))
    of_all = np.zeros(2 * FREQUENCIES)
    for start in range(0, len(scores), rows):
        angles = scores[start : start + rows] @ frequencies
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        of_generated += labels.columns[start : start + rows].T.astype(np.float32) @ waves
        of_all += waves.sum(axis=0, dtype=np.float64)
    first, second = labels.weights
    return np.asarray(np.square(of_generated * (first + second) - of_all * second).sum(axis=1) / FREQUENCIES)


def rank_sum(values: np.ndarray, labels: Labels) -> np.ndarray:
    """(1 + B,) AUC of `values` (N,), larger for reference showers; ties count half."""
    ranks = rankdata(values)
    of_reference = ranks.sum() - labels.columns.T.astype(np.float64) @ ranks
    first, second = labels.weights
    return np.asarray((of_reference - (1 / second + 1) / second / 2) * first * second)


def p_values(statistics: np.ndarray) -> np.ndarray:
    """(1 + B,) p-value of the truth (first) and, as if it were the truth, of every permutation."""
    return np.asarray((len(statistics) + 1 - rankdata(statistics, method="min")) / len(statistics))


def combined(statistics: Iterable[np.ndarray]) -> float:
    """p-value of the most significant of several tests on the same permutations.

    Significance is taken as (ln T − mean) / standard deviation over truth and permutations: unlike p-values, of which
    that of the truth and those of a few permutations are all the smallest possible, it tells large from larger.
    """
    most = np.full(1, -np.inf)
    for each in statistics:
        logs = np.log(np.maximum(each, np.finfo(float).tiny))
        most = np.maximum(most, (logs - logs.mean()) / (logs.std() or 1.0))
    return float(p_values(most)[0])
