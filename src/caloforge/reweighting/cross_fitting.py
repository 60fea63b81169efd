"""Density ratios of all generated showers to Geant4's, each from classifiers that did not see the shower.

Both samples are divided into k folds. The score of a shower is the mean over several trainings on the k − 1 folds that
do not have it; each of these sees as many showers of one kind as of the other, drawn anew from the larger sample. The
scores of a fold are calibrated by those of the other folds (`classifiers.scores.Calibration`). With C the calibrated
probability that a shower is Geant4's, its weight is, up to a factor that is fixed at each incident energy E,

    w(x | E) ∝ C / (1 − C)

which is DCTR's weight (Andreassen and Nachman, arXiv:1907.08209), applied to a generator in DCTRGAN (arXiv:2009.03796).
A classifier that stops before it overfits leaves a part of the difference, and calibration lowers what it is not sure
of. Another round learns from generated showers that are drawn by the weights so far, and its weight is a factor to
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from caloforge.classifiers.base import MIN_SHOWERS, ClassifierTest
from caloforge.classifiers.scores import Calibration, auc, density_ratio
from caloforge.energies.weighted import at_energy, resampled
from caloforge.errors import CaloforgeError, option
from caloforge.showers import Showers

Told = Callable[[int, int], None]
"""Told how many trainings are done, of how many."""


@dataclass(frozen=True)
class CrossFit:
    """What cross-fitted classifiers say of two samples.

    Args:
        weights: (N,) of the generated showers, with mean 1 at each incident energy.
        ratios: (N,) the same before those above the clip were lowered to it.
        probabilities: (N + M,) C of the first round, of generated and reference showers, one after the other: how
            probable it is that a shower, taken from both samples together, is of the reference.
        labels: (N + M,) 0 for generated, 1 for reference.
    """

    weights: np.ndarray
    ratios: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def auc(self) -> tuple[float, float]:
        """How well the classifiers distinguished both samples before weighting, and the statistical error."""
        return auc(self.probabilities, self.labels)


@dataclass(frozen=True)
class CrossFitting:
    """How density ratios are found.

    Args:
        test: whose features and classifier are used.
        folds: k, at least 2.
        repeats: trainings per fold whose scores are averaged.
        rounds: the second starts from the weights of the first, and so on.
        clip: largest weight.
        seed: of folds, drawn showers and trainings.
        device: where networks are trained.
    """

    test: ClassifierTest
    folds: int
    repeats: int
    rounds: int
    clip: float
    seed: int
    device: str = "cpu"

    def fit(self, generated: Showers, reference: Showers, told: Told | None = None) -> CrossFit:
        """Train `rounds` × `folds` × `repeats` classifiers on samples of one geometry.

        Raises:
            CaloforgeError: too few showers, or a test that cannot score showers chosen by the caller.
        """
        n, m = len(generated), len(reference)
        if min(n, m) * (self.folds - 1) // self.folds < MIN_SHOWERS:
            raise CaloforgeError(
                f"{min(n, m)} showers in {option('folds', self.folds)} leave fewer than {MIN_SHOWERS} of a kind to "
                "learn from: give more showers"
            )
        if 2 * self.folds > min(n, m):
            raise CaloforgeError(
                f"{option('folds', self.folds)} is too many for {min(n, m)} showers: at most {min(n, m) // 2}"
            )
        scores = self.test.fold_scores(generated, reference, self.device)
        rng = np.random.default_rng([self.seed, 6])
        fold = np.concatenate([rng.permutation(size) % self.folds for size in (n, m)])
        labels = np.repeat([0, 1], [n, m])
        weights = ratios = np.ones(n)
        first: np.ndarray | None = None
        done, total = 0, self.rounds * self.folds * self.repeats
        for turn in range(self.rounds):
            of_all = np.concatenate([weights, np.ones(m)])
            raw = np.zeros(n + m)
            for k, repeat in np.ndindex(self.folds, self.repeats):
                own = np.flatnonzero(fold == k)
                kinds = [np.flatnonzero((fold != k) & (labels == kind)) for kind in (0, 1)]
                most = self.test.showers_used(min(map(len, kinds)))
                train = np.concatenate([rows[resampled(of_all[rows], most, rng)] for rows in kinds])
                seed = int(np.random.SeedSequence([self.seed, turn, k, repeat]).generate_state(1)[0])
                raw[own] += scores(train, own, seed) / self.repeats
                done += 1
                if told is not None:
                    told(done, total)
            found = np.empty(n + m)
            for k in range(self.folds):
                rest = fold != k
                found[~rest] = Calibration(raw[rest], labels[rest], of_all[rest])(raw[~rest])
            first = found if first is None else first
            ratios = at_energy(weights * density_ratio(found[:n]), generated.energies)
            weights = at_energy(np.minimum(ratios, self.clip), generated.energies)
        assert first is not None
        return CrossFit(weights, ratios, first, labels)
