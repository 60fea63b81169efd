"""From a classifier's scores to numbers: calibration, AUC, JSD, ROC and weights.

A score is larger the more a shower looks like Geant4; after isotonic calibration it is C, the probability
that the shower is Geant4 when both kinds are equally common.

- AUC: probability that a Geant4 shower scores above a generated one (ties count half). 0.5 = indistinguishable.
- JSD in bits = (ln 2 − BCE) / ln 2, BCE the mean binary cross-entropy of C: a lower bound of the Jensen–Shannon
  divergence of the two samples up to fluctuations; below 0 where C is worse than a constant 1/2.
- weights w = C / (1 − C): the density ratio Geant4 / generated, mean 1 over generated showers. Their effective sample
  size is (Σw)² / Σw².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caloforge.energies.weighted import effective_size

MAX_ROC_POINTS = 200
RELIABILITY_BINS = 12
WEIGHT_EDGES = np.linspace(-4.0, 4.0, 41)
"""Edges of the histogram of log10 w; what lies beyond is counted in the outermost bins."""


class Calibration:
    """Isotonic calibration: the best non-decreasing map from scores to the probability of label 1.

    Where the m highest scores all have label 1, the best map says 1: no ground for certainty, and a single
    exception among new showers would make the cross-entropy and the weight w infinite. It is taken as
    (m + 1) / (m + 2) (Laplace's rule of succession), or as the highest probability below 1 if that is more;
    the lowest scores likewise. Scores beyond the fitted range take the value at its end.

    Args:
        scores: (n,) finite scores of the second part.
        labels: (n,) 1 for Geant4, 0 for generated.
        weights: (n,) of the showers; by default equal.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        from sklearn.isotonic import IsotonicRegression

        self._map = IsotonicRegression(out_of_bounds="clip")
        given = np.asarray(scores, np.float64)
        fitted = self._map.fit(given, np.asarray(labels, np.float64), weights).predict(given)
        sure_not, sure = fitted <= 1e-9, fitted >= 1 - 1e-9
        between = fitted[~(sure_not | sure)]
        self.lowest = min(1 / (sure_not.sum() + 2), between.min(initial=1.0))
        self.highest = max(1 - 1 / (sure.sum() + 2), between.max(initial=0.0))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(n,) calibrated probabilities C of `scores`, strictly between 0 and 1."""
        return np.asarray(np.clip(self._map.predict(np.asarray(scores, np.float64)), self.lowest, self.highest))


@dataclass(frozen=True)
class Roc:
    """ROC curve: fractions of generated showers (`fpr`) and of Geant4's (`tpr`) above a cut, (P,) each."""

    fpr: np.ndarray
    tpr: np.ndarray


@dataclass(frozen=True)
class Weights:
    """The weights w = C / (1 − C) of the third part.

    Args:
        n: generated showers.
        mean: over them; 1 for a perfect C.
        ess: effective sample size.
        edges: (B + 1,) of log10 w; `generated` and `reference` (B,) counts.
    """

    n: int
    mean: float
    ess: float
    edges: np.ndarray
    generated: np.ndarray
    reference: np.ndarray

    @property
    def ess_share(self) -> float:
        """Effective sample size over n."""
        return self.ess / self.n


@dataclass(frozen=True)
class Reliability:
    """Does C say how often a shower is Geant4's? In bins of C with equally many showers.

    Args:
        predicted, observed: (K,) mean C, and the fraction that is Geant4's.
        n: (K,) showers.
    """

    predicted: np.ndarray
    observed: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, bins: int = RELIABILITY_BINS) -> Reliability:
        """From calibrated probabilities (m,) and labels (m,); equal probabilities share a bin."""
        edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
        index = np.searchsorted(edges, probabilities, side="right")
        n = np.bincount(index, minlength=len(edges) + 1)
        kept = n > 0
        predicted, observed = (np.bincount(index, each, len(n))[kept] / n[kept] for each in (probabilities, labels))
        return cls(predicted, observed, n[kept])

    @property
    def errors(self) -> np.ndarray:
        """(K,) statistical error of `observed` where C is right."""
        return np.asarray(np.sqrt(self.predicted * (1 - self.predicted) / self.n))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean of |observed − predicted| over the showers."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.n))

    def by_chance(self) -> tuple[float, float]:
        """Mean and standard deviation of the calibration error if C is right: of normal deviates of `errors`."""
        shares = self.n / self.n.sum() * self.errors
        return float(math.sqrt(2 / math.pi) * shares.sum()), float(math.sqrt((1 - 2 / math.pi) * (shares**2).sum()))


@dataclass(frozen=True)
class Scores:
    """Calibrated scores of the third part and what they give.

    Args:
        raw: (m,) scores as the classifier gives them, of which fewer are equal than of C.
        probabilities: (m,) C of each shower; `labels` (m,) its truth.
        auc, auc_error: area under the ROC curve.
        jsd, jsd_error: Jensen–Shannon divergence in bits.
        roc, weights: see there.
    """

    raw: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    auc: float
    auc_error: float
    jsd: float
    jsd_error: float
    roc: Roc
    weights: Weights

    @classmethod
    def of(cls, held: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray]) -> Scores:
        """From pairs of raw scores (n,) and labels (n,): of the second part, which calibrates, and of the third."""
        probabilities, labels = Calibration(*held)(tested[0]), tested[1]
        area, divergence = auc(probabilities, labels), jsd(probabilities, labels)
        curve = roc(probabilities, labels)
        return cls(tested[0], probabilities, labels, *area, *divergence, curve, weights(probabilities, labels))


def auc(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve and its standard error (Hanley and McNeil, Radiology 143 (1982) 29).

    Args:
        scores: (n,) larger for label 1.
        labels: (n,) 0 or 1, both present.
    """
    from scipy.stats import rankdata

    positive = np.asarray(labels) == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    area = (rankdata(scores)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n1 - 1) * (q1 - area**2) + (n0 - 1) * (q2 - area**2)
    return float(area), math.sqrt(max(0.0, variance) / (n1 * n0))


def jsd(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Jensen–Shannon divergence in bits from calibrated probabilities, and its standard error.

    Args:
        probabilities: (n,) of label 1, strictly between 0 and 1.
        labels: (n,) 0 or 1.
    """
    of_truth = np.where(np.asarray(labels) == 1, probabilities, 1 - probabilities)
    nats = -np.log(of_truth)
    value = (math.log(2) - nats.mean()) / math.log(2)
    return float(value), float(nats.std() / math.sqrt(len(nats)) / math.log(2))


def roc(scores: np.ndarray, labels: np.ndarray, max_points: int = MAX_ROC_POINTS) -> Roc:
    """ROC curve of at most `max_points` points from (0, 0) to (1, 1), spread evenly along the curve."""
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(labels, scores)
    if len(fpr) > max_points:
        along = fpr + tpr
        kept = np.unique(np.searchsorted(along, np.linspace(along[0], along[-1], max_points)))
        fpr, tpr = fpr[kept], tpr[kept]
    return Roc(fpr, tpr)


def density_ratio(probabilities: np.ndarray) -> np.ndarray:
    """w = C / (1 − C) of calibrated probabilities C (n,), strictly between 0 and 1."""
    return np.asarray(probabilities / (1 - probabilities))


def weights(probabilities: np.ndarray, labels: np.ndarray) -> Weights:
    """`Weights` from calibrated probabilities (n,) and labels (n,)."""
    generated = np.asarray(labels) == 0
    w = density_ratio(probabilities)
    of_generated = w[generated]
    logs = np.clip(np.log10(w), WEIGHT_EDGES[0], WEIGHT_EDGES[-1])
    counts = [np.histogram(logs[chosen], WEIGHT_EDGES)[0] for chosen in (generated, ~generated)]
    return Weights(
        int(generated.sum()), float(of_generated.mean()), effective_size(of_generated), WEIGHT_EDGES, *counts
    )
